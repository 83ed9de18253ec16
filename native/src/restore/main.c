/* cr-restore: builds processes from a context and stays as their supervisor. docs/architecture.md has its options. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/error.h"
#include "jvm/jvm.h"
#include "proc/proc.h"
#include "restore/build.h"
#include "supervisor/agent.h"
#include "supervisor/init.h"
#include "supervisor/namespace.h"
#include "supervisor/signals.h"
#include "supervisor/supervise.h"
#include "supervisor/task.h"

#define PROGRAM "cr_restart"

enum pid_namespace { NAMESPACE_AUTO, NAMESPACE_CURRENT, NAMESPACE_NEW };

struct hooks {
    const char *success, *temp, *env, *perm;
};

struct command {
    struct restore restore;
    struct hooks hooks;
    enum pid_namespace pid_namespace;
    int fd;
    const char *job;
    char *aside;
    int32_t fds[4096];
    size_t n_fds;
    struct signal_state signals;
    char prefix[PATH_MAX];
    struct batch_task task;
    bool is_task; /* of a batch job; the engine came along from cr_run */
};

/* For the agent to finish what it writes when the job has ended, as in cr_run. */
enum { AGENT_LIMIT_MS = 30000 };

struct job_agent {
    struct agent agent;
    struct agent_request request;
    bool runs;
    char folder[PATH_MAX];
};

enum option_code {
    OPT_PID_NAMESPACE = 256,
    OPT_RESTORE_PID,
    OPT_NO_RESTORE_PID,
    OPT_RESTORE_PGID,
    OPT_NO_RESTORE_PGID,
    OPT_RESTORE_SID,
    OPT_NO_RESTORE_SID,
    OPT_SIGNAL,
    OPT_RELOCATE,
    OPT_SUCCESS,
    OPT_TEMP,
    OPT_ENV,
    OPT_PERM,
    OPT_QUIET,
    OPT_VERBOSE,
    OPT_ASIDE,
    OPT_JOB,
    OPT_CHANGED,
    OPT_FD,
};

static const struct option options[] = {
    {"pid-namespace", 1, NULL, OPT_PID_NAMESPACE},
    {"restore-pid", 0, NULL, OPT_RESTORE_PID},
    {"no-restore-pid", 0, NULL, OPT_NO_RESTORE_PID},
    {"restore-pgid", 0, NULL, OPT_RESTORE_PGID},
    {"no-restore-pgid", 0, NULL, OPT_NO_RESTORE_PGID},
    {"restore-sid", 0, NULL, OPT_RESTORE_SID},
    {"no-restore-sid", 0, NULL, OPT_NO_RESTORE_SID},
    {"signal", 1, NULL, OPT_SIGNAL},
    {"relocate", 1, NULL, OPT_RELOCATE},
    {"run-on-success", 1, NULL, OPT_SUCCESS},
    {"run-on-fail-temp", 1, NULL, OPT_TEMP},
    {"run-on-fail-env", 1, NULL, OPT_ENV},
    {"run-on-fail-perm", 1, NULL, OPT_PERM},
    {"quiet", 0, NULL, OPT_QUIET},
    {"verbose", 0, NULL, OPT_VERBOSE},
    {"aside", 1, NULL, OPT_ASIDE},
    {"job", 1, NULL, OPT_JOB},
    {"allow-changed-files", 0, NULL, OPT_CHANGED},
    {"fd", 1, NULL, OPT_FD},
    {0},
};

/* OLD=NEW with \= and \\ for = and \; splits in place. */
static int add_relocation(struct restore_options *into, char *text, struct caesura_error *err)
{
    char *out = text, *from = text, *to = NULL;

    for (char *in = text; *in; in++) {
        if (*in == '\\' && (in[1] == '=' || in[1] == '\\')) {
            *out++ = *++in;
        } else if (*in == '=') {
            if (to)
                return error_set(err, CAESURA_EINVAL_, "--relocate has more than one '='");
            *out++ = 0;
            to = out;
        } else {
            *out++ = *in;
        }
    }
    *out = 0;
    if (!to || *from != '/' || *to != '/')
        return error_set(err, CAESURA_EINVAL_, "--relocate wants OLD=NEW with two absolute paths");
    if (into->n_relocations == sizeof into->relocations / sizeof *into->relocations)
        return error_set(err, CAESURA_EINVAL_, "more than %zu relocations", into->n_relocations);
    for (char *path = from; path; path = path == from ? to : NULL)
        for (size_t length = strlen(path); length > 1 && path[length - 1] == '/';)
            path[--length] = 0;
    if (strcmp(from, to) != 0)
        into->relocations[into->n_relocations++] = (struct relocation){from, to};
    return 0;
}

