#include "capture/collect.h"

#include <elf.h>
#include <errno.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/error.h"
#include "core/kernel_abi.h"
#include "core/version.h"
#include "files/files.h"
#include "proc/proc.h"

static int no_memory(struct caesura_error *err)
{
    return error_errno(err, ENOMEM, "cannot hold the state of the scope");
}

static char *read_line(const char *path)
{
    char line[256] = "";
    FILE *file = fopen(path, "re");
    if (file) {
        if (!fgets(line, sizeof line, file))
            line[0] = 0;
        fclose(file);
    }
    line[strcspn(line, "\n")] = 0;
    return strdup(line);
}

static bool other_namespace(pid_t pid, const char *kind)
{
    uint64_t ours, theirs;
    return !proc_namespace(getpid(), kind, &ours) && !proc_namespace(pid, kind, &theirs) && ours != theirs;
}

/*
 * What a process's time namespace adds to a clock of the host. The file has a line "monotonic SECONDS NANOSECONDS" for each;
 * without time namespaces there is none, and nothing is added.
 */
static int64_t clock_offset_ns(pid_t pid, const char *clock)
{
    char *text;
    int64_t offset = 0;

    if (proc_read(pid, "timens_offsets", &text, NULL))
        return 0;
    const char *line = strstr(text, clock);
    if (line) {
        char *end;
        int64_t seconds = strtoll(line + strlen(clock), &end, 10);
        offset = seconds * 1000000000 + strtoll(end, NULL, 10);
    }
    free(text);
    return offset;
}

/* The clock as the scope sees it, which may live in a time namespace since an earlier restart. */
static uint64_t scope_clock_ns(clockid_t id, const char *name, pid_t pid)
{
    return clock_read_ns(id) + (uint64_t)(clock_offset_ns(pid, name) - clock_offset_ns(getpid(), name));
}

int collect_scope(struct caesura_capture *capture, struct caesura_error *err)
{
    struct scope *scope = &capture->context.scope;
    struct utsname uts;

    uname(&uts);
    scope->kind = capture->request.scope;
    scope->flags = capture->request.flags;
    scope->uid = geteuid();
    scope->gid = getegid();
    scope->host = strdup(uts.nodename);
    scope->kernel = strdup(uts.release);
    scope->boot_id = read_line("/proc/sys/kernel/random/boot_id");
    scope->release = strdup(CAESURA_VERSION);
    if (!scope->host || !scope->kernel || !scope->boot_id || !scope->release)
        return no_memory(err);
    scope->realtime_ns = clock_read_ns(CLOCK_REALTIME);
    scope->xfeatures = arch_xfeatures();
    pid_t any = capture->targets[0].pid;
    scope->monotonic_ns = scope_clock_ns(CLOCK_MONOTONIC, "monotonic", any);
    scope->boottime_ns = scope_clock_ns(CLOCK_BOOTTIME, "boottime", any);
    scope->user_namespace = other_namespace(any, "user");
    scope->pid_namespace = other_namespace(any, "pid");

    struct proc_status status;
    scope->id = capture->request.id;
    if (!proc_status(capture->request.id, &status))
        scope->id = status.inner_pid;
    for (size_t i = 0; i < capture->n_targets; i++)
        for (size_t k = 0; k < capture->targets[i].n_tasks; k++)
            if (capture->targets[i].tasks[k].inner_tid > (pid_t)scope->last_pid)
                scope->last_pid = (uint64_t)capture->targets[i].tasks[k].inner_tid;
    return 0;
}

static int copy_blob(struct blob *blob, const void *data, size_t size, struct caesura_error *err)
{
    blob->data = malloc(size ? size : 1);
    if (!blob->data)
        return no_memory(err);
    memcpy(blob->data, data, size);
    blob->size = (uint32_t)size;
    return 0;
}

static int link_string(struct target *target, const char *name, char **out, struct caesura_error *err)
{
    char path[4200];
    int rc = proc_link(target->live_tid, name, path, sizeof path);
    if (rc)
        return error_errno(err, -rc, "cannot read the link %s of process %d", name, target->inner_pid);
    *out = strdup(path);
    return *out ? 0 : no_memory(err);
}

