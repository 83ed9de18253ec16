/*
 * sig_actions.c - what each of the sixty-four signals does: handler, flags, restorer, mask, SIG_IGN.
 */
#include "victim.h"

struct action {
    const void *handler;
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static _Atomic int ran, code;

static void handler_a(int signo)
{
    ran += signo;
}

static void handler_b(int signo, siginfo_t *info, void *context)
{
    (void)context;
    ran += 1000 + signo;
    code = info->si_code;
}

static void odd_restorer(void)
{
}

static const unsigned long flag_sets[] = {0,          SA_RESTART,   SA_NODEFER,   SA_RESETHAND,           SA_SIGINFO,
                                          SA_ONSTACK, SA_NOCLDSTOP, SA_NOCLDWAIT, SA_RESTART | SA_SIGINFO};

static int raw(int signo, const struct action *set, struct action *get)
{
    return (int)syscall(SYS_rt_sigaction, signo, set, get, 8);
}

int main(void)
{
    static struct action all[65];
    for (int signo = 1; signo <= 64; signo++) {
        struct action action = {.mask = victim_mix((uint64_t)signo), .flags = flag_sets[signo % 9]};
        action.handler = signo % 2 ? (void *)handler_a : (void *)handler_b;
        if (signo % 11 == 0)
            action.handler = (void *)SIG_IGN;
        if (signo % 3 == 0) {
            action.flags |= 0x04000000; /* SA_RESTORER */
            action.restorer = odd_restorer;
        }
        if (signo != SIGKILL && signo != SIGSTOP && signo % 5)
            need(raw(signo, &action, NULL) == 0);
    }
    /* Two that are used afterwards, set by the C library. */
    struct sigaction plain = {.sa_handler = handler_a, .sa_flags = SA_RESETHAND}, info = {.sa_flags = SA_SIGINFO};
    info.sa_sigaction = handler_b;
    need(sigaction(SIGUSR1, &plain, NULL) == 0 && sigaction(SIGRTMAX, &info, NULL) == 0);
    for (int signo = 1; signo <= 64; signo++)
        need(raw(signo, NULL, &all[signo]) == 0);

    ready();
    wait_go();

    for (int signo = 1; signo <= 64; signo++) {
        struct action now;
        raw(signo, NULL, &now);
        check(now.handler == all[signo].handler, "handler of %d", signo);
        check(now.flags == all[signo].flags, "flags of %d: %#lx, were %#lx", signo, now.flags, all[signo].flags);
        check(now.restorer == all[signo].restorer, "restorer of %d", signo);
        check(now.mask == all[signo].mask, "mask of %d", signo);
    }
    raise(SIGUSR1);
    same("runs of the handler", ran, SIGUSR1);
    struct action now;
    raw(SIGUSR1, NULL, &now);
    check(now.handler == (void *)SIG_DFL, "SA_RESETHAND has no effect");
    sigqueue(getpid(), SIGRTMAX, (union sigval){.sival_int = 1});
    same("runs of the handlers", ran, SIGUSR1 + 1000 + SIGRTMAX);
    same("si_code", code, SI_QUEUE);
    finish();
}
