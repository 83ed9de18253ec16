/*
 * sig_altstack.c - alternate signal stacks of two threads: idle, in use by a handler that is still running, disarmed by it.
 * Cases: idle inuse autodisarm
 */
#include <pthread.h>

#include "victim.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

enum { SIZE = 65536 };

static unsigned char *stacks[2];
static _Atomic int waiting, ran;
static bool inside, disarm;

static bool on_altstack(void)
{
    unsigned char here;
    for (int i = 0; i < 2; i++)
        if (&here >= stacks[i] && &here < stacks[i] + SIZE)
            return true;
    return false;
}

static void on_signal(int signo)
{
    stack_t before, after;
    unsigned char frame[3000];
    ran += signo == SIGUSR1;
    check(on_altstack(), "the handler does not run on the alternate stack");
    if (!inside)
        return;
    fill(frame, sizeof frame, (uint64_t)gettid());
    need(sigaltstack(NULL, &before) == 0);
    need(before.ss_flags == (disarm ? SS_DISABLE : SS_ONSTACK));
    waiting++;
    wait_go();
    check(sigaltstack(NULL, &after) == 0, "sigaltstack: %s", strerror(errno));
    same("flags of the stack", after.ss_flags, before.ss_flags);
    check(after.ss_sp == before.ss_sp, "address of the stack");
    check_pattern(frame, sizeof frame, (uint64_t)gettid());
}

static void *thread(void *argument)
{
    long i = (long)argument;
    stack_t stack = {.ss_sp = stacks[i], .ss_size = SIZE, .ss_flags = disarm ? (int)SS_AUTODISARM : 0}, now;
    uint64_t local = 123456789 + (uint64_t)i;
    need(sigaltstack(&stack, NULL) == 0);
    if (inside) {
        pthread_kill(pthread_self(), SIGUSR1);
    } else {
        waiting++;
        wait_go();
        pthread_kill(pthread_self(), SIGUSR1);
    }
    same("a local variable under the handler", local, 123456789 + i);
    check(sigaltstack(NULL, &now) == 0, "sigaltstack: %s", strerror(errno));
    check(now.ss_sp == stack.ss_sp && now.ss_size == SIZE, "the stack is %p + %zu", now.ss_sp, now.ss_size);
    same("flags of the stack", now.ss_flags, stack.ss_flags);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t other;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    disarm = is_case(argc, argv, "autodisarm");
    inside = disarm || is_case(argc, argv, "inuse");
    need(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < 2; i++)
        stacks[i] = map_memory(SIZE, MAP_PRIVATE);
    need(pthread_create(&other, NULL, thread, (void *)1L) == 0);
    pthread_t first;
    need(pthread_create(&first, NULL, thread, (void *)0L) == 0);
    while (waiting < 2)
        victim_nap();
    ready();
    pthread_join(first, NULL);
    pthread_join(other, NULL);
    same("runs of the handler", ran, 2);
    finish();
}
