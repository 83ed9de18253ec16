#include "supervisor/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

int terminal_open(void)
{
    return open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
}

/* tcgetpgrp() succeeds for the controlling terminal only. */
static bool is_controlling(int fd)
{
    return tcgetpgrp(fd) >= 0;
}

enum job_place terminal_place(bool in_namespace)
{
    int tty = terminal_open();

    if (tty >= 0)
        close(tty);
    if (!in_namespace)
        return JOB_IN_OUR_GROUP; /* pids mean the same to all; a scheduler may find its processes by group */
    if (tty < 0)
        return JOB_OWN_SESSION;
    return is_controlling(STDIN_FILENO) && is_controlling(STDOUT_FILENO) ? JOB_OWN_GROUP : JOB_IN_OUR_GROUP;
}

bool terminal_is_ours(int tty)
{
    return tty >= 0 && tcgetpgrp(tty) == getpgrp();
}

void terminal_give(int tty, pid_t group)
{
    if (tty >= 0 && group > 0)
        tcsetpgrp(tty, group);
}

void terminal_take_back(int tty, pid_t group)
{
    if (tty < 0)
        return;
    pid_t holder = tcgetpgrp(tty);
    if (holder > 0 && holder != getpgrp() && (holder == group || (kill(-holder, 0) < 0 && errno == ESRCH)))
        tcsetpgrp(tty, getpgrp());
}

bool terminal_is_other_group(pid_t pid)
{
    return pid > 0 && getpgid(pid) != getpgrp() && getsid(pid) == getsid(0);
}
