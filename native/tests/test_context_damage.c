/* test_context_damage.c - no context that is damaged, cut off or made up is taken for a good one, or costs more than itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "context/codec.h"
#include "context/reader.h"
#include "core/crc32c.h"
#include "support/lib_context.h"

#ifdef __has_feature /* clang */
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

/* What a reader of hostile bytes may take beside what it had before. */
#define MEMORY_LIMIT (48ul << 20)

static struct image small_image(void)
{
    struct context context;
    struct image image;

    context_small(&context);
    images_write(&context, &image, 1);
    context_free(&context);
    return image;
}

static struct file_parts small_parts(void)
{
    struct image image = small_image();
    struct file_parts parts;

    parts_take(&image, &parts);
    image_free(&image);
    return parts;
}

static int verify_fd(int fd, struct caesura_error *err)
{
    int32_t fds[] = {fd};
    return caesura_context_verify(fds, 1, err);
}

/* Takes the parts; the code with which the context that they make is refused, 0 if it is good. */
static int code_of(struct file_parts *parts, unsigned flags, const char *text)
{
    struct image image = parts_join(parts, flags);
    struct caesura_error err = {0};
    int rc = images_verify(&image, 1, &err);

    if (rc && !strstr(err.message, text))
        fail_msg("\"%s\" does not speak of \"%s\"", err.message, text);
    assert_int_equal(rc, -err.code);
    image_free(&image);
    parts_free(parts);
    return -rc;
}

/* ---- damage ---- */

static void what_is_cut_off_is_refused_at_every_byte(void **state)
{
    struct image image = small_image();
    int fd = image_open(&image);
    struct caesura_error err;
    char *json = NULL;

    (void)state;
    assert_int_equal(verify_fd(fd, &err), 0);
    for (size_t size = image.size; size-- > 0;) {
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        int rc = verify_fd(fd, &err);
        if (rc != -CAESURA_ETRUNCATED && !(size < sizeof(struct format_header) && rc == -CAESURA_EFORMAT))
            fail_msg("%zu of %zu bytes: %d %s", size, image.size, rc, rc ? err.message : "");
        assert_int_equal(caesura_context_describe((int32_t[]){fd}, 1, &json, &err), rc);
        assert_null(json);
    }
    close(fd);
    image_free(&image);
}

/* The second file, too. */
static void a_set_with_a_short_file_is_refused(void **state)
{
    struct random random = random_seeded(3);
    struct context context;
    struct image images[2];
    struct caesura_error err;

    (void)state;
    context_random(&random, &context, 2);
    images_write(&context, images, 2);
    for (size_t i = 0; i < 2; i++) {
        size_t whole = images[i].size;
        assert_int_equal(images_verify(images, 2, &err), 0);
        for (images[i].size = whole - 1; images[i].size > 64; images[i].size -= images[i].size / 7)
            assert_int_equal(images_verify(images, 2, &err), -CAESURA_ETRUNCATED);
        images[i].size = whole;
    }
    image_free(&images[0]);
    image_free(&images[1]);
    context_free(&context);
}

static void every_flipped_bit_is_noticed(void **state)
{
    struct image image = small_image();
    int fd = image_open(&image);
    struct caesura_error err;

    (void)state;
    for (size_t at = 0; at < image.size; at++)
        for (int bit = 0; bit < 8; bit++) {
            uint8_t flipped = image.bytes[at] ^ (uint8_t)(1 << bit);
            assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
            int rc = verify_fd(fd, &err);
            if (rc != -CAESURA_ECORRUPT && rc != -CAESURA_EFORMAT && rc != -CAESURA_ETRUNCATED &&
                rc != -CAESURA_EBADARCH)
                fail_msg("bit %d of byte %zu of %zu: %d %s", bit, at, image.size, rc, rc ? err.message : "");
            assert_int_equal(pwrite(fd, &image.bytes[at], 1, (off_t)at), 1);
        }
    assert_int_equal(verify_fd(fd, &err), 0);
    close(fd);
    image_free(&image);
}

