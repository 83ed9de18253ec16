#!/usr/bin/python3
"""Lost nodes, and checkpoints and restarts stopped in their middle: no context is lost, none half-written is used."""

from __future__ import annotations

import json
import queue
import signal
import time
import unittest
from typing import Callable, ClassVar

from cluster import LIMIT_S, Cluster, ClusterError, wait
from jobs import Counter, urgent
from processes import Process
from runner import main

NODE_CONF = {"SlurmdTimeout": "5", "KillWait": "200"}
PREEMPT_CONF = {"PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE"}
PARTITIONS = ("low Default=YES PriorityTier=1 PreemptMode=REQUEUE", "high PriorityTier=10 PreemptMode=OFF")
NODES = 2
# Random, so that nothing of it can be left out or made smaller, and large enough to be met while it is written.
BULK_MIB = 256
BULKY = f"""#!/usr/bin/python3
import os, secrets, sys, time
token, number, bulk = secrets.token_hex(8), 0, os.urandom({BULK_MIB} << 20)
print("begin", token, flush=True)
while not os.path.exists(sys.argv[1]):
    number += 1
    print(number, token, flush=True)
    time.sleep(0.1)
print("end", token, flush=True)
"""


REFUSED = BULKY.replace("import os, ", "import os, socket, ").replace(
    f"os.urandom({BULK_MIB} << 20)", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)"
)


