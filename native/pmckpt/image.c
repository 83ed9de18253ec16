#include "image.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"

enum { PIECE_BYTES = 256 << 10, SMALL_RECORD_MAX = 64 << 20 };

static int fail_damaged(const struct ckpt_image *image, const char *what, struct ckpt_error *error)
{
    return ckpt_error_set(error, CKPT_ECORRUPT, "%s is damaged: %s; use another copy of it", image->name, what);
}

static int fail_truncated(const struct ckpt_image *image, struct ckpt_error *error)
{
    return ckpt_error_set(error, CKPT_ETRUNCATED,
                          "%s is incomplete: it ends after %llu bytes, in the middle; use another copy of it",
                          image->name, (unsigned long long)image->file_bytes);
}

static int fail_memory(struct ckpt_error *error)
{
    return ckpt_error_set(error, CKPT_ENOMEM_, "no memory for the facts of the checkpoint; raise the memory limit");
}

static int read_at(const struct ckpt_image *image, uint64_t offset, void *data, size_t bytes, struct ckpt_error *error)
{
    while (bytes) {
        ssize_t got = pread(image->fd, data, bytes, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ckpt_error_set(error, CKPT_EIO_, "%s cannot be read: %m; look at its disk", image->name);
        if (got == 0)
            return fail_truncated(image, error);
        data = (char *)data + got;
        offset += got;
        bytes -= got;
    }
    return 0;
}

/* Returns the array with room for one more element, or NULL, and then it is as it was. The room is a power of two. */
static void *grow(void *array, size_t count, size_t bytes)
{
    bool full = (count & (count - 1)) == 0; /* or empty */

    return full ? realloc(array, (count ? count * 2 : 1) * bytes) : array;
}

/* ---- one function per kind of record: data is the payload, and a zero is behind it ---- */

static int take_program(struct ckpt_image *image, const char *data, size_t bytes, struct ckpt_error *error)
{
    if (bytes <= sizeof(image->program) || image->program_path)
        return fail_damaged(image, "bad record of the program", error);
    memcpy(&image->program, data, sizeof(image->program));
    image->program_path = strdup(data + sizeof(image->program));
    return image->program_path ? 0 : fail_memory(error);
}

static int take_arguments(struct ckpt_image *image, const char *data, size_t bytes, struct ckpt_error *error)
{
    size_t count = 0;
    char *copy;

    if (image->arguments)
        return fail_damaged(image, "two records of arguments", error);
    for (size_t i = 0; i < bytes; i++)
        count += data[i] == '\0';
    /* One block: the pointers, then the text. */
    image->arguments = calloc(1, (count + 1) * sizeof(char *) + bytes + 1);
    if (!image->arguments)
        return fail_memory(error);
    copy = (char *)(image->arguments + count + 1);
    memcpy(copy, data, bytes);
    for (size_t i = 0; i < count; i++) {
        image->arguments[i] = copy;
        copy += strlen(copy) + 1;
    }
    return 0;
}

static int take_places(struct ckpt_image *image, const char *data, size_t bytes, struct ckpt_error *error)
{
    if (bytes == 0 || bytes % sizeof(uint64_t) || image->places)
        return fail_damaged(image, "bad record of places", error);
    image->places = malloc(bytes);
    if (!image->places)
        return fail_memory(error);
    memcpy(image->places, data, bytes);
    image->places_count = bytes / sizeof(uint64_t);
    return 0;
}

static int take_descriptor(struct ckpt_image *image, const char *data, size_t bytes, struct ckpt_error *error)
{
    struct ckpt_file *file = grow(image->files.list, image->files.count, sizeof(*file));

    if (!file)
        return fail_memory(error);
    image->files.list = file;
    file += image->files.count;
    if (bytes <= sizeof(file->descriptor))
        return fail_damaged(image, "bad record of a descriptor", error);
    memcpy(&file->descriptor, data, sizeof(file->descriptor));
    file->path = strdup(data + sizeof(file->descriptor));
    if (!file->path)
        return fail_memory(error);
    image->files.count++;
    return 0;
}

static int take_machine(struct ckpt_image *image, const char *data, size_t bytes, struct ckpt_error *error)
{
    if (bytes != sizeof(image->machine) || image->has_machine)
        return fail_damaged(image, "bad record of the machine", error);
    memcpy(&image->machine, data, bytes);
    image->has_machine = true;
    return 0;
}

static int take_vdso(struct ckpt_image *image, const char *data, size_t bytes, struct ckpt_error *error)
{
    struct ckpt_vdso_record *record = &image->vdso;

    if (bytes < sizeof(record->vdso) || bytes > sizeof(*record))
        return fail_damaged(image, "bad record of the vdso", error);
    memcpy(record, data, bytes);
    if (bytes != sizeof(record->vdso) + record->vdso.entries * sizeof(record->entries[0]))
        return fail_damaged(image, "bad record of the vdso", error);
    return 0;
}

static int take_region(struct ckpt_image *image, const char *data, size_t bytes, struct ckpt_error *error)
{
    struct ckpt_region *region = grow(image->regions, image->regions_count, sizeof(*region));

    if (!region)
        return fail_memory(error);
    image->regions = region;
    region += image->regions_count++;
    if (bytes != sizeof(*region))
        return fail_damaged(image, "bad record of a region", error);
    memcpy(region, data, bytes);
    if (region->start >= region->end || (region != image->regions && region->start < region[-1].end))
        return fail_damaged(image, "regions overlap", error);
    return 0;
}

/* `offset` is that of the payload, of which only the address has been read. */
static int take_bytes(struct ckpt_image *image, uint64_t address, uint64_t offset, uint64_t bytes,
                      struct ckpt_error *error)
{
    const struct ckpt_region *region = image->regions_count ? &image->regions[image->regions_count - 1] : NULL;
    struct ckpt_extent *extent;

    if (!region || bytes < sizeof(address) || address < region->start || address > region->end ||
        bytes - sizeof(address) > region->end - address)
        return fail_damaged(image, "bytes outside of a region", error);
    extent = grow(image->extents, image->extents_count, sizeof(*extent));
    if (!extent)
        return fail_memory(error);
    image->extents = extent;
    extent[image->extents_count++] = (struct ckpt_extent){address, bytes - sizeof(address), offset + sizeof(address)};
    return 0;
}

static int take_small(struct ckpt_image *image, const struct ckpt_record *record, const char *data,
                      struct ckpt_error *error)
{
    switch (record->type) {
    case RECORD_PROGRAM:
        return take_program(image, data, record->bytes, error);
    case RECORD_ARGUMENTS:
        return take_arguments(image, data, record->bytes, error);
    case RECORD_PLACES:
        return take_places(image, data, record->bytes, error);
    case RECORD_DESCRIPTOR:
        return take_descriptor(image, data, record->bytes, error);
    case RECORD_MACHINE:
        return take_machine(image, data, record->bytes, error);
    case RECORD_VDSO:
        return take_vdso(image, data, record->bytes, error);
    case RECORD_REGION:
        return take_region(image, data, record->bytes, error);
    default:
        return fail_damaged(image, "a record of unknown type", error);
    }
}

static int take_record(struct ckpt_image *image, const struct ckpt_record *record, uint64_t offset,
                       struct ckpt_error *error)
{
    uint64_t address;
    char *data;
    int result;

    if (record->type == RECORD_BYTES) {
        if (record->bytes < sizeof(address))
            return fail_damaged(image, "bytes without an address", error);
        result = read_at(image, offset, &address, sizeof(address), error);
        return result ? result : take_bytes(image, address, offset, record->bytes, error);
    }
    if (record->bytes > SMALL_RECORD_MAX)
        return fail_damaged(image, "a record that is too large for its type", error);
    data = calloc(1, record->bytes + 1);
    if (!data)
        return fail_memory(error);
    result = read_at(image, offset, data, record->bytes, error);
    if (result == 0)
        result = take_small(image, record, data, error);
    free(data);
    return result;
}

/* ---- the file ---- */

static int read_header(struct ckpt_image *image, struct ckpt_error *error)
{
    struct ckpt_file_header header = {0};
    struct stat status;
    size_t bytes;
    int result;

    if (fstat(image->fd, &status))
        return ckpt_error_set(error, CKPT_EIO_, "%s cannot be examined: %m; look at its disk", image->name);
    if (!S_ISREG(status.st_mode))
        return ckpt_error_set(error, CKPT_EFORMAT, "%s is not a regular file; give it the CHECKPOINT file",
                              image->name);
    image->file_bytes = status.st_size;
    bytes = image->file_bytes < sizeof(header) ? image->file_bytes : sizeof(header);
    if (image->file_bytes == 0)
        return ckpt_error_set(error, CKPT_ETRUNCATED, "%s is empty; use another copy of it", image->name);
    if ((result = read_at(image, 0, &header, bytes, error)) != 0)
        return result;
    if (memcmp(header.magic, CKPT_MAGIC, bytes < sizeof(header.magic) ? bytes : sizeof(header.magic)) != 0)
        return ckpt_error_set(error, CKPT_EFORMAT,
                              "%s is not a checkpoint of pmckpt; give the program first and its CHECKPOINT file second",
                              image->name);
    if (bytes < sizeof(header))
        return fail_truncated(image, error);
    if (header.version != CKPT_VERSION || header.elf_machine != EM_X86_64)
        return ckpt_error_set(error, CKPT_EFORMAT,
                              "%s has version %u for ELF machine %u, but this is version %u for machine %u; "
                              "link the program with the pmckpt.o that wrote it",
                              image->name, header.version, header.elf_machine, CKPT_VERSION, EM_X86_64);
    return 0;
}

static int read_end(struct ckpt_image *image, uint64_t offset, struct ckpt_end *end, struct ckpt_error *error)
{
    int result = read_at(image, offset + sizeof(struct ckpt_record), end, sizeof(*end), error);

    if (result)
        return result;
    if (end->zero || end->bytes != offset || offset + sizeof(struct ckpt_record) + sizeof(*end) != image->file_bytes)
        return fail_damaged(image, "its end is not where it should be", error);
    return 0;
}

static int read_records(struct ckpt_image *image, struct ckpt_end *end, struct ckpt_error *error)
{
    uint64_t offset = sizeof(struct ckpt_file_header);
    struct ckpt_record record;
    uint64_t left;
    int result;

    for (;;) {
        left = image->file_bytes - offset;
        if (left < sizeof(record))
            return fail_truncated(image, error);
        if ((result = read_at(image, offset, &record, sizeof(record), error)) != 0)
            return result;
        left -= sizeof(record);
        if (record.type == 0 || record.type > RECORD_END || record.zero)
            return fail_damaged(image, "a record of unknown type", error);
        if (record.bytes > left || -record.bytes % 8 > left - record.bytes)
            return fail_truncated(image, error);
        if (record.type == RECORD_END)
            return read_end(image, offset, end, error);
        if ((result = take_record(image, &record, offset + sizeof(record), error)) != 0)
            return result;
        offset += sizeof(record) + record.bytes + -record.bytes % 8;
    }
}

static int verify_sum(const struct ckpt_image *image, const struct ckpt_end *end, struct ckpt_error *error)
{
    char *piece = malloc(PIECE_BYTES);
    uint32_t crc = 0;
    int result = 0;

    if (!piece)
        return fail_memory(error);
    for (uint64_t offset = 0; offset < end->bytes && result == 0;) {
        size_t bytes = end->bytes - offset < PIECE_BYTES ? end->bytes - offset : PIECE_BYTES;

        result = read_at(image, offset, piece, bytes, error);
        crc = ckpt_crc32c(crc, piece, bytes);
        offset += bytes;
    }
    free(piece);
    if (result == 0 && crc != end->crc)
        return fail_damaged(image, "its checksum is wrong", error);
    return result;
}

int ckpt_image_read(struct ckpt_image *image, int fd, const char *name, bool verify, struct ckpt_error *error)
{
    struct ckpt_end end = {0};
    int result;

    *image = (struct ckpt_image){.name = name, .fd = fd};
    if ((result = read_header(image, error)) != 0 || (result = read_records(image, &end, error)) != 0)
        return result;
    if (verify && (result = verify_sum(image, &end, error)) != 0)
        return result;
    if (!image->program_path || !image->arguments || !image->places || !image->has_machine || !image->regions_count)
        return fail_damaged(image, "a record is missing", error);
    return 0;
}

void ckpt_image_free(struct ckpt_image *image)
{
    free(image->program_path);
    free(image->arguments);
    free(image->places);
    ckpt_files_free(&image->files);
    free(image->regions);
    free(image->extents);
    *image = (struct ckpt_image){.fd = -1};
}
