"""caesura.py - the hook by which jobs of PBS are checkpointed: `qsub -l checkpoint=SPEC job.sh`.

One file for all its events, imported by qmgr with caesura.json (see docs/pbs.md). It checks SPEC at submission,
puts cr_run in the place of the job's shell, notes that a job was deleted, and lets a job run again whose engine asked
for that. What is decided is decided by functions that know nothing of PBS. Whatever goes wrong here, a job that was not
started before runs, one that may have contexts is held, and the log of the server or MoM says why.

Python 3.6 is enough: sites run this with the Python that their PBS was built with.
"""

import json
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import time
import traceback
import zlib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import pbs  # type: ignore[import]

SPEC_MAX = 1024
KEY_DIGITS = 16

# What a job may have in its Variable_List from us; cr_run takes all of it away before the job sees its environment.
KEY = "CAESURA_KEY"
BRIEF = "CAESURA_BRIEF"

REQUEUE = "requeue"
DELETED = ".deleted"

# Shells that take -l for "be a login shell", which is how MoM starts them: by a dash before their name.
LOGIN_SHELLS = ("bash", "sh", "dash", "ksh", "ksh93", "mksh", "zsh", "tcsh", "csh")


class ConfigError(Exception):
    """caesura.json is not what it should be."""


Config = NamedTuple(
    "Config",
    [
        ("prefix", str),  # the installed tree
        ("resource", str),  # name of the resource that holds SPEC
        ("runtime", str),  # root's folder for what hook and engine tell each other
        ("check_seconds", int),  # how long the server may wait for the engine
        ("checks_per_minute", int),  # how often it may ask it; beyond that SPEC is checked when the job starts
        ("interval_option", bool),  # whether -c w=N asks for checkpoints
    ],
)

DEFAULTS = Config("/opt/caesura", "checkpoint", "/run/caesura-pbs", 5, 30, True)


# ---- what is decided: no PBS, no files -------------------------------------------------------------------------------


def parse_config(text: str) -> Config:
    """The configuration; every key may be left out, none may be unknown."""
    values = json.loads(text) if text.strip() else {}
    if not isinstance(values, dict):
        raise ConfigError("it is not an object")
    fields = DEFAULTS._asdict()
    for key, value in values.items():
        if key not in fields:
            raise ConfigError("unknown key '%s'; there are: %s" % (key, ", ".join(fields)))
        kind = type(fields[key])
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
            raise ConfigError("%s is to be of type %s" % (key, kind.__name__))
        fields[key] = value
    config = Config(**fields)
    for name in ("prefix", "runtime"):
        if not getattr(config, name).startswith("/"):
            raise ConfigError("%s is to be an absolute path" % name)
    # PBS takes a hook that overran its alarm (30 s in caesura.qmgr) for one that rejects the job.
    if not 1 <= config.check_seconds <= 20 or config.checks_per_minute < 0:
        raise ConfigError("check_seconds is to be from 1 to 20, checks_per_minute 0 or more")
    return config


def spec_problem(spec: str) -> Optional[str]:
    """What is wrong with SPEC as such, for the user; None if the engine is to say."""
    if not spec.strip():
        return "the SPEC is empty; try 'periodic', '30' (minutes) or 'default'"
    if len(spec) > SPEC_MAX:
        return "the SPEC has %d characters, more than %d" % (len(spec), SPEC_MAX)
    if any(ord(c) < 32 or ord(c) == 127 for c in spec):
        return "the SPEC has a control character in it"
    first = spec.split(",")[0]
    if "/" in first and "=" not in first and not first.startswith("/"):
        return "name the policy's file by its full path: a job starts in the home folder, not where qsub was called"
    return None


def interval_minutes(checkpoint: Optional[str]) -> Optional[int]:
    """N of `-c w=N`; None for all other values of the job's Checkpoint."""
    match = re.match(r"w=(\d{1,6})\Z", checkpoint or "")
    return int(match.group(1)) if match else None


def requested(spec: Optional[str], checkpoint: Optional[str]) -> Tuple[Optional[str], Optional[str]]:
    """SPEC and what is wrong with it, of `-l checkpoint=` and `-c`. Both are None for a job that asks for nothing."""
    minutes = interval_minutes(checkpoint)
    if spec is None:
        return (None if minutes is None else "%dm" % minutes), None
    if (checkpoint or "").startswith("c"):
        return (
            spec,
            "-c c (checkpoints by CPU time) does not go with a SPEC; use -c w=MINUTES, or interval= in the SPEC",
        )
    if minutes is None:
        return spec, None
    if re.match(r"[0-9]", spec) or re.search(r"(^|,)interval=", spec):
        return spec, "there are two intervals, in the SPEC and in -c w=%d; leave one out" % minutes
    return "%s,interval=%dm" % (spec, minutes), None


