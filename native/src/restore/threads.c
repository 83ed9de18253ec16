/* Threads, and the last settings of a process before it runs. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "core/kernel_abi.h"
#include "descriptors/descriptors.h"
#include "proc/proc.h"
#include "restore/arena.h"
#include "restore/batch.h"
#include "restore/exchange.h"

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

static const struct thread *thread_of(const struct build *build, size_t task)
{
    return task < build->process->n_threads ? &build->process->threads[task] : NULL;
}

/* Lets the first task make a thread; the kernel attaches it to us and stops it before it runs. */
static int make_thread(struct build *build, size_t index, struct caesura_error *err)
{
    const struct restore *restore = build->restore;
    int32_t tid = build->process->threads[index].tid;
    uint64_t at = remote_data(build->remote);
    struct clone_args args = {.flags = THREAD_FLAGS};
    int64_t result;
    int status, rc;

    if (restore->options.restore_pid) {
        args.set_tid = at + sizeof args;
        args.set_tid_size = 1;
    }
    if ((rc = remote_write(build->remote, at, &args, sizeof args, err)) ||
        (rc = remote_write(build->remote, at + sizeof args, &tid, sizeof tid, err)) ||
        (rc = remote_call(build->remote, &build->target.tasks[0], &result, err, SYS_clone3, at, sizeof args, 0, 0, 0,
                          0)))
        return rc;
    if (result == -EEXIST)
        return error_set(err, CAESURA_EBUSY_, "tid %d is taken", tid);
    if (result < 0)
        return error_errno(err, (int)-result, "cannot make thread %d of process %d", tid, build->process->pid);
    struct task *task = &build->target.tasks[build->target.n_tasks];
    *task = (struct task){.tid = (pid_t)result, .inner_tid = (pid_t)result, .state = TASK_STOPPED};
    if (waitpid(task->tid, &status, __WALL) < 0 || !WIFSTOPPED(status) ||
        ptrace(PTRACE_GETREGS, task->tid, 0, &task->regs) < 0)
        return error_errno(err, errno, "cannot attach to thread %d of process %d", tid, build->process->pid);
    build->target.n_tasks++;
    return 0;
}

static void set_thread(const struct build *build, const struct thread *thread, pid_t tid, struct batch *batch)
{
    struct {
        uint64_t sp;
        int32_t flags, padding;
        uint64_t size;
    } altstack = {thread->altstack_sp, (int32_t)thread->altstack_flags & ~SS_ONSTACK, 0, thread->altstack_size};
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } scheduling = {48,
                    thread->sched_policy,
                    thread->sched_flags,
                    thread->nice,
                    thread->sched_priority,
                    thread->sched_runtime_ns,
                    thread->sched_deadline_ns,
                    thread->sched_period_ns};

    (void)build;
    (void)tid;
    batch_room(batch, 4096);
    batch_call(batch, "set the tid address", BATCH_ZERO_OR_MORE, 0, SYS_set_tid_address, thread->clear_child_tid, 0, 0,
               0, 0, 0);
    if (thread->robust_list_size)
        batch_call(batch, "set the list of robust futexes", BATCH_ZERO_OR_MORE, 0, SYS_set_robust_list,
                   thread->robust_list, thread->robust_list_size, 0, 0, 0, 0);
    if (!(thread->altstack_flags & SS_DISABLE))
        batch_call(batch, "set the signal stack", BATCH_ZERO_OR_MORE, 0, SYS_sigaltstack,
                   batch_data(batch, &altstack, sizeof altstack), 0, 0, 0, 0, 0);
    if (thread->rseq)
        batch_call(batch, "register restartable sequences", BATCH_ZERO_OR_MORE, 0, SYS_rseq, thread->rseq,
                   thread->rseq_size, thread->rseq_flags, thread->rseq_signature, 0, 0);
    batch_call(batch, "set the name", BATCH_ZERO_OR_MORE, 0, SYS_prctl, PR_SET_NAME,
               batch_data(batch, thread->comm, strlen(thread->comm) + 1), 0, 0, 0, 0);
    if (thread->timerslack_ns)
        batch_call(batch, "set the timer slack", BATCH_ZERO_OR_MORE, 0, SYS_prctl, PR_SET_TIMERSLACK,
                   thread->timerslack_ns, 0, 0, 0, 0);
    /* This host may have other processors, and this user fewer rights: the program runs all the same. */
    if (thread->affinity.size && thread->affinity.size <= 1024)
        batch_call(batch, "set the processor affinity", BATCH_ANYTHING, 0, SYS_sched_setaffinity, 0,
                   thread->affinity.size, batch_data(batch, thread->affinity.data, thread->affinity.size), 0, 0, 0);
    batch_call(batch, "set the nice value", BATCH_ANYTHING, 0, SYS_setpriority, PRIO_PROCESS, 0, (uint64_t)thread->nice,
               0, 0, 0);
    batch_call(batch, "set the scheduling", BATCH_ANYTHING, 0, SYS_sched_setattr, 0,
               batch_data(batch, &scheduling, sizeof scheduling), 0, 0, 0, 0);
    batch_call(batch, "set the I/O priority", BATCH_ANYTHING, 0, SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0,
               thread->ioprio, 0, 0, 0);
}

