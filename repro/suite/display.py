"""How numbers and names look: the one place for units, decimals and labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["METRICS", "MetricDisplay", "format_number"]


@dataclass(frozen=True)
class MetricDisplay:
    """Unit and form of a metric at the edge.

    Parameters
    ----------
    label : str
    factor : float
        From the metric's own unit to the one shown: AUC is shown in percent.
    decimals : int
    higher_is_better : bool or None
        None for what is neither good nor bad.
    chance : float or None
        What guessing gives, in the unit shown.
    significant : int, optional
        Small numbers are given more decimals, until so many digits are shown.
    """

    label: str
    factor: float
    decimals: int
    higher_is_better: bool | None
    chance: float | None = None
    significant: int | None = None

    def decimals_for(self, value: float) -> int:
        """Return how many decimals a number, in the unit shown, is given."""
        if self.significant is None or value == 0 or not math.isfinite(value):
            return self.decimals
        return max(self.decimals, self.significant - 1 - math.floor(math.log10(abs(value))))


METRICS: Mapping[str, MetricDisplay] = MappingProxyType(
    {
        "auc_ovr": MetricDisplay("AUC over levels (%)", 100.0, 1, True, 50.0),
        "auc_ovo": MetricDisplay("AUC of pairs of levels (%)", 100.0, 1, True, 50.0),
        "auc_binary": MetricDisplay("AUC pain against none (%)", 100.0, 1, True, 50.0),
        "mse": MetricDisplay("MSE", 1.0, 2, False),
        "mae": MetricDisplay("MAE", 1.0, 2, False),
        "pcc": MetricDisplay("PCC", 1.0, 2, True, 0.0),
        "mse_argmax": MetricDisplay("MSE of the likeliest level", 1.0, 2, False),
        "pcc_argmax": MetricDisplay("PCC of the likeliest level", 1.0, 2, True, 0.0),
        "icc": MetricDisplay("ICC(3,1)", 1.0, 2, True, 0.0),
        "pretext_accuracy": MetricDisplay("accuracy of the pretext task", 1.0, 2, None),
        "pretext_chance": MetricDisplay("chance in the pretext task", 1.0, 2, None),
        "seconds_per_frame": MetricDisplay("seconds a frame", 1.0, 3, False, significant=3),
        "log2_seconds_per_frame": MetricDisplay("log2 of seconds a frame", 1.0, 2, False),
        "training_overhead": MetricDisplay("added training time (%)", 1.0, 1, False),
        "image_correlation": MetricDisplay("correlation of images", 1.0, 3, None),
        "count": MetricDisplay("Count", 1.0, 0, None),
        "share": MetricDisplay("Share (%)", 100.0, 1, None),
    }
)


def format_number(value: float | None, metric: str) -> str:
    """Round a number for readers, thousands apart; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.{METRICS[metric].decimals_for(value)}f}"