def stamp(spec: str) -> str:
    """Tells whether a noted answer of the engine belongs to this SPEC."""
    return "%08x" % (zlib.crc32(spec.encode("utf-8", "surrogateescape")) & 0xFFFFFFFF)


def parse_brief(text: str) -> Optional[Tuple[str, str]]:
    """resident and warning of the line that `cr_job policy --brief` prints; None if it is no such line."""
    words = dict(word.split("=", 1) for word in text.split() if "=" in word)
    resident, warning = words.get("resident", ""), words.get("warning", "")
    if resident not in ("0", "1") or not re.match(r"\d{1,9}\Z", warning):
        return None
    return resident, warning


def noted_brief(note: Optional[str], spec: str) -> Optional[Tuple[str, str]]:
    """The answer noted at submission, unless SPEC was changed since."""
    parts = (note or "").split(":")
    if len(parts) != 3 or parts[0] != stamp(spec):
        return None
    return parse_brief("resident=%s warning=%s" % (parts[1], parts[2]))


def host_count(exec_vnode: str) -> int:
    """On how many vnodes a job runs: (n1:ncpus=1)+(n2:ncpus=1) is two."""
    return len({match for match in re.findall(r"[(+]\s*([^:()+]+)", "+" + exec_vnode) if match.strip()})


Launch = NamedTuple(
    "Launch",
    [
        ("spec", str),
        ("key", str),
        ("brief", Tuple[str, str]),
        ("program", str),  # what MoM would run
        ("arguments", List[str]),  # its argv; [] for a shell that reads the script's name
        ("run_count", int),  # 1 in the first run
        ("limit", int),  # Unix time at which the walltime ends; 0: never
        ("folder", str),  # the job's runtime folder
    ],
)

Swap = NamedTuple("Swap", [("program", str), ("arguments", List[str]), ("variables", Dict[str, str])])


def cr_run(config: Config) -> str:
    """The program that takes the place of a job's shell."""
    return os.path.join(config.prefix, "bin/cr_run")


def swapped_arguments(program: str, arguments: List[str]) -> List[str]:
    """The argv for cr_run. Of a shell's arguments MoM replaces the first, by a dash and the program's name."""
    if not arguments and os.path.basename(program) in LOGIN_SHELLS:
        return ["cr_run", "-l"]
    return ["cr_run"] + arguments[1:]


def launch_swap(config: Config, launch: Launch) -> Swap:
    """What MoM is to run instead."""
    variables = {
        "CAESURA_SCHEDULER": "pbs",
        "CAESURA_PROGRAM": launch.program,
        "CAESURA_SPEC": launch.spec,
        KEY: launch.key,
        "CAESURA_RESIDENT": launch.brief[0],
        "CAESURA_WARNING": launch.brief[1],
        "CAESURA_RESTARTS": str(max(launch.run_count - 1, 0)),
        "CAESURA_LIMIT": str(launch.limit),
        "CAESURA_RUNTIME": launch.folder,
    }
    return Swap(cr_run(config), swapped_arguments(launch.program, launch.arguments), variables)


def refusal_swap(config: Config, program: str, arguments: List[str], problem: str) -> Swap:
    """What MoM is to run for a job that cannot be protected: cr_run says so in its stderr and becomes its program."""
    variables = {"CAESURA_SCHEDULER": "pbs", "CAESURA_PROGRAM": program, "CAESURA_REFUSED": problem}
    return Swap(cr_run(config), swapped_arguments(program, arguments), variables)


def variable_text(value: str) -> str:
    """A value as a launch hook has to write it: PBS hands all variables on in one string, with commas between them."""
    return re.sub(r"([\\,'\"])", r"\\\1", value)


def job_folder(config: Config, jobid: str) -> Optional[str]:
    """The job's runtime folder; None for what is no id of a job, so that nothing else is ever made or removed."""
    if not re.match(r"[0-9]{1,20}(\[[0-9]{1,20}\])?\.[A-Za-z0-9][A-Za-z0-9._-]{0,250}\Z", jobid):
        return None
    return os.path.join(config.runtime, jobid)


# ---- files and programs ----------------------------------------------------------------------------------------------


