/*
 * agent.h - the engine's agent beside a job: the lines of docs/architecture.md, "A job of the local scheduler".
 *
 * The agent is a child of the supervisor, outside of the job's namespaces, in a process group of its own so that ^C at the
 * terminal ends the job and not its protection first. It gets SIGTERM (of a batch job's task SIGINT) when the supervisor dies.
 * Its end never ends the job.
 */
#ifndef CAESURA_SUPERVISOR_AGENT_H
#define CAESURA_SUPERVISOR_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "caesura.h"
#include "supervisor/signals.h"

struct agent {
    const char *program; /**< name of the calling program, for messages; not owned */
    pid_t pid;           /**< 0 when it has been reaped */
    int end_signal;      /**< what ends it in an orderly way */
    int fd;              /**< our end of its socket, close-on-exec; -1 when there is nothing more to read */
    bool oneshot;        /**< it said that it would end, so its end is no failure */
    char *received;      /**< bytes from start to used are what was read and not yet taken; freed by agent_close() */
    size_t start, used, capacity;
};

struct agent_request {
    const char *program;
    const char *prefix;                 /**< the installed tree */
    char *const *arguments;             /**< of the agent, NULL-terminated: --spec SPEC ... */
    const struct signal_state *signals; /**< from signals_take() */
    bool is_of_task;                    /**< a scheduler may send SIGTERM to all processes: it is ignored */
};

/** An agent that does not run. */
#define AGENT_NONE ((struct agent){.fd = -1})

/** Starts the agent. Returns 0 or a negated code: EENGINE if there is no Java, or an errno. */
int agent_start(const struct agent_request *request, struct agent *agent, struct caesura_error *err);

/**
 * Waits for the agent's word; signals still have their usual effect meanwhile. Returns 0 with the job's folder, or a negated
 * code: that of an `error` line, EENGINE if the agent ended or spoke nonsense. After a failure the agent is gone.
 */
int agent_await(struct agent *agent, char *folder, size_t size, struct caesura_error *err);

/**
 * Waits for the agent's next line, which is valid until the next call. Returns 0, or a negated code if the agent ended or
 * spoke nonsense; then it is gone.
 */
int agent_next(struct agent *agent, char **line, struct caesura_error *err);

/** Reads what has come without waiting. Returns false when there is nothing more to come. */
bool agent_fill(struct agent *agent);

/** Takes the first whole line out of what was read; it is valid until the next agent_fill(). */
bool agent_take(struct agent *agent, char **line);

/**
 * Sends a line, without waiting: an agent that does not read must not hold the job up. Returns whether it was sent. What an
 * agent that is gone has said before can still be read.
 */
bool agent_say(struct agent *agent, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Ends the conversation. The agent, which sees its end, is not waited for. */
void agent_close(struct agent *agent);

/** Waits for the agent to end, but not longer than limit_ms; then it is told to. */
void agent_wait(struct agent *agent, int limit_ms);

/** Tells the agent that the job runs; init is the pid of its init as we see it: the job is what is below that. */
void agent_started(struct agent *agent, pid_t init);

/** Reads what has come; call it when agent->fd is readable. */
void agent_read(struct agent *agent);

/** The caller has reaped the agent with wait_status. Says on stderr that the job is unprotected if that is so. */
void agent_reaped(struct agent *agent, int wait_status);

/**
 * Tells the agent how the job ended and gives it up to limit_ms to put things in order. Closes agent->fd. If agent->oneshot is
 * true afterwards, agent_finish() has to follow.
 */
void agent_ended(struct agent *agent, int wait_status, int limit_ms);

/**
 * For the agent that was oneshot, and so is not there to be told: starts the engine once more, to put the job's folder in
 * order by its policy, and waits up to limit_ms. The arguments in request are not used.
 */
void agent_finish(const struct agent_request *request, const char *folder, int wait_status, int limit_ms);

#endif