int build_threads(struct build *build, struct caesura_error *err)
{
    const struct process *process = build->process;
    struct batch *batch = malloc(sizeof *batch);
    int rc = batch ? 0 : error_errno(err, ENOMEM, "cannot build process %d", process->pid);

    if (rc)
        return rc;
    /* A leader that has ended is no thread in the context; ours makes the others first, and ends last. */
    build->leader_ended = process->n_threads && process->threads[0].tid != process->pid;
    if (build->leader_ended)
        rc = make_thread(build, 0, err);
    for (uint32_t i = 1; i < process->n_threads && !rc; i++)
        rc = make_thread(build, i, err);
    for (size_t i = 0; i < process->n_threads && !rc; i++) {
        struct task *task = &build->target.tasks[i + (build->leader_ended ? 1 : 0)];
        batch_start(batch, build->remote, task, err);
        set_thread(build, thread_of(build, i), task->tid, batch);
        rc = batch_flush(batch);
    }
    free(batch);
    return rc;
}

/*
 * The timer that a pending signal is of. Such a signal is not queued: the timer is made to expire anew, since only then does
 * the kernel know the two to belong together, and counts overruns.
 */
static const struct timer *timer_of(const struct process *process, const siginfo_t *info)
{
    for (uint32_t i = 0; i < process->n_timers && info->si_code == SI_TIMER; i++)
        if (process->timers[i].id == info->si_timerid && (int)process->timers[i].signo == info->si_signo)
            return &process->timers[i];
    return NULL;
}

static bool is_pending_in(const struct process *process, const struct timer *timer, const struct pending *list,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].siginfo.size >= sizeof(siginfo_t) && timer_of(process, list[i].siginfo.data) == timer)
            return true;
    return false;
}

static bool is_pending(const struct process *process, const struct timer *timer)
{
    bool found = is_pending_in(process, timer, process->pending, process->n_pending);
    for (uint32_t i = 0; i < process->n_threads; i++)
        found |= is_pending_in(process, timer, process->threads[i].pending, process->threads[i].n_pending);
    return found;
}

