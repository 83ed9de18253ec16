/* The state of a unix socket as bytes. */
#include "descriptors/sockets.h"

#include <stddef.h>
#include <string.h>

static void put(struct buffer *state, const uint8_t *data, uint32_t size)
{
    buffer_u32(state, size);
    buffer_bytes(state, data, size);
}

static const uint8_t *get(struct reader *state, uint32_t *size)
{
    *size = reader_u32(state);
    return reader_bytes(state, *size);
}

void unix_state_encode(struct buffer *state, const struct unix_state *from)
{
    buffer_u32(state, from->type);
    buffer_u32(state, from->role);
    buffer_u32(state, from->peer);
    buffer_u32(state, from->shutdown);
    buffer_u32(state, from->backlog);
    put(state, from->name, from->name_size);
    buffer_u32(state, from->name_flags);
    buffer_u32(state, from->mode);
    put(state, from->peer_name, from->peer_name_size);
    put(state, from->folder, from->folder_size);
}

bool unix_state_decode(const struct description *description, struct unix_state *state)
{
    struct reader reader = state_reader(description);

    *state = (struct unix_state){0};
    state->type = reader_u32(&reader);
    state->role = reader_u32(&reader);
    state->peer = reader_u32(&reader);
    state->shutdown = reader_u32(&reader);
    state->backlog = reader_u32(&reader);
    state->name = get(&reader, &state->name_size);
    state->name_flags = reader_u32(&reader);
    state->mode = reader_u32(&reader);
    state->peer_name = get(&reader, &state->peer_name_size);
    state->folder = get(&reader, &state->folder_size);
    state->options = reader;
    options_skip(&reader);
    state->messages = reader;
    size_t most = sizeof(((struct sockaddr_un *)0)->sun_path);
    return description->kind == DESCRIPTION_UNIX && !reader.failed && state->role <= UNIX_BY_NAME &&
           state->name_size <= most && state->peer_name_size <= most && state->folder_size < PATH_MAX;
}

socklen_t unix_address(struct sockaddr_un *address, const uint8_t *name, uint32_t size)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (size > sizeof address->sun_path)
        return 0;
    if (size)
        memcpy(address->sun_path, name, size);
    bool is_path = size && name[0];
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (is_path && size < sizeof address->sun_path));
}
