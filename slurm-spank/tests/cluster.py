"""A private Slurm: munged, slurmctld and any number of slurmds on this host, in a folder and on ports of their own.

    with Cluster(nodes=2, partitions=["low Default=YES PriorityTier=1", "high PriorityTier=10"]) as cluster:
        job = cluster.sbatch("echo hello", "--time=1")
        cluster.wait_for(job, "COMPLETED")

Started by root the daemons are root's and the jobs are those of an ordinary user, caesura-check, with a home folder of
its own for each process: the user database that says so is bound over /etc/passwd in a mount namespace of the process,
so that nothing of the host changes. Started by an ordinary user everything is that user's, without proctrack/cgroup.

Every daemon runs below a keeper (keeper.py), a process that adopts what the daemon leaves behind. So what belongs to a
node is found by descent, always, and a node can be lost, frozen and stopped without looking for processes by name.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import grp
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Callable, Iterable, Mapping, Optional, Sequence, TypeVar, Union

from processes import Process, alive, descendants, kill_all, state_of

TOP = Path(__file__).resolve().parent.parent.parent
KEEPER = Path(__file__).resolve().parent / "keeper.py"
JOB_USER = "caesura-check"
CGROUPS = Path("/sys/fs/cgroup")
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x00020000, 4096, 16384, 1 << 18
# The range below the ports that the kernel gives to outgoing connections.
PORTS = range(17000, 32000)
# Generous: the machine may be busy with other things. Nothing waits longer than it has to.
LIMIT_S = 120.0
POLL_S = 0.05

Answer = TypeVar("Answer")
Text = Union[str, Path]


class ClusterError(Exception):
    """The cluster does not do what it should; the text says what was waited for, and what is there instead."""


def wait(what: str, condition: Callable[[], Answer], limit: float = LIMIT_S) -> Answer:
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + limit
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise ClusterError(f"waited {limit:.0f} s for: {what}")
        time.sleep(POLL_S)


def is_root() -> bool:
    return os.geteuid() == 0


class Ports:
    """Ports that no other cluster of this host takes: each is held by an abstract socket of its number."""

    def __init__(self) -> None:
        self.held: list[socket.socket] = []

    def take(self) -> int:
        for port in random.sample(PORTS, len(PORTS)):
            holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                holder.bind(f"\0caesura-test-port-{port}")
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                    probe.bind(("0.0.0.0", port))
            except OSError:
                holder.close()
                continue
            self.held.append(holder)
            return port
        raise ClusterError(f"no free port in {PORTS}")

    def release(self) -> None:
        for holder in self.held:
            holder.close()
        self.held.clear()


@functools.cache
def private_mounts() -> None:
    """This process gets mounts of its own, once; those that it starts inherit them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        raise ClusterError(f"a mount namespace: {os.strerror(ctypes.get_errno())}")


def bind(source: Path, target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND, None):
        raise ClusterError(f"binding {source} to {target}: {os.strerror(ctypes.get_errno())}")


class User:
    """Whose jobs run. For root an ordinary user, in a private /etc/passwd; the same in all clusters of a process."""

    def __init__(self) -> None:
        if not is_root():
            entry = pwd.getpwuid(os.getuid())
            self.name, self.uid, self.gid, self.home = entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir)
            return
        self.name = JOB_USER
        self.uid, self.gid = self.ids()
        self.home = new_folder("caesura-home-")
        atexit.register(shutil.rmtree, self.home, ignore_errors=True)
        os.chown(self.home, self.uid, self.gid)
        private_mounts()
        self.replace("passwd", f"{self.name}:x:{self.uid}:{self.gid}::{self.home}:/bin/bash")
        self.replace("group", f"{self.name}:x:{self.gid}:")

    @staticmethod
    def ids() -> tuple[int, int]:
        try:
            entry = pwd.getpwnam(JOB_USER)
            return entry.pw_uid, entry.pw_gid
        except KeyError:
            taken = {user.pw_uid for user in pwd.getpwall()} | {group.gr_gid for group in grp.getgrall()}
            free = next(number for number in range(64000, 65000) if number not in taken)
            return free, free

    def replace(self, name: str, line: str) -> None:
        """Binds a copy of the database over it, with `line` in place of what it says of the user."""
        database = Path("/etc") / name
        kept = [old for old in database.read_text(encoding="utf-8").splitlines() if not old.startswith(f"{self.name}:")]
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as copy:
            copy.write("\n".join([*kept, line, ""]))
            copy.flush()
            os.chmod(copy.name, 0o644)
            bind(Path(copy.name), database)

    def __str__(self) -> str:
        return self.name


