"""Moments as pictures: BGR uint8 arrays, (H, W, 3), as OpenCV shows and writes them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor

from repro.live.watching import Moment

Array = np.ndarray

GAP = 8
"""Pixels around panels."""

CAPTION = 28
"""Height of the line below a panel, in pixels."""

_BACKGROUND, _TEXT, _BAR = (24, 24, 24), (225, 225, 225), (190, 150, 60)
_EMPTY = (48, 48, 48)


def side_by_side(moment: Moment, *, heights: tuple[int, int] = (280, 480)) -> Array:
    """Draw the frame, the SSD image so far beside it, and how full the current segment is.

    Parameters
    ----------
    moment : Moment
    heights : (int, int)
        Least and largest height of a panel; a frame between them keeps its size.

    Returns
    -------
    array, (H, W, 3) uint8
        Both sides even, as films need them; they depend on nothing but the size of a frame and on `heights`.
    """
    height, width = _panel(moment.picture, heights)
    canvas = _canvas(height + CAPTION + 2 * GAP, 2 * width + 3 * GAP)
    right = width + 2 * GAP
    _paste(canvas, moment.picture, GAP, GAP, height, width)
    _paste(canvas, moment.image, GAP, right, height, width)
    base = GAP + height + CAPTION - 9
    _write(canvas, f"frame {moment.n_frames}", base, GAP, width)
    length, filled = moment.segment_length, moment.n_frames % moment.segment_length
    if moment.image is None:
        caption = f"no SSD image before frame {2 * length}"
    else:
        caption = f"SSD of {moment.n_segments} segments of {length} frame{'s' * (length > 1)}"
    _write(canvas, caption, base, right, width)
    bar = canvas[GAP + height + CAPTION - 3 : GAP + height + CAPTION, right : right + width]
    bar[:] = _EMPTY
    bar[:, : round(width * filled / length)] = _BAR
    return canvas


def strip(moments: Sequence[Moment], *, heights: tuple[int, int] = (120, 200)) -> Array:
    """Draw moments from left to right, each frame above the SSD image so far."""
    height, width = _panel(moments[0].picture, heights)
    canvas = _canvas(2 * height + CAPTION + 3 * GAP, len(moments) * (width + GAP) + GAP)
    for number, moment in enumerate(moments):
        left = GAP + number * (width + GAP)
        _paste(canvas, moment.picture, GAP, left, height, width)
        _paste(canvas, moment.image, 2 * GAP + height, left, height, width)
        caption = f"frame {moment.n_frames}, {moment.n_segments} segments"
        _write(canvas, caption, 2 * GAP + 2 * height + CAPTION - 9, left, width)
    return canvas


def _panel(picture: Tensor, heights: tuple[int, int]) -> tuple[int, int]:
    height, width = picture.shape[1:]
    tall = min(max(height, heights[0]), heights[1])
    return tall, max(round(width * tall / height), 1)


def _canvas(height: int, width: int) -> Array:
    return np.full((height + height % 2, width + width % 2, 3), _BACKGROUND, np.uint8)


def _paste(canvas: Array, picture: Tensor | None, top: int, left: int, height: int, width: int) -> None:
    """Scale an RGB picture into a panel; enlarged, its pixels stay visible."""
    panel = canvas[top : top + height, left : left + width]
    if picture is None:
        panel[:] = _EMPTY
        return
    bgr = np.ascontiguousarray(picture.numpy()[::-1].transpose(1, 2, 0))
    smaller = height < bgr.shape[0]
    panel[:] = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_NEAREST)


def _write(canvas: Array, text: str, base: int, left: int, width: int) -> None:
    """Write one line, smaller where the panel is narrow."""
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.5
    size *= min(1.0, width / cv2.getTextSize(text, font, size, 1)[0][0])
    cv2.putText(canvas, text, (left, base), font, size, _TEXT, 1, cv2.LINE_AA)
