#include "supervisor/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "files/files.h"
#include "proc/proc.h"
#include "supervisor/channel.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

enum { PID_STEP = 512 };

/* What the processes that set the namespaces up write into a pipe to the caller. Smaller than PIPE_BUF, so whole. */
struct setup_report {
    enum { SETUP_PID = 1, SETUP_READY, SETUP_FAILED } kind;
    pid_t pid;
    struct caesura_error error;
};
_Static_assert(sizeof(struct setup_report) <= 4096, "a report has to be written in one piece");

struct setup {
    const struct namespace_request *request;
    namespace_main_fn main;
    void *data;
    int32_t last_pid;
    int channel[2]; /* [0] the supervisor's end, [1] that of pid 1 */
    int reports[2];
};

int32_t namespace_pid_base(pid_t host_pid, int32_t pid_max)
{
    int32_t places = (pid_max - pid_max / 4) / PID_STEP;

    /* Not a mixing hash: supervisors started one after the other are sure to get different places this way. */
    return places < 1 ? 0 : PID_STEP * (1 + host_pid % places);
}

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* Returns 0 or -errno. */
static int write_text(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int write_text(const char *path, const char *fmt, ...)
{
    char text[256];
    va_list args;
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    va_start(args, fmt);
    int size = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    int result = write(fd, text, (size_t)size) == size ? 0 : -errno;
    close(fd);
    return result;
}

/* -1 if the file cannot be read. */
static long read_number(const char *path)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    return size > 0 ? strtol(text, NULL, 10) : -1;
}

static int forbidden(struct caesura_error *err, int errno_value, const char *what, const char *why)
{
    error_set(err, CAESURA_ENAMESPACE, "cannot %s: %s%s%s%s", what, strerror(errno_value), why ? " (" : "",
              why ? why : "", why ? ")" : "");
    return -CAESURA_ENAMESPACE;
}

