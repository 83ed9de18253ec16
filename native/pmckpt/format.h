/*
 * The bytes of a CHECKPOINT file: struct ckpt_file_header, then records, the last of which is RECORD_END and ends the
 * file. A record is struct ckpt_record, then that many bytes of payload, then zeros up to a multiple of 8.
 * All numbers are little-endian; addresses are those of the process that wrote the file.
 */
#ifndef PMCKPT_FORMAT_H
#define PMCKPT_FORMAT_H

#include <stdint.h>

#define CKPT_MAGIC "PMCKPT\r\n" /* the line end shows a transfer that took the file for text */
#define CKPT_VERSION 1

enum ckpt_record_type {
    RECORD_PROGRAM = 1,    /* struct ckpt_program, then the path of the program with a final zero */
    RECORD_ARGUMENTS = 2,  /* argv, each with a final zero */
    RECORD_PLACES = 3,     /* uint64_t[]: offsets in the table of places, outermost call first */
    RECORD_DESCRIPTOR = 4, /* struct ckpt_descriptor, then its path with a final zero; ascending numbers */
    RECORD_MACHINE = 5,    /* struct ckpt_machine */
    RECORD_VDSO = 6,       /* struct ckpt_vdso, then struct ckpt_vdso_entry[]; absent if the process had none */
    RECORD_REGION = 7,     /* struct ckpt_region; ascending and disjoint */
    RECORD_BYTES = 8,      /* uint64_t address, then what is there; within the region that was named last */
    RECORD_END = 9,        /* struct ckpt_end */
};

struct ckpt_file_header {
    char magic[8];
    uint32_t version;
    uint32_t elf_machine;
};

struct ckpt_record {
    uint32_t type; /* enum ckpt_record_type */
    uint32_t zero;
    uint64_t bytes; /* of payload, without padding */
};

/* Identity of a program: what of it is in memory and cannot be written to. */
struct ckpt_program {
    uint64_t bytes;
    uint32_t crc;
    uint32_t segments;
};

enum ckpt_descriptor_flags {
    DESCRIPTOR_REGULAR = 1,     /* a regular file: position and the fields below it are valid */
    DESCRIPTOR_REOPENABLE = 2,  /* path leads to the same file */
    DESCRIPTOR_FINGERPRINT = 4, /* tail_crc is valid */
    DESCRIPTOR_INHERITED = 8,   /* open since the start of the program */
};

struct ckpt_descriptor {
    int32_t number;
    uint32_t flags;       /* enum ckpt_descriptor_flags */
    int32_t status_flags; /* of fcntl(F_GETFL), with the access mode */
    int32_t fd_flags;     /* of fcntl(F_GETFD) */
    int32_t same_as;      /* a lower descriptor that shares the open file, or -1 */
    uint32_t tail_crc;    /* of the tail_bytes in front of position */
    int64_t position;     /* bytes */
    int64_t size;         /* bytes; of what this program takes the file to be */
    uint64_t device;
    uint64_t inode;
    int64_t tail_bytes;
};

enum { CKPT_CPU_WORDS = 6 };

/* What to set the processor and the kernel's idea of the address space to. */
struct ckpt_machine {
    uint64_t stack_pointer;
    uint64_t resume_address;
    uint64_t fs_base;
    uint64_t robust_list;
    uint64_t robust_list_bytes;
    uint64_t tid_address;
    uint64_t start_code, end_code, start_data, end_data; /* these and the rest as in prctl(PR_SET_MM_MAP) */
    uint64_t start_brk, brk, start_stack;
    uint64_t arg_start, arg_end, env_start, env_end;
    uint64_t caught_signals;      /* bit N - 1: signal N had a handler, or was ignored */
    uint32_t cpu[CKPT_CPU_WORDS]; /* features that the C library may have chosen code by */
};

/* The kernel's code in every process. The C library keeps pointers into it, so it has to be back where it was. */
struct ckpt_vdso {
    uint64_t start; /* of the first of the mappings [vvar...] and [vdso] */
    uint64_t code;  /* of [vdso] */
    uint64_t bytes; /* of [vdso] */
    uint32_t crc;   /* of [vdso] */
    uint32_t entries;
};

struct ckpt_vdso_entry {
    uint32_t offset; /* of the function in [vdso] */
    uint32_t system_call;
};

enum ckpt_region_flags { REGION_STACK = 1 };

struct ckpt_region {
    uint64_t start, end;
    uint32_t protection; /* PROT_* */
    uint32_t flags;      /* enum ckpt_region_flags */
};

struct ckpt_end {
    uint64_t bytes; /* of the file in front of this record */
    uint32_t crc;   /* CRC-32C of these bytes */
    uint32_t zero;
};

_Static_assert(sizeof(struct ckpt_file_header) == 16, "file format");
_Static_assert(sizeof(struct ckpt_record) == 16, "file format");
_Static_assert(sizeof(struct ckpt_program) == 16, "file format");
_Static_assert(sizeof(struct ckpt_descriptor) == 64, "file format");
_Static_assert(sizeof(struct ckpt_machine) == 18 * 8 + 24, "file format");
_Static_assert(sizeof(struct ckpt_vdso) == 32, "file format");
_Static_assert(sizeof(struct ckpt_region) == 24, "file format");
_Static_assert(sizeof(struct ckpt_end) == 16, "file format");

#endif
