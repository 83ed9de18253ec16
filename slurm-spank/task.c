/*
 * task.c - slurmstepd: the program of a task is replaced by cr_run, which is told what to run.
 *
 * It happens in task_init, in the process that will execute the program, as the user: whatever is looked at here is looked at
 * with the user's rights, and TaskProlog, limits and the rest of Slurm's preparations still follow.
 */
#include <signal.h>
#include <slurm/slurm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "plugin.h"
#include "program.h"

#define PROBE_DEADLINE_MS 5000
#define LIMIT_DEADLINE_MS 5000
#define HOLD_DEADLINE_MS 20000
#define LIMIT_DIGITS 20

/* What the submission sent along. */
struct request {
    char spec[PLUGIN_SPEC_MAX + 1];
    char key[PLUGIN_KEY_DIGITS + 1];
    char resident[2];
    char warning[12];
    char limit[LIMIT_DIGITS]; /* of this run, so it is found here */
};

/* Copies a variable of the job. Returns false if it is not there or does not fit. */
static bool variable(spank_t spank, const char *name, char *value, size_t size)
{
    char full[64];

    snprintf(full, sizeof full, PLUGIN_CONTROL_PREFIX "%s", name);
    return spank_getenv(spank, full, value, (int)size) == ESPANK_SUCCESS;
}

/* Is this a task that the user asked to have checkpointed and that can be? */
static bool is_wanted(spank_t spank)
{
    uint32_t step = 0, tasks = 0, nodes = 0;
    char flag[8], key[PLUGIN_KEY_DIGITS + 2];

    bool from_srun = spank_getenv(spank, PLUGIN_STEP, flag, sizeof flag) == ESPANK_SUCCESS && strcmp(flag, "1") == 0;
    spank_unsetenv(spank, PLUGIN_STEP); /* it holds for this task, not for what the task starts */
    if (spank_get_item(spank, S_JOB_STEPID, &step) != ESPANK_SUCCESS)
        return false;
    if (step == SLURM_BATCH_SCRIPT)
        return spank_getenv(spank, PLUGIN_CONTROL_PREFIX PLUGIN_SPEC, key, sizeof key) != ESPANK_ENV_NOEXIST;
    if (step > SLURM_MAX_NORMAL_STEP_ID || !from_srun)
        return false; /* extern, interactive; or a step inside of somebody else's job */
    /* srun has looked already; but what it says comes through the user's hands. */
    return spank_get_item(spank, S_JOB_TOTAL_TASK_COUNT, &tasks) == ESPANK_SUCCESS && tasks == 1 &&
           spank_get_item(spank, S_JOB_NNODES, &nodes) == ESPANK_SUCCESS && nodes == 1;
}

static int read_request(spank_t spank, struct request *request, struct caesura_error *err)
{
    if (!variable(spank, PLUGIN_SPEC, request->spec, sizeof request->spec) ||
        !variable(spank, PLUGIN_KEY, request->key, sizeof request->key) ||
        !variable(spank, PLUGIN_RESIDENT, request->resident, sizeof request->resident) ||
        !variable(spank, PLUGIN_WARNING, request->warning, sizeof request->warning))
        return error_set(err, CAESURA_EINVAL_, "what the submission should have sent along is missing or too long");
    if (strspn(request->key, "0123456789abcdef") != PLUGIN_KEY_DIGITS || request->key[PLUGIN_KEY_DIGITS] != '\0')
        return error_set(err, CAESURA_EINVAL_, "the key %s of the submission is no key", request->key);
    if (strcmp(request->resident, "0") != 0 && strcmp(request->resident, "1") != 0)
        return error_set(err, CAESURA_EINVAL_, "the submission sent resident=%s", request->resident);
    if (!*request->warning || request->warning[strspn(request->warning, "0123456789")] != '\0')
        return error_set(err, CAESURA_EINVAL_, "the submission sent warning=%s", request->warning);
    return 0;
}

/*
 * Once argv[0] is replaced, a cr_run that does not start takes the job with it: on the wrong architecture, with a C library
 * that is too old, on a mount without exec, behind the walls of a container. So it is started here first.
 */
static int probe(char *program, struct caesura_error *err)
{
    static struct program_result result; /* too large for a stack that is not ours */
    char *argv[] = {program, "--version", NULL};
    char *envp[] = {"PATH=/usr/bin:/bin", NULL};

    int code = program_run(argv, envp, PROBE_DEADLINE_MS, &result, err);
    if (code < 0)
        return code;
    if (WIFEXITED(result.status) && WEXITSTATUS(result.status) == 0)
        return 0;
    result.err[strcspn(result.err, "\n")] = '\0';
    return error_set(err, CAESURA_EENGINE, "%s does not work on this node (wait status 0x%x)%s%s", program,
                     (unsigned)result.status, *result.err ? ": " : "", result.err);
}