static int number(const char *text, long low, long high, const char *what, int *value, struct caesura_error *err)
{
    char *end;
    long got = strtol(text, &end, 10);
    if (!*text || *end || got < low || got > high)
        return error_set(err, CAESURA_EINVAL_, "%s: '%s' is not a number from %ld to %ld", what, text, low, high);
    *value = (int)got;
    return 0;
}

static int parse_namespace(const char *text, enum pid_namespace *value, struct caesura_error *err)
{
    static const char *const names[] = {"auto", "current", "new"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, names[i])) {
            *value = (enum pid_namespace)i;
            return 0;
        }
    return error_set(err, CAESURA_EINVAL_, "--pid-namespace is auto, current or new, not '%s'", text);
}

static int parse_option(struct command *command, int code, struct caesura_error *err)
{
    struct restore_options *restore = &command->restore.options;

    switch (code) {
    case OPT_PID_NAMESPACE:
        return parse_namespace(optarg, &command->pid_namespace, err);
    case OPT_RESTORE_PID:
        restore->restore_pid = true;
        return 0;
    case OPT_NO_RESTORE_PID:
        restore->restore_pid = false;
        return 0;
    case OPT_RESTORE_PGID:
        restore->restore_pgid = true;
        return 0;
    case OPT_NO_RESTORE_PGID:
        restore->restore_pgid = false;
        return 0;
    case OPT_RESTORE_SID:
        restore->restore_sid = true;
        return 0;
    case OPT_NO_RESTORE_SID:
        restore->restore_sid = false;
        return 0;
    case OPT_SIGNAL:
        return number(optarg, 1, 64, "--signal", &restore->signal, err);
    case OPT_RELOCATE:
        return add_relocation(restore, optarg, err);
    case OPT_SUCCESS:
        command->hooks.success = optarg;
        return 0;
    case OPT_TEMP:
        command->hooks.temp = optarg;
        return 0;
    case OPT_ENV:
        command->hooks.env = optarg;
        return 0;
    case OPT_PERM:
        command->hooks.perm = optarg;
        return 0;
    case OPT_QUIET:
        restore->quiet = true;
        return 0;
    case OPT_VERBOSE:
        restore->verbose = true;
        return 0;
    case OPT_ASIDE:
        restore->aside = optarg;
        return 0;
    case OPT_JOB:
        command->job = optarg;
        return 0;
    case OPT_CHANGED:
        restore->allow_changed_files = true;
        return 0;
    case OPT_FD:
        return number(optarg, 0, 1 << 28, "--fd", &command->fd, err);
    default:
        return error_set(err, CAESURA_EUSAGE,
                         "usage: cr-restore [OPTIONS] --fd N | FILE... (see docs/architecture.md)");
    }
}

static int open_fd(struct command *command, struct caesura_error *err)
{
    int spooled;

    /* It has no folder of its own, so they go to the working folder. */
    if (!command->restore.options.aside)
        command->restore.options.aside = "cr_restart.aside";

    if (lseek(command->fd, 0, SEEK_CUR) >= 0) {
        command->fds[command->n_fds++] = command->fd;
        return 0;
    }
    int rc = context_spool(command->fd, &spooled, err);
    if (!rc)
        command->fds[command->n_fds++] = spooled;
    return rc;
}

