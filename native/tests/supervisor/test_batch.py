#!/usr/bin/python3
"""cr_run as the task of a batch job: variables, events, what the engine decides, and what happens without an engine."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from harness import LIMIT, PYTHON, ProcessTest, eventually, main

# An engine that notes what it hears, and answers each event with the lines in ANSWER (%d: the event).
ENGINE = """
note("engine", repr(argv)); note("engine.pid", os.getpid())
if fd is None: # --finish
    sys.exit()
say(f"job {os.environ['SCRATCH']}\\n")
resident = os.environ.get("RESIDENT")
while line := listen():
    note("heard", line)
    word, _, rest = line.partition(" ")
    if word == "started":
        say(os.environ.get("BEGIN", ""))
    if word == "event":
        answer = os.environ["ANSWER"].replace("%d", rest)
        if answer == "die":
            os._exit(3)
        say(answer + f"\\ndone {rest}\\n" + ("" if resident else "oneshot\\n"))
    if word == "ended":
        break
"""

# Notes signals; ends with 5 on signal 50. Says what it was given.
JOB = """
import os, signal, sys, time
def note(name, text):
    with open(os.path.join(os.environ["SCRATCH"], name), "a") as file:
        file.write(f"{text}\\n")
signal.signal(50, lambda *_: sys.exit(5))
for number in (1, 2, 10, 12, 15, 23):
    signal.signal(number, lambda got, frame: note("signals", got))
note("argv", repr(sys.argv[1:]))
note("variables", " ".join(sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith("CAESURA"))))
note("ready", os.getpid())
while True:
    time.sleep(0.05)
