/*
 * submit.c - sbatch, salloc and srun: SPEC is checked before there is a job, and what the node needs is sent along.
 *
 * sbatch and salloc put it into the job control environment, which Slurm keeps over a requeue and hands on whatever --export
 * says. srun hands on its own environment, of which SLURM_* passes every --export.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/error.h"
#include "plugin.h"
#include "policy.h"

/* By this name Slurm looks for our option in the environment (spank(8)), and by it a job's environment has it. */
#define OPTION_VARIABLE "SLURM_SPANK__SLURM_SPANK_OPTION_caesura_checkpoint"
/* The same option on its way to the node. */
#define OPTION_REMOTE "_SLURM_SPANK_OPTION_caesura_checkpoint"
#define JOB_VARIABLE "CAESURA_JOB"

enum srun_place {
    SRUN_OWN,       /* makes a job of its own, or works in an allocation of salloc */
    SRUN_PROTECTED, /* inside of a job that is checkpointed */
    SRUN_BATCH,     /* inside of a batch job that is not */
};

static struct {
    const struct plugin_install *install;
    spank_context_t context;
    enum srun_place place;
    bool given; /* spec was accepted */
    bool ready; /* and is on its way to the node */
    char spec[PLUGIN_SPEC_MAX + 1];
    struct policy_brief brief;
} submit;

static const char *const handed_on[] = {PLUGIN_SPEC, PLUGIN_KEY, PLUGIN_RESIDENT, PLUGIN_WARNING};
#define HANDED_ON (sizeof handed_on / sizeof *handed_on)

static const char *full_name(const char *name, char text[64])
{
    snprintf(text, 64, PLUGIN_CONTROL_PREFIX "%s", name);
    return text;
}

/*
 * A command inside of a job finds that job's option, key and name in its environment. A new job must not get them: it would
 * be checkpointed unasked, and two jobs would have one key.
 */
static void forget_outer_job(void)
{
    char name[64];

    if (getenv(full_name(PLUGIN_KEY, name))) {
        unsetenv(OPTION_VARIABLE);
        unsetenv(OPTION_REMOTE);
    }
    for (size_t i = 0; i < HANDED_ON; i++)
        unsetenv(full_name(handed_on[i], name));
    unsetenv(JOB_VARIABLE);
}

/* An array's element, too, has a job id of its own in SLURM_JOB_ID. */
static enum srun_place find_place(void)
{
    const char *id = getenv("SLURM_JOB_ID");
    const char *protected = getenv(JOB_VARIABLE);
    const char *kind = getenv("ENVIRONMENT"); /* Slurm sets it to BATCH in batch scripts alone */

    if (!id)
        return SRUN_OWN;
    if (protected && strncmp(protected, "slurm:", 6) == 0 && strcmp(protected + 6, id) == 0)
        return SRUN_PROTECTED;
    return kind && strcmp(kind, "BATCH") == 0 ? SRUN_BATCH : SRUN_OWN;
}

void submit_init(const struct plugin_install *install, spank_context_t context)
{
    const char *program = program_invocation_short_name;
    const char *variable = NULL;
    char name[64];

    submit.install = install;
    submit.context = context;
    if (context == S_CTX_LOCAL) {
        submit.place = find_place();
        /* Inherited from the script's job, which has been told already; only what is given to srun itself counts. */
        if (submit.place != SRUN_OWN && getenv(full_name(PLUGIN_KEY, name)))
            unsetenv(OPTION_VARIABLE);
        unsetenv(PLUGIN_STEP);
        variable = "SLURM_CHECKPOINT";
    } else {
        forget_outer_job();
        if (strncmp(program, "sbatch", 6) == 0)
            variable = "SBATCH_CHECKPOINT";
        else if (strncmp(program, "salloc", 6) == 0)
            variable = "SALLOC_CHECKPOINT";
    }
    const char *spec = variable ? getenv(variable) : NULL;
    /* Slurm reads this one before #SBATCH and the command line, so these win. */
    if (spec && *spec && setenv(OPTION_VARIABLE, spec, 1) < 0)
        slurm_error("caesura: %s is not heeded: %s", variable, strerror(errno));
}

static int refuse(const char *spec, const char *why)
{
    slurm_error("caesura: --checkpoint=%.64s: %s", spec, why);
    slurm_error("caesura: hint: SPEC is a policy's name, key=value,... or an interval such as 30m");
    return -1;
}

/* Passes on what cr_job said, line by line. */
static void relay(char *text)
{
    char *rest = text;

    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line)
            slurm_error("caesura: %s", line);
}

/* In an allocation of salloc the SPEC has been checked; starting Java for each srun would cost half a second. */
static bool known_from_allocation(const char *spec, struct policy_brief *brief)
{
    char name[64], line[128];
    const char *known = getenv(full_name(PLUGIN_SPEC, name));
    const char *resident = getenv(full_name(PLUGIN_RESIDENT, name));
    const char *warning = getenv(full_name(PLUGIN_WARNING, name));

    if (submit.context != S_CTX_LOCAL || !known || !resident || !warning || strcmp(known, spec) != 0)
        return false;
    snprintf(line, sizeof line, "resident=%s warning=%s", resident, warning);
    return policy_parse(line, brief);
}

