"""The one command line of every table."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from repro.files import check_folders
from repro.suite.corpus import Corpus
from repro.suite.emit import emit, to_markdown
from repro.suite.engine import Failure, Task, Terminated
from repro.suite.plan import Plan, is_done
from repro.suite.progress import Progress
from repro.suite.provenance import provenance
from repro.suite.scales import SCALES
from repro.suite.session import Session, open_given
from repro.suite.spec import DATASET_LABELS, STILLS_LABELS, Population, Scale, Table
from repro.suite.still_corpus import StillCorpus
from repro.suite.store import Store
from repro.suite.summary import summarise
from repro.suite.tabulate import judge, tabulate
from repro.suite.where import add_where
from repro.suite.work import build_plan, expected_cells

__all__ = [
    "COMPLETE",
    "INCOMPLETE",
    "INTERRUPTED",
    "TERMINATED",
    "USAGE",
    "Computed",
    "add_deterministic",
    "add_openface",
    "add_options",
    "as_asked",
    "compute",
    "device_of",
    "interrupted",
    "main",
    "open_given",
    "parsed",
    "positive",
    "report_failures",
    "run",
]

COMPLETE, INCOMPLETE, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class UsageError(ValueError):
    """Options that cannot be meant together."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all tables and figures share."""
    parser.add_argument("--scale", choices=list(SCALES), default="quick", help="smoke: seconds; quick: minutes; paper")
    for name, label in {**DATASET_LABELS, **STILLS_LABELS}.items():
        parser.add_argument(
            f"--{name}",
            type=Path,
            metavar="DIR",
            default=os.environ.get(f"REPRO_{name.upper()}"),
            help=f"root of {label} (default: $REPRO_{name.upper()}); without it simulated data is used and said so",
        )
    add_openface(parser)
    parser.add_argument(
        "--pretext",
        choices=("stills", "own"),
        default="stills",
        help="where the paper's pretext sees VGGFace2: these stills, or the training subjects' own videos",
    )
    parser.add_argument(
        "--protocol",
        choices=("leave_one_subject_out", "grouped_k_fold"),
        help="folds, in place of the scale's",
    )
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="tables/ and figures/ are written here")
    parser.add_argument(
        "--store",
        type=Path,
        default=Path(os.environ.get("REPRO_STORE", "store")),
        metavar="DIR",
        help="predictions, networks, images, simulated data (default: $REPRO_STORE or ./store)",
    )
    parser.add_argument(
        "--mode",
        choices=("only-missing", "only-cache", "always", "plan"),
        default="only-missing",
        help="compute what is missing; show what is there; compute all again; say what is left to do",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add_deterministic(parser)
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="end a step that takes longer, and count it as failed; with --jobs 1 steps then run in a process of their "
        "own, too (default, or 0: no limit)",
    )
    parser.add_argument("--shard", type=_shard, default=(1, 1), metavar="i/N", help="compute only every N-th cell")
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="repetitions of every cell")
    parser.add_argument("--strict", action="store_true", help="stop at damaged data instead of recording it")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_where(parser)


