/* sections.c - critical sections, and the spinlocks. */
#include "internal.h"

#include <pthread.h>
#include <sched.h>

/* Enters or says that a request is there. All signals are blocked, for a handler may come here too. */
static bool enter(struct thread *self)
{
    sigset_t all, before;
    bool entered = true;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!self->depth) {
        /* The count first, then the look: the checkpointer, which stops everything before it writes, does it the other way. */
        control_add(sections, 1);
        entered = control_load(request) == LIBCR_IDLE;
        if (!entered)
            control_add(sections, -1u);
    }
    if (entered)
        self->depth++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return entered;
}

static int check(cr_client_id_t id)
{
    if (!libcr_self)
        return libcr_fail(CR_ENOINIT);
    if (id == CR_ID_CALLBACK ? !libcr_self->run : id != libcr_self->id)
        return libcr_fail(EINVAL);
    return 0;
}

EXPORTED int cr_tryenter_cs(cr_client_id_t id)
{
    if (check(id) < 0)
        return -1;
    return libcr_self->run || enter(libcr_self) ? 0 : 1;
}

EXPORTED int cr_enter_cs(cr_client_id_t id)
{
    int saved = errno;

    if (check(id) < 0)
        return -1;
    /* A callback is part of the checkpoint that a critical section would wait for. */
    while (!libcr_self->run && !enter(libcr_self))
        request_await_end();
    errno = saved;
    return 0;
}

EXPORTED int cr_leave_cs(cr_client_id_t id)
{
    int saved = errno;
    sigset_t all, before;
    bool outermost;

    if (check(id) < 0)
        return -1;
    struct thread *self = libcr_self;
    if (self->run)
        return 0;
    if (!self->depth)
        return libcr_fail(EINVAL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    outermost = !--self->depth;
    if (outermost)
        control_add(sections, -1u);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (outermost)
        request_await_end();
    errno = saved;
    return 0;
}

EXPORTED int cr_status(void)
{
    if (!libcr_self)
        return libcr_fail(CR_ENOINIT);
    switch (control_load(request)) {
    case LIBCR_IDLE:
        return CR_STATE_IDLE;
    case LIBCR_PENDING:
        return control_load(sections) ? CR_STATE_PENDING : CR_STATE_ACTIVE;
    default:
        return CR_STATE_ACTIVE;
    }
}

EXPORTED void cr_spinlock_init(cr_spinlock_t *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

EXPORTED int cr_spinlock_trylock(cr_spinlock_t *lock)
{
    return !__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE);
}

EXPORTED void cr_spinlock_lock(cr_spinlock_t *lock)
{
    while (!cr_spinlock_trylock(lock))
        while (__atomic_load_n(lock, __ATOMIC_RELAXED))
            sched_yield();
}

EXPORTED void cr_spinlock_unlock(cr_spinlock_t *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}
