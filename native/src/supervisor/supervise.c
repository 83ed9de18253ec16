#include "supervisor/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "proc/proc.h"
#include "supervisor/channel.h"
#include "supervisor/inherited.h"
#include "supervisor/request.h"
#include "supervisor/terminal.h"

struct supervisor {
    const struct supervise_request *request;
    int signals;      /* signalfd */
    int tty;          /* controlling terminal, or -1 */
    int pidfd;        /* of the root; -1: there is none yet */
    pid_t root;       /* 0: none yet, or not visible from here */
    pid_t root_group; /* last known; for the terminal at the end */
    bool has_root;
    bool stop_requested; /* somebody asked us to stop; we do so when the root has stopped */
    bool root_stopped;   /* as last reported */
    bool reported;       /* status is the root's */
    bool ended;
    int status;
    int failure; /* negated code from pid 1, in *err too */
    struct caesura_error *err;
};

/* ---- the root -------------------------------------------------------------------------------------------------------- */

/* The pid behind a pidfd as seen from here, 0 if there is none. */
static pid_t pidfd_pid(int pidfd)
{
    char path[64], line[128];
    int pid = 0;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Pid: %d", &pid) == 1)
            break;
    fclose(file);
    return pid > 0 ? pid : 0;
}

/* Not an error: the root may have ended, or have become another user by a set-uid program. */
static void signal_root(const struct supervisor *self, int number, siginfo_t *info)
{
    syscall(SYS_pidfd_send_signal, self->pidfd, number, info, 0);
}

static void signal_root_each(const struct supervisor *self, uint64_t numbers)
{
    for (int number = 1; numbers; number++, numbers >>= 1)
        if (numbers & 1)
            signal_root(self, number, NULL);
}

static void signal_root_group(struct supervisor *self, int number)
{
    pid_t group = self->root > 0 ? getpgid(self->root) : -1;

    if (group > 0 && group != getpgrp()) {
        self->root_group = group;
        kill(-group, number);
    } else {
        signal_root(self, number, NULL);
    }
}

/* Whether the root has neither a handler for the signal nor ignores it. */
static bool root_has_default(const struct supervisor *self, int number)
{
    struct proc_status status;

    if (self->root <= 0 || proc_status(self->root, &status) < 0)
        return false;
    return !((status.signals_ignored | status.signals_caught) >> (number - 1) & 1);
}

static int engine_fd(const struct supervisor *self)
{
    const struct supervise_request *request = self->request;

    if (request->task)
        return request->task->agent.fd;
    return request->agent ? request->agent->fd : -1;
}

static int adopt_root(struct supervisor *self, int pidfd)
{
    const struct supervise_request *request = self->request;
    int kept[32], result = 0;
    size_t count = 0;

    self->pidfd = pidfd;
    self->root = request->channel < 0 ? request->child : pidfd_pid(pidfd);
    self->has_root = true;
    if (request->started)
        result = request->started(self->root, request->data);
    if (request->agent)
        agent_started(request->agent, request->child);
    if (request->task)
        task_started(request->task, request->child);
    /* Restored processes come with the groups they had; a new job has taken the terminal by itself. */
    if (terminal_is_other_group(self->root)) {
        self->root_group = getpgid(self->root);
        if (terminal_is_ours(self->tty))
            terminal_give(self->tty, self->root_group);
    }
    inherited_detach(STDOUT_FILENO);
    for (; count < request->keep_count && count < 24; count++)
        kept[count] = request->keep_fds[count];
    const int ours[] = {self->signals, self->tty, self->pidfd, request->channel, engine_fd(self)};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        kept[count++] = ours[i];
    inherited_close(kept, count);
    return result;
}

/* ---- stopping and going on ------------------------------------------------------------------------------------------- */

static bool is_stop_signal(int number)
{
    return number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
}

static void stop_ourselves(struct supervisor *self)
{
    self->stop_requested = false;
    terminal_take_back(self->tty, self->root_group);
    kill(getpid(), SIGSTOP);
}

static void on_root_stopped(struct supervisor *self, int status)
{
    int number = WSTOPSIG(status);
    bool other_group = self->tty >= 0 && terminal_is_other_group(self->root);

    self->root_stopped = true;
    if (other_group)
        self->root_group = getpgid(self->root);
    /* The shell's `fg` gave us the terminal, and the root, which ran on in the background, now asks for it. */
    if (other_group && (number == SIGTTIN || number == SIGTTOU) && terminal_is_ours(self->tty)) {
        terminal_give(self->tty, self->root_group);
        signal_root_group(self, SIGCONT);
        return;
    }
    /* Not whenever the root stops: a scheduler stops and continues all processes of a job one by one, and we would stop
     * ourselves after it had continued us. */
    if (self->stop_requested || other_group)
        stop_ourselves(self);
}

