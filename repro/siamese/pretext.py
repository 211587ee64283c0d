"""The Siamese pretext task of Section 2.2: tell halves of one source from halves of different sources.

A source is a stretch of one video (decision D13). Clips drawn from it are split evenly into two halves; the halves of
one source form a positive pair, halves of different sources negative ones, and the optimum of Eq. 21 between two halves
is their dissimilarity (decision D12). By default a source's negatives are other times and videos of the same subject,
so that who is seen tells nothing. A source is hardly longer than a clip, so that both halves show the same movement and
other times of the same video are among the negatives: what lasts for a whole video, such as how the head is held, tells
nothing either. One half is mirrored, so that halves cannot be matched pixel by pixel.

A still has no halves: it is shown several times, each time augmented on its own, and its negatives are other stills of
the same person (`SiameseStills`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.data.clips import Source, cut_sources
from repro.data.encoding import InputSpec
from repro.data.material import Material
from repro.data.schema import Dataset
from repro.learning.augmentation import Augmentation, to_network
from repro.learning.metrics import auc
from repro.learning.pretext import Accuracy, PretextPool, PretextTask
from repro.siamese.affine_hull import dissimilarity

__all__ = ["ShortStretches", "SiamesePretext", "SiameseStills", "effective_rank"]

_EVALUATED_SOURCES = 96
"""Held-out sources compared with one another: 96 give 9,120 negative pairs, plenty for an AUC."""


def effective_rank(features: Tensor) -> float:
    """Effective rank of centred features: the exponential of the entropy of their normalised singular values.

    Parameters
    ----------
    features : Tensor, shape (n, D)

    Returns
    -------
    float
        From 1 (collapsed to a line; also for no spread at all) to min(n - 1, D).

    References
    ----------
    Roy and Vetterli, "The effective rank", EUSIPCO 2007.
    """
    centred = features.double() - features.double().mean(0)
    values = torch.linalg.svdvals(centred)
    total = values.sum()
    if total <= 0:
        return 1.0
    share = values[values > 0] / total
    return float(torch.exp(-(share * share.log()).sum()))


@dataclass(frozen=True)
class ShortStretches(Material):
    """Clips of stretches that are hardly longer than a clip, an eighth of a clip apart: at 40 frames, 5 clips of 60.

    Parameters
    ----------
    clips : int
        Clips of a stretch.
    """

    name: ClassVar[str] = "short stretches"
    version: ClassVar[int] = 1

    clips: int = 5

    def cut(
        self, dataset: Dataset, spec: InputSpec, *, clip_length: int, stride: int, clips_per_source: int
    ) -> list[Source]:
        """Cut clips of the scale's usual length."""
        return cut_sources(
            dataset, clip_length=clip_length, stride=max(1, clip_length // 8), clips_per_source=self.clips
        )


class _Siamese(nn.Module):
    """A backbone and the last fully connected layer, whose outputs are L2-normalised (decision D12)."""

    def __init__(self, backbone: nn.Module, dimensions: int, generator: torch.Generator) -> None:
        super().__init__()
        self.backbone = backbone
        features: int = backbone.n_features  # type: ignore[assignment]
        self.head = nn.Linear(features, dimensions)
        with torch.no_grad():
            self.head.weight.normal_(0, features**-0.5, generator=generator)
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        return functional.normalize(self.head(self.backbone(images)), dim=-1)


@dataclass(frozen=True)
class SiamesePretext(PretextTask):
    """Set-contrastive learning with the affine-hull dissimilarity.

    Parameters
    ----------
    objective : {"infonce", "contrastive"}
        InfoNCE over minus the dissimilarity with the batch's other sources as negatives, or the contrastive loss
        y d + (1 - y) max(0, margin - d) (Hadsell et al. 2006).
    distance : {"hull", "mean"}
        The optimum of Eq. 21, or, as an ablation, the squared distance of the halves' means.
    negatives : {"same_subject", "other_subjects", "mixed"}
        Whom a source's negatives show: its own subject, others only, or whoever comes (decision D13).
    subjects_per_batch : int
        With negatives of the same subject: a batch shows so many subjects, and a source's negatives are those of its
        own. Several of them keep the statistics of batch normalisation from being one person's.
    clips_per_source : int
        Clips drawn from a source, split evenly; sources with fewer are left out.
    dimensions : int
        Length of the representation h; more than a source's clips, else hulls meet (see `dissimilarity`).
    temperature, margin : float
        Of InfoNCE and of the contrastive loss. Dissimilarities of L2-normalised features lie in 0..4.
    energy : float
        Energy kept in the hull's basis (decision D10).
    augmentation : Augmentation
        Weak on purpose, as strong augmentation removes the signal.
    mirror : bool
        Mirror one half of each source, drawn at random, instead of single images.
    stretch : int or None
        Clips of a short stretch (`ShortStretches`); None takes the scale's usual sources.
    """

    name: ClassVar[str] = "siamese"
    version: ClassVar[int] = 3
    accuracy: ClassVar[Accuracy] = Accuracy("AUC of pairs of one subject")
    stills: ClassVar[bool] = True

    objective: Literal["infonce", "contrastive"] = "infonce"
    distance: Literal["hull", "mean"] = "hull"
    negatives: Literal["same_subject", "other_subjects", "mixed"] = "same_subject"
    subjects_per_batch: int = 2
    clips_per_source: int = 4
    dimensions: int = 64
    temperature: float = 0.1
    margin: float = 0.5
    energy: float = 1.0
    augmentation: Augmentation = Augmentation()
    mirror: bool = True
    stretch: int | None = 5

    def __post_init__(self) -> None:
        """Check the choices."""
        for value, allowed in (
            (self.objective, ("infonce", "contrastive")),
            (self.distance, ("hull", "mean")),
            (self.negatives, ("same_subject", "other_subjects", "mixed")),
        ):
            if value not in allowed:
                raise ValueError(f"{value!r} is not one of {allowed}")
        if self.subjects_per_batch < 1:
            raise ValueError(f"subjects_per_batch {self.subjects_per_batch} must be at least 1")
        if self.clips_per_source < 2 or self.clips_per_source % 2:
            raise ValueError(f"clips_per_source {self.clips_per_source} cannot be split evenly; give an even number")
        if self.clips_per_source > self.dimensions:
            raise ValueError(
                f"{self.clips_per_source} clips span hulls that meet in {self.dimensions} dimensions; raise dimensions"
            )
        if self.stretch is not None and self.stretch < self.clips_per_source:
            raise ValueError(f"stretches of {self.stretch} clips cannot give {self.clips_per_source}")
        if self.temperature <= 0 or self.margin <= 0:
            raise ValueError(f"temperature {self.temperature} and margin {self.margin} must be positive")

    def material(self) -> Material:
        """Return short stretches, or the usual sources."""
        return Material() if self.stretch is None else ShortStretches(self.stretch)

    def on_stills(self) -> PretextTask:
        """Return the task whose sources are stills."""
        return SiameseStills(**{field.name: getattr(self, field.name) for field in fields(SiamesePretext)})

    def network(self, backbone: nn.Module, generator: torch.Generator) -> nn.Module:
        """Put the last fully connected layer on the backbone."""
        return _Siamese(backbone, self.dimensions, generator)

    def loss(
        self, network: nn.Module, pool: PretextPool, generator: torch.Generator, batch_size: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Loss of one batch of sources; see the class for the objectives."""
        n_sources = max(2, batch_size // self.clips_per_source)
        index, group = self.draw(pool, n_sources, generator)
        device = next(network.parameters()).device
        images = to_network(pool.images[index.flatten()]).to(device)
        images = self._augment(images, generator)
        features = network(images).unflatten(0, (len(index), self.clips_per_source))
        pairs = self._dissimilarities(features)
        same = torch.eye(len(pairs), dtype=torch.bool, device=device)
        negative = ((group[:, None] == group[None]) & ~same.cpu()).to(device)
        values = pairs.detach()
        log = {"positive": float(values[same].mean()), "negative": float(values[negative].mean())}
        return self._objective(pairs, same, negative), log

    @torch.no_grad()
    def evaluate(self, network: nn.Module, pool: PretextPool, generator: torch.Generator) -> dict[str, float]:
        """Measure dissimilarities of halves, how well they tell pairs apart, and the features' effective rank.

        Images are augmented as in training: without that, overlapping clips are all but equal and any network tells.

        Returns
        -------
        dict
            ``accuracy``: the same as ``auc_same_subject``, and its ``chance``;
            ``positive``, ``negative_same_subject``, ``negative_other_subject``: mean dissimilarities;
            ``auc_same_subject``, ``auc_other_subject``: AUC of positive against negative pairs, the second being
            high for any network that knows faces; ``effective_rank``: of the features of all images used.
        """
        sources = self._sources(pool)
        order = torch.randperm(len(sources), generator=generator)[:_EVALUATED_SOURCES].sort().values
        owners = np.array([sources[i][0] for i in order])
        index = torch.stack([self._pick(sources[i][1], generator) for i in order])
        device = next(network.parameters()).device
        features = torch.cat(
            [
                network(self._augment(to_network(pool.images[chunk.flatten()]).to(device), generator)).cpu()
                for chunk in index.split(max(1, 256 // self.clips_per_source))
            ]
        )
        pairs = self._dissimilarities(features.unflatten(0, index.shape)).numpy()
        same = np.eye(len(pairs), dtype=bool)
        mine = (owners[:, None] == owners[None, :]) & ~same
        other = owners[:, None] != owners[None, :]
        measures = {"positive": float(pairs[same].mean())}
        for label, negative in (("same_subject", mine), ("other_subject", other)):
            scores = np.concatenate([pairs[same], pairs[negative]])
            truth = np.concatenate([np.zeros(same.sum(), bool), np.ones(negative.sum(), bool)])
            measures[f"negative_{label}"] = float(pairs[negative].mean()) if negative.any() else float("nan")
            measures[f"auc_{label}"] = auc(truth, scores)
        solved = {"accuracy": measures["auc_same_subject"], "chance": 0.5}
        return {**solved, **measures, "effective_rank": effective_rank(features)}

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment the clips of one source after another, and mirror one half of each source."""
        if not self.mirror:
            return self.augmentation(images, generator)
        images = replace(self.augmentation, flip=False)(images, generator)
        first = torch.rand(len(images) // self.clips_per_source, generator=generator) < 0.5
        halves = torch.stack([first, ~first], 1).repeat_interleave(self.clips_per_source // 2, 1)
        return torch.where(halves.flatten().to(images.device)[:, None, None, None], images.flip(-1), images)

    def _dissimilarities(self, features: Tensor) -> Tensor:
        """Dissimilarity of the first half of each source (rows) and the second half of each (columns)."""
        first, second = features.chunk(2, dim=1)
        first, second = first[:, None], second[None]
        if self.distance == "mean":
            return (first.mean(-2) - second.mean(-2)).square().sum(-1)
        return dissimilarity(first, second, energy=self.energy).value

    def _objective(self, pairs: Tensor, same: Tensor, negative: Tensor) -> Tensor:
        if self.objective == "contrastive":
            return pairs[same].mean() + functional.relu(self.margin - pairs[negative]).mean()
        logits = (-pairs / self.temperature).masked_fill(~(same | negative), -torch.inf)
        target = torch.arange(len(pairs), device=pairs.device)
        return 0.5 * (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target))

    def draw(self, pool: PretextPool, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw clips of about `n` sources by the rule for negatives.

        Returns
        -------
        clips : Tensor, shape (n, clips_per_source)
            Indices into the pool.
        group : Tensor, shape (n,)
            Sources of one group are each other's negatives.
        """
        candidates = self._candidates(self._sources(pool), generator)
        share = max(2, n // len(candidates)) if len(candidates) > 1 else n
        drawn = [
            (self._pick(group[i], generator), number)
            for number, group in enumerate(candidates)
            for i in torch.randperm(len(group), generator=generator)[:share].tolist()
        ]
        return torch.stack([clips for clips, _ in drawn]), torch.tensor([number for _, number in drawn])

    def _sources(self, pool: PretextPool) -> list[tuple[str, Tensor]]:
        return _clips_by_source(pool, self.clips_per_source)

    def _pick(self, clips: Tensor, generator: torch.Generator) -> Tensor:
        return clips[torch.randperm(len(clips), generator=generator)[: self.clips_per_source]]

    def _candidates(self, sources: list[tuple[str, Tensor]], generator: torch.Generator) -> list[list[Tensor]]:
        """Return the groups of sources to draw a batch from."""
        if self.negatives == "mixed":
            return [[clips for _, clips in sources]]
        by_subject: dict[str, list[Tensor]] = {}
        for subject, clips in sources:
            by_subject.setdefault(subject, []).append(clips)
        if self.negatives == "other_subjects":
            return [[g[int(torch.randint(len(g), (), generator=generator))] for g in by_subject.values()]]
        able = [group for group in by_subject.values() if len(group) > 1]
        if not able:
            raise ValueError(
                "no subject has two sources of enough clips, so there are no negatives of the same subject; use "
                "longer videos, shorter sources, or negatives='mixed'"
            )
        chosen = torch.randperm(len(able), generator=generator)[: self.subjects_per_batch]
        return [able[i] for i in chosen.tolist()]


@dataclass(frozen=True)
class SiameseStills(SiamesePretext):
    """The Siamese task on stills: a still is a source, and is shown `clips_per_source` times (decisions D13, D14).

    Each time it is augmented on its own, and one half of the pictures is mirrored, so that no two are equal and the
    halves least of all. Its negatives are other stills, by default of the same identity. `stretch` has no meaning.
    """

    def __post_init__(self) -> None:
        """Check the choices, and that no two pictures of a still can be equal."""
        super().__post_init__()
        if self.augmentation.area == (1.0, 1.0) and self.augmentation.aspect == 1:
            raise ValueError(
                f"{self.augmentation} shows a still the same each time; let it crop, as by area=(0.7, 1.0)"
            )

    def material(self) -> Material:
        """Return the images of the stills."""
        return Material()

    def on_stills(self) -> PretextTask:
        """Return the task itself."""
        return self

    def description(self) -> dict[str, Any]:
        """All that changes what the task learns, and that it learns from stills."""
        described = super().description()
        del described["stretch"]
        return {**described, "stills": True}

    def _sources(self, pool: PretextPool) -> list[tuple[str, Tensor]]:
        return _clips_by_source(pool, 1)

    def _pick(self, clips: Tensor, generator: torch.Generator) -> Tensor:
        return clips.repeat(self.clips_per_source)[: self.clips_per_source]


def _clips_by_source(pool: PretextPool, at_least: int) -> list[tuple[str, Tensor]]:
    """(subject, indices of its clips) of each source with at least so many clips."""
    _, first, inverse = np.unique(pool.sources, return_index=True, return_inverse=True)
    members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    sources = [
        (str(pool.subjects[start]), torch.from_numpy(clips))
        for start, clips in zip(first, members, strict=True)
        if len(clips) >= at_least
    ]
    if len(sources) < 2:
        raise ValueError(
            f"{len(sources)} of {len(first)} sources have {at_least} clips; two are needed: cut clips at a smaller "
            "stride"
        )
    return sources
