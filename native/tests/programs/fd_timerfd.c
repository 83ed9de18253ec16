/*
 * fd_timerfd.c - timerfds: time left, intervals, expirations not yet read, absolute times, disarmed ones.
 */
#include <sys/timerfd.h>

#include "victim.h"

#define S 1000000000LL

static int make(clockid_t clock, int flags, int how, int64_t value, int64_t interval)
{
    struct itimerspec set = {.it_value = to_timespec(value), .it_interval = to_timespec(interval)};
    int fd = timerfd_create(clock, flags);
    need(fd >= 0 && timerfd_settime(fd, how, &set, NULL) == 0);
    return fd;
}

static void check_left(int fd, int64_t set, int64_t passed, int64_t interval)
{
    struct itimerspec now = {0};
    check(timerfd_gettime(fd, &now) == 0, "timerfd_gettime: %s", strerror(errno));
    int64_t left = now.it_value.tv_sec * S + now.it_value.tv_nsec;
    check(left <= set && left >= set - passed - S / 5, "%lld of %lld ms are left", (long long)(left / 1000000),
          (long long)(set / 1000000));
    same("interval", now.it_interval.tv_sec * S + now.it_interval.tv_nsec, interval);
}

int main(void)
{
    uint64_t value = 0;
    int64_t start = now_ns(CLOCK_MONOTONIC);
    int relative = make(CLOCK_MONOTONIC, TFD_CLOEXEC, 0, 100 * S, 3 * S);
    int absolute = make(CLOCK_REALTIME, 0, TFD_TIMER_ABSTIME, now_ns(CLOCK_REALTIME) + 1000 * S, 0);
    int idle = make(CLOCK_BOOTTIME, TFD_NONBLOCK, 0, 0, 0);
    int unread = make(CLOCK_MONOTONIC, TFD_NONBLOCK, 0, 1, 0);
    int ticking = make(CLOCK_MONOTONIC, 0, 0, S / 100, S / 100);
    while (now_ns(CLOCK_MONOTONIC) < start + S / 20)
        victim_nap();

    ready();
    wait_go();

    int64_t passed = now_ns(CLOCK_MONOTONIC) - start;
    check_left(relative, 100 * S, passed, 3 * S);
    check_left(absolute, 1000 * S, now_ns(CLOCK_MONOTONIC) - start + 60 * S, 0);
    check_left(idle, 0, 0, 0);
    check(read(idle, &value, 8) < 0 && errno == EAGAIN, "a disarmed one has expired");
    check(read(unread, &value, 8) == 8 && value == 1, "the unread expiration: %llu", (unsigned long long)value);
    check(read(unread, &value, 8) < 0 && errno == EAGAIN, "it expired once more");
    check(read(ticking, &value, 8) == 8 && value >= 4, "%llu ticks in %lld ms", (unsigned long long)value,
          (long long)(passed / 1000000));
    check((int64_t)value <= passed / (S / 100) + 2, "%llu ticks in %lld ms", (unsigned long long)value,
          (long long)(passed / 1000000));
    check(read(ticking, &value, 8) == 8, "it does not tick any more");
    same("close-on-exec", fcntl(relative, F_GETFD), FD_CLOEXEC);
    same("flags", fcntl(idle, F_GETFL), O_RDWR | O_NONBLOCK);
    finish();
}
