"""What a dataset is, whatever its layout on disk: records of videos, a ledger, a fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

UNLABELLED = -1
"""Level of a frame or clip that has no label."""

SIMULATED = "SIMULATED.json"
"""File at the root of a dataset that the simulator wrote."""


class DatasetUnavailable(ValueError):
    """There is no such dataset at this root; the message says what was expected, found, and what to do."""


class DataError(ValueError):
    """A file of a dataset is damaged or contradicts another; the message names the file and the remedy."""


@dataclass(frozen=True)
class Exclusion:
    """One row of the ledger; it unpacks as ``what, file, reason``.

    Attributes
    ----------
    what : str
        Kind of thing: "sequence", "video", "identity", "subject", "clip", "still" or "frame".
    file : str
        File or folder relative to the dataset's root, or the name of the subject or record.
    reason : str
        Why it was left out or is remarkable.
    """

    what: str
    file: str
    reason: str

    def __iter__(self) -> Iterator[str]:
        """Yield what, file and reason."""
        return iter((self.what, self.file, self.reason))


@dataclass(frozen=True)
class VideoRecord:
    """One video of a dataset; it knows its labels and decodes its frames on demand.

    Records are cheap to pickle: they hold paths and labels, never frames.

    Attributes
    ----------
    subject : str
        Name of the subject, unique in the dataset.
    video : str
        Name of the video, unique in the dataset and free of the root, such as "042-ll042/ll042t1aaaff".
    n_frames : int
        Number of frames, as the files on disk declare it.
    levels : ndarray, (n_frames,) int64
        UNBC: the PSPI of each frame; BioVid: the class, 0..4, repeated; `UNLABELLED` where there is none.
    fps : float or None
        Frames per second; None where the dataset does not say.
    strict : bool
        Whether `frames` raises on a loss of frames, or warns and returns the frames before the loss.
    """

    subject: str
    video: str
    n_frames: int
    levels: NDArray[np.int64] = field(compare=False, repr=False)
    fps: float | None = None
    strict: bool = True

    divisible: ClassVar[bool] = False
    """Whether what is left of it is of use when some frames are lost, as with stills that need no neighbours."""

    def frames(self) -> Tensor:
        """Decode the video in sequence.

        Returns
        -------
        Tensor, (T, 3, H, W) uint8
            RGB frames. T is `n_frames`; of a record that was opened with ``strict=False`` it may be less,
            which raises a `repro.data.VideoWarning`.

        Raises
        ------
        DataError
            If a file is missing or damaged; the message names it.
        """
        raise NotImplementedError

    def landmarks(self) -> NDArray[np.float32] | None:
        """Read the facial landmarks of every frame.

        Returns
        -------
        ndarray, (n_frames, P, 2) float32, or None
            x and y in pixels, 0-based, in the order of the 68-point annotation scheme (P is 66 or 68); NaN in
            frames without landmarks. None if the dataset has none.

        Raises
        ------
        DataError
            If a file is damaged; the message names it.
        """
        return None

    def check(self) -> int:
        """Decode the whole video and return the number of frames that it gives; raises as `frames` does."""
        return len(self.frames())


class Dataset:
    """Records of one dataset, the ledger of what was left out, and a fingerprint of both.

    What ``strict`` means when a dataset is opened:

    * ``strict=True``: the first damaged or contradictory file raises a `DataError`; so does a record's
      `frames` when a video gives another number of frames than it declares.
    * ``strict=False``: a damaged video is left out and a row of `excluded` says which and why. Damage that
      only decoding can show is found by `verify`; until then such a record's `frames` warns and returns less.

    Parameters
    ----------
    name : str
        Name of the dataset's layout: "unbc", "biovid", "vggface2" or "manifest".
    root : path
        Folder (or manifest file) that was opened.
    records : iterable of VideoRecord
        Videos, in a reproducible order.
    content : str
        Digest of the files' names, sizes and labels, from `Digest`.
    n_levels : int
        Number of levels that a label can take: labels are 0..n_levels - 1. 0 for a dataset without labels.
    labels_of_frames : bool
        Whether frames were labelled one by one; else a video's label is repeated.
    excluded, notes : iterable of Exclusion
        Rows for what was left out, and for what is remarkable but was kept.
    strict : bool
        How the dataset was opened.
    """

    def __init__(
        self,
        name: str,
        root: str | os.PathLike[str],
        records: Iterable[VideoRecord],
        *,
        content: str,
        n_levels: int,
        labels_of_frames: bool = False,
        excluded: Iterable[Exclusion] = (),
        notes: Iterable[Exclusion] = (),
        strict: bool = True,
    ) -> None:
        self.name = name
        self.root = Path(root)
        self.records = list(records)
        self.excluded = list(excluded)
        self.notes = list(notes)
        self.n_levels = n_levels
        self.labels_of_frames = labels_of_frames
        self.strict = strict
        self.simulated = simulation(self.root) is not None
        self._content = content

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)

    def __repr__(self) -> str:
        """Return the numbers of records, subjects and exclusions."""
        kind = ", simulated" if self.simulated else ""
        return (
            f"Dataset({self.name!r}, {len(self.records)} records of {len(self.subjects)} subjects, "
            f"{len(self.excluded)} left out{kind})"
        )

    @property
    def subjects(self) -> list[str]:
        """Names of the subjects that have a record, in the order of the records."""
        return list(dict.fromkeys(record.subject for record in self.records))

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of everything on disk that a result can depend on.

        It covers names relative to the root, sizes, the contents of label and landmark files, and which
        records there are with how many frames. It holds no absolute path and no date: it survives moving or
        copying the folder, and changes with a label, a file's size, or a record that is left out.
        """
        digest = hashlib.sha256(f"{self.name}\0{self.n_levels}\0{self._content}".encode())
        for record in self.records:
            # Not str.encode: names on disk need not be Unicode.
            digest.update(os.fsencode(f"\0{record.subject}\0{record.video}\0{record.n_frames}"))
        return digest.hexdigest()

    def verify(self, progress: Callable[[int, int], None] | None = None) -> list[Exclusion]:
        """Decode every video once and account for the frames that are not there.

        Parameters
        ----------
        progress : callable, optional
            Called with the number of videos done and their total.

        Returns
        -------
        list of Exclusion
            A row for each video that cannot be decoded as it declares. These videos have been taken out of
            `records` and the rows added to `excluded`, which changes the fingerprint. Of an identity only the
            damaged stills count as lost: its record stays, with fewer frames, if any is sound.

        Raises
        ------
        DataError
            If the dataset was opened with ``strict=True`` and there is such a video; nothing is changed then.
        """
        kept: list[VideoRecord] = []
        lost: list[Exclusion] = []
        for done, record in enumerate(self.records, 1):
            decoded, reason = _loss(record)
            if reason is not None:
                lost.append(Exclusion("still" if record.divisible else "video", record.video, reason))
            if reason is None or (record.divisible and decoded):
                kept.append(replace(record, n_frames=decoded, levels=record.levels[:decoded]))
            if progress is not None:
                progress(done, len(self.records))
        if lost and self.strict:
            rows = "\n".join(f"  {row.file}: {row.reason}" for row in lost[:10])
            raise DataError(
                f"{self.root}: {len(lost)} of {len(self.records)} videos are damaged; copy them again from "
                f"their source, or open the dataset with strict=False to leave them out:\n{rows}"
            )
        self.records = kept
        self.excluded.extend(lost)
        return lost


def _loss(record: VideoRecord) -> tuple[int, str | None]:
    """Return how many frames a video gives, and why it cannot be decoded as it declares, if so."""
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            decoded = record.check()
    except DataError as error:
        return 0, str(error)
    if decoded == record.n_frames:
        return decoded, None
    first = f": {told[0].message}" if told else ""
    return decoded, f"{decoded} frames decoded, {record.n_frames} declared{first}"


def simulation(root: Path) -> dict[str, object] | None:
    """Return what the simulator noted about the dataset at `root`, which may be its inner folder ``PartA``.

    Returns
    -------
    dict or None
        Empty if the note cannot be read, None if the simulator did not write this dataset.
    """
    folder = root if root.is_dir() else root.parent
    folders = [folder, folder.parent] if folder.name == "PartA" else [folder]
    for place in folders:
        if (place / SIMULATED).is_file():
            try:
                note = json.loads((place / SIMULATED).read_text())
            except (OSError, ValueError, RecursionError):
                return {}
            return note if isinstance(note, dict) else {}
    return None