static int open_files(struct command *command, char *const *files, size_t count, struct caesura_error *err)
{
    if (command->fd >= 0)
        return open_fd(command, err);
    if (!count || count > sizeof command->fds / sizeof *command->fds)
        return error_set(err, CAESURA_EUSAGE, "%zu context files given", count);
    for (size_t i = 0; i < count; i++) {
        int fd = open(files[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return error_errno(err, errno, "cannot open %s", files[i]);
        command->fds[command->n_fds++] = fd;
    }
    if (!command->restore.options.aside && asprintf(&command->aside, "%s.aside", files[0]) > 0)
        command->restore.options.aside = command->aside;
    return 0;
}

static int parse(struct command *command, int argc, char **argv, struct caesura_error *err)
{
    int code, rc = 0;

    command->fd = -1;
    command->restore.options.restore_pid = true;
    opterr = 0;
    while (!rc && (code = getopt_long(argc, argv, "", options, NULL)) != -1)
        rc = parse_option(command, code, err);
    return rc ? rc : open_files(command, argv + optind, (size_t)(argc - optind), err);
}

/* May this process choose pids here? */
static bool may_choose_pids(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};

    if (syscall(SYS_capget, &header, data))
        return false;
    uint64_t effective = data[0].effective | (uint64_t)data[1].effective << 32;
    return effective >> CAP_SYS_ADMIN & 1 || effective >> 40 /* CAP_CHECKPOINT_RESTORE */ & 1;
}

static bool wants_namespace(const struct command *command)
{
    const struct scope *scope = &command->restore.context->scope;

    if (command->pid_namespace == NAMESPACE_AUTO && scope->private_shm)
        return true;
    if (command->pid_namespace != NAMESPACE_AUTO)
        return command->pid_namespace == NAMESPACE_NEW;
    if (scope->kind == CAESURA_SCOPE_JOB || scope->pid_namespace)
        return true;
    return command->restore.options.restore_pid && !may_choose_pids();
}

static int start(void *data, pid_t *root, struct caesura_error *err)
{
    struct command *command = data;
    return restore_build(&command->restore, root, err);
}

static int init_main(int channel, void *data)
{
    return init_run(channel, start, data);
}

static int hook(const char *shell_command)
{
    int status = system(shell_command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int on_started(pid_t root, void *data)
{
    struct command *command = data;
    (void)root;
    return command->hooks.success ? hook(command->hooks.success) : 0;
}

static const char *fail_hook(const struct hooks *hooks, int code)
{
    switch (code) {
    case ENOMEM:
    case EBUSY:
    case EAGAIN:
        return hooks->temp;
    case EACCES:
    case EPERM:
    case ENOENT:
    case EEXIST:
    case EISDIR:
    case ENOTDIR:
        return hooks->env;
    default:
        return hooks->perm;
    }
}

static int fail(const struct command *command, const struct caesura_error *err)
{
    const char *shell_command = fail_hook(&command->hooks, err->code);
    int status = shell_command ? hook(shell_command) : 0;

    if (status)
        return status;
    if (!command->restore.options.quiet) {
        fprintf(stderr, "Restart failed: %s\n", err->message);
        if (err->remedy[0])
            fprintf(stderr, "hint: %s\n", err->remedy);
    }
    return err->code & 0xff;
}

static int32_t pid_max(void)
{
    char *text;
    int32_t most = 0;

    if (!proc_read_system("sys/kernel/pid_max", &text)) {
        most = (int32_t)strtol(text, NULL, 10);
        free(text);
    }
    return most > 0 ? most : 32768; /* the kernel's own default */
}

/* Clocks that go on from where they were; a kernel without time namespaces lets them jump instead. */
static int enter_namespace(struct command *command, struct namespace_child *child, struct caesura_error *err)
{
    const struct scope *scope = &command->restore.context->scope;
    struct namespace_request request = {
        .own_clocks = true,
        .last_pid = restore_last_pid(command->restore.context, pid_max()),
        .own_ipc = command->restore.context->n_sysv > 0,
        .private_shm = scope->private_shm,
        .monotonic_offset_ns = (int64_t)(scope->monotonic_ns - clock_read_ns(CLOCK_MONOTONIC)),
        .boottime_offset_ns = (int64_t)(scope->boottime_ns - clock_read_ns(CLOCK_BOOTTIME)),
    };
    int rc = access("/proc/self/ns/time", F_OK) ? -CAESURA_ENAMESPACE
                                                : namespace_enter(&request, init_main, command, child, err);

    if (rc != -CAESURA_ENAMESPACE)
        return rc;
    request.own_clocks = false;
    rc = namespace_enter(&request, init_main, command, child, err);
    if (!rc)
        restore_note(&command->restore, "no time namespace here: the processes will see CLOCK_MONOTONIC jump");
    return rc;
}

/* The engine's agent, for a job of the store: without Java the job runs on unprotected, whatever else refuses the restart. */
static int start_agent(const struct command *command, struct job_agent *job, struct caesura_error *err)
{
    const char *const arguments[] = {"--restart", command->job, NULL};

    job->request = (struct agent_request){.program = PROGRAM,
                                          .prefix = command->prefix,
                                          .arguments = (char *const *)arguments,
                                          .signals = &command->signals};
    int rc = agent_start(&job->request, &job->agent, err);
    if (!rc)
        rc = agent_await(&job->agent, job->folder, sizeof job->folder, err);
    job->request.arguments = NULL;
    job->runs = !rc;
    if (rc != -CAESURA_EENGINE)
        return rc;
    restore_note(&command->restore, "%s; the job goes on without checkpoints", err->message);
    return 0;
}

static int run(struct command *command, struct job_agent *job, int *wait_status, struct caesura_error *err)
{
    struct supervise_request request = {.program = PROGRAM,
                                        .channel = -1,
                                        .signals = &command->signals,
                                        .agent = job->runs ? &job->agent : NULL,
                                        .prefix = command->prefix,
                                        .folder = job->runs ? job->folder : NULL,
                                        .task = command->is_task ? &command->task : NULL,
                                        .started = on_started,
                                        .data = command};
    struct namespace_child child;
    int rc;

    signals_block();
    if (command->restore.new_namespace) {
        if ((rc = enter_namespace(command, &child, err)))
            return rc;
        request.child = child.pid;
        request.channel = child.channel;
    } else {
        pid_t root;
        if ((rc = restore_build(&command->restore, &root, err)))
            return rc;
        request.child = root;
        /* An orphan then is an orphan now: init has it, and nobody here to wait for it. */
        if (command->restore.context->processes[0].ppid == 1) {
            *wait_status = on_started(root, command) << 8;
            return 0;
        }
    }
    return supervise(&request, wait_status, err);
}

/* A restart, with the agent of the job around it if it is of one. */
static int run_with_agent(struct command *command, int *wait_status, struct caesura_error *err)
{
    static struct job_agent job;
    int rc = command->job ? start_agent(command, &job, err) : 0;

    if (rc)
        return rc;
    rc = run(command, &job, wait_status, err);
    if (job.runs) {
        int status = rc ? CAESURA_EENGINE << 8 : *wait_status;
        agent_ended(&job.agent, status, AGENT_LIMIT_MS);
        if (job.agent.oneshot)
            agent_finish(&job.request, job.folder, status, AGENT_LIMIT_MS);
    } else if (command->is_task && !rc) {
        task_ended(&command->task, wait_status);
    }
    return rc;
}

/* The engine of a batch job knows what comes next: an older context, the start, or the end of this run. */
static int fail_as_task(struct command *command, const struct caesura_error *why)
{
    struct caesura_error err;
    int status = task_restart_failed(&command->task, why, &err);

    if (status >= 0)
        return status;
    fprintf(stderr, "caesura: %s\n", err.message);
    return fail(command, why);
}

int main(int argc, char **argv)
{
    static struct command command;
    struct caesura_error err = {0};
    int status = 0;

    /* With the file capability we would not be dumpable, and could not open our own /proc or attach to our stubs. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    signals_take(&command.signals);
    int rc = jvm_prefix(command.prefix, sizeof command.prefix, &err);
    command.is_task = task_take(&command.task, PROGRAM, command.prefix, &command.signals);
    command.restore.options.is_batch = command.is_task;
    if (!rc)
        rc = parse(&command, argc, argv, &err);
    if (!rc)
        rc = context_source_open(&command.restore.source, command.fds, command.n_fds, true, &err);
    command.restore.context = &command.restore.source.context;
    if (!rc && !command.restore.context->n_processes)
        rc = error_set(&err, CAESURA_EFORMAT, "the context holds no process");
    if (!rc)
        rc = restore_check_cpu(command.restore.context, &err);
    if (!rc && command.pid_namespace == NAMESPACE_CURRENT && command.restore.context->scope.private_shm) {
        rc = error_set(&err, CAESURA_ENAMESPACE,
                       "the processes had a /dev/shm of their own, which needs a new namespace");
        error_hint(&err, "restart with --pid-namespace=new");
    }
    if (!rc) {
        command.restore.new_namespace = wants_namespace(&command);
        if (command.restore.context->scope.kind == CAESURA_SCOPE_JOB)
            command.restore.options.restore_pgid = command.restore.options.restore_sid = true;
        rc = run_with_agent(&command, &status, &err);
    }
    if (rc)
        return command.is_task ? fail_as_task(&command, &err) : fail(&command, &err);
    exit_as(status);
}
