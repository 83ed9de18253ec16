/*
 * unsupported.c - things that no checkpoint can carry: refused by process, descriptor and kind, and unharmed. A pipe to the
 * outside (argument outside_pipe) is not among the cases: it is taken, with a warning.
 * Cases: userfaultfd io_uring perf bpf netlink outside_socket
 * Driver: expect=refuse
 */
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <sys/socket.h>

#include "victim.h"

enum { FD = 7 };

/* One end here, the other with a process that left the tree before the checkpoint. */
static int outside(bool socket)
{
    int fds[2];
    need(socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 : pipe(fds) == 0);
    pid_t middle = fork_child();
    if (middle == 0) {
        pid_t self = getpid();
        if (fork_child() == 0) {
            close(fds[0]);
            need(setsid() > 0);
            while (getppid() == self)
                victim_nap();
            mark("outside");
            wait_go();
            check(write(fds[1], "x", 1) == 1, "write: %s", strerror(errno));
            announce("outside.done", 1);
            finish();
        }
        _exit(0);
    }
    reap(middle);
    await_mark("outside");
    close(fds[1]);
    return fds[0];
}

int main(int argc, char **argv)
{
    int fd = -1;
    bool is_outside = argc > 1 && strncmp(argv[1], "outside", 7) == 0;
    if (is_case(argc, argv, "userfaultfd")) {
        fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */);
    } else if (is_case(argc, argv, "io_uring")) {
        struct io_uring_params params = {0};
        fd = (int)syscall(SYS_io_uring_setup, 4, &params);
    } else if (is_case(argc, argv, "perf")) {
        struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr};
        attr.config = PERF_COUNT_SW_TASK_CLOCK;
        attr.exclude_kernel = 1;
        fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
    } else if (is_case(argc, argv, "bpf")) {
        union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};
        fd = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr);
    } else if (is_case(argc, argv, "netlink")) {
        fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    } else {
        fd = outside(is_case(argc, argv, "outside_socket"));
    }
    if (fd < 0)
        skip("%s: %s", argv[1], strerror(errno));
    need(dup2(fd, FD) == FD && close(fd) == 0);
    ready();
    wait_go();
    check(fcntl(FD, F_GETFD) == 0, "the descriptor is gone");
    if (is_outside) {
        char byte = 0;
        check(read(FD, &byte, 1) == 1 && byte == 'x', "read: %s", strerror(errno));
        while (!is_there("outside.done"))
            victim_nap();
    }
    finish();
}
