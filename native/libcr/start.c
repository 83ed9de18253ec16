/* start.c - starting a program of the installed tree from within somebody else's program, without its noticing. */
#include "internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_BYTES 65536u

struct start {
    char *const *argv;
    int keep;
    int failed;
};

/* Shares our memory, but not our descriptors and handlers; all signals are blocked, which cr-request takes back. */
static int child_main(void *data)
{
    struct start *start = data;

    if (start->keep >= 0)
        fcntl(start->keep, F_SETFD, 0);
    execv(start->argv[0], start->argv);
    start->failed = errno;
    _exit(127);
}

/*
 * Not fork(): a job's memory may be too large to be promised twice, and its handlers for forks are none of our business. Not
 * posix_spawn(): a child without an exit signal is not seen by a program that waits for all of its children.
 */
int process_start(char *const argv[], int keep, bool quiet, pid_t *child)
{
    struct start start = {.argv = argv, .keep = keep};
    sigset_t all, before;
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    if (stack == MAP_FAILED)
        return -errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    *child = clone(child_main, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | (quiet ? 0 : SIGCHLD), &start);
    int rc = *child < 0 ? -errno : -start.failed;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK_BYTES);
    return rc;
}
