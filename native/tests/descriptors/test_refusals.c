/* What cannot be kept is named: process, descriptor, kind, remedy. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/lib_scene.h"

#define FD(i) (stage->fd[i])
#define PLAY(make_function, what, remedy) scene_refuse(&(struct scene){.make = make_function}, NULL, what, remedy)

/* Makes in a process of its own first whether the object can be had here at all. */
static bool can_make(void (*make)(struct stage *))
{
    int status = -1;
    struct stage trial = {.n_processes = 1}, *before = stage;

    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *stage = trial;
    pid_t pid = fork();
    if (!pid) {
        if (chdir("/tmp"))
            _exit(1);
        make(stage);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    munmap(stage, sizeof *stage);
    stage = before;
    return status == 0;
}

/* ---- sockets ---- */

static int listener = -1;

static struct sockaddr_un outside_address(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "caesura-outside-%d", getpid());
    return address;
}

static struct sockaddr_un outside_name;

static void listen_outside(struct stage *s)
{
    (void)s;
    outside_name = outside_address();
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&outside_name, sizeof outside_name), 0);
    assert_int_equal(listen(listener, 5), 0);
}

static void unix_outside_make(struct stage *s)
{
    (void)s;
    FD(0) = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(!connect(FD(0), (struct sockaddr *)&outside_name, sizeof outside_name));
}

static void test_unix_outside(void **state)
{
    char name[64];

    (void)state;
    snprintf(name, sizeof name, "connected to @caesura-outside-%d", getpid());
    scene_refuse(&(struct scene){.prepare = listen_outside, .make = unix_outside_make}, NULL, name,
                 "close the connection");
    close(listener);
}

static void unaccepted_make(struct stage *s)
{
    (void)s;
    outside_name = outside_address();
    int own = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(!bind(own, (struct sockaddr *)&outside_name, sizeof outside_name) && !listen(own, 5));
    FD(0) = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(!connect(FD(0), (struct sockaddr *)&outside_name, sizeof outside_name) && write(FD(0), "early", 5) == 5);
}

static void test_unaccepted_data(void **state)
{
    (void)state;
    PLAY(unaccepted_make, "that the server has not accepted yet", "try again when the server has accepted");
}

static int tcp_port;

static void tcp_outside_prepare(struct stage *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    (void)s;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    tcp_port = ntohs(address.sin_port);
}

static void tcp_outside_make(struct stage *s)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)tcp_port)};
    (void)s;
    FD(0) = socket(AF_INET, SOCK_STREAM, 0);
    MUST(!connect(FD(0), (struct sockaddr *)&address, sizeof address));
}

static void test_tcp_outside(void **state)
{
    (void)state;
    scene_refuse(&(struct scene){.prepare = tcp_outside_prepare, .make = tcp_outside_make}, NULL,
                 "a TCP connection to 127.0.0.1 port", "close the connection before");
    close(listener);
}

static void netlink_make(struct stage *s)
{
    (void)s;
    FD(0) = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    MUST(FD(0) >= 0);
}

static void test_netlink(void **state)
{
    (void)state;
    PLAY(netlink_make, "a netlink socket", "close it before");
}

/* ---- kernel objects ---- */

static void userfault_make(struct stage *s)
{
    (void)s;
    FD(0) = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);
    MUST(FD(0) >= 0);
}

static void perf_make(struct stage *s)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_PAGE_FAULTS, .exclude_kernel = 1};
    (void)s;
    FD(0) = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
    MUST(FD(0) >= 0);
}

static void uring_make(struct stage *s)
{
    uint8_t parameters[120] = {0};

    (void)s;
    FD(0) = (int)syscall(SYS_io_uring_setup, 4, parameters);
    MUST(FD(0) >= 0);
}

static void mqueue_make(struct stage *s)
{
    char name[64];

    (void)s;
    snprintf(name, sizeof name, "/caesura-%d", getpid());
    FD(0) = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
    MUST(FD(0) >= 0 && !mq_unlink(name));
}

static void secret_make(struct stage *s)
{
    (void)s;
    FD(0) = (int)syscall(447 /* memfd_secret */, 0);
    MUST(FD(0) >= 0);
}

static void character_make(struct stage *s)
{
    static const char *const names[] = {"/dev/kmsg", "/dev/fuse", "/dev/loop-control", "/dev/rtc0"};

    (void)s;
    FD(0) = -1;
    for (size_t i = 0; i < sizeof names / sizeof *names && FD(0) < 0; i++)
        FD(0) = open(names[i], O_RDONLY);
    MUST(FD(0) >= 0);
}

