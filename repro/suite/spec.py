"""What a table declares: rows, columns, the metrics they show; and what a scale fixes (`repro.suite.scales`).

A table names methods and datasets and holds no logic; `repro.suite.work` turns it into cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from repro.data.clips import LevelRule
from repro.data.encoding import InputKind, InputSpec
from repro.learning.finetune import FineTuning
from repro.learning.schedule import Schedule

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = [
    "DATASET_LABELS",
    "OWN",
    "STILLS",
    "STILLS_LABELS",
    "Check",
    "Clips",
    "Column",
    "Place",
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
"""Datasets of videos with pain levels."""

STILLS_LABELS: Mapping[str, str] = MappingProxyType({"vggface2": "VGGFace2"})
"""Datasets of unlabelled stills, which pretext tasks may see (decision D14)."""


@dataclass(frozen=True)
class Share:
    """A dataset in a network's data, or a share of its videos drawn from training subjects (decision D18).

    Parameters
    ----------
    dataset : str
        "" for the one that a number is about.
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
        name = {**DATASET_LABELS, **STILLS_LABELS}[self.dataset] if self.dataset else "the same data"
        if self.training_subjects:
            return f"{name} (training subjects)"
        return name if self.share is None else f"{name} ({self.share:.0%})"


STILLS = Share("vggface2")
"""What the paper's pretext sees in Tables 2, 6 and 7."""

OWN = Share("", training_subjects=True)
"""What it sees in place of stills where motion is needed, or no stills are there: the training subjects' videos."""


@dataclass(frozen=True)
class Population:
    """A dataset; where it is simulated, perhaps with other parameters of its domain than usual; how it is cut.

    Parameters
    ----------
    dataset : str
    changes : tuple of (str, float)
        Fields of `repro.data.simulator.Domain` and their values.
    clips : tuple of (str, Any)
        Fields of `Clips` that differ from the scale's.
    """

    dataset: str
    changes: tuple[tuple[str, float], ...] = ()
    clips: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """What files and records call it: the dataset's name alone when nothing is changed."""
        cut = [f"{field}={value}" for field, value in self.clips]
        return " ".join([self.dataset, *(f"{field}={value:g}" for field, value in self.changes), *cut])

    @property
    def uncut(self) -> Population:
        """The same data, cut as usual: what is on disk."""
        return replace(self, clips=())


