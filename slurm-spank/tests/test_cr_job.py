#!/usr/bin/python3
"""cr_job against a real Slurm: what it says of jobs, and what it does with plain and with protected ones."""

from __future__ import annotations

import json
import re
import subprocess
import unittest
from pathlib import Path
from typing import Any

from cluster import Cluster, is_root, wait

# Writes a number each 0.1 s; the number of the run is not in it, so a job that went on has one series.
COUNT = 'n=0; while [ "$n" -lt 100000 ]; do echo "$n"; n=$((n + 1)); sleep 0.1; done'
NO_JOB, DENIED, NOT_EMPTY = 209, 1, 16


def cr_job(cluster: Cluster, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return cluster.command("cr_job", *words, check=check)


def listed(cluster: Cluster, *words: str) -> dict[str, dict[str, Any]]:
    jobs = json.loads(cr_job(cluster, "list", "--json", "--scheduler", "slurm", *words).stdout)
    return {job["job"]: job for job in jobs}


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


class OnCluster(unittest.TestCase):
    """Tests that share a cluster, and leave no job in it."""

    cluster: Cluster

    def end(self, job: str) -> None:
        self.cluster.admin("scancel", job)
        # An array has a line for each of its tasks.
        listing = ["squeue", "-h", "-j", job, "-t", "RUNNING,COMPLETING,PENDING"]
        wait(f"job {job} to be gone", lambda: not self.cluster.admin(*listing, check=False).stdout.strip())


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


class ProtectedJobs(OnCluster):
    """Jobs with --checkpoint: nothing of their work is lost, whatever is done with them."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = Cluster(nodes=2)
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None, None, None)

    def start(self, spec: str, *options: str) -> str:
        job = str(self.cluster.sbatch(COUNT, f"--checkpoint={spec}", *options))
        self.addCleanup(self.end, job)
        self.cluster.wait_for(job, "RUNNING")
        self.await_lines(job, 5)
        return job

    def await_lines(self, job: str, count: int) -> list[str]:
        """The job's lines, when there are so many; each one is there once, in order, and there is nothing else."""
        output = self.cluster.output(job)
        wait(f"{count} lines of job {job}", lambda: len(lines_of(output)) >= count)
        found = [
            line for line in output.read_text(encoding="utf-8").split("\n")[:-1] if not line.startswith("caesura: ")
        ]
        self.assertEqual(found, [str(n) for n in range(len(found))])
        return found

    def await_next_run(self, job: str, restarts: int = 1) -> None:
        """The job goes on where it was, with more lines than it had."""
        wait("the next run", lambda: self.cluster.restarts(job) == restarts)
        self.cluster.wait_for(job, "RUNNING")
        self.await_lines(job, len(self.await_lines(job, 1)) + 10)

    def test_checkpoint_and_what_is_told_of_it(self) -> None:
        for spec in ("interval=off", "interval=1h"):
            with self.subTest(spec):
                job = self.start(spec)
                first = Path(cr_job(self.cluster, "checkpoint", job).stdout.strip())
                second = Path(cr_job(self.cluster, "checkpoint", job).stdout.strip())
                self.assertEqual([first.name, second.name], ["000001", "000002"])
                self.assertTrue((second / "manifest.json").exists())
                entry = listed(self.cluster, job)[job]
                self.assertEqual((entry["contexts"], entry["policy"]), (2, spec))
                shown = cr_job(self.cluster, "show", job).stdout
                self.assertRegex(shown, r"(?m)^000002 +\S+Z +request +0 on ")
                self.assertEqual(self.cluster.state(job), "RUNNING")
                self.await_lines(job, len(self.await_lines(job, 1)) + 5)
                cancelled = cr_job(self.cluster, "cancel", job).stderr
                self.assertIn("are kept", cancelled)

    def test_requeue(self) -> None:
        job = self.start("interval=off")
        context = Path(cr_job(self.cluster, "requeue", job).stdout.strip())
        self.assertEqual(context.name, "000001")
        self.await_next_run(job)

    def test_hold_and_release(self) -> None:
        job = self.start("interval=off")
        cr_job(self.cluster, "hold", job)
        wait("the hold", lambda: "eld" in self.cluster.job(job)["Reason"] and self.cluster.state(job) != "COMPLETING")
        had = self.await_lines(job, 1)
        cr_job(self.cluster, "release", job)
        self.await_next_run(job)
        self.assertGreater(len(self.await_lines(job, 1)), len(had))

    def test_drain(self) -> None:
        job = self.start("interval=off")
        short = self.cluster.node_of(job)
        node = self.cluster.nodes[short].name
        self.addCleanup(self.cluster.scontrol, "update", f"nodename={node}", "state=resume")
        done = self.cluster.admin("cr_job", "drain", "--reason", "new memory", node)
        self.assertEqual(done.stdout, f"node {node} is empty\n")
        self.assertRegex(done.stderr, rf"job {job} is requeued, its context is \S+/000001")
        self.await_next_run(job)
        self.assertNotEqual(self.cluster.node_of(job), short)

    def test_two_at_once(self) -> None:
        jobs = [self.start("interval=off"), self.start("interval=1h")]
        done = cr_job(self.cluster, "checkpoint", "--user", str(self.cluster.user))
        self.assertEqual(len(done.stdout.splitlines()), 2, done.stderr)
        for job in jobs:
            self.assertTrue(re.search(rf"/{job}/000001$", done.stdout, re.MULTILINE))


if __name__ == "__main__":
    unittest.main(verbosity=2)
