/*
 * internal.h - the inside of libcr.
 *
 * The checkpointer writes into the control block while the program runs or stands still, threads of the program work on it
 * without locks, and much of this runs in a signal handler: so all is done with atomics, and every wait ends when the
 * checkpointer gives no sign of life any more.
 */
#ifndef CAESURA_LIBCR_INTERNAL_H
#define CAESURA_LIBCR_INTERNAL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include "libcr.h"
#include "libcr_control.h"

#define EXPORTED __attribute__((visibility("default")))

struct callback {
    cr_callback_t function; /* NULL: none any more */
    void *arg;
};

/* Grown by the owner only; a reader in a signal handler of the owner sees the old or the new one. */
struct callback_list {
    struct callback *items;
    uint32_t count, capacity;
};

/* A run through the callbacks of one thread, on its stack. */
struct run {
    struct callback_list *list;
    uint32_t left;    /* callbacks not yet called */
    uint32_t running; /* index of the one that runs */
    bool called;      /* it has called cr_checkpoint() */
    bool thread_context;
    bool hooks; /* the callbacks are through, a hook runs */
    int result; /* of cr_checkpoint() */
    struct cr_checkpoint_info checkpoint_info;
    struct cr_restart_info restart_info;
};

/* What a thread has that has called cr_init(). */
struct thread {
    cr_client_id_t id;
    struct callback_list callbacks; /* CR_SIGNAL_CONTEXT */
    struct run *run;                /* in callbacks */
    uint32_t depth;                 /* of critical sections */
    int hold;                       /* CR_HOLD_DFLT: as the process says */
    uint32_t persist;
};

extern struct libcr_control libcr_control;
/* Not of dynamic TLS, whose first use in a thread allocates memory, which no signal handler may. */
extern __thread struct thread *libcr_self __attribute__((tls_model("initial-exec")));
/* Name of the folder that the library was installed in, "" if unknown. */
extern char libcr_prefix[4096];

#define control_load(field) __atomic_load_n(&libcr_control.field, __ATOMIC_SEQ_CST)
#define control_store(field, value) __atomic_store_n(&libcr_control.field, (value), __ATOMIC_SEQ_CST)
#define control_add(field, value) __atomic_add_fetch(&libcr_control.field, (value), __ATOMIC_SEQ_CST)

/** Sets errno and returns -1. */
int libcr_fail(int errnum);
/** The errno of libcr.h for a code of the error table. */
int libcr_errno(uint32_t code);

/** Sleeps until *word may have changed from value, or ms are over; ms 0: no limit. Signal-safe. */
void futex_wait(uint32_t *word, uint32_t value, unsigned ms);
void futex_wake(uint32_t *word);

/* Watching for signs of life of the checkpointer while one waits. */
struct patience {
    uint32_t heartbeat, quiet;
};
/** After each wait of LIBCR_WAIT_MS. False, once, when the checkpointer has been quiet for too long. */
bool patience_left(struct patience *patience);
/** The checkpointer is lost: the request fails, and everybody runs on. Only the first caller for a request does anything. */
void request_abandon(uint32_t generation);
/** Waits until no request is pending or running. Signal-safe. */
void request_await_end(void);

/** In the thread of thread-context callbacks, and in the signal handler: takes part in the request. */
void participate(struct callback_list *list, bool thread_context);
void on_checkpoint_signal(int number, siginfo_t *info, void *context);

/** For a forked child: forgets callbacks, hooks and settings. */
void callbacks_reset(void);
void hooks_reset(void);
/** Runs the hook of this event, if there is one. */
void hook_run(cr_hook_event_t event);
/** Does this thread wait at the end? */
bool hold_wanted(bool restarted);

/** Starts a program of the installed tree with nothing but the descriptor in `keep` (-1: none), which it has under the number
 * in *number. The child makes no SIGCHLD if `quiet`, and is waited for with __WALL. Negative errno on failure. */
int process_start(char *const argv[], int keep, bool quiet, pid_t *child);

#endif
