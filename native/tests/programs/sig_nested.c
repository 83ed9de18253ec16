/*
 * sig_nested.c - a handler inside a handler inside a system call: all frames lead back, with masks and registers.
 */
#include "victim.h"

static _Atomic int depth, order;
static int fds[2];

static uint64_t mask_now(void)
{
    uint64_t mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, 8);
    return mask;
}

static void inner(int signo)
{
    uint64_t mask = mask_now();
    depth++;
    ready();
    wait_go();
    same("depth", depth, 3);
    same("mask in the inner handler", mask_now(), mask);
    check(signo == SIGUSR2 && (mask >> (SIGUSR1 - 1) & 1) && (mask >> (SIGUSR2 - 1) & 1), "signal %d, mask %#llx",
          signo, (unsigned long long)mask);
    order = order * 10 + 1;
}

static void outer(int signo)
{
    double x = 1.0 / 3, y = 2.0 / 7;
    uint64_t mask = mask_now();
    depth++;
    raise(SIGUSR2);
    same("mask in the outer handler", mask_now(), mask);
    check(x * y > 0.095238 && x * y < 0.095239, "floating point: %f", x * y);
    same("signal", signo, SIGUSR1);
    order = order * 10 + 2;
}

static void on_alarm(int signo)
{
    depth++;
    raise(SIGUSR1);
    same("signal", signo, SIGALRM);
    order = order * 10 + 3;
    mark("returned");
}

int main(void)
{
    struct sigaction a = {.sa_handler = outer}, b = {.sa_handler = inner};
    struct sigaction c = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    char byte = 0;
    need(sigaction(SIGUSR1, &a, NULL) == 0 && sigaction(SIGUSR2, &b, NULL) == 0 && sigaction(SIGALRM, &c, NULL) == 0);
    uint64_t mask = mask_now();
    need(pipe(fds) == 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        /* Into the parent's read(); the byte that ends it comes when all handlers have returned. */
        need(await_state(getppid(), 'S'));
        kill(getppid(), SIGALRM);
        await_mark("returned");
        check(write(fds[1], "x", 1) == 1, "write: %s", strerror(errno));
        finish();
    }
    check(read(fds[0], &byte, 1) == 1 && byte == 'x', "read: %s", strerror(errno));
    same("order of return", order, 123);
    same("mask", mask_now(), mask);
    reap(pid);
    finish();
}
