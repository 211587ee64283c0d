"""Plot how pretext tasks were learned: ``python -m repro.curves``.

Loss and natural accuracy on held-out subjects, against chance, by epoch, of every pretext network in a store, whichever
table or command had it trained. Written are ``pretext_curves.pdf``, ``.png``, ``.csv`` and their record, ``.json``, in
``figures/simulated/`` or ``figures/licensed/``, or in both.

The exit status is 0 if something was plotted, 2 if there is nothing to plot or options cannot be used.
"""

# ruff: noqa: T201  (a command prints)
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from baselines import METHODS
from repro.data.encoding import KINDS
from repro.suite.command import COMPLETE, USAGE
from repro.suite.curves import curves_plot
from repro.suite.drawn import write_figure
from repro.suite.histories import stored_histories
from repro.suite.store import Store

if TYPE_CHECKING:
    import pandas as pd

NAME = "pretext_curves"
"""Of the files."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except (ValueError, OSError) as error:
        print(f"curves: {error}", file=sys.stderr)
        return USAGE


def _run(options: argparse.Namespace) -> int:
    store = Store(options.store)
    found = stored_histories(store, methods=options.method or (), inputs=options.input or ())
    for reason in found.left_out:
        print(f"left out: {reason}", file=sys.stderr)
    if found.frame.empty:
        asked = " of these methods and inputs" if options.method or options.input else ""
        raise ValueError(
            f"{store.root} holds no pretext network{asked} that can be plotted; train one, such as by python -m "
            "repro.pretext or python -m repro.table4, or give another --store"
        )
    for data, frame in found.frame.groupby("data"):
        print(f"{data} data: {_counts(frame)}")
        written = write_figure(curves_plot, frame, frame, options.out / "figures" / str(data), NAME)
        for file in written:
            print(f"written: {file}")
    return COMPLETE


def _counts(frame: pd.DataFrame) -> str:
    counts = frame.groupby("label", sort=False).network.nunique()
    return ", ".join(f"{count} network{'s' if count > 1 else ''} of {label}" for label, count in counts.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m repro.curves", description="Plot learning curves of pretext tasks.", allow_abbrev=False
    )
    tasks = [name for name, method in METHODS.items() if method.kind == "self-supervised"]
    add = parser.add_argument
    add(
        "--store",
        type=Path,
        default=Path(os.environ.get("REPRO_STORE", "store")),
        metavar="DIR",
        help="where the networks are (default: $REPRO_STORE or ./store)",
    )
    add("--out", type=Path, default=Path(), metavar="DIR", help="figures/ is written here")
    add("--method", nargs="+", choices=tasks, metavar="NAME", help=f"only these of {', '.join(tasks)}")
    add("--input", nargs="+", choices=KINDS, metavar="INPUT", help=f"only these of {', '.join(KINDS)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
