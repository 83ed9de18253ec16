#!/usr/bin/python3
"""What ./demo slurm shows: a job is preempted on a private Slurm, the urgent job runs, and the first one goes on.

Exit status 0 only if every line of the job's output is there once, in order, and all of one run of the program.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cluster import TOP, Cluster, ClusterError, User, is_root, wait

LINES, PREEMPT_AT = 200, 40
GRACE_S = 600
JOB = f"""#!/bin/bash
token=$RANDOM$RANDOM          # chosen once, kept in memory only
for ((i = 1; i <= {LINES}; i++)); do
    echo "line $i of the run with token $token"
    sleep 0.1
done
"""
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


class Failed(Exception):
    """The claim does not hold."""


def say(text: str) -> None:
    print(f"\n{BOLD}{text}{PLAIN}", flush=True)


def show(text: str) -> None:
    for line in text.rstrip("\n").split("\n"):
        print(f"  {line}", flush=True)


def command(cluster: Cluster, *words: str) -> str:
    print(f"  {BOLD}$ {shlex.join(words)}{PLAIN}", flush=True)
    output = cluster.command(*words).stdout
    show(output)
    return output


def squeue(cluster: Cluster) -> None:
    command(cluster, "squeue", "--format=%.6i %.10P %.9j %.11T %.6M %R")


def readable_tree(folder: Path) -> Path:
    """The installed tree, or a copy of it where the jobs' user cannot look into the checkout."""
    prefix = TOP / "build" / "prefix"
    if is_root():
        uid, gid = User.ids()
        test = ["test", "-x", str(prefix / "bin" / "cr_run")]
        if subprocess.run(test, user=uid, group=gid, extra_groups=[], check=False).returncode != 0:
            shutil.copytree(prefix, folder / "prefix", symlinks=True)
            return folder / "prefix"
    return prefix


def lines_of(output: Path) -> list[str]:
    return output.read_text(encoding="utf-8").splitlines() if output.exists() else []


def ours(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("line ")]


def wait_lines(output: Path, count: int) -> None:
    def reached() -> bool:
        seen = len(ours(lines_of(output)))
        if sys.stdout.isatty():
            print(f"\r  {seen} of {LINES} lines", end="", flush=True)
        return seen >= count

    wait(f"line {count} of {output}", reached)
    if sys.stdout.isatty():
        print()


def submit(cluster: Cluster) -> int:
    say("2. A job that knows nothing of checkpoints, submitted with --checkpoint")
    cluster.write("job.sh", JOB)
    show(JOB)
    words = ["sbatch", "--checkpoint=default", "--signal=B:USR2@60", "--partition=low", "--output=job.out", "job.sh"]
    return int(command(cluster, *words).split()[-1])


def preempt(cluster: Cluster, job: int) -> tuple[int, int]:
    """Returns how many lines there were, and the number of the urgent job."""
    output = cluster.work / "job.out"
    wait_lines(output, PREEMPT_AT)
    squeue(cluster)
    say("3. An urgent job needs the same processor: Slurm preempts")
    words = ["sbatch", "--partition=urgent", "--output=urgent.out", "--wrap=date; sleep 2"]
    began = time.monotonic()
    high = int(command(cluster, *words).split()[-1])
    cluster.wait_for(high, "RUNNING", GRACE_S / 2)
    show(
        f"the urgent job runs after {time.monotonic() - began:.1f} s; Slurm would have waited {GRACE_S} s for the other"
    )
    squeue(cluster)
    count = len(ours(lines_of(output)))
    contexts = sorted((cluster.user.home / ".local/state/caesura" / cluster.name / str(job)).glob("*/context.*"))
    if not contexts:
        raise Failed("there is no context of the preempted job")
    show(f"the first one stopped after line {count}; its context: {contexts[-1].stat().st_size >> 10} KiB in")
    show(str(contexts[-1]))
    return count, high


def go_on(cluster: Cluster, job: int, high: int) -> None:
    say("4. The urgent job ends, and the first one goes on: the same job, started again by Slurm")
    cluster.wait_for(high, "COMPLETED")
    cluster.wait_for(job, ("RUNNING", "COMPLETED"))
    squeue(cluster)
    if cluster.restarts(job) != 1:
        raise Failed(f"Slurm has started the job {cluster.restarts(job) + 1} times, and not twice")
    wait_lines(cluster.work / "job.out", LINES)
    cluster.wait_for(job, "COMPLETED")


def compare(cluster: Cluster, count: int) -> None:
    say("5. Every line once?")
    lines = lines_of(cluster.work / "job.out")
    shown = [number for number, line in enumerate(lines) if line.startswith(f"line {count} ")]
    around = shown[0] if shown else 0
    show("\n".join(["...", *lines[max(0, around - 1) : around + 4], "..."]))
    token = lines[0].rsplit(" ", 1)[1]
    expected = [f"line {number} of the run with token {token}" for number in range(1, LINES + 1)]
    if ours(lines) != expected:
        raise Failed(f"job.out is not lines 1 to {LINES} of one run:\n" + "\n".join(lines))
    if not PREEMPT_AT <= count < LINES:
        raise Failed(f"the job was preempted at line {count}: that shows nothing")
    others = [line for line in lines if line not in expected]
    show(f"{LINES} lines, each once, in order, all with the token that the program chose at its start")
    show(f"besides: {others}" if others else "and nothing else is in the file")


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="caesura-demo-", dir="/tmp"))
    folder.chmod(0o755)
    os.environ["CAESURA_TEST_FOLDER"] = str(folder)
    conf = {
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "SlurmctldParameters": "preempt_send_user_signal",
    }
    partitions = (
        f"low Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime={GRACE_S}",
        "urgent PriorityTier=10 PreemptMode=OFF",
    )
    try:
        say("1. A private Slurm on this host, with the plugin of slurm-spank/")
        with Cluster(cpus=1, conf=conf, partitions=partitions, prefix=readable_tree(folder)) as cluster:
            command(cluster, "sinfo")
            job = submit(cluster)
            count, high = preempt(cluster, job)
            go_on(cluster, job, high)
            compare(cluster, count)
        say(
            f"The job made room for the urgent one after line {count}, went on with line {count + 1}, and lost nothing."
        )
        return 0
    except (Failed, ClusterError) as error:
        print(f"\n{BOLD}FAILED: {error}{PLAIN}", flush=True)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
