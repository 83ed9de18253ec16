#include "supervisor/signals.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

void signals_take(struct signal_state *before)
{
    struct sigaction child = {.sa_handler = SIG_DFL};

    sigprocmask(SIG_SETMASK, NULL, &before->mask);
    sigaction(SIGCHLD, &child, &before->child);
}

void signals_block(void)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

void signals_restore(const struct signal_state *before)
{
    sigaction(SIGCHLD, &before->child, NULL);
    sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

_Noreturn void exit_as(int wait_status)
{
    fflush(NULL);
    if (WIFSIGNALED(wait_status)) {
        int number = WTERMSIG(wait_status);
        struct rlimit none = {0, 0};
        sigset_t one;

        /* The core, if any, is the job's. A size of 0 does not stop a core_pattern that pipes; not dumpable does. */
        setrlimit(RLIMIT_CORE, &none);
        prctl(PR_SET_DUMPABLE, 0);
        signal(number, SIG_DFL);
        sigemptyset(&one);
        sigaddset(&one, number);
        kill(getpid(), number);
        sigprocmask(SIG_UNBLOCK, &one, NULL);
        /* Not reached unless the signal cannot end us (pid 1 of a container): say it as shells do. */
        _exit(128 + number);
    }
    _exit(WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0);
}
