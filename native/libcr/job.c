/* job.c - the small modern face: a job asks for its own checkpoint. */
#include "caesura_job.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

enum { DEFAULT_LIMIT_MS = 600000, NAP_MS = 5 };

/* First line of /proc/PID/NAME, without its newline. */
static bool read_line(pid_t pid, const char *name, char *line, int size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool got = fgets(line, size, file) != NULL;
    fclose(file);
    if (got)
        line[strcspn(line, "\n")] = 0;
    return got;
}

static pid_t parent_of(pid_t pid)
{
    char line[512];
    int parent = 0;

    if (!read_line(pid, "stat", line, sizeof line))
        return 0;
    const char *end = strrchr(line, ')'); /* the name before it may hold anything */
    return end && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* The init of our job: the nearest one above us. An orphan in a namespace hangs below it too. */
static pid_t find_init(void)
{
    char name[64];

    for (pid_t pid = getppid(); pid > 0; pid = parent_of(pid))
        if (read_line(pid, "comm", name, sizeof name) && !strcmp(name, "caesura-init"))
            return pid;
    return 0;
}

/* Contexts of a job's store are in STORE/CLUSTER/JOB/SEQUENCE/. */
static int64_t sequence_of(const char *context)
{
    const char *end = strrchr(context, '/'), *start = end;

    if (!end)
        return -1;
    while (start > context && isdigit((unsigned char)start[-1]))
        start--;
    return start < end && start > context && start[-1] == '/' ? strtoll(start, NULL, 10) : -1;
}

EXPORTED int caesura_job_where(struct caesura_job_place *place)
{
    if (!place || place->size != sizeof *place)
        return -EINVAL;
    *place = (struct caesura_job_place){.size = sizeof *place, .restarts = control_load(restarts)};
    gethostname(place->host, sizeof place->host - 1);
    uint32_t latest = control_load(latest);
    const char *path = latest == LIBCR_LATEST_SRC ? libcr_control.src : latest ? libcr_control.dest : "";
    snprintf(place->context, sizeof place->context, "%s", path);
    place->sequence = sequence_of(place->context);
    return 0;
}

EXPORTED int caesura_job_checkpoint(uint32_t timeout_ms, struct caesura_job_place *place)
{
    const struct timespec nap = {.tv_nsec = NAP_MS * 1000000};
    uint32_t checkpoints = control_load(checkpoints), restarts = control_load(restarts);
    uint32_t failures = control_load(failures), left = (timeout_ms ? timeout_ms : DEFAULT_LIMIT_MS) / NAP_MS + 1;
    pid_t init = find_init();
    int result = -ETIMEDOUT;

    if (place && place->size != sizeof *place)
        return -EINVAL;
    if (!init)
        return -ENOENT;
    if (kill(init, SIGURG) < 0)
        return -errno;
    /* Naps are counted, not the clock: a pause for a large context is none of the limit's, nor is the time until a restart. */
    for (; left && result == -ETIMEDOUT; left--) {
        if (control_load(restarts) != restarts)
            result = CAESURA_JOB_RESTARTED;
        else if (control_load(checkpoints) != checkpoints)
            result = CAESURA_JOB_CONTINUED;
        else if (control_load(failures) != failures)
            result = -libcr_errno(control_load(failure_code));
        else
            nanosleep(&nap, NULL);
    }
    if (place)
        caesura_job_where(place);
    return result;
}
