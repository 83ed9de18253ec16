/* test_events.c - events, locks, owners, and files of the kernel about processes, through checkpoint and restart. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/lib_scene.h"

#define FD(i) (stage->fd[i])

static int elsewhere(int (*call)(void))
{
    int status;
    pid_t pid = fork();
    if (!pid)
        _exit(call() ? errno : 0);
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

/* ---- events ---- */

static void events_make(struct stage *s)
{
    sigset_t set;
    struct itimerspec once = {.it_value = {.tv_sec = 100}}, soon = {.it_value = {.tv_nsec = 1000000}},
                      often = {.it_value = {.tv_nsec = 1000000}, .it_interval = {.tv_nsec = 1000000}}, day = {0};

    (void)s;
    FD(0) = eventfd(7, 0);
    FD(1) = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
    FD(2) = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    MUST(!timerfd_settime(FD(2), 0, &once, NULL));
    FD(3) = timerfd_create(CLOCK_MONOTONIC, 0);
    MUST(!timerfd_settime(FD(3), 0, &soon, NULL));
    FD(4) = timerfd_create(CLOCK_BOOTTIME, 0);
    MUST(!timerfd_settime(FD(4), 0, &often, NULL));
    FD(5) = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
    clock_gettime(CLOCK_REALTIME, &day.it_value);
    day.it_value.tv_sec += 1000;
    MUST(!timerfd_settime(FD(5), TFD_TIMER_ABSTIME, &day, NULL));
    FD(6) = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 3);
    FD(7) = signalfd(-1, &set, SFD_NONBLOCK);
    usleep(30000);
}

static const char *events_verify(struct stage *s, int index)
{
    uint64_t count;
    struct itimerspec left;
    sigset_t set;
    struct signalfd_siginfo info;

    (void)s;
    (void)index;
    CHECK(read(FD(0), &count, 8) == 8 && count == 7);
    for (int i = 0; i < 3; i++)
        CHECK(read(FD(1), &count, 8) == 8 && count == 1);
    CHECK(read(FD(1), &count, 8) < 0 && errno == EAGAIN);
    CHECK(!timerfd_gettime(FD(2), &left) && left.it_value.tv_sec >= 90 && left.it_value.tv_sec < 100);
    CHECK(read(FD(2), &count, 8) < 0 && errno == EAGAIN);
    CHECK(read(FD(3), &count, 8) == 8 && count == 1);
    CHECK(read(FD(4), &count, 8) == 8 && count >= 30);
    CHECK(read(FD(4), &count, 8) == 8 && count >= 1);
    CHECK(!timerfd_gettime(FD(4), &left) && left.it_interval.tv_nsec == 1000000);
    CHECK(!timerfd_gettime(FD(5), &left) && left.it_value.tv_sec >= 990 && left.it_value.tv_sec < 1000);
    CHECK(!timerfd_gettime(FD(6), &left) && !left.it_value.tv_sec && !left.it_value.tv_nsec);
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    CHECK(read(FD(7), &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1);
    kill(getpid(), SIGUSR2);
    CHECK(read(FD(7), &info, sizeof info) < 0 && errno == EAGAIN);
    kill(getpid(), SIGRTMIN + 3);
    CHECK(read(FD(7), &info, sizeof info) == sizeof info && (int)info.ssi_signo == SIGRTMIN + 3);
    return NULL;
}

static void test_events(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = events_make, .verify = events_verify});
}

