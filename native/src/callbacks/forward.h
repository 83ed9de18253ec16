/* forward.h - more processes for a checkpoint that is under way. */
#ifndef CAESURA_CALLBACKS_FORWARD_H
#define CAESURA_CALLBACKS_FORWARD_H

#include "capture/capture.h"

/**
 * Adds what process `asker` asked for, by ids of its own pid namespace. Returns 0, or the errno for the asker: ESRCH, EPERM,
 * EINVAL, EBUSY. A negated code fails the checkpoint.
 */
int forward_add(struct caesura_capture *capture, pid_t asker, uint32_t scope, int32_t id, struct caesura_error *err);

#endif
