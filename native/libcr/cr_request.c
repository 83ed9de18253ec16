/*
 * cr_request.c - libexec/caesura/cr-request: what libcr starts to run cr_checkpoint or cr_restart for a program.
 *
 *     cr-request checkpoint STATUS FD PROGRAM [ARGUMENT...]
 *     cr-request restart STATUS FD PROGRAM [ARGUMENT...]
 *
 * checkpoint: leaves the requester's tree, group and session, so that it is no part of what it asks for, runs PROGRAM with
 * STATUS.log as stderr, and at the end writes the exit status and a newline to STATUS. restart: becomes PROGRAM. An ARGUMENT
 * "%" is replaced by FD's number, which may have changed; all other descriptors of the requester are closed, for
 * `restart` all above stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 211, FIRST_KEPT = 10 };

/* Closes all from `first` on but keep. */
static void close_others(int first, int keep)
{
    long limit = sysconf(_SC_OPEN_MAX);

    if (keep < first)
        keep = first - 1;
    for (int fd = first; fd < keep; fd++)
        close(fd);
    if (syscall(SYS_close_range, (unsigned)keep + 1, ~0u, 0) < 0)
        for (int fd = keep + 1; fd < limit; fd++)
            close(fd);
}

static int write_status(const char *path, int status)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%d\n", status);
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 && write(fd, text, (size_t)length) == length ? 0 : FAILED;
}

/* Exit status as the shell tells it. */
static int run(const char *log, char **argv)
{
    int status, error = open(log, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    pid_t pid = error < 0 ? -1 : fork();

    if (pid == 0) {
        dup2(error, STDERR_FILENO);
        execv(argv[0], argv);
        dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
        _exit(FAILED);
    }
    if (pid < 0)
        return FAILED;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 0; /* as a restarted copy we have no child; the checkpoint was taken */
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int checkpoint(const char *status_path, int keep, char **argv)
{
    char log[4096];

    /* Twice: the first child takes us out of the group and session, its end out of the tree. */
    pid_t pid = fork();
    if (pid)
        return pid < 0 ? FAILED : 0;
    setsid();
    close_others(0, keep);
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (open("/dev/null", O_RDWR) < 0)
            return FAILED;
    snprintf(log, sizeof log, "%s.log", status_path);
    return write_status(status_path, run(log, argv));
}

int main(int argc, char **argv)
{
    static char number[16];
    sigset_t none;

    if (argc < 5)
        return FAILED;
    int keep = atoi(argv[3]);
    if (keep >= 0 && keep < FIRST_KEPT && (keep = fcntl(keep, F_DUPFD, FIRST_KEPT)) < 0)
        return FAILED;
    snprintf(number, sizeof number, "%d", keep);
    for (int i = 4; i < argc; i++)
        if (!strcmp(argv[i], "%"))
            argv[i] = number;
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!strcmp(argv[1], "checkpoint"))
        return checkpoint(argv[2], keep, argv + 4);
    close_others(STDERR_FILENO + 1, keep);
    execv(argv[4], argv + 4);
    return FAILED;
}
