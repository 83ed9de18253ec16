/* run.c - running the callbacks of a thread around a checkpoint, and what they may call. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void descend(struct run *run);

/* What cr_checkpoint() returns by a verdict. */
static int result_of(uint32_t verdict)
{
    switch (verdict) {
    case LIBCR_CONTINUE:
        return 0;
    case LIBCR_RESTART:
        return 1;
    case LIBCR_OMITTED:
        return -CR_EOMITTED;
    default:
        return -libcr_errno(control_load(verdict_code));
    }
}

static int await_verdict(void)
{
    uint32_t generation = control_load(generation), verdict;
    struct patience patience = {0};

    while ((verdict = control_load(verdict)) == LIBCR_WAIT) {
        futex_wait(&libcr_control.verdict, LIBCR_WAIT, LIBCR_WAIT_MS);
        if (!patience_left(&patience))
            request_abandon(generation);
    }
    return result_of(verdict);
}

/* The first that says no counts. */
static int refuse(struct run *run, uint32_t answer, uint32_t code)
{
    uint32_t fine = LIBCR_FINE;

    /* Two of them at once may give one's answer with the other's code; both are failures of this process. */
    if (control_load(answer) == LIBCR_FINE)
        control_store(code, code);
    __atomic_compare_exchange_n(&libcr_control.answer, &fine, answer, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    run->left = 0;
    await_verdict();
    if (answer == LIBCR_OMIT)
        return -CR_EOMITTED;
    return code ? -libcr_errno(code) : -(answer == LIBCR_TEMP_FAILURE ? CR_ETEMPFAIL : CR_EPERMFAIL);
}

/* A callback that returns something else than 0 is a failure for good. */
static void callback_failed(struct run *run)
{
    if (!run->called)
        run->result = refuse(run, LIBCR_PERM_FAILURE, 0);
    kill(getpid(), SIGKILL);
}

/* Runs the callbacks that are left, the last one first, and waits for the checkpoint at the bottom. */
static void descend(struct run *run)
{
    while (run->left) {
        uint32_t index = --run->left;
        struct callback callback = run->list->items[index];
        if (!callback.function)
            continue;
        if (control_load(verdict) != LIBCR_WAIT || control_load(answer) != LIBCR_FINE)
            break;
        run->running = index;
        run->called = false;
        int rc = callback.function(callback.arg);
        /* It may have called cr_checkpoint(), and with it all that were below. */
        run->running = index;
        if (rc) {
            callback_failed(run);
            return;
        }
        if (run->called)
            return;
        run->called = true;
    }
    run->left = 0;
    control_add(arrived, 1);
    run->result = await_verdict();
}

EXPORTED int cr_checkpoint(int flags)
{
    struct run *run = libcr_self ? libcr_self->run : NULL;
    uint32_t code = (uint32_t)flags >> 16;

    if (!run || run->hooks)
        return -CR_ENOTCB;
    if (run->called)
        return -EINVAL;
    uint32_t index = run->running;
    switch (flags & 0xffff) {
    case CR_CHECKPOINT_READY:
        run->called = true;
        descend(run);
        break;
    case CR_CHECKPOINT_TEMP_FAILURE:
        run->called = true;
        run->result = refuse(run, LIBCR_TEMP_FAILURE, code);
        break;
    case CR_CHECKPOINT_PERM_FAILURE:
        run->called = true;
        run->result = refuse(run, LIBCR_PERM_FAILURE, code);
        break;
    case CR_CHECKPOINT_OMIT:
        run->called = true;
        run->result = refuse(run, LIBCR_OMIT, 0);
        break;
    default:
        return -EINVAL;
    }
    run->called = true;
    run->running = index;
    if (run->result > 0) {
        run->restart_info.requester = libcr_control.restart_requester;
        run->restart_info.src = libcr_control.src;
    }
    return run->result;
}

EXPORTED const struct cr_checkpoint_info *cr_get_checkpoint_info(void)
{
    struct run *run = libcr_self ? libcr_self->run : NULL;

    if (!run) {
        errno = libcr_self ? CR_ENOTCB : CR_ENOINIT;
        return NULL;
    }
    return &run->checkpoint_info;
}

EXPORTED const struct cr_restart_info *cr_get_restart_info(void)
{
    struct run *run = libcr_self ? libcr_self->run : NULL;

    if (!run || run->result <= 0) {
        errno = libcr_self ? CR_ENOTCB : CR_ENOINIT;
        return NULL;
    }
    return &run->restart_info;
}

EXPORTED int cr_forward_checkpoint(cr_scope_t scope, pid_t id)
{
    static cr_spinlock_t busy;
    struct run *run = libcr_self ? libcr_self->run : NULL;
    struct patience patience = {0};

    if (!libcr_self)
        return libcr_fail(CR_ENOINIT);
    if (!run || run->called || run->hooks)
        return libcr_fail(CR_ENOTCB);
    if ((int)scope < CR_SCOPE_PROC || (int)scope > CR_SCOPE_TREE || id < 0)
        return libcr_fail(EINVAL);
    if (!id)
        id = scope == CR_SCOPE_PGRP ? getpgrp() : scope == CR_SCOPE_SESS ? getsid(0) : getpid();
    /* One question at a time. The checkpointer answers, or patience ends. */
    cr_spinlock_lock(&busy);
    control_store(forward_scope, (uint32_t)scope);
    control_store(forward_id, (int32_t)id);
    control_store(forward, LIBCR_FORWARD_ASKED);
    bool lost = false;
    while (control_load(forward) == LIBCR_FORWARD_ASKED && !lost) {
        lost = control_load(verdict) != LIBCR_WAIT;
        futex_wait(&libcr_control.forward, LIBCR_FORWARD_ASKED, 10);
        lost |= !patience_left(&patience);
    }
    int rc = lost ? CR_ETEMPFAIL : control_load(forward_result);
    control_store(forward, LIBCR_FORWARD_NONE);
    cr_spinlock_unlock(&busy);
    return rc ? libcr_fail(rc) : 0;
}

/* Puts the program's own handler back, which had to give way for the request. */
static void give_signal_back(void)
{
    if (control_load(displaced) && __atomic_exchange_n(&libcr_control.displaced, 0, __ATOMIC_SEQ_CST))
        syscall(SYS_rt_sigaction, CR_SIGNUM, libcr_control.displaced_action, NULL, sizeof(uint64_t));
}

/* The last one out ends the request. Those that hold wait for him. */
static void finish(uint32_t generation, bool hold)
{
    int signal = libcr_control.final_signal;
    uint32_t count = control_add(finished, 1);

    if (control_load(generation) != generation)
        return; /* abandoned, and another one has begun */
    if (count >= control_load(participants)) {
        libcr_control.final_signal = 0;
        control_store(request, LIBCR_IDLE);
        futex_wake(&libcr_control.request);
        futex_wake(&libcr_control.finished);
        if (signal)
            kill(getpid(), signal);
        return;
    }
    while (hold && control_load(generation) == generation && control_load(request) != LIBCR_IDLE) {
        uint32_t now = control_load(finished);
        if (now < control_load(participants))
            futex_wait(&libcr_control.finished, now, LIBCR_WAIT_MS);
    }
}

static cr_hook_event_t event_of(bool restarted, bool thread_context, bool any)
{
    cr_hook_event_t event = thread_context ? CR_HOOK_CONT_THREAD_CONTEXT
                            : any          ? CR_HOOK_CONT_SIGNAL_CONTEXT
                                           : CR_HOOK_CONT_NO_CALLBACKS;
    return restarted ? event + CR_HOOK_RSTRT_SIGNAL_CONTEXT : event;
}

static bool any_callback(const struct callback_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->items[i].function)
            return true;
    return false;
}

