/* test_context_contradictions.c - records that contradict each other, though every checksum is right, are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "context/codec.h"
#include "context/reader.h"
#include "support/lib_context.h"

static int code_of_context(struct context *context, const char *text)
{
    struct image image;
    struct caesura_error err = {0};

    images_write(context, &image, 1);
    int rc = images_verify(&image, 1, &err);
    if (rc && !strstr(err.message, text))
        fail_msg("\"%s\" does not speak of \"%s\"", err.message, text);
    image_free(&image);
    context_free(context);
    return -rc;
}

/* A context of one process in which CHANGE was made to `c`, or to its process `p`. */
#define REFUSES(CHANGE, text)                                        \
    {                                                                \
        struct context context, *c = &context;                       \
        context_small(c);                                            \
        struct process *p = &c->processes[0];                        \
        (void)p;                                                     \
        CHANGE;                                                      \
        assert_int_equal(code_of_context(c, text), CAESURA_EFORMAT); \
    }

static void add_map(struct process *process, uint64_t start, uint64_t end)
{
    struct map *map = list_add(&process->maps, &process->n_maps);
    assert_non_null(map);
    map->start = start;
    map->end = end;
}

static void references_that_lead_nowhere_are_refused(void **state)
{
    (void)state;
    REFUSES(c->files[0].id = 0, "file 1 of the context has number 0")
    REFUSES(c->files[0].id = 0xffffffff, "has number")
    REFUSES(c->files[0].huge_shift = 64, "2^64")
    REFUSES(c->descriptions[0].id = 2, "open file 1 of the context has number 2")
    REFUSES(c->descriptions[0].file = 2, "is of file 2 of 1")
    REFUSES(c->locks[0].description = 2, "lock 1")
    REFUSES(c->locks[0].description = 0, "lock 1")
    REFUSES(c->locks[0] = ((struct lock){.kind = LOCK_POSIX, .pid = 77, .description = 1}), "lock 1")
    REFUSES(p->pid = 0, "process 0")
    REFUSES(p->pid = -5, "process -5")
    REFUSES(p->exe_file = 2, "process 2 refers")
    REFUSES(p->files_of = 77, "process 2 refers")
    REFUSES(p->fs_of = 0xffffffff, "process 2 refers")
    REFUSES(p->maps[0].file = 2, "map 1 of process 2")
    REFUSES(p->maps[0].huge_shift = 41, "map 1 of process 2")
    REFUSES(p->maps[0].end = p->maps[0].start, "map 1 of process 2")
    REFUSES(p->maps[0].end += 1, "map 1 of process 2")
    REFUSES(add_map(p, 0x1000, 0x2000), "map 2 of process 2")
    REFUSES(add_map(p, 0x10000, 0x12000), "map 2 of process 2")
    REFUSES(p->descriptors[0].fd = -1, "descriptor -1 of process 2")
    REFUSES(p->descriptors[0].fd = INT32_MAX, "of process 2")
    REFUSES(p->descriptors[0].description = 0, "descriptor 3 of process 2")
    REFUSES(p->descriptors[0].description = 2, "descriptor 3 of process 2")
}

static void add_segment(struct context *context, uint32_t file, uint64_t size)
{
    struct sysv *sysv = list_add(&context->sysv, &context->n_sysv);
    assert_non_null(sysv);
    *sysv = (struct sysv){.kind = SYSV_SEGMENT, .file = file, .size = size};
}

static void impossible_objects_of_system_v_are_refused(void **state)
{
    (void)state;
    REFUSES(c->sysv[0].kind = 0, "System V object 1")
    REFUSES(c->sysv[0].kind = 3, "System V object 1")
    REFUSES(c->sysv[0].id = -1, "System V object 1")
    REFUSES(c->sysv[0].size = 0, "System V object 1")
    REFUSES(c->sysv[0].size = 2, "System V object 1")
    REFUSES(c->sysv[0].size = 1ull << 32, "System V object 1")
    REFUSES(add_segment(c, 0, 1), "System V object 2")
    REFUSES(add_segment(c, 2, 1), "System V object 2")
    REFUSES(add_segment(c, 1, 1), "System V object 2") /* the file is a deleted one */
    REFUSES((c->files[0].kind = FILE_SYSV, add_segment(c, 1, 11)), "System V object 2")
    REFUSES((c->files[0].kind = FILE_SYSV, add_segment(c, 1, 0)), "System V object 2")
}

static void drop_threads(struct process *process)
{
    while (process->n_threads)
        record_free_thread(&process->threads[--process->n_threads]);
}

static void processes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    REFUSES(p->state = 0, "process 2 has state 0")
    REFUSES(p->state = 4, "process 2 has state 4")
    REFUSES(drop_threads(p), "0 threads")
    struct context zombie;
    context_small(&zombie);
    zombie.processes[0].state = PROCESS_ZOMBIE;
    drop_threads(&zombie.processes[0]);
    assert_int_equal(code_of_context(&zombie, ""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_that_lead_nowhere_are_refused),
        cmocka_unit_test(impossible_objects_of_system_v_are_refused),
        cmocka_unit_test(processes_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
