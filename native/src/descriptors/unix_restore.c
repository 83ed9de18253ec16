/*
 * Unix sockets, making them again. In the first round sockets are made, named and, if they are of a stream, connected; in
 * the second their queues are filled by the sockets that sent what was in them; in the third datagram sockets are connected
 * (a connected one would take nothing from others), directions shut down and the options set.
 */
#include "descriptors/sockets.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define RECEIVE_SHUTDOWN 1
#define SEND_SHUTDOWN 2
#define FILL_BYTES (1 << 29) /* the kernel cuts it to what it allows */

/* ---- names ---- */

static bool is_path(const uint8_t *name, uint32_t size)
{
    return size && name[0];
}

static bool same_name(const struct unix_state *a, const uint8_t *name, uint32_t size)
{
    return a->name_size && a->name_size == size && !memcmp(a->name, name, size);
}

/* Goes to the folder that a relative name is relative to. Returns where we were, for leave_folder(), or -1. */
static int enter_folder(const struct unix_state *state)
{
    char folder[PATH_MAX];

    if (!state->folder_size)
        return -1;
    memcpy(folder, state->folder, state->folder_size);
    folder[state->folder_size] = 0;
    int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (before >= 0 && chdir(folder)) {
        close(before);
        return -1;
    }
    return before;
}

static void leave_folder(int before)
{
    if (before < 0)
        return;
    if (fchdir(before) < 0)
        errno = 0;
    close(before);
}

/*
 * Whether nobody is behind the socket file. Asked with a socket of another type: the kernel looks who is there before it
 * finds that the types differ, and nobody is disturbed.
 */
static bool is_stale(const struct unix_state *state, const struct sockaddr_un *address, socklen_t size)
{
    struct stat st;

    if (lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode))
        return false;
    auto_fd fd =
        socket(AF_UNIX, (state->type == SOCK_DGRAM ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)address, size) && errno == ECONNREFUSED;
}

static int bind_here(const struct unix_state *state, int fd)
{
    struct sockaddr_un address;
    socklen_t size = unix_address(&address, state->name, state->name_size);

    if (!bind(fd, (struct sockaddr *)&address, size))
        return 0;
    if (errno != EADDRINUSE || !is_path(state->name, state->name_size) || state->name_size >= sizeof address.sun_path)
        return -errno;
    if (!is_stale(state, &address, size))
        return -EADDRINUSE;
    if (unlink(address.sun_path))
        return -errno;
    return bind(fd, (struct sockaddr *)&address, size) ? -errno : 0;
}

static int name_bind(const struct description *description, const struct unix_state *state, int fd,
                     struct caesura_error *err)
{
    char text[sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = {0};

    /* cppcheck-suppress ctunullpointer ; a caller without a client has no state of it and does not come here */
    if (!state->name_size)
        return 0;
    memcpy(text, state->name, state->name_size);
    if (!text[0])
        text[0] = '@';
    int before = enter_folder(state);
    int rc = bind_here(state, fd);
    if (!rc && (state->name_flags & UNIX_NAME_FILE) && text[0] != '@')
        chmod(text, state->mode & 07777);
    leave_folder(before);
    if (rc == -EADDRINUSE) {
        error_set(err, CAESURA_EBUSY_, "the name %s of %s is in use by another process", text, description->name);
        return error_hint(err, "end the process that listens on %s, then restart", text);
    }
    return rc ? error_errno(err, -rc, "cannot give a socket its name %s", text) : 0;
}

static void name_unlink(const struct unix_state *state)
{
    struct sockaddr_un address;

    if (!is_path(state->name, state->name_size) || state->name_flags & UNIX_NAME_FILE ||
        !unix_address(&address, state->name, state->name_size) || state->name_size >= sizeof address.sun_path)
        return;
    int before = enter_folder(state);
    unlink(address.sun_path);
    leave_folder(before);
}

static int connect_to(int fd, const struct unix_state *state)
{
    struct sockaddr_un address;
    socklen_t size = unix_address(&address, state->name, state->name_size);
    int before = enter_folder(state), flags = fcntl(fd, F_GETFL), rc = 0;

    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (connect(fd, (struct sockaddr *)&address, size))
        rc = -errno;
    fcntl(fd, F_SETFL, flags);
    leave_folder(before);
    return rc;
}

/* ---- first round ---- */

static int make(const struct unix_state *state, struct caesura_error *err)
{
    int fd = socket(AF_UNIX, (int)state->type | SOCK_CLOEXEC, 0);
    return fd < 0 ? error_errno(err, errno, "cannot make a unix socket of type %u", state->type) : fd;
}

static bool is_valid_type(uint32_t type)
{
    return type == SOCK_STREAM || type == SOCK_DGRAM || type == SOCK_SEQPACKET;
}

static int open_alone(struct restore *restore, const struct description *description, const struct unix_state *state,
                      struct caesura_error *err)
{
    auto_fd fd = make(state, err);
    int rc = fd < 0 ? fd : name_bind(description, state, fd, err);