class Place(NamedTuple):
    """Whose clips a number of a table is about, and how they are shown."""

    population: Population
    input: InputKind


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
        Dataset of the labelled clips; "" where the columns tell.
    method : str
        Registry name, or one of the references "scratch" (no pretext), "pspi" (the true PSPI as the only feature).
    input : InputKind, optional
        In place of the columns'.
    pretext : tuple of Share
        Unlabelled data; empty for references.
    shuffled : bool
        Permute the training labels: what is left is chance.
    published : bool
        Whether the paper has this row. Others stand below the line, as ours.
    simulated_only : bool
        Left out on licensed data, which does not hold what the row needs.
    repeat : int
        Repetitions for each one asked for, where single runs scatter more than the row is meant to show; not at scales
        that repeat nothing.
    domain : tuple of (str, float)
        Parameters of the simulated domain that differ from the usual; they do not matter on data that is given.
    encoding : tuple of (str, Any)
        Fields of `InputSpec` that differ from the scale's.
    clips : tuple of (str, Any)
        Fields of `Clips` that differ from the scale's.
    network : tuple of (str, Any)
        Fields of `BackboneSpec` that differ from the scale's.
    training : tuple of (str, Any)
        Fields of `FineTuning` that differ from the scale's.
    labelled : tuple of Share
        Labelled data that the network learns pain from, in place of the target's training subjects (Table 5); levels
        are brought to a common scale, see `repro.learning.common_levels`.
    labels : int, optional
        So many clips of the training subjects are labelled, see `repro.learning.protocols.few_labels`; all, if not
        given.
    probed : bool
        The network stays as the pretext left it, or random without one, and a linear probe is fitted to its features.
    task : tuple of (str, Any)
        Hyper-parameters of the pretext task, or of the supervised system, that differ from the scale's.
    metrics : tuple of (str, str)
        Columns' metrics, and what this row shows in place of them (decisions D15 and D16).
    versus : str
        Label of the row that this one is compared with, subject by subject; "" for none.
    unavailable : str
        Why there is nothing to compute, where a row stands for what cannot be had; else "".
    scales : tuple of str
        Where the row is asked for.
    """

    label: str
    lead: tuple[str, ...]
    target: str
    method: str = "siamese"
    pretext: tuple[Share, ...] = ()
    input: InputKind | None = None
    shuffled: bool = False
    published: bool = True
    simulated_only: bool = False
    repeat: int = 1
    domain: tuple[tuple[str, float], ...] = ()
    encoding: tuple[tuple[str, Any], ...] = ()
    clips: tuple[tuple[str, Any], ...] = ()
    network: tuple[tuple[str, Any], ...] = ()
    training: tuple[tuple[str, Any], ...] = ()
    labelled: tuple[Share, ...] = ()
    labels: int | None = None
    probed: bool = False
    task: tuple[tuple[str, Any], ...] = ()
    metrics: tuple[tuple[str, str], ...] = ()
    versus: str = ""
    unavailable: str = ""
    scales: tuple[str, ...] = ("smoke", "quick", "paper")

    def place(self, column: Column) -> Place:
        """Tell what stands where this row meets a column."""
        return Place(Population(column.target or self.target, self.domain, self.clips), self.input or column.input)

    def metric(self, column: Column) -> str:
        """Tell which metric this row shows in a column."""
        return dict(self.metrics).get(column.metric, column.metric)


@dataclass(frozen=True)
class Column:
    """One column: an input, a metric, and perhaps a dataset.

    Parameters
    ----------
    label, metric : str
    input : InputKind
        Unless the row has one.
    target : str
        Dataset of the labelled clips, in place of the rows'; "" for theirs.
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
    target: str = ""


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
    """A table of the paper, or one of ours; `note` is a sentence below it on how to read it."""

    name: str
    title: str
    caption: str
    lead: tuple[str, ...]
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    protocol: str
    plot: Callable[[pd.DataFrame], Figure] | None = None
    checks: tuple[Check, ...] = ()
    note: str = ""

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

    def without_stills(self) -> Table:
        """Return the table with pretexts on the training subjects' videos in place of stills (decision D14)."""
        rows = [
            replace(row, pretext=tuple(OWN if share == STILLS else share for share in row.pretext)) for row in self.rows
        ]
        return replace(self, rows=tuple(rows))

    def without_simulated_rows(self) -> Table:
        """Return the table for licensed data."""
        return replace(self, rows=tuple(row for row in self.rows if not row.simulated_only))

    @property
    def populations(self) -> tuple[Population, ...]:
        """What the table needs data of, in the order of their names."""
        named = [share.dataset for row in self.rows for share in (*row.pretext, *row.labelled) if share.dataset]
        own = [row for row in self.rows if any(not share.dataset for share in row.pretext)]
        named += [place.population.dataset for row in own for place in self.places(row)]
        shares = [Population(name) for name in named]
        needed = {*(place.population for row in self.rows for place in self.places(row)), *shares}
        return tuple(sorted(needed, key=lambda population: population.name))

    def places(self, row: Row) -> tuple[Place, ...]:
        """Tell what cells of a row are about, each once."""
        return tuple(dict.fromkeys(row.place(column) for column in self.columns))

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
    """How a dataset's videos are cut; of stills, each is a source of its own, and nothing of this matters.

    Parameters
    ----------
    length, stride : int or None
        Of labelled clips in frames; None takes the whole video.
    source_length, source_stride, clips_per_source : int
        Of unlabelled clips, so many consecutive ones forming a source (decision D13).
    level : {"max", "mean", "centre", "last"}
        How the levels of its frames become a labelled clip's (decision D17).
    """

    length: int | None
    stride: int
    source_length: int
    source_stride: int
    clips_per_source: int = 8
    level: LevelRule = "max"


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
    ``supervised`` under the systems' names. ``training`` has how networks are trained for a table, under its name,
    where that is not the usual way; ``widths`` and ``learning_rates`` are those of single architectures. ``protocols``
    has those that take the place of a table's, such as a few folds of subjects for leaving out one at a time.
    ``repeats`` tells whether rows are repeated as often as they say, or only as often as is asked for.
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
    training: Mapping[str, FineTuning] = field(default_factory=dict)
    widths: Mapping[str, float] = field(default_factory=dict)
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    protocols: Mapping[str, str] = field(default_factory=dict)
    repeats: bool = True

    def repetitions_of(self, row: Row, wanted: int) -> int:
        """Return how often a row's cells are computed, where `wanted` repetitions are asked for."""
        return wanted * row.repeat if self.repeats else wanted

    def protocol_of(self, table: Table) -> str:
        """Return how a table's clips are divided into folds at this scale."""
        return self.protocols.get(table.protocol, table.protocol)