static void on_continue(struct supervisor *self)
{
    self->stop_requested = self->root_stopped = false;
    if (terminal_is_other_group(self->root)) {
        /* What stopped was the group, by the terminal, so the group goes on. */
        if (terminal_is_ours(self->tty))
            terminal_give(self->tty, getpgid(self->root));
        signal_root_group(self, SIGCONT);
    } else {
        signal_root(self, SIGCONT, NULL);
    }
}

/* ---- signals --------------------------------------------------------------------------------------------------------- */

/* A signal from the terminal went to a whole process group, and not to the job if that has one of its own. */
static void on_terminal_signal(struct supervisor *self, int number)
{
    if (is_stop_signal(number))
        self->stop_requested = true;
    /* The signal and the news that it has stopped the root come by two ways, in either order. */
    if (self->stop_requested && self->root_stopped) {
        stop_ourselves(self);
        return;
    }
    if (self->root > 0 && getpgid(self->root) == getpgrp())
        return; /* the root has got it already */
    if (is_stop_signal(number) && root_has_default(self, number))
        signal_root_group(self, SIGSTOP);
    else
        signal_root_group(self, number);
}

static void on_stop_request(struct supervisor *self, int number)
{
    self->stop_requested = true;
    if (self->root_stopped) {
        stop_ourselves(self);
        return;
    }
    /* In an orphaned process group, such as a session of its own in a namespace, the kernel drops the stop signals of
     * terminals; SIGSTOP is what their default comes to. */
    signal_root(self, root_has_default(self, number) ? SIGSTOP : number, NULL);
}

static void forward(struct supervisor *self, const struct signalfd_siginfo *info)
{
    siginfo_t queued = {0};

    if (info->ssi_code != SI_QUEUE) {
        signal_root(self, (int)info->ssi_signo, NULL);
        return;
    }
    queued.si_signo = (int)info->ssi_signo;
    queued.si_code = SI_QUEUE;
    queued.si_pid = getpid();
    queued.si_uid = getuid();
    queued.si_value.sival_ptr = (void *)(uintptr_t)info->ssi_ptr;
    signal_root(self, queued.si_signo, &queued);
}

static bool is_from_terminal(const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;

    return info->ssi_code == SI_KERNEL &&
           (number == SIGINT || number == SIGQUIT || number == SIGHUP || number == SIGWINCH || is_stop_signal(number));
}

/* Before there is a root, signals do what they do to a program that has just begun. */
static void on_early_signal(struct supervisor *self, int number)
{
    struct sigaction action;

    if (number == SIGCONT || number == SIGURG || number == SIGWINCH)
        return;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
        return;
    if (is_stop_signal(number)) {
        kill(getpid(), SIGSTOP);
        return;
    }
    kill(self->request->child, SIGKILL);
    self->status = number; /* the wait status of a process that a signal ended */
    self->reported = true;
}

static void on_signal(struct supervisor *self, const struct signalfd_siginfo *info)
{
    pid_t sender = (pid_t)info->ssi_pid;
    int number = (int)info->ssi_signo;

    if (number == SIGCHLD)
        return; /* children are reaped on every turn */
    /* SIGPIPE of our own writes; and what the root sends to its whole group or to us must not go round in circles. */
    if (info->ssi_code <= 0 && (sender == getpid() || (self->root > 0 && sender == self->root)))
        return;
    if (!self->has_root)
        on_early_signal(self, number);
    else if (self->request->task && task_watches(self->request->task, number) &&
             task_event(self->request->task, number))
        return;
    else if (is_from_terminal(info))
        on_terminal_signal(self, number);
    else if (is_stop_signal(number))
        on_stop_request(self, number);
    else if (number == SIGCONT)
        on_continue(self);
    else
        forward(self, info);
}

static void read_signals(struct supervisor *self)
{
    struct signalfd_siginfo info;

    while (read(self->signals, &info, sizeof info) == sizeof info)
        on_signal(self, &info);
}

/* ---- what the children do ------------------------------------------------------------------------------------------- */

