#!/usr/bin/python3
"""The SPANK plugin in a real Slurm, with an installation around it whose programs only tell what they were told."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import unittest
from datetime import datetime
from pathlib import Path
from typing import Mapping, Optional

from cluster import Cluster, wait
from fake_tree import JOB_STATE, PLUGIN, FakeTree, Wrapped, plain, wrapped

SHARE = Path(__file__).resolve().parent.parent / "share"
KEY = re.compile(r"[0-9a-f]{16}")
CONTROL = "SLURM_SPANK_CAESURA_"
PROTECTION = "CAESURA_"
WITHOUT = "runs without checkpoints"


class PluginCluster(Cluster):
    """A cluster with lines of its own in plugstack.conf, which every command and step reads anew."""

    def plugstack_lines(self, *lines: str) -> None:
        (self.etc / "plugstack.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")


class PluginTest(unittest.TestCase):
    """One cluster of two nodes for all tests of a class."""

    proctrack: Optional[str] = None
    conf: Mapping[str, Optional[str]] = {}
    tree: FakeTree
    cluster: PluginCluster

    @classmethod
    def setUpClass(cls) -> None:
        cls.tree = cls.enterClassContext(FakeTree())
        cls.cluster = PluginCluster(nodes=2, prefix=cls.tree.path, proctrack=cls.proctrack, conf=cls.conf)
        cls.enterClassContext(cls.cluster)

    def setUp(self) -> None:
        self.tree.repair()
        self.tree.questions()
        self.addCleanup(self.cluster.plugstack_lines, f"optional {self.tree.plugin}")

    def output(self, job: int) -> str:
        """What a job wrote, after its end."""
        self.cluster.wait_for(job, ("COMPLETED", "FAILED"))
        return self.cluster.output(job).read_text(encoding="utf-8")

    def batch(self, script: str, *options: str, env: Optional[Mapping[str, str]] = None) -> str:
        return self.output(self.cluster.sbatch(script, *options, env=env))

    def only(self, text: str) -> Wrapped:
        found = wrapped(text)
        self.assertEqual(len(found), 1, text)
        return found[0]

    def told(self, task: Wrapped) -> dict[str, str]:
        """The variables of the contract between plugin and cr_run, without the prefix they have in common."""
        return {name[len(PROTECTION) :]: value for name, value in task.env.items() if name.startswith(PROTECTION)}

    def refused(self, command: list[str], env: Optional[Mapping[str, str]] = None, status: int = 255) -> str:
        wait("an empty queue", lambda: self.queue() == "")
        done = self.cluster.run(command, check=False, env=env)
        self.assertEqual(done.returncode, status, done)
        self.assertEqual(self.queue(), "")
        return done.stderr

    def queue(self) -> str:
        return self.cluster.admin("squeue", "-h", "-t", "PENDING,RUNNING,COMPLETING").stdout

    def assert_nodes_fine(self) -> None:
        for short in self.cluster.nodes:
            self.cluster.wait_node(short, "IDLE")
        self.assertEqual(self.cluster.admin("sinfo", "-h", "-R").stdout, "")


class SubmitTest(PluginTest):
    def test_help(self) -> None:
        for command in ("sbatch", "salloc", "srun"):
            text = self.cluster.command(command, "--help").stdout
            self.assertRegex(text, r"--checkpoint=SPEC +checkpoint the job as SPEC says")

    def test_bad_spec(self) -> None:
        commands = (["sbatch", "--wrap", "true"], ["salloc", "true"], ["srun", "true"])
        for name, *rest in commands:
            with self.subTest(name):
                message = self.refused([name, "--checkpoint=bad7", *rest])
                self.assertIn(f"{name}: error: caesura: cr_job: there is no policy bad7", message)
                self.assertIn("hint: these are there: default", message)
                self.assertEqual(self.tree.questions(), ["policy --brief bad7"])

    def test_no_spec_at_all(self) -> None:
        for spec, why in (("", "SPEC is empty"), ("-n2", "that is an option"), ("x" * 4097, "longer than 4096")):
            self.assertIn(why, self.refused(["sbatch", f"--checkpoint={spec}", "--wrap", "true"]))
        self.assertEqual(self.tree.questions(), [])

    def test_where_it_is_given(self) -> None:
        """As with Slurm's own options: the environment wins over the script, the command line over both."""
        directive = "#SBATCH --checkpoint=timer-directive\ntrue"
        env = {"SBATCH_CHECKPOINT": "timer-env"}
        cases: list[tuple[str, str, list[str], dict[str, str]]] = [
            ("timer-env", "true", [], env),
            ("timer-directive", directive, [], {}),
            ("timer-env", directive, [], env),
            ("timer-line", directive, ["--checkpoint=timer-line"], env),
        ]
        for spec, script, options, variables in cases:
            with self.subTest(spec):
                told = self.told(self.only(self.batch(script, *options, env=variables)))
                self.assertEqual(told["SPEC"], spec)

    def test_environment_of_another_command(self) -> None:
        for command, variable in (("sbatch", "SBATCH"), ("salloc", "SALLOC"), ("srun", "SLURM")):
            words = [command, "--wrap", "true"] if command == "sbatch" else [command, "true"]
            # Slurm itself chooses another status for a bad variable than for a bad option.
            message = self.refused(words, env={f"{variable}_CHECKPOINT": "bad9"}, status=1)
            self.assertIn("there is no policy bad9", message)
            others = {f"{other}_CHECKPOINT": "bad9" for other in ("SBATCH", "SALLOC", "SLURM") if other != variable}
            self.cluster.run(words, env=others)

    def test_asked_once(self) -> None:
        self.batch("#SBATCH --checkpoint=timer\ntrue", "--checkpoint=timer", env={"SBATCH_CHECKPOINT": "timer"})
        self.assertEqual(self.tree.questions(), ["policy --brief timer"])

    def test_answer_goes_to_the_node(self) -> None:
        for spec, resident, warning in (("timer", "1", "0"), ("a policy, key='x y'", "0", "90")):
            told = self.told(self.only(self.batch("true", f"--checkpoint={spec}")))
            self.assertEqual((told["SPEC"], told["RESIDENT"], told["WARNING"]), (spec, resident, warning))

    def test_nobody_can_tell(self) -> None:
        """A host without a working engine accepts, and assumes what is safe for any policy."""
        (self.tree.path / "bin" / "cr_job").unlink()
        for spec, why in (("60", "No such file"), ("broken", "no Java"), ("babble", "no answer"), ("bad1", "signal 9")):
            with self.subTest(why):
                done = self.cluster.run(["sbatch", "-v", f"--checkpoint={spec}", "--parsable", "--wrap", "true"])
                self.assertRegex(done.stderr, f"--checkpoint={spec} is not checked here, the node will: .*{why}")
                told = self.told(self.only(self.output(int(done.stdout))))
                self.assertEqual((told["SPEC"], told["RESIDENT"], told["WARNING"]), (spec, "1", "0"))
            self.tree.repair()
            if spec == "babble":
                self.tree.program("cr_job", "#!/bin/bash\nkill -9 $$\n")

    def test_silent_engine(self) -> None:
        self.tree.program("cr_job", "#!/bin/bash\necho resident=0 warning=90\nexec sleep 1000\n")
        done = self.cluster.run(["sbatch", "-v", "--checkpoint=60", "--parsable", "--wrap", "true"])
        self.assertIn("cr_job did not end within 10000 ms", done.stderr)
        self.assertEqual(self.told(self.only(self.output(int(done.stdout))))["RESIDENT"], "1")

    def test_signals_of_the_caller(self) -> None:
        """cr_job starts with default signals, whatever the caller ignores or blocks, and its status is not lost."""
        self.tree.program("cr_job", "#!/bin/bash\ngrep -E '^Sig(Blk|Ign)' /proc/self/status >&2\nexit 208\n")
        command = "import os, signal\nfor n in (13, 10, 17): signal.signal(n, signal.SIG_IGN)\n"
        command += "signal.pthread_sigmask(signal.SIG_BLOCK, {12})\n"
        command += "os.execvp('sbatch', ['sbatch', '--checkpoint=60', '--wrap', 'true'])"
        message = self.refused(["/usr/bin/python3", "-c", command])
        self.assertRegex(message, r"SigBlk:\s0{16}\n")
        # The C library ignores two signals of its own (32, 33) in what posix_spawn() starts.
        self.assertRegex(message, r"SigIgn:\s0{7}[0-9]80000000\n|SigIgn:\s0{16}\n")


