"""A table becomes cells, and cells become tasks: the one place where data, methods and protocols meet."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

from baselines import METHODS
from baselines.supervised.estimator import SupervisedEstimator
from repro.data.encoding import InputSpec
from repro.data.features import Extractor
from repro.learning.common_levels import COMMON_LEVELS_VERSION
from repro.learning.finetune import FineTuning
from repro.learning.protocols import Split, few_labels
from repro.learning.seeds import seed_from
from repro.suite import tasks
from repro.suite.agreement import plan_agreement
from repro.suite.corpus import Corpus, NotApplicable, NotPossible
from repro.suite.encoding import encoding_tasks
from repro.suite.engine import Task
from repro.suite.measured import Planner, Setting
from repro.suite.plan import Cell, Measured, Plan
from repro.suite.pretext_accuracy import PRETEXT_METRICS
from repro.suite.pretraining import plan_pretext
from repro.suite.runtime import plan_runtime, plan_training_overhead
from repro.suite.spec import DATASET_LABELS, STILLS_LABELS, Column, Place, Population, Row, Scale, Share, Table
from repro.suite.still_corpus import StillCorpus
from repro.suite.store import Store, hash_of
from repro.suite.supervised import FeatureTasks, check_applicable

__all__ = ["MEASURED", "VERSION", "build_plan", "expected_cells"]

VERSION = 1
"""Of the work between data and predictions; raised when the same description would give other numbers."""

_COST = {"training image": 0.0045, "probe": 2.5, "network": 30.0, "classical": 4.0}
"""Rough seconds on one core at the quick scale; they only weigh the progress bar."""


MEASURED: Mapping[str, Planner] = {
    "seconds_per_frame": plan_runtime,
    "training_overhead": plan_training_overhead,
    "image_correlation": plan_agreement,
}
"""Metrics that are not computed from predictions, and what plans their measurement."""


class _Filler(NamedTuple):
    """How a cell is filled: a task's function, what it is given, what of it enters the key, what comes before it."""

    function: Callable[..., None]
    arguments: Mapping[str, Any]
    described: Mapping[str, Any]
    requires: tuple[str, ...]
    cost: float


class _System(NamedTuple):
    """A row's supervised system: what makes one, its extractors, and what of both enters keys."""

    make: Callable[[], SupervisedEstimator]
    extractors: tuple[Extractor, ...]
    described: Mapping[str, Any]


def expected_cells(table: Table, scale: Scale, repetitions: int) -> int:
    """Return how many cells a table will have, before its data is there (grouped folds only)."""
    times = [scale.repetitions_of(row, repetitions) * len(table.places(row)) for row in table.rows]
    return sum(times) * scale.n_folds


