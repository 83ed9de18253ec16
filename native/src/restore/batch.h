/*
 * batch.h - remote calls of a restart: queued with their arguments' data and what they have to return, made many at a time.
 *
 * The first failure is remembered; callers check batch_flush() only.
 */
#ifndef CAESURA_RESTORE_BATCH_H
#define CAESURA_RESTORE_BATCH_H

#include "capture/capture.h"
#include "remote/remote.h"

enum batch_expect {
    BATCH_ZERO_OR_MORE, /* anything but an error */
    BATCH_EXACTLY,      /* the value given */
    BATCH_ANYTHING,     /* the call may fail; the caller knows why that is harmless */
};

struct batch {
    struct remote *remote;
    struct task *task;
    struct remote_call calls[REMOTE_CALLS_MAX];
    const char *what[REMOTE_CALLS_MAX];
    enum batch_expect expect[REMOTE_CALLS_MAX];
    int64_t value[REMOTE_CALLS_MAX];
    size_t count;
    uint8_t data[REMOTE_DATA_BYTES];
    size_t data_used;
    int failed; /* negated code */
    struct caesura_error *err;
};

void batch_start(struct batch *batch, struct remote *remote, struct task *task, struct caesura_error *err);
/** Copies size bytes (at most REMOTE_DATA_BYTES) for the target; returns their address there. Aligned to 16. */
uint64_t batch_data(struct batch *batch, const void *data, size_t size);
/** Queues a call. what completes "cannot ... of process N"; it must be a constant. value is for BATCH_EXACTLY. */
void batch_call(struct batch *batch, const char *what, enum batch_expect expect, int64_t value, int64_t nr, uint64_t a,
                uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
/** Makes what is queued. 0 or the negated code of the first failure since batch_start(). */
int batch_flush(struct batch *batch);

/** Makes room for size bytes of data that belong to the next call: flushes if there is too little. */
void batch_room(struct batch *batch, size_t size);

#endif