class BatchTest(PluginTest):
    def test_task(self) -> None:
        job = self.cluster.sbatch('echo $# "$2"; exit 7', "--checkpoint=60", arguments=("a b", "c\nd", ""))
        text = self.output(job)
        task = self.only(text)
        self.assertEqual(task.argv, [str(self.tree.cr_run), "a b", "c\nd", ""])
        told = self.told(task)
        self.assertRegex(told.pop("KEY"), KEY)
        self.assertRegex(told.pop("PROGRAM"), r"/slurm_script$")
        self.assertRegex(told.pop("LIMIT"), r"^\d+$")
        self.assertEqual(told, {"SCHEDULER": "slurm", "SPEC": "60", "RESIDENT": "0", "WARNING": "90"})
        self.assertEqual(task.uid, self.cluster.user.uid)
        self.assertEqual(plain(text), ["3 c", "d"])
        self.assertEqual(self.cluster.exit_code(job), "7:0")

    def test_time_limit(self) -> None:
        """Told where the policy acts on it, from the controller, or from a release that tells each job."""
        for spec, options, known in (
            ("timer", "--export=ALL", False),
            ("60", "--export=ALL", True),
            ("60", "--export=NONE", True),
        ):
            job = self.cluster.sbatch("true", f"--checkpoint={spec}", "--time=7", options)
            limit = int(self.told(self.only(self.output(job)))["LIMIT"])
            started = self.cluster.job(job)["StartTime"]
            expected = int(datetime.fromisoformat(started).timestamp()) + 420 if known else 0
            self.assertEqual(limit, expected)
        told = self.told(self.only(self.batch("true", "--checkpoint=60", "--export=ALL,SLURM_JOB_END_TIME=1795342431")))
        self.assertEqual(told["LIMIT"], "1795342431")

    def test_wrap_and_interpreter(self) -> None:
        self.assertEqual(plain(self.batch("true", "--checkpoint=60")), [])
        script = self.cluster.write("job.py", "#!/usr/bin/python3 -B\nimport sys\nprint(sys.argv[1:])\n")
        text = self.output(self.cluster.sbatch(script, "--checkpoint=60", arguments=("x y",)))
        self.assertEqual(plain(text), ["['x y']"])
        self.only(text)

    def test_without_the_option(self) -> None:
        text = self.batch("env")
        self.assertEqual(wrapped(text), [])
        self.assertNotIn("CAESURA", text)
        self.assertEqual(self.tree.questions(), [])

    def test_export(self) -> None:
        for export in ("NONE", "NIL", "FOO=1", "ALL,FOO=1"):
            with self.subTest(export):
                told = self.told(self.only(self.batch("true", "--checkpoint=60", f"--export={export}")))
                self.assertRegex(told["KEY"], KEY)
                self.assertEqual(told["SPEC"], "60")

    def test_key_is_kept(self) -> None:
        """The same key in every run of a job, another one in every job."""
        job = self.cluster.sbatch('[ -n "$SLURM_RESTART_COUNT" ] || sleep 1000', "--checkpoint=60", "--export=NONE")
        output = self.cluster.output(job)
        wait("the first run", lambda: output.exists() and wrapped(output.read_text()))
        self.cluster.scontrol("requeue", str(job))
        first, second = [self.told(task) for task in wrapped(self.output(job))]
        self.assertEqual(self.cluster.restarts(job), 1)
        self.assertEqual({**first, "LIMIT": ""}, {**second, "LIMIT": ""})
        other = self.told(self.only(self.batch("true", "--checkpoint=60")))
        self.assertNotEqual(other["KEY"], first["KEY"])

    def test_array(self) -> None:
        job = self.cluster.sbatch("echo element $SLURM_ARRAY_TASK_ID", "--checkpoint=60", "--array=3-4")
        for element in (3, 4):
            self.cluster.wait_for(f"{job}_{element}", "COMPLETED")
            text = (self.cluster.work / f"slurm-{job}_{element}.out").read_text()
            self.only(text)
            self.assertEqual(plain(text), [f"element {element}"])

    def test_job_from_a_job(self) -> None:
        """A job that a protected one submits has nothing of it, unless it asks for itself."""
        script = "sbatch --parsable --wrap env; sbatch --parsable --checkpoint=timer --wrap env"
        outer = self.batch(script, "--checkpoint=60")
        bare, asked = [self.output(int(line)) for line in plain(outer)]
        self.assertNotIn("CAESURA", bare)
        told = self.told(self.only(asked))
        self.assertEqual(told["SPEC"], "timer")
        self.assertNotEqual(told["KEY"], self.told(self.only(outer))["KEY"])

    def test_request_of_another_host(self) -> None:
        """What a host without the plugin submitted, with variables that somebody carried over or made up."""
        given = {"SPEC": "60", "RESIDENT": "0", "WARNING": "90", "KEY": "0123456789abcdef"}
        for name, value, why in (
            ("KEY", None, "missing or too long"),
            ("KEY", "xyz", "the key xyz of the submission is no key"),
            ("KEY", "0123456789abcdef0", "missing or too long"),
            ("RESIDENT", "2", "the submission sent resident=2"),
            ("WARNING", "1x", "the submission sent warning=1x"),
            ("SPEC", "x" * 5000, "missing or too long"),
            ("SPEC", "60", ""),
        ):
            with self.subTest(name=name, value=value):
                request = {CONTROL + key: text for key, text in {**given, name: value}.items() if text is not None}
                self.cluster.plugstack_lines("")
                job = self.cluster.sbatch("echo done", "--hold", env=request)
                self.cluster.plugstack_lines(f"optional {self.tree.plugin}")
                self.cluster.scontrol("release", str(job))
                text = self.output(job)
                self.assertEqual(len(wrapped(text)), 0 if why else 1)
                *complaint, last = plain(text)
                self.assertEqual(last, "done")
                self.assertEqual(len(complaint), 1 if why else 0)
                self.assertTrue(all(WITHOUT in line and why in line for line in complaint), complaint)
        self.assert_nodes_fine()

    def test_extern_step(self) -> None:
        with PluginCluster(prefix=self.tree.path, conf={"PrologFlags": "Contain"}) as cluster:
            job = cluster.sbatch("true", "--checkpoint=60")
            cluster.wait_for(job, "COMPLETED")
            self.only(cluster.output(job).read_text())