/* Returns a started callback's wish to end, else 0. */
static int read_channel(struct supervisor *self)
{
    struct channel_message message;
    int passed, wish = 0;

    while (wish == 0 && channel_receive(self->request->channel, false, &message, &passed) == 1) {
        switch (message.kind) {
        case CHANNEL_ROOT:
            if (passed >= 0 && !self->has_root) {
                wish = adopt_root(self, passed);
                passed = -1;
            }
            break;
        case CHANNEL_STOPPED:
            on_root_stopped(self, message.value);
            break;
        case CHANNEL_CONTINUED:
            self->root_stopped = false;
            break;
        case CHANNEL_ENDED:
            if (!self->reported)
                self->status = message.value;
            self->reported = true;
            break;
        case CHANNEL_REQUEST:
            if (self->request->task)
                task_event(self->request->task, SIGURG);
            else if (self->request->agent && self->request->folder)
                request_checkpoint(self->request);
            break;
        case CHANNEL_FAILED:
            if (!self->failure && self->err)
                *self->err = message.error;
            self->failure = -message.value;
            break;
        default:
            break;
        }
        if (passed >= 0)
            close(passed);
    }
    return wish;
}

static int on_child_ended(struct supervisor *self, int status)
{
    int wish = 0;

    /* The last messages of pid 1 may still be there. */
    if (self->request->channel >= 0) {
        wish = read_channel(self);
        if (!self->reported && !self->failure && WIFSIGNALED(status))
            fprintf(stderr, "%s: the job's init was killed by signal %d, and the job with it\n", self->request->program,
                    WTERMSIG(status));
    }
    if (!self->reported)
        self->status = status;
    self->ended = true;
    return wish;
}

static int reap_children(struct supervisor *self)
{
    const struct supervise_request *request = self->request;
    int status, wish = 0;
    pid_t pid;

    while (wish == 0 && (pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
        bool lives = WIFSTOPPED(status) || WIFCONTINUED(status);
        if (request->agent && pid == request->agent->pid && !lives)
            agent_reaped(request->agent, status);
        if (request->task && pid == request->task->agent.pid && !lives)
            signal_root_each(self, task_engine_ended(request->task, status));
        if (pid != request->child)
            continue;
        if (!lives)
            wish = on_child_ended(self, status);
        else if (request->channel < 0 && WIFCONTINUED(status))
            self->root_stopped = false;
        else if (request->channel < 0)
            on_root_stopped(self, status);
    }
    return wish;
}

/* ---- the loop -------------------------------------------------------------------------------------------------------- */

/* One wait and what it brought. Returns a started callback's wish to end, or a negated errno. */
static int turn(struct supervisor *self)
{
    struct agent *agent = self->request->agent;
    struct batch_task *task = self->request->task;
    struct pollfd entries[3] = {{.fd = self->signals, .events = POLLIN},
                                {.fd = self->request->channel, .events = POLLIN},
                                {.fd = engine_fd(self), .events = POLLIN}};
    int wish = 0;

    if (poll(entries, 3, task ? task_timeout_ms(task) : -1) < 0)
        return errno == EINTR ? 0 : -errno;
    if (entries[2].revents && task)
        signal_root_each(self, task_read(task));
    else if (entries[2].revents)
        agent_read(agent);
    if (task)
        task_wake(task);
    if (entries[1].revents)
        wish = read_channel(self);
    /* A hung-up channel would keep poll() from ever waiting; the end of pid 1 comes by SIGCHLD. */
    if (entries[1].revents & POLLHUP && wish == 0)
        while (!self->ended && waitid(P_PID, (id_t)self->request->child, &(siginfo_t){0}, WEXITED | WNOWAIT) < 0)
            if (errno != EINTR)
                return -errno;
    read_signals(self);
    return wish != 0 ? wish : reap_children(self);
}

int supervise(const struct supervise_request *request, int *wait_status, struct caesura_error *err)
{
    struct supervisor self = {.request = request, .signals = -1, .tty = -1, .pidfd = -1, .err = err};
    sigset_t all;
    int result = 0;

    sigfillset(&all);
    self.signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (self.signals < 0)
        return error_errno(err, errno, "cannot make a descriptor for signals");
    self.tty = terminal_open();
    if (request->channel < 0) {
        int pidfd = (int)syscall(SYS_pidfd_open, request->child, 0);
        result = pidfd < 0 ? error_errno(err, errno, "cannot supervise process %d", (int)request->child)
                           : adopt_root(&self, pidfd);
    }
    while (result == 0 && !self.ended)
        result = turn(&self);
    if (result == 0)
        result = self.failure;
    else if (result < 0)
        error_errno(err, -result, "cannot wait for the job");
    else {
        self.status = result << 8; /* the wait status of a process that exited with result */
        result = 0;
    }
    terminal_take_back(self.tty, self.root_group);
    const int own[] = {self.signals, self.tty, self.pidfd, request->channel};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (own[i] >= 0)
            close(own[i]);
    *wait_status = self.status;
    return result;
}
