"""Where the time of one step of the Siamese pretext task goes: the backbone, the affine hulls, and the rest.

``pytest tests/benchmarks/test_pretext.py --benchmark-only``; ``extra_info`` holds each part's milliseconds in the
fastest step and its share of that step in percent. The steps are those of `repro.learning.pretext.train_pretext`, the
images are noise.
"""

import time
from collections import Counter

import numpy as np
import pytest
import torch

from repro.learning.pretext import BackboneSpec, PretextPool
from repro.learning.schedule import Schedule
from repro.siamese import pretext
from repro.siamese.pretext import SiamesePretext
from repro.suite.scales import SCALES


def noise(size, subjects=4, sources=8, clips=8):
    """A pool of `subjects` with so many sources each."""
    count = subjects * sources * clips
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    number = np.arange(count)
    source, subject = (np.array([f"{k:03}" for k in number // part]) for part in (clips, sources * clips))
    return PretextPool(images, source, source, subject)


class Stopwatch:
    """Wall-clock seconds of the parts of one step, told apart by hooks.

    Autograd runs backwards through the loss, the hulls, the network: the network's share begins where the gradient
    of its output is known. The few operations between dissimilarities and loss are counted with the hulls.
    """

    def __init__(self, network, monkeypatch):
        self.seconds, self.begun, self.known = Counter(), 0.0, 0.0
        network.register_forward_pre_hook(self._enter)
        network.register_forward_hook(self._leave)
        dissimilarity, backward = pretext.dissimilarity, torch.Tensor.backward

        def timed_dissimilarity(*args, **settings):
            start = time.perf_counter()
            found = dissimilarity(*args, **settings)
            self.seconds["hull"] += time.perf_counter() - start
            return found

        def timed_backward(tensor, *args, **settings):
            start = time.perf_counter()
            backward(tensor, *args, **settings)
            self.seconds["hull"] += self.known - start
            self.seconds["backbone"] += time.perf_counter() - self.known

        monkeypatch.setattr(pretext, "dissimilarity", timed_dissimilarity)
        monkeypatch.setattr(torch.Tensor, "backward", timed_backward)

    def _enter(self, network, args):
        self.begun = time.perf_counter()

    def _leave(self, network, args, output):
        self.seconds["backbone"] += time.perf_counter() - self.begun
        output.register_hook(self._know)

    def _know(self, gradient):
        self.known = time.perf_counter()


QUICK = SCALES["quick"]
CASES = {
    # settings of the task, backbone, schedule, size, rounds
    "quick scale: 64 images of 64 pixels, ResNet-18 of quarter width": (
        SiamesePretext(**QUICK.pretext.options("siamese")),
        QUICK.fine_tuning.backbone,
        QUICK.pretext.schedule,
        QUICK.input.size,
        10,
    ),
    "16 images of 224 pixels, ResNet-50": (
        SiamesePretext(subjects_per_batch=1),
        BackboneSpec("resnet50"),
        Schedule(1, 16, 1e-3, clip_norm=1.0),
        224,
        1,
    ),
}


@pytest.mark.slow
@pytest.mark.benchmark(group="one step of the Siamese pretext task")
@pytest.mark.parametrize("case", CASES)
def test_share_of_the_hulls(benchmark, monkeypatch, case):
    task, backbone, schedule, size, rounds = CASES[case]
    pool, generator = noise(size), torch.Generator().manual_seed(0)
    network = task.network(backbone.build(generator), generator)
    optimiser = schedule.optimiser(network.parameters())
    features = torch.nn.functional.normalize(torch.randn(2, 1, 4, task.dimensions, generator=generator), dim=-1)
    pretext.dissimilarity(features, features.transpose(0, 1))  # compiles
    watch, steps = Stopwatch(network, monkeypatch), []

    def step():
        watch.seconds.clear()
        start = time.perf_counter()
        loss, _ = task.loss(network, pool, generator, schedule.batch_size)
        schedule.update(optimiser, loss, 0, 1)
        steps.append((time.perf_counter() - start, dict(watch.seconds)))

    benchmark.pedantic(step, rounds=rounds)
    total, parts = min(steps, key=lambda timed: timed[0])
    parts["rest"] = total - sum(parts.values())
    assert parts.keys() == {"backbone", "hull", "rest"} and all(seconds > 0 for seconds in parts.values())
    assert parts["backbone"] > 0.5 * total
    for name, seconds in parts.items():
        benchmark.extra_info[f"{name}_milliseconds"] = round(1e3 * seconds, 3)
        benchmark.extra_info[f"{name}_percent"] = round(100 * seconds / total, 3)
