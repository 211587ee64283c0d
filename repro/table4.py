"""Table 4: the self-supervised method across datasets, ``python -m repro.table4``."""

from repro.suite.figures import share_plot
from repro.suite.spec import DATASET_LABELS, Check, Column, Row, Share, Table

PAIN = "Pain AUC"


def _published() -> list[Row]:
    rows = []
    for shares in ((None,), (0.1, 0.3, 0.5)):
        for source, target in (("biovid", "unbc"), ("unbc", "biovid")):
            for share in shares:
                pretext = (Share(source), *([] if share is None else [Share(target, share)]))
                data = " + ".join(part.label for part in pretext)
                lead = (data, DATASET_LABELS[target])
                rows.append(Row(" → ".join(lead), lead, target, pretext=pretext))
    return rows


def _references() -> list[Row]:
    rows = []
    for target, name in DATASET_LABELS.items():
        for label, method, more in (
            ("no pretext", "scratch", {}),
            ("no pretext, shuffled labels", "scratch", {"shuffled": True, "repeat": 2}),
            ("mean predictor", "mean", {}),
            ("true PSPI only", "pspi", {"simulated_only": True}),
        ):
            lead = (label, name)
            rows.append(Row(" → ".join(lead), lead, target, method, published=False, **more))
    return rows


TABLE = Table(
    name="table4",
    title="Table 4. Self-supervised learning across datasets (AUC in percent, SSD images)",
    caption="Accuracy of the self-supervised method in the cross-dataset setting.",
    lead=("Pretext data", "Downstream data"),
    rows=(*_published(), *_references()),
    columns=(Column("AUC", "auc_ovr"), Column(PAIN, "auc_binary", published=False)),
    protocol="grouped_k_fold",
    plot=share_plot,
    checks=(
        Check("pain is learned", "no pretext → UNBC-McMaster", PAIN, lambda v, low, high: v >= 75 and low > 50),
        Check(
            "shuffled labels are at chance",
            "no pretext, shuffled labels → UNBC-McMaster",
            PAIN,
            lambda v, low, high: abs(v - 50) <= 10,
        ),
    ),
)

if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
