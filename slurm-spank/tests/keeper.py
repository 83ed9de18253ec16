"""keeper.py COMMAND...: runs a daemon, adopts and reaps what it leaves behind, and ends when nothing of it is left.

A subreaper: slurmd makes its stepds by a double fork, so below this process, and only there, is all that a node ever
started. SIGTERM, also that of the kernel when the test that started this dies, kills all of it.
Exit status: the daemon's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

from processes import kill_all

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: kill_all(os.getpid()))
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) or libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        sys.exit(f"keeper: prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        return 1
    daemon = subprocess.Popen(sys.argv[1:])
    status = 0
    while True:
        try:
            pid, ended = os.wait()
        except ChildProcessError:
            return status
        if pid == daemon.pid:
            status = os.waitstatus_to_exitcode(ended) & 0xFF
            daemon.returncode = status


if __name__ == "__main__":
    sys.exit(main())
