"""Table 6: twelve methods on UNBC-McMaster, on frames and on SSD images, ``python -m repro.table6``."""

from repro.comparison import rows
from repro.data.encoding import InputKind
from repro.suite.figures import grid_plot
from repro.suite.spec import Column, Table

INPUTS: tuple[InputKind, ...] = ("RGB", "SSD(RGB)")

TABLE = Table(
    name="table6",
    title="Table 6. Methods on UNBC-McMaster (MSE and PCC; pretext on VGGFace2)",
    caption="Supervised and self-supervised methods on frames and on SSD images.",
    lead=("", "Method"),
    rows=rows("table6", "unbc"),
    columns=(
        *(Column(f"{kind} {name}", name.lower(), kind) for kind in INPUTS for name in ("MSE", "PCC")),
        *(Column(f"{kind} pain AUC", "auc_binary", kind, published=False) for kind in INPUTS),
    ),
    protocol="leave_one_subject_out",
    plot=grid_plot,
)

if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
