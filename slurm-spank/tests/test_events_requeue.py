#!/usr/bin/python3
"""Timers, requeues, the time limit and cancelling: what becomes of the job, of its output and of its contexts."""

from __future__ import annotations

import os
import signal
import unittest
from pathlib import Path
from typing import ClassVar

from cluster import Cluster, wait
from jobs import Counter
from runner import main

KILL_WAIT_S = 200
OUT_OF_REACH = "--checkpoint=interval=1h"


def damage(path: Path) -> None:
    """Turns over one byte in the middle, as a failing disk does."""
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))


class RequeueTest(unittest.TestCase):
    cluster: ClassVar[Cluster]

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = cls.enterClassContext(Cluster(cpus=16, conf={"KillWait": str(KILL_WAIT_S)}))

    def requeue(self, job: Counter, times: int = 1) -> None:
        before = job.count()
        self.cluster.scontrol("requeue", str(job.id))
        job.wait_restarted(times, before)

    # ---- timer -------------------------------------------------------------------------------------------------------

    def test_timer(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=interval=1s,keep=3")
        job.wait_context(5)
        self.assertLessEqual(len(job.contexts()), 4)  # one may be committed and the oldest not yet be removed
        before = job.count()
        job.wait_beyond(before)
        job.finish()
        self.assertEqual(self.cluster.restarts(job.id), 0)

    def test_retention(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=interval=1s,keep=2,on-exit=keep")
        job.wait_context(4)
        job.finish(kept=True)
        self.assertEqual(len(job.contexts()), 2)
        self.assertGreaterEqual(job.contexts()[0], 4)

    def test_overlapping_ticks(self) -> None:
        """The engine stands still for many ticks; afterwards there is no burst of checkpoints to catch up."""
        job = Counter(self, self.cluster, "--checkpoint=interval=3s,keep=20,on-exit=keep")
        first = job.wait_context()
        engine = wait("the engine", lambda: job.named("n1", "java"))[0]
        engine.signal(signal.SIGSTOP)
        before = job.count()
        # 20 seconds of the job's own time at least: as long as 6 ticks.
        job.wait_beyond(before + 200)
        engine.signal(signal.SIGCONT)
        after = job.wait_context(first + 2)
        times = [job.context_file(number).stat().st_mtime for number in range(first + 1, after + 1)]
        gaps = [later - earlier for earlier, later in zip(times, times[1:])]
        job.finish(kept=True)
        self.assertLessEqual(len([gap for gap in gaps if gap < 1]), 1, f"times of contexts: {times}")

    # ---- requeue -----------------------------------------------------------------------------------------------------

    def test_requeue(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=default")
        job.wait_running()
        self.requeue(job)
        job.finish()

    def test_requeue_twice_with_timer(self) -> None:
        job = Counter(self, self.cluster, OUT_OF_REACH)
        job.wait_running()
        self.requeue(job, 1)
        self.requeue(job, 2)
        job.finish()

    def test_requeue_by_the_owner(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=default")
        before = job.wait_running()
        self.cluster.command("scontrol", "requeue", str(job.id))
        job.wait_restarted(1, before)
        job.finish()

    def test_requeuehold_and_release(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=default")
        before = job.wait_running()
        self.cluster.scontrol("requeuehold", str(job.id))
        job.wait_context()
        wait("the job to be held", lambda: self.cluster.job(job.id)["Priority"] == "0")
        self.cluster.wait_for(job.id, "PENDING")
        job.verify(ended=False)
        self.cluster.scontrol("release", str(job.id))
        job.wait_restarted(1, before)
        job.finish()

    def test_policy_says_no_checkpoint_on_requeue(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=requeue=ignore")
        job.wait_running()
        self.cluster.scontrol("requeue", str(job.id))
        wait("the second start", lambda: sum(line.startswith("begin ") for line in job.text()) == 2)
        self.assertEqual(job.contexts(), [])
        job.end()
        self.cluster.wait_for(job.id, "COMPLETED")

    def test_newest_context_damaged(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=interval=1s,keep=3")
        job.wait_context(2)
        self.cluster.scontrol("requeuehold", str(job.id))
        wait("the job to be held", lambda: self.cluster.job(job.id)["Priority"] == "0")
        self.cluster.wait_for(job.id, "PENDING")
        contexts = job.contexts()
        self.assertGreaterEqual(len(contexts), 2)
        damage(job.context_file(contexts[0]))
        self.cluster.scontrol("release", str(job.id))
        wait("the second start", lambda: self.cluster.restarts(job.id) == 1)
        job.wait_context(contexts[0] + 1)
        job.finish(foreign=[f"{contexts[0]:06d}"])

    def test_every_context_damaged(self) -> None:
        """By default the job is held for somebody to look at, and not begun anew."""
        job = Counter(self, self.cluster, "--checkpoint=default")
        job.wait_running()
        self.cluster.scontrol("requeuehold", str(job.id))
        wait("the job to be held", lambda: self.cluster.job(job.id)["Priority"] == "0")
        self.cluster.wait_for(job.id, "PENDING")
        context = job.context_file(job.wait_context())
        good = context.read_bytes()
        damage(context)
        self.cluster.scontrol("release", str(job.id))
        wait("the job to say so", lambda: any("is held with its contexts" in line for line in job.foreign()))
        self.cluster.wait_for(job.id, "PENDING")
        self.assertTrue(self.cluster.job(job.id)["Reason"].lower().startswith("job"))
        context.write_bytes(good)
        before = job.count()
        self.cluster.scontrol("release", str(job.id))
        wait("the third start", lambda: self.cluster.restarts(job.id) == 2)
        job.wait_beyond(before)
        job.finish()

    # ---- the time limit ----------------------------------------------------------------------------------------------

    def test_time_limit(self) -> None:
        """One minute is the least that Slurm knows; the policy acts half a minute before it ends."""
        job = Counter(self, self.cluster, "--checkpoint=default,time-limit.before=45s", "--time=1")
        before = job.wait_running()
        job.wait_restarted(1, before)
        job.wait_beyond(job.count())
        job.finish()
        self.assertEqual(self.cluster.job(job.id)["TimeLimit"], "00:01:00")

    def test_time_limit_by_signal(self) -> None:
        job = Counter(
            self, self.cluster, "--checkpoint=default,time-limit.before=40s", "--time=1", "--signal=B:USR2@40"
        )
        before = job.wait_running()
        job.wait_restarted(1, before)
        job.finish()

    # ---- signals of users, cancel ------------------------------------------------------------------------------------

    def test_signal_of_the_policy(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=default")
        job.wait_running()
        self.cluster.command("scancel", "--batch", "--signal=USR2", str(job.id))
        job.wait_context()
        job.wait_beyond(job.count())
        job.finish()
        self.assertEqual(self.cluster.restarts(job.id), 0)

    def test_signal_that_requeues(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=default,signal=USR1,signal-then=requeue")
        before = job.wait_running()
        self.cluster.command("scancel", "--batch", "--signal=USR1", str(job.id))
        job.wait_restarted(1, before)
        job.finish()

    def test_scancel(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=interval=1s,on-cancel=delete")
        job.wait_context()
        self.cluster.command("scancel", str(job.id))
        # At once: all of it ends on the signal, long before Slurm would kill it.
        self.cluster.wait_for(job.id, "CANCELLED", KILL_WAIT_S / 2)
        self.assertFalse(job.folder.exists(), list(job.folder.glob("*")) if job.folder.exists() else "")
        job.verify(ended=False)

    def test_scancel_keeps_contexts(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=default,cancel=checkpoint")
        before = job.wait_running()
        self.cluster.command("scancel", str(job.id))
        self.cluster.wait_for(job.id, "CANCELLED", KILL_WAIT_S / 2)
        self.assertEqual(len(job.contexts()), 1)
        self.cluster.command("scontrol", "requeue", str(job.id))
        job.wait_restarted(1, before)
        job.finish()

    def test_scancel_without_timer_takes_no_checkpoint(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=default")
        job.wait_running()
        self.cluster.command("scancel", str(job.id))
        self.cluster.wait_for(job.id, "CANCELLED", KILL_WAIT_S / 2)
        self.assertEqual(job.contexts(), [])


if __name__ == "__main__":
    main()
