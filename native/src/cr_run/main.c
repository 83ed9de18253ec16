/*
 * main.c - cr_run: BLCR's preload wrapper; with --checkpoint the supervisor of a job of the local scheduler; and the task of a
 * batch job, where a scheduler's plugin or hook has put it in the place of the job's program.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/version.h"
#include "cr_run/batch.h"
#include "cr_run/job.h"
#include "cr_run/preload.h"
#include "jvm/jvm.h"
#include "supervisor/root.h"

static const char usage[] =
    "Usage: cr_run [options] [--] COMMAND [ARGUMENT...]\n"
    "\n"
    "Runs COMMAND so that it can be checkpointed; the exit status is COMMAND's.\n"
    "\n"
    "  --run              preload libcr_run.so.0 (default)\n"
    "  --omit             preload libcr_omit.so.0: COMMAND leaves itself out of every checkpoint\n"
    "  -?, --help         print this text and exit\n"
    "  --version          print the version and exit\n"
    "  --                 end of options\n"
    "\n"
    "As a job of its own, checkpointed as SPEC says, with nothing preloaded:\n"
    "  --checkpoint SPEC  name of a policy, key=value,..., or an interval such as 30m\n"
    "  --name NAME        name of the job; default HOST-PID-TIME\n"
    "  --no-namespace     no pid namespace for the job\n"
    "  --private-shm      a /dev/shm of its own for the job\n"
    "\n"
    "Exit status 127: COMMAND not found; 126: it cannot be executed; 255: usage.\n";

enum preload_choice { PRELOAD_DEFAULT, PRELOAD_RUN, PRELOAD_OMIT };

struct options {
    enum preload_choice preload;
    struct job job;
};

static int complain(const struct caesura_error *err)
{
    fprintf(stderr, "cr_run: %s\n", err->message);
    if (*err->remedy)
        fprintf(stderr, "cr_run: hint: %s\n", err->remedy);
    return err->code;
}

static int usage_error(const char *message)
{
    fprintf(stderr, "cr_run: %s\n%s", message, usage);
    return CAESURA_EUSAGE;
}

/* The value of a long option, as --name VALUE or --name=VALUE. *next is moved over what was used; NULL if it is another. */
static const char *option_value(char **argv, int *next, const char *name)
{
    const char *word = argv[*next];
    size_t length = strlen(name);

    if (strncmp(word, name, length) != 0 || (word[length] != '=' && word[length] != '\0'))
        return NULL;
    if (word[length] == '=') {
        *next += 1;
        return word + length + 1;
    }
    if (!argv[*next + 1])
        return ""; /* which no option takes */
    *next += 2;
    return argv[*next - 1];
}

/* Reads options as BLCR does: up to the first word that is none. Returns -1 to go on, else the exit status. */
static int parse(char **argv, struct options *options)
{
    struct job *job = &options->job;
    const char *value;
    int next = 1;

    while (argv[next]) {
        const char *word = argv[next];
        if (strcmp(word, "-?") == 0 || strcmp(word, "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(word, "--version") == 0) {
            puts("cr_run: version " CAESURA_VERSION);
            return 0;
        }
        if ((value = option_value(argv, &next, "--checkpoint"))) {
            if (!*value)
                return usage_error("--checkpoint needs a SPEC");
            job->spec = value;
            continue;
        }
        if ((value = option_value(argv, &next, "--name"))) {
            if (!*value)
                return usage_error("--name needs a NAME");
            job->name = value;
            continue;
        }
        if (strcmp(word, "--run") == 0)
            options->preload = PRELOAD_RUN;
        else if (strcmp(word, "--omit") == 0)
            options->preload = PRELOAD_OMIT;
        else if (strcmp(word, "--no-namespace") == 0)
            job->no_namespace = true;
        else if (strcmp(word, "--private-shm") == 0)
            job->private_shm = true;
        else
            break;
        next++;
    }
    if (argv[next] && strcmp(argv[next], "--") == 0)
        next++;
    job->command = argv + next;
    if (!argv[next])
        return usage_error("no command given");
    if (!job->spec && (job->name || job->no_namespace || job->private_shm))
        return usage_error("--name, --no-namespace and --private-shm go with --checkpoint");
    if (job->private_shm && job->no_namespace)
        return usage_error("--private-shm needs a namespace");
    if (job->spec && options->preload == PRELOAD_OMIT)
        return usage_error("--omit would leave the job out of its own checkpoints");
    return -1;
}

int main(int argc, char **argv)
{
    struct options options = {.job = {.program = "cr_run"}};
    struct caesura_error err;
    char prefix[PATH_MAX] = "";
    char *value;
    struct signal_state signals;
    struct batch_task task;

    signals_take(&signals);
    int found = jvm_prefix(prefix, sizeof prefix, &err);
    if (task_take(&task, "cr_run", prefix, &signals))
        batch_run(&task, argv + 1);
    signals_restore(&signals);
    int status = argc > 0 ? parse(argv, &options) : usage_error("no command given");
    if (status >= 0)
        return status;
    if (found < 0)
        return complain(&err);
    /* A supervised job needs no library: it is captured from outside, so the user's environment stays as it is. */
    if (!options.job.spec || options.preload == PRELOAD_RUN) {
        if (preload_value(prefix, options.preload == PRELOAD_OMIT, getenv("LD_PRELOAD"), &value, &err) < 0)
            return complain(&err);
        setenv("LD_PRELOAD", value, 1);
        free(value);
    }
    if (!options.job.spec)
        root_exec("cr_run", options.job.command);
    options.job.prefix = prefix;
    job_run(&options.job, &err);
    return complain(&err);
}
