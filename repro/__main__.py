"""The suite's entry point: ``python -m repro`` or the console script ``repro``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType

from repro.suite.collection import paused_collection

with paused_collection(for_good=True):  # what imports make stays, half a million objects with PyTorch's
    from repro.suite.bills import add_plan_options
    from repro.suite.checking import HELP, add_check_options, check
    from repro.suite.command import COMPLETE, INCOMPLETE, INTERRUPTED, TERMINATED, USAGE, add_options, parsed, run
    from repro.suite.hosts import add_commands
    from repro.suite.session import Session

__all__ = ["EXPERIMENTS", "main"]

EXPERIMENTS = (
    "table1", "table2", "table3", "table4", "table5", "table6", "table7", "figure1", "figure2", "figure3", "figure4",
    "claims", "sensitivity", "self_supervised", "label_efficiency", "baselines", "head_motion",
)  # fmt: skip
"""Modules that declare a ``TABLE``: the paper's tables and figures, what they say of its claims, then what it does not
have. What is no table of cells brings a ``run(options, session)``."""


def _experiments() -> list[ModuleType]:
    return [import_module(f"repro.{name}") for name in EXPERIMENTS]


def _run(experiment: ModuleType, options: argparse.Namespace, session: Session) -> int:
    """Run an experiment its own way, or as a table of cells."""
    own: Callable[[argparse.Namespace, Session], int] | None = getattr(experiment, "run", None)
    return run(experiment.TABLE, options, session) if own is None else own(options, session)


def _list(options: argparse.Namespace) -> int:
    from baselines import METHODS

    for experiment in _experiments():
        sys.stdout.write(f"{experiment.TABLE.name}  {experiment.TABLE.title}\n")
    sys.stdout.write("\nmethods\n")
    for method in METHODS.values():
        sys.stdout.write(f"  {method.name}  {method.label} ({method.citation})\n")
    return COMPLETE


def _each(options: argparse.Namespace) -> int:
    """Run all experiments in one session, so that what several need is opened and made once."""
    status = COMPLETE
    try:
        session = Session(options)
    except ValueError as error:
        sys.stderr.write(f"{options.command}: {error}\n")
        return USAGE
    with session:
        for experiment in _experiments():
            status = max(status, _run(experiment, options, session))
            if status in (INTERRUPTED, TERMINATED):
                break
    return status


def _report(options: argparse.Namespace) -> int:
    from repro.report import run as report

    return report(options)


def _all(options: argparse.Namespace) -> int:
    status = _each(options)
    return status if status in (INTERRUPTED, TERMINATED) else max(status, _report(options))


def _plan(options: argparse.Namespace) -> int:
    if options.scale == "paper" or options.measure:
        from repro.suite.bills import plan_costs

        return plan_costs(options, [experiment.TABLE for experiment in _experiments()])
    options.mode = "plan"
    return _each(options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``list``, ``all``, ``plan``, ``report`` or ``check`` and return the exit status.

    Returns
    -------
    int
        0: complete; 1: cells are missing or failed, or ``check`` found damage; 2: the options or the data cannot be
        used; 130: interrupted by Ctrl-C; 143: ended by SIGTERM.
    """
    parser = argparse.ArgumentParser(prog="repro", description="Reproduction suite for SSD pain estimation.")
    commands = parser.add_subparsers(dest="command", required=True)
    actions: dict[str, tuple[str, Callable[[argparse.Namespace], int]]] = {
        "list": ("name the experiments and methods", _list),
        "all": ("run every experiment, and write the report", _all),
        "plan": ("say what is left to do", _plan),
        "report": ("write one page of everything that was emitted", _report),
        "check": (HELP, lambda options: check(options, lambda: [e.TABLE for e in _experiments()])),
    }
    for name, (text, action) in actions.items():
        command = commands.add_parser(name, help=text, description=text)
        add_options(command)
        command.set_defaults(action=action)
        if name == "check":
            add_check_options(command)
        if name == "plan":
            add_plan_options(command)
    add_commands(commands)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in EXPERIMENTS:
        parser.error(f"run python -m repro.{given[0]}")
    options = parsed(parser, arguments)
    try:
        status: int = options.action(options)
        sys.stdout.flush()
    except BrokenPipeError:  # who read the output, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INCOMPLETE
    return status


if __name__ == "__main__":
    raise SystemExit(main())
