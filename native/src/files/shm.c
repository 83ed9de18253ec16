/* A /dev/shm that a job has for itself (cr_run --private-shm): all that is in it is part of the job, open or not. */
#include "files/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "proc/proc.h"

#define FOLDER "/dev/shm"

struct shm_census {
    struct caesura_capture *capture;
    const struct target *target;
    size_t prefix; /* of paths as we see them, which the job does not have */
};

/* Is the last mount on /dev/shm one that a supervisor made for a job? Its source says so. */
static int is_private(const struct target *target, bool *answer, struct caesura_error *err)
{
    char *text;
    int rc = proc_read(target->live_tid, "mountinfo", &text, NULL);

    *answer = false;
    if (rc)
        return error_errno(err, -rc, "cannot read the mounts of process %d", target->inner_pid);
    for (char *line = text, *end; *line; line = *end ? end + 1 : end) {
        end = strchrnul(line, '\n');
        char point[sizeof FOLDER + 1] = "", source[sizeof FILES_SHM_SOURCE + 1] = "";
        const char *rest = strstr(line, " - ");
        if (!rest || rest > end || sscanf(line, "%*s %*s %*s %*s %9s", point) != 1 || strcmp(point, FOLDER) != 0)
            continue;
        *answer = sscanf(rest, " - %*s %12s", source) == 1 && !strcmp(source, FILES_SHM_SOURCE);
    }
    free(text);
    return 0;
}
_Static_assert(sizeof FOLDER == 9 && sizeof FILES_SHM_SOURCE == 12, "widths of sscanf() above");

static bool enter(void *data, const char *path, const struct stat *st)
{
    (void)data;
    (void)path;
    (void)st;
    return true;
}

static int take_file(void *data, int folder_fd, const char *name, const char *path, const struct stat *st,
                     struct caesura_error *err)
{
    const struct shm_census *census = data;
    struct caesura_capture *capture = census->capture;
    uint32_t index = file_set_find(capture, st, false, path + census->prefix);

    (void)folder_fd;
    (void)name;
    if (index == UINT32_MAX) {
        int rc = file_set_add(capture, st, FILE_REGULAR, path + census->prefix, &index, err);
        if (rc)
            return rc;
        /* It is found through the mounts of who holds it. */
        capture->files->entries[index].pid = census->target->inner_pid;
    }
    capture->context.files[index].flags |= FILE_PRIVATE_SHM;
    return 0;
}

static int trouble(void *data, const char *path, int errno_value, struct caesura_error *err)
{
    const struct shm_census *census = data;
    return error_errno(err, errno_value, "cannot look at %s, which is in the job's own /dev/shm",
                       path + census->prefix);
}

int files_take_private_shm(struct caesura_capture *capture, struct caesura_error *err)
{
    struct shm_census census = {.capture = capture};
    struct track_visitor visitor = {.enter = enter, .file = take_file, .trouble = trouble, .data = &census};
    char root[64];
    bool found;

    for (size_t i = 0; i < capture->n_targets && !census.target; i++)
        if (!capture->targets[i].zombie)
            census.target = &capture->targets[i];
    if (!census.target)
        return 0;
    int rc = is_private(census.target, &found, err);
    if (rc || !found)
        return rc;
    capture->context.scope.private_shm = 1;
    census.prefix = (size_t)snprintf(root, sizeof root, "/proc/%d/root", (int)census.target->live_tid);
    snprintf(root + census.prefix, sizeof root - census.prefix, FOLDER);
    return track_walk(root, &visitor, err);
}
