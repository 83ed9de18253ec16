"""What comes back."""

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

from support import DEADLINE_S, DEFAULT, PmckptTest, Result, Settings, matrix

CHECKS = 27  # lines "ok ..." of programs/state.ckpt


class StateTest(PmckptTest):
    def save_state(self, program: str, **keywords: Any) -> str:
        self.write("input", "one\ntwo\nthree\n")
        self.write("second", "0123456789")
        self.write("preambles", "")
        self.write("scratch", "")
        return self.take_checkpoint(
            program, "first", "second one", status=-signal.SIGKILL, env={"SET_OUTSIDE": "1"}, **keywords
        )

    def assert_state(self, result: Result) -> None:
        status, output, errors = result
        self.assertEqual((status, errors), (7, ""))
        lines = output.split("\n")
        self.assertEqual((lines[0], lines[-2:]), ("half a line", ["end", ""]))
        self.assertEqual([line for line in lines[1:-2] if not line.startswith("ok ")], [])
        self.assertEqual(len(lines) - 3, CHECKS)
        self.assertEqual(self.read("scratch"), b"0123x56789")

    def test_every_kind(self) -> None:
        for variant in matrix():
            with self.subTest(str(variant)):
                program = variant.build("state")
                self.assertEqual(self.save_state(program), "")
                self.assert_state(self.run_it(self.restore_command(program)))
                self.assertEqual(self.read("preambles"), b"x\nx\n", "the preamble runs in each process")
                os.unlink(self.path("CHECKPOINT"))

    def test_same_checkpoint_again(self) -> None:
        program = DEFAULT.build("state")
        self.save_state(program)
        for _ in range(3):
            self.assert_state(self.run_it(self.restore_command(program)))

    def test_without_randomisation(self) -> None:
        """Fixed addresses, on one side or both, are nothing special."""
        program = DEFAULT.build("state")
        for before, after in (("setarch -R", ""), ("", "setarch -R"), ("setarch -R", "setarch -R")):
            with self.subTest(before=before, after=after):
                self.write("preambles", "")
                self.save_state_of([*before.split(), program])
                self.assert_state(self.run_it([*after.split(), *self.restore_command(program)]))

    def save_state_of(self, command: Sequence[str]) -> None:
        self.write("input", "one\ntwo\nthree\n")
        self.write("second", "0123456789")
        self.write("scratch", "")
        status, _, errors = self.run_it([*command, "first", "second one"], env={"SET_OUTSIDE": "1"})
        self.assertEqual(status, -signal.SIGKILL, errors)

    def test_other_stack_limit(self) -> None:
        program = DEFAULT.build("state")
        self.save_state(program)
        for limit in ("1000", "300000", "unlimited"):
            with self.subTest(limit):
                command = ["bash", "-c", f'ulimit -S -s {limit}; exec "$@"', "bash", *self.restore_command(program)]
                self.assert_state(self.run_it(command))

    def test_without_rseq(self) -> None:
        program = DEFAULT.build("state")
        self.save_state_of(["env", "GLIBC_TUNABLES=glibc.pthread.rseq=0", program])
        self.assert_state(self.run_it(self.restore_command(program)))

    def test_arguments_for_preambles(self) -> None:
        """Given arguments are the preamble's; afterwards the program has its own."""
        program = DEFAULT.build("state")
        self.save_state(program)
        self.assert_state(self.run_it(self.restore_command(program, "CHECKPOINT", "other", "arguments", "here")))

    def test_hundred_generations(self) -> None:
        for variant in list(matrix())[:: 1 if Settings.rounds > 1 else 5]:
            with self.subTest(str(variant)):
                self.generations(variant.build("generations"), 100)

    def generations(self, program: str, last: int) -> None:
        expected = "".join(f"{n} {n * 1000} {chr(97 + n % 26)}\n" for n in range(1, last + 1)) + f"end {last + 1}\n"
        process = self.start_into([program, str(last)], "out")
        for _ in range(last):
            self.assertEqual(process.wait(timeout=DEADLINE_S), -signal.SIGKILL)
            process = self.start_into(self.restore_command(program), "out", "ab")
        self.assertEqual(process.wait(timeout=DEADLINE_S), 0)
        self.assertEqual(self.read("out").decode(), expected)

    def test_size_stays(self) -> None:
        """Generations do not pile up: the hundredth file is about as large as the first."""
        program = DEFAULT.build("generations")
        self.take_checkpoint(program, "100", status=-signal.SIGKILL)
        first = os.path.getsize(self.path("CHECKPOINT"))
        for _ in range(30):
            self.run_it(self.restore_command(program))
        self.assertLess(os.path.getsize(self.path("CHECKPOINT")), first + (200 << 10))

    def test_longjmp(self) -> None:
        for variant in matrix():
            if variant.level != "-O2":
                continue
            with self.subTest(str(variant)):
                program = variant.build("jumps")
                self.take_checkpoint(program, status=-signal.SIGKILL)
                self.assertEqual(self.run_it(self.restore_command(program)), (0, "501\n", ""))

    def test_names_by_environment(self) -> None:
        """CKPTFN and CKPTFNTEMP, after ckpt_init(). The temporary file is beside the other if it is not named."""
        program = DEFAULT.build("large")
        os.mkdir(self.path("there"))
        status, _, _ = self.run_it([program], env={"CKPTFN": "there/saved"}, stdin=-3)
        self.assertEqual(status, 0)
        self.assertEqual((os.listdir(self.path("there")), os.listdir(self.folder)), (["saved"], ["there"]))
        self.assertEqual(os.stat(self.path("there/saved")).st_mode & 0o777, 0o600)
        self.assertEqual(self.run_it(self.restore_command(program, "there/saved"), stdin=-3)[0], 0)
        os.mkdir(self.path("CHECKPOINT.TEMP"))
        status, _, errors = self.run_it([program], env={"CKPTFNTEMP": "there/temp"}, stdin=-3)
        self.assertEqual((status, errors), (0, ""))
        self.assertTrue(os.path.exists(self.path("CHECKPOINT")))

    def test_found_in_path(self) -> None:
        program = DEFAULT.build("generations")
        self.take_checkpoint(program, "1", status=-signal.SIGKILL)
        path = os.path.dirname(program) + ":" + os.environ["PATH"]
        self.assertEqual(self.run_it(self.restore_command("generations"), env={"PATH": path})[0], 0)

    def test_foreign_kernel(self) -> None:
        """Where the vdso is another one, system calls take its place."""
        program = DEFAULT.build("state")
        self.save_state(program)
        data = bytearray(self.read("CHECKPOINT"))
        records = list(walk(data))
        (vdso,) = [offset for kind, offset, _ in records if kind == 6]
        data[vdso + 24] ^= 1  # its checksum
        end = records[-1][1]
        data[end + 8 : end + 12] = crc32c(data[: end - 16]).to_bytes(4, "little")
        self.write("CHECKPOINT", bytes(data))
        os.chmod(self.path("CHECKPOINT"), 0o600)
        self.assert_state(self.run_it(self.restore_command(program)))

    def test_foreign_processor(self) -> None:
        program = DEFAULT.build("state")
        self.save_state(program)
        data = bytearray(self.read("CHECKPOINT"))
        records = list(walk(data))
        (machine,) = [(offset, size) for kind, offset, size in records if kind == 5]
        data[machine[0] + machine[1] - 24 + 3] |= 0x80  # bit 31 of the first word of features: none has it
        end = records[-1][1]
        data[end + 8 : end + 12] = crc32c(data[: end - 16]).to_bytes(4, "little")
        self.write("CHECKPOINT", bytes(data))
        os.chmod(self.path("CHECKPOINT"), 0o600)
        status, output, errors = self.run_it(self.restore_command(program))
        self.assertEqual((status, output), (204, ""))
        self.assertIn("this processor lacks instructions", errors)


def walk(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The records of a CHECKPOINT file: (type, offset of the payload, its size)."""
    offset = 16
    while offset < len(data):
        kind = int.from_bytes(data[offset : offset + 4], "little")
        size = int.from_bytes(data[offset + 8 : offset + 16], "little")
        yield kind, offset + 16, size
        offset += 16 + (size + 7) // 8 * 8


def crc32c(data: bytes) -> int:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
