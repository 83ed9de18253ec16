/*
 * model.h - the state of a scope as plain data: what capture fills in, the context format stores, and restore reads.
 *
 * Each record is declared once, as a list of fields; the structure, its encoding, its decoding and its description in JSON
 * all come from that list (context/codec.c), so they cannot disagree. New fields go to the END of a list: a reader fills
 * fields that an older context lacks with zero, and skips those that it does not know.
 *
 * F(kind, name): kind is u32, i32, u64, str (heap, never NULL after decoding) or blob.  L(record, name): a list.
 * Pids are those of the processes' own pid namespace. Addresses and sizes are in bytes, times in nanoseconds (_ns).
 */
#ifndef CAESURA_MODEL_H
#define CAESURA_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "core/buffer.h"

/* clang-format off */

/* What was captured, where and when. */
#define SCOPE_FIELDS(F, L)                                                                                                 \
    F(u32, kind)            /* enum caesura_scope */                                                                       \
    F(i32, id)                                                                                                             \
    F(u32, flags)           /* enum caesura_capture_flags of the request */                                                \
    F(u32, uid) F(u32, gid) /* of the requester */                                                                         \
    F(str, host) F(str, kernel) F(str, boot_id) F(str, release)                                                            \
    F(u64, realtime_ns) F(u64, monotonic_ns) F(u64, boottime_ns)                                                           \
    F(u64, xfeatures)       /* XCR0: which extended states the thread records hold */                                      \
    F(u32, user_namespace)  /* 1: the scope lived in a user namespace other than the requester's */                        \
    F(u32, pid_namespace)   /* 1: the scope lived in a pid namespace of its own, below the requester's */                  \
    F(u64, last_pid)        /* largest pid or tid of the scope */                                                          \
    F(u32, private_shm)     /* 1: /dev/shm is the job's own, and all files in it are in the context */

/* A file that is open or mapped, known by its path, or saved whole because it has none any more. */
#define FILE_FIELDS(F, L)                                                                                                  \
    F(u32, id)              /* number within the context, from 1 */                                                        \
    F(u32, kind)            /* enum file_kind */                                                                           \
    F(u32, flags)           /* enum file_flags */                                                                          \
    F(str, path)            /* as /proc shows it, without " (deleted)" */                                                  \
    F(u64, dev) F(u64, ino) F(u32, mode) F(u32, uid) F(u32, gid)                                                           \
    F(u64, size) F(u64, mtime_ns) F(u64, ctime_ns)                                                                         \
    F(blob, build_id)       /* of an ELF file that is mapped executable */                                                 \
    F(u32, content)         /* enum file_content */                                                                        \
    F(u32, seals)           /* memfd: F_SEAL_* */                                                                          \
    F(u32, huge_shift)      /* memfd or anonymous shared memory on huge pages: log2 of the page size */

enum file_kind {
    FILE_REGULAR = 1,       /* has a name */
    FILE_DELETED = 2,       /* a regular file without a name left */
    FILE_MEMFD = 3,         /* path is the name given to memfd_create */
    FILE_ANON_SHARED = 4,   /* MAP_SHARED|MAP_ANONYMOUS memory */
    FILE_SYSV = 5,          /* a System V shared memory segment; ino is the shmid */
    FILE_DEVICE = 6,        /* mapped character device that may be opened again, such as /dev/zero */
};

enum file_flags {
    FILE_WRITTEN = 0x1,     /* a descriptor or shared map of the scope may change its contents in place */
    FILE_APPENDED = 0x2,    /* a descriptor of the scope may append to it */
    FILE_MAPPED = 0x4,
    FILE_EXECUTED = 0x8,    /* mapped executable, or the exe of a process */
    FILE_TRACKED = 0x10,    /* in the census of --track, perhaps not open at all */
    FILE_PRIVATE_SHM = 0x20, /* in a /dev/shm that belongs to the job alone */
    FILE_THROUGH_MAPS = 0x40, /* contents are written by memory/, from the address spaces that map it */
};

enum file_content {
    FILE_CONTENT_NONE = 0,  /* identity and size only */
    FILE_CONTENT_SAVED = 1, /* CONTENT sections hold it; what they leave out is zero */
    FILE_CONTENT_OVER_LIMIT = 2, /* would have been saved but is larger than the limit */
};

