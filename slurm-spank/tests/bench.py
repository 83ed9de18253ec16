#!/usr/bin/python3
"""Measures batch jobs with and without --checkpoint, each pair in turn, on a private Slurm; prints a markdown table.

    bench/slurm [--rounds N] [--write]

CPU time is that of all processes that a job's stepd ever had, as the kernel adds it up for who reaps them. --write puts
the table into bench/RESULTS.md, below "## Batch jobs".
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import sys
import time
import unittest
from pathlib import Path
from typing import Optional, Sequence

from cluster import TOP, Cluster, wait
from jobs import Counter, urgent
from processes import fields_of

TITLE = "## Batch jobs"
NO_TIMER, TIMER = "--checkpoint=default", "--checkpoint=interval=1h"
CONF = {"PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE", "KillWait": "200"}
PARTITIONS = ("low Default=YES PriorityTier=1 PreemptMode=REQUEUE", "high PriorityTier=10 PreemptMode=OFF")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# A loop that touches memory all the time and says how long it took by the clock and by its own CPU time. It begins when
# the engine has: the start is measured above.
WORK = """#!/usr/bin/python3
import time
time.sleep(4)
began, cpu = time.monotonic(), time.process_time()
numbers = list(range(1 << 16))
for turn in range(600):
    for place in range(0, 1 << 16, 2):
        numbers[place] = (numbers[place] * 1103515245 + turn) & 0x7fffffff
