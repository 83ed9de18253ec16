/*
 * crowd.c - a thousand processes, each with a page of its own.
 * Driver: modes=restart limit=60
 */
#include <sys/resource.h>

#include "victim.h"

enum { PROCESSES = 1000 };

int main(void)
{
    static pid_t pids[PROCESSES];
    struct rlimit limit;
    if (getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur < PROCESSES + 200)
        skip("only %ld processes are allowed", (long)limit.rlim_cur);
    _Atomic int *started = map_memory(PAGE, MAP_SHARED);
    for (int i = 0; i < PROCESSES; i++) {
        if ((pids[i] = fork_child()) == 0) {
            unsigned char *own = map_memory(PAGE, MAP_PRIVATE);
            pid_t pid = getpid(), parent = getppid();
            fill(own, PAGE, (uint64_t)i);
            (*started)++;
            while (!go())
                nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
            same("pid", getpid(), pid);
            same("parent", getppid(), parent);
            check_pattern(own, PAGE, (uint64_t)i);
            finish();
        }
    }
    while (*started < PROCESSES)
        victim_nap();
    ready();
    wait_go();
    for (int i = 0; i < PROCESSES; i++)
        reap(pids[i]);
    finish();
}
