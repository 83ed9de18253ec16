#!/usr/bin/python3
"""cr_run --checkpoint: the supervisor, pid 1 of the job's namespace, and the lines between supervisor and agent."""

import os
import re
import signal
import subprocess
import unittest
from typing import Any

from harness import LIMIT, PYTHON, ProcessTest, as_nobody, children_of, comm_of, descendants_of, eventually, main
from harness import namespaces_allowed, state_of

# An agent that accepts every job and notes what it is told.
GOOD_AGENT = """
note("agent.argv", repr(argv)); note("agent.pid", os.getpid())
say(f"job {os.environ['SCRATCH']}\\n")
while line := listen():
    note("agent.heard", line)
    if line.startswith("ended"):
        break
"""

# Notes every signal that it gets; ends with 5 on signal 50.
RECORDER = """
import os, signal, sys, time
scratch = os.environ["SCRATCH"]
def note(name, text):
    with open(os.path.join(scratch, name), "a") as file:
        file.write(f"{text}\\n")
def got(number, frame):
    note("signals", number)
signal.signal(50, lambda *_: sys.exit(5))
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    if number not in KEEP:
        signal.signal(number, got)
note("ready", f"{os.getpid()} {os.getpgrp()} {os.getsid(0)}")
while True:
    time.sleep(0.05)
"""


class JobTest(ProcessTest):
    mode: list[str] = []

    def job(self, *command: str, agent: str = GOOD_AGENT, as_user: bool = False, **options: Any) -> Any:
        line = [self.tree.command("cr_run"), "--checkpoint", "1h", *self.mode, "--", *command]
        env = {**self.tree.environment(FAKE_JAVA=agent), **options.pop("env", {})}
        return self.start(*(as_nobody(line) if as_user else line), env=env, **options)

    def end(self, process: "subprocess.Popen[str]") -> tuple[int, str, str]:
        out, err = process.communicate(timeout=LIMIT)
        return process.returncode, out, err

    def recorder(self, keep: str = "[signal.SIGCHLD]", **options: Any) -> tuple[Any, int]:
        """A running job that records signals, and the pid of its root as seen from here."""
        process = self.job(PYTHON, "-c", RECORDER.replace("KEEP", keep), **options)
        self.scratch_line("ready")
        return process, self.root_of(process)

    def root_of(self, process: "subprocess.Popen[str]") -> int:
        def search() -> int:
            for pid in descendants_of(process.pid):
                try:
                    with open(f"/proc/{pid}/cmdline") as file:
                        words = file.read().split("\0")
                except OSError:
                    continue
                if "io.caesura.cli.Main" not in words and "--checkpoint" not in words and words != [""]:
                    return pid
            return 0

        root: int = eventually(search, "the root of the job")
        return root

    def init_of(self, process: "subprocess.Popen[str]") -> int:
        def search() -> int:
            names = {pid: comm_of(pid) for pid in children_of(process.pid)}
            return next((pid for pid, name in names.items() if name == "caesura-init"), 0)

        init: int = eventually(search, "the job's init")
        return init

    def heard(self, number: int) -> bool:
        return str(int(number)) in self.note("signals").split()


