"""Figures as files, in the journal's style."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["render"]


def render(plot: Callable[[pd.DataFrame], Figure], frame: pd.DataFrame) -> dict[str, bytes]:
    """Draw a frame.

    Parameters
    ----------
    plot : callable
        From the frame to a figure.
    frame : DataFrame

    Returns
    -------
    dict
        Suffix (".pdf", ".png", ".csv") -> contents of the file; equal frames give equal bytes.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    files = {}
    with pyplot.style.context(str(Path(__file__).with_name("style.mplstyle"))):
        figure = plot(frame)
        figure.set_dpi(pyplot.rcParams["savefig.dpi"])  # at another resolution, letters have other widths
        figure.draw_without_rendering()  # laid out once: both files then show the same, and drawing takes half as long
        figure.set_layout_engine("none")
        for suffix, metadata in ((".pdf", {"CreationDate": None}), (".png", {"Software": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix[1:], metadata=metadata)
            files[suffix] = buffer.getvalue()
        pyplot.close(figure)
    return {**files, ".csv": frame.to_csv(index=False, lineterminator="\n").encode()}
