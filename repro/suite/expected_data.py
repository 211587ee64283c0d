"""The real datasets as far as their published counts tell: records to plan with, none of which can be decoded.

Subjects, videos and their numbers of frames are those of `repro/data/published_counts.csv`. What is not published is
filled in where a plan does not depend on it, or hardly: the lengths of UNBC-McMaster's sequences add up to those of its
subjects (`repro.data.simulator.archive`), levels are such that folds can be balanced by them, and every identity of
VGGFace2 has the mean number of stills.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repro.data.biovid import CLASSES
from repro.data.clips import Clip, Source
from repro.data.schema import UNLABELLED, Dataset, VideoRecord
from repro.data.simulator.archive import BIOVID_FRAMES, BIOVID_VIDEOS, unbc_lengths, unbc_subjects
from repro.data.unbc_labels import MAX_PSPI
from repro.data.vggface2 import IdentityRecord
from repro.suite.still_corpus import StillCorpus

__all__ = ["CountedStills", "ExpectedRecord", "expected_dataset"]

_COUNTS = "published_counts.csv"

_NO_PAIN = "101-mg101"
"""Subject of UNBC-McMaster whose frames all have PSPI 0."""


@dataclass(frozen=True)
class ExpectedRecord(VideoRecord):
    """A video that is not there; landmarks are taken to be found, so that what needs them is planned."""

    def landmarks(self) -> NDArray[np.float32]:
        """Return points that say no more than that there are some."""
        return np.zeros((self.n_frames, 66, 2), np.float32)


class CountedStills(StillCorpus):
    """Stills that are counted, not named: an identity is one source with one clip, as long as it has stills.

    Keys of plans do not depend on how stills are named, so that they are those of `StillCorpus`; millions of clips need
    not be held to count them.
    """

    @cached_property
    def _sources(self) -> list[Source]:
        return [
            Source(r.subject, r.video, 0, (Clip(r.subject, r.video, 0, r.n_frames, UNLABELLED),))
            for r in self.dataset.records
        ]


def expected_dataset(name: str) -> Dataset:
    """Return the records of a real dataset by its published counts.

    Parameters
    ----------
    name : {"unbc", "biovid", "vggface2"}

    Raises
    ------
    ValueError
        For another name.
    """
    if name not in _MAKERS:
        raise ValueError(f"{name!r} has no published counts; they are known of {', '.join(_MAKERS)}")
    return _MAKERS[name]()


@cache
def _counts() -> Mapping[tuple[str, str], int]:
    """Return the published totals of each dataset and quantity."""
    text = resources.files("repro.data").joinpath(_COUNTS).read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text))
    return {(r["dataset"], r["quantity"]): int(r["count"]) for r in rows if not r["subject"] and not r["level"]}


def _dataset(name: str, records: list[VideoRecord], n_levels: int, *, labels_of_frames: bool = False) -> Dataset:
    counts = Path(str(resources.files("repro.data").joinpath(_COUNTS)))
    return Dataset(
        name, counts, records, content="published counts", n_levels=n_levels, labels_of_frames=labels_of_frames
    )


def _unbc() -> Dataset:
    """Return 200 sequences; the middle sixth of each shows pain, which is about the share of all frames that do."""
    records: list[VideoRecord] = []
    for index, (subject, _, _) in enumerate(unbc_subjects()):
        for number, length in enumerate(unbc_lengths(index)):
            levels = np.zeros(length, np.int64)
            if subject != _NO_PAIN:
                levels[5 * length // 12 : 7 * length // 12] = 1 + number % 3
            records.append(ExpectedRecord(subject, f"{subject}/sequence{number:02}", length, levels))
    return _dataset("unbc", records, MAX_PSPI + 1, labels_of_frames=True)


def _biovid() -> Dataset:
    levels = [np.full(BIOVID_FRAMES, level, np.int64) for level in range(len(CLASSES))]
    records: list[VideoRecord] = [
        ExpectedRecord(subject, f"{subject}/video{v:03}", BIOVID_FRAMES, levels[v % len(CLASSES)], 25.0)
        for subject in (f"subject{s:02}" for s in range(_counts()["biovid", "subjects"]))
        for v in range(BIOVID_VIDEOS)
    ]
    return _dataset("biovid", records, len(CLASSES))


def _vggface2() -> Dataset:
    identities, stills = _counts()["vggface2", "identities"], _counts()["vggface2", "stills"]
    records: list[VideoRecord] = []
    for index, name in enumerate(f"identity{i:05}" for i in range(identities)):
        count = stills // identities + (index < stills % identities)
        records.append(IdentityRecord(name, name, count, np.broadcast_to(np.int64(UNLABELLED), count)))
    return _dataset("vggface2", records, 0)


_MAKERS: Mapping[str, Callable[[], Dataset]] = {"unbc": _unbc, "biovid": _biovid, "vggface2": _vggface2}
