"""Whether something that is stored was made by the present code: the versions in its description against today's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from baselines import METHODS
from baselines.supervised.estimator import SupervisedEstimator
from repro.data import open_dataset, simulation
from repro.data.encoding import InputSpec
from repro.data.features import Extractor
from repro.data.simulator import GENERATOR_VERSION
from repro.learning.common_levels import COMMON_LEVELS_VERSION
from repro.learning.pretext import NeedsMotion, PretextTask
from repro.suite import agreement, pretraining, runtime, work
from repro.suite.spec import DATASET_LABELS, STILLS_LABELS
from repro.suite.store import Store

__all__ = ["Present"]

_Description = Mapping[str, Any]

_REFERENCES = ("scratch", "pspi")
"""Methods of cells that are not in the registry."""

_MEASURES: Mapping[str, int] = {
    "seconds per frame": runtime.VERSION,
    "training overhead": runtime.VERSION,
    agreement.SERIES: agreement.VERSION,
}
"""What is measured -> the version of the code that does it."""


class Present:
    """What the present code would write into descriptions, and the simulated data that a store holds.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stale_networks: set[str] = set()
        self._input = InputSpec().describe()["version"]

    def cell(self, described: _Description) -> str:
        """Return why no table asks for a cell any more, or ""."""
        method = described.get("method")
        if method not in METHODS and method not in _REFERENCES:
            return f"there is no method {method!r} any more"
        if described.get("pretext") in self._stale_networks:
            return f"its network {described['pretext']} is stale"
        labelled = described.get("labelled")
        levels = labelled.get("levels") if isinstance(labelled, dict) else None
        return (
            self._data(described)
            or _differs("the code that computes cells", described.get("version"), work.VERSION)
            or self.input(described.get("input", {}))
            or (_differs("the common levels", levels, COMMON_LEVELS_VERSION) if levels is not None else "")
            or self._system(str(method), described)
        )

    def network(self, key: str, described: _Description) -> str:
        """Return why nothing asks for a pretext network any more, or ""."""
        reason = self._network(described)
        if reason:
            self._stale_networks.add(key)
        return reason

    def measurement(self, described: _Description) -> str:
        """Return why no table asks for a measurement any more, or ""."""
        name = described.get("measure", described.get("measures"))
        if name not in _MEASURES:
            return f"{name!r} is not measured any more"
        return _differs(f"what measures {name}", described.get("version"), _MEASURES[name]) or self.input(
            described.get("input", {"version": self._input})
        )

    def input(self, described: _Description) -> str:
        """Return why nothing asks for images any more that were encoded so, or ""."""
        return _differs("the encoding of images", described.get("version"), self._input)

    def features(self, file: Path) -> str:
        """Return why no system asks for stored features any more, or ""."""
        from safetensors import safe_open

        with safe_open(file, "np") as opened:
            extractor = json.loads((opened.metadata() or {})["notes"]).get("extractor", {})
        return self._extractor(extractor)

    def is_foreign(self, described: _Description) -> bool:
        """Whether something is of data that the store does not hold, such as data that was given."""
        return bool(set(_fingerprints(described)) - set(self.datasets))

    @cached_property
    def datasets(self) -> dict[str, str]:
        """Fingerprint of each simulated dataset that is complete -> version of the simulator that wrote it."""
        found = {}
        for root in sorted((self._store.data_folder / "simulated").glob("*")):
            name, note = root.name.partition("-")[0], simulation(root) or {}
            if (name in DATASET_LABELS or name in STILLS_LABELS) and note.get("complete"):
                try:
                    found[open_dataset(name, root, strict=False).fingerprint] = str(note.get("generator"))
                except ValueError:
                    continue  # it is told where the simulated data is accounted for
        return found

    def _data(self, described: _Description) -> str:
        for fingerprint in _fingerprints(described):
            version = self.datasets.get(fingerprint, GENERATOR_VERSION)
            if reason := _differs("the simulator of its data", version, GENERATOR_VERSION):
                return reason
        return ""

    def _network(self, described: _Description) -> str:
        task = described.get("task", {})
        name = task.get("task")
        if name not in METHODS or METHODS[name].kind != "self-supervised":
            return f"there is no pretext task {name!r} any more"
        material = described.get("material", {})
        return (
            self._data(described)
            or _differs("the code that trains networks", described.get("version"), pretraining.VERSION)
            or _differs(f"the pretext task {name}", task.get("version"), METHODS[name].load().version)
            or self.input(described.get("input", {}))
            or _differs(f"the clips of {name}", material.get("version"), self._material(name, material))
        )

    def _material(self, name: str, material: _Description) -> object:
        """Return today's version of what a task looks at, if it still looks at that; None for the usual clips."""
        task: PretextTask = METHODS[name].load()()
        tasks = [task]
        try:
            tasks.append(task.on_stills())
        except NeedsMotion:
            pass
        described = [one.material().describe() for one in tasks]
        return next((one.get("version") for one in described if one.get("material") == material.get("material")), 0)

    def _system(self, method: str, described: _Description) -> str:
        noted = described.get("system")
        if not isinstance(noted, dict):
            return ""
        if method not in METHODS or METHODS[method].kind != "supervised":
            return f"{method} is no supervised system any more"
        system: type[SupervisedEstimator] = METHODS[method].load()
        reason = _differs(METHODS[method].label, noted.get("version"), system.version)
        return reason or next(filter(None, map(self._extractor, described.get("features", ()))), "")

    def _extractor(self, described: _Description) -> str:
        name = described.get("features")
        if name not in self._extractors:
            return f"no system computes the features {name!r} any more"
        return _differs(f"the features {name}", described.get("version"), self._extractors[name])

    @cached_property
    def _extractors(self) -> dict[str, int]:
        """Version of each kind of features that a system of the registry asks for."""
        systems = [method.load()() for method in METHODS.values() if method.kind == "supervised"]
        extractors: list[Extractor] = [one for system in systems for one in system.extractors()]
        return {one.name: one.version for one in extractors}


def _fingerprints(described: _Description) -> Iterator[str]:
    """Yield the fingerprints of the datasets that something was computed from."""
    labelled = described.get("labelled")
    parts = [described.get("data"), labelled.get("data") if isinstance(labelled, dict) else None]
    for part in parts:
        if isinstance(part, dict):
            nested = [part] if "fingerprint" in part else [one for one in part.values() if isinstance(one, dict)]
            yield from (one["fingerprint"] for one in nested if "fingerprint" in one)


def _differs(what: str, found: object, now: object) -> str:
    return "" if found == now else f"{what} was of version {found}, and is of version {now}"
