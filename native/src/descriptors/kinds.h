/*
 * kinds.h - what the sources of descriptors/ share. Nobody else includes it.
 *
 * A kind of description is a row of kinds[] in kinds.c: to add one, write its functions in a file of its own
 * and add the row. Functions return 0, or a negated code with *err filled, unless they say otherwise.
 */
#ifndef CAESURA_DESCRIPTORS_KINDS_H
#define CAESURA_DESCRIPTORS_KINDS_H

#include <limits.h>
#include <sys/stat.h>

#include "core/error.h"
#include "descriptors/descriptors.h"
#include "proc/fdinfo.h"

/* ---- cleanup ---- */

void cleanup_fd(int *fd);           /* closes if >= 0 */
void cleanup_memory(void *pointer); /* frees *pointer */
void cleanup_buffer(struct buffer *buffer);
/** The descriptor, which the variable gives up. */
int fd_release(int *fd);
#define auto_fd __attribute__((cleanup(cleanup_fd))) int
#define auto_memory __attribute__((cleanup(cleanup_memory)))
#define auto_buffer __attribute__((cleanup(cleanup_buffer))) struct buffer

/* ---- capture ---- */

/* A descriptor of a target. */
struct holder {
    uint32_t target; /* index in capture->targets */
    int fd;
    uint32_t description; /* id */
    uint32_t cloexec;
    uint64_t position;
    uint32_t flags;
    dev_t dev;
    ino_t ino;
    mode_t mode;
    bool is_path; /* O_PATH */
    bool travels; /* fd is ours: it was found in a queue of the target's descriptor at_fd */
    int at_fd;
};

/* An open file description while it is being looked at. Its record is context.descriptions[id - 1]. */
struct seen {
    uint32_t id;
    uint32_t target; /* one of those that hold it */
    int fd;          /* there, for messages */
    int own;         /* a descriptor of ours if nobody holds it: it travels through the socket at fd; else -1 */
    uint32_t first_holder, n_holders;   /* in description_set.by_description */
    uint32_t inode_first;               /* id of the first description with the same device and inode number */
    uint32_t inode_next;                /* id of the next one; 0: none */
    const struct kind_operations *kind; /* NULL: refused */
    struct stat st;
    uint64_t fs_type;            /* statfs f_type of regular files and folders */
    int domain, type, protocol;  /* sockets */
    uint64_t ends, ends_swapped; /* connected TCP: checksum of (own address, other's), and of the two exchanged */
    bool outside;                /* pipes, on the one at inode_first: the other end is outside of the scope */
    struct fdinfo info;
};

/* A lock as fdinfo of a holder showed it. */
struct seen_lock {
    uint32_t holder; /* index */
    struct fdinfo_lock lock;
};

struct queue;
struct unix_diag;
void unix_diag_free(struct unix_diag *list, size_t count);

struct description_set {
    struct seen *seen; /* [id - 1] */
    uint32_t n_seen;
    struct holder *holders;     /* by target, then fd; then those that travel */
    uint32_t n_holders, n_held; /* with, without those that travel */
    struct queue *queues;       /* by inode number; private to messages.c */
    uint32_t n_queues;
    struct seen_lock *locks;
    uint32_t n_locks;
    uint32_t *by_description;    /* indices of holders, those of one description together */
    const struct seen **sockets; /* by inode number */
    uint32_t n_sockets;
    struct unix_diag *unix_sockets; /* by inode number; loaded when first needed */
    size_t n_unix_sockets;
    bool unix_loaded;
};

/* Who holds a descriptor for kcmp(), and at which number. */
struct place {
    pid_t task;
    int fd;
};
struct place seen_place(const struct caesura_capture *capture, const struct seen *seen);
struct place holder_place(const struct caesura_capture *capture, const struct holder *holder);
/** kcmp() of two descriptors: 0 the same description, 1 and 2 an order, -1 with errno. */
long place_compare(struct place a, struct place b);
/**
 * In messages.c: looks into the queues of all unix sockets listed so far, once each, and adds holders for the descriptors
 * that travel in them.
 */
int queues_list(struct caesura_capture *capture, struct caesura_error *err);
void queues_free(struct description_set *set);

