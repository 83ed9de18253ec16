#!/usr/bin/python3
"""Ends of jobs, and all the ways to write one: with --checkpoint nothing about them changes, and each can go on."""

from __future__ import annotations

import shlex
import unittest
from typing import ClassVar, Mapping, Optional, Sequence

from cluster import Cluster
from jobs import COUNTER, Counter, Task
from runner import main

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


class Wrapped(Counter):
    """The same job by sbatch --wrap."""

    def submit(self, options: Sequence[str], arguments: Sequence[str], env: Optional[Mapping[str, str]]) -> int:
        command = shlex.join(["exec", str(self.script), str(self.end_file), *arguments])
        return int(self.cluster.command("sbatch", "--parsable", *options, f"--wrap={command}").stdout)


class EndsTest(unittest.TestCase):
    cluster: ClassVar[Cluster]

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = cls.enterClassContext(Cluster(cpus=32, conf={"KillWait": "200"}))

    def requeue(self, job: Counter) -> None:
        before = job.wait_running()
        self.cluster.scontrol("requeue", str(job.id))
        job.wait_restarted(1, before)

    # ---- ends --------------------------------------------------------------------------------------------------------

    def test_status_without_a_restart(self) -> None:
        for spec in ("default", "interval=1h"):
            for status, state in ((0, "COMPLETED"), (7, "FAILED")):
                with self.subTest(spec=spec, status=status):
                    job = Counter(self, self.cluster, f"--checkpoint={spec}", arguments=(str(status),))
                    job.wait_running()
                    # Without a timer there is no engine and no folder until something happens.
                    job.finish(state=state, kept=status != 0 and spec != "default")
                    self.assertEqual(self.cluster.exit_code(job.id), f"{status}:0")

    def test_status_after_a_restart(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=default", arguments=("7",))
        self.requeue(job)
        job.finish(state="FAILED", kept=True)
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
        job = Counter(self, self.cluster, "--checkpoint=default", script=PYTHON)
        self.requeue(job)
        job.finish()

    def test_directive_in_the_script(self) -> None:
        script = COUNTER.replace("#!/bin/bash\n", "#!/bin/bash\n#SBATCH --checkpoint=default\n")
        job = Counter(self, self.cluster, script=script)
        self.requeue(job)
        job.finish()

    def test_wrap(self) -> None:
        job = Wrapped(self, self.cluster, "--checkpoint=default")
        self.requeue(job)
        job.finish()

    def test_arguments(self) -> None:
        """A script gets the words that it was given, whatever is in them, and has a name with a space."""
        script = COUNTER.replace('echo "begin', 'printf \'argument [%s]\\n\' "${@:3}" >&2\necho "begin')
        errors = self.cluster.work / "errors-arguments"
        words = ("0", "one", "", ODD, "%41 %", "--name")
        options = ("--checkpoint=default", f"--error={errors}")
        job = Counter(self, self.cluster, *options, script=script, arguments=words)
        self.requeue(job)
        job.finish()
        said = errors.read_text()
        self.assertTrue(said.startswith("".join(f"argument [{word}]\n" for word in words[1:])), said)

    def test_environment(self) -> None:
        """Nothing is lost from it, and of ours a job sees its name only."""
        script = COUNTER.replace('exit "${2:-0}"\n', 'env -0 > "$1.environment"\n')
        env = {"ODD": ODD, "EMPTY": "", "CAESURA_SPEC": "mine"}
        job = Counter(self, self.cluster, "--checkpoint=default", script=script, env=env)
        self.requeue(job)
        job.finish()
        raw = job.end_file.with_name(job.end_file.name + ".environment").read_text().split("\0")[:-1]
        seen = dict(word.split("=", 1) for word in raw)
        self.assertEqual((seen["ODD"], seen["EMPTY"]), (ODD, ""))
        self.assertEqual(seen["SLURM_JOB_ID"], str(job.id))
        ours = {name: value for name, value in seen.items() if name.startswith("CAESURA_")}
        self.assertEqual(ours, {"CAESURA_JOB": f"slurm:{job.id}"})

    def test_array(self) -> None:
        script = COUNTER.replace('"$1"', '"$1.$SLURM_ARRAY_TASK_ID"')
        array = Counter(self, self.cluster, "--checkpoint=default", "--array=1-2", script=script, suffix=".%a")
        tasks = [Task(self, array, number) for number in (1, 2)]
        before = [task.wait_running() for task in tasks]
        self.cluster.scontrol("requeue", str(array.id))
        for task, count in zip(tasks, before):
            task.wait_restarted(1, count)
        for task in tasks:
            task.finish()
        self.assertNotEqual(tasks[0].text()[0], tasks[1].text()[0])

    def test_dependency(self) -> None:
        job = Counter(self, self.cluster, "--checkpoint=default")
        after = self.cluster.sbatch(f"cat {job.path}", f"--dependency=afterok:{job.id}")
        self.requeue(job)
        self.assertEqual(self.cluster.state(after), "PENDING")
        job.finish()
        self.cluster.wait_for(after, "COMPLETED")
        self.assertEqual(self.cluster.output(after).read_text(), job.path.read_text())

    # ---- neighbours --------------------------------------------------------------------------------------------------

    def test_two_jobs_at_once(self) -> None:
        """Both make a file in /tmp with a name from their pid, as programs do, and look for it later."""
        start = 'number=0\nmine="$MINE-$$"\n(set -C; echo "$token" > "$mine") || exit 9\n'
        end = '[ "$(cat "$mine")" = "$token" ] || exit 8\nrm "$mine"\necho "end'
        script = COUNTER.replace("number=0\n", start).replace('echo "end', end)
        mine = {"MINE": f"/tmp/caesura-test-{self.cluster.name}"}
        jobs = [Counter(self, self.cluster, "--checkpoint=interval=2s", script=script, env=mine) for _ in range(2)]
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
        job = Counter(self, self.cluster, "--checkpoint=default", f"--error={errors}", script=script)
        job.wait_running()
        job.finish()
        said = errors.read_text()
        self.assertIn("srun 0\n", said)
        self.assertIn("steps of srun are not supported", said)

    def test_refused_spec(self) -> None:
        for spec, words in (
            ("nonsense=1", "nonsense"),
            ("interval=never", "interval"),
            ("no-such-policy", "no-such-policy"),
        ):
            with self.subTest(spec):
                done = self.cluster.command("sbatch", f"--checkpoint={spec}", "--wrap=true", check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(words, done.stderr)
                self.assertEqual(done.stdout, "")

    def test_no_store(self) -> None:
        """Whatever is wrong on our side, the job runs, and says that it is not protected and why."""
        store = self.cluster.write("no-folder", "in the way of the store")
        job = Counter(self, self.cluster, f"--checkpoint=interval=1h,store.dir={store}")
        job.wait_running()
        job.finish(foreign=[f"{store}.*without checkpoints"])


class TrackingTest(unittest.TestCase):
    """Without cgroups TERM hits the whole job at the moment at which the supervisor gets it."""

    def test_other_tracking(self) -> None:
        for proctrack in ("linuxproc", "pgid"):
            conf = {"KillWait": "200"}
            with self.subTest(proctrack), Cluster(proctrack=proctrack, conf=conf) as cluster:
                job = Counter(self, cluster, "--checkpoint=default", "--signal=B:USR2@30")
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
    main()