static void what_comes_after_the_end_is_refused(void **state)
{
    struct image image = small_image();
    struct caesura_error err;

    (void)state;
    uint8_t *longer = realloc(image.bytes, image.size + 64);
    assert_non_null(longer);
    memset(longer + image.size, 0, 64);
    image.bytes = longer;
    image.size++;
    assert_int_equal(images_verify(&image, 1, &err), -CAESURA_ECORRUPT);
    image.size += 63;
    assert_int_equal(images_verify(&image, 1, &err), -CAESURA_ECORRUPT);
    image_free(&image);
}

static void what_is_no_context_is_refused(void **state)
{
    static const char script[] = "#!/bin/sh\necho not a context, and longer than the header of one would be, by far\n";
    struct image image = {(uint8_t *)(uintptr_t)script, sizeof script};
    struct caesura_error err;
    int32_t fds[] = {-1};

    (void)state;
    assert_int_equal(images_verify(&image, 1, &err), -CAESURA_EFORMAT);
    image.size = 0;
    assert_int_equal(images_verify(&image, 1, &err), -CAESURA_EFORMAT);
    assert_int_equal(caesura_context_verify(fds, 1, &err), -EBADF);
}

/* ---- sections that are there, but should not be so ---- */

static void sections_that_went_missing_are_noticed(void **state)
{
    struct file_parts parts = small_parts();
    size_t count = parts.count;

    (void)state;
    parts_free(&parts);
    for (size_t i = 0; i < count; i++) {
        parts = small_parts();
        bool is_end = parts.sections[i].header.type == SECTION_END;
        parts_remove(&parts, i);
        int code = code_of(&parts, JOIN_AS_IT_IS, "");
        assert_true(code == (is_end ? CAESURA_ETRUNCATED : CAESURA_ECORRUPT) || code == CAESURA_EFORMAT);
    }
}

static void sections_that_are_repeated_are_noticed(void **state)
{
    struct file_parts parts = small_parts();
    size_t count = parts.count;

    (void)state;
    parts_free(&parts);
    for (size_t i = 0; i < count; i++) {
        parts = small_parts();
        struct section copy = parts.sections[i];
        parts_insert(&parts, i, &copy);
        int code = code_of(&parts, JOIN_AS_IT_IS, "");
        assert_true(code == CAESURA_ECORRUPT || code == CAESURA_EFORMAT);
    }
}

static void sections_that_changed_places_are_noticed(void **state)
{
    struct file_parts parts = small_parts();
    size_t count = parts.count;

    (void)state;
    parts_free(&parts);
    for (size_t i = 0; i < count; i++)
        for (size_t k = i + 1; k < count; k++) {
            parts = small_parts();
            struct section first = parts.sections[i];
            parts.sections[i] = parts.sections[k];
            parts.sections[k] = first;
            int code = code_of(&parts, JOIN_AS_IT_IS, "");
            assert_true(code == CAESURA_ECORRUPT || code == CAESURA_EFORMAT);
        }
}

static size_t index_of(const struct file_parts *parts, uint32_t type)
{
    size_t i = 0;
    while (parts->sections[i].header.type != type)
        i++;
    return i;
}

