/*
 * blocked.c - a thread that is blocked in a system call goes on waiting, and returns what it would have returned.
 *
 * Nothing but the wake-up may end the call: not the checkpoint, and not the kernel's habit of ending some calls with EINTR
 * when a process is stopped (epoll_wait, sigtimedwait, reads of inotify, sockets with a time limit).
 *
 * Cases: read readv write poll ppoll select pselect epoll_wait epoll_pwait futex futex_relative futex_absolute
 * Cases: futex_lock_pi nanosleep clock_nanosleep clock_nanosleep_absolute sigsuspend pause sigwaitinfo sigtimedwait wait4 waitid
 * Cases: accept recvfrom recvmsg recv_timeout send flock setlkw ofd_setlkw eventfd timerfd signalfd inotify fifo_open
 */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "victim.h"

static int fds[2] = {-1, -1}, fd = -1;
static uint32_t word;
static pid_t child;
static struct timespec left;
static pthread_t thread;
static _Atomic pid_t tid;
static _Atomic int handled;
static const struct timespec hour = {.tv_sec = 3600};
static char buffer[65536];

static void on_signal(int signo)
{
    handled += signo == SIGUSR1;
}

static void handle(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    need(sigaction(SIGUSR1, &action, NULL) == 0);
}

/* ---- set up, the blocking call (result or -errno), the wake-up ---- */

static long result_of(long value)
{
    return value < 0 ? -errno : value;
}

static void make_pipe(void)
{
    need(pipe(fds) == 0);
}

static void wake_by_byte(void)
{
    check(write(fds[1], "x", 1) == 1, "write: %s", strerror(errno));
}

static void wake_by_signal(void)
{
    pthread_kill(thread, SIGUSR1);
}

static long do_read(void)
{
    return result_of(read(fds[0], buffer, sizeof buffer));
}

static long do_readv(void)
{
    struct iovec v[2] = {{buffer, 10}, {buffer + 100, 10}};
    return result_of(readv(fds[0], v, 2));
}

static void fill_pipe(void)
{
    make_pipe();
    need(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
    while (write(fds[1], buffer, PAGE) > 0)
        ;
    need(fcntl(fds[1], F_SETFL, 0) == 0);
}

static long do_write(void)
{
    return result_of(write(fds[1], buffer, 3000));
}

static void drain_pipe(void)
{
    check(read(fds[0], buffer, sizeof buffer) == sizeof buffer, "a full pipe holds less than it did");
}

static long do_poll(void)
{
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    long n = result_of(poll(&p, 1, 3600 * 1000));
    return n == 1 ? p.revents : n;
}

static long do_ppoll(void)
{
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    sigset_t none;
    sigemptyset(&none);
    long n = result_of(ppoll(&p, 1, NULL, &none));
    return n == 1 ? p.revents : n;
}

static long do_select(void)
{
    struct timeval limit = {.tv_sec = 3600};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fds[0], &set);
    return result_of(syscall(SYS_select, fds[0] + 1, &set, NULL, NULL, &limit)) + (FD_ISSET(fds[0], &set) ? 10 : 0);
}

static long do_pselect(void)
{
    fd_set set;
    sigset_t none;
    sigemptyset(&none);
    FD_ZERO(&set);
    FD_SET(fds[0], &set);
    return result_of(pselect(fds[0] + 1, &set, NULL, NULL, NULL, &none));
}

static void make_epoll(void)
{
    make_pipe();
    need((fd = epoll_create1(0)) >= 0);
    need(epoll_ctl(fd, EPOLL_CTL_ADD, fds[0], &(struct epoll_event){.events = EPOLLIN, .data.u64 = 77}) == 0);
}

static long do_epoll_wait(void)
{
    struct epoll_event e = {0};
    long n = result_of(syscall(SYS_epoll_wait, fd, &e, 1, -1));
    return n == 1 ? (long)e.data.u64 : n;
}

static long do_epoll_pwait(void)
{
    struct epoll_event e = {0};
    sigset_t none;
    sigemptyset(&none);
    long n = result_of(epoll_pwait(fd, &e, 1, 3600 * 1000, &none));
    return n == 1 ? (long)e.data.u64 : n;
}

static long futex(int operation, const struct timespec *limit)
{
    return result_of(syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, 0, limit, NULL, FUTEX_BITSET_MATCH_ANY));
}