"""


class BatchTest(ProcessTest):
    def setUp(self) -> None:
        super().setUp()
        self.script = self.tree.scratch / "script"
        self.script.write_text(f"#!{PYTHON}\n{JOB}")
        self.script.chmod(0o755)

    def environment(self, resident: bool, restarts: int = 0, engine: str = ENGINE, **more: str) -> dict[str, str]:
        contract = {
            "CAESURA_SCHEDULER": "slurm",
            "CAESURA_PROGRAM": str(self.script),
            "CAESURA_SPEC": "a,spec=1",
            "CAESURA_KEY": "0123456789abcdef",
            "CAESURA_RESIDENT": str(int(resident)),
            "CAESURA_WARNING": "120",
            "CAESURA_BRIEF": "a note of the PBS hook",
            "SLURM_JOB_ID": "17",
        }
        if restarts:
            contract["SLURM_RESTART_COUNT"] = str(restarts)
        if resident:
            contract["RESIDENT"] = "1"
        return self.tree.environment(FAKE_JAVA=engine, **{**contract, **more})

    def task(self, *arguments: str, resident: bool = False, **options: Any) -> "subprocess.Popen[str]":
        return self.start(self.tree.command("cr_run"), *arguments, env=self.environment(resident, **options))

    def running(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        process = self.task(*arguments, **options)
        self.scratch_line("ready")
        return process

    def end(self, process: "subprocess.Popen[str]") -> tuple[int, str]:
        _, err = process.communicate(timeout=LIMIT)
        return process.returncode, err

    def heard(self, text: str) -> None:
        eventually(lambda: text in self.note("heard").splitlines(), f"the engine to hear {text!r}")

    def got(self, *signals: int) -> None:
        wanted = [str(number) for number in signals]
        eventually(lambda: self.note("signals").split() == wanted, f"the job to get {wanted}: {self.note('signals')}")

    def test_what_the_job_sees(self) -> None:
        process = self.running("one", "two words", "")
        self.assertEqual(self.scratch_line("argv"), repr(["one", "two words", ""]))
        self.assertEqual(self.scratch_line("variables"), "CAESURA_JOB=slurm:17")
        process.send_signal(50)
        self.assertEqual(self.end(process), (5, ""))

    def test_refused_job_is_told_and_runs(self) -> None:
        refused = {"CAESURA_SCHEDULER": "pbs", "CAESURA_PROGRAM": str(self.script), "CAESURA_REFUSED": "two nodes"}
        process = self.start(self.tree.command("cr_run"), "one", env=self.tree.environment(FAKE_JAVA=ENGINE, **refused))
        self.assertEqual(self.scratch_line("ready"), str(process.pid))
        self.assertEqual(self.scratch_line("argv"), repr(["one"]))
        self.assertEqual(self.scratch_line("variables"), "")
        process.send_signal(15)  # no event, but the job's own
        self.got(15)
        process.send_signal(50)
        self.assertEqual(self.end(process), (5, "caesura: the job runs without checkpoints: two nodes\n"))
        self.assertEqual(self.note("engine"), "")

    def test_without_a_timer_no_engine_is_started(self) -> None:
        process = self.running()
        process.send_signal(50)
        self.assertEqual(self.end(process), (5, ""))
        self.assertEqual(self.note("engine"), "")

    def test_what_the_engine_is_told(self) -> None:
        process = self.running("a b", resident=True)
        self.assertEqual(
            self.scratch_line("engine"),
            repr(
                ["agent", "--scheduler", "slurm", "--spec", "a,spec=1", "--key", "0123456789abcdef"]
                + ["--restarts", "0", "--", str(self.script), "a b"]
            ),
        )
        process.send_signal(50)
        self.assertEqual(self.end(process), (5, ""))
        self.heard(f"ended {5 << 8}")

    def test_an_event_starts_the_engine_which_goes_again(self) -> None:
        process = self.running(ANSWER="forward %d")
        for turn in (1, 2):
            process.send_signal(signal.SIGTERM)
            self.got(*[signal.SIGTERM] * turn)
            eventually(lambda: len(self.note("engine").splitlines()) == turn, "an engine for each event")
            pid = int(self.note("engine.pid").splitlines()[-1])
            eventually(lambda: not Path(f"/proc/{pid}").exists(), "the engine to go")
        self.assertIn("'--running'", self.note("engine"))
        process.send_signal(50)
        # Its folder has to be put in order by one more engine, as a policy may say that it is removed.
        status, err = self.end(process)
        self.assertEqual((status, err), (5, ""))
        self.assertIn("--finish", self.note("engine"))

    def test_signals_that_are_no_events_reach_the_job(self) -> None:
        process = self.running(ANSWER="")
        process.send_signal(signal.SIGHUP)
        self.got(signal.SIGHUP)
        self.assertEqual(self.note("engine"), "")

    def test_the_engine_chooses_what_it_watches(self) -> None:
        process = self.running(resident=True, ANSWER="watch 23\nforward 10")
        process.send_signal(signal.SIGTERM)
        self.got(signal.SIGUSR1)  # so the line before that has been read
        process.send_signal(signal.SIGTERM)
        self.got(signal.SIGUSR1, signal.SIGTERM)
        self.assertEqual(self.note("heard").count("event"), 1)

    def test_the_engine_ends_the_run(self) -> None:
        process = self.running(resident=True, ANSWER="end 7\nforward 50")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.end(process), (7, ""))
        self.heard(f"ended {5 << 8}")
        self.assertEqual(self.note("signals"), "")

    def test_an_engine_that_dies_when_it_has_ended_the_run(self) -> None:
        engine = ENGINE.replace("say(answer +", 'say("end 7\\n"); os._exit(3)\n        say(answer +')
        process = self.running(resident=True, engine=engine, ANSWER="")
        process.send_signal(signal.SIGTERM)
        status, err = self.end(process)
        self.assertEqual(status, 7)
        self.assertIn("the engine ended with status 3", err)

    def test_an_event_is_told_once(self) -> None:
        engine = ENGINE.replace('if word == "event":', 'if word == "event":\n        time.sleep(0.5)')
        process = self.running(resident=True, engine=engine, ANSWER="forward %d")
        for _ in range(5):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        self.got(signal.SIGTERM)
        self.assertEqual(self.note("heard").count("event 15"), 1)

    def test_an_engine_that_dies_of_an_event(self) -> None:
        process = self.running(resident=True, ANSWER="die")
        process.send_signal(signal.SIGTERM)
        self.got(signal.SIGTERM)
        process.send_signal(50)
        status, err = self.end(process)
        self.assertEqual(status, 5)
        self.assertIn("the engine ended with status 3; the job runs on without checkpoints", err)

    def test_an_engine_that_refuses_when_something_happens(self) -> None:
        process = self.running(engine='say("error 20 no store so\\n")\nnote("engine", "")\nsys.exit(20)')
        process.send_signal(signal.SIGTERM)
        self.got(signal.SIGTERM)
        process.send_signal(50)
        self.assertEqual(self.end(process), (5, "caesura: no store so; the job runs on without checkpoints\n"))
        self.assertEqual(len(self.note("engine").splitlines()), 1)

    def test_a_wake_up(self) -> None:
        process = self.running(resident=True, ANSWER="wake 1")
        process.send_signal(signal.SIGTERM)
        self.heard("event 0")
        process.send_signal(50)
        self.assertEqual(self.end(process)[0], 5)

    def test_a_wake_up_before_the_limit(self) -> None:
        self.task(CAESURA_LIMIT=str(int(time.time()) + 243), CAESURA_WARNING="240", ANSWER="")
        time.sleep(4)  # as long as the limit less the warning, and not yet half of the run
        self.assertEqual(self.note("engine"), "")
        self.task(CAESURA_LIMIT=str(int(time.time()) + 6), CAESURA_WARNING="2", ANSWER="")
        self.heard("event 0")

    def test_a_refusal_lets_the_job_run(self) -> None:
        process = self.running(resident=True, engine='say("error 208 no policy so\\n"); listen()')
        process.send_signal(50)
        status, err = self.end(process)
        self.assertEqual(status, 5)
        self.assertIn("caesura: no policy so; the job runs without checkpoints", err)

    def test_an_engine_that_cannot_start_lets_the_job_run(self) -> None:
        process = self.running(resident=True, engine="sys.exit(1)")
        process.send_signal(50)
        status, err = self.end(process)
        self.assertEqual(status, 5)
        self.assertIn("without checkpoints", err)

    def test_a_job_that_may_have_contexts_is_not_run_from_the_start(self) -> None:
        process = self.task(restarts=1, engine="sys.exit(1)")
        status, err = self.end(process)
        self.assertEqual(status, 211)
        self.assertIn("not run from the start", err)
        self.assertEqual(self.note("ready"), "")

    def test_a_run_that_is_over_before_it_begins(self) -> None:
        process = self.task(restarts=1, engine='say("end 3\\n"); listen()')
        self.assertEqual(self.end(process), (3, ""))
        self.assertEqual(self.note("ready"), "")

    def test_another_program_goes_on(self) -> None:
        """The engine has cr_run become itself once more, as after a failed restart: other words, the same engine."""
        engine = """
