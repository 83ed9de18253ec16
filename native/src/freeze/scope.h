/* scope.h - which processes a scope has just now. */
#ifndef CAESURA_FREEZE_SCOPE_H
#define CAESURA_FREEZE_SCOPE_H

#include "caesura.h"
#include <stdbool.h>
#include <sys/types.h>

/* A growing list of pids as we see them; owns its memory. */
struct pid_list {
    pid_t *pids;
    size_t count, capacity;
};

bool pid_list_has(const struct pid_list *list, pid_t pid);
int pid_list_append(struct pid_list *list, pid_t pid, struct caesura_error *err);
void pid_list_free(struct pid_list *list);

/**
 * The members of the request's scope, parents before children for trees, without the excluded process and its descendants
 * and without those in skip (in tree scope also without what is below them). ESRCH if there is none.
 */
int scope_members(const struct caesura_capture_request *request, const struct pid_list *skip, struct pid_list *members,
                  struct caesura_error *err);
/** The same for several requests, each process once. What the further ones find no more is no error. */
int scope_members_with(const struct caesura_capture_request *request, const struct caesura_capture_request *more,
                       size_t n_more, const struct pid_list *skip, struct pid_list *members, struct caesura_error *err);

#endif
