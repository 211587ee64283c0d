"""Head motion against face alignment on simulated faces, ``python -m repro.head_motion``; not in the paper."""

from repro.suite.figures import motion_plot
from repro.suite.spec import Column, Row, Table

MOTIONS: dict[float, tuple[str, ...]] = {
    0.0: ("smoke", "quick", "paper"),
    0.4: ("smoke", "quick", "paper"),
    0.8: ("paper",),
    1.6: ("smoke", "quick", "paper"),
}
"""`Domain.head_motion` and the scales at which there is so much: 1 is a yaw of about 3 degrees; 0.4 is what the
simulated UNBC-McMaster has."""

FACES = {"aligned": "align", "following crop": "crop", "fixed crop": "fixed"}
"""How faces are brought to one frame: labels, and modes of `repro.data.faces.prepare`."""


def _rows() -> tuple[Row, ...]:
    return tuple(
        Row(
            f"head motion {motion:g}, {faces}",
            (f"{motion:g}", faces),
            "unbc",
            "scratch",
            published=False,
            simulated_only=True,
            repeat=2,
            domain=(("head_motion", motion),),
            encoding=(("alignment", mode), ("frames", 1)),
            scales=scales,
        )
        for motion, scales in MOTIONS.items()
        for faces, mode in FACES.items()
    )


TABLE = Table(
    name="head_motion",
    title="Head motion and alignment, not in the paper (pain AUC in percent, simulated UNBC-McMaster, from scratch)",
    caption="How the accuracy from one frame and from SSD images depends on head motion and on face alignment.",
    lead=("Head motion", "Faces"),
    rows=_rows(),
    columns=tuple(Column(kind, "auc_binary", kind, published=False) for kind in ("RGB", "SSD(RGB)")),
    protocol="grouped_k_fold",
    plot=motion_plot,
)

if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
