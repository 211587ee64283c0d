"""Rates: the suite's own functions are timed, on given or simulated videos, and kept with their circumstances."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from baselines.selfsup.deepcluster import DeepCluster
from baselines.selfsup.geometry import Geometry
from repro.data.clips import Clip
from repro.data.encoding import InputSpec
from repro.data.material import Material
from repro.data.schema import VideoRecord
from repro.learning.finetune import FineTuning
from repro.learning.pretext import BackboneSpec
from repro.learning.schedule import Schedule
from repro.siamese.pretext import SiamesePretext
from repro.suite import samples
from repro.suite.expected_data import ExpectedRecord
from repro.suite.rates import Rate, Stopwatch, rates_file, read_rates, write_rates
from repro.suite.units import Encoding, Example, FineTune, Fit, Infer, Pretrain, Read

SMALL = BackboneSpec("resnet18", width=0.125)
SPEC = InputSpec("RGB", size=32, alignment="none", flow="dis")
FRAMES = 130
USUAL = Material()


@dataclass(frozen=True)
class Noise(VideoRecord):
    def frames(self):
        return torch.randint(256, (self.n_frames, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator())


def example(spec=SPEC, material=USUAL, record_type=Noise, clip=60):
    record = record_type("s0", "s0/v0", FRAMES, np.full(FRAMES, -1))
    clips = [(Clip("s0", "s0/v0", start, start + clip, -1), "s0/v0#0") for start in range(0, FRAMES - clip, 10)]
    return Example("unbc", record, clips, spec, material)


@pytest.fixture(scope="module")
def stopwatch():
    threads = torch.get_num_threads()
    with Stopwatch("cpu") as made:
        yield made
    torch.set_num_threads(threads)


def test_training_takes_about_three_times_the_operations_of_inference(stopwatch):
    settings = FineTuning(SMALL, Schedule(3, 4), min_updates=100)
    trained = stopwatch.measure(FineTune("a", "label", settings, SPEC))
    shown = stopwatch.measure(Infer("b", "label", SMALL, SPEC))
    assert trained.seconds > 0 and shown.seconds > 0
    # backwards through a layer takes twice its operations; the first layer's input needs no gradient
    assert 2.5 < trained.flops / shown.flops < 3.05


def test_operations_are_those_that_are_published(stopwatch):
    shown = stopwatch.measure(Infer("b", "label", BackboneSpec("resnet18"), InputSpec("RGB", size=224)))
    # torchvision lists 1.81e9 multiply-adds, two operations each, for its ResNet-18 at 224 pixels
    assert shown.flops == pytest.approx(2 * 1.81e9, rel=0.01)


def test_volumes_are_timed_as_a_whole(stopwatch):
    spec = InputSpec("Video", size=32, volume=4)
    settings = FineTuning(BackboneSpec("resnet18", width=0.125, dims=3), Schedule(1, 8))
    rate = stopwatch.measure(FineTune("c", "label", settings, spec))
    assert rate.flops > 0 and rate.conditions == "median of 3 updates of 4"  # as many frames as images otherwise


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    "task",
    [SiamesePretext(dimensions=16), Geometry(first_stage_epochs=1, flow="dis", width=16), DeepCluster(dimensions=8)],
)
def test_pretext_tasks_are_timed_on_what_they_look_at(stopwatch, task, stored):
    shown = example(material=task.material(), clip=40)
    rate = stopwatch.measure(Pretrain("d", "label", shown, task, SMALL, Schedule(2, 16), stored))
    assert rate.seconds > 0 and rate.flops > 0
    assert rate.conditions == f"mean of {2 if task.name == 'geometry' else 1} updates of 16"


def test_a_given_video_is_encoded_as_it_is(stopwatch):
    rate = stopwatch.measure(Encoding("e", "label", example()))
    assert rate.seconds > 0 and rate.flops is None
    assert rate.conditions == f"{7 * 60} frames of clips of one video, given"


def test_a_video_that_is_not_there_is_simulated(monkeypatch):
    monkeypatch.setattr(samples, "_HEIGHTS", {"unbc": 48})
    monkeypatch.setattr(samples, "_FRAMES", 60)
    with Stopwatch("cpu") as stopwatch:
        rate = stopwatch.measure(Encoding("e", "label", example(record_type=ExpectedRecord)))
    assert rate.seconds > 0 and rate.conditions.endswith("simulated")


def test_images_are_read_back_from_disk(stopwatch):
    rate = stopwatch.measure(Read("r", "label", example(replace(SPEC, frames=3))))
    assert rate.seconds > 0 and rate.flops is None
    assert rate.conditions == "median of 3 readings of 21, on one core"


def test_fits_are_not_timed(stopwatch):
    assert stopwatch.measure(Fit("f", "label")) is None


def test_rates_are_kept_with_their_circumstances(tmp_path):
    file = rates_file(tmp_path, "cpu")
    assert read_rates(file) == {}
    known = {"key": Rate("label", "images", 0.25, "conditions", 1e9)}
    write_rates(file, known, "cpu")
    assert read_rates(file) == known
    kept = json.loads(file.read_text())
    assert kept["device"].startswith("core of ") and kept["environment"]["versions"]["torch"]


def test_a_damaged_file_is_named(tmp_path):
    file = rates_file(tmp_path, "cpu")
    file.parent.mkdir()
    file.write_text('{"rates": {"key": {"seconds": 1}}}')
    with pytest.raises(ValueError, match=r"rates/.*\.json holds no rates .*; remove it and measure again"):
        read_rates(file)
