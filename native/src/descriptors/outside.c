/*
 * Descriptions that lead out of the scope: the other end of a pipe, a terminal, a socket as standard stream. At restart they
 * become the standard streams of cr_restart.
 *
 * State: enum outside_what, the number (0..2) at which it was held or -1, and for a pipe with unread data that data.
 */
#include "descriptors/kinds.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATE_HEAD_BYTES 8

int outside_capture(struct caesura_capture *capture, struct seen *seen, enum outside_what what, struct buffer *data,
                    struct caesura_error *err)
{
    struct description *record = seen_record(capture, seen);
    int stdio = seen_stdio(capture, seen);
    auto_buffer state = {0};

    if (stdio < 0)
        capture_log(
            capture, CAESURA_LOG_WARNING,
            "process %d holds descriptor %d, %s, which leads out of the scope: at restart it will be %s of cr_restart",
            seen_pid(capture, seen), seen->fd, record->name,
            (record->flags & O_ACCMODE) == O_RDONLY ? "stdin" : "stdout");
    record->kind = DESCRIPTION_OUTSIDE;
    buffer_u32(&state, what);
    buffer_u32(&state, (uint32_t)stdio);
    /* Capacity and number of segments alone are no data. */
    if (data && data->size > 8)
        buffer_bytes(&state, data->data, data->size);
    return state_set(record, &state, err);
}

static bool access_allows(int fd, uint32_t flags)
{
    int have = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    int want = (int)flags & O_ACCMODE;

    return have >= 0 && ((have & O_ACCMODE) == O_RDWR || (have & O_ACCMODE) == want || want == O_RDWR);
}

/* Which of cr_restart's streams a description becomes: the number it had, else by direction; -1: none will do. */
static int choose_stream(const struct restore *restore, uint32_t flags, int stdio)
{
    const int *outside = restore->descriptions->outside;
    bool reads = (flags & O_ACCMODE) == O_RDONLY;

    if (stdio >= 0 && stdio <= 2 && access_allows(outside[stdio], flags))
        return stdio;
    if ((flags & O_ACCMODE) == O_RDWR)
        for (int i = 0; i <= 2; i++)
            if (outside[i] >= 0 && isatty(outside[i]))
                return i;
    for (int i = reads ? 0 : 1; i <= 2; i++)
        if (access_allows(outside[i], flags))
            return i;
    return -1;
}

int outside_fd(const struct restore *restore, const struct description *description, int fd)
{
    int made = restore_fd(restore, description->id);

    if (description->kind != DESCRIPTION_OUTSIDE || fd > 2 || description->state.size > STATE_HEAD_BYTES)
        return made;
    return access_allows(restore->descriptions->outside[fd], description->flags) ? restore->descriptions->outside[fd]
                                                                                 : made;
}

/* Copies from in to out until either ends. Runs in a process of its own. */
static void pump(int in, int out)
{
    char block[65536];

    for (;;) {
        ssize_t got = read(in, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            _exit(0);
        for (ssize_t done = 0; done < got;) {
            ssize_t put = write(out, block + done, (size_t)(got - done));
            if (put < 0 && errno != EINTR)
                _exit(0);
            done += put > 0 ? put : 0;
        }
    }
}

/*
 * The child must not take a pid that a process of the context needs, must not be seen by wait(), which is for restored
 * processes only, and must end with us.
 */
static int pump_start(struct restore *restore, int in, int out, struct caesura_error *err)
{
    pid_t parent = getpid();
    pid_t highest = 0;

    for (uint32_t i = 0; i < restore->context->n_processes; i++)
        for (uint32_t k = 0; k < restore->context->processes[i].n_threads; k++)
            if (restore->context->processes[i].threads[k].tid > highest)
                highest = restore->context->processes[i].threads[k].tid;
    pid_t wanted = highest + 1;
    struct clone_args args = {.exit_signal = 0};
    if (highest) {
        args.set_tid = (uintptr_t)&wanted;
        args.set_tid_size = 1;
    }
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0 && args.set_tid_size) {
        /* Not permitted, or taken: any pid, and the restart will tell if it was a needed one. */
        args.set_tid = args.set_tid_size = 0;
        pid = syscall(SYS_clone3, &args, sizeof args);
    }
    if (pid < 0)
        return error_errno(err, errno, "cannot start the copying of standard input");
    if (pid)
        return 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    /* Nothing but its two ends, or pipes of the restored processes would never end. */
    int ends[2] = {fcntl(in, F_DUPFD, restore->fd_base), fcntl(out, F_DUPFD, restore->fd_base)};
    int low = ends[0] < ends[1] ? ends[0] : ends[1], high = ends[0] < ends[1] ? ends[1] : ends[0];
    if (low < 0)
        _exit(1);
    if (low)
        syscall(SYS_close_range, 0u, (unsigned)low - 1, 0u);
    if (high > low + 1)
        syscall(SYS_close_range, (unsigned)low + 1, (unsigned)high - 1, 0u);
    syscall(SYS_close_range, (unsigned)high + 1, ~0u, 0u);
    pump(ends[0], ends[1]);
    return 0;
}

/* A pipe with what was unread at the checkpoint, into which our standard input is then copied. */
static int open_with_data(struct restore *restore, const struct description *description, struct reader *state, int own,
                          struct caesura_error *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC))
        return error_errno(err, errno, "cannot make a pipe");
    auto_fd out = ends[0];
    auto_fd in = ends[1];
    int rc = pipe_data_write(description, state, in, err);
    if (!rc && own >= 0)
        rc = pump_start(restore, own, in, err);
    if (rc)
        return rc;
    return restore_take(restore, description->id, fd_release(&out), err);
}

int outside_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    uint32_t what = reader_u32(&state);
    int stdio = (int)reader_u32(&state), fd;

    if (state.failed || what < OUTSIDE_PIPE || what > OUTSIDE_SOCKET)
        return state_corrupt(description, err);
    int stream = choose_stream(restore, description->flags, stdio);
    int own = stream < 0 ? -1 : restore->descriptions->outside[stream];
    if (state.left)
        return open_with_data(restore, description, &state, own, err);
    if (own < 0) {
        restore_note(restore, "no standard stream in place of %s: using /dev/null", description->name);
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } else {
        fd = fcntl(own, F_DUPFD_CLOEXEC, 0);
    }
    if (fd < 0)
        return error_errno(err, errno, "cannot take a standard stream in place of %s", description->name);
    /* Only ever set, never cleared: others share the stream, and a program that polls must not block in it. */
    if (description->flags & O_NONBLOCK)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return restore_take(restore, description->id, fd, err);
}