    if (!rc && state->role == UNIX_LISTENS && listen(fd, (int)state->backlog))
        rc = error_errno(err, errno, "cannot listen on %s", description->name);
    if (rc)
        return rc;
    options_restore(restore, description, fd, state->options, true);
    return restore_take(restore, description->id, fd_release(&fd), err);
}

/* A listener of the context with that name: what it accepts has the name, too. 0: none. */
static uint32_t find_listener(const struct restore *restore, const struct unix_state *named)
{
    for (uint32_t i = 0; named->name_size && i < restore->context->n_descriptions; i++) {
        const struct description *description = &restore->context->descriptions[i];
        struct unix_state state;
        if (description->kind == DESCRIPTION_UNIX && unix_state_decode(description, &state) &&
            state.role == UNIX_LISTENS && state.type == named->type && same_name(&state, named->name, named->name_size))
            return description->id;
    }
    return 0;
}

/* Connects client through a listener with the name of the server's end. Returns that end. */
static int accept_from(struct restore *restore, const struct description *description, const struct unix_state *server,
                       int client, struct caesura_error *err)
{
    uint32_t listener = find_listener(restore, server);
    auto_fd own = -1;
    int rc, end = -1;

    if (listener) {
        rc = restore_open(restore, listener, err);
    } else {
        own = make(server, err);
        rc = own < 0 ? own : name_bind(description, server, own, err);
        if (!rc && listen(own, 1))
            rc = error_errno(err, errno, "cannot listen in place of the closed listener of %s", description->name);
    }
    if (rc)
        return rc;
    int from = listener ? restore_fd(restore, listener) : own;
    rc = connect_to(client, server);
    if (!rc && (end = accept4(from, NULL, NULL, SOCK_CLOEXEC)) < 0)
        rc = -errno;
    if (!listener)
        name_unlink(server);
    return rc ? error_errno(err, -rc, "cannot connect %s", description->name) : end;
}

static int take_both(struct restore *restore, uint32_t id, int fd, uint32_t peer, int peer_fd,
                     struct caesura_error *err)
{
    int rc = restore_take(restore, id, fd, err);

