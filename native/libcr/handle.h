/* handle.h - requests that were started and not reaped. They hold no descriptor, and nothing that a restart would miss. */
#ifndef CAESURA_LIBCR_HANDLE_H
#define CAESURA_LIBCR_HANDLE_H

#include "internal.h"

struct request {
    bool used;
    bool restart;
    char path[256];    /* the file that the exit status will be in; its log is path + ".log" */
    pid_t child;       /* of a restart */
    uint32_t restarts; /* of this process, when it asked */
};

/** A free one with its file made; the handle's value in *handle. NULL with errno on failure. */
struct request *request_new(bool restart, unsigned long *handle);
/** The one of a handle. NULL with EINVAL. */
struct request *request_of(const unsigned long *handle, bool restart);
/** Takes its files away. */
void request_free(struct request *request);

/** 1 with the exit status in *status, 0 if it is not there yet. */
int request_status(const struct request *request, int *status);
/** As cr_wait_checkpoint(). */
int request_wait(const struct request *request, struct timeval *timeout);
/** As cr_log_checkpoint(). */
int request_log(const struct request *request, unsigned length, char *buffer);
/** The errno for an exit status of a command. */
int request_errno(int status);

#endif
