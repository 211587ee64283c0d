"""Table 2: what SSD makes of frames and of optical flow, ``python -m repro.table2``."""

from repro.data.encoding import InputKind
from repro.suite.figures import inputs_plot
from repro.suite.spec import DATASET_LABELS, STILLS, Column, Row, Table

INPUTS: dict[str, InputKind] = {"RGB": "RGB", "OF": "OF", "SSD (RGB)": "SSD(RGB)", "SSD (OF)": "SSD(OF)"}

OURS: dict[str, InputKind] = {"Dynamic image (RGB)": "DI(RGB)"}
"""The best-known other way to make one image of a video: approximate rank pooling (Bilen et al. 2016)."""


def _row(label: str, kind: InputKind) -> Row:
    return Row(label, (label,), "", pretext=(STILLS,), input=kind, published=label in INPUTS, repeat=2)


TABLE = Table(
    name="table2",
    title="Table 2. What a clip is shown as (AUC in percent; pretext on VGGFace2)",
    caption="Accuracy of the proposed method on frames, optical flow, and the distillation of either.",
    lead=("Data type",),
    rows=tuple(_row(label, kind) for label, kind in (INPUTS | OURS).items()),
    columns=(
        *(Column(name, "auc_ovr", target=target) for target, name in DATASET_LABELS.items()),
        *(
            Column(f"{name}, pain AUC", "auc_binary", target=target, published=False)
            for target, name in DATASET_LABELS.items()
        ),
    ),
    protocol="leave_one_subject_out",
    plot=inputs_plot,
)

if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