user_of_jobs = functools.cache(User)


def new_folder(prefix: str) -> Path:
    """A folder that all users can look into."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=os.environ.get("CAESURA_TEST_FOLDER", "/tmp")))
    folder.chmod(0o755)
    return folder


class Node:
    """One slurmd; also while it is dead."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        # The last one is that of the current slurmd. An earlier one stays as long as a job of its slurmd is there.
        self.keepers: list[subprocess.Popen[bytes]] = []

    def processes(self) -> list[Process]:
        """All that the node started, without the keepers."""
        return [process for keeper in self.keepers for process in descendants(keeper.pid)]

    def slurmd(self) -> Optional[Process]:
        """The daemon itself: the eldest child of the newest keeper, unless that is a stepd already."""
        if not self.keepers or self.keepers[-1].poll() is not None:
            return None
        eldest = descendants(self.keepers[-1].pid)[:1]
        # Debian's is called slurmd-wlm.
        return eldest[0] if eldest and os.path.basename(eldest[0].executable()).startswith("slurmd") else None


class Cluster:
    """See the head of this file. All limits are in seconds."""

    def __init__(
        self,
        *,
        nodes: int = 1,
        cpus: int = 4,
        proctrack: Optional[str] = None,
        partitions: Sequence[str] = ("batch Default=YES",),
        conf: Optional[Mapping[str, Optional[str]]] = None,
        plugstack: bool = True,
        prefix: Optional[Path] = None,
    ) -> None:
        self.proctrack = proctrack or ("cgroup" if is_root() else "linuxproc")
        self.partitions = partitions
        self.conf = dict(conf or {})
        self.cpus = cpus
        self.plugstack = plugstack
        self.prefix = (prefix or Path(os.environ.get("CAESURA_PREFIX", TOP / "build" / "prefix"))).resolve()
        self.ports = Ports()
        self.folder = new_folder("caesura-slurm-")
        self.etc, self.work = self.folder / "etc", self.folder / "work"
        # Names of cgroups are made of names of nodes, and those of a cluster that still stops must not be met again.
        self.name = "c" + self.folder.name.rsplit("-", 1)[1].lower().replace("_", "x")
        self.nodes = {f"n{n}": Node(f"{self.name}n{n}", self.ports.take()) for n in range(1, nodes + 1)}
        self.control: list[subprocess.Popen[bytes]] = []
        self.problems: list[str] = []
        self.is_up = False

    # ---- start and stop ----------------------------------------------------------------------------------------------

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.report()
            self.stop(strict=False)
            raise
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if error is not None:
            self.report()
        self.stop(strict=error is None)

    def start(self) -> None:
        for name in ("etc", "run", "log", "state", "spool", "munge", "work"):
            (self.folder / name).mkdir(mode=0o755)
        self.user = user_of_jobs()
        if is_root():
            os.chown(self.work, self.user.uid, self.user.gid)
        self.configure()
        self.environment = {
            "PATH": f"{self.prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.user.home),
            "USER": self.user.name,
            "LANG": "C.UTF-8",
            "SLURM_CONF": str(self.etc / "slurm.conf"),
        }
        self.start_munged()
        self.start_slurmctld()
        for short in self.nodes:
            self.start_node(short)
        for short in self.nodes:
            self.wait_node(short, "IDLE")
        self.is_up = True

    def configure(self) -> None:
        host = socket.gethostname().split(".", 1)[0]
        daemon_user = "root" if is_root() else self.user.name
        values: dict[str, Optional[str]] = {
            "ClusterName": self.name,
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": str(self.ports.take()),
            "SlurmUser": daemon_user,
            "SlurmdUser": daemon_user,
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self.folder}/run/munge.sock,cred_expire=5",
            "CredType": "cred/munge",
            "StateSaveLocation": f"{self.folder}/state",
            "SlurmctldPidFile": f"{self.folder}/run/slurmctld.pid",
            "SlurmctldLogFile": f"{self.folder}/log/slurmctld.log",
            "SlurmdPidFile": f"{self.folder}/run/slurmd.%n.pid",
            "SlurmdLogFile": f"{self.folder}/log/slurmd.%n.log",
            "SlurmdSpoolDir": f"{self.folder}/spool/%n",
            "PlugStackConfig": f"{self.etc}/plugstack.conf",
            "MpiDefault": "none",
            "SwitchType": "switch/none",
            "ProctrackType": f"proctrack/{self.proctrack}",
            "TaskPlugin": "task/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core",
            "ReturnToService": "2",
            "MailProg": "/bin/true",
            "DebugFlags": "NO_CONF_HASH",
            "SchedulerParameters": "batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1",
            "EpilogMsgTime": "0",
            "KillWait": "20",
            "JobRequeue": "1",
            "JobFileAppend": "1",
            "SlurmdParameters": "config_overrides",
            # As long as a loaded machine needs to answer; the time for a killed node to be missed.
            "SlurmdTimeout": "60",
            "MessageTimeout": "60",
            "TCPTimeout": "20",
        }
        values.update(self.conf)
        lines = [f"{key}={value}" for key, value in values.items() if value is not None]
        for node in self.nodes.values():
            lines.append(
                f"NodeName={node.name} NodeHostname={host} NodeAddr=127.0.0.1 Port={node.port}"
                f" CPUs={self.cpus} RealMemory=4000"
            )
        for partition in self.partitions:
            nodes = "" if " Nodes=" in partition else " Nodes=ALL"
            lines.append(f"PartitionName={partition}{nodes}")
        (self.etc / "slurm.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (self.etc / "cgroup.conf").write_text("", encoding="utf-8")
        plugin = self.prefix / "lib" / "slurm" / "spank_caesura.so"
        if self.plugstack and not plugin.exists():
            raise ClusterError(f"there is no {plugin}: run make")
        line = f"optional {plugin}\n" if self.plugstack else ""
        (self.etc / "plugstack.conf").write_text(line, encoding="utf-8")

    def start_munged(self) -> None:
        run, munge = self.folder / "run", self.folder / "munge"
        munge.chmod(0o700)
        key = munge / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        munged = self.keep(
            "munged",
            ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={run}/munge.sock"]
            + [f"--pid-file={run}/munged.pid", f"--log-file={self.folder}/log/munged.log", f"--seed-file={munge}/seed"],
        )
        self.control.append(munged)
        self.wait_daemon("munged", munged, lambda: (run / "munge.sock").exists())

    def start_slurmctld(self) -> None:
        keeper = self.keep("slurmctld", ["slurmctld", "-D", "-f", str(self.etc / "slurm.conf")])
        self.control.append(keeper)
        answers = ["scontrol", "ping"]
        self.wait_daemon("slurmctld", keeper, lambda: "is UP" in self.admin(*answers, check=False).stdout)

    def start_node(self, short: str) -> None:
        """Starts the slurmd of a node; the processes of an earlier one that still run stay the node's."""
        node = self.nodes[short]
        spool = self.folder / "spool" / node.name
        spool.mkdir(mode=0o755, exist_ok=True)
        slurmd = ["slurmd", "-D", "-f", str(self.etc / "slurm.conf"), "-N", node.name]
        # A plugin that mounts /proc by mistake must not damage the host's.
        alone = ["unshare", "-m", "--propagation", "private"] if is_root() else []
        node.keepers.append(self.keep(f"slurmd.{short}", alone + slurmd))
        self.wait_daemon(f"slurmd of {short}", node.keepers[-1], lambda: node.slurmd() is not None)

    def keep(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with open(self.folder / "log" / f"{name}.out", "ab") as log:
            return subprocess.Popen(
                [sys.executable, str(KEEPER), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": self.environment["PATH"], "LANG": "C.UTF-8"},
                start_new_session=True,
            )

    def wait_daemon(self, name: str, keeper: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
        def is_ready() -> bool:
            if keeper.poll() is not None:
                raise ClusterError(f"{name} ended with status {keeper.returncode}, see {self.folder}/log")
            return ready()

        wait(f"{name} to be ready", is_ready)

    def stop(self, strict: bool = True) -> None:
        """Ends all jobs, then all daemons, and waits until all of it is gone. With strict, what stays is an error."""
        self.problems.clear()
        for node in self.nodes.values():
            for process in node.processes():
                process.signal(signal.SIGCONT)
        if len(self.control) > 1:
            self.end_jobs()
        for node in self.nodes.values():
            slurmd = node.slurmd()
            if slurmd is not None:
                slurmd.signal(signal.SIGTERM)
        for short, node in self.nodes.items():
            self.end_keepers(f"node {short}", node.keepers)
        for keeper in reversed(self.control):
            for daemon in descendants(keeper.pid)[:1]:
                daemon.signal(signal.SIGTERM)
            self.end_keepers("controller", [keeper])
        self.remove_cgroups()
        self.ports.release()
        if strict and self.problems:
            self.report()
        self.is_up = False
        if os.environ.get("CAESURA_KEEP"):
            print(f"cluster: kept {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder)
        self.check_mounts()
        if strict and self.problems:
            raise ClusterError("the cluster did not stop cleanly: " + "; ".join(self.problems))

    def end_jobs(self) -> None:
        if self.admin("scontrol", "ping", check=False).stdout.count("is UP") == 0:
            self.problems.append("slurmctld does not answer")
            return
        reachable = [node.name for node in self.nodes.values() if node.slurmd() is not None]
        self.admin("scancel", f"--user={self.user}", check=False)
        try:
            # Without slurmd nobody tells the controller that the jobs of a lost node are gone.
            for name in reachable:
                wait(f"no job on {name}", functools.partial(self.is_empty, name))
        except ClusterError as problem:
            self.problems.append(str(problem) + "\n" + self.admin("squeue", "-a", check=False).stdout)

    def is_empty(self, name: str) -> bool:
        """Whether no job is, or still ends, on the node of that (full) name."""
        states = "RUNNING,SUSPENDED,COMPLETING,STOPPED"
        return not self.admin("squeue", "-h", "-t", states, "-o", "%i", "-w", name).stdout.strip()

    def end_keepers(self, what: str, keepers: list[subprocess.Popen[bytes]]) -> None:
        """A keeper ends when nothing is left that it could keep."""
        try:
            wait(f"{what}: its processes to end", lambda: all(keeper.poll() is not None for keeper in keepers), 60)
        except ClusterError:
            left = [process for keeper in keepers for process in descendants(keeper.pid)]
            self.problems.append(f"{what}: still there: " + ", ".join(map(str, left)))
        for keeper in keepers:
            kill_all(keeper.pid)
            keeper.wait()

    def cgroups(self) -> list[Path]:
        found = [path for controller in CGROUPS.glob("*") for path in controller.glob(f"slurm_{self.name}n*")]
        return found + list(CGROUPS.glob(f"slurm_{self.name}n*"))

    def remove_cgroups(self) -> None:
        """slurmd leaves its own group, and a lost node those of its jobs. Only an empty group can be removed."""
        for top in self.cgroups():
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError as error:
                    self.problems.append(f"{folder}: {error.strerror}")
        left = self.cgroups()
        if left:
            self.problems.append("cgroups left: " + ", ".join(map(str, left)))

    def check_mounts(self) -> None:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        left = [line for line in mounts if str(self.folder) in line]
        if left:
            self.problems.append("mounts left: " + "; ".join(left))

    def report(self) -> None:
        """For a test that failed: the ends of Slurm's logs."""
        for log in sorted((self.folder / "log").glob("slurm*.log")):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            print(f"---- {log} ({len(lines)} lines)", *lines[-40:], sep="\n", file=sys.stderr)
        sys.stderr.flush()

    # ---- commands ----------------------------------------------------------------------------------------------------

    def run(
        self,
        words: Iterable[Text],
        *,
        admin: bool = False,
        check: bool = True,
        env: Optional[Mapping[str, str]] = None,
        stdin: Optional[str] = None,
    ) -> subprocess.CompletedProcess[str]:
        """A command in the work folder, as the user of the jobs, or as that of the daemons."""
        command = [str(word) for word in words]
        as_user = is_root() and not admin
        done = subprocess.run(
            command,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.work if self.work.exists() else self.folder,
            env={**self.environment, **(env or {})},
            timeout=LIMIT_S,
            check=False,
            user=self.user.uid if as_user else None,
            group=self.user.gid if as_user else None,
            extra_groups=[] if as_user else None,
        )
        if check and done.returncode != 0:
            raise ClusterError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def command(self, *words: Text, check: bool = True) -> subprocess.CompletedProcess[str]:
        """As the user of the jobs."""
        return self.run(words, check=check)

    def admin(self, *words: Text, check: bool = True) -> subprocess.CompletedProcess[str]:
        """As the user of the daemons."""
        return self.run(words, admin=True, check=check)

    def write(self, name: str, text: str, mode: int = 0o755) -> Path:
        """A file in the work folder, of the user of the jobs."""
        path = self.work / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        if is_root():
            os.chown(path, self.user.uid, self.user.gid)
        return path

    def sbatch(
        self, script: Text, *options: str, arguments: Sequence[str] = (), env: Optional[Mapping[str, str]] = None
    ) -> int:
        """script: a Path, or the text of one, which bash then runs. Returns the job's id."""
        if not isinstance(script, Path):
            script = self.write(f"job-{random.randrange(1 << 40):x}.sh", f"#!/bin/bash\n{script}\n")
        done = self.run(["sbatch", "--parsable", *options, script, *arguments], env=env)
        return int(done.stdout.strip().split(";", 1)[0])

    def scontrol(self, *words: str) -> str:
        return self.admin("scontrol", *words).stdout

    def job(self, job: Union[int, str]) -> dict[str, str]:
        """What scontrol says of a job, by its own keys. A value with spaces in it is cut at the first."""
        words = self.scontrol("-o", "show", "job", str(job)).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def state(self, job: Union[int, str]) -> str:
        """RUNNING, PENDING, COMPLETING, ... as squeue has it: also while scontrol says the final state already."""
        listed = self.admin("squeue", "-h", "-t", "all", "-j", str(job), "-o", "%T", check=False).stdout.split()
        return listed[0] if listed else self.job(job)["JobState"]

    def restarts(self, job: Union[int, str]) -> int:
        return int(self.job(job)["Restarts"])

    def exit_code(self, job: Union[int, str]) -> str:
        """STATUS:SIGNAL"""
        return self.job(job)["ExitCode"]

    def wait_for(self, job: Union[int, str], state: Union[str, Sequence[str]], limit: float = LIMIT_S) -> str:
        """Waits until the job is in (one of) the state(s), and returns it."""
        wanted = (state,) if isinstance(state, str) else tuple(state)
        seen = ""

        def reached() -> bool:
            nonlocal seen
            seen = self.state(job)
            return seen in wanted

        try:
            wait(f"job {job} to be {' or '.join(wanted)}", reached, limit)
        except ClusterError as error:
            raise ClusterError(f"{error}; it is {seen}\n{self.scontrol('show', 'job', str(job))}") from error
        return seen

    def output(self, job: Union[int, str]) -> Path:
        """The file of the job's output, where it is not told otherwise."""
        return self.work / f"slurm-{job}.out"

    # ---- nodes -------------------------------------------------------------------------------------------------------

    def wait_node(self, short: str, state: str, limit: float = LIMIT_S) -> None:
        name, seen = self.nodes[short].name, ""

        def reached() -> bool:
            nonlocal seen
            seen = self.admin("sinfo", "-h", "-N", "-n", name, "-o", "%T", check=False).stdout.strip()
            return bool(seen) and seen.split()[0].upper() == state

        try:
            wait(f"node {short} to be {state}", reached, limit)
        except ClusterError as error:
            raise ClusterError(f"{error}; it is {seen}") from error

    def node_of(self, job: Union[int, str]) -> str:
        """The short name of the node that a job has."""
        name = self.job(job)["NodeList"]
        return next(short for short, node in self.nodes.items() if node.name == name)

    def lose_node(self, short: str) -> None:
        """As when the power fails: slurmd and all that it ever started are killed at once."""
        node = self.nodes[short]
        for keeper in node.keepers:
            kill_all(keeper.pid)
            keeper.wait()
        node.keepers.clear()

    def kill_slurmd(self, short: str) -> None:
        """Only the daemon: its jobs run on, and nobody can reach them."""
        slurmd = self.slurmd_of(short)
        slurmd.signal(signal.SIGKILL)
        wait(f"slurmd of {short} to be gone", lambda: not slurmd.alive())

    def freeze_slurmd(self, short: str) -> None:
        """As when the network fails: the daemon is there, but answers nobody; its jobs run on."""
        slurmd = self.slurmd_of(short)
        slurmd.signal(signal.SIGSTOP)
        wait(f"slurmd of {short} to stand", lambda: state_of(slurmd.pid) == "T")

    def thaw_slurmd(self, short: str) -> None:
        self.slurmd_of(short).signal(signal.SIGCONT)

    def slurmd_of(self, short: str) -> Process:
        slurmd = self.nodes[short].slurmd()
        if slurmd is None:
            raise ClusterError(f"node {short} has no slurmd")
        return slurmd

    def processes_of(self, short: str) -> list[Process]:
        return [process for process in self.nodes[short].processes() if alive(process.pid)]
