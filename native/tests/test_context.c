/* test_context.c - what was written is what is read: records, data, sets of files, and releases that know other fields. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "context/codec.h"
#include "context/reader.h"
#include "context/writer.h"
#include "core/arch_x86_64.h"
#include "support/lib_context.h"

#define ROUNDS 200

static void assert_images_equal(const struct image *a, const struct image *b)
{
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->bytes, b->bytes, a->size);
}

/* Opened, with its own descriptors. */
struct opened {
    struct context_source source;
    int32_t fds[16];
    size_t count;
};

static int open_images(struct opened *opened, const struct image *images, size_t count, struct caesura_error *err)
{
    *opened = (struct opened){.count = count};
    for (size_t i = 0; i < count; i++)
        opened->fds[i] = image_open(&images[i]);
    return context_source_open(&opened->source, opened->fds, count, true, err);
}

static void close_opened(struct opened *opened)
{
    context_source_free(&opened->source);
    for (size_t i = 0; i < opened->count; i++)
        close(opened->fds[i]);
}

static void free_images(struct image *images, size_t count)
{
    for (size_t i = 0; i < count; i++)
        image_free(&images[i]);
}

/* ---- records ---- */

/* Both ways of looking at a record, neither of which is the decoder's: its JSON, and its bytes. */
#define COMPARE_RECORD(record, a, b)                                  \
    {                                                                 \
        struct buffer first = {0}, second = {0};                      \
        record_describe_##record(&first, a);                          \
        record_describe_##record(&second, b);                         \
        buffer_bytes(&first, "", 1);                                  \
        buffer_bytes(&second, "", 1);                                 \
        assert_string_equal((char *)first.data, (char *)second.data); \
        assert_true(json_is_valid((char *)first.data));               \
        buffer_free(&first);                                          \
        buffer_free(&second);                                         \
    }

#define COMPARE_LIST(record, list)                   \
    assert_int_equal(now->n_##list, then->n_##list); \
    for (uint32_t i = 0; i < now->n_##list; i++)     \
    COMPARE_RECORD(record, &then->list[i], &now->list[i])

static void assert_contexts_equal(const struct context *then, const struct context *now)
{
    struct image before = records_of(then), after = records_of(now);

    COMPARE_RECORD(scope, &then->scope, &now->scope)
    COMPARE_LIST(file, files)
    COMPARE_LIST(description, descriptions)
    COMPARE_LIST(lock, locks)
    COMPARE_LIST(tracked, tracked)
    COMPARE_LIST(sysv, sysv)
    COMPARE_LIST(process, processes)
    assert_images_equal(&before, &after);
    image_free(&before);
    image_free(&after);
}

static void round_trip(uint64_t seed, uint32_t processes, size_t files)
{
    struct random random = random_seeded(seed);
    struct context context;
    struct image images[16];
    struct opened opened;
    struct caesura_error err = {0};
    char *json = NULL;

    context_random(&random, &context, processes);
    images_write(&context, images, files);
    if (open_images(&opened, images, files, &err))
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.message);
    assert_contexts_equal(&context, &opened.source.context);
    assert_int_equal(caesura_context_verify(opened.fds, files, &err), 0);
    assert_int_equal(caesura_context_describe(opened.fds, files, &json, &err), 0);
    assert_true(json_is_valid(json));
    caesura_free(json);
    close_opened(&opened);
    free_images(images, files);
    context_free(&context);
}

static void every_record_comes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++)
        round_trip(seed, (uint32_t)(seed % 5), 1);
}

static void every_record_comes_back_from_a_set(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++)
        round_trip(seed + 1000, (uint32_t)(2 + seed % 5), 2 + seed % 5);
}

