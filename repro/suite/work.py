"""A table becomes cells, and cells become tasks: the one place where data, methods and protocols meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from baselines import METHODS
from repro.data.encoding import InputSpec
from repro.data.schema import Exclusion
from repro.learning.protocols import Split, few_labels
from repro.learning.seeds import seed_from
from repro.suite import tasks
from repro.suite.corpus import Corpus, NotApplicable, NotPossible
from repro.suite.encoding import encoding_tasks
from repro.suite.engine import Task
from repro.suite.pretraining import plan_pretext
from repro.suite.spec import Row, Scale, Share, Table
from repro.suite.store import Store, hash_of
from repro.suite.supervised import FeatureTasks, check_applicable

__all__ = ["Cell", "Plan", "build_plan", "expected_cells"]

_VERSION = 1
"""Of the work between data and predictions; raised when the same description would give other numbers."""

_COST = {"training image": 0.0045, "probe": 2.5, "network": 30.0, "classical": 4.0}
"""Rough seconds on one core at the quick scale; they only weigh the progress bar."""


@dataclass(frozen=True)
class Cell:
    """One stored prediction: a row's method on one input, one fold, one repetition.

    ``reason`` tells why it cannot be computed on this data; the key is then empty. If it is not ``applicable``, nothing
    is missing for that.
    """

    row: str
    input: str
    fold: int
    repetition: int
    key: str
    reason: str = ""
    applicable: bool = True


@dataclass(frozen=True)
class Plan:
    """The cells of a table, the tasks that fill them, and what is left to do."""

    cells: tuple[Cell, ...]
    tasks: tuple[Task, ...]
    excluded: Mapping[str, list[Exclusion]]
    artifacts: Mapping[str, tuple[str, ...]]

    @property
    def keys(self) -> list[str]:
        """Keys of the cells that can be computed, each once."""
        return list(dict.fromkeys(cell.key for cell in self.cells if cell.key))

    @property
    def reasons(self) -> dict[str, str]:
        """Why cells cannot be computed, for each row, or row and input, for which that is so."""
        inputs: dict[str, set[str]] = {}
        for cell in self.cells:
            inputs.setdefault(cell.row, set()).add(cell.input)
        without = {(cell.row, cell.input): cell.reason for cell in reversed(self.cells) if cell.reason}
        found: dict[str, str] = {}
        for (row, kind), reason in reversed(without.items()):
            everywhere = all(without.get((row, other)) == reason for other in inputs[row])
            found[row if everywhere else f"{row} on {kind}"] = reason
        return found

    def remaining(self, store: Store, *, shard: tuple[int, int] = (1, 1), always: bool = False) -> list[Task]:
        """Return the tasks whose files are missing and that a missing cell needs, in an order that can be run.

        Parameters
        ----------
        store : Store
        shard : (int, int)
            (i, N): only every N-th cell from the i-th (from 1).
        always : bool
            Run cells and pretext networks again even if they are there.
        """
        by_id = {task.id: task for task in self.tasks}
        unique = self.keys
        wanted = [key for key in unique[shard[0] - 1 :: shard[1]] if always or not store.has(key)]
        needed: dict[str, Task] = {}
        stack = [f"cell-{key}" for key in wanted]
        while stack:
            task = by_id[stack.pop()]
            again = always and task.kind not in ("input", "features")
            if task.id not in needed and (again or not _is_done(task, store)):
                needed[task.id] = task
                stack.extend(task.requires)
        return [task for task in self.tasks if task.id in needed]


def _is_done(task: Task, store: Store) -> bool:
    key = task.id.partition("-")[2]
    if task.kind == "input":
        return store.input_folder(key).is_dir()
    if task.kind == "features":
        return all(store.feature_file(wanted).is_file() for wanted in task.arguments["wanted"])
    return store.has_artifact(key) if task.kind == "pretext" else store.has(key)


class _Filler(NamedTuple):
    """How a cell is filled: a task's function, what it is given, what of it enters the key, what comes before it."""

    function: Callable[..., None]
    arguments: Mapping[str, Any]
    described: Mapping[str, Any]
    requires: tuple[str, ...]
    cost: float


def expected_cells(table: Table, scale: Scale, repetitions: int) -> int:
    """Return how many cells a table will have, before its data is there (grouped folds only)."""
    inputs = {column.input for column in table.columns}
    return sum(row.repeat for row in table.rows) * len(inputs) * scale.n_folds * repetitions