class Common(JobTest):
    """What holds with and without a namespace."""

    def test_exit_status_and_output(self) -> None:
        self.assertEqual(self.end(self.job("sh", "-c", "echo out; echo err >&2; exit 7")), (7, "out\n", "err\n"))

    def test_root_that_died_of_a_signal(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT):
            status, _, err = self.end(self.job("sh", "-c", f"kill -{int(number)} $$"))
            self.assertEqual((status, err), (-number, ""))

    def test_signal_of_the_root_leaves_no_core_of_the_supervisor(self) -> None:
        line = [self.tree.command("cr_run"), "--checkpoint", "1h", *self.mode, "sh", "-c", "kill -SEGV $$"]
        script = (
            "import os, sys, resource; hard = resource.getrlimit(resource.RLIMIT_CORE)[1];"
            "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard));"
            "pid = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:]);"
            "print(os.WCOREDUMP(os.waitpid(pid, 0)[1]))"
        )
        env = self.tree.environment(FAKE_JAVA=GOOD_AGENT)
        result = self.run_to_end(PYTHON, "-c", script, *line, env=env, cwd=self.tree.scratch)
        self.assertEqual(result.stdout, "False\n", result.stderr)

    def test_command_that_cannot_be_executed(self) -> None:
        status, _, err = self.end(self.job("no-such-command"))
        self.assertEqual(status, 127)
        self.assertIn("cr_run: cannot execute no-such-command: No such file or directory", err)
        self.assertEqual(self.end(self.job("/etc"))[0], 126)

    def test_environment_is_untouched(self) -> None:
        env = self.tree.environment(FAKE_JAVA=GOOD_AGENT)
        out = self.end(self.job("env", "-0"))[1]
        self.assertEqual(dict(variable.split("=", 1) for variable in out.split("\0") if variable), env)

    def test_job_gets_the_signal_state_of_the_caller(self) -> None:
        def ignore() -> None:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1})

        process = self.job("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status", preexec_fn=ignore, restore_signals=True)
        out = self.end(process)[1]
        masks = {line.split(":")[0]: int(line.split()[1], 16) for line in out.splitlines()}
        self.assertEqual(masks["SigBlk"], 1 << signal.SIGUSR1 - 1)
        self.assertEqual(masks["SigIgn"], 1 << signal.SIGCHLD - 1 | 1 << signal.SIGHUP - 1)

    def test_every_catchable_signal_is_forwarded_once(self) -> None:
        process, _ = self.recorder(keep="[signal.SIGCHLD, signal.SIGTERM]")
        numbers = sorted(set(signal.Signals) - {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM})
        for number in numbers:
            process.send_signal(number)
            eventually(lambda: self.heard(number), f"signal {number}")
            # One that was handled is no reason for the supervisor to stop.
            self.assertNotEqual(state_of(process.pid), "T")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.end(process)[0], -signal.SIGTERM)
        self.assertEqual(sorted(map(int, self.note("signals").split())), [int(n) for n in numbers])

    def test_signals_reach_the_root_and_not_its_group(self) -> None:
        wait = "while :; do sleep 0.05; done"
        child = f"trap 'echo child >> $SCRATCH/group' USR1; echo > $SCRATCH/child; {wait}"
        script = f'trap "echo root >> $SCRATCH/group" USR1; sh -c "$CHILD" & echo > $SCRATCH/ready; {wait}'
        process = self.job("sh", "-c", script, env={"CHILD": child})
        self.scratch_line("ready")
        self.scratch_line("child")
        process.send_signal(signal.SIGUSR1)
        self.scratch_line("group")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(LIMIT), -signal.SIGTERM)
        self.assertEqual(self.note("group"), "root\n")

    def test_value_of_a_queued_signal_comes_through(self) -> None:
        script = (
            "import signal, os; signal.pthread_sigmask(signal.SIG_BLOCK, {40});"
            "open(os.environ['SCRATCH'] + '/ready', 'w').write('x\\n');"
            "info = signal.sigwaitinfo({40}); print(info.si_code)"
        )
        process = self.job(PYTHON, "-c", script)
        self.scratch_line("ready")
        subprocess.run(["kill", "-q", "77", "-s", "RTMIN+6", str(process.pid)], check=True)
        self.assertEqual(self.end(process)[:2], (0, "-1\n"))

    def test_stop_and_continue_both(self) -> None:
        for number in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            with self.subTest(number.name):
                (self.tree.scratch / "ready").unlink(missing_ok=True)
                process, root = self.recorder(keep="[signal.SIGCHLD, *range(19, 23)]")
                process.send_signal(number)
                eventually(lambda: state_of(root) == "T" and state_of(process.pid) == "T", "both stopped")
                process.send_signal(signal.SIGCONT)
                eventually(lambda: state_of(root) in "SR" and state_of(process.pid) in "SR", "both go on")
                process.send_signal(signal.SIGKILL)
                self.end(process)

    def test_root_stopped_by_others_does_not_stop_the_supervisor(self) -> None:
        process, root = self.recorder()
        os.kill(root, signal.SIGSTOP)
        eventually(lambda: state_of(root) == "T", "root stopped")
        process.send_signal(signal.SIGUSR1)
        os.kill(root, signal.SIGCONT)
        eventually(lambda: self.heard(signal.SIGUSR1), "the signal sent meanwhile")
        self.assertNotEqual(state_of(process.pid), "T")

    def test_inherited_descriptors_are_the_job_s_alone(self) -> None:
        for number in (1, 7):
            with self.subTest(number):
                (self.tree.scratch / "go").unlink(missing_ok=True)
                read_end, write_end = os.pipe()
                script = f"echo x >&{number}; exec {number}>&-; while [ ! -e $SCRATCH/go ]; do sleep 0.05; done"
                job = [self.tree.command("cr_run"), "--checkpoint", "1h", *self.mode, "--", "sh", "-c", script]
                line, options = self.with_descriptor(number, write_end, *job)
                process = self.start(*line, env=self.tree.environment(FAKE_JAVA=GOOD_AGENT), **options)
                os.close(options["pass_fds"][0])
                # The end comes while the job still runs: neither supervisor, pid 1 nor agent holds a copy.
                with open(read_end) as pipe:
                    self.assertEqual(pipe.read(), "x\n")
                self.assertEqual(process.poll(), None)
                (self.tree.scratch / "go").write_text("")
                self.assertEqual(self.end(process)[0], 0)

    def test_stdin_is_the_job_s(self) -> None:
        process = self.job("cat", stdin=subprocess.PIPE)
        out, _ = process.communicate("hello\n", timeout=LIMIT)
        self.assertEqual((process.returncode, out), (0, "hello\n"))

    def test_supervisor_is_small(self) -> None:
        process, _ = self.recorder()
        for pid in [process.pid, *(p for p in children_of(process.pid) if "cr_run" in os.readlink(f"/proc/{p}/exe"))]:
            with open(f"/proc/{pid}/status") as file:
                resident = re.search(r"VmRSS:\s*(\d+) kB", file.read())
            assert resident
            self.assertLess(int(resident[1]), 2048)

    def test_orphans_are_reaped(self) -> None:
        script = "(sh -c 'exit 3' & sh -c 'kill -9 $$' &) & wait; echo > $SCRATCH/ready; sleep 600"
        process = self.job("sh", "-c", script)
        self.scratch_line("ready")
        init = self.init_of(process)
        eventually(lambda: len(list(children_of(init))) == 1, "only the root is left")

    def test_job_ends_with_its_root(self) -> None:
        script = (
            "setsid sh -c 'trap \"\" TERM HUP INT; echo > $SCRATCH/ready; exec sleep 600' & "
            "while [ ! -s $SCRATCH/ready ]; do sleep 0.05; done; exit 6"
        )
        process = self.job("sh", "-c", script)
        self.assertEqual(self.end(process)[0], 6)
        self.assertEqual(list(children_of(os.getpid())), [])

    def test_everything_dies_with_the_supervisor(self) -> None:
        script = (
            "setsid sh -c 'trap \"\" TERM HUP INT; echo > $SCRATCH/ready; while :; do sleep 1; done' & wait; sleep 600"
        )
        process = self.job("sh", "-c", script)
        self.scratch_line("ready")
        family = eventually(lambda: len(found := descendants_of(process.pid)) >= 4 and found, "all processes")
        process.kill()
        process.wait()
        eventually(lambda: not any(state_of(pid) for pid in family), "everything gone")

    def test_stopped_job_dies_with_the_supervisor(self) -> None:
        process, root = self.recorder(keep="[signal.SIGCHLD, *range(19, 23)]")
        os.kill(root, signal.SIGSTOP)
        family = descendants_of(process.pid)
        process.kill()
        eventually(lambda: not any(state_of(pid) for pid in family), "everything gone")

    # ---- the agent ----

    def test_agent_hears_what_happens(self) -> None:
        process, root = self.recorder()
        started = eventually(lambda: self.note("agent.heard"), "started").split()
        self.assertEqual(started[0], "started")
        init = int(started[1])
        self.assertEqual(init, self.init_of(process))
        self.assertEqual([root], list(children_of(init)))
        process.send_signal(50)
        self.assertEqual(self.end(process)[0], 5)
        self.assertEqual(self.note("agent.heard").splitlines()[1], f"ended {5 << 8}")

    def test_agent_s_arguments(self) -> None:
        line = [self.tree.command("cr_run"), "--checkpoint=every=1h", "--name", "n", *self.mode, "true", "--x"]
        self.run_to_end(*line, env=self.tree.environment(FAKE_JAVA=GOOD_AGENT))
        self.assertEqual(
            self.scratch_line("agent.argv"), repr(["agent", "--spec", "every=1h", "--name", "n", "--", "true", "--x"])
        )

    def test_agent_sees_nothing_of_the_job_s_streams(self) -> None:
        agent = 'print("on stdout"); assert sys.stdin.read() == ""; sys.stdout.flush();' + GOOD_AGENT
        status, out, err = self.end(self.job("cat", agent=agent, stdin=subprocess.PIPE))
        self.assertEqual((status, out, err), (0, "", "on stdout\n"))

    def test_refused_spec(self) -> None:
        for code in (208, 22):
            process = self.job(
                "touch", f"{self.tree.scratch}/ran", agent=f'say("error {code} policy x: no such key\\n")'
            )
            self.assertEqual(self.end(process)[0], code)
        status, _, err = self.end(self.job("true", agent='say("error 208 policy x: no such key\\n")'))
        self.assertEqual(err, "cr_run: policy x: no such key\n", "the text is the whole of what is said")
        self.assertEqual(self.note("ran"), "")

    def test_agent_that_dies_before_its_word(self) -> None:
        for agent, reason in (
            ("sys.exit(3)", "ended with status 3"),
            ("os.kill(os.getpid(), 9)", "killed by signal 9"),
        ):
            status, _, err = self.end(self.job("touch", f"{self.tree.scratch}/ran", agent=agent))
            self.assertEqual(status, 211)
            self.assertIn(reason, err)
        self.assertEqual(self.note("ran"), "")

    def test_agent_s_death_does_not_end_the_job(self) -> None:
        process, _ = self.recorder()
        os.kill(int(self.scratch_line("agent.pid")), signal.SIGKILL)
        eventually(lambda: not state_of(int(self.scratch_line("agent.pid"))), "agent gone")
        process.send_signal(signal.SIGUSR1)
        eventually(lambda: self.heard(signal.SIGUSR1), "job lives")
        process.send_signal(50)
        status, _, err = self.end(process)
        self.assertEqual(status, 5)
        self.assertEqual(err, "caesura: the engine was killed by signal 9; the job runs on without checkpoints\n")

    def test_engine_is_called_again_after_a_oneshot(self) -> None:
        agent = 'note("calls", argv)\nif "--spec" in argv: say("job /a folder\\noneshot\\n")\n'
        self.assertEqual(self.end(self.job("sh", "-c", "sleep 0.3; exit 4", agent=agent)), (4, "", ""))
        calls = self.note("calls").splitlines()
        self.assertEqual(calls[1:], [str(["agent", "--finish", str(4 << 8), "--restart", "/a folder"])])
        # The job may be over before the agent has looked at it.
        agent = 'if fd: say("job /x\\n"); listen(); time.sleep(0.3); say("oneshot\\n")\nelse: note("finished", argv[2])'
        self.assertEqual(self.end(self.job("true", agent=agent)), (0, "", ""))
        self.assertEqual(self.note("finished"), "0\n")

    def test_oneshot_agent(self) -> None:
        agent = 'if fd: say("job /x\\noneshot\\n")'
        self.assertEqual(self.end(self.job("sh", "-c", "sleep 0.3; exit 4", agent=agent)), (4, "", ""))
        agent = 'if fd: say("job /x\\n"); time.sleep(0.1); say("oneshot\\n")'
        self.assertEqual(self.end(self.job("sh", "-c", "sleep 0.5; exit 4", agent=agent)), (4, "", ""))

    def test_agent_is_in_a_group_of_its_own_and_dies_with_the_supervisor(self) -> None:
        process, _ = self.recorder()
        agent = int(self.scratch_line("agent.pid"))
        self.assertEqual(os.getpgid(agent), agent)
        process.kill()
        eventually(lambda: not state_of(agent), "agent gone")

    def test_interrupt_while_the_engine_starts(self) -> None:
        process = self.job("true", agent='note("agent.pid", os.getpid()); time.sleep(60)')
        agent = int(self.scratch_line("agent.pid"))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.end(process)[0], -signal.SIGTERM)
        eventually(lambda: not state_of(agent), "agent gone")

    def test_no_java(self) -> None:
        env = {"JAVA_HOME": "/nonexistent"}
        process = self.job("true", env=env)
        self.assertIn(self.end(process)[0], (0, 1, 211))  # a real Java of the host has no engine here


