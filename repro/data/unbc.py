"""Reader of the UNBC-McMaster Shoulder Pain Expression Archive.

Layout, relative to the root (each of the four folders may be nested once more in a folder of its own name)::

    Images/042-ll042/ll042t1aaaff/ll042t1aaaff001.png
    AAM_landmarks/042-ll042/ll042t1aaaff/ll042t1aaaff001_aam.txt        66 rows "x y", or empty
    Frame_Labels/PSPI/042-ll042/ll042t1aaaff/ll042t1aaaff001_facs.txt   one number
    Frame_Labels/FACS/042-ll042/ll042t1aaaff/ll042t1aaaff001_facs.txt   rows "AU intensity onset offset", or
    empty Sequence_Labels/{AFF,OPR,SEN,VAS}/042-ll042/ll042t1aaaff.txt        one number

``Frame_Labels`` is also met inside ``Sequence_Labels``. Images and PSPI are required, the others are
optional. A record is a sequence; its subject is the folder's name, since two subjects share their initials. Links are
followed, out of the root too: see `repro.data.links`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.data.files import (
    Digest,
    few,
    file_size,
    names_ending,
    png_size,
    read_bytes,
    read_png,
    unavailable,
)
from repro.data.links import broken_links, list_linked
from repro.data.schema import DataError, Dataset, Exclusion, VideoRecord
from repro.data.unbc_labels import (
    MAX_PSPI,
    N_LANDMARKS,
    is_blank,
    parse_facs,
    parse_points,
    parse_pspi,
    parse_rating,
    pspi,
)
from repro.data.video import MAX_BYTES, VideoWarning

RATINGS = {"AFF": 15.0, "OPR": 5.0, "SEN": 15.0, "VAS": 10.0}
"""Self-reports and observer's rating of a whole sequence, each with its largest value; the smallest is 0."""

_EXPECTED = "the root of the UNBC-McMaster archive, with Images/<subject>/<sequence>/*.png and Frame_Labels/PSPI/"
_OBTAIN = (
    "The archive is given to researchers who sign its agreement (Lucey et al., FG 2011; "
    "https://www.jeffcohn.net/resources/). Without it, leave the option out and use simulated data."
)


@dataclass(frozen=True)
class UnbcRecord(VideoRecord):
    """A sequence of the archive.

    Attributes
    ----------
    images, points : str
        Folder of the frames, and of their landmarks ("" if the archive has none).
    numbers : tuple of str
        The frames' numbers as they are written in the files' names.
    ratings : dict of str to float
        Ratings of the whole sequence, of those in `RATINGS` that there are.
    """

    images: str = ""
    points: str = ""
    numbers: tuple[str, ...] = field(default=(), repr=False)
    ratings: dict[str, float] = field(default_factory=dict, compare=False)

    def frames(self) -> Tensor:
        """Decode the frames; see `VideoRecord.frames`."""
        stem = f"{self.images}/{self.video.rpartition('/')[2]}"
        video: Tensor | None = None
        for index, number in enumerate(self.numbers):
            image = read_png(f"{stem}{number}.png")
            if image is None or (video is not None and image.shape[:2] != video.shape[2:]):
                return self._stop(f"{stem}{number}.png", index, video)
            if video is None:
                self._check_memory(image.size)
                video = torch.empty((self.n_frames, 3, *image.shape[:2]), dtype=torch.uint8)
            red, green, blue = video[index].numpy()
            cv2.split(image, [blue, green, red])  # OpenCV's channel order; writes into the video
        if video is None:
            raise DataError(f"{self.images}: no frames")
        return video

    def _check_memory(self, frame_bytes: int) -> None:
        if frame_bytes * self.n_frames > MAX_BYTES:
            raise DataError(
                f"{self.images}: {self.n_frames} frames take {frame_bytes * self.n_frames:,} bytes, more than the "
                f"limit of {MAX_BYTES:,}; make the images smaller"
            )

    def _stop(self, name: str, index: int, video: Tensor | None) -> Tensor:
        """Raise for a frame that cannot be decoded, or warn and return those before it."""
        message = f"{name}: frame is missing, damaged or of another size than those before it"
        if self.strict or video is None:
            raise DataError(f"{message}; copy it again from its source")
        warnings.warn(f"{message}; {index} of {self.n_frames} frames are returned", VideoWarning, stacklevel=3)
        return video[:index].clone()

    def landmarks(self) -> NDArray[np.float32] | None:
        """Read the 66 points of each frame; see `VideoRecord.landmarks`."""
        if not self.points:
            return None
        stem = f"{self.points}/{self.video.rpartition('/')[2]}"
        result = np.full((self.n_frames, N_LANDMARKS, 2), np.nan, np.float32)
        for index, number in enumerate(self.numbers):
            name = f"{stem}{number}_aam.txt"
            content = read_bytes(name) if os.path.exists(name) else b""  # noqa: PTH110 - one of thousands
            if not is_blank(content):
                result[index] = parse_points(name, content)
        return result


