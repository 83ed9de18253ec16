#!/usr/bin/python3
"""A database whose journal a later run left behind: the restarted program must not find it."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

PREFIX = Path(os.environ.get("CAESURA_PREFIX", Path(__file__).resolve().parents[3] / "build/prefix"))
LIMIT_S = 60

# Commits row 1, and after "go" row 2; then it begins a transaction that does not fit into its cache, and stands still.
PROGRAM = """
import sqlite3, sys, time
from pathlib import Path

database = sqlite3.connect("data.db", isolation_level=None)
database.execute(f"PRAGMA journal_mode = {sys.argv[1]}")
database.execute("PRAGMA cache_size = 5")
database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, fill TEXT)")
database.execute("INSERT INTO t VALUES (1, 'first')")
Path("ready").touch()
while not Path("go").exists():
    time.sleep(0.01)
database.execute("INSERT INTO t VALUES (2, 'second')")
database.execute("BEGIN")
for number in range(3, 300):
    database.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 1000))
Path("dirty").touch()
while not Path("commit").exists():
    time.sleep(0.01)
database.execute("COMMIT")
"""


class SqliteTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="caesura-sqlite."))
        self.addCleanup(lambda: subprocess.run(["rm", "-rf", str(self.folder)], check=True))

    def wait_for(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        end = time.monotonic() + LIMIT_S
        while not (self.folder / name).exists():
            self.assertIsNone(process.poll(), f"the program ended before it was {name}")
            self.assertLess(time.monotonic(), end, f"not {name} in time")
            time.sleep(0.01)

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def crash_and_restart(self, mode: str) -> None:
        program = self.start("/usr/bin/python3", "-c", PROGRAM, mode)
        self.wait_for("ready", program)
        subprocess.run([PREFIX / "bin/cr_checkpoint", "-f", self.folder / "context", str(program.pid)], check=True)
        (self.folder / "go").touch()
        self.wait_for("dirty", program)
        program.send_signal(signal.SIGKILL)
        program.wait()
        companions = [p.name for p in self.folder.glob("data.db-*")]
        self.assertTrue(companions, "the later run has left no journal, so this test shows nothing")
        (self.folder / "dirty").unlink()
        (self.folder / "commit").touch()
        restarted = self.start(str(PREFIX / "bin/cr_restart"), "--pid-namespace=new", "context")
        self.assertEqual(restarted.wait(LIMIT_S), 0)
        with sqlite3.connect(self.folder / "data.db") as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            self.assertEqual(database.execute("SELECT count(*), max(id) FROM t").fetchall(), [(299, 299)])

    def test_rollback_journal(self) -> None:
        self.crash_and_restart("DELETE")

    def test_write_ahead_log(self) -> None:
        self.crash_and_restart("WAL")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
