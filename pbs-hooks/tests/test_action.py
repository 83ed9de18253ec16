#!/usr/bin/env python3
"""What MoM runs: its arguments, and what it does to sessions of processes."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import fake_pbs  # noqa: E402

action = fake_pbs.load_file("caesura-action", "caesura_action")


class Decisions(unittest.TestCase):
    """The pure functions."""

    def test_arguments(self) -> None:
        self.assertEqual(action.parse(["terminate", "50", "7.s", "123"]), action.Request("terminate", 50.0, "7.s", 123))
        for bad in (
            [],
            ["restart", "50", "7.s", "123"],
            ["terminate", "50", "7.s"],
            ["terminate", "50", "7.s", "-123"],
            ["terminate", "50", "7.s", "1"],
            ["terminate", "0", "7.s", "123"],
            ["terminate", "x", "7.s", "123"],
        ):
            self.assertIsNone(action.parse(bad), bad)

    def test_supervisor(self) -> None:
        for program in ("/opt/caesura/bin/cr_run", "/x/libexec/caesura/cr-restore", "/x/bin/cr_run (deleted)"):
            self.assertTrue(action.is_supervisor(program), program)
        for program in ("", "/bin/bash", "/bin/cr_run.sh", "/home/x/cr_run"):
            self.assertFalse(action.is_supervisor(program), program)

    def test_holds(self) -> None:
        for value, held in (("u", True), ("n", False), ("s", False), ("us", True), ("o", True)):
            self.assertEqual(action.is_held_by_people(f"Job Id: 7\n    Hold_Types = {value}\n"), held, value)
        self.assertFalse(action.is_held_by_people(""))


class Sessions(unittest.TestCase):
    """terminate with real processes; a copy of the shell stands for the supervisor."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory(prefix="caesura-action.")
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name)
        (self.top / "bin").mkdir()
        self.supervisor = str(self.top / "bin/cr_run")
        shutil.copy("/bin/bash", self.supervisor)

    def session(self, shell: str, script: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([shell, "-c", f"cd {self.top}; {script}"], start_new_session=True)
        self.addCleanup(self.end, process)
        end = time.monotonic() + 10
        while not (self.top / "ready").exists():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        return process

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        for pid in action.members(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def terminate(self, process: subprocess.Popen[bytes], seconds: float) -> int:
        result = action.main(["terminate", str(seconds), "7.server", str(process.pid)])
        assert isinstance(result, int)
        return result

    def test_supervisor_alone_gets_the_signal_and_is_waited_for(self) -> None:
        process = self.session(
            self.supervisor,
            "(trap 'touch job-was-hit; exit' TERM; touch ready; while [ ! -e saved ]; do sleep 0.05; done) & "
            "trap 'sleep 0.5; touch saved; wait; exit 0' TERM; while :; do sleep 0.05; done",
        )
        self.assertEqual(self.terminate(process, 20), 0)
        self.assertTrue((self.top / "saved").exists())
        self.assertFalse((self.top / "job-was-hit").exists())

    def test_supervisor_that_takes_too_long(self) -> None:
        process = self.session(self.supervisor, "trap '' TERM; touch ready; while :; do sleep 0.05; done")
        start = time.monotonic()
        self.assertEqual(self.terminate(process, 1), 1)
        self.assertLess(time.monotonic() - start, 5)
        self.assertIsNone(process.poll())

    def test_other_jobs_end_as_without_an_action(self) -> None:
        process = self.session(
            "/bin/bash",
            "(trap 'touch child; exit' TERM; while :; do sleep 0.05; done) & "
            "trap 'touch leader; exit' TERM; sleep 0.3; touch ready; while :; do sleep 0.05; done",
        )
        self.assertEqual(self.terminate(process, 20), 0)
        self.assertTrue((self.top / "leader").exists() and (self.top / "child").exists())

    def test_hold_never_succeeds(self) -> None:
        """0 would tell MoM that the job is saved and dead, and bind it to MoM's own restart."""
        conf = self.top / "pbs.conf"
        conf.write_text(f"# x\nPBS_EXEC={self.top}\n")
        os.environ["PBS_CONF_FILE"] = str(conf)
        self.addCleanup(os.environ.pop, "PBS_CONF_FILE")
        qstat = self.top / "bin/qstat"
        process = self.session(self.supervisor, "trap 'touch asked' URG; touch ready; while :; do sleep 0.05; done")
        for holds, asked in (("s", False), ("u", True)):
            qstat.write_text(f"#!/bin/sh\necho '    Hold_Types = {holds}'\n")
            qstat.chmod(0o755)
            self.assertEqual(action.main(["checkpoint_abort", "9", "7.server", str(process.pid)]), 1)
            time.sleep(0.3)
            self.assertEqual((self.top / "asked").exists(), asked, holds)


if __name__ == "__main__":
    unittest.main()
