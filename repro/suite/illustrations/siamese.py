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
from repro.siamese.affine_hull import Dissimilarity, dissimilarity
from repro.siamese.pretext import SiamesePretext
from repro.suite.command import device_of
from repro.suite.corpus import Corpus
from repro.suite.illustrations.illustration import Drawing, Steps
from repro.suite.illustrations.videos import add_faces_option, showable
from repro.suite.pretraining import PlannedPretext, plan_pretext
from repro.suite.spec import DATASET_LABELS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FIDELITY", "Batch", "Pair", "Plane", "add_network_options", "batch_frame", "draw_batch", "gather_batch", "pair_of"]

FIDELITY, SPARSITY = 0.01, 0.1
"""lambda_1, and the factor of the rule for lambda_2 and lambda_3 (Section 3.1)."""


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane of the two main directions of the samples of both halves.

    Parameters
    ----------
    origin : Tensor, (D,)
        Mean of the samples.
    axes : Tensor, (2, D)
        Orthonormal.
    share : float
        Of the samples' variance that lies in the plane, 0..1.
    """

    origin: Tensor
    axes: Tensor
    share: float

    @classmethod
    def of(cls, samples: Tensor) -> Plane:
        """Find the plane of samples (n, D); axes point where their largest entry is positive."""
        origin = samples.mean(0)
        _, values, directions = torch.linalg.svd(samples - origin, full_matrices=False)
        axes = directions[:2]
        signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        power = values.square()
        return cls(origin, axes * signs, float(power[:2].sum() / power.sum()))

    def project(self, points: Tensor) -> Tensor:
        """Project points (..., D) to coordinates (..., 2)."""
        return (points - self.origin) @ self.axes.mT


@dataclass(frozen=True, eq=False)
class Pair:
    """Two halves, their representations and the solution of Eq. 21.

    Parameters
    ----------
    title : str
    images : pair of Tensor, (n, 3, H, W) uint8
        As the network saw them.
    clips : pair of sequence of str
    samples : pair of Tensor, (n, D) float64
        Representations, one a row.
    solution : Dissimilarity
    weights : (float, float)
        lambda_2 and lambda_3.
    """

    title: str
    images: tuple[Tensor, Tensor]
    clips: tuple[Sequence[str], Sequence[str]]
    samples: tuple[Tensor, Tensor]
    solution: Dissimilarity
    weights: tuple[float, float]

    @property
    def points(self) -> tuple[Tensor, Tensor]:
        """The points mu + U v of the hulls, (D,)."""
        return self.solution.point_i, self.solution.point_j

    @property
    def coefficients(self) -> tuple[Tensor, Tensor]:
        """Alpha and beta, (n,)."""
        return self.solution.alpha, self.solution.beta

    @property
    def plane(self) -> Plane:
        """Where the pair is drawn."""
        return Plane.of(torch.cat(self.samples))

    @property
    def terms(self) -> dict[str, float]:
        """F, G and Q of Eqs. 18 to 20, both sparsity terms and the optimum d, whose parts they are."""
        misfits = [
            float((point - own @ samples).square().sum())
            for point, own, samples in zip(self.points, self.coefficients, self.samples, strict=True)
        ]
        sparse = [
            weight * float(own.abs().sum()) for weight, own in zip(self.weights, self.coefficients, strict=True)
        ]
        return {
            "F": float(self.solution.gap),
            "G": misfits[0],
            "Q": misfits[1],
            "lambda_2 |alpha|": sparse[0],
            "lambda_3 |beta|": sparse[1],
            "d": float(self.solution.value),
        }


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
    return network, f"trained, {last['step']:.0f} updates, AUC of pairs {100 * last['held_out_accuracy']:.0f} % on them"


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
    return Drawing(lambda: batch_plot(batch), batch_frame(batch))


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
    return [pair("a positive pair: halves of one stretch of video", 0), pair(f"a negative pair: two stretches of {whose}", 1)]


def _augmented(task: SiamesePretext, images: Tensor, generator: torch.Generator) -> Tensor:
    """Augment as training does; the second half of each source is the one that is mirrored."""
    if not task.mirror:
        return task.augmentation(images, generator)
    images = replace(task.augmentation, flip=False)(images, generator)
    second = torch.arange(len(images)) % task.clips_per_source >= task.clips_per_source // 2
    return torch.where(second[:, None, None, None], images.flip(-1), images)


def pair_of(
    title: str,
    images: tuple[Tensor, Tensor],
    clips: tuple[Sequence[str], Sequence[str]],
    samples: tuple[Tensor, Tensor],
) -> Pair:
    """Solve Eq. 21 for two halves; see `Pair`."""
    first, second = (SPARSITY * float((2 * FIDELITY * h @ h.mean(0)).abs().max()) for h in samples)
    solution = dissimilarity(*samples, fidelity=FIDELITY, lambda_i=first, lambda_j=second)
    return Pair(title, images, clips, samples, solution, (first, second))


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
