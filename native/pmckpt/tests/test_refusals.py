"""What is refused: at the checkpoint, where the program goes on, and at the restore, where nothing is half done."""

import os
import signal
import subprocess

from support import (
    DEFAULT,
    ECORRUPT,
    EFILECHANGED,
    EFORMAT,
    EINVAL,
    ENOENT,
    ERSTRTABRT,
    ETRUNCATED,
    EUNTRUSTED,
    EUSAGE,
    PROGRAMS,
    PmckptTest,
    build_program,
    tool,
)
from test_state import walk


class CheckpointRefusalTest(PmckptTest):
    """programs/refused.ckpt wants a checkpoint that cannot be, then one that can."""

    def refused(self, kind: str, *messages: str) -> None:
        program = DEFAULT.build("refused")
        self.write("CHECKPOINT", "the former one")
        process = self.start([program, kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        status, output, errors = self.result_of(process)
        self.assertEqual((status, output), (0, "before\nbetween\nafter\n"), errors)
        self.assertEqual(errors.count("\n"), 1, errors)
        self.assertIn("no checkpoint taken, the program goes on, and CHECKPOINT is as it was", errors)
        for message in messages:
            self.assertIn(message, errors)
        self.assertEqual(sorted(os.listdir(self.folder)), ["CHECKPOINT"])
        self.assertEqual(self.run_it(self.restore_command(program)), (0, "after\n", ""))

    def test_threads(self) -> None:
        self.refused("thread", "the process has 2 threads", "end the others before the CKPT POINT")

    def test_shared_memory(self) -> None:
        self.refused("shared", "is shared (/dev/zero (deleted))", "unmap it")

    def test_posix_timer(self) -> None:
        self.refused("timer", "timer_create()", "use setitimer()")

    def test_unlinked_file(self) -> None:
        self.refused("unlinked", "(deleted), which nobody could open again", "keep such files linked")

    def test_other_stack(self) -> None:
        self.refused("stack", "on another stack than main() has")

    def test_call_without_point(self) -> None:
        self.refused("call", "main() in ", "refused.ckpt has called a function with CKPT lines without a CKPT POINT")

    def test_second_call_without_point(self) -> None:
        self.refused(
            "second call", "main() in ", "refused.ckpt has called a function with CKPT lines without a CKPT POINT"
        )

    def test_linked_out_of_order(self) -> None:
        path = self.path("refused")
        build_program(os.path.join(PROGRAMS, "refused.ckpt"), path, ["gcc"])
        subprocess.run(["gcc", "-o", path, tool("pmckpt.o"), tool("pmceot.o"), path + ".o"], check=True)
        status, _, errors = self.run_it([path])
        self.assertEqual(status, 0)
        self.assertIn("was linked out of order; link again with pmckpt.o first and pmceot.o last", errors)
        self.assertFalse(os.path.exists(self.path("CHECKPOINT")))

    def test_linked_without_pmceot(self) -> None:
        path = self.path("refused")
        build_program(os.path.join(PROGRAMS, "refused.ckpt"), path, ["gcc"])
        process = subprocess.run(["gcc", "-o", path, tool("pmckpt.o"), path + ".o"], stderr=subprocess.PIPE)
        self.assertNotEqual(process.returncode, 0)
        self.assertIn(b"is_in_pmceot_o", process.stderr)


class RestoreRefusalTest(PmckptTest):
    def setUp(self) -> None:
        super().setUp()
        self.program = DEFAULT.build("shorter")
        process = self.start_into([self.program], "out")
        self.assertEqual(process.wait(), -signal.SIGKILL)
        self.output = self.read("out")
        self.good = self.read("CHECKPOINT")

    def refused(self, status: int, *messages: str, program: str | None = None, checkpoint: str = "CHECKPOINT") -> None:
        process = self.start_into(
            self.restore_command(program or self.program, checkpoint), "out", "ab", stderr=subprocess.PIPE
        )
        got, _, errors = self.result_of(process)
        self.assertEqual(got, status, errors)
        self.assertEqual(errors.count("\n"), 1, errors)
        for message in ("pmckpt: not restored: ", *messages):
            self.assertIn(message, errors)
        self.assertEqual(self.read("out"), self.output, "nothing may happen to the file")

    def write_checkpoint(self, content: bytes) -> None:
        self.write("CHECKPOINT", content)
        os.chmod(self.path("CHECKPOINT"), 0o600)

    def test_the_good_one(self) -> None:
        """So that the others fail for their own reason."""
        self.write_checkpoint(self.good)
        process = self.start_into(self.restore_command(self.program), "out", "ab")
        self.assertEqual(process.wait(), 0)
        self.assertNotEqual(self.read("out"), self.output)

    def test_truncated(self) -> None:
        lengths = {1, 7, 15, 16, 17, 31, 100, 1000, len(self.good) // 2, len(self.good) - 33, len(self.good) - 1}
        lengths.update(offset for _, offset, _ in list(walk(self.good))[:12])
        for length in sorted(lengths):
            with self.subTest(length=length):
                self.write_checkpoint(self.good[:length])
                self.refused(ETRUNCATED)

    def test_empty(self) -> None:
        self.write_checkpoint(b"")
        self.refused(ETRUNCATED, "CHECKPOINT is empty")

    def test_longer(self) -> None:
        self.write_checkpoint(self.good + b"\0" * 16)
        self.refused(ECORRUPT)

    def test_damaged_anywhere(self) -> None:
        """One bit, in each record's head and payload and in many places of the memory."""
        places = {9, 12, len(self.good) // 3, len(self.good) - 1, len(self.good) - 8, len(self.good) - 16}
        for _, offset, size in walk(self.good):
            places.update({offset - 16, offset - 12, offset - 8, offset, offset + size - 1})
        for place in sorted(places):
            for bit in (0, 7):
                with self.subTest(place=place, bit=bit):
                    bad = bytearray(self.good)
                    bad[place] ^= 1 << bit
                    self.write_checkpoint(bytes(bad))
                    process = self.start_into(self.restore_command(self.program), "out", "ab", stderr=subprocess.PIPE)
                    _, errors = process.communicate()
                    self.assertIn(process.returncode, (ECORRUPT, ETRUNCATED, EFORMAT), errors)
                    self.assertEqual(self.read("out"), self.output)

    def test_foreign_file(self) -> None:
        self.write_checkpoint(b"\x7fELF and so on, long enough")
        self.refused(EFORMAT, "CHECKPOINT is not a checkpoint of pmckpt", "second")

    def test_missing(self) -> None:
        self.refused(ENOENT, "nowhere cannot be opened: No such file or directory", checkpoint="nowhere")

    def test_folder(self) -> None:
        self.refused(EFORMAT, "is not a regular file", checkpoint=self.folder)

    def test_other_program(self) -> None:
        other = DEFAULT.build("generations")
        self.refused(
            EFILECHANGED, "is not the program that wrote CHECKPOINT", "that was " + self.program, program=other
        )

    def test_not_a_program_of_pmckpt(self) -> None:
        """It must not run at all."""
        self.refused(EFILECHANGED, program="/bin/echo")

    def test_other_build(self) -> None:
        path = self.path("shorter")
        build_program(os.path.join(PROGRAMS, "shorter.ckpt"), path, ["gcc", "-O1"], ["-fPIE"], ["-pie"])
        self.refused(EFILECHANGED, "another build", program=path)

    def test_stripped_is_the_same(self) -> None:
        path = self.path("stripped")
        subprocess.run(["strip", "-o", path, self.program], check=True)
        process = self.start_into(self.restore_command(path), "out", "ab")
        self.assertEqual(process.wait(), 0)

    def test_script(self) -> None:
        self.write("script", "#!/bin/sh\ntouch ran\n")
        os.chmod(self.path("script"), 0o700)
        self.refused(EINVAL, "is not a program for this machine", program="./script")
        self.assertFalse(os.path.exists(self.path("ran")))

    def test_no_such_program(self) -> None:
        self.refused(ENOENT, "there is no program nothing-of-that-name", program="nothing-of-that-name")

    def test_writable_by_others(self) -> None:
        os.chmod(self.path("CHECKPOINT"), 0o620)
        self.refused(EUNTRUSTED, "could have been written by somebody else")

    def test_of_another_user(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can give a file away")
        os.chown(self.path("CHECKPOINT"), 65534, 65534)
        self.refused(EUNTRUSTED, "could have been written by somebody else")

    def test_usage(self) -> None:
        for arguments in ("", "a", "-x a b"):
            status, _, errors = self.run_it([tool("checkpoint"), *arguments.split()])
            self.assertEqual(status, EUSAGE)
            self.assertIn("usage: checkpoint", errors)

    def test_set_user_id(self) -> None:
        """Memory of the caller's making must not run with another's rights, and the program must not just run."""
        if os.geteuid() != 0:
            self.skipTest("only root can make a program of another user")
        path = self.path("shorter")
        subprocess.run(["cp", self.program, path], check=True)
        os.chmod(path, 0o4755)
        for name in (self.folder, self.path("CHECKPOINT")):
            os.chown(name, 65534, 65534)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *self.restore_command(path)]
        status, output, errors = self.run_it(command)
        self.assertEqual((status, output), (1, ""), errors)
        self.assertIn("remove the set-user-ID bit", errors)

    def test_variable_alone_does_nothing_good(self) -> None:
        """The variable that `checkpoint` sets, set by hand: an error, not a program that runs in a strange state."""
        for value in ("0", "77", "x", ""):
            status, output, errors = self.run_it([self.program], env={"CKPT_RESTORE_FROM": value}, stdin=-3)
            self.assertNotIn(status, (0, -signal.SIGKILL))
            self.assertEqual(output, "")
            self.assertIn("pmckpt: not restored", errors)


class LostTest(PmckptTest):
    """Programs that break the rules: programs/lost.ckpt finds the file `restoring` and behaves differently."""

    def lost(self, kind: str, *messages: str) -> None:
        program = DEFAULT.build("lost")
        self.take_checkpoint(program, kind)
        self.write("restoring", "")
        status, output, errors = self.run_it(self.restore_command(program))
        self.assertEqual((status, output), (ERSTRTABRT, ""), errors)
        for message in ("pmckpt: not restored: ", *messages):
            self.assertIn(message, errors)

    def test_good(self) -> None:
        program = DEFAULT.build("lost")
        self.take_checkpoint(program, "n")
        self.write("restoring", "")
        self.assertEqual(self.run_it(self.restore_command(program)), (0, "inner\nmain\n", ""))

    def test_exits(self) -> None:
        self.lost("e", "the program ended after 0 of 2 calls")

    def test_returns(self) -> None:
        self.lost("r", "main() in ", "lost.ckpt returned on the way to the checkpoint")

    def test_calls_in_preamble(self) -> None:
        self.lost("c", "elsewhere() in ", "was called on the way to the checkpoint, but not when it was taken")

    def test_calls_another(self) -> None:
        self.lost("o", "elsewhere() in ", "in place of inner() in ")
