"""Folders and files of datasets: listing, digests, and the error for a folder that holds something else."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from repro.data.schema import DataError, DatasetUnavailable
from repro.data.video import MAX_PIXELS

WHOLE = 1 << 16
"""Files up to this many bytes enter a digest whole, larger ones by their size, first and last 4 KiB."""


_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"


class Digest:
    """SHA-256 over files, independent of where they lie; add them in a reproducible order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def size(self, name: str, size: int) -> None:
        """Add a file by its relative name and its size in bytes."""
        self._hash.update(b"%s\0%d\0" % (os.fsencode(name), size))

    def text(self, name: str, content: bytes) -> None:
        """Add a file by its relative name and its content."""
        self.size(name, len(content))
        self._hash.update(content)

    def file(self, name: str, path: str | os.PathLike[str]) -> None:
        """Add a file by its name, size and content; only the ends of a file larger than `WHOLE` are read."""
        try:
            with open(path, "rb") as stream:  # noqa: PTH123 - called for ten thousands of small files
                size = os.fstat(stream.fileno()).st_size
                if size <= WHOLE:
                    self.text(name, stream.read())
                    return
                self.size(name, size)
                self._hash.update(stream.read(4096))
                stream.seek(size - 4096)
                self._hash.update(stream.read(4096))
        except OSError as error:
            raise unreadable(path, error) from error

    def hexdigest(self) -> str:
        """Return the digest in hexadecimal."""
        return self._hash.hexdigest()


def unreadable(path: str | os.PathLike[str], error: OSError) -> DataError:
    """Compose the error for a file or folder that the system cannot read, such as a loop of links."""
    return DataError(f"{path}: cannot be read ({error.strerror or error}); copy it again from its source")


def file_size(entry: os.DirEntry[str]) -> int:
    """Return the size of a file in bytes; raises `DataError` for a link that leads nowhere or to itself."""
    try:
        return entry.stat().st_size
    except OSError as error:
        raise unreadable(entry.path, error) from error


def is_stray(name: str) -> bool:
    """Whether an operating system left this file or folder: .DS_Store, ._name, Thumbs.db, desktop.ini, ..."""
    return name.startswith(".") or name.lower() in {"thumbs.db", "desktop.ini", "__macosx"}


def list_folder(path: str | os.PathLike[str]) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """Return the folders and the files in a folder, each sorted by name, without stray files."""
    with os.scandir(path) as entries:
        found = sorted((entry for entry in entries if not is_stray(entry.name)), key=lambda entry: entry.name)
    folders = [entry for entry in found if _is_folder(entry)]
    return folders, [entry for entry in found if not _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; who reads it as a file finds out
        return False


def few(names: Sequence[str]) -> str:
    """Name a few of many, for a message."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def names_ending(folder: str | os.PathLike[str], ending: str) -> set[str]:
    """Return the names in a folder that end so, without stray files; none if there is no such folder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - called for folders of thousands of files
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise unreadable(folder, error) from error
    return {name for name in names if name.endswith(ending) and not is_stray(name)}


def read_bytes(path: str) -> bytes:
    """Read a small file whole; several times faster than a `Path`, which matters for 150,000 of them.

    Raises
    ------
    DataError
        If the file is missing, a folder, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            size = os.fstat(descriptor).st_size
            content = os.read(descriptor, size)
            while len(content) < size and (more := os.read(descriptor, size - len(content))):
                content += more
            return content
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(path, error) from error


def png_size(path: str) -> tuple[int, int] | None:
    """Return width and height of a PNG file that begins and ends as one; None of any other file.

    Only the ends of the file are read: what lies between is checked by `read_png`. Raises `DataError` for a
    file that cannot be read, or whose header declares a size that is not believed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            head = os.pread(descriptor, 24, 0)
            # Some programs append a few bytes to a whole image.
            tail = os.pread(descriptor, 64, max(0, os.fstat(descriptor).st_size - 64))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(head) < 24 or not head.startswith(_PNG) or _PNG_END not in tail:
        return None
    width, height = struct.unpack(">II", head[16:24])
    if not 0 < width * height <= MAX_PIXELS:
        raise DataError(
            f"{path}: declares {width} x {height} pixels; the header is damaged, copy the file again from its source"
        )
    return width, height


def read_png(path: str) -> np.ndarray | None:
    """Decode a PNG file to (H, W, 3) uint8 in OpenCV's channel order; None if it is missing or damaged.

    OpenCV also decodes what it can of a damaged file, without a word: the check sums are compared first.
    """
    try:
        data = read_bytes(path)
    except DataError:
        return None
    if not data.startswith(_PNG):
        return None
    at = len(_PNG)
    while True:
        chunk = data[at : at + 8]
        if len(chunk) < 8:
            return None
        end = at + 12 + int.from_bytes(chunk[:4], "big")
        if end > len(data) or zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return None
        if chunk[4:] == b"IEND":
            try:
                return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            except cv2.error:  # raised, not returned, for a header that declares an impossible size
                return None
        at = end


_MARKERS = {
    "unbc": (
        "the UNBC-McMaster archive",
        ("Images", "Frame_Labels", "Sequence_Labels/Frame_Labels", "AAM_landmarks"),
    ),
    "biovid": (
        "BioVid Heat Pain, Part A",
        ("PartA/video", "video", "starting_point/samples.csv", "biosignals_filtered"),
    ),
    "vggface2": ("VGGFace2", ("bb_landmark", "meta/identity_meta.csv", "train/n000002", "test/n000001")),
}


def unavailable(name: str, root: str | os.PathLike[str], expected: str, obtain: str) -> DatasetUnavailable:
    """Compose the error for a root that is not the dataset's: what was expected, what was found, what to do.

    Parameters
    ----------
    name : str
        Name of the dataset's layout.
    root : path
        What the user gave.
    expected : str
        What the root should be or hold.
    obtain : str
        How the dataset is got.
    """
    path = Path(root)
    remedy = f"Give the folder that holds it. {obtain}"
    if not path.exists():
        found = f"{path} does not exist"
    elif not path.is_dir():
        found = f"{path} is a file"
    else:
        names = [entry.name for group in list_folder(path) for entry in group]
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        found = f"{path} holds {shown}" if names else f"{path} is empty"
        for other, (title, markers) in _MARKERS.items():
            if other != name and any((path / marker).exists() for marker in markers):
                remedy = f"This looks like {title}: open it as {other!r}. {obtain}"
                break
    return DatasetUnavailable(f"{name}: expected {expected}, but {found}. {remedy}")
