/* Pipes and FIFOs: both ends, capacity, packet mode, and the data in them. */
#include "descriptors/kinds.h"

#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PIPE_MAX_BYTES (1u << 31)

/* ---- data ---- */

/*
 * State: capacity, number of segments, then each: whether it is a packet (pipe2(2), O_DIRECT), bytes. A read() never goes
 * beyond a packet, so reading what tee() copied gives back the packets.
 */
int pipe_data_capture(int fd, const char *name, struct buffer *state, bool packets, struct caesura_error *err)
{
    int capacity = fcntl(fd, F_GETPIPE_SZ), ends[2];
    if (capacity <= 0)
        return error_errno(err, errno, "cannot tell the capacity of %s", name);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return error_errno(err, errno, "cannot make a pipe");
    auto_fd out = ends[0];
    auto_fd in = ends[1];

    buffer_u32(state, (uint32_t)capacity);
    size_t at = state->size;
    buffer_u32(state, 0);
    if (fcntl(in, F_SETPIPE_SZ, capacity) < capacity) {
        error_errno(err, errno ? errno : EPERM, "cannot make a pipe of %d bytes like %s", capacity, name);
        return error_hint(err, "raise fs.pipe-user-pages-soft or fs.pipe-max-size");
    }
    ssize_t copied = tee(fd, in, PIPE_MAX_BYTES, SPLICE_F_NONBLOCK);
    if (copied < 0 && errno != EAGAIN)
        return error_errno(err, errno, "cannot copy the data in %s", name);
    uint32_t segments = 0;
    for (ssize_t left = copied > 0 ? copied : 0; left > 0; segments++) {
        buffer_u32(state, packets);
        size_t size_at = state->size;
        buffer_u32(state, 0);
        void *room = buffer_reserve(state, (size_t)left);
        if (!room)
            return error_set(err, CAESURA_ENOMEM_, "cannot hold the data in %s", name);
        ssize_t got = read(out, room, (size_t)left);
        if (got <= 0)
            return error_errno(err, got ? errno : EIO, "cannot read the data in %s", name);
        buffer_patch_u32(state, size_at, (uint32_t)got);
        state->size = size_at + 4 + (size_t)got;
        left -= got;
    }
    buffer_patch_u32(state, at, segments);
    return 0;
}

int pipe_data_write(const struct description *description, struct reader *data, int fd, struct caesura_error *err)
{
    uint32_t capacity = reader_u32(data), segments = reader_u32(data);
    int flags = fcntl(fd, F_GETFL);

    if (data->failed || capacity > PIPE_MAX_BYTES)
        return state_corrupt(description, err);
    if (fcntl(fd, F_GETPIPE_SZ) != (int)capacity && fcntl(fd, F_SETPIPE_SZ, (int)capacity) < (int)capacity) {
        error_errno(err, errno ? errno : EPERM, "cannot give the pipe %s its %u bytes", description->name, capacity);
        return error_hint(err, "raise fs.pipe-user-pages-soft or fs.pipe-max-size");
    }
    for (; segments && !data->failed; segments--) {
        bool packet = reader_u32(data);
        uint32_t size = reader_u32(data);
        const void *bytes = reader_bytes(data, size);
        if (!bytes)
            break;
        if (fcntl(fd, F_SETFL, (flags & ~O_DIRECT) | O_NONBLOCK | (packet ? O_DIRECT : 0)))
            return error_errno(err, errno, "cannot fill the pipe %s", description->name);
        ssize_t put = write(fd, bytes, size);
        if (put != (ssize_t)size)
            return error_errno(err, put < 0 ? errno : EAGAIN, "cannot fill the pipe %s", description->name);
    }
    fcntl(fd, F_SETFL, flags);
    return data->failed ? state_corrupt(description, err) : 0;
}

/* ---- what the two kinds have in common ---- */

/* A reading end among the descriptions of the same pipe, and whether there are both kinds of ends. */
static const struct seen *pipe_ends(const struct caesura_capture *capture, const struct seen *first, bool *reads,
                                    bool *writes)
{
    const struct seen *reader = NULL;

    *reads = *writes = false;
    for (uint32_t id = first->id; id; id = seen_by_id(capture, id)->inode_next) {
        const struct seen *seen = seen_by_id(capture, id);
        uint32_t flags = seen_record(capture, seen)->flags;
        if (flags & O_PATH)
            continue;
        if ((flags & O_ACCMODE) != O_WRONLY) {
            *reads = true;
            if (!reader)
                reader = seen;
        }
        if ((flags & O_ACCMODE) != O_RDONLY)
            *writes = true;
    }
    return reader;
}

