"""Units of parallel work: stretches of one subject's sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from repro.data.simulator.planning import SequenceSpec

_LEAST_FRAMES = 400
"""Below which a block is not divided: a person has to be built for each, which takes as long as about 100 frames."""


@dataclass(frozen=True)
class Block:
    """Sequences of one subject that one process writes.

    Attributes
    ----------
    subject_index : int
    sequences : tuple of int
        Numbers of the sequences among the subject's.
    n_frames : int
        Frames of all of them.
    """

    subject_index: int
    sequences: tuple[int, ...]
    n_frames: int


def divide(specs: Sequence[SequenceSpec], workers: int) -> list[Block]:
    """Divide sequences among workers that take one block after another.

    Subjects stay whole as long as many are left; the last ones are divided, so that no worker waits long for the
    others. A block is at most half of a worker's share of what is left (guided self-scheduling).

    Parameters
    ----------
    specs : sequence of SequenceSpec
        Those of a subject stand together.
    workers : int
        At least 1.

    Returns
    -------
    list of Block
        In the order in which they are to be taken; each sequence is in one.

    Raises
    ------
    ValueError
        If `workers` is not positive.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    left = sum(spec.n_frames for spec in specs)
    out: list[Block] = []
    for index, group in groupby(specs, lambda spec: spec.subject_index):
        own = list(group)
        frames = np.array([spec.n_frames for spec in own])
        most = max(_LEAST_FRAMES, left / (2 * workers))
        parts = min(len(own), int(np.ceil(frames.sum() / most)))
        # A sequence goes to the part in which its middle frame falls.
        middle = (np.cumsum(frames) - frames / 2) / frames.sum()
        part = np.minimum((middle * parts).astype(int), parts - 1)
        for k in np.unique(part):
            at = np.flatnonzero(part == k)
            out.append(Block(index, tuple(own[i].index for i in at), int(frames[at].sum())))
        left -= int(frames.sum())
    return out