/* That the comparison above can fail: every field of every record tells two random records apart. */
#define NOTICES_FIELD(kind, name)                                  \
    {                                                              \
        char *found = strstr((char *)json.data, "\"" #name "\":"); \
        assert_non_null(found);                                    \
    }
#define NOTICES_LIST(record, name) NOTICES_FIELD(list, name)
#define NOTICES(record, FIELDS)                  \
    {                                            \
        static const struct record value;        \
        struct buffer json = {0};                \
        record_describe_##record(&json, &value); \
        buffer_bytes(&json, "", 1);              \
        FIELDS(NOTICES_FIELD, NOTICES_LIST)      \
        buffer_free(&json);                      \
    }

static void a_description_names_every_field(void **state)
{
    (void)state;
    RECORDS(NOTICES)
}

static void strings_are_described_as_utf8_or_byte_by_byte(void **state)
{
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"", "\"\""},
        {"a/b c", "\"a/b c\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\"\\\n\x1f\x7f", "\"\\u0022\\u005c\\u000a\\u001f\\u007f\""},
        {"\xff\x80z", "\"\\u00ff\\u0080z\""},
        {"\xc0\xaf", "\"\\u00c0\\u00af\""}, /* too long a form */
        {"\xe0\x80\xaf", "\"\\u00e0\\u0080\\u00af\""},
        {"\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\""},            /* half of a pair */
        {"\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\""}, /* beyond the last */
        {"\xe2\x82", "\"\\u00e2\\u0082\""},                       /* cut off */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer json = {0};
        json_string(&json, cases[i].text);
        buffer_bytes(&json, "", 1);
        assert_string_equal((char *)json.data, cases[i].json);
        buffer_free(&json);
    }
}

/* ---- data ---- */

static void data_comes_back_from_its_place(void **state)
{
    struct format_extent extents[] = {{0x10000, 8192}, {0x7ff0000000, 4096}, {0x7ff0002000, 12288}};
    struct image image;
    struct opened opened;
    struct caesura_error err = {0};
    uint8_t byte;
    struct context context;
    uint64_t number = 0;

    (void)state;
    context_small(&context);
    images_write(&context, &image, 1);
    struct file_parts parts;
    parts_take(&image, &parts);
    image_free(&image);
    /* The same table in one PAGES section: three extents, and data that counts its pages. */
    struct section *pages = parts_find(&parts, SECTION_PAGES);
    uint32_t offset;
    memcpy(&offset, pages->payload + 4, 4);
    memcpy(pages->payload, &(uint32_t){3}, 4);
    memcpy(pages->payload + 8, extents, sizeof extents);
    uint8_t data[6 * 4096];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i / 4096 + 1);
    section_splice(pages, offset, pages->size - offset, data, sizeof data);
    image = parts_join(&parts, 0);
    parts_free(&parts);

    assert_int_equal(open_images(&opened, &image, 1, &err), 0);
    assert_int_equal(opened.source.n_data, 2);
    const struct context_data *found = &opened.source.data[0];
    assert_int_equal(found->type, SECTION_PAGES);
    assert_int_equal(found->owner, 2);
    assert_int_equal(found->count, 3);
    assert_memory_equal(found->extents, extents, sizeof extents);
    for (uint64_t at = found->data_offset; at < found->payload_offset + found->length; at += 4096) {
        assert_int_equal(pread(found->fd, &byte, 1, (off_t)at), 1);
        assert_int_equal(byte, ++number);
    }
    assert_int_equal(number, 6);
    close_opened(&opened);
    image_free(&image);
    context_free(&context);
}

/* Data stands at a multiple of the page size in the file, wherever its section begins. */
static void data_is_aligned_in_the_file(void **state)
{
    struct caesura_error err = {0};
    size_t seen = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct random random = random_seeded(seed);
        struct context context;
        struct image image;
        struct opened opened;
        context_random(&random, &context, 3);
        images_write(&context, &image, 1);
        assert_int_equal(open_images(&opened, &image, 1, &err), 0);
        for (uint32_t i = 0; i < opened.source.n_data; i++, seen++)
            assert_int_equal(opened.source.data[i].data_offset % ARCH_PAGE_SIZE, 0);
        close_opened(&opened);
        image_free(&image);
        context_free(&context);
    }
    assert_true(seen > 50);
}

/* ---- sets ---- */

static void files_of_a_set_are_taken_in_any_order(void **state)
{
    struct random random = random_seeded(7);
    struct context context;
    struct image images[3];
    struct opened opened;
    struct caesura_error err = {0};

    (void)state;
    context_random(&random, &context, 3);
    images_write(&context, images, 3);
    struct image other[] = {images[2], images[0], images[1]};
    assert_int_equal(open_images(&opened, other, 3, &err), 0);
    assert_contexts_equal(&context, &opened.source.context);
    assert_int_equal(opened.source.header.file_index, 0);
    close_opened(&opened);
    free_images(images, 3);
    context_free(&context);
}

static void assert_refused(const struct image *images, size_t count, int code, const char *text)
{
    struct caesura_error err = {0};
    char *json = NULL;

    assert_int_equal(images_verify(images, count, &err), -code);
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.message, text));
    assert_int_equal(images_describe(images, count, &json, &err), -code);
    assert_null(json);
}

