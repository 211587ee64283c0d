"""The functions that workers run: encode, extract, pretrain, fit. Each leaves files of its own and can be repeated."""

from __future__ import annotations

import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.supervised.estimator import SupervisedEstimator
from repro.data.clips import Clip
from repro.data.encoding import InputSpec
from repro.data.feature_files import read_features, write_features
from repro.data.features import ClipSet, Extractor, Moments
from repro.data.inputs import InputSet, read_inputs, write_shard
from repro.data.material import Material
from repro.data.schema import VideoRecord
from repro.data.stored_images import StoredImages
from repro.learning.common_levels import N_COMMON, from_common, to_common
from repro.learning.finetune import FineTuning, fine_tune, predict, pretrained
from repro.learning.pretext import BackboneSpec, PretextPool, PretextTask, Report, train_pretext
from repro.learning.probe import LinearProbe, features
from repro.learning.schedule import Schedule
from repro.learning.seeds import seed_from
from repro.memory import PeakMemory
from repro.suite.store import CellPredictions, Store

__all__ = [
    "circumstances_of",
    "encode_subject",
    "extract_subject",
    "fit_reference",
    "fit_supervised",
    "nothing",
    "pretrain",
    "train_across",
    "train_cell",
]


IN_MEMORY = 1 << 30
"""Bytes of images that a pretext task holds decoded; a larger pool is decoded batch by batch, about 1 ms an image."""


def nothing(fraction: float, message: str) -> None:
    """Ignore progress."""


def encode_subject(
    store: str, key: str, work: Sequence[Any], spec: InputSpec, material: Material, report: Report = nothing
) -> None:
    """Encode one subject's clips into the input cache."""
    write_shard(Store(store).input_folder(key), work, spec, material, report)


def extract_subject(
    store: str,
    work: Sequence[tuple[VideoRecord, Sequence[Clip]]],
    spec: InputSpec,
    wanted: Mapping[str, Extractor],
    report: Report = nothing,
) -> None:
    """Compute features of one subject's clips, each under its key."""
    place = Store(store)
    write_features(work, spec, {extractor: place.feature_file(key) for key, extractor in wanted.items()}, report)


def _load(store: Store, keys: Sequence[str]) -> InputSet:
    return read_inputs([store.input_folder(key) for key in keys])


def _pool(store: Store, shards: Mapping[str, Sequence[str]], videos: Mapping[str, Sequence[str] | None]) -> PretextPool:
    """Join the unlabelled clips of several datasets; names are made unique by the dataset's."""
    sets: list[InputSet] = []
    sources: list[str] = []
    whole: list[str] = []
    subjects: list[str] = []
    for dataset, keys in shards.items():
        inputs = _load(store, keys)
        chosen = videos[dataset]
        if chosen is not None:
            inputs = inputs.select(np.flatnonzero(np.isin(inputs.videos, chosen)))
        sets.append(inputs)
        sources += [f"{dataset}/{name}" for name in inputs.sources]
        whole += [f"{dataset}/{name}" for name in inputs.videos]
        subjects += [f"{dataset}/{name}" for name in inputs.subjects]
    return PretextPool(
        _decoded([part.images for part in sets]),
        np.array(sources),
        np.array(whole),
        np.array(subjects),
        {name: _decoded([part.views[name] for part in sets]) for name in sets[0].views},
        {name: np.concatenate([part.numbers[name] for part in sets]) for name in sets[0].numbers},
    )


def _decoded(parts: Sequence[StoredImages]) -> Tensor | StoredImages:
    stored = StoredImages.concatenate(parts)
    return stored[:] if stored.nbytes <= IN_MEMORY else stored


def pretrain(
    store: str,
    key: str,
    description: Mapping[str, Any],
    task: PretextTask,
    shards: Mapping[str, Sequence[str]],
    videos: Mapping[str, Sequence[str] | None],
    backbone: BackboneSpec,
    schedule: Schedule,
    steps_per_epoch: int,
    held_out_subjects: int,
    seed: int,
    device: str,
    simulated: bool,
    report: Report = nothing,
) -> None:
    """Train a pretext network and store it with its history, and with whether its data was simulated."""
    from safetensors.torch import save

    place = Store(store)
    begin = time.monotonic()
    checkpoint = _checkpoint(place, key)
    result = train_pretext(
        task,
        _pool(place, shards, videos),
        backbone,
        schedule,
        steps_per_epoch=steps_per_epoch,
        held_out_subjects=held_out_subjects,
        seed=seed,
        device=device,
        checkpoint=checkpoint,
        report=report,
    )
    run_as = {**circumstances_of(begin), "simulated": simulated}
    place.write_artifact(
        key, save(result.state), {"description": description, "history": result.history, "run": run_as}
    )
    shutil.rmtree(checkpoint, ignore_errors=True)