static void add(int set, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    MUST(!epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
}

static void epoll_make(struct stage *s)
{
    struct epoll_event event;

    (void)s;
    FD(0) = epoll_create1(EPOLL_CLOEXEC);
    FD(1) = eventfd(1, 0);
    add(FD(0), FD(1), EPOLLIN, 0x1122334455667788u);
    FD(2) = eventfd(0, 0);
    add(FD(0), FD(2), EPOLLIN | EPOLLET, 2);
    /* Added at a number that has been closed since; the description lives on at another, and the number is used again. */
    int old = eventfd(5, 0);
    add(FD(0), old, EPOLLIN, 3);
    FD(3) = dup(old);
    close(old);
    FD(4) = open("/dev/null", O_RDONLY);
    MUST(FD(4) == old);
    FD(5) = eventfd(1, 0);
    add(FD(0), FD(5), EPOLLIN | EPOLLONESHOT, 4);
    for (int i = 0; i < 6; i++)
        MUST(epoll_wait(FD(0), &event, 1, 0) == 1);
    FD(6) = epoll_create1(0);
    add(FD(6), FD(0), EPOLLIN, 5);
    /* The same number twice, for two descriptions. */
    FD(7) = epoll_create1(0);
    FD(8) = eventfd(1, 0);
    int twice = dup(FD(8));
    add(FD(7), twice, EPOLLIN, 8);
    close(twice);
    FD(9) = eventfd(1, 0);
    MUST(dup2(FD(9), twice) == twice);
    add(FD(7), twice, EPOLLIN, 9);
    FD(10) = twice;
}

static bool waits_for(int set, const uint64_t *wanted, int count)
{
    struct epoll_event events[16];
    int got = epoll_wait(set, events, 16, 0);
    uint64_t seen = 0;

    for (int i = 0; i < got; i++)
        for (int k = 0; k < count; k++)
            if (events[i].data.u64 == wanted[k])
                seen |= 1u << k;
    return got == count && seen == (1u << count) - 1;
}

static const char *epoll_verify(struct stage *s, int index)
{
    uint64_t one = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 33};

    (void)s;
    (void)index;
    CHECK(fcntl(FD(0), F_GETFD) == FD_CLOEXEC);
    CHECK(waits_for(FD(6), (uint64_t[]){5}, 1));
    CHECK(waits_for(FD(0), (uint64_t[]){0x1122334455667788u, 3}, 2));
    CHECK(write(FD(2), &one, 8) == 8);
    CHECK(waits_for(FD(0), (uint64_t[]){0x1122334455667788u, 2, 3}, 3));
    CHECK(waits_for(FD(0), (uint64_t[]){0x1122334455667788u, 3}, 2));
    /* The kernel finds items by number: changing and removing must work as before. */
    CHECK(!epoll_ctl(FD(0), EPOLL_CTL_MOD, FD(1), &event) && waits_for(FD(0), (uint64_t[]){33, 3}, 2));
    CHECK(epoll_ctl(FD(0), EPOLL_CTL_DEL, FD(4), NULL) < 0);
    event.data.u64 = 44;
    CHECK(!epoll_ctl(FD(0), EPOLL_CTL_MOD, FD(5), &event) && waits_for(FD(0), (uint64_t[]){33, 44, 3}, 3));
    CHECK(waits_for(FD(7), (uint64_t[]){8, 9}, 2));
    CHECK(!epoll_ctl(FD(7), EPOLL_CTL_DEL, FD(10), NULL) && waits_for(FD(7), (uint64_t[]){8}, 1));
    return NULL;
}

static void test_epoll(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = epoll_make, .verify = epoll_verify});
}

static void inotify_make(struct stage *s)
{
    (void)s;
    MUST(!mkdir("watched", 0755) && !mkdir("other", 0755));
    FD(0) = inotify_init1(IN_NONBLOCK);
    int first = inotify_add_watch(FD(0), "other", IN_CREATE);
    stage->number[0] = inotify_add_watch(FD(0), "watched", IN_CREATE | IN_DELETE);
    stage->number[1] = inotify_add_watch(FD(0), ".", IN_ATTRIB | IN_ONESHOT);
    char events[1024];
    MUST(!inotify_rm_watch(FD(0), first) && read(FD(0), events, sizeof events) > 0);
    FD(1) = inotify_init1(IN_CLOEXEC);
}

static const char *inotify_verify(struct stage *s, int index)
{
    char events[1024] __attribute__((aligned(8)));
    const struct inotify_event *event = (struct inotify_event *)events;

    (void)s;
    (void)index;
    CHECK(read(FD(0), events, sizeof events) < 0 && errno == EAGAIN);
    CHECK(!close(open("watched/new", O_CREAT | O_WRONLY, 0644)));
    CHECK(read(FD(0), events, sizeof events) > 0);
    CHECK(event->wd == stage->number[0] && event->mask == IN_CREATE && !strcmp(event->name, "new"));
    CHECK(!chmod("watched", 0700) && read(FD(0), events, sizeof events) > 0 && event->wd == stage->number[1]);
    CHECK(fcntl(FD(1), F_GETFD) == FD_CLOEXEC);
    return NULL;
}

