"""Processes that run tasks one after the other, watched from outside.

Whatever a task does to its process, such as a fault in compiled code, a hang that no signal ends, or more memory than
there is, ends that process and nothing else, and is known exactly: by which signal, with which exit code, after how
long. A process goes on with the next task, as importing what tasks need takes seconds, and ends with the one that
started it.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import IO, Any, BinaryIO, Literal

from repro.stopping import Stopped

__all__ = ["Runner", "TaskEnded", "limit_threads", "packed", "reason_of", "referred", "run_on_worker", "stop_runners"]

Ending = Literal["failed", "died", "lost", "late", "stopped"]

_ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)

_START = 120.0
"""Seconds that a process may take to start and to import what its task needs, beside a task's own time limit."""

_ORPHANED = 5.0
"""Seconds that a task has to write where it stands when the process is gone that waits for it."""

_INTERVAL = 0.5
"""Seconds between two reports of progress."""


class TaskEnded(Exception):
    """A task that did not finish.

    Parameters
    ----------
    how : {"failed", "died", "lost", "late", "stopped"}
        It raised; its process ended; the worker that waited for it is gone; it took too long and its process was ended;
        it was asked to stop.
    reason : str
    """

    def __init__(self, how: Ending, reason: str) -> None:
        super().__init__(how, reason)
        self.how: Ending = how
        self.reason = reason


def packed(function: Callable[..., Any], arguments: Mapping[str, Any]) -> bytes:
    """Return a call as bytes; functions of a script that is run are taken along."""
    import cloudpickle

    data: bytes = cloudpickle.dumps((function, dict(arguments)))
    return data


def referred(function: Callable[..., Any], arguments: Mapping[str, Any]) -> bytes:
    """Return a call as bytes; the function is imported where it runs."""
    return pickle.dumps((function, dict(arguments)))


def reason_of(error: BaseException) -> str:
    """Return the message of an expected error, and the traceback of any other."""
    if isinstance(error, (ValueError, FloatingPointError, OSError)):
        return f"{type(error).__name__}: {error}"
    return "".join(traceback.format_exception(error)).strip()


def limit_threads() -> None:
    """Keep this process to one thread: cells run side by side, and one thread gives the same bytes everywhere.

    Only packages that the task imported are told, as importing them takes seconds.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    if cv2 := sys.modules.get("cv2"):
        cv2.setNumThreads(0)


class Runner:
    """A process for tasks; started at the first, and anew after one that ended it. One task at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
        self._busy = self._late = False
        self._limit: threading.Timer | None = None
        self._grace: threading.Timer | None = None

    def run(self, work: bytes, report: Callable[[float, str], None] | None = None, timeout: float | None = None) -> Any:
        """Run a task and wait for its end.

        Parameters
        ----------
        work : bytes
            Of `packed` or `referred`.
        report : callable, optional
            Receives the task's progress.
        timeout : float, optional
            Seconds after which the task's process is killed.

        Returns
        -------
        object
            What the task's function returns.

        Raises
        ------
        TaskEnded
            If it did not finish.
        """
        self._late = False
        process = self._started()
        self._busy = True
        try:
            self._set_limit(process, None if timeout is None else timeout + _START)
            with suppress(OSError):  # a process that is gone is told below
                _send(process.stdin, work)
            while (answer := self._answer(process)) is not None and answer[0] in ("begun", "progress"):
                if answer[0] == "begun":
                    self._set_limit(process, timeout)
                elif report is not None:
                    report(*answer[1:])
            if answer is None:
                raise self._death(process, timeout)
        finally:
            self._busy = False
            self._forget_limits()
        if answer[0] != "done":
            raise TaskEnded(*answer)
        return answer[1]

    def stop(self, grace: float) -> None:
        """Ask the task that runs, if any, to stop, and end its process if it has not within `grace` seconds.

        Does not wait.
        """
        process = self._process
        if not self._busy or process is None or process.poll() is not None:
            return

        process.terminate()
        self._grace = threading.Timer(grace, process.kill)
        self._grace.daemon = True
        self._grace.start()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            with suppress(OSError):
                self._process.stdin.close()
            self._process = None

    def _answer(self, process: subprocess.Popen[bytes]) -> tuple[Any, ...] | None:
        """Wait for an answer; None if the process is gone, even if one that it has forked holds its pipe open."""
        while True:
            try:
                return self._answers.get(timeout=1)
            except Empty:
                if process.poll() is not None and self._answers.empty():
                    return None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            code = f"import sys; sys.path[:] = {sys.path!r}; from repro.suite.runner import serve; serve()"
            # signals wait until the process has decided what to do about them
            waiting = {signal.SIGINT, signal.SIGTERM}
            before = signal.pthread_sigmask(signal.SIG_BLOCK, waiting) if hasattr(signal, "pthread_sigmask") else None
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **_ONE_THREAD},
                )
            finally:
                if before is not None:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._answers = SimpleQueue()
            threading.Thread(target=_listen, args=(self._process.stdout, self._answers), daemon=True).start()
        return self._process

    def _set_limit(self, process: subprocess.Popen[bytes], seconds: float | None) -> None:
        def end() -> None:
            self._late = True
            process.kill()

        if self._limit is not None:
            self._limit.cancel()
        if seconds is None:
            return
        self._limit = threading.Timer(seconds, end)
        self._limit.daemon = True
        self._limit.start()

    def _forget_limits(self) -> None:
        for timer in (self._limit, self._grace):
            if timer is not None:
                timer.cancel()
        self._limit = self._grace = None

    def _death(self, process: subprocess.Popen[bytes], timeout: float | None) -> TaskEnded:
        """Tell why a process is gone; one that has closed its pipe without ending is ended."""
        try:
            code = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if self._late:
            return TaskEnded("late", f"took longer than {timeout:g} s; raise --timeout")
        if self._grace is not None:
            return TaskEnded("stopped", "did not stop when it was asked to, and was ended")
        return TaskEnded("died", _cause(code))


