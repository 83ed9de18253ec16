/*
 * caesura.h - the C interface of libcapture.so.
 *
 * This is what the engine (Java, through JNA), cr-restore and the tests call. All functions return 0 or a negated code of
 * caesura_errors.def and then fill *err (message, remedy, the pid and descriptor concerned). Strings handed in stay the
 * caller's. Thread rule: ptrace ties a frozen scope to the thread that froze it, so every call on one
 * struct caesura_capture must come from the thread that opened it; different captures may run on different threads.
 */
#ifndef CAESURA_H
#define CAESURA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define CAESURA_ABI_VERSION 2u

/** Codes of the one error table; see caesura_errors.def. */
enum caesura_code {
#define CAESURA_ERROR(name, code, what, remedy) CAESURA_##name = (code),
#include "caesura_errors.def"
#undef CAESURA_ERROR
};

/** What failed. message says what and which object, remedy what to do; both end in NUL. pid and fd are 0 and -1 if none. */
struct caesura_error {
    int32_t code;
    int32_t pid;
    int32_t fd;
    char message[1024];
    char remedy[508];
};

/** Which processes a checkpoint takes. The first four are BLCR's cr_scope_t. */
enum caesura_scope {
    CAESURA_SCOPE_PID = 0,  /**< id is a pid: one process, all threads */
    CAESURA_SCOPE_PGID = 1, /**< id is a process group */
    CAESURA_SCOPE_SID = 2,  /**< id is a session */
    CAESURA_SCOPE_TREE = 3, /**< id is a pid: the process and all its descendants */
    CAESURA_SCOPE_JOB = 4,  /**< id is the pid of a job's init: every process of its pid namespace but that init */
};

enum caesura_capture_flags {
    CAESURA_SAVE_EXE = 0x1,      /**< executables into the context */
    CAESURA_SAVE_PRIVATE = 0x2,  /**< MAP_PRIVATE file maps (libraries too) into the context */
    CAESURA_SAVE_SHARED = 0x4,   /**< MAP_SHARED file maps into the context */
    CAESURA_PTRACED_SKIP = 0x10, /**< leave traced processes (and in tree scope their children) out */
    CAESURA_PTRACED_ALLOW =
        0x20, /**< take traced processes as others are taken (fails where the kernel allows one tracer) */
    CAESURA_PTRACER_SKIP = 0x40,   /**< leave processes that trace others (and their children) out */
    CAESURA_CHECK_ONLY = 0x80,     /**< look, report every obstacle, write nothing; no callback runs */
    CAESURA_REQUIRE_LIBCR = 0x100, /**< ENOSUPPORT if a process has no libcr of any kind loaded, as BLCR had it */
    CAESURA_PROHIBIT_SELF = 0x200, /**< EDEADLK if the requester is in the scope */
};

/** What to capture. size is sizeof(struct caesura_capture_request), for the ABI check. */
struct caesura_capture_request {
    uint32_t size;
    uint32_t scope;                 /**< enum caesura_scope */
    int32_t id;                     /**< pid, pgid or sid as the caller sees it */
    uint32_t flags;                 /**< enum caesura_capture_flags */
    int32_t exclude_pid;            /**< this process and its descendants are left out (the engine itself); 0: none */
    uint32_t timeout_ms;            /**< limit for the freeze (0: 10000), and for all callbacks of libcr (0: 60000) */
    uint64_t copy_limit_bytes;      /**< largest file whose contents are copied for roll-back */
    const char *const *track_paths; /**< absolute folders or files for --track, NULL-terminated; NULL: none */
    const char *exclude_path;       /**< absolute path never tracked (the store itself); NULL: none */
    const char *destination;        /**< absolute path of the context, for callbacks; NULL: not a file */
    int32_t requester;              /**< who asked, for callbacks; 0: the caller's parent */
    int32_t announced_signal;       /**< what caesura_capture_signal() will be called with, for callbacks; 0: none */
};

