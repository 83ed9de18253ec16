/*
 * freeze.h - finding the processes of a scope and stopping every task of them, without a race.
 *
 * All run on the caller's thread, which becomes the tracer. When it dies the kernel lets everything run on.
 */
#ifndef CAESURA_FREEZE_H
#define CAESURA_FREEZE_H

#include "capture/capture.h"

/**
 * Stops the scope of capture->request: fills capture->targets (parents before children where both are in the scope) with
 * their tasks, registers and masks. Threads stand outside of the vdso and of restartable sequences. On failure everything
 * runs on. Errors: ESRCH, EPERM, EPTRACED, EPTRACER, EAGAIN, EUNSUPPORTED, ETIMEDOUT, ENOMEM.
 */
int freeze_scope(struct caesura_capture *capture, struct caesura_error *err);
/** Lets all tasks go on. Never fails: a task that has ended needs nothing. */
void freeze_release(struct caesura_capture *capture);

#endif