static void a_wrong_set_is_refused(void **state)
{
    struct random random = random_seeded(8);
    struct context context;
    struct image images[3], again[3];
    struct file_parts parts;

    (void)state;
    context_random(&random, &context, 3);
    images_write(&context, images, 3);
    assert_refused(images, 2, CAESURA_EFORMAT, "one of 3 files");
    assert_refused(images, 1, CAESURA_EFORMAT, "one of 3 files");
    struct image twice[] = {images[0], images[1], images[1]};
    assert_refused(twice, 3, CAESURA_EFORMAT, "files 2 and 3 are the same file");
    struct image more[] = {images[0], images[1], images[2], images[2]};
    assert_refused(more, 4, CAESURA_EFORMAT, "one of 3 files");

    images_write(&context, again, 3);
    parts_take(&again[1], &parts);
    parts.header.set_id[15] ^= 1;
    image_free(&again[1]);
    again[1] = parts_join(&parts, 0);
    assert_refused(again, 3, CAESURA_EFORMAT, "not one of the 3 files");
    parts.header.set_id[15] ^= 1;
    parts.header.file_index = 3;
    image_free(&again[1]);
    again[1] = parts_join(&parts, 0);
    assert_refused(again, 3, CAESURA_EFORMAT, "not one of the 3 files");
    parts_free(&parts);
    struct caesura_error err = {0};
    assert_int_equal(images_verify(images, 0, &err), -CAESURA_EINVAL_);
    free_images(images, 3);
    free_images(again, 3);
    context_free(&context);
}

/* ---- older and newer releases ---- */

/* A context of one file whose SCOPE section has another payload. */
static int open_with_scope(const struct buffer *payload, struct opened *opened, struct caesura_error *err)
{
    struct context context;
    struct image image;
    struct file_parts parts;

    context_small(&context);
    images_write(&context, &image, 1);
    parts_take(&image, &parts);
    struct section *scope = parts_find(&parts, SECTION_SCOPE);
    section_splice(scope, 0, scope->size, payload->data, payload->size);
    image_free(&image);
    image = parts_join(&parts, 0);
    parts_free(&parts);
    int rc = open_images(opened, &image, 1, err);
    image_free(&image);
    context_free(&context);
    return rc;
}

static void fields_of_a_newer_release_are_skipped(void **state)
{
    struct scope scope = {
        .kind = 3, .id = 77, .host = "h", .kernel = "k", .boot_id = "b", .release = "r", .last_pid = 99};
    struct buffer payload = {0};
    struct opened opened;
    struct caesura_error err = {0};

    (void)state;
    record_encode_scope(&payload, &scope);
    buffer_bytes(&payload, "newer fields", 12);
    buffer_patch_u32(&payload, 0, (uint32_t)payload.size - 4);
    assert_int_equal(open_with_scope(&payload, &opened, &err), 0);
    assert_int_equal(opened.source.context.scope.id, 77);
    assert_string_equal(opened.source.context.scope.release, "r");
    assert_int_equal(opened.source.context.scope.last_pid, 99);
    close_opened(&opened);

    /* The same bytes outside of the record's length are no field of anything. */
    buffer_patch_u32(&payload, 0, (uint32_t)payload.size - 4 - 12);
    assert_int_equal(open_with_scope(&payload, &opened, &err), -CAESURA_EFORMAT);
    close_opened(&opened);
    buffer_free(&payload);
}

/* Also in the elements of lists, each of which has a length of its own. */
static void elements_of_a_newer_release_are_skipped(void **state)
{
    struct context context;
    struct image image;
    struct file_parts parts;
    struct opened opened;
    struct caesura_error err = {0};
    struct buffer plain = {0};

    (void)state;
    context_small(&context);
    struct process *process = &context.processes[0];
    images_write(&context, &image, 1);
    parts_take(&image, &parts);
    image_free(&image);
    /* The bytes of the one descriptor are known, and in the payload once. */
    record_encode_descriptor(&plain, &process->descriptors[0]);
    struct section *section = parts_find(&parts, SECTION_PROCESS);
    uint8_t *found = memmem(section->payload, section->size, plain.data, plain.size);
    assert_non_null(found);
    size_t at = (size_t)(found - section->payload);
    buffer_bytes(&plain, "more", 4);
    buffer_patch_u32(&plain, 0, (uint32_t)plain.size - 4);
    section_splice(section, at, plain.size - 4, plain.data, plain.size);
    uint32_t length = (uint32_t)section->size - 4;
    memcpy(section->payload, &length, 4);
    image = parts_join(&parts, 0);
    assert_int_equal(open_images(&opened, &image, 1, &err), 0);
    assert_contexts_equal(&context, &opened.source.context);
    close_opened(&opened);
    image_free(&image);
    parts_free(&parts);
    buffer_free(&plain);
    context_free(&context);
}

