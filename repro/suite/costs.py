"""From a plan to work that can be timed: training images of each network, frames of each encoding, features, fits.

A unit is something whose time does not depend on how often it is done, so that seconds are units times a rate that was
measured (`repro.suite.rates`). Left out, as it is small beside the rest: what a pretext task measures on held-out
subjects after each epoch, and the classifier of a probe.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from typing import Any

from repro.data.encoding import InputSpec
from repro.data.features import Extractor
from repro.data.material import Material
from repro.learning.finetune import FineTuning
from repro.learning.pretext import BackboneSpec, PretextTask
from repro.learning.schedule import Schedule
from repro.suite import tasks
from repro.suite.encoding import frames_of
from repro.suite.engine import Task
from repro.suite.store import hash_of
from repro.suite.units import Encoding, Example, Features, FineTune, Fit, Infer, Measure, Pretrain, Read, Work

__all__ = ["Ledger"]


@dataclass(frozen=True, eq=False)
class _Encoded:
    """What an encoding task will leave: its subject, and the clips of each video."""

    subject: str
    clips: Mapping[str, int]
    example: Example

    @property
    def spec(self) -> InputSpec:
        return self.example.spec

    @cached_property
    def n(self) -> int:
        return sum(self.clips.values())

    def of(self, videos: Set[str]) -> int:
        """Count the clips of some videos."""
        if self.clips.keys() <= videos:
            return self.n
        return sum(n for video, n in self.clips.items() if video in videos)


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
        self._tasks: dict[str, tuple[Mapping[str, Any], str]] = {}
        self._trainings: dict[Hashable, Pretrain] = {}
        self._wanted: dict[int, tuple[Iterable[str], frozenset[str]]] = {}
        self._frames: dict[int, tuple[Sequence[Any], int]] = {}

    def add(self, planned: Iterable[Task], remaining: Iterable[Task]) -> tuple[Counter[Work], Counter[str]]:
        """Count what remains of a plan and was not counted before.

        Parameters
        ----------
        planned : iterable of Task
            All of the plan: what is trained on is known from those that encode it, whether they are done or not.
        remaining : iterable of Task

        Returns
        -------
        units : Counter
            Work -> units of it.
        steps : Counter
            Kind of task -> how many.
        """
        for task in planned:
            if task.kind == "input" and (key := task.arguments["key"]) not in self._encoded:
                self._encoded[key] = self._read(task)
        units: Counter[Work] = Counter()
        steps: Counter[str] = Counter()
        for task in remaining:
            if task.id in self._counted and task.kind != "features":
                continue
            steps[task.kind] += task.id not in self._counted
            for work, count in self._units(task):
                units[work] += count
            self._counted.add(task.id)
        return +units, +steps  # without those that count zero

    def _units(self, task: Task) -> Iterator[tuple[Work, int]]:
        if task.kind == "features":
            yield from self._features(task)
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
        example = self._encoded[task.arguments["key"]].example
        frames = self._frames_of(task.arguments["work"], frames_of)
        return Encoding(*_named_encoding(example.dataset, example.spec, example.material), example), frames

    def _frames_of(self, work: Sequence[Any], count: Callable[[Sequence[Any]], int]) -> int:
        """Count the frames of a list's clips; once for the same list, which many tasks share."""
        if id(work) not in self._frames:
            self._frames[id(work)] = work, count(work)
        return self._frames[id(work)][1]

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
            "extractors": sorted(_key_of_extractor(extractor) for extractor in new.values()),
        }
        label = f"{', '.join(sorted({extractor.name for extractor in new.values()}))} of {dataset}, {_shown(spec)}"
        frames = self._frames_of(work, lambda work: sum(len(clip) for _, items in work for clip in items))
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
        example = self._encoded[next(iter(given["shards"].values()))[0]].example
        spec = example.spec
        pool = spec.images_per_clip * sum(
            self._chosen(keys, given["videos"][name]) for name, keys in given["shards"].items()
        )
        stored = 3 * spec.size**2 * pool > tasks.IN_MEMORY
        alike = (repr(pretext), backbone, schedule, spec.size, spec.images_per_clip, example.record.divisible, stored)
        if alike not in self._trainings:
            self._trainings[alike] = self._training_of(pretext, backbone, schedule, example, stored=stored)
        images = schedule.epochs * given["steps_per_epoch"] * schedule.batch_size
        yield self._trainings[alike], images
        reassign = getattr(pretext, "reassign", None)
        looks = 0 if reassign is None else math.ceil(schedule.epochs / reassign)  # at the whole pool, to cluster it
        yield _infer(backbone, spec), looks * pool
        yield _read(example), pool * (looks if stored else 1)

    def _training_of(
        self, pretext: PretextTask, backbone: BackboneSpec, schedule: Schedule, example: Example, *, stored: bool
    ) -> Pretrain:
        """Return what it is to train a pretext network by an image."""
        spec = example.spec
        description, changes = self._task(pretext)
        described = {
            "pretext": description,
            "backbone": backbone.describe(),
            "schedule": {"epochs": schedule.epochs, "batch": schedule.batch_size},
            "size": spec.size,
            "images": spec.images_per_clip,
            "stills": example.record.divisible,
            "stored": stored,
        }
        views = f" by {spec.images_per_clip} images" if spec.images_per_clip > 1 else ""
        shown = "stills" if example.record.divisible else f"clips{views}"
        label = f"{pretext.name}{changes} of {shown}{', from disk' if stored else ''}, {_network(backbone, spec)}"
        return Pretrain(hash_of(described), label, example, pretext, backbone, schedule, stored)

    def _task(self, pretext: PretextTask) -> tuple[Mapping[str, Any], str]:
        """Return what a pretext task says of itself, and how it differs from the usual."""
        name = repr(pretext)
        if name not in self._tasks:
            own, usual = asdict(pretext), asdict(type(pretext)())  # type: ignore[call-overload]
            self._tasks[name] = pretext.description(), _changes(own, usual)
        return self._tasks[name]

    def _training(self, task: Task) -> Iterator[tuple[Work, int]]:
        given = task.arguments
        settings: FineTuning = given["settings"]
        trained = set(given["train_subjects"])
        own = [self._encoded[key] for key in given.get("tested", given["shards"])]
        spec = own[0].spec
        tested = sum(shard.n for shard in own if shard.subject not in trained)
        if isinstance(given["shards"], Mapping):
            seen = sum(self._chosen(keys, given["videos"][name]) for name, keys in given["shards"].items())
        elif given["labelled"] is not None:
            seen = len(given["labelled"])
        else:
            seen = sum(shard.n for shard in own if shard.subject in trained)
        shown = tested * 2 * (1 if spec.is_volume else spec.images_per_clip)  # with their mirror images
        yield _read(own[0].example), (seen + tested) * spec.images_per_clip
        if given.get("probed"):
            yield _infer(settings.backbone, spec), shown + seen * 2 * spec.images_per_clip
            return
        yield _fine_tune(settings, spec), _images_of(settings, seen)
        yield _infer(settings.backbone, spec), shown

    def _chosen(self, keys: Iterable[str], videos: Iterable[str] | None) -> int:
        shards = [self._encoded[key] for key in keys]
        if videos is None:
            return sum(shard.n for shard in shards)
        if id(videos) not in self._wanted:
            self._wanted[id(videos)] = videos, frozenset(videos)  # kept, so that no other object has its identity
        wanted = self._wanted[id(videos)][1]
        return sum(shard.of(wanted) for shard in shards)


