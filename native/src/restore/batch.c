#include "restore/batch.h"

#include <string.h>

#include "core/error.h"

void batch_start(struct batch *batch, struct remote *remote, struct task *task, struct caesura_error *err)
{
    batch->remote = remote;
    batch->task = task;
    batch->count = 0;
    batch->data_used = 0;
    batch->failed = 0;
    batch->err = err;
}

void batch_room(struct batch *batch, size_t size)
{
    if (batch->data_used + size + 32 > sizeof batch->data || batch->count == REMOTE_CALLS_MAX)
        batch_flush(batch);
}

uint64_t batch_data(struct batch *batch, const void *data, size_t size)
{
    size_t at = (batch->data_used + 15) & ~(size_t)15;

    if (at + size > sizeof batch->data) {
        if (!batch->failed)
            batch->failed = error_set(batch->err, CAESURA_EENGINE, "%zu bytes of arguments at once", size);
        return remote_data(batch->remote);
    }
    memcpy(batch->data + at, data, size);
    batch->data_used = at + size;
    return remote_data(batch->remote) + at;
}

void batch_call(struct batch *batch, const char *what, enum batch_expect expect, int64_t value, int64_t nr, uint64_t a,
                uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    if (batch->count == REMOTE_CALLS_MAX)
        batch_flush(batch);
    batch->calls[batch->count] = (struct remote_call){.nr = nr, .args = {a, b, c, d, e, f}};
    batch->what[batch->count] = what;
    batch->expect[batch->count] = expect;
    batch->value[batch->count++] = value;
}

static int check(struct batch *batch, size_t i)
{
    int64_t result = batch->calls[i].result;
    const struct task *task = batch->task;

    if (batch->expect[i] == BATCH_ANYTHING ||
        (batch->expect[i] == BATCH_ZERO_OR_MORE && (result >= 0 || result < -4095)))
        return 0;
    if (batch->expect[i] == BATCH_EXACTLY && result == batch->value[i])
        return 0;
    int rc = result < 0 && result >= -4095
                 ? error_errno(batch->err, (int)-result, "cannot %s of task %d", batch->what[i], task->inner_tid)
                 : error_set(batch->err, CAESURA_EIO_, "cannot %s of task %d: result %lld instead of %lld",
                             batch->what[i], task->inner_tid, (long long)result, (long long)batch->value[i]);
    error_about(batch->err, task->inner_tid, -1);
    return rc;
}

int batch_flush(struct batch *batch)
{
    if (!batch->failed && batch->count) {
        if (batch->data_used)
            batch->failed =
                remote_write(batch->remote, remote_data(batch->remote), batch->data, batch->data_used, batch->err);
        if (!batch->failed)
            batch->failed = remote_calls(batch->remote, batch->task, batch->calls, batch->count, batch->err);
        for (size_t i = 0; i < batch->count && !batch->failed; i++)
            batch->failed = check(batch, i);
    }
    batch->count = 0;
    batch->data_used = 0;
    return batch->failed;
}
