#include "cr_run/job.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/error.h"
#include "supervisor/agent.h"
#include "supervisor/init.h"
#include "supervisor/namespace.h"
#include "supervisor/root.h"
#include "supervisor/supervise.h"

/* For the agent to finish what it writes when the job has ended. Schedulers kill what stays longer than theirs anyway. */
enum { AGENT_LIMIT_MS = 30000 };

/* folder is for that of the job, PATH_MAX bytes. */
static int start_agent(const struct job *job, struct agent_request *request, struct agent *agent, char *folder,
                       struct caesura_error *err)
{
    size_t count = 0, n = 0;

    while (job->command[count])
        count++;
    const char **arguments = calloc(count + 6, sizeof *arguments);
    if (!arguments)
        return error_set(err, CAESURA_ENOMEM_, "out of memory");
    arguments[n++] = "--spec";
    arguments[n++] = job->spec;
    if (job->name) {
        arguments[n++] = "--name";
        arguments[n++] = job->name;
    }
    arguments[n++] = "--";
    for (size_t i = 0; i < count; i++)
        arguments[n++] = job->command[i];
    request->arguments = (char *const *)arguments;
    int result = agent_start(request, agent, err);
    if (result == 0)
        result = agent_await(agent, folder, PATH_MAX, err);
    request->arguments = NULL;
    free(arguments);
    return result;
}

static int run_init(int channel, void *data)
{
    return init_run(channel, root_start, data);
}

int job_start(struct root_command *command, bool no_namespace, bool private_shm, struct namespace_child *child,
              struct caesura_error *err)
{
    if (!no_namespace) {
        struct namespace_request request = {.private_shm = private_shm, .last_pid = NAMESPACE_SPREAD};
        command->place = terminal_place(true);
        int result = namespace_enter(&request, run_init, command, child, err);
        if (result != -CAESURA_ENAMESPACE)
            return result;
        fprintf(stderr, "caesura: %s; the job runs without a pid namespace: its pids may be taken at a restart\n",
                err->message);
    }
    command->place = terminal_place(false);
    command->die_with_parent = true;
    return namespace_without(run_init, command, child, err);
}

int job_run(const struct job *job, struct caesura_error *err)
{
    struct signal_state signals;
    struct namespace_child child;
    struct agent agent;
    char folder[PATH_MAX];
    int status = 0, result;

    signals_take(&signals);
    struct agent_request engine = {.program = job->program, .prefix = job->prefix, .signals = &signals};
    struct root_command command = {.program = job->program, .argv = job->command, .signals = &signals};
    if ((result = start_agent(job, &engine, &agent, folder, err)) < 0)
        return result;
    signals_block();
    if ((result = job_start(&command, job->no_namespace, job->private_shm, &child, err)) == 0) {
        struct supervise_request request = {.program = job->program,
                                            .child = child.pid,
                                            .channel = child.channel,
                                            .signals = &signals,
                                            .agent = &agent,
                                            .prefix = job->prefix,
                                            .folder = folder};
        result = supervise(&request, &status, err);
    }
    if (result < 0)
        status = CAESURA_EENGINE << 8; /* as of a root that exited so */
    agent_ended(&agent, status, AGENT_LIMIT_MS);
    if (agent.oneshot)
        agent_finish(&engine, folder, status, AGENT_LIMIT_MS);
    if (result < 0)
        return result;
    exit_as(status);
}