def _images_of(settings: FineTuning, clips: int) -> int:
    """Return how many images a fine-tuning is fed in all, as `repro.learning.finetune.fine_tune` passes over clips."""
    return settings.schedule.epochs * settings.passes(clips)[0] * clips


@cache
def _named_encoding(dataset: str, spec: InputSpec, material: Material) -> tuple[str, str]:
    """Return the key and the label of an encoding."""
    described = {"dataset": dataset, "input": spec.describe(), "material": material.describe()}
    label = f"{_shown(spec)} of {dataset}" + ("" if type(material) is Material else f", {material.name}")
    return hash_of({"encoding": described}), label


@cache
def _fine_tune(settings: FineTuning, spec: InputSpec) -> FineTune:
    """Return what it is to train a network on an image."""
    described = {
        "fine-tuning": settings.backbone.describe(),
        "batch": settings.schedule.batch_size,
        "size": spec.size,
        "frames": spec.images_per_clip if spec.is_volume else 1,
    }
    return FineTune(hash_of(described), _network(settings.backbone, spec), settings, spec)


@cache
def _infer(backbone: BackboneSpec, spec: InputSpec) -> Infer:
    """Return what it is to show a network an image."""
    described = {"inference": backbone.describe(), "size": spec.size, "frames": spec.volume if spec.is_volume else 1}
    return Infer(hash_of(described), _network(backbone, spec), backbone, spec)


def _read(example: Example) -> Read:
    return Read(_key_of_reading(example.spec.size), f"{example.spec.size} px", example)


@cache
def _key_of_reading(size: int) -> str:
    return hash_of({"reading": size})


def _network(backbone: BackboneSpec, spec: InputSpec) -> str:
    width = "" if backbone.width == 1 else f" x {backbone.width:g}"
    frames = f", {spec.volume} frames" if spec.is_volume else ""
    return f"{backbone.name}{width} {backbone.dims}D, {spec.size} px{frames}"


@cache
def _key_of_extractor(extractor: Extractor) -> str:
    return hash_of(extractor.describe())


@cache
def _shown(spec: InputSpec) -> str:
    """Name what is shown, and how it differs from the usual."""
    return spec.kind + _changes(spec.describe(), InputSpec(spec.kind, spec.size).describe())


def _changes(given: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    told = [f"{name}={value}" for name, value in given.items() if usual.get(name) != value]
    return f" ({', '.join(told)})" if told else ""


def _system(estimator: Any) -> str:
    """Name what is fitted: an estimator, or a class or function that makes one."""
    return str(getattr(estimator, "name", None) or getattr(estimator, "__name__", type(estimator).__name__))
