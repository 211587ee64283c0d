"""Figures as small pictures for a page, sharp on screens of two pixels to one."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

__all__ = ["Picture", "picture"]

COLUMN, PAGE = 800, 190.0
"""CSS pixels that a figure takes which is as wide as a journal page, and the millimetres of that."""

_COLOURS = 112
_LINE_ART = 2.5
"""Root mean square error, of 255, up to which so few colours do a picture no harm; photographs have more."""


@dataclass(frozen=True)
class Picture:
    """A picture in a page.

    Attributes
    ----------
    content : bytes
        WebP.
    width, height : int
        CSS pixels at which text has the size of that in other figures.
    """

    content: bytes
    width: int
    height: int


def picture(png: bytes) -> Picture:
    """Shrink a figure to what a page shows.

    All become WebP: line art without loss but in few colours, unless it is smaller with some loss, as where it
    frames photographs; photographs, which few colours would band, with some.

    Parameters
    ----------
    png : bytes
        As emitted; its resolution tells how wide it is on paper.

    Returns
    -------
    Picture
        Equal bytes for equal figures.

    Raises
    ------
    ValueError
        If it is not a picture.
    """
    try:
        with Image.open(io.BytesIO(png)) as opened:
            resolution = opened.info.get("dpi", (0.0, 0.0))[0]
            image = _on_white(opened)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"it is not a whole picture: {error}") from error
    on_paper = image.width / resolution * 25.4 if resolution else image.width / 2 / COLUMN * PAGE
    width = min(COLUMN, max(1, round(on_paper / PAGE * COLUMN)))
    height = max(1, round(image.height * width / image.width))
    if image.width > 2 * width:
        image = image.resize((2 * width, 2 * height), Image.Resampling.LANCZOS)
    return Picture(_encode(image), width, height)


def _on_white(image: Image.Image) -> Image.Image:
    """Return an image in RGB, what is transparent as white."""
    layers = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")


def _encode(image: Image.Image) -> bytes:
    few = image.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB")
    error = np.asarray(few, dtype=np.float32) - np.asarray(image, dtype=np.float32)
    lossy = _webp(image, quality=88, method=6)
    if np.sqrt((error**2).mean()) > _LINE_ART:
        return lossy
    return min(_webp(few, lossless=True, quality=75), lossy, key=len)


def _webp(image: Image.Image, **options: bool | int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", **options)
    return buffer.getvalue()