/* A folder (or file) of --track: its census is the FILE records with FILE_TRACKED below it. */
#define TRACKED_FIELDS(F, L)                                                                                               \
    F(str, path) F(u64, files) F(u64, bytes)                                                                               \
    F(str, exclude)         /* below it: never looked at (the store); empty: nothing */

/* One map of an address space. */
#define MAP_FIELDS(F, L)                                                                                                   \
    F(u64, start) F(u64, end)                                                                                              \
    F(u32, prot)            /* PROT_* */                                                                                   \
    F(u32, kind)            /* enum map_kind */                                                                            \
    F(u32, flags)           /* enum map_flags */                                                                           \
    F(u32, file)            /* id of the file record; 0: private anonymous memory */                                       \
    F(u64, offset)          /* in the file */                                                                              \
    F(str, name)            /* as /proc shows it: path, [heap], [anon:NAME] ... */                                        \
    F(u32, huge_shift)      /* on huge pages: log2 of their size */

enum map_kind { MAP_KIND_ANON = 1, MAP_KIND_FILE_PRIVATE = 2, MAP_KIND_FILE_SHARED = 3, MAP_KIND_VDSO = 4 };

enum map_flags {
    MAP_IS_GROWSDOWN = 0x1, MAP_IS_HUGETLB = 0x2, MAP_IS_NORESERVE = 0x4, MAP_IS_LOCKED = 0x8, MAP_IS_LOCKONFAULT = 0x10,
    MAP_IS_DONTFORK = 0x20, MAP_IS_WIPEONFORK = 0x40, MAP_IS_DONTDUMP = 0x80, MAP_IS_MERGEABLE = 0x100,
    MAP_IS_HUGEPAGE = 0x200, MAP_IS_NOHUGEPAGE = 0x400, MAP_IS_SEQUENTIAL = 0x800, MAP_IS_RANDOM = 0x1000,
    MAP_IS_SEALED = 0x2000, MAP_IS_DROPPABLE = 0x4000, MAP_IS_STACK = 0x8000,
    MAP_IS_MAYWRITE = 0x10000,  /* shared: its file was open for writing, so mprotect() may allow it */
};

/* A pending signal: the kernel's siginfo_t, 128 bytes. */
#define PENDING_FIELDS(F, L) F(blob, siginfo)

#define ACTION_FIELDS(F, L) F(u32, signo) F(u64, handler) F(u64, flags) F(u64, restorer) F(u64, mask)

#define ITIMER_FIELDS(F, L) F(u32, which) F(u64, interval_us) F(u64, value_us)

#define TIMER_FIELDS(F, L)                                                                                                 \
    F(i32, id) F(i32, clock) F(u32, notify) F(u32, signo) F(u64, sigval) F(i32, tid) /* SIGEV_THREAD_ID */                  \
    F(u64, interval_ns) F(u64, value_ns) /* time left; 0: not armed */ F(u32, overrun)

#define LIMIT_FIELDS(F, L) F(u32, resource) F(u64, soft) F(u64, hard)

/* One thread. regs, xstate and siginfo are the kernel's own layouts for the architecture in the header. */
#define THREAD_FIELDS(F, L)                                                                                                \
    F(i32, tid) F(str, comm)                                                                                               \
    F(blob, regs) F(blob, xstate)                                                                                          \
    F(u64, sigmask)                                                                                                        \
    F(u64, robust_list) F(u64, robust_list_size)                                                                           \
    F(u64, rseq) F(u32, rseq_size) F(u32, rseq_signature) F(u32, rseq_flags)                                               \
    F(u64, clear_child_tid)                                                                                                \
    F(u64, altstack_sp) F(u32, altstack_flags) F(u64, altstack_size)                                                       \
    F(u32, sched_policy) F(u32, sched_priority) F(i32, nice) F(u64, sched_flags)                                           \
    F(u64, sched_runtime_ns) F(u64, sched_deadline_ns) F(u64, sched_period_ns)                                             \
    F(blob, affinity)                                                                                                      \
    F(u64, timerslack_ns) F(u32, pdeathsig) F(u32, ioprio)                                                                 \
    L(pending, pending)

/* An entry of a descriptor table. */
#define DESCRIPTOR_FIELDS(F, L) F(i32, fd) F(u32, description) F(u32, cloexec)

