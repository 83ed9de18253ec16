/* Small things that many kinds need, on both sides. */
#include "descriptors/kinds.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DELETED_MARK " (deleted)"

void cleanup_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

int fd_release(int *fd)
{
    int released = *fd;
    *fd = -1;
    return released;
}

void cleanup_memory(void *pointer)
{
    free(*(void **)pointer);
}

void cleanup_buffer(struct buffer *buffer)
{
    buffer_free(buffer);
}

char *path_undeleted(const char *path, bool *deleted)
{
    size_t size = strlen(path), mark = strlen(DELETED_MARK);

    *deleted = size > mark && !strcmp(path + size - mark, DELETED_MARK);
    return strndup(path, *deleted ? size - mark : size);
}

int state_set(struct description *description, struct buffer *state, struct caesura_error *err)
{
    if (state->failed || state->size > UINT32_MAX) {
        buffer_free(state);
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the state of %s", description->name);
    }
    free(description->state.data);
    description->state = (struct blob){.data = state->data, .size = (uint32_t)state->size};
    *state = (struct buffer){0};
    return 0;
}

struct reader state_reader(const struct description *description)
{
    return (struct reader){.data = description->state.data, .left = description->state.size};
}

int state_corrupt(const struct description *description, struct caesura_error *err)
{
    return error_set(err, CAESURA_ECORRUPT, "the context's record of open file %u (%s) does not make sense",
                     description->id, description->name);
}

/* ---- capture ---- */

struct description *seen_record(const struct caesura_capture *capture, const struct seen *seen)
{
    return &capture->context.descriptions[seen->id - 1];
}

const struct seen *seen_by_id(const struct caesura_capture *capture, uint32_t id)
{
    return &capture->descriptions->seen[id - 1];
}

int32_t seen_pid(const struct caesura_capture *capture, const struct seen *seen)
{
    return capture->targets[seen->target].inner_pid;
}

pid_t target_task(const struct target *target)
{
    /* When the leader of a process has ended, only the other threads still have the descriptor table. */
    return target->n_tasks ? target->tasks[0].tid : target->pid;
}

long target_compare(const struct target *a, const struct target *b, int type, unsigned long x, unsigned long y)
{
    return syscall(SYS_kcmp, target_task(a), target_task(b), type, x, y);
}

struct place seen_place(const struct caesura_capture *capture, const struct seen *seen)
{
    if (seen->own >= 0)
        return (struct place){getpid(), seen->own};
    return (struct place){target_task(&capture->targets[seen->target]), seen->fd};
}

struct place holder_place(const struct caesura_capture *capture, const struct holder *holder)
{
    return (struct place){holder->travels ? getpid() : target_task(&capture->targets[holder->target]), holder->fd};
}

long place_compare(struct place a, struct place b)
{
    return syscall(SYS_kcmp, a.task, b.task, KCMP_FILE, (unsigned long)a.fd, (unsigned long)b.fd);
}

int seen_open(const struct caesura_capture *capture, const struct seen *seen, struct caesura_error *err)
{
    const struct target *target = &capture->targets[seen->target];
    auto_fd thread = -1;
    int pidfd = target->pidfd;

    if (seen->own >= 0) {
        int copy = fcntl(seen->own, F_DUPFD_CLOEXEC, 0);
        return copy < 0 ? error_errno(err, errno, "cannot look at a travelling descriptor") : copy;
    }
    if (target_task(target) != target->pid) {
        /* PIDFD_THREAD, Linux 6.9. */
        thread = pidfd = (int)syscall(SYS_pidfd_open, target_task(target), O_EXCL);
        if (pidfd < 0)
            return error_errno(err, errno, "cannot look at process %d, whose first thread has ended",
                               target->inner_pid);
    }
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, seen->fd, 0);
    if (fd < 0) {
        error_errno(err, errno, "cannot look at descriptor %d of process %d", seen->fd, target->inner_pid);
        return error_about(err, target->inner_pid, seen->fd);
    }
    return fd;
}

int seen_refuse(struct caesura_capture *capture, const struct seen *seen, const char *remedy, const char *fmt, ...)
{
    char what[700];
    va_list args;
    int32_t pid = seen_pid(capture, seen);

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    capture_refuse(capture, pid, seen->fd, remedy, "process %d holds descriptor %d, %s", pid, seen->fd, what);
    return 0;
}

int seen_stdio(const struct caesura_capture *capture, const struct seen *seen)
{
    const struct description_set *set = capture->descriptions;
    int lowest = -1;

    for (uint32_t i = 0; i < seen->n_holders; i++) {
        const struct holder *holder = &set->holders[set->by_description[seen->first_holder + i]];
        if (!holder->travels && holder->fd <= STDERR_FILENO && (lowest < 0 || holder->fd < lowest))
            lowest = holder->fd;
    }
    return lowest;
}

const struct seen *seen_same_as(const struct caesura_capture *capture, int fd)
{
    const struct description_set *set = capture->descriptions;
    struct stat st;

    if (fstat(fd, &st))
        return NULL;
    for (uint32_t i = 0; i < set->n_seen; i++) {
        const struct seen *seen = &set->seen[i];
        if (seen->st.st_ino == st.st_ino && seen->st.st_dev == st.st_dev &&
            !place_compare((struct place){getpid(), fd}, seen_place(capture, seen)))
            return seen;
    }
    return NULL;
}

static int compare_socket(const void *key, const void *element)
{
    uint64_t ino = *(const uint64_t *)key;
    const struct seen *seen = *(const struct seen *const *)element;
    return ino < seen->st.st_ino ? -1 : ino > seen->st.st_ino;
}

const struct seen *seen_socket(const struct caesura_capture *capture, uint64_t ino)
{
    const struct description_set *set = capture->descriptions;
    const struct seen **found =
        set->n_sockets ? bsearch(&ino, set->sockets, set->n_sockets, sizeof *set->sockets, compare_socket) : NULL;
    return found ? *found : NULL;
}

const struct holder *holder_find(const struct caesura_capture *capture, uint32_t target, int fd)
{
    const struct description_set *set = capture->descriptions;
    uint32_t low = 0, high = set->n_held;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct holder *holder = &set->holders[middle];
        if (holder->target < target || (holder->target == target && holder->fd < fd))
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < set->n_held && set->holders[low].target == target && set->holders[low].fd == fd;
    return found ? &set->holders[low] : NULL;
}

uint32_t target_by_pid(const struct caesura_capture *capture, pid_t pid)
{
    for (size_t i = 0; i < capture->n_targets; i++)
        if (capture->targets[i].pid == pid)
            return (uint32_t)i;
    return UINT32_MAX;
}

/* ---- restore ---- */

const struct description *restore_description(const struct restore *restore, uint32_t id)
{
    return id && id <= restore->context->n_descriptions ? restore->descriptions->by_id[id] : NULL;
}

int restore_fd(const struct restore *restore, uint32_t id)
{
    return id && id <= restore->context->n_descriptions ? restore->description_fds[id] : -1;
}

int restore_take(struct restore *restore, uint32_t id, int fd, struct caesura_error *err)
{
    if (fd < 0)
        return fd;
    int kept = restore_keep_fd(restore, fd, err);
    if (kept < 0)
        return kept;
    restore->description_fds[id] = kept;
    return 0;
}

int restore_open_path(const struct restore *restore, const char *path, uint32_t flags, struct caesura_error *err)
{
    auto_memory char *now = restore_path(restore, path);

    if (!now)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the name of %s", path);
    int fd = open(now, (int)(flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC)) | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? error_errno(err, errno, "cannot open %s again", now) : fd;
}