static long do_futex(void)
{
    return futex(FUTEX_WAIT, NULL);
}

static long do_futex_relative(void)
{
    return futex(FUTEX_WAIT, &hour);
}

static long do_futex_absolute(void)
{
    struct timespec limit = to_timespec(now_ns(CLOCK_REALTIME) + 3600LL * 1000000000);
    return futex(FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, &limit);
}

static void wake_futex(void)
{
    check(futex(FUTEX_WAKE, NULL) >= 0, "futex: %s", strerror(errno));
}

static void own_pi_futex(void)
{
    word = (uint32_t)gettid();
}

static long do_futex_lock_pi(void)
{
    long result = futex(FUTEX_LOCK_PI, NULL);
    return result == 0 ? (long)((word & FUTEX_TID_MASK) == (uint32_t)tid) : result;
}

static void unlock_pi(void)
{
    check(futex(FUTEX_UNLOCK_PI, NULL) == 0, "unlock: %s", strerror(errno));
}

static long rest_is_right(long result)
{
    check(left.tv_sec >= 3590 && left.tv_sec < 3600, "%ld s are left of an hour", (long)left.tv_sec);
    return result;
}

static long do_nanosleep(void)
{
    return rest_is_right(result_of(syscall(SYS_nanosleep, &hour, &left)));
}

static long do_clock_nanosleep(void)
{
    return rest_is_right(result_of(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &hour, &left)));
}

static long do_clock_nanosleep_absolute(void)
{
    struct timespec end = to_timespec(now_ns(CLOCK_MONOTONIC) + 3600LL * 1000000000);
    return result_of(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL));
}

