#include "supervisor/agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "jvm/jvm.h"
#include "supervisor/inherited.h"

enum { FIRST_LINE = 4096, LONGEST_LINE = 4 << 20 };

/* Some schedulers send SIGTERM to every process of a job, and the agent is one; it must live to save the others. */
static int end_signal(const struct agent_request *request)
{
    return request->is_of_task ? SIGINT : SIGTERM;
}

/* fd is the agent's end of its socket, or -1. */
static void run_agent(const struct agent_request *request, const struct jvm *jvm, pid_t parent, int fd)
{
    struct jvm_call call = {.jvm = jvm,
                            .prefix = request->prefix,
                            .command = "agent",
                            .arguments = request->arguments,
                            .fd_variable = fd >= 0 ? JVM_AGENT_FD : NULL,
                            .fd = fd,
                            .launcher = parent};
    struct caesura_error err;

    /* Not SIGKILL: a checkpoint under way is to take its half-written files away. */
    prctl(PR_SET_PDEATHSIG, end_signal(request));
    if (request->is_of_task) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_IGN);
    }
    if (getppid() != parent)
        _exit(1);
    setpgid(0, 0);
    /* In a background group a message to a terminal with `stty tostop` would stop the agent. */
    signal(SIGTTOU, SIG_IGN);
    signal(SIGTTIN, SIG_IGN);
    sigprocmask(SIG_SETMASK, &request->signals->mask, NULL);
    inherited_detach(STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO); /* stdout is the job's */
    inherited_close(&fd, 1);
    jvm_exec(&call, &err);
    fprintf(stderr, "%s: %s (%s)\n", request->program, err.message, err.remedy);
    _exit(CAESURA_EENGINE);
}

int agent_start(const struct agent_request *request, struct agent *agent, struct caesura_error *err)
{
    struct jvm jvm;
    int ends[2];
    int result = jvm_find(&jvm, err);

    if (result < 0)
        return result;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return error_errno(err, errno, "cannot make a socket pair for the engine");
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        run_agent(request, &jvm, parent, ends[1]);
    }
    int reason = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return error_errno(err, reason, "cannot fork for the engine");
    }
    memset(agent, 0, sizeof *agent);
    agent->program = request->program;
    agent->pid = pid;
    agent->fd = ends[0];
    agent->end_signal = end_signal(request);
    return 0;
}

void agent_close(struct agent *agent)
{
    if (agent->fd >= 0)
        close(agent->fd);
    agent->fd = -1;
    free(agent->received);
    agent->received = NULL;
    agent->start = agent->used = agent->capacity = 0;
}

bool agent_take(struct agent *agent, char **line)
{
    char *from = agent->received + agent->start;
    char *end = agent->used > agent->start ? memchr(from, '\n', agent->used - agent->start) : NULL;

    if (!end)
        return false;
    *end = '\0';
    *line = from;
    agent->start += (size_t)(end + 1 - from);
    return true;
}

/* Makes place for more. False if a line gets longer than any that the engine has reason to write. */
static bool make_room(struct agent *agent)
{
    if (agent->start > 0) {
        memmove(agent->received, agent->received + agent->start, agent->used - agent->start);
        agent->used -= agent->start;
        agent->start = 0;
    }
    if (agent->used < agent->capacity)
        return true;
    size_t capacity = agent->capacity ? agent->capacity * 2 : FIRST_LINE;
    char *grown = capacity <= LONGEST_LINE ? realloc(agent->received, capacity) : NULL;
    if (!grown)
        return false;
    agent->received = grown;
    agent->capacity = capacity;
    return true;
}

static bool fill(struct agent *agent, int flags)
{
    ssize_t size;

    if (!make_room(agent))
        return false;
    do
        size = recv(agent->fd, agent->received + agent->used, agent->capacity - agent->used, flags);
    while (size < 0 && errno == EINTR);
    if (size < 0 && errno == EAGAIN)
        return true;
    if (size <= 0)
        return false;
    agent->used += (size_t)size;
    return true;
}

bool agent_fill(struct agent *agent)
{
    return fill(agent, MSG_DONTWAIT);
}

/* Ends the agent, whose word is not worth waiting for, and says how it went. */
static int give_up(struct agent *agent, struct caesura_error *err)
{
    int status = 0;

    agent_close(agent);
    kill(agent->pid, agent->end_signal);
    while (waitpid(agent->pid, &status, 0) < 0 && errno == EINTR)
        ;
    agent->pid = 0;
    if (WIFSIGNALED(status))
        error_set(err, CAESURA_EENGINE, "the engine was killed by signal %d before the job was started",
                  WTERMSIG(status));
    else
        error_set(err, CAESURA_EENGINE, "the engine ended with status %d before the job was started",
                  WEXITSTATUS(status));
    return error_hint(err, "look at the lines above; without --checkpoint the job runs unprotected");
}