/* An open file description: what dup'ed and inherited descriptors share. */
#define DESCRIPTION_FIELDS(F, L)                                                                                           \
    F(u32, id)              /* number within the context, from 1 */                                                        \
    F(u32, kind)            /* enum description_kind */                                                                    \
    F(u32, flags)           /* O_* as F_GETFL gives them */                                                                \
    F(u64, position)                                                                                                       \
    F(u32, file)            /* id of the file record, or 0 */                                                              \
    F(str, name)            /* as /proc/PID/fd shows it */                                                                 \
    F(i32, owner_type) F(i32, owner_pid) F(i32, owner_signal) /* F_SETOWN_EX, F_SETSIG */                                  \
    F(blob, state)          /* what belongs to the kind alone; see descriptors/ */

enum description_kind {
    DESCRIPTION_FILE = 1,   /* regular file; file is set */
    DESCRIPTION_FOLDER = 2,
    DESCRIPTION_DEVICE = 3, /* /dev/null and its like: opened again by name */
    DESCRIPTION_OUTSIDE = 4, /* leads out of the scope: becomes stdin, stdout or stderr of cr_restart */
    DESCRIPTION_PIPE = 5, DESCRIPTION_FIFO = 6,
    DESCRIPTION_UNIX = 7, DESCRIPTION_INET = 8,
    DESCRIPTION_EVENTFD = 9, DESCRIPTION_EPOLL = 10, DESCRIPTION_TIMERFD = 11, DESCRIPTION_SIGNALFD = 12,
    DESCRIPTION_INOTIFY = 13, DESCRIPTION_PIDFD = 14, DESCRIPTION_TTY = 15, DESCRIPTION_PATH = 16 /* O_PATH */,
    DESCRIPTION_NAMESPACE = 17, DESCRIPTION_PROC = 18,
};

/* Addresses that end the program when touched (MADV_GUARD_INSTALL). */
#define GUARD_FIELDS(F, L) F(u64, start) F(u64, end)

#define PROCESS_FIELDS(F, L)                                                                                               \
    F(i32, pid) F(i32, ppid) F(i32, pgid) F(i32, sid)                                                                      \
    F(u32, state)           /* enum process_state */                                                                       \
    F(u32, exit_status)     /* zombie: as wait() gives it */                                                               \
    F(u32, exit_signal)     /* to the parent at the end */                                                                 \
    F(u32, stop_signal)     /* stopped: by which signal */                                                                 \
    F(str, exe) F(u32, exe_file) F(str, cwd) F(str, root) F(str, command_line)                                             \
    F(u32, umask)                                                                                                          \
    F(u32, uid_real) F(u32, uid_effective) F(u32, uid_saved) F(u32, uid_fs)                                                \
    F(u32, gid_real) F(u32, gid_effective) F(u32, gid_saved) F(u32, gid_fs)                                                \
    F(blob, groups)         /* u32 each */                                                                                 \
    F(u64, cap_inheritable) F(u64, cap_permitted) F(u64, cap_effective) F(u64, cap_bounding) F(u64, cap_ambient)           \
    F(u32, securebits) F(u32, no_new_privs) F(u32, dumpable)                                                               \
    F(u32, personality) F(i32, oom_score_adj) F(u32, coredump_filter)                                                      \
    F(u32, child_subreaper) F(u32, thp_disable)                                                                            \
    F(u64, start_code) F(u64, end_code) F(u64, start_data) F(u64, end_data) F(u64, start_brk) F(u64, brk)                  \
    F(u64, start_stack) F(u64, arg_start) F(u64, arg_end) F(u64, env_start) F(u64, env_end)                                \
    F(blob, auxv)                                                                                                          \
    L(limit, limits) L(itimer, itimers) L(timer, timers) L(action, actions)                                        \
    L(pending, pending)     /* for the whole process */                                                                    \
    L(map, maps) L(thread, threads) L(descriptor, descriptors)                                                             \
    F(u32, files_of)        /* pid of the process whose descriptor table this one shares (CLONE_FILES); 0: its own */      \
    F(u32, fs_of)           /* the same for CLONE_FS */                                                                    \
    F(u64, tty)             /* st_rdev of the controlling terminal, 0: none */                                             \
    F(i32, tty_pgid)                                                                                                       \
    L(guard, guards)                                                                                                       \
    F(u32, stop_unreported) /* stopped, and its parent has not waited for that yet */                                      \
    F(u32, lock_future)     /* enum lock_future: mlockall(MCL_FUTURE) is in force */

