/* collect.h - everything about a process but its memory and descriptors. */
#ifndef CAESURA_CAPTURE_COLLECT_H
#define CAESURA_CAPTURE_COLLECT_H

#include "capture/capture.h"

/** Where and when: fills capture->context.scope. */
int collect_scope(struct caesura_capture *capture, struct caesura_error *err);
/** Fills target->process from /proc and ptrace; obstacles go to capture_refuse(). */
int collect_process(struct caesura_capture *capture, struct target *target, struct caesura_error *err);
/** The rest, which only the process itself can tell: by remote calls. Ends with the process as it was. */
int collect_by_calls(struct caesura_capture *capture, struct target *target, struct caesura_error *err);

#endif
