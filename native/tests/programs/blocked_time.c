/*
 * blocked_time.c - calls with a time limit end when their time is over: not earlier, and not as if they had begun anew.
 *
 * Each thread sleeps for LIMIT in another call, and is ready when the first WAITED of it are over. While it was away the
 * time of the program need not go on, so the main thread counts as away what its own short naps took too long.
 * Driver: modes=continue,restart
 */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "victim.h"

#define MS 1000000LL
static const int64_t LIMIT = 2000 * MS, WAITED = 1000 * MS, SLACK = 600 * MS;

static int in, epoll_fd, sockets[2];
static uint32_t word;
static struct timespec limit;

static long do_nanosleep(void)
{
    return syscall(SYS_nanosleep, &limit, NULL);
}

static long do_clock_nanosleep(void)
{
    return syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &limit, NULL);
}

static long do_clock_nanosleep_absolute(void)
{
    struct timespec end = to_timespec(now_ns(CLOCK_MONOTONIC) + LIMIT);
    return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
}

static long do_poll(void)
{
    struct pollfd p = {.fd = in, .events = POLLIN};
    return syscall(SYS_poll, &p, 1, LIMIT / MS);
}

static long do_ppoll(void)
{
    struct pollfd p = {.fd = in, .events = POLLIN};
    struct timespec copy = limit;
    return syscall(SYS_ppoll, &p, 1, &copy, NULL, 8);
}

static long do_select(void)
{
    struct timeval time = {.tv_sec = LIMIT / (1000 * MS), .tv_usec = LIMIT % (1000 * MS) / 1000};
    return syscall(SYS_select, 0, NULL, NULL, NULL, &time);
}

static long do_pselect(void)
{
    struct timespec copy = limit;
    return syscall(SYS_pselect6, 0, NULL, NULL, NULL, &copy, NULL);
}

static long do_epoll_wait(void)
{
    struct epoll_event event;
    return syscall(SYS_epoll_wait, epoll_fd, &event, 1, LIMIT / MS);
}

static long do_futex(void)
{
    return syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &limit, NULL, 0);
}

static long do_sigtimedwait(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return sigtimedwait(&set, NULL, &limit);
}

static long do_recv(void)
{
    char byte;
    return recv(sockets[0], &byte, 1, 0);
}

static struct sleeper {
    const char *name;
    long number;
    long (*call)(void);
    int error; /* 0: the call returns 0 */
    pthread_t thread;
    _Atomic pid_t tid;
    _Atomic bool done;
    int64_t start, end;
    long result;
    int result_errno;
} sleepers[] = {
    {.name = "nanosleep", .number = SYS_nanosleep, .call = do_nanosleep},
    {.name = "clock_nanosleep", .number = SYS_clock_nanosleep, .call = do_clock_nanosleep},
    {.name = "clock_nanosleep absolute", .number = SYS_clock_nanosleep, .call = do_clock_nanosleep_absolute},
    {.name = "poll", .number = SYS_poll, .call = do_poll},
    {.name = "ppoll", .number = SYS_ppoll, .call = do_ppoll},
    {.name = "select", .number = SYS_select, .call = do_select},
    {.name = "pselect", .number = SYS_pselect6, .call = do_pselect},
    {.name = "epoll_wait", .number = SYS_epoll_wait, .call = do_epoll_wait},
    {.name = "futex", .number = SYS_futex, .call = do_futex, .error = ETIMEDOUT},
    {.name = "sigtimedwait", .number = SYS_rt_sigtimedwait, .call = do_sigtimedwait, .error = EAGAIN},
    {.name = "recv with SO_RCVTIMEO", .number = SYS_recvfrom, .call = do_recv, .error = EAGAIN},
};

enum { N = sizeof sleepers / sizeof *sleepers };

static _Atomic int64_t away;

static void *sleep_in_call(void *argument)
{
    struct sleeper *me = argument;
    me->start = now_ns(CLOCK_MONOTONIC);
    me->tid = gettid();
    me->result = me->call();
    me->result_errno = errno;
    me->end = now_ns(CLOCK_MONOTONIC);
    me->done = true;
    return NULL;
}

/* Naps until something holds; what a nap takes beyond 20 ms was time away. */
static void nap_until(bool (*over)(void *), void *data)
{
    static int64_t before;
    while (!over(data)) {
        if (!before)
            before = now_ns(CLOCK_MONOTONIC);
        victim_nap();
        int64_t after = now_ns(CLOCK_MONOTONIC);
        if (after - before > 20 * MS)
            away += after - before;
        before = after;
    }
}

static bool has_waited(void *begin)
{
    return now_ns(CLOCK_MONOTONIC) - *(int64_t *)begin >= WAITED;
}

static bool gone(void *unused)
{
    (void)unused;
    return go();
}

static bool is_done(void *sleeper)
{
    return ((struct sleeper *)sleeper)->done;
}

/*
 * Of these the kernel tells nobody how much time is left: an interrupted one begins anew (docs/limits.md), which makes it
 * late by what it had waited, and no more.
 */
static bool begins_anew(long number)
{
    switch (number) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_rt_sigtimedwait:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_poll:
    case SYS_futex:
    case SYS_nanosleep: /* here without a place for the rest; only after a restart */
    case SYS_clock_nanosleep:
        return true;
    default:
        return false;
    }
}

int main(void)
{
    int fds[2];
    sigset_t set;
    limit = to_timespec(LIMIT);
    need(pipe(fds) == 0);
    in = fds[0];
    need((epoll_fd = epoll_create1(0)) >= 0);
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    struct timeval receive = {.tv_sec = LIMIT / (1000 * MS), .tv_usec = LIMIT % (1000 * MS) / 1000};
    need(setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &receive, sizeof receive) == 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < N; i++)
        need(pthread_create(&sleepers[i].thread, NULL, sleep_in_call, &sleepers[i]) == 0);
    for (int i = 0; i < N; i++) {
        while (!sleepers[i].tid)
            victim_nap();
        need(await_blocked(sleepers[i].tid, sleepers[i].number));
    }
    int64_t begin = now_ns(CLOCK_MONOTONIC);
    nap_until(has_waited, &begin);
    ready();
    nap_until(gone, NULL);
    for (int i = 0; i < N; i++) {
        nap_until(is_done, &sleepers[i]);
        pthread_join(sleepers[i].thread, NULL);
    }
    for (int i = 0; i < N; i++) {
        const struct sleeper *s = &sleepers[i];
        int64_t took = s->end - s->start, active = took - away;
        check(s->error ? s->result == -1 && s->result_errno == s->error : s->result == 0, "%s returned %ld (%s)",
              s->name, s->result, strerror(s->result_errno));
        check(took >= LIMIT, "%s ended %lld ms early", s->name, (long long)((LIMIT - took) / MS));
        check(active <= LIMIT + (begins_anew(s->number) ? WAITED : 0) + SLACK, "%s ended %lld ms late", s->name,
              (long long)((active - LIMIT) / MS));
    }
    finish();
}