def _checkpoint(store: Store, key: str) -> Path:
    """Folder of a training's state, which is removed when the training's result is there."""
    return store.root / "checkpoints" / key


def train_cell(
    store: str,
    key: str,
    description: Mapping[str, Any],
    shards: Sequence[str],
    train_subjects: Sequence[str],
    n_levels: int,
    settings: FineTuning,
    pretext: str | None,
    shuffled: bool,
    probed: bool,
    labelled: Sequence[str] | None,
    fold: int,
    repetition: int,
    seed: int,
    device: str,
    report: Report = nothing,
) -> None:
    """Fine-tune on the training subjects' clips, or probe, predict the others', store the predictions."""
    from safetensors.torch import load

    place = Store(store)
    begin = time.monotonic()
    train, test = _split(_load(place, shards), train_subjects, labelled)
    levels = train.levels
    if shuffled:
        levels = np.random.default_rng(seed_from("shuffled labels", seed)).permutation(levels)
    state = None if pretext is None else load(place.read_artifact(pretext)[1])
    if probed:
        frozen = pretrained(settings.backbone, seed=seed, state=state).to(device)
        probe = LinearProbe(n_levels).fit(features(frozen, train.images[:]), levels, train.subjects)
        scores = probe.predict_proba(features(frozen, test.images[:])).astype(np.float32)
    else:
        network = fine_tune(
            train.images[:],
            levels,
            n_levels,
            settings,
            seed=seed,
            state=state,
            device=device,
            checkpoint=_checkpoint(place, key),
            report=report,
        )
        scores = predict(network, test.images[:])
    _write(place, key, description, test, scores, fold, repetition, begin)
    shutil.rmtree(_checkpoint(place, key), ignore_errors=True)


def train_across(
    store: str,
    key: str,
    description: Mapping[str, Any],
    shards: Mapping[str, Sequence[str]],
    videos: Mapping[str, Sequence[str] | None],
    tested: Sequence[str],
    target: str,
    train_subjects: Sequence[str],
    n_levels: int,
    settings: FineTuning,
    labelled: Sequence[str] | None,
    fold: int,
    repetition: int,
    seed: int,
    device: str,
    report: Report = nothing,
) -> None:
    """Train on labelled clips of datasets whose levels are brought to a common scale, test on a target's fold."""
    place = Store(store)
    begin = time.monotonic()
    images, levels = [], []
    for dataset, keys in shards.items():
        part = _load(place, keys)
        chosen = videos[dataset]
        if chosen is not None:
            part = part.select(np.flatnonzero(np.isin(part.videos, chosen)))
        images.append(part.images[:])
        levels.append(to_common(dataset, part.levels))
    _, test = _split(_load(place, tested), train_subjects, labelled)
    network = fine_tune(
        torch.cat(images),
        np.concatenate(levels),
        N_COMMON,
        settings,
        seed=seed,
        device=device,
        checkpoint=_checkpoint(place, key),
        report=report,
    )
    scores = from_common(target, predict(network, test.images[:]), n_levels).astype(np.float32)
    _write(place, key, description, test, scores, fold, repetition, begin)
    shutil.rmtree(_checkpoint(place, key), ignore_errors=True)


def fit_reference(
    store: str,
    key: str,
    description: Mapping[str, Any],
    shards: Sequence[str],
    train_subjects: Sequence[str],
    n_levels: int,
    estimator: Callable[[], Any],
    features: Mapping[str, int] | None,
    labelled: Sequence[str] | None,
    fold: int,
    repetition: int,
    report: Report = nothing,
) -> None:
    """Fit an estimator on images, or on one integer feature given for each clip, and store its predictions."""
    place = Store(store)
    begin = time.monotonic()
    train, test = _split(_load(place, shards), train_subjects, labelled)
    model = estimator()
    inputs = [
        part.images[:] if features is None else np.array([features[name] for name in part.ids])
        for part in (train, test)
    ]
    model.fit(inputs[0], train.levels, train.subjects)
    scores = np.zeros((len(test.clips), n_levels), np.float32)
    probabilities = model.predict_proba(inputs[1])
    scores[:, : probabilities.shape[1]] = probabilities
    _write(place, key, description, test, scores, fold, repetition, begin)


