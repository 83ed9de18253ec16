#include "freeze/freeze.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/error.h"
#include "freeze/scope.h"
#include "freeze/stand.h"
#include "proc/proc.h"

#define SEIZE_OPTIONS \
    (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEVFORKDONE)
#define DEFAULT_TIMEOUT_MS 10000u
#define VFORK_PATIENCE_NS 5000000ull /* a task that does not stop for so long may be waiting in vfork() */

struct freezer {
    struct caesura_capture *capture;
    struct pid_list skip;
    uint64_t deadline_ns;
};

static struct target *target_by_pid(const struct caesura_capture *capture, pid_t pid)
{
    for (size_t i = 0; i < capture->n_targets; i++)
        if (capture->targets[i].pid == pid)
            return &capture->targets[i];
    return NULL;
}

static struct target *target_add(struct caesura_capture *capture, pid_t pid, struct caesura_error *err)
{
    if (capture->n_targets == capture->capacity) {
        size_t want = capture->capacity ? capture->capacity * 2 : 16;
        struct target *grown = realloc(capture->targets, want * sizeof *grown);
        if (!grown) {
            error_errno(err, ENOMEM, "cannot list the processes of the scope");
            return NULL;
        }
        capture->targets = grown;
        capture->capacity = want;
    }
    struct target *target = &capture->targets[capture->n_targets++];
    *target = (struct target){.pid = pid, .live_tid = pid, .pidfd = -1};
    return target;
}

static struct task *task_by_tid(const struct target *target, pid_t tid)
{
    for (size_t i = 0; i < target->n_tasks; i++)
        if (target->tasks[i].tid == tid)
            return &target->tasks[i];
    return NULL;
}

static struct task *task_add(struct target *target, pid_t tid, struct caesura_error *err)
{
    if (target->n_tasks == target->capacity) {
        size_t want = target->capacity ? target->capacity * 2 : 4;
        struct task *grown = realloc(target->tasks, want * sizeof *grown);
        if (!grown) {
            error_errno(err, ENOMEM, "cannot list the threads of process %d", target->pid);
            return NULL;
        }
        target->tasks = grown;
        target->capacity = want;
    }
    struct task *task = &target->tasks[target->n_tasks++];
    *task = (struct task){.tid = tid};
    return task;
}

/* Takes out tasks that have ended. */
static void tasks_sweep(struct target *target)
{
    size_t kept = 0;
    for (size_t i = 0; i < target->n_tasks; i++)
        if (target->tasks[i].state != TASK_GONE)
            target->tasks[kept++] = target->tasks[i];
    target->n_tasks = kept;
}

/* A tracer that is no debugger but somebody else's checkpoint, or a restart that is still building. */
static bool is_checkpointer(pid_t tracer)
{
    char *text;
    bool found = false;

    if (!proc_read(tracer, "maps", &text, NULL)) {
        found = strstr(text, "/libcapture.so") || strstr(text, "/cr-restore");
        free(text);
    }
    return found;
}

static int refuse_traced(pid_t pid, pid_t tracer, bool allow, struct caesura_error *err)
{
    if (is_checkpointer(tracer)) {
        error_set(err, CAESURA_EBUSY_, "another checkpoint or restart of process %d is under way (process %d)", pid,
                  tracer);
        error_hint(err, "wait until it is done");
    } else {
        error_set(err, CAESURA_EPTRACED, "process %d is being traced by process %d", pid, tracer);
        if (allow)
            error_hint(err, "detach the debugger: the kernel allows a process only one tracer at a time");
    }
    return error_about(err, pid, -1);
}

static int seize_refused(struct target *target, pid_t tid, int errno_value, struct caesura_error *err)
{
    struct proc_status status;

    if (!proc_task_status(target->pid, tid, &status) && status.tracer && status.tracer != getpid())
        return refuse_traced(target->pid, status.tracer, false, err);
    error_errno(err, errno_value, "cannot attach to process %d", target->pid);
    return error_about(err, target->pid, -1);
}

