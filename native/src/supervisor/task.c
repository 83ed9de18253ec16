#include "supervisor/task.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/error.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

/* The engine that cr_run has started and cr-restore goes on with, as FD:PID. */
#define TASK_AGENT "CAESURA_TASK_AGENT"

/* For the engine to finish what it writes when the job has ended. Schedulers kill what stays longer than theirs anyway. */
enum { ENGINE_LIMIT_MS = 30000 };

static int64_t now_ns(void)
{
    return (int64_t)clock_read_ns(CLOCK_BOOTTIME);
}

/* ---- what we were told ------------------------------------------------------------------------------------------------ */

static char *take_variable(const char *name)
{
    const char *value = getenv(name);
    char *copy = value ? strdup(value) : NULL;

    unsetenv(name);
    return copy;
}

static int64_t take_number(const char *name)
{
    char *text = take_variable(name);
    long long value = text ? strtoll(text, NULL, 10) : 0;

    free(text);
    return value > 0 ? value : 0;
}

/* A job's id as its scheduler says it to the job. */
static const char *job_id(const char *scheduler)
{
    const char *id = getenv(strcmp(scheduler, "pbs") == 0 ? "PBS_JOBID" : "SLURM_JOB_ID");

    return id ? id : "";
}

static void adopt_engine(struct batch_task *task)
{
    char *text = take_variable(TASK_AGENT);
    int fd, pid;

    task->agent = AGENT_NONE;
    if (text && sscanf(text, "%d:%d", &fd, &pid) == 2) {
        task->agent.fd = fd;
        task->agent.pid = pid;
        task->agent.program = task->program;
        task->agent.end_signal = SIGINT;
        task->begun = true;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    free(text);
}

bool task_take(struct batch_task *task, const char *program, const char *prefix, const struct signal_state *signals)
{
    char name[256];

    *task = (struct batch_task){.program = program, .prefix = prefix, .signals = signals, .agent = AGENT_NONE};
    task->scheduler = take_variable("CAESURA_SCHEDULER");
    task->command = take_variable("CAESURA_PROGRAM");
    task->spec = take_variable("CAESURA_SPEC");
    task->key = take_variable("CAESURA_KEY");
    task->resident = take_number("CAESURA_RESIDENT") > 0;
    task->restarts = take_number("CAESURA_RESTARTS");
    const char *count = getenv("SLURM_RESTART_COUNT");
    if (!task->restarts && count)
        task->restarts = atoll(count);
    snprintf(task->restarts_text, sizeof task->restarts_text, "%lld", (long long)task->restarts);
    task->limit_s = take_number("CAESURA_LIMIT");
    task->warning_s = take_number("CAESURA_WARNING");
    task->refusal = take_variable("CAESURA_REFUSED");
    free(take_variable("CAESURA_BRIEF")); /* the PBS hook's own note, which PBS gives to the job as well */
    adopt_engine(task);
    if (!task->scheduler || !task->command)
        return false;
    if (task->refusal)
        return true;
    /* Until an engine says which of them its policy means. */
    task->watched = UINT64_C(1) << (SIGTERM - 1) | UINT64_C(1) << (SIGURG - 1) | UINT64_C(1) << (SIGUSR1 - 1) |
                    UINT64_C(1) << (SIGUSR2 - 1);
    if (task->limit_s && task->warning_s) {
        int64_t left_s = task->limit_s - (int64_t)time(NULL);
        /* Half of a run that is shorter than the warning has to be the job's, or it would never get anywhere. */
        int64_t wake_s = left_s - task->warning_s > left_s / 2 ? left_s - task->warning_s : left_s / 2;
        task->wake_ns = now_ns() + (wake_s > 0 ? wake_s : 0) * NS_PER_S;
    }
    snprintf(name, sizeof name, "%s:%s", task->scheduler, job_id(task->scheduler));
    setenv("CAESURA_JOB", name, 1);
    return true;
}

/* ---- the engine ------------------------------------------------------------------------------------------------------- */

/* What the engine is called with at this moment; allocated. */
static char *const *engine_arguments(const struct batch_task *task)
{
    size_t count = 0, n = 0;

    while (task->arguments && task->arguments[count])
        count++;
    const char **words = calloc(count + 14, sizeof *words);
    if (!words)
        return NULL;
    words[n++] = "--scheduler";
    words[n++] = task->scheduler;
    words[n++] = "--spec";
    words[n++] = task->spec ? task->spec : "default";
    words[n++] = "--key";
    words[n++] = task->key ? task->key : "";
    words[n++] = "--restarts";
    words[n++] = task->restarts_text;
    if (task->init)
        words[n++] = "--running";
    words[n++] = "--";
    words[n++] = task->command;
    for (size_t i = 0; i < count; i++)
        words[n++] = task->arguments[i];
    return (char *const *)words;
}

static struct agent_request engine_request(const struct batch_task *task)
{
    return (struct agent_request){
        .program = task->program, .prefix = task->prefix, .signals = task->signals, .is_of_task = true};
}

static int start_engine(struct batch_task *task, struct caesura_error *err)
{
    struct agent_request request = engine_request(task);

    request.arguments = engine_arguments(task);
    if (!request.arguments)
        return error_set(err, CAESURA_ENOMEM_, "out of memory");
    int result = agent_start(&request, &task->agent, err);
    free((void *)request.arguments);
    task->begun = task->begun || result == 0;
    return result;
}

/* ---- becoming another program ----------------------------------------------------------------------------------------- */

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* %XX, as in an address of the web: the line has to stay one line, and its words apart. In place. */
static bool decode(char *word)
{
    char *out = word;

    for (char *in = word; *in; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        int high = hex_digit(in[1]), low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0)
            return false;
        *out++ = (char)(high << 4 | low);
        in += 2;
    }
    *out = '\0';
    return true;
}

