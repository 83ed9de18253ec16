/*
 * libcr.h - BLCR's library interface: a program that takes part in its own checkpoints.
 *
 * docs/libcr.md has the rules. Unless a function says otherwise it returns a negative value on error and sets errno, to a
 * value of errno.h or one of the CR_E* codes. A thread has to call cr_init() before anything else.
 */
#ifndef CAESURA_LIBCR_H
#define CAESURA_LIBCR_H

#include <errno.h>
#include <sys/select.h>
#include <sys/types.h>

#include "blcr_common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- set-up ---- */

typedef int cr_version_t;
#define CR_CHECKPOINT_ARGS_VERSION 1
#define CR_RESTART_ARGS_VERSION 1

typedef int cr_client_id_t;
/** What callbacks use instead of an id. */
#define CR_ID_CALLBACK ((cr_client_id_t)-1)

/** Once per thread. Returns the thread's id, 0 or more. A forked child has to call it again. */
cr_client_id_t cr_init(void);

/** For the linker's option -u, where a program calls nothing of the library. */
extern const int cr_link_me;

/* ---- callbacks ---- */

typedef int (*cr_callback_t)(void *arg);
typedef int cr_callback_id_t;
#define CR_MAX_CALLBACKS 0x1FFFFFF

/* Where a callback runs; exactly one. */
#define CR_SIGNAL_CONTEXT 0x2000000 /* in the thread that registered it, perhaps within a signal handler */
#define CR_THREAD_CONTEXT 0x4000000 /* in a thread of the library's */

/**
 * Returns the callback's id. Errors: CR_ENOINIT, EINVAL, ENOMEM, ENOSPC, EBUSY (from a callback), EAGAIN (no thread could be
 * made).
 */
cr_callback_id_t cr_register_callback(cr_callback_t function, void *arg, int flags);
/** Another function (NULL: none) and argument in the same place; flags name the same context. Errors: as above. */
int cr_replace_callback(cr_callback_id_t id, cr_callback_t function, void *arg, int flags);
/** The same for the callback that is running. Errors: CR_ENOTCB, EINVAL. */
int cr_replace_self(cr_callback_t function, void *arg, int flags);

#define CR_CHECKPOINT_READY 0
#define CR_CHECKPOINT_TEMP_FAILURE 1
#define CR_CHECKPOINT_PERM_FAILURE 2
#define CR_CHECKPOINT_OMIT 4
/* With an error of one's own, 1 to 65535, for whoever asked for the checkpoint. */
#define CR_CHECKPOINT_TEMP_FAILURE_CODE(value) (CR_CHECKPOINT_TEMP_FAILURE | (((value)&0xFFFF) << 16))
#define CR_CHECKPOINT_PERM_FAILURE_CODE(value) (CR_CHECKPOINT_PERM_FAILURE | (((value)&0xFFFF) << 16))

/**
 * In a callback: what had to be done before the checkpoint is done. Returns after it: 0 when going on, more than 0 when
 * restarted, less than 0 (a negated code; errno is not set) when there was no checkpoint, or not of this process.
 */
int cr_checkpoint(int flags);

typedef enum { CR_SCOPE_PROC, CR_SCOPE_PGRP, CR_SCOPE_SESS, CR_SCOPE_TREE } cr_scope_t;

struct cr_checkpoint_info {
    int signal;       /* that every process will get afterwards; 0: none */
    const char *dest; /* path of the context; "" if it is not a file */
    pid_t requester;
    pid_t target; /* pid, process group or session that was asked for */
    cr_scope_t scope;
};

struct cr_restart_info {
    pid_t requester;
    const char *src; /* path of the context; "" if it was not a file */
};

/** In a callback. NULL with CR_ENOTCB elsewhere. */
const struct cr_checkpoint_info *cr_get_checkpoint_info(void);
/** In a callback, after cr_checkpoint() returned more than 0. NULL with CR_ENOTCB elsewhere. */
const struct cr_restart_info *cr_get_restart_info(void);

/**
 * In a callback, before cr_checkpoint(): adds processes to the checkpoint. id 0 is the caller's own. Errors: ESRCH, EPERM,
 * EINVAL, EBUSY (it is part of another request), CR_ENOTCB.
 */
