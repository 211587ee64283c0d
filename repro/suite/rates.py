"""How long a unit of each kind of work takes on the machine at hand: measured on few units, kept beside the store.

Everything is timed by running the suite's own functions: `fine_tune` and `train_pretext` with few updates,
`write_shard` and `write_features` on one video. The video is one of the dataset where that is given, else a
simulated one of the dataset's size. On the CPU one thread works, as in the suite's tasks, so that seconds are those of
one core.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from repro.data.feature_files import write_features
from repro.data.inputs import read_inputs
from repro.files import write_atomically
from repro.learning.finetune import FineTuning, fine_tune
from repro.learning.pretext import train_pretext
from repro.suite.engine import available_cores, limit_threads
from repro.suite.provenance import environment
from repro.suite.samples import Samples
from repro.suite.units import Encoding, Features, FineTune, Infer, Pretrain, Read, Work

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode

__all__ = ["Rate", "Stopwatch", "device_label", "rates_file", "read_rates", "write_rates"]

_CPU_BATCH = 16
"""Images of an update on the CPU, where time grows with them; fewer would not make two sources of two subjects."""

_UPDATES = 4
"""Updates of a classifier of which the first is not timed."""


@dataclass(frozen=True)
class Rate:
    """What a unit of work takes.

    Parameters
    ----------
    label, unit : str
    seconds : float
        Of one unit.
    conditions : str
        What was timed.
    flops : float or None
        Floating-point operations of one unit, convolutions and matrix products only; None where no network works.
    """

    label: str
    unit: str
    seconds: float
    conditions: str
    flops: float | None = None


def device_label(device: str) -> str:
    """Name the hardware: the GPU, or one core of the processor."""
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    return f"core of {environment()['hardware']['processor']}"


def rates_file(store: Path, device: str) -> Path:
    """Return where the rates of a device are kept."""
    name = "".join(c if c.isalnum() else "-" for c in device_label(device)).strip("-").lower()
    return store / "rates" / f"{name}.json"


def read_rates(file: Path) -> dict[str, Rate]:
    """Read rates under the keys of the work; none if there is no such file.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    if not file.is_file():
        return {}
    try:
        return {key: Rate(**row) for key, row in json.loads(file.read_text(encoding="utf-8"))["rates"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} holds no rates ({error}); remove it and measure again") from error


def write_rates(file: Path, rates: Mapping[str, Rate], device: str) -> None:
    """Write rates with the hardware and versions that they were measured with."""
    content = {
        "device": device_label(device),
        "cores": available_cores(),
        "environment": environment(),
        "rates": {key: asdict(rate) for key, rate in rates.items()},
    }
    write_atomically(file, json.dumps(content, indent=1).encode())


class Stopwatch:
    """Measures rates; what several need is encoded once.

    Parameters
    ----------
    device : str
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._samples = Samples()
        limit_threads()

    def __enter__(self) -> Stopwatch:
        """Compile what is compiled at its first use, outside the clock."""
        from repro.ssd import distill

        distill(torch.zeros((4, 3, 8, 8), dtype=torch.uint8), segment_length=2)
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove what was encoded."""
        self._samples.close()

    def measure(self, work: Work) -> Rate | None:
        """Measure a rate; None where there is no way to but to do all of the work."""
        if isinstance(work, FineTune):
            return self._fine_tune(work)
        if isinstance(work, Infer):
            return self._infer(work)
        if isinstance(work, Pretrain):
            return self._pretrain(work)
        if isinstance(work, Read):
            return self._read(work)
        if isinstance(work, Encoding):
            _, seconds, frames = self._samples.shard(work.example)
            return Rate(work.label, work.unit, seconds / frames, self._samples.told(work.example, frames))
        return self._features(work) if isinstance(work, Features) else None

    def _batch(self, usual: int, frames: int = 1) -> int:
        """Return how many images, or volumes of so many frames, are timed at once."""
        return min(usual, max(2, _CPU_BATCH // frames)) if self.device == "cpu" else usual

    def _fine_tune(self, work: FineTune) -> Rate:
        spec = work.spec
        batch = self._batch(work.settings.schedule.batch_size, spec.volume if spec.is_volume else 1)
        shape = (spec.volume,) if spec.is_volume else ()

        def train(updates: int, report: Callable[[float, str], None]) -> None:
            n = updates * batch
            settings: FineTuning = replace(
                work.settings, schedule=replace(work.settings.schedule, epochs=1, batch_size=batch), min_updates=0
            )
            images = torch.randint(256, (n, *shape, 3, spec.size, spec.size), dtype=torch.uint8, generator=_seeded())
            fine_tune(images, np.arange(n) % 2, 2, settings, seed=0, device=self.device, report=report)

        ticks = _Ticks()
        train(_UPDATES, ticks)
        with _flop_counter() as counter:
            counted = _Flops(counter)
            train(2, counted)
        seconds = statistics.median(ticks.steps[1:])
        told = f"median of {_UPDATES - 1} updates of {batch}"
        return Rate(work.label, work.unit, seconds / batch, told, counted.steps[1] / batch)

    @torch.no_grad()
    def _infer(self, work: Infer) -> Rate:
        spec = work.spec
        batch = self._batch(256, spec.volume if spec.is_volume else 1)
        network = work.backbone.build(_seeded()).eval().to(self.device)
        shape = (3, spec.volume, spec.size, spec.size) if spec.is_volume else (3, spec.size, spec.size)
        images = torch.zeros((batch, *shape), device=self.device)
        taken = []
        for _ in range(_UPDATES):
            begin = self._now()
            network(images)
            taken.append(self._now() - begin)
        with _flop_counter() as counter:
            network(images[:1])
        told = f"median of {_UPDATES - 1} batches of {batch}"
        return Rate(work.label, work.unit, statistics.median(taken[1:]) / batch, told, counter.get_total_flops())

    def _pretrain(self, work: Pretrain) -> Rate:
        """Time updates of each stage that the task has, but for the first of an epoch, which pays for its start."""
        batch = self._batch(work.schedule.batch_size)
        epochs = work.schedule.epochs if hasattr(work.task, "first_stage_epochs") else 1
        schedule = replace(work.schedule, batch_size=batch, epochs=epochs)
        pool = self._samples.pool(work.example, work.stored)

        def train(report: Callable[[float, str], None]) -> None:
            train_pretext(
                work.task, pool, work.backbone, schedule,
                steps_per_epoch=2, held_out_subjects=2, seed=0, device=self.device, report=report,
            )  # fmt: skip

        ticks = _Ticks()
        train(ticks)
        with _flop_counter() as counter:
            counted = _Flops(counter)
            train(counted)
        told = f"mean of {epochs} updates of {batch}"
        seconds, flops = statistics.mean(ticks.steps[1::2]), statistics.mean(counted.steps[1::2])
        return Rate(work.label, work.unit, seconds / batch, told, flops / batch)

    def _read(self, work: Read) -> Rate:
        images = read_inputs([self._samples.shard(work.example)[0]]).images
        count = images.shape[0] * (images.shape[1] if images.ndim == 5 else 1)
        taken = []
        for _ in range(_UPDATES):
            begin = time.perf_counter()
            images[:]
            taken.append(time.perf_counter() - begin)
        told = f"median of {_UPDATES - 1} readings of {count}, on one core"
        return Rate(work.label, work.unit, statistics.median(taken[1:]) / count, told)

    def _features(self, work: Features) -> Rate:
        record, items = self._samples.video(work.example)
        clips = [clip for clip, _ in items]
        folder = self._samples.folder()
        wanted = {extractor: folder / f"{i}.safetensors" for i, extractor in enumerate(work.extractors)}
        begin = time.perf_counter()
        write_features([(record, clips)], work.example.spec, wanted, _nothing)
        seconds = time.perf_counter() - begin
        failed = [extractor.name for extractor, path in wanted.items() if not path.is_file()]
        if failed:
            raise ValueError(f"{', '.join(failed)} cannot be computed of {record.video}")
        frames = sum(map(len, clips))
        return Rate(work.label, work.unit, seconds / frames, self._samples.told(work.example, frames))

    def _now(self) -> float:
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _flop_counter() -> FlopCounterMode:
    from torch.utils.flop_counter import FlopCounterMode  # here, as it brings Triton along, which takes long to import

    return FlopCounterMode(display=False)


class _Ticks:
    """Receives progress after each update and keeps the time between them; losses were read, which waits for a GPU."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self._last = time.perf_counter()

    def __call__(self, fraction: float, message: str) -> None:
        now = time.perf_counter()
        self.steps.append(now - self._last)
        self._last = now


class _Flops:
    """Receives progress after each update and keeps the operations between them."""

    def __init__(self, counter: FlopCounterMode) -> None:
        self.steps: list[float] = []
        self._counter, self._last = counter, 0

    def __call__(self, fraction: float, message: str) -> None:
        total = self._counter.get_total_flops()
        self.steps.append(total - self._last)
        self._last = total


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _nothing(fraction: float, message: str) -> None:
    """Ignore progress."""
