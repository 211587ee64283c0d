"""The files of VGGFace2: boxes, names, stills.

Each function takes the path, for its message; those that read text raise `DataError`.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import cv2
import numpy as np

from repro.data.files import Digest, read_bytes, unreadable
from repro.data.schema import DataError
from repro.data.video import MAX_PIXELS

# Names hold commas, within quotation marks or without; number of stills, split and sex follow.
_PERSON = re.compile(r"\s*(?P<id>[^\s,\"]+)\s*,\s*(?:\"(?P<quoted>.*)\"|(?P<plain>.*?))\s*,\s*\d+\s*,\s*\d\s*,[^\"]*")


def parse_names(path: Path) -> dict[str, str]:
    """Read the names of identities, which no result depends on."""
    try:
        lines = re.split("\r?\n", path.read_bytes().decode("utf-8-sig", errors="replace"))
    except OSError as error:
        raise unreadable(path, error) from error
    header = [name.strip() for name in lines[0].split(",")]
    if header[:2] != ["Class_ID", "Name"]:
        raise DataError(
            f"{path}: expected columns Class_ID, Name, ..., found {header[:2]}; copy it again, or remove it"
        )
    names: dict[str, str] = {}
    for number, line in enumerate(lines[1:], 2):
        match = _PERSON.fullmatch(line)
        if match is None and line.strip():
            raise DataError(
                f"{path}: line {number}: expected Class_ID, Name, Sample_Num, Flag, Gender, found {line[:60]!r}; copy "
                "it again, or remove it"
            )
        if match is not None:
            if match["id"] in names:
                raise DataError(f"{path}: line {number}: {match['id']} is listed before; copy it again, or remove it")
            names[match["id"]] = match["quoted"] if match["quoted"] is not None else match["plain"]
    return names


def find_rows(path: Path, digest: Digest) -> dict[str, list[tuple[int, int]]]:
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
                if identity in (b"", b".", b"..") or b"\\" in identity:
                    raise DataError(f"{path}: {line[:60]!r} does not name a still of an identity; copy the file again")
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


def parse_box(path: str, identity: str, line: bytes) -> tuple[str, tuple[int, int, int, int]]:
    """Read a row of an identity: name of the still, x, y, width and height."""
    name, *numbers = line.decode(errors="replace").split(",")
    folder, _, still = name.strip('" ').partition("/")
    try:
        x, y, width, height = (int(float(number)) for number in numbers if "_" not in number)
    except (ValueError, OverflowError):  # text or NaN; infinity
        raise DataError(f"{path}: expected NAME_ID,X,Y,W,H, found {line[:60]!r}; copy the file again") from None
    if folder != identity or not still or "/" in still or "\\" in still:
        raise DataError(f"{path}: {line[:60]!r} does not name a still of {identity}; copy the file again")
    if width < 1 or height < 1:
        raise DataError(f"{path}: the box of {line[:60]!r} has no size; copy the file again")
    return still, (x, y, width, height)


def read_jpeg(path: str) -> np.ndarray | None:
    """Decode a still to (H, W, 3) uint8 RGB; None if it is missing or damaged, or declares a size that is not believed.

    A JPEG must begin and end as one: OpenCV decodes a truncated one without a word.
    """
    try:
        data = read_bytes(path)
    except DataError:
        return None
    # Some programs append a few bytes to a whole image.
    if not data.startswith(b"\xff\xd8") or b"\xff\xd9" not in data[-64:] or not 0 < _pixels(data) <= MAX_PIXELS:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # raised, not returned, for some damage
        return None


def _pixels(data: bytes) -> int:
    """Return the number of pixels that a JPEG file declares in its frame header; 0 if it has none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        # 0xC0..0xCF begin a frame, but for the tables of Huffman (C4), of arithmetic coding (CC) and JPG (C8).
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return int(height * width)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0
