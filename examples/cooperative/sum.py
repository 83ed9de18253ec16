"""A job that asks for a checkpoint between two of its steps.

Arguments: PREFIX, number of steps, the step to ask after.
"""
import ctypes
import os
import sys
import time

CONTINUED, RESTARTED = 0, 1


class Place(ctypes.Structure):
    """struct caesura_job_place of caesura_job.h."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("restarts", ctypes.c_uint32),
        ("sequence", ctypes.c_int64),
        ("host", ctypes.c_char * 256),
        ("context", ctypes.c_char * 4096),
    ]


def ask(libcr: ctypes.CDLL) -> None:
    place = Place(size=ctypes.sizeof(Place))
    result = libcr.caesura_job_checkpoint(ctypes.c_uint32(60000), ctypes.byref(place))
    if result < 0:
        libcr.cr_strerror.restype = ctypes.c_char_p
        print("no checkpoint:", libcr.cr_strerror(-result).decode(), flush=True)
    else:
        word = "restarted" if result == RESTARTED else "continued"
        print(f"{word} on {place.host.decode()}, context {place.sequence}", flush=True)


def main() -> None:
    prefix, steps, ask_after = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    libcr = ctypes.CDLL(os.path.join(prefix, "lib", "libcr.so.0"))
    total = 0
    for step in range(1, steps + 1):
        total += step
        print(f"step {step}: {total}", flush=True)
        if step == ask_after:
            ask(libcr)
        time.sleep(1)
    print(f"sum {total}", flush=True)


main()
