"""Likeness of images: against NumPy's own correlation, on the clips of the row, and where it means nothing."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from repro.data.encoding import encode
from repro.data.schema import Dataset, VideoRecord
from repro.suite.agreement import SERIES, correlations, plan_agreement
from repro.suite.corpus import Corpus, NotApplicable, NotPossible
from repro.suite.measured import Setting
from repro.suite.scales import SCALES
from repro.suite.spec import Clips, Place, Population, Row
from repro.suite.store import Store

USUAL = replace(SCALES["smoke"].input, kind="SSD(RGB)", size=16, segment_length=5, alignment="none")
SCALE = replace(SCALES["smoke"], input=USUAL)
ROUNDING = 1e-12
"""Sums of 768 products of bytes in float64: relative rounding far below this."""


@dataclass(frozen=True, eq=False)
class Noise(VideoRecord):
    """A video of its own noise; that of subject "still" does not change from frame to frame."""

    def frames(self):
        rng = np.random.default_rng(list(self.video.encode()))
        frames = rng.integers(0, 256, (1 if self.subject == "still" else self.n_frames, 3, 16, 16), np.uint8)
        return torch.from_numpy(np.broadcast_to(frames, (self.n_frames, 3, 16, 16)).copy())


def corpus(subjects=("s0", "s1"), length=12):
    records = [Noise(s, f"{s}/{v}", 30, np.zeros(30, np.int64)) for s in subjects for v in "ab"]
    return Corpus(Dataset("unbc", "nowhere", records, content="0", n_levels=17), Clips(length, 6, 10, 5, 4), 1)


def setting(store, made=None, **encoding):
    row = Row("changed", ("changed",), "unbc", encoding=tuple(encoding.items()))
    spec = replace(USUAL, **encoding)
    place = Place(Population("unbc"), spec.kind)
    return Setting(
        row, place, made or corpus(), spec, SCALE.fine_tuning, SCALE, "grouped_k_fold", str(store), device="cpu"
    )


def run(measurement):
    for task in (*measurement.inputs.values(), measurement.task):
        task.function(**task.arguments)


def test_correlation_is_numpys_over_pixels_and_channels():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 5, 3, 4, 4), np.uint8)
    expected = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(first, second, strict=True)]
    np.testing.assert_allclose(correlations(first, second), expected, rtol=0, atol=ROUNDING)
    assert (correlations(first, first) == 1).all(), "exactly"
    np.testing.assert_allclose(correlations(first, 255 - first), -1, rtol=0, atol=ROUNDING)
    several = rng.integers(0, 256, (2, 5, 2, 3, 4, 4), np.uint8)
    assert correlations(*several) == pytest.approx(correlations(*several.reshape(2, 5, 6, 4, 4)), abs=ROUNDING)


def test_constant_images_have_no_correlation():
    varied = np.arange(2 * 12, dtype=np.uint8).reshape(2, 3, 2, 2)
    flat = varied.copy()
    flat[1] = 7
    for pair in ((varied, flat), (flat, varied), (flat, flat)):
        found = correlations(*pair)
        assert found[0] == 1 and np.isnan(found[1])


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\) and \(2, 3, 5, 5\)"):
        correlations(np.zeros((2, 3, 4, 4)), np.zeros((2, 3, 5, 5)))


@pytest.mark.parametrize("length", [12, 20])
def test_each_clip_is_compared_with_its_own_usual_image(tmp_path, length):
    made = corpus(length=length)
    measurement = plan_agreement(setting(tmp_path, made, domain="log"))
    run(measurement)
    described, series = Store(tmp_path).read_measurement(measurement.key)
    expected, units = [], []
    for record in made.dataset.records:
        own = [clip for clip in made.labelled if clip.video == record.video]
        usual, changed = (encode(record, own, spec).images.numpy() for spec in (USUAL, replace(USUAL, domain="log")))
        expected += [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(changed, usual, strict=True)]
        units += [record.subject] * len(own)
    assert measurement.series == SERIES and series[SERIES]["units"] == units
    np.testing.assert_allclose(series[SERIES]["values"], expected, rtol=0, atol=ROUNDING)
    assert max(expected) < 0.9999, "the change is one that shows"
    assert (described["run"]["clips"], described["run"]["constant"]) == (len(made.labelled), 0)


def test_constant_images_are_left_out_and_counted(tmp_path):
    measurement = plan_agreement(setting(tmp_path, corpus(("s0", "still")), domain="log"))
    run(measurement)
    described, series = Store(tmp_path).read_measurement(measurement.key)
    assert set(series[SERIES]["units"]) == {"s0"}
    assert (described["run"]["clips"], described["run"]["constant"]) == (8, 8)


def test_nothing_to_correlate_is_an_error(tmp_path):
    measurement = plan_agreement(setting(tmp_path, corpus(("still",)), domain="log"))
    with pytest.raises(ValueError, match="none of 8 clips"):
        run(measurement)
    assert not Store(tmp_path).has_measurement(measurement.key)


def test_the_key_tells_all_that_changes_the_number():
    settings = [
        setting("here", domain="log"),
        setting("here", domain="product"),
        setting("here", corpus(length=20), domain="log"),
        setting("here", corpus(("s0",)), domain="log"),
        replace(setting("here", domain="log"), scale=replace(SCALE, input=replace(USUAL, window=3))),
    ]
    made = [plan_agreement(one) for one in settings]
    assert len({measurement.key for measurement in made}) == len(made)
    assert made[0].key == plan_agreement(setting("there", domain="log")).key, "a path changes nothing"
    assert all(set(m.task.requires) == {f"input-{key}" for key in m.inputs} for m in made)
    assert len(made[0].inputs) == 2 * 2, "two subjects, shown both ways"


def test_optical_flow_is_compared_with_optical_flow():
    measurement = plan_agreement(setting("store", kind="SSD(OF)", flow_limit=0.02))
    shown = [task.arguments["spec"] for task in measurement.inputs.values()]
    assert {(spec.kind, spec.flow_limit) for spec in shown} == {("SSD(OF)", 0.02), ("SSD(OF)", USUAL.flow_limit)}


def test_images_that_no_decision_changes_are_not_compared():
    for changes in ({}, {"kind": "RGB", "domain": "log"}, {"flow_limit": 0.02}):
        with pytest.raises(NotApplicable, match="default's own"):
            plan_agreement(setting("store", **changes))
    with pytest.raises(NotApplicable, match="another size"):
        plan_agreement(setting("store", size=24))


def test_clips_that_are_too_short_for_the_usual_image_are_a_reason():
    with pytest.raises(NotPossible, match="8 frames") as found:
        plan_agreement(setting("store", corpus(length=8), segment_length=4))
    assert not isinstance(found.value, NotApplicable)
