"""The one command line of every table."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from repro.data import Dataset, open_dataset
from repro.files import check_writable
from repro.suite.corpus import Corpus
from repro.suite.emit import emit, to_markdown
from repro.suite.engine import Engine, Failure, available_cores
from repro.suite.progress import Progress
from repro.suite.provenance import provenance
from repro.suite.scales import SCALES
from repro.suite.simulation import missing_simulations
from repro.suite.spec import DATASET_LABELS, Population, Scale, Table
from repro.suite.store import Store
from repro.suite.tabulate import judge, tabulate
from repro.suite.work import Plan, build_plan, expected_cells

__all__ = [
    "COMPLETE",
    "INCOMPLETE",
    "INTERRUPTED",
    "USAGE",
    "add_openface",
    "add_options",
    "device_of",
    "main",
    "open_given",
    "positive",
    "run",
]

COMPLETE, INCOMPLETE, USAGE, INTERRUPTED = 0, 1, 2, 130


class UsageError(ValueError):
    """Options that cannot be meant together."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all tables and figures share."""
    parser.add_argument("--scale", choices=list(SCALES), default="quick", help="smoke: seconds; quick: minutes; paper")
    for name, label in DATASET_LABELS.items():
        parser.add_argument(
            f"--{name}",
            type=Path,
            metavar="DIR",
            default=os.environ.get(f"REPRO_{name.upper()}"),
            help=f"root of {label} (default: $REPRO_{name.upper()}); without it simulated data is used and said so",
        )
    add_openface(parser)
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
    parser.add_argument("--jobs", type=positive, default=available_cores(), metavar="N", help="processes side by side")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a running Dask scheduler, in place of local processes")
    parser.add_argument("--shard", type=_shard, default=(1, 1), metavar="i/N", help="compute only every N-th cell")
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="repetitions of every cell")
    parser.add_argument("--strict", action="store_true", help="stop at damaged data instead of recording it")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_openface(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where BioVid's landmarks are."""
    parser.add_argument(
        "--openface",
        type=Path,
        metavar="DIR",
        help="landmarks of BioVid's videos: CSV files of OpenFace, or of `python -m repro.landmarks` (default: a "
        "folder OpenFace in or beside PartA, if there is one)",
    )


def open_given(name: str, root: str | os.PathLike[str], options: argparse.Namespace) -> Dataset:
    """Open a dataset that was given on the command line, with the options that it shares with others."""
    own = {"openface": options.openface} if name == "biovid" and options.openface is not None else {}
    return open_dataset(name, root, strict=options.strict, **own)


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


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
        0: complete; 1: cells are missing or failed; 2: the options or the data cannot be used; 130: interrupted.
    """
    parser = argparse.ArgumentParser(prog=f"python -m repro.{table.name}", description=table.title, allow_abbrev=False)
    add_options(parser)
    return run(table, parser.parse_args(arguments))


def run(table: Table, options: argparse.Namespace) -> int:
    """Run one table with parsed options; see :func:`main`."""
    begin = time.monotonic()
    progress = Progress(table.name, visible=not options.quiet)
    try:
        return _run(table, options, progress, begin)
    except ValueError as error:
        progress.close()
        _say(f"{table.name}: {error}")
        return USAGE
    except KeyboardInterrupt:
        progress.close()
        _say(f"{table.name}: interrupted; what is finished is kept in {options.store}: run the same command to go on")
        return INTERRUPTED


def _run(table: Table, options: argparse.Namespace, progress: Progress, begin: float) -> int:
    for name in ("out", "store"):
        check_writable(getattr(options, name), f"--{name}")
    scale, store = SCALES[options.scale], Store(options.store)
    table = table.at(scale.name)
    computing = options.mode in ("only-missing", "always")
    progress.expect(_COST_OF_A_TABLE[scale.name] if computing else 0.0)
    with Engine(options.jobs, options.scheduler) as engine:
        roots = _given_roots(table, options)
        given = bool(roots)
        if given:
            table = table.on_given_data()
        else:
            sizes = {p: (p.dataset, replace(scale.simulated[p.dataset], changes=p.changes)) for p in table.populations}
            roots, tasks = missing_simulations(store, sizes)
            if tasks and not computing:
                progress.close()
                left = expected_cells(table, scale, options.seeds)
                _print(f"{table.name}: 0/{left} cells are there; left to do: simulated data, {left} cells")
                return COMPLETE if options.mode == "plan" else INCOMPLETE
            progress.add(tasks)
            if failures := engine.run(tasks, progress):
                progress.close()
                return _report_failures(table, failures)
        corpora = {
            population.name: Corpus(
                open_given(population.dataset, root, options)
                if given
                else open_dataset(population.dataset, root, strict=options.strict),
                scale.clips[population.dataset],
                scale.input.shortest_clip,
            )
            for population, root in roots.items()
        }
        if not any(corpus.dataset.simulated for corpus in corpora.values()):
            table = table.without_simulated_rows()
        plan = build_plan(table, scale, corpora, store, repetitions=options.seeds, device=device_of(options.device))
        damaged = _drop_damaged(plan, store)
        left_over = plan.remaining(store, shard=options.shard, always=options.mode == "always")
        if options.mode == "plan":
            progress.close()
            _print_plan(table, plan, store, [task.kind for task in left_over])
            return COMPLETE
        progress.add(left_over if computing else [])
        failures = engine.run(left_over, progress) if computing else []
    progress.close()
    for line in (*damaged, *(remark for corpus in corpora.values() for remark in corpus.remarks)):
        _say(line)
    return _finish(table, scale, plan, corpora, store, options, failures, begin)


_COST_OF_A_TABLE: Mapping[str, float] = {"smoke": 25.0, "quick": 700.0, "paper": 1e6}
"""Rough seconds on one core that a table takes after its data is there; used until it is planned."""


def _given_roots(table: Table, options: argparse.Namespace) -> dict[Population, Path]:
    """Return roots of the licensed data; empty when none is given, or the table is about the simulator.

    Raises
    ------
    UsageError
        If only some of the table's datasets are given: a table never mixes licensed with simulated data.
    """
    roots = {name: Path(root) for name in table.datasets if (root := getattr(options, name)) is not None}
    if roots and table.simulated_only:
        _say(f"{table.name}: varies the simulator, so that the given {', '.join(roots)} data is not used")
        return {}
    if options.openface is not None and "biovid" not in roots:
        raise UsageError("--openface DIR holds landmarks of BioVid's videos; give --biovid DIR, too, or neither")
    missing = sorted(set(table.datasets) - set(roots))
    if roots and missing:
        raise UsageError(
            f"this table needs {' and '.join(table.datasets)}; only {', '.join(roots)} was given. Add "
            f"{' '.join(f'--{name} DIR' for name in missing)}, or give none to use simulated data"
        )
    return {Population(name): root for name, root in roots.items()}


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
    found += [store.discard_damaged(key, artifact=True) for key in artifacts]
    return [reason for reason in found if reason is not None]


def _print_plan(table: Table, plan: Plan, store: Store, left: Sequence[str]) -> None:
    total = len(plan.cells)
    done = sum(store.has(cell.key) for cell in plan.cells if cell.key)
    parts = [f"{left.count(kind)} {label}" for kind, label in _KINDS.items() if kind in left]
    _print(f"{table.name}: {done}/{total} cells are there; left to do: {', '.join(parts) or 'nothing'}")


_KINDS = {
    "input": "subjects to encode",
    "features": "subjects to describe",
    "pretext": "pretext networks",
    "cell": "cells",
}


def _finish(
    table: Table,
    scale: Scale,
    plan: Plan,
    corpora: Mapping[str, Corpus],
    store: Store,
    options: argparse.Namespace,
    failures: Sequence[Failure],
    begin: float,
) -> int:
    """Tabulate, write, print, and say what is missing."""
    simulated = [corpus.dataset.simulated for corpus in corpora.values()]
    data = "simulated" if any(simulated) else "licensed"
    frame, damaged = tabulate(table, plan, store, scale, data)
    checks = judge(table, frame, scale) if data == "simulated" else []
    record = provenance(table, scale, plan, corpora, store, options, checks, time.monotonic() - begin)
    written = emit(table, frame, scale, options.out, data, record, plan.reasons)
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
    return _report_failures(table, failures) if failures else status


def _report_failures(table: Table, failures: Sequence[Failure]) -> int:
    for failure in failures:
        _say(f"failed: {failure.task.label}\n  {failure.reason}")
    _say(f"{table.name}: {len(failures)} steps failed; mend the cause and run the same command again")
    return INCOMPLETE


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
