"""Which encoded images are asked for: by what is stored, which tells what it was computed from, and by tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from baselines import METHODS
from repro.data.encoding import InputSpec
from repro.data.still_images import VERSION, still_input
from repro.learning.pretext import NeedsMotion, PretextTask
from repro.suite.spec import STILLS_LABELS, Place, Population, Row, Scale, Table
from repro.suite.store import hash_of

__all__ = ["Requests"]

_Description = Mapping[str, Any]


class Requests:
    """Pairs of data and input that images are asked for of, whatever the subject.

    Parameters
    ----------
    tables : callable, optional
        Returns tables and scales; called if there are images that nothing in the store was computed from.

    Attributes
    ----------
    fingerprints : set of str
        Of the datasets that are known.
    subjects : set of str
        Those of whom images are asked for; filled by `ask_for`.
    """

    def __init__(self, tables: Callable[[], Iterable[tuple[Table, Scale]]] = tuple) -> None:
        self._tables: Callable[[], Iterable[tuple[Table, Scale]]] | None = tables
        self.fingerprints: set[str] = set()
        self.subjects: set[str] = set()
        self._made: dict[str, dict[str, _Description]] = {}
        self._cuts: dict[str, dict[str, _Description]] = {}
        self._keys: set[str] = set()

    def add_cell(self, described: _Description) -> None:
        """Add what a cell was computed from, as it describes itself."""
        labelled = described.get("labelled")
        of_others = labelled.get("data", {}).values() if isinstance(labelled, dict) else ()
        for data in (described.get("data"), *of_others):
            self._add(data, described.get("input"))

    def add_network(self, described: _Description) -> None:
        """Add what a pretext network was trained on, as it describes itself."""
        material = described.get("material", {})
        for data in dict(described.get("data", {})).values():
            self._add({**data, **material}, described.get("input"))

    def add_measurement(self, described: _Description) -> None:
        """Add the images that a measurement names."""
        for name in ("images", "usual"):
            self._keys.update(described.get(name, ()))

    def ask_for(self, key: str, subject: str, input_: _Description) -> bool:
        """Whether the images under a key, of a subject, are asked for."""
        asked = key in self._keys or any(
            hash_of({"data": data, "subject": subject, "input": input_}) == key for data in self._candidates(input_)
        )
        if asked:
            self.subjects.add(subject)
        return asked

    def _candidates(self, input_: _Description) -> Iterator[_Description]:
        """Yield the data that such images are asked for of: what is stored, and then what tables ask for."""
        yield from self._made.get(_text(input_), {}).values()
        if self._tables is not None:
            tables, self._tables = self._tables, None
            for table, scale in tables():
                self._add_table(table, scale)
        for cut in self._cuts.get(_text(input_), {}).values():
            yield from ({"fingerprint": fingerprint, **cut} for fingerprint in sorted(self.fingerprints))

    def _add_table(self, table: Table, scale: Scale) -> None:
        """Add what a table asks for at a scale, of whatever data it is about."""
        own = table.at(scale.name)
        for asked in (own, own.without_stills()):
            for row in asked.rows:
                for place in () if row.unavailable else asked.places(row):
                    self._add_row(row, place, scale)

    def _add(self, data: Any, input_: Any) -> None:
        if isinstance(data, Mapping) and isinstance(input_, Mapping):
            self._made.setdefault(_text(input_), {})[_text(data)] = data
            if "fingerprint" in data:
                self.fingerprints.add(data["fingerprint"])

    def _cut(self, cut: _Description, spec: InputSpec) -> None:
        self._cuts.setdefault(_text(spec.describe()), {})[_text(cut)] = cut

    def _add_row(self, row: Row, place: Place, scale: Scale) -> None:
        """Add what a row's cells are trained and tested on, and what its pretext sees."""
        usual = replace(scale.input, kind=place.input)
        spec = replace(usual, **dict(row.encoding))
        for population in (place.population, *(Population(share.dataset) for share in row.labelled)):
            for shown in (spec, usual):
                self._cut(_labelled(population, scale), shown)
        if row.method not in METHODS or METHODS[row.method].kind != "self-supervised" or spec.is_volume:
            return
        options = {**scale.pretext.options(row.method), **dict(row.task)}
        task: PretextTask = METHODS[row.method].load()(**options)
        for share in row.pretext:
            if share.dataset in STILLS_LABELS:
                self._add_stills(task, spec, scale, share.dataset)
            else:
                population = Population(share.dataset) if share.dataset else place.population
                material = task.material()
                self._cut({**_unlabelled(population, scale), **material.describe()}, material.input(spec))

    def _add_stills(self, task: PretextTask, spec: InputSpec, scale: Scale, name: str) -> None:
        try:
            task = task.on_stills()
        except NeedsMotion:
            return
        material, size = task.material(), scale.simulated[name]
        for limits in (
            {},
            {"most_identities": size.n_subjects},
            {"most_stills": size.videos_per_subject},
            {"most_identities": size.n_subjects, "most_stills": size.videos_per_subject},
        ):
            self._cut({"stills": VERSION, **limits, **material.describe()}, material.input(still_input(spec)))


def _labelled(population: Population, scale: Scale) -> dict[str, Any]:
    """Return what `repro.suite.corpus.Corpus` tells of labelled clips, but for the fingerprint."""
    changed = dict(population.clips)
    clips = replace(scale.clips[population.dataset], **changed)
    shortest = (clips.length if "length" in changed else None) or scale.input.shortest_clip
    return {"length": clips.length, "stride": clips.stride, "shortest": shortest, "level": clips.level}


def _unlabelled(population: Population, scale: Scale) -> dict[str, Any]:
    """Return the same of the clips that pretext tasks see."""
    clips = replace(scale.clips[population.dataset], **dict(population.clips))
    return {
        "length": clips.source_length,
        "stride": clips.source_stride,
        "clips_per_source": clips.clips_per_source,
    }


def _text(description: _Description) -> str:
    return json.dumps(description, sort_keys=True)
