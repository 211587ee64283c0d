"""Figure 2: the Siamese network with a batch, the affine hulls of its halves and their dissimilarity."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines import METHODS
from repro.data.inputs import InputSet, read_inputs
from repro.learning.augmentation import to_network
from repro.learning.pretext import BackboneSpec, PretextPool
from repro.learning.seeds import seed_from
from repro.siamese.pretext import SiamesePretext
from repro.suite.command import device_of
from repro.suite.corpus import Corpus
from repro.suite.illustrations.hulls import Pair, pair_of
from repro.suite.illustrations.illustration import Drawing, Steps
from repro.suite.illustrations.videos import add_faces_option, showable
from repro.suite.pretraining import PlannedPretext, plan_pretext
from repro.suite.spec import DATASET_LABELS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Batch", "add_network_options", "batch_frame", "draw_batch", "gather_batch"]


@dataclass(frozen=True, eq=False)
class Batch:
    """What the figure shows.

    Parameters
    ----------
    pairs : sequence of Pair
        Halves of one source, and of two.
    backbone : BackboneSpec
    trained : str
        What the network has learned, or that it has not.
    data : {"simulated", "licensed"}
    dataset : str
        Label of the dataset.
    """

    pairs: Sequence[Pair]
    backbone: BackboneSpec
    trained: str
    data: str
    dataset: str


@dataclass(frozen=True, eq=False)
class _Found:
    """A network and clips that it was not trained on."""

    network: nn.Module
    backbone: BackboneSpec
    trained: str
    task: SiamesePretext
    clips: InputSet
    pool: PretextPool
    n_sources: int
    corpus: Corpus


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the figure's own options."""
    parser.add_argument(
        "--network",
        choices=("trained", "random"),
        default="trained",
        help="the pretext network of the tables, trained if the store has none, or one with random weights; the figure "
        "says which (default %(default)s)",
    )
    add_faces_option(parser)


