#!/usr/bin/python3
"""Ends of jobs, and all the ways to write one: with --checkpoint nothing about them changes, and each can go on."""

from __future__ import annotations

import shlex
import sys
import unittest
from typing import ClassVar

from cluster import Cluster, is_root, wait
from jobs import COUNTER, Counter

PYTHON = """#!/usr/bin/python3
import os, secrets, sys, time
token, number = secrets.token_hex(8), 0
print("begin", token, flush=True)
while not os.path.exists(sys.argv[1]):
    number += 1
    print(number, token, flush=True)
    time.sleep(0.1)
print("end", token, flush=True)
"""
ODD = "two  spaces, 'quotes' \"and\"\na second line\twith a tab"


class EndsTest(unittest.TestCase):
    cluster: ClassVar[Cluster]

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = cls.enterClassContext(Cluster(cpus=8, conf={"KillWait": "200"}))

    def tearDown(self) -> None:
        self.cluster.end_jobs()

    def requeue(self, job: Counter) -> None:
        before = job.wait_running()
        self.cluster.scontrol("requeue", str(job.id))
        job.wait_restarted(1, before)

    # ---- ends --------------------------------------------------------------------------------------------------------

    def test_status_without_a_restart(self) -> None:
        for spec in ("default", "interval=1h"):
            for status, state in ((0, "COMPLETED"), (7, "FAILED")):
                with self.subTest(spec=spec, status=status):
                    job = Counter(self.cluster, f"--checkpoint={spec}", status=status)
                    job.wait_running()
                    job.finish(state=state)
                    self.assertEqual(self.cluster.exit_code(job.id), f"{status}:0")
                    self.assertFalse(job.contexts())

    def test_status_after_a_restart(self) -> None:
        job = Counter(self.cluster, "--checkpoint=default", status=7)
        self.requeue(job)
        job.finish(state="FAILED")
        self.assertEqual(self.cluster.exit_code(job.id), "7:0")
        # The policy keeps what a failed job can go on from.
        self.assertEqual(len(job.contexts()), 1)

    def test_end_by_a_signal(self) -> None:
        codes = []
        for options in ((), ("--checkpoint=default",), ("--checkpoint=interval=1h",)):
            job = self.cluster.sbatch("kill -SEGV $$", *options)
            self.cluster.wait_for(job, "FAILED")
            codes.append(self.cluster.exit_code(job))
        self.assertEqual(codes, [codes[0]] * 3)
        self.assertEqual(codes[0].rsplit(":", 1)[1], "11")

    # ---- ways to write a job -----------------------------------------------------------------------------------------

    def test_python_script(self) -> None:
        job = Counter(self.cluster, "--checkpoint=default", script=PYTHON)
        self.requeue(job)
        job.finish()

    def test_directive_in_the_script(self) -> None:
        script = COUNTER.replace("#!/bin/bash\n", "#!/bin/bash\n#SBATCH --checkpoint=default\n")
        job = Counter(self.cluster, script=script)
        self.requeue(job)
        job.finish()

    def test_wrap(self) -> None:
        path = self.cluster.write("wrapped", COUNTER)
        end, lines = self.cluster.work / "end-wrapped", self.cluster.work / "lines-wrapped"
        command = f"exec {shlex.quote(str(path))} {shlex.quote(str(end))}"
        words = ["sbatch", "--parsable", "--checkpoint=default", f"--output={lines}", f"--wrap={command}"]
        job = Counter.__new__(Counter)
        job.cluster, job.end_file, job.path, job.mark = self.cluster, end, lines, "wrapped"
        job.id = int(self.cluster.command(*words).stdout)
        self.requeue(job)
        job.finish()

    def test_arguments(self) -> None:
        """A script gets the words that it was given, in the first run and in the one that goes on."""
        script = COUNTER.replace("begin $token", "begin $token\"\nprintf 'argument [%s]\\n' \"${@:3}\" >&2\necho -n \"")
        job = Counter.__new__(Counter)
        job.cluster, job.mark = self.cluster, "arguments"
        job.end_file, job.path = self.cluster.work / "end-arguments", self.cluster.work / "lines-arguments"
        errors = self.cluster.work / "errors-arguments"
        path = self.cluster.write("with arguments", script)
        words = ("--checkpoint=default", f"--output={job.path}", f"--error={errors}")
        job.id = self.cluster.sbatch(path, *words, arguments=(str(job.end_file), "0", "one", "", ODD, "%41 %"))
        self.requeue(job)
        job.finish()
        said = errors.read_text()
        self.assertTrue(said.startswith(f"argument [one]\nargument []\nargument [{ODD}]\nargument [%41 %]\n"), said)

    def test_environment(self) -> None:
        """Nothing is lost from it, and of ours a job sees its name only."""
        script = COUNTER + 'printf "%s" "$ODD" > "$1.odd"\nenv -0 > "$1.environment"\n'
        script = script.replace('exit "${2:-0}"\n', "")
        path = self.cluster.write("environment", script)
        job = Counter.__new__(Counter)
        job.cluster, job.mark = self.cluster, "environment"
        job.end_file, job.path = self.cluster.work / "end-environment", self.cluster.work / "lines-environment"
        job.id = self.cluster.sbatch(
            path,
            "--checkpoint=default",
            f"--output={job.path}",
            arguments=(str(job.end_file),),
            env={"ODD": ODD, "EMPTY": "", "CAESURA_SPEC": "mine"},
        )
        self.requeue(job)
        job.finish()
        self.assertEqual((job.end_file.parent / (job.end_file.name + ".odd")).read_text(), ODD)
        raw = (job.end_file.parent / (job.end_file.name + ".environment")).read_text().split("\0")[:-1]
        seen = dict(word.split("=", 1) for word in raw)
        self.assertEqual(seen["EMPTY"], "")
        self.assertEqual(seen["SLURM_JOB_ID"], str(job.id))
        self.assertEqual({name for name in seen if name.startswith("CAESURA_")}, {"CAESURA_JOB"})
        self.assertEqual(seen["CAESURA_JOB"], f"slurm:{job.id}")

    def test_array(self) -> None:
        script = COUNTER.replace('"$1"', '"$1.$SLURM_ARRAY_TASK_ID"')
        path = self.cluster.write("array", script)
        end = self.cluster.work / "end-array"
        words = ("--checkpoint=default", "--array=1-2", f"--output={self.cluster.work}/lines-array-%a")
        array = self.cluster.sbatch(path, *words, arguments=(str(end),))
        tasks = []
        for number in (1, 2):
            task = Counter.__new__(Counter)
            task.cluster, task.mark = self.cluster, "array"
            task.id, task.path = f"{array}_{number}", self.cluster.work / f"lines-array-{number}"
            task.end_file = self.cluster.work / f"end-array.{number}"
            tasks.append(task)
        for task in tasks:
            task.wait_running()
        before = [task.count() for task in tasks]
        self.cluster.scontrol("requeue", str(array))
        for task, count in zip(tasks, before):
            task.wait_restarted(1, count)
        for task in tasks:
            task.finish()
        tokens = {task.text()[0] for task in tasks}
        self.assertEqual(len(tokens), 2)

    def test_dependency(self) -> None:
        job = Counter(self.cluster, "--checkpoint=default")
        after = self.cluster.sbatch(f"cat {job.path}", f"--dependency=afterok:{job.id}")
        self.requeue(job)
        self.assertEqual(self.cluster.state(after), "PENDING")
        job.finish()
        self.cluster.wait_for(after, "COMPLETED")
        self.assertEqual(self.cluster.output(after).read_text(), job.path.read_text())

    # ---- neighbours --------------------------------------------------------------------------------------------------

    def test_two_jobs_at_once(self) -> None:
        """Both with the same pid inside a name in /tmp, as programs make them."""
        script = COUNTER.replace("number=0\n", 'number=0\nmine=/tmp/caesura-test-$$\n(set -C; echo "$token" > "$mine") || exit 9\n')
        script = script.replace('echo "end', '[ "$(cat "$mine")" = "$token" ] || exit 8\nrm "$mine"\necho "end')
        jobs = [Counter(self.cluster, "--checkpoint=interval=2s", script=script) for _ in range(2)]
        counts = [job.wait_running() for job in jobs]
        for job in jobs:
            self.cluster.scontrol("requeue", str(job.id))
        for job, count in zip(jobs, counts):
            job.wait_restarted(1, count)
        for job in jobs:
            job.finish()
        self.assertNotEqual(jobs[0].text()[0], jobs[1].text()[0])

    def test_step_inside(self) -> None:
        """A job that runs srun is not protected while it does, is told so, and is not disturbed."""
        script = COUNTER.replace('echo "begin', 'srun -n1 -Q true; echo "srun $?" >&2\necho "begin')
        errors = self.cluster.work / "errors-step"
        job = Counter(self.cluster, "--checkpoint=default", f"--error={errors}", script=script)
        job.wait_running()
        job.finish()
        said = errors.read_text()
        self.assertIn("srun 0\n", said)
        self.assertIn("steps of srun are not supported", said)

    def test_refused_spec(self) -> None:
        for spec, words in (("nonsense=1", "nonsense"), ("interval=never", "interval"), ("no-such-policy", "no-such-policy")):
            with self.subTest(spec):
                done = self.cluster.command("sbatch", f"--checkpoint={spec}", "--wrap=true", check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(words, done.stderr)
                self.assertEqual(done.stdout, "")

    def test_broken_installation(self) -> None:
        """Whatever is wrong on our side, the job runs, and says that it is not protected."""
        blocked = self.cluster.user.home / ".local"
        away = self.cluster.user.home / ".local-away"
        had = blocked.exists()
        if had:
            blocked.rename(away)
        try:
            blocked.write_text("in the way of the store")
            job = Counter(self.cluster, "--checkpoint=interval=1h")
            job.wait_running()
            job.finish(foreign=["without checkpoints"])
        finally:
            blocked.unlink()
            if had:
                away.rename(blocked)


class TrackingTest(unittest.TestCase):
    """Without cgroups TERM hits the whole job at the moment at which the supervisor gets it."""

    def test_other_tracking(self) -> None:
        for proctrack in ("linuxproc", "pgid"):
            conf = {"KillWait": "200"}
            with self.subTest(proctrack), Cluster(proctrack=proctrack, conf=conf) as cluster:
                job = Counter(cluster, "--checkpoint=default", "--signal=B:USR2@30")
                job.wait_running()
                cluster.command("scancel", "--batch", "--signal=USR2", str(job.id))
                context = job.wait_context()
                before = job.wait_beyond(job.count())
                cluster.scontrol("requeue", str(job.id))
                job.wait_restarted(1, 0)
                job.wait_beyond(before)
                self.assertGreaterEqual(job.contexts()[0], context)
                job.end()
                cluster.wait_for(job.id, "COMPLETED")
                job.verify(foreign=[line for line in (".",) if job.foreign()])


if __name__ == "__main__":
    if not is_root():
        print("as", sys.executable, file=sys.stderr)
    unittest.main(verbosity=2)
