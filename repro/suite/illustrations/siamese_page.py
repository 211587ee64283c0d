"""The page of Figure 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from repro.learning.pretext import BackboneSpec
from repro.suite.illustrations.hulls import FIDELITY, Pair
from repro.suite.illustrations.page import FIRST, MUTED, SECOND, Page
from repro.suite.illustrations.siamese import Batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["batch_plot"]

_WIDTH, _TOP, _BLOCK, _TITLE, _BOTTOM, _MARGIN = 190.0, 7.5, 52.0, 5.0, 7.0, 2.0
"""Millimetres: of the page; above, of and between pairs, of their titles, below; at the sides."""

_IMAGES, _SIDE, _BRANCH = 29.0, 14.0, 23.0
"""Millimetres: of a half's images together; the height of a half; from one half to the other."""

_NUMBERED = 2
"""Samples of a half whose bars have room for their values."""

_HALVES = ((FIRST, "-", "o", ""), (SECOND, (0, (4, 1.5)), "s", "////"))
"""Colour, line, marker and hatching of each half, so that they are told apart in grey."""

_NAMES = {
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "vgg16": "VGG16",
    "inception_v1": "Inception-V1",
}


def batch_plot(batch: Batch) -> Figure:
    """Draw a block for each pair: halves, the shared network, hulls, coefficients and terms.

    Parameters
    ----------
    batch : Batch

    Returns
    -------
    Figure
        190 mm wide.
    """
    page = Page(_WIDTH, _TOP + len(batch.pairs) * _BLOCK + _BOTTOM)
    images = _MARGIN + 6
    network = images + _IMAGES + 6
    hull = network + 27 + 17
    numbers = hull + 46 + 10
    for x, words in (
        (images + _IMAGES / 2, "two halves of a batch"),
        (network + 13, "Siamese network"),
        (hull + 23, "affine hulls, Eqs. 16–17"),
        (numbers + 20, "coefficients and terms, Eqs. 18–21"),
    ):
        page.text(x, 3.2, words, weight="bold")
    for place, pair in enumerate(batch.pairs):
        top = _TOP + place * _BLOCK
        page.text(_MARGIN, top + 1.8, f"({'ab'[place]}) {pair.title}", ha="left")
        _branches(page, pair, batch, images, network, hull, top + _TITLE)
        _hulls(page.panel(hull, top + _TITLE, 46, 40), pair)
        words = f"plane with {100 * pair.plane.share:.0f} % of the samples' variance"
        page.text(hull + 23, top + _TITLE + 42.4, words, color=MUTED)
        _bars(page.panel(numbers + 4, top + _TITLE, 30, 19), pair)
        _terms(page, pair, numbers, top + _TITLE + 25.5)
    page.text(_MARGIN, page.height - 3.6, _remark(batch), ha="left", color=MUTED)
    return page.figure


def _branches(page: Page, pair: Pair, batch: Batch, images: float, network: float, hull: float, top: float) -> None:
    """Draw each half, its way through the network, and the weights that both ways share."""
    for place, (half, (colour, *_), letter) in enumerate(zip(pair.images, _HALVES, "ij", strict=True)):
        y = top + place * _BRANCH
        middle = y + _SIDE / 2
        step = (_IMAGES + 1) / len(half)
        side = min(step - 1, _SIDE)
        for column, image in enumerate(half):
            page.image(images + column * step, middle - side / 2, side, image, edge=colour, frame=1.4)
            page.text(images + column * step + side / 2, middle + side / 2 + 2, f"{column + 1}", color=colour)
        page.text(images - 3.5, middle, f"$H_{letter}$", color=colour)
        page.arrow((images + _IMAGES + 1, middle), (network - 1, middle))
        _network(page, batch.backbone, network, y)
        page.arrow((network + 27, middle), (hull - 8, middle))
        page.text(network + 31.2, middle - 2.4, f"$h_{letter}$", color=colour)
    upper, lower = top + _SIDE + 0.6, top + _BRANCH - 0.6
    page.arrow((network + 13, upper), (network + 13, lower), arrowstyle="<|-|>")
    page.text(network + 14.6, (upper + lower) / 2, "shared weights", ha="left")


def _network(page: Page, spec: BackboneSpec, x: float, y: float) -> None:
    """Draw a box that narrows as the network does."""
    page.shape((x, y), (x + 26, y + 2.5), (x + 26, y + _SIDE - 2.5), (x, y + _SIDE))
    width = "" if spec.width == 1 else f"\nwidth {spec.width:g}"
    page.text(x + 12.5, y + _SIDE / 2, _NAMES.get(spec.name, spec.name) + width)