int cr_forward_checkpoint(cr_scope_t scope, pid_t id);

/* ---- hooks, hold ---- */

typedef enum {
    CR_HOOK_CONT_SIGNAL_CONTEXT,
    CR_HOOK_CONT_THREAD_CONTEXT,
    CR_HOOK_CONT_NO_CALLBACKS,
    CR_HOOK_RSTRT_SIGNAL_CONTEXT,
    CR_HOOK_RSTRT_THREAD_CONTEXT,
    CR_HOOK_RSTRT_NO_CALLBACKS,
    CR_NUM_HOOKS
} cr_hook_event_t;

typedef void (*cr_hook_fn_t)(cr_hook_event_t event);
#define CR_HOOK_FN_ERROR ((cr_hook_fn_t)~0UL)

/** One function (NULL: none) per event and process. Returns the former one, CR_HOOK_FN_ERROR with CR_ENOINIT or EINVAL. */
cr_hook_fn_t cr_register_hook(cr_hook_event_t event, cr_hook_fn_t function);

enum { CR_HOLD_SCOPE_THREAD, CR_HOLD_SCOPE_INIT, CR_HOLD_SCOPE_UNINIT };
enum { CR_HOLD_READ = -1, CR_HOLD_NONE, CR_HOLD_CONT, CR_HOLD_RSTRT, CR_HOLD_BOTH, CR_HOLD_DFLT };

/**
 * Whether threads wait, when going on or restarted, until all callbacks of all threads are done. Scope: this thread; all that
 * have called cr_init() and say nothing themselves; those that have not called it. Returns the former value. Errors: EINVAL,
 * CR_ENOINIT.
 */
int cr_hold_ctrl(int scope, int flags);

/* ---- critical sections ---- */

enum { CR_STATE_IDLE, CR_STATE_PENDING, CR_STATE_ACTIVE };

/** CR_STATE_*. Errors: CR_ENOINIT. */
int cr_status(void);
/** No checkpoint is taken while a thread is inside. Waits while one is pending or being taken. */
int cr_enter_cs(cr_client_id_t id);
/** The same without waiting: more than 0 instead. */
int cr_tryenter_cs(cr_client_id_t id);
/** A checkpoint that waited for this is taken before the outermost one returns. */
int cr_leave_cs(cr_client_id_t id);

/** Counts that keep the thread's data while destructors of thread-specific data run. Return the former count. */
int cr_inc_persist(void);
int cr_dec_persist(void);

typedef unsigned int cr_spinlock_t;
#define CR_SPINLOCK_INITIALIZER 0U

void cr_spinlock_init(cr_spinlock_t *lock);
void cr_spinlock_lock(cr_spinlock_t *lock);
void cr_spinlock_unlock(cr_spinlock_t *lock);
/** Not 0 if the lock was taken. */
int cr_spinlock_trylock(cr_spinlock_t *lock);

/* ---- asking for a checkpoint ---- */

#define CR_CHKPT_PROHIBIT_SELF 0x1
#define CR_CHKPT_PTRACED_ALLOW 0x2
#define CR_CHKPT_PTRACED_SKIP 0x4
#define CR_CHKPT_PTRACER_SKIP 0x8
#define CR_CHKPT_ASYNC_ERR 0x10
#define CR_CHKPT_DUMP_EXEC 0x200
#define CR_CHKPT_DUMP_PRIVATE 0x400
#define CR_CHKPT_DUMP_SHARED 0x800
#define CR_CHKPT_DUMP_ALL (CR_CHKPT_DUMP_EXEC | CR_CHKPT_DUMP_PRIVATE | CR_CHKPT_DUMP_SHARED)

/** As cr_fd: context.ID in the working folder of the requester. */
#define CR_DEST_CWD (-4096)

typedef struct cr_checkpoint_args {
    cr_version_t cr_version;
    cr_scope_t cr_scope;
    pid_t cr_target;         /* 0: the caller, its group or session */
    int cr_fd;               /* where the context goes to */
    int cr_signal;           /* for every process afterwards; 0: none */
    unsigned int cr_timeout; /* seconds; 0: none */
    unsigned int cr_flags;
} cr_checkpoint_args_t;

