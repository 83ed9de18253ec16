"""What the tests of cr_job have in common: they share a cluster, and call the command in it."""

from __future__ import annotations

import json
import subprocess
import unittest
from pathlib import Path
from typing import Any

from cluster import Cluster, wait


def cr_job(cluster: Cluster, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return cluster.command("cr_job", *words, check=check)


def listed(cluster: Cluster, *words: str) -> dict[str, dict[str, Any]]:
    jobs = json.loads(cr_job(cluster, "list", "--json", "--scheduler", "slurm", *words).stdout)
    return {job["job"]: job for job in jobs}


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


class OnCluster(unittest.TestCase):
    """Tests that share a cluster, and leave no job in it."""

    cluster: Cluster

    def end(self, job: str) -> None:
        self.cluster.admin("scancel", job)
        # An array has a line for each of its tasks.
        listing = ["squeue", "-h", "-j", job, "-t", "RUNNING,COMPLETING,PENDING"]
        wait(f"job {job} to be gone", lambda: not self.cluster.admin(*listing, check=False).stdout.strip())