/** What was captured, for the manifest and for messages. */
struct caesura_capture_result {
    uint32_t size;
    uint32_t processes;
    uint32_t threads;
    uint32_t warnings;    /**< lines that the log callback got at CAESURA_LOG_WARNING */
    uint64_t page_bytes;  /**< memory written */
    uint64_t file_bytes;  /**< contents of files written */
    uint64_t total_bytes; /**< all bytes written */
    uint64_t freeze_ns;   /**< until every task of the scope stood still */
    uint64_t collect_ns;  /**< until all but memory and contents was known */
    uint64_t pause_ns;    /**< from the first freeze to the release (0 before it) */
    uint8_t set_id[16];   /**< random id of this context, in the header of each of its files */
};

enum caesura_log_level {
    CAESURA_LOG_DEBUG = 0,
    CAESURA_LOG_INFO = 1,
    CAESURA_LOG_WARNING = 2,
    CAESURA_LOG_REFUSAL = 3
};

/** Called on the caller's thread; text is one line without newline, valid during the call only. */
typedef void (*caesura_log_fn)(void *data, int level, const char *text);
/** Progress in bytes; called on the caller's thread at most about ten times a second. total may grow. */
typedef void (*caesura_progress_fn)(void *data, uint64_t done, uint64_t total);

struct caesura_capture;

/** Sizes that Java compares with its own structures at load. */
struct caesura_abi {
    uint32_t version; /**< CAESURA_ABI_VERSION */
    uint32_t error_size;
    uint32_t request_size;
    uint32_t result_size;
};

/** Never fails; the structure is static. */
const struct caesura_abi *caesura_abi(void);

/**
 * Freezes the scope and collects everything but memory and file contents. On success *out owns the frozen scope; end it
 * with caesura_capture_close(). On failure nothing is frozen any more. If the calling process dies, the kernel lets the
 * scope run on by itself. Errors: ESRCH, EPERM, EPTRACED, EPTRACER, EUNSUPPORTED (first obstacle; all go to log), EAGAIN,
 * ETIMEDOUT, ENOMEM, ENOSUPPORT, EDEADLK. Callbacks of libcr have run as far as cr_checkpoint() then; they can make it fail with
 * ETEMPFAIL, EPERMFAIL (the scope was killed), or a code of their own, 1 to 255.
 */
int caesura_capture_open(const struct caesura_capture_request *request, caesura_log_fn log, void *log_data,
                         struct caesura_capture **out, struct caesura_error *err);

/** Number of files that caesura_capture_write() needs with one file per process. */
size_t caesura_capture_count(const struct caesura_capture *capture);

/** Pid (as in the context) of the process that file index belongs to; index < caesura_capture_count(). */
int32_t caesura_capture_pid(const struct caesura_capture *capture, size_t index);

/**
 * Writes the context: count is 1 (one file for all) or caesura_capture_count() (a file per process, in that order). The
 * descriptors stay the caller's, are never seeked and may be pipes or sockets. progress may be NULL.
 */
int caesura_capture_write(struct caesura_capture *capture, const int32_t *fds, size_t count,
                          caesura_progress_fn progress, void *progress_data, struct caesura_error *err);

/** Queues signal (1..64) for every process of the scope; it acts when the scope is let go. */
int caesura_capture_signal(struct caesura_capture *capture, int32_t signal, struct caesura_error *err);

/** Lets the scope go on (or meet its signal). The handle stays for caesura_capture_result(). Never fails. */
void caesura_capture_release(struct caesura_capture *capture);

void caesura_capture_result(const struct caesura_capture *capture, struct caesura_capture_result *result);

/** Releases if that was not done, and frees. NULL is allowed. */
void caesura_capture_close(struct caesura_capture *capture);

/**
 * Reads all of a context and checks every checksum, the order of the sections and the end record. fds as in
 * caesura_capture_write(); they must be seekable or at the start. Errors: ETRUNCATED, ECORRUPT, EFORMAT, EBADARCH, EIO.
 */
int caesura_context_verify(const int32_t *fds, size_t count, struct caesura_error *err);

/**
 * Describes a context as one JSON object (processes, threads, maps, descriptors, files), for cr_info. *json is
 * allocated; free it with caesura_free(). Page contents are not read, their checksums not checked.
 */
int caesura_context_describe(const int32_t *fds, size_t count, char **json, struct caesura_error *err);

void caesura_free(void *memory);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
