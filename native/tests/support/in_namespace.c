/*
 * in_namespace.c - runs one command as a job runs: in a pid namespace with an init that reaps, and with a /proc of its own.
 *
 *     in_namespace COMMAND [ARGUMENT...]
 *
 * The command leads a session of its own and has pid 1001. Who is not root gets a user namespace too, in which he keeps his
 * uid and gid. Exit status: that of the command, 128 + N if signal N ended it, 125 if this program failed. The namespace
 * ends with the command, and when this program or the one that started it dies.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 125, LAST_PID = 1000 };

static void die(const char *what)
{
    fprintf(stderr, "in_namespace: %s: %s\n", what, strerror(errno));
    _exit(FAILED);
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        die(path);
    close(fd);
}

static int exit_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void enter_namespaces(void)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWPID | CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0)) < 0)
        die("unshare");
    if (uid) {
        snprintf(map, sizeof map, "%u %u 1", uid, uid);
        put("/proc/self/uid_map", map);
        put("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "%u %u 1", gid, gid);
        put("/proc/self/gid_map", map);
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        die("making mounts private");
}

static void run_as_init(char **command)
{
    char text[32];
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        die("PR_SET_PDEATHSIG");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        die("mounting /proc");
    /* As the supervisor of a job mounts it. */
    if (getenv("IN_NAMESPACE_SHM") && mount("caesura-shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0)
        die("mounting /dev/shm");
    snprintf(text, sizeof text, "%d", LAST_PID);
    put("/proc/sys/kernel/ns_last_pid", text);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        if (setsid() < 0)
            die("setsid");
        execvp(command[0], command);
        die(command[0]);
    }
    /* What init itself has open keeps nothing of the job's alive. */
    if (close_range(0, ~0U, 0) < 0)
        _exit(FAILED);
    for (;;) {
        int status;
        pid_t ended = waitpid(-1, &status, __WALL);
        if (ended == pid)
            _exit(exit_status(status));
        if (ended < 0 && errno != EINTR)
            _exit(FAILED);
    }
}

int main(int argc, char **argv)
{
    int status;
    if (argc < 2)
        return FAILED;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        die("PR_SET_PDEATHSIG");
    enter_namespaces();
    pid_t init = fork();
    if (init < 0)
        die("fork");
    if (init == 0)
        run_as_init(argv + 1);
    if (waitpid(init, &status, 0) != init)
        die("waitpid");
    return exit_status(status);
}
