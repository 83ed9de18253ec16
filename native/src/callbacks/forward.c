#include "callbacks/forward.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "callbacks/find.h"
#include "callbacks/round.h"
#include "core/error.h"
#include "freeze/scope.h"
#include "proc/proc.h"

#define FORWARDS_MAX 1024

/* The pid, group or session that process asker knows by this number, as we see it; 0: there is none. */
static int32_t outer_id(pid_t asker, uint32_t scope, int32_t id)
{
    uint64_t space, other;
    pid_t *pids;
    size_t count;
    int32_t found = 0;

    if (proc_namespace(asker, "pid", &space) || proc_all(&pids, &count))
        return 0;
    for (size_t i = 0; i < count && !found; i++) {
        struct proc_status status;
        struct proc_stat stat;
        if (proc_status(pids[i], &status) || proc_stat(pids[i], &stat) || proc_namespace(pids[i], "pid", &other) ||
            other != space)
            continue;
        if (scope == CAESURA_SCOPE_PGID)
            found = status.inner_pgid == id ? stat.pgid : 0;
        else if (scope == CAESURA_SCOPE_SID)
            found = status.inner_sid == id ? stat.sid : 0;
        else
            found = status.inner_tgid == id ? pids[i] : 0;
    }
    free(pids);
    return found;
}

/* In another request? Its own checkpointer has told it so. */
static int check_member(const struct caesura_capture *capture, pid_t pid)
{
    struct libcr_found found;
    struct libcr_control control;

    if (kill(pid, 0) < 0 && errno == EPERM)
        return EPERM;
    if (libcr_find(pid, &found) || !found.address || libcr_read(pid, found.address, &control))
        return 0;
    return control.request != LIBCR_IDLE && control.generation != capture->callbacks->generation ? EBUSY : 0;
}

int forward_add(struct caesura_capture *capture, pid_t asker, uint32_t scope, int32_t id, struct caesura_error *err)
{
    static const enum caesura_scope scopes[] = {CAESURA_SCOPE_PID, CAESURA_SCOPE_PGID, CAESURA_SCOPE_SID,
                                                CAESURA_SCOPE_TREE}; /* as cr_scope_t */
    struct pid_list members = {0}, none = {0};

    if (scope >= sizeof scopes / sizeof *scopes || id <= 0 || capture->n_forwarded == FORWARDS_MAX)
        return EINVAL;
    struct caesura_capture_request request = capture->request;
    request.scope = scopes[scope];
    request.id = outer_id(asker, request.scope, id);
    if (!request.id)
        return ESRCH;
    int rc = scope_members(&request, &none, &members, NULL);
    for (size_t i = 0; !rc && i < members.count; i++)
        rc = check_member(capture, members.pids[i]);
    pid_list_free(&members);
    if (rc)
        return rc < 0 ? ESRCH : rc;
    struct caesura_capture_request *grown =
        realloc(capture->forwarded, (capture->n_forwarded + 1) * sizeof *capture->forwarded);
    if (!grown)
        return error_errno(err, ENOMEM, "cannot add processes to the checkpoint");
    grown[capture->n_forwarded++] = request;
    capture->forwarded = grown;
    return 0;
}