void participate(struct callback_list *list, bool thread_context)
{
    static struct callback_list none;
    struct thread *self = libcr_self;
    struct run run = {.list = list ? list : &none, .thread_context = thread_context};
    uint32_t generation = control_load(generation);

    control_add(inside, 1);
    run.left = __atomic_load_n(&run.list->count, __ATOMIC_SEQ_CST);
    run.checkpoint_info = (struct cr_checkpoint_info){.signal = libcr_control.signal,
                                                      .dest = libcr_control.dest,
                                                      .requester = libcr_control.requester,
                                                      .target = libcr_control.target,
                                                      .scope = (cr_scope_t)libcr_control.scope};
    bool any = any_callback(run.list);
    if (self)
        self->run = &run;
    descend(&run);
    if (!thread_context)
        give_signal_back();
    run.hooks = true;
    if (run.result >= 0)
        hook_run(event_of(run.result > 0, thread_context, any));
    finish(generation, run.result >= 0 && hold_wanted(run.result > 0));
    if (self)
        self->run = NULL;
    control_add(inside, -1u);
}

/*
 * The checkpointer's signal says which request it is of, and whether the thread had it blocked. Anybody else's is none of
 * ours.
 */
void on_checkpoint_signal(int number, siginfo_t *info, void *context)
{
    uintptr_t word = (uintptr_t)info->si_value.sival_ptr;
    int saved = errno;

    if (info->si_code != SI_QUEUE || word >> 1 != control_load(generation) || control_load(pid) != getpid())
        return;
    if (word & 1)
        sigaddset(&((ucontext_t *)context)->uc_sigmask, number);
    if (control_load(request) == LIBCR_SIGNALLED)
        participate(libcr_self ? &libcr_self->callbacks : NULL, false);
    errno = saved;
}
