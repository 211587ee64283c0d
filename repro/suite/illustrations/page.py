"""A page for pictures: panels, arrows and words placed in millimetres from its top left corner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["FIRST", "MUTED", "SECOND", "Page", "picture"]

FIRST, SECOND, MUTED = "#0072B2", "#D55E00", "0.35"
"""Colours of the one and the other half, told apart without red and green and in grey, and of remarks."""

_INCH = 25.4


class Page:
    """A figure of a fixed size.

    Parameters
    ----------
    width, height : float
        In millimetres; journals print 90, 140 or 190 wide.

    Attributes
    ----------
    figure : Figure
    """

    def __init__(self, width: float, height: float) -> None:
        from matplotlib import pyplot

        self.width, self.height = width, height
        self.figure: Figure = pyplot.figure(figsize=(width / _INCH, height / _INCH))
        # With layout="none" saving would start the engine of the style after all.
        self.figure.set_layout_engine("none")
        self._ground = self.figure.add_axes((0.0, 0.0, 1.0, 1.0), zorder=-1)
        self._ground.set(xlim=(0, width), ylim=(height, 0))
        self._ground.set_axis_off()

    def panel(self, x: float, y: float, width: float, height: float) -> Axes:
        """Add axes whose frame has this corner and size."""
        return self.figure.add_axes(
            (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        )

    def image(self, x: float, y: float, side: float, values: Tensor, **style: Any) -> AxesImage:
        """Show a picture (3, H, W) uint8, or a map (H, W) in the style's colours and limits, as a square.

        ``edge`` and ``dashes`` are those of its frame.
        """
        edge, dashes, width = style.pop("edge", "black"), style.pop("dashes", "-"), style.pop("frame", 0.4)
        axis = self.panel(x, y, side, side)
        axis.set(xticks=[], yticks=[])
        for spine in axis.spines.values():
            spine.set(visible=True, color=edge, linestyle=dashes, linewidth=width)
        return axis.imshow(picture(values), aspect="auto", interpolation="bilinear", **style)

    def empty(self, x: float, y: float, side: float, reason: str) -> Axes:
        """Leave a square empty and say why."""
        axis = self.panel(x, y, side, side)
        axis.set(xticks=[], yticks=[])
        for spine in axis.spines.values():
            spine.set(visible=True, color="0.6", linestyle=(0, (3, 3)), linewidth=0.5)
        axis.text(0.5, 0.5, reason, transform=axis.transAxes, ha="center", va="center", color=MUTED)
        return axis

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        """Write, centred on the point unless told otherwise."""
        self._ground.text(x, y, words, **{"ha": "center", "va": "center", **style})

    def arrow(self, start: tuple[float, float], end: tuple[float, float], **style: Any) -> None:
        """Draw a small arrow."""
        usual = {"arrowstyle": "-|>", "mutation_scale": 4, "lw": 0.6, "color": "0.25", "shrinkA": 0, "shrinkB": 0}
        self._ground.annotate("", end, start, arrowprops={**usual, **style})

    def line(self, *points: tuple[float, float], **style: Any) -> None:
        """Draw a line through points."""
        usual = {"color": "0.25", "linewidth": 0.6, "linestyle": "-", "marker": ""}
        self._ground.plot(*zip(*points, strict=True), **{**usual, **style})

    def shape(self, *corners: tuple[float, float], **style: Any) -> None:
        """Fill a polygon."""
        usual = {"facecolor": "0.93", "edgecolor": "0.25", "linewidth": 0.6, "linestyle": "-"}
        self._ground.fill(*zip(*corners, strict=True), **{**usual, **style})

    def scale(self, x: float, y: float, width: float, shown: AxesImage, label: str) -> None:
        """Add a horizontal colour scale, 1.8 mm high, with its ends and its middle."""
        bar = self.figure.colorbar(shown, cax=self.panel(x, y, width, 1.8), orientation="horizontal")
        bar.outline.set_linewidth(0.4)
        bar.ax.tick_params(length=1.5, pad=1.2)
        norm = bar.norm
        ends = [float(norm.inverse(share)) for share in (0.0, 0.5, 1.0)]
        bar.set_ticks(ends, labels=[f"{end:.0f}" if ends[-1] >= 10 or end == 0 else f"{end:.1f}" for end in ends])
        bar.minorticks_off()
        bar.set_label(label, labelpad=1.0)


def picture(values: Tensor) -> NDArray[Any]:
    """Turn a picture (3, H, W) or a map (H, W) into what is drawn: (H, W, 3) or (H, W)."""
    array: NDArray[Any] = np.asarray(values)
    return array.transpose(1, 2, 0) if array.ndim == 3 else array
