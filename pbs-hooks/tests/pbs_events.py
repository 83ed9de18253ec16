#!/usr/bin/env python3
"""Jobs under a real PBS: every event of docs/pbs.md, with jobs that write numbered lines.

Needs PBS_EXEC, an installed OpenPBS, and root; without either it says so and is skipped (exit status 77). The daemons,
their hosts and users are made in namespaces of their own, see pbs_lab.py. CAESURA_PREFIX is the installed tree.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
import time
import unittest
from typing import Any

import pbs_lab
from pbs_lab import OTHER, USER, Lab, wait_for

LINES = 50
STOP = 20  # here the job waits for goes_on(), so that a slow machine does not change what a test is about
COUNT = f"""#!/bin/bash
i=0
while [ $i -lt {LINES} ]; do
    i=$((i+1)); echo line $i; sleep 0.02
    [ $i != {STOP} ] || until [ -e ~/go.$PBS_JOBNAME ]; do sleep 0.1; done
done
exit 7
"""
EVERY_LINE = [f"line {n + 1}" for n in range(LINES)]

lab = Lab()


def text_of(path: pathlib.Path) -> str:
    return path.read_text() if path.exists() else ""


class Job:
    """A job that was submitted."""

    def __init__(self, *options: str, script: str = COUNT, user: str = USER, spec: str | None = "default") -> None:
        wanted = ["-l", f'checkpoint="{spec}"'] if spec else []
        self.user = user
        self.name = f"j{time.monotonic_ns() % 10**10}"
        self.id = lab.submit(script, "-N", self.name, *wanted, *options, user=user)
        self.number = self.id.split(".")[0].replace("[]", "")

    def field(self, name: str) -> object:
        return lab.job(self.id).get(name)

    def started(self, runs: int = 1) -> Job:
        """Waits until the run is under way."""
        wait_for(
            f"run {runs} of {self.id}",
            lambda: self.field("run_count") == runs and self.field("job_state") == "R" and self.field("substate") == 42,
        )
        return self

    def state(self, states: str, seconds: float = 90) -> Job:
        lab.wait_state(self.id, states, seconds)
        return self

    def spool(self, kind: str) -> str:
        """What MoM has of the job's output so far."""
        return "".join(text_of(lab.home(mom) / f"spool/{self.id}.{kind}") for mom in pbs_lab.MOMS)

    def wrote(self, lines: int) -> Job:
        wait_for(f"{lines} lines of {self.id}", lambda: f"line {lines}\n" in self.spool("OU"))
        return self

    def stops(self) -> Job:
        """Waits until the job waits for goes_on()."""
        return self.wrote(STOP)

    def goes_on(self) -> Job:
        (lab.top / "home" / self.user / f"go.{self.name}").touch()
        return self

    def output(self, kind: str = "o", index: str = "") -> list[str]:
        path = lab.top / "home" / self.user / f"{self.name}.{kind}{self.number}{index}"
        wait_for(str(path), path.exists)
        return path.read_text().splitlines()

    @property
    def folder(self) -> pathlib.Path:
        return lab.top / "home" / self.user / ".local/state/caesura" / pbs_lab.HOST / self.number

    def contexts(self) -> list[str]:
        return sorted(p.name for p in self.folder.glob("[0-9]*")) if self.folder.exists() else []

    def of_run(self, restarts: int) -> list[int]:
        """The numbers of the contexts that a run has made; the first run has restarted 0 times."""
        manifests = {name: self.folder / name / "manifest.json" for name in self.contexts()}
        return [
            int(name)
            for name, path in manifests.items()
            if path.exists() and json.loads(path.read_text())["run"]["restartCount"] == restarts
        ]


