#include "callbacks/callbacks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "callbacks/find.h"
#include "callbacks/forward.h"
#include "callbacks/round.h"
#include "core/clock.h"
#include "core/error.h"
#include "freeze/freeze.h"
#include "proc/proc.h"

#define DEFAULT_LIMIT_MS 60000u

static int start(struct caesura_capture *capture, struct caesura_error *err)
{
    const struct caesura_capture_request *request = &capture->request;
    struct callbacks *callbacks = calloc(1, sizeof *callbacks);

    if (!callbacks)
        return error_errno(err, ENOMEM, "cannot prepare a checkpoint");
    capture->callbacks = callbacks;
    /* A little less than the caller's own limit, who may end without a word to the callbacks when that is over. */
    callbacks->limit_ms = request->timeout_ms ? request->timeout_ms - request->timeout_ms / 10 : DEFAULT_LIMIT_MS;
    callbacks->deadline_ns = clock_now_ns() + callbacks->limit_ms * 1000000ull;
    callbacks->requester = request->requester ? request->requester : getppid();
    while (!callbacks->generation) {
        if (getrandom(&callbacks->generation, sizeof callbacks->generation, 0) < 0)
            callbacks->generation = (uint32_t)clock_now_ns();
        callbacks->generation &= INT32_MAX; /* one bit of the signal's value is taken */
    }
    return 0;
}

/* Lets the scope run, to be frozen anew. */
static void thaw(struct caesura_capture *capture)
{
    freeze_release(capture);
    for (size_t i = 0; i < capture->n_targets; i++)
        free(capture->targets[i].tasks);
    capture->n_targets = 0;
    capture->result.pause_ns = 0;
    capture->released = false;
}

/* What a process answered, while it ran. */
static int take_answer(struct caesura_capture *capture, struct participant *participant,
                       const struct libcr_control *control, struct caesura_error *err)
{
    struct callbacks *callbacks = capture->callbacks;
    int code = (int)control->code;

    switch (control->answer) {
    case LIBCR_FINE:
        return 0;
    case LIBCR_OMIT:
        capture_log(capture, CAESURA_LOG_INFO, "process %d left itself out", participant->pid);
        participant->stage = STAGE_OUT;
        if (pid_list_append(&capture->left_out, participant->pid, err))
            return -ENOMEM;
        LIBCR_PUT(participant->pid, participant->address, verdict, LIBCR_OMITTED);
        return 0;
    case LIBCR_TEMP_FAILURE:
    case LIBCR_PERM_FAILURE:
        callbacks->verdict_code = code;
        code &= 0xff;
        if (!code)
            code = control->answer == LIBCR_TEMP_FAILURE ? CAESURA_ETEMPFAIL : CAESURA_EPERMFAIL;
        capture->doomed = control->answer == LIBCR_PERM_FAILURE;
        error_set(err, code, "a callback of process %d refused the checkpoint%s", participant->pid,
                  capture->doomed ? " for good" : " for now");
        if (!capture->doomed)
            error_hint(err, "try again later");
        else
            error_hint(err, "its processes were killed, as BLCR does; see the program's documentation");
        return error_about(err, participant->pid, -1);
    default:
        error_set(err, CAESURA_ETEMPFAIL, "process %d has answered nonsense", participant->pid);
        return error_about(err, participant->pid, -1);
    }
}

/* Has this process come to where its next step can be taken? */
static bool has_arrived(const struct participant *participant, const struct libcr_control *control)
{
    switch (participant->stage) {
    case STAGE_BUSY:
        return control->request == LIBCR_IDLE && !control->inside;
    case STAGE_PENDING:
        return !control->sections;
    case STAGE_FIRST:
        return control->arrived >= 1;
    case STAGE_SIGNALLED:
        return control->arrived >= participant->participants;
    default:
        return true;
    }
}

static int poll_one(struct caesura_capture *capture, struct participant *participant, bool *arrived,
                    struct caesura_error *err)
{
    struct libcr_control control;
    struct callbacks *callbacks = capture->callbacks;

