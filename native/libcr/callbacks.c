/* callbacks.c - registering callbacks, and the thread for those of thread context. */
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of CR_THREAD_CONTEXT. Items of a list are never taken out, so the helper may look at those that it has counted. */
static struct callback_list thread_callbacks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool helper_runs;

void callbacks_reset(void)
{
    /* The lock may have been held by another thread of the parent. */
    pthread_mutex_init(&lock, NULL);
    thread_callbacks = (struct callback_list){0};
    helper_runs = false;
}

/* The lock is for the lists' growth; a request that comes meanwhile finds a list without the new callback or with it. */
static int append(struct callback_list *list, cr_callback_t function, void *arg)
{
    if (list->count == CR_MAX_CALLBACKS)
        return libcr_fail(ENOSPC);
    if (list->count == list->capacity) {
        uint32_t want = list->capacity ? list->capacity * 2 : 8;
        struct callback *items = calloc(want, sizeof *items), *old = list->items;
        if (!items)
            return libcr_fail(ENOMEM);
        if (old)
            memcpy(items, old, list->count * sizeof *items);
        __atomic_store_n(&list->items, items, __ATOMIC_SEQ_CST);
        list->capacity = want;
        /* The helper may be looking at the old array; it is small, and there are few of them. */
        if (list != &thread_callbacks)
            free(old);
    }
    list->items[list->count] = (struct callback){function, arg};
    __atomic_store_n(&list->count, list->count + 1, __ATOMIC_SEQ_CST);
    if (function)
        control_add(enrolled, 1);
    return (int)list->count - 1;
}

static void replace(struct callback *callback, cr_callback_t function, void *arg)
{
    control_add(enrolled, (uint32_t)(function != NULL) - (uint32_t)(callback->function != NULL));
    *callback = (struct callback){function, arg};
}

/* Waits for requests, and runs what has to be run in it. */
static void *helper(void *unused)
{
    uint32_t seen = control_load(first);

    (void)unused;
    if (cr_init() < 0)
        return NULL;
    control_store(helper, (int32_t)syscall(SYS_gettid));
    for (;;) {
        uint32_t now = control_load(first);
        if (now == seen) {
            futex_wait(&libcr_control.first, seen, 0);
            continue;
        }
        seen = now;
        if (control_load(request) != LIBCR_IDLE && control_load(generation) == now)
            participate(&thread_callbacks, true);
    }
    return NULL;
}

static int start_helper(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;

    if (helper_runs)
        return 0;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, &attributes, helper, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (rc)
        return libcr_fail(rc);
    helper_runs = true;
    /* A checkpoint that comes now has to find it. */
    while (!control_load(helper))
        futex_wait((uint32_t *)&libcr_control.helper, 0, 1);
    return 0;
}

EXPORTED cr_callback_id_t cr_register_callback(cr_callback_t function, void *arg, int flags)
{
    sigset_t all, before;
    int id;

    if (!libcr_self)
        return libcr_fail(CR_ENOINIT);
    if (libcr_self->run)
        return libcr_fail(EBUSY);
    if (flags != CR_SIGNAL_CONTEXT && flags != CR_THREAD_CONTEXT)
        return libcr_fail(EINVAL);
    if (flags == CR_THREAD_CONTEXT) {
        pthread_mutex_lock(&lock);
        id = start_helper() < 0 ? -1 : append(&thread_callbacks, function, arg);
        pthread_mutex_unlock(&lock);
    } else {
        /* The list is read in this thread's signal handler. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        id = append(&libcr_self->callbacks, function, arg);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    return id < 0 ? id : id | flags;
}

EXPORTED int cr_replace_callback(cr_callback_id_t id, cr_callback_t function, void *arg, int flags)
{
    sigset_t all, before;
    int rc = 0;

    if (!libcr_self)
        return libcr_fail(CR_ENOINIT);
    if (libcr_self->run)
        return libcr_fail(EBUSY);
    if (id < 0 || (flags != CR_SIGNAL_CONTEXT && flags != CR_THREAD_CONTEXT) ||
        (id & (CR_SIGNAL_CONTEXT | CR_THREAD_CONTEXT)) != flags)
        return libcr_fail(EINVAL);
    struct callback_list *list = flags == CR_THREAD_CONTEXT ? &thread_callbacks : &libcr_self->callbacks;
    uint32_t index = (uint32_t)(id & ~flags);
    sigfillset(&all);
    pthread_mutex_lock(&lock);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (index < list->count)
        replace(&list->items[index], function, arg);
    else
        rc = libcr_fail(EINVAL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_unlock(&lock);
    return rc;
}

EXPORTED int cr_replace_self(cr_callback_t function, void *arg, int flags)
{
    struct run *run = libcr_self ? libcr_self->run : NULL;

    if (!libcr_self)
        return libcr_fail(CR_ENOINIT);
    if (!run || run->hooks)
        return libcr_fail(CR_ENOTCB);
    if (flags != (run->thread_context ? CR_THREAD_CONTEXT : CR_SIGNAL_CONTEXT))
        return libcr_fail(EINVAL);
    replace(&run->list->items[run->running], function, arg);
    return 0;
}
