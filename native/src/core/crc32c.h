/* crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4), which Java has as java.util.zip.CRC32C. */
#ifndef CAESURA_CORE_CRC32C_H
#define CAESURA_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/** Checksum of data appended to what gave crc; start with 0. Any thread. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/** The same, slowly: for processors without an instruction for it, and to test against. */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t size);

#endif
