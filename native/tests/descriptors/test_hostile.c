/*
 * Contexts whose records of descriptors have been changed: an error, or something else than before, but never a crash, a hang
 * or a read beyond the record (run it with ASan).
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buffer.h"
#include "descriptors/descriptors.h"
#include "files/files.h"

#define ROUNDS 40
#define SECONDS 20

/* How the process that tries a damaged context ends; a sanitizer ends it with 1. */
enum { OPENED = 10, REFUSED = 11 };

static uint32_t seed = 1;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)seed * below >> 32);
}

/* In a child: 0 or 1 if descriptors_open() returned. */
static void open_all(struct context *context)
{
    struct restore restore = {.fd_base = 300, .context = context, .options = {.quiet = true}};
    struct caesura_error err = {0};
    pid_t pids[1] = {getpid()};
    int status;

    pid_t child = fork();
    if (!child) {
        char folder[] = "/tmp/hostile-XXXXXX";
        alarm(SECONDS);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!mkdtemp(folder) || chdir(folder))
            _exit(9);
        rmdir(folder);
        restore.pids = pids;
        int rc = descriptors_open(&restore, &err);
        if (!rc)
            rc = descriptors_connect(&restore, &err);
        if (!rc && context->n_processes)
            descriptors_install(&restore, &context->processes[0], &err);
        descriptors_close(&restore);
        _exit(rc ? REFUSED : OPENED);
    }
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != OPENED && WEXITSTATUS(status) != REFUSED)) {
        for (uint32_t i = 0; i < context->n_descriptions; i++) {
            print_message("description %u: kind %u, flags %o, state of %u bytes:", context->descriptions[i].id,
                          context->descriptions[i].kind, context->descriptions[i].flags,
                          context->descriptions[i].state.size);
            for (uint32_t k = 0; k < context->descriptions[i].state.size && k < 64; k++)
                print_message(" %02x", ((uint8_t *)context->descriptions[i].state.data)[k]);
            print_message("\n");
        }
        fail_msg("ended with %x", status);
    }
}

static void random_bytes(struct description *description)
{
    uint32_t size = draw(120);
    uint8_t *bytes = malloc(size + 1);

    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(draw(3) ? draw(6) : draw(256));
    /* Numbers are mostly small: records of 32-bit values get further. */
    for (uint32_t i = 0; i < size; i++)
        if (i % 4 && draw(4))
            bytes[i] = 0;
    free(description->state.data);
    description->state = (struct blob){bytes, size};
}

static void test_random_states(void **state)
{
    (void)state;
    for (uint32_t kind = DESCRIPTION_FOLDER; kind <= DESCRIPTION_PROC + 1; kind++) {
        for (int round = 0; round < ROUNDS; round++) {
            struct description descriptions[4] = {0};
            struct descriptor held[4];
            struct process process = {.pid = 77, .descriptors = held, .n_descriptors = 4};
            struct lock lock = {.kind = draw(5),
                                .type = draw(3),
                                .start = draw(9),
                                .end = draw(9),
                                .pid = 77,
                                .description = draw(6),
                                .fd = (int)draw(400)};
            struct context context = {.descriptions = descriptions,
                                      .n_descriptions = 4,
                                      .processes = &process,
                                      .n_processes = 1,
                                      .locks = &lock,
                                      .n_locks = 1};
            for (uint32_t i = 0; i < 4; i++) {
                descriptions[i] = (struct description){.id = draw(20) ? i + 1 : draw(6),
                                                       .kind = kind,
                                                       .flags = draw(3),
                                                       .position = draw(2),
                                                       .name = "/nonexistent/name"};
                random_bytes(&descriptions[i]);
                held[i] = (struct descriptor){(int)draw(310) - 2, draw(6), draw(2)};
            }
            open_all(&context);
            for (uint32_t i = 0; i < 4; i++)
                free(descriptions[i].state.data);
        }
    }
}

/* A description of each kind that others refer to, with every single length cut off. */
static void test_cut_states(void **state)
{
    struct buffer bytes = {0};

    (void)state;
    /* A unix socket: type, role, peer, shutdown, backlog, name, flags, mode, peer's name, folder, options, messages. */
    for (int i = 0; i < 5; i++)
        buffer_u32(&bytes, i == 0 ? SOCK_STREAM : 0);
    buffer_string(&bytes, "");
    buffer_u32(&bytes, 0);
    buffer_u32(&bytes, 0);
    buffer_string(&bytes, "");
    buffer_string(&bytes, "");
    buffer_u32(&bytes, 1);
    buffer_u32(&bytes, SOL_SOCKET);
    buffer_u32(&bytes, SO_KEEPALIVE);
    buffer_string(&bytes, "\1\1\1\1");
    buffer_u32(&bytes, 0);
    for (uint32_t size = 0; size <= bytes.size; size++) {
        struct description description = {.id = 1, .kind = DESCRIPTION_UNIX, .name = "socket:[1]"};
        struct context context = {.descriptions = &description, .n_descriptions = 1};
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, bytes.data, size);
        description.state = (struct blob){copy, size};
        open_all(&context);
        free(copy);
    }
    buffer_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_states), cmocka_unit_test(test_cut_states)};
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