/* `error CODE TEXT`. */
static int refused(struct agent *agent, const char *rest, struct caesura_error *err)
{
    struct caesura_error unused;
    char *text;
    long code = strtol(rest, &text, 10);

    give_up(agent, &unused);
    if (text == rest || code < 1 || code > 255)
        return error_set(err, CAESURA_EENGINE, "the engine refused the job: %s", rest);
    error_set(err, (int)code, "%s", text + strspn(text, " "));
    return error_hint(err, "%s", ""); /* the engine's text says what to do; the table's remedy may not fit it */
}

int agent_next(struct agent *agent, char **line, struct caesura_error *err)
{
    while (!agent_take(agent, line))
        if (!fill(agent, 0))
            return give_up(agent, err);
    if (strncmp(*line, "error ", 6) == 0)
        return refused(agent, *line + 6, err);
    return 0;
}

int agent_await(struct agent *agent, char *folder, size_t size, struct caesura_error *err)
{
    char *line = NULL;
    int result;

    while ((result = agent_next(agent, &line, err)) == 0 && line) {
        if (strncmp(line, "job ", 4) == 0 && strlen(line + 4) < size) {
            strcpy(folder, line + 4);
            break;
        }
        if (strcmp(line, "oneshot") == 0)
            agent->oneshot = true;
    }
    return result;
}

bool agent_say(struct agent *agent, const char *fmt, ...)
{
    char *line = NULL;
    va_list args;

    if (agent->fd < 0)
        return false;
    va_start(args, fmt);
    int size = vasprintf(&line, fmt, args);
    va_end(args);
    if (size < 0)
        return false;
    for (char *at = strchr(line, '\n'); at && at[1]; at = strchr(at, '\n')) /* one line it stays */
        *at = ' ';
    bool said = send(agent->fd, line, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT) == size;
    free(line);
    return said;
}

void agent_started(struct agent *agent, pid_t init)
{
    agent_say(agent, "started %d\n", (int)init);
}

void agent_read(struct agent *agent)
{
    bool open = agent_fill(agent);
    char *line;

    while (agent_take(agent, &line))
        if (strcmp(line, "oneshot") == 0)
            agent->oneshot = true;
    if (!open)
        agent_close(agent);
}

void agent_reaped(struct agent *agent, int wait_status)
{
    /* Its last word may still be unread. */
    if (agent->fd >= 0)
        agent_read(agent);
    agent_close(agent);
    agent->pid = 0;
    if (agent->oneshot)
        return;
    if (WIFSIGNALED(wait_status))
        fprintf(stderr, "caesura: the engine was killed by signal %d; the job runs on without checkpoints\n",
                WTERMSIG(wait_status));
    else
        fprintf(stderr, "caesura: the engine ended with status %d; the job runs on without checkpoints\n",
                WEXITSTATUS(wait_status));
}

/* Waits for the engine to end, but not for ever: the job's own end must get through. */
static void wait_for_end(pid_t pid, int signal_to_end, int limit_ms)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd entry = {.fd = pidfd, .events = POLLIN};

    if (pidfd >= 0 && poll(&entry, 1, limit_ms) == 0)
        fprintf(stderr, "caesura: the engine does not come to its end; it is told to\n");
    kill(pid, signal_to_end);
    waitpid(pid, NULL, WNOHANG);
    if (pidfd >= 0)
        close(pidfd);
}

void agent_wait(struct agent *agent, int limit_ms)
{
    if (agent->pid > 0)
        wait_for_end(agent->pid, agent->end_signal, limit_ms);
    agent->pid = 0;
}

void agent_ended(struct agent *agent, int wait_status, int limit_ms)
{
    agent_say(agent, "ended %d\n", wait_status);
    agent_wait(agent, limit_ms);
    if (agent->fd >= 0)
        agent_read(agent); /* a job may be over before its agent has said oneshot */
    agent_close(agent);
}

void agent_finish(const struct agent_request *request, const char *folder, int wait_status, int limit_ms)
{
    struct caesura_error err;
    struct jvm jvm;
    char status[16];

    snprintf(status, sizeof status, "%d", wait_status);
    const char *const arguments[] = {"--finish", status, "--restart", folder, NULL};
    struct agent_request finish = *request;
    finish.arguments = (char *const *)arguments;
    if (jvm_find(&jvm, &err) < 0) {
        fprintf(stderr, "%s: %s\n", request->program, err.message);
        return;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        run_agent(&finish, &jvm, parent, -1);
    if (pid > 0)
        wait_for_end(pid, end_signal(request), limit_ms);
}
