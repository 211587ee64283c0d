"""Figure 3: accuracy against the length of segments and the size of neighbourhoods, ``python -m repro.figure3``."""

from typing import Any

from repro.suite.figures import sweep_plot
from repro.suite.spec import STILLS, Column, Row, Table

LENGTHS = (5, 10, 20, 30, 40, 60)
"""Frames of a segment."""

WINDOWS = (3, 5, 7, 9, 11)
"""Side of a neighbourhood in pixels."""

CLIP = (("length", 2 * max(LENGTHS)), ("stride", max(LENGTHS)))
"""Clips that have two segments even of the greatest length; all lengths are compared on the same ones."""


def _row(label: str, lead: tuple[str, str], **encoding: Any) -> Row:
    return Row(
        label,
        lead,
        "unbc",
        pretext=(STILLS,),
        repeat=2,
        published=False,
        encoding=tuple(encoding.items()),
        clips=CLIP,
    )


TABLE = Table(
    name="figure3",
    title="Figure 3. Segment length and neighbourhood of SSD (AUC in percent, UNBC-McMaster; pretext on VGGFace2)",
    caption="Accuracy of the proposed method by the length of segments and the spatial size of neighbourhoods.",
    lead=("Frames a segment", "Neighbourhood"),
    rows=(
        *(_row(f"segment length {n}", (str(n), "5 x 5"), segment_length=n) for n in LENGTHS),
        *(_row(f"window {n}", ("20", f"{n} x {n}"), segment_length=20, window=n) for n in WINDOWS),
    ),
    columns=(
        Column("AUC", "auc_ovr", published=False),
        Column("Pain AUC", "auc_binary", published=False),
    ),
    protocol="leave_one_subject_out",
    plot=sweep_plot,
)

if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