class LinuxprocTest(BatchTest):
    proctrack = "linuxproc"


class StepTest(PluginTest):
    def run_step(self, *words: str, env: Optional[Mapping[str, str]] = None) -> tuple[str, str]:
        done = self.cluster.run(["srun", *words], env=env)
        return done.stdout, done.stderr

    def test_single_task(self) -> None:
        for export, program in (("ALL", "/bin/echo"), ("NONE", "echo")):
            out, err = self.run_step("--checkpoint=timer", f"--export={export}", program, "x y")
            told = self.told(self.only(out))
            self.assertEqual(self.only(out).argv, [str(self.tree.cr_run), "x y"])
            self.assertEqual((told["SPEC"], told["RESIDENT"], told["PROGRAM"]), ("timer", "1", program))
            self.assertRegex(told["KEY"], KEY)
            self.assertEqual(plain(out), ["x y"])
            self.assertNotIn("caesura", err)

    def test_flag_is_not_inherited(self) -> None:
        out, _ = self.run_step("--checkpoint=60", "env")
        self.assertNotIn("CAESURA_STEP", out)

    def test_many_tasks(self) -> None:
        for words, size in ((["-n2"], "2 tasks on 1 nodes"), (["-N2"], "2 tasks on 2 nodes")):
            out, err = self.run_step("--checkpoint=60", *words, "echo", "x")
            self.assertEqual(out.splitlines(), ["x", "x"])
            self.assertEqual(err.count(WITHOUT), 1, err)
            self.assertIn(size, err)

    def test_multi_prog(self) -> None:
        conf = self.cluster.write("multi.conf", "# one\n0 /bin/echo multi\n", 0o644)
        out, err = self.run_step("--checkpoint=60", "--multi-prog", str(conf))
        self.assertEqual(out, "multi\n")
        self.assertEqual(err.count(WITHOUT), 1, err)
        self.assertIn("--multi-prog", err)

    def test_inside_of_a_protected_job(self) -> None:
        job = self.cluster.sbatch("srun -n1 echo one 2>&1; srun -n1 --checkpoint=60 echo two", "--checkpoint=60")
        text = self.output(job)
        self.only(text)
        line = f"caesura: job {job} cannot be checkpointed while this step runs: steps of srun are not supported yet"
        self.assertEqual(plain(text), [line, "one", line, "two"])
        self.assertEqual(self.tree.questions(), ["policy --brief 60"])

    def test_inside_of_an_unprotected_job(self) -> None:
        text = self.batch("srun -n1 echo one; srun -n1 --checkpoint=60 echo two")
        self.assertEqual(wrapped(text), [])
        one, line, two = plain(text)
        self.assertEqual((one, two), ("one", "two"))
        self.assertIn(WITHOUT, line)
        self.tree.cr_run.unlink()
        text = self.batch("srun -n1 echo one", "--checkpoint=60")
        self.assertEqual(len(plain(text)), 2, text)
        self.assertIn(WITHOUT, plain(text)[0])

    def test_inside_of_salloc(self) -> None:
        """Each step is a run of its own, so each has a key of its own; the SPEC is checked once."""
        done = self.cluster.run(
            [
                "salloc",
                "--checkpoint=60",
                "-n2",
                "bash",
                "-c",
                "srun -n1 echo one; srun -n1 echo two; srun -n2 echo three",
            ]
        )
        first, second = [self.told(task) for task in wrapped(done.stdout)]
        self.assertEqual(first["SPEC"], "60")
        self.assertNotEqual(first["KEY"], second["KEY"])
        self.assertEqual(plain(done.stdout), ["one", "two", "three", "three"])
        self.assertEqual(done.stderr.count(WITHOUT), 1, done.stderr)
        self.assertEqual(self.tree.questions(), ["policy --brief 60"])

    def test_outer_name_of_another_job(self) -> None:
        _, err = self.run_step("-n1", "true", env={"CAESURA_JOB": "slurm:999999"})
        self.assertEqual(err, "")


