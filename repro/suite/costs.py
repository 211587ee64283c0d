"""From a plan to work that can be timed: training images of each network, frames of each encoding, features, fits.

A unit is something whose time does not depend on how often it is done, so that seconds are units times a rate that was
measured (`repro.suite.rates`). Left out, as it is small beside the rest: what a pretext task measures on held-out
subjects after each epoch, the classifier of a probe, and reading images back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from repro.data.clips import Clip
from repro.data.encoding import InputSpec
from repro.data.features import Extractor
from repro.data.material import Material
from repro.data.schema import VideoRecord
from repro.learning.finetune import FineTuning
from repro.learning.pretext import BackboneSpec, PretextTask
from repro.learning.schedule import Schedule
from repro.suite.engine import Task
from repro.suite.store import hash_of

__all__ = ["Encoding", "Example", "Features", "FineTune", "Fit", "Infer", "Ledger", "Measure", "Pretrain", "Work"]


@dataclass(frozen=True, eq=False)
class Example:
    """One video of those that are encoded, with its clips: what a rate is measured on.

    Parameters
    ----------
    dataset : str
    record : VideoRecord
        An `repro.suite.expected_data.ExpectedRecord` where the data is not there.
    clips : sequence of (Clip, str)
        Each with the name of its source.
    spec, material
        How they become images.
    """

    dataset: str
    record: VideoRecord
    clips: Sequence[tuple[Clip, str]]
    spec: InputSpec
    material: Material


@dataclass(frozen=True)
class Work:
    """Work of one kind, counted in units of its own; equal if its key is.

    Parameters
    ----------
    key : str
        Hash of all that its rate depends on, but for the device.
    label : str
        What readers see.
    """

    key: str
    label: str = field(compare=False)

    kind = "work"
    unit = "units"
    on_device = False
    """Whether a GPU does it; all else is done by the CPU."""


@dataclass(frozen=True)
class Pretrain(Work):
    """Updates of a pretext task, by the images that they are fed, on average over the schedule's epochs."""

    example: Example = field(compare=False, repr=False)
    task: PretextTask = field(compare=False, repr=False)
    backbone: BackboneSpec = field(compare=False, repr=False)
    schedule: Schedule = field(compare=False, repr=False)

    kind = "pretext"
    unit = "images"
    on_device = True


@dataclass(frozen=True)
class FineTune(Work):
    """Updates of a classifier, by images, or by volumes where the network is 3D."""

    settings: FineTuning = field(compare=False, repr=False)
    spec: InputSpec = field(compare=False, repr=False)

    kind = "fine-tuning"
    unit = "images"
    on_device = True


@dataclass(frozen=True)
class Infer(Work):
    """Images or volumes that a network is only shown."""

    backbone: BackboneSpec = field(compare=False, repr=False)
    spec: InputSpec = field(compare=False, repr=False)

    kind = "inference"
    unit = "images"
    on_device = True


@dataclass(frozen=True)
class Encoding(Work):
    """Frames of clips that become images: decoding, alignment, flow, distillation, writing.

    Frames that clips share count for each of them; all videos of a dataset are cut alike.
    """

    example: Example = field(compare=False, repr=False)

    kind = "encoding"
    unit = "frames"


@dataclass(frozen=True)
class Features(Work):
    """Frames of clips that features are computed of: decoding, alignment, distillation, and the extractors'."""

    example: Example = field(compare=False, repr=False)
    extractors: Sequence[Extractor] = field(compare=False, repr=False)

    kind = "features"
    unit = "frames"


@dataclass(frozen=True)
class Fit(Work):
    """Fits of a supervised system, or of a reference."""

    kind = "fits"
    unit = "fits"


@dataclass(frozen=True)
class Measure(Work):
    """Measurements that are no predictions, each of which times or compares what it is about."""

    kind = "measurements"
    unit = "measurements"


class _Encoded(NamedTuple):
    """What an encoding task will leave: its subject, and the clips of each video."""

    subject: str
    clips: Mapping[str, int]
    example: Example

    @property
    def spec(self) -> InputSpec:
        return self.example.spec

    @property
    def n(self) -> int:
        return sum(self.clips.values())