static void identity(struct process *process, const struct proc_status *status)
{
    process->uid_real = status->uid[0];
    process->uid_effective = status->uid[1];
    process->uid_saved = status->uid[2];
    process->uid_fs = status->uid[3];
    process->gid_real = status->gid[0];
    process->gid_effective = status->gid[1];
    process->gid_saved = status->gid[2];
    process->gid_fs = status->gid[3];
    process->cap_inheritable = status->cap_inheritable;
    process->cap_permitted = status->cap_permitted;
    process->cap_effective = status->cap_effective;
    process->cap_bounding = status->cap_bounding;
    process->cap_ambient = status->cap_ambient;
    process->no_new_privs = status->no_new_privs;
    process->umask = status->umask;
}

static void addresses(struct process *process, const struct proc_stat *stat)
{
    process->start_code = stat->start_code;
    process->end_code = stat->end_code;
    process->start_data = stat->start_data;
    process->end_data = stat->end_data;
    process->start_brk = stat->start_brk;
    process->start_stack = stat->start_stack;
    process->arg_start = stat->arg_start;
    process->arg_end = stat->arg_end;
    process->env_start = stat->env_start;
    process->env_end = stat->env_end;
}

/* The parent's pid in the scope's namespace; its init counts as 1. */
static int32_t inner_parent(const struct caesura_capture *capture, const struct target *target, pid_t ppid)
{
    struct proc_status parent, own;

    for (size_t i = 0; i < capture->n_targets; i++)
        if (capture->targets[i].pid == ppid)
            return capture->targets[i].inner_pid;
    if (!ppid || proc_status(ppid, &parent) || proc_status(target->pid, &own))
        return 0;
    /* Outside of the namespace there is no number for it; in the same one there is. */
    return parent.levels == own.levels ? parent.inner_pid : 0;
}

static uint32_t read_number(pid_t pid, const char *name, int base)
{
    char *text;
    uint32_t value = 0;
    if (!proc_read(pid, name, &text, NULL)) {
        value = (uint32_t)strtol(text, NULL, base);
        free(text);
    }
    return value;
}

static bool target_by_outer_pid(const struct caesura_capture *capture, pid_t pid)
{
    for (size_t i = 0; i < capture->n_targets; i++)
        if (capture->targets[i].pid == pid)
            return true;
    return false;
}

static void refuse_unsupported(struct caesura_capture *capture, const struct target *target,
                               const struct proc_status *status)
{
    static const char *const kinds[] = {"mnt", "net", "ipc", "uts", "cgroup", "time"};

    if (status->seccomp)
        capture_refuse(capture, target->inner_pid, -1, "start the program without a seccomp filter (sandbox)",
                       "process %d has a seccomp filter (mode %u)", target->inner_pid, status->seccomp);
    if (target->inner_pid == 1)
        capture_refuse(capture, 1, -1, "checkpoint what it started, not the container's init",
                       "process %d is the init of its pid namespace", target->pid);
    pid_t parent = target->parent;
    if (parent && !target_by_outer_pid(capture, parent) && !syscall(SYS_kcmp, parent, target->pid, KCMP_VM, 0, 0))
        capture_refuse(capture, target->inner_pid, -1,
                       "wait until vfork() or posix_spawn() is over, or include its parent",
                       "process %d shares its memory with its parent, which is not in the scope", target->inner_pid);
    if (target == &capture->targets[0])
        return;
    pid_t first = capture->targets[0].pid;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        uint64_t a, b;
        if (!proc_namespace(first, kinds[i], &a) && !proc_namespace(target->pid, kinds[i], &b) && a != b)
            capture_refuse(capture, target->inner_pid, -1, "start all processes of the scope in the same namespaces",
                           "process %d is in another %s namespace than process %d", target->inner_pid, kinds[i],
                           capture->targets[0].inner_pid);
    }
}

