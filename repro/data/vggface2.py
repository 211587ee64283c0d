"""Reader of VGGFace2: stills of faces, for networks that are pretrained on identities (D14).

Layout, relative to the root::

    train/n000002/0001_01.jpg           test/n000001/0001_01.jpg
    bb_landmark/loose_bb_train.csv      rows "n000002/0001_01",161,140,224,324 under NAME_ID,X,Y,W,H

A record is an identity. Its stills differ in size, so that they do not form a video: `IdentityRecord.still`
and `IdentityRecord.stills` give them one by one, cropped to the face.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from repro.data.files import Digest, list_folder, unavailable
from repro.data.schema import UNLABELLED, DataError, Dataset, Exclusion, VideoRecord
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
    """

    folder: str = ""
    box_file: str = ""
    box_spans: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    def frames(self) -> Tensor:
        """Raise: stills differ in size, see `stills`."""
        raise DataError(f"{self.folder}: stills of an identity differ in size and are no video; use stills()")

    def names(self) -> list[str]:
        """Return the names of the stills, without suffix, in their order."""
        return [entry.name[:-4] for entry in list_folder(self.folder)[1] if entry.name.endswith(".jpg")]

    def boxes(self) -> dict[str, tuple[int, int, int, int]]:
        """Return x, y, width and height of the face in each still, in pixels, as the file has them."""
        found: dict[str, tuple[int, int, int, int]] = {}
        if not self.box_file:
            return found
        with Path(self.box_file).open("rb") as stream:
            for start, count in self.box_spans:
                stream.seek(start)
                for line in stream.read(count).splitlines():
                    name, box = _parse_box(self.box_file, line)
                    found[name.rpartition("/")[2]] = box
        return found

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
        path = f"{self.folder}/{name}.jpg"
        image = _read_jpeg(path)
        if image is None:
            raise DataError(f"{path}: is not a whole JPEG image; copy it again from its source, or remove it")
        if box is not None:
            x, y, width, height = box
            image = image[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
            if not image.size:
                raise DataError(
                    f"{path}: the face's box {box} in {self.box_file} lies outside the still; correct its row"
                )
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))

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
                if self.box_file and name not in boxes:
                    raise DataError(f"{self.box_file}: no box for {self.subject}/{name}; copy the file again")
                yield self.still(name, boxes.get(name))
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
    present = [split for split in SPLITS if split in splits and (base / split).is_dir()]
    records: list[IdentityRecord] = []
    excluded: list[Exclusion] = []
    notes: list[Exclusion] = []
    digest = Digest()
    for split in present:
        box_file = base / "bb_landmark" / f"loose_bb_{split}.csv"
        spans: dict[str, list[tuple[int, int]]] = {}
        if box_file.is_file():
            try:
                spans = _spans(box_file, digest)
            except DataError as error:
                if strict:
                    raise
                excluded.append(Exclusion("file", f"bb_landmark/{box_file.name}", f"{error}; stills are taken whole"))
        else:
            reason = "there is no such file: stills are taken whole"
            notes.append(Exclusion("file", f"bb_landmark/{box_file.name}", reason))
        for entry in list_folder(base / split)[0]:
            try:
                records.append(_identity(split, entry, str(box_file) if spans else "", spans, strict, digest))
            except DataError as error:
                if strict:
                    raise
                excluded.append(Exclusion("identity", f"{split}/{entry.name}", str(error)))
    if not records and not excluded:
        raise unavailable("vggface2", base, _EXPECTED, _OBTAIN)
    return Dataset(
        "vggface2",
        base,
        records,
        content=digest.hexdigest(),
        n_levels=0,
        excluded=excluded,
        notes=notes,
        strict=strict,
    )


def _identity(
    split: str,
    entry: os.DirEntry[str],
    box_file: str,
    spans: dict[str, list[tuple[int, int]]],
    strict: bool,
    digest: Digest,
) -> IdentityRecord:
    names = [file.name for file in list_folder(entry.path)[1] if file.name.endswith(".jpg")]
    if not names:
        raise DataError(f"{entry.path}: no stills; copy the folder again, or remove it")
    if box_file and entry.name not in spans:
        raise DataError(f"{box_file}: no boxes for {entry.name}; copy the file again, or remove it")
    digest.text(f"{split}/{entry.name}", os.fsencode("\0".join(names)))
    return IdentityRecord(
        subject=entry.name,
        video=f"{split}/{entry.name}",
        n_frames=len(names),
        levels=np.full(len(names), UNLABELLED, np.int64),
        strict=strict,
        folder=entry.path,
        box_file=box_file,
        box_spans=tuple(spans.get(entry.name, ())),
    )


def _spans(path: Path, digest: Digest) -> dict[str, list[tuple[int, int]]]:
    """Find where the rows of each identity are in a file of boxes, without keeping its millions of rows."""
    spans: dict[str, list[tuple[int, int]]] = {}
    with path.open("rb") as stream:
        header = stream.readline()
        if [name.strip(b' "') for name in header.strip().split(b",")] != [b"NAME_ID", b"X", b"Y", b"W", b"H"]:
            raise DataError(f"{path}: expected columns NAME_ID,X,Y,W,H, found {header[:60]!r}; copy the file again")
        current, start, at = b"", len(header), len(header)
        for line in stream:
            identity = line.lstrip(b'"').partition(b"/")[0]
            if identity != current:
                if at > start:
                    spans.setdefault(current.decode(errors="replace"), []).append((start, at - start))
                current, start = identity, at
            at += len(line)
        if at > start:
            spans.setdefault(current.decode(errors="replace"), []).append((start, at - start))
    if not spans:
        raise DataError(f"{path}: no boxes; copy the file again, or remove it to take stills whole")
    digest.file(path.name, path)
    return spans


def _parse_box(path: str, line: bytes) -> tuple[str, tuple[int, int, int, int]]:
    """Read a row of name, x, y, width and height."""
    name, *numbers = line.decode(errors="replace").split(",")
    try:
        x, y, width, height = (int(float(number)) for number in numbers)
    except (ValueError, OverflowError):  # text or NaN; infinity
        raise DataError(f"{path}: expected NAME_ID,X,Y,W,H, found {line[:60]!r}; copy the file again") from None
    return name.strip('" '), (x, y, width, height)


def _read_jpeg(path: str) -> np.ndarray | None:
    """Decode a still to (H, W, 3) uint8 RGB; None if it is missing or damaged."""
    if not _is_whole_jpeg(path):
        return None
    try:
        return cv2.imread(path, cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # raised, not returned, for a header that declares an impossible size
        return None


def _is_whole_jpeg(path: str) -> bool:
    """Whether a file begins and ends as a JPEG; OpenCV decodes a truncated one without a word."""
    try:
        with Path(path).open("rb") as stream:
            head = stream.read(2)
            stream.seek(-min(64, os.fstat(stream.fileno()).st_size), os.SEEK_END)
            return head == b"\xff\xd8" and b"\xff\xd9" in stream.read()
    except OSError:
        return False
