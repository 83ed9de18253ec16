/*
 * sig_timer.c - POSIX timers: ids with gaps, clocks, ways of notification, time left, overruns.
 */
#include <pthread.h>

#include "victim.h"

#define MS 1000000LL

enum { TIMERS = 9 };

static int ids[TIMERS];
static _Atomic pid_t tid;
static _Atomic int by_library;
static char before[8192], after[8192];

static int create(clockid_t clock, int notify, int signo, int value)
{
    struct sigevent event = {.sigev_notify = notify, .sigev_signo = signo, .sigev_value.sival_int = value};
    int id = -1;
    event._sigev_un._tid = notify == SIGEV_THREAD_ID ? tid : 0;
    need(syscall(SYS_timer_create, clock, &event, &id) == 0);
    return id;
}

static void arm(int id, int64_t value, int64_t interval)
{
    struct itimerspec set = {.it_value = to_timespec(value), .it_interval = to_timespec(interval)};
    need(syscall(SYS_timer_settime, id, 0, &set, NULL) == 0);
}

static void check_left(int id, int64_t set, int64_t passed, int64_t interval)
{
    struct itimerspec now = {0};
    check(syscall(SYS_timer_gettime, id, &now) == 0, "timer %d: %s", id, strerror(errno));
    int64_t left = now.it_value.tv_sec * 1000 * MS + now.it_value.tv_nsec;
    check(left <= set && left >= set - passed - 200 * MS, "timer %d: %lld of %lld ms are left", id,
          (long long)(left / MS), (long long)(set / MS));
    same("interval", now.it_interval.tv_sec * 1000 * MS + now.it_interval.tv_nsec, interval);
}

static siginfo_t take(int signo)
{
    sigset_t set;
    siginfo_t info = {0};
    sigemptyset(&set);
    sigaddset(&set, signo);
    check(sigtimedwait(&set, &info, &(struct timespec){.tv_sec = 10}) == signo, "signal %d does not come", signo);
    return info;
}

static void *other(void *id)
{
    tid = gettid();
    wait_go();
    /* The process-wide queue holds no such signal: only the timer for this thread sends it. */
    siginfo_t info = take(SIGRTMIN + 3);
    same("timer of the thread", info.si_timerid, *(int *)id);
    same("value", info.si_value.sival_int, 33);
    return NULL;
}

static void by_thread(union sigval value)
{
    by_library = value.sival_int;
}

int main(void)
{
    sigset_t blocked;
    pthread_t thread;
    sigemptyset(&blocked);
    for (int i = 0; i < 5; i++)
        sigaddset(&blocked, SIGRTMIN + i);
    need(pthread_sigmask(SIG_BLOCK, &blocked, NULL) == 0);
    need(pthread_create(&thread, NULL, other, &ids[4]) == 0);
    while (!tid)
        victim_nap();

    for (int i = 0; i < TIMERS; i++) {
        static const clockid_t clocks[TIMERS] = {
            CLOCK_REALTIME,  CLOCK_REALTIME, CLOCK_MONOTONIC,          CLOCK_REALTIME,          CLOCK_MONOTONIC,
            CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
        };
        int notify = i == 4 ? SIGEV_THREAD_ID : i == 5 || i == 6 ? SIGEV_NONE : SIGEV_SIGNAL;
        ids[i] = create(clocks[i], notify, i == 4 ? SIGRTMIN + 3 : SIGRTMIN + i % 3, i == 4 ? 33 : 100 + i);
    }
    /* Numbers 1 and 3 are free again, and the kernel does not give them out soon. */
    need(syscall(SYS_timer_delete, ids[1]) == 0 && syscall(SYS_timer_delete, ids[3]) == 0);
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD, .sigev_notify_function = by_thread, .sigev_value.sival_int = 5};
    timer_t library;
    need(timer_create(CLOCK_MONOTONIC, &event, &library) == 0);

    int64_t start = now_ns(CLOCK_MONOTONIC);
    arm(ids[0], 500 * 1000 * MS, 7 * MS);
    arm(ids[2], 1 * MS, 2 * MS); /* blocked: it overruns */
    arm(ids[5], 300 * 1000 * MS, 0);
    arm(ids[6], 200 * 1000 * MS, 11 * 1000 * MS);
    arm(ids[7], 100 * 1000 * MS, 0);
    need(read_file("/proc/self/timers", before, sizeof before) > 0);

    ready();
    wait_go();

    int64_t passed = now_ns(CLOCK_MONOTONIC) - start;
    check(read_file("/proc/self/timers", after, sizeof after) > 0, "/proc/self/timers: %s", strerror(errno));
    same_text("/proc/self/timers", after, before);
    check_left(ids[0], 500 * 1000 * MS, passed, 7 * MS);
    check_left(ids[5], 300 * 1000 * MS, passed, 0);
    check_left(ids[6], 200 * 1000 * MS, passed, 11 * 1000 * MS);
    check_left(ids[7], 100 * 1000 * MS, passed, 0);
    check_left(ids[8], 0, 0, 0);
    check(syscall(SYS_timer_delete, ids[1]) < 0 && errno == EINVAL, "a deleted timer is back");

    siginfo_t info = take(SIGRTMIN + 2);
    same("timer", info.si_timerid, ids[2]);
    same("value", info.si_value.sival_int, 102);
    same("si_code", info.si_code, SI_TIMER);
    check(syscall(SYS_timer_getoverrun, ids[2]) > 0, "no overrun in %lld ms", (long long)(passed / MS));
    take(SIGRTMIN + 2);

    arm(ids[4], 1, 0);
    pthread_join(thread, NULL);
    struct itimerspec soon = {.it_value.tv_nsec = 1};
    check(timer_settime(library, 0, &soon, NULL) == 0, "timer_settime: %s", strerror(errno));
    for (int i = 0; i < 10000 && by_library != 5; i++)
        victim_nap();
    same("notification by a thread of the library", by_library, 5);
    int fresh = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
    for (int i = 0; i < TIMERS; i++)
        check(i == 1 || i == 3 || fresh != ids[i], "a new timer got the number of another");
    finish();
}
