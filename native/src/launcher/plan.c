#include "launcher/plan.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"

/* More than the kernel takes as arguments (a quarter of the stack's limit, 2 MiB by default). */
enum { LARGEST_PLAN = 8 << 20, FIRST_SIZE = 16 << 10 };

int plan_read(int fd, struct plan *plan, struct caesura_error *err)
{
    size_t capacity = 0;

    for (;;) {
        if (plan->size == capacity) {
            capacity = capacity ? capacity * 2 : FIRST_SIZE;
            char *bytes = capacity <= LARGEST_PLAN ? realloc(plan->bytes, capacity) : NULL;
            if (!bytes)
                return error_set(err, CAESURA_EENGINE, "the engine's plan for the restart is too long");
            plan->bytes = bytes;
        }
        ssize_t size = read(fd, plan->bytes + plan->size, capacity - plan->size);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return error_errno(err, errno, "cannot read the engine's plan for the restart");
        if (size == 0)
            break;
        plan->size += (size_t)size;
    }
    if (plan->size > 0 && plan->bytes[plan->size - 1] != '\0')
        return error_set(err, CAESURA_EENGINE, "the engine's plan for the restart is cut off");
    /* An engine that left the program's name out would otherwise lose its first option without a word. */
    if (plan->size > 0 && strcmp(plan->bytes, "cr-restore") != 0)
        return error_set(err, CAESURA_EENGINE, "the engine's plan for the restart does not begin with cr-restore");
    for (size_t i = 0; i < plan->size; i++)
        plan->count += plan->bytes[i] == '\0';
    return 0;
}

int plan_exec(const struct plan *plan, const char *prefix, struct caesura_error *err)
{
    char **argv = calloc(plan->count + 1, sizeof *argv);
    char path[PATH_MAX];
    char *next = plan->bytes;

    if (!argv)
        return error_set(err, CAESURA_ENOMEM_, "out of memory before the restart");
    for (size_t i = 0; i < plan->count; i++, next += strlen(next) + 1)
        argv[i] = next;
    snprintf(path, sizeof path, "%s/libexec/caesura/cr-restore", prefix);
    execv(path, argv);
    int reason = errno;
    free(argv);
    error_set(err, CAESURA_EENGINE, "cannot execute %s: %s", path, strerror(reason));
    return error_hint(err, "install the whole tree");
}