class Events(unittest.TestCase):
    """One lab for all; every test leaves it as it was."""

    @classmethod
    def setUpClass(cls) -> None:
        lab.start()
        lab.protect(os.environ["CAESURA_PREFIX"])

    @classmethod
    def tearDownClass(cls) -> None:
        lab.stop()

    def setUp(self) -> None:
        lab.manage("set sched preempt_order=SCR")

    def complete(self, job: Job) -> None:
        """Every line once, in order; nothing else; the status that the script has."""
        job.goes_on()
        shown = lab.wait_state(job.id, "F", 120)
        self.assertEqual(job.output("o"), EVERY_LINE)
        self.assertEqual(job.output("e"), [])
        self.assertEqual(shown["Exit_status"], 7)

    def operator(self, *command: str) -> None:
        lab.run("root", *command)

    # ---- submission and end ------------------------------------------------------------------------------------------

    def test_bad_spec(self) -> None:
        done = lab.run(USER, "qsub", "-l", "checkpoint=perodic", stdin=COUNT, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no policy 'perodic'", done.stderr)

    def test_status_of_jobs_that_end_by_themselves(self) -> None:
        for script, status in (("exit 0\n", 0), ("exit 7\n", 7), ("kill -KILL $$\n", None), ("kill -USR1 $$\n", None)):
            jobs = [Job(script="#!/bin/bash\n" + script, spec=spec) for spec in (None, "default", "1h")]
            ends = [lab.wait_state(job.id, "F")["Exit_status"] for job in jobs]
            self.assertEqual(ends, [ends[0]] * 3, script)
            if status is not None:
                self.assertEqual(ends[0], status)
            for job in jobs[1:]:
                self.assertEqual(job.contexts(), [])

    def test_job_sees_nothing_of_ours_but_its_name(self) -> None:
        script = "#!/bin/bash\nenv | grep ^CAESURA_ | cut -d= -f1 | sort; cat; printf '%s|' \"$X\" $0\n"
        job = Job("-v", 'X="a b"', script=script)
        job.state("F")
        out = job.output()
        self.assertEqual(out[:-1], ["CAESURA_JOB", "CAESURA_RUNTIME"])
        self.assertRegex(out[-1], r"^a b\|.*\.SC\|$")

    def test_program_with_arguments(self) -> None:
        job = Job("--", "/bin/sh", "-c", "echo line 1 $0; exit 3", "x y", script="")
        self.assertEqual(lab.wait_state(job.id, "F")["Exit_status"], 3)
        self.assertEqual(job.output(), ["line 1 x y"])

    def test_job_of_several_nodes_is_told(self) -> None:
        job = Job("-l", "select=1:ncpus=1:vnode=n1+1:ncpus=1:vnode=n2").goes_on().state("F")
        self.assertEqual(job.output("o"), EVERY_LINE)
        self.assertEqual(
            job.output("e"),
            [
                "caesura: the job runs without checkpoints: it runs on several nodes, and only jobs of one node can be "
                "checkpointed"
            ],
        )
        self.assertEqual(job.field("Exit_status"), 7)

    def test_python_script(self) -> None:
        script = "#!/usr/bin/python3\nimport os, time\ngo = os.path.expanduser('~/go.' + os.environ['PBS_JOBNAME'])\n"
        script += f"for n in range({LINES}):\n    print('line', n + 1, flush=True)\n"
        script += (
            f"    while n + 1 == {STOP} and not os.path.exists(go):\n        time.sleep(0.1)\nraise SystemExit(7)\n"
        )
        job = Job(script=script).started().stops()
        self.operator("qrerun", job.id)
        self.complete(job.started(2))

    # ---- checkpoints of a job that goes on ---------------------------------------------------------------------------

    def test_timer(self) -> None:
        job = Job(spec="2s,keep=2").started()
        wait_for("several contexts", lambda: job.contexts() and job.contexts()[-1] >= "000003")
        self.assertLessEqual(len([c for c in job.contexts() if not c.startswith(".")]), 3)
        self.complete(job)

    def test_interval_option(self) -> None:
        job = Job("-c", "w=1", spec=None).started()
        wait_for("the job's facts", (job.folder / "job.json").exists)
        self.assertEqual(json.loads((job.folder / "job.json").read_text())["policy"]["interval"], "1m")
        self.assertEqual(job.field("Checkpoint"), "s")
        self.complete(job)

    def test_request(self) -> None:
        job = Job().started().stops()
        lab.run(USER, "qsig", "-s", "URG", job.id)
        wait_for("a context", job.contexts)
        self.assertEqual(job.field("run_count"), 1)
        self.complete(job)

    def test_signal_for_the_job(self) -> None:
        """What a program makes of a signal is its own; a login shell dies of it, with or without us."""
        script = "trap 'echo got it; exit 5' TERM; echo line 1; while :; do sleep 0.1; done"
        for spec in (None, "default"):
            program = Job("--", "/bin/bash", "-c", script, script="", spec=spec).started().wrote(1)
            shell = Job(script=f"#!/bin/bash\n{script}\n", spec=spec).started().wrote(1)
            for job in (program, shell):
                lab.run(USER, "qsig", "-s", "TERM", job.id)
            self.assertEqual(lab.wait_state(program.id, "F")["Exit_status"], 5, spec)
            self.assertEqual(program.output(), ["line 1", "got it"], spec)
            self.assertEqual(lab.wait_state(shell.id, "F")["Exit_status"], 256 + signal.SIGTERM, spec)

    # ---- runs that end and go on -------------------------------------------------------------------------------------

    def test_rerun(self) -> None:
        job = Job().started().stops()
        self.operator("qrerun", job.id)
        job.started(2)
        self.assertEqual(job.contexts(), ["000001"])
        self.complete(job)
        wait_for("the runtime folder gone", lambda: not (lab.top / "runtime" / job.id).exists())

    def test_rerun_on_another_node(self) -> None:
        job = Job().started().stops()
        node = str(job.field("exec_host")).split("/")[0]
        self.operator("pbsnodes", "-o", node)
        self.addCleanup(self.operator, "pbsnodes", "-r", node)
        self.operator("qrerun", job.id)
        job.started(2)
        self.assertNotEqual(str(job.field("exec_host")).split("/")[0], node)
        self.complete(job)

    def test_second_rerun(self) -> None:
        job = Job().started().stops()
        self.operator("qrerun", job.id)
        job.started(2)
        self.operator("qrerun", job.id)
        job.started(3)
        self.complete(job)

    def preempt(self, order: str, job: Job, until: str = "RF") -> Job:
        lab.manage(f"set sched preempt_order={order}")
        urgent = Job("-q", "urgent", "-l", "select=1:ncpus=2:vnode=n1", script="sleep 3\n", spec=None)
        urgent.state(until, 60)
        return urgent

    def low(self) -> Job:
        return Job("-l", "select=1:ncpus=2:vnode=n1").started().stops()

    def test_preemption_by_requeue(self) -> None:
        job = self.low()
        self.preempt("R", job).state("F")
        job.started(2)
        self.complete(job)

    def test_preemption_by_checkpoint_falls_to_requeue(self) -> None:
        job = self.low()
        self.preempt("CR", job).state("F")
        job.started(2)
        self.assertEqual(job.contexts(), ["000001"])
        self.complete(job)

    def test_preemption_twice(self) -> None:
        job = self.low()
        self.preempt("R", job).state("F")
        job.started(2)
        self.preempt("R", job).state("F")
        job.started(3)
        self.complete(job)

    def test_preemption_by_checkpoint_alone_is_none(self) -> None:
        """MoM is told that there is no checkpoint of its kind, and the scheduler was given no other way."""
        job = self.low()
        urgent = self.preempt("C", job, "Q")
        wait_for("the scheduler's verdict", lambda: urgent.field("comment"))
        time.sleep(8)  # more than one round of the scheduler
        self.assertEqual((urgent.field("job_state"), job.field("job_state"), job.field("run_count")), ("Q", "R", 1))
        self.complete(job)
        urgent.state("F")

    def test_preemption_by_suspension(self) -> None:
        job = self.low()
        urgent = self.preempt("S", job)
        job.state("S")
        urgent.state("F")
        self.complete(job)
        self.assertEqual(job.field("run_count"), 1)

    def test_time_limit(self) -> None:
        job = Job("-l", "walltime=12", spec="time-limit.before=6s").started()
        job.started(2)
        self.assertNotEqual(job.contexts(), [])
        self.complete(job)

    def test_time_limit_without_protection(self) -> None:
        job = Job("-l", "walltime=6", spec="time-limit.before=off").started()
        self.assertEqual(lab.wait_state(job.id, "F", 60)["Exit_status"], -29)

    def test_hold_and_release(self) -> None:
        job = Job().started().stops()
        time.sleep(3)  # MoM does not take a hold in a job's first seconds
        done = lab.run(USER, "qhold", job.id, check=False)
        self.assertIn("15061", done.stderr)
        job.state("H")
        self.assertEqual(job.contexts(), ["000001"])
        lab.run(USER, "qrls", job.id)
        self.complete(job.started(2))

    def test_commands(self) -> None:
        """The suite's own commands, as the job's owner."""

        def command(*words: str) -> str:
            return lab.run(USER, os.environ["CAESURA_PREFIX"] + "/bin/cr_job", *words).stdout

        job = Job().started().stops()
        self.assertIn(job.number, command("list"))
        command("checkpoint", job.number)
        wait_for("a context", job.contexts)
        time.sleep(3)  # MoM does not take a hold in a job's first seconds
        command("hold", job.number)
        job.state("H")
        command("release", job.number)
        self.complete(job.started(2))

    def test_deletion(self) -> None:
        for spec, kept in (("2s", True), ("2s,on-cancel=delete", False)):
            job = Job(spec=spec).started()
            wait_for("a context", job.contexts)
            lab.run(USER, "qdel", job.id)
            self.assertEqual(lab.wait_state(job.id, "F", 60)["Exit_status"], 256 + signal.SIGTERM)
            self.assertEqual(job.contexts() != [], kept)
            self.assertEqual(job.field("run_count"), 1)

    def test_array(self) -> None:
        script = COUNT.replace("line $i", "line $i; echo $PBS_ARRAY_INDEX >&2")
        jobs = Job("-J", "1-2", script=script)
        parts = [jobs.id.replace("[]", f"[{index}]") for index in (1, 2)]
        for part in parts:
            wait_for(part, lambda part=part: lab.job(part).get("substate") == 42)  # type: ignore[misc]
        time.sleep(2)
        for part in parts:
            self.operator("qrerun", part)
            wait_for(part, lambda part=part: lab.job(part).get("run_count") == 2)  # type: ignore[misc]
        jobs.goes_on()
        number = jobs.id.split("[")[0]
        for index, part in enumerate(parts, 1):
            wait_for(part, lambda part=part: lab.job(part).get("job_state") in ("X", "F"), 90)  # type: ignore[misc]
            self.assertEqual(lab.job(part)["run_count"], 2)
            self.assertEqual(lab.job(part)["Exit_status"], 7)
            home = lab.top / "home" / USER
            self.assertEqual((home / f"{jobs.name}.o{number}.{index}").read_text().splitlines(), EVERY_LINE)
            self.assertEqual((home / f"{jobs.name}.e{number}.{index}").read_text().split(), [str(index)] * LINES)

    def test_two_jobs_of_a_user_and_one_of_another(self) -> None:
        where = ("-l", "select=1:ncpus=1:vnode=n1")
        jobs = [Job(*where), Job(*where), Job("-l", "select=1:ncpus=1:vnode=n2", user=OTHER)]
        for job in jobs:
            job.started().stops()
        for job in jobs:
            self.operator("qrerun", job.id)
        for job in jobs:
            self.complete(job.started(2))

    def test_examples(self) -> None:
        """They run, are requeued in the middle, and end with 0 and what they print without us."""
        folder = pathlib.Path(__file__).parent.parent.parent / "examples/jobs/pbs"
        short = {"openmp.sh": "STEPS=400", "array.sh": "STEPS=12", "preemptible.sh": "STEPS=12"}
        paths = sorted(p for p in folder.iterdir() if p.suffix in (".sh", ".py"))
        self.assertEqual(len(paths), 5)
        for path in paths:
            wanted: dict[int, list[str]] = {}
            for spec in (None, "default"):
                size = short.get(path.name, "LIMIT=1500000,LINES_WANTED=900")
                job = Job("-v", size, script=path.read_text(), spec=spec)
                parts = [job.id.replace("[]", f"[{n}]") for n in range(1, 9)] if "[]" in job.id else [job.id]
                if spec:
                    wait_for(parts[0], lambda: lab.job(parts[0]).get("substate") == 42)
                    self.operator("qrerun", parts[0])
                for n, part in enumerate(parts, 1):
                    shown = lab.wait_state(part, "FX", 120)
                    self.assertEqual(shown["Exit_status"], 0, f"{path.name} {spec}")
                    if spec and n == 1:
                        self.assertEqual(shown["run_count"], 2, path.name)
                    out = job.output("o", f".{n}" if len(parts) > 1 else "")
                    self.assertEqual(out, wanted.setdefault(n, out), f"{path.name} {spec}")
            print(path.name, end=" ", file=sys.stderr, flush=True)

    # ---- what breaks -------------------------------------------------------------------------------------------------

    def test_node_loss(self) -> None:
        lab.manage("set server node_fail_requeue=5")
        job = Job("-l", "select=1:ncpus=1:vnode=n1", spec="1s").started().stops()
        wait_for("a context", job.contexts)
        lab.kill_node("n1")
        self.addCleanup(self.back, "n1")
        wait_for("the job queued again", lambda: job.field("job_state") == "Q", 120)
        lab.run("root", "qalter", "-l", "select=1:ncpus=1", job.id)
        self.complete(job.started(2))

    def back(self, name: str) -> None:
        if name not in lab.daemons:
            lab.start_daemon(name)
        lab.wait_nodes()

    def test_mom_restart(self) -> None:
        job = Job("-l", "select=1:ncpus=1:vnode=n1", spec="1s").started().stops()
        lab.kill_daemon("n1")
        lab.start_daemon("n1")
        self.complete(job)
        lab.wait_nodes()

    def test_mom_restart_that_keeps_its_jobs(self) -> None:
        """pbs_mom -p: the job never stops. MoM is not its parent any more, and PBS then knows no exit status but 0."""
        job = Job("-l", "select=1:ncpus=1:vnode=n1", spec="1s").started().stops()
        lab.kill_daemon("n1")
        lab.start_daemon("n1", "-p")
        lab.wait_nodes()
        seen = len(job.contexts())
        wait_for("a context after that", lambda: max(map(int, job.contexts())) > seen + 1)
        job.goes_on().state("F", 120)
        self.assertEqual(job.output("o"), EVERY_LINE)
        self.assertEqual((job.field("run_count"), job.field("Exit_status")), (1, 0))

    def test_old_copy_is_fenced(self) -> None:
        """MoM is dead but its job runs on while PBS starts it elsewhere: the old copy commits nothing any more."""
        lab.manage("set server node_fail_requeue=5")
        job = Job("-l", "select=1:ncpus=1:vnode=n1", spec="1s,keep=50,on-exit=keep").started().stops()
        wait_for("a context", job.contexts)
        old = lab.processes("n1", "cr_run")
        self.assertNotEqual(old, [])
        lab.kill_daemon("n1")
        self.addCleanup(self.back, "n1")
        wait_for("the job queued again", lambda: job.field("job_state") == "Q", 120)
        lab.run("root", "qalter", "-l", "select=1:ncpus=1", job.id)
        job.started(2)
        wait_for("a context of the new copy", lambda: job.of_run(1))
        first = job.of_run(1)[0]
        # Several ticks of both; then all contexts since are of the new one.
        wait_for("more of them", lambda: len(job.of_run(1)) > 4)
        self.assertTrue(all(pathlib.Path(f"/proc/{pid}").exists() for pid in old), "the old copy should still be there")
        self.assertLess(max(map(int, job.of_run(0))), first, "a context of the old copy came after one of the new")
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        self.complete(job)

    def test_node_without_cr_run_holds_what_may_have_contexts(self) -> None:
        job = Job().started().stops()
        lab.tree.rename(lab.top / "away")
        self.addCleanup(lambda: lab.tree.exists() or (lab.top / "away").rename(lab.tree))
        fresh = Job().state("RF").goes_on().state("F")
        self.assertEqual(fresh.output("o"), EVERY_LINE)
        self.operator("qrerun", job.id)
        job.state("H")
        self.assertIn("s", str(job.field("Hold_Types")))
        self.assertEqual(job.contexts(), ["000001"])
        (lab.top / "away").rename(lab.tree)
        self.operator("qrls", "-h", "s", job.id)
        self.complete(job)

    def test_server_restart(self) -> None:
        job = Job(spec="2s").started().stops()
        lab.kill_daemon("server", signal.SIGTERM)
        lab.start_daemon("server")
        wait_for("the server", lambda: lab.run("root", "qstat", "-B", check=False).returncode == 0)
        self.complete(job)
        lab.wait_nodes()


class Loud(unittest.TextTestResult):
    """Says at once what went wrong: the whole takes minutes."""

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        print(self.failures[-1][1], file=sys.stderr, flush=True)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        print(self.errors[-1][1], file=sys.stderr, flush=True)


def main() -> int:
    if not pbs_lab.pbs_exec():
        print("skipped: PBS_EXEC names no installed OpenPBS")
        return 77
    if os.geteuid() != 0:
        print("skipped: needs root, for namespaces and daemons of PBS")
        return 77
    if not os.environ.get("CAESURA_PREFIX"):
        print("CAESURA_PREFIX is not set", file=sys.stderr)
        return 1
    pbs_lab.enter_namespaces()
    runner = unittest.TextTestRunner(verbosity=2, resultclass=Loud)
    program = unittest.main(argv=sys.argv, testRunner=runner, exit=False)
    if not program.result.wasSuccessful():
        print(f"what the daemons left is in {lab.scratch}", file=sys.stderr)
        return 1
    lab.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