int submit_option(const char *spec)
{
    static struct program_result result; /* too large for a stack that is not ours */
    struct policy_brief brief;
    struct caesura_error err;

    if (!spec || !*spec)
        return refuse("", "SPEC is empty");
    if (*spec == '-')
        return refuse(spec, "that is an option, no SPEC");
    if (strlen(spec) > PLUGIN_SPEC_MAX)
        return refuse(spec, "SPEC is longer than 4096 bytes");
    if (submit.given && strcmp(spec, submit.spec) == 0)
        return 0;
    if (!known_from_allocation(spec, &brief)) {
        enum policy_verdict verdict = POLICY_UNKNOWN;
        if (!*submit.install->prefix) {
            brief = (struct policy_brief){.resident = true};
            error_set(&err, CAESURA_EENGINE, "%s", submit.install->why);
        } else {
            verdict = policy_ask(submit.install->prefix, spec, &brief, &result, &err);
        }
        if (verdict == POLICY_REFUSED) {
            relay(result.err);
            return -1;
        }
        if (verdict == POLICY_UNKNOWN)
            slurm_verbose("caesura: --checkpoint=%s is not checked here, the node will: %s", spec, err.message);
    }
    submit.given = true;
    submit.brief = brief;
    snprintf(submit.spec, sizeof submit.spec, "%s", spec);
    return 0;
}

/* Returns false when the kernel gives no random bytes. */
static bool make_key(char key[PLUGIN_KEY_DIGITS + 1])
{
    uint64_t bits;

    if (getrandom(&bits, sizeof bits, 0) != sizeof bits)
        return false;
    snprintf(key, PLUGIN_KEY_DIGITS + 1, "%016llx", (unsigned long long)bits);
    return true;
}

/* One variable to the node. Returns 0 or -1 after saying what went wrong. */
static int hand_on(spank_t spank, const char *name, const char *value)
{
    char full[64];

    if (submit.context == S_CTX_LOCAL && setenv(full_name(name, full), value, 1) < 0) {
        slurm_error("caesura: the job runs without checkpoints: cannot set %s: %s", full, strerror(errno));
        return -1;
    }
    spank_err_t result = spank_job_control_setenv(spank, name, value, 1);
    if (result != ESPANK_SUCCESS) {
        slurm_error("caesura: the job runs without checkpoints: Slurm does not take %s: %s", name,
                    spank_strerror(result));
        return -1;
    }
    return 0;
}

void submit_post_opt(spank_t spank)
{
    char key[PLUGIN_KEY_DIGITS + 1], warning[16];

    if (submit.place == SRUN_PROTECTED)
        slurm_spank_log("caesura: job %s cannot be checkpointed while this step runs: steps of srun are not supported "
                        "yet",
                        getenv("SLURM_JOB_ID"));
    if (!submit.given || submit.place == SRUN_PROTECTED)
        return;
    if (submit.place == SRUN_BATCH) {
        slurm_spank_log(
            "caesura: this step runs without checkpoints: inside of a batch job give --checkpoint to sbatch");
        return;
    }
    if (!make_key(key)) {
        slurm_error("caesura: the job runs without checkpoints: no random bytes: %s", strerror(errno));
        return;
    }
    snprintf(warning, sizeof warning, "%u", submit.brief.warning_s);
    /* The key goes last: without it the node leaves the task alone. */
    if (hand_on(spank, PLUGIN_SPEC, submit.spec) == 0 &&
        hand_on(spank, PLUGIN_RESIDENT, submit.brief.resident ? "1" : "0") == 0 &&
        hand_on(spank, PLUGIN_WARNING, warning) == 0 && hand_on(spank, PLUGIN_KEY, key) == 0)
        submit.ready = true;
}

/* Is `text` what is in the file? */
static bool is_content(const char *path, const char *text)
{
    char piece[4096];
    FILE *file = fopen(path, "re");
    bool same = file != NULL;
    size_t got;

    while (same && (got = fread(piece, 1, sizeof piece, file)) > 0) {
        same = strncmp(text, piece, got) == 0;
        text += same ? got : 0;
    }
    if (file)
        fclose(file);
    return same && *text == '\0';
}

/* With --multi-prog srun gives the configuration's name and contents as the first two words, and each task another program. */
static bool is_multi_prog(spank_t spank)
{
    char **argv = NULL;
    int argc = 0;

    return spank_get_item(spank, S_JOB_ARGV, &argc, &argv) == ESPANK_SUCCESS && argc >= 2 && argv[0] && argv[1] &&
           is_content(argv[0], argv[1]);
}

void submit_step(spank_t spank)
{
    uint32_t tasks = 0, nodes = 0;
    spank_err_t result;

    if (!submit.ready || submit.place != SRUN_OWN)
        return;
    if ((result = spank_get_item(spank, S_JOB_TOTAL_TASK_COUNT, &tasks)) != ESPANK_SUCCESS ||
        (result = spank_get_item(spank, S_JOB_NNODES, &nodes)) != ESPANK_SUCCESS)
        slurm_error("caesura: this step runs without checkpoints: Slurm does not tell its size: %s",
                    spank_strerror(result));
    else if (tasks > 1 || nodes > 1)
        slurm_spank_log(
            "caesura: this step runs without checkpoints: its size is %u tasks on %u nodes, and only single "
            "tasks are supported yet",
            tasks, nodes);
    else if (is_multi_prog(spank))
        slurm_spank_log("caesura: this step runs without checkpoints: --multi-prog is not supported");
    else if (setenv(PLUGIN_STEP, "1", 1) < 0)
        slurm_error("caesura: this step runs without checkpoints: %s", strerror(errno));
}