def catch(what: str, find: Callable[[], list[Process]], middle: Callable[[], object]) -> Process:
    """Stops a process of ours in the middle of something: middle() holds before and after."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        for one in find() if middle() else []:
            one.signal(signal.SIGSTOP)
            if middle():
                return one
            one.signal(signal.SIGCONT)
        time.sleep(0.002)
    raise ClusterError(f"no {what} was met in its middle")


class NodesTest(unittest.TestCase):
    def test_lost(self) -> None:
        """All of a node is killed at once; the job goes on elsewhere from its last context."""
        with Cluster(nodes=2, conf=NODE_CONF) as cluster:
            job = Counter(self, cluster, "--checkpoint=interval=1s")
            job.wait_context(2)
            first = cluster.node_of(job.id)
            cluster.lose_node(first)
            # What was on disk then is all that there is to go on from.
            context, lines = job.contexts()[0], job.count()
            wait("the second start", lambda: cluster.restarts(job.id) == 1)
            cluster.wait_for(job.id, "RUNNING")
            self.assertNotEqual(cluster.node_of(job.id), first)
            job.wait_context(context + 1)
            job.wait_beyond(lines)
            job.end()
            cluster.wait_for(job.id, "COMPLETED")
            # The last context may have been in the making.
            job.verify(foreign=[line for line in ("was not complete",) if job.foreign()])

    def test_lost_before_the_first_context(self) -> None:
        with Cluster(nodes=2, conf=NODE_CONF) as cluster:
            job = Counter(self, cluster, "--checkpoint=interval=1h")
            job.wait_running()
            first = cluster.node_of(job.id)
            cluster.lose_node(first)
            wait("the second start", lambda: cluster.restarts(job.id) == 1)
            wait("the job to begin anew", lambda: sum(line.startswith("begin ") for line in job.text()) == 2)
            job.end()
            cluster.wait_for(job.id, "COMPLETED")

    def test_old_copy_is_fenced(self) -> None:
        """slurmd is dead but its job runs on while Slurm starts it elsewhere: the old copy commits nothing any more."""
        with Cluster(nodes=2, conf=NODE_CONF) as cluster:
            job = Counter(self, cluster, "--checkpoint=interval=1s,keep=50,on-exit=keep")
            job.wait_context(1)
            first = cluster.node_of(job.id)
            cluster.kill_slurmd(first)
            wait("the second start", lambda: cluster.restarts(job.id) == 1)
            cluster.wait_for(job.id, "RUNNING")
            self.assertTrue(job.named(first, "java"), "the old copy should still be there")
            newest = wait("a context of the new copy", lambda: self.newest_run(job) == 1 and job.contexts()[0])
            # Several ticks of both; then all contexts since are of the new one.
            job.wait_context(newest + 4)
            self.assertTrue(job.named(first, "cr_run"), "the old copy should still be there")
            runs = [self.run_of(job, number) for number in sorted(job.contexts())]
            self.assertEqual(runs, sorted(runs), "a context of the old copy came after one of the new")
            self.assertEqual(runs[-1], 1)
            cluster.lose_node(first)

    def run_of(self, job: Counter, sequence: int) -> int:
        manifest = json.loads((job.folder / f"{sequence:06d}" / "manifest.json").read_text(encoding="utf-8"))
        return int(manifest["run"]["restartCount"])

    def newest_run(self, job: Counter) -> int:
        contexts = job.contexts()
        return self.run_of(job, contexts[0]) if contexts else 0


class InTheMiddleTest(unittest.TestCase):
    cluster: ClassVar[Cluster]
    free: ClassVar[queue.Queue[str]]

    @classmethod
    def setUpClass(cls) -> None:
        conf = {**PREEMPT_CONF, "KillWait": "10"}
        cls.cluster = cls.enterClassContext(Cluster(nodes=NODES, cpus=1, conf=conf, partitions=PARTITIONS))
        cls.free = queue.Queue()
        for short in cls.cluster.nodes:
            cls.free.put(short)

    def setUp(self) -> None:
        """Each test has a node for itself, and whoever is urgent wants that one."""
        self.node = self.free.get()
        self.addCleanup(self.free.put, self.node)
        name = self.cluster.nodes[self.node].name
        self.addCleanup(lambda: wait("an empty node", lambda: self.cluster.is_empty(name)))
        self.here = f"--nodelist={name}"

    def test_checkpoint_does_not_fit_in_the_grace(self) -> None:
        """The engine hangs in a write until Slurm kills all of it. The context before is used, and the job is told."""
        job = Counter(self, self.cluster, self.here, "--checkpoint=default", script=BULKY)
        job.wait_running(1)
        self.cluster.command("scancel", "--batch", "--signal=USR2", str(job.id))
        context = job.wait_context()
        before = job.wait_beyond(job.count())
        high = urgent(self.cluster, self.here)
        catch("checkpoint", lambda: job.named(self.node, "java"), job.unfinished)
        self.cluster.wait_for(high, "COMPLETED")
        self.assertEqual(job.contexts(), [context])
        job.wait_restarted(1, 0)
        job.wait_beyond(before)
        job.finish(foreign=["was not complete when the run before ended"])

    def test_checkpoint_fails(self) -> None:
        """A job that cannot be checkpointed is told so, runs on, and meets the preemption as it would without us."""
        job = Counter(self, self.cluster, self.here, "--checkpoint=default", script=REFUSED)
        job.wait_running()
        self.cluster.command("scancel", "--batch", "--signal=USR2", str(job.id))
        wait("a word on it", lambda: [line for line in job.foreign() if "(signal)" in line and "netlink" in line])
        job.wait_beyond(job.count())
        self.cluster.wait_for(urgent(self.cluster, self.here), "COMPLETED")
        said = wait("another one", lambda: [line for line in job.foreign() if "(preemption)" in line])
        self.assertIn("netlink", said[0])
        self.assertIn("it has no context, so its next start is from the beginning", said[0])
        wait("the second start", lambda: sum(line.startswith("begin ") for line in job.text()) == 2)
        job.end()
        self.cluster.wait_for(job.id, "COMPLETED")

    def test_preempted_during_a_timer_checkpoint(self) -> None:
        job = Counter(self, self.cluster, self.here, "--checkpoint=interval=2s", script=BULKY)
        before = job.wait_running(1)
        engine = catch("checkpoint", lambda: job.named(self.node, "java"), job.unfinished)
        first = job.contexts()[:1]
        high = urgent(self.cluster, self.here)
        wait("the preemption", lambda: self.cluster.restarts(job.id) == 1)
        engine.signal(signal.SIGCONT)
        self.cluster.wait_for(high, "COMPLETED")
        # The one that was under way, or the one of the preemption, or both: but a new one.
        self.assertGreater(job.wait_context(), first[0] if first else 0)
        job.wait_restarted(1, before)
        job.finish()

    def test_preempted_during_the_restart(self) -> None:
        job = Counter(self, self.cluster, self.here, "--checkpoint=default", script=BULKY)
        before = job.wait_running(1)
        self.cluster.wait_for(urgent(self.cluster, self.here), "COMPLETED")
        context = job.wait_context()
        wait("the second start", lambda: self.cluster.restarts(job.id) == 1)
        restorer = catch("restart", lambda: job.named(self.node, "cr-restore"), lambda: True)
        high = urgent(self.cluster, self.here)
        wait("the second preemption", lambda: self.cluster.restarts(job.id) == 2)
        restorer.signal(signal.SIGCONT)
        self.cluster.wait_for(high, "COMPLETED")
        self.assertIn(context, job.contexts())
        job.wait_restarted(2, before)
        job.finish()


class NoStoreTest(unittest.TestCase):
    """The store cannot be had when it is needed for the first time, and when the job is started again."""

    def test_no_store(self) -> None:
        with Cluster(cpus=1, conf={**PREEMPT_CONF, "KillWait": "200"}, partitions=PARTITIONS) as cluster:
            store = cluster.work / "store"
            job = Counter(self, cluster, f"--checkpoint=default,store.dir={store}")
            job.wait_running()
            store.write_text("not a folder")
            cluster.wait_for(urgent(cluster), "COMPLETED")
            # There may be contexts in it, so the job is not begun anew: it waits until its owner has looked.
            wait("the job to be held", lambda: "held" in cluster.job(job.id)["Reason"].lower())
            said = [line for line in job.foreign() if str(store) in line]
            self.assertTrue(any("runs on without checkpoints" in line for line in said), said)
            self.assertTrue(any("is held" in line for line in said), said)
            self.assertEqual(sum(line.startswith("begin ") for line in job.text()), 1)
            store.unlink()
            cluster.command("cr_job", "release", str(job.id))
            wait("the next start", lambda: sum(line.startswith("begin ") for line in job.text()) == 2)
            self.assertTrue(any("begins from the start again" in line for line in job.foreign()), job.foreign())


if __name__ == "__main__":
    main()
