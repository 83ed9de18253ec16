/*
 * sig_pending.c - signals that wait, for the process and for one thread: their order, their number and all they carry.
 */
#include <pthread.h>

#include "victim.h"

static pthread_t thread;
static _Atomic bool set;
static sigset_t blocked;
static pid_t child;

/* Takes the next signal of a set that holds only signo. */
static siginfo_t take(int signo)
{
    sigset_t one;
    siginfo_t info = {0};
    struct timespec now = {0};
    sigemptyset(&one);
    sigaddset(&one, signo);
    /* The C library would call SI_TKILL SI_USER. */
    check(syscall(SYS_rt_sigtimedwait, &one, &info, &now, 8) == signo, "signal %d does not wait: %s", signo,
          strerror(errno));
    return info;
}

static void none_left(void)
{
    struct timespec now = {0};
    siginfo_t info = {0};
    int signo = sigtimedwait(&blocked, &info, &now);
    check(signo < 0, "signal %d waits too much", signo);
}

static void expect(int signo, int code, pid_t pid, int value)
{
    siginfo_t info = take(signo);
    check(info.si_code == code, "signal %d: si_code is %d, was %d", signo, info.si_code, code);
    check(info.si_pid == pid, "signal %d: si_pid is %d, was %d", signo, info.si_pid, pid);
    check(info.si_uid == getuid(), "signal %d: si_uid is %d, was %d", signo, info.si_uid, getuid());
    if (code == SI_QUEUE)
        check(info.si_value.sival_int == value, "signal %d: value is %d, was %d", signo, info.si_value.sival_int,
              value);
    if (code == CLD_EXITED)
        check(info.si_status == value, "signal %d: status is %d, was %d", signo, info.si_status, value);
}

static void queue_to(pthread_t whom, int signo, int value)
{
    need(pthread_sigqueue(whom, signo, (union sigval){.sival_int = value}) == 0);
}

static void *other(void *unused)
{
    set = true;
    wait_go();
    expect(SIGRTMIN + 5, SI_QUEUE, getpid(), 50);
    expect(SIGRTMIN + 5, SI_QUEUE, getpid(), 51);
    expect(SIGUSR2, SI_TKILL, getpid(), 0);
    return unused;
}

int main(void)
{
    char waiting[64], waiting_thread[64], now[64];
    pid_t self = getpid();
    sigfillset(&blocked);
    need(pthread_sigmask(SIG_SETMASK, &blocked, NULL) == 0);
    need(pthread_create(&thread, NULL, other, NULL) == 0);
    while (!set)
        victim_nap();

    for (int i = 1; i <= 3; i++)
        need(sigqueue(self, SIGRTMIN + 1, (union sigval){.sival_int = i}) == 0);
    need(sigqueue(self, SIGRTMIN, (union sigval){.sival_int = -7}) == 0);
    need(kill(self, SIGTERM) == 0);
    child = fork_child();
    if (child == 0) {
        kill(getppid(), SIGUSR1);
        sigqueue(getppid(), SIGRTMIN + 2, (union sigval){.sival_int = 99});
        _exit(42);
    }
    need(waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED | WNOWAIT) == 0);
    queue_to(thread, SIGRTMIN + 5, 50);
    queue_to(thread, SIGRTMIN + 5, 51);
    need(pthread_kill(thread, SIGUSR2) == 0);
    queue_to(pthread_self(), SIGRTMIN + 6, 60);
    need(proc_value("/proc/self/status", "ShdPnd", waiting, sizeof waiting));
    need(proc_value("/proc/self/status", "SigPnd", waiting_thread, sizeof waiting_thread));

    ready();
    wait_go();

    proc_value("/proc/self/status", "ShdPnd", now, sizeof now);
    same_text("ShdPnd", now, waiting);
    proc_value("/proc/self/status", "SigPnd", now, sizeof now);
    same_text("SigPnd", now, waiting_thread);
    for (int i = 1; i <= 3; i++)
        expect(SIGRTMIN + 1, SI_QUEUE, self, i);
    expect(SIGRTMIN, SI_QUEUE, self, -7);
    expect(SIGTERM, SI_USER, self, 0);
    expect(SIGUSR1, SI_USER, child, 0);
    expect(SIGRTMIN + 2, SI_QUEUE, child, 99);
    expect(SIGCHLD, CLD_EXITED, child, 42);
    expect(SIGRTMIN + 6, SI_QUEUE, self, 60);
    pthread_join(thread, NULL);
    none_left();
    int status = 0;
    check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 42, "status of the child is %#x", status);
    finish();
}
