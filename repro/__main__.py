"""The suite's entry point: ``python -m repro`` or the console script ``repro``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from repro.suite.command import COMPLETE, INCOMPLETE, INTERRUPTED, USAGE, add_options, run
from repro.suite.spec import DATASET_LABELS, Table
from repro.suite.store import Store

__all__ = ["EXPERIMENTS", "main"]

EXPERIMENTS = ("table4",)
"""Modules that declare a ``TABLE``, in the paper's order."""


def _tables() -> list[Table]:
    return [import_module(f"repro.{name}").TABLE for name in EXPERIMENTS]


def _list(options: argparse.Namespace) -> int:
    from baselines import METHODS

    for table in _tables():
        sys.stdout.write(f"{table.name}  {table.title}\n")
    sys.stdout.write("\nmethods\n")
    for method in METHODS.values():
        sys.stdout.write(f"  {method.name}  {method.label} ({method.citation})\n")
    return COMPLETE


def _all(options: argparse.Namespace) -> int:
    return max([run(table, options) for table in _tables()])


def _plan(options: argparse.Namespace) -> int:
    options.mode = "plan"
    return _all(options)


def _check(options: argparse.Namespace) -> int:
    """Account for the datasets that are given; without any, look at the store."""
    roots = {name: root for name in DATASET_LABELS if (root := getattr(options, name)) is not None}
    if not roots:
        return _check_store(options)
    try:
        return max([_check_dataset(name, root, options) for name, root in roots.items()])
    except KeyboardInterrupt:
        sys.stderr.write("check: interrupted; the ledger of an unfinished dataset is as it was\n")
        return INTERRUPTED


def _check_dataset(name: str, root: Path, options: argparse.Namespace) -> int:
    """Print one dataset's counts and ledger, and write the ledger."""
    from tqdm import tqdm

    from repro.data import DatasetUnavailable, open_dataset
    from repro.data.accounting import account, describe, write_ledger

    try:
        dataset = open_dataset(name, root, strict=False)
        if options.verify:
            with tqdm(total=len(dataset), desc=f"{name}: decoding", unit="video", disable=options.quiet) as bar:

                def step(done: int, total: int) -> None:
                    bar.update()

                dataset.verify(step)
        result = account(dataset)
        sys.stdout.write("\n".join(describe(result)) + "\n")
        if not options.verify:
            sys.stdout.write("  frames are as the files declare; add --verify to decode every video\n")
        sys.stderr.write(f"written: {write_ledger(result, options.out)}\n")
    except (DatasetUnavailable, OSError) as error:
        sys.stderr.write(f"check: {error}\n")
        return USAGE
    return INCOMPLETE if result.left_out else COMPLETE


def _check_store(options: argparse.Namespace) -> int:
    """Look at every stored entry; damaged ones are named, none is touched."""
    store = Store(options.store)
    if not store.root.is_dir():
        sys.stderr.write(f"check: there is no store at {store.root}; name it with --store\n")
        return USAGE
    counts = {"cells": 0, "networks": 0}
    damaged = []
    for kind, keys, read in (
        ("cells", store.keys(), store.read),
        ("networks", store.artifact_keys(), store.read_artifact),
    ):
        for key in keys:
            counts[kind] += 1
            try:
                read(key)
            except ValueError as error:
                damaged.append(str(error))
    sys.stdout.write(f"{options.store}: {counts['cells']} cells, {counts['networks']} pretext networks\n")
    for reason in damaged:
        sys.stdout.write(f"damaged: {reason}\n")
    if damaged:
        sys.stdout.write("damaged entries are set aside and computed again by the next run that needs them\n")
    return INCOMPLETE if damaged else COMPLETE


_CHECK = (
    "look for damaged entries in the store; or, with a dataset's root on the command line (here the environment is "
    "not asked), count what the dataset holds and write the ledger of what is left out"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``list``, ``all``, ``plan`` or ``check`` and return the exit status.

    Returns
    -------
    int
        0: complete; 1: cells are missing or failed, or ``check`` found damage; 2: the options or the data cannot be
        used; 130: interrupted.
    """
    parser = argparse.ArgumentParser(prog="repro", description="Reproduction suite for SSD pain estimation.")
    commands = parser.add_subparsers(dest="command", required=True)
    actions: dict[str, tuple[str, Callable[[argparse.Namespace], int]]] = {
        "list": ("name the experiments and methods", _list),
        "all": ("run every experiment", _all),
        "plan": ("say what is left to do", _plan),
        "check": (_CHECK, _check),
    }
    for name, (text, action) in actions.items():
        command = commands.add_parser(name, help=text, description=text)
        add_options(command)
        command.set_defaults(action=action)
        if name == "check":
            command.add_argument("--verify", action="store_true", help="decode every video of the given datasets")
            # roots in the environment would leave no way to check the store
            command.set_defaults(**dict.fromkeys(DATASET_LABELS))
    options = parser.parse_args(arguments)
    status: int = options.action(options)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