class Ledger:
    """Counts the work of tasks, each task once however many tables need it.

    Parameters
    ----------
    datasets : mapping
        Identity of a record -> the name of its dataset.
    """

    def __init__(self, datasets: Mapping[int, str]) -> None:
        self._datasets = datasets
        self._counted: set[str] = set()
        self._encoded: dict[str, _Encoded] = {}

    def add(self, tasks: Iterable[Task], remaining: Iterable[Task]) -> tuple[Counter[Work], Counter[str]]:
        """Count what remains of a plan and was not counted before.

        Parameters
        ----------
        tasks : iterable of Task
            All of the plan: what is trained on is known from those that encode it, whether they are done or not.
        remaining : iterable of Task

        Returns
        -------
        units : Counter
            Work -> units of it.
        steps : Counter
            Kind of task -> how many.
        """
        for task in tasks:
            if task.kind == "input" and task.id not in self._encoded:
                self._encoded[task.id] = self._read(task)
        units: Counter[Work] = Counter()
        steps: Counter[str] = Counter()
        for task in remaining:
            steps[task.kind] += task.id not in self._counted
            for work, count in self._units(task):
                units[work] += count
            self._counted.add(task.id)
        return +units, +steps

    def _units(self, task: Task) -> Iterator[tuple[Work, int]]:
        if task.kind == "features":
            yield from self._features(task)
        elif task.id in self._counted:
            return
        elif task.kind == "input":
            yield self._encoding(task)
        elif task.kind == "pretext":
            yield from self._pretext(task)
        elif task.kind == "measure":
            yield Measure(hash_of({"measure": task.label}), task.label), 1
        elif "estimator" in task.arguments:
            label = _system(task.arguments["estimator"])
            yield Fit(hash_of({"fit": label}), label), 1
        elif "settings" in task.arguments:
            yield from self._training(task)

    def _encoding(self, task: Task) -> tuple[Work, int]:
        example = self._encoded[task.id].example
        spec, material, dataset = example.spec, example.material, example.dataset
        described = {"dataset": dataset, "input": spec.describe(), "material": material.describe()}
        label = f"{_shown(spec)} of {dataset}" + ("" if type(material) is Material else f", {material.name}")
        frames = sum(len(clip) for _, clips in task.arguments["work"] for clip, _ in clips)
        return Encoding(hash_of({"encoding": described}), label, example), frames

    def _features(self, task: Task) -> Iterator[tuple[Work, int]]:
        """Count the extractors that were not counted before."""
        work, spec, wanted = (task.arguments[name] for name in ("work", "spec", "wanted"))
        new = {key: extractor for key, extractor in wanted.items() if f"{task.id} {key}" not in self._counted}
        if not new:
            return
        self._counted.update(f"{task.id} {key}" for key in new)
        dataset = self._datasets[id(work[0][0])]
        described = {
            "dataset": dataset,
            "input": spec.describe(),
            "extractors": sorted(hash_of(extractor.describe()) for extractor in new.values()),
        }
        label = f"{', '.join(sorted({extractor.name for extractor in new.values()}))} of {dataset}, {_shown(spec)}"
        frames = sum(len(clip) for _, clips in work for clip in clips)
        record, clips = work[0]
        example = Example(dataset, record, [(clip, "") for clip in clips], spec, Material())
        yield Features(hash_of({"features": described}), label, example, tuple(new.values())), frames

    def _read(self, task: Task) -> _Encoded:
        work, spec, material = (task.arguments[name] for name in ("work", "spec", "material"))
        record, items = work[0]
        # of stills that are only counted, a clip stands for as many as it has frames
        clips = {r.video: sum(len(clip) for clip, _ in own) if r.divisible else len(own) for r, own in work}
        return _Encoded(record.subject, clips, Example(self._datasets[id(record)], record, items, spec, material))

    def _pretext(self, task: Task) -> Iterator[tuple[Work, int]]:
        given = task.arguments
        pretext, backbone, schedule = given["task"], given["backbone"], given["schedule"]
        shards = [self._encoded[f"input-{key}"] for keys in given["shards"].values() for key in keys]
        spec = shards[0].spec
        described = {
            "pretext": pretext.description(),
            "backbone": backbone.describe(),
            "schedule": {"epochs": schedule.epochs, "batch": schedule.batch_size},
            "size": spec.size,
            "images": spec.images_per_clip,
            "stills": shards[0].example.record.divisible,
        }
        seen = "stills" if shards[0].example.record.divisible else spec.kind
        label = (
            f"{pretext.name}{_changes(asdict(pretext), asdict(type(pretext)()))} of {seen}, {_network(backbone, spec)}"
        )
        images = schedule.epochs * given["steps_per_epoch"] * schedule.batch_size
        yield Pretrain(hash_of(described), label, shards[0].example, pretext, backbone, schedule), images
        reassign = getattr(pretext, "reassign", None)
        if reassign is not None:  # clusters are those of features of the whole pool
            videos = [chosen for chosen in given["videos"].values() if chosen is not None]
            seen = {name for chosen in videos for name in chosen}
            clips = (shard.clips.items() for shard in shards)
            pool = sum(count for own in clips for video, count in own if not videos or video in seen)
            yield _infer(backbone, spec), pool * math.ceil(schedule.epochs / reassign)

    def _training(self, task: Task) -> Iterator[tuple[Work, int]]:
        given = task.arguments
        settings: FineTuning = given["settings"]
        trained = set(given["train_subjects"])
        own = [self._encoded[f"input-{key}"] for key in given.get("tested", given["shards"])]
        spec = own[0].spec
        tested = sum(shard.n for shard in own if shard.subject not in trained)
        if isinstance(given["shards"], Mapping):
            seen = sum(self._chosen(keys, given["videos"][name]) for name, keys in given["shards"].items())
        elif given["labelled"] is not None:
            seen = len(given["labelled"])
        else:
            seen = sum(shard.n for shard in own if shard.subject in trained)
        shown = tested * 2 * (1 if spec.is_volume else spec.images_per_clip)  # with their mirror images
        if given.get("probed"):
            yield _infer(settings.backbone, spec), shown + seen * 2 * spec.images_per_clip
            return
        described = {
            "fine-tuning": settings.backbone.describe(),
            "batch": settings.schedule.batch_size,
            "size": spec.size,
            "frames": spec.images_per_clip if spec.is_volume else 1,
        }
        label = _network(settings.backbone, spec)
        yield FineTune(hash_of(described), label, settings, spec), _images_of(settings, seen)
        yield _infer(settings.backbone, spec), shown

    def _chosen(self, keys: Iterable[str], videos: Iterable[str] | None) -> int:
        shards = [self._encoded[f"input-{key}"] for key in keys]
        if videos is None:
            return sum(shard.n for shard in shards)
        wanted = set(videos)
        return sum(n for shard in shards for video, n in shard.clips.items() if video in wanted)


