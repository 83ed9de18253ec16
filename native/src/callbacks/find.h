/*
 * find.h - libcr in a process, running or stopped: where its control block is, and access to it.
 */
#ifndef CAESURA_CALLBACKS_FIND_H
#define CAESURA_CALLBACKS_FIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libcr_control.h"

/* What is mapped of libcr. */
struct libcr_found {
    bool marked;      /* libcr, libcr_run or libcr_omit */
    uint64_t address; /* of the control block, 0: none that we understand */
};

/** -ESRCH if the process is gone, -EVERSION (of the error table) if its libcr is of another release, else 0. */
int libcr_find(pid_t pid, struct libcr_found *found);

/** The block's front (LIBCR_CONTROL_HEAD bytes). Negative errno on failure. */
int libcr_read(pid_t pid, uint64_t address, struct libcr_control *control);
/** size bytes of the block. Negative errno on failure. */
int libcr_write(pid_t pid, uint64_t address, size_t offset, const void *data, size_t size);

#define LIBCR_PUT(pid, address, field, value)                            \
    libcr_write((pid), (address), offsetof(struct libcr_control, field), \
                &(__typeof__(((struct libcr_control *)0)->field)){value}, sizeof((struct libcr_control *)0)->field)

#endif