def _hulls(axis: Axes, pair: Pair) -> None:
    """Draw both hulls, their samples and their nearest points, as the plane shows them."""
    plane = pair.plane
    shown = plane.project(torch.cat([*pair.samples, *(point[None] for point in pair.points)]))
    _frame(axis, shown)
    first, second = (plane.project(point).numpy() for point in pair.points)
    axis.plot(*zip(first, second, strict=True), color="black", marker="", linestyle="-", linewidth=1.4, zorder=4)
    halves = zip(pair.samples, (first, second), _HALVES, strict=True)
    for samples, point, (colour, line, marker, hatch) in halves:
        places = plane.project(samples)
        _hull(axis, places, colour, line, hatch)
        axis.plot(*places.T.numpy(), color=colour, marker=marker, linestyle="", markersize=4.5, zorder=3)
        for number, place in enumerate(places.tolist(), 1):
            axis.annotate(f"{number}", place, (4, 3), textcoords="offset points", color=colour, zorder=6)
        axis.plot(
            *point, color=colour, marker="*", markersize=9, markeredgecolor="black", markeredgewidth=0.5, zorder=5
        )
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=True, color="0.6", linewidth=0.4)


def _frame(axis: Axes, points: Tensor) -> None:
    """Leave room around points, with one scale for both directions."""
    low, high = points.amin(0), points.amax(0)
    centre, half = (low + high) / 2, float(((high - low) / torch.tensor([46.0, 40.0])).max()) * 0.65
    axis.set_xlim(float(centre[0]) - 46 * half, float(centre[0]) + 46 * half)
    axis.set_ylim(float(centre[1]) - 40 * half, float(centre[1]) + 40 * half)


def _hull(axis: Axes, places: Tensor, colour: str, line: object, hatch: str) -> None:
    """Draw the hull of two samples as the line that it is; a larger one fills the plane: draw its samples' own."""
    if len(places) == 2:
        axis.axline(*places.tolist(), color=colour, linestyle=line, linewidth=0.9, marker="", zorder=2)
    elif len(places) > 2:
        from scipy.spatial import ConvexHull

        corners = places[ConvexHull(places.numpy()).vertices.copy()]
        axis.fill(*corners.T.numpy(), facecolor=colour, alpha=0.2, edgecolor=colour, linestyle=line, hatch=hatch)


def _bars(axis: Axes, pair: Pair) -> None:
    """Draw alpha and beta, a bar for each sample."""
    start = 0
    for own, (colour, _, _, hatch), letter in zip(pair.coefficients, _HALVES, (r"\alpha", r"\beta"), strict=True):
        places = range(start, start + len(own))
        axis.bar(places, own.tolist(), 0.7, color=colour if not hatch else "white", edgecolor=colour, hatch=hatch)
        for number, (place, value) in enumerate(zip(places, own.tolist(), strict=True), 1):
            up = 2 if value >= 0 else -2
            if len(own) <= _NUMBERED:
                axis.annotate(
                    f"{value:.2f}", (place, value), (0, up), textcoords="offset points",
                    ha="center", va="bottom" if up > 0 else "top", fontsize=6.5,
                )  # fmt: skip
            axis.text(place, -0.03, f"${letter}_{number}$", transform=axis.get_xaxis_transform(), ha="center", va="top")
        start += len(own) + 1
    axis.axhline(0, color="black", linewidth=0.6, linestyle="-", marker="")
    axis.margins(y=0.22)
    axis.set_xticks([])
    axis.spines["bottom"].set_visible(False)
    axis.locator_params(axis="y", nbins=4)


def _terms(page: Page, pair: Pair, x: float, top: float) -> None:
    """Write the terms of Eq. 21 as a sum."""
    terms = pair.terms
    lines = (
        ("$F$ (Eq. 18)", terms["F"]),
        (r"$\lambda_1 G$ (Eq. 19)", FIDELITY * terms["G"]),
        (r"$\lambda_1 Q$ (Eq. 20)", FIDELITY * terms["Q"]),
        (r"$\lambda_2|\alpha|_1 + \lambda_3|\beta|_1$", terms["lambda_2 |alpha|"] + terms["lambda_3 |beta|"]),
        ("$d$ (Eq. 21)", terms["d"]),
    )
    for place, (name, value) in enumerate(lines):
        last = place == len(lines) - 1
        y = top + place * 3.9 + (0.8 if last else 0)
        page.text(x, y, name, ha="left", weight="bold" if last else "normal")
        page.text(x + 40, y, f"{value:.5f}", ha="right", weight="bold" if last else "normal")
    page.line((x, top + 3.5 * 3.9 + 0.2), (x + 40, top + 3.5 * 3.9 + 0.2))


def _remark(batch: Batch) -> str:
    words = "simulated data, " if batch.data == "simulated" else ""
    size = batch.pairs[0].samples[0].shape[1]
    return (
        f"{words}{batch.dataset}: SSD images of subjects held out, augmented as in training; network: {batch.trained}\n"
        f"$h$: its {size} features below the last layer, L2-normalised; "
        "stars: the points $\\mu + U v$ of the hulls that Eq. 21 finds"
    )
