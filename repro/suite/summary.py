"""What a run has come to: how much was done, what failed and why, what was not run for that, how to go on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from repro.suite.engine import Failure, Task

__all__ = ["summarise"]

_SHOWN = 3
"""Tasks that are named of those that failed for one reason."""


def summarise(title: str, n_tasks: int | None, failures: Sequence[Failure], again: str | None = None) -> list[str]:
    """Tell what failed, each reason once, and count the rest.

    Parameters
    ----------
    title : str
        Of what was run.
    n_tasks : int, optional
        Tasks that were to be run; None: not known.
    failures : sequence of Failure
    again : str, optional
        The command that was typed.

    Returns
    -------
    list of str
        Lines; none if nothing failed. Reasons that differ in numbers only count as one, and the first is shown.
    """
    if not failures:
        return []
    by_reason: dict[str, list[Failure]] = {}
    for failure in failures:
        if failure.cause is None:
            by_reason.setdefault(_NUMBER.sub("#", failure.reason), []).append(failure)
    lines = []
    for alike in sorted(by_reason.values(), key=len, reverse=True):
        lines.append(f"failed: {_names([failure.task for failure in alike])}")
        lines += [f"  {line}" for line in alike[0].reason.splitlines()]
    failed = sum(map(len, by_reason.values()))
    skipped = len(failures) - failed
    counts = [] if n_tasks is None else [f"{n_tasks - len(failures)} of {n_tasks} steps done"]
    counts.append(f"{failed} failed")
    counts += [f"{skipped} not run, as they need one that failed"] if skipped else []
    lines.append(f"{title}: {', '.join(counts)}; mend the cause and run {_command(again)}")
    return lines


_NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{16,}\b|\d+(\.\d+)?(e[+-]?\d+)?")


def _names(tasks: Sequence[Task]) -> str:
    names = list(dict.fromkeys(task.label for task in tasks))
    more = len(tasks) - min(_SHOWN, len(names))
    return "; ".join(names[:_SHOWN]) + (f"; and {more} more for the same reason" if more > 0 else "")


def _command(again: str | None) -> str:
    """Return how to go on; what is there is kept, even if the command was one that computes everything."""
    if again is None:
        return "the same command again"
    return "again: " + again.replace(" --mode always", "").replace(" --mode=always", "")