def build_plan(
    table: Table,
    scale: Scale,
    corpora: Mapping[str, Corpus | StillCorpus],
    store: Store,
    *,
    repetitions: int,
    device: str,
) -> Plan:
    """Plan a table.

    Parameters
    ----------
    table : Table
    scale : Scale
    corpora : mapping of str to Corpus
        Under the names of the table's populations; what is about one that is not there is not applicable.
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


@lru_cache(maxsize=4096)
def _seed_of_cell(dataset: str, fold: int, repetition: int) -> int:
    """Return the seed that all rows have in common, so that they are paired."""
    return seed_from("cell", dataset, fold, repetition)


class _Planner:
    """Collects tasks under their keys, so that what several cells need is made once."""

    def __init__(
        self, table: Table, scale: Scale, corpora: Mapping[str, Corpus | StillCorpus], store: str, device: str
    ) -> None:
        self.table, self.scale, self.corpora, self.store, self.device = table, scale, corpora, store, device
        self.protocol = scale.protocol_of(table)
        self.inputs: dict[str, Task] = {}
        self.features = FeatureTasks(store)
        self.pretexts: dict[str, Task] = {}
        self.fillers: dict[str, Task] = {}
        self.measures: dict[str, Task] = {}
        self.artifacts: dict[str, list[str]] = {}
        self._systems: dict[str, _System] = {}
        self._keys_of_pretexts: dict[Hashable, str] = {}
        self._inputs_of_pretexts: dict[str, str] = {}
        self._keys_of_shards: dict[int, tuple[str, ...]] = {}
        self._chosen: dict[Hashable, list[str]] = {}
        self._settings_of_rows: dict[tuple[str, bool], FineTuning] = {}
        self._texts: dict[tuple[str, int, int], tuple[InputSpec, FineTuning, str]] = {}
        self._descriptions: dict[int, tuple[InputSpec | FineTuning, Mapping[str, Any]]] = {}

    def plan(self, repetitions: int) -> Plan:
        cells: list[Cell] = []
        for row in self.table.rows:
            for place in self.table.places(row):
                spec = self._spec(row, place)
                try:
                    corpus = self._corpus(place.population)
                except NotApplicable as error:
                    cells.append(Cell(row.label, place, 0, 0, "", row.unavailable or str(error), applicable=False))
                    continue
                for repetition in range(self.scale.repetitions_of(row, repetitions)):
                    for split in corpus.folds(self.protocol, self.scale.n_folds):
                        cells.append(self._planned(row, place, corpus, spec, split, repetition))
        measured = {
            (row.label, column.label): self._measured(row, column)
            for row in self.table.rows
            for column in self.table.columns
            if column.metric in MEASURED
        }
        return Plan(
            tuple(cells),
            (
                *self.inputs.values(),
                *self.features.tasks().values(),
                *self.pretexts.values(),
                *self.fillers.values(),
                *self.measures.values(),
            ),
            {name: corpus.excluded for name, corpus in self.corpora.items()},
            {row: tuple(dict.fromkeys(keys)) for row, keys in self.artifacts.items()},
            measured,
            self._inputs_of_pretexts if any(column.metric in PRETEXT_METRICS for column in self.table.columns) else {},
        )

    def _corpus(self, population: Population) -> Corpus:
        if population.name not in self.corpora:
            raise NotApplicable(f"{DATASET_LABELS[population.dataset]} was not given (--{population.dataset} DIR)")
        corpus = self.corpora[population.name]
        if not isinstance(corpus, Corpus):
            raise ValueError(f"{population.name} has no labels; a row cannot be about it")
        return corpus

    def _spec(self, row: Row, place: Place) -> InputSpec:
        return replace(self.scale.input, kind=place.input, **dict(row.encoding))

    def _settings(self, row: Row, spec: InputSpec) -> FineTuning:
        """Return how a row's network is trained; that of frames as a volume is the same one in 3D."""
        asked = (row.label, spec.is_volume)
        if asked not in self._settings_of_rows:
            self._settings_of_rows[asked] = self._made_settings(row, spec)
        return self._settings_of_rows[asked]

    def _made_settings(self, row: Row, spec: InputSpec) -> FineTuning:
        usual = self.scale.training.get(self.table.name, self.scale.fine_tuning)
        settings = replace(usual, **dict(row.training))
        backbone = replace(settings.backbone, **dict(row.network))
        if backbone.name in self.scale.learning_rates and "schedule" not in dict(row.training):
            schedule = replace(settings.schedule, learning_rate=self.scale.learning_rates[backbone.name])
            settings = replace(settings, schedule=schedule)
        width = self.scale.widths.get(backbone.name, backbone.width)
        return replace(settings, backbone=replace(backbone, width=width, dims=3 if spec.is_volume else 2))

    def _planned(self, row: Row, place: Place, corpus: Corpus, spec: InputSpec, split: Split, repetition: int) -> Cell:
        at = (row.label, place, split.fold, repetition)
        if row.unavailable:
            return Cell(*at, "", row.unavailable, applicable=False)
        try:
            return Cell(*at, self._cell(row, corpus, spec, split, repetition))
        except NotPossible as error:
            return Cell(*at, "", str(error), applicable=not isinstance(error, NotApplicable))

    def _measured(self, row: Row, column: Column) -> Measured:
        place = row.place(column)
        if row.unavailable or place.population.name not in self.corpora:
            return Measured("", "")  # its cells tell why
        spec = self._spec(row, place)
        setting = Setting(
            row,
            place,
            self._corpus(place.population),
            spec,
            self._settings(row, spec),
            self.scale,
            self.protocol,
            self.store,
            self.device,
        )
        try:
            found = MEASURED[column.metric](setting)
        except NotPossible as error:
            return Measured("", "", str(error))
        self.inputs |= found.inputs
        self.measures[found.key] = found.task
        return Measured(found.key, found.series)

    def _cell(self, row: Row, corpus: Corpus, spec: InputSpec, split: Split, repetition: int) -> str:
        """Add one cell's tasks and return its key."""
        train_subjects = corpus.train_subjects(split)
        chosen = self._labelled(row, corpus, split, repetition)
        kind = METHODS[row.method].kind if row.method in METHODS else ""
        make = self._across if row.labelled else self._network
        if kind == "reference" or row.method == "pspi":
            make = self._reference
        elif kind == "supervised":
            make = self._supervised
        filler = make(row, corpus, spec, split, repetition)
        description: dict[str, Any] = {
            "version": VERSION,
            "method": row.method,
            "data": corpus.labelled_description,
            "input": self._described(spec),
            "protocol": {"name": self.protocol, "train_subjects": train_subjects},
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
        settings = self._settings(row, spec)
        shards = self._shards(corpus, spec)
        requires = [f"input-{key}" for key in shards]
        described: dict[str, Any] = {"fine_tuning": self._described(settings), "shuffled": row.shuffled}
        described |= {"probed": True} if row.probed else {}
        pretext = None
        if row.pretext and spec.is_volume:
            raise NotApplicable("pretext tasks train 2D networks")
        if row.pretext:
            pretext = self._pretext(row, corpus, spec, settings, corpus.train_subjects(split), repetition)
            described["pretext"] = pretext
            requires.append(f"pretext-{pretext}")
            self.artifacts.setdefault(row.label, []).append(pretext)
        arguments = {
            "shards": shards,
            "settings": settings,
            "pretext": pretext,
            "shuffled": row.shuffled,
            "probed": row.probed,
            "seed": _seed_of_cell(corpus.dataset.name, split.fold, repetition),
            "device": self.device,
        }
        seen = max(
            settings.schedule.epochs * (row.labels or len(split.train)),
            settings.min_updates * settings.schedule.batch_size,
        )
        cost = _COST["probe"] if row.probed else seen * _COST["training image"]
        return _Filler(tasks.train_cell, arguments, described, tuple(requires), cost)

    def _across(self, row: Row, corpus: Corpus, spec: InputSpec, split: Split, repetition: int) -> _Filler:
        """Train on labelled data of other datasets, and perhaps some of the target's (Table 5)."""
        settings = self._settings(row, spec)
        own_shards = self._shards(corpus, spec)
        train_subjects = corpus.train_subjects(split)
        shards: dict[str, tuple[str, ...]] = {}
        videos: dict[str, list[str] | None] = {}
        seen = 0
        for share in row.labelled:
            other = self._corpus(Population(share.dataset))
            videos[share.dataset] = self._videos(share, other, corpus, row, train_subjects, repetition)
            shards[share.dataset] = self._shards(other, spec)
            chosen = videos[share.dataset]
            seen += len(other.labelled) if chosen is None else other.count_labelled(chosen)
        arguments = {
            "shards": shards,
            "videos": videos,
            "tested": own_shards,
            "target": corpus.dataset.name,
            "settings": settings,
            "seed": _seed_of_cell(corpus.dataset.name, split.fold, repetition),
            "device": self.device,
        }
        described = {
            "labelled": {
                "data": {name: self._corpus(Population(name)).labelled_description for name in shards},
                "videos": videos,
                "levels": COMMON_LEVELS_VERSION,
            },
            "fine_tuning": self._described(settings),
        }
        requires = dict.fromkeys(f"input-{key}" for keys in (*shards.values(), own_shards) for key in keys)
        images = max(settings.schedule.epochs * seen, settings.min_updates * settings.schedule.batch_size)
        return _Filler(tasks.train_across, arguments, described, tuple(requires), images * _COST["training image"])

    def _supervised(self, row: Row, corpus: Corpus, spec: InputSpec, split: Split, repetition: int) -> _Filler:
        """Fit a supervised system to features of the training subjects' clips."""
        make, extractors, system = self._system(row)
        estimator = make()  # each cell has its own, as it is changed by learning
        check_applicable(estimator, corpus, spec)
        features, requires = self.features.add(corpus, spec, extractors)
        arguments = {
            "features": features,
            "clips": corpus.labelled,
            "frame_levels": corpus.frame_levels,
            "estimator": estimator,
            "shuffled": row.shuffled,
            "seed": _seed_of_cell(corpus.dataset.name, split.fold, repetition),
            "device": self.device if estimator.uses_device else "cpu",
        }
        described = {
            **system,
            "shuffled": row.shuffled,
        }
        cost = _COST["network" if estimator.uses_device else "classical"]
        return _Filler(tasks.fit_supervised, arguments, described, tuple(requires), cost)

    def _written(self, row: Row, spec: InputSpec, settings: FineTuning) -> str:
        """Return what of a row, beside its data, tells pretext networks apart; written once for the same objects."""
        asked = (row.label, id(spec), id(settings))
        if asked not in self._texts:
            self._texts[asked] = spec, settings, repr((row.task, spec, settings.backbone))
        return self._texts[asked][2]

    def _described(self, what: InputSpec | FineTuning) -> Mapping[str, Any]:
        """Return what of it enters keys, made once for the same object: 1 and 1.0 are equal, and have two keys."""
        if id(what) not in self._descriptions:
            self._descriptions[id(what)] = what, what.describe()  # kept, so that no other object has its identity
        return self._descriptions[id(what)][1]

    def _system(self, row: Row) -> _System:
        """Return what makes a row's supervised system, its extractors, and what of both enters keys."""
        if row.label not in self._systems:
            options = {**self.scale.supervised.get(row.method, {}), **dict(row.task)}
            make = partial(METHODS[row.method].load(), **options)
            estimator = make()
            extractors = estimator.extractors()
            described = {"system": estimator.describe(), "features": [one.describe() for one in extractors]}
            self._systems[row.label] = _System(make, extractors, described)
        return self._systems[row.label]

    def _labelled(self, row: Row, corpus: Corpus, split: Split, repetition: int) -> list[str] | None:
        """Clips of the training subjects whose labels are known; None for all.

        Raises
        ------
        NotPossible
            If there are fewer clips than labels asked for.
        """
        if row.labels is None:
            return None
        asked = (corpus, split.fold, repetition, row.labels)
        if asked not in self._chosen:
            seed = seed_from("few labels", corpus.dataset.name, split.fold, repetition)
            try:
                chosen = few_labels(corpus.levels[split.train], row.labels, seed)
            except ValueError as error:
                raise NotPossible(str(error)) from error
            self._chosen[asked] = [corpus.labelled[i].id for i in split.train[chosen]]
        return self._chosen[asked]

    def _reference(self, row: Row, corpus: Corpus, spec: InputSpec, split: Split, repetition: int) -> _Filler:
        """Fit a reference that needs no training of a network."""
        shards = self._shards(corpus, spec)
        arguments: dict[str, Any] = {"shards": shards, "features": None}
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

    def _pretext(
        self,
        row: Row,
        corpus: Corpus,
        spec: InputSpec,
        settings: FineTuning,
        train_subjects: Sequence[str],
        repetition: int,
    ) -> str:
        """Add a pretext network's tasks and return its key."""
        run = self.scale.pretext
        videos: dict[str, list[str] | None] = {}
        for share in row.pretext:
            if share.dataset in STILLS_LABELS:
                videos[share.dataset] = None
            else:
                other = self._corpus(Population(share.dataset)) if share.dataset else corpus
                videos[other.dataset.name] = self._videos(share, other, corpus, row, train_subjects, repetition)
        # lists of videos are the corpora's own, so that the same are known by their identity
        known = {name: None if chosen is None else id(chosen) for name, chosen in videos.items()}
        asked = (row.method, self._written(row, spec, settings), tuple(known.items()), repetition)
        if asked in self._keys_of_pretexts:
            return self._keys_of_pretexts[asked]
        planned = plan_pretext(
            METHODS[row.method].load()(**{**run.options(row.method), **dict(row.task)}),
            row.method,
            self.corpora,
            videos,
            spec,
            settings,
            run,
            repetition=repetition,
            store=self.store,
            device=self.device,
        )
        label = f"{METHODS[row.method].label} on {' + '.join(share.label for share in row.pretext)}"
        self.inputs |= planned.inputs
        self.pretexts[planned.key] = replace(planned.training, label=label)
        self._keys_of_pretexts[asked] = planned.key
        self._inputs_of_pretexts[planned.key] = planned.description["input"]["kind"]
        return planned.key

    @staticmethod
    def _videos(
        share: Share, other: Corpus, corpus: Corpus, row: Row, train_subjects: Sequence[str], repetition: int
    ) -> list[str] | None:
        """Videos of a dataset that a network may see before it is tested on a corpus; None for all.

        Raises
        ------
        ValueError
            If a row asks for the whole of its own target, which holds the test subjects.
        """
        if share.share is not None:
            return other.videos_of_share(share.share, train_subjects, repetition)
        if share.training_subjects:
            return other.videos_of_subjects(train_subjects)
        if share.dataset == corpus.dataset.name:
            raise ValueError(f"{row.label!r}: the network must not see all of {share.dataset}, its own test data")
        return None

    def _shards(self, corpus: Corpus, spec: InputSpec) -> tuple[str, ...]:
        """Add the tasks that encode each subject's labelled clips and return their keys."""
        made = encoding_tasks(corpus, spec, self.store)
        if id(made) not in self._keys_of_shards:
            self.inputs |= made
            self._keys_of_shards[id(made)] = tuple(made)
        return self._keys_of_shards[id(made)]
