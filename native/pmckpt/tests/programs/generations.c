/* generations N: dies right after each of N checkpoints. Prints a line in front of each, and one at the end. */
#include "pmckpt.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *grow(char *old, int n)
{
    char *larger = realloc(old, n * 1000 + 1);

    memset(larger + (n - 1) * 1000, 'a' + n % 26, 1000);
    larger[n * 1000] = '\0';
    return larger;
}

static int work(int n, char *memory)
{
CKPT VARS
    pid_t pid;
CKPT TOPS

    printf("%d %zu %c\n", n, strlen(memory), memory[n * 1000 - 1]);
    fflush(stdout);
    pid = getpid();
    ckpt_schedule();
CKPT POINT work_a work_done
    if (getpid() == pid)
        kill(pid, SIGKILL);
    return n + 1;
CKPT BOTS
}

int main(int argc, char **argv)
{
CKPT VARS
    register int n, last;
    char *memory;
CKPT TOPS

    last = argc > 1 ? atoi(argv[1]) : 1;
    memory = NULL;
    for (n = 1; n <= last;) {
        memory = grow(memory, n);
CKPT POINT main_a main_calls
        n = work(n, memory);
    }
    printf("end %d\n", n);
    return 0;
CKPT BOTS
}
