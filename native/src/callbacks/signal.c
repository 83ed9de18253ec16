/* signal.c - CR_SIGNUM for the threads of a stopped process, whatever the program has done to that signal. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blcr_common.h"
#include "callbacks/find.h"
#include "callbacks/round.h"
#include "core/error.h"
#include "proc/proc.h"
#include "remote/remote.h"

/* The form that rt_sigaction() has in the kernel. */
struct kernel_action {
    uint64_t handler, flags, restorer, mask;
};

/* Puts libcr's handler back where the program has another one; libcr returns that at the end. */
static int install(struct remote *remote, struct task *task, struct participant *participant,
                   const struct libcr_control *control, struct caesura_error *err)
{
    uint64_t data = remote_data(remote);
    struct kernel_action now,
        ours = {control->handler, control->handler_flags, control->restorer, ~0ull}; /* all signals wait */
    int64_t result;
    int rc = remote_call(remote, task, &result, err, SYS_rt_sigaction, CR_SIGNUM, 0, data, sizeof now.mask, 0, 0);

    if (!rc)
        rc = remote_read(remote, data, &now, sizeof now, err);
    if (rc || result < 0)
        return rc ? rc : error_errno(err, (int)-result, "cannot see the handlers of process %d", participant->pid);
    if (now.handler == ours.handler || !ours.handler)
        return 0;
    rc = libcr_write(participant->pid, participant->address, offsetof(struct libcr_control, displaced_action), &now,
                     sizeof now);
    if (!rc)
        rc = LIBCR_PUT(participant->pid, participant->address, displaced, 1);
    if (rc)
        return error_errno(err, -rc, "cannot tell process %d of its handler", participant->pid);
    if ((rc = remote_write(remote, data, &ours, sizeof ours, err)) ||
        (rc = remote_call(remote, task, &result, err, SYS_rt_sigaction, CR_SIGNUM, data, 0, sizeof ours.mask, 0, 0)))
        return rc;
    return result < 0 ? error_errno(err, (int)-result, "cannot set the handler of process %d", participant->pid) : 0;
}

static int check_handler(struct participant *participant, struct target *target, const struct libcr_control *control,
                         struct caesura_error *err)
{
    struct remote *remote = NULL;
    int rc = remote_begin(target, &remote, err);

    if (!rc)
        rc = install(remote, &target->tasks[0], participant, control, err);
    int ended = remote_end(remote, rc ? NULL : err);
    return rc ? rc : ended;
}

/* The signal first, then the mask: should we die in between, it comes later and finds no request. */
static int signal_task(const struct callbacks *callbacks, const struct target *target, struct task *task,
                       struct caesura_error *err)
{
    const uint64_t bit = 1ull << (CR_SIGNUM - 1);
    uint64_t mask, open;
    siginfo_t info = {.si_signo = CR_SIGNUM, .si_code = SI_QUEUE};

    if (ptrace(PTRACE_GETSIGMASK, task->tid, sizeof mask, &mask) < 0)
        return error_errno(err, errno, "cannot read the signal mask of task %d", task->tid);
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)((uintptr_t)callbacks->generation << 1 | (mask & bit ? 1 : 0));
    if (syscall(SYS_rt_tgsigqueueinfo, target->pid, task->tid, CR_SIGNUM, &info) < 0)
        return error_errno(err, errno, "cannot queue signal %d for task %d", CR_SIGNUM, task->tid);
    open = mask & ~bit;
    if (open != mask && ptrace(PTRACE_SETSIGMASK, task->tid, sizeof open, &open) < 0)
        return error_errno(err, errno, "cannot set the signal mask of task %d", task->tid);
    return 0;
}

int round_signal(struct caesura_capture *capture, struct participant *participant, struct target *target,
                 const struct libcr_control *control, struct caesura_error *err)
{
    uint32_t threads = participant->helper ? 1 : 0;
    int rc = 0;

    for (size_t i = 0; i < target->n_tasks; i++) {
        struct proc_status status;
        if ((rc = proc_task_status(target->pid, target->tasks[i].tid, &status)))
            return error_errno(err, -rc, "cannot read the status of task %d", target->tasks[i].tid);
        target->inner_pid = status.inner_tgid;
        target->tasks[i].inner_tid = status.inner_pid;
        threads += target->tasks[i].inner_tid != control->helper;
    }
    if ((rc = check_handler(participant, target, control, err)))
        return rc;
    if ((rc = LIBCR_PUT(target->pid, participant->address, participants, threads)) ||
        (rc = LIBCR_PUT(target->pid, participant->address, request, LIBCR_SIGNALLED)))
        return error_errno(err, -rc, "cannot tell process %d of the checkpoint", target->pid);
    participant->participants = threads;
    participant->stage = STAGE_SIGNALLED;
    for (size_t i = 0; i < target->n_tasks && !rc; i++)
        if (target->tasks[i].inner_tid != control->helper)
            rc = signal_task(capture->callbacks, target, &target->tasks[i], err);
    return rc;
}
