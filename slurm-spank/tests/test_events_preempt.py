#!/usr/bin/python3
"""Preemption: the context is written in time, the urgent job starts as soon as it is, and the job then goes on."""

from __future__ import annotations

import queue
import unittest
from pathlib import Path
from typing import ClassVar

from cluster import Cluster, wait
from jobs import Counter, urgent
from runner import main

# Far longer than a checkpoint takes on a slow machine: a run that ends before was ended by us and not by Slurm.
KILL_WAIT_S = 200
NODES = 4
PARTITIONS = (
    "plain Default=YES PriorityTier=1 PreemptMode=REQUEUE",
    "grace PriorityTier=1 PreemptMode=REQUEUE GraceTime=10",
    "long PriorityTier=1 PreemptMode=REQUEUE GraceTime=600",
    "cancel PriorityTier=1 PreemptMode=CANCEL",
    "high PriorityTier=10 PreemptMode=OFF",
)
CONF = {
    "PreemptType": "preempt/partition_prio",
    "PreemptMode": "REQUEUE",
    "KillWait": str(KILL_WAIT_S),
    "SlurmctldParameters": "preempt_send_user_signal",
}
WARNING = "--signal=B:USR2@30"


class PreemptionTest(unittest.TestCase):
    cluster: ClassVar[Cluster]
    free: ClassVar[queue.Queue[str]]

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = cls.enterClassContext(Cluster(nodes=NODES, cpus=1, conf=CONF, partitions=PARTITIONS))
        cls.free = queue.Queue()
        for node in cls.cluster.nodes.values():
            cls.free.put(node.name)

    def setUp(self) -> None:
        """Each test has a node for itself, and whoever is urgent wants that one."""
        node = self.free.get()
        self.addCleanup(self.free.put, node)
        self.addCleanup(lambda: wait("an empty node", lambda: self.cluster.is_empty(node)))
        self.here = f"--nodelist={node}"

    def preempted(self, job: Counter, times: int = 1) -> int:
        """Preempts a running job, lets the urgent one end, and waits until the first has gone on."""
        before = job.count()
        high = urgent(self.cluster, self.here)
        self.cluster.wait_for(high, "COMPLETED", KILL_WAIT_S / 2)
        context = job.wait_context()
        self.starts_after(high, job.context_file(context))
        job.wait_restarted(times, before)
        return context

    def starts_after(self, high: int, context: Path) -> None:
        """The urgent job starts when the context is there, and soon: long before Slurm would have killed for it."""
        started = float(self.cluster.output(high).read_text())
        written = context.stat().st_mtime
        self.assertGreater(started, written)
        self.assertLess(started - written, KILL_WAIT_S / 2)

    def test_no_grace(self) -> None:
        job = Counter(self, self.cluster, self.here, "--checkpoint=default")
        job.wait_running()
        self.preempted(job)
        job.finish()

    def test_grace(self) -> None:
        job = Counter(self, self.cluster, self.here, "--checkpoint=default", "-p", "grace")
        job.wait_running()
        self.preempted(job)
        job.finish()

    def test_user_signal_uses_no_more_of_the_grace_than_it_needs(self) -> None:
        job = Counter(self, self.cluster, self.here, "--checkpoint=default", "-p", "long", WARNING)
        job.wait_running()
        self.preempted(job)
        job.finish()

    def test_user_signal_without_grace(self) -> None:
        job = Counter(self, self.cluster, self.here, "--checkpoint=default", WARNING)
        job.wait_running()
        self.preempted(job)
        job.finish()

    def test_with_timer(self) -> None:
        job = Counter(self, self.cluster, self.here, "--checkpoint=interval=1h")
        job.wait_running()
        self.preempted(job)
        job.finish()

    def test_again_and_again(self) -> None:
        job = Counter(self, self.cluster, self.here, "--checkpoint=default")
        job.wait_running()
        first = self.preempted(job, 1)
        second = self.preempted(job, 2)
        self.assertGreater(second, first)
        job.finish()

    def test_cancel_keeps_the_context(self) -> None:
        """Slurm ends the job for good; its owner requeues it, and it goes on."""
        job = Counter(self, self.cluster, self.here, "--checkpoint=default", "-p", "cancel")
        job.wait_running()
        high = urgent(self.cluster, self.here)
        self.cluster.wait_for(high, "COMPLETED", KILL_WAIT_S / 2)
        self.starts_after(high, job.context_file(job.wait_context()))
        self.cluster.wait_for(job.id, "PREEMPTED")
        before = job.count()
        self.cluster.command("scontrol", "requeue", str(job.id))
        job.wait_restarted(1, before)
        job.finish()

    def test_without_checkpoint_the_job_begins_anew(self) -> None:
        """What the other tests rely on: Slurm alone starts such a job from its first line."""
        job = Counter(self, self.cluster, self.here)
        job.wait_running()
        high = urgent(self.cluster, self.here)
        self.cluster.wait_for(high, "COMPLETED")
        wait("the second start", lambda: sum(line.startswith("begin ") for line in job.text()) == 2)
        job.end()
        self.cluster.wait_for(job.id, "COMPLETED")
        with self.assertRaises(AssertionError):
            job.verify()

    def test_policy_says_no_checkpoint_on_preemption(self) -> None:
        job = Counter(self, self.cluster, self.here, "--checkpoint=preemption=ignore")
        job.wait_running()
        self.cluster.wait_for(urgent(self.cluster, self.here), "COMPLETED")
        wait("the second start", lambda: sum(line.startswith("begin ") for line in job.text()) == 2)
        self.assertEqual(job.contexts(), [])
        job.end()
        self.cluster.wait_for(job.id, "COMPLETED")


class SuspendTest(unittest.TestCase):
    def test_suspended_and_resumed(self) -> None:
        partitions = (
            "low Default=YES PriorityTier=1 PreemptMode=SUSPEND OverSubscribe=FORCE:1",
            "high PriorityTier=10 PreemptMode=OFF OverSubscribe=FORCE:1",
        )
        conf = {"PreemptType": "preempt/partition_prio", "PreemptMode": "SUSPEND,GANG", "SchedulerTimeSlice": "5"}
        with Cluster(cpus=1, conf=conf, partitions=partitions) as cluster:
            job = Counter(self, cluster, "--checkpoint=interval=2s")
            job.wait_running()
            job.wait_context()
            high = cluster.sbatch(f'while [ ! -e "{cluster.work}/go" ]; do sleep 0.1; done', "-p", "high")
            cluster.wait_for(job.id, "SUSPENDED")
            cluster.wait_for(high, "RUNNING")
            (cluster.work / "go").touch()
            cluster.wait_for(high, "COMPLETED")
            cluster.wait_for(job.id, "RUNNING")
            job.wait_beyond(job.count())
            context = job.contexts()[0]
            job.wait_context(context + 1)
            job.finish()
            self.assertEqual(cluster.restarts(job.id), 0)


if __name__ == "__main__":
    main()
