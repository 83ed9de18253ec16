/*
 * inherited.h - letting go of descriptors that belong to the job.
 *
 * The job's pipes must see their end when the job closes them, so neither the supervisor nor pid 1 may hold copies.
 */
#ifndef CAESURA_SUPERVISOR_INHERITED_H
#define CAESURA_SUPERVISOR_INHERITED_H

#include <stddef.h>

/** Points standard descriptors from 0 to last (0, 1 or 2) to /dev/null; without one they are left as they are. */
void inherited_detach(int last);

/** Closes every descriptor from 3 on but those in keep (unsorted, may hold -1). At most 32 are kept. */
void inherited_close(const int *keep, size_t count);

#endif
