"""Files that were open at the checkpoint."""

import os
import shutil
import signal
from collections.abc import Sequence

from support import DEADLINE_S, DEFAULT, EFILECHANGED, PmckptTest

FIRST, NEVER, SECOND = f"{'first':19}\n", f"{'never':49}\n", f"{'second':29}\n"


class FilesTest(PmckptTest):
    """Most use programs/shorter.ckpt, which writes less in its second life than in its first."""

    def setUp(self) -> None:
        super().setUp()
        self.program = DEFAULT.build("shorter")

    def first_life(self, name: str = "out", mode: str = "wb") -> None:
        process = self.start_into([self.program], name, mode)
        self.assertEqual(process.wait(timeout=DEADLINE_S), -signal.SIGKILL)

    def second_life(self, name: str = "out", mode: str = "ab", options: Sequence[str] = ()) -> tuple[int, str]:
        command = self.restore_command(self.program)
        process = self.start_into([command[0], *options, *command[1:]], name, mode, stderr=-1)
        status, _, errors = self.result_of(process)
        return status, errors

    def test_shorter_output_is_cut_at_the_end(self) -> None:
        self.first_life()
        self.assertEqual(self.read("out").decode(), FIRST + NEVER)
        self.assertEqual(self.second_life(), (0, ""))
        self.assertEqual(self.read("out").decode(), FIRST + SECOND)

    def test_cut_at_once(self) -> None:
        self.first_life()
        self.assertEqual(self.second_life(options=["-t"]), (0, ""))
        self.assertEqual(self.read("out").decode(), FIRST + SECOND)

    def test_without_append(self) -> None:
        """Opened for writing at its start (1<> of the shell) it is moved all the same."""
        self.first_life()
        self.assertEqual(self.second_life(mode="r+b"), (0, ""))
        self.assertEqual(self.read("out").decode(), FIRST + SECOND)

    def test_appended_from_the_first(self) -> None:
        self.write("out", "before\n")
        self.first_life(mode="ab")
        self.assertEqual(self.read("out").decode(), "before\n" + FIRST + NEVER)
        self.assertEqual(self.second_life(), (0, ""))
        self.assertEqual(self.read("out").decode(), "before\n" + FIRST + SECOND)

    def test_copy_of_the_file(self) -> None:
        self.first_life()
        shutil.copy(self.path("out"), self.path("copy"))
        self.assertEqual(self.second_life("copy"), (0, ""))
        self.assertEqual(self.read("copy").decode(), FIRST + SECOND)
        self.assertEqual(self.read("out").decode(), FIRST + NEVER)

    def test_new_file_is_refused(self) -> None:
        self.first_life()
        status, errors = self.second_life("new", "wb")
        self.assertEqual(status, EFILECHANGED)
        self.assertIn("descriptor 1 is a file of 0 bytes, but at the checkpoint the program was at byte 20", errors)
        self.assertIn("append to the same file with >>", errors)
        self.assertEqual(self.read("new"), b"")

    def test_other_file_is_refused(self) -> None:
        self.first_life()
        precious = b"p" * 1000
        self.write("precious", precious)
        for options in ("", "-t"):
            status, errors = self.second_life("precious", options=options.split())
            self.assertEqual(status, EFILECHANGED)
            self.assertIn("descriptor 1 is not, or no longer, the file that the program wrote", errors)
            self.assertEqual(self.read("precious"), precious)

    def test_from_file_to_pipe(self) -> None:
        self.first_life()
        self.assertEqual(self.run_it(self.restore_command(self.program)), (0, SECOND, ""))

    def test_from_pipe_to_file(self) -> None:
        self.assertEqual(self.run_it([self.program])[:2], (-signal.SIGKILL, FIRST + NEVER))
        self.write("out", "other\n")
        self.assertEqual(self.second_life(), (0, ""))
        self.assertEqual(self.read("out").decode(), "other\n" + SECOND)

    def test_stdin_goes_on(self) -> None:
        program = DEFAULT.build("large")
        self.write("in", "a\nb\n")
        with open(self.path("in"), "rb") as source:
            self.assertEqual(self.run_it([program], stdin=source)[:2], (0, "small\nlarge\nlarge\nend\n"))
        # Saved after the whole of the file had been read into a buffer, and the second line taken from it.
        with open(self.path("in"), "rb") as source:
            self.assertEqual(self.run_it(self.restore_command(program), stdin=source), (0, "large\nend\n", ""))

    def test_file_of_the_program_is_gone(self) -> None:
        program = DEFAULT.build("state")
        for name, content in (("input", "one\ntwo\n"), ("second", "0123456789"), ("scratch", "")):
            self.write(name, content)
        self.take_checkpoint(program, "a", "b", status=-signal.SIGKILL)
        os.unlink(self.path("second"))
        status, output, errors = self.run_it(self.restore_command(program))
        self.assertEqual((status, output), (EFILECHANGED, ""))
        self.assertIn("second (descriptor", errors)
        self.assertIn("cannot be opened again", errors)

    def test_inherited_descriptors_keep_their_numbers(self) -> None:
        """A descriptor of whoever restores does not shift those that a preamble opens, nor is it taken for a file."""
        program = DEFAULT.build("state")
        for name, content in (("input", "one\ntwo\n"), ("second", "0123456789"), ("scratch", ""), ("junk", "j" * 50)):
            self.write(name, content)
        self.take_checkpoint(program, "a", "b", status=-signal.SIGKILL)
        with open(self.path("junk"), "rb") as junk:
            status, output, errors = self.run_it(self.restore_command(program), pass_fds=(junk.fileno(),))
        self.assertEqual((status, errors), (7, ""))
        for what in ("position of a preamble's file", "position of another file", "numbers of files"):
            self.assertIn("ok " + what, output)

    def test_lost_pipe_is_named(self) -> None:
        """What was inherited and is not there any more keeps its number, and fails."""
        program = DEFAULT.build("generations")
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        self.take_checkpoint(program, "1", status=-signal.SIGKILL, pass_fds=(writing,))
        status, _, errors = self.run_it(self.restore_command(program))
        self.assertEqual(status, 0)
        self.assertIn(f"warning: descriptor {writing} was pipe:", errors)
