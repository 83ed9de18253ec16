/* What only a process itself can ask the kernel: handlers, timers, prctl() settings, limits. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "capture/collect.h"
#include "core/error.h"
#include "proc/proc.h"
#include "remote/remote.h"

#define N_SIGNALS 64

/* The kernel's own layouts. */
struct kernel_sigaction {
    uint64_t handler, flags, restorer, mask;
};

struct kernel_stack {
    uint64_t sp;
    int32_t flags, padding;
    uint64_t size;
};

/* Results in the target's scratch area. */
struct answers {
    struct kernel_sigaction actions[N_SIGNALS + 1];
    struct itimerval itimers[3];
    struct rlimit64 limits[RLIM_NLIMITS];
    int32_t subreaper;
};

struct thread_answers {
    struct kernel_stack altstack;
    uint64_t clear_child_tid;
    int32_t pdeathsig, padding;
};

_Static_assert(sizeof(struct answers) <= REMOTE_DATA_BYTES, "answers");

struct batch {
    struct remote_call calls[REMOTE_CALLS_MAX];
    size_t count;
};

static size_t ask(struct batch *batch, int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    batch->calls[batch->count] = (struct remote_call){.nr = nr, .args = {a, b, c, d}};
    return batch->count++;
}

static int no_memory(struct caesura_error *err)
{
    return error_errno(err, ENOMEM, "cannot hold the state of the scope");
}

static int keep_actions(struct process *process, const struct answers *answers, struct caesura_error *err)
{
    for (uint32_t signo = 1; signo <= N_SIGNALS; signo++) {
        const struct kernel_sigaction *found = &answers->actions[signo];
        if (!found->handler && !found->flags && !found->mask)
            continue;
        struct action *action = list_add(&process->actions, &process->n_actions);
        if (!action)
            return no_memory(err);
        *action = (struct action){signo, found->handler, found->flags, found->restorer, found->mask};
    }
    return 0;
}

static uint64_t microseconds(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000u + (uint64_t)time->tv_usec;
}

static int keep_itimers(struct process *process, const struct answers *answers, struct caesura_error *err)
{
    for (uint32_t which = 0; which < 3; which++) {
        const struct itimerval *found = &answers->itimers[which];
        /* While its SIGALRM is pending a periodic timer has no time left: it goes on when the signal is taken. */
        if (!microseconds(&found->it_value) && !microseconds(&found->it_interval))
            continue;
        struct itimer *timer = list_add(&process->itimers, &process->n_itimers);
        if (!timer)
            return no_memory(err);
        *timer = (struct itimer){which, microseconds(&found->it_interval), microseconds(&found->it_value)};
    }
    return 0;
}

static int keep_limits(struct process *process, const struct answers *answers, struct caesura_error *err)
{
    for (uint32_t resource = 0; resource < RLIM_NLIMITS; resource++) {
        struct limit *limit = list_add(&process->limits, &process->n_limits);
        if (!limit)
            return no_memory(err);
        *limit = (struct limit){resource, answers->limits[resource].rlim_cur, answers->limits[resource].rlim_max};
    }
    return 0;
}

static int collect_settings(struct target *target, struct remote *remote, struct caesura_error *err)
{
    struct process *process = target->process;
    struct answers *answers = calloc(1, sizeof *answers);
    struct batch *batch = calloc(1, sizeof *batch);
    uint64_t at = remote_data(remote);
    int rc = answers && batch ? 0 : no_memory(err);

    if (rc)
        goto out;
    for (uint64_t signo = 1; signo <= N_SIGNALS; signo++)
        ask(batch, SYS_rt_sigaction, signo, 0, at + offsetof(struct answers, actions[signo]), 8);
    for (uint64_t which = 0; which < 3; which++)
        ask(batch, SYS_getitimer, which, at + offsetof(struct answers, itimers[which]), 0, 0);
    for (uint64_t resource = 0; resource < RLIM_NLIMITS; resource++)
        ask(batch, SYS_prlimit64, 0, resource, 0, at + offsetof(struct answers, limits[resource]));
    size_t subreaper = ask(batch, SYS_prctl, PR_GET_CHILD_SUBREAPER, at + offsetof(struct answers, subreaper), 0, 0);
    size_t brk = ask(batch, SYS_brk, 0, 0, 0, 0);
    size_t dumpable = ask(batch, SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0);
    size_t thp = ask(batch, SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0);
    size_t securebits = ask(batch, SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0);
    if ((rc = remote_calls(remote, &target->tasks[0], batch->calls, batch->count, err)))
        goto out;
    if ((rc = remote_read(remote, at, answers, sizeof *answers, err)))
        goto out;
    process->brk = (uint64_t)batch->calls[brk].result;
    process->dumpable = (uint32_t)batch->calls[dumpable].result;
    process->thp_disable = batch->calls[thp].result > 0;
    process->securebits = batch->calls[securebits].result > 0 ? (uint32_t)batch->calls[securebits].result : 0;
    process->child_subreaper = batch->calls[subreaper].result == 0 && answers->subreaper;
    if ((rc = keep_actions(process, answers, err)) || (rc = keep_itimers(process, answers, err)))
        goto out;
    rc = keep_limits(process, answers, err);
out:
    free(batch);
    free(answers);
    return rc;
}

