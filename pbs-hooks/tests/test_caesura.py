#!/usr/bin/env python3
"""The hook without PBS: what it decides, and what it does to the events of a fake one."""

from __future__ import annotations

import getpass
import json
import os
import pathlib
import stat
import sys
import tempfile
import time
import unittest
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import fake_pbs  # noqa: E402
from fake_pbs import Event, Job, Resources  # noqa: E402

hook = fake_pbs.load()
ME = getpass.getuser()


class Decisions(unittest.TestCase):
    """The pure functions."""

    def test_config(self) -> None:
        self.assertEqual(hook.parse_config(""), hook.DEFAULTS)
        shipped = (pathlib.Path(__file__).parent.parent / "caesura.json").read_text()
        self.assertEqual(hook.parse_config(shipped), hook.DEFAULTS)
        self.assertEqual(hook.parse_config('{"check_seconds": 2}').check_seconds, 2)
        for bad in ('{"prefx": "/x"}', '{"prefix": "x"}', '{"check_seconds": true}', "[]", '{"check_seconds": 21}'):
            with self.assertRaises(hook.ConfigError, msg=bad):
                hook.parse_config(bad)

    def test_spec(self) -> None:
        for good in ("periodic", "30", "periodic,keep=5", "/etc/x.yaml", "interval=30m,store.dir=/scratch/x"):
            self.assertIsNone(hook.spec_problem(good), good)
        self.assertIn("empty", hook.spec_problem("  "))
        self.assertIn("full path", hook.spec_problem("./mine.yaml"))
        self.assertIn("control character", hook.spec_problem("a\nb"))
        self.assertIn("1025 characters", hook.spec_problem("x" * 1025))

    def test_interval_option(self) -> None:
        self.assertEqual(hook.requested(None, "w=15"), ("15m", None))
        self.assertEqual(hook.requested("periodic", "w=15"), ("periodic,interval=15m", None))
        self.assertEqual(hook.requested("periodic", "u"), ("periodic", None))
        for nothing in (None, "u", "n", "s", "c=10", "w", "w=", "w=1x"):
            self.assertEqual(hook.requested(None, nothing), (None, None), nothing)
        self.assertIn("two intervals", hook.requested("30", "w=15")[1])
        self.assertIn("two intervals", hook.requested("keep=2,interval=1h", "w=15")[1])
        self.assertIn("CPU time", hook.requested("periodic", "c=10")[1])

    def test_brief(self) -> None:
        self.assertEqual(hook.parse_brief("resident=1 warning=60 more=x\n"), ("1", "60"))
        for bad in ("", "resident=2 warning=1", "resident=1", "resident=1 warning=-5", "caesura: no such policy"):
            self.assertIsNone(hook.parse_brief(bad), bad)
        note = hook.stamp("periodic") + ":1:60"
        self.assertEqual(hook.noted_brief(note, "periodic"), ("1", "60"))
        self.assertIsNone(hook.noted_brief(note, "periodic,keep=2"))
        self.assertIsNone(hook.noted_brief("x:1", "periodic"))
        self.assertIsNone(hook.noted_brief(None, "periodic"))

    def test_hosts(self) -> None:
        self.assertEqual(hook.host_count("(n1:ncpus=1)"), 1)
        self.assertEqual(hook.host_count("(n1:ncpus=1)+(n2:ncpus=1:mem=1kb)"), 2)
        self.assertEqual(hook.host_count("(n1:ncpus=1+n2:ncpus=1)"), 2)
        self.assertEqual(hook.host_count("(n1:ncpus=1)+(n1:ncpus=1)"), 1)

    def test_job_folder(self) -> None:
        self.assertEqual(hook.job_folder(hook.DEFAULTS, "7.server"), "/run/caesura-pbs/7.server")
        self.assertEqual(hook.job_folder(hook.DEFAULTS, "7[12].server.x"), "/run/caesura-pbs/7[12].server.x")
        for bad in ("", "..", "7", "7[].server", "7.server/../x", "7..", "answers.json", "7.server\n"):
            self.assertIsNone(hook.job_folder(hook.DEFAULTS, bad), bad)

    def test_variable_text(self) -> None:
        self.assertEqual(hook.variable_text("periodic,keep=3"), r"periodic\,keep=3")
        self.assertEqual(hook.variable_text("a\\b'c\"d"), "a\\\\b\\'c\\\"d")

    def swap(self, program: str, arguments: list[str], run_count: int = 1) -> Any:
        key = "0123456789abcdef"
        launch = hook.Launch("periodic", key, ("1", "60"), program, arguments, run_count, 1000, "/run/x")
        return hook.launch_swap(hook.DEFAULTS, launch)

    def test_swap(self) -> None:
        swap = self.swap("/bin/bash", [])
        self.assertEqual(swap.program, "/opt/caesura/bin/cr_run")
        self.assertEqual(swap.arguments, ["cr_run", "-l"])
        self.assertEqual(
            swap.variables,
            {
                "CAESURA_SCHEDULER": "pbs",
                "CAESURA_PROGRAM": "/bin/bash",
                "CAESURA_SPEC": "periodic",
                "CAESURA_KEY": "0123456789abcdef",
                "CAESURA_RESIDENT": "1",
                "CAESURA_WARNING": "60",
                "CAESURA_RESTARTS": "0",
                "CAESURA_LIMIT": "1000",
                "CAESURA_RUNTIME": "/run/x",
            },
        )
        self.assertEqual(self.swap("/usr/bin/python3", []).arguments, ["cr_run"])
        self.assertEqual(self.swap("/bin/sleep", ["/bin/sleep", "5 5"]).arguments, ["cr_run", "5 5"])
        self.assertEqual(self.swap("/bin/bash", [], 3).variables["CAESURA_RESTARTS"], "2")


