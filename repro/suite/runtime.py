"""Times that Table 3 shows: seconds a frame of SSD with a 2D network and of a 3D one, and what SSD adds to training.

Each is one task that runs alone. Decoding and the alignment of faces are outside the clock, as in
`repro.learning.timing`. What was measured is tied to the device and the number of threads, which stand in the key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repro.data.clips import Clip
from repro.data.encoding import InputSpec, encode_clip, prepare_face
from repro.data.schema import VideoRecord
from repro.learning.backbones import Backbone
from repro.learning.finetune import FineTuning, fine_tune
from repro.learning.pretext import BackboneSpec, Report
from repro.learning.seeds import seed_from
from repro.learning.timing import FRAMES, VIDEOS, draw_videos, time_per_frame
from repro.suite.corpus import NotPossible
from repro.suite.engine import Task
from repro.suite.measured import Measurement, Setting
from repro.suite.store import Store, hash_of
from repro.suite.tasks import circumstances_of

__all__ = [
    "SIZES",
    "VERSION",
    "Sizes",
    "measure_overhead",
    "measure_runtime",
    "plan_runtime",
    "plan_training_overhead",
]

VERSION = 1
"""Raised when the same description would measure something else."""

_THREADS = 1
"""PyTorch's, of a task; see `repro.suite.engine.limit_threads`."""

_REPETITIONS = 3
"""Times that training and distillation are timed."""

_WARM_UP = 2
"""Updates before the clock starts."""

_SERIES: Mapping[str, str] = MappingProxyType({"SSD(RGB)": "SSD", "Video": "3D"})
"""Input of a place -> what is stored of it."""


@dataclass(frozen=True)
class Sizes:
    """How much is timed.

    Parameters
    ----------
    videos : int
        Whole videos that both networks are timed on.
    exact : bool
        Whether they must have the length that the paper asks for; if not, the nearest to it are taken where too few do.
    repeats : int
        Times that each of them is timed.
    clips, updates : int
        Clips that are distilled, and updates that are made, in each repetition of what SSD adds to training.
    """

    videos: int
    exact: bool
    repeats: int
    clips: int
    updates: int


SIZES: Mapping[str, Sizes] = MappingProxyType(
    {
        "smoke": Sizes(videos=1, exact=False, repeats=1, clips=4, updates=2),
        "quick": Sizes(videos=5, exact=False, repeats=3, clips=40, updates=24),
        "paper": Sizes(videos=VIDEOS, exact=True, repeats=3, clips=40, updates=24),
    }
)
"""By the name of the scale."""


def plan_runtime(setting: Setting) -> Measurement:
    """Plan the timing of a network in 2D, after SSD, and in 3D, on the same whole videos.

    Both are timed in one task, whose key does not depend on the place: it stores the series "SSD" and "3D", seconds a
    frame of each video.

    Parameters
    ----------
    setting : Setting
        Whose place has the input "SSD(RGB)" or "Video".

    Raises
    ------
    NotPossible
        For another input, or without enough videos.
    """
    if setting.place.input not in _SERIES:
        raise NotPossible(f"seconds a frame are measured of {' and '.join(_SERIES)}, not of {setting.place.input}")
    sizes, spec = _sizes(setting), replace(setting.spec, kind="SSD(RGB)")
    records = _videos(setting, sizes, spec)
    flat = replace(setting.settings.backbone, dims=2)
    description = {
        "version": VERSION,
        "measure": "seconds per frame",
        "data": setting.corpus.dataset.fingerprint,
        "videos": [record.video for record in records],
        "input": spec.describe(),
        "backbone": flat.describe(),
        "repeats": sizes.repeats,
    }
    seconds = sum(record.n_frames for record in records) * (sizes.repeats + 1) * 0.002 * (spec.size / 64) ** 2
    task = _task(
        setting,
        description,
        f"seconds a frame of {flat.name}",
        max(1.0, seconds),
        measure_runtime,
        {"records": tuple(records), "spec": spec, "backbone": flat, "repeats": sizes.repeats},
    )
    return Measurement(task.arguments["key"], _SERIES[setting.place.input], task)