/* The usual switches behind a refusal, so that the message can name the one that an administrator would have to change. */
static const char *refusal_reason(int errno_value)
{
    if (errno_value == ENOSPC && read_number("/proc/sys/user/max_user_namespaces") == 0)
        return "user namespaces are switched off: /proc/sys/user/max_user_namespaces is 0";
    if (errno_value == ENOSPC)
        return "a limit in /proc/sys/user/max_*_namespaces is reached, or namespaces are nested too deep";
    if (errno_value == EINVAL)
        return "the kernel was built without them";
    if (read_number("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        return "/proc/sys/kernel/unprivileged_userns_clone is 0";
    if (read_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") > 0)
        return "/proc/sys/kernel/apparmor_restrict_unprivileged_userns is set";
    if (errno_value == EPERM)
        return "a container's or the site's rules forbid it";
    return NULL;
}

static int map_ids(uid_t uid, gid_t gid, struct caesura_error *err)
{
    /* An ordinary user may map a group only after giving up setgroups(). */
    int result = write_text("/proc/self/setgroups", "deny");
    if (result == 0)
        result = write_text("/proc/self/uid_map", "%u %u 1", uid, uid);
    if (result == 0)
        result = write_text("/proc/self/gid_map", "%u %u 1", gid, gid);
    if (result < 0)
        return forbidden(err, -result, "map the user into a new user namespace", refusal_reason(-result));
    return 0;
}

static int set_clocks(const struct namespace_request *request, struct caesura_error *err)
{
    const int64_t second = 1000000000;
    const int64_t offsets[2] = {request->monotonic_offset_ns, request->boottime_offset_ns};
    int64_t seconds[2], rest[2];

    for (int i = 0; i < 2; i++) {
        rest[i] = (offsets[i] % second + second) % second; /* the kernel wants 0 .. 999999999 for negative ones too */
        seconds[i] = (offsets[i] - rest[i]) / second;
    }
    int result = write_text("/proc/self/timens_offsets", "monotonic %lld %lld\nboottime %lld %lld\n",
                            (long long)seconds[0], (long long)rest[0], (long long)seconds[1], (long long)rest[1]);
    if (result < 0)
        return forbidden(err, -result, "set the clocks of a time namespace", NULL);
    return 0;
}

static int unshare_all(const struct namespace_request *request, struct caesura_error *err)
{
    int flags =
        CLONE_NEWPID | CLONE_NEWNS | (request->own_clocks ? CLONE_NEWTIME : 0) | (request->own_ipc ? CLONE_NEWIPC : 0);
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int result = 0;

    /* Root of a container may lack the right to do it directly; then root is an ordinary user to the kernel. */
    if (uid != 0 || unshare(flags) < 0) {
        if (unshare(flags | CLONE_NEWUSER) < 0)
            return forbidden(err, errno,
                             request->own_clocks ? "make a user, pid, mount and time namespace"
                                                 : "make a user, pid and mount namespace",
                             refusal_reason(errno));
        result = map_ids(uid, gid, err);
    }
    if (result == 0 && request->own_clocks)
        result = set_clocks(request, err);
    return result;
}

static int mount_all(const struct namespace_request *request, struct caesura_error *err)
{
    /* Slave, not private: nothing of ours gets out, but home folders that the automounter mounts later still come in. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return forbidden(err, errno, "detach the mounts of a new namespace", refusal_reason(errno));
    if (request->private_shm && mount(FILES_SHM_SOURCE, "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0)
        return forbidden(err, errno, "mount a private /dev/shm", NULL);
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return forbidden(err, errno, "mount /proc in a new pid namespace",
                         errno == EPERM ? "a container that hides parts of /proc forbids it" : NULL);
    return 0;
}

static int set_last_pid(const struct setup *setup, struct caesura_error *err)
{
    if (setup->last_pid <= 0)
        return 0;
    int result = write_text("/proc/sys/kernel/ns_last_pid", "%d", setup->last_pid);
    /* Without CONFIG_CHECKPOINT_RESTORE there is no such file; spreading the pids is a comfort, not a need. */
    if (result < 0 && !(result == -ENOENT && setup->request->last_pid == NAMESPACE_SPREAD))
        return forbidden(err, -result, "choose the first pid of a new pid namespace", NULL);
    return 0;
}

static void report(const struct setup *setup, int kind, pid_t pid, const struct caesura_error *err)
{
    struct setup_report message = {.kind = kind, .pid = pid};

    if (err)
        message.error = *err;
    /* If the supervisor is gone there is nobody to tell, and the channel will say so. */
    ssize_t ignored = write(setup->reports[1], &message, sizeof message);
    (void)ignored;
}

static void run_init(struct setup *setup)
{
    struct caesura_error err;
    struct channel_message message;
    int passed;
    int result = mount_all(setup->request, &err);

    prctl(PR_SET_NAME, "caesura-init");
    if (result == 0)
        result = set_last_pid(setup, &err);
    report(setup, result == 0 ? SETUP_READY : SETUP_FAILED, 0, result == 0 ? NULL : &err);
    close(setup->reports[1]);
    /* From the message on the supervisor is our parent, so its death now is what PR_SET_PDEATHSIG watches. */
    if (result < 0 || channel_receive(setup->channel[1], true, &message, &passed) != 1)
        _exit(1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (channel_is_dead(setup->channel[1]))
        _exit(1);
    _exit(setup->main(setup->channel[1], setup->data));
}

/* The process between: unshare() puts only its children into the new pid namespace. It ends as soon as pid 1 exists. */
static void run_middle(struct setup *setup)
{
    struct caesura_error err;

    close(setup->channel[0]);
    close(setup->reports[0]);
    if (unshare_all(setup->request, &err) < 0) {
        report(setup, SETUP_FAILED, 0, &err);
        _exit(1);
    }
    pid_t pid = fork();
    if (pid == 0)
        run_init(setup);
    if (pid < 0) {
        forbidden(&err, errno, "start the first process of a new pid namespace", refusal_reason(errno));
        report(setup, SETUP_FAILED, 0, &err);
        _exit(1);
    }
    report(setup, SETUP_PID, pid, NULL);
    _exit(0);
}

static void wait_for(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Reads reports until pid 1 is ready or something failed. *pid is set as soon as it is known, also on failure. */
static int await_ready(int reports, pid_t *pid, struct caesura_error *err)
{
    struct setup_report message;
    bool ready = false;

    *pid = 0;
    while (!ready || *pid == 0) {
        ssize_t size = read(reports, &message, sizeof message);
        if (size < 0 && errno == EINTR)
            continue;
        if (size != sizeof message)
            return error_set(err, CAESURA_EAGAIN_, "a process that was setting up namespaces died");
        if (message.kind == SETUP_FAILED) {
            *err = message.error;
            return -err->code;
        }
        if (message.kind == SETUP_PID)
            *pid = message.pid;
        else
            ready = true;
    }
    return 0;
}

/* Reads the pid that may still be under way when pid 1 was the one to fail. */
static pid_t late_pid(int reports)
{
    struct setup_report message;

    while (read(reports, &message, sizeof message) == sizeof message)
        if (message.kind == SETUP_PID)
            return message.pid;
    return 0;
}

int namespace_enter(const struct namespace_request *request, namespace_main_fn main, void *data,
                    struct namespace_child *child, struct caesura_error *err)
{
    struct caesura_error unused;
    struct setup setup = {.request = request,
                          .main = main,
                          .data = data,
                          .last_pid = request->last_pid,
                          .channel = {-1, -1},
                          .reports = {-1, -1}};
    int was_subreaper = 0;
    pid_t pid = 0;
    int result;

    if (!err)
        err = &unused;
    /* By the host's pid_max: since Linux 6.14 a namespace starts with a larger one of its own, but the pids must be possible
     * on whichever node restarts the job. */
    if (setup.last_pid == NAMESPACE_SPREAD)
        setup.last_pid = namespace_pid_base(getpid(), (int32_t)read_number("/proc/sys/kernel/pid_max"));
    prctl(PR_GET_CHILD_SUBREAPER, &was_subreaper);
    if ((result = channel_open(setup.channel, err)) < 0)
        return result;
    if (pipe2(setup.reports, O_CLOEXEC) < 0) {
        result = error_errno(err, errno, "cannot make a pipe");
        goto fail;
    }
    /* As a subreaper we inherit pid 1 when the process between has ended. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t middle = fork();
    if (middle == 0)
        run_middle(&setup);
    if (middle < 0) {
        result = error_errno(err, errno, "cannot fork");
        goto fail;
    }
    close(setup.channel[1]);
    close(setup.reports[1]);
    setup.channel[1] = setup.reports[1] = -1;
    result = await_ready(setup.reports[0], &pid, err);
    wait_for(middle);
    if (result < 0 && pid == 0)
        pid = late_pid(setup.reports[0]);
    if (result == 0 && channel_send(setup.channel[0], CHANNEL_GO, 0, -1) < 0)
        result = error_set(err, CAESURA_EAGAIN_, "the first process of a new pid namespace died");
    if (result < 0) {
        if (pid > 0) {
            kill(pid, SIGKILL);
            wait_for(pid);
        }
        goto fail;
    }
    prctl(PR_SET_CHILD_SUBREAPER, was_subreaper);
    close(setup.reports[0]);
    child->pid = pid;
    child->channel = setup.channel[0];
    return 0;

fail:
    prctl(PR_SET_CHILD_SUBREAPER, was_subreaper);
    close_all(setup.channel, 2);
    close_all(setup.reports, 2);
    return result;
}

/* ---- without ---------------------------------------------------------------------------------------------------------- */

/* Rounds of killing our children and reaping one: whose parent dies becomes our child, so in the end all are met. */
static void kill_descendants(void)
{
    pid_t *children;
    size_t count;

    do {
        if (proc_children(getpid(), &children, &count) < 0)
            return;
        for (size_t i = 0; i < count; i++)
            kill(children[i], SIGKILL);
        free(children);
    } while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR);
}

int namespace_without(namespace_main_fn main, void *data, struct namespace_child *child, struct caesura_error *err)
{
    int channel[2];
    int result = channel_open(channel, err);

    if (result < 0)
        return result;
    pid_t pid = fork();
    if (pid == 0) {
        close(channel[0]);
        prctl(PR_SET_NAME, "caesura-init");
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        result = main(channel[1], data);
        kill_descendants();
        _exit(result);
    }
    int reason = errno;
    close(channel[1]);
    if (pid < 0) {
        close(channel[0]);
        return error_errno(err, reason, "cannot fork");
    }
    child->pid = pid;
    child->channel = channel[0];
    return 0;
}
