"""The table of supervised systems: who stands where, what is not applicable, what its plot shows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from repro.baselines import REFERENCES, SYSTEMS, TABLE, label
from repro.data.schema import Dataset, VideoRecord
from repro.suite.corpus import Corpus
from repro.suite.scales import SCALES
from repro.suite.store import Store
from repro.suite.tabulate import COLUMNS
from repro.suite.work import build_plan

SCALE = SCALES["quick"]
LANDMARKS = {"OSVR", "Head-movement", "Time-windows", "FAD set"}


@dataclass(frozen=True)
class Marked(VideoRecord):
    """A video that may have landmarks; the dataset has a place for them."""

    marks: bool = True

    def landmarks(self):
        return np.full((self.n_frames, 68, 2), 9.0 if self.marks else np.nan, np.float32)


def plan(marked=("unbc", "biovid"), scale=SCALE):
    corpora = {}
    table = TABLE.on_given_data()
    for name in ("unbc", "biovid"):
        records = [
            Marked(f"s{s}", f"s{s}/v{v}", 120, np.repeat([0, v % 5], 60), marks=name in marked)
            for s in range(6)
            for v in range(5)
        ]
        data = Dataset(name, "nowhere", records, content="0", n_levels=5)
        corpora[name] = Corpus(data, scale.clips[name], 40)
    return table, build_plan(table, scale, corpora, Store("store"), repetitions=1, device="cpu")


def test_every_system_and_reference_stands_on_both_datasets():
    assert len(SYSTEMS) == 11
    assert [row.label for row in TABLE.rows] == [
        label(name, target) for target in ("unbc", "biovid") for name in (*SYSTEMS, *REFERENCES)
    ]
    quoted = {row.label: row.lead[2] for row in TABLE.rows if row.lead[2] != "–"}
    assert len([where for where in quoted.values() if where == "Table 6"]) == 6
    assert quoted["SCN, BioVid"] == "Table 7" and quoted["SCN, UNBC-McMaster"] == "Table 6"
    assert "FAD set, UNBC-McMaster" not in quoted and quoted["FAD set, BioVid"] == "Table 7"


def test_only_what_the_paper_leaves_out_is_not_applicable():
    _, made = plan()
    assert set(made.reasons) == {f"{label('SCN', target)} on SSD(RGB)" for target in ("unbc", "biovid")}
    assert all(cell.key for cell in made.cells if not cell.row.startswith("SCN"))
    features = [task for task in made.tasks if task.kind == "features"]
    assert len(features) == 2 * 2 * 6, "a task for each dataset, input and subject"


def test_without_landmarks_the_systems_that_need_them_say_so():
    _, made = plan(marked=("unbc",))
    without = {row: reason for row, reason in made.reasons.items() if "landmarks" in reason}
    assert set(without) == {label(name, "biovid") for name in LANDMARKS}
    assert all("python -m repro.landmarks" in reason for reason in without.values())
    needing = {m.label for m in SYSTEMS.values() if any(e.needs_landmarks for e in m.load()().extractors())}
    assert needing == LANDMARKS


def test_systems_that_ask_for_equal_features_share_them():
    _, made = plan(scale=SCALES["paper"])
    wanted = next(task.arguments["wanted"] for task in made.tasks if task.kind == "features")
    names = [extractor.name for extractor in wanted.values()]
    assert names.count("pictures") == 2, "LSTM and SCN look at the same pictures, RCNN at smaller ones"
    assert names.count("lbp") == 2, "RVR looks at five frames of a clip, OSVR at ten"


@pytest.fixture
def frame():
    rows = []
    for number, row in enumerate(TABLE.rows):
        for column in TABLE.columns:
            absent = row.method == "scn" and column.input != "RGB"
            value = np.nan if absent else 50.0 + number
            rows.append(
                {
                    **dict.fromkeys(COLUMNS, 0),
                    "row": row.label,
                    "column": column.label,
                    "metric": column.metric,
                    "aggregate": "subject_mean",
                    "value": value,
                    "ci_low": value - 1,
                    "ci_high": value + 1,
                    "data": "simulated",
                }
            )
    return pd.DataFrame(rows)


def test_the_plot_has_a_panel_for_each_dataset_and_metric(frame):
    figure = TABLE.plot(frame)
    panels = figure.axes
    assert len(panels) == 2 * 3
    assert [text.get_text() for text in panels[0].get_yticklabels()] == [*SYSTEMS, *REFERENCES]
    shown = panels[0].containers[0].lines[0].get_xdata()
    assert list(shown) == [50.0 + i for i in range(13)]
    pyplot.close(figure)
