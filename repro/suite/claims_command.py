"""The command line of a page of claims: compute what its comparisons need, judge, write, print."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from repro.files import check_folders
from repro.suite.claims import Claims, Entry, needed
from repro.suite.claims_page import lay_out, markdown, write
from repro.suite.command import COMPLETE, INCOMPLETE, USAGE, Computed, add_options, compute, interrupted, parsed
from repro.suite.decisions import decisions
from repro.suite.engine import Failure
from repro.suite.progress import Progress
from repro.suite.provenance import circumstances, seeds_of
from repro.suite.readings import Readings
from repro.suite.scales import SCALES
from repro.suite.session import Session
from repro.suite.spec import Column, Table
from repro.suite.summary import summarise
from repro.suite.verdicts import ALPHA, Judged, Reading, judge, to_frame
from repro.suite.verdicts import INCOMPLETE as LACKING
from repro.suite.work import MEASURED

__all__ = ["main", "run_claims"]


def main(claims: Claims, arguments: Sequence[str] | None = None) -> int:
    """Run a page from the command line and return the exit status; see :func:`run_claims`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m repro.{claims.name}", description=claims.title, allow_abbrev=False
    )
    add_options(parser)
    return run_claims(claims, parsed(parser, arguments))


def run_claims(claims: Claims, options: argparse.Namespace, session: Session | None = None) -> int:
    """Judge a page of claims, in a session of its own unless one is given.

    Returns
    -------
    int
        0: every claim is judged; 1: a claim lacks cells; 2: the options or the data cannot be used; 130: interrupted.
    """
    begin = time.monotonic()
    try:
        check_folders(options)
        if session is not None:
            return _run(claims, options, session, begin)
        with Session(options) as own:
            return _run(claims, options, own, begin)
    except ValueError as error:
        _say(f"{claims.name}: {error}")
        return USAGE
    except KeyboardInterrupt as error:
        return interrupted(claims.name, options, error)


@dataclass
class _Gathered:
    """Numbers of all tables, by where they stand, and what happened on the way."""

    readings: dict[Entry, Reading] = field(default_factory=dict)
    tables: list[dict[str, Any]] = field(default_factory=list)
    data: dict[str, dict[str, Any]] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    n_tasks: int = 0
    statuses: list[int] = field(default_factory=list)

    def add(self, part: Table, computed: Computed, session: Session) -> None:
        """Read a part of a table; damaged entries are told and count as missing."""
        found = Readings(computed.table, computed.plan, session.store)
        there = {row.label for row in computed.table.rows}
        for row in part.rows:
            for column in part.columns:
                known = row.label in there
                reading = _reading(found, row.label, column) if known else Reading(None, applicable=False)
                self.readings[Entry(part.name, row.label, column.label)] = reading
        for line in (*computed.damaged, *found.damaged):
            _say(line)
        self.tables.append(
            {
                "table": part.name,
                "rows": [row.label for row in computed.table.rows],
                "columns": [column.label for column in computed.table.columns],
                "protocol": computed.scale.protocol_of(computed.table),
                "cells": len(computed.plan.cells),
                "decisions": decisions(computed.table, computed.scale),
                "seeds": seeds_of(computed.plan, session.options),
                "reasons": dict(computed.plan.reasons),
            }
        )
        for name, corpus in computed.corpora.items():
            own = corpus.dataset
            self.data[name] = {"simulated": own.simulated, "fingerprint": own.fingerprint}
        self.kinds.add(computed.data)
        self.failures += computed.failures
        self.n_tasks += computed.n_tasks


def _reading(found: Readings, row: str, column: Column) -> Reading:
    """Return what is there of a number, or whether it is missing."""
    if found.is_complete(row, column.label):
        return Reading(found.values(row, column.label))
    _, expected = (found.measured if column.metric in MEASURED else found.counts)(row, column.label)
    return Reading(None, applicable=expected > 0)


def _run(claims: Claims, options: argparse.Namespace, session: Session, begin: float) -> int:
    gathered = _Gathered()
    for part in needed(claims):
        title = f"{claims.name}, {part.name}"
        progress = Progress(title, visible=not options.quiet)
        try:
            computed = compute(part, options, session, progress, title=title)
        finally:
            progress.close()
        if isinstance(computed, int):
            gathered.statuses.append(computed)
        else:
            gathered.add(part, computed, session)
    if not gathered.kinds:
        return max(gathered.statuses)
    if len(gathered.kinds) > 1:
        raise ValueError("some tables are of licensed data and some of simulated; give all datasets, or none")
    return _finish(claims, gathered, options, begin)


def _finish(claims: Claims, gathered: _Gathered, options: argparse.Namespace, begin: float) -> int:
    """Judge, write, print, and say what is missing."""
    scale, (data,) = SCALES[options.scale], gathered.kinds
    judged = judge(claims, lambda entry: gathered.readings.get(entry, Reading(None)))
    frame = to_frame(judged, data, scale.name)
    record = circumstances(claims.name, options) | {
        "claims": _record(judged),
        "level": ALPHA,
        "tables": gathered.tables,
        "data": gathered.data,
        "seconds": {"this command": round(time.monotonic() - begin, 1)},
    }
    written = write(claims, judged, frame, scale, options.out, data, record)
    sys.stdout.write(markdown(lay_out(claims, judged, scale, data), judged) + "\n")
    _say("written: " + ", ".join(str(path) for path in written))
    for line in summarise(claims.name, gathered.n_tasks, gathered.failures, getattr(options, "typed", None)):
        _say(line)
    lacking = [one.claim.sentence for one in judged if one.verdict == LACKING]
    if lacking:
        _say(f"{claims.name} is INCOMPLETE: {len(lacking)}/{len(judged)} claims lack cells")
    return INCOMPLETE if lacking or gathered.failures else COMPLETE


def _record(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return the verdicts for the JSON."""
    return [
        {
            "claim": one.claim.name,
            "sentence": one.claim.sentence,
            "source": one.claim.source,
            "verdict": one.verdict,
            "comparisons": len(one.findings),
            "made": len(one.made),
            "as claimed": one.n_as_claimed,
            "verdicts": dict(Counter(finding.verdict for finding in one.findings)),
        }
        for one in judged
    ]


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
