"""The real programs that driver.py interrupts: how each is made, started, watched, and what it must leave behind."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


def lines(path: Path) -> int:
    """Lines in a file that may not exist yet."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def copy(name: str, folder: Path) -> None:
    shutil.copy(HERE / name, folder / name)


def compile_c(folder: Path, source: str, *options: str) -> None:
    target = folder / Path(source).stem
    subprocess.run(["gcc", "-O1", *options, "-o", str(target), str(HERE / source)], check=True)


class Program:
    """One program. Its work grows with scale, which the driver raises until a run is long enough to be interrupted."""

    name = ""
    #: Files to compare, beside stdout and stderr.
    results: tuple[str, ...] = ()
    #: Name of a file in the folder that becomes stdin.
    stdin: str | None = None
    #: More options for a checkpoint after which the program goes on and changes files.
    track: tuple[str, ...] = ()
    environment: dict[str, str] = {}

    def prepare(self, folder: Path, scale: int) -> None:
        """Puts what the program needs into an empty folder."""

    def command(self, scale: int) -> list[str]:
        raise NotImplementedError

    def progress(self, folder: Path) -> int:
        """What has been done, as a number that grows from 0; must be cheap."""
        return lines(folder / "stdout")


class Pipeline(Program):
    name = "bash-pipeline"
    results = ("left.out", "right.out")

    def prepare(self, folder: Path, scale: int) -> None:
        copy("pipeline.sh", folder)

    def command(self, scale: int) -> list[str]:
        return ["/bin/bash", "pipeline.sh", str(scale)]

    def progress(self, folder: Path) -> int:
        return lines(folder / "left.out")


class Xz(Program):
    name = "xz-threads"
    results = ("input.xz",)

    def prepare(self, folder: Path, scale: int) -> None:
        generator = random.Random(1)
        words = ["%x" % generator.getrandbits(generator.choice((8, 16, 32))) for _ in range(20000)]
        with open(folder / "input", "w", encoding="ascii") as out:
            for _ in range(30 * scale):
                out.write(" ".join(generator.choices(words, k=30000)) + "\n")

    def command(self, scale: int) -> list[str]:
        return ["xz", "-T2", "-6", "--keep", "--block-size=262144", "input"]

    def progress(self, folder: Path) -> int:
        return size(folder / "input.xz")


class Numpy(Program):
    name = "python-numpy"
    results = ("thread1.out", "thread2.out")
    environment = {"OPENBLAS_NUM_THREADS": "1"}

    def prepare(self, folder: Path, scale: int) -> None:
        copy("threads.py", folder)

    def command(self, scale: int) -> list[str]:
        return ["/usr/bin/python3", "threads.py", str(scale)]

    def progress(self, folder: Path) -> int:
        return min(lines(folder / "thread1.out"), lines(folder / "thread2.out"))


class Sqlite(Program):
    name = "sqlite3"
    results = ("data.db",)
    stdin = "input.sql"

    def prepare(self, folder: Path, scale: int) -> None:
        with open(folder / "input.sql", "w", encoding="ascii") as out:
            # How long the disk takes is none of this test's business; journal and locks are used as ever.
            print("PRAGMA synchronous = OFF;", file=out)
            print("CREATE TABLE t (id INTEGER PRIMARY KEY, x INTEGER, note TEXT);", file=out)
            for number in range(100 * scale):
                # Only the newest rows are looked at, so that the work of a transaction does not grow with the table.
                recent = f"id > {(number - 8) * 400}"
                print(
                    f"BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)"
                    f" INSERT INTO t (x, note) SELECT i * {number + 7} % 1009, hex(i * {number}) FROM n;"
                    f" UPDATE t SET x = x + 1 WHERE id % 7 = {number % 7} AND {recent};"
                    f" DELETE FROM t WHERE id % 11 = {number % 11} AND {recent}; COMMIT;"
                    f" SELECT {number}, count(*), sum(x) FROM t WHERE {recent};",
                    file=out,
                )

    def command(self, scale: int) -> list[str]:
        return ["sqlite3", "-batch", "-bail", "data.db"]

    def progress(self, folder: Path) -> int:
        """The file change counter in the header: the number of transactions committed."""
        try:
            with open(folder / "data.db", "rb") as database:
                return int.from_bytes(database.read(28)[24:28], "big")
        except FileNotFoundError:
            return 0


class Make(Program):
    name = "make-gcc"
    results = ("program", "result")
    # gcc hands its work from one process to the next in files that for a moment nobody has open.
    track = ("tmp",)
    environment = {"TMPDIR": "tmp"}
    units = 12

    def prepare(self, folder: Path, scale: int) -> None:
        (folder / "tmp").mkdir()
        count = self.units * scale
        for unit in range(count):
            body = "".join(
                f"int f{unit}_{n}(int x) {{ for (int i = 0; i < x; i++) x = x * {n + 3} % 1009 + i % {unit + 2};"
                f" switch (x % 5) {{ case 0: return x + {n}; case 1: return x ^ {unit}; default: return x; }} }}\n"
                for n in range(60)
            )
            calls = " + ".join(f"f{unit}_{n}(x)" for n in range(60))
            (folder / f"unit{unit}.c").write_text(f"{body}int unit{unit}(int x) {{ return {calls}; }}\n")
        declarations = "".join(f"int unit{unit}(int);\n" for unit in range(count))
        calls = "".join(f'    printf("%d\\n", unit{unit}({unit}));\n' for unit in range(count))
        (folder / "main.c").write_text(f"#include <stdio.h>\n{declarations}int main(void)\n{{\n{calls}}}\n")
        objects = " ".join(["main.o"] + [f"unit{unit}.o" for unit in range(count)])
        (folder / "Makefile").write_text(
            f"result: program\n\t./program > result\nprogram: {objects}\n\tgcc -o $@ $^\n"
            "%.o: %.c\n\tgcc -O2 -c -o $@ $<\n"
        )

    def command(self, scale: int) -> list[str]:
        return ["make", "-j2"]

    def progress(self, folder: Path) -> int:
        return sum(1 for _ in folder.glob("*.o"))


class Jdk(Program):
    name = "jdk"

    def prepare(self, folder: Path, scale: int) -> None:
        copy("Work.java", folder)

    def command(self, scale: int) -> list[str]:
        return ["java", "-XX:+UseG1GC", "-Xmx256m", "Work.java", str(scale)]


class OpenMp(Program):
    name = "openmp"
    environment = {"OMP_NUM_THREADS": "2"}

    def prepare(self, folder: Path, scale: int) -> None:
        compile_c(folder, "openmp.c", "-fopenmp")

    def command(self, scale: int) -> list[str]:
        return ["./openmp", str(scale)]


class Static(Program):
    name = "static-binary"

    def prepare(self, folder: Path, scale: int) -> None:
        compile_c(folder, "plain.c", "-static")

    def command(self, scale: int) -> list[str]:
        return ["./plain", str(scale)]


PROGRAMS: dict[str, type[Program]] = {
    kind.name: kind for kind in (Pipeline, Xz, Numpy, Sqlite, Make, Jdk, OpenMp, Static)
}