/* Cuts text at its blanks; the result is allocated. NULL: not well-formed, or no memory. */
static char **words_of(char *text)
{
    size_t count = 1, n = 0;

    for (const char *at = text; *at; at++)
        count += *at == ' ';
    char **words = calloc(count + 1, sizeof *words);
    for (char *save, *word = strtok_r(text, " ", &save); words && word; word = strtok_r(NULL, " ", &save)) {
        if (!decode(word)) {
            free(words);
            return NULL;
        }
        words[n++] = word;
    }
    return words;
}

static void set_number(const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    setenv(name, text, 1);
}

static void give_environment(const struct batch_task *task)
{
    char agent[32];

    setenv("CAESURA_SCHEDULER", task->scheduler, 1);
    setenv("CAESURA_PROGRAM", task->command, 1);
    if (task->spec)
        setenv("CAESURA_SPEC", task->spec, 1);
    if (task->key)
        setenv("CAESURA_KEY", task->key, 1);
    set_number("CAESURA_RESIDENT", task->resident);
    set_number("CAESURA_RESTARTS", task->restarts);
    set_number("CAESURA_LIMIT", task->limit_s);
    set_number("CAESURA_WARNING", task->warning_s);
    snprintf(agent, sizeof agent, "%d:%d", task->agent.fd, (int)task->agent.pid);
    setenv(TASK_AGENT, agent, 1);
}

/* `become PROGRAM ARGUMENT...`: the same task, and the same engine beside it, by another of our programs. */
static int become(const struct batch_task *task, char *text, struct caesura_error *err)
{
    char path[PATH_MAX];
    char **words = words_of(text);

    if (!words || !words[0])
        return error_set(err, CAESURA_EENGINE, "the engine's order to become another program is not well-formed");
    if (strcmp(words[0], "cr-restore") != 0 && strcmp(words[0], "cr_run") != 0)
        return error_set(err, CAESURA_EENGINE, "the engine wants us to become '%s'", words[0]);
    snprintf(path, sizeof path, "%s/%s/%s", task->prefix, words[0][2] == '-' ? "libexec/caesura" : "bin", words[0]);
    give_environment(task);
    fcntl(task->agent.fd, F_SETFD, 0);
    signals_restore(task->signals);
    execv(path, words);
    int reason = errno;
    free(words);
    error_set(err, CAESURA_EENGINE, "cannot execute %s: %s", path, strerror(reason));
    return error_hint(err, "install the whole tree");
}

/* ---- the beginning ---------------------------------------------------------------------------------------------------- */

/* Waits for the word on how the run begins. As task_begin(). */
static int await_verdict(struct batch_task *task, int *status, struct caesura_error *err)
{
    char *line;
    int result;

    while ((result = agent_next(&task->agent, &line, err)) == 0) {
        if (strncmp(line, "job ", 4) == 0) {
            snprintf(task->folder, sizeof task->folder, "%s", line + 4);
            return 0;
        }
        if (strncmp(line, "become ", 7) == 0)
            return become(task, line + 7, err);
        if (strncmp(line, "end ", 4) == 0) {
            *status = atoi(line + 4);
            agent_close(&task->agent);
            agent_wait(&task->agent, ENGINE_LIMIT_MS);
            return 1;
        }
    }
    return result;
}

int task_begin(struct batch_task *task, char *const *arguments, int *status, struct caesura_error *err)
{
    int result = 0;

    task->arguments = arguments;
    if (task->agent.fd >= 0) {
        agent_say(&task->agent, "ready\n");
    } else {
        /* In a first run there is nothing to go on from, so without a timer there is nothing to do yet. */
        if (!task->resident && task->restarts == 0)
            return 0;
        result = start_engine(task, err);
    }
    return result < 0 ? result : await_verdict(task, status, err);
}

int task_restart_failed(struct batch_task *task, const struct caesura_error *why, struct caesura_error *err)
{
    int status = 0;

    if (task->agent.fd < 0)
        return error_set(err, CAESURA_EENGINE, "the engine has ended");
    agent_say(&task->agent, "failed %d %s\n", why->code, why->message);
    int result = await_verdict(task, &status, err);
    if (result == 0) /* `job`, which makes no sense here: we are no cr_run */
        return error_set(err, CAESURA_EENGINE, "the engine does not say what to do after a failed restart");
    return result < 0 ? result : status;
}

