"""The eleven supervised systems side by side, ``python -m repro.baselines``: both datasets, RGB and SSD.

The paper's Tables 6 and 7 quote each on one dataset; here all run on both, by the same folds of subjects.
"""

from baselines import METHODS
from repro.data.encoding import InputKind
from repro.suite.figures import systems_plot
from repro.suite.spec import DATASET_LABELS, Check, Column, Row, Table

INPUTS: tuple[InputKind, ...] = ("RGB", "SSD(RGB)")

SYSTEMS = {method.label: method for method in METHODS.values() if method.kind == "supervised"}

REFERENCES = {"network without a pretext": "scratch", "mean predictor": "mean"}

TABLES = {"table6": "unbc", "table7": "biovid"}
"""Tables of the paper and the datasets that they are about."""


def label(name: str, target: str) -> str:
    """Return the label of the row of a system on a dataset."""
    return f"{name}, {DATASET_LABELS[target]}"


def _rows() -> tuple[Row, ...]:
    rows = []
    methods = {name: method.name for name, method in SYSTEMS.items()} | REFERENCES
    for target, dataset in DATASET_LABELS.items():
        for name, method in methods.items():
            tables = METHODS[method].tables if method in METHODS else ()
            quoted = [f"Table {table[-1]}" for table in tables if TABLES.get(table) == target]
            lead = (name, dataset, *(quoted or ["–"]))
            rows.append(Row(label(name, target), lead, target, method, published=False))
    return tuple(rows)


METRICS = (("pain AUC", "auc_binary"), ("AUC", "auc_ovr"), ("MSE", "mse"), ("PCC", "pcc"))

TABLE = Table(
    name="baselines",
    title="Supervised systems on both datasets, not in the paper in this form",
    caption="Supervised systems on frames and on the SSD maps of segments, and what they must beat. FAD set "
    "standardises by all clips of a subject, test subjects' unlabelled ones included; no other does.",
    lead=("Method", "Data", "quoted in"),
    rows=_rows(),
    columns=tuple(
        Column(f"{kind} {name}", metric, kind, published=False) for kind in INPUTS for name, metric in METRICS
    ),
    protocol="grouped_k_fold",
    plot=systems_plot,
    checks=tuple(
        Check(
            f"{name} beats the mean predictor on RGB frames of {dataset}",
            label(name, target),
            "RGB pain AUC",
            lambda value, low, high: low > 50,
        )
        for target, dataset in DATASET_LABELS.items()
        for name in SYSTEMS
    ),
)

if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
