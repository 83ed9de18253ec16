/* test_context_stream.c - contexts through pipes and sockets, and targets that do not take them. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "context/codec.h"
#include "context/reader.h"
#include "context/writer.h"
#include "support/lib_context.h"

/* Several frames, so that any pipe or socket fills up on the way. */
#define FRAMES 5

static const uint8_t set_id[16] = "sixteen bytes id";

/* A context with a file of FRAMES frames, to any descriptor. */
static int write_context(int fd, uint64_t *bytes, struct caesura_error *err)
{
    struct context_writer writer;
    struct scope scope = {.id = 1};
    struct file file = {.id = 1, .content = FILE_CONTENT_SAVED, .size = (uint64_t)FRAMES * FORMAT_FRAME_BYTES};
    struct buffer payload = {0};
    int rc = context_writer_start(&writer, fd, set_id, 0, 1, err);

    record_encode_scope(&payload, &scope);
    if (!rc)
        rc = context_writer_section(&writer, SECTION_SCOPE, 0, &payload, err);
    payload.size = 0;
    record_encode_file(&payload, &file);
    if (!rc)
        rc = context_writer_section(&writer, SECTION_FILE, 1, &payload, err);
    for (uint64_t i = 0; i < FRAMES && !rc; i++) {
        struct format_extent extent = {i * FORMAT_FRAME_BYTES, FORMAT_FRAME_BYTES};
        uint8_t *data = context_writer_data(&writer, err);
        assert_non_null(data);
        memset(data, (int)i + 1, FORMAT_FRAME_BYTES);
        rc = context_writer_commit(&writer, SECTION_CONTENT, 1, &extent, 1, FORMAT_FRAME_BYTES, err);
    }
    if (!rc)
        rc = context_writer_end(&writer, err);
    *bytes = writer.offset;
    assert_int_equal(rc ? 0 : writer.data_bytes, rc ? 0 : (uint64_t)FRAMES * FORMAT_FRAME_BYTES);
    buffer_free(&payload);
    context_writer_free(&writer);
    return rc;
}

/* Writes in a thread of its own, so that the test may read. */
struct sender {
    pthread_t thread;
    int fd;
    int rc;
    uint64_t bytes;
    struct caesura_error err;
};

static void *send_context(void *data)
{
    struct sender *sender = data;
    sender->rc = write_context(sender->fd, &sender->bytes, &sender->err);
    close(sender->fd);
    return NULL;
}

static void sender_start(struct sender *sender, int fd)
{
    *sender = (struct sender){.fd = fd};
    assert_int_equal(pthread_create(&sender->thread, NULL, send_context, sender), 0);
}

static void sender_end(struct sender *sender)
{
    assert_int_equal(pthread_join(sender->thread, NULL), 0);
    if (sender->rc)
        fail_msg("%s", sender->err.message);
}

static void check_context(int fd, uint64_t bytes)
{
    struct caesura_error err = {0};
    int32_t fds[] = {fd};

    assert_int_equal(lseek(fd, 0, SEEK_END), bytes);
    assert_int_equal(caesura_context_verify(fds, 1, &err), 0);
}

static void spool_and_check(int from, struct sender *sender)
{
    struct caesura_error err = {0};
    int spooled = -1;

    assert_int_equal(context_spool(from, &spooled, &err), 0);
    close(from);
    sender_end(sender);
    assert_true(fcntl(spooled, F_GETFD) & FD_CLOEXEC);
    check_context(spooled, sender->bytes);
    close(spooled);
}

static void a_pipe_takes_a_context(void **state)
{
    struct sender sender;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    sender_start(&sender, ends[1]);
    spool_and_check(ends[0], &sender);
}

static void a_socket_takes_a_context(void **state)
{
    struct sender sender;
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    sender_start(&sender, ends[1]);
    spool_and_check(ends[0], &sender);
}

/* Both ends return EAGAIN at once: the writer when the pipe is full, the reader when it is empty. */
static void ends_that_do_not_block_are_waited_for(void **state)
{
    struct sender sender;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    sender_start(&sender, ends[1]);
    usleep(50000); /* the pipe is full long before */
    spool_and_check(ends[0], &sender);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    sender_start(&sender, ends[1]);
    usleep(50000);
    spool_and_check(ends[0], &sender);
}

/* Bytes in small pieces, with pauses, into a reader that does not block. */
static void *trickle(void *data)
{
    struct sender *sender = data;
    FILE *file = tmpfile();
    char block[4096];
    size_t got, pieces = 0;

    sender->rc = write_context(fileno(file), &sender->bytes, &sender->err);
    rewind(file);
    while ((got = fread(block, 1, sizeof block, file)) > 0) {
        if (write(sender->fd, block, got) != (ssize_t)got)
            break;
        if (++pieces % 100 == 0)
            usleep(1000);
    }
    fclose(file);
    close(sender->fd);
    return NULL;
}

static void a_slow_sender_is_waited_for(void **state)
{
    struct sender sender = {0};
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    sender.fd = ends[1];
    assert_int_equal(pthread_create(&sender.thread, NULL, trickle, &sender), 0);
    spool_and_check(ends[0], &sender);
}

