/* CRC-32C (Castagnoli). */
#ifndef PMCKPT_CRC32C_H
#define PMCKPT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 at first) over the bytes and returns the new sum. */
uint32_t ckpt_crc32c(uint32_t crc, const void *data, size_t bytes);

#endif