def _images_of(settings: FineTuning, clips: int) -> int:
    """Return how many images a fine-tuning is fed in all, as `repro.learning.finetune.fine_tune` passes over clips."""
    return settings.schedule.epochs * settings.passes(clips)[0] * clips


def _infer(backbone: BackboneSpec, spec: InputSpec) -> Infer:
    described = {"inference": backbone.describe(), "size": spec.size, "frames": spec.volume if spec.is_volume else 1}
    return Infer(hash_of(described), _network(backbone, spec), backbone, spec)


def _network(backbone: BackboneSpec, spec: InputSpec) -> str:
    width = "" if backbone.width == 1 else f" x {backbone.width:g}"
    frames = f", {spec.volume} frames" if spec.is_volume else ""
    return f"{backbone.name}{width} {backbone.dims}D, {spec.size} px{frames}"


def _shown(spec: InputSpec) -> str:
    """Name what is shown, and how it differs from the usual."""
    return spec.kind + _changes(spec.describe(), InputSpec(spec.kind, spec.size).describe())


def _changes(given: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    told = [f"{name}={value}" for name, value in given.items() if usual.get(name) != value]
    return f" ({', '.join(told)})" if told else ""


def _system(estimator: Any) -> str:
    """Name what is fitted: an estimator, or a class or function that makes one."""
    return str(getattr(estimator, "name", None) or getattr(estimator, "__name__", type(estimator).__name__))
