#!/usr/bin/python3
"""The jobs of examples/jobs/slurm, each interrupted: they check their results, and write what they always do."""

from __future__ import annotations

import functools
import re
import shutil
import unittest
from pathlib import Path
from typing import ClassVar, Mapping, Union

from cluster import TOP, Cluster, ClusterError, wait
from jobs import OURS, SLURMS_OWN, urgent
from runner import main

EXAMPLES = TOP / "examples" / "jobs" / "slurm"
CONF = {"PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE", "KillWait": "200", "JobFileAppend": "0"}
PARTITIONS = (
    "batch Default=YES PriorityTier=5 Nodes={first}",
    "low PriorityTier=1 PreemptMode=REQUEUE Nodes={second}",
    "high PriorityTier=10 PreemptMode=OFF Nodes={second}",
)


class Examples(Cluster):
    """One node for all that is not preempted, and one for what is."""

    def configure(self) -> None:
        first, second = (node.name for node in self.nodes.values())
        self.partitions = [text.format(first=first, second=second) for text in PARTITIONS]
        super().configure()


class ExamplesTest(unittest.TestCase):
    cluster: ClassVar[Cluster]

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = cls.enterClassContext(Examples(nodes=2, cpus=16, conf=CONF))
        shutil.copy(TOP / "examples" / "heat" / "heat.c", cls.cluster.write("heat.c", ""))
        cls.cluster.write("pi.py", (EXAMPLES / "pi.py").read_text(encoding="utf-8"))

    def submit(self, name: str, *words: str, options: tuple[str, ...] = ()) -> int:
        env = {"HEAT_SOURCE": str(self.cluster.work / "heat.c")}
        script = self.cluster.write(name, (EXAMPLES / name).read_text(encoding="utf-8"))
        return self.cluster.sbatch(script, *options, "--open-mode=append", arguments=words, env=env)

    def lines(self, path: Path) -> list[str]:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [line for line in text.splitlines() if not SLURMS_OWN.match(line)]

    def wait_lines(self, job: Union[int, str], path: Path, count: int) -> None:
        def reached() -> bool:
            state = self.cluster.state(job)
            if state not in ("PENDING", "RUNNING", "COMPLETING"):
                raise ClusterError(f"job {job} is {state} before line {count}:\n" + "\n".join(self.lines(path)[-10:]))
            return len(self.lines(path)) >= count

        wait(f"line {count} of {path}", reached)

    def requeued(self, jobs: Mapping[Union[int, str], Path]) -> None:
        """Requeues each after its first lines, and waits for their ends."""
        for job, path in jobs.items():
            self.wait_lines(job, path, 3)
            self.cluster.scontrol("requeue", str(job))
        for job, path in jobs.items():
            wait(f"the second start of {job}", functools.partial(self.is_restarted, job))
            self.cluster.wait_for(job, ("COMPLETED", "FAILED"))
            self.check(job, path)

    def is_restarted(self, job: Union[int, str]) -> bool:
        return self.cluster.restarts(job) == 1

    def check(self, job: Union[int, str], path: Path) -> list[str]:
        lines = self.lines(path)
        self.assertEqual(self.cluster.exit_code(job), "0:0", "\n".join(lines[-10:]))
        self.assertEqual(lines[-1], "correct")
        self.assertEqual(self.cluster.restarts(job), 1)
        self.assertEqual([line for line in lines if OURS.match(line)], [])
        # Begun anew, a job would have said its first words twice.
        self.assertEqual(lines.count(lines[0]), 1, lines[0])
        return lines

    def test_serial(self) -> None:
        job = self.submit("serial.sh", "10000")
        output = self.cluster.output(job)
        self.requeued({job: output})
        numbers = [int(line.split()[0]) for line in self.lines(output)[:-1]]
        self.assertEqual(numbers, list(range(25, 10001, 25)))

    def test_openmp(self) -> None:
        job = self.submit("openmp.sh", "1000")
        output = self.cluster.output(job)
        self.requeued({job: output})
        steps = [int(line.split()[1]) for line in self.lines(output) if line.startswith("step")]
        self.assertEqual(steps, sorted(set(steps)))
        self.assertEqual(len(steps), 1000 // 20)

    def test_pipeline(self) -> None:
        job = self.submit("pipeline.sh", "2000000")
        output = self.cluster.output(job)
        self.requeued({job: output})
        self.assertEqual(self.lines(output)[:-1], [f"{number} sent" for number in range(20000, 2000001, 20000)])

    def test_array(self) -> None:
        array = self.submit("array.sh")
        outputs = {number: self.cluster.work / f"primes-{array}-{number}.out" for number in (1, 2, 3)}
        self.requeued({f"{array}_{number}": output for number, output in outputs.items()})
        for number, output in outputs.items():
            below = [int(line.split()[2]) for line in self.lines(output) if re.match(r"\d+ below ", line)]
            self.assertEqual(below, list(range(10001, 800001 + 200000 * number, 10000)))

    def test_preemptible(self) -> None:
        job = self.submit("preemptible.sh", options=("--exclusive",))
        output = self.cluster.output(job)
        self.wait_lines(job, output, 3)
        self.cluster.wait_for(urgent(self.cluster, "--exclusive"), "COMPLETED")
        self.cluster.wait_for(job, ("COMPLETED", "FAILED"))
        lines = self.check(job, output)
        starts = [int(line.split(":")[0]) for line in lines if re.match(r"\d+: ", line)]
        self.assertEqual(starts, list(range(1000, starts[-1] + 1, 1000)))


if __name__ == "__main__":
    main()