static int collect_exe(struct caesura_capture *capture, struct target *target, struct caesura_error *err)
{
    struct process *process = target->process;
    char path[64];
    struct stat st;
    int rc = link_string(target, "exe", &process->exe, err);

    if (rc)
        return rc;
    snprintf(path, sizeof path, "/proc/%d/exe", target->live_tid);
    if (stat(path, &st) < 0)
        return error_errno(err, errno, "cannot look at the executable of process %d", target->inner_pid);
    struct file_sighting sighting = {
        .path = process->exe, .st = &st, .fd = -1, .flags = FILE_EXECUTED, .pid = target->inner_pid, .holder_fd = -1};
    return files_note(capture, &sighting, &process->exe_file, err);
}

static char *command_line(pid_t pid)
{
    char *text;
    size_t size;
    if (proc_read(pid, "cmdline", &text, &size))
        return strdup("");
    for (size_t i = 0; i + 1 < size; i++)
        if (!text[i])
            text[i] = ' ';
    return text;
}

static int collect_alive(struct caesura_capture *capture, struct target *target, const struct proc_status *status,
                         struct caesura_error *err)
{
    struct process *process = target->process;
    char *text;
    size_t size;
    int rc;

    refuse_unsupported(capture, target, status);
    if (status->n_groups > sizeof status->groups / sizeof *status->groups)
        return error_set(err, CAESURA_EUNSUPPORTED, "process %d has %u supplementary groups", target->inner_pid,
                         status->n_groups);
    if ((rc = copy_blob(&process->groups, status->groups, status->n_groups * sizeof(uint32_t), err)) ||
        (rc = collect_exe(capture, target, err)) || (rc = link_string(target, "cwd", &process->cwd, err)) ||
        (rc = link_string(target, "root", &process->root, err)))
        return rc;
    rc = proc_read(target->live_tid, "auxv", &text, &size);
    if (rc)
        return error_errno(err, -rc, "cannot read the auxiliary vector of process %d", target->inner_pid);
    rc = copy_blob(&process->auxv, text, size, err);
    free(text);
    process->personality = read_number(target->live_tid, "personality", 16);
    process->oom_score_adj = (int32_t)read_number(target->live_tid, "oom_score_adj", 10);
    process->coredump_filter = read_number(target->live_tid, "coredump_filter", 16);
    process->command_line = command_line(target->live_tid);
    return rc;
}

static int peek_pending(pid_t tid, uint32_t flags, struct pending **list, uint32_t *count, struct caesura_error *err)
{
    struct __ptrace_peeksiginfo_args args = {.off = 0, .flags = flags, .nr = 32};
    static siginfo_t found[32];

    for (;;) {
        long got = ptrace(PTRACE_PEEKSIGINFO, tid, &args, found);
        if (got < 0)
            return error_errno(err, errno, "cannot read the pending signals of task %d", tid);
        for (long i = 0; i < got; i++) {
            struct pending *pending = list_add(list, count);
            if (!pending)
                return no_memory(err);
            int rc = copy_blob(&pending->siginfo, &found[i], sizeof found[i], err);
            if (rc)
                return rc;
        }
        if (got < args.nr)
            return 0;
        args.off += (uint64_t)got;
    }
}

/* struct sched_attr of sched_getattr(2), which glibc 2.36 does not declare. */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};

static int collect_scheduling(const struct task *task, struct thread *thread, struct caesura_error *err)
{
    struct scheduling attr = {0};
    uint8_t cpus[1024];

    if (syscall(SYS_sched_getattr, task->tid, &attr, sizeof attr, 0) < 0)
        return error_errno(err, errno, "cannot read the scheduling of task %d", task->inner_tid);
    thread->sched_policy = attr.policy;
    thread->sched_flags = attr.flags;
    errno = 0;
    thread->nice = getpriority(PRIO_PROCESS, (id_t)task->tid); /* also where the policy does not use it */
    if (errno)
        return error_errno(err, errno, "cannot read the nice value of task %d", task->inner_tid);
    thread->sched_priority = attr.priority;
    thread->sched_runtime_ns = attr.runtime;
    thread->sched_deadline_ns = attr.deadline;
    thread->sched_period_ns = attr.period;
    thread->ioprio = (uint32_t)syscall(SYS_ioprio_get, 1 /* IOPRIO_WHO_PROCESS */, task->tid);
    long size = syscall(SYS_sched_getaffinity, task->tid, sizeof cpus, cpus);
    if (size < 0)
        return error_errno(err, errno, "cannot read the processor affinity of task %d", task->inner_tid);
    return copy_blob(&thread->affinity, cpus, (size_t)size, err);
}