class BrokenTest(PluginTest):
    """Whatever is wrong with the installation, the job runs, says so in one line, and the node stays."""

    def survives(self, why: str) -> None:
        for proof in (self.batch("echo done", "--checkpoint=60"), self.step()):
            self.assertEqual(wrapped(proof), [])
            lines = plain(proof)
            self.assertEqual(len(lines), 2, proof)
            self.assertRegex(lines[0], rf"^caesura: job \d+ {WITHOUT}: .*{why}")
            self.assertEqual(lines[1], "done")
        self.assert_nodes_fine()

    def step(self) -> str:
        done = self.cluster.run(["srun", "--checkpoint=60", "echo", "done"])
        return done.stderr + done.stdout

    def test_missing(self) -> None:
        self.tree.cr_run.unlink()
        self.survives("cannot execute .*/bin/cr_run: No such file")

    def broken_second_run(self) -> int:
        """A job that is started a second time when the installation is gone."""
        job = self.cluster.sbatch(
            '[ -n "$SLURM_RESTART_COUNT" ] || sleep 1000', "--checkpoint=60", "--open-mode=append"
        )
        output = self.cluster.output(job)
        wait("the first run", lambda: output.exists() and wrapped(output.read_text()))
        self.tree.cr_run.unlink()
        self.cluster.scontrol("requeue", str(job))
        return job

    def test_second_run(self) -> None:
        """It does not begin anew beside its contexts: it waits for the node to be mended, and then goes on."""
        job = self.broken_second_run()
        output = self.cluster.output(job)
        wait("its word", lambda: "was started before" in output.read_text())
        self.cluster.wait_for(job, ("PENDING",))
        text = output.read_text()
        self.assertIn(f"caesura: job {job} is held: it was started before and may have contexts", text)
        self.assertIn(f"then: scontrol release {job})", text)
        self.assertRegex(self.cluster.scontrol("show", "job", str(job)), "Reason=(JobHeld|job_requeued_in_held_state)")
        self.assertEqual(len(wrapped(text)), 1)
        self.assert_nodes_fine()
        self.tree.repair()
        self.cluster.scontrol("release", str(job))
        self.assertEqual(len(wrapped(self.output(job))), 2)

    def test_second_run_that_cannot_be_held(self) -> None:
        """Then it fails at once, which loses nothing either."""
        job = self.broken_second_run()
        self.cluster.scontrol("update", f"JobId={job}", "Requeue=0")
        self.cluster.wait_for(job, ("FAILED",))
        text = self.cluster.output(job).read_text()
        self.assertIn(f"caesura: job {job} is held: it was started before and may have contexts", text)
        self.assertIn(f"caesura: job {job} cannot be held, and ends: ", text)
        self.assertEqual(len(wrapped(text)), 1)
        self.assert_nodes_fine()

    def test_no_job_state(self) -> None:
        (self.tree.path / JOB_STATE).chmod(0o644)
        self.addCleanup((self.tree.path / JOB_STATE).chmod, 0o755)
        told = self.told(self.only(self.batch("true", "--checkpoint=60", "--time=7")))
        self.assertEqual(told["LIMIT"], "0")

    def test_not_executable(self) -> None:
        self.tree.cr_run.chmod(0o644)
        self.survives("Permission denied")

    def test_closed_folder(self) -> None:
        (self.tree.path / "bin").chmod(0)
        self.survives("Permission denied")

    def test_another_architecture(self) -> None:
        header = bytearray(Path("/bin/true").read_bytes())
        header[18:20] = (183).to_bytes(2, "little")  # EM_AARCH64
        self.tree.cr_run.write_bytes(header)
        self.survives("Exec format error")

    def test_missing_library(self) -> None:
        self.tree.program("cr_run", "#!/bin/bash\necho 'cr_run: libfoo.so: cannot open' >&2\nexit 127\n")
        self.survives("does not work on this node .*libfoo.so")

    def test_hanging(self) -> None:
        self.tree.program("cr_run", "#!/bin/bash\nsleep 1000 & exec sleep 1000\n")
        self.survives("did not end within 5000 ms")

    def test_no_plugin(self) -> None:
        self.cluster.plugstack_lines("optional /nonexistent/spank_caesura.so")
        self.assertEqual(self.batch("echo done"), "done\n")
        self.assert_nodes_fine()

    def test_plugin_alone(self) -> None:
        """Copied out of its installation it does not know the way, until it is told."""
        alone = self.cluster.folder / "spank_caesura.so"
        shutil.copy(self.tree.plugin, alone)
        self.cluster.plugstack_lines(f"optional {alone}")
        self.survives("give prefix= in plugstack.conf")
        self.cluster.plugstack_lines(f"optional {alone} prefix={self.tree.path}")
        self.only(self.batch("true", "--checkpoint=60"))

    def test_linked_plugin(self) -> None:
        link = self.cluster.folder / "linked.so"
        link.symlink_to(self.tree.plugin)
        self.cluster.plugstack_lines(f"optional {link}")
        self.only(self.batch("true", "--checkpoint=60"))

    def test_unknown_arguments(self) -> None:
        self.cluster.plugstack_lines(f"optional {self.tree.plugin} speed=9 prefix=here")
        done = self.cluster.run(["sbatch", "--checkpoint=60", "--parsable", "--wrap", "true"])
        self.assertEqual(done.stderr, "")
        self.only(self.output(int(done.stdout)))
        self.cluster.kill_slurmd("n1")
        self.cluster.start_node("n1")
        log = self.cluster.folder / "log" / f"slurmd.{self.cluster.nodes['n1'].name}.log"
        for word in ("speed=9", "prefix=here"):
            line = f"error: caesura: argument in plugstack.conf ignored: {word}"
            wait(f"{word} in the log", lambda: line in log.read_text())
        self.cluster.wait_node("n1", "IDLE")

    def test_warning_signal(self) -> None:
        """What warns a protected job would end one that is not."""
        self.tree.cr_run.unlink()
        script = "kill -USR2 $$; echo done"
        self.assertEqual(self.cluster.exit_code(self.finished(script)), "0:12")
        self.cluster.plugstack_lines(f"optional {self.tree.plugin} warning-signal=USR2")
        self.assertEqual(self.cluster.exit_code(self.finished(script)), "0:0")
        self.tree.repair()
        self.assertEqual(self.cluster.exit_code(self.finished(script)), "0:12")

    def finished(self, script: str) -> int:
        job = self.cluster.sbatch(script, "--checkpoint=60")
        self.cluster.wait_for(job, ("COMPLETED", "FAILED"))
        return job

    def test_container(self) -> None:
        """Slurm's own containers have no cr_run inside; here the variable is what tells of one."""
        text = self.batch("echo done", "--checkpoint=60", "--export=ALL,SLURM_CONTAINER=/bundle")
        self.assertIn(WITHOUT, text)
        self.assertEqual(wrapped(text), [])


