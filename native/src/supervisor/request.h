/* request.h - a job of the local scheduler asks for a checkpoint of its own. */
#ifndef CAESURA_SUPERVISOR_REQUEST_H
#define CAESURA_SUPERVISOR_REQUEST_H

#include "supervisor/supervise.h"

/**
 * Starts `cr_checkpoint --job` beside the job, which takes the job's lock like any other request. It is not waited for: the
 * caller reaps it with its other children. What it has to say goes to stderr.
 */
void request_checkpoint(const struct supervise_request *request);

#endif
