#include "freeze/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/error.h"
#include "proc/proc.h"

bool pid_list_has(const struct pid_list *list, pid_t pid)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->pids[i] == pid)
            return true;
    return false;
}

int pid_list_append(struct pid_list *list, pid_t pid, struct caesura_error *err)
{
    if (list->count == list->capacity) {
        size_t want = list->capacity ? list->capacity * 2 : 64;
        pid_t *grown = realloc(list->pids, want * sizeof *grown);
        if (!grown)
            return error_errno(err, ENOMEM, "cannot list the processes of the scope");
        list->pids = grown;
        list->capacity = want;
    }
    list->pids[list->count++] = pid;
    return 0;
}

void pid_list_free(struct pid_list *list)
{
    free(list->pids);
    *list = (struct pid_list){0};
}

/* Appends pid and all below it, but no excluded process and nothing in skip, with what is below those. */
static int add_tree(pid_t pid, pid_t excluded, const struct pid_list *skip, struct pid_list *members,
                    struct caesura_error *err)
{
    pid_t *children;
    size_t count, first = members->count;
    int rc = 0;

    if (pid == excluded || pid == getpid() || pid_list_has(skip, pid))
        return 0;
    if ((rc = pid_list_append(members, pid, err)))
        return rc;
    /* Breadth first, so that a deep tree does not need a deep stack. */
    for (size_t at = first; !rc && at < members->count; at++) {
        rc = proc_children(members->pids[at], &children, &count);
        if (rc == -ESRCH) {
            rc = 0;
            continue;
        }
        if (rc)
            return error_errno(err, -rc, "cannot list the children of process %d", members->pids[at]);
        for (size_t i = 0; !rc && i < count; i++)
            if (children[i] != excluded && children[i] != getpid() && !pid_list_has(skip, children[i]))
                rc = pid_list_append(members, children[i], err);
        free(children);
    }
    return rc;
}

/* Is pid the excluded process, ourselves, or below one of the two? */
static bool is_excluded(pid_t pid, pid_t excluded)
{
    struct proc_stat stat;

    for (int depth = 0; pid > 1 && depth < 4096; depth++) {
        if (pid == excluded || pid == getpid())
            return true;
        if (proc_stat(pid, &stat))
            return false;
        pid = stat.ppid;
    }
    return false;
}

static int add_matching(const struct caesura_capture_request *request, const struct pid_list *skip,
                        struct pid_list *members, struct caesura_error *err)
{
    pid_t *pids;
    size_t count;
    struct proc_stat stat;
    int rc = proc_all(&pids, &count);

    if (rc)
        return error_errno(err, -rc, "cannot list /proc");
    for (size_t i = 0; !rc && i < count; i++) {
        if (proc_stat(pids[i], &stat))
            continue;
        if ((request->scope == CAESURA_SCOPE_PGID ? stat.pgid : stat.sid) != request->id ||
            pid_list_has(skip, pids[i]) || is_excluded(pids[i], request->exclude_pid))
            continue;
        rc = pid_list_append(members, pids[i], err);
    }
    free(pids);
    return rc;
}

static int add_job(const struct caesura_capture_request *request, const struct pid_list *skip, struct pid_list *members,
                   struct caesura_error *err)
{
    pid_t *children;
    size_t count;
    int rc = proc_children(request->id, &children, &count);

    if (rc)
        return rc == -ESRCH
                   ? 0
                   : error_errno(err, -rc, "cannot list the children of the job's init, process %d", request->id);
    for (size_t i = 0; !rc && i < count; i++)
        rc = add_tree(children[i], request->exclude_pid, skip, members, err);
    free(children);
    return rc;
}

int scope_members(const struct caesura_capture_request *request, const struct pid_list *skip, struct pid_list *members,
                  struct caesura_error *err)
{
    static const char *const kinds[] = {"process", "process group", "session", "process", "job with init"};
    struct proc_stat stat;
    int rc;

    members->count = 0;
    if (request->id <= 0 || request->scope > CAESURA_SCOPE_JOB)
        return error_set(err, CAESURA_EINVAL_, "%d is not an ID of a process, process group or session", request->id);
    switch (request->scope) {
    case CAESURA_SCOPE_PID:
        rc = proc_stat(request->id, &stat) || is_excluded(request->id, request->exclude_pid) ||
                     pid_list_has(skip, request->id)
                 ? 0
                 : pid_list_append(members, request->id, err);
        break;
    case CAESURA_SCOPE_TREE:
        rc = proc_stat(request->id, &stat) ? 0 : add_tree(request->id, request->exclude_pid, skip, members, err);
        break;
    case CAESURA_SCOPE_JOB:
        rc = add_job(request, skip, members, err);
        break;
    default:
        rc = add_matching(request, skip, members, err);
    }
    if (!rc && !members->count)
        rc = error_set(err, CAESURA_ESRCH_, "there is no %s %d", kinds[request->scope], request->id);
    return rc;
}

int scope_members_with(const struct caesura_capture_request *request, const struct caesura_capture_request *more,
                       size_t n_more, const struct pid_list *skip, struct pid_list *members, struct caesura_error *err)
{
    struct pid_list list = {0};
    int rc = scope_members(request, skip, members, err);

    for (size_t i = 0; i < n_more && !rc; i++) {
        if ((rc = scope_members(&more[i], skip, &list, err)) == -CAESURA_ESRCH_)
            rc = 0; /* it has ended */
        for (size_t k = 0; k < list.count && !rc; k++)
            if (!pid_list_has(members, list.pids[k]))
                rc = pid_list_append(members, list.pids[k], err);
    }
    pid_list_free(&list);
    return rc;
}
