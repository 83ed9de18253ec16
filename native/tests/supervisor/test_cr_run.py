#!/usr/bin/python3
"""cr_run as BLCR's preload wrapper, and the libraries that it preloads."""

import re
import subprocess

from harness import ProcessTest, main


class Wrapper(ProcessTest):
    def cr_run(self, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return self.run_to_end(self.tree.command("cr_run"), *arguments, env=self.tree.environment(**env))

    def preload(self, *arguments: str, **env: str) -> str:
        return self.cr_run(*arguments, "printenv", "LD_PRELOAD", **env).stdout.strip()

    def library(self, name: str) -> str:
        return f"{self.tree.prefix}/lib/{name}.so.0"

    def test_exit_status_is_the_command_s(self) -> None:
        self.assertEqual(self.cr_run("sh", "-c", "exit 7").returncode, 7)
        self.assertEqual(self.cr_run("sh", "-c", "kill -TERM $$").returncode, -15)

    def test_command_that_cannot_be_executed(self) -> None:
        missing = self.cr_run("no-such-command")
        self.assertEqual((missing.returncode, missing.stdout), (127, ""))
        self.assertIn("cannot execute no-such-command: No such file or directory", missing.stderr)
        self.assertEqual(self.cr_run("/etc").returncode, 126)

    def test_preloads_by_full_path_and_really(self) -> None:
        self.assertEqual(self.preload(), self.library("libcr_run"))
        self.assertEqual(self.preload("--run"), self.library("libcr_run"))
        self.assertEqual(self.preload("--omit"), self.library("libcr_omit"))
        self.assertEqual(self.preload("--omit", "--run"), self.library("libcr_run"))
        for option, name in (("--run", "libcr_run"), ("--omit", "libcr_omit")):
            maps = self.cr_run(option, "cat", "/proc/self/maps")
            self.assertRegex(maps.stdout, rf"/{name}\.so\.0\b")
            self.assertEqual(maps.stderr, "")

    def test_keeps_other_preloads_behind_and_drops_its_own(self) -> None:
        run = self.library("libcr_run")
        libc = next(iter(re.findall(r"/\S+/libc\.so\.6", self.cr_run("cat", "/proc/self/maps").stdout)))
        for before, after in (
            (libc, f"{run}:{libc}"),
            (f":{libc}::", f"{run}:{libc}"),
            (f"libcr_omit.so.0 {libc}:libcr_run.so.0.5.5", f"{run}:{libc}"),
            (f"/old/lib/libcr_run.so.0:/old/lib/libcr_omit.so:{run}", run),
            (f"/x/libcr_runner.so:{libc}", f"{run}:/x/libcr_runner.so:{libc}"),
        ):
            with self.subTest(before):
                self.assertEqual(self.preload(LD_PRELOAD=before), after)

    def test_leaves_ld_library_path_alone(self) -> None:
        self.assertEqual(self.cr_run("printenv", "LD_LIBRARY_PATH").stdout, "")

    def test_nested_and_inherited(self) -> None:
        inner = self.cr_run(self.tree.command("cr_run"), "--omit", "sh", "-c", "sh -c 'printenv LD_PRELOAD'")
        self.assertEqual(inner.stdout.strip(), self.library("libcr_omit"))

    def test_options_end_at_the_first_word_that_is_none(self) -> None:
        self.assertEqual(self.cr_run("--", "printf", "%s", "--help").stdout, "--help")
        self.assertEqual(self.cr_run("printf", "%s", "--omit").stdout, "--omit")
        self.assertEqual(self.cr_run("-x").returncode, 127)

    def test_help_version_usage(self) -> None:
        for option in ("-?", "--help"):
            self.assertEqual(self.cr_run(option).returncode, 0)
            self.assertIn("Usage: cr_run", self.cr_run(option).stdout)
        self.assertRegex(self.cr_run("--version").stdout, r"^cr_run: version \S+\n$")
        wrongs: list[list[str]] = [
            [],
            ["--run"],
            ["--name", "x", "true"],
            ["--omit", "--checkpoint", "1h", "true"],
            ["--checkpoint"],
        ]
        for wrong in wrongs:
            with self.subTest(wrong):
                result = self.cr_run(*wrong)
                self.assertEqual((result.returncode, result.stdout), (255, ""))
                self.assertIn("Usage: cr_run", result.stderr)


class Libraries(ProcessTest):
    def symbols(self, name: str) -> set[str]:
        listing = self.run_to_end("nm", "-D", "--defined-only", f"{self.tree.prefix}/lib/{name}.so.0")
        return {line.split()[-1] for line in listing.stdout.splitlines()}

    def test_the_marks_export_their_link_name_only(self) -> None:
        for name in ("libcr_run", "libcr_omit"):
            self.assertEqual(self.symbols(name), {f"{name[3:]}_link_me"})

    def test_libcr_exports_nothing_but_its_interface(self) -> None:
        others = {s for s in self.symbols("libcr") if not re.match(r"(cr|cri|caesura_job)_", s)}
        self.assertEqual(others, set())
        self.assertIn("cr_link_me", self.symbols("libcr"))

    def test_soname_and_link(self) -> None:
        for name in ("libcr", "libcr_run", "libcr_omit"):
            dynamic = self.run_to_end("readelf", "-d", f"{self.tree.prefix}/lib/{name}.so").stdout
            self.assertIn(f"Library soname: [{name}.so.0]", dynamic)
            if name != "libcr":  # the marks load into any program, also one without libc
                self.assertNotIn("NEEDED", dynamic)

    def test_can_be_linked_with_by_their_link_names(self) -> None:
        for name in ("cr", "cr_run", "cr_omit"):
            source, program = self.tree.scratch / f"{name}.c", self.tree.scratch / name
            source.write_text(f"extern const int {name}_link_me; int main(void) {{ return {name}_link_me; }}\n")
            folder = f"{self.tree.prefix}/lib"
            line = ["gcc", "-o", str(program), str(source), "-u", f"{name}_link_me", f"-L{folder}", f"-l{name}"]
            result = self.run_to_end(*line, f"-Wl,-rpath,{folder}")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn(f"[lib{name}.so.0]", self.run_to_end("readelf", "-d", str(program)).stdout)
            self.assertEqual(self.run_to_end(str(program)).returncode, 0)


if __name__ == "__main__":
    main()