static void test_inotify(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = inotify_make, .verify = inotify_verify});
}

/* ---- locks, owners ---- */

static void locks_make(struct stage *s)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};

    (void)s;
    FD(0) = open("flock", O_RDWR | O_CREAT, 0644);
    FD(1) = open("posix", O_RDWR | O_CREAT, 0644);
    FD(2) = open("ofd", O_RDWR | O_CREAT, 0644);
    FD(3) = open("posix", O_RDONLY);
    MUST(!flock(FD(0), LOCK_EX) && !fcntl(FD(1), F_SETLK, &lock));
    lock.l_start = 100;
    lock.l_len = 0;
    lock.l_type = F_RDLCK;
    MUST(!fcntl(FD(3), F_SETLK, &lock) && !fcntl(FD(2), F_OFD_SETLK, &lock));
    if (!scene_fork())
        scene_stop();
}

static int try_flock(void)
{
    return flock(open("flock", O_RDWR), LOCK_SH | LOCK_NB);
}

static int try_posix(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 14, .l_len = 1};
    return fcntl(open("posix", O_RDWR), F_SETLK, &lock);
}

static int try_posix_before(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 15, .l_len = 85};
    return fcntl(open("posix", O_RDWR), F_SETLK, &lock);
}

static int try_posix_end(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100000, .l_len = 1};
    return fcntl(open("posix", O_RDWR), F_SETLK, &lock);
}

static int try_posix_read(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100000, .l_len = 1};
    return fcntl(open("posix", O_RDWR), F_SETLK, &lock);
}

static int try_ofd(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 200, .l_len = 1};
    return fcntl(open("ofd", O_RDWR), F_OFD_SETLK, &lock);
}

static const char *locks_verify(struct stage *s, int index)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};

    (void)s;
    if (index == 1) {
        /* The POSIX lock belongs to the first process only; flock and OFD locks came with the descriptions. */
        CHECK(!fcntl(FD(1), F_GETLK, &lock) && lock.l_type == F_WRLCK && lock.l_len == 5 && lock.l_pid == scene_pid(0));
        CHECK(!flock(FD(0), LOCK_UN) && elsewhere(try_flock) == 0);
        return NULL;
    }
    CHECK(elsewhere(try_flock) == EAGAIN);
    CHECK(elsewhere(try_posix) == EAGAIN);
    CHECK(elsewhere(try_posix_before) == 0);
    CHECK(elsewhere(try_posix_end) == EAGAIN);
    CHECK(elsewhere(try_posix_read) == 0);
    CHECK(elsewhere(try_ofd) == EAGAIN);
    return NULL;
}

static void test_locks(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = locks_make, .verify = locks_verify});
}

static int blocker;

static void locked_between(struct stage *s)
{
    char path[128];
    snprintf(path, sizeof path, "%s/flock", s->folder);
    blocker = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(blocker, LOCK_EX), 0);
}

static void test_lock_taken_by_another(void **state)
{
    (void)state;
    scene_fail(&(struct scene){.make = locks_make, .verify = locks_verify, .between = locked_between},
               "locked by another process");
    close(blocker);
}

static void owners_make(struct stage *s)
{
    struct f_owner_ex owner = {F_OWNER_PID, getpid()};

    (void)s;
    MUST(!pipe(&FD(0)) && !fcntl(FD(0), F_SETOWN_EX, &owner) && !fcntl(FD(0), F_SETSIG, SIGRTMIN + 1));
    MUST(!fcntl(FD(0), F_SETFL, O_ASYNC | O_NONBLOCK));
}

static volatile sig_atomic_t signalled;

static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    signalled = info->si_fd + 1;
}

static const char *owners_verify(struct stage *s, int index)
{
    struct f_owner_ex owner;
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

    (void)s;
    (void)index;
    sigaction(SIGRTMIN + 1, &action, NULL);
    CHECK(!fcntl(FD(0), F_GETOWN_EX, &owner) && owner.type == F_OWNER_PID && owner.pid == getpid());
    CHECK(fcntl(FD(0), F_GETSIG) == SIGRTMIN + 1 &&
          (fcntl(FD(0), F_GETFL) & (O_ASYNC | O_NONBLOCK)) == (O_ASYNC | O_NONBLOCK));
    CHECK(write(FD(1), "x", 1) == 1 && signalled == FD(0) + 1);
    return NULL;
}

