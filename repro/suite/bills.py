"""What the tables cost on the real datasets, ``python -m repro plan --scale paper``, also before the data is there.

Tables are planned as they are run, so that cells, networks and frames are counted, not estimated: on the datasets that
are given, and on the published counts of the others. Hours are units of work times rates that ``--measure`` measured on
this machine; without them none are shown.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from repro.data.schema import Dataset
from repro.suite.collection import paused_collection
from repro.suite.command import COMPLETE, USAGE, device_of, open_given
from repro.suite.corpus import Corpus
from repro.suite.costs import Ledger
from repro.suite.engine import available_cores
from repro.suite.expected_data import CountedStills, expected_dataset
from repro.suite.rates import Rate, Stopwatch, device_label, rates_file, read_rates, write_rates
from repro.suite.scales import SCALES
from repro.suite.spec import STILLS_LABELS, Population, Scale, Table
from repro.suite.still_corpus import StillCorpus
from repro.suite.store import Store
from repro.suite.units import Encoding, Features, FineTune, Fit, Measure, Pretrain, Work
from repro.suite.work import build_plan

__all__ = ["Bill", "add_plan_options", "bill_of", "format_plan", "plan_costs"]

_SECONDS_PER_HOUR = 3600
_UNTIMED = (Fit, Measure)
"""Work that is counted but not timed: only doing it would tell."""


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``plan`` beside those of all commands."""
    parser.add_argument("--all", action="store_true", help="plan every experiment, which is what is done anyway")
    parser.add_argument(
        "--measure",
        choices=("missing", "all"),
        nargs="?",
        const="missing",
        help="time each kind of work on this machine, a few units of it: those not timed before (default), or all, "
        "such as when data is given that was simulated then; minutes",
    )
    parser.add_argument(
        "--tflops",
        type=float,
        metavar="X",
        help="calculate the networks' hours from their floating-point operations, at X TFLOP/s sustained",
    )


@dataclass(frozen=True)
class Bill:
    """What a table asks for beyond the tables before it.

    Parameters
    ----------
    table : str
    cells : int
        All of its cells, those that another table has, too, and those that are done.
    steps : mapping of str to int
        Kind of task -> those left to do.
    units : mapping of Work to int
        Left to do.
    """

    table: str
    cells: int
    steps: Mapping[str, int]
    units: Mapping[Work, int]

    def total(self, *kinds: type[Work]) -> int:
        """Return the units of some kinds of work."""
        return sum(count for work, count in self.units.items() if isinstance(work, kinds))

    @property
    def trained(self) -> int:
        """Images that networks are trained on."""
        return self.total(Pretrain, FineTune)