/* All checksums are right: somebody wrote it so. */
static void what_cannot_be_is_refused_whatever_its_checksums(void **state)
{
    static const struct {
        uint32_t type;
        const char *without, *twice;
    } cases[] = {
        {SECTION_SCOPE, "type 2 stands where it may not", "type 1 stands where it may not"},
        {SECTION_FILE, "of file 1 of 0", "file 2 of the context has number 1"},
        {SECTION_DESCRIPTION, "lock 1", "open file 2 of the context has number 1"},
        {SECTION_PROCESS, "memory of process 2, but no such process", "process 2 twice"},
        {SECTION_END, "before its end record", "goes on after its end record"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct file_parts parts = small_parts();
        parts_remove(&parts, index_of(&parts, cases[i].type));
        assert_int_equal(code_of(&parts, 0, cases[i].without),
                         cases[i].type == SECTION_END ? CAESURA_ETRUNCATED : CAESURA_EFORMAT);
        parts = small_parts();
        size_t at = index_of(&parts, cases[i].type);
        struct section copy = parts.sections[at];
        parts_insert(&parts, at, &copy);
        assert_int_equal(code_of(&parts, 0, cases[i].twice),
                         cases[i].type == SECTION_END ? CAESURA_ECORRUPT : CAESURA_EFORMAT);
    }
    struct file_parts parts = small_parts();
    while (parts.count > 1)
        parts_remove(&parts, 0);
    assert_int_equal(code_of(&parts, 0, "no scope"), CAESURA_EFORMAT);
}

static void an_end_that_lies_is_refused(void **state)
{
    struct file_parts parts = small_parts();

    (void)state;
    struct section *end = parts_find(&parts, SECTION_END);
    end->payload[0]++;
    assert_int_equal(code_of(&parts, JOIN_KEEPS_END, "missing or out of order"), CAESURA_ECORRUPT);
    parts = small_parts();
    end = parts_find(&parts, SECTION_END);
    end->payload[8]++;
    assert_int_equal(code_of(&parts, JOIN_KEEPS_END, "missing or out of order"), CAESURA_ECORRUPT);
    parts = small_parts();
    end = parts_find(&parts, SECTION_END);
    section_splice(end, end->size, 0, "more", 4);
    assert_int_equal(code_of(&parts, 0, "wrong size"), CAESURA_EFORMAT);
}

/* What is common to all processes in the file of one of them. */
static void a_section_in_the_wrong_file_is_refused(void **state)
{
    static const uint32_t types[] = {SECTION_SCOPE, SECTION_FILE,    SECTION_DESCRIPTION,
                                     SECTION_LOCK,  SECTION_TRACKED, SECTION_CONTENT};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct random random = random_seeded(11);
        struct context context;
        struct image images[2];
        struct caesura_error err;
        struct file_parts parts, small = small_parts();
        context_random(&random, &context, 2);
        images_write(&context, images, 2);
        assert_int_equal(images_verify(images, 2, &err), 0);
        parts_take(&images[1], &parts);
        parts_insert(&parts, 1, parts_find(&small, types[i]));
        image_free(&images[1]);
        images[1] = parts_join(&parts, 0);
        assert_int_equal(images_verify(images, 2, &err), -CAESURA_EFORMAT);
        assert_non_null(strstr(err.message, "in file 2 of the context"));
        image_free(&images[0]);
        image_free(&images[1]);
        parts_free(&parts);
        parts_free(&small);
        context_free(&context);
    }
}

/* ---- data sections ---- */

static int code_of_table(uint32_t type, size_t at, const void *bytes, size_t size)
{
    struct file_parts parts = small_parts();
    struct section *section = parts_find(&parts, type);

    memcpy(section->payload + at, bytes, size);
    return code_of(&parts, 0, "table of extents");
}

