/*
 * signals.h - the supervisor's own signal state, and ending as somebody else ended.
 *
 * A supervisor blocks every signal and reads them from a descriptor; the job must get the state that the supervisor was
 * started with. Thread rule: for single-threaded programs.
 */
#ifndef CAESURA_SUPERVISOR_SIGNALS_H
#define CAESURA_SUPERVISOR_SIGNALS_H

#include <signal.h>

/** What the process was started with. */
struct signal_state {
    sigset_t mask;
    struct sigaction child; /**< of SIGCHLD: if it was ignored, wait() would not work for us */
};

/** Remembers the state and makes wait() work. Call it first of all. */
void signals_take(struct signal_state *before);

/**
 * Blocks every signal that can be blocked (glibc keeps 32 and 33). A fault of the process itself (SIGSEGV and kin raised by
 * the kernel) still ends it.
 */
void signals_block(void);

/** Gives the remembered state back, in a child that will become another program. Async-signal-safe. */
void signals_restore(const struct signal_state *before);

/** Ends this process as wait_status says: by exit status, or by the same signal but without a core dump. */
_Noreturn void exit_as(int wait_status);

#endif
