"""The suite's entry point: ``python -m repro`` or the console script ``repro``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType

from repro.suite.checking import HELP, add_check_options, check
from repro.suite.command import COMPLETE, INTERRUPTED, add_options, run

__all__ = ["EXPERIMENTS", "main"]

EXPERIMENTS = ("table1", "table4", "self_supervised", "label_efficiency", "baselines", "head_motion")
"""Modules that declare a ``TABLE``, in the paper's order; one that is not of cells brings a ``run(options)``."""


def _experiments() -> list[ModuleType]:
    return [import_module(f"repro.{name}") for name in EXPERIMENTS]


def _run(experiment: ModuleType, options: argparse.Namespace) -> int:
    """Run an experiment its own way, or as a table of cells."""
    own: Callable[[argparse.Namespace], int] | None = getattr(experiment, "run", None)
    return run(experiment.TABLE, options) if own is None else own(options)


def _list(options: argparse.Namespace) -> int:
    from baselines import METHODS

    for experiment in _experiments():
        sys.stdout.write(f"{experiment.TABLE.name}  {experiment.TABLE.title}\n")
    sys.stdout.write("\nmethods\n")
    for method in METHODS.values():
        sys.stdout.write(f"  {method.name}  {method.label} ({method.citation})\n")
    return COMPLETE


def _all(options: argparse.Namespace) -> int:
    status = COMPLETE
    for experiment in _experiments():
        status = max(status, _run(experiment, options))
        if status == INTERRUPTED:
            break
    return status


def _plan(options: argparse.Namespace) -> int:
    options.mode = "plan"
    return _all(options)


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
        "check": (HELP, check),
    }
    for name, (text, action) in actions.items():
        command = commands.add_parser(name, help=text, description=text)
        add_options(command)
        command.set_defaults(action=action)
        if name == "check":
            add_check_options(command)
    options = parser.parse_args(arguments)
    status: int = options.action(options)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
