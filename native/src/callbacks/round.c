#include "callbacks/round.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "callbacks/find.h"
#include "core/error.h"
#include "proc/proc.h"

static struct participant *participant_of(struct callbacks *callbacks, pid_t pid)
{
    for (size_t i = 0; i < callbacks->count; i++)
        if (callbacks->list[i].pid == pid && callbacks->list[i].stage != STAGE_OUT)
            return &callbacks->list[i];
    return NULL;
}

static struct participant *participant_add(struct callbacks *callbacks, pid_t pid, uint64_t address,
                                           struct caesura_error *err)
{
    if (callbacks->count == callbacks->capacity) {
        size_t want = callbacks->capacity ? callbacks->capacity * 2 : 16;
        struct participant *grown = realloc(callbacks->list, want * sizeof *grown);
        if (!grown) {
            error_errno(err, ENOMEM, "cannot list the processes with callbacks");
            return NULL;
        }
        callbacks->list = grown;
        callbacks->capacity = want;
    }
    callbacks->list[callbacks->count] = (struct participant){.pid = pid, .address = address};
    return &callbacks->list[callbacks->count++];
}

/* Finds libcr in a process that was not looked at, or that has become another program since. *participant NULL: none. */
static int look(struct caesura_capture *capture, struct target *target, struct participant **participant,
                struct caesura_error *err)
{
    struct callbacks *callbacks = capture->callbacks;
    struct libcr_found found;
    int rc = libcr_find(target->pid, &found);

    *participant = participant_of(callbacks, target->pid);
    if (rc == -CAESURA_EVERSION) {
        error_set(err, CAESURA_EVERSION, "process %d has a libcr of another release loaded", target->pid);
        return error_about(err, target->pid, -1);
    }
    if (rc)
        return error_errno(err, -rc, "cannot look for libcr in process %d", target->pid);
    if (!found.marked && (capture->request.flags & CAESURA_REQUIRE_LIBCR)) {
        error_set(err, CAESURA_ENOSUPPORT, "process %d has no libcr loaded", target->pid);
        return error_about(err, target->pid, -1);
    }
    if (*participant && (*participant)->address != found.address) {
        (*participant)->stage = STAGE_OUT;
        *participant = NULL;
    }
    if (!*participant && found.address && !(*participant = participant_add(callbacks, target->pid, found.address, err)))
        return -ENOMEM;
    return 0;
}

static int lost_patience(const struct participant *participant, struct caesura_error *err)
{
    error_set(err, CAESURA_ETEMPFAIL, "process %d has given the checkpoint up, as nothing was heard of it for too long",
              participant->pid);
    return error_about(err, participant->pid, -1);
}

static int unreachable(const struct participant *participant, int rc, struct caesura_error *err)
{
    error_errno(err, -rc, "cannot tell process %d of the checkpoint", participant->pid);
    return error_about(err, participant->pid, -1);
}

/* The number by which the process knows a pid that we see. */
static int32_t inner_pid(pid_t pid)
{
    struct proc_status status;
    return proc_status(pid, &status) ? pid : status.inner_pid;
}

/* Fills in the request. `request` comes last, for the threads look at it first. */
static int tell(struct caesura_capture *capture, struct participant *participant, const struct libcr_control *before,
                struct caesura_error *err)
{
    const struct caesura_capture_request *request = &capture->request;
    struct callbacks *callbacks = capture->callbacks;
    static char dest[LIBCR_PATH_BYTES];
    struct libcr_control control = *before;
    bool by_pid = request->scope == CAESURA_SCOPE_PID || request->scope == CAESURA_SCOPE_TREE;
    const size_t mine = offsetof(struct libcr_control, generation);

    control.arrived = control.finished = control.answer = control.code = control.forward = 0;
    control.generation = callbacks->generation;
    control.first = before->first;
    control.participants = control.verdict = control.verdict_code = 0;
    control.heartbeat = ++callbacks->heartbeat;
    control.forward_result = control.final_signal = 0;
    control.requester = inner_pid(callbacks->requester);
    control.target = by_pid ? inner_pid(request->id) : request->id;
    control.scope = request->scope;
    control.signal = request->announced_signal;
    snprintf(dest, sizeof dest, "%s", request->destination ? request->destination : "");
    int rc =
        libcr_write(participant->pid, participant->address, offsetof(struct libcr_control, arrived), &control.arrived,
                    offsetof(struct libcr_control, forward_scope) - offsetof(struct libcr_control, arrived));
    if (!rc)
        rc = libcr_write(participant->pid, participant->address, mine, &control.generation, LIBCR_CONTROL_HEAD - mine);
    if (!rc)
        rc = libcr_write(participant->pid, participant->address, offsetof(struct libcr_control, dest), dest,
                         strlen(dest) + 1);
    if (!rc)
        rc = LIBCR_PUT(participant->pid, participant->address, request, LIBCR_PENDING);
    if (rc)
        return unreachable(participant, rc, err);
    participant->told = true;
    return 0;
}

