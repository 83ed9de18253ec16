/* test_context_document.c - docs/context-format.md says what the code does: fields, their order, types, numbers, offsets. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "context/format.h"
#include "core/arch_x86_64.h"
#include "model/model.h"

#define DOCUMENT "docs/context-format.md"
#define MODEL "native/src/model/model.h"

static char *read_text(const char *name)
{
    const char *top = getenv("CAESURA_TOP");
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", top ? top : ".", name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot read %s", path);
    char *text = calloc(1, 1 << 20);
    size_t got = fread(text, 1, (1 << 20) - 1, file);
    assert_true(got > 0 && feof(file));
    fclose(file);
    return text;
}

static const char *line_after(const char *at)
{
    at += strcspn(at, "\n");
    return at + (*at == '\n');
}

/* The next row of a table, split at its bars; false at the first line that is none. *at moves behind it. */
struct row {
    char cells[4][256];
};

static bool next_row(const char **at, struct row *row)
{
    const char *from = *at;

    if (*from != '|')
        return false;
    memset(row, 0, sizeof *row);
    for (int i = 0; i < 4 && *from == '|' && from[1] != '\n'; i++) {
        size_t size = strcspn(from + 1, "|\n"), skip = strspn(from + 1, " `");
        const char *end = from + 1 + size;
        const char *start = skip < size ? from + 1 + skip : end;
        while (end > start && (end[-1] == ' ' || end[-1] == '`'))
            end--;
        snprintf(row->cells[i], sizeof row->cells[i], "%.*s", (int)(end - start), start);
        from += 1 + size;
    }
    *at = line_after(*at);
    return true;
}

/* The first row below the head of the next table after `from` whose head begins so. */
static const char *table_after(const char *from, const char *head)
{
    const char *found = strstr(from, head);

    if (!found) {
        fail_msg("no table %s", head);
        return "";
    }
    return line_after(line_after(found));
}

/* ---- records ---- */

struct expected {
    char name[64], type[64];
};

static void check_record(const char *document, const char *record, const struct expected *fields, size_t count)
{
    char heading[128];
    struct row row = {0};

    snprintf(heading, sizeof heading, "\n### %s\n", record);
    const char *section = strstr(document, heading);
    if (!section) {
        fail_msg("no heading for record %s", record);
        return;
    }
    const char *at = table_after(section, "| field | type | meaning |");
    for (size_t i = 0; i < count; i++) {
        if (!next_row(&at, &row))
            fail_msg("record %s: field %s is missing", record, fields[i].name);
        if (strcmp(row.cells[0], fields[i].name) != 0 || strcmp(row.cells[1], fields[i].type) != 0)
            fail_msg("record %s, field %zu: \"%s %s\" instead of \"%s %s\"", record, i + 1, row.cells[0], row.cells[1],
                     fields[i].name, fields[i].type);
    }
    if (next_row(&at, &row))
        fail_msg("record %s: there is no field %s", record, row.cells[0]);
}

#define EXPECT_FIELD(kind, name) {#name, #kind},
#define EXPECT_LIST(record, name) {#name, "list of " #record},
#define CHECK_RECORD(record, FIELDS)                                                 \
    {                                                                                \
        static const struct expected fields[] = {FIELDS(EXPECT_FIELD, EXPECT_LIST)}; \
        check_record(document, #record, fields, sizeof fields / sizeof *fields);     \
        records++;                                                                   \
    }

static void every_field_is_described_in_its_place(void **state)
{
    char *document = read_text(DOCUMENT);
    size_t records = 0, headings = 0;

    (void)state;
    RECORDS(CHECK_RECORD)
    for (const char *at = document; (at = strstr(at, "\n### ")); at++)
        headings++;
    assert_int_equal(headings, records);
    free(document);
}

/* ---- numbers ---- */

/* Every `NAME = NUMBER` of model.h stands in a table as | NUMBER | NAME |. */
static void every_constant_is_described(void **state)
{
    char *document = read_text(DOCUMENT), *model = read_text(MODEL);
    size_t constants = 0;

    (void)state;
    for (const char *at = model; (at = strchr(at, '=')); at++) {
        char name[64], number[32], row[128];
        const char *start = at;
        while (start > model && (start[-1] == ' ' || isalnum((unsigned char)start[-1]) || start[-1] == '_'))
            start--;
        if (sscanf(start, " %63[A-Z0-9_] = %31[0-9a-fx]", name, number) != 2)
            continue;
        snprintf(row, sizeof row, "\n| %s | %s |", number, name);
        if (!strstr(document, row))
            fail_msg("%s = %s of model.h is not described", name, number);
        constants++;
    }
    assert_true(constants > 50);
    free(document);
    free(model);
}

static void every_section_type_is_described(void **state)
{
    static const struct {
        uint32_t type;
        const char *name;
    } types[] = {
        {SECTION_SCOPE, "SCOPE"}, {SECTION_FILE, "FILE"},       {SECTION_DESCRIPTION, "DESCRIPTION"},
        {SECTION_LOCK, "LOCK"},   {SECTION_TRACKED, "TRACKED"}, {SECTION_PROCESS, "PROCESS"},
        {SECTION_PAGES, "PAGES"}, {SECTION_CONTENT, "CONTENT"}, {SECTION_SYSV, "SYSV"},
        {SECTION_END, "END"},
    };
    char *document = read_text(DOCUMENT);
    const char *at = table_after(document, "| type | name | owner |");
    struct row row = {0};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        assert_true(next_row(&at, &row));
        assert_int_equal(strtoul(row.cells[0], NULL, 10), types[i].type);
        assert_string_equal(row.cells[1], types[i].name);
    }
    assert_false(next_row(&at, &row));
    free(document);
}