print(time.monotonic() - began, time.process_time() - cpu)
"""


def reaped_cpu_s(cluster: Cluster) -> float:
    """CPU time of all stepds that have ended, with all below them."""
    fields = fields_of(cluster.nodes["n1"].keepers[0].pid)
    if fields is None:
        raise RuntimeError("the keeper is gone")
    return (int(fields[13]) + int(fields[14])) / TICKS_PER_S


def children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_job(cluster: Cluster, script: str, options: Sequence[str]) -> tuple[float, float, Path]:
    """CPU-seconds of sbatch, of the job with its stepd, and its output."""
    path = cluster.write("bench-job", script)
    before_sbatch, before = children_cpu_s(), reaped_cpu_s(cluster)
    job = cluster.sbatch(path, *options)
    submitted = children_cpu_s() - before_sbatch
    cluster.wait_for(job, "COMPLETED")
    wait("its stepd to be reaped", lambda: len(cluster.processes_of("n1")) == 1)
    return submitted, reaped_cpu_s(cluster) - before, cluster.output(job)


class Table:
    def __init__(self) -> None:
        self.rows = ["| what | Caesura | without | ratio or difference | goal |", "|---|---:|---:|---:|---|"]

    def add(self, what: str, ours: str, other: str, comparison: str, goal: str = "") -> None:
        self.rows.append(f"| {what} | {ours} | {other} | {comparison} | {goal} |")
        print(self.rows[-1], file=sys.stderr, flush=True)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def starts(table: Table, cluster: Cluster, rounds: int) -> None:
    """Jobs that do nothing: what is left is the cost of the start and the end."""
    kinds: dict[str, tuple[str, ...]] = {"none": (), "default": (NO_TIMER,), "timer": (TIMER,)}
    costs: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for turn in range(rounds + 1):
        for kind, options in kinds.items():
            submit, job, _ = run_job(cluster, "#!/bin/bash\n:\n", options)
            if turn > 0:
                costs[kind].append((submit, job))
    plain = median([job for _, job in costs["none"]])
    for kind, what, goal in (("default", "without a timer", "none"), ("timer", "with a timer", "below 1 s")):
        mine = median([job for _, job in costs[kind]])
        table.add(
            f"CPU time of an empty job, {what}", f"{mine:.2f} s", f"{plain:.2f} s", f"+{mine - plain:.2f} s", goal
        )
    submits = median([submit for submit, _ in costs["default"]]), median([submit for submit, _ in costs["none"]])
    table.add("CPU time of sbatch", f"{submits[0]:.2f} s", f"{submits[1]:.2f} s", f"+{submits[0] - submits[1]:.2f} s")


def rollup_kib(pid: int) -> tuple[int, int]:
    """PSS and RSS."""
    values = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value = line.split(":")
        values[name] = int(value.split()[0])
    return values["Pss"], values["Rss"]


def memory(table: Table, test: unittest.TestCase, cluster: Cluster) -> None:
    job = Counter(test, cluster, "--checkpoint=interval=2s,keep=2")
    job.wait_context(5)
    engine = [rollup_kib(one.pid) for one in job.named("n1", "java")]
    ours = [rollup_kib(one.pid) for one in job.named("n1", "cr_run")]
    job.finish()
    if len(engine) != 1 or len(ours) != 2:
        sys.exit(f"bench: {len(engine)} engines and {len(ours)} cr_run, not 1 and 2")
    table.add(
        "cr_run, supervisor and init together: PSS (RSS)",
        f"{sum(pss for pss, _ in ours)} KiB ({sum(rss for _, rss in ours)} KiB)",
        "",
        "",
        "below 2 MiB",
    )
    table.add(
        "engine of a job with a timer, after 5 checkpoints: PSS (RSS)",
        f"{engine[0][0] / 1024:.1f} MiB ({engine[0][1] / 1024:.1f} MiB)",
        "",
        "",
        "below 64 MiB",
    )


def steady(table: Table, cluster: Cluster, rounds: int) -> None:
    ratios: dict[str, list[float]] = {"wall": [], "cpu": []}
    times: list[tuple[list[float], list[float]]] = []
    for turn in range(rounds + 1):
        pair = []
        for options in ((TIMER,), ()) if turn % 2 else ((), (TIMER,)):
            output = run_job(cluster, WORK, options)[2]
            pair.append([float(word) for word in output.read_text(encoding="ascii").split()])
        ours, plain = pair if turn % 2 else reversed(pair)
        if turn > 0:
            times.append((ours, plain))
            ratios["wall"].append(ours[0] / plain[0])
            ratios["cpu"].append(ours[1] / plain[1])
    for place, (name, what) in enumerate((("wall", "by the clock"), ("cpu", "in its own CPU time"))):
        table.add(
            f"the same work in a job with a timer, between checkpoints, {what}",
            f"{median([ours[place] for ours, _ in times]):.2f} s",
            f"{median([plain[place] for _, plain in times]):.2f} s",
            f"{median(ratios[name]):.3f} ({min(ratios[name]):.3f}..{max(ratios[name]):.3f})",
            "1.00 within the noise",
        )


def preemption(table: Table, test: unittest.TestCase, cluster: Cluster, rounds: int) -> None:
    """From the urgent job's submission to its first instruction, and from there to the first one's next line."""
    waits: dict[bool, list[float]] = {True: [], False: []}
    again: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        for protected in (True, False):
            job = Counter(test, cluster, *((NO_TIMER,) if protected else ()))
            job.wait_running()
            submitted = time.time()
            high = urgent(cluster)
            cluster.wait_for(high, "COMPLETED")
            waits[protected].append(float(cluster.output(high).read_text(encoding="ascii")) - submitted)
            ended = time.time()
            wait("the next start", lambda: job.cluster.restarts(job.id) == 1)
            count = job.count()
            begins = sum(line.startswith("begin") for line in job.text())
            wait(
                "its next line",
                lambda: job.count() > count or sum(line.startswith("begin") for line in job.text()) > begins,
            )
            again[protected].append(time.time() - ended)
            job.end()
            cluster.wait_for(job.id, "COMPLETED")
    for what, values in (("preemption to the start of the urgent job", waits), ("its end to the next line", again)):
        mine, other = median(values[True]), median(values[False])
        table.add(what, f"{mine:.2f} s", f"{other:.2f} s", f"{mine / other:.2f}")


def surroundings() -> str:
    models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="ascii") if "model name" in line]
    return (
        f"Linux {platform.release()}, {len(models)} × {models[0] if models else platform.machine()},"
        f" user id {os.getuid()}, {time.strftime('%Y-%m-%d')}"
    )


def write(text: str) -> None:
    results = TOP / "bench" / "RESULTS.md"
    old = results.read_text(encoding="utf-8")
    begin = old.find(f"\n{TITLE}\n")
    end = old.find("\n## ", begin + 1) if begin >= 0 else -1
    kept = (old[:begin] if begin >= 0 else old).rstrip("\n") + "\n"
    results.write_text(kept + f"\n{TITLE}\n\n{text}" + (old[end:] if end >= 0 else ""), encoding="utf-8")


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description="Measures batch jobs with and without --checkpoint.")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of which the median is taken (default: 7)")
    parser.add_argument("--write", action="store_true", help="also write bench/RESULTS.md")
    options = parser.parse_args(arguments)
    table, test, load = Table(), unittest.TestCase(), os.getloadavg()[0]
    with Cluster(cpus=1, conf=CONF, partitions=PARTITIONS) as cluster:
        starts(table, cluster, options.rounds)
        memory(table, test, cluster)
        steady(table, cluster, options.rounds)
        preemption(table, test, cluster, min(3, options.rounds))
        test.doCleanups()
    text = (
        f"Of `bench/slurm --write`: {surroundings()}; medians of {options.rounds} rounds (preemption: at most 3).\n"
        f"Load average (1 minute) before {load:.2f}, after {os.getloadavg()[0]:.2f}.\n\n" + "\n".join(table.rows) + "\n"
    )
    print(text, end="")
    if options.write:
        write(text)


if __name__ == "__main__":
    main()
