/* Files of kernel file systems, namespaces, and pidfds: what stands for a process has to wait until that is there. */
#include "descriptors/kinds.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- files of /proc, /sys and control groups. State: inner pid that the path begins with, or 0; rest of the path ---- */

bool proc_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    static const uint32_t types[] = {PROC_SUPER_MAGIC, SYSFS_MAGIC,   CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
                                     DEBUGFS_MAGIC,    TRACEFS_MAGIC, SECURITYFS_MAGIC};
    bool kernel = false;

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        kernel |= seen->fs_type == types[i];
    return kernel && (S_ISREG(seen->st.st_mode) || S_ISDIR(seen->st.st_mode)) &&
           seen_record(capture, seen)->name[0] == '/';
}

int proc_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    struct description *record = seen_record(capture, seen);
    auto_buffer state = {0};
    int pid = 0, used = 0;
    bool deleted;
    auto_memory char *path = path_undeleted(record->name, &deleted);

    (void)fd;
    if (!path)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the name of %s", record->name);
    if (seen->fs_type == PROC_SUPER_MAGIC && sscanf(path, "/proc/%d%n", &pid, &used) == 1 &&
        (path[used] == '/' || !path[used])) {
        /* The mount may be of our pid namespace or of theirs. */
        uint32_t target = target_by_pid(capture, pid);
        pid = target != UINT32_MAX ? capture->targets[target].inner_pid : capture_target(capture, pid) ? pid : 0;
        if (!pid)
            return seen_refuse(capture, seen, "close it before the checkpoint",
                               "%s, which belongs to a process outside of the scope", record->name);
        if (strncmp(path + used, "/task/", 6) == 0 && atoi(path + used + 6) != pid)
            return seen_refuse(capture, seen, "close it before the checkpoint", "%s, which belongs to one thread",
                               record->name);
    } else {
        pid = used = 0;
    }
    buffer_u32(&state, (uint32_t)pid);
    buffer_string(&state, path + used);
    return state_set(record, &state, err);
}

bool proc_is_late(const struct restore *restore, const struct description *description)
{
    struct reader state = state_reader(description);

    (void)restore;
    return reader_u32(&state) != 0;
}

int proc_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    int32_t pid = (int32_t)reader_u32(&state);
    auto_memory char *rest = reader_string(&state);
    auto_memory char *path = NULL;

    if (state.failed)
        return state_corrupt(description, err);
    if (pid) {
        pid_t now = restore_pid_now(restore, pid);
        if (!now)
            return state_corrupt(description, err);
        if (asprintf(&path, "/proc/%d%s", now, rest) < 0)
            return error_set(err, CAESURA_ENOMEM_, "cannot hold the name of %s", description->name);
    }
    return restore_take(restore, description->id,
                        restore_open_path(restore, path ? path : rest, description->flags, err), err);
}

/* ---- namespaces. State: name below /proc/PID/ns ---- */

bool namespace_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    (void)capture;
    return seen->fs_type == NSFS_MAGIC;
}

/* Only the one that the process lives in, which will be that of the restored processes, too. */
int namespace_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    const struct description *record = seen_record(capture, seen);
    char kind[32], path[64];
    struct stat own;
    auto_buffer state = {0};

    (void)fd;
    snprintf(kind, sizeof kind, "%.*s", (int)strcspn(record->name, ":"), record->name);
    snprintf(path, sizeof path, "/proc/%d/ns/%s", capture->targets[seen->target].pid, kind);
    if (stat(path, &own) || own.st_ino != seen->st.st_ino || own.st_dev != seen->st.st_dev)
        return seen_refuse(capture, seen, "close it before the checkpoint",
                           "namespace %s, which is not the one that the process lives in", record->name);
    buffer_string(&state, kind);
    return state_set(seen_record(capture, seen), &state, err);
}

int namespace_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    auto_memory char *kind = reader_string(&state);
    char path[64];

    if (state.failed || strchr(kind, '/'))
        return state_corrupt(description, err);
    snprintf(path, sizeof path, "/proc/self/ns/%.32s", kind);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot open %s", path);
    return restore_take(restore, description->id, fd, err);
}

/* ---- pidfds. State: inner pid, or 0 if the process is gone ---- */

bool process_fd_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    (void)capture;
    return seen->info.has_pid;
}

int process_fd_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    auto_buffer state = {0};
    int32_t pid = 0;

    (void)fd;
    if (seen->info.pid > 0) {
        uint32_t target = target_by_pid(capture, seen->info.pid);
        if (target == UINT32_MAX)
            return seen_refuse(capture, seen, "take that process into the scope, or close the descriptor before",
                               "a pidfd of process %d, which is outside of the scope", seen->info.pid);
        pid = capture->targets[target].inner_pid;
    } else if (seen->info.pid == 0) {
        return seen_refuse(capture, seen, "close it before the checkpoint",
                           "a pidfd of a process that is not in our pid namespace");
    }
    buffer_u32(&state, (uint32_t)pid);
    return state_set(seen_record(capture, seen), &state, err);
}

bool process_fd_is_late(const struct restore *restore, const struct description *description)
{
    return proc_is_late(restore, description);
}

/* A process that has ended and been waited for; every such one is as good as the other. */
static int pidfd_of_the_dead(struct caesura_error *err)
{
    pid_t child = fork();
    if (child < 0)
        return error_errno(err, errno, "cannot start a process");
    if (!child)
        _exit(0);
    int fd = (int)syscall(SYS_pidfd_open, child, 0), saved = errno;
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return fd < 0 ? error_errno(err, saved, "cannot make a pidfd") : fd;
}

int process_fd_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    int32_t pid = (int32_t)reader_u32(&state);

    if (state.failed)
        return state_corrupt(description, err);
    if (!pid)
        return restore_take(restore, description->id, pidfd_of_the_dead(err), err);
    pid_t now = restore_pid_now(restore, pid);
    if (!now)
        return state_corrupt(description, err);
    /* O_EXCL: PIDFD_THREAD, Linux 6.9. */
    int fd = (int)syscall(SYS_pidfd_open, now, description->flags & (O_NONBLOCK | O_EXCL));
    if (fd < 0)
        return error_errno(err, errno, "cannot make a pidfd of process %d", pid);
    return restore_take(restore, description->id, fd, err);
}