static void verify_and_describe_read_pipes(void **state)
{
    struct caesura_error err = {0};

    (void)state;
    for (int describe = 0; describe <= 1; describe++) {
        struct sender sender;
        char *json = NULL;
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        sender_start(&sender, ends[1]);
        int32_t fds[] = {ends[0]};
        int rc = describe ? caesura_context_describe(fds, 1, &json, &err) : caesura_context_verify(fds, 1, &err);
        if (rc)
            fail_msg("%s", err.message);
        assert_int_equal(!!json, describe);
        caesura_free(json);
        sender_end(&sender);
        close(ends[0]);
    }
}

static void a_stream_that_breaks_off_is_a_truncated_context(void **state)
{
    struct caesura_error err = {0};
    struct context context;
    struct image image;
    int ends[2];

    (void)state;
    context_small(&context);
    images_write(&context, &image, 1);
    for (size_t size = 0; size < image.size; size += 1 + size / 3) {
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 1 << 18), 1 << 18);
        assert_int_equal(write(ends[1], image.bytes, size), size);
        close(ends[1]);
        int rc = caesura_context_verify((int32_t[]){ends[0]}, 1, &err);
        assert_true(rc == -CAESURA_ETRUNCATED || (size < 64 && rc == -CAESURA_EFORMAT));
        close(ends[0]);
    }
    image_free(&image);
    context_free(&context);
}

static void what_cannot_be_read_is_not_spooled(void **state)
{
    struct caesura_error err = {0};
    int spooled = -1, ends[2];

    (void)state;
    assert_int_equal(context_spool(-1, &spooled, &err), -EBADF);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(context_spool(ends[1], &spooled, &err), -EBADF);
    assert_int_equal(err.code, EBADF);
    assert_int_equal(spooled, -1);
    close(ends[0]);
    close(ends[1]);
}

/* ---- targets that fail ---- */

static void assert_fails(int fd, int code)
{
    struct caesura_error err = {0};
    uint64_t bytes;

    assert_int_equal(write_context(fd, &bytes, &err), -code);
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.message, strerror(code)));
    assert_true(err.remedy[0] != 0);
}

static void a_full_device_is_reported(void **state)
{
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    assert_fails(fd, ENOSPC);
    close(fd);
}

static void a_reader_that_is_gone_is_reported(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_fails(ends[1], EPIPE);
    close(ends[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    close(ends[0]);
    assert_fails(ends[1], EPIPE);
    close(ends[1]);
}

static void *read_some_and_close(void *data)
{
    char block[4096];
    int fd = *(int *)data;

    for (int i = 0; i < 300; i++)
        if (read(fd, block, sizeof block) <= 0)
            break;
    usleep(50000); /* by now the writer waits */
    close(fd);
    return NULL;
}

/* While the writer waits for a full pipe. */
static void a_reader_that_goes_away_is_reported(void **state)
{
    int ends[2];
    pthread_t thread;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(pthread_create(&thread, NULL, read_some_and_close, &ends[0]), 0);
    assert_fails(ends[1], EPIPE);
    pthread_join(thread, NULL);
    close(ends[1]);
}

/* A limit that is met in the middle of a section: the first write is short, the next fails. */
static void a_file_size_limit_is_reported(void **state)
{
    struct rlimit before, limit;
    FILE *file = tmpfile();

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 2 * FORMAT_FRAME_BYTES + 12345;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_fails(fileno(file), EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    fclose(file);
}

static void a_descriptor_for_reading_is_reported(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_fails(fd, EBADF);
    close(fd);
}

static void a_record_that_no_reader_takes_is_not_written(void **state)
{
    struct caesura_error err = {0};
    struct context_writer writer;
    struct buffer payload = {.size = FORMAT_PAYLOAD_MAX + 1ul};
    int fd = memfd_create("context", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(context_writer_start(&writer, fd, set_id, 0, 1, &err), 0);
    assert_int_equal(context_writer_section(&writer, SECTION_PROCESS, 7, &payload, &err), -CAESURA_EUNSUPPORTED);
    payload = (struct buffer){.failed = true};
    assert_int_equal(context_writer_section(&writer, SECTION_PROCESS, 7, &payload, &err), -ENOMEM);
    assert_int_equal(context_writer_commit(&writer, SECTION_PAGES, 7, NULL, 0, 0, &err), 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), sizeof(struct format_header));
    context_writer_free(&writer);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipe_takes_a_context),
        cmocka_unit_test(a_socket_takes_a_context),
        cmocka_unit_test(ends_that_do_not_block_are_waited_for),
        cmocka_unit_test(a_slow_sender_is_waited_for),
        cmocka_unit_test(verify_and_describe_read_pipes),
        cmocka_unit_test(a_stream_that_breaks_off_is_a_truncated_context),
        cmocka_unit_test(what_cannot_be_read_is_not_spooled),
        cmocka_unit_test(a_full_device_is_reported),
        cmocka_unit_test(a_reader_that_is_gone_is_reported),
        cmocka_unit_test(a_reader_that_goes_away_is_reported),
        cmocka_unit_test(a_file_size_limit_is_reported),
        cmocka_unit_test(a_descriptor_for_reading_is_reported),
        cmocka_unit_test(a_record_that_no_reader_takes_is_not_written),
    };
    /* As a JVM does: a failed write is to return. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
