/*
 * internal.h - what the sources of files/ share. Nobody else includes it.
 *
 * Functions return 0 or a negated code with *err filled, unless they say otherwise.
 */
#ifndef CAESURA_FILES_INTERNAL_H
#define CAESURA_FILES_INTERNAL_H

#include <stdlib.h>
#include <unistd.h>

#include "files/files.h"

#define FILES_SMALL_BYTES (1u << 20) /* up to here a file is saved even if that is hardly ever needed */
#define FILES_BLOCK_BYTES 4096u      /* unit of comparing, and of what counts as a hole */

/* Cleanup attributes. */
static inline void files_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
static inline void files_free_memory(void *pointer)
{
    free(*(void **)pointer);
}
#define auto_close __attribute__((cleanup(files_close_fd)))
#define auto_free __attribute__((cleanup(files_free_memory)))

/* ---- both sides: identity.c, track.c, elf.c ---- */

static inline uint64_t files_time_ns(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
}

/** Fills the fields of file that come from stat. */
void identity_take(struct file *file, const struct stat *st);
/** Below a tmpfs for shared memory, which does not outlive the machine. */
bool identity_is_shm(const char *path);
/** Below folder (or the folder itself). */
bool identity_is_below(const char *path, const char *folder);
/** An NFS client's name for a file that was removed while open; it goes away when that is closed. */
bool identity_is_silly_rename(const char *path, uint64_t fs_type);
/** Whether size bytes are all zero. */
bool identity_is_zero(const uint8_t *data, size_t size);
/** Reads exactly size bytes, less only at the end of the file: *got. */
int identity_read(int fd, void *data, size_t size, uint64_t offset, const char *name, size_t *got,
                  struct caesura_error *err);
int identity_write(int fd, const void *data, size_t size, uint64_t offset, const char *name, struct caesura_error *err);
/**
 * The next range of a file that may hold data, at or after offset and before end: true, and [*from, *to). Where the file
 * system does not tell, everything may. Moves the file offset, so fd must be of a description of our own.
 */
bool identity_next_data(int fd, uint64_t offset, uint64_t end, uint64_t *from, uint64_t *to);
/**
 * Opens the regular file at path, of which the last component is no link, as an owner may whatever its mode. Returns the
 * descriptor (close-on-exec); EFILECHANGED if it is something else than a regular file, or the errno.
 */
int identity_open(const char *path, int flags, struct caesura_error *err);
/** EFILECHANGED naming what is at path now instead of a regular file. */
int identity_refuse_type(const char *path, mode_t mode, struct caesura_error *err);
/** A description of our own on the file of fd: through /proc/self/fd. Returns it, or -errno without filling an error. */
int identity_reopen(int fd, int flags);

/** The build-id of an ELF file; *id is left empty if it has none or is no ELF file. The bytes may be hostile. */
int elf_build_id(int fd, const char *name, struct blob *id, struct caesura_error *err);

/* What a walk below a --track path meets. Returning a negated code ends the walk with it. */
struct track_visitor {
    void *data;
    bool (*enter)(void *data, const char *path, const struct stat *st); /* whether to look into a folder */
    int (*file)(void *data, int folder_fd, const char *name, const char *path, const struct stat *st,
                struct caesura_error *err); /* a regular file */
    int (*trouble)(void *data, const char *path, int errno_value, struct caesura_error *err);
};
/**
 * Visits every regular file at or below root, in the order of names, never following a link and never leaving the file
 * system of root. A root that does not exist has no files.
 */
int track_walk(const char *root, const struct track_visitor *visitor, struct caesura_error *err);

/* ---- capture: set.c, decide.c, census.c, save.c ---- */

/* Beside context.files[i]. */
struct file_entry {
    int fd;             /* ours; -1: by name only */
    int pid, holder_fd; /* who holds it, inner pid; 0: nobody (--track) */
    uint32_t next;      /* with the same hash: index + 1; 0: the last */
};

struct file_set {
    struct file_entry *entries;
    uint32_t n_entries;
    uint32_t *buckets;  /* index + 1; 0: empty */
    uint32_t n_buckets; /* a power of two, or 0 */
};

/** Index of the file; with a path only the one of that name. UINT32_MAX if there is none. */
uint32_t file_set_find(const struct caesura_capture *capture, const struct stat *st, bool sysv, const char *path);
/** Adds a record with the fields of st and the path; *index is where. */
int file_set_add(struct caesura_capture *capture, const struct stat *st, uint32_t kind, const char *path,
                 uint32_t *index, struct caesura_error *err);
/**
 * Opens a noted file for reading, with a description of our own (*shared false) or, if only that is to be had, the one of
 * the scope, with which only pread() is allowed (*shared true). Returns the descriptor, or -errno.
 */
int file_set_open(const struct caesura_capture *capture, uint32_t index, bool *shared);

