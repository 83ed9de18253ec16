/*
 * terminal.h - which process group a job gets, and who has the terminal.
 *
 * In a pid namespace a process group or session from outside shows as 0, which programs that send signals to groups take
 * badly. So a batch job (no controlling terminal) gets a session of its own. With a terminal the session has to stay, and a
 * group of its own is right only if the job is what the user looks at: in `cr_run x | less` less needs the terminal too.
 */
#ifndef CAESURA_SUPERVISOR_TERMINAL_H
#define CAESURA_SUPERVISOR_TERMINAL_H

#include <stdbool.h>
#include <sys/types.h>

enum job_place {
    JOB_IN_OUR_GROUP, /**< the supervisor's own process group and session */
    JOB_OWN_GROUP,    /**< a new group in our session; takes the terminal if we have it */
    JOB_OWN_SESSION,
};

/** Where a new job belongs. */
enum job_place terminal_place(bool in_namespace);

/** The controlling terminal, close-on-exec and the caller's; -1 if there is none. */
int terminal_open(void);

/** Whether our process group has the terminal. */
bool terminal_is_ours(int tty);

/** Hands the terminal to group. SIGTTOU has to be blocked. */
void terminal_give(int tty, pid_t group);

/** Takes the terminal back, but only from group or from a group that is gone. SIGTTOU has to be blocked. */
void terminal_take_back(int tty, pid_t group);

/** Whether pid is in another process group of our own session. */
bool terminal_is_other_group(pid_t pid);

#endif
