/* sum.c - a job that asks for a checkpoint between two of its steps. Arguments: number of steps, the one to ask after. */
#include <caesura_job.h>
#include <libcr.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void ask(void)
{
    struct caesura_job_place place = {.size = sizeof place};
    int result = caesura_job_checkpoint(60000, &place);

    if (result < 0)
        printf("no checkpoint: %s\n", cr_strerror(-result));
    else
        printf("%s on %s, context %lld\n", result == CAESURA_JOB_RESTARTED ? "restarted" : "continued", place.host,
               (long long)place.sequence);
}

int main(int argc, char **argv)
{
    int steps = argc > 2 ? atoi(argv[1]) : 6, ask_after = argc > 2 ? atoi(argv[2]) : 3;
    long sum = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int step = 1; step <= steps; step++) {
        sum += step;
        printf("step %d: %ld\n", step, sum);
        if (step == ask_after)
            ask();
        sleep(1);
    }
    printf("sum %ld\n", sum);
    return 0;
}
