/* memory.h - the maps of an address space and the pages in them. */
#ifndef CAESURA_MEMORY_H
#define CAESURA_MEMORY_H

#include "capture/capture.h"

/** Reads the maps of a target into its record; notes mapped files with files_note(). */
int memory_collect(struct caesura_capture *capture, struct target *target, struct caesura_error *err);
/**
 * After files_decide(): sizes of shared memory without a name, and which files memory_write_shared() will write.
 */
int memory_finish(struct caesura_capture *capture, struct caesura_error *err);
/** Estimates the bytes that memory_write() will write, for progress. */
uint64_t memory_estimate(struct caesura_capture *capture, struct target *target);
/** Writes the private pages of a target as PAGES sections. */
int memory_write(struct caesura_capture *capture, struct target *target, struct context_writer *writer,
                 struct caesura_error *err);
/** Writes the contents of anonymous shared memory (and of what is mapped but has no name) as CONTENT sections. */
int memory_write_shared(struct caesura_capture *capture, struct context_writer *writer, struct caesura_error *err);

#endif