class FilterTest(PluginTest):
    conf = {"CliFilterPlugins": "cli_filter/lua", "JobRequeue": "0", "JobFileAppend": "0"}

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        shutil.copy(SHARE / "cli_filter.lua", cls.cluster.etc / "cli_filter.lua")

    def test_requeue_and_output(self) -> None:
        job = self.cluster.sbatch(
            'echo run $SLURM_RESTART_COUNT; [ -n "$SLURM_RESTART_COUNT" ] || sleep 1000', "--checkpoint=60"
        )
        output = self.cluster.output(job)
        wait("the first run", lambda: output.exists() and "run" in output.read_text())
        self.assertEqual(self.cluster.job(job)["Requeue"], "1")
        self.cluster.scontrol("requeue", str(job))
        self.assertEqual([line for line in plain(self.output(job)) if "slurmstepd" not in line], ["run", "run 1"])

    def test_choice_of_the_user(self) -> None:
        job = self.cluster.sbatch("true", "--checkpoint=60", "--no-requeue")
        self.assertEqual(self.cluster.job(job)["Requeue"], "0")
        job = self.cluster.sbatch("true")
        self.assertEqual(self.cluster.job(job)["Requeue"], "0")

    def test_warning(self) -> None:
        """Two minutes before the end of a job of one minute is at once. Slurm looks every half minute."""
        script = "trap 'echo warned; exit' USR2\nsleep 100 & wait"
        self.assertIn("warned", plain(self.batch(script, "--checkpoint=60", "--time=1")))


