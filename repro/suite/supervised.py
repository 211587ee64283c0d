"""Supervised systems as a table runs them: which features they need, and the tasks that compute these."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from baselines.supervised.estimator import SupervisedEstimator
from repro.data.clips import Clip
from repro.data.encoding import InputSpec
from repro.data.features import Extractor
from repro.data.schema import VideoRecord
from repro.suite import tasks
from repro.suite.corpus import Corpus, NotApplicable
from repro.suite.encoding import labelled_of_subjects
from repro.suite.engine import Task
from repro.suite.store import hash_of, hashes_of

__all__ = ["FeatureTasks", "check_applicable"]

_VERSION = 1
"""Of the pictures that features are computed from (`repro.data.face_sequence`)."""

_SECONDS_PER_FRAME = 1 / 300
"""Rough seconds on one core at 64 pixels for a frame and all features together; only weighs the progress bar."""


def check_applicable(estimator: SupervisedEstimator, corpus: Corpus, spec: InputSpec) -> None:
    """Check that a system is defined on an input and that the dataset has what it needs.

    Raises
    ------
    NotApplicable
        With the reason.
    """
    if spec.kind not in estimator.inputs:
        raise NotApplicable(f"the method is defined on {', '.join(estimator.inputs)} only")
    needing = [extractor.name for extractor in estimator.extractors() if extractor.needs_landmarks]
    if needing and not corpus.has_landmarks:
        raise NotApplicable(
            f"it needs facial landmarks ({', '.join(needing)}), which this {corpus.dataset.name} dataset does not "
            "have: run OpenFace on its videos, or `python -m repro.landmarks`, and give the folder of CSV files"
        )


_Work = list[tuple[VideoRecord, list[Clip]]]
"""Videos with their clips."""


@dataclass
class FeatureTasks:
    """Collects what must be computed of each subject's clips, so that each video is decoded once for all extractors.

    Parameters
    ----------
    store : str
        Root of the store.
    """

    store: str
    _wanted: dict[str, dict[str, Extractor]] = field(default_factory=dict)
    _tasks: dict[str, Task] = field(default_factory=dict)
    _works: dict[Corpus, dict[str, _Work]] = field(default_factory=dict)
    _added: dict[Hashable, tuple[dict[Extractor, list[str]], list[str]]] = field(default_factory=dict)

    def add(
        self, corpus: Corpus, spec: InputSpec, extractors: Iterable[Extractor]
    ) -> tuple[dict[Extractor, list[str]], list[str]]:
        """Ask for features of all labelled clips.

        Returns
        -------
        keys : dict
            Extractor -> key of each subject's file, in the order of the clips.
        requires : list of str
            Names of the tasks that make them.

        Both are the same objects each time that the same is asked for, and must not be modified.
        """
        wanted = tuple(dict.fromkeys(extractors))
        asked = (corpus, repr((spec, wanted)))  # 1 and 1.0 are equal, and have two keys
        if asked not in self._added:
            self._added[asked] = self._add(corpus, spec, wanted)
        return self._added[asked]

    def _add(
        self, corpus: Corpus, spec: InputSpec, extractors: tuple[Extractor, ...]
    ) -> tuple[dict[Extractor, list[str]], list[str]]:
        pictures = {"sequences": _VERSION, **replace(spec, frames=1).describe()}
        keys: dict[Extractor, list[str]] = {extractor: [] for extractor in extractors}
        described = [extractor.describe() for extractor in extractors]
        requires = []
        for subject, work in self._work_of(corpus).items():
            place = {"data": corpus.labelled_description, "subject": subject, "input": pictures}
            name = f"features-{hash_of(place)}"
            own = hashes_of(place, "extractor", described)
            for (extractor, found), key in zip(keys.items(), own, strict=True):
                self._wanted.setdefault(name, {})[key] = extractor
                found.append(key)
            if name not in self._tasks:
                self._tasks[name] = self._task(name, corpus, spec, subject, work)
            requires.append(name)
        return keys, requires if keys else []

    def _work_of(self, corpus: Corpus) -> dict[str, _Work]:
        """Divide labelled clips by subject and video, once."""
        if corpus not in self._works:
            self._works[corpus] = {
                subject: [(record, [clip for clip, _ in clips]) for record, clips in work]
                for subject, (work, _) in labelled_of_subjects(corpus).items()
            }
        return self._works[corpus]

    def _task(self, name: str, corpus: Corpus, spec: InputSpec, subject: str, work: _Work) -> Task:
        frames = sum(len(clip) for _, clips in work for clip in clips)
        arguments: dict[str, Any] = {"store": self.store, "work": work, "spec": spec}
        cost = frames * _SECONDS_PER_FRAME * (spec.size / 64) ** 2
        label = f"features of {corpus.dataset.name} {subject}, {spec.kind}"
        return Task(name, "features", label, cost, tasks.extract_subject, arguments)

    def tasks(self) -> dict[str, Task]:
        """Return the tasks, each with all that was asked for, by their names."""
        return {
            name: replace(task, arguments={**task.arguments, "wanted": self._wanted[name]})
            for name, task in self._tasks.items()
            if name in self._wanted
        }