def fit_supervised(
    store: str,
    key: str,
    description: Mapping[str, Any],
    features: Mapping[Extractor, Sequence[str]],
    clips: Sequence[Clip],
    frame_levels: Mapping[str, NDArray[np.int64]] | None,
    train_subjects: Sequence[str],
    n_levels: int,
    estimator: SupervisedEstimator,
    shuffled: bool,
    labelled: Sequence[str] | None,
    fold: int,
    repetition: int,
    seed: int,
    device: str,
    report: Report = nothing,
) -> None:
    """Fit a supervised system to the training subjects' clips and store what it predicts for the others'.

    Levels of frames are those of the training clips only; the others come without any.
    """
    place = Store(store)
    begin = time.monotonic()
    with PeakMemory(device) as memory:
        made, known = _features(place, features, clips)
        train, test = _sides(np.array([clip.subject for clip in known]), train_subjects)
        if labelled is not None:
            train = train[np.isin([known[i].id for i in train], labelled)]
        levels = np.array([known[i].level for i in train])
        of_frames = None if frame_levels is None else [frame_levels[known[i].id] for i in train]
        if shuffled:
            order = np.random.default_rng(seed_from("shuffled labels", seed)).permutation(len(train))
            levels = levels[order]
            of_frames = None if of_frames is None else _exchanged(of_frames, order)
        training, tested = _clip_set(made, known, train, of_frames), _clip_set(made, known, test)
        estimator.run_with(seed=seed, device=device, report=report, checkpoint=_checkpoint(place, key))
        estimator.fit(training, levels, training.subjects)
        scores = np.zeros((len(test), n_levels), np.float32)
        scores[:, : estimator.n_levels_] = estimator.predict_proba(tested)
    truth = np.array([known[i].level for i in test])
    predictions = CellPredictions(tested.ids, tested.subjects, truth, scores, fold, repetition)
    run_as = {**circumstances_of(begin), "peak_bytes": memory.bytes}
    place.write(key, predictions, {"description": description, "run": run_as})
    shutil.rmtree(_checkpoint(place, key), ignore_errors=True)


def _exchanged(of_frames: Sequence[NDArray[np.int64]], order: NDArray[np.intp]) -> list[NDArray[np.int64]]:
    """Give each clip the levels of another's frames, stretched or thinned where lengths differ."""
    return [
        of_frames[other][np.arange(len(own)) * len(of_frames[other]) // len(own)]
        for own, other in zip(of_frames, order, strict=True)
    ]


def _features(
    store: Store, features: Mapping[Extractor, Sequence[str]], clips: Sequence[Clip]
) -> tuple[dict[Extractor, Moments], list[Clip]]:
    """Read what each extractor computed, and the clips that it was computed of."""
    found = {e: read_features([store.feature_file(key) for key in keys]) for e, keys in features.items()}
    by_id = {clip.id: clip for clip in clips}
    if not found:
        return {}, list(clips)
    ids = next(iter(found.values())).notes.ids
    for extractor, file in found.items():
        if file.notes.ids != ids:
            raise ValueError(
                f"features {extractor.name} are of other clips than those beside them; remove the store's "
                "folder features and run again"
            )
    return {extractor: file.moments for extractor, file in found.items()}, [by_id[name] for name in ids]


def _clip_set(
    made: Mapping[Extractor, Moments],
    clips: Sequence[Clip],
    index: NDArray[np.intp],
    frame_levels: Sequence[NDArray[np.int64]] | None = None,
) -> ClipSet:
    """Return some clips with nothing but their own features."""
    own = {extractor: moments.select(index) for extractor, moments in made.items()}
    return ClipSet([clips[i].id for i in index], [clips[i].subject for i in index], own.__getitem__, frame_levels)


def _sides(subjects: NDArray[np.str_], train_subjects: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which clips show training subjects, and which do not.

    Raises
    ------
    ValueError
        If there is none of either.
    """
    trained = np.isin(subjects, train_subjects)
    if trained.all() or not trained.any():
        raise ValueError(
            f"{trained.sum()} of {len(trained)} clips belong to training subjects, so one side of the fold is empty; "
            "use fewer folds or more subjects"
        )
    return np.flatnonzero(trained), np.flatnonzero(~trained)


def _split(
    inputs: InputSet, train_subjects: Sequence[str], labelled: Sequence[str] | None
) -> tuple[InputSet, InputSet]:
    """Return the training subjects' clips whose labels are known (None: all), and the clips of the others."""
    train, test = _sides(inputs.subjects, train_subjects)
    if labelled is not None:
        train = train[np.isin(inputs.ids[train], labelled)]
    return inputs.select(train), inputs.select(test)


def _write(
    store: Store,
    key: str,
    description: Mapping[str, Any],
    test: InputSet,
    scores: np.ndarray,
    fold: int,
    repetition: int,
    begin: float,
) -> None:
    predictions = CellPredictions(test.ids, test.subjects, test.levels, scores, fold, repetition)
    store.write(key, predictions, {"description": description, "run": circumstances_of(begin)})


def circumstances_of(begin: float) -> dict[str, Any]:
    """Return seconds, peak memory of this process where the platform tells it, and what it ran on."""
    peak = None
    if sys.platform != "win32":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "seconds": round(time.monotonic() - begin, 3),
        "peak_bytes": peak,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_initialized() else {}),
    }
