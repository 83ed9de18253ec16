/*
 * libcr_control.h - what libcr and the checkpointer have in common: a block of ordinary memory in the program.
 *
 * The checkpointer finds it through an ELF note (LIBCR_NOTE_*), whose eight bytes are the distance from themselves to the
 * block; so it works for a library and for a static program, and nothing that the program does later moves it. It reads and
 * writes by process_vm_readv() and process_vm_writev(), never follows a pointer in it, and believes nothing: a block full of
 * nonsense can at most make the checkpoint of its own process fail. Fields are written by one side only, but where said.
 *
 * Not installed: library and checkpointer are of one release, LIBCR_CONTROL_VERSION tells.
 */
#ifndef CAESURA_LIBCR_CONTROL_H
#define CAESURA_LIBCR_CONTROL_H

#include <stdint.h>

#define LIBCR_NOTE_NAME "Caesura" /* 8 bytes with its NUL */
#define LIBCR_NOTE_TYPE 0x6372    /* the distance to the block, int64_t */
#define LIBCR_MAGIC 0x6f72746e6f637263ull
#define LIBCR_CONTROL_VERSION 1u
#define LIBCR_PATH_BYTES 4096

/* How often, and after how many times without a sign of life, those who wait for the checkpointer give up: 15 s. Only time in
 * which the process runs counts, so a checkpointer that writes a large context has as long as it takes. */
#define LIBCR_WAIT_MS 50
#define LIBCR_PATIENCE 300

enum libcr_request {
    LIBCR_IDLE,
    LIBCR_PENDING,   /* no critical section may begin; thread-context callbacks run when `first` says so */
    LIBCR_SIGNALLED, /* every thread has CR_SIGNUM queued */
};

enum libcr_answer { LIBCR_FINE, LIBCR_OMIT, LIBCR_TEMP_FAILURE, LIBCR_PERM_FAILURE };

/* All below 256, so that a write cannot be seen by halves. */
enum libcr_verdict { LIBCR_WAIT, LIBCR_CONTINUE, LIBCR_RESTART, LIBCR_FAILED, LIBCR_OMITTED };

/* Which path is that of the newest context that the process is in. */
enum libcr_latest { LIBCR_LATEST_NONE, LIBCR_LATEST_DEST, LIBCR_LATEST_SRC };

enum libcr_forward_state { LIBCR_FORWARD_NONE, LIBCR_FORWARD_ASKED, LIBCR_FORWARD_ANSWERED };

struct libcr_control {
    uint64_t magic;
    uint32_t version;
    uint32_t size;

    /* The library's. */
    int32_t pid;       /* in the process's namespace; another one is a copy in a child that has not called cr_init() */
    uint32_t enrolled; /* callbacks and hooks that are registered; 0: nobody wants to be told of checkpoints */
    uint32_t sections; /* threads in critical sections */
    int32_t helper;    /* the thread for thread-context callbacks, 0: none */
    uint32_t inside;   /* threads in callbacks, or on their way out */
    uint32_t arrived;  /* threads that wait for the verdict with all their callbacks */
    uint32_t finished; /* threads that have come through */
    uint32_t answer;   /* enum libcr_answer */
    uint32_t code;     /* 16 bits of a failure, 0: BLCR's own code */
    uint32_t forward;  /* enum libcr_forward_state; ANSWERED is the checkpointer's */
    uint32_t forward_scope;
    int32_t forward_id;
    uint64_t handler; /* for rt_sigaction(CR_SIGNUM), should the program have put another one there */
    uint64_t handler_flags;
    uint64_t restorer;

    /* The checkpointer's. */
    uint32_t request;      /* enum libcr_request; the library sets IDLE at the end, or when the checkpointer is lost */
    uint32_t generation;   /* number of the request, never 0 */
    uint32_t first;        /* the generation whose thread-context callbacks may run */
    uint32_t participants; /* how many threads will arrive */
    uint32_t verdict;      /* enum libcr_verdict; the library sets FAILED when the checkpointer is lost */
    uint32_t verdict_code; /* code of the error table, or the 16 bits of a failure, of FAILED */
    uint32_t heartbeat;
    int32_t forward_result; /* 0 or an errno */
    int32_t final_signal;   /* for the process, by its last participant, when all is done */
    uint32_t
        checkpoints; /* how many contexts this process is in; the restarted one starts with the count before its own */
    uint32_t restarts; /* how often it was restarted */

    int32_t requester, target; /* of cr_get_checkpoint_info() */
    uint32_t scope;
    int32_t signal;
    int32_t restart_requester; /* of cr_get_restart_info() */

    uint32_t failures;     /* how many checkpoints of this process came to nothing after it was found */
    uint32_t failure_code; /* why the last one did, as verdict_code */
    uint32_t latest;       /* enum libcr_latest */

    uint32_t displaced;           /* 1: the checkpointer has put `handler` over another action, which follows */
    uint64_t displaced_action[4]; /* as of rt_sigaction(): handler, flags, restorer, mask */

    char dest[LIBCR_PATH_BYTES];
    char src[LIBCR_PATH_BYTES];
};

/* What the checkpointer reads again and again. */
#define LIBCR_CONTROL_HEAD __builtin_offsetof(struct libcr_control, dest)

_Static_assert(sizeof(struct libcr_control) == 200 + 2 * LIBCR_PATH_BYTES, "no hole that depends on the compiler");

#endif
