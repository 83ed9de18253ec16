"""The three experiments that the README of 1990 describes, for each compiler, level and kind of program."""

import os
import pty
import random
import signal

from support import DEADLINE_S, DEFAULT, PmckptTest, Process, Settings, matrix, tool, wait_for

LINES = 13
PAUSE_MS = 4


class ReadmeTest(PmckptTest):
    def setUp(self) -> None:
        super().setUp()
        self.random = random.Random(self.id())

    def expected(self, program: str) -> str:
        status, output, _ = self.run_it([program])
        self.assertEqual(status, 0)
        self.assertEqual(output.count("\n"), LINES)
        return output

    def interrupt(self, process: Process, name: str) -> None:
        """^C some time after a line has been seen; returns when the checkpoint is there, or the program has ended."""
        target = self.random.randint(1, LINES - 1)
        wait_for(lambda: self.handles(process, signal.SIGINT) or process.poll() is not None, "the program")
        wait_for(lambda: self.lines(name) >= target or process.poll() is not None, f"line {target}")
        before = self.identity_of("CHECKPOINT")
        wait_for(lambda: self.random.random() < 0.3, "a random moment")
        process.send_signal(signal.SIGINT)
        wait_for(lambda: self.identity_of("CHECKPOINT") != before or process.poll() is not None, "the checkpoint")

    def start_and_interrupt(self, program: str, mode: str = "wb", pause_ms: int = PAUSE_MS) -> Process:
        """Starts a program with output to `out`, and returns it when it has taken a checkpoint."""
        for _ in range(20):
            process = self.start_into([program], "out", mode, pause_ms=pause_ms)
            self.interrupt(process, "out")
            if self.identity_of("CHECKPOINT"):
                return process
            self.assertEqual(process.wait(), 0)  # it was faster than we
        self.fail("the program has ended 20 times before its checkpoint")

    def test_plain(self) -> None:
        """^C, and a restore that prints the rest."""
        for variant in matrix():
            with self.subTest(str(variant)):
                program = variant.build("test")
                expected = self.expected(program)
                process = self.start_and_interrupt(program)
                self.assertEqual(process.wait(timeout=DEADLINE_S), 0)
                self.assertEqual(self.read("out").decode(), expected)
                status, rest, errors = self.run_it(self.restore_command(program))
                self.assertEqual((status, errors), (0, ""))
                self.assertTrue(expected.endswith(rest), rest)
                self.assertLess(rest.count("\n"), LINES)
                os.unlink(self.path("CHECKPOINT"))

    def test_crash_into_file(self) -> None:
        """^C, a crash, and a restore that appends: each line once. The restored program is treated the same."""
        for variant in matrix():
            for _ in range(Settings.rounds):
                with self.subTest(str(variant)):
                    self.crash_into_file(variant.build("test"))

    def crash_into_file(self, program: str) -> None:
        expected = self.expected(program)
        process = self.start_and_interrupt(program)
        for generation in range(3):
            if generation:
                self.interrupt(process, "out")
            after = min(self.lines("out") + self.random.randint(0, 3), LINES)
            wait_for(lambda: self.lines("out") >= after or process.poll() is not None, f"line {after}")
            if process.poll() is None:
                process.send_signal(signal.SIGQUIT)
            self.assertIn(process.wait(timeout=DEADLINE_S), (0, -signal.SIGQUIT))
            process = self.start_into(self.restore_command(program), "out", "ab", pause_ms=PAUSE_MS)
        self.assertEqual(process.wait(timeout=DEADLINE_S), 0)
        self.assertEqual(self.read("out").decode(), expected)
        os.unlink(self.path("CHECKPOINT"))

    def test_follower(self) -> None:
        """The same, with tail -f on the file: what it shows is right as well."""
        program = DEFAULT.build("test")
        expected = self.expected(program)
        for _ in range(3 * Settings.rounds):
            self.write("out", "")
            with open(self.path("shown"), "wb") as shown, open(self.path("said"), "wb") as said:
                tail = self.start(["tail", "-n", "+1", "-f", "out"], stdout=shown, stderr=said)
            process = self.start_and_interrupt(program, "r+b", pause_ms=20)
            after = min(self.lines("out") + 2, LINES)
            wait_for(lambda: self.lines("shown") >= after or process.poll() is not None, "tail to show lines past it")
            if process.poll() is None:
                self.crash(process)
            process = self.start_into(self.restore_command(program), "out", "ab", pause_ms=20)
            self.assertEqual(process.wait(timeout=DEADLINE_S), 0)
            self.assertEqual(self.read("out").decode(), expected)
            # Whatever tail would show too much, it shows before this.
            with open(self.path("out"), "ab") as out:
                out.write(b"the end\n")
            wait_for(lambda: b"the end" in self.read("shown"), "tail to show the end")
            tail.terminate()
            tail.wait()
            self.assertEqual(self.read("shown").decode(), expected + "the end\n")
            self.assertEqual(self.read("said"), b"")
            os.unlink(self.path("CHECKPOINT"))

    def test_terminal(self) -> None:
        """On a terminal: the key ^C itself."""
        program = DEFAULT.build("test")
        expected = self.expected(program)
        pid, terminal = pty.fork()
        if pid == 0:
            os.closerange(3, 1024)
            os.chdir(self.folder)
            os.environ["TEST_PAUSE_MS"] = "30"
            os.execv(program, [program])
        shown = b""
        while shown.count(b"\n") < 4:
            shown += os.read(terminal, 1000)
        os.write(terminal, b"\x03")
        wait_for(lambda: os.path.exists(self.path("CHECKPOINT")), "the checkpoint")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
        status, rest, errors = self.run_it(self.restore_command(program))
        self.assertEqual((status, errors), (0, ""))
        self.assertTrue(expected.endswith(rest), rest)
        self.assertIn(rest.count("\n"), (LINES - 4, LINES - 5))

    def test_interrupt_at_any_moment_of_a_restore(self) -> None:
        """^C before the program is there ends the restore; once it is there, it is the program's."""
        program = DEFAULT.build("test")
        expected = self.expected(program)
        process = self.start_and_interrupt(program)
        process.kill()
        process.wait()
        for turn in range(60 * Settings.rounds):
            output = self.read("out")
            process = self.start_into(self.restore_command(program), "out", "ab", pause_ms=1)
            if turn % 3:
                wait_for(lambda: self.runs(process, program) or process.poll() is not None, "the program to start")
            for _ in range(self.random.randrange(1, 20000) * (turn % 3 != 1)):
                pass  # far shorter than any sleep
            process.send_signal(signal.SIGINT)
            status = process.wait(timeout=DEADLINE_S)
            if status == 0:
                self.assertEqual(self.read("out").decode(), expected)
            else:
                self.assertEqual(turn % 3, 0, "from the start of the program on, no ^C is lost or kills")
                self.assertEqual((status, self.read("out")), (-signal.SIGINT, output))

    def test_many_interrupts(self) -> None:
        """A hail of ^C: each is kept, none kills."""
        program = DEFAULT.build("test")
        expected = self.expected(program)
        process = self.start_into([program], "out", pause_ms=2)
        wait_for(lambda: self.lines("out") >= 1, "the first line")
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(self.read("out").decode(), expected)
        status, _, _ = self.run_it(self.restore_command(program))
        self.assertEqual(status, 0)

    def test_steps_by_hand(self) -> None:
        """The commands of the README, letter for letter, with the program in the current folder."""
        script = """set -e
ckptcvt < test.c > tmp.c
cc -c tmp.c
cc -o tmp pmckpt.o tmp.o pmceot.o
./tmp > plain
: > out
kill_after_checkpoint() { while ! test -e CHECKPOINT; do :; done; kill -QUIT $1; wait $1 || true; }
bash -c 'trap - INT QUIT; exec env TEST_PAUSE_MS=20 ./tmp' > out &
while test $(wc -l < out) -lt 3; do :; done
kill -INT $!
kill_after_checkpoint $!
checkpoint tmp CHECKPOINT >> out
cmp plain out
"""
        for name in ("pmckpt.h", "pmckpt.o", "pmceot.o"):
            os.symlink(tool(name), self.path(name))
        with open(os.path.join(os.path.dirname(__file__), "programs", "test.ckpt"), "rb") as source:
            self.write("test.c", source.read())
        # A shell ignores ^C and ^\ on behalf of what it runs in the background, unless it has job control.
        status, output, errors = self.run_it(
            ["bash", "-m", "-c", script], env={"PATH": Settings.build + ":" + os.environ["PATH"]}
        )
        self.assertEqual(status, 0, output + errors)