/* Attaches to threads that are not attached yet; *added counts them. */
static int tasks_seize(struct target *target, size_t *added, struct caesura_error *err)
{
    pid_t *tids;
    size_t count, live = 0;
    int rc = proc_tasks(target->pid, &tids, &count);

    if (rc == -ESRCH)
        return 0;
    if (rc)
        return error_errno(err, -rc, "cannot list the threads of process %d", target->pid);
    for (size_t i = 0; !rc && i < count; i++) {
        struct proc_status status;
        if (task_by_tid(target, tids[i])) {
            live++;
            continue;
        }
        if (ptrace(PTRACE_SEIZE, tids[i], 0, SEIZE_OPTIONS) < 0) {
            int why = errno;
            /* A thread that is ending cannot be attached to (EPERM), and needs not; it may have vanished meanwhile. */
            if (why == ESRCH || proc_task_status(target->pid, tids[i], &status) || strchr("ZX", status.state))
                continue;
            rc = seize_refused(target, tids[i], why, err);
            break;
        }
        if (ptrace(PTRACE_INTERRUPT, tids[i], 0, 0) < 0 && errno != ESRCH)
            rc = error_errno(err, errno, "cannot interrupt task %d", tids[i]);
        if (!rc && !task_add(target, tids[i], err))
            rc = -ENOMEM;
        live++;
        (*added)++;
    }
    free(tids);
    target->zombie = !rc && !live;
    return rc;
}

/* A new task that the kernel attached to us when an attached one made it. */
static int task_born(struct freezer *freezer, pid_t parent, pid_t tid, struct caesura_error *err)
{
    struct caesura_capture *capture = freezer->capture;
    struct target *target = target_by_pid(capture, parent);
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/task/%d", parent, tid);
    if (access(path, F_OK) < 0) {
        if (target_by_pid(capture, tid))
            return 0;
        target = target_add(capture, tid, err);
        if (!target)
            return -ENOMEM;
        target->foreign = capture->request.scope == CAESURA_SCOPE_PID;
    }
    if (!task_by_tid(target, tid) && !task_add(target, tid, err))
        return -ENOMEM;
    return 0;
}

static void task_continue(struct task *task, int signo)
{
    task->state = TASK_RUNNING;
    /* Any stop takes a pending interruption away (ptrace_stop() in the kernel), so it is asked for again. */
    if (!task->loose)
        ptrace(PTRACE_INTERRUPT, task->tid, 0, 0);
    if (ptrace(PTRACE_CONT, task->tid, 0, signo) < 0 && errno == ESRCH)
        task->state = TASK_GONE;
}

/* Everything but the exec'ing thread is gone, and it has taken the leader's number. */
static void process_execed(struct target *target)
{
    for (size_t i = 0; i < target->n_tasks; i++)
        if (target->tasks[i].tid != target->pid)
            target->tasks[i].state = TASK_GONE;
    struct task *leader = task_by_tid(target, target->pid);
    if (leader) {
        leader->loose = false;
        task_continue(leader, 0);
    }
}

/* What waitpid() told of a task. Targets and tasks may move in memory. */
static int task_event(struct freezer *freezer, pid_t pid, pid_t tid, int status, struct caesura_error *err)
{
    struct task *task = task_by_tid(target_by_pid(freezer->capture, pid), tid);
    int event = status >> 16, rc = 0;
    unsigned long message = 0;

    if (!WIFSTOPPED(status)) {
        task->state = TASK_GONE;
        return 0;
    }
    switch (event) {
    case PTRACE_EVENT_STOP:
        task->state = TASK_STOPPED;
        task->stop_signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
        stand_mend(task);
        return 0;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
        if (ptrace(PTRACE_GETEVENTMSG, tid, 0, &message) == 0)
            rc = task_born(freezer, pid, (pid_t)message, err);
        task_continue(task_by_tid(target_by_pid(freezer->capture, pid), tid), 0);
        return rc;
    case PTRACE_EVENT_EXEC:
        process_execed(target_by_pid(freezer->capture, pid));
        return 0;
    case 0:
        /* A signal on its way to the program is let through; our stop comes before its handler's first instruction. */
        task_continue(task, WSTOPSIG(status));
        return 0;
    default:
        task_continue(task, 0);
        return 0;
    }
}

