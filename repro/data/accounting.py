"""What a folder holds of a dataset, beside what the real dataset is published to hold."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from repro.data.coverage import Coverage, coverage
from repro.data.schema import Dataset, Exclusion, VideoRecord

__all__ = ["LEVELS_THAT_OCCUR", "Account", "Comparison", "Words", "account", "compare", "per_subject", "words"]

LEVELS_THAT_OCCUR = "levels that occur"
"""Name of the number of levels that at least one frame (UNBC) or video has."""


@dataclass(frozen=True)
class Words:
    """What is counted in a dataset.

    Attributes
    ----------
    subjects, videos, frames : str
        What the dataset calls them.
    levels_of : str
        Which of these the histogram of levels counts; "" for a dataset without labels.
    """

    subjects: str
    videos: str
    frames: str
    levels_of: str

    @property
    def video(self) -> str:
        """One of the videos."""
        return self.videos.removesuffix("s")


_WORDS: Mapping[str, Words] = {
    "unbc": Words("subjects", "sequences", "frames", "frames"),
    "biovid": Words("subjects", "videos", "frames", "videos"),
    "vggface2": Words("identities", "identities", "stills", ""),
    "manifest": Words("subjects", "videos", "frames", "videos"),
}


def words(name: str) -> Words:
    """Return what is counted in the dataset of this layout."""
    return _WORDS[name]


@dataclass(frozen=True)
class Account:
    """Counts of the videos that a dataset keeps, and its ledger.

    Attributes
    ----------
    name : {"unbc", "biovid", "vggface2", "manifest"}
        Layout of the dataset.
    simulated : bool
        Whether the simulator wrote it, or would write it.
    counts : dict of str to int
        Numbers of subjects, videos and frames, under the names of `words`, as the files declare them: only a dataset
        that passed `Dataset.verify` is known to give that many. VGGFace2: identities and stills, also of each split.
    histogram : dict of int to int
        Frames of each PSPI, 0..16 (UNBC), or videos of each class (BioVid: 0..4) or label. Levels without any have 0.
    frames_above_zero : int
        Frames whose level is above 0: with pain, as far as frames or else videos are labelled.
    lengths : tuple of int
        Frames of each video, or stills of each identity, in ascending order.
    subjects : dict of str to (int, int)
        Videos and frames of each subject; empty for VGGFace2, whose subjects are its records.
    covered : tuple of Coverage
        How many frames or videos have the labels and landmarks that a dataset may lack.
    excluded, notes : tuple of Exclusion
        What was left out, along with subjects without a metric, who stay; and what is remarkable but was kept. File
        names in the reasons are relative to the dataset's root, so that a ledger tells nothing of the machine.
    fingerprint : str or None
        Of the dataset; None for one that is not on disk.
    planned : bool
        Whether these are the counts of what the simulator would write.
    full_size : bool
        Whether a simulated dataset is meant to be as large as the real one, so that its totals can be judged.
    """

    name: str
    simulated: bool
    counts: dict[str, int]
    histogram: dict[int, int]
    frames_above_zero: int = 0
    lengths: tuple[int, ...] = ()
    subjects: dict[str, tuple[int, int]] = field(default_factory=dict)
    covered: tuple[Coverage, ...] = ()
    excluded: tuple[Exclusion, ...] = ()
    notes: tuple[Exclusion, ...] = ()
    fingerprint: str | None = None
    planned: bool = False
    full_size: bool = False

    @property
    def data(self) -> str:
        """What tables call this data: "simulated" or "licensed"."""
        return "simulated" if self.simulated else "licensed"

    @property
    def left_out(self) -> tuple[Exclusion, ...]:
        """Rows of `excluded` that cost data: all but those of metrics, whose subjects stay."""
        return tuple(row for row in self.excluded if row.what != "metric")

    @property
    def ledger(self) -> list[tuple[str, str, str, bool]]:
        """Every exclusion, then every note: what, file, reason, and whether it was kept."""
        rows = [(row, row.what == "metric") for row in self.excluded] + [(row, True) for row in self.notes]
        return [(row.what, row.file, row.reason, kept) for row, kept in rows]

    @property
    def quantities(self) -> dict[str, float]:
        """The counts, the number of levels that occur, and what the videos' lengths are."""
        found: dict[str, float] = dict(self.counts)
        if self.histogram:
            found[LEVELS_THAT_OCCUR] = sum(count > 0 for count in self.histogram.values())
        if self.name == "vggface2":
            return found
        unit, videos, video = words(self.name).frames, words(self.name).videos, words(self.name).video
        lengths = np.array(self.lengths or (0,))
        found[f"{unit} of the shortest {video}"] = int(lengths.min())
        found[f"{unit} of the median {video}"] = float(np.median(lengths))
        found[f"{unit} of the longest {video}"] = int(lengths.max())
        if self.name == "unbc":
            found[f"{videos} below 120 {unit}"] = sum(length < 120 for length in self.lengths)
            found[f"{videos} of 150 to 200 {unit}"] = sum(150 <= length <= 200 for length in self.lengths)
        return found


