/* eventfd, timerfd, signalfd. */
#include "descriptors/kinds.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000u

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif
#ifndef TFD_TIMER_CANCEL_ON_SET
#define TFD_TIMER_CANCEL_ON_SET (1 << 1)
#endif

/* ---- eventfd. State: count, semaphore ---- */

bool eventfd_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    (void)capture;
    return seen->info.has_eventfd;
}

int eventfd_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    auto_buffer state = {0};

    (void)fd;
    if (seen->info.eventfd_semaphore < 0)
        capture_log(
            capture, CAESURA_LOG_WARNING,
            "process %d, descriptor %d: this kernel does not tell whether an eventfd is a semaphore; taken as none",
            seen_pid(capture, seen), seen->fd);
    buffer_u64(&state, seen->info.eventfd_count);
    buffer_u32(&state, seen->info.eventfd_semaphore > 0);
    return state_set(seen_record(capture, seen), &state, err);
}

int eventfd_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    uint64_t count = reader_u64(&state);
    bool semaphore = reader_u32(&state);

    if (state.failed || count == UINT64_MAX)
        return state_corrupt(description, err);
    int fd = eventfd(0, EFD_CLOEXEC | (semaphore ? EFD_SEMAPHORE : 0));
    if (fd < 0 || (count && write(fd, &count, sizeof count) != sizeof count)) {
        int saved = errno;
        cleanup_fd(&fd);
        return error_errno(err, saved, "cannot make an eventfd");
    }
    return restore_take(restore, description->id, fd, err);
}

/* ---- timerfd. State: clock, flags of settime, ticks, value, interval, deadline ---- */

bool timerfd_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    (void)capture;
    return seen->info.has_timer;
}

static uint64_t to_ns(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
}

static struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

int timerfd_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    struct description *record = seen_record(capture, seen);
    const struct fdinfo *info = &seen->info;
    struct itimerspec now;
    struct timespec clock;
    uint64_t deadline = 0;
    auto_buffer state = {0};

    /* A periodic timer that has run out is set again by the next read, or by this; fdinfo shows no time left till then. */
    if (timerfd_gettime(fd, &now))
        return error_errno(err, errno, "cannot read a timer");
    uint64_t ticks = info->timer_ticks;
    uint64_t value = to_ns(&now.it_value);
    if (info->timer_interval_ns && !info->timer_value_ns) {
        /* The ticks that were made up for by timerfd_gettime(). */
        struct fdinfo again;
        char path[64], text[4096];
        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
        auto_fd file = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t size = file < 0 ? -1 : read(file, text, sizeof text - 1);
        if (size < 0)
            return error_errno(err, errno, "cannot read a timer");
        text[size] = 0;
        int rc = fdinfo_parse(text, &again, err);
        if (!rc)
            ticks = again.timer_ticks;
        fdinfo_free(&again);
        if (rc)
            return rc;
    }
    /* Only the real-time clock means the same time of day everywhere and after a restart. */
    bool wall = info->timer_clock == CLOCK_REALTIME || info->timer_clock == CLOCK_REALTIME_ALARM;
    if (wall && (info->timer_flags & TFD_TIMER_ABSTIME) && value && !clock_gettime(CLOCK_REALTIME, &clock))
        deadline = to_ns(&clock) + value;
    buffer_u32(&state, (uint32_t)info->timer_clock);
    buffer_u32(&state, info->timer_flags);
    buffer_u64(&state, ticks);
    buffer_u64(&state, value);
    buffer_u64(&state, info->timer_interval_ns);
    buffer_u64(&state, deadline);
    return state_set(record, &state, err);
}

static int timer_set(int fd, uint32_t flags, int clock, uint64_t value, uint64_t interval, uint64_t deadline)
{
    struct itimerspec spec = {.it_value = to_timespec(value), .it_interval = to_timespec(interval)};
    struct timespec now;

    flags &= TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    if (flags & TFD_TIMER_ABSTIME && value) {
        if (!deadline) {
            if (clock_gettime(clock, &now))
                return -errno;
            deadline = to_ns(&now) + value;
        }
        spec.it_value = to_timespec(deadline);
    }
    return timerfd_settime(fd, (int)flags, &spec, NULL) ? -errno : 0;
}

/* Unread expirations. Without the ioctl (CONFIG_CHECKPOINT_RESTORE) at least that there are some. */
static int timer_set_ticks(int fd, uint64_t ticks)
{
    struct itimerspec at_once = {.it_value = {.tv_nsec = 1}};

    if (!ioctl(fd, TFD_IOC_SET_TICKS, &ticks))
        return 0;
    return timerfd_settime(fd, 0, &at_once, NULL) ? -errno : 0;
}

int timerfd_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    int clock = (int)reader_u32(&state);
    uint32_t flags = reader_u32(&state);
    uint64_t ticks = reader_u64(&state), value = reader_u64(&state), interval = reader_u64(&state);
    uint64_t deadline = reader_u64(&state);

    if (state.failed)
        return state_corrupt(description, err);
    auto_fd fd = timerfd_create(clock, TFD_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot make a timer of clock %d", clock);
    int rc = timer_set(fd, flags, clock, value, interval, deadline);
    if (!rc && ticks)
        rc = timer_set_ticks(fd, ticks);
    if (rc)
        return error_errno(err, -rc, "cannot set a timer of clock %d", clock);
    return restore_take(restore, description->id, fd_release(&fd), err);
}

/* ---- signalfd. State: mask ---- */

bool signalfd_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    (void)capture;
    return seen->info.has_sigmask;
}

int signalfd_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    auto_buffer state = {0};

    (void)fd;
    buffer_u64(&state, seen->info.sigmask);
    return state_set(seen_record(capture, seen), &state, err);
}

int signalfd_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    uint64_t mask = reader_u64(&state);

    if (state.failed)
        return state_corrupt(description, err);
    /* Not the C library's function, whose set of signals may lack some that the library keeps to itself. */
    int fd = (int)syscall(SYS_signalfd4, -1, &mask, sizeof mask, O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot make a signalfd");
    return restore_take(restore, description->id, fd, err);
}