enum lock_future { LOCK_FUTURE_NO = 0, LOCK_FUTURE = 1, LOCK_FUTURE_ONFAULT = 2 };

enum process_state { PROCESS_RUNNING = 1, PROCESS_STOPPED = 2, PROCESS_ZOMBIE = 3 };

/* A lock on a regular file. */
#define LOCK_FIELDS(F, L)                                                                                                  \
    F(u32, kind)            /* enum lock_kind */                                                                           \
    F(u32, type)            /* F_RDLCK or F_WRLCK */                                                                       \
    F(u64, start) F(u64, end) /* last byte; UINT64_MAX: to the end of the file */                                          \
    F(i32, pid)             /* POSIX: the process */                                                                       \
    F(u32, description)     /* the open file description through which it is taken */                                      \
    F(i32, fd)              /* POSIX: a descriptor of pid on that file */

enum lock_kind { LOCK_FLOCK = 1, LOCK_POSIX = 2, LOCK_OFD = 3 };

/* An object of System V IPC. */
#define SYSV_FIELDS(F, L)                                                                                                  \
    F(u32, kind)            /* enum sysv_kind */                                                                           \
    F(i32, id) F(u32, key)                                                                                                 \
    F(u32, mode)            /* permissions; of a segment also SHM_DEST, SHM_LOCKED and SHM_HUGETLB */                      \
    F(u32, uid) F(u32, gid) /* of the owner */                                                                             \
    F(u64, size)            /* segment: bytes; set: semaphores */                                                          \
    F(u32, file)            /* segment: id of the file record that maps and contents refer to */                           \
    F(blob, state)          /* set: u16 for each semaphore */

enum sysv_kind { SYSV_SEGMENT = 1, SYSV_SEMAPHORES = 2 };

/* clang-format on */

/* Structures. */
typedef uint32_t field_u32;
typedef int32_t field_i32;
typedef uint64_t field_u64;
typedef char *field_str;
typedef struct blob field_blob;

#define RECORD_FIELD(kind, name) field_##kind name;
#define RECORD_LIST(record, name) \
    struct record *name;          \
    uint32_t n_##name;
#define RECORD_DECLARE(record, FIELDS)    \
    struct record {                       \
        FIELDS(RECORD_FIELD, RECORD_LIST) \
    };

/* clang-format off */
/* Every record, those that others contain first. */
#define RECORDS(R)                                                                                                         \
    R(scope, SCOPE_FIELDS) R(file, FILE_FIELDS) R(tracked, TRACKED_FIELDS) R(map, MAP_FIELDS) R(guard, GUARD_FIELDS) R(pending, PENDING_FIELDS)   \
    R(action, ACTION_FIELDS) R(itimer, ITIMER_FIELDS) R(timer, TIMER_FIELDS) R(limit, LIMIT_FIELDS)  \
    R(thread, THREAD_FIELDS) R(descriptor, DESCRIPTOR_FIELDS) R(description, DESCRIPTION_FIELDS) R(lock, LOCK_FIELDS)      \
    R(sysv, SYSV_FIELDS) R(process, PROCESS_FIELDS)

/* clang-format on */

#define RECORD_STRUCT(record, FIELDS) RECORD_DECLARE(record, FIELDS)
RECORDS(RECORD_STRUCT)
#undef RECORD_STRUCT

/* All of a context but memory and contents of files. Owns everything below it. */
struct context {
    struct scope scope;
    struct file *files;
    uint32_t n_files;
    struct description *descriptions;
    uint32_t n_descriptions;
    struct lock *locks;
    uint32_t n_locks;
    struct tracked *tracked;
    uint32_t n_tracked;
    struct sysv *sysv;
    uint32_t n_sysv;
    struct process *processes;
    uint32_t n_processes;
};

/** Frees what context holds and clears it. */
void context_free(struct context *context);

/** By id or pid; NULL if there is none. */
struct file *context_file(const struct context *context, uint32_t id);
struct description *context_description(const struct context *context, uint32_t id);
struct process *context_process(const struct context *context, int32_t pid);

/** Appends a zeroed element to a list of the model; NULL when out of memory. list: &x->items, count: &x->n_items. */
#define list_add(list, count) ((__typeof__(*(list)))list_grow((void **)(list), (count), sizeof **(list)))
void *list_grow(void **list, uint32_t *count, size_t size);

#endif
