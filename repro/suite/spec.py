"""What a table declares: rows, columns, the metrics they show; and what a scale fixes (`repro.suite.scales`).

A table names methods and datasets and holds no logic; `repro.suite.work` turns it into cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from repro.data.encoding import InputKind, InputSpec
from repro.learning.finetune import FineTuning
from repro.learning.schedule import Schedule

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = [
    "DATASET_LABELS",
    "Check",
    "Clips",
    "Column",
    "Population",
    "PretextRun",
    "Row",
    "Scale",
    "Share",
    "Simulated",
    "Table",
    "Tuning",
]

DATASET_LABELS: Mapping[str, str] = MappingProxyType({"unbc": "UNBC-McMaster", "biovid": "BioVid"})


@dataclass(frozen=True)
class Share:
    """A dataset in a pretext's data, or a share of its videos drawn from training subjects (decision D18).

    Parameters
    ----------
    dataset : str
    share : float, optional
        Of all videos of the dataset; all of them, if not given.
    training_subjects : bool
        All videos of the training subjects instead.
    """

    dataset: str
    share: float | None = None
    training_subjects: bool = False

    @property
    def label(self) -> str:
        """What readers see."""
        name = DATASET_LABELS[self.dataset]
        if self.training_subjects:
            return f"{name} (training subjects)"
        return name if self.share is None else f"{name} ({self.share:.0%})"


@dataclass(frozen=True)
class Population:
    """A dataset; where it is simulated, perhaps with other parameters of its domain than usual.

    Parameters
    ----------
    dataset : str
    changes : tuple of (str, float)
        Fields of `repro.data.simulator.Domain` and their values.
    """

    dataset: str
    changes: tuple[tuple[str, float], ...] = ()

    @property
    def name(self) -> str:
        """What files and records call it: the dataset's name alone when nothing is changed."""
        return " ".join([self.dataset, *(f"{field}={value:g}" for field, value in self.changes)])


@dataclass(frozen=True)
class Row:
    """One line of a table: a method, what its pretext sees, and the dataset it is fine-tuned and tested on.

    Parameters
    ----------
    label : str
        Unique in the table.
    lead : tuple of str
        What stands in the table's leading columns.
    target : str
        Dataset of the labelled clips.
    method : str
        Registry name, or one of the references "scratch" (no pretext), "pspi" (the true PSPI as the only feature).
    pretext : tuple of Share
        Unlabelled data; empty for references.
    shuffled : bool
        Permute the training labels: what is left is chance.
    published : bool
        Whether the paper has this row. Others stand below the line, as ours.
    simulated_only : bool
        Left out on licensed data, which does not hold what the row needs.
    repeat : int
        Repetitions for each one asked for, where single runs scatter more than the row is meant to show.
    domain : tuple of (str, float)
        Parameters of the simulated domain that differ from the usual; they do not matter on data that is given.
    encoding : tuple of (str, Any)
        Fields of `InputSpec` that differ from the scale's.
    labels : int, optional
        So many clips of the training subjects are labelled, see `repro.learning.protocols.few_labels`; all, if not
        given.
    probed : bool
        The network stays as the pretext left it, or random without one, and a linear probe is fitted to its features.
    task : tuple of (str, Any)
        Hyper-parameters of the pretext task, or of the supervised system, that differ from the scale's.
    versus : str
        Label of the row that this one is compared with, subject by subject; "" for none.
    scales : tuple of str
        Where the row is asked for.
    """

    label: str
    lead: tuple[str, ...]
    target: str
    method: str = "siamese"
    pretext: tuple[Share, ...] = ()
    shuffled: bool = False
    published: bool = True
    simulated_only: bool = False
    repeat: int = 1
    domain: tuple[tuple[str, float], ...] = ()
    encoding: tuple[tuple[str, Any], ...] = ()
    labels: int | None = None
    probed: bool = False
    task: tuple[tuple[str, Any], ...] = ()
    versus: str = ""
    scales: tuple[str, ...] = ("smoke", "quick", "paper")

    @property
    def population(self) -> Population:
        """Whom the labelled clips show."""
        return Population(self.target, self.domain)


@dataclass(frozen=True)
class Column:
    """One column: an input and a metric.

    Parameters
    ----------
    label, metric : str
    input : InputKind
    published : bool
        Whether the paper has the column.
    gain : bool
        Show the mean difference within subjects to the row that a row is compared with, not the metric itself.
    """

    label: str
    metric: str
    input: InputKind = "SSD(RGB)"
    published: bool = True
    gain: bool = False