def open_unbc(root: str | os.PathLike[str], strict: bool = True) -> Dataset:
    """Open the archive.

    Parameters
    ----------
    root : path
        Folder that holds ``Images`` and ``Frame_Labels``.
    strict : bool
        See `Dataset`.

    Returns
    -------
    Dataset
        A record for each sequence, with 17 levels (PSPI 0..16). `excluded` tells subjects without any pain, `notes`
        black frames, and PSPI files that contradict the coded action units; all of these are kept.

    Raises
    ------
    DatasetUnavailable
        If `root` is not the archive.
    DataError
        If `strict` and a file is damaged, missing or contradicts another.
    """
    base = Path(root)
    folders = locate(base)
    if "Images" not in folders or "PSPI" not in folders:
        raise unavailable("unbc", base, _EXPECTED, _OBTAIN)
    reader = _Reader(base, folders, strict)
    records = list(reader.read())
    if not records and not reader.excluded:
        raise unavailable("unbc", base, _EXPECTED, _OBTAIN)
    for subject in dict.fromkeys(record.subject for record in records):
        if not any(record.levels.any() for record in records if record.subject == subject):
            reason = (
                "PSPI is 0 in every frame: the subject trains and is predicted, but has neither AUC nor PCC and is "
                "left out of their means; its share is the n_undefined of a table"
            )
            reader.excluded.append(Exclusion("metric", subject, reason))
    return Dataset(
        "unbc",
        base,
        records,
        content=reader.digest.hexdigest(),
        n_levels=MAX_PSPI + 1,
        labels_of_frames=True,
        excluded=reader.excluded,
        notes=reader.notes,
        strict=strict,
    )


def _unnested(folder: Path) -> Path | None:
    """Return the folder, or the folder of the same name in it; None if there is none."""
    if not folder.is_dir():
        return None
    inner = folder / folder.name
    return inner if inner.is_dir() else folder


def locate(root: Path) -> dict[str, Path]:
    """Find the folders of images, landmarks and labels in the variants that are met."""
    found: dict[str, Path] = {}
    for name in ("Images", "AAM_landmarks"):
        folder = _unnested(root / name)
        if folder is not None:
            found[name] = folder
    sequence_labels = _unnested(root / "Sequence_Labels")
    holders = [_unnested(root / "Frame_Labels")]
    if sequence_labels is not None:
        holders.append(_unnested(sequence_labels / "Frame_Labels"))
        for name in RATINGS:
            folder = _unnested(sequence_labels / name)
            if folder is not None:
                found[name] = folder
    for holder in filter(None, holders):
        for name in ("PSPI", "FACS"):
            folder = _unnested(holder / name)
            if folder is not None:
                found.setdefault(name, folder)
    return found


