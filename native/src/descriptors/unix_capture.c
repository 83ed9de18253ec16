/* Unix sockets, looking: names, who is connected to whom, what is unread. */
#include "descriptors/sockets.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DIAG_LISTEN 10
#define NAME_MAX_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

bool unix_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    (void)capture;
    return seen->type && seen->domain == AF_UNIX;
}

static uint32_t take_name(const struct sockaddr_un *address, socklen_t size)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    uint32_t length = size <= head ? 0 : (uint32_t)(size - head);

    /* A path is shown with its NUL; a name in the abstract space begins with one and may hold more. */
    if (length && address->sun_path[0])
        length = (uint32_t)strnlen(address->sun_path, length);
    return length > NAME_MAX_BYTES ? (uint32_t)NAME_MAX_BYTES : length;
}

static void print_name(const struct sockaddr_un *address, uint32_t size, char *text, size_t room)
{
    if (!size)
        snprintf(text, room, "without a name");
    else if (address->sun_path[0])
        snprintf(text, room, "%.*s", (int)size, address->sun_path);
    else
        snprintf(text, room, "@%.*s", (int)size - 1, address->sun_path + 1);
}

/* Services whose clients only ever send, and that are found again by name. */
static bool is_one_way_service(int type, const char *name)
{
    static const char *const names[] = {"/dev/log", "/run/systemd/journal/dev-log", "/run/systemd/journal/socket",
                                        "/run/systemd/journal/syslog", "/run/systemd/notify"};
    for (size_t i = 0; type == SOCK_DGRAM && i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

/* The listener in whose queue a connecting socket waits. */
static const struct unix_diag *find_listener(const struct caesura_capture *capture, uint32_t ino)
{
    const struct description_set *set = capture->descriptions;

    for (size_t i = 0; i < set->n_unix_sockets; i++)
        for (uint32_t k = 0; k < set->unix_sockets[i].n_waiting; k++)
            if (set->unix_sockets[i].waiting[k] == ino)
                return &set->unix_sockets[i];
    return NULL;
}

/* Who is at the other end: fills role and peer. *done: it was refused, or is OUTSIDE. */
static int find_role(struct caesura_capture *capture, struct seen *seen, int fd, const struct unix_diag *diag,
                     struct unix_state *state, bool *done, struct caesura_error *err)
{
    const char *own = seen_record(capture, seen)->name;
    int unsent = 0;

    if (diag->state == DIAG_LISTEN) {
        state->role = UNIX_LISTENS;
        state->backlog = diag->backlog;
        return 0;
    }
    if (!diag->has_peer)
        return 0;
    const struct unix_diag *listener = diag->peer ? NULL : find_listener(capture, diag->ino);
    const struct seen *peer = seen_socket(capture, listener ? listener->ino : diag->peer ? diag->peer : UINT64_MAX);
    if (!diag->peer && !listener) {
        state->role = UNIX_PEER_GONE;
        return 0;
    }
    if (peer) {
        state->role = listener ? UNIX_WAITS : UNIX_PEER;
        state->peer = peer->id;
        const struct unix_diag *back = unix_diag_find(capture, peer->st.st_ino);
        if (seen->type == SOCK_DGRAM && !state->peer_name_size && (!back || back->peer != diag->ino)) {
            *done = true;
            return seen_refuse(capture, seen, "give the other socket a name, or connect it back",
                               "unix %s, connected to a socket without a name that is not connected back", own);
        }
        if (!listener || (!ioctl(fd, TIOCOUTQ, &unsent) && !unsent))
            return 0;
        *done = true;
        return seen_refuse(capture, seen, "try again when the server has accepted the connection",
                           "unix %s, with data sent over a connection that the server has not accepted yet", own);
    }
    if (state->role == UNIX_ALONE && is_one_way_service((int)state->type, (const char *)state->peer_name)) {
        state->role = UNIX_BY_NAME;
        return 0;
    }
    *done = true;
    if (seen_stdio(capture, seen) >= 0)
        return outside_capture(capture, seen, OUTSIDE_SOCKET, NULL, err);
    struct ucred who = {0};
    socklen_t size = sizeof who;
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
    return seen_refuse(
        capture, seen,
        "close the connection before the checkpoint, or take the process at its other end into the scope",
        "unix %s, connected to %s%s (process %d outside of the scope)", own, state->peer_name_size ? "" : "a socket ",
        state->peer_name_size ? (const char *)state->peer_name : "without a name", who.pid);
}

/* Whether the name in the file system is that of this socket, what it is relative to, and its mode. */
static void find_file(const struct caesura_capture *capture, const struct seen *seen, const struct unix_diag *diag,
                      const char *name, struct unix_state *state, char *folder, size_t room)
{
    char path[PATH_MAX + 128], link[64];
    struct stat st;

    folder[0] = 0;
    snprintf(path, sizeof path, "%s", name);
    if (name[0] != '/') {
        /* Relative to where the process was when it bound it: where it is now is the best guess there is. */
        snprintf(link, sizeof link, "/proc/%d/cwd", capture->targets[seen->target].pid);
        ssize_t size = readlink(link, folder, room - 1);
        folder[size > 0 ? size : 0] = 0;
        snprintf(path, sizeof path, "%s/%s", folder, name);
        state->folder = (const uint8_t *)folder;
        state->folder_size = (uint32_t)strlen(folder);
    }
    if (diag->has_file && !stat(path, &st) && S_ISSOCK(st.st_mode) && (uint32_t)st.st_ino == diag->file_ino) {
        state->name_flags |= UNIX_NAME_FILE;
        state->mode = st.st_mode & 07777;
    }
}

/* A listener's clients from outside would wait for ever for what will be another server. */
static void warn_of_waiting(struct caesura_capture *capture, const struct seen *seen, const struct unix_diag *diag)
{
    uint32_t outside = 0;

    for (uint32_t i = 0; i < diag->n_waiting; i++)
        outside += !diag->waiting[i] || !seen_socket(capture, diag->waiting[i]);
    if (outside)
        capture_log(capture, CAESURA_LOG_WARNING,
                    "process %d, descriptor %d: %u connections from outside that wait to be accepted are left out",
                    seen_pid(capture, seen), seen->fd, outside);
}

int unix_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    struct sockaddr_un own = {0}, other = {0};
    socklen_t own_size = sizeof own, other_size = sizeof other;
    struct unix_state state = {.type = (uint32_t)seen->type};
    char peer_text[NAME_MAX_BYTES + 16], folder[PATH_MAX];
    struct pollfd poller = {.fd = fd, .events = POLLPRI};
    auto_buffer bytes = {0};
    bool done = false;

    int rc = unix_diag_load(capture, err);
    if (rc)
        return rc;
    const struct unix_diag *diag = unix_diag_find(capture, seen->st.st_ino);
    if (!diag)
        return seen_refuse(capture, seen, "run the checkpoint in the network namespace of the processes",
                           "unix %s, which belongs to another network namespace", seen_record(capture, seen)->name);
    if (!getsockname(fd, (struct sockaddr *)&own, &own_size))
        state.name_size = take_name(&own, own_size);
    if (!getpeername(fd, (struct sockaddr *)&other, &other_size))
        state.peer_name_size = take_name(&other, other_size);
    state.name = (const uint8_t *)own.sun_path;
    print_name(&other, state.peer_name_size, peer_text, sizeof peer_text);
    state.peer_name = (const uint8_t *)peer_text;
    state.shutdown = diag->shutdown;
    rc = find_role(capture, seen, fd, diag, &state, &done, err);
    state.peer_name = (const uint8_t *)other.sun_path;
    if (rc || done)
        return rc;
    if (poll(&poller, 1, 0) > 0 && poller.revents & POLLPRI)
        return seen_refuse(capture, seen, "try again when it has been read", "unix %s, with unread out-of-band data",
                           seen_record(capture, seen)->name);
    if (state.name_size && own.sun_path[0])
        find_file(capture, seen, diag, own.sun_path, &state, folder, sizeof folder);
    unix_state_encode(&bytes, &state);
    options_capture(fd, AF_UNIX, seen->type, &bytes);
    if (state.role == UNIX_LISTENS) {
        warn_of_waiting(capture, seen, diag);
        buffer_u32(&bytes, 0);
    } else {
        rc = messages_capture(capture, seen, fd, &bytes, err);
    }
    return rc ? rc : state_set(seen_record(capture, seen), &bytes, err);
}
