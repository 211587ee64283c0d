"""Ctrl-C and SIGTERM: asked once, a run stops in order and can be gone on with; asked again, it ends at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FrameType

__all__ = ["GRACE", "Interrupts", "Terminated"]

GRACE: Mapping[int, float] = {signal.SIGINT: 5.0, signal.SIGTERM: 10.0}
"""Seconds that running tasks have to write where they stand."""

_ONE_REQUEST = 0.5
"""Seconds within which a second signal is the first one again, as when a launcher passes on what all have got."""


_LAST = 8.0
"""Seconds beyond that grace after which the process ends, whatever it is waiting for, such as workers that start."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, as sent before a job's time is over or a machine is taken back."""


class Interrupts:
    """Takes the signals that ask a run to stop; a context manager, in the main thread only.

    Outside of `noted` a signal raises `KeyboardInterrupt` or `Terminated` where it finds the program. Within, it is
    only noted, as whoever runs tasks looks at `asked` and stops them in order. A signal that comes again ends the
    process with status 128 + its number, as a shell has it.

    Attributes
    ----------
    asked : int or None
        Number of the signal that came. It stays, as an exception that is raised inside a callback of the garbage
        collector is discarded by the interpreter.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._asked_at = 0.0
        self._noting = self._alarming = False
        self._last: threading.Timer | None = None
        self._before = ExitStack()

    def __enter__(self) -> Interrupts:
        """Take the signals."""
        if threading.current_thread() is threading.main_thread():
            for number in GRACE:
                self._before.callback(signal.signal, number, signal.signal(number, self._handle))
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the signals to whoever had them before."""
        if self._last is not None:
            self._last.cancel()
        self._before.close()

    @property
    def grace(self) -> float:
        """Seconds that tasks have to stop."""
        return GRACE[self.asked or signal.SIGINT]

    def check(self) -> None:
        """Raise what was asked for.

        Raises
        ------
        KeyboardInterrupt
        """
        if self.asked is not None:
            raise self._exception()

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Only note a signal, and raise it at the end."""
        self.check()
        self._noting = True
        try:
            yield
        finally:
            self._noting = False
        self.check()

    @contextmanager
    def raised_late(self) -> Iterator[None]:
        """Within `noted`: raise a signal that was noted where it finds the program, but not before its time is over."""
        if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGALRM, self._on_alarm)
        self._alarming = True
        try:
            yield
        finally:
            self._alarming = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _exception(self) -> KeyboardInterrupt:
        return Terminated() if self.asked == signal.SIGTERM else KeyboardInterrupt()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked is None:
            self.asked, self._asked_at = number, time.monotonic()
            if not self._noting:
                raise self._exception()
            if self._alarming:
                signal.setitimer(signal.ITIMER_REAL, self.grace)
            self._last = threading.Timer(self.grace + _LAST, self._end, [number])
            self._last.daemon = True
            self._last.start()
            _say("stopping; what runs is asked to write where it stands (again: end at once)")
        elif time.monotonic() - self._asked_at > _ONE_REQUEST:
            self._end(number)

    @staticmethod
    def _end(number: int) -> None:
        """End this process, and with it those that it started, which notice."""
        _say("ended at once; what is finished is kept: run the same command to go on")
        os._exit(128 + number)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        raise self._exception()


def _say(text: str) -> None:
    """Write to standard error, past whatever is being written there."""
    os.write(2, f"\n{text}\n".encode())
