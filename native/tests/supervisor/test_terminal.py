#!/usr/bin/python3
"""cr_run --checkpoint on a terminal: ^C, ^Z, and who has the terminal."""

import os
import pty
import select
import signal
import termios
import time
import unittest

from harness import LIMIT, PYTHON, ProcessTest, eventually, main, namespaces_allowed, state_of
from test_job import GOOD_AGENT

# A shell in miniature: runs argv as its foreground job, continues it after a line when it stopped, says what it sees.
SHELL = """
import os, signal, sys, time
def say(text):
    print(text, flush=True)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0); os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
try:
    os.setpgid(pid, pid)
except PermissionError:
    pass  # it has run its exec already
os.tcsetpgrp(0, pid)
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    say("foreground is the job's: %s" % (os.tcgetpgrp(0) == pid))
    os.tcsetpgrp(0, os.getpgrp())
    say("stopped by %d" % os.WSTOPSIG(status))
    assert sys.stdin.readline()
    os.tcsetpgrp(0, pid); os.killpg(pid, signal.SIGCONT)
say("foreground is the job's: %s" % (os.tcgetpgrp(0) == pid))
os.tcsetpgrp(0, os.getpgrp())
say("ended with %d" % os.waitstatus_to_exitcode(status))
"""


class TerminalTest(ProcessTest):
    mode: list[str] = []

    def setUp(self) -> None:
        super().setUp()
        self.seen = ""
        self.terminal = -1

    def tearDown(self) -> None:
        if self.terminal >= 0:
            os.close(self.terminal)
        super().tearDown()

    def run_on_terminal(self, *command: str) -> None:
        job = [self.tree.command("cr_run"), "--checkpoint", "1h", *self.mode, "--", *command]
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.execve(PYTHON, [PYTHON, "-c", SHELL, *job], self.tree.environment(FAKE_JAVA=GOOD_AGENT))
        attributes = termios.tcgetattr(self.terminal)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(self.terminal, termios.TCSANOW, attributes)

    def expect(self, text: str) -> None:
        """Reads from the terminal until text has come; what came up to it is dropped."""
        end = time.monotonic() + LIMIT
        while text not in self.seen:
            ready, _, _ = select.select([self.terminal], [], [], max(0.0, end - time.monotonic()))
            try:
                data = os.read(self.terminal, 4096) if ready else b""
            except OSError:  # EIO: nobody has the other side open any more
                data = b""
            self.assertTrue(data, f"{text!r} does not come; instead: {self.seen!r}")
            self.seen += data.decode()
        self.seen = self.seen.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())


class Common(TerminalTest):
    def test_interrupt_ends_a_job_of_several_processes(self) -> None:
        self.run_on_terminal("sh", "-c", "(trap 'echo child' EXIT; sleep 600 & echo up; wait); echo not reached")
        self.expect("up")
        self.type("\x03")
        self.expect(f"ended with {-signal.SIGINT}")

    def test_interrupt_comes_once(self) -> None:
        script = (
            "import signal, time; got = []; signal.signal(signal.SIGINT, lambda *_: got.append(1))\n"
            "print('up', flush=True)\n"
            "while not got: time.sleep(0.01)\n"
            "time.sleep(0.5); print('got', len(got))"
        )
        self.run_on_terminal(PYTHON, "-c", script)
        self.expect("up")
        self.type("\x03")
        self.expect("got 1\r\n")
        self.expect("foreground is the job's: True")
        self.expect("ended with 0")

    def test_suspend_and_foreground(self) -> None:
        self.run_on_terminal("sh", "-c", "echo up; read line; echo got $line; exit 3")
        self.expect("up")
        for _ in range(2):
            self.type("\x1a")
            self.expect("foreground is the job's: True")
            self.expect(f"stopped by {int(signal.SIGSTOP)}")
            self.type("\n")
            time.sleep(0.2)
        self.type("hello\n")
        self.expect("got hello")
        self.expect("ended with 3")

    def test_job_reads_from_the_terminal(self) -> None:
        self.run_on_terminal("cat")
        self.type("some line\n\x04")
        self.expect("some line")
        self.expect("ended with 0")

    def test_interactive_shell_with_job_control(self) -> None:
        self.run_on_terminal("bash", "--norc", "--noprofile", "-i")
        self.type("echo $((1000 + 1)); sleep 600\n")
        self.expect("1001")
        time.sleep(0.3)
        self.type("\x1a")
        self.expect("Stopped")
        # -f: wait alone is content with a job that is still stopped, and the shell then does not exit.
        self.type("kill -9 %1; wait -f %1; echo $((1000 + 2))\n")
        self.expect("1002")
        self.type("exit 4\n")
        self.expect("foreground is the job's: True")
        self.expect("ended with 4")

    def test_agent_survives_the_interrupt(self) -> None:
        script = (
            "import signal, sys, time; signal.signal(2, lambda *_: print('int', flush=True)); print('up', flush=True)\n"
            "while True: time.sleep(0.05)"
        )
        self.run_on_terminal(PYTHON, "-c", script)
        self.expect("up")
        self.type("\x03")
        self.expect("int")
        agent = int(self.scratch_line("agent.pid"))
        self.assertNotEqual(state_of(agent), "")
        self.type("\x1c")
        self.expect(f"ended with {-signal.SIGQUIT}")
        eventually(lambda: f"ended {int(signal.SIGQUIT)}" in self.note("agent.heard").replace("131", "3"), "agent told")


@unittest.skipUnless(namespaces_allowed(), "no user namespaces here")
class WithNamespace(Common):
    def test_job_is_a_group_of_its_own(self) -> None:
        self.run_on_terminal("sh", "-c", "echo $$ $(ps -o pgid= -p $$) end")
        self.expect(" end")
        self.expect("ended with 0")

    def test_job_in_a_pipeline_does_not_take_the_terminal(self) -> None:
        job = f"{self.tree.command('cr_run')} --checkpoint 1h -- sh -c 'ps -o tpgid= -p $$; sleep 0.3' | cat"
        self.run_on_terminal("true")
        self.expect("ended with 0")
        os.close(self.terminal)
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.execve("/bin/sh", ["sh", "-c", job], self.tree.environment(FAKE_JAVA=GOOD_AGENT))
        self.expect("0")  # as the job sees it: the group that has the terminal is outside of its namespace


class WithoutNamespace(Common):
    mode = ["--no-namespace"]


del Common

if __name__ == "__main__":
    main()
