/* Making ready to replace the memory of this process by that of a checkpoint. */
#ifndef PMCKPT_PLAN_H
#define PMCKPT_PLAN_H

#include <stdint.h>

#include "error.h"
#include "files.h"
#include "image.h"

/* What the restored program finds; it unmaps `bytes` at `start`, in which this is as well. */
struct ckpt_handover {
    uint64_t start, bytes;
    struct ckpt_moved_back_list moved;
};

/*
 * Replaces the memory of this process and goes on in the program of the image, where ckpt_freeze() returns a copy of
 * `handover` with start and bytes filled. Returns only with an error, and then nothing has happened to the memory.
 * Signals are to be blocked.
 */
int ckpt_become(const struct ckpt_image *image, const struct ckpt_handover *handover, struct ckpt_error *error);

#endif