def gather_batch(steps: Steps) -> _Found:
    """Find the network and the clips of the subjects that were held out of its training."""
    options = steps.options
    name = "unbc" if options.biovid is None and options.unbc is not None else "biovid"
    corpus = steps.corpora([name])[name]
    allowed = {record.subject for record in showable({name: corpus.dataset}, options)[name]}
    planned, task = _planned(steps, name, corpus)
    random = getattr(options, "network", "trained") == "random"
    if damaged := steps.store.discard_damaged(planned.key, "artifact"):
        steps.remarks.append(damaged)
    training = [] if random or steps.store.has_artifact(planned.key) else [planned.training]
    steps.complete([*_missing(planned, steps), *training])
    clips, pool = _unseen(planned, steps, allowed)
    spec = steps.scale.fine_tuning.backbone
    network, trained = _random(spec) if random else _stored(spec, planned, steps)
    sources = max(2, planned.training.arguments["schedule"].batch_size // task.clips_per_source)
    return _Found(network.eval(), spec, trained, task, clips, pool, sources, corpus)


def _planned(steps: Steps, name: str, corpus: Corpus) -> tuple[PlannedPretext, SiamesePretext]:
    """Plan the network that the tables train on all videos of a dataset."""
    scale = steps.scale
    task: SiamesePretext = METHODS["siamese"].load()(**scale.pretext.options("siamese"))
    planned = plan_pretext(
        task,
        "siamese",
        {name: corpus},
        {name: None},
        replace(scale.input, kind="SSD(RGB)"),
        scale.fine_tuning,
        scale.pretext,
        repetition=0,
        store=str(steps.store.root),
        device=device_of(steps.options.device),
    )
    return planned, task


def _missing(planned: PlannedPretext, steps: Steps) -> list[Any]:
    return [task for key, task in planned.inputs.items() if not steps.store.input_folder(key).is_dir()]


def _unseen(planned: PlannedPretext, steps: Steps, allowed: set[str]) -> tuple[InputSet, PretextPool]:
    """Return the clips of subjects that the training held out, as far as they may be shown."""
    clips = read_inputs([steps.store.input_folder(key) for key in planned.inputs])
    everyone = PretextPool(clips.images, np.array(clips.sources), clips.videos, clips.subjects)
    arguments = planned.training.arguments
    _, held_out = everyone.split(arguments["held_out_subjects"], seed_from("pretext", "split", arguments["seed"]))
    unseen = set(held_out.subjects)
    if not (shown := unseen & allowed):
        raise ValueError(
            f"--show-faces: none of these subjects was held out of the network's training; name one of "
            f"{', '.join(sorted(unseen))}"
        )
    index = np.flatnonzero(np.isin(clips.subjects, sorted(shown)))
    return clips.select(index), everyone.select(index)


def _random(spec: BackboneSpec) -> tuple[nn.Module, str]:
    return spec.build(torch.Generator().manual_seed(seed_from("figure2", "random network"))), "random weights"


def _stored(spec: BackboneSpec, planned: PlannedPretext, steps: Steps) -> tuple[nn.Module, str]:
    from safetensors.torch import load

    entry, weights = steps.store.read_artifact(planned.key)
    network = spec.build(torch.Generator())
    network.load_state_dict(load(weights))
    last: Mapping[str, float] = entry["history"][-1]
    return network, f"trained, {last['step']:.0f} updates, pretext AUC {100 * last['held_out_accuracy']:.0f} % on them"


def draw_batch(found: _Found) -> Drawing:
    """Draw a batch as training draws it, and compare halves of one source and of two."""
    from repro.suite.illustrations.siamese_page import batch_plot

    dataset = found.corpus.dataset
    batch = Batch(
        _pairs(found),
        found.backbone,
        found.trained,
        "simulated" if dataset.simulated else "licensed",
        DATASET_LABELS[dataset.name],
    )
    return Drawing(batch_plot, batch, batch_frame(batch))


@torch.no_grad()
def _pairs(found: _Found) -> list[Pair]:
    generator = torch.Generator().manual_seed(seed_from("figure2", "batch"))
    index, group = found.task.draw(found.pool, found.n_sources, generator)
    other = next((i for i in range(1, len(index)) if group[i] == group[0]), None)
    if other is None:
        raise ValueError("the batch has one source only, and nothing to compare it with; use longer videos")
    chosen = index[[0, other]]
    images = _augmented(found.task, to_network(found.pool.images[chosen.flatten()]), generator)
    h = functional.normalize(found.network(images), dim=-1).double().unflatten(0, chosen.shape)
    pictures = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).unflatten(0, chosen.shape)
    half = found.task.clips_per_source // 2
    names = [[found.clips.clips[i].id for i in row] for row in chosen.tolist()]

    def pair(title: str, second: int) -> Pair:
        return pair_of(
            title,
            (pictures[0, :half], pictures[second, half:]),
            (names[0][:half], names[second][half:]),
            (h[0, :half], h[second, half:]),
        )

    subjects = {str(found.clips.subjects[int(row[0])]) for row in chosen}
    whose = "one subject" if len(subjects) == 1 else "two subjects"
    return [
        pair("a positive pair: halves of one stretch of video", 0),
        pair(f"a negative pair: two stretches of {whose}", 1),
    ]


def _augmented(task: SiamesePretext, images: Tensor, generator: torch.Generator) -> Tensor:
    """Augment as training does; the second half of each source is the one that is mirrored."""
    if not task.mirror:
        return task.augmentation(images, generator)
    images = replace(task.augmentation, flip=False)(images, generator)
    second = torch.arange(len(images)) % task.clips_per_source >= task.clips_per_source // 2
    return torch.where(second[:, None, None, None], images.flip(-1), images)


def batch_frame(batch: Batch) -> pd.DataFrame:
    """List every number of the figure.

    Returns
    -------
    DataFrame
        ``quantity`` is "sample" or "point", with coordinates ``x`` and ``y`` in the plane, "alpha", "beta", a term of
        Eq. 21, or "variance shown"; ``half`` is i or j; ``index`` and ``clip`` are those of the sample.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for pair in batch.pairs:
        plane, same = pair.plane, {"pair": pair.title}
        for half, samples, point, own, clips, name in zip(
            "ij", pair.samples, pair.points, pair.coefficients, pair.clips, ("alpha", "beta"), strict=True
        ):
            for index, (place, weight, clip) in enumerate(zip(plane.project(samples), own, clips, strict=True), 1):
                told = {**same, "half": half, "index": index, "clip": clip}
                rows.append({**told, "quantity": "sample", "x": float(place[0]), "y": float(place[1])})
                rows.append({**told, "quantity": name, "value": float(weight)})
            x, y = plane.project(point).tolist()
            rows.append({**same, "half": half, "quantity": "point", "x": x, "y": y})
        for term, value in {**pair.terms, "variance shown": plane.share}.items():
            rows.append({**same, "quantity": term, "value": value})
    columns = ["pair", "half", "index", "clip", "quantity", "value", "x", "y"]
    return pd.DataFrame(rows, columns=columns).assign(network=batch.trained, data=batch.data)