def _send(pipe: IO[bytes] | None, work: bytes) -> None:
    assert pipe is not None
    pickle.dump(work, pipe)
    pipe.flush()


def _listen(pipe: IO[bytes] | None, answers: SimpleQueue[tuple[Any, ...] | None]) -> None:
    """Hand on what a process answers, and None when it can answer no more."""
    assert pipe is not None
    with pipe:
        try:
            while True:
                answers.put(pickle.load(pipe))
        except (EOFError, OSError, pickle.UnpicklingError):
            answers.put(None)


_CAUSES: Mapping[str, str] = {
    "SIGKILL": " (out of memory?)",
    "SIGSEGV": " (a fault in compiled code)",
    "SIGBUS": " (a fault in compiled code, or a file that shrank)",
    "SIGILL": " (compiled for another processor?)",
}


def _cause(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"its process was killed by {name}{_CAUSES.get(name, '')}"


# ---- in the process


class _Server:
    """What happens in a runner's process: tasks come on one pipe, progress and endings go out on another."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO) -> None:
        self._commands, self._answers = commands, answers
        self._work: SimpleQueue[bytes] = SimpleQueue()
        self._sending = threading.Lock()
        self._busy = self._stopping = False
        self._told = 0.0
        self._own = os.getpid()

    def serve(self) -> None:
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this process stops it in order
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
        threading.Thread(target=self._receive, daemon=True).start()
        while True:
            work = self._work.get()
            self._busy, self._stopping = True, False
            self._tell(*self._run(work))
            self._busy = False

    def _receive(self) -> None:
        """Take work, and end this process when the one that sends it is gone, whatever the main thread is doing."""
        try:
            while True:
                self._work.put(pickle.load(self._commands))
        finally:
            self._stopping = True
            until = time.monotonic() + _ORPHANED
            while self._busy and time.monotonic() < until:
                time.sleep(0.05)
            os._exit(0)

    def _on_term(self, number: int, frame: object) -> None:
        if os.getpid() != self._own:  # a process that the task has forked
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not self._busy:
            os._exit(0)
        self._stopping = True

    def _run(self, work: bytes) -> tuple[Any, ...]:
        try:
            function, arguments = pickle.loads(work)
            limit_threads()
            self._tell("begun")
            return "done", function(**arguments, report=self._report)
        except Stopped:
            return "stopped", "was asked to stop"
        except BaseException as error:
            return "failed", reason_of(error)

    def _report(self, fraction: float, message: str) -> None:
        if self._stopping:
            raise Stopped
        if time.monotonic() - self._told > _INTERVAL:
            self._told = time.monotonic()
            self._tell("progress", fraction, message)

    def _tell(self, *answer: object) -> None:
        try:
            with self._sending:
                pickle.dump(answer, self._answers)
                self._answers.flush()
        except BrokenPipeError:  # nobody is there to be told
            self._stopping = True


def serve() -> None:
    """Run tasks until standard input ends; what they print goes to standard error."""
    commands, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    _Server(commands, answers).serve()


# ---- on a worker of a cluster

_runners: dict[int, Runner] = {}
"""The runner of each thread of this process."""


def run_on_worker(work: bytes, name: str, topic: str, timeout: float | None) -> None:
    """Run a task in a process beside this worker, and send its progress to who listens to `topic`."""
    from distributed import get_worker

    worker = get_worker()

    def report(fraction: float, message: str) -> None:
        worker.log_event(topic, {"task": name, "fraction": fraction, "message": message})

    _runners.setdefault(threading.get_ident(), Runner()).run(work, report, timeout)


def stop_runners(grace: float) -> None:
    """Ask all tasks of this process to stop, and end those that have not within `grace` seconds. Does not wait."""
    for runner in list(_runners.values()):
        runner.stop(grace)
