/*
 * task.h - cr_run and cr-restore as the task of a batch job: what happens to the job becomes an event for the engine, and what
 * the engine decides is carried out. docs/architecture.md, "A job of a batch system", has the variables and the lines.
 *
 * The engine stays where the policy has a timer; else it is started when something happens, and ends when that is done. An
 * event that the engine leaves unanswered when it dies has its usual effect: the signal goes to the job's root.
 * Thread rule: for single-threaded programs.
 */
#ifndef CAESURA_SUPERVISOR_TASK_H
#define CAESURA_SUPERVISOR_TASK_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "caesura.h"
#include "supervisor/agent.h"
#include "supervisor/signals.h"

struct batch_task {
    const char *program;                /**< name of the calling program, for messages */
    const char *prefix;                 /**< the installed tree */
    const struct signal_state *signals; /**< from signals_take() */
    char *scheduler, *command, *spec, *key;
    char *refusal;     /**< why the plugin or hook could not protect the job, for its user; NULL: it could */
    bool resident;     /**< the policy has a timer */
    int64_t restarts;  /**< how often the scheduler has started the job again */
    int64_t limit_s;   /**< when the job's time is up, in seconds since 1970; 0: not known */
    int64_t warning_s; /**< so many seconds before that the policy wants to act; 0: never */
    struct agent agent;
    uint64_t watched; /**< bit N - 1: signal N is an event */
    uint64_t
        unanswered;  /**< bit N: the engine was told of signal N, or of a wake-up (0), and has not said what to do */
    int64_t wake_ns; /**< CLOCK_BOOTTIME; 0: no wake-up is due */
    pid_t init;      /**< of the running job; 0: it does not run yet */
    bool begun;      /**< an engine has served this run, so the job may have a folder */
    bool refused;    /**< the engine that runs has said that it cannot serve the job */
    bool ends;       /**< the engine has ended the job, with end_status */
    int end_status;
    char *const *arguments; /**< of the command, if they are known here; not owned */
    char restarts_text[24];
    char folder[PATH_MAX];
};

/**
 * Takes the variables of the contract out of the environment. Returns whether this process is the task of a batch job; then
 * what is in task is the caller's for the life of the process. program and prefix are not copied.
 */
bool task_take(struct batch_task *task, const char *program, const char *prefix, const struct signal_state *signals);

/**
 * Asks the engine, if need be, whether the job begins or goes on; arguments are those of the job's command, for a restart
 * from the start. Becomes cr-restore if the job goes on. Returns 0 if the job is to begin; 1 if the run is over, with its exit
 * status in *status; or a negated code if there is no engine, or it refuses the job.
 */
int task_begin(struct batch_task *task, char *const *arguments, int *status, struct caesura_error *err);

/**
 * Tells the engine that the restart failed and does what it says: becomes cr-restore with an older context, or cr_run, or
 * returns the exit status of a run that is over. A negated code: there is no engine to ask.
 */
int task_restart_failed(struct batch_task *task, const struct caesura_error *why, struct caesura_error *err);

/** The job runs; init is its init as we see it. */
void task_started(struct batch_task *task, pid_t init);

/** Whether a signal is an event. */
bool task_watches(const struct batch_task *task, int number);

/** Passes an event on to the engine, which is started if it is not there. Returns false if it cannot be told. */
bool task_event(struct batch_task *task, int number);

/** Reads what the engine says; call it when task->agent.fd is readable. Returns the signals that the root is to get. */
uint64_t task_read(struct batch_task *task);

/** The engine has been reaped. Returns the signals that the root is to get. */
uint64_t task_engine_ended(struct batch_task *task, int wait_status);

/** How long poll() may wait for the next wake-up, in milliseconds; -1: for ever. */
int task_timeout_ms(const struct batch_task *task);

/** Tells the engine of a wake-up that is due. */
void task_wake(struct batch_task *task);

/** The job has ended with *wait_status, which becomes what the scheduler is to see. Waits for the engine, but not for ever. */
void task_ended(struct batch_task *task, int *wait_status);

#endif
