"""Planning and filling cells of supervised systems: what enters a key, what is shared, what is not applicable."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

import baselines
from baselines.supervised.estimator import IntensityRegressor
from repro.data.features import ClipFeature, PictureFeature
from repro.data.schema import Dataset, VideoRecord
from repro.stopping import Stopped
from repro.suite import work
from repro.suite.corpus import Corpus
from repro.suite.emit import to_markdown
from repro.suite.scales import SCALES
from repro.suite.spec import Clips, Column, Row, Table
from repro.suite.store import Store
from repro.suite.tabulate import tabulate
from repro.suite.work import build_plan

SCALE = replace(
    SCALES["smoke"],
    clips={"unbc": Clips(24, 24, 20, 10)},
    input=replace(SCALES["smoke"].input, size=16, segment_length=10, alignment="none"),
    supervised={"bright": {"weight": 2.0}},
)


@dataclass(frozen=True)
class Brightness(PictureFeature):
    """Mean grey level."""

    name: ClassVar[str] = "brightness"
    version: ClassVar[int] = 1

    def of_picture(self, picture):
        return picture.float().mean(dim=(1, 2)).numpy()


@dataclass(frozen=True)
class Nose(ClipFeature):
    """Mean place of the nose."""

    name: ClassVar[str] = "nose"
    version: ClassVar[int] = 1
    needs_landmarks: ClassVar[bool] = True

    def of_clip(self, sequence):
        return sequence.landmarks[:, 30].mean(0).astype(np.float32)


@dataclass
class Bright(IntensityRegressor):
    """The brightest moment."""

    name: ClassVar[str] = "bright"
    version: ClassVar[int] = 1
    weight: float = 1.0

    def extractors(self):
        return (Brightness(frames=4),)

    def _fit(self, clips, levels, groups):
        moments = clips.features(self.extractors()[0])
        self.of_frames_ = clips.moment_levels(moments, levels)
        self.seen_ = (clips.ids, levels, groups, self.seed)

    def _intensity(self, clips):
        assert clips.frame_levels is None, "levels of test clips are not given away"
        return self.weight * clips.features(self.extractors()[0]).reduce(np.max)[:, 0] / 100


@dataclass
class Far(Bright):
    """Needs landmarks; defined on frames only."""

    name: ClassVar[str] = "far"
    inputs: ClassVar[tuple[str, ...]] = ("RGB",)

    def extractors(self):
        return (Brightness(frames=4), Nose())


@dataclass(frozen=True)
class Lamp(VideoRecord):
    """A grey field as bright as its level."""

    def frames(self):
        light = 20 + 40 * torch.as_tensor(self.levels)
        noise = torch.from_numpy(
            np.random.default_rng(sum(self.video.encode())).integers(0, 9, (self.n_frames, 3, 16, 16))
        )
        return (light[:, None, None, None] + noise).to(torch.uint8)


def corpus(constant=False):
    records = []
    for s in range(4):
        for v in range(3):
            levels = np.full(48, v, np.int64)
            levels[10:20] = v if constant else min(v + s % 2, 3)
            records.append(Lamp(f"s{s}", f"s{s}/v{v}", 48, levels))
    data = Dataset("unbc", "nowhere", records, content="0", n_levels=4, labels_of_frames=not constant)
    return Corpus(data, SCALE.clips["unbc"], 20)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    methods = dict(baselines.METHODS)
    for made in (Bright, Far):
        monkeypatch.setattr(
            baselines.Method, "load", lambda self, own=baselines.Method.load: OWN.get(self.name) or own(self)
        )
        methods[made.name] = baselines.Method(made.name, made.__name__, "supervised", "here", (), "nowhere:None")
    monkeypatch.setattr(work, "METHODS", methods)


OWN = {"bright": Bright, "far": Far}


def table(*rows):
    columns = (
        Column("RGB MSE", "mse", "RGB", published=False),
        Column("SSD MSE", "mse", "SSD(RGB)", published=False),
    )
    return Table("t", "T", "C.", ("Method",), rows, columns, "grouped_k_fold")


def row(method, label="", **more):
    return Row(label or method, (label or method,), "unbc", method, published=False, **more)


def plan(store, *rows, data=None, scale=SCALE):
    return build_plan(table(*rows), scale, {"unbc": data or corpus()}, Store(store), repetitions=1, device="cpu")


def run(made, store):
    for task in made.remaining(Store(store)):
        task.function(**task.arguments)


def test_features_are_shared_by_methods_and_folds(tmp_path):
    made = plan(tmp_path, row("bright"), row("bright", "again", task=(("weight", 3.0),)), row("mean"))
    features = [task for task in made.tasks if task.kind == "features"]
    assert len(features) == 4 * 2, "one task for each subject and input, whatever the number of methods and folds"
    assert all(len(task.arguments["wanted"]) == 1 for task in features)
    run(made, tmp_path)
    assert len(list(tmp_path.glob("features/*/*.safetensors"))) == 4 * 2
    assert not made.remaining(Store(tmp_path)) and not plan(tmp_path, row("bright")).remaining(Store(tmp_path))


def test_what_changes_predictions_enters_the_key(tmp_path, monkeypatch):
    def keys(*rows, **more):
        return set(plan(tmp_path, *rows, **more).keys)

    usual = keys(row("bright"))
    assert keys(row("bright", task=(("weight", 5.0),))).isdisjoint(usual)
    assert keys(row("bright", shuffled=True)).isdisjoint(usual)
    assert keys(row("bright"), scale=replace(SCALE, supervised={})).isdisjoint(usual)
    assert keys(row("bright", "another label")) == usual
    monkeypatch.setattr(Brightness, "version", 2)
    assert keys(row("bright")).isdisjoint(usual), "the features' version"
    monkeypatch.setattr(Brightness, "version", 1)
    monkeypatch.setattr(Bright, "version", 2)
    assert keys(row("bright")).isdisjoint(usual)


def test_a_cell_learns_from_training_clips_and_their_frames_only(tmp_path):
    made = plan(tmp_path, row("bright"))
    run(made, tmp_path)
    cells = [task for task in made.tasks if task.kind == "cell"]
    assert len(cells) == 2 * 2
    for task in cells:
        ids, levels, groups, seed = task.arguments["estimator"].seen_
        assert set(groups) == set(task.arguments["train_subjects"]) and seed == task.arguments["seed"]
        described, predictions = Store(tmp_path).read(task.arguments["key"])
        assert not set(groups) & set(predictions.subjects)
        assert described["run"]["seconds"] >= 0 and described["run"]["peak_bytes"] >= 0
        by_id = {clip.id: clip for clip in corpus().labelled}
        assert levels.tolist() == [by_id[name].level for name in ids]
        assert predictions.levels.tolist() == [by_id[name].level for name in predictions.samples]
    (of_frames,) = {tuple(sorted(set(task.arguments["estimator"].of_frames_))) for task in cells[:1]}
    assert of_frames == (0, 1, 2, 3)


def test_where_a_fit_stands_has_a_folder_until_the_cell_is_there(tmp_path, monkeypatch):
    original, stopped = Bright._fit, []

    def fit(self, *given):
        self.checkpoint.mkdir(parents=True, exist_ok=True)
        (self.checkpoint / "state").touch()
        if not stopped:
            stopped.append(self.checkpoint)
            raise Stopped
        original(self, *given)

    monkeypatch.setattr(Bright, "_fit", fit)
    made = plan(tmp_path, row("bright"))
    first = next(task for task in made.tasks if task.kind == "cell")
    with pytest.raises(Stopped):
        run(made, tmp_path)
    assert stopped == [tmp_path / "checkpoints" / first.arguments["key"]] and (stopped[0] / "state").is_file()
    run(made, tmp_path)
    assert not made.remaining(Store(tmp_path)) and not list((tmp_path / "checkpoints").iterdir())


def test_shuffled_clips_exchange_their_labels_with_those_of_their_frames(tmp_path):
    made = plan(tmp_path, row("bright", shuffled=True))
    run(made, tmp_path)
    estimator = next(task for task in made.tasks if task.kind == "cell").arguments["estimator"]
    ids, levels, _, _ = estimator.seen_
    by_id = {clip.id: clip.level for clip in corpus().labelled}
    truth = [by_id[name] for name in ids]
    assert sorted(levels) == sorted(truth) and levels.tolist() != truth
    of_frames = estimator.of_frames_.reshape(len(levels), 4)
    assert (of_frames.max(axis=1) <= levels).all() and of_frames.std(axis=1).max() > 0, "those of one and the same clip"


def test_labels_of_whole_videos_are_not_levels_of_frames():
    assert corpus(constant=True).frame_levels is None
    levels = corpus().frame_levels
    assert levels is not None and len(levels) == 4 * 3 * 2 and {len(of_clip) for of_clip in levels.values()} == {24}


def test_where_a_method_is_not_applicable_the_table_says_why_and_nothing_is_missing(tmp_path):
    rows = (row("bright"), row("far"))
    made = plan(tmp_path, *rows)
    assert made.reasons == {
        "far on RGB": "it needs facial landmarks (nose), which this unbc dataset does not have: run OpenFace on its "
        "videos, or `python -m repro.landmarks`, and give the folder of CSV files",
        "far on SSD(RGB)": "the method is defined on RGB only",
    }
    run(made, tmp_path)
    frame, damaged = tabulate(table(*rows), made, Store(tmp_path), SCALE, "simulated")
    assert not damaged and (frame.cells_done == frame.cells_total).all()
    assert set(frame[frame.row == "far"].cells_total) == {0}
    text = to_markdown(table(*rows), frame, SCALE, made.reasons)
    assert "| far " in text and "N/A" in text and "far on SSD(RGB): cannot be computed, as the method" in text
    assert "INCOMPLETE" not in text


def test_a_failing_extractor_fails_its_own_cells_only(tmp_path, monkeypatch):
    monkeypatch.setattr(Corpus, "has_landmarks", True)
    made = plan(tmp_path, row("bright"), row("far"))
    failed = []
    for task in made.remaining(Store(tmp_path)):
        try:
            task.function(**task.arguments)
        except ValueError as error:
            failed.append((task.label, str(error)))
    assert [label for label, _ in failed] == ["far, RGB, fold 1", "far, RGB, fold 2"]
    assert all(
        "features could not be computed: nose, video s" in reason and "TypeError" in reason for _, reason in failed
    )
