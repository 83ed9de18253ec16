/*
 * vdso.c - threads that are in the vdso nearly all the time: its clocks go on, and never backwards.
 */
#include <pthread.h>
#include <sys/time.h>

#include "victim.h"

enum { THREADS = 4 };

static _Atomic bool stop;
static _Atomic long turns[THREADS];
static int64_t start;

static void *thread(void *argument)
{
    long i = (long)argument;
    int64_t monotonic = 0, boot = 0;
    long processors = sysconf(_SC_NPROCESSORS_CONF);
    while (!stop) {
        int64_t now = now_ns(CLOCK_MONOTONIC), coarse = now_ns(CLOCK_MONOTONIC_COARSE), booted = now_ns(CLOCK_BOOTTIME);
        struct timeval day;
        unsigned cpu = 0;
        check(now >= monotonic, "the monotonic clock went back by %lld ns", (long long)(monotonic - now));
        check(booted >= boot, "the boot clock went back by %lld ns", (long long)(boot - booted));
        check(coarse <= now_ns(CLOCK_MONOTONIC), "the coarse clock is ahead");
        monotonic = now;
        boot = booted;
        gettimeofday(&day, NULL);
        check(llabs((long long)day.tv_sec - time(NULL)) <= 1, "gettimeofday() and time() differ");
        check((int64_t)day.tv_sec * 1000000000 >= start - 1000000000, "the day is before our start");
        check(getcpu(&cpu, NULL) == 0 && cpu < (unsigned)processors, "getcpu() says %u", cpu);
        turns[i]++;
        if (victim_failures)
            break;
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    long before[THREADS];
    start = now_ns(CLOCK_REALTIME);
    for (long i = 0; i < THREADS; i++)
        need(pthread_create(&threads[i], NULL, thread, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        while (!turns[i])
            victim_nap();
    ready();
    wait_go();
    for (int i = 0; i < THREADS; i++)
        before[i] = turns[i];
    for (int i = 0; i < THREADS; i++)
        while (turns[i] == before[i] && !victim_failures)
            victim_nap();
    stop = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    finish();
}
