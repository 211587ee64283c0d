"""The six self-supervised methods side by side, ``python -m repro.self_supervised``: pretext and fine-tuned accuracy.

The paper's Tables 6 and 7 compare them after a pretext on VGGFace2; here all see the unlabelled videos of the training
subjects (decision D14), for as many updates of as many images, and share backbone and fine-tuning.
"""

from collections.abc import Callable
from typing import Any

from baselines import METHODS
from repro.data.encoding import InputKind
from repro.suite.figures import methods_plot
from repro.suite.spec import Check, Column, Row, Share, Table

INPUTS: tuple[InputKind, ...] = ("RGB", "SSD(RGB)")

SCRATCH = "no pretext"

MEANS = "Our method, distance of means"
"""The ablation of the affine hull."""


def _row(label: str, method: str, **more: Any) -> Row:
    """Return a row of a method after a pretext; the reference is what it is compared with."""
    lead = (label, METHODS[method].load().accuracy.label)
    return Row(
        label,
        lead,
        "unbc",
        method,
        (Share("unbc", training_subjects=True),),
        published=False,
        repeat=2,
        versus=SCRATCH,
        **more,
    )


ROWS = (
    Row(SCRATCH, (SCRATCH, ""), "unbc", "scratch", published=False, repeat=2),
    *(_row(method.label, name) for name, method in METHODS.items() if method.kind == "self-supervised"),
    _row(MEANS, "siamese", task=(("distance", "mean"),)),
)

METRICS: tuple[tuple[str, str, bool], ...] = (
    ("accuracy", "pretext_accuracy", False),
    ("chance", "pretext_chance", False),
    ("pain AUC", "auc_binary", False),
    ("gain", "auc_binary", True),
    ("MSE", "mse", False),
    ("PCC", "pcc", False),
)
"""Label, metric, and whether the gain over no pretext is shown."""

MARGINS = {
    "geometry": -2.0,
    "opn": 0.01,
    "jigsaw": 0.5,
    "motion_statistics": 0.02,
    "deepcluster": 0.15,
    "siamese": 0.15,
}
"""How far the accuracy of each pretext must be from chance at least, in its unit; negative where less is better."""


def _is_learned(margin: float) -> Callable[[float, float, float], bool]:
    return lambda value, low, high: value >= margin if margin > 0 else value <= margin


CHECKS = tuple(
    Check(
        f"{METHODS[name].label} is learned on {kind}, by {abs(margin):g} beyond chance",
        METHODS[name].label,
        f"{kind} accuracy",
        _is_learned(margin),
        reference=f"{kind} chance",
    )
    for name, margin in MARGINS.items()
    for kind in INPUTS
)

TABLE = Table(
    name="self_supervised",
    title="Self-supervised methods on UNBC-McMaster, not in the paper in this form (pretext on the training subjects)",
    caption="Accuracy of each pretext task on held-out subjects, and of the networks that were fine-tuned after it.",
    lead=("Method", "Pretext accuracy is"),
    rows=ROWS,
    columns=tuple(
        Column(f"{kind} {label}", metric, kind, published=False, gain=gain)
        for kind in INPUTS
        for label, metric, gain in METRICS
    ),
    protocol="grouped_k_fold",
    plot=methods_plot,
    checks=CHECKS,
)

if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