int files_take_census(struct caesura_capture *capture, struct caesura_error *err);

/** What of a file is saved; see docs/files.md. mapped: enum file_mapping bits. */
enum file_mapping { MAPPING_EXE = 0x1, MAPPING_PRIVATE = 0x2, MAPPING_SHARED = 0x4 };
enum file_content files_content(const struct caesura_capture_request *request, const struct file *file,
                                uint32_t mapped);

/* ---- restore: image.c, plan.c, aside.c, rollback.c, open.c ---- */

/* Which CONTENT sections belong to which file: chains in the order of the context. */
struct image_index {
    uint32_t *first;  /* [position of the file] index into source.data + 1; 0: none */
    uint32_t *next;   /* [index into source.data] */
    uint8_t *payload; /* of the section being looked at */
    size_t capacity;
};

/* What has to be done with a file. */
enum file_action {
    ACTION_NONE,    /* used as it is */
    ACTION_COMPARE, /* depends on its contents; plan_settle() decides */
    ACTION_CUT,     /* has grown: cut back */
    ACTION_REWRITE, /* changed: contents restored */
    ACTION_REPLACE, /* the same, by a new file renamed over */
    ACTION_MAKE,    /* gone: made again */
    ACTION_COPY,    /* gone or changed, and not ours to change: an unlinked copy of our own */
    ACTION_OBJECT,  /* never had a name */
};
struct file_plan {
    enum file_action action;
    bool known;
    const char *note; /* what to tell the user, or NULL; goes on "PATH ..." */
    struct stat st;   /* of what is there, unless ACTION_MAKE, _COPY of a missing file, _OBJECT */
};

struct files_state {
    struct image_index images;
    struct file_plan *plans; /* [position] */
    int *objects;            /* [position] files without a name, -1: not made yet */
    bool is_sealed;
    int aside_fd;
    dev_t aside_dev;
    ino_t aside_ino;
};

/** Makes restore->files if it is not there yet. */
int files_state_get(struct restore *restore, struct files_state **state, struct caesura_error *err);
/** Position of a file in context->files; UINT32_MAX if there is none with that id. */
uint32_t files_position(const struct context *context, uint32_t id);

int image_index_make(const struct context_source *source, struct image_index *index, struct caesura_error *err);
void image_index_free(struct image_index *index);
/** Whether the first file->size bytes of fd are the saved contents. */
int image_matches(const struct restore *restore, uint32_t position, int fd, bool *matches, struct caesura_error *err);
/** Makes fd the saved contents, writing only blocks that differ. */
int image_rewrite(const struct restore *restore, uint32_t position, int fd, struct caesura_error *err);
/** Fills an empty file with the saved contents; holes stay holes. */
int image_fill(const struct restore *restore, uint32_t position, int fd, struct caesura_error *err);

/** Whether the scope could change the file, so that it is rolled back where it is. */
bool plan_is_rolled_back(const struct file *file);
/** What can be told without reading contents, and whether the restart has to be refused. path is the relocated one. */
int plan_look(const struct restore *restore, const struct file *file, const char *path, struct file_plan *plan,
              struct caesura_error *err);
/** Turns ACTION_COMPARE into what has to be done; needs restore->files. */
int plan_settle(const struct restore *restore, uint32_t position, const char *path, struct file_plan *plan,
                struct caesura_error *err);

/** Opens options.aside, made 0700 if it is not there. EUNTRUSTED if others could change it. */
int aside_open(struct restore *restore, struct caesura_error *err);
/**
 * Copies [from, end) of fd into a new file in options.aside, on stable storage when this returns. *name (heap) is its name
 * there. kind: "tail" (then from is part of the name) or "replaced".
 */
int aside_copy(struct restore *restore, int fd, const char *path, const char *kind, uint64_t from, char **name,
               struct caesura_error *err);
/** Moves the file name of folder_fd into options.aside; *kept as above. */
int aside_move(struct restore *restore, int folder_fd, const char *name, const char *path, char **kept,
               struct caesura_error *err);

/** If the scope has a /dev/shm of its own: notes all files in it, and says so in the scope's record. */
int files_take_private_shm(struct caesura_capture *capture, struct caesura_error *err);
/** Warns of files that the requester could not open again by their paths. */
void files_tell_closed(struct caesura_capture *capture);
/** Whether our own standard streams can stand in for all that the scope has of the file. path is the relocated one. */
bool files_is_own_stream(const struct restore *restore, const struct file *file, const char *path);

/** Owner, mode and modification time as saved, as far as permitted. */
void files_restore_attributes(const struct file *file, int fd);
/** Modification time only. */
void files_restore_mtime(const struct file *file, int fd);
/** Moves what came into the --track paths after the checkpoint to options.aside. */
int files_clear_tracked(struct restore *restore, struct caesura_error *err);

#endif
