/* File locks, and who gets signals about a description (F_SETOWN). */
#include "descriptors/kinds.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* ---- capture: locks ---- */

static bool is_writer(const struct caesura_capture *capture, const struct holder *holder)
{
    return (capture->context.descriptions[holder->description - 1].flags & O_ACCMODE) != O_RDONLY;
}

/*
 * A flock or OFD lock shows at each descriptor of its description, a POSIX lock at each descriptor of the table that is on
 * the file: noted once.
 */
static struct lock *lock_known(struct caesura_capture *capture, const struct lock *wanted)
{
    struct context *context = &capture->context;
    const struct seen *mine = seen_by_id(capture, wanted->description);

    for (uint32_t i = 0; i < context->n_locks; i++) {
        struct lock *lock = &context->locks[i];
        const struct seen *seen = seen_by_id(capture, lock->description);
        bool same_file = lock->kind == LOCK_POSIX
                             ? seen->st.st_ino == mine->st.st_ino && seen->st.st_dev == mine->st.st_dev
                             : seen == mine;
        if (lock->kind == wanted->kind && lock->pid == wanted->pid && lock->start == wanted->start &&
            lock->end == wanted->end && same_file)
            return lock;
    }
    return NULL;
}

static int lock_capture(struct caesura_capture *capture, const struct seen_lock *seen_lock, struct caesura_error *err)
{
    const struct holder *holder = &capture->descriptions->holders[seen_lock->holder];
    const struct seen *seen = seen_by_id(capture, holder->description);
    const struct fdinfo_lock *shown = &seen_lock->lock;

    if (shown->kind == FDINFO_LEASE) {
        int32_t pid = capture->targets[holder->target].inner_pid;
        capture_refuse(capture, pid, holder->fd, "let the program give up the lease (fcntl F_SETLEASE, F_UNLCK) before",
                       "process %d holds descriptor %d, %s, with a lease", pid, holder->fd,
                       seen_record(capture, seen)->name);
        return 0;
    }
    struct lock lock = {
        .kind = shown->kind == FDINFO_FLOCK   ? LOCK_FLOCK
                : shown->kind == FDINFO_POSIX ? LOCK_POSIX
                                              : LOCK_OFD,
        .type = shown->write ? F_WRLCK : F_RDLCK,
        .start = shown->start,
        .end = shown->end,
        .description = holder->description,
        .fd = -1,
    };
    if (lock.kind == LOCK_POSIX) {
        lock.pid = capture->targets[holder->target].inner_pid;
        lock.fd = holder->fd;
    }
    struct lock *known = lock_known(capture, &lock);
    if (known && known->kind == LOCK_POSIX && is_writer(capture, holder) == shown->write) {
        /* A read lock needs a descriptor for reading, a write lock one for writing. */
        known->fd = holder->fd;
        known->description = holder->description;
    }
    if (known)
        return 0;
    struct lock *record = list_add(&capture->context.locks, &capture->context.n_locks);
    if (!record)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of locks");
    *record = lock;
    return 0;
}

int locks_capture(struct caesura_capture *capture, struct caesura_error *err)
{
    int rc = 0;

    for (uint32_t i = 0; i < capture->descriptions->n_locks && !rc; i++)
        rc = lock_capture(capture, &capture->descriptions->locks[i], err);
    return rc;
}

/* ---- capture: owners ---- */

/* The process group as its own pid namespace calls it; 0: no process of the scope is in it. */
static int32_t inner_group(const struct caesura_capture *capture, pid_t group)
{
    for (size_t i = 0; i < capture->n_targets; i++)
        if (getpgid(capture->targets[i].pid) == group)
            return capture->targets[i].process->pgid;
    return 0;
}

int owner_capture(struct caesura_capture *capture, const struct seen *seen, int fd, struct caesura_error *err)
{
    struct description *record = seen_record(capture, seen);
    struct f_owner_ex owner;
    int signal = fcntl(fd, F_GETSIG);

    (void)err;
    record->owner_signal = signal > 0 ? signal : 0;
    if (fcntl(fd, F_GETOWN_EX, &owner) || owner.pid <= 0)
        return 0;
    uint32_t target = target_by_pid(capture, owner.pid);
    record->owner_type = owner.type;
    if (owner.type == F_OWNER_PGRP)
        record->owner_pid = inner_group(capture, owner.pid);
    else if (target != UINT32_MAX)
        record->owner_pid = capture->targets[target].inner_pid;
    else
        for (size_t i = 0; i < capture->n_targets; i++)
            for (size_t k = 0; k < capture->targets[i].n_tasks; k++)
                if (capture->targets[i].tasks[k].tid == owner.pid)
                    return seen_refuse(capture, seen, "set the whole process as its owner (F_OWNER_PID)",
                                       "%s, whose signals go to thread %d", record->name, owner.pid);
    if (!record->owner_pid)
        capture_log(
            capture, CAESURA_LOG_WARNING,
            "process %d, descriptor %d: signals about %s go to process %d outside of the scope and will be left out",
            seen_pid(capture, seen), seen->fd, record->name, owner.pid);
    return 0;
}

