/*
 * job_state.c - slurm-job-state JOBID: what slurmctld knows of a job, as lines of key=value.
 *
 * scontrol and squeue say COMPLETING of a job that has been signalled, whatever the cause; the fields behind that word tell
 * a preemption from a time limit from a scancel.
 */
#include <errno.h>
#include <inttypes.h>
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "caesura.h"

static const char *const states[] = {
    [JOB_PENDING] = "PENDING",     [JOB_RUNNING] = "RUNNING",     [JOB_SUSPENDED] = "SUSPENDED",
    [JOB_COMPLETE] = "COMPLETED",  [JOB_CANCELLED] = "CANCELLED", [JOB_FAILED] = "FAILED",
    [JOB_TIMEOUT] = "TIMEOUT",     [JOB_NODE_FAIL] = "NODE_FAIL", [JOB_PREEMPTED] = "PREEMPTED",
    [JOB_BOOT_FAIL] = "BOOT_FAIL", [JOB_DEADLINE] = "DEADLINE",   [JOB_OOM] = "OUT_OF_MEMORY",
};

static const struct {
    uint32_t bit;
    const char *name;
} flags[] = {
    {JOB_LAUNCH_FAILED, "LAUNCH_FAILED"}, {JOB_REQUEUE, "REQUEUED"},    {JOB_REQUEUE_HOLD, "REQUEUE_HOLD"},
    {JOB_SPECIAL_EXIT, "SPECIAL_EXIT"},   {JOB_RESIZING, "RESIZING"},   {JOB_CONFIGURING, "CONFIGURING"},
    {JOB_COMPLETING, "COMPLETING"},       {JOB_STOPPED, "STOPPED"},     {JOB_REVOKED, "REVOKED"},
    {JOB_SIGNALING, "SIGNALING"},         {JOB_STAGE_OUT, "STAGE_OUT"},
};

static bool in_library;

/* libslurm ends the process with 1 when it finds no configuration; ours is the code of the table. Its message is out. */
static void at_exit(int status, void *unused)
{
    (void)status;
    (void)unused;
    if (in_library) {
        fputs("slurm-job-state: hint: is this a host of the cluster, and SLURM_CONF right?\n", stderr);
        fflush(stderr);
        _exit(CAESURA_ESCHEDULER);
    }
}

static void print_flags(uint32_t state)
{
    const char *comma = "";

    fputs("flags=", stdout);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (state & flags[i].bit) {
            printf("%s%s", comma, flags[i].name);
            comma = ",";
        }
    }
    putchar('\n');
}

static void print_time(const char *name, time_t value)
{
    printf("%s=%lld\n", name, value == (time_t)NO_VAL || value == (time_t)INFINITE ? 0LL : (long long)value);
}

static void print_job(const slurm_job_info_t *job)
{
    uint32_t base = job->job_state & JOB_STATE_BASE;

    printf("job_id=%" PRIu32 "\n", job->job_id);
    if (job->array_job_id != 0) {
        printf("array_job_id=%" PRIu32 "\n", job->array_job_id);
        if (job->array_task_id != NO_VAL)
            printf("array_task_id=%" PRIu32 "\n", job->array_task_id);
        else if (job->array_task_str)
            printf("array_tasks=%s\n", job->array_task_str);
    }
    if (base < JOB_END && states[base])
        printf("state=%s\n", states[base]);
    else
        printf("state=%" PRIu32 "\n", base);
    print_flags(job->job_state);
    printf("restart_cnt=%u\n", job->restart_cnt);
    print_time("preempt_time", job->preempt_time);
    print_time("start_time", job->start_time);
    /* Without a limit the end that is expected is a number from the far future. */
    print_time("end_time", job->time_limit == INFINITE && job->end_time > time(NULL) ? 0 : job->end_time);
    print_time("submit_time", job->submit_time);
    printf("requeue=%u\n", job->requeue ? 1u : 0u);
    printf("user_id=%" PRIu32 "\n", job->user_id);
    printf("nodes=%s\n", job->nodes ? job->nodes : "");
    printf("partition=%s\n", job->partition ? job->partition : "");
    printf("batch_flag=%u\n", job->batch_flag ? 1u : 0u);
}

/* For an array's own id slurmctld sends every element. */
static const slurm_job_info_t *find(const job_info_msg_t *jobs, uint32_t id)
{
    for (uint32_t i = 0; i < jobs->record_count; i++)
        if (jobs->job_array[i].job_id == id)
            return &jobs->job_array[i];
    return NULL;
}

static int no_such_job(uint32_t id)
{
    fprintf(stderr, "slurm-job-state: slurmctld knows no job %" PRIu32 "\n", id);
    return CAESURA_ENOJOB;
}

int main(int argc, char **argv)
{
    job_info_msg_t *jobs = NULL;
    char *end = NULL;

    unsigned long long id = argc == 2 && *argv[1] >= '0' && *argv[1] <= '9' ? strtoull(argv[1], &end, 10) : 0;
    if (!end || *end != '\0' || id == 0 || id >= NO_VAL) {
        fputs("Usage: slurm-job-state JOBID\n"
              "Prints the raw state of a job, the number SLURM_JOB_ID, as lines of key=value.\n",
              stderr);
        return CAESURA_EUSAGE;
    }
    on_exit(at_exit, NULL);
    in_library = true;
    slurm_init(NULL);
    int result = slurm_load_job(&jobs, (uint32_t)id, SHOW_ALL | SHOW_DETAIL);
    int failure = slurm_get_errno();
    in_library = false;
    if (result != SLURM_SUCCESS) {
        if (failure == ESLURM_INVALID_JOB_ID)
            return no_such_job((uint32_t)id);
        fprintf(stderr, "slurm-job-state: job %llu: %s\n", id, slurm_strerror(failure));
        return CAESURA_ESCHEDULER;
    }
    const slurm_job_info_t *job = find(jobs, (uint32_t)id);
    if (!job)
        return no_such_job((uint32_t)id);
    print_job(job);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "slurm-job-state: cannot write: %s\n", strerror(errno));
        return CAESURA_EIO_;
    }
    return 0;
}
