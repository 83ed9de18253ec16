/*
 * fd_owner.c - who gets which signal when a descriptor becomes ready: F_SETOWN, F_SETSIG, O_ASYNC.
 */
#include "victim.h"

int main(void)
{
    int fds[2], signo = 0;
    sigset_t set;
    siginfo_t info = {0};
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = gettid()}, now = {0};
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    need(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && pipe(fds) == 0);
    need(fcntl(fds[0], F_SETOWN_EX, &owner) == 0 && fcntl(fds[0], F_SETSIG, SIGRTMIN + 2) == 0);
    need(fcntl(fds[0], F_SETFL, O_ASYNC | O_NONBLOCK) == 0);
    ready();
    wait_go();
    check(fcntl(fds[0], F_GETOWN_EX, &now) == 0, "F_GETOWN_EX: %s", strerror(errno));
    same("type of the owner", now.type, owner.type);
    same("owner", now.pid, owner.pid);
    same("signal", fcntl(fds[0], F_GETSIG), SIGRTMIN + 2);
    same("flags", fcntl(fds[0], F_GETFL), O_ASYNC | O_NONBLOCK);
    check(write(fds[1], "x", 1) == 1, "write: %s", strerror(errno));
    signo = sigtimedwait(&set, &info, &(struct timespec){.tv_sec = 5});
    same("signal that came", signo, SIGRTMIN + 2);
    same("descriptor it names", info.si_fd, fds[0]);
    finish();
}
