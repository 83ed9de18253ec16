/*
 * caesura_job.h - the small modern face of libcr: a job that asks for its own checkpoint.
 *
 * Plain integers, strings and pointers only, so that Python (ctypes) and Java (JNA) call it as easily as C: load
 * PREFIX/lib/libcr.so.0. No cr_init() is needed. docs/libcr.md has the rules, examples/cooperative/ a job in each language.
 */
#ifndef CAESURA_JOB_H
#define CAESURA_JOB_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Results of caesura_job_checkpoint(). */
#define CAESURA_JOB_CONTINUED 0 /* there is a context now, and the program goes on */
#define CAESURA_JOB_RESTARTED 1 /* the program was restarted from that context */

/** Where the program is now. size is sizeof(struct caesura_job_place), set by the caller. */
struct caesura_job_place {
    uint32_t size;
    uint32_t restarts;  /* how often this process was restarted */
    int64_t sequence;   /* of the newest context that this process is in, -1 if it is not one of a job's store */
    char host[256];     /* where it runs now */
    char context[4096]; /* path of that context, "" if there is none or it was no file */
};

/**
 * Asks the engine of the job that this process is in for a checkpoint now, and returns when it was taken, or refused, or
 * timeout_ms (0: ten minutes) are over. The whole job is taken, with callbacks of libcr as ever; other threads run on
 * meanwhile. place may be NULL. Returns CAESURA_JOB_CONTINUED, CAESURA_JOB_RESTARTED, or a negated errno: -ENOENT (the process is
 * in no job that has an engine), -ETIMEDOUT (nothing was heard of the engine; its messages say why),
 * -EINVAL (size), or a
 * positive code of libcr.h, negated, as callbacks get it (-CR_ETEMPFAIL, -ENOSPC ...). When the program goes on the context is
 * written, but the engine still has to sync it and to put it into its place.
 */
int caesura_job_checkpoint(uint32_t timeout_ms, struct caesura_job_place *place);

/** Fills in place. Returns 0 or -EINVAL. */
int caesura_job_where(struct caesura_job_place *place);

#ifdef __cplusplus
}
#endif
#endif