static void queue_pending(const struct process *process, const struct pending *list, uint32_t count, bool shared,
                          const struct task *task, pid_t pid, struct batch *batch)
{
    for (uint32_t i = 0; i < count; i++) {
        const siginfo_t *info = list[i].siginfo.data;
        if (list[i].siginfo.size < sizeof *info || timer_of(process, info))
            continue;
        batch_room(batch, sizeof *info);
        uint64_t at = batch_data(batch, info, sizeof *info);
        if (shared)
            batch_call(batch, "queue a signal", BATCH_ZERO_OR_MORE, 0, SYS_rt_sigqueueinfo, (uint64_t)pid,
                       (uint64_t)info->si_signo, at, 0, 0, 0);
        else
            batch_call(batch, "queue a signal", BATCH_ZERO_OR_MORE, 0, SYS_rt_tgsigqueueinfo, (uint64_t)pid,
                       (uint64_t)task->tid, (uint64_t)info->si_signo, at, 0, 0);
    }
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

/* tid of a thread of the context as it is now. */
static pid_t tid_now(const struct build *build, int32_t tid)
{
    for (uint32_t i = 0; i < build->process->n_threads; i++)
        if (build->process->threads[i].tid == tid)
            return build->target.tasks[i + (build->leader_ended ? 1 : 0)].tid;
    return 0;
}

static uint64_t timer_event(const struct build *build, const struct timer *timer, struct batch *batch)
{
    struct {
        uint64_t value;
        int32_t signo, notify, tid, padding[11];
    } event = {timer->sigval, (int32_t)timer->signo, (int32_t)timer->notify, 0, {0}};

    _Static_assert(sizeof event == 64, "struct sigevent of the kernel");
    if (timer->notify & SIGEV_THREAD_ID)
        event.tid = tid_now(build, timer->tid);
    return batch_data(batch, &event, sizeof event);
}

/*
 * Timers get the ids that they had: with PR_TIMER_CREATE_RESTORE_IDS, or, on kernels before 6.15, by making and deleting
 * timers until the id comes, for the kernel counts up.
 */
static int make_timer(struct build *build, const struct timer *timer, bool by_id, struct batch *batch,
                      struct caesura_error *err)
{
    int32_t id = timer->id;

    for (int tries = 0; tries <= timer->id + 1; tries++) {
        batch_room(batch, 256);
        uint64_t at = batch_data(batch, &id, sizeof id);
        batch_call(batch, "make a timer", BATCH_ZERO_OR_MORE, 0, SYS_timer_create, (uint64_t)timer->clock,
                   timer_event(build, timer, batch), at, 0, 0, 0);
        int32_t got;
        int rc = batch_flush(batch);
        if (!rc)
            rc = remote_read(build->remote, at, &got, sizeof got, err);
        if (rc)
            return rc;
        if (got == timer->id)
            return 0;
        if (by_id || got > timer->id)
            break;
        batch_call(batch, "delete a timer", BATCH_ZERO_OR_MORE, 0, SYS_timer_delete, (uint64_t)got, 0, 0, 0, 0, 0);
        if ((rc = batch_flush(batch)))
            return rc;
    }
    return error_set(err, CAESURA_EUNSUPPORTED, "timer %d of process %d cannot get its number again", timer->id,
                     build->process->pid);
}

static int make_timers(struct build *build, struct batch *batch, struct caesura_error *err)
{
    const struct process *process = build->process;
    int rc = 0;

    if (!process->n_timers)
        return 0;
    batch_call(batch, "ask for timer numbers", BATCH_ANYTHING, 0, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS,
               PR_TIMER_CREATE_RESTORE_IDS_ON, 0, 0, 0, 0);
    if ((rc = batch_flush(batch)))
        return rc;
    bool by_id = batch->calls[0].result == 0;
    /* In the order of their ids, which the kernel without by_id needs. */
    for (int32_t id = -1, next; !rc; id = next) {
        const struct timer *timer = NULL;
        for (uint32_t i = 0; i < process->n_timers; i++)
            if (process->timers[i].id > id && (!timer || process->timers[i].id < timer->id))
                timer = &process->timers[i];
        if (!timer)
            break;
        next = timer->id;
        rc = make_timer(build, timer, by_id, batch, err);
    }
    batch_call(batch, "end asking for timer numbers", BATCH_ANYTHING, 0, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS,
               PR_TIMER_CREATE_RESTORE_IDS_OFF, 0, 0, 0, 0);
    return rc ? rc : batch_flush(batch);
}

static void arm_timers(const struct process *process, struct batch *batch)
{
    for (uint32_t i = 0; i < process->n_timers; i++) {
        const struct timer *timer = &process->timers[i];
        struct itimerspec when = {timespec_of(timer->interval_ns), timespec_of(timer->value_ns)};
        batch_room(batch, sizeof when);
        if (is_pending(process, timer))
            when.it_value = timespec_of(1);
        if (when.it_value.tv_sec || when.it_value.tv_nsec)
            batch_call(batch, "arm a timer", BATCH_ZERO_OR_MORE, 0, SYS_timer_settime, (uint64_t)timer->id, 0,
                       batch_data(batch, &when, sizeof when), 0, 0, 0);
    }
    for (uint32_t i = 0; i < process->n_itimers; i++) {
        const struct itimer *timer = &process->itimers[i];
        /* No time left: its signal is pending. One that fires at once is in the same state. */
        uint64_t value_us = timer->value_us ? timer->value_us : 1;
        struct itimerval when = {{(time_t)(timer->interval_us / 1000000), (suseconds_t)(timer->interval_us % 1000000)},
                                 {(time_t)(value_us / 1000000), (suseconds_t)(value_us % 1000000)}};
        batch_room(batch, sizeof when);
        batch_call(batch, "arm an interval timer", BATCH_ZERO_OR_MORE, 0, SYS_setitimer, timer->which,
                   batch_data(batch, &when, sizeof when), 0, 0, 0, 0);
    }
}

/* Hard limits can only be raised by root; a lower one is then kept. */
static void set_limits(const struct process *process, struct batch *batch)
{
    for (uint32_t i = 0; i < process->n_limits; i++) {
        struct rlimit64 wanted = {process->limits[i].soft, process->limits[i].hard}, now;
        if (syscall(SYS_prlimit64, 0, process->limits[i].resource, NULL, &now))
            continue;
        batch_room(batch, 2 * sizeof wanted);
        uint64_t full = batch_data(batch, &wanted, sizeof wanted);
        if (wanted.rlim_max > now.rlim_max) {
            wanted.rlim_max = now.rlim_max;
            if (wanted.rlim_cur > wanted.rlim_max)
                wanted.rlim_cur = wanted.rlim_max;
            batch_call(batch, "set a resource limit", BATCH_ANYTHING, 0, SYS_prlimit64, 0, process->limits[i].resource,
                       batch_data(batch, &wanted, sizeof wanted), 0, 0, 0);
        }
        batch_call(batch, "set a resource limit", BATCH_ANYTHING, 0, SYS_prlimit64, 0, process->limits[i].resource,
                   full, 0, 0, 0);
    }
}

static void set_capabilities(const struct process *process, struct batch *batch)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    for (int i = 0; i < 2; i++)
        data[i] = (struct __user_cap_data_struct){(uint32_t)(process->cap_effective >> (32 * i)),
                                                  (uint32_t)(process->cap_permitted >> (32 * i)),
                                                  (uint32_t)(process->cap_inheritable >> (32 * i))};
    batch_room(batch, sizeof header + sizeof data);
    uint64_t at = batch_data(batch, &header, sizeof header);
    batch_call(batch, "set the capabilities", BATCH_ZERO_OR_MORE, 0, SYS_capset, at,
               batch_data(batch, data, sizeof data), 0, 0, 0, 0);
    for (uint64_t bit = 0; bit < 64; bit++)
        if (process->cap_ambient >> bit & 1)
            batch_call(batch, "raise an ambient capability", BATCH_ZERO_OR_MORE, 0, SYS_prctl, PR_CAP_AMBIENT,
                       PR_CAP_AMBIENT_RAISE, bit, 0, 0, 0);
}