/* Children that share the address space of a parent which waits in vfork() have to run until they exec or end. */
static void loosen_vforked(struct caesura_capture *capture, pid_t parent)
{
    for (size_t i = 0; i < capture->n_targets; i++) {
        struct target *child = &capture->targets[i];
        struct proc_stat stat;
        if (child->pid == parent || !child->n_tasks || proc_stat(child->pid, &stat) || stat.ppid != parent)
            continue;
        if (syscall(SYS_kcmp, parent, child->pid, KCMP_VM, 0, 0) != 0)
            continue;
        for (size_t k = 0; k < child->n_tasks; k++)
            if (child->tasks[k].state == TASK_STOPPED) {
                child->tasks[k].loose = true;
                task_continue(&child->tasks[k], 0);
            }
    }
}

static int deadline_error(struct freezer *freezer, struct caesura_error *err)
{
    struct caesura_capture *capture = freezer->capture;

    for (size_t i = 0; i < capture->n_targets; i++)
        for (size_t k = 0; k < capture->targets[i].n_tasks; k++)
            if (capture->targets[i].tasks[k].state == TASK_RUNNING) {
                struct proc_status status = {0};
                proc_task_status(capture->targets[i].pid, capture->targets[i].tasks[k].tid, &status);
                error_set(err, CAESURA_EAGAIN_, "task %d of process %d did not stop in time (state %c)",
                          capture->targets[i].tasks[k].tid, capture->targets[i].pid, status.state ? status.state : '?');
                error_hint(err, "try again when it is out of its disk wait, or raise the time limit");
                return error_about(err, capture->targets[i].pid, -1);
            }
    return error_set(err, CAESURA_EAGAIN_, "the scope makes processes faster than they can be stopped");
}

/* One look at every running task. *running: how many still run (loose ones not counted). */
static int poll_tasks(struct freezer *freezer, size_t *running, bool *progress, struct caesura_error *err)
{
    struct caesura_capture *capture = freezer->capture;

    *running = 0;
    for (size_t i = 0; i < capture->n_targets; i++)
        for (size_t k = 0; k < capture->targets[i].n_tasks; k++) {
            struct task *task = &capture->targets[i].tasks[k];
            int status;
            if (task->state != TASK_RUNNING)
                continue;
            pid_t got = waitpid(task->tid, &status, __WALL | WNOHANG);
            if (got < 0) {
                task->state = TASK_GONE;
            } else if (got == 0) {
                *running += !task->loose;
                continue;
            } else {
                int rc = task_event(freezer, capture->targets[i].pid, task->tid, status, err);
                if (rc)
                    return rc;
                task = &capture->targets[i].tasks[k];
                *running += task->state == TASK_RUNNING && !task->loose;
            }
            *progress = true;
        }
    return 0;
}

/*
 * Until every attached task stands still, or one does not for so long that it may be waiting in vfork(), perhaps for a child
 * that we do not know yet (*stuck).
 */
static int wait_all(struct freezer *freezer, bool *stuck, struct caesura_error *err)
{
    uint64_t quiet_since = clock_now_ns();
    struct timespec nap = {.tv_nsec = 20000};

    for (;;) {
        size_t running;
        bool progress = false;
        int rc = poll_tasks(freezer, &running, &progress, err);
        if (rc || !running)
            return rc;
        uint64_t now = clock_now_ns();
        if (progress) {
            quiet_since = now;
            nap.tv_nsec = 20000;
            continue;
        }
        if (now > freezer->deadline_ns)
            return deadline_error(freezer, err);
        if (now - quiet_since > VFORK_PATIENCE_NS) {
            struct caesura_capture *capture = freezer->capture;
            for (size_t i = 0; i < capture->n_targets; i++)
                for (size_t k = 0; k < capture->targets[i].n_tasks; k++)
                    if (capture->targets[i].tasks[k].state == TASK_RUNNING && !capture->targets[i].tasks[k].loose)
                        loosen_vforked(capture, capture->targets[i].pid);
            *stuck = true;
            return 0;
        }
        nanosleep(&nap, NULL);
        if (nap.tv_nsec < 1000000)
            nap.tv_nsec *= 2;
    }
}

/* A process that asked to be left out by loading libcr_omit. */
static bool omits_itself(pid_t pid)
{
    char *text;
    bool found = false;

    if (!proc_read(pid, "maps", &text, NULL)) {
        found = strstr(text, "/libcr_omit.so") != NULL;
        free(text);
    }
    return found;
}

