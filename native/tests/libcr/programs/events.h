/*
 * events.h - what the programs with callbacks share, beside victim.h: a log of what happened, in order.
 *
 * The log is opened once, so a restart cuts it back to what was there at the checkpoint; what is in it after a restart is what
 * the restarted program saw.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <pthread.h>

#include "../../programs/victim.h"
#include "libcr.h"

static int events = -1;

__attribute__((format(printf, 1, 2))) static inline void event(const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(line, sizeof line - 1, fmt, args);
    va_end(args);
    line[length++] = '\n';
    need(write(events, line, (size_t)length) == length);
}

static inline void open_events(void)
{
    events = open("events", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    need(events >= 0);
}

/* The plain callback: its name before and after, with what cr_checkpoint() returned. */
static inline int say(void *name)
{
    event("+%s", (const char *)name);
    int rc = cr_checkpoint(CR_CHECKPOINT_READY);
    event("-%s=%d", (const char *)name, rc);
    return 0;
}

static inline cr_callback_id_t callback(cr_callback_t function, const char *name, int context)
{
    cr_callback_id_t id = cr_register_callback(function, (void *)(uintptr_t)name, context);
    need(id >= 0);
    return id;
}

#endif