/* User and group ids, capabilities. Rights that the restart itself needs are given up here, so it comes last. */
static void set_identity(const struct process *process, struct batch *batch)
{
    bool same_ids = process->uid_real == getuid() && process->uid_effective == geteuid() &&
                    process->uid_saved == geteuid() && process->gid_real == getgid() &&
                    process->gid_effective == getegid() && process->gid_saved == getegid();

    batch_room(batch, process->groups.size + 64);
    /* In a user namespace of one user groups cannot be set, and are what they were. */
    batch_call(batch, "set the groups", same_ids ? BATCH_ANYTHING : BATCH_ZERO_OR_MORE, 0, SYS_setgroups,
               process->groups.size / 4,
               batch_data(batch, process->groups.data ? process->groups.data : "", process->groups.size), 0, 0, 0, 0);
    for (uint64_t bit = 0; bit < 64; bit++)
        if (!(process->cap_bounding >> bit & 1) && prctl(PR_CAPBSET_READ, bit, 0, 0, 0) == 1)
            batch_call(batch, "drop a capability", BATCH_ANYTHING, 0, SYS_prctl, PR_CAPBSET_DROP, bit, 0, 0, 0, 0);
    if (!same_ids) {
        batch_call(batch, "keep capabilities", BATCH_ZERO_OR_MORE, 0, SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0, 0);
        batch_call(batch, "set the group ids", BATCH_ZERO_OR_MORE, 0, SYS_setresgid, process->gid_real,
                   process->gid_effective, process->gid_saved, 0, 0, 0);
        batch_call(batch, "set the file system group id", BATCH_ZERO_OR_MORE, 0, SYS_setfsgid, process->gid_fs, 0, 0, 0,
                   0, 0);
        batch_call(batch, "set the user ids", BATCH_ZERO_OR_MORE, 0, SYS_setresuid, process->uid_real,
                   process->uid_effective, process->uid_saved, 0, 0, 0);
        batch_call(batch, "set the file system user id", BATCH_ZERO_OR_MORE, 0, SYS_setfsuid, process->uid_fs, 0, 0, 0,
                   0, 0);
    }
    batch_call(batch, "set the secure bits", process->securebits ? BATCH_ZERO_OR_MORE : BATCH_ANYTHING, 0, SYS_prctl,
               PR_SET_SECUREBITS, process->securebits, 0, 0, 0, 0);
    set_capabilities(process, batch);
    if (!same_ids)
        batch_call(batch, "stop keeping capabilities", BATCH_ANYTHING, 0, SYS_prctl, PR_SET_KEEPCAPS,
                   process->securebits >> 4 & 1, 0, 0, 0, 0);
    if (process->no_new_privs)
        batch_call(batch, "set no_new_privs", BATCH_ZERO_OR_MORE, 0, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0);
}