static void tables_of_extents_that_do_not_fit_are_refused(void **state)
{
    static const uint32_t counts[] = {0, 2, FORMAT_FRAME_EXTENTS, FORMAT_FRAME_EXTENTS + 1, 1u << 28, UINT32_MAX};
    static const uint32_t offsets[] = {0, 7, 23, 24, 1u << 20, UINT32_MAX};
    static const uint64_t starts[] = {1, 4095, UINT64_MAX & ~4095ull, (uint64_t)INT64_MAX & ~4095ull};
    static const uint64_t sizes[] = {0, 1, 8192, FORMAT_FRAME_BYTES, UINT64_MAX & ~4095ull, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        assert_int_equal(code_of_table(SECTION_PAGES, 0, &counts[i], 4), CAESURA_EFORMAT);
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        assert_int_equal(code_of_table(SECTION_PAGES, 4, &offsets[i], 4), CAESURA_EFORMAT);
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        assert_int_equal(code_of_table(SECTION_PAGES, 8, &starts[i], 8), CAESURA_EFORMAT);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(code_of_table(SECTION_PAGES, 16, &sizes[i], 8), CAESURA_EFORMAT);
        assert_int_equal(code_of_table(SECTION_CONTENT, 16, &sizes[i], 8), CAESURA_EFORMAT);
    }
    struct file_parts parts = small_parts();
    struct section *pages = parts_find(&parts, SECTION_PAGES);
    section_splice(pages, 0, pages->size, "short", 5);
    assert_int_equal(code_of(&parts, 0, "table of extents"), CAESURA_EFORMAT);
    parts = small_parts();
    pages = parts_find(&parts, SECTION_PAGES);
    uint8_t *much = calloc(1, 2 * FORMAT_FRAME_BYTES);
    section_splice(pages, pages->size, 0, much, 2 * FORMAT_FRAME_BYTES);
    free(much);
    assert_int_equal(code_of(&parts, 0, "too much"), CAESURA_EFORMAT);
    parts = small_parts();
    parts_find(&parts, SECTION_CONTENT)->header.owner = 2;
    assert_int_equal(code_of(&parts, 0, "contents of file 2, but no such file"), CAESURA_EFORMAT);
}

/* ---- hostile lengths ---- */

static size_t memory_now(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");

    if (!statm || fscanf(statm, "%lu", &pages) != 1)
        _exit(99);
    fclose(statm);
    return pages * 4096;
}

/* In a process of its own with little memory: 0 if the function returned true. The sanitizers' own memory has no bounds. */
static int with_little_memory(bool (*function)(void *data), void *data)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (!child) {
        size_t limit = memory_now() + MEMORY_LIMIT;
        if (!IS_SANITIZED && setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit}))
            _exit(98);
        bool good = function(data);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

struct splash {
    struct file_parts parts;
    uint32_t type;
    uint32_t value;
};

/* The number at every place of every record, one after the other. */
static bool splash_everywhere(void *data)
{
    struct splash *splash = data;
    struct section *section = parts_find(&splash->parts, splash->type);

    for (size_t at = 0; at + 4 <= section->size; at++) {
        uint8_t before[4];
        struct caesura_error err = {0};
        memcpy(before, section->payload + at, 4);
        memcpy(section->payload + at, &splash->value, 4);
        struct image image = parts_join(&splash->parts, 0);
        int rc = images_verify(&image, 1, &err);
        image_free(&image);
        memcpy(section->payload + at, before, 4);
        /* A number that is no length may be anything. */
        if (rc && rc != -CAESURA_EFORMAT) {
            fprintf(stderr, "%u at byte %zu of a section of type %u: %d %s\n", splash->value, at, splash->type, rc,
                    err.message);
            return false;
        }
    }
    return true;
}

static void false_counts_and_lengths_cost_nothing(void **state)
{
    static const uint32_t types[] = {SECTION_SCOPE, SECTION_FILE,    SECTION_DESCRIPTION,
                                     SECTION_LOCK,  SECTION_TRACKED, SECTION_PROCESS};
    static const uint32_t values[] = {0xffffffff, 0x80000000, 0x7fffffff, 0x10000000, 0x01000000};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            struct splash splash = {small_parts(), types[i], values[k]};
            assert_int_equal(with_little_memory(splash_everywhere, &splash), 0);
            parts_free(&splash.parts);
        }
}

struct long_section {
    uint64_t length;
    uint64_t file_size; /* the file is sparse up to there */
    int code;
};

