"""Runs of a small table that are disturbed from outside, and what must be true of its store afterwards."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from safetensors import safe_open

PROGRAM = Path(__file__).with_name("small_table.py")
SEED = 20201

PATIENCE = 900
"""Seconds after which a run counts as hanging, on a machine that does other things, too."""

ORPHANS_END = 30
"""Seconds within which workers must be gone whose driver was killed."""

_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}


CLOCK = """
import os, time

_time = time.time
_jumped = []


def _shifted():
    if not _jumped and os.path.exists(os.environ["CLOCK_JUMPS"]):
        _jumped.append(True)
    return _time() + len(_jumped) * float(os.environ["CLOCK_SHIFT"])


time.time = _shifted
time.time_ns = lambda: int(_shifted() * 1e9)
"""
"""A ``sitecustomize`` that shifts the clock of a process as soon as a file is there, and of those that it starts."""


class Fault(AssertionError):
    """What a disturbed run did wrong."""


class Run:
    """A command that runs; its process group has its process id."""

    def __init__(self, pid, log, poll):
        self.pid, self.log, self._poll = pid, log, poll
        self.begin = time.monotonic()
        self.status = None

    def running(self):
        if self.status is None:
            self.status = self._poll()
            self.seconds = time.monotonic() - self.begin
        return self.status is None

    def wait(self):
        """Wait for its end and return its exit status, or minus the signal."""
        hangs = False
        while self.running():
            if time.monotonic() - self.begin > PATIENCE and not hangs:
                os.killpg(self.pid, signal.SIGKILL)
                hangs = True
            time.sleep(0.01)
        if hangs:
            raise Fault(f"hangs: not finished after {PATIENCE} s\n{self.told()}")
        return self.status

    def told(self):
        return self.log.read_text(errors="replace")[-3000:]

    def members(self):
        """Process ids of what is left of the group, those that nobody has collected excepted."""
        found = []
        for process in psutil.process_iter():
            try:
                if os.getpgid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found

    def workers(self):
        """Process ids of all processes that it has started, but helpers of the interpreter, in order."""
        try:
            started = psutil.Process(self.pid).children(recursive=True)
            able = [c for c in started if "resource_tracker" not in " ".join(c.cmdline())]
            return sorted(c.pid for c in able if c.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return []

    def kill(self):
        self._end(os.kill)

    def kill_all(self):
        self._end(os.killpg)
        self.wait_for_orphans()

    def _end(self, how):
        how(self.pid, signal.SIGKILL)
        while self.running():
            time.sleep(0.01)

    def wait_for_orphans(self, seconds=ORPHANS_END):
        deadline = time.monotonic() + seconds
        while left := self.members():
            if time.monotonic() > deadline:
                os.killpg(self.pid, signal.SIGKILL)
                raise Fault(f"{len(left)} processes live {seconds} s after their driver was killed")
            time.sleep(0.02)


class Server:
    """Starts runs by forking from a process that has imported everything; workers of a run are new interpreters."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "serve"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD},
        )  # fmt: skip
        assert self._process.stdout.readline() == "ready\n"

    def _ask(self, *words):
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def write_data(self, place):
        """Write the table's data, and return its folder."""
        run = self._run("data", place / "log", str(place / "unbc"))
        assert run.wait() == 0, run.told()
        return place / "unbc"

    def simulate(self, place):
        return self._run("simulate", place / "log", str(place / "store"))

    def start(self, place, *options, log="log", shuffled=None):
        """Start a run; with `shuffled`, a seed, its tasks come in a random order."""
        return self._run("run", place / log, [shuffled, *_folders(place), *options])

    def _run(self, what, log, argument):
        pid = self._ask(what, str(log), argument)
        return Run(pid, log, lambda: self._ask("status", pid))

    def close(self):
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()