static int finish_task(struct build *build, size_t index, struct batch *batch, struct caesura_error *err)
{
    const struct process *process = build->process;
    const struct thread *thread = thread_of(build, index);
    struct task *task = &build->target.tasks[index + (build->leader_ended ? 1 : 0)];

    batch_start(batch, build->remote, task, err);
    queue_pending(process, thread->pending, thread->n_pending, false, task, build->target.pid, batch);
    set_identity(process, batch);
    if (thread->pdeathsig)
        batch_call(batch, "set the signal for the parent's death", BATCH_ZERO_OR_MORE, 0, SYS_prctl, PR_SET_PDEATHSIG,
                   thread->pdeathsig, 0, 0, 0, 0);
    return batch_flush(batch);
}

/*
 * Children that are to be stopped are so by now, which their parent is told of: a report that it had taken already is taken
 * again, and the signal too.
 */
static void take_stop_reports(const struct build *build, struct batch *batch)
{
    const struct context *context = build->restore->context;
    const uint64_t sigchld = 1ull << (SIGCHLD - 1);
    const struct timespec now = {0};

    for (uint32_t i = 0; i < context->n_processes; i++) {
        const struct process *child = &context->processes[i];
        if (child->ppid != build->process->pid || child->state != PROCESS_STOPPED)
            continue;
        batch_room(batch, 64);
        if (!child->stop_unreported)
            batch_call(batch, "take the report of a stopped child", BATCH_ANYTHING, 0, SYS_waitid, P_PID,
                       (uint64_t)build->restore->pids[i], 0, WSTOPPED | WNOHANG, 0, 0);
        uint64_t set = batch_data(batch, &sigchld, sizeof sigchld);
        batch_call(batch, "take a signal", BATCH_ANYTHING, 0, SYS_rt_sigtimedwait, set, 0,
                   batch_data(batch, &now, sizeof now), sizeof sigchld, 0, 0);
    }
}