def measure_runtime(
    store: str,
    key: str,
    description: Mapping[str, Any],
    records: Sequence[VideoRecord],
    spec: InputSpec,
    backbone: BackboneSpec,
    repeats: int,
    device: str,
    report: Report,
) -> None:
    """Time a network in 2D and in 3D, video by video and one after the other, and store the seconds a frame."""
    begin = time.monotonic()
    networks: dict[str, Backbone] = {
        name: replace(backbone, dims=dims).build(torch.Generator().manual_seed(0))  # type: ignore[misc]
        for name, dims in (("SSD", 2), ("3D", 3))
    }
    values: dict[str, list[float]] = {name: [] for name in networks}
    with _threads():
        for number, record in enumerate(records):
            video = prepare_face(record, spec).frames
            for name, network in networks.items():
                timing = time_per_frame(
                    network,
                    [video],
                    distillation=lambda frames: encode_clip(frames, spec),
                    device=device,
                    repeats=repeats,
                    warmup=int(number == 0),
                )
                values[name] += timing.per_frame.tolist()
            report((number + 1) / len(records), record.video)
    units = [record.video for record in records]
    series = {name: {"values": own, "units": units} for name, own in values.items()}
    _store(store, key, series, description, begin, device)


def plan_training_overhead(setting: Setting) -> Measurement:
    """Plan the timing of what SSD adds to the training of the 2D network, in percent.

    That is the time that it takes to distil every labelled clip once, over the time of training on frames of the same
    clips. Both are measured on a sample and extrapolated in proportion: the mean seconds of a clip times all labelled
    clips, the mean seconds of an update times all updates that the settings ask for with so many clips. The series
    "overhead" has one value for each of three repetitions.

    Parameters
    ----------
    setting : Setting

    Raises
    ------
    ValueError
        For a scale that `SIZES` does not know.
    """
    sizes, spec = _sizes(setting), replace(setting.spec, kind="SSD(RGB)")
    settings = replace(setting.settings, backbone=replace(setting.settings.backbone, dims=2))
    labelled = setting.corpus.labelled
    chosen = _sample(labelled, min(sizes.clips, len(labelled)), setting.corpus.dataset.name)
    by_video: dict[str, list[Clip]] = {}
    for clip in chosen:
        by_video.setdefault(clip.video, []).append(clip)
    records = {record.video: record for record in setting.corpus.dataset.records}
    frames = replace(spec, kind="RGB")
    description = {
        "version": VERSION,
        "measure": "training overhead",
        "data": setting.corpus.labelled_description,
        "clips": [clip.id for clip in chosen],
        "input": spec.describe(),
        "frames": frames.describe(),
        "fine_tuning": settings.describe(),
        "updates": sizes.updates,
        "repetitions": _REPETITIONS,
    }
    task = _task(
        setting,
        description,
        f"what SSD adds to the training of {settings.backbone.name}",
        _REPETITIONS * (0.05 * len(chosen) + 0.03 * sizes.updates) * (spec.size / 64) ** 2,
        measure_overhead,
        {
            "work": [(records[video], clips) for video, clips in by_video.items()],
            "n_clips": len(labelled),
            "n_levels": setting.corpus.dataset.n_levels,
            "spec": spec,
            "settings": settings,
            "updates": sizes.updates,
        },
    )
    return Measurement(task.arguments["key"], "overhead", task)


def measure_overhead(
    store: str,
    key: str,
    description: Mapping[str, Any],
    work: Sequence[tuple[VideoRecord, Sequence[Clip]]],
    n_clips: int,
    n_levels: int,
    spec: InputSpec,
    settings: FineTuning,
    updates: int,
    device: str,
    report: Report,
) -> None:
    """Time distillation and training on a sample of clips, and store by how much the one lengthens the other."""
    begin = time.monotonic()
    clips: list[Tensor] = []
    for record, own in work:
        video = prepare_face(record, spec).frames
        clips += [video[clip.start : clip.stop].to(device) for clip in own if clip.stop <= len(video)]
    if not clips:
        raise ValueError(f"{work[0][0].video}: no clip of the sample could be decoded; look at the videos")
    shown = torch.stack([encode_clip(clip, replace(spec, kind="RGB")).cpu() for clip in clips])
    # batches share what is left of a pass, see `fine_tune`
    size = round(n_clips / settings.passes(n_clips)[1])
    whole = replace(settings, schedule=replace(settings.schedule, batch_size=size))
    values = []
    with _threads():
        encode_clip(clips[0], spec)  # compiles the kernel
        for repetition in range(_REPETITIONS):
            distilling = _seconds_of_distillation(clips, spec) * n_clips
            training = _seconds_of_update(shown, n_levels, whole, updates, device) * settings.updates(n_clips)
            values.append(100 * distilling / training)
            report((repetition + 1) / _REPETITIONS, f"repetition {repetition + 1}")
    series = {"overhead": {"values": values, "units": [str(number + 1) for number in range(_REPETITIONS)]}}
    _store(store, key, series, description, begin, device)


