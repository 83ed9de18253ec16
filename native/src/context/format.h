/*
 * format.h - the bytes of a context file. docs/context-format.md is the description for people.
 *
 * A file is a header, sections, and an END section without which it is incomplete. Each section has a header with a
 * checksum of its own and a checksum of its payload. One-file contexts hold everything; in a folder the first file holds
 * what is common, and each process's file its PROCESS and PAGES sections.
 */
#ifndef CAESURA_CONTEXT_FORMAT_H
#define CAESURA_CONTEXT_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define FORMAT_MAGIC "CAESURA\x1a"
#define FORMAT_VERSION 1u
#define FORMAT_SECTION_MAGIC 0x54434553u /* "SECT" */

struct format_header {
    uint8_t magic[8];
    uint32_t version;
    uint32_t machine;   /* ELF e_machine */
    uint8_t set_id[16]; /* the same in all files of a folder */
    uint32_t file_index;
    uint32_t file_count;
    uint32_t page_size;
    uint32_t reserved;
    uint64_t created_ns; /* CLOCK_REALTIME */
    uint32_t reserved2;
    uint32_t checksum; /* CRC-32C of the 60 bytes before */
};
_Static_assert(sizeof(struct format_header) == 64, "format");

enum format_section_type {
    SECTION_SCOPE = 1,
    SECTION_FILE = 2,
    SECTION_DESCRIPTION = 3,
    SECTION_LOCK = 4,
    SECTION_TRACKED = 5,
    SECTION_PROCESS = 6, /* owner: pid */
    SECTION_PAGES = 7,   /* owner: pid */
    SECTION_CONTENT = 8, /* owner: id of the file */
    SECTION_SYSV = 9,
    SECTION_END = 0x7fffffff,
};

enum { SECTION_REQUIRED = 1 }; /* a reader that does not know the type must refuse */

struct format_section {
    uint32_t magic;
    uint32_t type;
    uint32_t flags;
    uint32_t owner;
    uint64_t length;          /* of the payload, which follows at once */
    uint32_t checksum;        /* CRC-32C of the payload */
    uint32_t header_checksum; /* CRC-32C of the 28 bytes before */
};
_Static_assert(sizeof(struct format_section) == 32, "format");

/*
 * What of a section header goes into END's headers_checksum: all but its own checksum. A CRC over something and its CRC is
 * always the same, so with it END would only count the headers, and not notice if they changed places.
 */
#define FORMAT_SECTION_SUMMED offsetof(struct format_section, header_checksum)

/*
 * Payload of PAGES and CONTENT: this, then the extents, then zeros so that the data stands at a multiple of the page size
 * in the file, then the data of all extents one after the other.
 */
struct format_extents {
    uint32_t count;
    uint32_t data_offset; /* from the start of the payload */
};

struct format_extent {
    uint64_t start; /* address, or offset in the file */
    uint64_t size;
};

#define FORMAT_FRAME_BYTES (1u << 20) /* most data of one PAGES or CONTENT section */
#define FORMAT_FRAME_EXTENTS 256u     /* most extents of one: each is a page at least, or the end of a file */
#define FORMAT_TABLE_MAX (sizeof(struct format_extents) + FORMAT_FRAME_EXTENTS * sizeof(struct format_extent))
/* Most bytes of one: a full table, zeros up to the end of a page, of 64 KiB at most, and the data. */
#define FORMAT_DATA_SECTION_MAX (FORMAT_TABLE_MAX + 65536u + FORMAT_FRAME_BYTES)
#define FORMAT_PAYLOAD_MAX (1u << 30) /* no section is larger: a reader refuses before it allocates */

/* Payload of END. */
struct format_end {
    uint64_t sections;         /* before this one */
    uint32_t headers_checksum; /* CRC-32C over the first 28 bytes of each section header before this one, in order */
    uint32_t reserved;
};

#endif
