"""Figures as small pictures for a page, sharp on screens of two pixels to one."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

__all__ = ["Picture", "picture"]

COLUMN, PAGE = 800, 190.0
"""CSS pixels that a figure takes which is as wide as a journal page, and the millimetres of that."""

_COLOURS = 192
_LINE_ART = 2.5
"""Root mean square error, of 255, up to which so few colours do a picture no harm; photographs have more."""


@dataclass(frozen=True)
class Picture:
    """A picture in a page.

    Attributes
    ----------
    content : bytes
    mime : str
    width, height : int
        CSS pixels at which text has the size of that in other figures.
    """

    content: bytes
    mime: str
    width: int
    height: int


def picture(png: bytes) -> Picture:
    """Shrink a figure to what a page shows.

    Line art becomes a PNG with a palette; photographs, which such a palette would band, JPEG without subsampled colour.

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
    content, mime = min(_encodings(image), key=lambda encoding: len(encoding[0]))
    return Picture(content, mime, width, height)


def _on_white(image: Image.Image) -> Image.Image:
    """Return an image in RGB, what is transparent as white."""
    layers = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")


def _encodings(image: Image.Image) -> list[tuple[bytes, str]]:
    found = [(_save(image, "JPEG", quality=88, subsampling=0, optimize=True), "image/jpeg")]
    few = image.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    error = np.asarray(few.convert("RGB"), dtype=np.float32) - np.asarray(image, dtype=np.float32)
    if np.sqrt((error**2).mean()) <= _LINE_ART:
        found.append((_save(few, "PNG", optimize=True), "image/png"))
    return found


def _save(image: Image.Image, form: str, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
