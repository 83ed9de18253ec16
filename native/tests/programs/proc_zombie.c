/*
 * proc_zombie.c - children that have ended and were not yet waited for: their status, by exit and by signal, comes later.
 */
#include "victim.h"

enum { CHILDREN = 6 };

static const int signals[CHILDREN] = {0, 0, SIGTERM, SIGKILL, 0, SIGUSR1};
static const int codes[CHILDREN] = {0, 77, 0, 0, 255, 0};

int main(void)
{
    pid_t pids[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        if ((pids[i] = fork_child()) == 0) {
            if (i == 4)
                need(setpgid(0, 0) == 0);
            if (signals[i])
                raise(signals[i]);
            _exit(codes[i]);
        }
        need(await_state(pids[i], 'Z'));
    }
    /* One of a grandchild as well, whose parent lives. */
    pid_t parent = fork_child();
    if (parent == 0) {
        pid_t child = fork_child();
        int status = 0;
        if (child == 0)
            _exit(9);
        need(await_state(child, 'Z'));
        mark("parent");
        wait_go();
        check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 9, "grandchild: %#x", status);
        finish();
    }
    await_mark("parent");
    ready();
    wait_go();
    for (int i = 0; i < CHILDREN; i++)
        same("state", process_state(pids[i]), 'Z');
    same("group of a zombie", getpgid(pids[4]), pids[4]);
    for (int i = CHILDREN - 1; i >= 0; i--) {
        int status = -1;
        check(waitpid(pids[i], &status, WNOHANG) == pids[i], "waitpid: %s", strerror(errno));
        if (signals[i])
            check(WIFSIGNALED(status) && WTERMSIG(status) == signals[i], "child %d: %#x", i, status);
        else
            check(WIFEXITED(status) && WEXITSTATUS(status) == codes[i], "child %d: %#x", i, status);
    }
    reap(parent);
    check(waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD, "one child too many");
    finish();
}
