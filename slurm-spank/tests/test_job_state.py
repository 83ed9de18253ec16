#!/usr/bin/python3
"""slurm-job-state against what scontrol says of the same job, in all the states that a job goes through."""

from __future__ import annotations

import os
import signal
import unittest
from pathlib import Path
from typing import Union

from cluster import TOP, Cluster, wait
from processes import descendants

PROGRAM = Path(os.environ.get("CAESURA_PREFIX", TOP / "build" / "prefix")) / "libexec/caesura/slurm-job-state"
ENOJOB, ESCHEDULER, EUSAGE = 209, 212, 255
CONF = {"PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE", "KillWait": "5"}
PARTITIONS = ("low Default=YES PriorityTier=1 GraceTime=15", "high PriorityTier=10")
TIMES = {"submit_time": "SubmitTime", "start_time": "StartTime", "end_time": "EndTime", "preempt_time": "PreemptTime"}


class StateTest(unittest.TestCase):
    cluster: Cluster

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = cls.enterClassContext(Cluster(plugstack=False, cpus=1, conf=CONF, partitions=PARTITIONS))

    def tearDown(self) -> None:
        self.cluster.admin("scancel", f"--user={self.cluster.user}", "--state=PENDING")
        self.cluster.admin("scancel", f"--user={self.cluster.user}", "--signal=KILL", "--full")
        self.cluster.admin("scancel", f"--user={self.cluster.user}")
        wait("an empty queue", lambda: not self.cluster.admin("squeue", "-h").stdout)

    def state(self, job: Union[int, str]) -> dict[str, str]:
        """As the user of the job."""
        lines = self.cluster.command(PROGRAM, str(job)).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def scontrol(self, job: int) -> dict[str, str]:
        """For the id of an array scontrol shows each element on a line of its own."""
        done = self.cluster.run(
            ["scontrol", "-o", "show", "job", str(job)], admin=True, env={"SLURM_TIME_FORMAT": "%s"}
        )
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"JobId={job} "))
        return dict(word.split("=", 1) for word in line.split() if "=" in word)

    def compare(self, job: int) -> dict[str, str]:
        """All that both say has to be the same."""
        told, shown = self.state(job), self.scontrol(job)
        self.assertEqual(told["job_id"], str(job))
        for key, name in TIMES.items():
            expected = shown.get(name, "None").replace("Unknown", "0").replace("None", "0")
            self.assertEqual(told[key], expected, (key, told, shown))
        self.assertEqual(told["restart_cnt"], shown["Restarts"])
        self.assertEqual(told["requeue"], shown["Requeue"])
        self.assertEqual(told["batch_flag"], shown["BatchFlag"])
        self.assertEqual(told["partition"], shown["Partition"])
        self.assertEqual(told["user_id"], str(self.cluster.user.uid))
        self.assertEqual(told["nodes"], shown["NodeList"].replace("(null)", ""))
        if not told["flags"]:
            self.assertEqual(told["state"], shown["JobState"])
        return told

    def test_pending(self) -> None:
        job = self.cluster.sbatch("true", "--hold", "--no-requeue")
        told = self.compare(job)
        self.assertEqual((told["state"], told["start_time"], told["requeue"]), ("PENDING", "0", "0"))

    def test_running_and_completed(self) -> None:
        go = self.cluster.work / "go"
        job = self.cluster.sbatch(f"until [ -e {go} ]; do sleep 0.1; done", "--time=5")
        self.cluster.wait_for(job, "RUNNING")
        told = self.compare(job)
        self.assertEqual((told["state"], told["requeue"], told["batch_flag"]), ("RUNNING", "1", "1"))
        self.assertEqual(int(told["end_time"]) - int(told["start_time"]), 300)
        go.touch()
        self.cluster.wait_for(job, "COMPLETED")
        self.assertEqual(self.compare(job)["state"], "COMPLETED")

    def test_cancelled(self) -> None:
        """While the script lingers, the state says why it was signalled, and the flag that it is not gone yet."""
        job = self.cluster.sbatch("trap '' TERM\necho ready\nsleep 1000 & wait; sleep 5; wait")
        wait("the script", lambda: self.cluster.output(job).exists() and self.cluster.output(job).read_text() != "")
        self.cluster.command("scancel", str(job))
        wait("the cancelling", lambda: self.state(job)["flags"] == "COMPLETING")
        told = self.compare(job)
        self.assertEqual((told["state"], told["restart_cnt"], told["preempt_time"]), ("CANCELLED", "0", "0"))

    def test_requeued(self) -> None:
        job = self.cluster.sbatch("trap '' TERM\necho ready\nsleep 1000 & wait; sleep 5; wait")
        wait("the script", lambda: self.cluster.output(job).exists() and self.cluster.output(job).read_text() != "")
        self.cluster.scontrol("requeue", str(job))
        wait("the requeue", lambda: "COMPLETING" in self.state(job)["flags"].split(","))
        told = self.compare(job)
        self.assertEqual((told["state"], told["restart_cnt"], told["preempt_time"]), ("PENDING", "1", "0"))

    def test_preempted(self) -> None:
        """During the grace only preempt_time tells; afterwards the restart count, too."""
        job = self.cluster.sbatch("sleep 1000")
        self.cluster.wait_for(job, "RUNNING")
        urgent = self.cluster.sbatch("true", "-p", "high")
        wait("the grace", lambda: self.state(job)["preempt_time"] != "0")
        told = self.compare(job)
        self.assertEqual((told["state"], told["flags"], told["restart_cnt"]), ("RUNNING", "", "0"))
        self.assertLessEqual(int(told["end_time"]), int(told["preempt_time"]) + 16)
        self.cluster.wait_for(urgent, "COMPLETED")
        self.assertEqual(self.compare(job)["restart_cnt"], "1")

    def test_failed(self) -> None:
        job = self.cluster.sbatch("exit 7")
        self.cluster.wait_for(job, "FAILED")
        self.assertEqual(self.compare(job)["state"], "FAILED")

    def test_array(self) -> None:
        job = self.cluster.sbatch("echo $SLURM_JOB_ID; sleep 1000", "--array=5-7")
        output = self.cluster.work / f"slurm-{job}_5.out"
        wait("the first element", lambda: output.exists() and output.read_text() != "")
        element = int(output.read_text())
        told = self.compare(element)
        self.assertEqual((told["array_job_id"], told["array_task_id"]), (str(job), "5"))
        rest = self.compare(job)
        self.assertEqual((rest["array_job_id"], rest["array_tasks"], rest["state"]), (str(job), "6-7", "PENDING"))
        self.assertNotIn("array_job_id", self.state(self.cluster.sbatch("true", "--hold")))

    def test_srun(self) -> None:
        self.cluster.command("srun", "true")
        job = int(self.cluster.admin("squeue", "-h", "-t", "all", "-o", "%A", "--sort=-i").stdout.split()[0])
        self.assertEqual(self.compare(job)["batch_flag"], "0")

    def test_unknown_job(self) -> None:
        done = self.cluster.command(PROGRAM, "99999", check=False)
        self.assertEqual((done.returncode, done.stdout), (ENOJOB, ""))
        self.assertEqual(done.stderr, "slurm-job-state: slurmctld knows no job 99999\n")

    def test_usage(self) -> None:
        single = ("x", "1x", "-1", "0", "", "4294967294", "99999999999999999999")
        cases: list[list[str]] = [[], ["1", "2"], *([word] for word in single)]
        for words in cases:
            done = self.cluster.command(PROGRAM, *words, check=False)
            self.assertEqual((done.returncode, done.stdout), (EUSAGE, ""), words)
            self.assertTrue(done.stderr.startswith("Usage: slurm-job-state JOBID"))

    def test_full_disk(self) -> None:
        job = self.cluster.sbatch("true", "--hold")
        done = self.cluster.command("bash", "-c", f"{PROGRAM} {job} > /dev/full", check=False)
        self.assertEqual(done.returncode, 5, done)


class SilenceTest(unittest.TestCase):
    def test_no_controller(self) -> None:
        conf = {"MessageTimeout": "5", "TCPTimeout": "2"}
        with Cluster(plugstack=False, conf=conf) as cluster:
            job = cluster.sbatch("true", "--hold")
            slurmctld = descendants(cluster.control[1].pid)[0]
            slurmctld.signal(signal.SIGSTOP)
            done = cluster.command(PROGRAM, str(job), check=False)
            self.assertEqual((done.returncode, done.stdout), (ESCHEDULER, ""), done)
            self.assertIn(f"slurm-job-state: job {job}: ", done.stderr)
            slurmctld.signal(signal.SIGCONT)
            self.assertEqual(cluster.command(PROGRAM, str(job)).stdout.splitlines()[0], f"job_id={job}")

    def test_no_configuration(self) -> None:
        """libslurm ends the program itself; the status is ours."""
        with Cluster(plugstack=False) as cluster:
            done = cluster.run([PROGRAM, "1"], check=False, env={"SLURM_CONF": "/nonexistent/slurm.conf"})
            self.assertEqual((done.returncode, done.stdout), (ESCHEDULER, ""), done)
            self.assertIn("hint: is this a host of the cluster", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