/* Packets are marked by the writing end, tee() copies the mark, but only an end can tell us that there may be some. */
static bool pipe_has_packets(const struct caesura_capture *capture, const struct seen *first)
{
    for (uint32_t id = first->id; id; id = seen_by_id(capture, id)->inode_next)
        if (seen_record(capture, seen_by_id(capture, id))->flags & O_DIRECT)
            return true;
    return false;
}

/* State: id of the first description of the pipe; on that one, presence of data, then as pipe_data_capture(). */
static int pipe_state(struct caesura_capture *capture, struct seen *seen, struct caesura_error *err)
{
    const struct seen *first = seen_by_id(capture, seen->inode_first);
    struct description *record = seen_record(capture, seen);
    auto_buffer state = {0};
    bool reads, writes;
    int rc = 0;

    buffer_u32(&state, first->id);
    if (first == seen) {
        const struct seen *reader = pipe_ends(capture, first, &reads, &writes);
        buffer_u32(&state, reader != NULL);
        if (reader) {
            auto_fd end = seen_open(capture, reader, err);
            rc = end < 0 ? end : pipe_data_capture(end, record->name, &state, pipe_has_packets(capture, first), err);
        }
    }
    return rc ? rc : state_set(record, &state, err);
}

/* ---- pipes ---- */

bool pipe_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    (void)capture;
    return S_ISFIFO(seen->st.st_mode) && seen->fs_type == PIPEFS_MAGIC;
}

/*
 * Whether the other end belongs to a process outside of the scope. If nobody has it any more, the pipe is made again as it
 * is: at its end, or broken.
 */
static int pipe_is_outside(struct caesura_capture *capture, struct seen *first, struct caesura_error *err)
{
    bool reads, writes;

    pipe_ends(capture, first, &reads, &writes);
    if (reads && writes)
        return 0;
    auto_fd fd = seen_open(capture, first, err);
    if (fd < 0)
        return fd;
    struct pollfd poller = {.fd = fd};
    if (poll(&poller, 1, 0) < 0)
        return error_errno(err, errno, "cannot look at a pipe");
    first->outside = !(poller.revents & (POLLHUP | POLLERR));
    return 0;
}

int pipe_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    struct seen *first = &capture->descriptions->seen[seen->inode_first - 1];
    auto_buffer data = {0};
    bool reads, writes;

    int rc = first == seen ? pipe_is_outside(capture, first, err) : 0;
    if (rc || !first->outside)
        return rc ? rc : pipe_state(capture, seen, err);
    pipe_ends(capture, first, &reads, &writes);
    if (reads && first == seen)
        rc = pipe_data_capture(fd, seen_record(capture, seen)->name, &data, pipe_has_packets(capture, first), err);
    return rc ? rc : outside_capture(capture, seen, OUTSIDE_PIPE, &data, err);
}

/* Another open file description on the pipe or FIFO that fd is an end of. */
static int reopen(int fd, uint32_t flags, const char *name, struct caesura_error *err)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int end = open(path, (int)(flags & (O_ACCMODE | O_DIRECT)) | O_NONBLOCK | O_CLOEXEC);
    return end < 0 ? error_errno(err, errno, "cannot open the pipe %s again", name) : end;
}

/* The others of the same pipe are made while its first is: then both ends are there. */
static int pipe_open_others(struct restore *restore, uint32_t kind, uint32_t first_id, int in, int out, bool *in_used,
                            bool *out_used, struct caesura_error *err)
{
    const struct context *context = restore->context;

    for (uint32_t i = 0; i < context->n_descriptions; i++) {
        const struct description *other = &context->descriptions[i];
        struct reader state = state_reader(other);
        if (other->kind != kind || reader_u32(&state) != first_id || restore->description_fds[other->id] >= 0)
            continue;
        uint32_t access = other->flags & O_ACCMODE;
        int fd;
        if (access == O_RDONLY && !*out_used) {
            *out_used = true;
            fd = fcntl(out, F_DUPFD_CLOEXEC, 0);
        } else if (access == O_WRONLY && !*in_used) {
            *in_used = true;
            fd = fcntl(in, F_DUPFD_CLOEXEC, 0);
        } else {
            fd = reopen(access == O_WRONLY ? in : out, other->flags, other->name, err);
            if (fd < 0)
                return fd;
        }
        int rc = fd < 0 ? error_errno(err, errno, "cannot keep the pipe %s", other->name)
                        : restore_take(restore, other->id, fd, err);
        if (rc)
            return rc;
    }
    return 0;
}

