"""Figure 4: SSD images against the length of a segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from repro.data.encoding import InputSpec
from repro.ssd import distill
from repro.suite.illustrations.illustration import Drawing, Steps
from repro.suite.illustrations.page import MUTED, Page
from repro.suite.illustrations.videos import Example, examples

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["LENGTHS", "Distilled", "distilled", "draw_lengths", "gather_lengths", "lengths_frame", "lengths_plot"]

LENGTHS = (5, 10, 20, 30, 40, 50, 60)
"""Frames in a segment; Figure 3 measures the same range."""

_REFERENCE = 20
"""The paper's choice, which the other images are compared with."""

_WIDTH, _MARGIN, _GAP, _ROW, _HEAD, _NAME = 190.0, 1.5, 1.2, 8.6, 5.0, 7.0
"""Millimetres: of the page; around and between pictures; of the words below a picture, above the first, and beside."""


@dataclass(frozen=True, eq=False)
class Distilled:
    """One video's image of one length.

    Parameters
    ----------
    length : int
        l, in frames.
    n_maps : int
        Feature maps that the image is made of; 0 where the video is too short.
    image : Tensor, (3, size, size) uint8, or None
    reason : str
        Why there is no image.
    """

    length: int
    n_maps: int
    image: Tensor | None
    reason: str = ""


def gather_lengths(steps: Steps) -> tuple[list[Example], InputSpec]:
    """Find the videos: one of each dataset, long enough for every length where there is such a one."""
    return examples(("unbc", "biovid"), steps, frames=2 * max(LENGTHS)), steps.scale.input


def draw_lengths(found: tuple[list[Example], InputSpec]) -> Drawing:
    """Distil each video with each length."""
    videos, spec = found
    rows = [(video, distilled(video.faces, spec)) for video in videos]
    return Drawing(lengths_plot, rows, lengths_frame(rows))


def distilled(faces: Tensor, spec: InputSpec, lengths: Sequence[int] = LENGTHS) -> list[Distilled]:
    """Distil one video with segments of each length, everything else as `spec` has it.

    Parameters
    ----------
    faces : Tensor, (T, 3, size, size) uint8
    spec : InputSpec
    lengths : sequence of int
    """
    return [_one(faces, spec, length) for length in lengths]


def _one(faces: Tensor, spec: InputSpec, length: int) -> Distilled:
    if len(faces) < 2 * length:
        return Distilled(length, 0, None, f"needs {2 * length} frames, has {len(faces)}")
    image = distill(
        faces,
        segment_length=length,
        window=spec.window,
        depth=spec.depth,
        noise_variance=spec.noise_variance,
        center=spec.center,
        domain=spec.domain,
        normalize=spec.normalize,
    )
    return Distilled(length, len(faces) // length - 1, image)


def lengths_frame(rows: Sequence[tuple[Example, Sequence[Distilled]]]) -> pd.DataFrame:
    """Describe each image: a row for each video and length.

    Returns
    -------
    DataFrame
        ``maps``: the number of feature maps; ``mean`` and ``sd`` (ddof 0): over all points and channels, in grey
        levels; ``correlation``: Pearson's, over all points and channels, with the video's own image of l = 20; NaN
        where a video is too short, which ``reason`` tells.
    """
    import pandas as pd

    made = []
    for video, images in rows:
        reference = next((one.image for one in images if one.length == _REFERENCE), None)
        made += [
            {
                "video": video.video,
                "label": video.label,
                "frames": len(video.faces),
                "size": video.faces.shape[-1],
                "face": video.method,
                "segment_length": one.length,
                "maps": one.n_maps,
                **_measures(one.image, reference),
                "reason": one.reason,
                "data": video.data,
            }
            for one in images
        ]
    return pd.DataFrame(made)


def _measures(image: Tensor | None, reference: Tensor | None) -> dict[str, float]:
    if image is None:
        return dict.fromkeys(("mean", "sd", "correlation"), float("nan"))
    values = image.double().numpy()
    return {"mean": values.mean(), "sd": values.std(), "correlation": _correlation(image, reference)}


def _correlation(image: Tensor, reference: Tensor | None) -> float:
    """Pearson's correlation of two images; NaN where one is missing or without contrast."""
    if reference is None or min(image.double().std(), reference.double().std()) == 0:
        return float("nan")
    return float(np.corrcoef(image.flatten().numpy(), reference.flatten().numpy())[0, 1])


def lengths_plot(rows: Sequence[tuple[Example, Sequence[Distilled]]]) -> Figure:
    """Draw a line of the page for each video: one of its frames, then its image of each length.

    Parameters
    ----------
    rows : sequence of (Example, sequence of Distilled)
        All of the same lengths.

    Returns
    -------
    Figure
        190 mm wide. Below each image stand its number of maps and its correlation with that of l = 20.
    """
    lengths = [one.length for one in rows[0][1]]
    side = (_WIDTH - _MARGIN * 2 - _NAME - _GAP * (len(lengths) + 1)) / (len(lengths) + 1)
    page = Page(_WIDTH, _HEAD + len(rows) * (side + _ROW) + 3.5)
    left = [_MARGIN + _NAME + (side + _GAP) * place + (_GAP if place else 0) for place in range(len(lengths) + 1)]
    for x, name in zip(left, ["one frame", *(f"$l$ = {length}" for length in lengths)], strict=True):
        chosen = name == f"$l$ = {_REFERENCE}"
        page.text(x + side / 2, _HEAD / 2, name + (" (paper)" if chosen else ""), weight="bold" if chosen else "normal")
    for row, (video, images) in enumerate(rows):
        top = _HEAD + row * (side + _ROW)
        page.text(_MARGIN + 2.6, top + side / 2, fill(video.label, 18), rotation=90, linespacing=1.1)
        page.image(left[0], top, side, video.faces[video.shown])
        page.text(left[0] + side / 2, top + side + 1.9, f"{video.shown + 1} of {len(video.faces)}")
        for x, one in zip(left[1:], images, strict=True):
            _draw(page, x, top, side, one, _reference(images))
    page.text(_WIDTH / 2, page.height - 2.2, _remark(rows), color=MUTED)
    return page.figure


def _reference(images: Sequence[Distilled]) -> Tensor | None:
    return next((one.image for one in images if one.length == _REFERENCE), None)


def _draw(page: Page, x: float, top: float, side: float, one: Distilled, reference: Tensor | None) -> None:
    if one.image is None:
        page.empty(x, top, side, fill(one.reason, 13))
        return
    page.image(x, top, side, one.image)
    page.text(x + side / 2, top + side + 1.9, f"{one.n_maps} map{'s' if one.n_maps > 1 else ''}")
    agreement = _correlation(one.image, reference)
    if one.length == _REFERENCE or not np.isnan(agreement):
        words = "reference" if one.length == _REFERENCE else f"$r$ = {agreement:.2f}"
        page.text(x + side / 2, top + side + 4.9, words)


def _remark(rows: Sequence[tuple[Example, Sequence[Distilled]]]) -> str:
    words = f"$r$: correlation with the same video's image of $l$ = {_REFERENCE}, over all points and channels"
    return ("simulated data; " if any(video.data == "simulated" for video, _ in rows) else "") + words