void task_started(struct batch_task *task, pid_t init)
{
    task->init = init;
    if (task->agent.fd >= 0)
        agent_started(&task->agent, init);
}

/* ---- events ----------------------------------------------------------------------------------------------------------- */

bool task_watches(const struct batch_task *task, int number)
{
    return task->watched >> (number - 1) & 1;
}

static bool tell(struct batch_task *task, int number)
{
    struct caesura_error err;

    if (task->agent.fd < 0) {
        int result = start_engine(task, &err);
        if (result < 0) {
            fprintf(stderr, "caesura: %s; the job runs on without checkpoints (%s)\n", err.message, err.remedy);
            return false;
        }
        agent_started(&task->agent, task->init);
    }
    return agent_say(&task->agent, "event %d\n", number);
}

bool task_event(struct batch_task *task, int number)
{
    if (task->ends || task->unanswered >> number & 1)
        return true; /* the engine knows already */
    if (!tell(task, number))
        return false;
    task->unanswered |= UINT64_C(1) << number;
    return true;
}

static uint64_t watch_list(const char *text)
{
    uint64_t watched = 0;
    char *end;

    for (long number; (number = strtol(text, &end, 10)) > 0 && number < 64 && end != text; text = end)
        watched |= UINT64_C(1) << (number - 1);
    return watched;
}

/* One line of the running engine. Returns the signals for the root. */
static uint64_t obey(struct batch_task *task, const char *line)
{
    if (strncmp(line, "job ", 4) == 0)
        snprintf(task->folder, sizeof task->folder, "%s", line + 4);
    else if (strncmp(line, "watch", 5) == 0)
        task->watched = watch_list(line + 5);
    else if (strncmp(line, "wake ", 5) == 0)
        task->wake_ns = now_ns() + atoll(line + 5) * NS_PER_S;
    else if (strncmp(line, "done ", 5) == 0)
        task->unanswered &= ~(UINT64_C(1) << (atoi(line + 5) & 63));
    else if (strncmp(line, "end ", 4) == 0) {
        task->ends = true;
        task->end_status = atoi(line + 4);
    } else if (strcmp(line, "oneshot") == 0)
        task->agent.oneshot = true;
    else if (strncmp(line, "error ", 6) == 0) {
        fprintf(stderr, "caesura: %s; the job runs on without checkpoints\n", line + 6 + strcspn(line + 6, " ") + 1);
        task->refused = true;
    } else if (strncmp(line, "forward ", 8) == 0 && atoi(line + 8) > 0 && atoi(line + 8) < 64)
        return UINT64_C(1) << (atoi(line + 8) - 1);
    return 0;
}

uint64_t task_read(struct batch_task *task)
{
    bool open = agent_fill(&task->agent);
    uint64_t forward = 0;
    char *line;

    while (agent_take(&task->agent, &line))
        forward |= obey(task, line);
    /* It asks to leave. What it has not answered, it has not read yet, and will. */
    if (task->agent.oneshot && task->unanswered)
        task->agent.oneshot = false;
    if (!open || task->agent.oneshot)
        agent_close(&task->agent);
    return forward;
}

uint64_t task_engine_ended(struct batch_task *task, int wait_status)
{
    /* Its last words may still be unread. */
    uint64_t forward = task->agent.fd >= 0 ? task_read(task) : 0, left;
    bool expected = task->agent.oneshot && !task->refused;

    task->agent.oneshot = task->agent.oneshot || task->refused; /* it has said why it ends */
    task->refused = false;
    agent_reaped(&task->agent, wait_status);
    left = task->unanswered;
    task->unanswered = 0;
    if (task->ends) /* an engine that died before it had ended the job leaves that to us */
        return forward | UINT64_C(1) << (SIGKILL - 1);
    for (int number = 0; number < 64; number++) {
        if (!(left >> number & 1))
            continue;
        /* What came while it was about to leave is for its successor; what it died of is not tried again. */
        if (!(expected && task_event(task, number)) && number > 0)
            forward |= UINT64_C(1) << (number - 1);
    }
    return forward;
}

int task_timeout_ms(const struct batch_task *task)
{
    if (!task->wake_ns || !task->init || task->ends)
        return -1;
    int64_t left_ms = (task->wake_ns - now_ns() + NS_PER_MS - 1) / NS_PER_MS;
    if (left_ms <= 0)
        return 0;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

void task_wake(struct batch_task *task)
{
    if (task_timeout_ms(task) != 0)
        return;
    task->wake_ns = 0;
    task_event(task, 0);
}

/* ---- the end ---------------------------------------------------------------------------------------------------------- */

void task_ended(struct batch_task *task, int *wait_status)
{
    struct agent_request request = engine_request(task);
    bool running = task->agent.pid > 0 && !task->agent.oneshot;

    if (running)
        agent_ended(&task->agent, *wait_status, ENGINE_LIMIT_MS);
    else
        agent_wait(&task->agent, ENGINE_LIMIT_MS);
    if (task->ends)
        *wait_status = task->end_status << 8;
    else if (!running && task->begun && *task->folder && task->agent.oneshot)
        agent_finish(&request, task->folder, *wait_status, ENGINE_LIMIT_MS);
}
