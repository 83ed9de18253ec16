/* Reading a CHECKPOINT file. */
#ifndef PMCKPT_IMAGE_H
#define PMCKPT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "files.h"
#include "format.h"
#include "vdso.h"

/* Bytes of the file that belong into memory. */
struct ckpt_extent {
    uint64_t address;
    uint64_t bytes;
    uint64_t offset; /* in the file */
};

/* All of the file but the memory's contents. Everything is allocated by malloc(). */
struct ckpt_image {
    const char *name; /* of the file, for messages; not copied */
    int fd;
    uint64_t file_bytes;
    struct ckpt_program program;
    char *program_path;
    char **arguments; /* ends with NULL */
    uint64_t *places;
    size_t places_count;
    struct ckpt_files files;
    struct ckpt_machine machine;
    bool has_machine;
    struct ckpt_vdso_record vdso;
    struct ckpt_region *regions;
    size_t regions_count;
    struct ckpt_extent *extents;
    size_t extents_count;
};

/*
 * Reads the file on `fd`. With `verify` it reads all of it and compares the checksum; without, it trusts that somebody
 * has just done so. ETRUNCATED, ECORRUPT and EFORMAT tell what is wrong with the file. The caller frees with
 * ckpt_image_free(), also after an error; the descriptor stays the caller's.
 */
int ckpt_image_read(struct ckpt_image *image, int fd, const char *name, bool verify, struct ckpt_error *error);
void ckpt_image_free(struct ckpt_image *image);

#endif
