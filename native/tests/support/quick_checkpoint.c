/*
 * quick_checkpoint.c - cr_checkpoint without the engine: asks libcapture directly, so that hundreds of tests stay fast.
 *
 *     quick_checkpoint [--scope=pid|pgid|sid|tree|job] [--signal=N] [--folder] [--check] [--require-libcr] [--timeout=MS] ID PATH
 *
 * PATH is the context, made anew; "-" is stdout; with --folder a folder that exists and gets a context.PID per process. Exit
 * status: 0 or the code of the error table. stderr gets the log, the error, and one line of numbers.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "caesura.h"

static struct caesura_capture *capture;
static struct caesura_error error;

static void log_line(void *data, int level, const char *text)
{
    static const char *const levels[] = {"debug", "info", "warning", "refused"};
    (void)data;
    if (level >= CAESURA_LOG_INFO)
        fprintf(stderr, "%s: %s\n", levels[level], text);
}

static int fail(const char *what)
{
    fprintf(stderr, "quick_checkpoint: %s: %s (%s) [pid %d, fd %d]\n", what, error.message, error.remedy, error.pid,
            error.fd);
    return error.code;
}

static int scope_of(const char *name)
{
    static const char *const names[] = {"pid", "pgid", "sid", "tree", "job"};
    for (int i = 0; i < 5; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    fprintf(stderr, "quick_checkpoint: no scope \"%s\"\n", name);
    exit(CAESURA_EUSAGE);
}

static int create(const char *path)
{
    int fd = strcmp(path, "-") == 0 ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        fprintf(stderr, "quick_checkpoint: %s: %s\n", path, strerror(errno));
        exit(errno);
    }
    return fd;
}

/* Writes to one file, or to one per process. */
static int write_context(const char *path, bool folder)
{
    size_t count = folder ? caesura_capture_count(capture) : 1;
    int32_t *fds = calloc(count, sizeof *fds);
    char **paths = calloc(count, sizeof *paths);
    if (!fds || !paths)
        return CAESURA_ENOMEM_;
    for (size_t i = 0; i < count; i++) {
        if (asprintf(&paths[i], folder ? "%s/context.%d" : "%s", path, folder ? caesura_capture_pid(capture, i) : 0) <
            0)
            return CAESURA_ENOMEM_;
        fds[i] = create(paths[i]);
    }
    int result = caesura_capture_write(capture, fds, count, NULL, NULL, &error);
    for (size_t i = 0; i < count; i++) {
        close(fds[i]);
        if (result != 0)
            unlink(paths[i]);
        free(paths[i]);
    }
    free(paths);
    free(fds);
    return -result;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"scope", required_argument, NULL, 's'},
        {"signal", required_argument, NULL, 'S'},
        {"folder", no_argument, NULL, 'd'},
        {"check", no_argument, NULL, 'c'},
        {"timeout", required_argument, NULL, 't'},
        {"require-libcr", no_argument, NULL, 'l'},
        {0},
    };
    struct caesura_capture_request request = {
        .size = sizeof request, .scope = CAESURA_SCOPE_TREE, .copy_limit_bytes = 1ULL << 30};
    struct caesura_capture_result result = {.size = sizeof result};
    int letter, signal = 0;
    bool folder = false;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (letter) {
        case 's':
            request.scope = (uint32_t)scope_of(optarg);
            break;
        case 'S':
            signal = atoi(optarg);
            break;
        case 'd':
            folder = true;
            break;
        case 'c':
            request.flags |= CAESURA_CHECK_ONLY;
            break;
        case 'l':
            request.flags |= CAESURA_REQUIRE_LIBCR;
            break;
        case 't':
            request.timeout_ms = (uint32_t)atoi(optarg);
            break;
        default:
            return CAESURA_EUSAGE;
        }
    }
    if (argc - optind != 2)
        return CAESURA_EUSAGE;
    request.id = atoi(argv[optind]);
    request.announced_signal = signal;
    request.destination = strcmp(argv[optind + 1], "-") ? argv[optind + 1] : NULL;

    if (caesura_capture_open(&request, log_line, NULL, &capture, &error) != 0)
        return fail("freeze");
    int code = request.flags & CAESURA_CHECK_ONLY ? 0 : write_context(argv[optind + 1], folder);
    if (code == 0 && signal && caesura_capture_signal(capture, signal, &error) != 0)
        code = error.code;
    if (code != 0)
        fail("write");
    caesura_capture_release(capture);
    caesura_capture_result(capture, &result);
    fprintf(stderr,
            "%u processes, %u threads, %.1f MiB, frozen after %.1f ms, collected after %.1f ms, paused for %.1f ms\n",
            result.processes, result.threads, (double)result.total_bytes / 1048576, (double)result.freeze_ns / 1e6,
            (double)result.collect_ns / 1e6, (double)result.pause_ns / 1e6);
    caesura_capture_close(capture);
    return code;
}
