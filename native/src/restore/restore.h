/*
 * restore.h - the state of a restart, for the folders that take part in it.
 *
 * The builder (cr-restore itself, or pid 1 of a new namespace) opens every open file description and every mapped file once,
 * at high descriptor numbers; then it forks the processes, which so inherit them. A forked process that is not yet what it
 * will be is called a stub: plain C code in a copy of the builder's address space. Stubs put descriptors to their numbers,
 * set what can be set from C, and wait; the builder then attaches to each by ptrace and makes it exchange its address
 * space by remote system calls.
 */
#ifndef CAESURA_RESTORE_H
#define CAESURA_RESTORE_H

#include <stdbool.h>
#include <sys/types.h>

#include "caesura.h"
#include "context/reader.h"
#include "model/model.h"

struct relocation {
    const char *from; /* absolute, no trailing slash */
    const char *to;
};

struct restore_options {
    struct relocation relocations[16];
    size_t n_relocations;
    bool restore_pid, restore_pgid, restore_sid;
    bool allow_changed_files;
    bool quiet, verbose;
    bool is_batch;     /* stderr is the log of a batch job: nothing is told that every roll-back does */
    int signal;        /* for every restored process; 0: none */
    const char *aside; /* folder for cut-off tails and replaced files; made when first needed */
};

struct arena;
struct files_state;
struct description_restore;

struct restore {
    struct restore_options options;
    struct context_source source;
    const struct context *context; /* &source.context */
    bool new_namespace;
    int fd_base;          /* builder's descriptors start here; above every fd of the context */
    int *description_fds; /* [id] builder's descriptor of the description, or -1; n_descriptions + 1 entries */
    int *file_fds;        /* [id] builder's descriptor for mapping the file, or -1; n_files + 1 entries */
    int32_t *context_fds; /* builder's descriptors of the context's files; source.fds points here */
    uint32_t n_sysv_made; /* of context->sysv */
    pid_t *pids;          /* [index of process] pid now; shared memory, filled in by the stubs; NULL: as before */
    struct arena *arena;
    struct files_state *files;                /* private to files/; NULL at first */
    struct description_restore *descriptions; /* private to descriptors/ */
};

/** path after --relocate (BLCR's rules); the result is heap memory of the caller's. NULL: out of memory. */
char *restore_path(const struct restore *restore, const char *path);

/** Moves fd to the lowest free number >= restore->fd_base, close-on-exec; fd is closed. Negated code on failure. */
int restore_keep_fd(const struct restore *restore, int fd, struct caesura_error *err);

/** A line on stderr unless --quiet: something comes back in another way than it was. */
void restore_note(const struct restore *restore, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** The same about what a roll-back does as a rule; not told in a batch job, whose log is restarted a hundred times. */
void restore_tell(const struct restore *restore, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** The pid now of the process that had that pid in the context; 0 if it is not of the context. */
pid_t restore_pid_now(const struct restore *restore, int32_t pid);

/**
 * The pid after which a fresh namespace is to go on counting, so that nothing of ours gets a pid that a process, thread, group
 * or session of the context needs: the one before the longest stretch of free ones below pid_max. 0: let the kernel count.
 */
int32_t restore_last_pid(const struct context *context, int32_t pid_max);

#endif
