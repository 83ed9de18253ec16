#include "model/model.h"

#include <stdlib.h>
#include <string.h>

#define FIND(list, key, wanted)                      \
    for (uint32_t i = 0; i < context->n_##list; i++) \
        if (context->list[i].key == (wanted))        \
            return &context->list[i];                \
    return NULL;

struct file *context_file(const struct context *context, uint32_t id)
{
    FIND(files, id, id)
}

struct description *context_description(const struct context *context, uint32_t id)
{
    FIND(descriptions, id, id)
}

struct process *context_process(const struct context *context, int32_t pid)
{
    FIND(processes, pid, pid)
}

void *list_grow(void **list, uint32_t *count, size_t size)
{
    /* Capacity is the next power of two, so that it need not be stored. */
    if ((*count & (*count - 1)) == 0) {
        void *grown = realloc(*list, (*count ? (size_t)*count * 2 : 1) * size);
        if (!grown)
            return NULL;
        *list = grown;
    }
    void *element = (char *)*list + (size_t)*count * size;
    memset(element, 0, size);
    (*count)++;
    return element;
}
