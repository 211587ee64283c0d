"""The suite's entry point: ``python -m repro`` or the console script ``repro``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from repro.suite.command import COMPLETE, INCOMPLETE, add_options, run
from repro.suite.spec import Table
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
    """Look at every stored entry; damaged ones are named, none is touched."""
    store = Store(options.store)
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``list``, ``all``, ``plan`` or ``check`` and return the exit status."""
    parser = argparse.ArgumentParser(prog="repro", description="Reproduction suite for SSD pain estimation.")
    commands = parser.add_subparsers(dest="command", required=True)
    actions: dict[str, tuple[str, Callable[[argparse.Namespace], int]]] = {
        "list": ("name the experiments and methods", _list),
        "all": ("run every experiment", _all),
        "plan": ("say what is left to do", _plan),
        "check": ("look for damaged entries in the store", _check),
    }
    for name, (text, action) in actions.items():
        command = commands.add_parser(name, help=text, description=text)
        add_options(command)
        command.set_defaults(action=action)
    options = parser.parse_args(arguments)
    status: int = options.action(options)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