@unittest.skipUnless(namespaces_allowed(), "no user namespaces here")
class WithNamespace(Common):
    def test_pid_namespace_is_real(self) -> None:
        script = "readlink /proc/self/ns/pid; echo $$; readlink /proc/self; ls -d /proc/[0-9]* | wc -l; id -u; id -g"
        out = self.end(self.job("sh", "-c", script))[1].split()
        self.assertNotEqual(out[0], os.readlink("/proc/self/ns/pid"))
        self.assertEqual((int(out[1]) - 1) % 512, 0)
        self.assertLess(int(out[3]), 8)
        self.assertEqual(out[4:], [str(os.getuid()), str(os.getgid())])

    def test_batch_job_has_a_session_of_its_own(self) -> None:
        process, _ = self.recorder(start_new_session=True)
        pid, group, session = self.scratch_line("ready").split()
        self.assertEqual((pid, pid), (group, session))
        process.kill()

    def test_two_jobs_have_different_pids(self) -> None:
        first, _ = self.recorder()
        pid = int(self.scratch_line("ready").split()[0])
        (self.tree.scratch / "ready").unlink()
        second, _ = self.recorder()
        other = int(self.scratch_line("ready").split()[0])
        self.assertNotEqual(pid // 512, other // 512)
        first.kill()
        second.kill()

    def test_orphan_becomes_child_of_init(self) -> None:
        script = "(sh -c 'sleep 0.2; cut -d\" \" -f4 /proc/$$/stat > $SCRATCH/parent' &) ; sleep 1"
        self.end(self.job("sh", "-c", script))
        self.assertEqual(self.note("parent"), "1\n")

    def test_init_killed_from_outside(self) -> None:
        process, root = self.recorder()
        init = self.init_of(process)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            os.kill(init, number)  # a scheduler signals all processes of a job; pid 1 must not mind
        process.send_signal(signal.SIGUSR2)
        eventually(lambda: self.heard(signal.SIGUSR2), "job lives")
        os.kill(init, signal.SIGKILL)
        status, _, err = self.end(process)
        self.assertEqual(status, -signal.SIGKILL)
        self.assertIn("the job's init was killed by signal 9, and the job with it", err)

    def test_host_s_mounts_are_untouched(self) -> None:
        with open("/proc/mounts") as file:
            before = file.read()
        self.assertEqual(self.end(self.job("true"))[0], 0)
        with open("/proc/mounts") as file:
            self.assertEqual(file.read(), before)

    def test_private_shm(self) -> None:
        name = f"/dev/shm/caesura-test-{os.getpid()}"
        for option, there in (("--private-shm", False), ("--run", True)):
            self.mode = [option]
            self.assertEqual(self.end(self.job("touch", name))[0], 0)
            self.assertEqual(os.path.exists(name), there)
        os.unlink(name)

    def test_nested(self) -> None:
        inner = [self.tree.command("cr_run"), "--checkpoint", "1h", "sh", "-c", "exit 9"]
        self.assertEqual(self.end(self.job(*inner))[0], 9)

    @unittest.skipUnless(os.getuid() == 0, "only root can become another user")
    def test_as_nobody(self) -> None:
        status, out, err = self.end(self.job("sh", "-c", "readlink /proc/self/ns/user; id -u; echo $$", as_user=True))
        user, uid, pid = out.split()
        self.assertEqual((status, err, uid), (0, "", "65534"))
        self.assertNotEqual(user, os.readlink("/proc/self/ns/user"))
        self.assertEqual((int(pid) - 1) % 512, 0)
        process, _ = self.recorder(as_user=True)
        family = descendants_of(process.pid)
        process.kill()
        eventually(lambda: not any(state_of(pid) for pid in family), "everything gone")


class WithoutNamespace(Common):
    mode = ["--no-namespace"]

    def test_root_is_in_our_namespace_and_group(self) -> None:
        process, root = self.recorder()
        self.assertEqual(self.scratch_line("ready").split()[0], str(root))
        self.assertIn(root, children_of(self.init_of(process)))
        self.assertEqual(os.getpgid(root), os.getpgid(process.pid))

    def test_root_dies_with_an_init_that_is_killed(self) -> None:
        process, root = self.recorder()
        os.kill(self.init_of(process), signal.SIGKILL)
        status, _, err = self.end(process)
        self.assertEqual((status, state_of(root)), (-signal.SIGKILL, ""))
        self.assertEqual(err, "cr_run: the job's init was killed by signal 9, and the job with it\n")

    def test_orphans_stay_below_the_init(self) -> None:
        process = self.job("sh", "-c", "(setsid sh -c 'echo $$ > $SCRATCH/orphan; exec sleep 600' &); sleep 600")
        orphan = int(self.scratch_line("orphan"))
        init = self.init_of(process)
        eventually(lambda: orphan in children_of(init), "adopted")
        os.kill(orphan, signal.SIGKILL)
        eventually(lambda: not os.path.exists(f"/proc/{orphan}"), "reaped")

    def test_signal_of_the_root_to_its_group_is_not_sent_back(self) -> None:
        script = (
            "import os, signal, time; n = 0\n"
            "def got(*_):\n global n; n += 1\n"
            "signal.signal(signal.SIGUSR1, got); os.killpg(0, signal.SIGUSR1); time.sleep(0.5); print(n)"
        )
        process = self.job(PYTHON, "-c", script, start_new_session=True, agent=GOOD_AGENT)
        self.assertEqual(self.end(process)[1], "1\n")


class Forbidden(JobTest):
    """In a user namespace that allows none inside, as a site would that forbids them."""

    @unittest.skipUnless(namespaces_allowed(), "no user namespaces here")
    def test_says_so_and_runs_without(self) -> None:
        shut = 'echo 0 > /proc/sys/user/max_user_namespaces && readlink /proc/self/ns/pid && exec "$@"'
        outer = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "sh", "-c", shut, "-"]
        ordinary = ["setpriv", "--bounding-set=-sys_admin"]  # its root may not make a pid namespace directly
        job = [self.tree.command("cr_run"), "--checkpoint", "1h", "sh", "-c", "readlink /proc/self/ns/pid; exit 8"]
        env = self.tree.environment(FAKE_JAVA=GOOD_AGENT)
        result = self.run_to_end(*outer, *ordinary, *job, env=env)
        self.assertEqual(result.returncode, 8, result.stderr)
        outside, inside = result.stdout.split()
        self.assertEqual(outside, inside)
        self.assertEqual(
            result.stderr,
            "caesura: cannot make a user, pid and mount namespace: No space left on device "
            "(user namespaces are switched off: /proc/sys/user/max_user_namespaces is 0); "
            "the job runs without a pid namespace: its pids may be taken at a restart\n",
        )


del Common

if __name__ == "__main__":
    main()
