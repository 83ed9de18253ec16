/* stand.h - where stopped threads stand: registers, and places in which a thread cannot be captured. */
#ifndef CAESURA_FREEZE_STAND_H
#define CAESURA_FREEZE_STAND_H

#include "capture/capture.h"

/**
 * To be called as soon as a task has stopped: takes back an EINTR that only our interruption made. If we die between the
 * interruption and this, the program sees it, as signal(7) warns that it may.
 */
void stand_mend(struct task *task);

/**
 * Reads registers and masks of all stopped tasks and takes them out of restartable sequences. A thread that stands in the
 * vdso is let run on and stopped again (*moved is then true, and the tasks may be running). EUNSUPPORTED for 32-bit tasks.
 */
int stand_check(struct caesura_capture *capture, bool *moved, struct caesura_error *err);

#endif
