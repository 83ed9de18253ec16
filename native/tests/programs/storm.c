/*
 * storm.c - processes that fork all the time, so that a freeze has to race with new ones: each is taken whole or none is.
 * Cases: children grandchildren threads
 * Driver: repeat=10 again=yes
 */
#include <pthread.h>

#include "victim.h"

enum { STORMS = 4 };

static int depth;

/* A child lives as long as a few system calls; its status says whether it saw what it should. */
static void one_child(uint64_t round)
{
    int status = -1;
    pid_t pid = fork();
    check(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        if (depth-- > 0)
            one_child(round + 1);
        _exit(victim_failures ? 201 : (int)(round % 200));
    }
    check(waitpid(pid, &status, 0) == pid, "waitpid: %s", strerror(errno));
    check(WIFEXITED(status) && WEXITSTATUS(status) == (int)(round % 200), "child of round %llu: %#x",
          (unsigned long long)round, status);
}

static void fork_storm(void)
{
    for (uint64_t round = 0; !go() && !victim_failures; round++)
        one_child(round);
}

static void *short_thread(void *argument)
{
    return (char *)argument + 1;
}

static void thread_storm(void)
{
    char memory[2];
    while (!go() && !victim_failures) {
        pthread_t thread;
        void *result = NULL;
        int error = pthread_create(&thread, NULL, short_thread, memory);
        check(error == 0, "pthread_create: %s", strerror(error));
        if (error == 0)
            pthread_join(thread, &result);
        check(result == memory + 1, "result of a thread");
    }
}

int main(int argc, char **argv)
{
    bool threads = is_case(argc, argv, "threads");
    depth = is_case(argc, argv, "grandchildren") ? 2 : 0;
    pid_t pids[STORMS];
    for (int i = 0; i < STORMS; i++) {
        if ((pids[i] = fork_child()) == 0) {
            char name[32];
            snprintf(name, sizeof name, "storm%d", i);
            mark(name);
            if (threads)
                thread_storm();
            else
                fork_storm();
            finish();
        }
    }
    for (int i = 0; i < STORMS; i++) {
        char name[32];
        snprintf(name, sizeof name, "storm%d", i);
        await_mark(name);
    }
    ready();
    wait_go();
    for (int i = 0; i < STORMS; i++)
        reap(pids[i]);
    check(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "one child too many");
    finish();
}
