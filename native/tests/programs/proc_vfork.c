/*
 * proc_vfork.c - a parent inside vfork(), which nobody can stop there: refused while it lasts, and unharmed. One that calls
 * posix_spawn() all the time is caught between two calls or refused.
 * Cases: waiting spawning
 * Driver: expect=either
 */
#include <spawn.h>

#include "victim.h"

static void waiting(void)
{
    pid_t pid = vfork();
    need(pid >= 0);
    if (pid == 0) {
        ready();
        wait_go();
        _exit(5);
    }
    int status = 0;
    check(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 5, "status of the child: %#x", status);
}

static void spawning(void)
{
    char *arguments[] = {"true", NULL}, *environment[] = {NULL};
    int rounds = 0;
    for (bool last = false; !last; rounds++) {
        pid_t pid;
        int status = -1;
        last = go();
        int error = posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environment);
        check(error == 0, "posix_spawn: %s", strerror(error));
        check(waitpid(pid, &status, 0) == pid && status == 0, "status of the child: %#x", status);
        if (rounds == 3)
            ready();
    }
}

int main(int argc, char **argv)
{
    if (is_case(argc, argv, "waiting"))
        waiting();
    else
        spawning();
    finish();
}
