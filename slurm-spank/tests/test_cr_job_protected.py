#!/usr/bin/python3
"""cr_job against a real Slurm, with protected jobs: whatever it does with them, they go on where they were."""

from __future__ import annotations

import re
import time
import unittest
from pathlib import Path
from typing import Optional

from cluster import Cluster, wait
from cr_jobs import OnCluster, cr_job, lines_of, listed

# Writes a number each 0.1 s; the number of the run is not in it, so a job that went on has one series.
COUNT = 'n=0; while [ "$n" -lt 100000 ]; do echo "$n"; n=$((n + 1)); sleep 0.1; done'


class CountingJobs(OnCluster):
    """Jobs with --checkpoint that write numbers."""

    proctrack: Optional[str] = None

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = Cluster(nodes=2, proctrack=cls.proctrack)
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None, None, None)

    def start(self, spec: str, *options: str) -> str:
        job = str(self.cluster.sbatch(COUNT, f"--checkpoint={spec}", "--error=%j.err", *options))
        self.addCleanup(self.end, job)
        self.cluster.wait_for(job, "RUNNING")
        self.await_lines(job, 5)
        return job

    def await_lines(self, job: str, count: int) -> list[str]:
        """The job's lines, when there are so many; each one is there once, in order, and there is nothing else."""
        output = self.cluster.output(job)
        wait(f"{count} lines of job {job}", lambda: len(lines_of(output)) >= count)
        # The last one may be half-written.
        found = output.read_text(encoding="utf-8").split("\n")[:-1]
        self.assertEqual(found, [str(n) for n in range(len(found))])
        return found

    def await_next_run(self, job: str, restarts: int = 1) -> None:
        """The job goes on where it was, with more lines than it had."""
        wait("the next run", lambda: self.cluster.restarts(job) == restarts)
        self.cluster.wait_for(job, "RUNNING")
        self.await_lines(job, len(self.await_lines(job, 1)) + 10)

    def requeue(self) -> None:
        job = self.start("interval=off")
        context = Path(cr_job(self.cluster, "requeue", job).stdout.strip())
        self.assertEqual(context.name, "000001")
        self.await_next_run(job)


class ProtectedJobs(CountingJobs):
    """Nothing of their work is lost, whatever is done with them."""

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
        self.requeue()

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


class ProtectedWithoutCgroups(CountingJobs):
    """proctrack/linuxproc sends the TERM of a requeue to the job's own processes: what is safe by then has to do."""

    proctrack = "linuxproc"

    def test_requeue(self) -> None:
        self.requeue()


class RequeueDelay(unittest.TestCase):
    def test_the_delay_of_requeued_jobs_is_taken_away_unless_the_policy_says_no(self) -> None:
        """Slurm's own is two minutes. It comes when the run is over, and passes over a job whose start lies ahead."""
        slow = Cluster()
        slow.conf["AuthInfo"] = f"socket={slow.folder}/run/munge.sock,cred_expire=120"
        with slow as cluster:
            jobs = {}
            for now in ("true", "false"):
                job = str(cluster.sbatch(COUNT, f"--checkpoint=interval=off,requeue-now={now}", "--error=%j.err"))
                cluster.wait_for(job, "RUNNING")
                wait("its first lines", lambda: len(lines_of(cluster.output(job))) > 3)
                jobs[now] = job
            for job in jobs.values():
                cr_job(cluster, "requeue", job)
            requeued = time.monotonic()
            cluster.wait_for(jobs["true"], "RUNNING", 60)
            self.assertLess(time.monotonic() - requeued, 60)
            self.assertEqual(cluster.restarts(jobs["true"]), 1)
            self.assertEqual(cluster.job(jobs["false"])["Reason"], "BeginTime")


if __name__ == "__main__":
    unittest.main(verbosity=2)