static void block_usr1(void)
{
    sigset_t set;
    handle();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    need(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static long do_sigsuspend(void)
{
    sigset_t none, now;
    sigemptyset(&none);
    long result = result_of(sigsuspend(&none));
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    check(sigismember(&now, SIGUSR1) == 1, "the mask did not come back after sigsuspend()");
    return result;
}

static long do_pause(void)
{
    return result_of(pause());
}

static long do_sigwaitinfo(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return result_of(sigwaitinfo(&set, NULL));
}

static long do_sigtimedwait(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return result_of(sigtimedwait(&set, NULL, &hour));
}

static void make_child(void)
{
    if ((child = fork_child()) == 0)
        for (;;)
            pause();
}

static long do_wait4(void)
{
    int status = 0;
    long result = result_of(waitpid(-1, &status, 0));
    return result == child ? status : result;
}

static long do_waitid(void)
{
    siginfo_t info = {0};
    long result = result_of(waitid(P_PID, (id_t)child, &info, WEXITED));
    return result == 0 && info.si_pid == child ? info.si_status : result;
}

static void kill_child(void)
{
    kill(child, SIGTERM);
}

static struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};

static void make_listener(void)
{
    need((fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    need(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 5) == 0);
}

static long do_accept(void)
{
    return result_of(accept(fd, NULL, NULL)) >= 0;
}

static void connect_to_it(void)
{
    int other = socket(AF_UNIX, SOCK_STREAM, 0);
    check(connect(other, (struct sockaddr *)&address, sizeof address) == 0, "connect: %s", strerror(errno));
}

static void make_sockets(void)
{
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
}

static void make_sockets_with_limit(void)
{
    struct timeval limit = {.tv_sec = 3600};
    make_sockets();
    need(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
}

static long do_recvfrom(void)
{
    return result_of(recvfrom(fds[0], buffer, 10, 0, NULL, NULL));
}

static long do_recvmsg(void)
{
    struct iovec v = {buffer, 10};
    struct msghdr message = {.msg_iov = &v, .msg_iovlen = 1};
    return result_of(recvmsg(fds[0], &message, 0));
}

static size_t in_flight;

static void fill_socket(void)
{
    ssize_t n;
    make_sockets();
    while ((n = send(fds[1], buffer, PAGE, MSG_DONTWAIT)) > 0)
        in_flight += (size_t)n;
}

static long do_send(void)
{
    return result_of(send(fds[1], buffer, 2000, 0));
}

static void drain_socket(void)
{
    while (in_flight > 0) {
        ssize_t n = recv(fds[0], buffer, in_flight < PAGE ? in_flight : PAGE, 0);
        check(n > 0, "recv: %s", strerror(errno));
        in_flight -= n > 0 ? (size_t)n : in_flight;
    }
}

static void take_flock(void)
{
    write_file("lock", "x", 1);
    need((fd = open("lock", O_RDWR)) >= 0 && flock(fd, LOCK_EX) == 0);
    need((fds[0] = open("lock", O_RDWR)) >= 0);
}

static long do_flock(void)
{
    return result_of(flock(fds[0], LOCK_EX));
}

static void release_flock(void)
{
    check(flock(fd, LOCK_UN) == 0, "flock: %s", strerror(errno));
}

static void child_locks(void)
{
    write_file("lock", "x", 1);
    if ((child = fork_child()) == 0) {
        struct flock lock = {.l_type = F_WRLCK};
        need((fd = open("lock", O_RDWR)) >= 0 && fcntl(fd, F_SETLK, &lock) == 0);
        mark("locked");
        for (;;)
            pause();
    }
    await_mark("locked");
    need((fd = open("lock", O_RDWR)) >= 0);
}

static long do_setlkw(void)
{
    struct flock lock = {.l_type = F_WRLCK};
    return result_of(fcntl(fd, F_SETLKW, &lock));
}

static long do_ofd_setlkw(void)
{
    struct flock lock = {.l_type = F_WRLCK};
    return result_of(fcntl(fd, F_OFD_SETLKW, &lock));
}

static void make_eventfd(void)
{
    need((fds[0] = fds[1] = eventfd(0, 0)) >= 0);
}

static void wake_eventfd(void)
{
    check(write(fds[1], &(uint64_t){5}, 8) == 8, "write: %s", strerror(errno));
}

static void make_timerfd(void)
{
    struct itimerspec far = {.it_value = hour};
    need((fds[0] = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0 && timerfd_settime(fds[0], 0, &far, NULL) == 0);
}

static void wake_timerfd(void)
{
    struct itimerspec soon = {.it_value.tv_nsec = 1};
    check(timerfd_settime(fds[0], 0, &soon, NULL) == 0, "timerfd_settime: %s", strerror(errno));
}

static void make_signalfd(void)
{
    sigset_t set;
    block_usr1();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    need((fds[0] = signalfd(-1, &set, 0)) >= 0);
}

static void make_inotify(void)
{
    need((fds[0] = inotify_init()) >= 0);
    write_file("watched", "x", 1);
    need(inotify_add_watch(fds[0], "watched", IN_ATTRIB) == 1);
}

static long do_read_inotify(void)
{
    struct inotify_event *event = (struct inotify_event *)buffer;
    long n = result_of(read(fds[0], buffer, sizeof buffer));
    return n == sizeof *event ? event->wd * 100 + (event->mask == IN_ATTRIB) : n;
}

static void wake_inotify(void)
{
    check(chmod("watched", 0600) == 0, "chmod: %s", strerror(errno));
}

static void make_fifo(void)
{
    need(mkfifo("fifo", 0600) == 0);
}

static long do_fifo_open(void)
{
    return result_of(open("fifo", O_RDONLY)) >= 0;
}

static void open_fifo(void)
{
    check(open("fifo", O_WRONLY) >= 0, "open: %s", strerror(errno));
}

static const struct call {
    const char *name;
    long number;
    void (*prepare)(void);
    long (*block)(void);
    void (*wake)(void);
    long expected;
    int handlers; /* runs of the signal handler */
    bool early;   /* it may return before: what is in flight may take less room than it did */
} calls[] = {
    {"read", SYS_read, make_pipe, do_read, wake_by_byte, 1, 0, false},
    {"readv", SYS_readv, make_pipe, do_readv, wake_by_byte, 1, 0, false},
    {"write", SYS_write, fill_pipe, do_write, drain_pipe, 3000, 0, false},
    {"poll", SYS_poll, make_pipe, do_poll, wake_by_byte, POLLIN, 0, false},
    {"ppoll", SYS_ppoll, make_pipe, do_ppoll, wake_by_byte, POLLIN, 0, false},
    {"select", SYS_select, make_pipe, do_select, wake_by_byte, 11, 0, false},
    {"pselect", SYS_pselect6, make_pipe, do_pselect, wake_by_byte, 1, 0, false},
    {"epoll_wait", SYS_epoll_wait, make_epoll, do_epoll_wait, wake_by_byte, 77, 0, false},
    {"epoll_pwait", SYS_epoll_pwait, make_epoll, do_epoll_pwait, wake_by_byte, 77, 0, false},
    {"futex", SYS_futex, NULL, do_futex, wake_futex, 0, 0, false},
    {"futex_relative", SYS_futex, NULL, do_futex_relative, wake_futex, 0, 0, false},
    {"futex_absolute", SYS_futex, NULL, do_futex_absolute, wake_futex, 0, 0, false},
    {"futex_lock_pi", SYS_futex, own_pi_futex, do_futex_lock_pi, unlock_pi, 1, 0, false},
    {"nanosleep", SYS_nanosleep, handle, do_nanosleep, wake_by_signal, -EINTR, 1, false},
    {"clock_nanosleep", SYS_clock_nanosleep, handle, do_clock_nanosleep, wake_by_signal, -EINTR, 1, false},
    {"clock_nanosleep_absolute", SYS_clock_nanosleep, handle, do_clock_nanosleep_absolute, wake_by_signal, -EINTR, 1,
     false},
    {"sigsuspend", SYS_rt_sigsuspend, block_usr1, do_sigsuspend, wake_by_signal, -EINTR, 1, false},
    {"pause", SYS_pause, handle, do_pause, wake_by_signal, -EINTR, 1, false},
    {"sigwaitinfo", SYS_rt_sigtimedwait, block_usr1, do_sigwaitinfo, wake_by_signal, SIGUSR1, 0, false},
    {"sigtimedwait", SYS_rt_sigtimedwait, block_usr1, do_sigtimedwait, wake_by_signal, SIGUSR1, 0, false},
    {"wait4", SYS_wait4, make_child, do_wait4, kill_child, SIGTERM, 0, false},
    {"waitid", SYS_waitid, make_child, do_waitid, kill_child, SIGTERM, 0, false},
    {"accept", SYS_accept, make_listener, do_accept, connect_to_it, 1, 0, false},
    {"recvfrom", SYS_recvfrom, make_sockets, do_recvfrom, wake_by_byte, 1, 0, false},
    {"recvmsg", SYS_recvmsg, make_sockets, do_recvmsg, wake_by_byte, 1, 0, false},
    {"recv_timeout", SYS_recvfrom, make_sockets_with_limit, do_recvfrom, wake_by_byte, 1, 0, false},
    {"send", SYS_sendto, fill_socket, do_send, drain_socket, 2000, 0, true},
    {"flock", SYS_flock, take_flock, do_flock, release_flock, 0, 0, false},
    {"setlkw", SYS_fcntl, child_locks, do_setlkw, kill_child, 0, 0, false},
    {"ofd_setlkw", SYS_fcntl, child_locks, do_ofd_setlkw, kill_child, 0, 0, false},
    {"eventfd", SYS_read, make_eventfd, do_read, wake_eventfd, 8, 0, false},
    {"timerfd", SYS_read, make_timerfd, do_read, wake_timerfd, 8, 0, false},
    {"signalfd", SYS_read, make_signalfd, do_read, wake_by_signal, sizeof(struct signalfd_siginfo), 0, false},
    {"inotify", SYS_read, make_inotify, do_read_inotify, wake_inotify, 101, 0, false},
    {"fifo_open", SYS_openat, make_fifo, do_fifo_open, open_fifo, 1, 0, false},
};

static const struct call *call;
static _Atomic bool returned;
static long result;

static void *block(void *unused)
{
    tid = gettid();
    result = call->block();
    returned = true;
    return unused;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (is_case(argc, argv, calls[i].name))
            call = &calls[i];
    need(call);
    if (call->prepare)
        call->prepare();
    need(pthread_create(&thread, NULL, block, NULL) == 0);
    while (!tid)
        victim_nap();
    need(await_blocked(tid, call->number));
    ready();
    wait_go();
    check(returned || await_blocked(tid, call->number), "the thread is in call %ld, not %ld", blocked_call(tid),
          call->number);
    check(!returned || call->early, "%s returned %ld (%s) before it was woken", call->name, result,
          strerror((int)-result));
    call->wake();
    pthread_join(thread, NULL);
    check(result == call->expected, "%s returned %ld (%s), not %ld", call->name, result,
          result < 0 ? strerror((int)-result) : "no error", call->expected);
    same("runs of the handler", handled, call->handlers);
    finish();
}