struct description *seen_record(const struct caesura_capture *capture, const struct seen *seen);
const struct seen *seen_by_id(const struct caesura_capture *capture, uint32_t id);
/** A duplicate of the description for us, close-on-exec; the caller closes it. Negated code on failure. */
int seen_open(const struct caesura_capture *capture, const struct seen *seen, struct caesura_error *err);
/** capture_refuse() with pid and descriptor of seen. Returns 0, so that it can end a return statement. */
int seen_refuse(struct caesura_capture *capture, const struct seen *seen, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int32_t seen_pid(const struct caesura_capture *capture, const struct seen *seen);
/** Lowest of 0, 1 and 2 at which a target holds it, or -1. */
int seen_stdio(const struct caesura_capture *capture, const struct seen *seen);
/** The description of the scope with this device and inode number that is the same as our descriptor fd; NULL: none. */
const struct seen *seen_same_as(const struct caesura_capture *capture, int fd);
/** Some description with that inode number on the file system of sockets; NULL: none in the scope. */
const struct seen *seen_socket(const struct caesura_capture *capture, uint64_t ino);
/** The holder of descriptor fd in a target's table; NULL: none. */
const struct holder *holder_find(const struct caesura_capture *capture, uint32_t target, int fd);
/** The target (index) whose pid, as we see it, is pid; UINT32_MAX: none in the scope. */
uint32_t target_by_pid(const struct caesura_capture *capture, pid_t pid);
/** kcmp() with any task that still has the table of the target. */
long target_compare(const struct target *a, const struct target *b, int type, unsigned long x, unsigned long y);
pid_t target_task(const struct target *target);

/** Moves the bytes into description->state; the buffer is empty afterwards. */
int state_set(struct description *description, struct buffer *state, struct caesura_error *err);

int locks_capture(struct caesura_capture *capture, struct caesura_error *err);
int owner_capture(struct caesura_capture *capture, const struct seen *seen, int fd, struct caesura_error *err);

/* ---- restore ---- */

/* What the builder remembers between descriptors_open() and descriptors_close(). */
struct description_restore {
    const struct description **by_id; /* n_descriptions + 1 entries */
    int outside[3];                   /* cr_restart's own stdin, stdout, stderr, at fd_base or above; -1: closed */
    bool *is_own;                     /* [id] one of these: others share its position and flags */
    int *helpers;                     /* [id] a descriptor needed while making this one (the peer that ended), or -1 */
    struct {
        int send, receive; /* connect sends the description to whoever peeks at it: finish, in each stub; or -1 */
    } * late;              /* [id] */
    uint32_t n_late;
};

/** Refused contexts: ECORRUPT about description. Returns -ECORRUPT. */
int state_corrupt(const struct description *description, struct caesura_error *err);
/** A reader of description->state. */
struct reader state_reader(const struct description *description);
/** By id; NULL if there is none. */
const struct description *restore_description(const struct restore *restore, uint32_t id);
/** The builder's descriptor of a description that is open already; -1: not. */
int restore_fd(const struct restore *restore, uint32_t id);
/** Makes the description now if that was not done, for kinds that need each other. */
int restore_open(struct restore *restore, uint32_t id, struct caesura_error *err);
/** Takes fd (closing it) as the one of description id. fd < 0: returns fd, so that an opening call can be the argument. */
int restore_take(struct restore *restore, uint32_t id, int fd, struct caesura_error *err);
/** path after relocation, opened; flags are cleaned of those that create or truncate. */
int restore_open_path(const struct restore *restore, const char *path, uint32_t flags, struct caesura_error *err);
/** path without " (deleted)" if it ends so; heap memory. */
char *path_undeleted(const char *path, bool *deleted);

int locks_open(struct restore *restore, struct caesura_error *err);
int locks_install(struct restore *restore, const struct process *process, struct caesura_error *err);
int owners_connect(struct restore *restore, struct caesura_error *err);
int epoll_connect(struct restore *restore, struct caesura_error *err);

/* ---- kinds ---- */

struct kind_operations {
    uint32_t kind;    /* enum description_kind */
    const char *name; /* for messages */
    /* Is it one? In the order of the table; sees seen with everything but kind and what follows it filled. */
    bool (*probe)(const struct caesura_capture *capture, const struct seen *seen);
    /* Looks at it through fd, which is a duplicate of ours: fills state, file and perhaps another kind of the record. */
    int (*capture)(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err);
    /* Makes it and hands it to restore_take(). Flags, position and owner are set for all kinds in one place. */
    int (*open)(struct restore *restore, const struct description *description, struct caesura_error *err);
    /* When all are open: data in flight. May be NULL. */
    int (*fill)(struct restore *restore, const struct description *description, struct caesura_error *err);
    /* When all are filled: connections that data had to come before, options. May be NULL. */
    int (*settle)(struct restore *restore, const struct description *description, struct caesura_error *err);
    /* May be NULL. True for those that descriptors_connect() opens, because they need processes. */
    bool (*is_late)(const struct restore *restore, const struct description *description);
    /* Not to be treated with F_SETFL and lseek() by the common code. */
    bool keeps_flags;
};

/** The row for a kind of a record, or NULL. */
const struct kind_operations *kind_find(uint32_t kind);
/** The row that a description belongs to, or NULL: then *what names it and *remedy says what to do. */
const struct kind_operations *kind_probe(const struct caesura_capture *capture, const struct seen *seen, char *what,
                                         size_t size, const char **remedy);

/* plain.c */
bool file_probe(const struct caesura_capture *, const struct seen *);
int file_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int file_open(struct restore *, const struct description *, struct caesura_error *);
bool folder_probe(const struct caesura_capture *, const struct seen *);
int folder_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int folder_open(struct restore *, const struct description *, struct caesura_error *);
bool device_probe(const struct caesura_capture *, const struct seen *);
int device_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int device_open(struct restore *, const struct description *, struct caesura_error *);
bool path_probe(const struct caesura_capture *, const struct seen *);
int path_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int path_open(struct restore *, const struct description *, struct caesura_error *);

/* procfs.c */
bool proc_probe(const struct caesura_capture *, const struct seen *);
int proc_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int proc_open(struct restore *, const struct description *, struct caesura_error *);
bool proc_is_late(const struct restore *, const struct description *);
bool namespace_probe(const struct caesura_capture *, const struct seen *);
int namespace_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int namespace_open(struct restore *, const struct description *, struct caesura_error *);
bool process_fd_probe(const struct caesura_capture *, const struct seen *);
int process_fd_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int process_fd_open(struct restore *, const struct description *, struct caesura_error *);
bool process_fd_is_late(const struct restore *, const struct description *);

/* outside.c */
enum outside_what { OUTSIDE_PIPE = 1, OUTSIDE_TERMINAL = 2, OUTSIDE_SOCKET = 3 };
/** Turns the record into DESCRIPTION_OUTSIDE; data (may be NULL) is what a reader of the scope had not read yet. */
int outside_capture(struct caesura_capture *capture, struct seen *seen, enum outside_what what, struct buffer *data,
                    struct caesura_error *err);
int outside_open(struct restore *, const struct description *, struct caesura_error *);
/** The builder's descriptor for number fd of a process: like restore_fd(), but 0, 1 and 2 keep apart. */
int outside_fd(const struct restore *restore, const struct description *description, int fd);

/* pipes.c */
bool pipe_probe(const struct caesura_capture *, const struct seen *);
int pipe_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int pipe_open(struct restore *, const struct description *, struct caesura_error *);
bool fifo_probe(const struct caesura_capture *, const struct seen *);
int fifo_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int fifo_open(struct restore *, const struct description *, struct caesura_error *);
/** Appends capacity and unread data of the pipe or FIFO fd (a reading end), which stay in it. packets: pipe2(2), O_DIRECT. */
int pipe_data_capture(int fd, const char *name, struct buffer *state, bool packets, struct caesura_error *err);
/** Writes what pipe_data_capture() saved into the pipe fd (a writing end), whose capacity it sets. */
int pipe_data_write(const struct description *description, struct reader *data, int fd, struct caesura_error *err);

/* tty.c */
bool tty_probe(const struct caesura_capture *, const struct seen *);
int tty_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int tty_open(struct restore *, const struct description *, struct caesura_error *);
int tty_settle(struct restore *, const struct description *, struct caesura_error *);

/* unix_capture.c, unix_restore.c */
bool unix_probe(const struct caesura_capture *, const struct seen *);
int unix_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int unix_open(struct restore *, const struct description *, struct caesura_error *);
int unix_fill(struct restore *, const struct description *, struct caesura_error *);
int unix_settle(struct restore *, const struct description *, struct caesura_error *);

/* inet_capture.c, inet_restore.c */
bool inet_probe(const struct caesura_capture *, const struct seen *);
int inet_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int inet_open(struct restore *, const struct description *, struct caesura_error *);
int inet_fill(struct restore *, const struct description *, struct caesura_error *);
int inet_settle(struct restore *, const struct description *, struct caesura_error *);

/* events.c, epoll.c, inotify.c */
bool eventfd_probe(const struct caesura_capture *, const struct seen *);
int eventfd_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int eventfd_open(struct restore *, const struct description *, struct caesura_error *);
bool timerfd_probe(const struct caesura_capture *, const struct seen *);
int timerfd_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int timerfd_open(struct restore *, const struct description *, struct caesura_error *);
bool signalfd_probe(const struct caesura_capture *, const struct seen *);
int signalfd_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int signalfd_open(struct restore *, const struct description *, struct caesura_error *);
bool epoll_probe(const struct caesura_capture *, const struct seen *);
int epoll_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int epoll_open(struct restore *, const struct description *, struct caesura_error *);
bool inotify_probe(const struct caesura_capture *, const struct seen *);
int inotify_capture(struct caesura_capture *, struct seen *, int fd, struct caesura_error *);
int inotify_open(struct restore *, const struct description *, struct caesura_error *);

#endif