static void test_owners(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = owners_make, .verify = owners_verify});
}

/* ---- processes and the kernel's files ---- */

static void processes_make(struct stage *s)
{
    pid_t dead = fork();

    (void)s;
    if (!dead)
        _exit(0);
    FD(2) = (int)syscall(SYS_pidfd_open, dead, 0);
    MUST(waitpid(dead, NULL, 0) == dead);
    pid_t child = scene_fork();
    if (!child)
        scene_stop();
    FD(0) = (int)syscall(SYS_pidfd_open, child, 0);
    FD(1) = open("/proc/self/status", O_RDONLY);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", child);
    FD(3) = open(path, O_RDONLY | O_CLOEXEC);
    FD(4) = open("/proc/meminfo", O_RDONLY);
    FD(5) = open("/proc/self/ns/net", O_RDONLY);
    FD(6) = epoll_create1(0);
    add(FD(6), FD(0), EPOLLIN, 6);
    FD(7) = dup(FD(1));
    MUST(lseek(FD(1), 6, SEEK_SET) == 6);
    FD(8) = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
}

static const char *processes_verify(struct stage *s, int index)
{
    char text[4096] = {0}, wanted[64], link[128] = {0};
    struct pollfd poller[2] = {{.fd = FD(0), .events = POLLIN}, {.fd = FD(2), .events = POLLIN}};
    struct stat a, b;

    (void)s;
    if (index == 1)
        return NULL;
    CHECK(poll(poller, 2, 0) == 1 && poller[1].revents);
    CHECK(!syscall(SYS_pidfd_send_signal, FD(0), 0, NULL, 0));
    CHECK(syscall(SYS_pidfd_send_signal, FD(2), 0, NULL, 0) < 0 && errno == ESRCH);
    CHECK(lseek(FD(7), 0, SEEK_CUR) == 6 && lseek(FD(1), 0, SEEK_SET) == 0);
    CHECK(read(FD(7), text, sizeof text - 1) > 0);
    snprintf(wanted, sizeof wanted, "\nPid:\t%d\n", getpid());
    CHECK(strstr(text, wanted));
    snprintf(wanted, sizeof wanted, "/proc/self/fd/%d", FD(3));
    CHECK(readlink(wanted, link, sizeof link - 1) > 0);
    snprintf(wanted, sizeof wanted, "/proc/%d/maps", scene_pid(1));
    CHECK(!strcmp(link, wanted) && fcntl(FD(3), F_GETFD) == FD_CLOEXEC);
    CHECK(read(FD(4), text, 8) == 8 && !memcmp(text, "MemTotal", 8));
    CHECK(!fstat(FD(5), &a) && !stat("/proc/self/ns/net", &b) && a.st_ino == b.st_ino);
    CHECK(waits_for(FD(6), NULL, 0));
    CHECK(!fstatat(FD(8), "8", &a, 0));
    return NULL;
}

static const char *processes_later(struct stage *s, int index)
{
    struct pollfd poller = {.fd = FD(0), .events = POLLIN};

    (void)s;
    if (index == 1)
        return NULL;
    CHECK(!syscall(SYS_pidfd_send_signal, FD(0), SIGKILL, NULL, 0) && poll(&poller, 1, 5000) == 1);
    CHECK(waits_for(FD(6), (uint64_t[]){6}, 1));
    return NULL;
}

static void test_processes(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = processes_make, .verify = processes_verify, .verify_later = processes_later});
}

#define ROUNDS 150

static void test_damaged(void **state)
{
    static void (*const makers[])(struct stage *) = {events_make, epoll_make, inotify_make};

    (void)state;
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        scene_damage(&(struct scene){.make = makers[i]}, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_epoll),
        cmocka_unit_test(test_inotify),
        cmocka_unit_test(test_locks),
        cmocka_unit_test(test_lock_taken_by_another),
        cmocka_unit_test(test_owners),
        cmocka_unit_test(test_processes),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