def make_folder(config: Config, folder: str, uid: int, gid: int) -> None:
    """The job's runtime folder, empty, its owner's; what a former run left is removed."""
    if not os.path.isdir(config.runtime):
        os.mkdir(config.runtime, 0o755)
    status = os.lstat(config.runtime)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise OSError("%s is not a folder that only root can write to" % config.runtime)
    remove_folder(folder)
    os.mkdir(folder, 0o700)
    os.chown(folder, uid, gid)


def remove_folder(folder: str) -> None:
    """All that hook and engine told each other about a run."""
    if os.path.lexists(folder):
        shutil.rmtree(folder)
    if os.path.lexists(folder + DELETED):
        os.unlink(folder + DELETED)


def mark_deleted(folder: str) -> None:
    """For the engine: what ends the job is qdel. The mark is root's, outside of the folder of the user's."""
    if os.path.isdir(folder):
        os.close(os.open(folder + DELETED, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))


def asks_for_requeue(folder: str, uid: int) -> bool:
    """Whether the engine of this run asked to be started again, and nobody has deleted the job since."""
    try:
        status = os.lstat(os.path.join(folder, REQUEUE))
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == uid and not os.path.lexists(folder + DELETED)


def leftovers(config: Config, known: Sequence[str], now: float) -> List[str]:
    """Runtime folders of jobs that MoM no longer has. Young ones are left: a job is not in MoM's list at once."""
    found = []
    names = os.listdir(config.runtime) if os.path.isdir(config.runtime) else []
    for name in names:
        jobid = name[: -len(DELETED)] if name.endswith(DELETED) else name
        folder = job_folder(config, jobid)
        if folder and jobid not in known and now - os.lstat(os.path.join(config.runtime, name)).st_mtime > 600:
            found.append(folder)
    return sorted(set(found))


def run_bounded(command: Sequence[str], seconds: float, account: Optional[pwd.struct_passwd]) -> Tuple[str, str]:
    """stdout and stderr of a program with the rights of account; it is killed with its children when time is up."""

    def become() -> None:
        if account and os.geteuid() == 0:
            os.initgroups(account.pw_name, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)

    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        cwd="/",
        preexec_fn=become,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def ask_engine(config: Config, spec: str, user: str) -> Tuple[Optional[Tuple[str, str]], Optional[str]]:
    """What the engine says of SPEC: its brief, or a message for the user. (None, None): it gave no answer.

    It runs as the user, whose policies it reads. Its exit status is not looked at: the server may have reaped it.
    """
    program = os.path.join(config.prefix, "bin/cr_job")
    if not os.access(program, os.X_OK):
        return None, None
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return None, None  # the server need not know the users of its nodes
    try:
        out, err = run_bounded([program, "policy", "--brief", spec], config.check_seconds, account)
    except subprocess.TimeoutExpired:
        log("no answer from %s within %d s" % (program, config.check_seconds))
        return None, None
    brief = parse_brief(out)
    if brief:
        return brief, None
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    return None, "; ".join(re.sub(r"^cr_job: ", "", line) for line in lines[:4]) or None


class Answers:
    """Answers of the engine, kept for a while in a file of root's, so that the server seldom waits for one."""

    KEEP_SECONDS = 300

    def __init__(self, config: Config, now: float) -> None:
        self.path = os.path.join(config.runtime, "answers.json")
        self.now = now
        self.limit = config.checks_per_minute
        self.entries = {}  # type: Dict[str, List[Any]]
        try:
            with open(self.path) as file:
                self.entries = json.load(file)
        except (OSError, ValueError):
            pass  # none kept, or cut off: the engine is asked again
        self.entries = {k: v for k, v in self.entries.items() if 0 <= now - v[0] < self.KEEP_SECONDS}

    def find(self, user: str, spec: str) -> Optional[Tuple[str, str]]:
        """What was answered a short while ago."""
        entry = self.entries.get("%s:%s" % (user, spec))
        return (entry[1], entry[2]) if entry and entry[1] else None

    def may_ask(self) -> bool:
        """Whether the server has time for the engine: somebody may submit thousands of jobs with different SPECs."""
        return sum(1 for entry in self.entries.values() if self.now - entry[0] < 60) < self.limit

    def note(self, user: str, spec: str, brief: Optional[Tuple[str, str]]) -> None:
        """Keeps an answer; a refusal only counts as one that was asked for."""
        self.entries["%s:%s" % (user, spec)] = [self.now] + list(brief or ("", ""))
        os.makedirs(os.path.dirname(self.path), 0o755, exist_ok=True)
        temporary = "%s.%d" % (self.path, os.getpid())
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self.entries, file)
        os.rename(temporary, self.path)