def _seconds_of_distillation(clips: Sequence[Tensor], spec: InputSpec) -> float:
    """Mean seconds of a clip."""
    begin = _now(clips[0].device)
    for clip in clips:
        encode_clip(clip, spec)
    return (_now(clips[0].device) - begin) / len(clips)


def _seconds_of_update(shown: Tensor, n_levels: int, settings: FineTuning, updates: int, device: str) -> float:
    """Mean seconds of an update of fine-tuning.

    One whole batch, of which the sample's clips are repeated where there are too few, is trained on again and again.
    Levels take turns: how long an update takes does not depend on them, and a few clips may all have the same.
    """
    size = settings.schedule.batch_size
    ends: list[float] = []
    once = replace(settings.schedule, epochs=1)
    batch = replace(settings, schedule=once, min_updates=_WARM_UP + updates, balance=0.0)
    fine_tune(
        shown[torch.arange(size) % len(shown)],
        np.arange(size) % n_levels,
        n_levels,
        batch,
        seed=0,
        device=device,
        report=lambda *_: ends.append(_now(torch.device(device))),
    )
    return (ends[-1] - ends[_WARM_UP - 1]) / updates


def _sizes(setting: Setting) -> Sizes:
    if setting.scale.name not in SIZES:
        raise ValueError(f"nothing says how much is timed at scale {setting.scale.name!r}; add it to SIZES")
    return SIZES[setting.scale.name]


def _videos(setting: Setting, sizes: Sizes, spec: InputSpec) -> list[VideoRecord]:
    """Draw whole videos.

    Raises
    ------
    NotPossible
        If there are too few.
    """
    records = [r for r in setting.corpus.dataset.records if r.n_frames >= spec.shortest_clip]
    shortest, longest = FRAMES

    def off(record: VideoRecord) -> int:
        return max(shortest - record.n_frames, record.n_frames - longest, 0)

    if not sizes.exact and sum(off(record) == 0 for record in records) < sizes.videos:
        nearest = sorted(records, key=lambda record: (off(record), record.video))[: sizes.videos]
        if not nearest:
            raise NotPossible(f"no video of {setting.corpus.dataset.name} has {spec.shortest_clip} frames")
        return sorted(nearest, key=lambda record: record.video)
    try:
        return draw_videos(records, count=sizes.videos)
    except ValueError as error:
        raise NotPossible(str(error)) from error


def _sample(labelled: Sequence[Clip], count: int, name: str) -> list[Clip]:
    """Draw clips, in their order."""
    generator = np.random.default_rng(seed_from("timing", "clips", name))
    return [labelled[index] for index in sorted(generator.choice(len(labelled), count, replace=False))]


def _task(
    setting: Setting, description: Mapping[str, Any], label: str, cost: float, function: Any, arguments: dict[str, Any]
) -> Task:
    description = {**description, "device": torch.device(setting.device).type, "threads": _THREADS}
    key = hash_of(description)
    arguments |= {"store": setting.store, "key": key, "description": description, "device": setting.device}
    on_gpu = setting.device != "cpu"
    return Task(f"measure-{key}", "measure", label, cost, function, arguments, on_gpu=on_gpu, alone=True)


def _store(
    store: str, key: str, series: Mapping[str, Any], description: Mapping[str, Any], begin: float, device: str
) -> None:
    """Store what was measured, and what it ran on."""
    run_as = {**circumstances_of(begin), "threads": _THREADS}
    if device != "cpu":
        run_as["gpu"] = torch.cuda.get_device_name(device)
    Store(store).write_measurement(key, series, {"description": description, "run": run_as})


@contextmanager
def _threads() -> Iterator[None]:
    """Keep PyTorch to the number of threads that the key tells."""
    before = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