/* May this process be taken? *skipped: it is to be left out silently. */
static int admit(struct freezer *freezer, pid_t pid, bool *skipped, struct caesura_error *err)
{
    const struct caesura_capture_request *request = &freezer->capture->request;
    struct proc_status status;
    int rc = proc_status(pid, &status);

    *skipped = false;
    if (rc == -ESRCH)
        return 0;
    if (rc)
        return error_errno(err, -rc, "cannot read the status of process %d", pid);
    if (status.tracer && status.tracer != getpid()) {
        if (!(request->flags & CAESURA_PTRACED_SKIP) || is_checkpointer(status.tracer))
            return refuse_traced(pid, status.tracer, request->flags & CAESURA_PTRACED_ALLOW, err);
        *skipped = true;
    } else if (omits_itself(pid)) {
        *skipped = true;
    }
    if (*skipped)
        return pid_list_append(&freezer->skip, pid, err);
    return 0;
}

/* Processes of the scope that trace others: found by looking at everybody's tracer, before anything is stopped. */
static int look_for_tracers(struct freezer *freezer, const struct pid_list *members, struct caesura_error *err)
{
    pid_t *pids;
    size_t count;
    int rc = proc_all(&pids, &count);

    if (rc)
        return error_errno(err, -rc, "cannot list /proc");
    for (size_t i = 0; !rc && i < count; i++) {
        struct proc_status status;
        if (proc_status(pids[i], &status) || !status.tracer || !pid_list_has(members, status.tracer))
            continue;
        if (freezer->capture->request.flags & CAESURA_PTRACER_SKIP) {
            rc = pid_list_append(&freezer->skip, status.tracer, err);
        } else {
            error_set(err, CAESURA_EPTRACER, "process %d traces process %d", status.tracer, pids[i]);
            rc = error_about(err, status.tracer, -1);
        }
    }
    free(pids);
    return rc;
}

/* Attaches to members that are new. */
static int members_seize(struct freezer *freezer, const struct pid_list *members, size_t *added,
                         struct caesura_error *err)
{
    for (size_t i = 0; i < members->count; i++) {
        bool skipped;
        if (target_by_pid(freezer->capture, members->pids[i]) ||
            pid_list_has(&freezer->capture->left_out, members->pids[i]))
            continue;
        int rc = admit(freezer, members->pids[i], &skipped, err);
        if (rc)
            return rc;
        (*added)++;
        if (skipped)
            continue;
        struct target *target = target_add(freezer->capture, members->pids[i], err);
        if (!target)
            return -ENOMEM;
        size_t tasks = 0;
        if ((rc = tasks_seize(target, &tasks, err)))
            return rc;
    }
    return 0;
}