class EngineTest(unittest.TestCase):
    def test_real_policies(self) -> None:
        """The plugin and the installed engine understand each other."""
        with Cluster() as cluster:
            done = cluster.run(["sbatch", "--checkpoint=nonsense", "--wrap", "true"], check=False)
            self.assertEqual(done.returncode, 255)
            self.assertIn("caesura: cr_job: no policy 'nonsense'", done.stderr)
            done = cluster.run(["sbatch", "-v", "--hold", "--parsable", "--checkpoint=periodic", "--wrap", "true"])
            self.assertNotIn("not checked here", done.stderr)


class LibraryTest(unittest.TestCase):
    def test_exported_symbols(self) -> None:
        library = Path(os.environ.get("CAESURA_PREFIX", SHARE.parent.parent / "build" / "prefix")) / PLUGIN
        listed = subprocess.run(["nm", "-D", "--defined-only", library], stdout=subprocess.PIPE, text=True, check=True)
        names = {line.split()[-1] for line in listed.stdout.splitlines()}
        entries = {name for name in names if name.startswith("slurm_spank_")}
        self.assertEqual(names - entries, {"plugin_name", "plugin_type", "plugin_version", "spank_plugin_version"})
        calls = ("init", "init_post_opt", "local_user_init", "task_init")
        self.assertEqual(entries, {f"slurm_spank_{call}" for call in calls})
        needed = subprocess.run(["readelf", "-d", library], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertNotIn("libslurm", needed)


if __name__ == "__main__":
    unittest.main(verbosity=2)
