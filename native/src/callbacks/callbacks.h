/*
 * callbacks.h - bringing the callbacks of libcr to the right moment of a checkpoint.
 *
 * Round by round the scope is frozen, every process is moved one step on, and the scope runs until all have come there:
 *
 *   pending    no critical section may begin; wait until none is left
 *   first      thread-context callbacks run; wait until they have called cr_checkpoint(), in all processes
 *   signalled  every other thread has CR_SIGNUM queued; wait until all have come to the end of their callbacks
 *
 * In the last round nobody has a step left, and the scope stays frozen for the capture. As nothing runs while anything is
 * written, no lock is needed between us and the program. All waits together have one deadline. If we die, the program notices
 * that the heartbeat has stopped, and goes on by itself (see libcr_control.h).
 */
#ifndef CAESURA_CALLBACKS_H
#define CAESURA_CALLBACKS_H

#include "capture/capture.h"

/**
 * As freeze_scope(), with every callback of the scope waiting in cr_checkpoint(). On failure everything runs on and the
 * callbacks see it, but after EPERMFAIL the scope is killed. Errors, beside those of freeze_scope(): ETEMPFAIL, EPERMFAIL or
 * the lower 8 bits of a callback's own code, ENOSUPPORT, EVERSION, EDEADLK, ETIMEDOUT, EBUSY.
 */
int callbacks_freeze(struct caesura_capture *capture, struct caesura_error *err);
/** Before the scope runs on: tells everybody whether there is a context now; code is why not, 0: there is one. */
void callbacks_decide(struct caesura_capture *capture, int code);
/** For a process of the frozen scope: is the signal left to its callbacks' end? */
bool callbacks_take_signal(struct caesura_capture *capture, const struct target *target, int signal);
/** After the scope runs: waits until callbacks that a signal was left to are through, and sends it to those that are not. */
void callbacks_end(struct caesura_capture *capture);
void callbacks_free(struct caesura_capture *capture);

#endif
