/*
 * mixed.c - some of everything at once: two processes with threads that spin, sleep, read and wait, timers, shared memory,
 * masks. It is what test_faults.py disturbs.
 */
#include <pthread.h>
#include <sys/time.h>

#include "victim.h"

static struct shared {
    _Atomic uint64_t ticks, turns;
    _Atomic int threads;
    unsigned char bytes[1000];
} * shared;

static int fds[2];
static pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;

static void on_tick(int signo)
{
    shared->ticks += signo == SIGALRM;
}

static void *spin(void *unused)
{
    uint64_t sum = 0;
    shared->threads++;
    for (uint64_t i = 0; i % 65536 || !go(); i++) {
        sum += victim_mix(i);
        shared->turns++;
    }
    return sum ? unused : &hold;
}

static void *sleeper(void *unused)
{
    shared->threads++;
    struct timespec left;
    while (!go()) {
        /* Only a handler of ours may cut it short, and SIGALRM is blocked here. */
        int result = clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 50000000}, &left);
        check(result == 0, "clock_nanosleep: %s", strerror(result));
    }
    return unused;
}

static void *reader(void *unused)
{
    char byte = 0;
    shared->threads++;
    check(read(fds[0], &byte, 1) == 1 && byte == 'x', "read: %s", strerror(errno));
    return unused;
}

static void *waiter(void *unused)
{
    shared->threads++;
    pthread_mutex_lock(&hold);
    pthread_mutex_unlock(&hold);
    return unused;
}

static void live(void (*begin)(void))
{
    static void *(*const functions[])(void *) = {spin, sleeper, reader, waiter};
    pthread_t threads[4];
    sigset_t alarm_only;
    need(pipe(fds) == 0 && pthread_mutex_lock(&hold) == 0);
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
    for (int i = 0; i < 4; i++)
        need(pthread_create(&threads[i], NULL, functions[i], NULL) == 0);
    pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct itimerval often = {.it_value.tv_usec = 10000, .it_interval.tv_usec = 10000};
    need(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    begin();
    wait_go();
    uint64_t ticks = shared->ticks;
    for (int i = 0; i < 20000 && shared->ticks < ticks + 3; i++)
        victim_nap();
    check(shared->ticks >= ticks + 3, "the timer does not tick");
    check_pattern(shared->bytes, sizeof shared->bytes, 5);
    pthread_mutex_unlock(&hold);
    check(write(fds[1], "x", 1) == 1, "write: %s", strerror(errno));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
}

static void child_begins(void)
{
    mark("child");
}

static void parent_begins(void)
{
    await_mark("child");
    while (shared->threads < 8)
        victim_nap();
    ready();
}

int main(void)
{
    shared = map_memory(PAGE, MAP_SHARED);
    fill(shared->bytes, sizeof shared->bytes, 5);
    unsigned char *memory = map_memory(4 << 20, MAP_PRIVATE);
    fill(memory, 4 << 20, 6);
    pid_t child = fork_child();
    if (child == 0) {
        live(child_begins);
        finish();
    }
    live(parent_begins);
    reap(child);
    check_pattern(memory, 4 << 20, 6);
    finish();
}
