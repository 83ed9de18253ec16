/*
 * channel.h - what pid 1 of a job's namespace and the supervisor outside of it tell each other.
 *
 * The channel is a pair of connected SOCK_SEQPACKET sockets: messages keep their borders, descriptors can be passed (pids
 * mean different things on the two sides, a pidfd does not), and each side sees at once when the other is gone. The
 * functions are safe in a forked child of a single-threaded program.
 */
#ifndef CAESURA_SUPERVISOR_CHANNEL_H
#define CAESURA_SUPERVISOR_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "caesura.h"

enum channel_kind {
    CHANNEL_GO = 1,    /**< outside to inside: you are my child now, start */
    CHANNEL_ROOT,      /**< the root runs; carries its pidfd */
    CHANNEL_STOPPED,   /**< the root was stopped; value is its wait status */
    CHANNEL_CONTINUED, /**< the root was continued */
    CHANNEL_ENDED,     /**< the root ended; value is its wait status */
    CHANNEL_FAILED,    /**< there will be no root; error says why */
    CHANNEL_REQUEST,   /**< a process of the job asks for a checkpoint */
};

struct channel_message {
    int32_t kind; /**< enum channel_kind */
    int32_t value;
    struct caesura_error error; /**< only with CHANNEL_FAILED */
};

/** Makes the two ends, both close-on-exec. Returns 0 or a negated code (EMFILE and the like). */
int channel_open(int ends[2], struct caesura_error *err);

/** Sends kind and value, with descriptor passed if that is not -1. Returns 0 or -errno; never raises SIGPIPE. */
int channel_send(int channel, enum channel_kind kind, int value, int passed);

/** Sends CHANNEL_FAILED. Returns 0 or -errno. */
int channel_send_error(int channel, const struct caesura_error *err);

/**
 * Receives one message. Returns 1, 0 if the other side is gone, or -errno (-EAGAIN: nothing there and wait is false).
 * *passed is the descriptor that came along, close-on-exec and the caller's, or -1.
 */
int channel_receive(int channel, bool wait, struct channel_message *message, int *passed);

/** Whether the other side is gone. Messages that it sent before may still be there. */
bool channel_is_dead(int channel);

#endif
