/*
 * remote.h - system calls made by a stopped task of another process.
 *
 * The task's signals are held back meanwhile and its registers are put back at the end. If the caller dies at any moment,
 * a capture's target heals by itself: the code that runs in it ends in putting back mask and registers and removes the
 * scratch page (see remote.c). Thread rule: the tracer's thread.
 */
#ifndef CAESURA_REMOTE_H
#define CAESURA_REMOTE_H

#include <stdint.h>
#include <sys/types.h>

#include "caesura.h"

struct remote;
struct target;
struct task;

/* One call; result is the kernel's: negative errno on failure. */
struct remote_call {
    int64_t nr;
    uint64_t args[6];
    int64_t result;
};

#define REMOTE_CALLS_MAX 512     /* in one batch */
#define REMOTE_DATA_BYTES 65536u /* room for data of the calls */
#define REMOTE_CODE_BYTES 4096u
#define REMOTE_SCRATCH_BYTES (36864u + REMOTE_DATA_BYTES)

/** Maps the scratch area into the target. *out belongs to the caller, who ends it with remote_end(). */
int remote_begin(struct target *target, struct remote **out, struct caesura_error *err);
/**
 * The same for a process that is to die with us (a restart's stub, attached with PTRACE_O_EXITKILL): code and scratch area
 * are given, REMOTE_CODE_BYTES of memory that may be executed and REMOTE_SCRATCH_BYTES that may be written.
 * remote_end() leaves them mapped. notify: a signal that is not pending for any of its tasks.
 */
int remote_adopt(struct target *target, uint64_t code, uint64_t scratch, int notify, struct remote **out,
                 struct caesura_error *err);
/** Address, in the target, of REMOTE_DATA_BYTES for arguments and results. */
uint64_t remote_data(const struct remote *remote);
int remote_write(struct remote *remote, uint64_t address, const void *data, size_t size, struct caesura_error *err);
int remote_read(struct remote *remote, uint64_t address, void *data, size_t size, struct caesura_error *err);
/** Lets task make the calls, in order, all of them whatever they return. Fails only if the task is lost (ESRCH). */
int remote_calls(struct remote *remote, struct task *task, struct remote_call *calls, size_t count,
                 struct caesura_error *err);
/** One call; *result as in struct remote_call. */
int remote_call(struct remote *remote, struct task *task, int64_t *result, struct caesura_error *err, int64_t nr,
                uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
/** Unmaps the scratch area and frees. NULL is allowed. */
int remote_end(struct remote *remote, struct caesura_error *err);

#endif
