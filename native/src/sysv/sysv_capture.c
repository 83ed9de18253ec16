/*
 * What of an IPC namespace belongs to a scope. The scope may live in a namespace that we cannot look into, so one of its
 * processes asks for us.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/error.h"
#include "proc/proc.h"
#include "remote/remote.h"
#include "sysv/sysv.h"

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif
#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif
#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

#define STEP 256u /* objects asked about at a time */

struct survey {
    struct caesura_capture *capture;
    struct target *target; /* who asks for us */
    struct remote *remote;
    bool own_ipc; /* nobody but the scope and its ancestors of this job is in the IPC namespace */
    bool own_pids;
    struct remote_call calls[REMOTE_CALLS_MAX];
};

/* One of the three kinds, as far as they are alike. */
struct kind {
    int64_t nr;
    int info, stat;
    bool has_number; /* semctl() has an argument more */
    size_t size;     /* of its state */
    int (*look)(struct survey *survey, int id, const void *state, struct caesura_error *err);
};

static void prepare(struct remote_call *call, const struct kind *kind, int64_t id, int command, uint64_t buffer)
{
    *call = (struct remote_call){.nr = kind->nr, .args = {(uint64_t)id}};
    if (kind->has_number)
        call->args[2] = (uint64_t)command, call->args[3] = buffer;
    else
        call->args[1] = (uint64_t)command, call->args[2] = buffer;
}

static bool is_in_scope(const struct survey *survey, int pid)
{
    return capture_target(survey->capture, pid) != NULL;
}

/* A pid of the scope's own namespace; in that of a job every process is the job's, also one that has ended. */
static bool is_ours(const struct survey *survey, int pid)
{
    return pid > 0 && (survey->own_pids || is_in_scope(survey, pid));
}

static struct sysv *add(struct survey *survey, uint32_t kind, int id, const struct ipc_perm *perm,
                        struct caesura_error *err)
{
    struct sysv *sysv = list_add(&survey->capture->context.sysv, &survey->capture->context.n_sysv);
    if (!sysv) {
        error_errno(err, ENOMEM, "cannot hold the System V objects of the scope");
        return NULL;
    }
    sysv->kind = kind;
    sysv->id = id;
    sysv->key = (uint32_t)perm->__key;
    sysv->mode = perm->mode;
    sysv->uid = perm->uid;
    sysv->gid = perm->gid;
    return sysv;
}

/* ---- shared memory ---- */

static struct file *file_of_segment(const struct context *context, int id)
{
    for (uint32_t i = 0; i < context->n_files; i++)
        if (context->files[i].kind == FILE_SYSV && context->files[i].ino == (uint64_t)id)
            return &context->files[i];
    return NULL;
}

/* How many maps a file has, the first process that has one, and how far it is mapped from its beginning without a gap. */
static uint32_t count_maps(const struct context *context, uint32_t file, int *pid, uint64_t *reach)
{
    uint32_t count = 0;
    bool moved = true;

    *reach = 0;
    *pid = 0;
    for (bool counted = false; moved; counted = true) {
        moved = false;
        for (uint32_t p = 0; p < context->n_processes; p++)
            for (uint32_t m = 0; m < context->processes[p].n_maps; m++) {
                const struct map *map = &context->processes[p].maps[m];
                if (map->file != file)
                    continue;
                count += !counted;
                *pid = *pid ? *pid : context->processes[p].pid;
                if (map->offset <= *reach && map->offset + (map->end - map->start) > *reach) {
                    *reach = map->offset + (map->end - map->start);
                    moved = true;
                }
            }
    }
    return count;
}

static void refuse_segment(struct survey *survey, int pid, int id, const struct shmid_ds *state, const char *what,
                           const char *remedy)
{
    capture_refuse(survey->capture, pid, -1, remedy,
                   "process %d uses System V shared memory segment %d (%zu bytes), %s", pid, id, state->shm_segsz,
                   what);
}

