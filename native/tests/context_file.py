"""Context files as the tests damage them: where the sections are, and checksums made right again.

The layout is that of native/src/context/format.h.
"""
from __future__ import annotations

import dataclasses
import struct

HEADER = struct.Struct("<8sII16sIIIIQII")
SECTION = struct.Struct("<IIIIQII")
VERSION_AT, MACHINE_AT = 8, 12
TYPES = {1: "scope", 2: "file", 3: "description", 4: "lock", 5: "tracked", 6: "process", 7: "pages", 8: "content"}
TYPES[0x7FFFFFFF] = "end"


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC32C = _table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@dataclasses.dataclass(frozen=True)
class Section:
    kind: str
    at: int  # of its header
    length: int  # of its payload

    @property
    def payload(self) -> int:
        return self.at + SECTION.size


def sections(data: bytes) -> list[Section]:
    found = []
    at = HEADER.size
    while at < len(data):
        _, kind, _, _, length, _, _ = SECTION.unpack_from(data, at)
        found.append(Section(TYPES.get(kind, str(kind)), at, length))
        at = found[-1].payload + length
    return found


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    copy = bytearray(data)
    copy[at] ^= 1 << bit
    return bytes(copy)


def with_header(data: bytes, at: int, value: int) -> bytes:
    """Another number in the header, and a header checksum that is right."""
    copy = bytearray(data)
    struct.pack_into("<I", copy, at, value)
    struct.pack_into("<I", copy, HEADER.size - 4, crc32c(copy[: HEADER.size - 4]))
    return bytes(copy)


def with_processor_features(data: bytes, more: int) -> bytes:
    """A scope record that asks for more features of the processor; all checksums are right."""
    section = next(s for s in sections(data) if s.kind == "scope")
    copy = bytearray(data)
    # The record's length, five numbers, four texts, three times.
    at = section.payload + 4 + 5 * 4
    for _ in range(4):
        at += 4 + struct.unpack_from("<I", copy, at)[0]
    at += 3 * 8
    (features,) = struct.unpack_from("<Q", copy, at)
    struct.pack_into("<Q", copy, at, features | more)
    return with_checksums(bytes(copy), section)


def with_checksums(data: bytes, changed: Section) -> bytes:
    copy = bytearray(data)
    payload = bytes(copy[changed.payload : changed.payload + changed.length])
    struct.pack_into("<I", copy, changed.at + 24, crc32c(payload))
    struct.pack_into("<I", copy, changed.at + 28, crc32c(copy[changed.at : changed.at + 28]))
    found = sections(bytes(copy))
    end = found[-1]
    headers = b"".join(bytes(copy[s.at : s.at + SECTION.size - 4]) for s in found[:-1])  # without their checksums
    struct.pack_into("<I", copy, end.payload + 8, crc32c(headers))
    payload = bytes(copy[end.payload : end.payload + end.length])
    struct.pack_into("<I", copy, end.at + 24, crc32c(payload))
    struct.pack_into("<I", copy, end.at + 28, crc32c(copy[end.at : end.at + 28]))
    return bytes(copy)
