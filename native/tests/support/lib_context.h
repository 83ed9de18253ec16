/*
 * lib_context.h - contexts for tests: made of random but seeded records, taken apart into sections, damaged, and put
 * together again with checksums that are right.
 *
 * Aborts with a message when something fails that is not what is being tested.
 */
#ifndef CAESURA_TESTS_LIB_CONTEXT_H
#define CAESURA_TESTS_LIB_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "caesura.h"
#include "context/format.h"
#include "model/model.h"

/* ---- random numbers that are the same everywhere ---- */

struct random {
    uint64_t state;
};

struct random random_seeded(uint64_t seed);
uint64_t random_u64(struct random *random);
/** Less than limit, which is not 0. */
uint32_t random_below(struct random *random, uint32_t limit);

/* ---- contexts ---- */

/** Every field of every record random; ids, pids, references and addresses then made such that a reader takes them. */
void context_random(struct random *random, struct context *context, uint32_t processes);
/** The smallest context that has a section of every type. */
void context_small(struct context *context);

/** The bytes of a file in memory. */
struct image {
    uint8_t *bytes;
    size_t size;
};

/**
 * The files of a context, one or one for each process: records, memory for each process that has maps, and contents for
 * each file that has some. images: count entries.
 */
void images_write(const struct context *context, struct image *images, size_t count);
/** One file with the records alone. */
struct image image_of_records(const struct context *context);
/** All of an open file. */
struct image image_of(int fd);
/** An unnamed file with these bytes, which the caller closes. */
int image_open(const struct image *image);
void image_free(struct image *image);

/** Records and data of a context as bytes, by which two contexts are compared. */
struct image records_of(const struct context *context);

/* ---- sections ---- */

struct section {
    struct format_section header;
    uint8_t *payload; /* header.length bytes, or fewer if header.length was made to lie */
    size_t size;
};

/* One file, taken apart. The END section is among the sections. */
struct file_parts {
    struct format_header header;
    struct section *sections;
    size_t count;
};

void parts_take(const struct image *image, struct file_parts *parts);
void parts_free(struct file_parts *parts);
/** The first section of that type; aborts if there is none. */
struct section *parts_find(struct file_parts *parts, uint32_t type);
/** A copy of section, put before the one at index. */
void parts_insert(struct file_parts *parts, size_t index, const struct section *section);
void parts_remove(struct file_parts *parts, size_t index);
void section_free(struct section *section);
/** Replaces bytes [at, at + old_size) of the payload; the length follows. */
void section_splice(struct section *section, size_t at, size_t old_size, const void *bytes, size_t size);

enum join_flags {
    JOIN_AS_IT_IS = 0x1,  /* no checksum is made right */
    JOIN_KEEPS_END = 0x2, /* the END section keeps its count and checksum of headers */
};
/** The bytes of the file, checksums made right. */
struct image parts_join(struct file_parts *parts, unsigned flags);

/* ---- what is asked of a context ---- */

/** caesura_context_verify() of images in this order. */
int images_verify(const struct image *images, size_t count, struct caesura_error *err);
int images_describe(const struct image *images, size_t count, char **json, struct caesura_error *err);
/** Whether text is one JSON value (RFC 8259), and nothing else. */
bool json_is_valid(const char *text);

#endif
