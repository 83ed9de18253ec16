/*
 * jvm.h - finding Java and becoming the engine. Used by the launcher and by the supervisor, which starts the engine's agent.
 *
 * Thread rule: for single-threaded programs (the environment is read).
 */
#ifndef CAESURA_JVM_JVM_H
#define CAESURA_JVM_JVM_H

#include <limits.h>
#include <sys/types.h>

#include "caesura.h"

/** Environment variables that tell the engine which descriptor to talk on. */
#define JVM_PLAN_FD "CAESURA_PLAN_FD"
#define JVM_AGENT_FD "CAESURA_AGENT_FD"

enum { JVM_OLDEST = 17 };

struct jvm {
    char java[PATH_MAX];
    int version; /**< 17 and so on; 0: java did not come with a `release` file that says */
};

struct jvm_call {
    const struct jvm *jvm;
    const char *prefix;      /**< the installed tree */
    const char *command;     /**< first argument of the engine: cr_checkpoint, agent ... */
    char *const *arguments;  /**< the rest, NULL-terminated */
    const char *fd_variable; /**< JVM_PLAN_FD or JVM_AGENT_FD; NULL: no descriptor */
    int fd;                  /**< what the variable will say. It is moved to a high number that was free; see below */
    pid_t launcher;          /**< for CAESURA_LAUNCHER_PID */
};

/**
 * The installed tree that the running program belongs to, from /proc/self/exe: the parent of bin or of libexec/caesura.
 * Returns 0 or a negated code.
 */
int jvm_prefix(char *prefix, size_t size, struct caesura_error *err);

/**
 * Looks for java: JAVA_HOME/bin, PATH, /usr/lib/jvm/?*. One that is too old is passed over, for a job may need an old Java for
 * itself. Returns 0 or -EENGINE; the message then names what was found.
 */
int jvm_find(struct jvm *jvm, struct caesura_error *err);

/**
 * Becomes the engine. call->fd is given to it under a number that collides with no descriptor that is open, nor with the low
 * ones that users name (-F 3). Returns a negated code if it cannot be executed; never returns otherwise.
 */
int jvm_exec(const struct jvm_call *call, struct caesura_error *err);

#endif
