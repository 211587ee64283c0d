"""What really happened in a simulated dataset, without looking at its pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from repro.data.simulator.behaviour import Script, sample_temper, write_script
from repro.data.simulator.domain import GENERATOR_VERSION, Camera, Domain
from repro.data.simulator.marker import MARKER
from repro.data.simulator.planning import SequenceSpec, plan
from repro.data.simulator.subject import sample_identity

__all__ = ["replay", "true_pspi"]


def true_pspi(root: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Replay the behaviour of a simulated dataset and return the PSPI of every frame.

    The real BioVid has no PSPI; in a simulated one it is known, and is the best that an observer of faces could go by.

    Parameters
    ----------
    root : path
        Root of a simulated dataset.

    Returns
    -------
    dict
        Video ("subject/name") to PSPI, int64 of shape (n_frames,).

    Raises
    ------
    ValueError
        If the root's marker is missing, unreadable, or of another version of the simulator.
    """
    marker = Path(root) / MARKER
    try:
        found = json.loads(marker.read_text())
        fields = dict(found["parameters"])
        domain: Domain = _restore(Domain, {**fields, "camera": _restore(Camera, fields["camera"])})
        n_subjects, videos, seed, frames = (found[k] for k in ("n_subjects", "videos_per_subject", "seed", "frames"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{marker}: does not describe a simulation ({error}); simulate the dataset again") from error
    if found["generator"] != GENERATOR_VERSION:
        raise ValueError(
            f"{marker}: written by version {found['generator']} of the simulator, this is {GENERATOR_VERSION}; "
            "simulate the dataset again"
        )
    specs = plan(domain, n_subjects, videos, seed, frames=frames)
    return {f"{spec.subject}/{spec.name}": script.pspi.astype(np.int64) for spec, script in replay(domain, specs, seed)}


def replay(domain: Domain, specs: Iterable[SequenceSpec], seed: int) -> Iterator[tuple[SequenceSpec, Script]]:
    """Yield what happens in planned sequences, without a picture: milliseconds each."""
    for index, group in groupby(specs, lambda spec: spec.subject_index):
        identity = sample_identity(seed, domain.name, index, ages=domain.ages)
        temper = sample_temper(identity, domain, seed, index)
        for spec in group:
            yield spec, write_script(identity, domain, temper, spec)


def _restore(kind: Any, fields: Mapping[str, Any]) -> Any:
    """Undo what JSON does to a dataclass: its tuples became lists."""
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})
