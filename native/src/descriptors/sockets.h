/* sockets.h - what the sources about sockets share, beside kinds.h. */
#ifndef CAESURA_DESCRIPTORS_SOCKETS_H
#define CAESURA_DESCRIPTORS_SOCKETS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "descriptors/kinds.h"

/* ---- sock_diag.c ---- */

/* A unix socket as the kernel describes it (sock_diag(7)). */
struct unix_diag {
    uint32_t ino;
    uint8_t type, state, shutdown;
    bool has_peer;
    uint32_t peer;    /* inode number; 0: the peer has no descriptor (closed, or not yet accepted) */
    uint32_t backlog; /* of a listener */
    bool has_file;
    uint32_t file_ino; /* of its name in the file system */
    uint32_t *waiting; /* a listener's: inode numbers of who waits to be accepted; 0: gone */
    uint32_t n_waiting;
};

/** All unix sockets of our network namespace, once per capture. ENOSYS_ if the kernel has no unix_diag. */
int unix_diag_load(struct caesura_capture *capture, struct caesura_error *err);
const struct unix_diag *unix_diag_find(const struct caesura_capture *capture, uint64_t ino);

/* ---- socket_options.c ---- */

/** Appends the options of the socket that differ in kind: a count, then level, name and value of each. */
void options_capture(int fd, int domain, int type, struct buffer *state);
/** Sets those that are not as saved; reads past them. early: only those that matter before data comes. */
void options_restore(const struct restore *restore, const struct description *description, int fd,
                     struct reader options, bool early);
void options_skip(struct reader *state);

/* ---- messages.c ---- */

/* A piece of a receive queue: a datagram, or a run of bytes of a stream. Views into the state. */
struct message {
    const uint8_t *sender;
    uint32_t sender_size;
    const void *data;
    uint32_t size;
    struct reader rights; /* ids of descriptions that travel with it */
    uint32_t n_rights;
};

/** Appends what is unread in the queue of a unix or UDP socket: a count, then the messages. */
int messages_capture(const struct caesura_capture *capture, const struct seen *seen, int fd, struct buffer *state,
                     struct caesura_error *err);
/** The next message; false at a failure of the reader. */
bool message_next(struct reader *state, struct message *message);
/** Sends it from fd, which is connected (address NULL) or not. -errno on failure. */
int message_send(const struct restore *restore, int fd, const struct message *message, const void *address,
                 socklen_t size);

/* ---- inet_capture.c ---- */

/** Fills seen->ends, by which the two ends of a connection find each other. */
void inet_look(struct seen *seen, int fd);

enum inet_role {
    INET_ALONE = 0, /* TCP: not connected; UDP: perhaps connected, to an address */
    INET_LISTENS = 1,
    INET_PEER = 2, /* TCP, connected to description peer */
};

/* ---- unix_state.c ---- */

enum unix_role {
    UNIX_ALONE = 0, /* not connected */
    UNIX_LISTENS = 1,
    UNIX_PEER = 2,      /* connected to description peer */
    UNIX_PEER_GONE = 3, /* connected to a socket that has been closed */
    UNIX_WAITS = 4,     /* connected to listener peer, but not accepted yet */
    UNIX_BY_NAME = 5,   /* datagrams to a service outside, which is found again by its name */
};

enum unix_name_flags {
    UNIX_NAME_FILE = 0x1, /* the name in the file system is (still) that of this socket */
};

/* name and peer_name: the bytes of sun_path. Views into the state. */
struct unix_state {
    uint32_t type, role, peer, shutdown, backlog;
    const uint8_t *name;
    uint32_t name_size;
    uint32_t name_flags, mode;
    const uint8_t *peer_name;
    uint32_t peer_name_size;
    const uint8_t *folder; /* what a relative name is relative to */
    uint32_t folder_size;
    struct reader options;
    struct reader messages; /* count first */
};

void unix_state_encode(struct buffer *state, const struct unix_state *from); /* without options and messages */
/** EFORMAT-safe view of a state; false if it does not make sense. */
bool unix_state_decode(const struct description *description, struct unix_state *state);
/** The address of a name; 0 if it is too long. */
socklen_t unix_address(struct sockaddr_un *address, const uint8_t *name, uint32_t size);

#endif