@dataclass(frozen=True)
class Comparison:
    """One count beside the published one.

    Attributes
    ----------
    quantity : str
        What is counted, such as "subjects", or "frames" of one level.
    subject : str
        Whose; "" for all.
    level : int or None
        PSPI (UNBC), class (BioVid) or label; None for all.
    found : float
        Count of the dataset at hand; only a median may not be whole.
    published : float or None
        Count of the real dataset; None where there is none.
    source : str
        Where the published count is from.
    agrees : bool or None
        Whether both are equal, as far as the published one is exact; None where that is not to be expected: simulated
        data agree in their totals at most, and only if they are of full size.
    """

    quantity: str
    subject: str
    level: int | None
    found: float
    published: float | None = None
    source: str = ""
    agrees: bool | None = None


def account(dataset: Dataset, *, full_size: bool = False) -> Account:
    """Count what a dataset keeps; nothing is decoded.

    Parameters
    ----------
    dataset : Dataset
        Best opened with ``strict=False``, so that its ledger is whole.
    full_size : bool
        See `Account`.

    Returns
    -------
    Account
    """
    name, records = dataset.name, dataset.records
    per_frame = words(name).levels_of == words(name).frames
    levels = [record.levels if per_frame else record.levels[:1] for record in records] if dataset.n_levels else []
    found = np.bincount(np.concatenate([np.empty(0, np.int64), *levels]), minlength=dataset.n_levels)
    counts = {
        words(name).subjects: len(dataset.subjects),
        words(name).videos: len(records),
        words(name).frames: sum(record.n_frames for record in records),
    }
    return Account(
        name=name,
        simulated=dataset.simulated,
        counts=counts | (_splits(records) if name == "vggface2" else {}),
        histogram=dict(enumerate(found.tolist())),
        frames_above_zero=sum(int((record.levels > 0).sum()) for record in records),
        lengths=tuple(sorted(record.n_frames for record in records)),
        subjects={} if name == "vggface2" else per_subject((r.subject, r.n_frames) for r in records),
        covered=coverage(dataset),
        excluded=_without_root(dataset.excluded, dataset.root),
        notes=_without_root(dataset.notes, dataset.root),
        fingerprint=dataset.fingerprint,
        full_size=full_size,
    )


def per_subject(videos: Iterable[tuple[str, int]]) -> dict[str, tuple[int, int]]:
    """Add up videos, given as subject and number of frames, to the videos and frames of each subject."""
    found: dict[str, tuple[int, int]] = {}
    for subject, n_frames in videos:
        count, frames = found.get(subject, (0, 0))
        found[subject] = count + 1, frames + n_frames
    return found


def _splits(records: Sequence[VideoRecord]) -> dict[str, int]:
    """Count identities and stills of VGGFace2's splits, which begin the records' names."""
    found: dict[str, int] = {}
    for split in ("train", "test"):
        sizes = [record.n_frames for record in records if record.video.startswith(f"{split}/")]
        found |= {f"identities in {split}": len(sizes), f"stills in {split}": sum(sizes)}
    return found


def _without_root(rows: Iterable[Exclusion], root: Path) -> tuple[Exclusion, ...]:
    """Make file names in the reasons relative to the root, or to the folder of a manifest."""
    folder = root.parent if root.is_file() else root
    prefix = re.compile(rf"(?<![\w./\\-]){re.escape(f'{folder}/')}")
    return tuple(Exclusion(row.what, row.file, prefix.sub("", row.reason)) for row in rows)


@dataclass(frozen=True)
class _Published:
    count: float
    within: float
    source: str


@cache
def _published(dataset: str) -> dict[tuple[str, str, int | None], _Published]:
    """Read the published counts of a dataset under quantity, subject and level."""
    text = resources.files("repro.data").joinpath("published_counts.csv").read_text(encoding="utf-8")
    return {
        (row["quantity"], row["subject"], int(row["level"]) if row["level"] else None): _Published(
            float(row["count"]), float(row["within"] or 0), row["source"]
        )
        for row in csv.DictReader(io.StringIO(text))
        if row["dataset"] == dataset
    }


def compare(account: Account) -> list[Comparison]:
    """Set an account beside the published counts of the real dataset, where there are any.

    Returns
    -------
    list of Comparison
        The totals; a row for each level; and, if any of the subjects has the name of one of the real dataset's, the
        videos and frames of each subject of either.
    """
    counted = words(account.name)
    rows = [_set_beside(account, quantity, "", None, found) for quantity, found in account.quantities.items()]
    rows += [_set_beside(account, counted.levels_of, "", level, n) for level, n in account.histogram.items()]
    real = {subject for _, subject, _ in _published(account.name) if subject}
    if not account.simulated and real.intersection(account.subjects):
        for subject in sorted(real.union(account.subjects)):
            videos, frames = account.subjects.get(subject, (0, 0))
            rows.append(_set_beside(account, counted.videos, subject, None, videos))
            rows.append(_set_beside(account, counted.frames, subject, None, frames))
    return rows


def _set_beside(account: Account, quantity: str, subject: str, level: int | None, found: float) -> Comparison:
    published = _published(account.name).get((quantity, subject, level))
    if published is None:
        return Comparison(quantity, subject, level, found)
    total = level is None and quantity != LEVELS_THAT_OCCUR
    judged = not account.simulated or (account.full_size and total)
    agrees = abs(found - published.count) <= published.within if judged else None
    return Comparison(quantity, subject, level, found, published.count, published.source, agrees)
