/* test_crc32c.c - the processor's CRC-32C against known answers and against the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/arch_x86_64.h"
#include "core/crc32c.h"

#define ROOM (64u << 10)

/* RFC 3720, B.4, and the check value of the catalogues. */
static void gives_known_answers(void **state)
{
    uint8_t block[32];

    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_by_table(0, "123456789", 9), 0xe3069283);
    memset(block, 0, sizeof block);
    assert_int_equal(crc32c(0, block, sizeof block), 0x8a9136aa);
    memset(block, 0xff, sizeof block);
    assert_int_equal(crc32c(0, block, sizeof block), 0x62a8ab43);
    for (uint8_t i = 0; i < sizeof block; i++)
        block[i] = i;
    assert_int_equal(crc32c(0, block, sizeof block), 0x46dd794e);
    assert_int_equal(crc32c(0, NULL, 0), 0);
}

static uint8_t *random_bytes(size_t size)
{
    uint8_t *bytes = malloc(size);
    uint64_t x = 0x9e3779b97f4a7c15;

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        bytes[i] = (uint8_t)(x >> 32);
    }
    return bytes;
}

/* Lengths around the blocks that are summed up together, at every alignment. */
static void agrees_with_the_table(void **state)
{
    uint8_t *bytes = random_bytes(ROOM);

    (void)state;
    for (size_t blocks = 0; blocks <= 4; blocks++)
        for (size_t more = 0; more < 40; more++)
            for (size_t offset = 0; offset < 9; offset++) {
                size_t size = blocks * 3072 + more - (blocks && more > 20 ? 40 : 0);
                uint32_t start = (uint32_t)(more * 0x01010101u);
                assert_int_equal(crc32c(start, bytes + offset, size), crc32c_by_table(start, bytes + offset, size));
            }
    assert_int_equal(crc32c(0, bytes, ROOM), crc32c_by_table(0, bytes, ROOM));
    free(bytes);
}

static void goes_on_where_it_ended(void **state)
{
    uint8_t *bytes = random_bytes(ROOM);
    uint32_t whole = crc32c(0, bytes, ROOM);

    (void)state;
    for (size_t cut = 0; cut < ROOM; cut += 997)
        assert_int_equal(crc32c(crc32c(0, bytes, cut), bytes + cut, ROOM - cut), whole);
    free(bytes);
}

/* What was tested above is the table alone where the instructions are missing. */
static void says_which_was_tested(void **state)
{
    (void)state;
    if (!arch_has_crc32c())
        print_message("this processor has no instruction for CRC-32C\n");
    else
        assert_int_equal((uint32_t)~arch_crc32c(~0u, (const uint8_t *)"123456789", 9), 0xe3069283);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_known_answers),
        cmocka_unit_test(agrees_with_the_table),
        cmocka_unit_test(goes_on_where_it_ended),
        cmocka_unit_test(says_which_was_tested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