static void test_kernel_objects(void **state)
{
    static const struct {
        void (*make)(struct stage *);
        const char *what, *remedy;
    } objects[] = {
        {userfault_make, "a userfaultfd", "without it"},  {perf_make, "a performance counter", "profiler"},
        {uring_make, "an io_uring", "UV_USE_IO_URING=0"}, {mqueue_make, "POSIX message queue", "close it before"},
        {secret_make, "secret", "close it before"},       {character_make, "/dev/", ""},
    };
    int tried = 0;

    (void)state;
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        if (!can_make(objects[i].make)) {
            print_message("           left out, not to be had here: %s\n", objects[i].what);
            continue;
        }
        PLAY(objects[i].make, objects[i].what, objects[i].remedy);
        tried++;
    }
    assert_true(tried > 0);
}

/* ---- state that the kernel gives away only once ---- */

static void inotify_make(struct stage *s)
{
    (void)s;
    FD(0) = inotify_init1(IN_CLOEXEC);
    MUST(inotify_add_watch(FD(0), ".", IN_CREATE) == 1 && !mkdir("new", 0700));
}

static void test_unread_events(void **state)
{
    (void)state;
    PLAY(inotify_make, "bytes of unread events", "try again");
}

static void terminal_make(struct stage *s)
{
    int off = 0;

    (void)s;
    FD(1) = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    MUST(!ioctl(FD(1), TIOCSPTLCK, &off));
    FD(0) = ioctl(FD(1), TIOCGPTPEER, O_RDWR | O_NOCTTY);
    struct termios settings;
    MUST(!tcgetattr(FD(0), &settings));
    cfmakeraw(&settings);
    MUST(!tcsetattr(FD(0), TCSANOW, &settings) && write(FD(1), "typed", 5) == 5);
    usleep(50000);
}

static void test_unread_terminal(void **state)
{
    (void)state;
    PLAY(terminal_make, "a pseudo terminal with 5 unread bytes", "try again");
}

static void lease_make(struct stage *s)
{
    (void)s;
    FD(0) = open("leased", O_RDONLY | O_CREAT, 0600);
    MUST(!fcntl(FD(0), F_SETLEASE, F_RDLCK));
}

static void test_lease(void **state)
{
    (void)state;
    PLAY(lease_make, "with a lease", "give up the lease");
}

/* ---- processes outside ---- */

static void pidfd_make(struct stage *s)
{
    (void)s;
    FD(0) = (int)syscall(SYS_pidfd_open, getppid(), 0);
    MUST(FD(0) >= 0);
}

static void test_pidfd_outside(void **state)
{
    char name[64];

    (void)state;
    snprintf(name, sizeof name, "a pidfd of process %d, which is outside", getpid());
    PLAY(pidfd_make, name, "into the scope");
}

static void proc_make(struct stage *s)
{
    char path[64];

    (void)s;
    snprintf(path, sizeof path, "/proc/%d/stat", getppid());
    FD(0) = open(path, O_RDONLY);
    MUST(FD(0) >= 0);
}

static void test_proc_outside(void **state)
{
    (void)state;
    PLAY(proc_make, "belongs to a process outside of the scope", "close it before");
}

static void epoll_make(struct stage *s)
{
    struct epoll_event event = {.events = EPOLLIN};

    (void)s;
    FD(0) = epoll_create1(0);
    int fd = eventfd(0, 0);
    MUST(!epoll_ctl(FD(0), EPOLL_CTL_ADD, fd, &event));
    /* Lives on in a process that is not of the scope. */
    pid_t child = fork();
    MUST(child >= 0);
    if (!child) {
        close(FD(0));
        pause();
    }
    stage->number[0] = child;
    MUST(!close(fd));
}

static void epoll_end(struct stage *s)
{
    kill((pid_t)s->number[0], SIGKILL);
}

static void test_epoll_outside(void **state)
{
    (void)state;
    scene_refuse(&(struct scene){.make = epoll_make, .between = epoll_end}, NULL,
                 "an epoll set that watches descriptor", "in the scope");
}

static void path_make(struct stage *s)
{
    (void)s;
    MUST(!close(open("gone", O_CREAT | O_WRONLY, 0600)));
    FD(0) = open("gone", O_PATH);
    MUST(FD(0) >= 0 && !unlink("gone"));
}

static void test_path_gone(void **state)
{
    (void)state;
    PLAY(path_make, "an O_PATH descriptor on", "keep the file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unix_outside),    cmocka_unit_test(test_unaccepted_data),
        cmocka_unit_test(test_tcp_outside),     cmocka_unit_test(test_netlink),
        cmocka_unit_test(test_kernel_objects),  cmocka_unit_test(test_unread_events),
        cmocka_unit_test(test_unread_terminal), cmocka_unit_test(test_lease),
        cmocka_unit_test(test_pidfd_outside),   cmocka_unit_test(test_proc_outside),
        cmocka_unit_test(test_epoll_outside),   cmocka_unit_test(test_path_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
