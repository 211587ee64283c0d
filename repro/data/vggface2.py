"""Reader of VGGFace2: stills of faces, for networks that are pretrained on identities (D14).

Layout, relative to the root::

    train/n000002/0001_01.jpg           test/n000001/0001_01.jpg
    bb_landmark/loose_bb_train.csv      rows "n000002/0001_01",161,140,224,324 under NAME_ID,X,Y,W,H
    meta/identity_meta.csv              optional; rows n000002, "A_Name,_with_comma",315,1, f,

A record is an identity. Its stills differ in size, so that they do not form a video: `IdentityRecord.still`
and `IdentityRecord.stills` give them one by one, cropped to the face, `IdentityRecord.square` gives a square around it.
Links are followed, out of the root too: see `repro.data.links`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from repro.data.files import Digest, unavailable
from repro.data.links import broken_links, list_linked
from repro.data.schema import UNLABELLED, DataError, Dataset, Exclusion, VideoRecord
from repro.data.vggface2_files import find_rows, parse_box, parse_names, read_jpeg
from repro.data.video import VideoWarning

SPLITS = ("train", "test")
"""Parts of the dataset; no identity is in both."""

_EXPECTED = "the root of VGGFace2, with train/<identity>/*.jpg or test/<identity>/*.jpg"
_OBTAIN = (
    "The dataset is described by Cao et al., FG 2018 (https://www.robots.ox.ac.uk/~vgg/data/vgg_face2/). "
    "Without it, leave the option out and use simulated data."
)


@dataclass(frozen=True)
class IdentityRecord(VideoRecord):
    """All stills of one identity; `n_frames` is their number.

    Attributes
    ----------
    folder : str
        Folder of the stills.
    box_file : str
        CSV file with the boxes of the faces; "" to take whole stills.
    box_spans : tuple of (int, int)
        Where in that file the rows of this identity are: first byte and number of bytes.
    name : str
        Name of the person in ``meta/identity_meta.csv``; "" if there is none.
    """

    folder: str = ""
    box_file: str = ""
    box_spans: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    name: str = ""

    divisible = True

    def frames(self) -> Tensor:
        """Raise: stills differ in size, see `stills`."""
        raise DataError(f"{self.folder}: stills of an identity differ in size and are no video; use stills()")

    def names(self) -> list[str]:
        """Return the names of the stills, without suffix, in their order."""
        return [entry.name[:-4] for entry in list_linked(self.folder)[1] if entry.name.endswith(".jpg")]

    def boxes(self) -> dict[str, tuple[int, int, int, int]]:
        """Return x, y, width and height of the face in each still, in pixels, as the file has them.

        Raises
        ------
        DataError
            If a row is damaged, or a still has two of them.
        """
        found: dict[str, tuple[int, int, int, int]] = {}
        if not self.box_file:
            return found
        with Path(self.box_file).open("rb") as stream:
            for start, count in self.box_spans:
                stream.seek(start)
                for line in stream.read(count).splitlines():
                    name, box = parse_box(self.box_file, self.subject, line)
                    if name in found:
                        raise DataError(f"{self.box_file}: {self.subject}/{name} is listed before; copy the file again")
                    found[name] = box
        return found

    def box_of(self, name: str, boxes: Mapping[str, tuple[int, int, int, int]]) -> tuple[int, int, int, int] | None:
        """Look a still up in what `boxes` returned; None where stills are taken whole.

        Raises
        ------
        DataError
            If there are boxes, but none for this still.
        """
        if self.box_file and name not in boxes:
            raise DataError(f"{self.box_file}: no box for {self.subject}/{name}; copy the file again")
        return boxes.get(name)

    def still(self, name: str, box: tuple[int, int, int, int] | None) -> Tensor:
        """Decode one still.

        Parameters
        ----------
        name : str
            One of `names`.
        box : (int, int, int, int) or None
            x, y, width and height in pixels, clamped to the still; None for the whole still.

        Returns
        -------
        Tensor, (3, H, W) uint8
            RGB.

        Raises
        ------
        DataError
            If the file is damaged, or the box lies outside the still.
        """
        image = self._decode(name)
        if box is not None:
            image = self._within(name, image, box)
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))

    def square(self, name: str, box: tuple[int, int, int, int] | None) -> Tensor:
        """Decode the square around the face, which can be resized without changing the face's proportions.

        Parameters
        ----------
        name : str
            One of `names`.
        box : (int, int, int, int) or None
            x, y, width and height in pixels, clamped to the still; the square has the longer side of what is left, and
            its centre to half a pixel. None for the largest square in the middle of the still.

        Returns
        -------
        Tensor, (3, side, side) uint8
            RGB; beyond the still its edge is repeated.

        Raises
        ------
        DataError
            As `still` does.
        """
        image = self._decode(name)
        high, wide = image.shape[:2]
        side = min(high, wide)
        left, top = (wide - side) // 2, (high - side) // 2
        if box is not None:
            height, width = self._within(name, image, box).shape[:2]
            side = max(height, width)
            left, top = max(0, box[0]) + (width - side) // 2, max(0, box[1]) + (height - side) // 2
        rows, columns = (np.clip(np.arange(at, at + side), 0, end - 1) for at, end in ((top, high), (left, wide)))
        return torch.from_numpy(np.ascontiguousarray(image[rows[:, None], columns].transpose(2, 0, 1)))

    def _decode(self, name: str) -> np.ndarray:
        """Decode a still, (H, W, 3) RGB."""
        path = f"{self.folder}/{name}.jpg"
        image = read_jpeg(path)
        if image is None:
            raise DataError(f"{path}: is not a whole JPEG image; copy it again from its source, or remove it")
        return image

    def _within(self, name: str, image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
        """Return the part of a still within a box."""
        x, y, width, height = box
        part = image[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
        if not part.size:
            raise DataError(
                f"{self.folder}/{name}.jpg: the face's box {box} in {self.box_file} lies outside the still; correct "
                "its row"
            )
        return part

    def stills(self) -> Iterator[Tensor]:
        """Decode the stills one after another, cropped to the face; sizes differ.

        Yields
        ------
        Tensor, (3, H, W) uint8
            RGB. Of a record that was opened with ``strict=False``, damaged stills are passed over with a
            `VideoWarning`.

        Raises
        ------
        DataError
            If a still is damaged or has no box.
        """
        boxes = self.boxes()
        for name in self.names():
            try:
                yield self.still(name, self.box_of(name, boxes))
            except DataError as error:
                if self.strict:
                    raise
                warnings.warn(f"left out: {error}", VideoWarning, stacklevel=2)

    def check(self) -> int:
        """Decode all stills and return their number."""
        return sum(1 for _ in self.stills())


def open_vggface2(root: str | os.PathLike[str], strict: bool = True, *, splits: tuple[str, ...] = SPLITS) -> Dataset:
    """Open the dataset without touching its stills.

    Parameters
    ----------
    root : path
        Folder that holds ``train`` and ``test``.
    strict : bool
        See `Dataset`.
    splits : tuple of {"train", "test"}
        Parts to open; those that are not there are passed over, unless none is.

    Returns
    -------
    Dataset
        A record for each identity, without labels (``n_levels`` is 0, levels are `UNLABELLED`). The
        fingerprint covers the names of the stills and the boxes, not the stills' sizes: 3.3 million of them
        take minutes. `notes` tells a split without boxes, whose stills are taken whole.

    Raises
    ------
    DatasetUnavailable
        If `root` is not VGGFace2.
    DataError
        If `strict` and an identity has no still or the file of boxes is damaged.
    """
    base = Path(root)
    unknown = set(splits) - set(SPLITS)
    if unknown or not splits:
        raise ValueError(f"splits {splits!r} are not of {SPLITS}")
    reader = _Reader(base, strict)
    records = [record for split in SPLITS if split in splits for record in reader.read(split)]
    if not records and not reader.excluded:
        raise unavailable("vggface2", base, _EXPECTED, _OBTAIN)
    return Dataset(
        "vggface2",
        base,
        records,
        content=reader.digest.hexdigest(),
        n_levels=0,
        excluded=reader.excluded,
        notes=reader.notes,
        strict=strict,
    )


class _Reader:
    """Reads the identities one after another and keeps the ledger, the notes and the digest."""

    def __init__(self, root: Path, strict: bool) -> None:
        self.root = root
        self.strict = strict
        self.excluded: list[Exclusion] = []
        self.notes: list[Exclusion] = []
        self.digest = Digest()
        self.people: dict[str, str] | None = None
        self._seen: set[str] = set()

    def read(self, split: str) -> Iterator[IdentityRecord]:
        """Yield the records of a split in the order of their names."""
        folder = self.root / split
        if not folder.is_dir():
            return
        if self.people is None:
            self.people = self._names()
        box_file, spans = self._boxes(split)
        folders, files = list_linked(folder)
        for error in broken_links(files):
            self._leave_out("identity", split, error)
        for entry in folders:
            try:
                yield self._identity(split, entry, box_file, spans)
            except DataError as error:
                self._leave_out("identity", f"{split}/{entry.name}", error)

    def _leave_out(self, what: str, file: str, error: DataError, consequence: str = "") -> None:
        if self.strict:
            raise error
        self.excluded.append(Exclusion(what, file, f"{error}{consequence}"))

    def _boxes(self, split: str) -> tuple[str, dict[str, list[tuple[int, int]]]]:
        """Return the file of a split's boxes and where in it each identity is; "" and nothing to take whole stills."""
        path = self.root / "bb_landmark" / f"loose_bb_{split}.csv"
        if not path.is_file():
            reason = "there is no such file: stills are taken whole"
            self.notes.append(Exclusion("file", f"bb_landmark/{path.name}", reason))
            return "", {}
        try:
            return str(path), find_rows(path, self.digest)
        except DataError as error:
            self._leave_out("file", f"bb_landmark/{path.name}", error, "; stills are taken whole")
            return "", {}

    def _names(self) -> dict[str, str]:
        """Return the name of each identity; nothing without the file."""
        path = self.root / "meta" / "identity_meta.csv"
        if not path.is_file():
            return {}
        try:
            return parse_names(path)
        except DataError as error:
            self._leave_out("file", "meta/identity_meta.csv", error, "; identities are without names")
            return {}

    def _identity(
        self, split: str, entry: os.DirEntry[str], box_file: str, spans: dict[str, list[tuple[int, int]]]
    ) -> IdentityRecord:
        if entry.name in self._seen:
            raise DataError(f"{entry.path}: the identity is in {SPLITS[0]} too; remove one of the folders")
        self._seen.add(entry.name)
        names = [file.name for file in list_linked(entry.path)[1] if file.name.endswith(".jpg")]
        if not names:
            raise DataError(f"{entry.path}: no stills; copy the folder again, or remove it")
        if box_file and entry.name not in spans:
            raise DataError(f"{box_file}: no boxes for {entry.name}; copy the file again, or remove it")
        self.digest.text(f"{split}/{entry.name}", os.fsencode("\0".join(names)))
        return IdentityRecord(
            subject=entry.name,
            video=f"{split}/{entry.name}",
            n_frames=len(names),
            levels=np.full(len(names), UNLABELLED, np.int64),
            strict=self.strict,
            folder=entry.path,
            box_file=box_file,
            box_spans=tuple(spans.get(entry.name, ())),
            name=(self.people or {}).get(entry.name, ""),
        )