note("engine", repr(argv))
say("become cr_run one%20two %00 50%25\\n")
note("heard", listen())
say(f"job {os.environ['SCRATCH']}\\n")
while line := listen():
    note("heard", line)
    if line.startswith("ended"):
        break
"""
        process = self.running("else", restarts=1, engine=engine)
        self.assertEqual(self.scratch_line("argv"), repr(["one two", "", "50%"]))
        self.assertEqual(self.note("heard").splitlines()[0], "ready")
        process.send_signal(50)
        self.assertEqual(self.end(process), (5, ""))
        self.assertEqual(len(self.note("engine").splitlines()), 1)
        self.assertEqual(self.note("heard").splitlines()[-1], f"ended {5 << 8}")

    def test_only_our_own_programs_are_become(self) -> None:
        process = self.task(restarts=1, engine='say("become ../../bin/sh\\n"); listen()')
        status, err = self.end(process)
        self.assertEqual(status, 211)
        self.assertIn("become '../../bin/sh'", err)

    def test_a_program_that_is_not_there(self) -> None:
        process = self.task(CAESURA_PROGRAM="/nonexistent/script")
        status, err = self.end(process)
        self.assertEqual(status, 127)
        self.assertIn("/nonexistent/script", err)

    def test_the_engine_outlives_a_term_for_all(self) -> None:
        """proctrack/linuxproc sends SIGTERM to every process that descends from the task."""
        process = self.running(resident=True, ANSWER="forward %d")
        engine = int(self.scratch_line("engine.pid"))
        os.kill(engine, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        self.got(signal.SIGTERM)
        self.heard("event 15")

    def test_the_engine_ends_with_the_supervisor(self) -> None:
        process = self.running(resident=True, engine=ENGINE + "\nwhile True: time.sleep(1)\n", ANSWER="")
        engine = int(self.scratch_line("engine.pid"))
        process.kill()
        process.wait()
        eventually(lambda: not Path(f"/proc/{engine}").exists() or self.is_zombie(engine), "the engine to end")

    @staticmethod
    def is_zombie(pid: int) -> bool:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


if __name__ == "__main__":
    main()