/* /proc shows a tid as we see it. */
static int32_t inner_tid(const struct target *target, pid_t tid)
{
    for (size_t i = 0; i < target->n_tasks; i++)
        if (target->tasks[i].tid == tid)
            return target->tasks[i].inner_tid;
    return 0;
}

/* /proc/PID/timers: five lines for each. */
static int list_timers(struct target *target, struct caesura_error *err)
{
    struct process *process = target->process;
    struct timer *timer = NULL;
    char *text, *save = NULL, kind[32];
    int rc = proc_read(target->live_tid, "timers", &text, NULL);

    if (rc)
        return error_errno(err, -rc, "cannot read the timers of process %d (CONFIG_CHECKPOINT_RESTORE?)",
                           target->inner_pid);
    for (char *line = strtok_r(text, "\n", &save); line && !rc; line = strtok_r(NULL, "\n", &save)) {
        int id, number;
        unsigned signo;
        unsigned long long value;
        if (sscanf(line, "ID: %d", &id) == 1) {
            timer = list_add(&process->timers, &process->n_timers);
            if (!timer)
                rc = no_memory(err);
            else
                timer->id = id;
        } else if (timer && sscanf(line, "signal: %u/%llx", &signo, &value) == 2) {
            timer->signo = signo;
            timer->sigval = value;
        } else if (timer && sscanf(line, "notify: %31[^/]/%*[a-z].%d", kind, &number) == 2) {
            timer->notify = !strcmp(kind, "none") ? SIGEV_NONE : !strcmp(kind, "thread") ? SIGEV_THREAD : SIGEV_SIGNAL;
            if (strstr(line, "/tid.")) {
                timer->notify |= SIGEV_THREAD_ID;
                timer->tid = inner_tid(target, number);
            }
        } else if (timer && sscanf(line, "ClockID: %d", &number) == 1) {
            timer->clock = number;
        }
    }
    free(text);
    return rc;
}

static uint64_t nanoseconds(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
}

static int collect_timers(struct target *target, struct remote *remote, struct caesura_error *err)
{
    struct process *process = target->process;
    uint64_t at = remote_data(remote);
    int rc = list_timers(target, err);

    for (uint32_t i = 0; i < process->n_timers && !rc; i++) {
        struct timer *timer = &process->timers[i];
        struct itimerspec left;
        struct remote_call calls[] = {
            {.nr = SYS_timer_gettime, .args = {(uint64_t)timer->id, at}},
            {.nr = SYS_timer_getoverrun, .args = {(uint64_t)timer->id}},
        };
        if ((rc = remote_calls(remote, &target->tasks[0], calls, 2, err)) ||
            (rc = remote_read(remote, at, &left, sizeof left, err)))
            break;
        if (calls[0].result < 0)
            return error_errno(err, (int)-calls[0].result, "cannot read timer %d of process %d", timer->id,
                               target->inner_pid);
        timer->interval_ns = nanoseconds(&left.it_interval);
        timer->value_ns = nanoseconds(&left.it_value);
        timer->overrun = (uint32_t)calls[1].result;
    }
    return rc;
}

