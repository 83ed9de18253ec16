/* Internet sockets, making them again. */
#include "descriptors/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * The ports of the former processes may be busy for a moment after these ended: the kernel lets a port of the loopback
 * interface be used again after one second.
 */
#define RETRY_NS 50000000l
#define RETRIES 60
#define FILL_TIMEOUT_MS 2000
#define ACCEPTS_MAX 64

struct inet_state {
    uint32_t domain, type, role, peer, shut, backlog;
    const void *own, *other;
    uint32_t own_size, other_size;
    struct reader options, messages;
};

static bool state_decode(const struct description *description, struct inet_state *state)
{
    struct reader reader = state_reader(description);

    *state = (struct inet_state){0};
    state->domain = reader_u32(&reader);
    state->type = reader_u32(&reader);
    state->role = reader_u32(&reader);
    state->peer = reader_u32(&reader);
    state->shut = reader_u32(&reader);
    state->backlog = reader_u32(&reader);
    state->own_size = reader_u32(&reader);
    state->own = reader_bytes(&reader, state->own_size);
    state->other_size = reader_u32(&reader);
    state->other = reader_bytes(&reader, state->other_size);
    state->options = reader;
    options_skip(&reader);
    state->messages = reader;
    return description->kind == DESCRIPTION_INET && !reader.failed && state->role <= INET_PEER &&
           (state->domain == AF_INET || state->domain == AF_INET6) &&
           (state->type == SOCK_STREAM || state->type == SOCK_DGRAM) &&
           state->own_size <= sizeof(struct sockaddr_in6) && state->other_size <= sizeof(struct sockaddr_in6);
}

static uint16_t port_of(const void *address, uint32_t size)
{
    struct sockaddr_in v4 = {0};

    /* sin_port and sin6_port are at the same place. */
    memcpy(&v4, address, size < sizeof v4 ? size : sizeof v4);
    return ntohs(v4.sin_port);
}

static bool should_retry(int errno_value)
{
    return errno_value == EADDRINUSE || errno_value == EADDRNOTAVAIL;
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
}

static int bind_own(const struct description *description, const struct inet_state *state, int fd,
                    struct caesura_error *err)
{
    int rc = 0;

    for (int i = 0; i < RETRIES; i++) {
        if (!bind(fd, state->own, state->own_size))
            return 0;
        rc = errno;
        if (rc != EADDRINUSE)
            break;
        pause_briefly();
    }
    if (rc == EADDRINUSE) {
        error_set(err, CAESURA_EBUSY_, "port %u of %s is in use", port_of(state->own, state->own_size),
                  description->name);
        return error_hint(err, "end the process that uses it (see ss -lntup), then restart");
    }
    return error_errno(err, rc, "cannot bind %s to port %u", description->name, port_of(state->own, state->own_size));
}

static int make(const struct restore *restore, const struct description *description, const struct inet_state *state,
                bool reuse, struct caesura_error *err)
{
    int on = 1, fd = socket((int)state->domain, (int)state->type | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return error_errno(err, errno, "cannot make an internet socket");
    /* Those about sharing addresses have to come before the binding. */
    options_restore(restore, description, fd, state->options, false);
    if (reuse)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return fd;
}

/* ---- connections ---- */

static uint32_t find_listener(const struct restore *restore, const struct inet_state *server)
{
    for (uint32_t i = 0; i < restore->context->n_descriptions; i++) {
        const struct description *description = &restore->context->descriptions[i];
        struct inet_state state;
        if (description->kind == DESCRIPTION_INET && state_decode(description, &state) && state.role == INET_LISTENS &&
            port_of(state.own, state.own_size) == port_of(server->own, server->own_size))
            return description->id;
    }
    return 0;
}

static int connect_retrying(int fd, const struct inet_state *client)
{
    for (int i = 0; i < RETRIES; i++) {
        if (!connect(fd, client->other, client->other_size))
            return 0;
        if (!should_retry(errno))
            break;
        pause_briefly();
    }
    return -errno;
}

/* Accepts until it is our own client's turn; strangers that came first are sent away. */
static int accept_own(int listener, const struct inet_state *client)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage from = {0};
        socklen_t size = sizeof from;
        int fd = accept4(listener, (struct sockaddr *)&from, &size, SOCK_CLOEXEC);
        if (fd < 0)
            return -errno;
        if (port_of(&from, size) == port_of(client->own, client->own_size))
            return fd;
        close(fd);
    }
    return -EBUSY;
}