typedef unsigned long cr_checkpoint_handle_t;

#define CR_POLL_CHKPT_ERR_PRE (-1)  /* before the result was known */
#define CR_POLL_CHKPT_ERR_POST (-2) /* the checkpoint failed, or the caller has been restarted */
#define CR_POLL_CHKPT_ERR_LOG (-3)  /* no memory for the messages */

int cri_init_checkpoint_args_t(cr_version_t version, cr_checkpoint_args_t *args);
#define cr_initialize_checkpoint_args_t(args) cri_init_checkpoint_args_t(CR_CHECKPOINT_ARGS_VERSION, (args))

/** Starts a checkpoint; *handle is the caller's until it is reaped. Errors: ESRCH, EPERM, EBADF, EINVAL, EDEADLK, EAGAIN. */
int cr_request_checkpoint(cr_checkpoint_args_t *args, cr_checkpoint_handle_t *handle);
/** More than 0: done; 0: the time is over (NULL: no limit). Errors: EINTR, EINVAL. */
int cr_wait_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout);
/** Messages. Returns the bytes that they need with a NUL; 0: there are none. */
int cr_log_checkpoint(cr_checkpoint_handle_t *handle, unsigned int length, char *buffer);
/** More than 0: taken. Errors: EAGAIN (not done), CR_ERESTARTED (taken, and the caller is the restarted one), others. */
int cr_reap_checkpoint(cr_checkpoint_handle_t *handle);
/** Wait, log and reap. *message, if not NULL, is the caller's to free. More than 0, 0, or CR_POLL_CHKPT_ERR_*. */
int cr_poll_checkpoint_msg(cr_checkpoint_handle_t *handle, struct timeval *timeout, char **message);
int cr_poll_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout);

/* Deprecated in BLCR too: a checkpoint of the caller, to context.PID, a file, a descriptor. They abort on errors. */
void cr_request(void);
void cr_request_file(const char *filename);
void cr_request_fd(int fd);

/* ---- asking for a restart ---- */

struct cr_rstrt_relocate_pair {
    const char *oldpath;
    const char *newpath;
};
struct cr_rstrt_relocate {
    unsigned int count;
    struct cr_rstrt_relocate_pair path[0];
};
#define CR_MAX_RSTRT_RELOC 16
#define CR_RSTRT_RELOCATE_SIZE(count) \
    (sizeof(struct cr_rstrt_relocate) + (count) * sizeof(struct cr_rstrt_relocate_pair))

#define CR_RSTRT_ASYNC_ERR 0x1
#define CR_RSTRT_RESTORE_PID 0x2
#define CR_RSTRT_RESTORE_PGID 0x4
#define CR_RSTRT_RESTORE_SID 0x8

typedef struct cr_restart_args {
    cr_version_t cr_version;
    int cr_fd; /* where the context comes from */
    int cr_signal;
    unsigned int cr_flags;
    struct cr_rstrt_relocate *cr_relocate; /* NULL: none */
} cr_restart_args_t;

typedef unsigned long cr_restart_handle_t;

#define CR_POLL_RSTRT_ERR_PRE (-1)
#define CR_POLL_RSTRT_ERR_POST (-2)
#define CR_POLL_RSTRT_ERR_LOG (-3)

int cri_init_restart_args_t(cr_version_t version, cr_restart_args_t *args);
#define cr_initialize_restart_args_t(args) cri_init_restart_args_t(CR_RESTART_ARGS_VERSION, (args))

/** As their likes above. A good reap returns the pid of a child that stands for the restarted root, see docs/libcr.md. */
int cr_request_restart(cr_restart_args_t *args, cr_restart_handle_t *handle);
int cr_wait_restart(cr_restart_handle_t *handle, struct timeval *timeout);
int cr_log_restart(cr_restart_handle_t *handle, unsigned int length, char *buffer);
int cr_reap_restart(cr_restart_handle_t *handle);
int cr_poll_restart_msg(cr_restart_handle_t *handle, struct timeval *timeout, char **message);
int cr_poll_restart(cr_restart_handle_t *handle, struct timeval *timeout);

/** As strerror(), with the CR_E* codes. */
const char *cr_strerror(int errnum);

#ifdef __cplusplus
}
#endif
#endif