/* A record may end after any of its fields, and after none but the first inside of one. */
#define OLDER_FIELD(kind, name) ends[n_ends++] = ends_##kind(&payload, &value->name);
#define OLDER_LIST(record, name)                           \
    buffer_u32(&payload, value->n_##name);                 \
    for (uint32_t i = 0; i < value->n_##name; i++)         \
        record_encode_##record(&payload, &value->name[i]); \
    ends[n_ends++] = payload.size;

static size_t ends_u32(struct buffer *buffer, const uint32_t *value)
{
    return buffer_u32(buffer, *value), buffer->size;
}
static size_t ends_i32(struct buffer *buffer, const int32_t *value)
{
    return buffer_u32(buffer, (uint32_t)*value), buffer->size;
}
static size_t ends_u64(struct buffer *buffer, const uint64_t *value)
{
    return buffer_u64(buffer, *value), buffer->size;
}
static size_t ends_str(struct buffer *buffer, char *const *value)
{
    return buffer_string(buffer, *value), buffer->size;
}
static size_t ends_blob(struct buffer *buffer, const struct blob *value)
{
    return buffer_blob(buffer, value), buffer->size;
}

/* Where a list ends its elements may end too: cutting there leaves a list that is too short, which is refused. */
static void check_older(struct buffer *payload, const size_t *ends, size_t n_ends, struct buffer *whole,
                        void (*decode)(struct reader *, struct buffer *))
{
    size_t next = 0;

    assert_int_equal(payload->size, whole->size);
    assert_memory_equal(payload->data + 4, whole->data + 4, whole->size - 4);
    for (size_t size = 4; size <= payload->size; size++) {
        buffer_patch_u32(payload, 0, (uint32_t)size - 4);
        struct reader reader = {.data = payload->data, .left = size};
        struct buffer again = {0};
        decode(&reader, &again);
        while (next < n_ends && ends[next] < size)
            next++;
        assert_int_equal(reader.failed, next == n_ends || ends[next] != size);
        assert_false(reader.no_memory);
        if (!reader.failed) {
            /* What was there is as it was; the rest is zeros. */
            assert_int_equal(reader.left, 0);
            assert_true(again.size >= size);
            assert_memory_equal(again.data + 4, payload->data + 4, size - 4);
            for (size_t i = size; i < again.size; i++)
                assert_int_equal(again.data[i], 0);
        }
        buffer_free(&again);
    }
}

#define OLDER(record, FIELDS)                                                      \
    static void decode_again_##record(struct reader *reader, struct buffer *again) \
    {                                                                              \
        struct record value;                                                       \
        record_decode_##record(reader, &value);                                    \
        record_encode_##record(again, &value);                                     \
        record_free_##record(&value);                                              \
    }                                                                              \
    static void older_##record(const struct record *value)                         \
    {                                                                              \
        struct buffer payload = {0}, whole = {0};                                  \
        size_t ends[256], n_ends = 0;                                              \
        buffer_u32(&payload, 0);                                                   \
        FIELDS(OLDER_FIELD, OLDER_LIST)                                            \
        record_encode_##record(&whole, value);                                     \
        check_older(&payload, ends, n_ends, &whole, decode_again_##record);        \
        buffer_free(&payload);                                                     \
        buffer_free(&whole);                                                       \
    }
RECORDS(OLDER)

static void fields_that_an_older_release_lacks_are_zero(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct random random = random_seeded(seed);
        struct context context;
        context_random(&random, &context, 4);
        older_scope(&context.scope);
        for (uint32_t i = 0; i < context.n_files; i++)
            older_file(&context.files[i]);
        for (uint32_t i = 0; i < context.n_descriptions; i++)
            older_description(&context.descriptions[i]);
        for (uint32_t i = 0; i < context.n_locks; i++)
            older_lock(&context.locks[i]);
        for (uint32_t i = 0; i < context.n_tracked; i++)
            older_tracked(&context.tracked[i]);
        for (uint32_t i = 0; i < context.n_sysv; i++)
            older_sysv(&context.sysv[i]);
        for (uint32_t p = 0; p < context.n_processes; p++) {
            const struct process *process = &context.processes[p];
            older_process(process);
            for (uint32_t i = 0; i < process->n_threads; i++)
                older_thread(&process->threads[i]);
            for (uint32_t i = 0; i < process->n_maps; i++)
                older_map(&process->maps[i]);
            for (uint32_t i = 0; i < process->n_guards; i++)
                older_guard(&process->guards[i]);
            for (uint32_t i = 0; i < process->n_pending; i++)
                older_pending(&process->pending[i]);
            for (uint32_t i = 0; i < process->n_actions; i++)
                older_action(&process->actions[i]);
            for (uint32_t i = 0; i < process->n_itimers; i++)
                older_itimer(&process->itimers[i]);
            for (uint32_t i = 0; i < process->n_timers; i++)
                older_timer(&process->timers[i]);
            for (uint32_t i = 0; i < process->n_limits; i++)
                older_limit(&process->limits[i]);
            for (uint32_t i = 0; i < process->n_descriptors; i++)
                older_descriptor(&process->descriptors[i]);
        }
        context_free(&context);
    }
}

static void unknown_sections_are_skipped_if_optional(void **state)
{
    struct context context;
    struct image image;
    struct file_parts parts;
    struct opened opened;
    struct caesura_error err = {0};
    uint8_t bytes[] = "of another release";
    struct section unknown = {
        {.magic = FORMAT_SECTION_MAGIC, .type = 4711, .owner = 5, .length = sizeof bytes}, bytes, sizeof bytes};

    (void)state;
    context_small(&context);
    images_write(&context, &image, 1);
    parts_take(&image, &parts);
    image_free(&image);
    for (size_t at = 1; at < parts.count; at += 2) {
        parts_insert(&parts, at, &unknown);
        image = parts_join(&parts, 0);
        assert_int_equal(open_images(&opened, &image, 1, &err), 0);
        assert_contexts_equal(&context, &opened.source.context);
        close_opened(&opened);
        image_free(&image);

        parts.sections[at].header.flags = SECTION_REQUIRED;
        image = parts_join(&parts, 0);
        assert_refused(&image, 1, CAESURA_EFORMAT, "type 4711");
        image_free(&image);
        parts_remove(&parts, at);
    }
    parts_free(&parts);
    context_free(&context);
}

static void other_versions_and_machines_are_told_apart(void **state)
{
    struct context context;
    struct image image;
    struct file_parts parts;

    (void)state;
    context_small(&context);
    images_write(&context, &image, 1);
    parts_take(&image, &parts);
    image_free(&image);
    parts.header.version = 2;
    image = parts_join(&parts, 0);
    assert_refused(&image, 1, CAESURA_EFORMAT, "format version 2");
    image_free(&image);
    parts.header.version = FORMAT_VERSION;
    parts.header.machine = 183; /* EM_AARCH64 */
    image = parts_join(&parts, 0);
    assert_refused(&image, 1, CAESURA_EBADARCH, "ELF machine 183");
    image_free(&image);
    parts.header.machine = ARCH_ELF_MACHINE;
    parts.header.page_size = 65536;
    image = parts_join(&parts, 0);
    assert_refused(&image, 1, CAESURA_EBADARCH, "65536");
    image_free(&image);
    parts_free(&parts);
    context_free(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_comes_back),
        cmocka_unit_test(every_record_comes_back_from_a_set),
        cmocka_unit_test(a_description_names_every_field),
        cmocka_unit_test(strings_are_described_as_utf8_or_byte_by_byte),
        cmocka_unit_test(data_comes_back_from_its_place),
        cmocka_unit_test(data_is_aligned_in_the_file),
        cmocka_unit_test(files_of_a_set_are_taken_in_any_order),
        cmocka_unit_test(a_wrong_set_is_refused),
        cmocka_unit_test(fields_of_a_newer_release_are_skipped),
        cmocka_unit_test(elements_of_a_newer_release_are_skipped),
        cmocka_unit_test(fields_that_an_older_release_lacks_are_zero),
        cmocka_unit_test(unknown_sections_are_skipped_if_optional),
        cmocka_unit_test(other_versions_and_machines_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