/* ---- restore ---- */

static struct flock lock_argument(const struct lock *lock)
{
    bool to_end = lock->end == UINT64_MAX || lock->end - lock->start >= LLONG_MAX;

    return (struct flock){.l_type = lock->type == F_WRLCK ? F_WRLCK : F_RDLCK,
                          .l_whence = SEEK_SET,
                          .l_start = (off_t)lock->start,
                          .l_len = to_end ? 0 : (off_t)(lock->end - lock->start + 1)};
}

static int lock_failed(const struct restore *restore, const struct lock *lock, int errno_value,
                       struct caesura_error *err)
{
    const struct description *description = restore_description(restore, lock->description);
    const char *name = description ? description->name : "a file";

    if (errno_value != EAGAIN && errno_value != EACCES)
        return error_errno(err, errno_value, "cannot lock %s again", name);
    error_set(err, CAESURA_EBUSY_, "%s is locked by another process", name);
    return error_hint(err, "end the process that holds the lock (see /proc/locks), then restart");
}

int locks_open(struct restore *restore, struct caesura_error *err)
{
    for (uint32_t i = 0; i < restore->context->n_locks; i++) {
        const struct lock *lock = &restore->context->locks[i];
        int fd = restore_fd(restore, lock->description), rc = 0;
        struct flock argument = lock_argument(lock);
        if (lock->kind == LOCK_FLOCK)
            rc = flock(fd, (lock->type == F_WRLCK ? LOCK_EX : LOCK_SH) | LOCK_NB);
        else if (lock->kind == LOCK_OFD)
            rc = fcntl(fd, F_OFD_SETLK, &argument);
        if (rc)
            return lock_failed(restore, lock, errno, err);
    }
    return 0;
}

int descriptors_locks(const struct restore *restore, const struct process *process, struct descriptor_lock **locks,
                      size_t *count, struct caesura_error *err)
{
    const struct context *context = restore->context;

    *count = 0;
    *locks = calloc((size_t)context->n_locks + 1, sizeof **locks);
    if (!*locks)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of locks");
    for (uint32_t i = 0; i < context->n_locks; i++)
        if (context->locks[i].kind == LOCK_POSIX && context->locks[i].pid == process->pid)
            (*locks)[(*count)++] = (struct descriptor_lock){context->locks[i].fd, lock_argument(&context->locks[i])};
    return 0;
}

/* Closes our copies, at fd_base and above, on the file that is open at fd. */
static void close_copies(const struct restore *restore, int fd)
{
    const struct context *context = restore->context;
    struct stat wanted, st;

    if (fstat(fd, &wanted))
        return;
    for (uint32_t id = 1; id <= context->n_descriptions; id++) {
        int copy = restore->description_fds[id];
        if (copy >= 0 && !fstat(copy, &st) && st.st_ino == wanted.st_ino && st.st_dev == wanted.st_dev)
            close(copy);
    }
}

int locks_install(struct restore *restore, const struct process *process, struct caesura_error *err)
{
    auto_memory struct descriptor_lock *locks = NULL;
    size_t count;
    int rc = descriptors_locks(restore, process, &locks, &count, err);

    for (size_t i = 0; i < count && !rc; i++)
        close_copies(restore, locks[i].fd);
    for (size_t i = 0; i < count && !rc; i++)
        if (fcntl(locks[i].fd, F_SETLK, &locks[i].lock)) {
            struct lock lock = {.description = 0};
            for (uint32_t k = 0; k < process->n_descriptors; k++)
                if (process->descriptors[k].fd == locks[i].fd)
                    lock.description = process->descriptors[k].description;
            rc = lock_failed(restore, &lock, errno, err);
        }
    return rc;
}

int owners_connect(struct restore *restore, struct caesura_error *err)
{
    for (uint32_t i = 0; i < restore->context->n_descriptions; i++) {
        const struct description *description = &restore->context->descriptions[i];
        int fd = restore_fd(restore, description->id);
        if (fd < 0 || description->kind == DESCRIPTION_OUTSIDE || description->flags & O_PATH)
            continue;
        if (description->owner_pid) {
            pid_t now = restore_pid_now(restore, description->owner_pid);
            struct f_owner_ex owner = {description->owner_type, now ? now : description->owner_pid};
            if (fcntl(fd, F_SETOWN_EX, &owner))
                restore_note(restore, "signals about %s cannot go to %d any more: %s", description->name,
                             description->owner_pid, strerror(errno));
        }
        if (description->owner_signal && fcntl(fd, F_SETSIG, description->owner_signal))
            return error_errno(err, errno, "cannot set the signal for %s", description->name);
    }
    return 0;
}