def check_spec(config: Config, spec: str, user: str) -> Tuple[Optional[Tuple[str, str]], Optional[str]]:
    """The brief of a SPEC, or what to tell the user. (None, None): it is looked at when the job starts."""
    problem = spec_problem(spec)
    if problem:
        return None, problem
    answers = Answers(config, time.time())
    known = answers.find(user, spec)
    if known or not answers.may_ask():
        return known, None
    brief, problem = ask_engine(config, spec, user)
    answers.note(user, spec, brief)
    return brief, problem


# ---- PBS -------------------------------------------------------------------------------------------------------------


def log(text: str) -> None:
    """For the administrator: the log of the server or MoM."""
    pbs.logmsg(pbs.EVENT_ERROR, "caesura: " + text)


def attribute(thing: Any, name: str) -> Optional[str]:
    """An attribute as text; None where it is not set, which in some events means None, in others an exception."""
    try:
        value = getattr(thing, name)
    except (AttributeError, pbs.UnsetAttributeNameError):
        return None
    return None if value is None or str(value) == "" else str(value)


def resource(job: Any, name: str) -> Optional[str]:
    """A requested resource of the job as text; None where there is none."""
    try:
        value = job.Resource_List[name]
    except (KeyError, TypeError, AttributeError, pbs.UnsetResourceNameError):
        return None
    return None if value is None else str(value)


