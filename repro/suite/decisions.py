"""How a run decides what the paper leaves open: the decisions of DECISIONS.md with the values in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from baselines import METHODS
from repro.learning.common_levels import COMMON_LEVELS_VERSION, LEVELS
from repro.learning.schedule import Schedule
from repro.suite.spec import Row, Scale, Table

__all__ = ["DECISIONS", "decisions"]

DECISIONS: Mapping[str, str] = MappingProxyType(
    {
        "D0": "schedule of fine-tuning",
        "D1": "noise variance",
        "D2": "zero-mean neighbourhoods",
        "D3": "depth of neighbourhoods",
        "D4": "sums of Eq. 6",
        "D5": "form of Eq. 6",
        "D6": "last segment",
        "D7": "8-bit range",
        "D8": "borders",
        "D9": "optical flow",
        "D10": "rank of hulls",
        "D11": "weights of sparsity",
        "D12": "loss of the pretext",
        "D13": "sources and negatives",
        "D14": "data of the pretext",
        "D15": "intensity",
        "D16": "AUC of levels",
        "D17": "level of a clip",
        "D18": "share of the target's videos",
        "D19": "levels of two datasets",
    }
)
"""What is open, in a few words; `DECISIONS.md` says more."""

_Values = dict[str, Any]


@dataclass(frozen=True)
class _Run:
    """What values are read from: a table at a scale, and the Siamese task as the scale poses it."""

    table: Table
    scale: Scale

    def siamese(self, *names: str) -> _Values:
        task = METHODS["siamese"].load()(**self.scale.pretext.options("siamese"))
        return {name: getattr(task, name) for name in names}

    def encoded(self, *names: str) -> _Values:
        return {name: getattr(self.scale.input, name) for name in names}

    def cut(self, name: str) -> _Values:
        populations = self.table.populations
        wanted = {population.dataset for population in populations}
        return {dataset: getattr(clips, name) for dataset, clips in self.scale.clips.items() if dataset in wanted}

    def schedules(self) -> _Values:
        usual = self.scale.training.get(self.table.name, self.scale.fine_tuning)
        return {"fine-tuning": usual.schedule.decay, "pretext": self.scale.pretext.schedule.decay}

    def pretext_data(self) -> list[str]:
        return sorted({share.label for row in self.table.rows for share in row.pretext})

    def auc(self) -> list[str]:
        shown = {row.metric(column) for row in self.table.rows for column in self.table.columns}
        return sorted(metric for metric in shown if metric.startswith("auc"))


_VALUES: Mapping[str, Callable[[_Run], Any]] = {
    "D0": _Run.schedules,
    "D1": lambda run: run.encoded("noise_variance"),
    "D2": lambda run: run.encoded("center"),
    "D3": lambda run: run.encoded("depth"),
    "D4": lambda run: "the window around the point, in its frame",
    "D5": lambda run: run.encoded("domain"),
    "D6": lambda run: "dropped where it is too short",
    "D7": lambda run: run.encoded("normalize"),
    "D8": lambda run: "reflected, the edge pixel not repeated",
    "D9": lambda run: run.encoded("flow", "flow_limit"),
    "D10": lambda run: run.siamese("energy"),
    "D11": lambda run: "constants for the gradient",
    "D12": lambda run: run.siamese("objective", "distance"),
    "D13": lambda run: {**run.siamese("negatives", "stretch"), "source_length": run.cut("source_length")},
    "D14": _Run.pretext_data,
    "D15": lambda run: "expectation",
    "D16": _Run.auc,
    "D17": lambda run: {"level": run.cut("level")},
    "D18": lambda run: "of all videos, taken from training subjects only",
    "D19": lambda run: {"version": COMMON_LEVELS_VERSION, **{name: list(own) for name, own in LEVELS.items()}},
}

_FIELDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "D0": ("training", ("schedule",)),
    "D1": ("encoding", ("noise_variance",)),
    "D2": ("encoding", ("center",)),
    "D3": ("encoding", ("depth",)),
    "D5": ("encoding", ("domain",)),
    "D7": ("encoding", ("normalize",)),
    "D9": ("encoding", ("flow", "flow_limit")),
    "D10": ("task", ("energy",)),
    "D12": ("task", ("objective", "distance")),
    "D13": ("task", ("negatives", "stretch")),
    "D15": ("metrics", ("mse", "pcc", "mae", "icc")),
    "D16": ("metrics", ("auc_ovr",)),
    "D17": ("clips", ("level",)),
}
"""Where a row may decide otherwise: the part of it, and the names there."""


def decisions(table: Table, scale: Scale) -> dict[str, dict[str, Any]]:
    """Tell every decision with its value in a table at a scale.

    Parameters
    ----------
    table : Table
        As it was computed, see `repro.suite.command.Computed`.
    scale : Scale

    Returns
    -------
    dict
        Decision -> ``open``, what the paper leaves open; ``value``, the usual one; and ``rows``, under their labels
        what single rows have in its place, where there are any.
    """
    run = _Run(table, scale)
    found: dict[str, dict[str, Any]] = {}
    for name, what in DECISIONS.items():
        found[name] = {"open": what, "value": _VALUES[name](run)}
        others = {row.label: own for row in table.rows if (own := _otherwise(row, name))}
        if others:
            found[name]["rows"] = others
    return found


def _otherwise(row: Row, decision: str) -> _Values:
    """Return what a row has in place of the usual values of a decision; empty if nothing."""
    part, names = _FIELDS.get(decision, ("", ()))
    if not part or (part == "task" and row.method != "siamese"):
        return {}
    given = {name: value for name, value in getattr(row, part) if name in names}
    return {name: value.decay if isinstance(value, Schedule) else value for name, value in given.items()}