static int look_at_segment(struct survey *survey, int id, const void *data, struct caesura_error *err)
{
    const struct shmid_ds *state = data;
    const struct context *context = &survey->capture->context;
    const struct file *file = file_of_segment(context, id);
    uint64_t reach;
    int pid;

    if (!file) {
        if (survey->own_ipc || is_ours(survey, state->shm_cpid))
            refuse_segment(survey, is_ours(survey, state->shm_cpid) ? state->shm_cpid : survey->target->inner_pid, id,
                           state, "which no process of the scope has attached",
                           "attach it, or remove it (ipcrm -m) if it was left behind");
        return 0;
    }
    uint32_t maps = count_maps(context, file->id, &pid, &reach);
    if (state->shm_nattch > maps) {
        refuse_segment(survey, pid, id, state, "which is attached outside of the scope too",
                       "take the other processes in, or let them detach");
        return 0;
    }
    if (reach < state->shm_segsz) {
        refuse_segment(survey, pid, id, state, "of which a part is unmapped everywhere", "keep it attached as a whole");
        return 0;
    }
    struct sysv *segment = add(survey, SYSV_SEGMENT, id, &state->shm_perm, err);
    if (!segment)
        return -ENOMEM;
    segment->size = state->shm_segsz;
    segment->file = file->id;
    return 0;
}

/* ---- semaphores ---- */

/* Numbers that semctl() gives for each semaphore of a set; those it refuses are -1. */
static int ask_each(struct survey *survey, int id, uint64_t count, int command, int32_t *values,
                    struct caesura_error *err)
{
    int rc = 0;

    for (uint64_t from = 0; from < count && !rc; from += REMOTE_CALLS_MAX) {
        size_t n = count - from < REMOTE_CALLS_MAX ? count - from : REMOTE_CALLS_MAX;
        for (size_t i = 0; i < n; i++)
            survey->calls[i] =
                (struct remote_call){.nr = SYS_semctl, .args = {(uint64_t)id, from + i, (uint64_t)command}};
        rc = remote_calls(survey->remote, &survey->target->tasks[0], survey->calls, n, err);
        for (size_t i = 0; i < n; i++)
            values[from + i] = survey->calls[i].result < 0 ? -1 : (int32_t)survey->calls[i].result;
    }
    return rc;
}

/* Whose a set is, by who has used its semaphores last. *other is a living process outside of the scope, or 0. */
static bool is_our_set(const struct survey *survey, const int32_t *pids, uint64_t count, int *user, int *other)
{
    bool ours = survey->own_ipc;

    *user = survey->target->inner_pid;
    *other = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct proc_stat stat;
        if (is_ours(survey, pids[i])) {
            *user = is_in_scope(survey, pids[i]) ? pids[i] : *user;
            ours = true;
        } else if (pids[i] > 0 && !proc_stat(pids[i], &stat)) {
            *other = pids[i];
        }
    }
    return ours;
}

static int add_set(struct survey *survey, int id, const struct semid_ds *state, const int32_t *values,
                   struct caesura_error *err)
{
    struct sysv *set = add(survey, SYSV_SEMAPHORES, id, &state->sem_perm, err);
    uint16_t *each = set ? malloc((state->sem_nsems + 1) * sizeof *each) : NULL;

    if (!each)
        return error_errno(err, ENOMEM, "cannot hold the System V objects of the scope");
    for (uint64_t i = 0; i < state->sem_nsems; i++)
        each[i] = (uint16_t)values[i];
    set->size = state->sem_nsems;
    set->state = (struct blob){each, (uint32_t)(state->sem_nsems * sizeof *each)};
    return 0;
}

static int look_at_set(struct survey *survey, int id, const void *data, struct caesura_error *err)
{
    const struct semid_ds *state = data;
    uint64_t count = state->sem_nsems;
    int32_t *values = calloc(count + 1, sizeof *values);
    int user, other, rc;

    if (!values)
        return error_errno(err, ENOMEM, "cannot look at semaphore set %d", id);
    if ((rc = ask_each(survey, id, count, GETPID, values, err)) || !is_our_set(survey, values, count, &user, &other))
        goto out;
    if (other) {
        capture_refuse(survey->capture, user, -1, "take that process in, or let it give the set up",
                       "process %d uses System V semaphore set %d, which process %d outside of the scope uses too",
                       user, id, other);
        goto out;
    }
    if ((rc = ask_each(survey, id, count, GETVAL, values, err)))
        goto out;
    for (uint64_t i = 0; i < count; i++)
        if (values[i] < 0) {
            capture_refuse(survey->capture, user, -1, "give the user the right to read it, or remove it (ipcrm -s)",
                           "process %d uses System V semaphore set %d, which it may not read", user, id);
            goto out;
        }
    rc = add_set(survey, id, state, values, err);
out:
    free(values);
    return rc;
}

/* ---- message queues ---- */

static int look_at_queue(struct survey *survey, int id, const void *data, struct caesura_error *err)
{
    const struct msqid_ds *state = data;
    int users[] = {state->msg_lspid, state->msg_lrpid};

    (void)err;
    for (int i = 0; i < 2; i++)
        if (is_ours(survey, users[i]) || (survey->own_ipc && i == 1)) {
            capture_refuse(survey->capture, users[i], -1, "remove it (ipcrm -q), or use pipes or sockets",
                           "process %d uses System V message queue %d", users[i], id);
            break;
        }
    return 0;
}