/* The kernel drops a process's POSIX locks on a file with any close of it: the descriptors for mapping were such. */
static int lock_again(const struct build *build, struct batch *batch, struct caesura_error *err)
{
    struct descriptor_lock *locks;
    size_t count;
    int rc = descriptors_locks(build->restore, build->process, &locks, &count, err);

    if (rc)
        return rc;
    for (size_t i = 0; i < count; i++) {
        batch_room(batch, sizeof locks[i].lock);
        batch_call(batch, "take a file lock again", BATCH_ZERO_OR_MORE, 0, SYS_fcntl, (uint64_t)locks[i].fd, F_SETLK,
                   batch_data(batch, &locks[i].lock, sizeof locks[i].lock), 0, 0, 0);
    }
    free(locks);
    return 0;
}

static int finish_process(struct build *build, struct batch *batch, struct caesura_error *err)
{
    const struct process *process = build->process;
    const struct restore *restore = build->restore;
    int rc;

    batch_start(batch, build->remote, &build->target.tasks[0], err);
    if ((rc = make_timers(build, batch, err)))
        return rc;
    batch_call(batch, "set the personality", BATCH_ZERO_OR_MORE, 0, SYS_personality, process->personality, 0, 0, 0, 0,
               0);
    batch_call(batch, "close what the restart had open", BATCH_ZERO_OR_MORE, 0, SYS_close_range,
               (uint64_t)restore->fd_base, ~0u, 0, 0, 0, 0);
    if ((rc = lock_again(build, batch, err)))
        return rc;
    take_stop_reports(build, batch);
    set_limits(process, batch);
    arm_timers(process, batch);
    queue_pending(process, process->pending, process->n_pending, true, NULL, build->target.pid, batch);
    return batch_flush(batch);
}

static int set_registers(const struct build *build, size_t index, struct caesura_error *err)
{
    const struct thread *thread = thread_of(build, index);
    const struct task *task = &build->target.tasks[index + (build->leader_ended ? 1 : 0)];
    struct iovec xstate = {thread->xstate.data, thread->xstate.size};
    arch_regs regs;

    if (thread->regs.size != sizeof regs)
        return error_set(err, CAESURA_EFORMAT, "thread %d has registers of another architecture", thread->tid);
    memcpy(&regs, thread->regs.data, sizeof regs);
    arch_fix_restart_block(&regs);
    if (ptrace(PTRACE_SETREGSET, task->tid, ARCH_NT_XSTATE, &xstate) < 0) {
        error_errno(err, errno, "cannot set the processor state of thread %d", thread->tid);
        err->code = CAESURA_ECPU;
        return error_hint(err, "%s", error_remedy(CAESURA_ECPU));
    }
    if (ptrace(PTRACE_SETREGS, task->tid, 0, &regs) < 0 ||
        ptrace(PTRACE_SETSIGMASK, task->tid, sizeof thread->sigmask, &thread->sigmask) < 0)
        return error_errno(err, errno, "cannot set the registers of thread %d", thread->tid);
    return 0;
}

static int run_to_syscall_stop(pid_t tid)
{
    int status;
    for (;;) {
        if (ptrace(PTRACE_SYSCALL, tid, 0, 0) < 0 || waitpid(tid, &status, __WALL) < 0 || !WIFSTOPPED(status))
            return -ESRCH;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            return 0;
    }
}

/*
 * The first task unmaps the arena, by an instruction that is not in it, and stops anew where the kernel looks after
 * interrupted system calls, since that is what its registers may tell of.
 */
static int leave_arena(struct build *build, struct caesura_error *err)
{
    const struct arena *arena = build->restore->arena;
    struct task *task = &build->target.tasks[0];
    arch_regs regs = task->regs;
    int status;

    arch_enter_syscall(&regs, build->syscall_ip, SYS_munmap, arena->start, arena->size);
    if (ptrace(PTRACE_SETREGS, task->tid, 0, &regs) < 0 || run_to_syscall_stop(task->tid) ||
        run_to_syscall_stop(task->tid) || ptrace(PTRACE_GETREGS, task->tid, 0, &regs) < 0 ||
        arch_syscall_result(&regs) != 0)
        return error_set(err, CAESURA_EENGINE, "process %d cannot unmap what the restart had mapped",
                         build->process->pid);
    if (ptrace(PTRACE_INTERRUPT, task->tid, 0, 0) < 0 || ptrace(PTRACE_CONT, task->tid, 0, 0) < 0 ||
        waitpid(task->tid, &status, __WALL) < 0 || !WIFSTOPPED(status))
        return error_set(err, CAESURA_ESRCH_, "process %d ended during its restart", build->process->pid);
    return 0;
}