static int find_cr_run(const struct plugin_install *install, char **program, struct caesura_error *err)
{
    if (!*install->prefix)
        return error_set(err, CAESURA_ENOENT_, "%s", install->why);
    if (asprintf(program, "%s/bin/cr_run", install->prefix) < 0) {
        *program = NULL;
        return error_set(err, CAESURA_ENOMEM_, "out of memory");
    }
    return probe(*program, err);
}

static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits < LIMIT_DIGITS && text[digits] == '\0';
}

/* The job's own variable or, of slurmstepd, the environment's; envp[1] of a program that asks slurmctld. */
static char *slurm_conf(spank_t spank, char *text, size_t size)
{
    const size_t name = sizeof "SLURM_CONF=" - 1;

    snprintf(text, size, "SLURM_CONF=%s", getenv("SLURM_CONF") ? getenv("SLURM_CONF") : "");
    if (text[name] == '\0' && spank_getenv(spank, "SLURM_CONF", text + name, (int)(size - name)) != ESPANK_SUCCESS)
        return NULL;
    return text;
}

/* Asks slurmctld, as the user. Returns false when it does not answer; the job then is warned by signals alone. */
static bool ask_limit(spank_t spank, const struct plugin_install *install, char limit[LIMIT_DIGITS])
{
    static struct program_result result; /* too large for a stack that is not ours */
    char program[PATH_MAX + 40], number[12], conf[PATH_MAX + 16];
    char *argv[] = {program, number, NULL};
    char *envp[] = {"PATH=/usr/bin:/bin", slurm_conf(spank, conf, sizeof conf), NULL};
    struct caesura_error err;
    uint32_t job = 0;

    if (spank_get_item(spank, S_JOB_ID, &job) != ESPANK_SUCCESS)
        return false;
    snprintf(number, sizeof number, "%u", job);
    snprintf(program, sizeof program, "%s/libexec/caesura/slurm-job-state", install->prefix);
    if (program_run(argv, envp, LIMIT_DEADLINE_MS, &result, &err) < 0 || result.status != 0)
        return false;
    const char *line = strstr(result.out, "\nend_time=");
    if (!line || strcspn(line + 10, "\n") >= LIMIT_DIGITS)
        return false;
    snprintf(limit, LIMIT_DIGITS, "%.*s", (int)strcspn(line + 10, "\n"), line + 10);
    return is_number(limit);
}

/* When the job's time is up, "0" if that is not known. Newer releases tell each job; others know it at the controller. */
static void find_limit(spank_t spank, const struct plugin_install *install, char limit[LIMIT_DIGITS])
{
    if (spank_getenv(spank, "SLURM_JOB_END_TIME", limit, LIMIT_DIGITS) == ESPANK_SUCCESS && is_number(limit))
        return;
    if (!ask_limit(spank, install, limit))
        snprintf(limit, LIMIT_DIGITS, "0");
}

static int set(spank_t spank, const char *name, const char *value, struct caesura_error *err)
{
    spank_err_t result = spank_setenv(spank, name, value, 1);

    return result == ESPANK_SUCCESS
               ? 0
               : error_set(err, CAESURA_EENGINE, "cannot set %s: %s", name, spank_strerror(result));
}

static int tell_cr_run(spank_t spank, const struct request *request, const char *program, struct caesura_error *err)
{
    const struct {
        const char *name;
        const char *value;
    } contract[] = {
        {"CAESURA_SCHEDULER", "slurm"},          {"CAESURA_PROGRAM", program},
        {"CAESURA_SPEC", request->spec},         {"CAESURA_KEY", request->key},
        {"CAESURA_RESIDENT", request->resident}, {"CAESURA_WARNING", request->warning},
        {"CAESURA_LIMIT", request->limit},
    };
    int code = 0;

    for (size_t i = 0; i < sizeof contract / sizeof *contract && code == 0; i++)
        code = set(spank, contract[i].name, contract[i].value, err);
    if (code < 0) /* the job goes on by itself and must not see halves */
        for (size_t i = 0; i < sizeof contract / sizeof *contract; i++)
            spank_unsetenv(spank, contract[i].name);
    return code;
}

