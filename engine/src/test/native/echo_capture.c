/*
 * echo_capture.c - a libcapture that captures nothing: it says in log lines what it was asked, so that a test can see
 * whether the engine's structures are those of caesura.h. A pid of 404 is missing, signal 13 is refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "caesura.h"

#define EXPORT __attribute__((visibility("default")))

struct caesura_capture {
    caesura_log_fn log;
    void *data;
};

static const struct caesura_abi abi = {CAESURA_ABI_VERSION, sizeof(struct caesura_error),
                                       sizeof(struct caesura_capture_request), sizeof(struct caesura_capture_result)};

EXPORT const struct caesura_abi *caesura_abi(void)
{
    return &abi;
}

static int fail(struct caesura_error *err, int code, const char *message)
{
    memset(err, 0, sizeof *err);
    err->code = code;
    err->pid = 1;
    err->fd = 2;
    snprintf(err->message, sizeof err->message, "%s", message);
    snprintf(err->remedy, sizeof err->remedy, "do something \xc3\xa4lse");
    return -code;
}

EXPORT int caesura_capture_open(const struct caesura_capture_request *r, caesura_log_fn log, void *data,
                                struct caesura_capture **out, struct caesura_error *err)
{
    char line[512];

    if (r->size != sizeof *r)
        return fail(err, CAESURA_EVERSION, "size");
    if (r->id == 404)
        return fail(err, CAESURA_ESRCH_, "no process 404");
    snprintf(line, sizeof line,
             "scope=%u id=%d flags=%x exclude=%d timeout=%u limit=%llu path=%s to=%s by=%d signal=%d", r->scope, r->id,
             r->flags, r->exclude_pid, r->timeout_ms, (unsigned long long)r->copy_limit_bytes,
             r->exclude_path ? r->exclude_path : "-", r->destination ? r->destination : "-", r->requester,
             r->announced_signal);
    log(data, CAESURA_LOG_INFO, line);
    for (size_t i = 0; r->track_paths && r->track_paths[i]; i++)
        log(data, CAESURA_LOG_REFUSAL, r->track_paths[i]);
    *out = malloc(sizeof **out);
    (*out)->log = log;
    (*out)->data = data;
    return 0;
}

EXPORT size_t caesura_capture_count(const struct caesura_capture *capture)
{
    (void)capture;
    return 2;
}

EXPORT int32_t caesura_capture_pid(const struct caesura_capture *capture, size_t index)
{
    (void)capture;
    return 100 + (int32_t)index;
}

EXPORT int caesura_capture_write(struct caesura_capture *capture, const int32_t *fds, size_t count,
                                 caesura_progress_fn progress, void *data, struct caesura_error *err)
{
    (void)capture;
    for (size_t i = 0; i < count; i++)
        if (write(fds[i], "context", 7) != 7)
            return fail(err, CAESURA_ENOSPC_, "no space left in the stub");
    progress(data, 7 * count, UINT64_C(1) << 40);
    return 0;
}

EXPORT int caesura_capture_signal(struct caesura_capture *capture, int32_t signal, struct caesura_error *err)
{
    char line[64];

    if (signal == 13)
        return fail(err, CAESURA_EPERM_, "");
    snprintf(line, sizeof line, "signal=%d", signal);
    capture->log(capture->data, CAESURA_LOG_DEBUG, line);
    return 0;
}

EXPORT void caesura_capture_release(struct caesura_capture *capture)
{
    capture->log(capture->data, CAESURA_LOG_WARNING, "release");
}

EXPORT void caesura_capture_result(const struct caesura_capture *capture, struct caesura_capture_result *r)
{
    (void)capture;
    r->processes = 1;
    r->threads = 2;
    r->warnings = 3;
    r->page_bytes = 4;
    r->file_bytes = 5;
    r->total_bytes = UINT64_C(6) << 40;
    r->freeze_ns = 7;
    r->collect_ns = 8;
    r->pause_ns = 9;
    memset(r->set_id, 0xab, sizeof r->set_id);
}

EXPORT void caesura_capture_close(struct caesura_capture *capture)
{
    capture->log(capture->data, CAESURA_LOG_DEBUG, "close");
    free(capture);
}

EXPORT int caesura_context_verify(const int32_t *fds, size_t count, struct caesura_error *err)
{
    (void)fds;
    return count == 1 ? 0 : fail(err, CAESURA_ECORRUPT, "bad checksum");
}

EXPORT int caesura_context_describe(const int32_t *fds, size_t count, char **json, struct caesura_error *err)
{
    (void)fds, (void)err;
    return asprintf(json, "{\"count\": %zu, \"name\": \"\xc3\xa4\"}", count) < 0 ? -CAESURA_ENOMEM_ : 0;
}

EXPORT void caesura_free(void *memory)
{
    free(memory);
}
