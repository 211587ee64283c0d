"""Table 7: twelve methods on BioVid, on frames and on SSD images, ``python -m repro.table7``."""

from repro.comparison import rows
from repro.data.encoding import InputKind
from repro.suite.figures import grid_plot
from repro.suite.spec import Column, Table

INPUTS: tuple[InputKind, ...] = ("RGB", "SSD(RGB)")

TABLE = Table(
    name="table7",
    title="Table 7. Methods on BioVid (AUC in percent; pretext on VGGFace2)",
    caption="Supervised and self-supervised methods on frames and on SSD images.",
    lead=("", "Method"),
    rows=rows("table7", "biovid"),
    columns=(
        *(Column(f"{kind} AUC", "auc_ovr", kind) for kind in INPUTS),
        *(Column(f"{kind} pain AUC", "auc_binary", kind, published=False) for kind in INPUTS),
    ),
    protocol="leave_one_subject_out",
    plot=grid_plot,
)

if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