    if (peer)
        return rc ? rc : restore_take(restore, peer, peer_fd, err);
    restore->descriptions->helpers[id] = restore_keep_fd(restore, peer_fd, err);
    return rc ? rc : restore->descriptions->helpers[id] < 0 ? restore->descriptions->helpers[id] : 0;
}

static int pair_by_socketpair(struct restore *restore, const struct description *description,
                              const struct unix_state *state, const struct description *peer,
                              const struct unix_state *peer_state, struct caesura_error *err)
{
    int ends[2];

    if (socketpair(AF_UNIX, (int)state->type | SOCK_CLOEXEC, 0, ends))
        return error_errno(err, errno, "cannot make a socket pair");
    int rc = name_bind(description, state, ends[0], err);
    if (!rc && peer)
        rc = name_bind(peer, peer_state, ends[1], err);
    options_restore(restore, description, ends[0], state->options, true);
    if (peer)
        options_restore(restore, peer, ends[1], peer_state->options, true);
    if (rc) {
        close(ends[0]);
        close(ends[1]);
        return rc;
    }
    return take_both(restore, description->id, ends[0], peer ? peer->id : 0, ends[1], err);
}

/* One end was accepted by a listener and so has its name. The other, the client, may have one of its own. */
static int pair_by_listener(struct restore *restore, const struct description *server,
                            const struct unix_state *server_state, const struct description *client,
                            const struct unix_state *client_state, struct caesura_error *err)
{
    auto_fd fd = make(server_state, err);
    int rc = fd < 0 ? fd : client ? name_bind(client, client_state, fd, err) : 0;
    if (rc)
        return rc;
    int end = accept_from(restore, server, server_state, fd, err);
    if (end < 0)
        return end;
    options_restore(restore, server, end, server_state->options, true);
    if (client)
        options_restore(restore, client, fd, client_state->options, true);
    return take_both(restore, server->id, end, client ? client->id : 0, fd_release(&fd), err);
}

/* A connected stream or seqpacket socket. peer NULL: it has been closed. */
static int open_connected(struct restore *restore, const struct description *description,
                          const struct unix_state *state, const struct description *peer,
                          const struct unix_state *peer_state, struct caesura_error *err)
{
    if (!state->name_size && (!peer || !peer_state->name_size))
        return pair_by_socketpair(restore, description, state, peer, peer_state, err);
    if (!peer)
        return pair_by_listener(restore, description, state, NULL, NULL, err);
    bool is_server = !peer_state->name_size || (state->name_size && find_listener(restore, state));
    return is_server ? pair_by_listener(restore, description, state, peer, peer_state, err)
                     : pair_by_listener(restore, peer, peer_state, description, state, err);
}

int unix_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct unix_state state, peer_state = {0};
    const struct description *peer = NULL;

    if (!unix_state_decode(description, &state) || !is_valid_type(state.type))
        return state_corrupt(description, err);
    if (state.role == UNIX_PEER) {
        peer = restore_description(restore, state.peer);
        if (!peer || peer == description || !unix_state_decode(peer, &peer_state) || peer_state.type != state.type ||
            (state.type != SOCK_DGRAM && (peer_state.role != UNIX_PEER || peer_state.peer != description->id)))
            return state_corrupt(description, err);
    }
    if (state.role != UNIX_PEER && state.role != UNIX_PEER_GONE)
        return open_alone(restore, description, &state, err);
    if (state.type != SOCK_DGRAM)
        return open_connected(restore, description, &state, peer, &peer_state, err);
    /* Datagram sockets with names are connected by name when their queues are full; others only a pair can connect. */
    bool mutual = peer && peer_state.role == UNIX_PEER && peer_state.peer == description->id;
    if (!peer || (mutual && (!state.name_size || !peer_state.name_size)))
        return pair_by_socketpair(restore, description, &state, peer, &peer_state, err);
    return peer_state.name_size ? open_alone(restore, description, &state, err) : state_corrupt(description, err);
}

/* ---- second round ---- */

/* A datagram socket of the context with that name that is free to send to anybody, or -1. */
static int find_sender(const struct restore *restore, const uint8_t *name, uint32_t size)
{
    for (uint32_t i = 0; i < restore->context->n_descriptions; i++) {
        const struct description *description = &restore->context->descriptions[i];
        struct unix_state state;
        if (description->kind == DESCRIPTION_UNIX && unix_state_decode(description, &state) &&
            state.type == SOCK_DGRAM && same_name(&state, name, size))
            return restore_fd(restore, description->id);
    }
    return -1;
}

/* The name within a sender's address, as state names are. */
static const uint8_t *sender_name(const struct message *message, uint32_t *size)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);

    *size = message->sender_size > head ? message->sender_size - (uint32_t)head : 0;
    const uint8_t *name = message->sender + head;
    if (*size && name[0])
        *size = (uint32_t)strnlen((const char *)name, *size);
    return name;
}

/* A sender that has been closed since: one with its name, if that is free, whose messages keep the name. */
static int make_sender(const struct restore *restore, const struct description *description, const uint8_t *name,
                       uint32_t size, struct caesura_error *err)
{
    struct unix_state sender = {.type = SOCK_DGRAM, .name = name, .name_size = size};
    int fd = make(&sender, err), room = FILL_BYTES;

    if (fd < 0)
        return fd;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (size && bind_here(&sender, fd))
        restore_note(restore, "%s: the name of the sender of an unread message is in use; the message will have none",
                     description->name);
    else
        name_unlink(&sender);
    return fd;
}