def add_openface(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where BioVid's landmarks are."""
    parser.add_argument(
        "--openface",
        type=Path,
        metavar="DIR",
        help="landmarks of BioVid's videos: CSV files of OpenFace, or of `python -m repro.landmarks` (default: a "
        "folder OpenFace in or beside PartA, if there is one)",
    )


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def _seconds(text: str) -> float | None:
    """Parse a time limit; 0 and none are no limit."""
    value = 0.0 if text.lower() == "none" else float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return value or None


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not i/N with 1 <= i <= N")
    return int(index), int(count)


def main(table: Table, arguments: Sequence[str] | None = None) -> int:
    """Run one table from the command line and return the exit status.

    Returns
    -------
    int
        0: complete; 1: cells are missing or failed; 2: the options or the data cannot be used; 130: interrupted by
        Ctrl-C; 143: ended by SIGTERM.
    """
    parser = argparse.ArgumentParser(prog=f"python -m repro.{table.name}", description=table.title, allow_abbrev=False)
    add_options(parser)
    return run(table, parsed(parser, arguments))


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse options, and keep the command line as it was typed for the record, in ``typed``."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(given)
    options.typed = f"{parser.prog} {shlex.join(given)}".strip()
    return options


def run(table: Table, options: argparse.Namespace, session: Session | None = None) -> int:
    """Run one table with parsed options, in a session of its own unless one is given; see :func:`main`."""
    begin = time.monotonic()
    progress = Progress(table.name, visible=not options.quiet)
    try:
        check_folders(options)
        if session is not None:
            return _run(table, options, session, progress, begin)
        with Session(options) as own:
            return _run(table, options, own, progress, begin)
    except ValueError as error:
        progress.close()
        _say(f"{table.name}: {error}")
        return USAGE
    except KeyboardInterrupt as error:
        progress.close()
        return interrupted(table.name, options, error)


def interrupted(name: str, options: argparse.Namespace, error: KeyboardInterrupt) -> int:
    """Say how to go on after Ctrl-C or SIGTERM, and return the exit status of either."""
    terminated = isinstance(error, Terminated)
    _say(
        f"{name}: {'terminated' if terminated else 'interrupted'}; what is finished is kept in {options.store}, and "
        "where trainings stood: run the same command to go on"
    )
    return TERMINATED if terminated else INTERRUPTED


def _run(table: Table, options: argparse.Namespace, session: Session, progress: Progress, begin: float) -> int:
    computed = compute(table, options, session, progress)
    progress.close()
    if isinstance(computed, int):
        return computed
    for line in (*computed.damaged, *(remark for corpus in computed.corpora.values() for remark in corpus.remarks)):
        _say(line)
    return _finish(computed, session.store, options, begin)


@dataclass(frozen=True)
class Computed:
    """A table whose cells were computed as far as was asked for.

    Parameters
    ----------
    table : Table
        As it is on this data, at this scale.
    scale : Scale
    plan : Plan
    corpora : mapping
    data : {"simulated", "licensed"}
    n_tasks : int
        That were to be run.
    failures : sequence of Failure
    damaged : sequence of str
        What was set aside.
    """

    table: Table
    scale: Scale
    plan: Plan
    corpora: Mapping[str, Corpus | StillCorpus]
    data: str
    n_tasks: int
    failures: Sequence[Failure]
    damaged: Sequence[str]


def compute(
    table: Table, options: argparse.Namespace, session: Session, progress: Progress, *, title: str | None = None
) -> Computed | int:
    """Compute what a table lacks.

    Parameters
    ----------
    table : Table
    options : Namespace
        Of the command line.
    session : Session
    progress : Progress
    title : str, optional
        What a plan calls it, if not by its name.

    Returns
    -------
    Computed or int
        The exit status where there is nothing to tabulate: what is left to do was said, or data could not be simulated.

    Raises
    ------
    ValueError
        If options or data cannot be used.
    """
    scale, store = SCALES[options.scale], session.store
    if options.protocol is not None:
        scale = replace(scale, protocols={table.protocol: options.protocol})
    table = table.at(scale.name)
    if options.pretext == "own":
        table = table.without_stills()
    computing = options.mode in ("only-missing", "always")
    progress.expect(_COST_OF_A_TABLE[scale.name] if computing else 0.0)
    given = _given_roots(table, options)
    if given is not None:
        table = table.on_given_data()
        roots = {population: root for population in table.populations if (root := given.get(population.dataset))}
    else:
        roots, failures, missing = session.simulate(table.populations, scale, progress, allowed=computing)
        if missing:
            progress.close()
            left = expected_cells(table, scale, options.seeds)
            _print(f"{table.name}: 0/{left} cells are there; left to do: simulated data, {left} cells")
            return COMPLETE if options.mode == "plan" else INCOMPLETE
        if failures:
            progress.close()
            return report_failures(table.name, None, failures, options)
    corpora = session.corpora(roots, scale, given=given is not None)
    # where nothing of a table is about the data that was given, that data still tells which kind of data this is
    told = corpora or session.corpora(
        {Population(name): root for name, root in (given or {}).items() if name in DATASET_LABELS}, scale, given=True
    )
    simulated = any(corpus.dataset.simulated for corpus in told.values())
    if not simulated:
        table = table.without_simulated_rows()
    plan = build_plan(table, scale, corpora, store, repetitions=options.seeds, device=device_of(options.device))
    damaged = _drop_damaged(plan, store)
    left_over = plan.remaining(store, shard=options.shard, always=options.mode == "always")
    if options.mode == "plan":
        progress.close()
        _print_plan(title or table.name, plan, session, [task.kind for task in left_over])
        return COMPLETE
    left_over = as_asked(left_over, options)
    progress.add(left_over if computing else [])
    # what is computed all again is there from the start
    there = None if options.mode == "always" else partial(is_done, store=store)
    failures = session.engine.run(left_over, progress, there) if computing else []
    data = "simulated" if simulated else "licensed"
    return Computed(table, scale, plan, corpora, data, len(left_over), failures, damaged)


_COST_OF_A_TABLE: Mapping[str, float] = {"smoke": 25.0, "quick": 700.0, "paper": 1e6}
"""Rough seconds on one core that a table takes after its data is there; used until it is planned."""


def add_deterministic(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--deterministic``; `as_asked` does what it says."""
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="on a GPU: the same numbers in every run on one machine, at some cost in time (a CPU needs no option)",
    )


def as_asked(tasks: Sequence[Task], options: argparse.Namespace) -> list[Task]:
    """Return tasks that use deterministic algorithms only, wherever they run, if that is asked for.

    What measures time is left as it is.
    """
    if not options.deterministic:
        return list(tasks)
    from repro.learning.determinism import run_deterministically

    return [
        task if task.kind == "measure" else replace(task, function=partial(run_deterministically, task.function))
        for task in tasks
    ]


def _given_roots(table: Table, options: argparse.Namespace) -> dict[str, Path] | None:
    """Return roots of the data that was given, by dataset; None if all is to be simulated.

    A table never mixes licensed with simulated data: as soon as one dataset with labels is given, what a table has of
    the other one is not applicable.

    Raises
    ------
    UsageError
        If options do not fit together, or stills are needed and were not given.
    """
    given = {name: Path(root).absolute() for name in _GIVEN if (root := getattr(options, name)) is not None}
    labelled = [name for name in DATASET_LABELS if name in given]
    if given and table.simulated_only:
        _say(f"{table.name}: varies the simulator, so that the given {', '.join(given)} data is not used")
        return None
    if options.openface is not None and "biovid" not in given:
        raise UsageError("--openface DIR holds landmarks of BioVid's videos; give --biovid DIR, too, or neither")
    stills = [name for name in table.datasets if name in STILLS_LABELS]
    if not labelled and any(name in given for name in stills):
        options_of = " or ".join(f"--{name} DIR" for name in DATASET_LABELS)
        raise UsageError(
            f"{', '.join(given)} has no pain levels, and this table needs some: add {options_of}, or give none to use "
            "simulated data"
        )
    if labelled and (missing := [name for name in stills if name not in given]):
        raise UsageError(
            f"the pretext of this table sees {' and '.join(missing)}, and only {', '.join(given)} was given. Add "
            f"{' '.join(f'--{name} DIR' for name in missing)} (or --pretext own, which needs no stills), or give none "
            "to use simulated data"
        )
    if labelled and not set(labelled) & set(table.datasets):
        _say(f"{table.name}: nothing of it is about {', '.join(DATASET_LABELS[name] for name in labelled)} alone")
    return given if labelled else None


_GIVEN = (*DATASET_LABELS, *STILLS_LABELS)


def device_of(choice: str) -> str:
    """Return "cuda" or "cpu" for an option's choice.

    Raises
    ------
    UsageError
        If a GPU is asked for and there is none.
    """
    import torch

    if choice == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda, but torch sees no GPU; install a CUDA build or use --device cpu")
    return "cuda" if choice != "cpu" and torch.cuda.is_available() else "cpu"


def _drop_damaged(plan: Plan, store: Store) -> list[str]:
    """Set damaged entries aside, so that they count as missing."""
    artifacts = dict.fromkeys(key for keys in plan.artifacts.values() for key in keys)
    found = [store.discard_damaged(key) for key in plan.keys]
    found += [store.discard_damaged(key, "artifact") for key in artifacts]
    found += [store.discard_damaged(key, "measurement") for key in plan.measurements]
    return [reason for reason in found if reason is not None]


def _print_plan(title: str, plan: Plan, session: Session, left: Sequence[str]) -> None:
    total = len(plan.cells)
    done = sum(session.store.has(cell.key) for cell in plan.cells if cell.key)
    parts = [f"{left.count(kind)} {label}" for kind, label in _KINDS.items() if kind in left]
    shared = sum(cell.key in session.planned for cell in plan.cells if cell.key)
    session.planned.update(plan.keys)
    added = f" ({total - shared} more than the tables before)" if shared else ""
    _print(f"{title}: {done}/{total} cells{added} are there; left to do: {', '.join(parts) or 'nothing'}")


_KINDS = {
    "input": "subjects to encode",
    "features": "subjects to describe",
    "pretext": "pretext networks",
    "cell": "cells",
    "measure": "measurements",
}


def _finish(computed: Computed, store: Store, options: argparse.Namespace, begin: float) -> int:
    """Tabulate, write, print, and say what is missing."""
    table, scale, plan, failures = computed.table, computed.scale, computed.plan, computed.failures
    frame, damaged = tabulate(table, plan, store, scale, computed.data)
    checks = judge(table, frame, scale) if computed.data == "simulated" else []
    record = provenance(table, scale, plan, computed.corpora, store, options, checks, time.monotonic() - begin)
    written = emit(table, frame, scale, options.out, computed.data, record, plan.reasons)
    _print(to_markdown(table, frame, scale, plan.reasons))
    for check in checks:
        verdict = "holds" if check["holds"] else "DOES NOT HOLD"
        numbers = f"{check['value']:.3g} [{check['ci_low']:.3g}, {check['ci_high']:.3g}]"
        _print(f"check {verdict}: {check['check']} ({numbers})")
    _say("written: " + ", ".join(str(path) for path in written))
    for line in damaged:
        _say(line)
    missing = frame[frame.cells_done < frame.cells_total]
    status = COMPLETE
    if len(missing):
        counts = frame.drop_duplicates("row")
        _say(f"{table.name} is INCOMPLETE: {counts.cells_done.sum()}/{counts.cells_total.sum()} cells")
        status = INCOMPLETE
    return report_failures(table.name, computed.n_tasks, failures, options) if failures else status


def report_failures(title: str, n_tasks: int | None, failures: Sequence[Failure], options: argparse.Namespace) -> int:
    """Say what failed, and return the exit status."""
    for line in summarise(title, n_tasks, failures, getattr(options, "typed", None)):
        _say(line)
    return INCOMPLETE


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
