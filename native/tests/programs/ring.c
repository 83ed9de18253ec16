/*
 * ring.c - eight processes pass a number around a ring of pipes and add one each: no step is lost and none done twice.
 */
#include "victim.h"

enum { PROCESSES = 8 };

int main(void)
{
    int fds[PROCESSES][2];
    pid_t pids[PROCESSES];
    uint64_t *counts = map_memory(PAGE, MAP_SHARED);
    for (int i = 0; i < PROCESSES; i++)
        need(pipe(fds[i]) == 0);
    for (int i = 0; i < PROCESSES; i++) {
        if ((pids[i] = fork_child()) == 0) {
            uint64_t number, expected = (uint64_t)i;
            int next = (i + 1) % PROCESSES;
            for (int j = 0; j < PROCESSES; j++) {
                if (j != i)
                    close(fds[j][0]);
                if (j != next)
                    close(fds[j][1]);
            }
            while (read(fds[i][0], &number, sizeof number) == sizeof number) {
                check(number == expected, "%llu came, not %llu", (unsigned long long)number,
                      (unsigned long long)expected);
                expected = number + PROCESSES;
                counts[i]++;
                number++;
                if (i == PROCESSES - 1 && go())
                    break;
                if (write(fds[next][1], &number, sizeof number) != sizeof number)
                    break;
            }
            finish();
        }
    }
    uint64_t zero = 0;
    need(write(fds[0][1], &zero, sizeof zero) == sizeof zero);
    for (int i = 0; i < PROCESSES; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
    while (*(volatile uint64_t *)&counts[0] < 100)
        victim_nap();
    ready();
    for (int i = PROCESSES - 1; i >= 0; i--)
        reap(pids[i]);
    for (int i = 1; i < PROCESSES; i++)
        check(counts[i] == counts[0], "process %d did %llu rounds, the first %llu", i, (unsigned long long)counts[i],
              (unsigned long long)counts[0]);
    finish();
}
