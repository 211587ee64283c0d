"""The functions that workers run: simulate, encode, pretrain, fine-tune. Each leaves one file and can be repeated."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from repro.data.encoding import InputSpec
from repro.data.inputs import InputSet, read_inputs, write_shard
from repro.data.material import Material
from repro.data.stored_images import StoredImages
from repro.learning.finetune import FineTuning, fine_tune, predict, pretrained
from repro.learning.pretext import BackboneSpec, PretextPool, PretextTask, Report, train_pretext
from repro.learning.probe import LinearProbe, features
from repro.learning.schedule import Schedule
from repro.learning.seeds import seed_from
from repro.suite.store import CellPredictions, Store

__all__ = ["encode_subject", "fit_reference", "pretrain", "train_cell"]


IN_MEMORY = 1 << 30
"""Bytes of images that a pretext task holds decoded; a larger pool is decoded batch by batch, about 1 ms an image."""


def _nothing(fraction: float, message: str) -> None:
    """Ignore progress."""


def encode_subject(
    store: str, key: str, work: Sequence[Any], spec: InputSpec, material: Material, report: Report = _nothing
) -> None:
    """Encode one subject's clips into the input cache."""
    write_shard(Store(store).input_folder(key), work, spec, material, report)


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
    report: Report = _nothing,
) -> None:
    """Train a pretext network and store it with its history, and with whether its data was simulated."""
    import shutil

    from safetensors.torch import save

    place = Store(store)
    begin = time.monotonic()
    checkpoint = place.root / "checkpoints" / key
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
    run_as = {**_circumstances(begin), "simulated": simulated}
    place.write_artifact(
        key, save(result.state), {"description": description, "history": result.history, "run": run_as}
    )
    shutil.rmtree(checkpoint, ignore_errors=True)


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
    report: Report = _nothing,
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
            train.images[:], levels, n_levels, settings, seed=seed, state=state, device=device, report=report
        )
        scores = predict(network, test.images[:])
    _write(place, key, description, test, scores, fold, repetition, begin)


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
    report: Report = _nothing,
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


def _split(
    inputs: InputSet, train_subjects: Sequence[str], labelled: Sequence[str] | None
) -> tuple[InputSet, InputSet]:
    """Return the training subjects' clips whose labels are known (None: all), and the clips of the others."""
    trained = np.isin(inputs.subjects, train_subjects)
    if trained.all() or not trained.any():
        raise ValueError(
            f"{trained.sum()} of {len(trained)} clips belong to training subjects, so one side of the fold is empty; "
            "use fewer folds or more subjects"
        )
    known = trained if labelled is None else trained & np.isin(inputs.ids, labelled)
    return inputs.select(np.flatnonzero(known)), inputs.select(np.flatnonzero(~trained))


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
    store.write(key, predictions, {"description": description, "run": _circumstances(begin)})


def _circumstances(begin: float) -> dict[str, Any]:
    """Return seconds, peak memory of this process where the platform tells it, and what it ran on."""
    import torch

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
    }