    if (libcr_read(participant->pid, participant->address, &control) || control.magic != LIBCR_MAGIC) {
        participant->stage = STAGE_OUT; /* it has ended, or become another program */
        return 0;
    }
    if (!participant->told) {
        *arrived &= has_arrived(participant, &control);
        return 0;
    }
    if (control.request == LIBCR_IDLE || control.generation != callbacks->generation)
        return 0; /* it has given up: the next round finds the error */
    LIBCR_PUT(participant->pid, participant->address, heartbeat, callbacks->heartbeat);
    if (control.forward == LIBCR_FORWARD_ASKED) {
        int result = forward_add(capture, participant->pid, control.forward_scope, control.forward_id, err);
        if (result < 0)
            return result;
        LIBCR_PUT(participant->pid, participant->address, forward_result, result);
        LIBCR_PUT(participant->pid, participant->address, forward, LIBCR_FORWARD_ANSWERED);
    }
    int rc = take_answer(capture, participant, &control, err);
    *arrived &= has_arrived(participant, &control);
    return rc;
}

static int too_late(const struct caesura_capture *capture, const struct participant *participant,
                    struct caesura_error *err)
{
    static const char *const what[] = {
        [STAGE_BUSY] = "is still in the callbacks of an earlier checkpoint",
        [STAGE_PENDING] = "stayed in a critical section",
        [STAGE_FIRST] = "did not come to the end of its thread-context callbacks",
        [STAGE_SIGNALLED] = "did not come to the end of its signal-context callbacks",
    };
    double limit = capture->callbacks->limit_ms / 1000.0;

    error_set(err, CAESURA_ETIMEDOUT_, "process %d %s within %g s", participant->pid,
              participant->stage < sizeof what / sizeof *what && what[participant->stage] ? what[participant->stage]
                                                                                          : "was not ready",
              limit);
    error_hint(err, "raise the time limit (-t), or look at what the callback waits for");
    return error_about(err, participant->pid, -1);
}

/* While the scope runs: until all have come to their next step. */
static int await_all(struct caesura_capture *capture, struct caesura_error *err)
{
    struct callbacks *callbacks = capture->callbacks;
    struct timespec nap = {.tv_nsec = 100000};

    for (;;) {
        const struct participant *late = NULL;
        callbacks->heartbeat++;
        for (size_t i = 0; i < callbacks->count; i++) {
            bool arrived = true;
            if (callbacks->list[i].stage == STAGE_OUT)
                continue;
            int rc = poll_one(capture, &callbacks->list[i], &arrived, err);
            if (rc)
                return rc;
            if (!arrived)
                late = &callbacks->list[i];
        }
        if (!late)
            return 0;
        if (clock_now_ns() > callbacks->deadline_ns)
            return too_late(capture, late, err);
        nanosleep(&nap, NULL);
        if (nap.tv_nsec < 5000000)
            nap.tv_nsec *= 2;
    }
}

/* The others of a checkpoint that a callback refused for good. The refuser is in no hurry: it waits for this. */
static void kill_scope(struct caesura_capture *capture)
{
    struct caesura_error ignored;

    if (!freeze_scope(capture, &ignored)) {
        for (size_t i = 0; i < capture->n_targets; i++)
            if (!capture->targets[i].zombie)
                kill(capture->targets[i].pid, SIGKILL);
        thaw(capture);
        return;
    }
    for (size_t i = 0; i < capture->callbacks->count; i++)
        if (capture->callbacks->list[i].stage != STAGE_OUT)
            kill(capture->callbacks->list[i].pid, SIGKILL);
}