class _Data:
    """The datasets, given or expected, and their clips; each is opened and cut once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.datasets: dict[str, Dataset] = {}
        self.owners: dict[int, str] = {}
        self._corpora: dict[Population, Corpus | StillCorpus] = {}

    def corpora(self, table: Table, scale: Scale) -> dict[str, Corpus | StillCorpus]:
        return {population.name: self._corpus(population, scale) for population in table.populations}

    def _corpus(self, population: Population, scale: Scale) -> Corpus | StillCorpus:
        if population not in self._corpora:
            dataset = self._dataset(population.dataset)
            if population.dataset in STILLS_LABELS:
                self._corpora[population] = CountedStills(dataset)
            else:
                clips = replace(scale.clips[population.dataset], **dict(population.clips))
                shortest = clips.length if "length" in dict(population.clips) else None
                self._corpora[population] = Corpus(dataset, clips, shortest or scale.input.shortest_clip)
        return self._corpora[population]

    def _dataset(self, name: str) -> Dataset:
        if name not in self.datasets:
            root = getattr(self._options, name)
            made = expected_dataset(name) if root is None else open_given(name, Path(root), self._options)
            self.datasets[name] = made
            self.owners.update((id(record), name) for record in made.records)
        return self.datasets[name]


def plan_costs(options: argparse.Namespace, tables: Iterable[Any]) -> int:
    """Print what tables cost on the real datasets and return the exit status.

    Parameters
    ----------
    options : Namespace
        Of the command line, those of `add_plan_options` included.
    tables : iterable
        What experiments declare as their ``TABLE``; what is no table of cells is passed over.
    """
    try:
        if options.tflops is not None and not options.tflops > 0:
            raise ValueError(f"--tflops {options.tflops} must be positive")
        device = device_of(options.device)
        data = _Data(options)
        bills = bills_of(options, [table for table in tables if isinstance(table, Table)], data, device)
        file = rates_file(options.store, device)
        rates = read_rates(file)
        if options.measure:
            rates = _measured(bills, rates, file, device, again=options.measure == "all", quiet=options.quiet)
    except ValueError as error:
        sys.stderr.write(f"plan: {error}\n")
        return USAGE
    sys.stdout.write(format_plan(bills, rates, device, options, data.datasets))
    return COMPLETE


@paused_collection(for_good=True)
def bills_of(options: argparse.Namespace, tables: Sequence[Table], data: _Data, device: str) -> list[Bill]:
    """Plan tables one after another; what several need stands in the bill of the first."""
    ledger, bills = Ledger(data.owners), []
    for table in tables:
        scale = SCALES[options.scale]
        if options.protocol is not None:
            scale = replace(scale, protocols={table.protocol: options.protocol})
        planned = table.at(scale.name)
        planned = planned.without_stills() if options.pretext == "own" else planned
        planned = planned.without_simulated_rows().on_given_data()
        if planned.rows:
            bills.append(bill_of(planned, scale, data.corpora(planned, scale), ledger, options, device))
    return bills


def bill_of(
    table: Table,
    scale: Scale,
    corpora: Mapping[str, Corpus | StillCorpus],
    ledger: Ledger,
    options: argparse.Namespace,
    device: str,
) -> Bill:
    """Plan a table and count what is left to do that no table before it asked for."""
    store = Store(options.store)
    plan = build_plan(table, scale, corpora, store, repetitions=options.seeds, device=device)
    units, steps = ledger.add(plan.tasks, plan.remaining(store))
    return Bill(table.name, len(plan.cells), steps, units)


def _measured(
    bills: Sequence[Bill], rates: Mapping[str, Rate], file: Path, device: str, *, again: bool, quiet: bool
) -> dict[str, Rate]:
    """Measure what the bills ask for; each rate is kept as soon as it is known."""
    kept = dict(rates)
    works = dict.fromkeys(work for bill in bills for work in bill.units if not isinstance(work, _UNTIMED))
    wanted = [work for work in works if again or work.key not in kept]
    with Stopwatch(device) as stopwatch:
        for number, work in enumerate(wanted, 1):
            if not quiet:
                sys.stderr.write(f"{number}/{len(wanted)} {work.kind}: {work.label}\n")
            try:
                rate = stopwatch.measure(work)
            except ValueError as error:
                sys.stderr.write(f"not measured: {work.kind}: {work.label}: {error}\n")
                continue
            if rate is not None:
                kept[work.key] = rate
                write_rates(file, kept, device)
    return kept


def format_plan(
    bills: Sequence[Bill],
    rates: Mapping[str, Rate],
    device: str,
    options: argparse.Namespace,
    datasets: Mapping[str, Dataset],
) -> str:
    """Format bills as text: a table of tables, a table of kinds of work, and what the numbers are."""
    hours = _Hours(rates, options.tflops)
    total: Counter[Work] = Counter()
    steps: Counter[str] = Counter()
    for bill in bills:
        total.update(bill.units)
        steps.update(bill.steps)
    everything = Bill("all", sum(bill.cells for bill in bills), steps, total)
    headings = ["table", "cells", "left", "networks", "encoded", "features", "trained on", "fits", "measurements"]
    headings += ["network hours", "other hours"]
    lines = _aligned([headings, *(_row(bill, hours) for bill in (*bills, everything))])
    lines += ["", *_notes(device, options, datasets, hours)]
    works = sorted(total, key=lambda work: (work.kind, work.label))
    rows = [["work", "", "units", "", "ms a unit", "GFLOP a unit", "hours", "timed on"]]
    rows += [[*_words(work, total[work]), *hours.told(work, total[work])] for work in works]
    return "\n".join([*lines, "", *_aligned(rows), ""])


def _words(work: Work, count: int) -> list[str]:
    return [work.kind, work.label, f"{count:,}", work.unit]


def _row(bill: Bill, hours: _Hours) -> list[str]:
    steps = bill.steps
    return [
        bill.table,
        f"{bill.cells:,}",
        f"{steps.get('cell', 0):,}",
        f"{steps.get('pretext', 0):,}",
        *(_millions(bill.total(kind)) for kind in (Encoding, Features)),
        _millions(bill.trained),
        f"{bill.total(Fit):,}",
        f"{bill.total(Measure):,}",
        *(hours.sum(bill.units, on_device=on_device) for on_device in (True, False)),
    ]


class _Hours:
    """Turns units into hours, where rates are known."""

    def __init__(self, rates: Mapping[str, Rate], tflops: float | None) -> None:
        self.rates, self.tflops = rates, tflops

    def of(self, work: Work, count: int) -> float | None:
        """Return hours, or None if the rate is not known."""
        rate = self.rates.get(work.key)
        if rate is None:
            return None
        seconds = rate.seconds
        if rate.flops is not None and self.tflops is not None:
            seconds = rate.flops / (self.tflops * 1e12)
        return count * seconds / _SECONDS_PER_HOUR

    def sum(self, units: Mapping[Work, int], *, on_device: bool) -> str:
        """Add up hours; "at least" if some rates are not known, a dash if none is."""
        asked = [w for w in units if w.on_device == on_device and not isinstance(w, _UNTIMED)]
        found = [self.of(work, units[work]) for work in asked]
        known = [value for value in found if value is not None]
        if not known:
            return "–" if asked else "0"
        return ("" if len(known) == len(found) else "at least ") + f"{sum(known):,.1f}"

    def told(self, work: Work, count: int) -> list[str]:
        """Return rate, operations, hours and what was timed."""
        rate, hours = self.rates.get(work.key), self.of(work, count)
        if rate is None or hours is None:
            return ["–", "–", "–", "only doing it would tell" if isinstance(work, _UNTIMED) else "not measured"]
        flops = "" if rate.flops is None else f"{rate.flops / 1e9:,.1f}"
        return [f"{1000 * rate.seconds:,.2f}", flops, f"{hours:,.1f}", rate.conditions]


def _notes(device: str, options: argparse.Namespace, datasets: Mapping[str, Dataset], hours: _Hours) -> list[str]:
    expected = [name for name in datasets if getattr(options, name) is None]
    given = [name for name in datasets if name not in expected]
    lines = [
        f"Scale {options.scale}, {options.seeds} repetition(s). Work that tables share stands at the first of them."
    ]
    if expected:
        lines.append(f"By published counts, as they are not given: {', '.join(expected)}.")
    if given:
        lines.append(f"As found on disk, less what is in {options.store}: {', '.join(given)}.")
    core = device_label("cpu")
    if not hours.rates:
        return [*lines, "No hours: nothing was measured on this machine; add --measure, which takes minutes."]
    if hours.tflops is not None:
        lines.append(
            f"Network hours are CALCULATED from --tflops {hours.tflops:g}, not measured: operations of convolutions "
            "and matrix products over that rate; images are read as was measured here."
        )
    else:
        lines.append(f"Network hours: measured on one {device_label(device)}.")
    lines.append(
        f"Other hours (encoding and features): measured on one {core}; divide by the cores that work side by side "
        f"(here {available_cores()})."
    )
    lines.append("Not in the hours: fits of supervised systems, measurements, k-means of deepcluster.")
    return lines


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f} M" if count else "0"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format rows as Markdown, the first being the headings."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
