"""ckptcvt: what it writes, that compilers name the original's lines, and what it refuses."""

import os
import subprocess

from support import EUSAGE, PmckptTest, Result, Settings, tool

GOOD = """#include "pmckpt.h"
int f(int n)
{
CKPT VARS
    int i;
CKPT TOPS
    i = n;
CKPT POINT a b
    return i;
CKPT BOTS
}
"""

BAD = [
    ("CKPT TOPS\nCKPT BOTS\n", 1, "CKPT TOPS without CKPT VARS"),
    ("CKPT BOTS\n", 1, "CKPT BOTS without CKPT VARS"),
    ("\n\nCKPT POINT a b\n", 3, "CKPT POINT without CKPT TOPS"),
    ("CKPT VARS\nCKPT POINT a b\nCKPT TOPS\nCKPT BOTS\n", 2, "CKPT POINT without CKPT TOPS"),
    ("CKPT VARS\nCKPT BOTS\n", 2, "CKPT BOTS without CKPT TOPS"),
    ("CKPT VARS\nCKPT TOPS\n", 2, "the CKPT VARS of line 1 has no CKPT BOTS"),
    ("CKPT VARS\nCKPT TOPS\nCKPT VARS\nCKPT TOPS\nCKPT BOTS\n", 3, "the CKPT VARS of line 1 has no CKPT BOTS"),
    ("CKPT VARS\nCKPT TOPS\nCKPT TOPS\nCKPT BOTS\n", 3, "a second CKPT TOPS"),
    ("CKPT VARS\nCKPT TOPS\nCKPT POINT a\nCKPT BOTS\n", 3, "takes two names"),
    ("CKPT VARS\nCKPT TOPS\nCKPT POINT a b c\nCKPT BOTS\n", 3, "takes two names"),
    ("CKPT VARS\nCKPT TOPS\nCKPT POINT a 2b\nCKPT BOTS\n", 3, "takes two names"),
    (
        "CKPT VARS\nCKPT TOPS\nCKPT POINT a b\nCKPT POINT c b\nCKPT BOTS\n",
        4,
        "b is already used by the CKPT POINT of line 3",
    ),
    ("CKPT VARS\nCKPT TOPS\nCKPT POINT a a\nCKPT BOTS\n", 3, "a is already used"),
    ("CKPT VAR\n", 1, "unknown line CKPT VAR"),
    ("CKPT\n", 1, "unknown line CKPT"),
    ("CKPT VARS now\n", 1, "unknown line CKPT VARS"),
]


class ConverterTest(PmckptTest):
    def convert(self, text: str, *arguments: str) -> Result:
        self.write("orig.c", text)
        with open(self.path("orig.c"), "rb") as source:
            return self.run_it([tool("ckptcvt"), *arguments], stdin=source)

    def compile(self, text: str) -> Result:
        status, output, errors = self.convert(text)
        self.assertEqual((status, errors), (0, ""))
        self.write("tmp.c", output)
        command = ["gcc", "-Wall", "-Wextra", "-Werror", "-I", Settings.build, "-c", "tmp.c"]
        return self.run_it(command, env={"LC_ALL": "C"})

    def test_lines_stay_lines(self) -> None:
        status, output, errors = self.convert(GOOD)
        self.assertEqual((status, errors), (0, ""))
        lines = output.split("\n")
        self.assertEqual(lines[0], '#line 1 "orig.c"')
        for number, (before, after) in enumerate(zip(GOOD.split("\n"), lines[1:], strict=True), 1):
            if not before.startswith("CKPT"):
                self.assertEqual(before, after, f"line {number}")
        self.assertIn("CKPT_POINT(a, b)", output)

    def test_compiles_without_warnings(self) -> None:
        self.assertEqual(self.compile(GOOD), (0, "", ""))

    def test_compiler_names_original(self) -> None:
        for line in range(1, GOOD.count("\n") + 1):
            lines = GOOD.split("\n")
            if lines[line - 1].startswith("CKPT") or line == 1:
                continue
            lines[line - 1] += " @"
            with self.subTest(line=line):
                status, _, errors = self.compile("\n".join(lines))
                self.assertNotEqual(status, 0)
                self.assertIn(f"orig.c:{line}:", errors)

    def test_name_from_argument_and_from_pipe(self) -> None:
        self.assertTrue(self.convert(GOOD, 'we"ird.c')[1].startswith('#line 1 "we\\"ird.c"\n'))
        process = self.start([tool("ckptcvt")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        output, _ = process.communicate(GOOD.encode())
        self.assertTrue(output.startswith(b'#line 1 "<stdin>"\n'))

    def test_leaves_alone_what_is_none(self) -> None:
        text = (
            "/*\nCKPT POINT in a comment\n*/\nint CKPT; // CKPT /*\n CKPT VARS\nCKPTX\n"
            'char *s = "/*"; char c = \'"\'; /* "\nCKPT foo\n*/ int CKPT_VARS_2;\nlast'
        )
        self.assertEqual(self.convert(text), (0, '#line 1 "orig.c"\n' + text + "\n", ""))

    def test_blanks_and_line_ends(self) -> None:
        text = GOOD.replace("CKPT POINT a b\n", "CKPT \t POINT  a\tb \n").replace("CKPT TOPS\n", "CKPT TOPS\r\n")
        self.assertEqual(self.convert(text)[1], self.convert(GOOD)[1])

    def test_errors(self) -> None:
        for text, line, message in BAD:
            with self.subTest(text):
                status, output, errors = self.convert(text)
                self.assertEqual(status, 1)
                self.assertIn(f"ckptcvt: orig.c:{line}: ", errors)
                self.assertIn(message, errors)
                self.assertEqual(errors.count("\n"), 1, errors)
                self.assertIn("#error", output)

    def test_full_disk(self) -> None:
        with open("/dev/full", "wb") as full, open(os.devnull, "rb") as null:
            process = self.start([tool("ckptcvt")], stdin=null, stdout=full, stderr=subprocess.PIPE)
            _, errors = process.communicate()
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"No space left", errors)

    def test_usage(self) -> None:
        status, _, errors = self.run_it([tool("ckptcvt"), "--help"])
        self.assertEqual(status, EUSAGE)
        self.assertIn("usage: ckptcvt", errors)