void callbacks_decide(struct caesura_capture *capture, int code)
{
    struct callbacks *callbacks = capture->callbacks;

    if (!callbacks || callbacks->decided)
        return;
    callbacks->decided = true;
    for (size_t i = 0; i < callbacks->count; i++) {
        struct participant *participant = &callbacks->list[i];
        struct libcr_control control;
        pid_t pid = participant->pid;
        uint64_t at = participant->address;
        if (participant->stage == STAGE_OUT || libcr_read(pid, at, &control) || control.magic != LIBCR_MAGIC)
            continue;
        if (!code) {
            const char *dest = capture->request.destination ? capture->request.destination : "";
            LIBCR_PUT(pid, at, requester, callbacks->requester);
            if (strlen(dest) < LIBCR_PATH_BYTES)
                libcr_write(pid, at, offsetof(struct libcr_control, dest), dest, strlen(dest) + 1);
            LIBCR_PUT(pid, at, latest, LIBCR_LATEST_DEST);
            LIBCR_PUT(pid, at, checkpoints, participant->checkpoints + 1);
        } else {
            LIBCR_PUT(pid, at, failure_code, (uint32_t)(callbacks->verdict_code ? callbacks->verdict_code : code));
            LIBCR_PUT(pid, at, failures, control.failures + 1);
        }
        if (!participant->told || control.generation != callbacks->generation || control.request == LIBCR_IDLE)
            continue;
        if (participant->helper || participant->stage == STAGE_SIGNALLED) {
            LIBCR_PUT(pid, at, verdict_code, (uint32_t)(callbacks->verdict_code ? callbacks->verdict_code : code));
            LIBCR_PUT(pid, at, verdict, code ? LIBCR_FAILED : LIBCR_CONTINUE);
        } else {
            LIBCR_PUT(pid, at, request, LIBCR_IDLE);
        }
    }
}

int callbacks_freeze(struct caesura_capture *capture, struct caesura_error *err)
{
    bool ready = false;

    if (capture->request.flags & CAESURA_CHECK_ONLY)
        return freeze_scope(capture, err);
    int rc = start(capture, err);
    while (!rc) {
        if ((rc = freeze_scope(capture, err)))
            break;
        rc = round_step(capture, &ready, err);
        if (!rc && ready)
            return 0;
        /* A failure is told while nobody runs, so that no callback begins in vain. */
        if (rc)
            callbacks_decide(capture, -rc);
        thaw(capture);
        if (!rc)
            rc = await_all(capture, err);
    }
    if (rc && capture->doomed)
        kill_scope(capture);
    if (rc)
        callbacks_decide(capture, -rc);
    return rc;
}

bool callbacks_take_signal(struct caesura_capture *capture, const struct target *target, int signal)
{
    struct callbacks *callbacks = capture->callbacks;

    for (size_t i = 0; callbacks && i < callbacks->count; i++) {
        struct participant *participant = &callbacks->list[i];
        if (participant->pid != target->pid || participant->stage != STAGE_SIGNALLED ||
            LIBCR_PUT(participant->pid, participant->address, final_signal, signal))
            continue;
        callbacks->signal = signal;
        return participant->signal_left = true;
    }
    return false;
}

/* Its target is still in the list, so its pidfd tells it from a successor with its pid. */
static void send_signal(const struct caesura_capture *capture, const struct participant *participant)
{
    for (size_t i = 0; i < capture->n_targets; i++)
        if (capture->targets[i].pid == participant->pid && capture->targets[i].pidfd >= 0)
            syscall(SYS_pidfd_send_signal, capture->targets[i].pidfd, capture->callbacks->signal, NULL, 0);
}

void callbacks_end(struct caesura_capture *capture)
{
    struct callbacks *callbacks = capture->callbacks;
    struct timespec nap = {.tv_nsec = 1000000};

    if (!callbacks || !callbacks->signal)
        return;
    uint64_t deadline = clock_now_ns() + callbacks->limit_ms * 1000000ull;
    for (size_t i = 0; i < callbacks->count; i++) {
        struct participant *participant = &callbacks->list[i];
        struct libcr_control control;
        if (!participant->signal_left)
            continue;
        /* Gone, or sent: the signal comes right after the request has ended. */
        while (!libcr_read(participant->pid, participant->address, &control) && control.magic == LIBCR_MAGIC &&
               control.generation == callbacks->generation && control.request != LIBCR_IDLE) {
            if (clock_now_ns() > deadline) {
                send_signal(capture, participant);
                break;
            }
            nanosleep(&nap, NULL);
        }
    }
    callbacks->signal = 0;
}

void callbacks_free(struct caesura_capture *capture)
{
    if (capture->callbacks)
        free(capture->callbacks->list);
    free(capture->callbacks);
    capture->callbacks = NULL;
    pid_list_free(&capture->left_out);
    free(capture->forwarded);
    capture->forwarded = NULL;
    capture->n_forwarded = 0;
}