static int send_datagram(const struct restore *restore, const struct description *description,
                         const struct unix_state *state, const struct message *message, struct caesura_error *err)
{
    struct sockaddr_un address;
    uint32_t size;
    const uint8_t *name = sender_name(message, &size);
    auto_fd own = -1;
    int fd = size ? find_sender(restore, name, size) : -1;

    if (fd < 0)
        fd = own = make_sender(restore, description, name, size, err);
    if (fd < 0)
        return fd;
    socklen_t address_size = unix_address(&address, state->name, state->name_size);
    int before = enter_folder(state);
    int rc = message_send(restore, fd, message, &address, address_size);
    leave_folder(before);
    return rc;
}

int unix_fill(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct unix_state state;
    struct message message;
    int room = FILL_BYTES;

    if (!unix_state_decode(description, &state))
        return state_corrupt(description, err);
    struct reader messages = state.messages;
    uint32_t count = reader_u32(&messages);
    if (!count && !messages.failed)
        return 0;
    int sender =
        state.role == UNIX_PEER ? restore_fd(restore, state.peer) : restore->descriptions->helpers[description->id];
    struct unix_state peer_state = {0};
    const struct description *peer = restore_description(restore, state.peer);
    /* Connected by now, or not yet because it can be found by name: see unix_open(). */
    bool connected = state.type != SOCK_DGRAM || state.role == UNIX_PEER_GONE ||
                     (state.role == UNIX_PEER && peer && unix_state_decode(peer, &peer_state) &&
                      (!state.name_size || !peer_state.name_size));
    if (connected && sender < 0)
        return state_corrupt(description, err);
    if (sender >= 0)
        setsockopt(sender, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    for (; count; count--) {
        if (!message_next(&messages, &message))
            return state_corrupt(description, err);
        int rc = connected ? message_send(restore, sender, &message, NULL, 0)
                           : send_datagram(restore, description, &state, &message, err);
        if (rc) {
            error_errno(err, -rc, "cannot put the unread messages back into %s", description->name);
            return error_hint(err, "raise net.core.wmem_max or net.unix.max_dgram_qlen");
        }
    }
    return 0;
}

/* ---- third round ---- */

static int settle_connection(struct restore *restore, const struct description *description,
                             const struct unix_state *state, int fd, struct caesura_error *err)
{
    struct unix_state other = {.name = state->peer_name, .name_size = state->peer_name_size};
    const struct description *peer = restore_description(restore, state->peer);
    struct sockaddr_un has;
    socklen_t size = sizeof has;

    if (state->role != UNIX_BY_NAME && state->role != UNIX_WAITS &&
        (state->role != UNIX_PEER || state->type != SOCK_DGRAM))
        return 0;
    if (!getpeername(fd, (struct sockaddr *)&has, &size))
        return 0;
    if (state->role != UNIX_BY_NAME && (!peer || !unix_state_decode(peer, &other)))
        return state_corrupt(description, err);
    int rc = connect_to(fd, &other);
    if (rc && state->role == UNIX_BY_NAME) {
        restore_note(restore, "%s: the service it was connected to is not there: %s", description->name, strerror(-rc));
        return 0;
    }
    return rc ? error_errno(err, -rc, "cannot connect %s again", description->name) : 0;
}

int unix_settle(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    int fd = restore_fd(restore, description->id);
    struct unix_state state;

    if (fd < 0 || !unix_state_decode(description, &state))
        return state_corrupt(description, err);
    int rc = settle_connection(restore, description, &state, fd, err);
    if (rc)
        return rc;
    /* That of a peer that is gone comes with the closing of what stands for it. */
    uint32_t shut = state.role == UNIX_PEER_GONE && state.type != SOCK_DGRAM ? 0 : state.shutdown;
    if (shut & (RECEIVE_SHUTDOWN | SEND_SHUTDOWN))
        shutdown(fd, shut == RECEIVE_SHUTDOWN ? SHUT_RD : shut == SEND_SHUTDOWN ? SHUT_WR : SHUT_RDWR);
    options_restore(restore, description, fd, state.options, false);
    bool accepted = state.type != SOCK_DGRAM && (state.role == UNIX_PEER || state.role == UNIX_PEER_GONE);
    if (!accepted || find_listener(restore, &state) == 0)
        name_unlink(&state);
    return 0;
}
