"""What a table shows that is no prediction: seconds, or how alike images are; each is planned, stored and read here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from repro.data.encoding import InputSpec
from repro.learning.finetune import FineTuning
from repro.suite.engine import Task
from repro.suite.spec import Place, Row, Scale

if TYPE_CHECKING:
    from repro.suite.corpus import Corpus

__all__ = ["Measurement", "Planner", "Setting"]


@dataclass(frozen=True)
class Setting:
    """What a measurement is planned from.

    Parameters
    ----------
    row : Row
    place : Place
    corpus : Corpus
        The clips of the place.
    spec : InputSpec
        How they are shown, the row's changes included.
    settings : FineTuning
        With the row's network.
    scale : Scale
    protocol : str
    store : str
        Root of the store.
    device : str
    """

    row: Row
    place: Place
    corpus: Corpus
    spec: InputSpec
    settings: FineTuning
    scale: Scale
    protocol: str
    store: str
    device: str


@dataclass(frozen=True)
class Measurement:
    """A measurement that can be made.

    Parameters
    ----------
    key : str
        In the store: a hash of all that is measured.
    series : str
        Which of the stored series is asked for.
    task : Task
        Of kind "measure" and id ``measure-<key>``; writes it by `Store.write_measurement`.
    inputs : mapping of str to Task
        Those that encode what it needs, by their keys.
    """

    key: str
    series: str
    task: Task
    inputs: Mapping[str, Task] = field(default_factory=dict)


Planner = Callable[[Setting], Measurement]
"""Raises `repro.suite.corpus.NotPossible` with a reason where nothing can be measured."""
