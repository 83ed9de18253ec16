/*
 * plugin.h - what the parts of the SPANK plugin share.
 *
 * Slurm loads one copy of the plugin into sbatch, salloc and srun (submit.c), into slurmd, and into the slurmstepd of every
 * step (task.c). All calls come from one thread. Everything here runs inside of somebody else's program: no function ends
 * the process, changes its signals for longer than it runs, or lets a failure of ours become one of the job.
 */
#ifndef CAESURA_SLURM_PLUGIN_H
#define CAESURA_SLURM_PLUGIN_H

#include <limits.h>
#include <slurm/spank.h>
#include <stdbool.h>

#include "caesura.h"

/** Longest SPEC taken; Slurm's own limit for all of the environment is far above it. */
#define PLUGIN_SPEC_MAX 4096

/*
 * Variables of the job control environment as the job sees them. SPANK's functions for that environment add the prefix
 * SLURM_SPANK_ by themselves; in srun, which hands its own environment on, we write them in full.
 */
#define PLUGIN_CONTROL_PREFIX "SLURM_SPANK_"
#define PLUGIN_SPEC "CAESURA_SPEC"
#define PLUGIN_KEY "CAESURA_KEY"
#define PLUGIN_RESIDENT "CAESURA_RESIDENT"
#define PLUGIN_WARNING "CAESURA_WARNING"
/** Set by srun for a task that is to be wrapped: the step itself cannot tell a job of srun's own from one inside of a script. */
#define PLUGIN_STEP PLUGIN_CONTROL_PREFIX "CAESURA_STEP"

/** Hexadecimal digits of a key. */
#define PLUGIN_KEY_DIGITS 16

/** Where the installed tree is; prefix is empty when that is not known, and why says why. */
struct plugin_install {
    char prefix[PATH_MAX];
    char why[256];
    int warning_signal; /**< by which the site warns jobs that asked for checkpoints (warning-signal=); 0: by none */
};

/**
 * Reads the arguments of plugstack.conf and finds the installed tree: prefix=, else from the path of this library. An argument
 * that is not understood is named in the log and has no effect. complain: as an error, not only at verbose level.
 */
void install_read(int argc, char **argv, bool complain, struct plugin_install *install);

/** sbatch, salloc (allocator) and srun. */
void submit_init(const struct plugin_install *install, spank_context_t context);
/** --checkpoint=SPEC was given. Returns 0, or -1 after telling the user that SPEC is refused. */
int submit_option(const char *spec);
/** All options are known: the job's key and policy are handed on. */
void submit_post_opt(spank_t spank);
/** srun alone, when the step has been made: asks the node to wrap its task, or says why not. */
void submit_step(spank_t spank);

/** slurmstepd, in the task's own process and as the user: puts cr_run into the place of the program. */
void task_wrap(spank_t spank, const struct plugin_install *install);

#endif
