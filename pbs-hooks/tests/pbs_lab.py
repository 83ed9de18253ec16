"""A private PBS on this host: server, scheduler, comm and two MoMs, in namespaces of their own that end with the test.

The programs are those below $PBS_EXEC. Everything else (configuration, data base, spool, users) is made below a scratch
folder; /etc/hosts and /etc/passwd are replaced inside the mount namespace only. Needs root.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

HOST = "pbslab"
ADDRESS = "10.93.1.1"
USER = "pbsuser"
OTHER = "pbsother"
UIDS = {USER: 44101, OTHER: 44102}
MOMS = {"n1": 15002, "n2": 15502}
INSIDE = "CAESURA_PBS_LAB"


class LabError(Exception):
    """The private PBS did not do what the test needs."""


def pbs_exec() -> str | None:
    """The installed OpenPBS to test with, or None."""
    path = os.environ.get("PBS_EXEC", "")
    return path if path and os.path.exists(f"{path}/sbin/pbs_mom") else None


def enter_namespaces() -> None:
    """Goes on in this program from its start, inside of new namespaces; all that is started there ends with it."""
    if os.environ.get(INSIDE):
        return
    os.environ[INSIDE] = "1"
    unshare = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv])


def wait_for(what: str, condition: Callable[[], object], seconds: float = 60) -> object:
    """Waits until condition() is true, and returns what it was."""
    end = time.monotonic() + seconds
    while True:
        reap_orphans()
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)


def reap_orphans() -> None:
    """We are the namespace's init: MoM takes a job whose dead processes stay for one that runs."""
    for pid in _tree(1)[1:]:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if fields[0] == "Z" and int(fields[1]) == 1 and pid not in Lab.started:
                os.waitpid(pid, os.WNOHANG)
        except OSError:
            continue  # it has gone since