def start_alone(place, *options, env=None, log="log"):
    """Start a run as a user does: a new interpreter, whose workers are new interpreters, too."""
    with (place / log).open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *_folders(place), *options],
            stdout=file, stderr=file, start_new_session=True, env={**os.environ, **_ONE_THREAD, **(env or {})},
        )  # fmt: skip
    return Run(process.pid, place / log, process.poll)


def _folders(place):
    return ["--store", str(place / "store"), "--out", str(place / "out")]


def moments(n, what):
    """Return n random shares of a run's duration, one in each n-th part of it, in random order."""
    chance = random.Random(f"{SEED} {what} {n}")
    shares = [(k + chance.random()) / n for k in range(n)]
    chance.shuffle(shares)
    return shares


def wait_until(run, seconds):
    """Wait until a run has lasted so long; False if it ended before."""
    while run.running():
        if time.monotonic() - run.begin >= seconds:
            return True
        time.sleep(0.002)
    return False


def wait_for_files(run, place, n):
    """Wait until a run has left so many files; False if it ended before."""
    while run.running():
        if len(visible(place)) >= n:
            return True
        time.sleep(0.02)
    return False


def age(place, seconds):
    """Shift the times at which the store's files were changed, by their own clock."""
    for path in (place / "store").rglob("*"):
        changed = max(0.0, path.stat().st_mtime + seconds)
        os.utime(path, (changed, changed))


def csv(place):
    return (place / "out/tables/licensed/faults.csv").read_bytes()


def visible(place):
    """Contents of the store's files, under their paths; temporary files have names that begin with a dot."""
    store = place / "store"
    paths = [path for path in store.rglob("*") if path.is_file()] if store.is_dir() else []
    parts = {path: path.relative_to(store).parts for path in paths}
    return {"/".join(own): path.read_bytes() for path, own in parts.items() if not any(p[0] == "." for p in own)}


def check_visible(place, reference):
    """Hold every visible file against that of an undisturbed run, which parses; checkpoints, which it lacks, are read.

    Files may differ in what they tell of the circumstances: seconds and memory, and whether a dataset is complete.
    """
    found = visible(place)
    for name, data in found.items():
        if name.startswith("checkpoints/"):
            _check_checkpoint(place / "store" / name, data)
        elif name not in reference:
            raise Fault(f"{name} is visible, and an undisturbed run has no such file")
        elif _without_circumstances(name, data) != _without_circumstances(name, reference[name]):
            raise Fault(f"{name} differs from an undisturbed run's: {data[:80]!r}")
    return found


def _without_circumstances(name, data):
    if not name.endswith(("result.json", "history.json", "SIMULATED.json")):
        return data
    try:
        content = json.loads(data)
    except ValueError as error:
        raise Fault(f"{name} does not parse: {error}") from error
    return {key: value for key, value in content.items() if key not in ("run", "complete")}


def _check_checkpoint(path, data):
    try:
        if path.suffix == ".json":
            json.loads(data)
        else:
            with safe_open(path, "np") as file:
                assert list(file.keys())
    except Exception as error:  # whatever the format's reader raises on half a file
        raise Fault(f"{path.name} does not parse: {error}") from error


def check_kept(place, before):
    """Check that a later run left what was there as it was; checkpoints and the mark of a dataset are to change."""
    now = visible(place)
    for name, data in before.items():
        if not name.startswith("checkpoints/") and not name.endswith("SIMULATED.json") and now.get(name) != data:
            raise Fault(f"{name} was there before the fault and is {'other' if name in now else 'gone'} now")


def check_ended(run):
    """Check that a run ends as complete."""
    if run.wait() != 0:
        raise Fault(f"ends with {run.status}\n{run.told()}")


def check_finished(place, run, reference, table):
    """Check that a run is complete, its table an undisturbed run's, and nothing else is in the store."""
    check_ended(run)
    if csv(place) != table:
        raise Fault("its table is not an undisturbed run's")
    found = check_visible(place, reference)
    if set(found) != set(reference):
        raise Fault(f"files that should not be, or are missing: {sorted(set(found) ^ set(reference))[:5]}")
