/* libcr.c - the control block, threads, and what happens when the library is loaded and when the process forks. */
#include "internal.h"

#include <dlfcn.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct libcr_control libcr_control __attribute__((aligned(64))) = {
    .magic = LIBCR_MAGIC,
    .version = LIBCR_CONTROL_VERSION,
    .size = sizeof(struct libcr_control),
};

/* Distances, not addresses: the linker knows them, so nothing has to be relocated in read-only memory. */
__asm__(".pushsection .note.caesura.libcr, \"a\", %note\n"
        ".balign 4\n"
        ".long 8, 8, 0x6372\n"
        ".asciz \"Caesura\"\n"
        ".quad libcr_control - .\n"
        ".popsection\n");
_Static_assert(LIBCR_NOTE_TYPE == 0x6372, "the assembler does not know the name");

__thread struct thread *libcr_self;
char libcr_prefix[4096];

/* BLCR's link name, for programs that call nothing of the library: `-u cr_link_me -lcr`. */
EXPORTED const int cr_link_me = 0;

static pthread_key_t thread_key;
static uint32_t thread_count;

int libcr_fail(int errnum)
{
    errno = errnum;
    return -1;
}

int libcr_errno(uint32_t code)
{
    enum { FIRST = CR_ETEMPFAIL & 0xff, LAST = CR_ENOINIT & 0xff, OURS = 200 };

    if (code >= FIRST && code <= LAST)
        return (int)code + (CR_ETEMPFAIL - FIRST);
    /* What BLCR had no word for: the checkpoint was refused, the program may try again. */
    return !code || (code >= OURS && code < 256) ? CR_ETEMPFAIL : (int)code;
}

void futex_wait(uint32_t *word, uint32_t value, unsigned ms)
{
    struct timespec limit = {ms / 1000, (long)(ms % 1000) * 1000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ms ? &limit : NULL, NULL, 0);
}

void futex_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

bool patience_left(struct patience *patience)
{
    uint32_t beat = control_load(heartbeat);

    if (beat != patience->heartbeat)
        *patience = (struct patience){.heartbeat = beat};
    return ++patience->quiet != LIBCR_PATIENCE;
}

void request_abandon(uint32_t generation)
{
    uint32_t wait = LIBCR_WAIT;

    if (control_load(generation) != generation || control_load(request) == LIBCR_IDLE)
        return;
    control_store(verdict_code, (uint32_t)(CR_ETEMPFAIL & 0xff));
    if (!__atomic_compare_exchange_n(&libcr_control.verdict, &wait, LIBCR_FAILED, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
        return;
    control_store(request, LIBCR_IDLE);
    futex_wake(&libcr_control.verdict);
    futex_wake(&libcr_control.request);
}

void request_await_end(void)
{
    struct patience patience = {0};
    uint32_t now;

    while ((now = control_load(request)) != LIBCR_IDLE) {
        uint32_t generation = control_load(generation);
        futex_wait(&libcr_control.request, now, LIBCR_WAIT_MS);
        /* With a verdict the threads that take part end the request, and need no checkpointer for it. */
        if (!patience_left(&patience) && control_load(verdict) == LIBCR_WAIT)
            request_abandon(generation);
    }
}

/* ---- threads ---- */

/* Other destructors may still use the library: with a persist count the data stays for another round of them. */
static void thread_end(void *data)
{
    struct thread *thread = data;

    if (thread->persist) {
        pthread_setspecific(thread_key, thread);
        return;
    }
    libcr_self = NULL;
    if (thread->depth)
        control_add(sections, -1u);
    for (uint32_t i = 0; i < thread->callbacks.count; i++)
        if (thread->callbacks.items[i].function)
            control_add(enrolled, -1u);
    free(thread->callbacks.items);
    free(thread);
}

EXPORTED cr_client_id_t cr_init(void)
{
    if (libcr_self)
        return libcr_self->id;
    struct thread *thread = calloc(1, sizeof *thread);
    if (!thread)
        return libcr_fail(ENOMEM);
    thread->id = (cr_client_id_t)(__atomic_fetch_add(&thread_count, 1, __ATOMIC_RELAXED) & INT_MAX);
    thread->hold = CR_HOLD_DFLT;
    int rc = pthread_setspecific(thread_key, thread);
    if (rc) {
        free(thread);
        return libcr_fail(rc);
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    libcr_self = thread;
    return thread->id;
}

EXPORTED int cr_inc_persist(void)
{
    if (!libcr_self)
        return libcr_fail(CR_ENOINIT);
    if (libcr_self->persist == INT_MAX)
        return libcr_fail(ERANGE);
    return (int)libcr_self->persist++;
}

EXPORTED int cr_dec_persist(void)
{
    if (!libcr_self)
        return libcr_fail(CR_ENOINIT);
    if (!libcr_self->persist)
        return libcr_fail(ERANGE);
    return (int)libcr_self->persist--;
}

/* ---- loading, forking ---- */

/* The form that rt_sigaction() has in the kernel. */
struct kernel_action {
    uint64_t handler, flags, restorer, mask;
};

/* All signals wait until the callbacks are through, so that the signal of the request comes after them. */
static void take_signal(void)
{
    struct sigaction action = {.sa_sigaction = on_checkpoint_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct kernel_action kernel = {0};

    sigfillset(&action.sa_mask);
    if (sigaction(CR_SIGNUM, &action, NULL) < 0 ||
        syscall(SYS_rt_sigaction, CR_SIGNUM, NULL, &kernel, sizeof kernel.mask) < 0)
        return;
    libcr_control.handler = kernel.handler;
    libcr_control.handler_flags = kernel.flags;
    libcr_control.restorer = kernel.restorer;
}

/* What the child has is a copy of a process that knows nothing of checkpoints. */
static void forget_parent(void)
{
    struct libcr_control *control = &libcr_control;
    struct thread *thread = libcr_self;

    libcr_self = NULL;
    if (thread) {
        pthread_setspecific(thread_key, NULL);
        free(thread->callbacks.items);
        free(thread);
    }
    callbacks_reset();
    hooks_reset();
    control->enrolled = control->sections = control->inside = control->arrived = control->finished = 0;
    control->answer = control->code = control->forward = 0;
    control->request = control->generation = control->first = control->participants = 0;
    control->verdict = control->checkpoints = control->restarts = control->failures = control->latest = 0;
    control->helper = 0;
    control_store(pid, (int32_t)getpid());
}

/* The library is in PREFIX/lib. The path is made absolute now, for the program may change its folder. */
static void find_prefix(void)
{
    Dl_info info;
    char *path, *slash;

    if (!dladdr(&libcr_control, &info) || !info.dli_fname || !(path = realpath(info.dli_fname, NULL)))
        return;
    for (int i = 0; i < 2; i++)
        if ((slash = strrchr(path, '/')))
            *slash = 0;
    if (strlen(path) < sizeof libcr_prefix)
        strcpy(libcr_prefix, path);
    free(path);
}

__attribute__((constructor)) static void load(void)
{
    pthread_key_create(&thread_key, thread_end);
    pthread_atfork(NULL, NULL, forget_parent);
    find_prefix();
    take_signal();
    control_store(pid, (int32_t)getpid());
}
