"""Put everything that was emitted on one page: ``python -m repro.report --out DIR``.

``DIR/report.html`` holds all tables and figures of ``DIR/tables/`` and ``DIR/figures/``, the paper's values beside
ours, and can be opened from disk or passed on: it loads nothing. Nothing is computed. Simulated and licensed data,
where there are both, are two parts of the one page, each named at every table and figure: an experiment on one can be
held against the same on the other, and what is missing on either can be seen.

The exit status is 0 if every experiment is there and sound; 1 if one was emitted on neither kind of data, or is
damaged or incomplete, which the page says; 2 if there is nothing to show or options cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from repro.files import check_writable, write_atomically
from repro.suite.command import COMPLETE, INCOMPLETE, USAGE
from repro.suite.report.emitted import missing, read_emitted
from repro.suite.report.page import to_html

__all__ = ["HELP", "main", "run", "write_report"]

HELP = "put everything that was emitted below --out on one page, report.html"
NAME = "report.html"
"""Of the page."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m repro.report", description=HELP, allow_abbrev=False)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="tables/ and figures/ are read, report.html is written here",
    )
    return run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> int:
    """Write the page; only ``options.out`` is looked at."""
    from repro.__main__ import EXPERIMENTS

    try:
        titles = {name: str(import_module(f"repro.{name}").TABLE.title) for name in EXPERIMENTS}
        return write_report(options.out, titles)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"report: {error}\n")
        return USAGE


def write_report(out: Path, experiments: Mapping[str, str]) -> int:
    """Write ``out/report.html`` and say what is wrong.

    Parameters
    ----------
    out : path
        Holds ``tables/`` and ``figures/``.
    experiments : mapping of str to str
        Names, in the page's order, and titles of those that may be missing.

    Returns
    -------
    int
        0 or 1, as the command returns them.

    Raises
    ------
    ValueError
        If nothing was emitted, or `out` cannot be written to.
    """
    check_writable(out, "--out")
    parts = read_emitted(out, experiments)
    write_atomically(out / NAME, to_html(parts))
    sys.stdout.write(f"written: {out / NAME}\n")
    lacking = missing(parts)
    faults = [
        f"{part.data} data: {fault}"
        for part in parts
        for found in part.emissions.values()
        if found
        for fault in found.faults
    ]
    if lacking:
        sys.stderr.write(
            f"report: {len(lacking)} of {len(experiments)} experiments were not emitted ({', '.join(lacking)}); run "
            "python -m repro all, or one of them as python -m repro.NAME, with the --out, --scale, --store and data of "
            "those that are there\n"
        )
    for fault in faults:
        sys.stderr.write(f"report: {fault}\n")
    return INCOMPLETE if lacking or faults else COMPLETE


if __name__ == "__main__":
    raise SystemExit(main())
