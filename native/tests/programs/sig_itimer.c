/*
 * sig_itimer.c - interval timers and alarm(): the time left, the interval, and that they still tick.
 * Cases: real virtual prof alarm ticking
 */
#include <sys/time.h>

#include "victim.h"

static _Atomic long ticks;

static void on_tick(int signo)
{
    ticks += signo == SIGALRM;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void left_over(int which, const struct itimerval *set)
{
    struct itimerval now = {0};
    need(setitimer(which, set, NULL) == 0);
    int64_t start = now_ns(CLOCK_MONOTONIC);
    ready();
    wait_go();
    double passed = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
    check(getitimer(which, &now) == 0, "getitimer: %s", strerror(errno));
    check(seconds(now.it_interval) == seconds(set->it_interval), "the interval is %f s", seconds(now.it_interval));
    double left = seconds(now.it_value), was = seconds(set->it_value);
    /* The kernel rounds up by a tick or two. */
    check(left <= was + 0.02 && left >= was - passed - 0.2, "%f of %f s are left after %f s", left, was, passed);
}

int main(int argc, char **argv)
{
    struct itimerval set = {.it_value = {.tv_sec = 100, .tv_usec = 500000},
                            .it_interval = {.tv_sec = 3, .tv_usec = 7000}};
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    need(sigaction(SIGALRM, &action, NULL) == 0);
    if (is_case(argc, argv, "real")) {
        left_over(ITIMER_REAL, &set);
    } else if (is_case(argc, argv, "virtual")) {
        left_over(ITIMER_VIRTUAL, &set);
    } else if (is_case(argc, argv, "prof")) {
        left_over(ITIMER_PROF, &set);
    } else if (is_case(argc, argv, "alarm")) {
        alarm(1000);
        ready();
        wait_go();
        unsigned left = alarm(0);
        check(left > 900 && left <= 1000, "%u of 1000 s are left", left);
    } else {
        set = (struct itimerval){.it_value.tv_usec = 20000, .it_interval.tv_usec = 20000};
        need(setitimer(ITIMER_REAL, &set, NULL) == 0);
        while (ticks < 2)
            victim_nap();
        ready();
        wait_go();
        for (long before = ticks; ticks < before + 5;)
            pause();
    }
    finish();
}