static int collect_thread(const struct task *task, struct thread *thread, struct caesura_error *err)
{
    static uint8_t xstate[ARCH_XSTATE_MAX];
    struct iovec io = {xstate, sizeof xstate};
    struct __ptrace_rseq_configuration rseq = {0};
    char *comm;
    void *head;
    size_t head_size;
    int rc;

    thread->tid = task->inner_tid;
    thread->sigmask = task->sigmask;
    if ((rc = copy_blob(&thread->regs, &task->regs, sizeof task->regs, err)))
        return rc;
    if (ptrace(PTRACE_GETREGSET, task->tid, ARCH_NT_XSTATE, &io) < 0)
        return error_errno(err, errno, "cannot read the processor state of task %d", task->inner_tid);
    if ((rc = copy_blob(&thread->xstate, xstate, io.iov_len, err)))
        return rc;
    if (!syscall(SYS_get_robust_list, task->tid, &head, &head_size)) {
        thread->robust_list = (uint64_t)head;
        thread->robust_list_size = head_size;
    }
    /* Linux before 5.13 cannot tell; glibc before 2.35 does not use it. */
    if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, task->tid, sizeof rseq, &rseq) > 0) {
        thread->rseq = rseq.rseq_abi_pointer;
        thread->rseq_size = rseq.rseq_abi_size;
        thread->rseq_signature = rseq.signature;
        thread->rseq_flags = rseq.flags;
    }
    if ((rc = proc_read_task(task->tid, task->tid, "comm", &comm, NULL)))
        return error_errno(err, -rc, "cannot read the name of task %d", task->inner_tid);
    comm[strlen(comm) ? strlen(comm) - 1 : 0] = 0;
    thread->comm = comm;
    if ((rc = collect_scheduling(task, thread, err)))
        return rc;
    return peek_pending(task->tid, 0, &thread->pending, &thread->n_pending, err);
}

int collect_process(struct caesura_capture *capture, struct target *target, struct caesura_error *err)
{
    struct process *process = target->process;
    struct proc_status status;
    struct proc_stat stat;
    int rc = proc_status(target->pid, &status);

    if (!rc)
        rc = proc_stat(target->pid, &stat);
    if (rc)
        return error_errno(err, -rc, "cannot read the state of process %d", target->pid);
    process->pid = target->inner_pid;
    process->ppid = inner_parent(capture, target, stat.ppid);
    process->pgid = status.inner_pgid;
    process->sid = status.inner_sid;
    process->exit_signal = stat.exit_signal;
    process->state = target->zombie ? PROCESS_ZOMBIE : PROCESS_RUNNING;
    process->exit_status = stat.exit_status;
    process->tty = stat.tty;
    process->tty_pgid = stat.tty_pgid;
    identity(process, &status);
    /* A leader that has ended while other threads live has no address space any more. */
    if (!target->zombie && target->live_tid != target->pid && (rc = proc_stat(target->live_tid, &stat)))
        return error_errno(err, -rc, "cannot read the state of process %d", target->pid);
    if (target->zombie) {
        char *comm;
        if (!proc_read(target->pid, "comm", &comm, NULL)) {
            comm[strcspn(comm, "\n")] = 0;
            process->command_line = comm;
        }
        return 0;
    }
    addresses(process, &stat);
    if ((rc = collect_alive(capture, target, &status, err)))
        return rc;
    process->threads = calloc(target->n_tasks, sizeof *process->threads);
    if (!process->threads)
        return no_memory(err);
    for (size_t i = 0; i < target->n_tasks; i++) {
        if (target->tasks[i].stop_signal) {
            process->state = PROCESS_STOPPED;
            process->stop_signal = (uint32_t)target->tasks[i].stop_signal;
        }
        process->n_threads++;
        if ((rc = collect_thread(&target->tasks[i], &process->threads[i], err)))
            return rc;
    }
    return peek_pending(target->tasks[0].tid, PTRACE_PEEKSIGINFO_SHARED, &process->pending, &process->n_pending, err);
}