/* ---- layouts ---- */

struct member {
    const char *name;
    size_t offset, size;
};

#define MEMBER(structure, name)                                                        \
    {                                                                                  \
#name, offsetof(struct structure, name), sizeof(((struct structure *)0)->name) \
    }

static void check_layout(const char **from, const struct member *members, size_t count, size_t size)
{
    struct row row = {0};
    size_t next = 0;
    const char *at = table_after(*from, "| offset | type | field | meaning |");

    for (size_t i = 0; i < count; i++) {
        assert_true(next_row(&at, &row));
        assert_string_equal(row.cells[2], members[i].name);
        assert_int_equal(strtoul(row.cells[0], NULL, 10), members[i].offset);
        assert_int_equal(members[i].offset, next);
        size_t width =
            row.cells[1][0] == 'u' ? strtoul(row.cells[1] + 1, NULL, 10) / 8 : strtoul(row.cells[1], NULL, 10);
        assert_int_equal(width, members[i].size);
        next = members[i].offset + members[i].size;
    }
    assert_int_equal(next, size);
    *from = at;
}

#define CHECK_LAYOUT(structure, ...)                                                            \
    {                                                                                           \
        static const struct member members[] = {__VA_ARGS__};                                   \
        check_layout(&at, members, sizeof members / sizeof *members, sizeof(struct structure)); \
    }

static void every_layout_is_described(void **state)
{
    char *document = read_text(DOCUMENT);
    const char *at = document;

    (void)state;
    CHECK_LAYOUT(format_header, MEMBER(format_header, magic), MEMBER(format_header, version),
                 MEMBER(format_header, machine), MEMBER(format_header, set_id), MEMBER(format_header, file_index),
                 MEMBER(format_header, file_count), MEMBER(format_header, page_size), MEMBER(format_header, reserved),
                 MEMBER(format_header, created_ns), MEMBER(format_header, reserved2), MEMBER(format_header, checksum))
    CHECK_LAYOUT(format_section, MEMBER(format_section, magic), MEMBER(format_section, type),
                 MEMBER(format_section, flags), MEMBER(format_section, owner), MEMBER(format_section, length),
                 MEMBER(format_section, checksum), MEMBER(format_section, header_checksum))
    CHECK_LAYOUT(format_end, MEMBER(format_end, sections), MEMBER(format_end, headers_checksum),
                 MEMBER(format_end, reserved))
    CHECK_LAYOUT(format_extents, MEMBER(format_extents, count), MEMBER(format_extents, data_offset))
    CHECK_LAYOUT(format_extent, MEMBER(format_extent, start), MEMBER(format_extent, size))
    free(document);
}

/* Numbers in the prose. */
static void every_limit_is_described(void **state)
{
    char *document = read_text(DOCUMENT);

    (void)state;
    assert_int_equal(FORMAT_VERSION, 1);
    assert_int_equal(FORMAT_PAYLOAD_MAX, 1 << 30);
    assert_int_equal(FORMAT_FRAME_BYTES, 1 << 20);
    assert_int_equal(FORMAT_FRAME_EXTENTS, 256);
    assert_int_equal(FORMAT_TABLE_MAX, 4104);
    assert_int_equal(FORMAT_DATA_SECTION_MAX, (1 << 20) + 69640);
    assert_int_equal(SECTION_REQUIRED, 1);
    assert_int_equal(ARCH_PAGE_SIZE, 4096);
    assert_int_equal(ARCH_ELF_MACHINE, 62);
    assert_int_equal(sizeof(arch_regs), 216);
    assert_memory_equal(&(uint32_t){FORMAT_SECTION_MAGIC}, "SECT", 4);
    assert_memory_equal(FORMAT_MAGIC, "CAESURA\x1a", 8);
    assert_non_null(strstr(document, "# Context format, version 1\n"));
    assert_non_null(strstr(document, "at most 1 GiB (2^30)"));
    assert_non_null(strstr(document, "sum up to 1 MiB (2^20) at most; the payload is at most that and 69640 bytes"));
    assert_non_null(strstr(document, "of extents, 1 to 256"));
    assert_non_null(strstr(document, "least 4104"));
    assert_non_null(strstr(document, "216 bytes on x86-64"));
    assert_non_null(strstr(document, "62 for x86-64"));
    free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_described_in_its_place),
        cmocka_unit_test(every_constant_is_described),
        cmocka_unit_test(every_section_type_is_described),
        cmocka_unit_test(every_layout_is_described),
        cmocka_unit_test(every_limit_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
