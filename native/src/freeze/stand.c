#include "freeze/stand.h"

#include <errno.h>
#include <linux/rseq.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "core/error.h"
#include "core/kernel_abi.h"
#include "proc/proc.h"

struct range {
    uint64_t start, end;
};

/* The code of the vdso, and with it the cave of remote/, which a healing task may still be in. */
static int vdso_of(const struct target *target, struct range *vdso, struct caesura_error *err)
{
    struct proc_map map;
    char *text;
    int rc = proc_read(target->live_tid, "maps", &text, NULL);

    if (rc)
        return error_errno(err, -rc, "cannot read the maps of process %d", target->pid);
    *vdso = (struct range){0};
    for (const char *at = text; proc_next_map(&at, &map) > 0;)
        if (!strcmp(map.name, "[vdso]"))
            *vdso = (struct range){map.start, map.end};
    free(text);
    return 0;
}

/*
 * A restartable sequence (rseq(2)) has to be aborted when its thread is interrupted. The kernel does it when the thread
 * goes on; but then the thread goes on elsewhere first (in our stub, or in another process). So it is done here.
 */
static void leave_restartable_sequence(struct task *task)
{
    struct __ptrace_rseq_configuration config;
    struct rseq_cs sequence;
    uint64_t pointer = 0, zero = 0;
    struct iovec local, there;

    if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, task->tid, sizeof config, &config) != (long)sizeof config ||
        !config.rseq_abi_pointer)
        return;
    uint64_t field = config.rseq_abi_pointer + offsetof(struct rseq, rseq_cs);
    local = (struct iovec){&pointer, sizeof pointer};
    there = (struct iovec){(void *)field, sizeof pointer};
    if (process_vm_readv(task->tid, &local, 1, &there, 1, 0) != sizeof pointer || !pointer)
        return;
    local = (struct iovec){&sequence, sizeof sequence};
    there = (struct iovec){(void *)pointer, sizeof sequence};
    if (process_vm_readv(task->tid, &local, 1, &there, 1, 0) != sizeof sequence)
        return;
    if (arch_ip(&task->regs) - sequence.start_ip >= sequence.post_commit_offset)
        return;
    arch_set_ip(&task->regs, sequence.abort_ip);
    local = (struct iovec){&zero, sizeof zero};
    there = (struct iovec){(void *)field, sizeof zero};
    if (process_vm_writev(task->tid, &local, 1, &there, 1, 0) == sizeof zero)
        ptrace(PTRACE_SETREGS, task->tid, 0, &task->regs);
}

void stand_mend(struct task *task)
{
    arch_regs regs;

    if (ptrace(PTRACE_GETREGS, task->tid, 0, &regs) < 0)
        return; /* it has ended, and waitpid() will tell */
    long before = arch_syscall_result(&regs);
    arch_fix_interrupted(&regs);
    if (arch_syscall_result(&regs) != before)
        ptrace(PTRACE_SETREGS, task->tid, 0, &regs);
}

static int task_read(const struct target *target, struct task *task, struct caesura_error *err)
{
    if (ptrace(PTRACE_GETREGS, task->tid, 0, &task->regs) < 0 ||
        ptrace(PTRACE_GETSIGMASK, task->tid, sizeof task->sigmask, &task->sigmask) < 0)
        return error_errno(err, errno, "cannot read the registers of task %d", task->tid);
    if (!arch_is_native(&task->regs)) {
        error_set(err, CAESURA_EUNSUPPORTED, "process %d runs code that is not " ARCH_NAME " (a 32-bit program?)",
                  target->pid);
        error_hint(err, "use a 64-bit build of the program");
        return error_about(err, target->pid, -1);
    }
    leave_restartable_sequence(task);
    return 0;
}

int stand_check(struct caesura_capture *capture, bool *moved, struct caesura_error *err)
{
    for (size_t i = 0; i < capture->n_targets; i++) {
        struct target *target = &capture->targets[i];
        struct range vdso = {0};
        int rc = target->n_tasks ? vdso_of(target, &vdso, err) : 0;
        if (rc)
            return rc;
        for (size_t k = 0; k < target->n_tasks; k++) {
            struct task *task = &target->tasks[k];
            if ((rc = task_read(target, task, err)))
                return rc;
            if (arch_ip(&task->regs) - vdso.start >= vdso.end - vdso.start)
                continue;
            /*
             * Another kernel's vdso has other code at this place. Single steps would lead out, but they end the program
             * if the tracer dies at that moment; so the thread runs freely and is stopped anew.
             */
            task->state = TASK_RUNNING;
            ptrace(PTRACE_CONT, task->tid, 0, 0);
            ptrace(PTRACE_INTERRUPT, task->tid, 0, 0);
            *moved = true;
        }
    }
    return 0;
}