/* ---- all ---- */

static const struct kind kinds[] = {
    {SYS_shmctl, SHM_INFO, SHM_STAT_ANY, false, sizeof(struct shmid_ds), look_at_segment},
    {SYS_semctl, SEM_INFO, SEM_STAT_ANY, true, sizeof(struct semid_ds), look_at_set},
    {SYS_msgctl, MSG_INFO, MSG_STAT_ANY, false, sizeof(struct msqid_ds), look_at_queue},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

#define STATE_MAX 128u /* the largest of the three states */
_Static_assert(sizeof(struct shmid_ds) <= STATE_MAX && sizeof(struct semid_ds) <= STATE_MAX &&
                   sizeof(struct msqid_ds) <= STATE_MAX && STEP * STATE_MAX <= REMOTE_DATA_BYTES &&
                   STEP <= REMOTE_CALLS_MAX,
               "a step");

/* All of a kind, whose places have the indexes 0 to last. */
static int look_at_kind(struct survey *survey, const struct kind *kind, int64_t last, struct caesura_error *err)
{
    uint64_t buffer = remote_data(survey->remote);
    uint8_t *states = malloc(STEP * kind->size);
    int ids[STEP], rc = states ? 0 : error_errno(err, ENOMEM, "cannot look at the System V objects of the scope");

    for (int64_t from = 0; from <= last && !rc; from += STEP) {
        size_t n = last - from + 1 < STEP ? (size_t)(last - from + 1) : STEP;
        for (size_t i = 0; i < n; i++)
            prepare(&survey->calls[i], kind, from + (int64_t)i, kind->stat, buffer + i * kind->size);
        if ((rc = remote_calls(survey->remote, &survey->target->tasks[0], survey->calls, n, err)) ||
            (rc = remote_read(survey->remote, buffer, states, n * kind->size, err)))
            break;
        for (size_t i = 0; i < n; i++)
            ids[i] = survey->calls[i].result < 0 ? -1 : (int)survey->calls[i].result;
        for (size_t i = 0; i < n && !rc; i++)
            if (ids[i] >= 0)
                rc = kind->look(survey, ids[i], states + i * kind->size, err);
    }
    free(states);
    return rc;
}

static int look_at_all(struct survey *survey, struct caesura_error *err)
{
    int64_t last[N_KINDS];

    for (int i = 0; i < N_KINDS; i++)
        prepare(&survey->calls[i], &kinds[i], 0, kinds[i].info, remote_data(survey->remote));
    int rc = remote_calls(survey->remote, &survey->target->tasks[0], survey->calls, N_KINDS, err);
    for (int i = 0; i < N_KINDS && !rc; i++)
        last[i] = survey->calls[i].result; /* the highest index in use; 0 also where none is */
    for (int i = 0; i < N_KINDS && !rc; i++)
        rc = look_at_kind(survey, &kinds[i], last[i], err);
    return rc;
}

/* In a namespace other than ours there is only the job. */
static bool is_other_ipc(pid_t pid)
{
    uint64_t ours, theirs;
    return !proc_namespace(getpid(), "ipc", &ours) && !proc_namespace(pid, "ipc", &theirs) && ours != theirs;
}

/* We may be inside of the job ourselves. */
static bool is_in_job(void)
{
    char *text;
    if (proc_read(1, "comm", &text, NULL))
        return false;
    bool job = !strcmp(text, "caesura-init\n");
    free(text);
    return job;
}

int sysv_collect(struct caesura_capture *capture, struct caesura_error *err)
{
    struct survey *survey = calloc(1, sizeof *survey);
    int rc = 0;

    if (!survey)
        return error_errno(err, ENOMEM, "cannot look at the System V objects of the scope");
    survey->capture = capture;
    for (size_t i = 0; i < capture->n_targets && !survey->target; i++)
        if (!capture->targets[i].zombie)
            survey->target = &capture->targets[i];
    if (survey->target) {
        survey->own_ipc = is_other_ipc(survey->target->live_tid);
        survey->own_pids = capture->context.scope.pid_namespace || is_in_job();
        rc = remote_begin(survey->target, &survey->remote, err);
    }
    if (!rc && survey->remote) {
        rc = look_at_all(survey, err);
        int end = remote_end(survey->remote, rc ? NULL : err);
        rc = rc ? rc : end;
    }
    free(survey);
    return rc;
}
