"""A dataset of stills as a pretext task uses it: each still is a source, with one clip of one frame (decision D14)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from repro.data.clips import Clip, Source
from repro.data.encoding import InputSpec
from repro.data.material import Material
from repro.data.schema import UNLABELLED, Dataset, Exclusion, VideoRecord
from repro.data.still_images import VERSION, check_still_input
from repro.data.vggface2 import IdentityRecord
from repro.suite.corpus import Owners

__all__ = ["StillCorpus"]


class StillCorpus:
    """Unlabelled stills of identities; what of a `repro.suite.corpus.Corpus` a pretext task needs.

    Parameters
    ----------
    dataset : Dataset
        Of stills, such as VGGFace2.
    most_identities, most_stills : int, optional
        No more identities than that, and no more stills of each, evenly spread over those in the order of their names;
        all, if not given. VGGFace2 has 3.3 million stills, of which a short training sees few.

    Attributes
    ----------
    excluded : list of Exclusion
        Identities that could not be opened. Damaged stills show only when they are decoded: of a dataset that was
        opened with ``strict=False`` they are told beside the images, see `repro.data.inputs.Notes`.
    remarks : list of str
        What is not used; identities with a single still, which have no negatives of their own.

    Raises
    ------
    ValueError
        If the dataset has videos, or no still, or a number is not positive.
    """

    def __init__(self, dataset: Dataset, *, most_identities: int | None = None, most_stills: int | None = None) -> None:
        for name, value in (("most_identities", most_identities), ("most_stills", most_stills)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not all(isinstance(record, IdentityRecord) for record in dataset.records):
            raise ValueError(
                f"{dataset.root}: {dataset.name} has videos; only stills of identities are taken as stills"
            )
        if not dataset.records:
            raise ValueError(
                f"{dataset.root}: no still of {dataset.name} can be used; "
                + ("; ".join(f"{row.file}: {row.reason}" for row in dataset.excluded[:3]) or "it holds no identity")
            )
        self.dataset = dataset
        self.excluded: list[Exclusion] = list(dataset.excluded)
        available = len(dataset.records)
        self._records: list[VideoRecord] = [dataset.records[i] for i in _spread(available, most_identities)]
        self._most_stills = most_stills
        self.unlabelled_description: dict[str, Any] = {"fingerprint": dataset.fingerprint, "stills": VERSION}
        self.remarks: list[str] = []
        if len(self._records) < available:
            self.unlabelled_description["most_identities"] = most_identities
            self.remarks.append(f"{dataset.name}: {len(self._records)} of {available} identities are used")
        have = sum(record.n_frames for record in self._records)
        used = sum(_count(record.n_frames, most_stills) for record in self._records)
        if used < have:
            self.unlabelled_description["most_stills"] = most_stills
            self.remarks.append(
                f"{dataset.name}: {used} of their {have} stills are used, at most {most_stills} of each"
            )
        if single := sum(record.n_frames == 1 or most_stills == 1 for record in self._records):
            self.remarks.append(
                f"{dataset.name}: {single} of {len(self._records)} identities have a single still, which has no "
                "negatives of the same identity"
            )

    @cached_property
    def owners(self) -> Owners:
        """Subject of each video."""
        return Owners(self.dataset.records)

    def sources(self, material: Material, spec: InputSpec) -> list[Source]:
        """Return a source for each still, in the order of the identities and of the stills' names.

        Raises
        ------
        ValueError
            If a material is asked for that only videos have, or images that stills do not have.
        """
        if type(material) is not Material:
            raise ValueError(f"stills have no {material.name}, which only videos have")
        check_still_input(spec)
        return self._sources

    @cached_property
    def _sources(self) -> list[Source]:
        return [
            Source(r.subject, r.video, i, (Clip(r.subject, r.video, i, i + 1, UNLABELLED),))
            for r in self._records
            for i in _spread(r.n_frames, self._most_stills)
        ]


def _count(available: int, most: int | None) -> int:
    return available if most is None else min(available, most)


def _spread(available: int, most: int | None) -> list[int]:
    """Return at most so many indices, evenly spread."""
    count = _count(available, most)
    return [k * available // count for k in range(count)]