static bool read_long_section(void *data)
{
    const struct long_section *wanted = data;
    struct file_parts parts = small_parts();
    struct section *section = parts_find(&parts, SECTION_SCOPE);
    struct caesura_error err = {0};

    section->header.length = wanted->length;
    section->header.header_checksum = crc32c(0, &section->header, offsetof(struct format_section, header_checksum));
    struct image image = parts_join(&parts, JOIN_AS_IT_IS);
    parts_free(&parts);
    int fd = image_open(&image);
    image_free(&image);
    if (wanted->file_size && ftruncate(fd, (off_t)wanted->file_size))
        return false;
    int rc = verify_fd(fd, &err);
    close(fd);
    if (rc != -wanted->code)
        fprintf(stderr, "%llu bytes: %d %s\n", (unsigned long long)wanted->length, rc, err.message);
    return rc == -wanted->code;
}

static void false_sections_cost_nothing(void **state)
{
    static const struct long_section cases[] = {
        {1u << 20, 0, CAESURA_ETRUNCATED},
        {FORMAT_PAYLOAD_MAX, 0, CAESURA_ETRUNCATED},
        {FORMAT_PAYLOAD_MAX + 1ull, 0, CAESURA_EFORMAT},
        {UINT64_MAX, 0, CAESURA_EFORMAT},
        {(uint64_t)INT64_MAX + 1, 0, CAESURA_EFORMAT},
        {FORMAT_PAYLOAD_MAX, 2ull * FORMAT_PAYLOAD_MAX, CAESURA_ENOMEM_},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct long_section wanted = cases[i];
        if (wanted.file_size && IS_SANITIZED)
            continue;
        assert_int_equal(with_little_memory(read_long_section, &wanted), 0);
    }
}

/* Records of no bytes would turn each four bytes of a list into a whole structure. */
static bool read_empty_records(void *data)
{
    struct context context;
    struct caesura_error err = {0};
    struct image image;
    struct file_parts parts;

    (void)data;
    context_small(&context);
    images_write(&context, &image, 1);
    parts_take(&image, &parts);
    image_free(&image);
    struct section *section = parts_find(&parts, SECTION_PROCESS);
    uint8_t *found = NULL;
    struct buffer record = {0};
    record_encode_thread(&record, &context.processes[0].threads[0]);
    found = memmem(section->payload, section->size, record.data, record.size);
    if (!found)
        return false;
    /* Lengths that are zero, in place of the one thread; the count is before it, and small enough for what follows. */
    uint32_t count = 1u << 20, length;
    uint8_t *zeros = calloc(count, 8);
    size_t at = (size_t)(found - section->payload);
    memcpy(section->payload + at - 4, &count, 4);
    section_splice(section, at, record.size, zeros, 8 * (size_t)count);
    length = (uint32_t)section->size - 4;
    memcpy(section->payload, &length, 4);
    image = parts_join(&parts, 0);
    parts_free(&parts);
    free(zeros);
    int rc = images_verify(&image, 1, &err);
    if (rc != -CAESURA_EFORMAT)
        fprintf(stderr, "%d %s\n", rc, err.message);
    return rc == -CAESURA_EFORMAT;
}

static void records_of_nothing_are_refused(void **state)
{
    (void)state;
    assert_int_equal(with_little_memory(read_empty_records, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_cut_off_is_refused_at_every_byte),
        cmocka_unit_test(a_set_with_a_short_file_is_refused),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(what_comes_after_the_end_is_refused),
        cmocka_unit_test(what_is_no_context_is_refused),
        cmocka_unit_test(sections_that_went_missing_are_noticed),
        cmocka_unit_test(sections_that_are_repeated_are_noticed),
        cmocka_unit_test(sections_that_changed_places_are_noticed),
        cmocka_unit_test(what_cannot_be_is_refused_whatever_its_checksums),
        cmocka_unit_test(an_end_that_lies_is_refused),
        cmocka_unit_test(a_section_in_the_wrong_file_is_refused),
        cmocka_unit_test(tables_of_extents_that_do_not_fit_are_refused),
        cmocka_unit_test(false_counts_and_lengths_cost_nothing),
        cmocka_unit_test(false_sections_cost_nothing),
        cmocka_unit_test(records_of_nothing_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