static int start_first(struct callbacks *callbacks, struct participant *participant, struct caesura_error *err)
{
    int rc = LIBCR_PUT(participant->pid, participant->address, participants, 1);

    if (!rc)
        rc = LIBCR_PUT(participant->pid, participant->address, first, callbacks->generation);
    if (rc)
        return unreachable(participant, rc, err);
    participant->helper = true;
    participant->stage = STAGE_FIRST;
    return 0;
}

/* A process up to the point where it waits for its signals. */
static int prepare_one(struct caesura_capture *capture, struct participant *participant, struct target *target,
                       struct libcr_control *control, struct caesura_error *err)
{
    struct callbacks *callbacks = capture->callbacks;

    participant->enrolled = control->enrolled != 0;
    participant->checkpoints = control->checkpoints;
    if (participant->told && (control->request == LIBCR_IDLE || control->generation != callbacks->generation))
        return lost_patience(participant, err);
    if (!participant->told) {
        if (control->request != LIBCR_IDLE || control->inside) {
            participant->stage = STAGE_BUSY;
            return 0;
        }
        if (!control->enrolled && !control->sections)
            return 0;
        for (size_t i = 0; i < target->n_tasks; i++)
            if (target->tasks[i].stop_signal) {
                error_set(err, CAESURA_EAGAIN_, "process %d is stopped and cannot run its callbacks", target->pid);
                error_hint(err, "let it go on with kill -CONT %d", target->pid);
                return error_about(err, target->pid, -1);
            }
        int rc = tell(capture, participant, control, err);
        if (rc)
            return rc;
    }
    if (control->sections) {
        participant->stage = STAGE_PENDING;
        return 0;
    }
    if (participant->enrolled && control->helper && !participant->helper)
        return start_first(callbacks, participant, err);
    if (participant->stage != STAGE_SIGNALLED && (!participant->helper || control->arrived))
        participant->stage = STAGE_WAITING;
    return 0;
}

static bool has_passed(const struct participant *participant)
{
    return participant->stage == STAGE_NONE || participant->stage == STAGE_OUT || participant->stage >= STAGE_WAITING;
}

/* Is this process where the capture may find it? It is not, and becomes so, if its signals are only sent now. */
static int settle_one(struct caesura_capture *capture, struct participant *participant, struct target *target,
                      const struct libcr_control *control, bool *ready, struct caesura_error *err)
{
    if (participant->stage == STAGE_SIGNALLED) {
        *ready = control->arrived >= participant->participants && control->verdict == LIBCR_WAIT &&
                 control->answer == LIBCR_FINE;
        return 0;
    }
    *ready = !participant->told || !participant->enrolled;
    return *ready ? 0 : round_signal(capture, participant, target, control, err);
}

/* Reads a participant's block. *alive false: it is gone, or no libcr of this process. */
static int read_block(const struct caesura_capture *capture, struct participant *participant, struct target *target,
                      struct libcr_control *control, bool *alive, struct caesura_error *err)
{
    int rc = libcr_read(participant->pid, participant->address, control);

    if (rc == -EPERM)
        return unreachable(participant, rc, err);
    (void)capture;
    *alive = !rc && control->magic == LIBCR_MAGIC && control->pid == inner_pid(target->pid);
    if (!*alive)
        participant->stage = STAGE_OUT;
    return 0;
}

static int check_requester(const struct caesura_capture *capture, struct caesura_error *err)
{
    for (size_t i = 0; i < capture->n_targets; i++)
        if ((capture->request.flags & CAESURA_PROHIBIT_SELF) && capture->targets[i].pid == capture->request.requester) {
            error_set(err, CAESURA_EDEADLK_, "process %d asked for the checkpoint and would be part of it",
                      capture->request.requester);
            return error_about(err, capture->request.requester, -1);
        }
    return 0;
}

static int all_passed(struct caesura_capture *capture, bool settle, bool *passed, struct caesura_error *err)
{
    *passed = true;
    for (size_t i = 0; i < capture->n_targets; i++) {
        struct target *target = &capture->targets[i];
        struct participant *participant;
        struct libcr_control control;
        bool alive = false, ready = false;
        int rc;
        if (target->zombie)
            continue;
        if (settle)
            participant = participant_of(capture->callbacks, target->pid);
        else if ((rc = look(capture, target, &participant, err)))
            return rc;
        if (!participant)
            continue;
        if ((rc = read_block(capture, participant, target, &control, &alive, err)))
            return rc;
        if (!alive)
            continue;
        if (settle)
            rc = settle_one(capture, participant, target, &control, &ready, err);
        else if (!(rc = prepare_one(capture, participant, target, &control, err)))
            ready = has_passed(participant);
        if (rc)
            return rc;
        *passed &= ready;
    }
    return 0;
}

int round_step(struct caesura_capture *capture, bool *ready, struct caesura_error *err)
{
    int rc = check_requester(capture, err);

    *ready = false;
    if (!rc)
        rc = all_passed(capture, false, ready, err);
    if (!rc && *ready)
        rc = all_passed(capture, true, ready, err);
    return rc;
}
