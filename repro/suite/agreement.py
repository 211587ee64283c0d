"""How alike images are to those of the usual encoding: what a decision does before anything is learned from them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repro.data.inputs import InputSet, read_inputs
from repro.learning.pretext import Report
from repro.suite.corpus import NotApplicable, NotPossible
from repro.suite.encoding import encoding_tasks
from repro.suite.engine import Task
from repro.suite.measured import Measurement, Setting
from repro.suite.store import Store, hash_of

__all__ = ["SERIES", "VERSION", "correlations", "measure_agreement", "plan_agreement"]

SERIES = "image_correlation"
"""Name of what is stored."""

VERSION = 1
"""Raised when the same images would give other numbers."""

_BLOCK = 128
"""Clips whose images are decoded at a time."""

_SECONDS_PER_CLIP = 0.002
"""Rough seconds on one core at the quick scale; they only weigh the progress bar."""


def correlations(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Compute Pearson's correlation of each two images over all their pixels and channels.

    Parameters
    ----------
    first, second : array_like, (N, ...)
        Images of the same clips; several images of a clip count as one.

    Returns
    -------
    ndarray, (N,) float64
        In -1..1, exactly 1 for equal images; NaN where either is constant.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    one, other = (np.asarray(images, dtype=np.float64) for images in (first, second))
    if one.shape != other.shape or one.ndim < 2:
        raise ValueError(f"images of shape {one.shape} and {other.shape} do not correspond; pass (N, ...) of one shape")
    one, other = one.reshape(len(one), -1), other.reshape(len(other), -1)
    constant = (np.ptp(one, axis=1) == 0) | (np.ptp(other, axis=1) == 0)
    one, other = one - one.mean(1, keepdims=True), other - other.mean(1, keepdims=True)
    products = (np.einsum("ij,ij->i", x, y) for x, y in ((one, other), (one, one), (other, other)))
    both, of_one, of_other = (np.where(constant, np.nan, product) for product in products)
    return np.clip(both / np.sqrt(of_one * of_other), -1.0, 1.0)


def plan_agreement(setting: Setting) -> Measurement:
    """Plan the correlation of each labelled clip's image with its image by the scale's encoding of the same kind.

    Parameters
    ----------
    setting : Setting
        Its clips are shown both ways, so that a row which cuts others is compared on those.

    Returns
    -------
    Measurement
        Values are of clips, units are subjects.

    Raises
    ------
    NotApplicable
        If the row's encoding is the usual one, or gives images of another shape.
    NotPossible
        If a clip is too short for the usual encoding.
    """
    spec, usual = setting.spec, replace(setting.scale.input, kind=setting.spec.kind)
    if spec.describe() == usual.describe():
        raise NotApplicable("the images are the default's own")
    if (spec.size, spec.images_per_clip) != (usual.size, usual.images_per_clip):
        raise NotApplicable("images of another size or number cannot be correlated with the default's")
    shortest = min(len(clip) for clip in setting.corpus.labelled)
    if shortest < usual.shortest_clip:
        raise NotPossible(f"clips of {shortest} frames are too short for the default's image ({usual.shortest_clip})")
    inputs = [encoding_tasks(setting.corpus, shown, setting.store) for shown in (spec, usual)]
    shards = {"images": list(inputs[0]), "usual": list(inputs[1])}
    description = {"version": VERSION, "measures": SERIES, **shards}
    key = hash_of(description)
    task = Task(
        f"measure-{key}",
        "measure",
        f"{setting.row.label}: likeness of {spec.kind} images",
        len(setting.corpus.labelled) * _SECONDS_PER_CLIP,
        measure_agreement,
        {"store": setting.store, "key": key, "description": description, **shards},
        tuple(f"input-{name}" for made in inputs for name in made),
    )
    return Measurement(key, SERIES, task, inputs[0] | inputs[1])


def measure_agreement(
    store: str,
    key: str,
    description: Mapping[str, Any],
    images: Sequence[str],
    usual: Sequence[str],
    report: Report | None = None,
) -> None:
    """Correlate the images of two sets of shards, clip by clip, and store what was found.

    Clips whose image is constant, or that only one set has, are left out and counted in the stored ``run``.

    Raises
    ------
    ValueError
        If nothing is left.
    """
    place = Store(store)
    begin = time.monotonic()
    sets = [read_inputs([place.input_folder(name) for name in names]) for names in (images, usual)]
    first, second = _common(*sets)
    found = np.empty(len(first.clips))
    for start in range(0, len(found), _BLOCK):
        block = slice(start, start + _BLOCK)
        found[block] = correlations(first.images[block].numpy(), second.images[block].numpy())
        if report is not None:
            report(min(1.0, (start + _BLOCK) / len(found)), f"clip {start + 1}/{len(found)}")
    defined = ~np.isnan(found)
    if not defined.any():
        raise ValueError(
            f"none of {len(found)} clips has two images that are not constant: their likeness is not defined"
        )
    series = {SERIES: {"values": found[defined].tolist(), "units": first.subjects[defined].tolist()}}
    run = {
        "seconds": round(time.monotonic() - begin, 3),
        "clips": int(defined.sum()),
        "constant": int((~defined).sum()),
        "in_one_set_only": sum(len(part.clips) for part in sets) - 2 * len(found),
    }
    place.write_measurement(key, series, {"description": description, "run": run})


def _common(first: InputSet, second: InputSet) -> tuple[InputSet, InputSet]:
    """Return the clips that both sets have, in the order of the first."""
    at = {name: i for i, name in enumerate(second.ids.tolist())}
    index = np.array([i for i, name in enumerate(first.ids.tolist()) if name in at], dtype=np.intp)
    return first.select(index), second.select(np.array([at[name] for name in first.ids[index]], dtype=np.intp))