def on_submission(config: Config, event: Any) -> None:
    """queuejob: refuses a bad SPEC, and notes with the job what each of its runs has to know."""
    job = event.job
    spec, problem = requested(
        resource(job, config.resource), attribute(job, "Checkpoint") if config.interval_option else None
    )
    if spec is None:
        return
    brief = None
    if not problem:
        brief, problem = check_spec(config, spec, event.requestor)
    if problem:
        event.reject("-l %s=%s: %s" % (config.resource, spec, problem))
    job.Resource_List[config.resource] = spec
    job.Variable_List[KEY] = os.urandom(KEY_DIGITS // 2).hex()
    if brief:
        job.Variable_List[BRIEF] = "%s:%s:%s" % ((stamp(spec),) + brief)
    if interval_minutes(attribute(job, "Checkpoint")) is not None:
        # The timer is ours now. With w=N MoM would have one too, whose contexts could be restarted on one node alone.
        job.Checkpoint = pbs.checkpoint("s")


def on_change(config: Config, event: Any) -> None:
    """modifyjob: the same for qalter. What was noted with the job stays; it tells that it is of another SPEC."""
    changed = resource(event.job, config.resource)
    option = attribute(event.job, "Checkpoint") if config.interval_option else None
    if changed is None and interval_minutes(option) is None:
        return
    spec, problem = requested(changed if changed is not None else resource(event.job_o, config.resource), option)
    if spec is None:
        return
    if not problem:
        problem = check_spec(config, spec, event.requestor)[1]
    if problem:
        event.reject("-l %s=%s: %s" % (config.resource, spec, problem))
    if spec != changed:
        event.job.Resource_List[config.resource] = spec
        event.job.Checkpoint = pbs.checkpoint("s")


def cr_run_problem(config: Config) -> Optional[str]:
    """Why no job can be started through cr_run on this node; None if it works."""
    program = cr_run(config)
    if not os.access(program, os.X_OK):
        return "there is no %s on this node" % program
    try:
        out, err = run_bounded([program, "--version"], config.check_seconds, None)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "%s does not work on this node: %s" % (program, error)
    if not out.startswith("cr_run: version"):
        return "%s does not work on this node: %s" % (program, err.strip().split("\n")[0])
    return None


def job_problem(event: Any) -> Optional[str]:
    """Why this job cannot have checkpoints; None if it can."""
    if host_count(attribute(event.job, "exec_vnode") or "") > 1:
        return "it runs on several nodes, and only jobs of one node can be checkpointed"
    return None


def replace_program(event: Any, swap: Swap) -> None:
    """What MoM starts is the swap's program now."""
    for name, value in swap.variables.items():
        event.env[name] = variable_text(value)
    event.progname = swap.program
    event.argv = []
    for word in swap.arguments:
        event.argv.append(word)


def run_count(job: Any) -> int:
    """1 in the first run of a job."""
    return int(attribute(job, "run_count") or "1")


def without_us(event: Any, problem: str) -> None:
    """The first run begins as if we were not there. A later one waits, held: there may be weeks in its contexts."""
    if run_count(event.job) == 1:
        log("job %s runs without checkpoints: %s" % (event.job.id, problem))
        return
    log("job %s is held: it was started before and may have contexts; %s" % (event.job.id, problem))
    event.job.rerun()
    event.job.Hold_Types = pbs.hold_types("s")
    event.reject("caesura: job %s is held, for it may have contexts: %s" % (event.job.id, problem))


def is_first_task(event: Any) -> bool:
    """Whether what is launched is the job's script, and not what it starts by tm_spawn or on a sister node."""
    return str(event.env.get("PBS_TASKNUM", "1")) == "1" and bool(event.job.in_ms_mom())


def on_launch(config: Config, event: Any) -> None:
    """execjob_launch: puts cr_run in the place of the shell of the job's first task."""
    job = event.job
    jobid = str(job.id)
    spec = resource(job, config.resource)
    folder = job_folder(config, jobid)
    if spec is None or folder is None or not is_first_task(event):
        return
    problem = cr_run_problem(config)
    if problem:
        without_us(event, problem)
        return
    program, arguments = str(event.progname), [str(word) for word in event.argv]
    account = pwd.getpwnam(str(job.euser))
    problem = job_problem(event)
    brief = noted_brief(event.env.get(BRIEF), spec)
    if not problem and not brief and run_count(job) == 1:
        brief, problem = ask_engine(config, spec, account.pw_name)
    if problem:
        log("job %s runs without checkpoints: %s" % (jobid, problem))
        replace_program(event, refusal_swap(config, program, arguments, problem))
        return
    make_folder(config, folder, account.pw_uid, account.pw_gid)
    walltime = resource(job, "walltime")
    launch = Launch(
        spec,
        # A job that was there before the hook has no key; its id and the time it came have to do.
        str(event.env.get(KEY, "")) or "%s%s" % (stamp(jobid), stamp(str(attribute(job, "qtime")))),
        # Without an answer the engine stays with the job, and says itself what it does not like. So it does in a later
        # run, which goes on by the policy that the job began with, whatever has become of SPEC.
        brief or ("1", "0"),
        program,
        arguments,
        run_count(job),
        int(time.time()) + int(job.Resource_List["walltime"]) if walltime else 0,
        folder,
    )
    replace_program(event, launch_swap(config, launch))


def on_deletion(config: Config, event: Any) -> None:
    """execjob_preterm: comes for qdel alone, before any signal."""
    folder = job_folder(config, str(event.job.id))
    if folder:
        mark_deleted(folder)


def on_epilogue(config: Config, event: Any) -> None:
    """execjob_epilogue: the run is over. If its engine asked for it PBS queues the job again instead of ending it."""
    folder = job_folder(config, str(event.job.id))
    if folder and asks_for_requeue(folder, pwd.getpwnam(str(event.job.euser)).pw_uid):
        event.job.rerun()
        pbs.logmsg(pbs.EVENT_JOB, "caesura: job %s goes on in its next run" % event.job.id)


def on_end(config: Config, event: Any) -> None:
    """execjob_end, execjob_abort: nobody reads the job's runtime folder any more."""
    folder = job_folder(config, str(event.job.id))
    if folder:
        remove_folder(folder)


def on_tick(config: Config, event: Any) -> None:
    """exechost_periodic: removes what is left of jobs whose end MoM did not see, as after a crash of the node."""
    for folder in leftovers(config, [str(jobid) for jobid in event.job_list], time.time()):
        remove_folder(folder)


def main() -> None:
    """One event. Only reject() of a bad SPEC keeps a job from what it is about to do."""
    event = pbs.event()
    handlers = {
        pbs.QUEUEJOB: on_submission,
        pbs.MODIFYJOB: on_change,
        pbs.EXECJOB_LAUNCH: on_launch,
        pbs.EXECJOB_PRETERM: on_deletion,
        pbs.EXECJOB_EPILOGUE: on_epilogue,
        pbs.EXECJOB_END: on_end,
        pbs.EXECJOB_ABORT: on_end,
        pbs.EXECHOST_PERIODIC: on_tick,
    }
    try:
        path = pbs.hook_config_filename
        text = ""
        if path:
            with open(path) as file:
                text = file.read()
        handlers[event.type](parse_config(text), event)
    except Exception:  # accept() and reject() leave by SystemExit, which is none
        problem = "; ".join(traceback.format_exc().strip().splitlines()[-3:])
        if event.type == pbs.EXECJOB_LAUNCH and KEY in event.env and is_first_task(event):
            without_us(event, problem)
        else:
            log("the job is left alone: " + problem)
    event.accept()


if __name__ in ("builtins", "__builtin__"):
    main()
