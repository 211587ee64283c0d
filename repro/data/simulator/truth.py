"""What really happened in a simulated dataset, without looking at its pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from repro.data.simulator.behaviour import biovid_script, sample_temper, unbc_script
from repro.data.simulator.dataset import MARKER, plan
from repro.data.simulator.domain import GENERATOR_VERSION, Camera, Domain
from repro.data.simulator.subject import sample_identity

__all__ = ["true_pspi"]


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
    truth: dict[str, np.ndarray] = {}
    for index in range(n_subjects):
        identity = sample_identity(seed, domain.name, index, ages=domain.ages)
        temper = sample_temper(identity, domain, seed, index)
        for spec in plan(domain, n_subjects, videos, seed, frames=frames):
            if spec.subject_index != index:
                continue
            if spec.level is None:
                script = unbc_script(identity, domain, temper, spec.n_frames, spec.index)
            else:
                script = biovid_script(identity, domain, temper, spec.n_frames, spec.level, spec.index)
            truth[f"{spec.subject}/{spec.name}"] = np.asarray(script.pspi, dtype=np.int64)
    return truth


def _restore(kind: Any, fields: Mapping[str, Any]) -> Any:
    """Undo what JSON does to a dataclass: its tuples became lists."""
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})
