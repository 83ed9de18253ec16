/*
 * plugin.c - the entry points that Slurm calls, handed to the part for each context.
 *
 * All return 0 whatever happens: a failure of SPANK's callbacks drains nodes or fails jobs. The one exception is the option,
 * by which sbatch, salloc and srun refuse a bad SPEC before there is a job.
 */
#pragma GCC visibility push(default)
#include <slurm/slurm_version.h>
#include <slurm/spank.h>

/* What SPANK_PLUGIN() would say; Slurm refuses to load a plugin that was built for another release. */
const char plugin_name[] = "caesura";
const char plugin_type[] = "spank";
const unsigned int plugin_version = SLURM_VERSION_NUMBER;
const unsigned int spank_plugin_version = 1;
#pragma GCC visibility pop

#include "plugin.h"

static struct plugin_install install;

static int option(int value, const char *spec, int remote)
{
    (void)value;
    return remote ? 0 : submit_option(spec);
}

static struct spank_option checkpoint = {
    .name = "checkpoint",
    .arginfo = "SPEC",
    .usage = "checkpoint the job as SPEC says: a policy's name, key=value,... or an interval such as 30m",
    .has_arg = 1,
    .cb = option,
};

int slurm_spank_init(spank_t spank, int argc, char **argv)
{
    spank_context_t context = spank_context();

    /* slurmd says once what every step would say again. */
    install_read(argc, argv, context == S_CTX_SLURMD, &install);
    if (context != S_CTX_LOCAL && context != S_CTX_ALLOCATOR && context != S_CTX_REMOTE)
        return 0;
    spank_err_t result = spank_option_register(spank, &checkpoint);
    if (result != ESPANK_SUCCESS)
        slurm_error("caesura: cannot register --checkpoint: %s", spank_strerror(result));
    else if (context != S_CTX_REMOTE)
        submit_init(&install, context);
    return 0;
}

int slurm_spank_init_post_opt(spank_t spank, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    if (spank_context() == S_CTX_LOCAL || spank_context() == S_CTX_ALLOCATOR)
        submit_post_opt(spank);
    return 0;
}

int slurm_spank_local_user_init(spank_t spank, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    submit_step(spank);
    return 0;
}

int slurm_spank_task_init(spank_t spank, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    task_wrap(spank, &install);
    return 0;
}