class _Reader:
    """Reads the sequences one after another and keeps the ledger, the notes and the digest."""

    def __init__(self, root: Path, folders: dict[str, Path], strict: bool) -> None:
        self.root = root
        self.folders = folders
        self.strict = strict
        self.excluded: list[Exclusion] = []
        self.notes: list[Exclusion] = []
        self.digest = Digest()

    def read(self) -> Iterator[VideoRecord]:
        """Yield the records of all subjects and sequences in the order of their names."""
        for subject in self._folders("subject", self.folders["Images"]):
            for sequence in self._folders("sequence", self.folders["Images"] / subject):
                try:
                    yield self._sequence(subject, sequence)
                except DataError as error:
                    self._leave_out("sequence", f"{subject}/{sequence}", error)

    def _folders(self, what: str, path: Path) -> list[str]:
        """Return the names of the folders in a folder."""
        try:
            folders, files = list_linked(path)
        except DataError as error:
            self._leave_out(what, path.name, error)
            return []
        for broken in broken_links(files):
            self._leave_out(what, path.name, broken)
        return [entry.name for entry in folders]

    def _leave_out(self, what: str, file: str, error: DataError) -> None:
        if self.strict:
            raise error
        self.excluded.append(Exclusion(what, file, str(error)))

    def _sequence(self, subject: str, sequence: str) -> UnbcRecord:
        images = self.folders["Images"] / subject / sequence
        numbers = self._check_images(images, sequence)
        levels = self._levels(subject, sequence, numbers)
        self._check_facs(subject, sequence, numbers, levels)
        points = self._check_points(subject, sequence, numbers)
        return UnbcRecord(
            subject=subject,
            video=f"{subject}/{sequence}",
            n_frames=len(numbers),
            levels=levels,
            strict=self.strict,
            images=str(images),
            points=points,
            numbers=numbers,
            ratings=dict(self._ratings(subject, sequence)),
        )

    def _check_images(self, folder: Path, sequence: str) -> tuple[str, ...]:
        """Return the frames' numbers, after checking that they follow each other and are whole PNG files."""
        sizes = {entry.name: file_size(entry) for entry in list_linked(folder)[1]}
        names = [name for name in sizes if name.endswith(".png")]
        numbers = {name: name[len(sequence) : -4] for name in names}
        for name, number in numbers.items():
            if not name.startswith(sequence) or not number.isdecimal():
                raise DataError(f"{folder / name}: expected a name such as {sequence}001.png; rename or remove it")
        if not names:
            raise DataError(f"{folder}: no frames; copy the folder again, or remove it")
        names.sort(key=lambda name: int(numbers[name]))
        for before, after in zip(names, names[1:], strict=False):
            if int(numbers[after]) == int(numbers[before]):
                raise DataError(f"{folder}: {before} and {after} have the same number; remove one of them")
            if int(numbers[after]) != int(numbers[before]) + 1:
                raise DataError(f"{folder}: frames between {before} and {after} are missing; copy the folder again")
        first: tuple[int, int] | None = None
        for name in names:
            path = f"{folder}/{name}"
            size = png_size(path)
            if size is None:
                raise DataError(f"{path}: is not a whole PNG image; copy it again from its source")
            first = first or size
            if size != first:
                raise DataError(
                    f"{path}: is {size[0]} x {size[1]}, the frames before it {first[0]} x {first[1]}; "
                    "copy the folder again"
                )
            self.digest.size(f"Images/{folder.parent.name}/{sequence}/{name}", sizes[name])
        self._note_black(folder, names, sizes)
        return tuple(numbers[name] for name in names)

    def _note_black(self, folder: Path, names: Sequence[str], sizes: dict[str, int]) -> None:
        """Note black frames: a black PNG is far smaller than a face, so that few files need decoding."""
        typical = float(np.median([sizes[name] for name in names]))
        small = [name for name in names if sizes[name] < 0.25 * typical]
        black = []
        for name in small:
            image = cv2.imread(f"{folder}/{name}", cv2.IMREAD_GRAYSCALE)
            if image is not None and not image.any():
                black.append(name)
        if black:
            self.notes.append(
                Exclusion(
                    "frame",
                    f"{folder.parent.name}/{folder.name}",
                    f"{len(black)} black frames are kept: {few(black)}",
                )
            )

    def _levels(self, subject: str, sequence: str, numbers: Sequence[str]) -> NDArray[np.int64]:
        """Read the PSPI of each frame."""
        folder = self.folders["PSPI"] / subject / sequence
        present = names_ending(folder, "_facs.txt")
        wanted = [f"{sequence}{number}_facs.txt" for number in numbers]
        missing = [name for name in wanted if name not in present]
        if missing:
            raise DataError(
                f"{folder}: no PSPI for {len(missing)} of {len(numbers)} frames ({few(missing)}); copy the labels again"
            )
        if len(present) > len(wanted):
            extra = sorted(present.difference(wanted))
            raise DataError(
                f"{folder}: PSPI for {len(extra)} frames that Images does not have ({few(extra)}); "
                "copy the images again"
            )
        levels = np.empty(len(wanted), np.int64)
        for index, name in enumerate(wanted):
            path = f"{folder}/{name}"
            content = read_bytes(path)
            self.digest.text(f"PSPI/{subject}/{name}", content)
            levels[index] = parse_pspi(path, content)
        return levels

    def _check_facs(self, subject: str, sequence: str, numbers: Sequence[str], levels: NDArray[np.int64]) -> None:
        """Compare the PSPI with the coded action units, where there are any files of these."""
        if "FACS" not in self.folders:
            return
        folder = self.folders["FACS"] / subject / sequence
        present = names_ending(folder, "_facs.txt")
        wrong = []
        for number, level in zip(numbers, levels.tolist(), strict=True):
            name = f"{sequence}{number}_facs.txt"
            if name not in present:
                continue
            path = f"{folder}/{name}"
            content = read_bytes(path)
            self.digest.text(f"FACS/{subject}/{name}", content)
            coded = 0.0 if is_blank(content) else pspi(parse_facs(path, content))
            if coded != level:
                wrong.append(f"{name} {level} against {coded:g}")
        if wrong:
            reason = f"PSPI is not that of the action units in {len(wrong)} frames, kept: {few(wrong)}"
            self.notes.append(Exclusion("frame", f"{subject}/{sequence}", reason))

    def _check_points(self, subject: str, sequence: str, numbers: Sequence[str]) -> str:
        """Check the landmarks' files; return their folder, or "" if the archive has none."""
        if "AAM_landmarks" not in self.folders:
            return ""
        folder = self.folders["AAM_landmarks"] / subject / sequence
        present = names_ending(folder, "_aam.txt")
        for number in numbers:
            name = f"{sequence}{number}_aam.txt"
            if name not in present:
                continue
            content = read_bytes(f"{folder}/{name}")
            self.digest.text(f"AAM_landmarks/{subject}/{name}", content)
            if not is_blank(content):
                parse_points(f"{folder}/{name}", content)
        return str(folder)

    def _ratings(self, subject: str, sequence: str) -> Iterator[tuple[str, float]]:
        """Yield the sequence's ratings, looking under each name of the subject that is met."""
        for rating in RATINGS:
            if rating not in self.folders:
                continue
            for folder in (subject, subject[2:], subject.partition("-")[2]):
                path = self.folders[rating] / folder / f"{sequence}.txt"
                if folder and path.is_file():
                    content = read_bytes(str(path))
                    self.digest.text(f"{rating}/{subject}/{sequence}.txt", content)
                    yield rating, parse_rating(str(path), content, RATINGS[rating])
                    break
