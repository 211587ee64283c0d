"""Images that stay on disk until they are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["StoredImages", "damaged", "decode_png", "encode_png"]


class StoredImages:
    """Images (N, 3, H, W) or (N, V, 3, H, W) uint8 of memory-mapped Arrow files, decoded when they are indexed.

    Indexing is that of a tensor's first axis, by a number, a slice, a mask or an array of any shape, and returns a
    tensor. What is held in memory are two numbers an image.

    Parameters
    ----------
    columns : sequence of (folder, column)
        For each shard its folder, for messages, and its Arrow column of PNG files.
    size : int
        Height and width.
    rows : ndarray, (N, 2) or (N, V, 2) int64, optional
        Number of the column and of the row in it, for each image; all rows of all columns, if not given.
    per_item : int
        Without `rows`: so many consecutive rows are the V images of one item; one makes no axis.

    Raises
    ------
    ValueError
        If the rows cannot be divided into items.
    """

    dtype = torch.uint8

    def __init__(
        self,
        columns: Sequence[tuple[Path, Any]],
        size: int,
        rows: NDArray[np.int64] | None = None,
        *,
        per_item: int = 1,
    ) -> None:
        self._columns, self._size = tuple(columns), size
        if rows is None:
            numbers = [np.stack([np.full(len(c), k), np.arange(len(c))], axis=1) for k, (_, c) in enumerate(columns)]
            rows = np.concatenate([np.empty((0, 2)), *numbers]).astype(np.int64)
            if len(rows) % per_item:
                raise ValueError(f"{len(rows)} images cannot be divided into items of {per_item}")
            rows = rows if per_item == 1 else rows.reshape(-1, per_item, 2)
        self._rows = rows

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._rows)

    @property
    def ndim(self) -> int:
        """4, or 5 with several images an item."""
        return self._rows.ndim + 2

    @property
    def shape(self) -> torch.Size:
        """(N, 3, H, W) or (N, V, 3, H, W)."""
        return torch.Size((*self._rows.shape[:-1], 3, self._size, self._size))

    @property
    def nbytes(self) -> int:
        """Bytes that the decoded images take."""
        return self.shape.numel()

    def __getitem__(self, index: Any) -> Tensor:
        """Decode images.

        Raises
        ------
        IndexError
            If an index is out of range.
        ValueError
            If an image is damaged; the message names its folder and the remedy.
        """
        rows = self._rows[index.numpy() if isinstance(index, Tensor) else index]
        result = torch.empty((*rows.shape[:-1], *self.shape[-3:]), dtype=torch.uint8)
        for image, (column, row) in zip(result.view(-1, *self.shape[-3:]), rows.reshape(-1, 2), strict=True):
            folder, pictures = self._columns[column]
            try:
                decode_png(pictures[int(row)]["bytes"].as_py(), image)
            except ValueError as error:
                raise damaged(folder, f"image {row} {error}") from error
        return result

    def split(self, batch_size: int) -> Iterator[Tensor]:
        """Decode all images, so many at a time."""
        for start in range(0, len(self), batch_size):
            yield self[start : start + batch_size]

    def subset(self, index: NDArray[Any]) -> StoredImages:
        """Choose images by an index array or a mask, without decoding them."""
        return StoredImages(self._columns, self._size, self._rows[index])

    @classmethod
    def concatenate(cls, parts: Sequence[StoredImages]) -> StoredImages:
        """Join images of one size, in order.

        Raises
        ------
        ValueError
            If the sizes, or the numbers of images of an item, differ.
        """
        shapes = sorted({tuple(part.shape[1:]) for part in parts})
        if len(shapes) != 1:
            raise ValueError(f"images of shapes {shapes} cannot be joined; encode all by one specification")
        offsets = np.cumsum([0, *(len(part._columns) for part in parts)])
        rows = [part._rows + (offset, 0) for part, offset in zip(parts, offsets, strict=False)]
        columns = [column for part in parts for column in part._columns]
        return cls(columns, parts[0]._size, np.concatenate(rows))


def damaged(folder: Path, reason: object) -> ValueError:
    """Compose the error for a folder that cannot be read as encoded images."""
    return ValueError(f"{folder} is not a readable input cache ({reason}); remove the folder and run again")


def encode_png(image: Tensor) -> bytes:
    """Encode an image (3, H, W) uint8 RGB."""
    bgr = np.ascontiguousarray(image.numpy()[::-1].transpose(1, 2, 0))
    return cv2.imencode(".png", bgr)[1].tobytes()


def decode_png(data: bytes, out: Tensor) -> None:
    """Decode an image (3, H, W) uint8 RGB into `out`; the format's checksums tell damage.

    Raises
    ------
    ValueError
        If the data is no PNG image of the size of `out`.
    """
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if picture is None:
        raise ValueError("does not decode")
    if picture.shape != (*out.shape[1:], 3):
        raise ValueError(f"has shape {picture.shape[:2]} instead of {tuple(out.shape[1:])}")
    out.copy_(torch.from_numpy(picture).permute(2, 0, 1).flip(0))
