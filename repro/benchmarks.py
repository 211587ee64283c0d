"""Turn a run of the benchmarks into a report: ``python -m repro.benchmarks benchmark.json -o benchmarks.md``.

The file comes from ``python -m pytest --benchmark-only --benchmark-json benchmark.json``. Every number of the report is
read from it: ratios to other implementations, numbers that stand beside the paper's, and all timings by group, with the
machine that they were taken on. The exit status is 0 if the report was written, 2 if the file is of no use.

Benchmarks speak to the report through their ``extra_info``. A key ``times_as_fast_as_NAME`` (or
``times_faster_than_NAME``) is a ratio to NAME, above 1 where the benchmark's own subject is faster; ``paper_KEY`` is
what the paper has for KEY; everything else is listed with the benchmark's time.
"""

# ruff: noqa: T201  (a command prints)
from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from repro.files import write_atomically
from repro.suite.engine import available_cores

__all__ = ["Case", "case_of", "machine", "main", "read", "report", "summary"]

PEAK = "peak_mebibytes"
"""Key of the peak memory in a benchmark's ``extra_info``."""

MACHINE = "features"
"""Key of `machine` in the file's ``machine_info``."""

_RATIOS = ("times_as_fast_as_", "times_faster_than_")
_PAPER = "paper_"
_PACKAGES = ("torch", "torchvision", "opencv-contrib-python-headless", "numba", "numpy", "scipy", "cvxpy", "clarabel")
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


class Number(NamedTuple):
    """Something that a benchmark recorded beside its time, and what the paper has for it, if anything."""

    name: str
    value: Any
    paper: Any = None


@dataclass(frozen=True)
class Case:
    """One benchmark.

    Attributes
    ----------
    group, name : str
        As readers see them.
    median, shortest : float
        Seconds of a round.
    rounds : int
    peak : float or None
        Most memory taken above what was held before, in MiB.
    ratios : tuple of Number
        Names are those of the implementations compared with.
    numbers : tuple of Number
        All else that was recorded.
    """

    group: str
    name: str
    median: float
    shortest: float
    rounds: int
    peak: float | None
    ratios: tuple[Number, ...]
    numbers: tuple[Number, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m repro.benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, help="what pytest --benchmark-only --benchmark-json FILE wrote")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file; standard output without it")
    options = parser.parse_args(argv)
    try:
        text = report(read(options.file))
        if options.output is not None:
            write_atomically(options.output, text.encode())
    except (OSError, ValueError) as error:
        print(f"python -m repro.benchmarks: {error}", file=sys.stderr)
        return 2
    if options.output is None:
        print(text, end="")
    return 0


def machine() -> dict[str, Any]:
    """Return the features of this machine that timings depend on: cores, memory in bytes, threads, versions."""
    import cv2
    import torch

    known = hasattr(os, "sysconf") and {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= os.sysconf_names.keys()
    return {
        "cores": available_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if known else None,
        "threads": {"PyTorch": torch.get_num_threads(), "OpenCV": cv2.getNumThreads()},
        "versions": dict(_versions()),
    }


def read(path: Path) -> dict[str, Any]:
    """Read a file of pytest-benchmark.

    Raises
    ------
    ValueError
        If it is no such file or holds no benchmark; the message names it and the remedy.
    OSError
        If it cannot be read.
    """
    remedy = "write it with: python -m pytest --benchmark-only --benchmark-json FILE"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not content["benchmarks"]:
            raise ValueError(f"{path} holds no benchmark, as none ran; {remedy}")
        _ = content["machine_info"]["cpu"]
        for record in content["benchmarks"]:
            case_of(record)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no file of pytest-benchmark ({type(error).__name__}: {error}); {remedy}"
        ) from error
    return dict(content)


def case_of(record: Mapping[str, Any]) -> Case:
    """Make a case from a benchmark as pytest-benchmark describes it."""
    extra, stats = dict(record["extra_info"]), record["stats"]
    peak = extra.pop(PEAK, None)
    paper = {key.removeprefix(_PAPER): extra.pop(key) for key in list(extra) if key.startswith(_PAPER)}
    ratios: list[Number] = []
    numbers: list[Number] = []
    for key, value in extra.items():
        prefix = next((prefix for prefix in _RATIOS if key.startswith(prefix)), None)
        row = Number(_words(key.removeprefix(prefix or "")), value, paper.pop(key, None))
        (numbers if prefix is None else ratios).append(row)
    # what has no counterpart here is still the paper's
    numbers += [Number(_words(key), None, value) for key, value in paper.items()]
    path, _, name = record["fullname"].partition("::")
    return Case(
        group=record["group"] or _words(PurePosixPath(path).stem.removeprefix("test_")),
        name=_title(name.rpartition("::")[2]),
        median=float(stats["median"]),
        shortest=float(stats["min"]),
        rounds=int(stats["rounds"]),
        peak=peak,
        ratios=tuple(ratios),
        numbers=tuple(numbers),
    )