/* Threads that were made while their process was being attached to. */
static int tasks_again(struct freezer *freezer, size_t *added, struct caesura_error *err)
{
    for (size_t i = 0; i < freezer->capture->n_targets; i++) {
        struct target *target = &freezer->capture->targets[i];
        if (target->zombie || target->foreign)
            continue;
        int rc = tasks_seize(target, added, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* Processes that ended meanwhile and left nothing, and those that are none of ours. */
static void targets_sweep(struct caesura_capture *capture, const struct pid_list *members)
{
    size_t kept = 0;

    for (size_t i = 0; i < capture->n_targets; i++) {
        struct target *target = &capture->targets[i];
        tasks_sweep(target);
        bool gone = !target->n_tasks && !target->zombie;
        if (target->foreign)
            for (size_t k = 0; k < target->n_tasks; k++)
                ptrace(PTRACE_DETACH, target->tasks[k].tid, 0, 0);
        if (gone || target->foreign || (target->zombie && !pid_list_has(members, target->pid))) {
            free(target->tasks);
            continue;
        }
        if (target->n_tasks)
            target->live_tid = target->tasks[0].tid;
        capture->targets[kept++] = *target;
    }
    capture->n_targets = kept;
}

static int freeze_all(struct freezer *freezer, struct caesura_error *err)
{
    struct caesura_capture *capture = freezer->capture;
    struct pid_list members = {0};
    int rc = 0;

    for (bool first = true;; first = false) {
        size_t added = 0;
        bool moved = false, stuck = false;
        if ((rc = scope_members_with(&capture->request, capture->forwarded, capture->n_forwarded, &freezer->skip,
                                     &members, err)))
            break;
        if (first && (rc = look_for_tracers(freezer, &members, err)))
            break;
        if (first && freezer->skip.count &&
            (rc = scope_members_with(&capture->request, capture->forwarded, capture->n_forwarded, &freezer->skip,
                                     &members, err)))
            break;
        if (first)
            capture->frozen_at_ns = clock_now_ns(); /* the pause begins */
        if ((rc = members_seize(freezer, &members, &added, err)) || (rc = wait_all(freezer, &stuck, err)) ||
            (rc = tasks_again(freezer, &added, err)) || (rc = wait_all(freezer, &stuck, err)))
            break;
        targets_sweep(capture, &members);
        if (!added && !stuck && (rc = stand_check(capture, &moved, err)))
            break;
        if (!added && !stuck && !moved)
            break;
        if (clock_now_ns() > freezer->deadline_ns) {
            rc = deadline_error(freezer, err);
            break;
        }
    }
    pid_list_free(&members);
    if (!rc && !capture->n_targets)
        rc = error_set(err, CAESURA_ESRCH_, "every process of the scope has ended or left itself out");
    return rc;
}

int freeze_scope(struct caesura_capture *capture, struct caesura_error *err)
{
    uint32_t timeout_ms = capture->request.timeout_ms ? capture->request.timeout_ms : DEFAULT_TIMEOUT_MS;
    struct freezer freezer = {.capture = capture};

    capture->frozen_at_ns = clock_now_ns();
    freezer.deadline_ns = capture->frozen_at_ns + timeout_ms * 1000000ull;
    int rc = freeze_all(&freezer, err);
    pid_list_free(&freezer.skip);
    if (rc)
        freeze_release(capture);
    capture->result.freeze_ns = clock_now_ns() - capture->frozen_at_ns;
    return rc;
}

/* A task that a signal has ended meanwhile: as long as we do not wait for it, its parent cannot. */
static void task_bury(const struct task *task)
{
    int status;
    while (waitpid(task->tid, &status, __WALL) > 0 && WIFSTOPPED(status))
        ptrace(PTRACE_CONT, task->tid, 0, 0);
}

static void task_release(struct task *task)
{
    int status, signo = 0;

    if (task->state == TASK_GONE)
        return;
    /* Only a stopped task can be detached; after a failed freeze some may still run. */
    if (task->state == TASK_RUNNING) {
        ptrace(PTRACE_INTERRUPT, task->tid, 0, 0);
        if (waitpid(task->tid, &status, __WALL) < 0 || !WIFSTOPPED(status))
            return;
        signo = status >> 16 ? 0 : WSTOPSIG(status); /* on its way to the program: handed on */
    }
    if (ptrace(PTRACE_DETACH, task->tid, 0, signo) < 0)
        task_bury(task);
    task->state = TASK_GONE;
}

/* Until processes that were stopped when we came are so again: nobody is to see them run for a moment. */
static void await_stopped(const struct caesura_capture *capture)
{
    struct timespec nap = {.tv_nsec = 50000};

    for (int tries = 0; tries < 200; tries++) {
        bool all = true;
        for (size_t i = 0; i < capture->n_targets; i++) {
            struct proc_stat stat;
            if (capture->targets[i].was_stopped && !proc_stat(capture->targets[i].pid, &stat) &&
                strchr("RSDt", stat.state))
                all = false;
        }
        if (all)
            return;
        nanosleep(&nap, NULL);
    }
}

static void target_release(struct target *target)
{
    /* Leaders last: the end of a leader is only told when its other threads are gone. */
    for (size_t k = target->n_tasks; k-- > 0;)
        task_release(&target->tasks[k]);
}

void freeze_release(struct caesura_capture *capture)
{
    bool any = false;

    for (size_t i = 0; i < capture->n_targets; i++) {
        struct target *target = &capture->targets[i];
        for (size_t k = 0; k < target->n_tasks; k++)
            target->was_stopped |= target->tasks[k].stop_signal != 0;
        if (target->was_stopped)
            target_release(target);
        any |= target->was_stopped;
    }
    if (any)
        await_stopped(capture);
    for (size_t i = 0; i < capture->n_targets; i++)
        if (!capture->targets[i].was_stopped)
            target_release(&capture->targets[i]);
    if (!capture->result.pause_ns)
        capture->result.pause_ns = clock_now_ns() - capture->frozen_at_ns;
    capture->released = true;
}
