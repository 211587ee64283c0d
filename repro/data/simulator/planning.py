"""What is to be written: the sequences of a dataset, their names, lengths and classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repro.data.simulator import archive
from repro.data.simulator.domain import Domain
from repro.data.simulator.streams import stream
from repro.data.simulator.subject import sample_identity

CLASSES = ("BL1", "PA1", "PA2", "PA3", "PA4")
"""BioVid's classes."""
_LENGTH_SPREAD = 0.36
"""Standard deviation of the logarithm of a sequence's length."""


@dataclass(frozen=True)
class SequenceSpec:
    """A sequence to be written.

    Attributes
    ----------
    subject : str
        Folder of the subject.
    subject_index, index : int
        Number of the subject, and of the sequence among the subject's.
    name : str
        Name of the sequence or video.
    n_frames : int
    level : int or None
        BioVid's class 0..4; None for UNBC, whose levels belong to frames.
    """

    subject: str
    subject_index: int
    index: int
    name: str
    n_frames: int
    level: int | None


def plan(
    domain: Domain,
    n_subjects: int,
    videos_per_subject: int | None = None,
    seed: int = 0,
    *,
    frames: int | None = None,
) -> list[SequenceSpec]:
    """List the sequences of a dataset without rendering any.

    A subject's sequences do not depend on the number of subjects, nor a sequence on the number of sequences, so that
    a dataset can grow.

    Parameters
    ----------
    domain : Domain
    n_subjects : int
        At least 1.
    videos_per_subject : int, optional
        At least 1. BioVid's videos go round the five classes, so that a multiple of 5 is balanced. By default as
        many as in the real dataset, and as long: the k-th subject has the sequences and the frames of the k-th of
        UNBC-McMaster, who has at most 25, or BioVid's 100 videos of 138 frames. Names remain invented.
    seed : int
    frames : int, optional
        Median length of a sequence (UNBC), at least 48, or length of a video (BioVid), at least 2; the domain's by
        default. Only with `videos_per_subject`.

    Returns
    -------
    list of SequenceSpec

    Raises
    ------
    ValueError
        If a number is out of range, or `frames` is given without `videos_per_subject`.
    """
    if n_subjects < 1 or (videos_per_subject is not None and videos_per_subject < 1):
        raise ValueError(
            f"n_subjects and videos_per_subject must be at least 1, got {n_subjects} and {videos_per_subject}"
        )
    if videos_per_subject is None:
        _check_real(domain, n_subjects, frames)
    specs: list[SequenceSpec] = []
    names: set[str] = set()
    for index in range(n_subjects):
        name = _subject_name(domain, seed, index, names)
        names.add(name)
        make = _biovid if domain.name == "biovid" else _unbc
        specs += make(domain, seed, index, name, videos_per_subject, frames)
    return specs


def _check_real(domain: Domain, n_subjects: int, frames: int | None) -> None:
    if frames is not None:
        raise ValueError(
            f"frames={frames} was given without videos_per_subject: the real dataset's sequences have the real "
            "lengths; leave frames out, or say how many videos a subject has"
        )
    most = archive.REAL_SUBJECTS["unbc"]
    if domain.name == "unbc" and n_subjects > most:
        raise ValueError(
            f"n_subjects={n_subjects}, but UNBC-McMaster has {most} subjects; ask for at most {most}, or say how many "
            "videos a subject has"
        )


def _subject_name(domain: Domain, seed: int, index: int, taken: set[str]) -> str:
    """Return an invented folder name that looks like the dataset's."""
    rng = stream(seed, domain.name, index, "name")
    identity = sample_identity(seed, domain.name, index, ages=domain.ages)
    while True:
        if domain.name == "biovid":
            day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(10, 24)
            name = f"{month:02d}{day:02d}{year:02d}_{identity.sex}_{identity.age}"
        else:
            # The real archive counts to 124; invented numbers begin beyond it.
            number, letters = int(rng.integers(200, 1000)), rng.integers(0, 26, 2)
            name = f"{number}-{chr(97 + letters[0])}{chr(97 + letters[1])}{number}"
        if name not in taken:
            return name


def _biovid(
    domain: Domain, seed: int, index: int, subject: str, count: int | None, frames: int | None
) -> list[SequenceSpec]:
    if count is None:
        count, length = archive.BIOVID_VIDEOS, archive.BIOVID_FRAMES
    else:
        length = domain.frames if frames is None else frames
    if length < 2:
        raise ValueError(f"frames must be at least 2, got {length}")
    if count > archive.BIOVID_VIDEOS:
        raise ValueError(f"BioVid has at most 20 videos of each class, 100 of a subject; got {count}")
    specs = []
    for i in range(count):
        level, turn = i % 5, i // 5
        # Real suffixes: BL1 081..100, PA 001..080.
        number = 81 + turn if level == 0 else 1 + turn * 4 + (level - 1)
        specs.append(SequenceSpec(subject, index, i, f"{subject}-{CLASSES[level]}-{number:03d}", length, level))
    return specs


def _unbc(
    domain: Domain, seed: int, index: int, subject: str, count: int | None, frames: int | None
) -> list[SequenceSpec]:
    if count is None:
        lengths = list(archive.unbc_lengths(index))
    else:
        lengths = [_drawn_length(domain, seed, index, i, frames) for i in range(count)]
    specs = []
    for i, length in enumerate(lengths):
        # Arm (t1, t2), movement (a..), and whether the affected arm moves.
        arm, movement, side = 1 + i % 2, chr(97 + (i // 4) % 26), "aff" if i // 2 % 2 == 0 else "unaff"
        name = f"{subject[4:]}t{arm + 2 * (i // 104)}a{movement}{side}"
        specs.append(SequenceSpec(subject, index, i, name, length, None))
    return specs


def _drawn_length(domain: Domain, seed: int, index: int, i: int, frames: int | None) -> int:
    """Return the frames of a sequence: about as widely spread about the median as the archive's."""
    median = domain.frames if frames is None else frames
    if median < archive.SHORTEST:
        raise ValueError(
            f"frames must be at least {archive.SHORTEST}, the shortest sequence of the archive, got {median}"
        )
    drawn = median * np.exp(stream(seed, domain.name, index, "length", i).normal(0, _LENGTH_SPREAD))
    return int(np.clip(round(drawn), archive.SHORTEST, archive.LONGEST / archive.MEDIAN * median))