@dataclass(frozen=True)
class Check:
    """A condition on a number of the table that is judged and recorded with it.

    Parameters
    ----------
    name : str
    row, column : str
    holds : callable
        From (value, ci_low, ci_high), in the units of the table, to a verdict.
    scales : tuple of str
        Where the condition is asked for.
    reference : str
        Column of the same row whose value is subtracted first, such as chance; "" for none.
    """

    name: str
    row: str
    column: str
    holds: Callable[[float, float, float], bool]
    scales: tuple[str, ...] = ("quick",)
    reference: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the paper."""

    name: str
    title: str
    caption: str
    lead: tuple[str, ...]
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    protocol: str
    plot: Callable[[pd.DataFrame], Figure] | None = None
    checks: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        """Check that labels are unique: they are the keys of everything emitted."""
        for what, labels in (("rows", [r.label for r in self.rows]), ("columns", [c.label for c in self.columns])):
            if len(set(labels)) != len(labels):
                raise ValueError(f"{self.name}: {what} {labels} are not unique; give each its own label")

    def at(self, scale: str) -> Table:
        """Return the table with the rows that are asked for at a scale."""
        return replace(self, rows=tuple(row for row in self.rows if scale in row.scales))

    def on_given_data(self) -> Table:
        """Return the table for datasets that are there, where no parameter of a simulated domain can be asked for."""
        rows = [row if row.simulated_only else replace(row, domain=()) for row in self.rows]
        return replace(self, rows=tuple(rows))

    def without_simulated_rows(self) -> Table:
        """Return the table for licensed data."""
        return replace(self, rows=tuple(row for row in self.rows if not row.simulated_only))

    @property
    def populations(self) -> tuple[Population, ...]:
        """What the table needs data of, in the order of their names."""
        pretexts = [Population(share.dataset) for row in self.rows for share in row.pretext]
        needed = {*(row.population for row in self.rows), *pretexts}
        return tuple(sorted(needed, key=lambda population: population.name))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Datasets that the table needs."""
        return tuple(sorted({population.dataset for population in self.populations}))

    @property
    def simulated_only(self) -> bool:
        """Whether every row needs simulated data."""
        return all(row.simulated_only for row in self.rows)


@dataclass(frozen=True)
class Simulated:
    """Size of a simulated dataset, and the parameters of its domain that differ from the usual.

    Without ``videos_per_subject`` each subject has as many videos as the real one, of the real lengths.
    """

    n_subjects: int
    videos_per_subject: int | None
    size: int
    frames: int | None = None
    changes: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Clips:
    """How a dataset's videos are cut.

    Parameters
    ----------
    length, stride : int or None
        Of labelled clips in frames; None takes the whole video.
    source_length, source_stride, clips_per_source : int
        Of unlabelled clips, so many consecutive ones forming a source (decision D13).
    """

    length: int | None
    stride: int
    source_length: int
    source_stride: int
    clips_per_source: int = 8


@dataclass(frozen=True)
class Tuning:
    """What of a pretext's run is a method's own.

    Parameters
    ----------
    options : mapping
        Hyper-parameters of the task that differ from its defaults, which are those of its paper.
    schedule : mapping
        Fields of `Schedule` that differ from the run's.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PretextRun:
    """How pretext tasks are trained: the same number of updates of as many images for all.

    Parameters
    ----------
    schedule : Schedule
    steps_per_epoch, held_out_subjects : int
    methods : mapping of str to Tuning
        By registry name.
    """

    schedule: Schedule
    steps_per_epoch: int
    held_out_subjects: int
    methods: Mapping[str, Tuning] = field(default_factory=dict)

    def options(self, method: str) -> Mapping[str, Any]:
        """Return a method's hyper-parameters at this scale, where they differ from its defaults."""
        return self.methods.get(method, Tuning()).options

    def schedule_of(self, method: str) -> Schedule:
        """Return a method's optimiser and learning rates at this scale."""
        return replace(self.schedule, **self.methods.get(method, Tuning()).schedule)


@dataclass(frozen=True)
class Scale:
    """Everything that differs between a quick look and the paper's protocol.

    Hyper-parameters of supervised systems that differ from their defaults, which are those of their papers, stand in
    ``supervised`` under the systems' names.
    """

    name: str
    simulated: Mapping[str, Simulated]
    clips: Mapping[str, Clips]
    input: InputSpec
    n_folds: int
    pretext: PretextRun
    fine_tuning: FineTuning
    note: str
    supervised: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
