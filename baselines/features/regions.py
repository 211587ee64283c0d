"""Where the parts of a face lie in a picture: fixed places, as faces are aligned."""

from __future__ import annotations

import math

from repro.data.face_landmarks import FACE_CENTRE, FACE_SIDE

__all__ = ["MARGIN", "REGIONS", "Region", "eye_distance", "regions"]

Region = tuple[slice, slice]
"""Rows and columns of a picture."""

MARGIN = 0.1
"""Room around the face on each side, as a share of `FACE_SIDE`: what pictures of faces are made with."""

REGIONS: dict[str, tuple[float, float, float, float]] = {
    "brow_left": (-0.95, -0.55, -0.10, -0.15),
    "brow_right": (0.10, -0.55, 0.95, -0.15),
    "eye_left": (-0.90, -0.20, -0.10, 0.30),
    "eye_right": (0.10, -0.20, 0.90, 0.30),
    "nose_root": (-0.30, -0.40, 0.30, 0.30),
    "nasolabial_left": (-0.85, 0.35, -0.15, 1.15),
    "nasolabial_right": (0.15, 0.35, 0.85, 1.15),
    "mouth": (-0.65, 0.85, 0.65, 1.55),
    "forehead": (-0.70, -0.85, 0.70, -0.40),
}
"""Left, top, right and bottom edge of each region, on the scale of `repro.data.face_landmarks.CANONICAL`: distances
between the eyes, from the point midway between these, y down. Left is left in the picture. They overlap, and leave room
for faces whose brows and mouth lie elsewhere than the canonical face's."""


def eye_distance(size: int) -> float:
    """Return the distance between the eyes in pixels, in the picture of a face of `size` x `size` pixels."""
    return size / (FACE_SIDE * (1 + 2 * MARGIN))


def regions(size: int) -> dict[str, Region]:
    """Return the pixels of each region of `REGIONS` in the picture of a face.

    A face that was aligned (`repro.data.faces.align`) has its features there. One that was cropped has them near there,
    as long as the head is upright.

    Parameters
    ----------
    size : int
        Height and width of the picture in pixels.

    Returns
    -------
    dict of str to (slice, slice)
        Rows and columns, all within the picture: the pixels whose centres lie in the region.

    Raises
    ------
    ValueError
        If the picture is so small that a region has no pixel.

    Examples
    --------
    >>> rows, columns = regions(96)["mouth"]
    >>> rows, columns
    (slice(54, 77, None), slice(27, 69, None))
    """
    scale = eye_distance(size)
    found = {
        name: (_pixels(top, bottom, FACE_CENTRE[1], scale, size), _pixels(left, right, FACE_CENTRE[0], scale, size))
        for name, (left, top, right, bottom) in REGIONS.items()
    }
    for name, sides in found.items():
        if any(side.stop <= side.start for side in sides):
            raise ValueError(f"a picture of {size} x {size} pixels has none for the region {name!r}; make it larger")
    return found


def _pixels(start: float, stop: float, centre: float, scale: float, size: int) -> slice:
    """Return the pixels whose centres, whole numbers, lie from start to before stop."""
    first, end = (math.ceil((edge - centre) * scale + (size - 1) / 2) for edge in (start, stop))
    return slice(max(0, first), min(size, end))
