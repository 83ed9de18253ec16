/* Putting descriptors to their numbers, in the stubs. */
#include "descriptors/kinds.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int put(int from, const struct process *process, const struct descriptor *descriptor, struct caesura_error *err)
{
    if (dup3(from, descriptor->fd, descriptor->cloexec ? O_CLOEXEC : 0) == descriptor->fd)
        return 0;
    error_errno(err, errno, "cannot put descriptor %d of process %d to its number", descriptor->fd, process->pid);
    return error_about(err, process->pid, descriptor->fd);
}

/* The signal names the descriptor at which O_ASYNC was set, so that is done at the number which the process knows. */
static int set_async(const struct description *description, const struct descriptor *descriptor,
                     struct caesura_error *err)
{
    int flags = description->flags & O_ASYNC && description->kind != DESCRIPTION_OUTSIDE
                    ? fcntl(descriptor->fd, F_GETFL)
                    : O_ASYNC;

    if (flags & O_ASYNC || !fcntl(descriptor->fd, F_SETFL, flags | O_ASYNC))
        return 0;
    return error_errno(err, errno, "cannot set O_ASYNC for %s", description->name);
}

static const struct description *described(const struct restore *restore, const struct process *process,
                                           const struct descriptor *descriptor, struct caesura_error *err)
{
    const struct description *description = restore_description(restore, descriptor->description);

    if (description && descriptor->fd >= 0 && descriptor->fd < restore->fd_base)
        return description;
    error_set(err, CAESURA_ECORRUPT, "the context's record of descriptor %d of process %d does not make sense",
              descriptor->fd, process->pid);
    error_about(err, process->pid, descriptor->fd);
    return NULL;
}

/*
 * The process whose table this one shares. NULL: it has a table of its own, which is told if that was not so before:
 * whoever forked it could not let them share.
 */
static const struct process *table_owner(const struct restore *restore, const struct process *process)
{
    const struct process *owner =
        process->files_of ? context_process(restore->context, (int32_t)process->files_of) : NULL;
    pid_t owner_pid = owner ? restore_pid_now(restore, owner->pid) : 0;

    if (owner_pid > 0 && !syscall(SYS_kcmp, getpid(), owner_pid, KCMP_FILES, 0, 0))
        return owner;
    return NULL;
}

/* Its descriptors: its own, or a copy of those that it shared. */
static const struct process *descriptors_of(const struct restore *restore, const struct process *process)
{
    const struct process *owner =
        process->files_of ? context_process(restore->context, (int32_t)process->files_of) : NULL;
    return owner ? owner : process;
}

int descriptors_install(struct restore *restore, const struct process *process, struct caesura_error *err)
{
    if (table_owner(restore, process))
        return 0;
    if (process->files_of)
        restore_note(restore, "process %d has a descriptor table of its own now, which it shared with process %u",
                     process->pid, process->files_of);
    const struct process *listed = descriptors_of(restore, process);
    if (restore->fd_base > 0)
        syscall(SYS_close_range, 0u, (unsigned)restore->fd_base - 1, 0u);
    for (uint32_t i = 0; i < listed->n_descriptors; i++) {
        const struct descriptor *descriptor = &listed->descriptors[i];
        const struct description *description = described(restore, process, descriptor, err);
        if (!description)
            return -CAESURA_ECORRUPT;
        if (restore->descriptions->late[description->id].receive >= 0)
            continue;
        int rc = put(outside_fd(restore, description, descriptor->fd), process, descriptor, err);
        if (!rc)
            rc = set_async(description, descriptor, err);
        if (rc)
            return rc;
    }
    return locks_install(restore, process, err);
}

bool descriptors_finish_needed(const struct restore *restore)
{
    return restore->descriptions && restore->descriptions->n_late;
}

/* A descriptor of ours for what late_send() sent; the message stays for the other stubs. */
static int late_receive(const struct restore *restore, uint32_t id, struct caesura_error *err)
{
    char room[CMSG_SPACE(sizeof(int))], byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    int fd = -1;

    ssize_t got =
        recvmsg(restore->descriptions->late[id].receive, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *control = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (!control || control->cmsg_type != SCM_RIGHTS)
        return error_errno(err, got < 0 ? errno : EIO, "cannot take a descriptor from the builder");
    memcpy(&fd, CMSG_DATA(control), sizeof fd);
    return fd;
}

int descriptors_finish(struct restore *restore, const struct process *process, struct caesura_error *err)
{
    if (!descriptors_finish_needed(restore) || table_owner(restore, process))
        return 0;
    const struct process *listed = descriptors_of(restore, process);
    for (uint32_t i = 0; i < listed->n_descriptors; i++) {
        const struct descriptor *descriptor = &listed->descriptors[i];
        const struct description *description = described(restore, process, descriptor, err);
        if (!description)
            return -CAESURA_ECORRUPT;
        if (restore->descriptions->late[description->id].receive < 0)
            continue;
        /* It may have come at the very number of one still to be put: so not at any of theirs. */
        int fd = late_receive(restore, description->id, err);
        fd = fd < 0 ? fd : restore_keep_fd(restore, fd, err);
        if (fd < 0)
            return fd;
        int rc = put(fd, process, descriptor, err);
        close(fd);
        if (rc)
            return rc;
    }
    return 0;
}
