#include "files/internal.h"

#include "core/error.h"

uint32_t files_position(const struct context *context, uint32_t id)
{
    /* They are numbered from 1 in order, unless somebody else wrote the context. */
    if (id && id <= context->n_files && context->files[id - 1].id == id)
        return id - 1;
    for (uint32_t i = 0; i < context->n_files; i++)
        if (context->files[i].id == id)
            return i;
    return UINT32_MAX;
}

void files_end(struct restore *restore)
{
    struct files_state *state = restore->files;

    if (!state)
        return;
    for (uint32_t i = 0; state->objects && i < restore->context->n_files; i++)
        files_close_fd(&state->objects[i]);
    files_close_fd(&state->aside_fd);
    image_index_free(&state->images);
    free(state->objects);
    free(state->plans);
    free(state);
    restore->files = NULL;
}

int files_state_get(struct restore *restore, struct files_state **state, struct caesura_error *err)
{
    size_t count = (size_t)restore->context->n_files + 1;

    if (!restore->files) {
        struct files_state *made = restore->files = calloc(1, sizeof *made);
        if (!made)
            return error_set(err, CAESURA_ENOMEM_, "cannot hold the files of the context");
        made->aside_fd = -1;
        made->plans = calloc(count, sizeof *made->plans);
        made->objects = malloc(count * sizeof *made->objects);
        for (size_t i = 0; made->objects && i < count; i++)
            made->objects[i] = -1;
        int rc = made->plans && made->objects ? image_index_make(&restore->source, &made->images, err)
                                              : error_set(err, CAESURA_ENOMEM_, "cannot hold the files of the context");
        if (rc) {
            files_end(restore);
            return rc;
        }
    }
    *state = restore->files;
    return 0;
}
