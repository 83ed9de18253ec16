#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/error.h"

#define REAP_PAUSE_NS 5000000

struct stream {
    int fd;
    char *text;
    size_t room; /* less one for NUL */
    size_t used;
};

/* Milliseconds left, 0 when the deadline (ns) is over. */
static int left_ms(uint64_t deadline)
{
    uint64_t now = clock_read_ns(CLOCK_MONOTONIC);
    return now >= deadline ? 0 : (int)((deadline - now) / 1000000) + 1;
}

/* Takes what is there; closes the stream at its end. */
static void stream_read(struct stream *stream)
{
    char rest[512];
    size_t room = stream->room - stream->used;
    ssize_t got = room ? read(stream->fd, stream->text + stream->used, room) : read(stream->fd, rest, sizeof rest);

    if (got < 0 && errno == EINTR)
        return;
    if (got > 0) {
        stream->used += room ? (size_t)got : 0;
        stream->text[stream->used] = '\0';
        return;
    }
    close(stream->fd);
    stream->fd = -1;
}

/* Reads both streams to their ends. Returns false when the deadline passes. */
static bool streams_read(struct stream streams[2], uint64_t deadline)
{
    while (streams[0].fd >= 0 || streams[1].fd >= 0) {
        struct pollfd wanted[2] = {{.fd = streams[0].fd, .events = POLLIN}, {.fd = streams[1].fd, .events = POLLIN}};
        int timeout = left_ms(deadline);
        if (timeout == 0)
            return false;
        if (poll(wanted, 2, timeout) < 0)
            continue; /* EINTR */
        for (int i = 0; i < 2; i++)
            if (streams[i].fd >= 0 && wanted[i].revents)
                stream_read(&streams[i]);
    }
    return true;
}

/* A short pause between looks: pidfds are younger than some login nodes' kernels. Returns 0, or a negated errno. */
static int reap(pid_t pid, uint64_t deadline, int *status)
{
    const struct timespec pause = {.tv_nsec = REAP_PAUSE_NS};

    for (;;) {
        pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid)
            return 0;
        if (got < 0 && errno != EINTR)
            return -errno;
        if (left_ms(deadline) == 0)
            return -ETIMEDOUT;
        nanosleep(&pause, NULL);
    }
}

/* Returns 0 or a positive errno, as posix_spawn does. */
static int start(char *const argv[], char *const envp[], int out, int err, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int result = posix_spawn_file_actions_init(&files);

    if (result != 0)
        return result;
    result = posix_spawnattr_init(&attributes);
    if (result != 0) {
        posix_spawn_file_actions_destroy(&files);
        return result;
    }
    sigemptyset(&none);
    sigfillset(&all);
    result = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
    if (result == 0) {
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        result = posix_spawn(pid, argv[0], &files, &attributes, argv, envp);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return result;
}

static int run(char *const argv[], char *const envp[], unsigned deadline_ms, struct program_result *result,
               struct caesura_error *err)
{
    uint64_t deadline = clock_read_ns(CLOCK_MONOTONIC) + deadline_ms * UINT64_C(1000000);
    int out[2], error[2];
    pid_t pid;

    if (pipe2(out, O_CLOEXEC) < 0)
        return error_errno(err, errno, "cannot make a pipe");
    if (pipe2(error, O_CLOEXEC) < 0) {
        int failure = errno;
        close(out[0]);
        close(out[1]);
        return error_errno(err, failure, "cannot make a pipe");
    }
    int failure = start(argv, envp, out[1], error[1], &pid);
    close(out[1]);
    close(error[1]);
    if (failure != 0) {
        close(out[0]);
        close(error[0]);
        return error_errno(err, failure, "cannot execute %s", argv[0]);
    }
    struct stream streams[2] = {{.fd = out[0], .text = result->out, .room = sizeof result->out - 1},
                                {.fd = error[0], .text = result->err, .room = sizeof result->err - 1}};
    failure = streams_read(streams, deadline) ? reap(pid, deadline, &result->status) : -ETIMEDOUT;
    for (int i = 0; i < 2; i++)
        if (streams[i].fd >= 0)
            close(streams[i].fd);
    if (failure == 0)
        return 0;
    if (failure != -ETIMEDOUT)
        return error_errno(err, -failure, "cannot wait for %s", argv[0]);
    kill(-pid, SIGKILL);
    waitpid(pid, &result->status, 0);
    return error_set(err, CAESURA_ETIMEDOUT_, "%s did not end within %u ms", argv[0], deadline_ms);
}

int program_run(char *const argv[], char *const envp[], unsigned deadline_ms, struct program_result *result,
                struct caesura_error *err)
{
    struct sigaction before, standard = {.sa_handler = SIG_DFL};

    *result = (struct program_result){0};
    /* With SIGCHLD ignored, as a caller may have left it, the kernel would reap the child before we learn its status. */
    sigaction(SIGCHLD, &standard, &before);
    int code = run(argv, envp, deadline_ms, result, err);
    sigaction(SIGCHLD, &before, NULL);
    return code;
}