static int collect_thread_calls(struct target *target, struct task *task, struct thread *thread, struct remote *remote,
                                struct caesura_error *err)
{
    uint64_t at = remote_data(remote);
    struct thread_answers answers;
    struct remote_call calls[] = {
        {.nr = SYS_sigaltstack, .args = {0, at + offsetof(struct thread_answers, altstack)}},
        {.nr = SYS_prctl, .args = {PR_GET_TID_ADDRESS, at + offsetof(struct thread_answers, clear_child_tid)}},
        {.nr = SYS_prctl, .args = {PR_GET_PDEATHSIG, at + offsetof(struct thread_answers, pdeathsig)}},
        {.nr = SYS_prctl, .args = {PR_GET_TIMERSLACK}},
    };
    int rc = remote_calls(remote, task, calls, 4, err);

    if (!rc)
        rc = remote_read(remote, at, &answers, sizeof answers, err);
    if (rc)
        return rc;
    if (calls[1].result < 0)
        return error_errno(err, (int)-calls[1].result,
                           "cannot ask process %d for its tid address (CONFIG_CHECKPOINT_RESTORE?)", target->inner_pid);
    thread->altstack_sp = answers.altstack.sp;
    thread->altstack_flags = (uint32_t)answers.altstack.flags;
    thread->altstack_size = answers.altstack.size;
    thread->clear_child_tid = answers.clear_child_tid;
    thread->pdeathsig = (uint32_t)answers.pdeathsig;
    thread->timerslack_ns = (uint64_t)calls[3].result;
    return 0;
}

/*
 * Whether new maps are locked (mlockall() with MCL_FUTURE) shows nowhere but in new maps, and the scratch area is one: then
 * it counts as locked, and its untouched pages are there unless MCL_ONFAULT was given.
 */
static int collect_lock_future(struct target *target, struct remote *remote, uint64_t locked_before,
                               struct caesura_error *err)
{
    uint64_t last = remote_data(remote) + REMOTE_DATA_BYTES - ARCH_PAGE_SIZE;
    struct proc_status status;
    uint8_t resident = 0;
    int64_t result;
    int rc = proc_status(target->live_tid, &status);

    if (rc)
        return error_errno(err, -rc, "cannot read the status of process %d", target->inner_pid);
    if (status.locked_kib <= locked_before)
        return 0;
    rc = remote_call(remote, &target->tasks[0], &result, err, SYS_mincore, last, ARCH_PAGE_SIZE, remote_data(remote), 0,
                     0, 0);
    if (!rc)
        rc = remote_read(remote, remote_data(remote), &resident, 1, err);
    target->process->lock_future = resident & 1 ? LOCK_FUTURE : LOCK_FUTURE_ONFAULT;
    return rc;
}

/* A stop that the parent has not been told of yet: only the parent can ask. */
static int collect_stops(struct caesura_capture *capture, struct target *parent, struct remote *remote,
                         struct caesura_error *err)
{
    uint64_t at = remote_data(remote);
    int rc = 0;

    for (size_t i = 0; i < capture->n_targets && !rc; i++) {
        struct target *child = &capture->targets[i];
        siginfo_t info = {0};
        int64_t result;
        if (child->parent != parent->pid || !child->n_tasks || !child->tasks[0].stop_signal)
            continue;
        if ((rc = remote_write(remote, at, &info, sizeof info, err)) ||
            (rc = remote_call(remote, &parent->tasks[0], &result, err, SYS_waitid, P_PID, (uint64_t)child->inner_pid,
                              at, WSTOPPED | WNOHANG | WNOWAIT, 0, 0)) ||
            (rc = remote_read(remote, at, &info, sizeof info, err)))
            return rc;
        child->process->stop_unreported = !result && info.si_pid == child->inner_pid;
    }
    return 0;
}

int collect_by_calls(struct caesura_capture *capture, struct target *target, struct caesura_error *err)
{
    struct remote *remote;
    struct proc_status before;
    int rc = proc_status(target->live_tid, &before);

    if (rc)
        return error_errno(err, -rc, "cannot read the status of process %d", target->inner_pid);
    if ((rc = remote_begin(target, &remote, err)))
        return rc;
    rc = collect_lock_future(target, remote, before.locked_kib, err);
    if (!rc)
        rc = collect_settings(target, remote, err);
    if (!rc)
        rc = collect_timers(target, remote, err);
    if (!rc)
        rc = collect_stops(capture, target, remote, err);
    for (size_t i = 0; i < target->n_tasks && !rc; i++)
        rc = collect_thread_calls(target, &target->tasks[i], &target->process->threads[i], remote, err);
    int end = remote_end(remote, rc ? NULL : err);
    return rc ? rc : end;
}
