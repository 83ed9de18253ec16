#!/usr/bin/python3
"""The private cluster itself: what the other tests take for granted. Needs nothing of Caesura."""

from __future__ import annotations

import os
import unittest
from pathlib import Path

from cluster import CGROUPS, Cluster, is_root, wait

ROUNDS = 20
PARTITIONS = ("low Default=YES PriorityTier=1", "high PriorityTier=10")
LOSS = {"SlurmdTimeout": "5"}


def traces(cluster: Cluster) -> list[str]:
    """What of a cluster is still there: processes that know its folder, its cgroups, mounts and files."""
    found = [str(path) for path in CGROUPS.glob(f"*/*{cluster.name}*")]
    found += [str(cluster.folder)] if cluster.folder.exists() else []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ", "mountinfo"):
            try:
                if bytes(cluster.folder) in (process / name).read_bytes() and int(process.name) != os.getpid():
                    found.append(f"{process}/{name}")
            except OSError:
                continue
    return found


class ClusterTest(unittest.TestCase):
    def test_plain_job(self) -> None:
        with Cluster(plugstack=False) as cluster:
            job = cluster.sbatch('echo "$@"; id -un; exit 3', arguments=("one", "two words"))
            cluster.wait_for(job, "FAILED")
            self.assertEqual(cluster.exit_code(job), "3:0")
            self.assertEqual(cluster.output(job).read_text(), f"one two words\n{cluster.user}\n")
        self.assertEqual(traces(cluster), [])

    def test_requeue(self) -> None:
        with Cluster(plugstack=False) as cluster:
            job = cluster.sbatch('echo "run ${SLURM_RESTART_COUNT:-0}"; [ -n "$SLURM_RESTART_COUNT" ] || sleep 1000')
            wait("the first run", lambda: cluster.output(job).exists() and cluster.output(job).read_text() != "")
            cluster.scontrol("requeue", str(job))
            cluster.wait_for(job, "COMPLETED")
            self.assertEqual(cluster.restarts(job), 1)
            self.assertEqual(cluster.output(job).read_text().splitlines()[-1], "run 1")

    def test_preemption(self) -> None:
        conf = {"PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE"}
        with Cluster(plugstack=False, cpus=1, conf=conf, partitions=PARTITIONS) as cluster:
            low = cluster.sbatch("sleep 1000")
            cluster.wait_for(low, "RUNNING")
            high = cluster.sbatch("true", "-p", "high")
            cluster.wait_for(high, "COMPLETED")
            self.assertEqual(cluster.restarts(low), 1)

    def test_lost_node(self) -> None:
        with Cluster(plugstack=False, nodes=2, conf=LOSS) as cluster:
            job = cluster.sbatch("hostname; sleep 1000")
            cluster.wait_for(job, "RUNNING")
            first = cluster.node_of(job)
            wait("processes of the job", lambda: len(cluster.processes_of(first)) >= 3)
            cluster.lose_node(first)
            self.assertEqual(cluster.processes_of(first), [])
            wait("the job to be requeued", lambda: cluster.restarts(job) == 1)
            cluster.wait_for(job, "RUNNING")
            self.assertNotEqual(cluster.node_of(job), first)
        self.assertEqual(traces(cluster), [])

    def test_frozen_node(self) -> None:
        """The old copy of a job runs on while the new one does, and is ended when its node is back."""
        with Cluster(plugstack=False, nodes=2, conf=LOSS) as cluster:
            job = cluster.sbatch("sleep 1000")
            cluster.wait_for(job, "RUNNING")
            first = cluster.node_of(job)
            wait("processes of the job", lambda: len(cluster.processes_of(first)) >= 3)
            cluster.freeze_slurmd(first)
            cluster.scontrol("update", f"nodename={cluster.nodes[first].name}", "state=down", "reason=silent")
            wait("the job to be requeued", lambda: cluster.restarts(job) == 1)
            cluster.wait_for(job, "RUNNING")
            self.assertGreaterEqual(len(cluster.processes_of(first)), 3)
            cluster.thaw_slurmd(first)
            cluster.scontrol("update", f"nodename={cluster.nodes[first].name}", "state=resume")
            wait("the old copy to end", lambda: len(cluster.processes_of(first)) == 1)

    def test_other_tracking(self) -> None:
        for proctrack in ("linuxproc", "pgid"):
            with self.subTest(proctrack), Cluster(plugstack=False, proctrack=proctrack) as cluster:
                job = cluster.sbatch("echo done")
                cluster.wait_for(job, "COMPLETED")
                self.assertEqual(cluster.output(job).read_text(), "done\n")

    def test_start_and_stop(self) -> None:
        """Again and again, with a job that is ended by the stop; nothing may be left over."""
        for _ in range(ROUNDS):
            with Cluster(plugstack=False) as cluster:
                job = cluster.sbatch("sleep 1000 & setsid sleep 1000 & wait")
                cluster.wait_for(job, "RUNNING")
            self.assertEqual(traces(cluster), [])

    @unittest.skipUnless(is_root(), "only root's cluster has jobs of another user")
    def test_user_of_jobs(self) -> None:
        with Cluster(plugstack=False) as cluster:
            job = cluster.sbatch("id -u; echo ~; touch ~/here")
            cluster.wait_for(job, "COMPLETED")
            uid, home = cluster.output(job).read_text().split()
            self.assertNotEqual(uid, "0")
            self.assertEqual(Path(home), cluster.user.home)
            self.assertTrue((cluster.user.home / "here").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
