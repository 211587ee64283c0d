"""What the paper leaves open, each decision varied by itself, ``python -m repro.sensitivity``.

Every row changes one decision and is compared with a row that has the default: within subjects, with the same folds,
labels and seeds, and, where the decision is about images, after the same pretext network. Decisions without an
alternative keep their line.
"""

from dataclasses import replace
from typing import Any

from repro.learning.schedule import Schedule
from repro.suite.decisions import DECISIONS
from repro.suite.figures import sensitivity_plot
from repro.suite.scales import SCALES
from repro.suite.spec import OWN, STILLS, Column, Row, Table

DEFAULT = "default"
FLOW = "default on optical flow"
LARGE = "default with 8 pictures a still"
"""Halves of two pictures span lines, which have no fewer directions to keep (D10)."""
OWN_VIDEOS = "D14: training subjects' videos"

_EIGHT = (("clips_per_source", 8), ("stretch", 8))


def _default(label: str, **more: Any) -> Row:
    """Return a row that others are compared with."""
    return Row(label, (label, ""), "unbc", published=False, **{"pretext": (STILLS,), **more})


def _row(decision: str, alternative: str, **more: Any) -> Row:
    """Return the row of an alternative."""
    lead = (f"{decision} {DECISIONS[decision]}", alternative)
    usual = {"pretext": (STILLS,), "versus": DEFAULT}
    return Row(f"{decision}: {alternative}", lead, "unbc", published=False, **{**usual, **more})


def _encoded(decision: str, field: str, value: Any, **more: Any) -> Row:
    return _row(decision, f"{field}={value}", encoding=((field, value),), **more)


def _posed(decision: str, field: str, value: Any, **more: Any) -> Row:
    """Return the row of another pretext task; hyper-parameters that it shares with its default stand in `more`."""
    task = (*more.pop("task", ()), (field, value))
    return _row(decision, f"{field}={value}", task=task, **more)


def _none(decision: str, reason: str, alternative: str = "no alternative", **more: Any) -> Row:
    return _row(decision, alternative, unavailable=reason, pretext=(), versus="", **more)


def _schedule(scale: str, decay: str, rate: float) -> tuple[tuple[str, Schedule], ...]:
    changed: dict[str, Any] = {"decay": decay, "learning_rate": rate}
    return (("schedule", replace(SCALES[scale].fine_tuning.schedule, **changed)),)


ROWS = (
    _default(DEFAULT),
    _row("D0", "the paper's schedule", training=_schedule("quick", "paper", 1e-3), scales=("quick",)),
    _row("D0", "warm-up and cosine", training=_schedule("paper", "cosine", 0.02), scales=("paper",)),
    *(_encoded("D1", "noise_variance", value) for value in (0.04, 4.0, 40.0)),
    _encoded("D2", "center", False),
    *(_encoded("D3", "depth", frames) for frames in (3, 5)),
    _none("D4", "no alternative is offered: a window's sums run over that window, whose size Figure 3 varies"),
    *(_encoded("D5", "domain", domain) for domain in ("log", "product")),
    _none("D6", "no alternative is offered: frames are compared one by one, which takes segments of one length"),
    _encoded("D7", "normalize", "channel"),
    _none("D7", "a map of floating-point numbers is no 8-bit image, which every input is kept as", "normalize=None"),
    _none("D8", "no alternative is offered: windows must be filled at the edge, and nothing is known beyond it"),
    _default(FLOW, input="SSD(OF)"),
    *(_encoded("D9", "flow_limit", limit, input="SSD(OF)", versus=FLOW) for limit in (0.005, 0.02)),
    _encoded("D9", "flow", "dis", input="SSD(OF)", versus=FLOW, scales=("paper",)),
    _none(
        "D9",
        "TV-L1 takes a hundred times as long as DIS, which this scale uses; --scale paper compares them",
        "flow=tvl1",
        scales=("smoke", "quick"),
    ),
    _default(LARGE, task=_EIGHT),
    _posed("D10", "energy", 0.8, task=_EIGHT, versus=LARGE),
    _none("D11", "no alternative is offered: Eq. 21 is solved, and differentiated, for given weights"),
    _posed("D12", "objective", "contrastive"),
    _posed("D12", "distance", "mean"),
    *(_posed("D13", "negatives", shown) for shown in ("other_subjects", "mixed")),
    _posed("D13", "stretch", None, pretext=(OWN,), versus=OWN_VIDEOS),
    _row("D14", OWN_VIDEOS.removeprefix("D14: "), pretext=(OWN,)),
    _row("D15", "the likeliest level", metrics=(("mse", "mse_argmax"), ("pcc", "pcc_argmax"))),
    _row("D16", "one level against one", metrics=(("auc_ovr", "auc_ovo"),)),
    _row("D16", "pain against none", metrics=(("auc_ovr", "auc_binary"),)),
    *(_row("D17", f"level={level}", clips=(("level", level),)) for level in ("mean", "centre", "last")),
)

TABLE = Table(
    name="sensitivity",
    title="Decisions that the paper leaves open, varied one at a time (UNBC-McMaster; pretext on VGGFace2)",
    caption="What each alternative changes, against the default, and how alike its images are to the default's.",
    lead=("Decision", "Alternative"),
    rows=ROWS,
    columns=(
        Column("Pain AUC", "auc_binary", published=False),
        Column("Change", "auc_binary", published=False, gain=True),
        Column("AUC change", "auc_ovr", published=False, gain=True),
        Column("PCC change", "pcc", published=False, gain=True),
        Column("MSE change", "mse", published=False, gain=True),
        Column("Image correlation", "image_correlation", published=False),
    ),
    protocol="grouped_k_fold",
    plot=sensitivity_plot,
)

if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