int pipe_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    uint32_t first_id = reader_u32(&state);
    int ends[2], rc = 0;

    if (first_id != description->id) {
        const struct description *first = restore_description(restore, first_id);
        if (!first || first->kind != DESCRIPTION_PIPE || first_id > description->id)
            return state_corrupt(description, err);
        return restore_open(restore, first_id, err);
    }
    bool has_data = reader_u32(&state);
    if (state.failed)
        return state_corrupt(description, err);
    if (pipe2(ends, O_CLOEXEC))
        return error_errno(err, errno, "cannot make a pipe");
    auto_fd out = ends[0];
    auto_fd in = ends[1];
    bool in_used = false, out_used = false;
    if (has_data)
        rc = pipe_data_write(description, &state, in, err);
    return rc ? rc : pipe_open_others(restore, DESCRIPTION_PIPE, first_id, in, out, &in_used, &out_used, err);
}

/* ---- FIFOs ---- */

bool fifo_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    return S_ISFIFO(seen->st.st_mode) && seen_record(capture, seen)->name[0] == '/';
}

int fifo_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    struct description *record = seen_record(capture, seen);

    (void)fd;
    int rc = pipe_state(capture, seen, err);
    /* The mode goes into the position, which a FIFO does not have: to make it again if it is gone. */
    record->position = seen->st.st_mode & 07777;
    return rc;
}

/* A descriptor on the FIFO; made again if it is gone, under another name if it had none any more. */
static int fifo_find(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    bool deleted;
    auto_memory char *path = path_undeleted(description->name, &deleted);
    auto_memory char *now = path ? restore_path(restore, path) : NULL;
    mode_t mode = description->position & 07777;
    char folder[] = "/tmp/caesura-XXXXXX", temporary[sizeof folder + 8];
    struct stat st;

    if (!now)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the name of %s", description->name);
    if (deleted && mkdtemp(folder)) {
        snprintf(temporary, sizeof temporary, "%s/fifo", folder);
        int fd = mkfifo(temporary, 0600) ? -1 : open(temporary, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        int saved = errno;
        unlink(temporary);
        rmdir(folder);
        return fd < 0 ? error_errno(err, saved, "cannot make a FIFO in place of the removed %s", path) : fd;
    }
    if (lstat(now, &st) && errno == ENOENT && mkfifo(now, mode) == 0)
        chmod(now, mode);
    /* Through O_PATH first: opening a FIFO, even so that it does not wait, would wake those who wait for us. */
    auto_fd path_fd = open(now, O_PATH | O_CLOEXEC);
    if (path_fd < 0)
        return error_errno(err, errno, "cannot open the FIFO %s", now);
    if (fstat(path_fd, &st) || !S_ISFIFO(st.st_mode))
        return error_set(err, CAESURA_EFILECHANGED, "%s is no FIFO any more", now);
    int fd = path_fd;
    path_fd = -1;
    return fd;
}

/*
 * Readers are opened first and without waiting. Then the FIFO is held open for both directions, so that writers need not
 * wait and data can be put in. This comes last because a reader that has never seen a writer is not at end of file.
 */
static int fifo_open_all(struct restore *restore, const struct description *description, struct reader *state,
                         bool has_data, int path_fd, struct caesura_error *err)
{
    const struct context *context = restore->context;
    auto_fd anchor = -1;
    int available;

    for (int writers = 0; writers <= 1; writers++) {
        for (uint32_t i = 0; i < context->n_descriptions; i++) {
            const struct description *other = &context->descriptions[i];
            struct reader own = state_reader(other);
            if (other->kind != DESCRIPTION_FIFO || reader_u32(&own) != description->id ||
                ((other->flags & O_ACCMODE) != O_RDONLY) != writers || restore->description_fds[other->id] >= 0)
                continue;
            if (writers && anchor < 0)
                anchor = reopen(path_fd, O_RDWR, description->name, err);
            if (writers && anchor < 0)
                return anchor;
            int rc = restore_take(restore, other->id, reopen(path_fd, other->flags, other->name, err), err);
            if (rc)
                return rc;
        }
    }
    if (!has_data || state->left <= 8)
        return 0;
    if (anchor < 0)
        anchor = reopen(path_fd, O_RDWR, description->name, err);
    if (anchor < 0)
        return anchor;
    if (!ioctl(anchor, FIONREAD, &available) && available) {
        restore_note(restore, "%s: somebody else has written to it; what was in it at the checkpoint is left out",
                     description->name);
        return 0;
    }
    return pipe_data_write(description, state, anchor, err);
}

int fifo_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    uint32_t first_id = reader_u32(&state);

    if (first_id != description->id) {
        const struct description *first = restore_description(restore, first_id);
        if (!first || first->kind != DESCRIPTION_FIFO || first_id > description->id)
            return state_corrupt(description, err);
        return restore_open(restore, first_id, err);
    }
    bool has_data = reader_u32(&state);
    if (state.failed)
        return state_corrupt(description, err);
    auto_fd path_fd = fifo_find(restore, description, err);
    return path_fd < 0 ? path_fd : fifo_open_all(restore, description, &state, has_data, path_fd, err);
}