static int wrap(spank_t spank, const struct plugin_install *install, struct caesura_error *err)
{
    static struct request request;
    char **argv = NULL, *program = NULL;
    char word[2];
    int argc = 0;

    int code = read_request(spank, &request, err);
    if (code < 0)
        return code;
    /* The program would be looked for inside of the container, where cr_run is not. */
    if (spank_getenv(spank, "SLURM_CONTAINER", word, sizeof word) != ESPANK_ENV_NOEXIST)
        return error_set(err, CAESURA_EUNSUPPORTED, "jobs in containers of Slurm (--container) are not supported");
    if (spank_get_item(spank, S_JOB_ARGV, &argc, &argv) != ESPANK_SUCCESS || argc < 1 || !argv[0])
        return error_set(err, CAESURA_EENGINE, "Slurm does not tell the program of this task");
    code = find_cr_run(install, &program, err);
    snprintf(request.limit, sizeof request.limit, "0");
    if (code == 0 && strcmp(request.warning, "0") != 0)
        find_limit(spank, install, request.limit);
    if (code == 0)
        code = tell_cr_run(spank, &request, argv[0], err);
    if (code < 0) {
        free(program);
        return code;
    }
    argv[0] = program; /* the live vector: Slurm executes this */
    return 0;
}

/* The scontrol that is installed with the slurmstepd that runs here. */
static bool find_scontrol(char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    for (int cut = 0; cut < 2; cut++) { /* PREFIX/sbin/slurmstepd */
        while (length > 0 && self[length - 1] != '/')
            length--;
        length--;
    }
    return length > 0 && (size_t)snprintf(path, size, "%.*s/bin/scontrol", (int)length, self) < size &&
           access(path, X_OK) == 0;
}

static int hold(spank_t spank, uint32_t job, struct caesura_error *err)
{
    static struct program_result result; /* too large for a stack that is not ours */
    char program[PATH_MAX + 16], number[12], conf[PATH_MAX + 16];
    char *argv[] = {program, "requeuehold", number, NULL};
    char *envp[] = {"PATH=/usr/bin:/bin", slurm_conf(spank, conf, sizeof conf), NULL};

    snprintf(number, sizeof number, "%u", job);
    if (!find_scontrol(program, sizeof program))
        return error_set(err, CAESURA_ENOENT_, "no scontrol beside slurmstepd");
    int code = program_run(argv, envp, HOLD_DEADLINE_MS, &result, err);
    if (code < 0)
        return code;
    result.err[strcspn(result.err, "\n")] = '\0';
    return result.status == 0 ? 0 : error_set(err, CAESURA_ESCHEDULER, "%s", result.err);
}

/*
 * A job that was started before may have weeks in its contexts, and would begin anew beside them and over its own output. So
 * it waits, held, until the node is mended; and where even that cannot be asked for it fails.
 */
static void keep_back(spank_t spank, uint32_t job, const char *why)
{
    struct caesura_error err;
    char **argv = NULL;
    int argc = 0;

    /* Before, as the requeue that is asked for ends this process. */
    dprintf(
        STDERR_FILENO,
        "caesura: job %u is held: it was started before and may have contexts, from which it cannot go on here: %s (mend "
        "that, then: scontrol release %u)\n",
        job, why, job);
    if (hold(spank, job, &err) < 0)
        dprintf(STDERR_FILENO, "caesura: job %u cannot be held, and ends: %s (then: scontrol requeue %u)\n", job,
                err.message, job);
    if (spank_get_item(spank, S_JOB_ARGV, &argc, &argv) == ESPANK_SUCCESS && argc > 0)
        argv[0] = "/bin/false";
}

/* A step has a key, and so contexts, of its own in each run. S_SLURM_RESTART_COUNT stays 0 in the batch step. */
static bool was_started_before(spank_t spank)
{
    uint32_t step = 0;
    char restarts[12];

    return spank_get_item(spank, S_JOB_STEPID, &step) == ESPANK_SUCCESS && step == SLURM_BATCH_SCRIPT &&
           spank_getenv(spank, "SLURM_RESTART_COUNT", restarts, sizeof restarts) == ESPANK_SUCCESS;
}

/* Whether the reason is the job's own, so that it cannot have had contexts before either. */
static bool is_of_job(int code)
{
    return code == -CAESURA_EINVAL_ || code == -CAESURA_EUNSUPPORTED;
}

void task_wrap(spank_t spank, const struct plugin_install *install)
{
    struct caesura_error err;
    uint32_t job = 0;
    int code;

    if (!is_wanted(spank) || (code = wrap(spank, install, &err)) == 0)
        return;
    spank_get_item(spank, S_JOB_ID, &job);
    /* The site's warning is meant for cr_run. It would end a script that does not expect it, before Slurm requeues the job. */
    if (install->warning_signal != 0)
        signal(install->warning_signal, SIG_IGN);
    if (was_started_before(spank) && !is_of_job(code))
        keep_back(spank, job, err.message);
    else
        dprintf(STDERR_FILENO, "caesura: job %u runs without checkpoints: %s\n", job, err.message);
}