def _tree(root: int) -> list[int]:
    """A process and all its descendants, the eldest first."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent = int(pathlib.Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


class Lab:
    """Started by start(), ended by stop(). Commands run as users of its own."""

    started: set[int] = set()  # pids of daemons, which Popen reaps

    def __init__(self, scratch: str | None = None) -> None:
        self.exec = pbs_exec() or ""
        self.scratch = scratch or tempfile.mkdtemp(prefix="caesura-pbs.")
        os.chmod(self.scratch, 0o755)
        self.top = pathlib.Path("/mnt")
        self.tree = self.top / "tree"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    # ---- set-up ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._surroundings()
        for name in ("server", *MOMS):
            self._configuration(name)
        self._database()
        for name in ("comm", *MOMS, "sched", "server"):
            self.start_daemon(name)
        wait_for("the server", lambda: self.run("root", "qstat", "-B", check=False).returncode == 0)
        self.manage(
            "set server scheduling=true",
            "set server flatuid=true",
            "set server job_requeue_timeout=60",
            "set server job_history_enable=true",
            "set server resources_default.ncpus=1",
            "set server log_events=2047",
            "set sched scheduler_iteration=5",
            "create queue urgent queue_type=execution,enabled=true,started=true,priority=200",
        )
        for name, port in MOMS.items():
            self.manage(f"create node {name} Mom={HOST},port={port}")
            self.manage(f"set node {name} resources_available.ncpus=2")
        self.wait_nodes()

    def _surroundings(self) -> None:
        quiet = {"check": True, "stdout": subprocess.DEVNULL}
        subprocess.run(["mount", "--make-rprivate", "/"], **quiet)  # type: ignore[call-overload]
        # The server trusts no path below a folder that everybody may write to, such as /tmp.
        subprocess.run(["mount", "--bind", self.scratch, str(self.top)], **quiet)  # type: ignore[call-overload]
        subprocess.run(["hostname", HOST], **quiet)  # type: ignore[call-overload]
        for words in ("link set lo up", f"addr add {ADDRESS}/24 dev lo"):
            subprocess.run(["ip", *words.split()], **quiet)  # type: ignore[call-overload]
        (self.top / "pbs").mkdir()
        (self.top / "tmp").mkdir()
        (self.top / "tmp").chmod(0o1777)
        home = self.top / "home"
        home.mkdir()
        people = pathlib.Path("/etc/passwd").read_text()
        groups = pathlib.Path("/etc/group").read_text()
        for user, uid in UIDS.items():
            people += f"{user}:x:{uid}:{uid}::{home}/{user}:/bin/bash\n"
            groups += f"{user}:x:{uid}:\n"
            (home / user).mkdir(mode=0o700)
            os.chown(home / user, uid, uid)
        self._replace("/etc/passwd", people)
        self._replace("/etc/group", groups)
        self._replace("/etc/hosts", f"127.0.0.1 localhost\n{ADDRESS} {HOST} {' '.join(MOMS)}\n")

    def _replace(self, path: str, text: str) -> None:
        mine = self.top / os.path.basename(path)
        mine.write_text(text)
        subprocess.run(["mount", "--bind", str(mine), path], check=True)

    def home(self, name: str) -> pathlib.Path:
        """Where PBS_HOME of a daemon is, as seen from outside of it."""
        return self.top / (name if name in MOMS else "server")

    def environment(self, name: str = "server") -> dict[str, str]:
        path = f"{self.exec}/bin:{self.exec}/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "PBS_CONF_FILE": str(self.top / f"{name}.conf"), "LANG": "C.UTF-8", "HOME": "/root"}

    def _configuration(self, name: str) -> None:
        lines = {
            "PBS_EXEC": self.exec,
            "PBS_HOME": str(self.top / "pbs" if name in MOMS else self.home(name)),
            "PBS_SERVER": HOST,
            "PBS_START_SERVER": "1" if name == "server" else "0",
            "PBS_START_SCHED": "1" if name == "server" else "0",
            "PBS_START_COMM": "1" if name == "server" else "0",
            "PBS_START_MOM": "0" if name == "server" else "1",
            "PBS_CORE_LIMIT": "0",
            # qsub leaves a process behind that serves later ones, by a socket there: not those of another PBS.
            "PBS_TMPDIR": str(self.top / "tmp"),
            "PBS_SCP": "/usr/bin/scp",
            "PBS_RCP": f"{self.exec}/sbin/pbs_rcp",
        }
        if name in MOMS:
            lines["PBS_MOM_NODE_NAME"] = name
        (self.top / f"{name}.conf").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        home = self.home(name)
        for folder, mode in (
            ("aux", 0o755), ("checkpoint", 0o700), ("spool", 0o1777), ("undelivered", 0o1777),
            ("mom_logs", 0o755), ("mom_priv", 0o751), ("mom_priv/jobs", 0o751), ("mom_priv/hooks", 0o751),
            ("mom_priv/hooks/tmp", 0o751), ("server_logs", 0o755), ("server_priv", 0o750), ("server_priv/jobs", 0o750),
            ("server_priv/users", 0o750), ("server_priv/hooks", 0o750), ("server_priv/hooks/tmp", 0o750),
            ("server_priv/accounting", 0o755), ("sched_logs", 0o755), ("sched_priv", 0o750), ("comm_logs", 0o755),
            ("datastore", 0o700),
        ):  # fmt: skip
            (home / folder).mkdir(mode=mode, parents=True, exist_ok=True)
            (home / folder).chmod(mode)
        (home / "pbs_environment").write_text(
            # A site has its pbs.conf in /etc, where every job finds it.
            f"PATH=/usr/local/bin:/usr/bin:/bin\nPBS_CONF_FILE={self.top}/server.conf\n"
        )
        if name in MOMS:
            (home / "mom_priv/config").write_text(
                f"$clienthost {HOST}\n$usecp *:/ /\n$restrict_user_maxsysid 999\n$max_check_poll 2\n$min_check_poll 1\n"
            )
        else:
            etc = pathlib.Path(self.exec) / "etc"
            for source in ("pbs_holidays", "pbs_resource_group", "pbs_sched_config", "pbs_dedicated"):
                shutil.copy(etc / source, home / "sched_priv" / source[4:])

    def _database(self) -> None:
        (self.home("server") / "datastore").rmdir()
        (self.home("server") / "server_priv/db_user").write_text("postgres")
        self._checked("the data base", ["bash", f"{self.exec}/libexec/pbs_habitat"])

    def _checked(self, what: str, command: Sequence[str]) -> None:
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f"{what}: {' '.join(command)} gave {done.returncode}: {done.stdout}{done.stderr}")

    def protect(self, prefix: str) -> None:
        """What docs/pbs.md has a site do, with the tree at prefix, known by a link that a test may take away."""
        self.tree.symlink_to(prefix)
        hooks = self.top / "hooks"
        hooks.mkdir()
        for name in ("caesura.py", "caesura.qmgr", "caesura-action"):
            shutil.copy(pathlib.Path(__file__).parent.parent / name, hooks / name)
            os.chown(hooks / name, 0, 0)
        config = {"prefix": str(self.tree), "runtime": str(self.top / "runtime"), "check_seconds": 20}
        (hooks / "caesura.json").write_text(json.dumps(config))
        for name in MOMS:
            with (self.home(name) / "mom_priv/config").open("a") as file:
                for action in ("terminate", "checkpoint_abort"):
                    file.write(f"$action {action} 100 !{hooks}/caesura-action {action} 90 %jobid %sid\n")
            self.daemons[name].send_signal(signal.SIGHUP)
        orders = (hooks / "caesura.qmgr").read_text()
        self.run("root", "qmgr", stdin=orders, cwd=str(hooks))
        self.manage("set server job_requeue_timeout=100")
        wait_for("the hook on the nodes", self._hook_is_everywhere)

    def _hook_is_everywhere(self) -> bool:
        """The server copies a hook to the nodes when it gets round to it."""
        return all(
            (self.home(name) / f"mom_priv/hooks/caesura.{kind}").exists() for name in MOMS for kind in ("PY", "CF")
        )

    # ---- daemons -----------------------------------------------------------------------------------------------------

    def start_daemon(self, name: str, *more: str) -> None:
        wrapper: list[str] = []
        arguments = {"server": ["pbs_server", "-N"], "sched": ["pbs_sched", "-N"], "comm": ["pbs_comm", "-N"]}.get(name)
        if arguments is None:
            port = MOMS[name]
            arguments = ["pbs_mom", "-N", "-M", str(port), "-R", str(port + 1)]
            # The same PBS_HOME on every node, as at a site: it is in the paths that jobs have open.
            mount = f'mount --bind {self.home(name)} {self.top}/pbs && exec "$@"'
            wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]
        log = (self.top / f"{name}.out").open("ab")
        self.daemons[name] = subprocess.Popen(
            [*wrapper, f"{self.exec}/sbin/{arguments[0]}", *arguments[1:], *more],
            env=self.environment(name if name in MOMS else "server"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.started.add(self.daemons[name].pid)

    def kill_daemon(self, name: str, number: int = signal.SIGKILL) -> None:
        daemon = self.daemons.pop(name)
        daemon.send_signal(number)
        daemon.wait(30)

    def kill_node(self, name: str) -> None:
        """The daemon and all jobs at once, as when the node loses its power."""
        doomed = _tree(self.daemons[name].pid)
        for pid in doomed:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was in a namespace whose first process is dead already
        self.daemons.pop(name).wait(30)

    def processes(self, name: str, program: str) -> list[int]:
        """What runs this program below a daemon."""
        found = []
        for pid in _tree(self.daemons[name].pid):
            try:
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == program:
                    found.append(pid)
            except OSError:
                continue  # it has ended since
        return found

    def stop(self) -> None:
        """What is left ends with the pid namespace."""
        for name in list(self.daemons):
            self.kill_daemon(name)

    def remove(self) -> None:
        """All that the lab has made. It is mounted at another place too, which would be looked through in vain."""
        subprocess.run(["umount", "--lazy", str(self.top)], check=True)
        shutil.rmtree(self.scratch)

    # ---- commands ----------------------------------------------------------------------------------------------------

    def run(
        self, user: str, *command: str, check: bool = True, stdin: str = "", cwd: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = self.environment()
        words = list(command)
        if user != "root":
            uid = str(UIDS[user])
            environment["HOME"] = str(self.top / "home" / user)
            environment["USER"] = environment["LOGNAME"] = user
            environment["SHELL"] = "/bin/bash"
            words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *words]
        done = subprocess.run(
            words,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd or environment["HOME"],
            timeout=120,
        )
        if check and done.returncode != 0:
            raise LabError(f"{' '.join(command)} gave {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def manage(self, *lines: str) -> None:
        for line in lines:
            self.run("root", "qmgr", "-c", line)

    def submit(self, script: str, *options: str, user: str = USER) -> str:
        return self.run(user, "qsub", *options, stdin=script).stdout.strip()

    def job(self, jobid: str, user: str = USER) -> dict[str, object]:
        """What qstat says, also of a job of the history; {} when it is unknown."""
        done = self.run(user, "qstat", "-x", "-f", "-F", "json", jobid, check=False)
        if done.returncode != 0:
            return {}
        jobs = json.loads(done.stdout).get("Jobs", {})
        found = jobs.get(jobid, {})
        return found if isinstance(found, dict) else {}

    def wait_state(self, jobid: str, states: str, seconds: float = 60) -> dict[str, object]:
        def reached() -> dict[str, object]:
            job = self.job(jobid)
            return job if job and str(job.get("job_state")) in states else {}

        found = wait_for(f"job {jobid} in state {states}, now {self.job(jobid).get('job_state')}", reached, seconds)
        assert isinstance(found, dict)
        return found

    def wait_nodes(self) -> None:
        def free() -> bool:
            said = self.run("root", "pbsnodes", "-a", "-v", "-F", "json", check=False)
            if said.returncode != 0:
                return False
            nodes = json.loads(said.stdout).get("nodes", {})
            return len(nodes) == len(MOMS) and all(node["state"] == "free" for node in nodes.values())

        wait_for("the nodes", free)
