#include "core/crc32c.h"

#include "core/arch_x86_64.h"

/* Reflected polynomial 0x1EDC6F41. */
#define POLYNOMIAL 0x82f63b78u

static uint32_t table[256];

__attribute__((constructor)) static void table_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = (value >> 1) ^ (value & 1 ? POLYNOMIAL : 0);
        table[i] = value;
    }
}

uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *at = data;

    crc = ~crc;
    while (size--)
        crc = (crc >> 8) ^ table[(crc ^ *at++) & 0xff];
    return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return arch_has_crc32c() ? ~arch_crc32c(~crc, data, size) : crc32c_by_table(crc, data, size);
}
