#include "supervisor/root.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/error.h"

enum { CANNOT_EXECUTE = 126, NOT_FOUND = 127 };

_Noreturn void root_exec(const char *program, char *const *argv)
{
    execvp(argv[0], argv);
    int reason = errno;
    fprintf(stderr, "%s: cannot execute %s: %s\n", program, argv[0], strerror(reason));
    _exit(reason == ENOENT ? NOT_FOUND : CANNOT_EXECUTE);
}

static void take_place(enum job_place place)
{
    if (place == JOB_OWN_SESSION)
        setsid();
    if (place != JOB_OWN_GROUP)
        return;
    int tty = terminal_open();
    bool foreground = terminal_is_ours(tty);
    setpgid(0, 0);
    if (foreground)
        terminal_give(tty, getpgrp());
    if (tty >= 0)
        close(tty);
}

int root_start(void *data, pid_t *root, struct caesura_error *err)
{
    const struct root_command *command = data;
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid < 0)
        return error_errno(err, errno, "cannot fork for %s", command->argv[0]);
    if (pid == 0) {
        if (command->die_with_parent) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                _exit(1);
        }
        take_place(command->place);
        signals_restore(command->signals);
        root_exec(command->program, command->argv);
    }
    *root = pid;
    return 0;
}
