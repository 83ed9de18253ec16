/*
 * fd_signalfd.c - signalfds: the mask, and signals that wait to be read.
 */
#include <sys/signalfd.h>

#include "victim.h"

int main(void)
{
    sigset_t mask, none;
    struct signalfd_siginfo info = {0};
    sigemptyset(&mask);
    sigemptyset(&none);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGRTMIN + 3);
    need(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), empty = signalfd(-1, &none, SFD_NONBLOCK);
    need(fd >= 0 && empty >= 0);
    need(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 1234}) == 0);
    ready();
    wait_go();
    check(read(fd, &info, sizeof info) == sizeof info, "read: %s", strerror(errno));
    same("signal", info.ssi_signo, SIGRTMIN + 3);
    same("value", info.ssi_int, 1234);
    same("sender", info.ssi_pid, getpid());
    check(read(fd, &info, sizeof info) < 0 && errno == EAGAIN, "one more signal");
    raise(SIGUSR1);
    check(read(empty, &info, sizeof info) < 0 && errno == EAGAIN, "an empty mask lets a signal through");
    check(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1, "SIGUSR1 does not come");
    same("close-on-exec", fcntl(fd, F_GETFD), FD_CLOEXEC);
    finish();
}
