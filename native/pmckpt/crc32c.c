#include "crc32c.h"

#include <cpuid.h>
#include <nmmintrin.h>
#include <string.h>

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const unsigned char *byte, size_t bytes)
{
    uint64_t sum = crc;

    for (; bytes >= 8; bytes -= 8, byte += 8) {
        uint64_t word;

        memcpy(&word, byte, sizeof(word));
        sum = _mm_crc32_u64(sum, word);
    }
    for (; bytes; bytes--)
        sum = _mm_crc32_u8(sum, *byte++);
    return sum;
}

/* Bit by bit, without a table: a table would be data that changes on first use, in the middle of saving it. */
static uint32_t by_shifting(uint32_t crc, const unsigned char *byte, size_t bytes)
{
    for (; bytes; bytes--) {
        crc ^= *byte++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1));
    }
    return crc;
}

uint32_t ckpt_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    unsigned eax, ebx, ecx = 0, edx;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && ecx & bit_SSE4_2)
        return ~by_instruction(~crc, data, bytes);
    return ~by_shifting(~crc, data, bytes);
}
