/*
 * exchange.h - turning a stub into the process that it is to be.
 */
#ifndef CAESURA_RESTORE_EXCHANGE_H
#define CAESURA_RESTORE_EXCHANGE_H

#include "capture/capture.h"
#include "restore/restore.h"

/* A process in the making. */
struct build {
    struct restore *restore;
    const struct process *process;
    struct target target; /* tasks as process->threads; a leader that has ended comes last, beyond them */
    struct remote *remote;
    bool leader_ended;    /* the first thread is to end, others live on */
    bool signal_left;     /* libcr sends the signal of the restart, after its callbacks */
    uint64_t syscall_ip;  /* a system call instruction in the new address space */
    uint8_t *former_vdso; /* that of another kernel, changed to go on in this one's; NULL: it has this kernel's */
};

/** Attaches to the stub of processes[index]. */
int build_attach(struct restore *restore, uint32_t index, struct build *build, struct caesura_error *err);
/** Address space, memory, handlers: everything that other processes need not wait for. */
int build_memory(struct build *build, struct caesura_error *err);
/** Threads with their settings. */
int build_threads(struct build *build, struct caesura_error *err);
/** Pending signals, timers, identity, limits, registers: then only build_release() is missing. */
int build_finish(struct build *build, struct caesura_error *err);
/** Lets the process run. */
int build_release(struct build *build, struct caesura_error *err);
/** Waits until a process that is to be stopped, and was released, is. */
int build_await_stop(const struct build *build, struct caesura_error *err);
/** Frees; a process that was not released is killed. */
void build_free(struct build *build);

#endif
