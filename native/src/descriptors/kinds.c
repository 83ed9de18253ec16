/* The table of kinds, and names and remedies for what is none of them. */
#include "descriptors/kinds.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#define ROW(row_kind, row_name, row) \
    .kind = (row_kind), .name = (row_name), .probe = row##_probe, .capture = row##_capture, .open = row##_open

/* The first that fits is taken: O_PATH says nothing about what the file is, and so comes before all others. */
static const struct kind_operations kinds[] = {
    {ROW(DESCRIPTION_PATH, "a path", path), .keeps_flags = true},
    {ROW(DESCRIPTION_PIDFD, "a process", process_fd), .is_late = process_fd_is_late},
    {ROW(DESCRIPTION_NAMESPACE, "a namespace", namespace)},
    {ROW(DESCRIPTION_PROC, "a file of the kernel", proc), .is_late = proc_is_late},
    {ROW(DESCRIPTION_FOLDER, "a folder", folder)},
    {ROW(DESCRIPTION_FILE, "a file", file)},
    {ROW(DESCRIPTION_DEVICE, "a device", device)},
    {ROW(DESCRIPTION_TTY, "a terminal", tty), .settle = tty_settle},
    {ROW(DESCRIPTION_PIPE, "a pipe", pipe)},
    {ROW(DESCRIPTION_FIFO, "a FIFO", fifo)},
    {ROW(DESCRIPTION_UNIX, "a unix socket", unix), .fill = unix_fill, .settle = unix_settle},
    {ROW(DESCRIPTION_INET, "an internet socket", inet), .fill = inet_fill, .settle = inet_settle},
    {ROW(DESCRIPTION_EVENTFD, "an eventfd", eventfd)},
    {ROW(DESCRIPTION_TIMERFD, "a timerfd", timerfd)},
    {ROW(DESCRIPTION_SIGNALFD, "a signalfd", signalfd)},
    {ROW(DESCRIPTION_EPOLL, "an epoll set", epoll)},
    {ROW(DESCRIPTION_INOTIFY, "an inotify queue", inotify)},
    {.kind = DESCRIPTION_OUTSIDE, .name = "something outside", .open = outside_open, .keeps_flags = true},
};

#define N_KINDS (sizeof kinds / sizeof *kinds)

const struct kind_operations *kind_find(uint32_t kind)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (kinds[i].kind == kind)
            return &kinds[i];
    return NULL;
}

/* ---- what is refused ---- */

#define CLOSE_IT "close it before the checkpoint"

/* Longer beginnings first. */
static const struct {
    const char *prefix; /* of the name in /proc/PID/fd */
    const char *what, *remedy;
} by_name[] = {
    {"anon_inode:[io_uring]", "an io_uring", "run the program without io_uring (for libuv: UV_USE_IO_URING=0)"},
    {"anon_inode:[perf_event]", "a performance counter", "do not run the program under a profiler"},
    {"anon_inode:[userfaultfd]", "a userfaultfd", "run the program without it, or " CLOSE_IT},
    {"anon_inode:[fanotify]", "a fanotify queue", CLOSE_IT},
    {"anon_inode:kvm", "a virtual machine (KVM)", "checkpoint inside of the virtual machine, or end it"},
    {"anon_inode:bpf", "a BPF object", CLOSE_IT},
    {"anon_inode:inotify", "an inotify queue", CLOSE_IT},
    {"anon_inode:seccomp notify", "a seccomp listener", "end the sandbox that it belongs to"},
    {"/dev/nvidia", "a GPU", "let the program give up the GPU before the checkpoint (cuda-checkpoint)"},
    {"/dev/kfd", "a GPU", "let the program give up the GPU before the checkpoint"},
    {"/dev/dri/", "a GPU", "let the program give up the GPU before the checkpoint"},
    {"/dev/infiniband/", "an InfiniBand device", "run the program over TCP (for Open MPI: --mca btl tcp,self)"},
    {"/dev/fuse", "a FUSE connection", "unmount the file system that the process serves"},
    {"/memfd:", "a secret memory file", CLOSE_IT},
};

static const struct {
    int domain;
    const char *what, *remedy;
} by_domain[] = {
    {AF_NETLINK, "a netlink socket", "close it before the checkpoint; the kernel cannot tell what it is subscribed to"},
    {AF_PACKET, "a packet socket", "end the network capture"},
    {AF_VSOCK, "a vsock socket", CLOSE_IT},
    {AF_ALG, "a kernel crypto socket", CLOSE_IT},
    {AF_BLUETOOTH, "a Bluetooth socket", CLOSE_IT},
    {AF_CAN, "a CAN socket", CLOSE_IT},
};

#define MQUEUE_MAGIC 0x19800202u /* linux/magic.h lacks it */

static void refusal_of(const struct seen *seen, const char *name, char *what, size_t size, const char **remedy)
{
    unsigned device_major = major(seen->st.st_rdev), device_minor = minor(seen->st.st_rdev);

    *remedy = CLOSE_IT;
    for (size_t i = 0; i < sizeof by_name / sizeof *by_name; i++)
        if (!strncmp(name, by_name[i].prefix, strlen(by_name[i].prefix))) {
            *remedy = by_name[i].remedy;
            snprintf(what, size, "%s (%s)", by_name[i].what, name);
            return;
        }
    for (size_t i = 0; seen->type && i < sizeof by_domain / sizeof *by_domain; i++)
        if (seen->domain == by_domain[i].domain) {
            *remedy = by_domain[i].remedy;
            snprintf(what, size, "%s (%s)", by_domain[i].what, name);
            return;
        }
    if (seen->type)
        snprintf(what, size, "a socket of address family %d, type %d, protocol %d (%s)", seen->domain, seen->type,
                 seen->protocol, name);
    else if (S_ISCHR(seen->st.st_mode))
        snprintf(what, size, "character device %s (%u:%u)", name, device_major, device_minor);
    else if (S_ISBLK(seen->st.st_mode))
        snprintf(what, size, "block device %s (%u:%u)", name, device_major, device_minor);
    else if (seen->fs_type == MQUEUE_MAGIC)
        snprintf(what, size, "POSIX message queue %s", name);
    else
        snprintf(what, size, "%s, of a kind that cannot be checkpointed", name);
}

const struct kind_operations *kind_probe(const struct caesura_capture *capture, const struct seen *seen, char *what,
                                         size_t size, const char **remedy)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (kinds[i].probe && kinds[i].probe(capture, seen))
            return &kinds[i];
    refusal_of(seen, seen_record(capture, seen)->name, what, size, remedy);
    return NULL;
}