def build_plan(
    table: Table, scale: Scale, corpora: Mapping[str, Corpus], store: Store, *, repetitions: int, device: str
) -> Plan:
    """Plan a table.

    Parameters
    ----------
    table : Table
    scale : Scale
    corpora : mapping of str to Corpus
        Under the names of the table's populations.
    store : Store
    repetitions : int
        Seeds; each repeats pretext and fine-tuning.
    device : str
        Does not enter the keys.

    Returns
    -------
    Plan
    """
    return _Planner(table, scale, corpora, str(store.root), device).plan(repetitions)


class _Planner:
    """Collects tasks under their keys, so that what several cells need is made once."""

    def __init__(self, table: Table, scale: Scale, corpora: Mapping[str, Corpus], store: str, device: str) -> None:
        self.table, self.scale, self.corpora, self.store, self.device = table, scale, corpora, store, device
        self.inputs: dict[str, Task] = {}
        self.features = FeatureTasks(store)
        self.pretexts: dict[str, Task] = {}
        self.fillers: dict[str, Task] = {}
        self.artifacts: dict[str, list[str]] = {}

    def plan(self, repetitions: int) -> Plan:
        cells: list[Cell] = []
        kinds = list(dict.fromkeys(column.input for column in self.table.columns))
        for row in self.table.rows:
            corpus = self.corpora[row.population.name]
            for repetition in range(repetitions * row.repeat):
                for split in corpus.folds(self.table.protocol, self.scale.n_folds):
                    for kind in kinds:
                        spec = replace(self.scale.input, kind=kind, **dict(row.encoding))
                        place = (row.label, kind, split.fold, repetition)
                        try:
                            cells.append(Cell(*place, self._cell(row, corpus, spec, split, repetition)))
                        except NotPossible as error:
                            applicable = not isinstance(error, NotApplicable)
                            cells.append(Cell(*place, "", str(error), applicable))
        return Plan(
            tuple(cells),
            (
                *self.inputs.values(),
                *self.features.tasks().values(),
                *self.pretexts.values(),
                *self.fillers.values(),
            ),
            {name: corpus.excluded for name, corpus in self.corpora.items()},
            {row: tuple(dict.fromkeys(keys)) for row, keys in self.artifacts.items()},
        )

    def _cell(self, row: Row, corpus: Corpus, spec: InputSpec, split: Split, repetition: int) -> str:
        """Add one cell's tasks and return its key."""
        train_subjects = sorted(set(corpus.subjects[split.train]))
        chosen = self._labelled(row, corpus, split, repetition)
        kind = METHODS[row.method].kind if row.method in METHODS else ""
        make = self._network
        if kind == "reference" or row.method == "pspi":
            make = self._reference
        elif kind == "supervised":
            make = self._supervised
        filler = make(row, corpus, spec, split, repetition)
        description: dict[str, Any] = {
            "version": _VERSION,
            "method": row.method,
            "data": corpus.labelled_description,
            "input": spec.describe(),
            "protocol": {"name": self.table.protocol, "train_subjects": train_subjects},
            "fold": split.fold,
            "seed": repetition,
            **filler.described,
        }
        description |= {} if chosen is None else {"labelled": chosen}
        key = hash_of(description)
        arguments = {
            "store": self.store,
            "key": key,
            "description": description,
            "labelled": chosen,
            "train_subjects": train_subjects,
            "n_levels": corpus.dataset.n_levels,
            "fold": split.fold,
            "repetition": repetition,
            **filler.arguments,
        }
        label = f"{row.label}, {spec.kind}, fold {split.fold + 1}"
        on_gpu = arguments.get("device", "cpu") != "cpu"
        self.fillers[key] = Task(
            f"cell-{key}", "cell", label, filler.cost, filler.function, arguments, filler.requires, on_gpu
        )
        return key

    def _network(self, row: Row, corpus: Corpus, spec: InputSpec, split: Split, repetition: int) -> _Filler:
        """Fine-tune or probe a network, after a pretext if the row has one."""
        settings = self.scale.fine_tuning
        shards = self._shards(corpus, spec)
        requires = [f"input-{key}" for key in shards]
        described = {"fine_tuning": asdict(settings), "shuffled": row.shuffled}
        described |= {"probed": True} if row.probed else {}
        pretext = None
        if row.pretext:
            train_subjects = sorted(set(corpus.subjects[split.train]))
            pretext = self._pretext(row, spec, train_subjects, repetition)
            described["pretext"] = pretext
            requires.append(f"pretext-{pretext}")
            self.artifacts.setdefault(row.label, []).append(pretext)
        arguments = {
            "shards": tuple(shards),
            "settings": settings,
            "pretext": pretext,
            "shuffled": row.shuffled,
            "probed": row.probed,
            "seed": seed_from("cell", corpus.dataset.name, split.fold, repetition),
            "device": self.device,
        }
        seen = max(
            settings.schedule.epochs * (row.labels or len(split.train)),
            settings.min_updates * settings.schedule.batch_size,
        )
        cost = _COST["probe"] if row.probed else seen * _COST["training image"]
        return _Filler(tasks.train_cell, arguments, described, tuple(requires), cost)

    def _supervised(self, row: Row, corpus: Corpus, spec: InputSpec, split: Split, repetition: int) -> _Filler:
        """Fit a supervised system to features of the training subjects' clips."""
        estimator = METHODS[row.method].load()(**{**self.scale.supervised.get(row.method, {}), **dict(row.task)})
        check_applicable(estimator, corpus, spec)
        extractors = estimator.extractors()
        features, requires = self.features.add(corpus, spec, extractors)
        arguments = {
            "features": features,
            "clips": corpus.labelled,
            "frame_levels": corpus.frame_levels,
            "estimator": estimator,
            "shuffled": row.shuffled,
            "seed": seed_from("cell", corpus.dataset.name, split.fold, repetition),
            "device": self.device if estimator.uses_device else "cpu",
        }
        described = {
            "system": estimator.describe(),
            "features": [extractor.describe() for extractor in extractors],
            "shuffled": row.shuffled,
        }
        cost = _COST["network" if estimator.uses_device else "classical"]
        return _Filler(tasks.fit_supervised, arguments, described, tuple(requires), cost)

    @staticmethod
    def _labelled(row: Row, corpus: Corpus, split: Split, repetition: int) -> list[str] | None:
        """Clips of the training subjects whose labels are known; None for all.

        Raises
        ------
        NotPossible
            If there are fewer clips than labels asked for.
        """
        if row.labels is None:
            return None
        clips = [corpus.labelled[i] for i in split.train]
        seed = seed_from("few labels", corpus.dataset.name, split.fold, repetition)
        try:
            chosen = few_labels([clip.level for clip in clips], row.labels, seed)
        except ValueError as error:
            raise NotPossible(str(error)) from error
        return [clips[i].id for i in chosen]

    def _reference(self, row: Row, corpus: Corpus, spec: InputSpec, split: Split, repetition: int) -> _Filler:
        """Fit a reference that needs no training of a network."""
        shards = self._shards(corpus, spec)
        arguments: dict[str, Any] = {"shards": tuple(shards), "features": None}
        if row.method != "pspi":
            arguments["estimator"] = METHODS[row.method].load()
        else:
            from baselines.supervised.mean import LevelGivenFeature

            arguments |= {"estimator": LevelGivenFeature, "features": corpus.pspi()}
            if arguments["features"] is None:
                raise ValueError(
                    f"{row.label!r} needs the true PSPI, which {corpus.dataset.name} on disk does not have"
                )
        return _Filler(tasks.fit_reference, arguments, {}, tuple(f"input-{key}" for key in shards), 0.2)

    def _pretext(self, row: Row, spec: InputSpec, train_subjects: Sequence[str], repetition: int) -> str:
        """Add a pretext network's tasks and return its key."""
        run = self.scale.pretext
        videos = {
            share.dataset: self._videos(share, self.corpora[share.dataset], row, train_subjects, repetition)
            for share in row.pretext
        }
        planned = plan_pretext(
            METHODS[row.method].load()(**{**run.options(row.method), **dict(row.task)}),
            row.method,
            self.corpora,
            videos,
            spec,
            self.scale.fine_tuning,
            run,
            repetition=repetition,
            store=self.store,
            device=self.device,
        )
        label = f"pretext on {' + '.join(s.label for s in row.pretext)}"
        self.inputs |= planned.inputs
        self.pretexts[planned.key] = replace(planned.training, label=label)
        return planned.key

    @staticmethod
    def _videos(
        share: Share, corpus: Corpus, row: Row, train_subjects: Sequence[str], repetition: int
    ) -> list[str] | None:
        """Videos of a dataset that a pretext may see; None for all.

        Raises
        ------
        ValueError
            If a row asks for the whole of its own target, which holds the test subjects.
        """
        if share.share is not None:
            return corpus.videos_of_share(share.share, train_subjects, repetition)
        if share.training_subjects:
            return sorted(r.video for r in corpus.dataset.records if r.subject in train_subjects)
        if share.dataset == row.target:
            raise ValueError(f"{row.label!r}: the pretext must not see all of {share.dataset}, its own test data")
        return None

    def _shards(self, corpus: Corpus, spec: InputSpec) -> list[str]:
        """Add the tasks that encode each subject's labelled clips and return their keys."""
        made = encoding_tasks(corpus, spec, self.store)
        self.inputs |= made
        return list(made)
