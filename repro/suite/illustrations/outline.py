"""Figure 1: the outline of SSD, each step with what it computes of a real video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from repro.data.encoding import InputSpec
from repro.ssd import distill, feature_maps, information_weights
from repro.suite.illustrations.illustration import Drawing, Steps
from repro.suite.illustrations.page import MUTED, Page
from repro.suite.illustrations.videos import Example, examples

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["MOST_SEGMENTS", "Outline", "draw_outline", "gather_outline", "outline", "outline_frame", "outline_plot"]

MOST_SEGMENTS = 6
"""Segments that a page has room for; a longer video is cut around its peak."""


@dataclass(frozen=True, eq=False)
class Outline:
    """What each step makes of a video of S segments of l frames.

    Parameters
    ----------
    example : Example
    start : int
        Frame that the first segment begins with.
    segments : Tensor, (S, l, 3, H, W) uint8
    weights : Tensor, (S - 1, l, 3, H, W)
        w_{j,i} of Eq. 11 of each two consecutive segments, in nats.
    maps : Tensor, (S - 1, 3, H, W)
        e_s: Eq. 6 as the method aggregates it (decision D5), in grey levels.
    shares : Tensor, (S - 1, 3, H, W)
        b_s = exp(e_s) / sum_s exp(e_s), at each point.
    image : Tensor, (3, H, W) uint8
        sum_s b_s e_s, brought to 0..255 (decision D7), as `repro.ssd.distill` returns it.
    """

    example: Example
    start: int
    segments: Tensor
    weights: Tensor
    maps: Tensor
    shares: Tensor
    image: Tensor

    @property
    def length(self) -> int:
        """Frames of a segment, l."""
        return self.segments.shape[1]

    @property
    def shown(self) -> tuple[int, ...]:
        """Frames of a segment that are drawn: its first, its middle, its last."""
        return tuple(dict.fromkeys((0, self.length // 2, self.length - 1)))


def gather_outline(steps: Steps) -> tuple[Example, InputSpec]:
    """Find the video: one of BioVid, unless only UNBC-McMaster or a file was given."""
    options = steps.options
    names = ("unbc",) if options.biovid is None and options.unbc is not None else ("biovid",)
    (example,) = examples(names, steps, frames=MOST_SEGMENTS * steps.scale.input.segment_length)
    return example, steps.scale.input


def draw_outline(found: tuple[Example, InputSpec]) -> Drawing:
    """Compute every step and lay it out."""
    steps = outline(*found)
    return Drawing(outline_plot, steps, outline_frame(steps))


def outline(example: Example, spec: InputSpec) -> Outline:
    """Distil a video step by step.

    Raises
    ------
    ValueError
        If it has fewer frames than two segments.
    """
    length = spec.segment_length
    count = min(MOST_SEGMENTS, len(example.faces) // length)
    if count < 2:
        raise ValueError(
            f"{example.video}: {len(example.faces)} frames make {count} segments of {length}; give a video of "
            f"{2 * length} frames or more"
        )
    start = min(max(0, example.peak - count * length // 2), len(example.faces) - count * length)
    frames = example.faces[start : start + count * length]
    setting: dict[str, Any] = {
        "window": spec.window,
        "depth": spec.depth,
        "noise_variance": spec.noise_variance,
        "center": spec.center,
    }
    segments = frames.unflatten(0, (count, length))
    logarithms = feature_maps(frames, segment_length=length, **setting)
    maps = torch.exp(0.5 * logarithms.double())
    return Outline(
        example,
        start,
        segments,
        torch.stack([information_weights(x, y, **setting) for x, y in zip(segments, segments[1:], strict=False)]),
        maps,
        maps.softmax(0),
        distill(frames, segment_length=length, domain="rms", normalize=spec.normalize, **setting),
    )


def outline_frame(steps: Outline) -> pd.DataFrame:
    """Describe each panel: a row for each map of the page.

    Returns
    -------
    DataFrame
        ``segment`` and ``frame`` are 1-based, a pair is named by its first segment; ``minimum``, ``mean``, ``maximum``
        and ``sd`` (ddof 0) are over all points and channels, in ``unit``.
    """
    import pandas as pd

    rows = []
    for panel in _panels(steps):
        values = panel.values.double()
        rows.append(
            {
                "video": steps.example.video,
                **panel._asdict(),
                "minimum": float(values.min()),
                "mean": float(values.mean()),
                "maximum": float(values.max()),
                "sd": float(values.std(correction=0)),
                "data": steps.example.data,
            }
        )
    return pd.DataFrame(rows).drop(columns="values")


class _Panel(NamedTuple):
    """One picture of the page."""

    panel: str
    equation: str
    segment: int | None
    frame: int | None
    unit: str
    values: Tensor


def _panels(steps: Outline) -> Iterator[_Panel]:
    for place, segment in enumerate(steps.segments):
        for j in steps.shown:
            number = steps.start + place * steps.length + j + 1
            yield _Panel("frame", "", place + 1, number, "grey levels", segment[j])
    for pair in range(len(steps.maps)):
        for j in steps.shown:
            yield _Panel("weight", "11", pair + 1, j + 1, "nats", steps.weights[pair, j])
        yield _Panel("map", "6", pair + 1, None, "grey levels", steps.maps[pair])
        yield _Panel("share", "b_s", pair + 1, None, "1", steps.shares[pair])
    yield _Panel("image", "sum of b_s e_s", None, None, "grey levels", steps.image)


# --------------------------------------------------------------------------------------------------------- the page

_WIDTH, _TOP, _BOTTOM, _SIDE, _PITCH, _NEXT = 190.0, 12.5, 13.5, 11.6, 13.0, 12.2
"""Millimetres: of the page; above and below the pictures; of a picture; from row to row and from frame to frame."""

_VIDEO, _SEGMENTS, _WEIGHTS, _MAPS, _SHARES, _IMAGE, _LARGE = 2.0, 32.0, 78.0, 121.5, 140.0, 159.5, 29.0
"""Millimetres: where each column begins; side of the final image."""


def outline_plot(steps: Outline) -> Figure:
    """Draw the steps from left to right: video, segments, weights, maps, their softmax, image.

    Parameters
    ----------
    steps : Outline

    Returns
    -------
    Figure
        190 mm wide. Maps are shown as the mean of their three channels; each column has one colour scale.
    """
    page = Page(_WIDTH, _TOP + _PITCH * len(steps.segments) + _BOTTOM)
    middle = _TOP + (_PITCH * len(steps.segments) - (_PITCH - _SIDE)) / 2
    _headings(page, steps)
    _video(page, steps, middle)
    for place, segment in enumerate(steps.segments):
        _segment(page, steps, segment, place)
    _columns(page, steps)
    for pair in range(len(steps.maps)):
        _connect(page, pair, middle)
    page.image(_IMAGE, middle - _LARGE / 2, _LARGE, steps.image)
    page.text(_IMAGE + _LARGE / 2, middle + _LARGE / 2 + 3, "min-max to 0…255", color=MUTED)
    words = "simulated data" if steps.example.data == "simulated" else ""
    last = steps.start + len(steps.segments) * steps.length
    whole = last - steps.start == len(steps.example.faces)
    cut = "" if whole else f"of the video, frames {steps.start + 1} to {last} are distilled"
    remark = "; ".join(filter(None, [words, cut, "maps are means over the three channels"]))
    page.text(_VIDEO, page.height - 2.5, remark, ha="left", color=MUTED)
    return page.figure


def _headings(page: Page, steps: Outline) -> None:
    count = len(steps.segments)
    three = 2 * _NEXT + _SIDE
    for x, title, detail in (
        (_VIDEO + 9.5, "video", f"{len(steps.example.faces)} frames"),
        (_SEGMENTS + three / 2, f"$S$ = {count} segments", f"of $l$ = {steps.length} frames"),
        (_WEIGHTS + three / 2, "weights $w_{j,i}$, Eq. 11", "of each two consecutive segments"),
        (_MAPS + _SIDE / 2, "maps $e_s$", "Eq. 6"),
        (_SHARES + _SIDE / 2, "softmax $b_s$", "of $e_s$ over $s$"),
        (_IMAGE + _LARGE / 2, "SSD image", r"$\sum_s\, b_s\, e_s$"),
    ):
        page.text(x, 3.2, title, weight="bold")
        page.text(x, 7.6, detail)


def _video(page: Page, steps: Outline, middle: float) -> None:
    """Draw some frames as a stack, the first in front."""
    side, step, count = 14.0, 1.4, 4
    numbers = np.linspace(0, len(steps.example.faces) - 1, count).round().astype(int)
    for back in reversed(range(count)):
        x, y = _VIDEO + back * step, middle - side / 2 + (count / 2 - 0.5 - back) * step
        page.image(x, y, side, steps.example.faces[numbers[back]])
    right = _VIDEO + side + (count - 1) * step
    for place in range(len(steps.segments)):
        page.arrow((right + 0.8, middle), (_SEGMENTS - 3.6, _row(place) + _SIDE / 2))


def _segment(page: Page, steps: Outline, segment: Tensor, place: int) -> None:
    y = _row(place)
    for column, j in enumerate(steps.shown):
        page.image(_SEGMENTS + column * _NEXT, y, _SIDE, segment[j])
    first = steps.start + place * steps.length + 1
    page.text(_SEGMENTS - 1.7, y + _SIDE / 2, f"{first}–{first + steps.length - 1}", rotation=90, fontsize=6.5)


def _row(place: float) -> float:
    """Return where the row of a segment begins; that of a pair is half a row lower."""
    return _TOP + _PITCH * place


def _columns(page: Page, steps: Outline) -> None:
    """Draw the maps of all pairs, each column in one scale of colours."""
    from matplotlib.colors import Normalize, PowerNorm

    weights, maps, shares = (values.mean(-3) for values in (steps.weights, steps.maps, steps.shares))
    drawn = weights[:, list(steps.shown)]
    three = 2 * _NEXT + _SIDE
    for x, width, values, label, norm in (
        (_WEIGHTS, three, drawn, "nats", Normalize(float(drawn.min()), float(drawn.max()))),
        # Most differences are small beside those of the outline, which a linear scale would leave alone.
        (_MAPS, _SIDE, maps[:, None], "grey levels", PowerNorm(0.5, 0.0, float(maps.max()))),
        (_SHARES, _SIDE, shares[:, None], "share", Normalize(0.0, 1.0)),
    ):
        shown: AxesImage
        for pair, row in enumerate(values):
            for column, one in enumerate(row):
                shown = page.image(x + column * _NEXT, _row(pair + 0.5), _SIDE, one, norm=norm)
        page.scale(x, page.height - _BOTTOM + 1.0, width, shown, label)
    for column, j in enumerate(steps.shown):
        page.text(_WEIGHTS + column * _NEXT + _SIDE / 2, _TOP + _PITCH / 2 - 1.8, f"$j$ = {j + 1}", fontsize=6.5)


def _connect(page: Page, pair: int, middle: float) -> None:
    """Lead two segments to their weights, on to their map and its softmax, and to the image."""
    y = _row(pair + 0.5) + _SIDE / 2
    end = _SEGMENTS + 2 * _NEXT + _SIDE + 0.8
    for segment, shift in ((pair, 1.2), (pair + 1, -1.2)):
        page.arrow((end, _row(segment) + _SIDE / 2 + shift), (_WEIGHTS - 0.8, y - shift * 0.6))
    page.arrow((_WEIGHTS + 2 * _NEXT + _SIDE + 0.8, y), (_MAPS - 0.8, y))
    page.arrow((_MAPS + _SIDE + 0.8, y), (_SHARES - 0.8, y))
    target = middle + (y - middle) * 0.25
    page.arrow((_SHARES + _SIDE + 0.8, y), (_IMAGE - 0.8, target))