class Events(unittest.TestCase):
    """Whole events, with an installed tree of scripts and a runtime folder of its own."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory(prefix="caesura-hook.")
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name)
        self.runtime = self.top / "run"
        self.prefix = self.top / "tree"
        (self.prefix / "bin").mkdir(parents=True)
        self.program("cr_run", "echo cr_run: version 0.0.0")
        # Says which SPEC it was asked about, so that a test sees whether it was.
        self.program(
            "cr_job",
            f'echo "$3" >> {self.top}/asked\n'
            'case $3 in *wrong*) echo "cr_job: no policy named $3" >&2\n'
            'echo "hint: see cr_job policy" >&2; exit 208;;\n'
            "*slow*) sleep 60;; esac\n"
            'echo "resident=1 warning=90"',
        )
        self.config = self.top / "caesura.json"
        self.configure()
        self.folder = self.runtime / "7.server"

    def configure(self, **more: Any) -> None:
        values = {"prefix": str(self.prefix), "runtime": str(self.runtime), "check_seconds": 5, **more}
        self.config.write_text(json.dumps(values))

    def program(self, name: str, body: str) -> None:
        path = self.prefix / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def asked(self) -> list[str]:
        file = self.top / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def run_hook(self, event: Event) -> list[str]:
        module = fake_pbs.load(event, str(self.config))
        with self.assertRaises(SystemExit):
            module.main()
        logged = sys.modules["pbs"].logged
        assert isinstance(logged, list)
        return logged

    def submit(self, spec: str | None, requestor: str = ME, **attributes: Any) -> Event:
        job = Job(Resource_List=Resources(checkpoint=spec) if spec is not None else Resources(), **attributes)
        event = Event(fake_pbs.QUEUEJOB, job, requestor=requestor)
        event.logged = self.run_hook(event)  # type: ignore[attr-defined]
        return event

    def launch(self, job: Job, env: dict[str, str] | None = None, **attributes: Any) -> Event:
        event = Event(fake_pbs.EXECJOB_LAUNCH, job, env={"PBS_TASKNUM": "1", **(env or {})}, **attributes)
        event.__dict__.setdefault("progname", "/bin/bash")
        event.__dict__.setdefault("argv", [])
        event.logged = self.run_hook(event)  # type: ignore[attr-defined]
        self.assertNotEqual(event.accepted, event.rejected is not None)
        return event

    def running(self, **attributes: Any) -> Job:
        values: dict[str, Any] = {
            "Resource_List": Resources(checkpoint="periodic", walltime=100),
            "euser": ME,
            "exec_vnode": "(n1:ncpus=1)",
            "run_count": 1,
        }
        values.update(attributes)
        return Job(**values)

    # ---- submission --------------------------------------------------------------------------------------------------

    def test_submission_notes_key_and_brief(self) -> None:
        event = self.submit("periodic")
        assert event.job
        self.assertTrue(event.accepted)
        self.assertRegex(event.job.Variable_List["CAESURA_KEY"], "^[0-9a-f]{16}$")
        self.assertEqual(event.job.Variable_List["CAESURA_BRIEF"], hook.stamp("periodic") + ":1:90")
        other = self.submit("periodic")
        assert other.job
        self.assertNotEqual(event.job.Variable_List["CAESURA_KEY"], other.job.Variable_List["CAESURA_KEY"])

    def test_job_that_asks_for_nothing_is_untouched(self) -> None:
        event = self.submit(None, Checkpoint="u")
        assert event.job
        self.assertTrue(event.accepted)
        self.assertEqual((event.job.Variable_List, event.job.Resource_List), ({}, {}))
        self.assertEqual(self.asked(), [])

    def test_bad_spec_is_refused_in_the_engines_words(self) -> None:
        event = self.submit("wrong")
        self.assertEqual(event.rejected, "-l checkpoint=wrong: no policy named wrong; hint: see cr_job policy")
        self.assertIn("full path", self.submit("./mine.yaml").rejected or "")

    def test_interval_option_becomes_the_spec(self) -> None:
        event = self.submit(None, Checkpoint="w=10")
        assert event.job
        self.assertEqual(event.job.Resource_List["checkpoint"], "10m")
        self.assertEqual(event.job.Checkpoint, "s")
        self.configure(interval_option=False)
        event = self.submit(None, Checkpoint="w=10")
        assert event.job
        self.assertEqual((event.job.Resource_List, event.job.Checkpoint), ({}, "w=10"))

    def test_engine_is_asked_once(self) -> None:
        for _ in range(3):
            self.submit("periodic")
        self.assertEqual(self.asked(), ["periodic"])
        mode = stat.S_IMODE(os.stat(self.runtime / "answers.json").st_mode)
        self.assertEqual(mode, 0o600)

    def test_refusal_is_not_kept(self) -> None:
        self.submit("wrong")
        self.program("cr_job", 'echo "resident=0 warning=0"')
        self.assertTrue(self.submit("wrong").accepted)

    def test_server_asks_only_so_often(self) -> None:
        self.configure(checks_per_minute=2)
        for number in range(4):
            self.assertTrue(self.submit(f"keep={number + 1}").accepted)
        self.assertEqual(self.asked(), ["keep=1", "keep=2"])

    def test_slow_engine_does_not_hold_the_server(self) -> None:
        self.configure(check_seconds=1)
        start = time.monotonic()
        event = self.submit("slow")
        self.assertLess(time.monotonic() - start, 10)
        assert event.job
        self.assertTrue(event.accepted)
        self.assertNotIn("CAESURA_BRIEF", event.job.Variable_List)
        self.assertIn("no answer", "".join(event.logged))  # type: ignore[attr-defined]

    def test_missing_engine_or_user_does_not_refuse(self) -> None:
        self.assertTrue(self.submit("wrong", requestor="no-such-user-here").accepted)
        (self.prefix / "bin/cr_job").unlink()
        self.assertTrue(self.submit("wrong").accepted)

    def test_damaged_answers_are_asked_for_again(self) -> None:
        self.runtime.mkdir()
        (self.runtime / "answers.json").write_text('{"x": [')
        self.assertTrue(self.submit("periodic").accepted)
        self.assertEqual(self.asked(), ["periodic"])

    def test_unexpected_error_leaves_the_job_alone(self) -> None:
        self.config.write_text('{"no-such-key": 1}')
        event = self.submit("wrong")
        self.assertTrue(event.accepted)
        self.assertIn("no-such-key", "".join(event.logged))  # type: ignore[attr-defined]

    def test_change(self) -> None:
        for spec, refused in (("wrong", True), ("periodic", False)):
            event = Event(fake_pbs.MODIFYJOB, Job(Resource_List=Resources(checkpoint=spec)), job_o=Job(), requestor=ME)
            self.run_hook(event)
            self.assertEqual(event.rejected is not None, refused, spec)
        event = Event(
            fake_pbs.MODIFYJOB,
            Job(Checkpoint="w=5"),
            job_o=Job(Resource_List=Resources(checkpoint="periodic")),
            requestor=ME,
        )
        self.run_hook(event)
        assert event.job
        self.assertEqual(event.job.Resource_List["checkpoint"], "periodic,interval=5m")
        event = Event(fake_pbs.MODIFYJOB, Job(Priority=3), job_o=Job(), requestor=ME)
        self.run_hook(event)
        self.assertTrue(event.accepted)
        self.assertEqual(self.asked(), ["wrong", "periodic", "periodic,interval=5m"])

    # ---- launch ------------------------------------------------------------------------------------------------------

    def test_launch_swaps(self) -> None:
        event = self.launch(
            self.running(),
            {"CAESURA_KEY": "00112233aabbccdd", "CAESURA_BRIEF": hook.stamp("periodic") + ":0:30", "HOME": "/h"},
        )
        self.assertEqual(event.progname, f"{self.prefix}/bin/cr_run")  # type: ignore[attr-defined]
        self.assertEqual(event.argv, ["cr_run", "-l"])  # type: ignore[attr-defined]
        self.assertEqual(event.env["CAESURA_KEY"], "00112233aabbccdd")
        self.assertEqual((event.env["CAESURA_RESIDENT"], event.env["CAESURA_WARNING"]), ("0", "30"))
        self.assertAlmostEqual(int(event.env["CAESURA_LIMIT"]), time.time() + 100, delta=10)
        self.assertEqual(event.env["HOME"], "/h")
        self.assertEqual(event.env["CAESURA_RUNTIME"], str(self.folder))
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)
        self.assertEqual(self.asked(), [])

    def test_launch_asks_the_engine_when_the_spec_was_changed(self) -> None:
        event = self.launch(self.running(), {"CAESURA_BRIEF": hook.stamp("other") + ":0:30"})
        self.assertEqual((event.env["CAESURA_RESIDENT"], event.env["CAESURA_WARNING"]), ("1", "90"))
        self.assertEqual(self.asked(), ["periodic"])
        self.assertRegex(event.env["CAESURA_KEY"], "^[0-9a-f]{16}$")

    def test_launch_forgets_the_former_run(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "requeue").touch()
        pathlib.Path(f"{self.folder}.deleted").touch()
        self.launch(self.running(run_count=2))
        self.assertEqual(os.listdir(self.runtime), ["7.server"])
        self.assertEqual(os.listdir(self.folder), [])

    def test_launch_escapes(self) -> None:
        event = self.launch(self.running(Resource_List=Resources(checkpoint="periodic,keep=3")))
        self.assertEqual(event.env["CAESURA_SPEC"], r"periodic\,keep=3")

    def assert_plain(self, event: Event, reason: str | None) -> None:
        self.assertTrue(event.accepted)
        self.assertEqual(event.progname, "/bin/bash")  # type: ignore[attr-defined]
        self.assertNotIn("CAESURA_SCHEDULER", event.env)
        self.assertFalse(self.folder.exists())
        logged = "".join(event.logged)  # type: ignore[attr-defined]
        self.assertIn(reason, logged) if reason else self.assertEqual(logged, "")

    def assert_refused(self, event: Event, reason: str) -> None:
        """cr_run says it to the user, and is the job's shell then."""
        self.assertEqual(event.progname, f"{self.prefix}/bin/cr_run")  # type: ignore[attr-defined]
        self.assertEqual(event.argv, ["cr_run", "-l"])  # type: ignore[attr-defined]
        self.assertEqual(event.env["CAESURA_PROGRAM"], "/bin/bash")
        self.assertIn(reason, event.env["CAESURA_REFUSED"])
        self.assertNotIn("CAESURA_SPEC", event.env)
        self.assertIn(reason, "".join(event.logged))  # type: ignore[attr-defined]

    def assert_held(self, event: Event, reason: str) -> None:
        """Requeued and held, so that it does not begin anew beside its contexts."""
        assert event.job
        self.assertEqual((event.job.Hold_Types, event.job.reruns), ("s", 1))
        self.assertIn(reason, event.rejected or "")
        self.assertIn(reason, "".join(event.logged))  # type: ignore[attr-defined]

    def test_jobs_that_run_as_they_are(self) -> None:
        self.assert_plain(self.launch(self.running(Resource_List=Resources())), None)
        self.assert_plain(self.launch(self.running(), {"PBS_TASKNUM": "2"}), None)
        self.assert_plain(self.launch(self.running(is_first=False)), None)
        self.program("cr_run", "echo no such library >&2; exit 127")
        self.assert_plain(self.launch(self.running()), "no such library")
        (self.prefix / "bin/cr_run").unlink()
        self.assert_plain(self.launch(self.running()), "there is no")
        self.assert_plain(self.launch(self.running(Resource_List=Resources(), run_count=2)), None)
        self.config.write_text('{"no-such-key": 1}')
        self.assert_plain(self.launch(self.running(run_count=2)), "no-such-key")
        ours = {"CAESURA_KEY": "00112233aabbccdd"}
        self.assert_plain(self.launch(self.running(run_count=2), {"PBS_TASKNUM": "2", **ours}), "no-such-key")
        self.assert_plain(self.launch(self.running(run_count=2, is_first=False), ours), "no-such-key")

    def test_jobs_that_are_refused_are_told(self) -> None:
        several = self.launch(self.running(exec_vnode="(n1:ncpus=1)+(n2:ncpus=1)"))
        self.assert_refused(several, "several nodes")
        self.assert_refused(self.launch(self.running(Resource_List=Resources(checkpoint="wrong"))), "no policy named")

    def test_job_that_may_have_contexts_does_not_begin_anew(self) -> None:
        # What has become of its SPEC since is not asked: the engine goes on by the policy that it began with.
        event = self.launch(self.running(Resource_List=Resources(checkpoint="wrong"), run_count=2))
        self.assertEqual(event.env["CAESURA_SPEC"], "wrong")
        (self.prefix / "bin/cr_run").unlink()
        self.assert_held(self.launch(self.running(run_count=2)), "there is no")
        self.config.write_text('{"no-such-key": 1}')
        self.assert_held(self.launch(self.running(run_count=2), {"CAESURA_KEY": "00112233aabbccdd"}), "no-such-key")

    def test_runtime_folder_of_somebody_else_is_not_used(self) -> None:
        self.runtime.mkdir()
        self.runtime.chmod(0o777)
        self.assert_plain(self.launch(self.running()), "only root can write to")
        event = self.launch(self.running(run_count=2), {"CAESURA_KEY": "00112233aabbccdd"})
        self.assert_held(event, "only root can write to")

    # ---- the end -----------------------------------------------------------------------------------------------------

    def event_of(self, kind: int) -> Job:
        job = self.running()
        event = Event(kind, job)
        self.run_hook(event)
        self.assertTrue(event.accepted)
        return job

    def test_epilogue_reruns_only_when_the_engine_asked(self) -> None:
        self.folder.mkdir(parents=True)
        self.assertEqual(self.event_of(fake_pbs.EXECJOB_EPILOGUE).reruns, 0)
        (self.folder / "requeue").touch()
        self.assertEqual(self.event_of(fake_pbs.EXECJOB_EPILOGUE).reruns, 1)

    def test_qdel_wins_over_a_requeue(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "requeue").touch()
        self.event_of(fake_pbs.EXECJOB_PRETERM)
        self.assertEqual(self.event_of(fake_pbs.EXECJOB_EPILOGUE).reruns, 0)

    def test_link_is_no_request(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "requeue").symlink_to("/etc/passwd")
        self.assertEqual(self.event_of(fake_pbs.EXECJOB_EPILOGUE).reruns, 0)

    def test_deletion_of_an_unprotected_job_leaves_nothing(self) -> None:
        self.event_of(fake_pbs.EXECJOB_PRETERM)
        self.assertFalse(self.runtime.exists())

    def test_end_removes(self) -> None:
        for kind in (fake_pbs.EXECJOB_END, fake_pbs.EXECJOB_ABORT):
            self.folder.mkdir(parents=True)
            self.event_of(fake_pbs.EXECJOB_PRETERM)
            self.assertEqual(len(os.listdir(self.runtime)), 2)
            self.event_of(kind)
            self.assertEqual(os.listdir(self.runtime), [])

    def test_tick_removes_what_is_old_and_unknown(self) -> None:
        self.runtime.mkdir()
        old = time.time() - 3600
        for name in ("1.server", "2.server", "3.server.deleted", "answers.json"):
            (self.runtime / name).mkdir()
            os.utime(self.runtime / name, (old, old))
        (self.runtime / "4.server").mkdir()
        event = Event(fake_pbs.EXECHOST_PERIODIC, None, job_list={"1.server": None})
        (self.runtime / "3.server.deleted").rmdir()
        (self.runtime / "3.server.deleted").touch()
        os.utime(self.runtime / "3.server.deleted", (old, old))
        self.run_hook(event)
        self.assertEqual(sorted(os.listdir(self.runtime)), ["1.server", "4.server", "answers.json"])


if __name__ == "__main__":
    unittest.main()
