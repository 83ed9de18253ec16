/* round.h - the state of the rounds, and the step that is taken while everything stands still. */
#ifndef CAESURA_CALLBACKS_ROUND_H
#define CAESURA_CALLBACKS_ROUND_H

#include "capture/capture.h"
#include "libcr_control.h"

enum stage {
    STAGE_NONE,      /* nothing to do: no callbacks, no critical section */
    STAGE_BUSY,      /* threads are still in the callbacks of a request whose checkpointer was lost */
    STAGE_PENDING,   /* told, but in critical sections */
    STAGE_FIRST,     /* thread-context callbacks run */
    STAGE_WAITING,   /* ready for the signal, or, with no callbacks, for the capture */
    STAGE_SIGNALLED, /* signal-context callbacks run */
    STAGE_OUT,       /* ended, or left itself out */
};

/* A process with libcr. */
struct participant {
    pid_t pid; /* as we see it */
    uint64_t address;
    enum stage stage;
    bool told;        /* the block says that our request is pending */
    bool helper;      /* its thread for callbacks takes part */
    bool enrolled;    /* it has callbacks or hooks */
    bool signal_left; /* it sends itself the signal of the request */
    uint32_t participants;
    uint32_t checkpoints; /* as the block had it */
};

struct callbacks {
    struct participant *list;
    size_t count, capacity;
    uint32_t generation, heartbeat;
    uint64_t deadline_ns;
    uint32_t limit_ms;
    int32_t requester;
    int signal;
    int verdict_code; /* 16 bits of the failure of a callback, 0: none */
    bool decided;
};

/**
 * Everything stands still: finds libcr in processes that are new, and moves all on. *ready: no step was left, and the scope may
 * be captured.
 */
int round_step(struct caesura_capture *capture, bool *ready, struct caesura_error *err);
/** Queues CR_SIGNUM for every thread of a stopped process but its helper. */
int round_signal(struct caesura_capture *capture, struct participant *participant, struct target *target,
                 const struct libcr_control *control, struct caesura_error *err);

#endif
