"""Does a pretext save labels? ``python -m repro.label_efficiency``; the paper's motive, but not in the paper.

Networks are fine-tuned, or left frozen and probed, with few labelled clips of the training subjects: after no pretext,
and after each of the six on all videos of these subjects, without labels.
"""

from baselines import METHODS
from repro.suite.figures import efficiency_plot
from repro.suite.spec import Column, Row, Share, Table

LABELS: dict[int | None, tuple[str, ...]] = {
    6: ("smoke",),
    24: ("quick", "paper"),
    48: ("paper",),
    96: ("quick", "paper"),
    240: ("paper",),
    None: ("smoke", "quick", "paper"),
}
"""Labelled clips (None for all) and the scales at which so few are asked for."""

ARMS: dict[str, tuple[str, dict[str, str]]] = {
    "no pretext": ("scratch", {}),
    **{method.label: (name, {}) for name, method in METHODS.items() if method.kind == "self-supervised"},
    "Our method, distance of means": ("siamese", {"distance": "mean"}),
}
"""Label -> method and hyper-parameters that differ from the scale's."""

PIXELS = "the images' pixels"
"""What stands beside the probed networks: the same classifier without a network."""


def _rows() -> tuple[Row, ...]:
    rows = []
    for probed in (False, True):
        for arm, (method, options) in (ARMS | ({PIXELS: ("pixels", {})} if probed else {})).items():
            for labels, scales in LABELS.items():
                lead = (arm, "probed" if probed else "fine-tuned", "all" if labels is None else str(labels))
                reference = ", ".join(("no pretext", *lead[1:]))
                rows.append(
                    Row(
                        ", ".join(lead),
                        lead,
                        "unbc",
                        method,
                        pretext=() if method in ("scratch", "pixels") else (Share("unbc", training_subjects=True),),
                        published=False,
                        repeat=3,
                        labels=labels,
                        probed=probed,
                        task=tuple(options.items()),
                        versus="" if method == "scratch" else reference,
                        scales=scales,
                    )
                )
    return tuple(rows)


TABLE = Table(
    name="label_efficiency",
    title="Accuracy with few labelled clips, not in the paper (SSD images, UNBC-McMaster)",
    caption="Accuracy against the number of labelled clips; without a pretext the network that is probed is random.",
    lead=("Pretext", "Network", "Labelled clips"),
    rows=_rows(),
    columns=(
        Column("Pain AUC", "auc_binary", published=False),
        Column("Gain", "auc_binary", published=False, gain=True),
        Column("PCC", "pcc", published=False),
        Column("PCC gain", "pcc", published=False, gain=True),
    ),
    protocol="grouped_k_fold",
    plot=efficiency_plot,
)

if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