static int make_connection(struct restore *restore, const struct description *server,
                           const struct inet_state *server_state, const struct description *client,
                           const struct inet_state *client_state, struct caesura_error *err)
{
    uint32_t listener = find_listener(restore, server_state);
    auto_fd own = -1;
    int rc, end = -1;

    if (listener) {
        rc = restore_open(restore, listener, err);
    } else {
        own = make(restore, server, server_state, true, err);
        rc = own < 0 ? own : bind_own(server, server_state, own, err);
        if (!rc && listen(own, 1))
            rc = error_errno(err, errno, "cannot listen in place of the closed listener of %s", server->name);
    }
    auto_fd fd = rc ? -1 : make(restore, client, client_state, true, err);
    if (!rc)
        rc = fd < 0 ? fd : bind_own(client, client_state, fd, err);
    if (rc)
        return rc;
    rc = connect_retrying(fd, client_state);
    if (!rc && (end = accept_own(listener ? restore_fd(restore, listener) : own, client_state)) < 0)
        rc = end;
    if (rc)
        return error_errno(err, -rc, "cannot connect port %u with port %u again",
                           port_of(client_state->own, client_state->own_size),
                           port_of(server_state->own, server_state->own_size));
    rc = restore_take(restore, server->id, end, err);
    int taken = fd;
    fd = -1;
    return rc ? (close(taken), rc) : restore_take(restore, client->id, taken, err);
}

static int open_connection(struct restore *restore, const struct description *description,
                           const struct inet_state *state, struct caesura_error *err)
{
    const struct description *peer = restore_description(restore, state->peer);
    struct inet_state peer_state;

    if (!peer || peer == description || !state_decode(peer, &peer_state) || peer_state.role != INET_PEER ||
        peer_state.peer != description->id)
        return state_corrupt(description, err);
    return find_listener(restore, state) ? make_connection(restore, description, state, peer, &peer_state, err)
                                         : make_connection(restore, peer, &peer_state, description, state, err);
}

int inet_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct inet_state state;

    if (!state_decode(description, &state))
        return state_corrupt(description, err);
    if (state.role == INET_PEER)
        return open_connection(restore, description, &state, err);
    auto_fd fd = make(restore, description, &state, false, err);
    int rc = fd < 0 ? fd : 0;
    if (!rc && port_of(state.own, state.own_size))
        rc = bind_own(description, &state, fd, err);
    if (!rc && state.role == INET_LISTENS && listen(fd, (int)state.backlog))
        rc = error_errno(err, errno, "cannot listen on port %u", port_of(state.own, state.own_size));
    if (rc)
        return rc;
    return restore_take(restore, description->id, fd_release(&fd), err);
}

/* ---- unread data ---- */

static int fill_stream(const struct restore *restore, const struct message *message, int fd)
{
    struct message rest = *message;
    struct pollfd poller = {.fd = fd, .events = POLLOUT};

    (void)restore;
    while (rest.size) {
        ssize_t sent = send(fd, rest.data, rest.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            if (poll(&poller, 1, FILL_TIMEOUT_MS) <= 0)
                return -EAGAIN;
            continue;
        }
        if (sent < 0)
            return -errno;
        rest.data = (const uint8_t *)rest.data + sent;
        rest.size -= (uint32_t)sent;
    }
    return 0;
}

/* A datagram from a socket of the scope is sent by that again; others are lost, which programs that use UDP expect. */
static void fill_datagram(const struct restore *restore, const struct description *description,
                          const struct inet_state *state, const struct message *message)
{
    int sender = -1;

    for (uint32_t i = 0; i < restore->context->n_descriptions && sender < 0; i++) {
        const struct description *other = &restore->context->descriptions[i];
        struct inet_state candidate;
        if (other->kind == DESCRIPTION_INET && state_decode(other, &candidate) && candidate.type == SOCK_DGRAM &&
            port_of(candidate.own, candidate.own_size) == port_of(message->sender, message->sender_size))
            sender = restore_fd(restore, other->id);
    }
    if (sender < 0 || message_send(restore, sender, message, state->own, state->own_size))
        restore_note(restore, "%s: an unread datagram from port %u outside of the scope is left out", description->name,
                     port_of(message->sender, message->sender_size));
}

int inet_fill(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct inet_state state;
    struct message message;

    if (!state_decode(description, &state))
        return state_corrupt(description, err);
    struct reader messages = state.messages;
    for (uint32_t count = reader_u32(&messages); count; count--) {
        if (!message_next(&messages, &message))
            return state_corrupt(description, err);
        int rc = 0;
        if (state.role == INET_PEER)
            rc = fill_stream(restore, &message, restore_fd(restore, state.peer));
        else if (state.type == SOCK_DGRAM)
            fill_datagram(restore, description, &state, &message);
        if (rc)
            return error_errno(err, -rc, "cannot put the unread data back into %s", description->name);
    }
    return 0;
}

int inet_settle(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    int fd = restore_fd(restore, description->id);
    struct inet_state state;

    if (fd < 0 || !state_decode(description, &state))
        return state_corrupt(description, err);
    if (state.type == SOCK_DGRAM && state.other_size && connect(fd, state.other, state.other_size))
        restore_note(restore, "%s: cannot be connected to port %u again: %s", description->name,
                     port_of(state.other, state.other_size), strerror(errno));
    if (state.role == INET_PEER)
        options_restore(restore, description, fd, state.options, false);
    if (state.shut)
        shutdown(fd, SHUT_WR);
    return 0;
}
