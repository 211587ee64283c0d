"""How many sequences the real datasets have, and how long they are.

The numbers of frames and of sequences of each subject of UNBC-McMaster are published, those of a sequence are not: a
subject's frames are divided among its sequences so that all of them together have the published shortest, longest and
median length.
"""

from __future__ import annotations

import csv
import io
from functools import cache
from importlib import resources

import numpy as np

from repro.data.simulator.streams import stream

SHORTEST, MEDIAN, LONGEST = 48, 225, 683
"""Frames of the shortest, the median and the longest sequence of UNBC-McMaster."""
BIOVID_VIDEOS, BIOVID_FRAMES = 100, 138
"""Videos of each subject of BioVid's Part A, 20 of each class, and frames of each."""
REAL_SUBJECTS = {"unbc": 25, "biovid": 87}
"""Subjects of the real datasets."""
_PINNED = {"048-aa048": SHORTEST, "049-bm049": LONGEST}
"""The subjects that are given the shortest and the longest sequence: those of a low and of a high mean length."""
_SPREAD = 0.37
"""Standard deviation of the logarithm of a sequence's share of its subject's frames."""
_SEED = 6232
"""Of the division, which belongs to the archive and is the same in every simulation. With it the median is 225, 15
sequences are below 120 frames and 48 have 150 to 200, all as published."""


@cache
def unbc_subjects() -> tuple[tuple[str, int, int], ...]:
    """Return name, sequences and frames of each subject of UNBC-McMaster, in the order of the names."""
    text = resources.files("repro.data").joinpath("published_counts.csv").read_text(encoding="utf-8")
    counts: dict[str, dict[str, int]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        if row["dataset"] == "unbc" and row["subject"]:
            counts.setdefault(row["subject"], {})[row["quantity"]] = int(row["count"])
    return tuple((name, counts[name]["sequences"], counts[name]["frames"]) for name in sorted(counts))


@cache
def unbc_lengths(index: int) -> tuple[int, ...]:
    """Return the frames of each sequence of the `index`-th subject of UNBC-McMaster, from 0.

    Raises
    ------
    ValueError
        If the archive has no such subject.
    """
    subjects = unbc_subjects()
    if not 0 <= index < len(subjects):
        raise ValueError(f"UNBC-McMaster has subjects 0..{len(subjects) - 1}, got {index}")
    name, count, frames = subjects[index]
    pinned = [_PINNED[name]] if name in _PINNED else []
    rng = stream(_SEED, "archive", name)
    while True:
        share = np.exp(rng.normal(0, _SPREAD, count - len(pinned)))
        edges = np.rint(np.concatenate([[0], np.cumsum(share)]) / share.sum() * (frames - sum(pinned)))
        lengths = np.diff(edges).astype(int)
        # Only the pinned ones are as short or as long as that.
        if SHORTEST < lengths.min() and lengths.max() < LONGEST:
            return (*pinned, *lengths.tolist())