def report(content: Mapping[str, Any]) -> str:
    """Write the report on a run.

    Parameters
    ----------
    content : mapping
        As `read` returns it.

    Returns
    -------
    str
        Markdown.
    """
    cases = [case_of(record) for record in content["benchmarks"]]
    parts = [
        "# Benchmarks",
        "Written by `python -m repro.benchmarks` from the file of `python -m pytest --benchmark-only --benchmark-json`."
        " A time is the median of the rounds, their minimum beside it. Peak memory is what was taken above what the"
        " process held before.",
        "\n".join(f"* {line}" for line in _circumstances(content)),
        "## Ratios",
        _table(
            ("group", "this", "time", "compared with", "times as fast", "paper"),
            [
                (case.group, case.name, _seconds(case.median), *map(_text, ratio))
                for case in cases
                for ratio in case.ratios
            ],
        ),
        "## Beside the paper",
        _table(
            ("group", "case", "quantity", "here", "paper"),
            [
                (case.group, case.name, *map(_text, number))
                for case in cases
                for number in case.numbers
                if number.paper is not None
            ],
        ),
        "## Timings",
    ]
    for group, members in _groups(cases):
        rows = [
            (case.name, _seconds(case.median), _seconds(case.shortest), str(case.rounds), _peak(case), _rest(case))
            for case in members
        ]
        parts += [f"### {group}", _table(("case", "time", "minimum", "rounds", "peak memory", "recorded"), rows)]
    return "\n\n".join(parts) + "\n"


def summary(cases: Sequence[Case]) -> str:
    """Return times, peak memory and ratios of each group as plain text, for a terminal."""
    lines = []
    for group, members in _groups(cases):
        lines.append(group)
        width = max(len(case.name) for case in members)
        for case in members:
            ratios = ", ".join(f"{_text(ratio.value)} x {ratio.name}" for ratio in case.ratios)
            lines.append(
                f"  {case.name:<{width}}  {_seconds(case.median):>8}  {_peak(case):>10}  {ratios}".rstrip(),
            )
    return "\n".join(lines)


def _circumstances(content: Mapping[str, Any]) -> Iterator[str]:
    """Name the machine by its features, never by its name."""
    info, commit = content["machine_info"], content.get("commit_info") or {}
    features = info.get(MACHINE, {})
    cores, memory = features.get("cores"), features.get("memory_bytes")
    yield f"Processor: {info['cpu'].get('brand_raw', 'unknown')}, {info.get('machine', 'unknown')}"
    yield f"Cores: {cores or 'unknown'}"
    yield f"Memory: {memory / 2**30:.0f} GiB" if memory else "Memory: unknown"
    if threads := features.get("threads"):
        yield "Threads: " + ", ".join(f"{name} {count}" for name, count in threads.items())
    versions = {"Python": info.get("python_version", "unknown"), **features.get("versions", {})}
    yield "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items())
    if "id" in commit:
        yield f"Commit: {commit['id'][:12]}" + (" with changes" if commit.get("dirty") else "")


def _versions() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def _groups(cases: Sequence[Case]) -> list[tuple[str, list[Case]]]:
    """Return the groups in the order of their first case."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    return list(groups.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table; columns that are empty throughout are left out."""
    body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    if not body:
        return "None in this run."
    kept = [index for index in range(len(head)) if any(row[index] for row in body)]
    lines = [[head[index] for index in kept], ["---"] * len(kept), *([row[index] for index in kept] for row in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _title(name: str) -> str:
    """``test_flow_of_a_pair[dis-64]`` -> ``flow of a pair (dis-64)``."""
    function, bracket, parameters = name.partition("[")
    words = _words(function.removeprefix("test_"))
    return f"{words} ({parameters.removesuffix(']')})" if bracket else words


def _words(identifier: str) -> str:
    return identifier.replace("_", " ")


def _rest(case: Case) -> str:
    numbers = [f"{number.name}: {_text(number.value)}" for number in case.numbers if number.paper is None]
    return "; ".join(numbers)


def _peak(case: Case) -> str:
    return "" if case.peak is None else f"{_text(case.peak)} MiB"


def _seconds(seconds: float) -> str:
    factor, unit = next((pair for pair in _UNITS if seconds >= pair[0]), _UNITS[-1])
    return f"{_text(seconds / factor)} {unit}"


def _text(value: Any) -> str:
    """Show three significant digits of a measured number, and everything else as it is."""
    if value is None:
        return ""
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


if __name__ == "__main__":
    sys.exit(main())
