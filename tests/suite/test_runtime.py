"""Measurements of time: what is planned, what stands in keys, what is stored."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from repro.data.clips import Clip
from repro.data.encoding import InputSpec, encode_clip
from repro.data.schema import Dataset, VideoRecord
from repro.learning.finetune import FineTuning
from repro.learning.pretext import BackboneSpec
from repro.learning.schedule import Schedule
from repro.learning.timing import Timing
from repro.suite import runtime
from repro.suite.corpus import Corpus, NotPossible
from repro.suite.measured import Setting
from repro.suite.runtime import SIZES, plan_runtime, plan_training_overhead
from repro.suite.scales import SCALES
from repro.suite.spec import Clips, Place, Population, Row
from repro.suite.store import Store

SPEC = InputSpec(size=32, segment_length=5, alignment="none", frames=2)
SETTINGS = FineTuning(BackboneSpec("resnet18", width=0.125), Schedule(2, 4, 0.01, "cosine"), min_updates=10)


@dataclass(frozen=True, eq=False)
class Noise(VideoRecord):
    """A video of noise."""

    def frames(self):
        generator = torch.Generator().manual_seed(self.n_frames)
        return torch.randint(0, 256, (self.n_frames, 3, 32, 32), generator=generator, dtype=torch.uint8)


def corpus(*lengths, content="0"):
    records = [Noise(f"s{i % 3}", f"s{i % 3}/{i:02d}", n, np.arange(n) % 2) for i, n in enumerate(lengths)]
    return Corpus(Dataset("unbc", "nowhere", records, content=content, n_levels=17), Clips(20, 20, 10, 5), 10)


def setting(tmp_path, *lengths, scale="smoke", kind="SSD(RGB)", settings=SETTINGS, spec=SPEC, device="cpu", **data):
    row = Row("ResNet-18", ("ResNet-18",), "unbc")
    spec = replace(spec, kind=kind)
    place = Place(Population("unbc"), kind)
    scale = SCALES[scale]
    return Setting(row, place, corpus(*lengths, **data), spec, settings, scale, "grouped_k_fold", str(tmp_path), device)


def run(measurement, reports=None):
    task = measurement.task
    task.function(**task.arguments, report=lambda *told: None if reports is None else reports.append(told))
    return Store(task.arguments["store"]).read_measurement(measurement.key)


def test_both_networks_are_timed_by_one_task_on_whole_videos(tmp_path):
    flat = plan_runtime(setting(tmp_path, 60, 40, 90))
    deep = plan_runtime(
        setting(tmp_path, 60, 40, 90, kind="Video", settings=replace(SETTINGS, backbone=in_3d(SETTINGS.backbone)))
    )
    assert flat.key == deep.key and (flat.series, deep.series) == ("SSD", "3D")
    assert flat.task.id == f"measure-{flat.key}" and flat.task.kind == "measure" and flat.task.alone
    assert not flat.task.on_gpu and flat.task.requires == () and flat.task.cost > 0
    description, series = run(deep)
    assert description["description"]["videos"] == ["s2/02"], "the nearest to 150 frames"
    assert set(series) == {"SSD", "3D"}
    for one in series.values():
        assert one["units"] == ["s2/02"] and len(one["values"]) == 1 and 0 < one["values"][0] < 10
    assert description["run"]["threads"] == 1 and "node" not in str(description).lower()


def in_3d(backbone):
    return replace(backbone, dims=3)


def test_networks_take_turns_on_the_same_faces(tmp_path, monkeypatch):
    calls = []

    def timed(backbone, videos, *, distillation, device, repeats, warmup):
        (video,) = videos
        image = distillation(video) if backbone.dims == 2 else None
        calls.append((backbone.dims, backbone.name, video, image, repeats, warmup, torch.get_num_threads()))
        seconds = np.full((1, repeats), len(video) * backbone.dims / 1000)
        return Timing("", "SSD", device, 1, np.array([len(video)]), 0 * seconds, seconds, None, "")

    monkeypatch.setattr(runtime, "time_per_frame", timed)
    lengths = (150, 155, 160, 165, 170, 175, 149, 201)
    planned = plan_runtime(setting(tmp_path, *lengths, scale="quick"))
    reports = []
    _, series = run(planned, reports)
    assert [call[0] for call in calls] == [2, 3] * 5 and {call[1] for call in calls} == {"resnet18"}
    assert [call[5] for call in calls] == [1, 1] + [0] * 8, "networks warm up once"
    assert {call[4] for call in calls} == {3} and {call[6] for call in calls} == {1}
    for flat, deep in zip(calls[::2], calls[1::2], strict=True):
        assert torch.equal(flat[2], deep[2]) and len(flat[2]) in lengths[:6]
        assert torch.equal(flat[3], encode_clip(flat[2], SPEC))
    np.testing.assert_allclose(series["SSD"]["values"], [0.002] * 5, rtol=1e-12)
    np.testing.assert_allclose(series["3D"]["values"], [0.003] * 5, rtol=1e-12)
    assert len(set(series["3D"]["units"])) == 5 and [told[0] for told in reports] == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_the_key_holds_what_changes_the_seconds_and_nothing_else(tmp_path):
    def key(*lengths, **options):
        return plan_runtime(setting(tmp_path, *(lengths or (60, 90)), **options)).key

    base = key()
    assert key(settings=replace(SETTINGS, schedule=Schedule(9, 9), balance=1.0)) == base, "how it is trained"
    assert key(spec=replace(SPEC, frames=7, volume=8)) == base, "how others are shown"
    others = [
        key(settings=replace(SETTINGS, backbone=BackboneSpec("resnet18", width=0.25))),
        key(settings=replace(SETTINGS, backbone=BackboneSpec("vgg16", width=0.125))),
        key(spec=replace(SPEC, segment_length=6)),
        key(spec=replace(SPEC, size=48)),
        key(content="1"),
        key(60, 95),
        key(device="cuda"),
        key(60, 90, 95, scale="quick"),
    ]
    assert len({base, *others}) == 1 + len(others)
    assert plan_runtime(setting(tmp_path, 90, device="cuda")).task.on_gpu


def test_videos_are_those_of_the_paper_or_nearest_to_them(tmp_path):
    def chosen(*lengths, scale):
        task = plan_runtime(setting(tmp_path, *lengths, scale=scale)).task
        return [record.n_frames for record in task.arguments["records"]]

    assert sorted(chosen(100, 140, 160, 230, 300, 9, scale="quick")) == [100, 140, 160, 230, 300]
    assert sorted(chosen(100, 140, 160, 210, 230, 300, scale="quick")) == [100, 140, 160, 210, 230]
    enough = [*range(150, 200), 210, 100]
    assert sorted(chosen(*enough, scale="paper")) == list(range(150, 200))
    with pytest.raises(NotPossible, match="cannot draw 50 videos: 49 of 51 have 150 to 200 frames"):
        chosen(*enough[1:], scale="paper")


@pytest.mark.parametrize("plan", [plan_runtime, plan_training_overhead])
def test_an_unknown_scale_is_refused(tmp_path, plan):
    given = setting(tmp_path, 60)
    with pytest.raises(ValueError, match="scale 'huge'"):
        plan(replace(given, scale=replace(given.scale, name="huge")))


def test_seconds_of_another_input_are_not_measured(tmp_path):
    with pytest.raises(NotPossible, match=r"SSD\(RGB\) and Video, not of RGB"):
        plan_runtime(setting(tmp_path, 60, kind="RGB"))
    assert set(SIZES) == set(SCALES)


def test_what_ssd_adds_to_training_is_measured_on_a_sample(tmp_path):
    planned = plan_training_overhead(setting(tmp_path, 60, 90, 80))
    assert planned.series == "overhead" and planned.task.alone and planned.task.kind == "measure"
    description, series = run(planned)
    assert set(series) == {"overhead"} and series["overhead"]["units"] == ["1", "2", "3"]
    assert all(0 < value < 1e5 for value in series["overhead"]["values"])
    assert len(description["description"]["clips"]) == SIZES["smoke"].clips


def test_what_ssd_adds_is_extrapolated_in_proportion(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(runtime.time, "perf_counter", lambda: clock[0])

    def distilled(frames, spec):
        clock[0] += 2.0 if spec.is_distilled else 0.0
        return encode_clip(frames, replace(spec, kind="RGB"))

    seen = []

    def tuned(images, levels, n_levels, settings, *, seed, device, report):
        seen.append((images.shape, settings))
        for step in range(settings.updates(len(images))):
            clock[0] += 100.0 if step < 2 else 0.5  # the first updates are slow
            report(0.0, "")

    monkeypatch.setattr(runtime, "encode_clip", distilled)
    monkeypatch.setattr(runtime, "fine_tune", tuned)
    planned = plan_training_overhead(setting(tmp_path, 60, 60, 60, 60, 40))
    _, series = run(planned)
    # 14 clips of 2 s, against 2 epochs of 2 passes of 3 updates of 0.5 s
    np.testing.assert_allclose(series["overhead"]["values"], [100 * 28 / 6] * 3, rtol=1e-12)
    shape, settings = seen[0]
    assert shape == (5, 2, 3, 32, 32), "a batch as in training, of as many frames a clip as are shown"
    assert settings.backbone.dims == 2 and settings.augmentation == SETTINGS.augmentation


def test_the_key_of_what_ssd_adds_holds_how_the_network_is_trained(tmp_path):
    def key(*lengths, **options):
        return plan_training_overhead(setting(tmp_path, *(lengths or (60, 90)), **options)).key

    base = key()
    assert key(kind="Video", settings=replace(SETTINGS, backbone=in_3d(SETTINGS.backbone))) == base
    others = [
        key(settings=replace(SETTINGS, schedule=Schedule(3, 4, 0.01, "cosine"))),
        key(settings=replace(SETTINGS, min_updates=20)),
        key(spec=replace(SPEC, window=3)),
        key(spec=replace(SPEC, frames=3)),
        key(60, 60),
        key(device="cuda"),
    ]
    assert len({base, *others}) == 1 + len(others)


def test_clips_beyond_what_was_decoded_are_left_out_of_the_sample(tmp_path):
    planned = plan_training_overhead(setting(tmp_path, 60))
    arguments = dict(planned.task.arguments)
    record, _ = arguments["work"][0]
    beyond = Clip(record.subject, record.video, 50, 70, 0)
    with pytest.raises(ValueError, match="s0/00: no clip"):
        planned.task.function(**{**arguments, "work": [(record, [beyond])]}, report=lambda *_: None)
