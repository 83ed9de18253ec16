#!/usr/bin/python3
"""cr_job against a real Slurm, with jobs that are not protected: what Slurm's commands do, and nothing lost unasked."""

from __future__ import annotations

import unittest

from cluster import Cluster, is_root, wait
from cr_jobs import OnCluster, cr_job, listed

NO_JOB, DENIED, NOT_EMPTY = 209, 1, 16


class PlainJobs(OnCluster):
    """Jobs without --checkpoint: the commands do what Slurm's do, and warn of what would be lost."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = Cluster(nodes=2, plugstack=False, partitions=("low Default=YES", "high"))
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None, None, None)

    def start(self, *options: str) -> str:
        job = str(self.cluster.sbatch("sleep 1000", *options))
        self.addCleanup(self.end, job)
        return job

    def test_list_has_each_task_of_an_array_and_every_selection(self) -> None:
        job = self.start("-p", "high")
        array = self.start("--array=1-2")
        self.cluster.wait_for(job, "RUNNING")
        self.cluster.wait_for(f"{array}_2", "RUNNING")
        self.assertEqual(set(listed(self.cluster)), {job, f"{array}_1", f"{array}_2"})
        self.assertEqual(set(listed(self.cluster, array)), {f"{array}_1", f"{array}_2"})
        self.assertEqual(set(listed(self.cluster, "--partition", "high")), {job})
        node = self.cluster.job(job)["NodeList"]
        self.assertIn(job, listed(self.cluster, "--node", node))
        entry = listed(self.cluster, job)[job]
        self.assertEqual((entry["user"], entry["state"], entry["restarts"]), (str(self.cluster.user), "RUNNING", 0))
        self.assertIsNone(entry["contexts"])
        table = cr_job(self.cluster, "list").stdout.splitlines()
        self.assertRegex(table[0], r"^JOB +USER +PARTITION +STATE +NODE")
        self.assertEqual(len(table), 4)

    def test_show(self) -> None:
        job = self.start("--time=10")
        self.cluster.wait_for(job, "RUNNING")
        text = cr_job(self.cluster, "show", job).stdout
        self.assertRegex(text, rf"job {job}\n  user +{self.cluster.user}\n(.*\n)*  time is up  20")
        self.assertIn("no folder in the store", text)
        missing = cr_job(self.cluster, "show", "4000000", check=False)
        self.assertEqual(missing.returncode, NO_JOB)
        self.assertIn("Invalid job id", missing.stderr)

    def test_checkpoint_of_a_job_without_protection_says_so_and_harms_nothing(self) -> None:
        job = self.start()
        self.cluster.wait_for(job, "RUNNING")
        asked = cr_job(self.cluster, "checkpoint", "--timeout", "1", job, check=False)
        self.assertEqual(asked.returncode, NO_JOB)
        self.assertIn("not protected", asked.stderr)
        self.assertEqual(self.cluster.state(job), "RUNNING")

    def test_requeue_refuses_to_lose_work_unless_told_to(self) -> None:
        job = self.start()
        self.cluster.wait_for(job, "RUNNING")
        refused = cr_job(self.cluster, "requeue", "--timeout", "1", job, check=False)
        self.assertEqual(refused.returncode, NO_JOB)
        self.assertIn("runs on", refused.stderr)
        self.assertEqual((self.cluster.state(job), self.cluster.restarts(job)), ("RUNNING", 0))
        cr_job(self.cluster, "requeue", "--no-checkpoint", job)
        wait("the second run", lambda: self.cluster.restarts(job) == 1 and self.cluster.state(job) == "RUNNING")

    def test_one_task_of_an_array_is_requeued_alone(self) -> None:
        """Slurm takes the number of the last task, which is the array's, for all of them."""
        array = self.start("--array=1-2")
        for task in (1, 2):
            self.cluster.wait_for(f"{array}_{task}", "RUNNING")
        self.assertEqual(self.cluster.job(f"{array}_2")["JobId"], array, "which task has the array's number")
        cr_job(self.cluster, "requeue", "--no-checkpoint", f"{array}_2")
        wait("the requeue", lambda: self.cluster.restarts(f"{array}_2") == 1)
        self.assertEqual(self.cluster.restarts(f"{array}_1"), 0)

    def test_hold_and_release(self) -> None:
        job = self.start()
        self.cluster.wait_for(job, "RUNNING")
        cr_job(self.cluster, "hold", "--no-checkpoint", job)
        wait("the hold", lambda: self.cluster.job(job)["Reason"].startswith(("JobHeld", "job_requeued_in_held")))
        cr_job(self.cluster, "release", job)
        self.cluster.wait_for(job, "RUNNING")
        waiting = self.start("--begin=now+1hour")
        cr_job(self.cluster, "hold", waiting)
        self.assertTrue(self.cluster.job(waiting)["Reason"].startswith("JobHeld"))

    def test_cancel(self) -> None:
        job = self.start()
        self.cluster.wait_for(job, "RUNNING")
        said = cr_job(self.cluster, "cancel", job).stderr
        self.assertIn(f"job {job} is cancelled; it has no contexts", said)
        self.cluster.wait_for(job, "CANCELLED")

    def test_drain_leaves_what_is_not_protected_and_says_so(self) -> None:
        job = self.start()
        self.cluster.wait_for(job, "RUNNING")
        short = self.cluster.node_of(job)
        node = self.cluster.nodes[short].name
        self.addCleanup(self.cluster.scontrol, "update", f"nodename={node}", "state=resume")
        left = self.cluster.admin("cr_job", "drain", "--timeout", "2", "--reason", "two words", node, check=False)
        self.assertEqual(left.returncode, NOT_EMPTY, left.stderr)
        self.assertRegex(left.stdout, rf"(?m)^{job} +{self.cluster.user} .*not protected")
        self.assertEqual(self.cluster.state(job), "RUNNING")
        self.assertIn("two words", self.cluster.scontrol("show", "node", node))
        done = self.cluster.admin("cr_job", "drain", "--no-checkpoint", node)
        self.assertEqual(done.stdout, f"node {node} is empty\n")
        self.assertEqual(self.cluster.restarts(job), 1)

    @unittest.skipUnless(is_root(), "needs jobs of two users")
    def test_users_reach_their_own_jobs_and_operators_all(self) -> None:
        job = self.start()
        script = self.cluster.write("roots.sh", "#!/bin/sh\nsleep 1000\n")
        roots = self.cluster.admin("sbatch", "--parsable", script).stdout.strip()
        self.addCleanup(self.end, roots)
        self.cluster.wait_for(job, "RUNNING")
        self.cluster.wait_for(roots, "RUNNING")
        self.assertNotIn(roots, listed(self.cluster))
        self.assertIn(roots, listed(self.cluster, "--all"))
        for order in ("cancel", "hold --no-checkpoint", "requeue --no-checkpoint", "checkpoint --no-wait"):
            refused = cr_job(self.cluster, *order.split(" "), roots, check=False)
            self.assertEqual(refused.returncode, DENIED, order + ": " + refused.stderr)
            self.assertRegex(refused.stderr, "(?i)permission denied|Invalid user id")
        node = self.cluster.job(job)["NodeList"]
        self.assertEqual(cr_job(self.cluster, "drain", node, check=False).returncode, DENIED)
        self.cluster.admin("cr_job", "cancel", job)
        self.cluster.wait_for(job, "CANCELLED")
        self.assertEqual(self.cluster.state(roots), "RUNNING")


if __name__ == "__main__":
    unittest.main(verbosity=2)
