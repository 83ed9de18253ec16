/*
 * isolate.c - runs one command so that nothing of it can outlive it, and with a time limit.
 *
 *     isolate [-t SECONDS] [-u UID:GID] COMMAND [ARGUMENT...]
 *
 * Where permitted (root) the command gets a pid namespace with a /proc of its own, whose init this program is; elsewhere
 * this program is the subreaper of all that the command leaves behind. The command gets a session of its own and /dev/null
 * as stdin. Exit status: that of the command, 128 + N if signal N ended it, 124 if the time ran out, 125 if this program
 * failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMED_OUT = 124, FAILED = 125 };

struct options {
    unsigned seconds;
    bool change_user;
    unsigned uid, gid;
    char **command;
};

static void die(const char *what)
{
    fprintf(stderr, "isolate: %s: %s\n", what, strerror(errno));
    _exit(FAILED);
}

static int status_of(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

static void become_command(const struct options *options)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        die("/dev/null");
    if (setsid() < 0)
        die("setsid");
    if (options->change_user && (setgroups(0, NULL) < 0 || setresgid(options->gid, options->gid, options->gid) < 0 ||
                                 setresuid(options->uid, options->uid, options->uid) < 0))
        die("changing the user");
    /* A shell ignores SIGINT and SIGQUIT for what it runs in the background, and a test is to see the same everywhere. */
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvp(options->command[0], options->command);
    die(options->command[0]);
}

static pid_t start_command(const struct options *options)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        become_command(options);
    return pid;
}

/* Reaps all that ends until child does. */
static int reap_until(pid_t child)
{
    for (;;) {
        int wait_status;
        pid_t pid = waitpid(-1, &wait_status, __WALL);
        if (pid < 0 && errno != EINTR)
            die("waitpid");
        if (pid == child)
            return status_of(wait_status);
    }
}

/* Init of the namespace: the kernel kills whatever is left in it when this process ends. */
static void run_as_init(const struct options *options)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        die("PR_SET_PDEATHSIG");
    /* Not shared with the parent, which needs the outer /proc to the end. */
    if (unshare(CLONE_NEWNS) < 0)
        die("a mount namespace");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        die("making mounts private");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        die("mounting /proc");
    _exit(reap_until(start_command(options)));
}

/* Waits for child with the limit; signals are blocked, SIGCHLD among them. False if the time ran out. */
static bool wait_limited(pid_t child, unsigned seconds, const sigset_t *signals, int *status)
{
    if (seconds)
        alarm(seconds);
    for (;;) {
        int wait_status;
        pid_t pid;
        while ((pid = waitpid(-1, &wait_status, WNOHANG | __WALL)) > 0) {
            if (pid == child) {
                *status = status_of(wait_status);
                return true;
            }
        }
        int number = sigwaitinfo(signals, NULL);
        if (number == SIGALRM)
            return false;
        if (number == SIGTERM || number == SIGINT || number == SIGHUP) {
            *status = 128 + number;
            return true;
        }
    }
}

/*
 * Kills the children, and what becomes our child because its parent died of that, until nothing is left. The list is the
 * kernel's own, so only what this program is the ancestor of is ever hit.
 */
static void kill_descendants(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    for (;;) {
        FILE *list = fopen(path, "re");
        int pid;
        if (!list)
            die(path);
        while (fscanf(list, "%d", &pid) == 1)
            kill(pid, SIGKILL);
        fclose(list);
        if (waitpid(-1, NULL, __WALL) < 0 && errno == ECHILD)
            return;
    }
}

static struct options parse(int argc, char **argv)
{
    struct options options = {.seconds = 0};
    int letter;
    while ((letter = getopt(argc, argv, "+t:u:")) != -1) {
        if (letter == 't') {
            options.seconds = (unsigned)strtoul(optarg, NULL, 10);
        } else if (letter == 'u' && sscanf(optarg, "%u:%u", &options.uid, &options.gid) == 2) {
            options.change_user = true;
        } else {
            fprintf(stderr, "usage: isolate [-t SECONDS] [-u UID:GID] COMMAND [ARGUMENT...]\n");
            _exit(FAILED);
        }
    }
    options.command = argv + optind;
    if (!*options.command)
        _exit(FAILED);
    return options;
}

int main(int argc, char **argv)
{
    struct options options = parse(argc, argv);
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGALRM);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
        die("sigprocmask");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        die("PR_SET_CHILD_SUBREAPER");

    pid_t child;
    if (unshare(CLONE_NEWPID) == 0) {
        child = fork();
        if (child < 0)
            die("fork");
        if (child == 0)
            run_as_init(&options);
    } else {
        child = start_command(&options);
    }

    int status = FAILED;
    if (!wait_limited(child, options.seconds, &signals, &status)) {
        fprintf(stderr, "isolate: no end after %u s, killed\n", options.seconds);
        status = TIMED_OUT;
    }
    kill_descendants();
    return status;
}
