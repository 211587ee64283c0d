"""Figures as files, in the journal's style."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["STYLE", "SUFFIXES", "render"]

STYLE = Path(__file__).with_name("style.mplstyle")
SUFFIXES = (".pdf", ".png", ".csv")


def render(plot: Callable[[Any], Figure], shown: Any, frame: pd.DataFrame) -> dict[str, bytes]:
    """Draw a figure.

    Parameters
    ----------
    plot : callable
        From `shown` to a figure.
    shown : object
        The frame, where the plot needs nothing else.
    frame : DataFrame
        The numbers behind the figure.

    Returns
    -------
    dict
        Suffix, one of `SUFFIXES` -> contents of the file; equal data gives equal bytes.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    files = {}
    with pyplot.style.context(str(STYLE)):
        figure = plot(shown)
        figure.set_dpi(pyplot.rcParams["savefig.dpi"])  # at another resolution, letters have other widths
        figure.draw_without_rendering()  # laid out once: both files then show the same, and drawing takes half as long
        figure.set_layout_engine("none")
        for suffix, metadata in ((".pdf", {"CreationDate": None}), (".png", {"Software": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix[1:], metadata=metadata)
            files[suffix] = buffer.getvalue()
        pyplot.close(figure)
    return {**files, ".csv": frame.to_csv(index=False, lineterminator="\n").encode()}
