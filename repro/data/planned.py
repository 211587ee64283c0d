"""The account of a simulated dataset that is not on disk: what the simulator would write, without a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repro.data.accounting import Account, per_subject, words
from repro.data.biovid import CLASSES
from repro.data.simulator import Domain, SequenceSpec, plan
from repro.data.simulator.truth import replay
from repro.data.unbc_labels import MAX_PSPI

__all__ = ["planned_account"]


def planned_account(
    domain: Domain,
    n_subjects: int,
    videos_per_subject: int | None,
    *,
    frames: int | None = None,
    seed: int = 0,
    full_size: bool = False,
) -> Account:
    """Count what `repro.data.simulator.simulate` would write with the same parameters.

    Of UNBC the behaviour of every sequence is replayed, as its levels follow from what a face does: milliseconds a
    sequence. BioVid's levels are planned.

    Parameters
    ----------
    domain, n_subjects, videos_per_subject, frames, seed
        As for `repro.data.simulator.plan`.
    full_size : bool
        See `Account`.

    Returns
    -------
    Account
        With ``planned``; nothing is left out and nothing is known of landmarks and ratings.
    """
    specs = plan(domain, n_subjects, videos_per_subject, seed, frames=frames)
    counted = words(domain.name)
    if domain.name == "unbc":
        histogram = _pspi(domain, specs, seed)
        above_zero = sum(histogram.values()) - histogram[0]
    else:
        histogram = _classes(specs)
        above_zero = sum(spec.n_frames for spec in specs if spec.level)
    return Account(
        name=domain.name,
        simulated=True,
        counts={
            counted.subjects: len({spec.subject for spec in specs}),
            counted.videos: len(specs),
            counted.frames: sum(spec.n_frames for spec in specs),
        },
        histogram=histogram,
        frames_above_zero=above_zero,
        lengths=tuple(sorted(spec.n_frames for spec in specs)),
        subjects=per_subject((spec.subject, spec.n_frames) for spec in specs),
        planned=True,
        full_size=full_size,
    )


def _classes(specs: Sequence[SequenceSpec]) -> dict[int, int]:
    """Count the videos of each class."""
    levels = [spec.level for spec in specs]
    return {level: levels.count(level) for level in range(len(CLASSES))}


def _pspi(domain: Domain, specs: Sequence[SequenceSpec], seed: int) -> dict[int, int]:
    """Replay every sequence and count the frames of each PSPI."""
    found = np.zeros(MAX_PSPI + 1, np.int64)
    for _, script in replay(domain, specs, seed):
        found += np.bincount(script.pspi, minlength=MAX_PSPI + 1)
    return dict(enumerate(found.tolist()))