int build_finish(struct build *build, struct caesura_error *err)
{
    const struct process *process = build->process;
    struct batch *batch = malloc(sizeof *batch);
    int rc =
        batch ? finish_process(build, batch, err) : error_errno(err, ENOMEM, "cannot build process %d", process->pid);

    for (uint32_t i = 0; i < process->n_threads && !rc; i++)
        rc = finish_task(build, i, batch, err);
    if (!rc) {
        /* Only now: a change of identity takes it away. 2 cannot be set, but is what such a change gives. */
        batch_start(batch, build->remote, &build->target.tasks[0], err);
        if (process->dumpable < 2)
            batch_call(batch, "set whether it may be dumped", BATCH_ZERO_OR_MORE, 0, SYS_prctl, PR_SET_DUMPABLE,
                       process->dumpable, 0, 0, 0, 0);
        rc = batch_flush(batch);
    }
    free(batch);
    if (!rc)
        rc = remote_end(build->remote, err);
    if (!rc)
        build->remote = NULL;
    if (!rc)
        rc = leave_arena(build, err);
    for (uint32_t i = 0; i < process->n_threads && !rc; i++)
        rc = set_registers(build, i, err);
    if (!rc && build->leader_ended) {
        arch_regs regs = build->target.tasks[0].regs;
        arch_enter_syscall(&regs, build->syscall_ip, SYS_exit, 0, 0);
        if (ptrace(PTRACE_SETREGS, build->target.tasks[0].tid, 0, &regs) < 0)
            rc = error_errno(err, errno, "cannot end the first thread of process %d", process->pid);
    }
    return rc;
}

int build_release(struct build *build, struct caesura_error *err)
{
    int signal = build->restore->options.signal;

    /* SIGTSTP and kin stop no process of a group without a parent outside that could continue it: then SIGSTOP does. */
    if (build->process->state == PROCESS_STOPPED && kill(build->target.pid, (int)build->process->stop_signal) < 0)
        return error_errno(err, errno, "cannot stop process %d", build->process->pid);
    if (signal && !build->signal_left && kill(build->target.pid, signal) < 0)
        return error_errno(err, errno, "cannot send signal %d to process %d", signal, build->process->pid);
    for (size_t i = 0; i < build->target.n_tasks; i++)
        if (ptrace(PTRACE_DETACH, build->target.tasks[i].tid, 0, 0) < 0 && errno != ESRCH)
            return error_errno(err, errno, "cannot let go of thread %d", build->target.tasks[i].tid);
    for (size_t i = 0; i < build->target.n_tasks; i++)
        build->target.tasks[i].state = TASK_GONE;
    return 0;
}

int build_await_stop(const struct build *build, struct caesura_error *err)
{
    struct timespec nap = {.tv_nsec = 200000};

    for (int tries = 0; tries < 5000; tries++) {
        struct proc_stat stat;
        if (proc_stat(build->target.pid, &stat) || stat.state == 'Z')
            return error_set(err, CAESURA_ERSTRTABRT, "process %d ended instead of stopping", build->process->pid);
        if (stat.state == 'T')
            return 0;
        if (tries == 50 && kill(build->target.pid, SIGSTOP) < 0)
            break;
        nanosleep(&nap, NULL);
    }
    return error_set(err, CAESURA_ERSTRTABRT, "process %d does not stop", build->process->pid);
}

void build_free(struct build *build)
{
    if (build->target.n_tasks && build->target.tasks[0].state != TASK_GONE) {
        kill(build->target.pid, SIGKILL);
        for (size_t i = build->target.n_tasks; i-- > 0;)
            while (waitpid(build->target.tasks[i].tid, NULL, __WALL) < 0 && errno == EINTR)
                ;
    }
    if (build->remote)
        remote_end(build->remote, NULL);
    free(build->former_vdso);
    build->former_vdso = NULL;
    free(build->target.tasks);
    build->target.tasks = NULL;
}
