"""Order prediction: tell in which order four images of one video are shown.

Lee, Huang, Singh and Yang, "Unsupervised representation learning by sorting sequences", ICCV 2017: the order
prediction network (OPN). Four frames of a video are shown in a random order. An order and its reverse are one class, as
many motions look the same backwards, which leaves 12 classes. The shared trunk describes each frame, a shared layer
compares each of the six pairs, and a classifier sees all six comparisons.

From the authors' code: the list of classes, reversal with probability 1/2, a crop that the tuple shares with a jitter
of 5 of 80 pixels an image, the joint mirror, channel splitting, and the head: 1024 values an image, 512 a pair by one
layer for all pairs, each with batch normalisation, ReLU and dropout of 1/2. From the paper: tuples are drawn with a
probability that grows with the magnitude of optical flow. Ours:

* Four images are four sub-clips that follow each other without overlap, so that the task is the same for every input:
  a frame of each, or a distillation of each. Sub-clips that overlap would share frames, and how much two images have in
  common would give away the order.
* The probability of a tuple is proportional to its motion, and no tuple is impossible. The crop is not sought where
  motion is largest: the images show a face and little else.
* The tuple shares its channel; the authors' code draws one for each image.
* Weights are initialised by the rule of He et al. (2015).
* Two options that the paper does not have, off by default: `OPN.orders` and `OPN.centred`. Images of one face differ
  far less from each other than from those of other faces. On frames of 12 simulated subjects nothing was learned in 160
  updates without centring.

Shortcuts that are closed: position and its drift (each image's crop is jittered by itself), colour and its change
(one channel, replicated, the same for the whole tuple), direction of the mirror (joint). What changes slowly with time
and is neither, such as the light, is not hidden from the network; the paper does not hide it either. The paper's jitter
was made for sports filmed by a moving camera. Simulated faces of 64 pixels, aligned, drift by a tenth of a pixel from
one sub-clip to the next: a jitter of a quarter of a pixel hides more than half of what the drift tells of the order,
and the paper's, of four pixels, hides nearly all that pixels tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.selfsup.heads import linear
from baselines.selfsup.sub_clips import APART, TUPLE, SubClips
from repro.data.flow import FlowMethod
from repro.data.material import Material
from repro.learning.augmentation import Augmentation, to_network
from repro.learning.pretext import Accuracy, PretextPool, PretextTask

__all__ = ["OPN", "ORDERS"]

ORDERS = (
    (0, 1, 2, 3),
    (0, 2, 1, 3),
    (0, 2, 3, 1),
    (0, 1, 3, 2),
    (0, 3, 1, 2),
    (0, 3, 2, 1),
    (1, 0, 2, 3),
    (1, 0, 3, 2),
    (1, 2, 0, 3),
    (2, 0, 1, 3),
    (2, 0, 3, 1),
    (2, 1, 0, 3),
)
"""The classes: which image is shown first, second, third, fourth. The reverse of each is the same class."""

_PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))

_FLOOR = 0.1
"""Least weight of a tuple, as a share of the mean weight."""

_EVALUATED_TUPLES = 240
"""Held-out tuples: 960 images."""

_CHUNK = 64
"""Tuples that are evaluated at a time."""


def _rectified(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(inplace=True), nn.Dropout(dropout))


class _OrderNetwork(nn.Module):
    """A description of each image, a comparison of each pair, and a classifier of the order."""

    def __init__(self, backbone: nn.Module, task: OPN, generator: torch.Generator) -> None:
        super().__init__()
        self.backbone = backbone
        features: int = backbone.n_features  # type: ignore[assignment]
        self.centred = task.centred
        self.head = linear(features, task.features, generator)
        self.normalisation = _rectified(task.features, task.dropout)
        self.comparison = nn.Sequential(
            linear(2 * task.features, task.comparison, generator), _rectified(task.comparison, task.dropout)
        )
        self.classifier = linear(len(_PAIRS) * task.comparison, len(ORDERS), generator, gain=0.1)

    def forward(self, images: Tensor) -> Tensor:
        """Describe the images of tuples, (4 n, 3, H, W), by features (n, 4, F)."""
        features: Tensor = self.head(self.backbone(images)).unflatten(0, (-1, TUPLE))
        if self.centred:
            features = features - features.mean(1, keepdim=True)
        described: Tensor = self.normalisation(features.flatten(0, 1))
        return described.view_as(features)

    def order(self, features: Tensor) -> Tensor:
        """Classify the order of features (B, 4, F) as they are shown; returns logits (B, 12)."""
        first, second = (features[:, [pair[side] for pair in _PAIRS]] for side in (0, 1))
        compared = self.comparison(torch.cat([first, second], dim=-1).flatten(0, 1))
        logits: Tensor = self.classifier(compared.view(len(features), -1))
        return logits


@dataclass(frozen=True)
class OPN(PretextTask):
    """Predict the order of four images of a video (Lee et al. 2017).

    Parameters
    ----------
    features, comparison : int
        Widths of an image's description and of a pair's comparison.
    dropout : float
        Share of the descriptions' and of the comparisons' values that are dropped in training.
    jitter : float
        How far an image's crop lies from the tuple's at most, as a share of its side: 5 of 80 pixels.
    spacing : int
        Sub-clips from one image of a tuple to the next, at least 2: neighbours share half of their frames.
    orders : int
        In how many of the 12 orders a tuple's images are shown at once; 1 in the paper. The trunk sees each image once
        whatever their number, and the loss is its expectation over more orders, not another loss.
    centred : bool
        Compare what an image's description differs by from the mean of its tuple's. Not in the paper.
    flow : {"tvl1", "dis"}
        How motion is measured, see `SubClips`.
    augmentation : Augmentation
        A tuple shares its crop and its mirror.
    """

    name: ClassVar[str] = "opn"
    version: ClassVar[int] = 1
    accuracy: ClassVar[Accuracy] = Accuracy("share of orders recognised")

    features: int = 1024
    comparison: int = 512
    dropout: float = 0.5
    jitter: float = 5 / 80
    spacing: int = APART
    orders: int = 1
    centred: bool = False
    flow: FlowMethod = "dis"
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.features < 1 or self.comparison < 1:
            raise ValueError(f"features {self.features} and comparison {self.comparison} must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout} is not within 0 <= dropout < 1")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"jitter {self.jitter} is not a share of the crop's side within 0 <= jitter < 1")
        if self.spacing < APART:
            raise ValueError(
                f"spacing {self.spacing} lets the sub-clips of a tuple overlap, which gives away their order; "
                f"give {APART} or more"
            )
        if not 1 <= self.orders <= len(ORDERS):
            raise ValueError(f"orders {self.orders} is not within 1..{len(ORDERS)}")

    def material(self) -> Material:
        """Return the sub-clips of whole videos, with their motion."""
        return SubClips(self.flow)

    def network(self, backbone: nn.Module, generator: torch.Generator) -> nn.Module:
        """Put the description, the comparison and the classifier on the backbone."""
        return _OrderNetwork(backbone, self, generator)

    def loss(
        self, network: nn.Module, pool: PretextPool, generator: torch.Generator, batch_size: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the orders of a batch of tuples, four images each."""
        tuples, weights = self.tuples(pool)
        count = max(1, batch_size // TUPLE)
        drawn = tuples[torch.multinomial(weights, count, replacement=True, generator=generator)]
        logits, target = self._answers(network, pool, drawn, self.orders, generator)
        loss = functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        return loss, {"accuracy": float((logits.detach().argmax(-1) == target).float().mean())}

    @torch.no_grad()
    def evaluate(self, network: nn.Module, pool: PretextPool, generator: torch.Generator) -> dict[str, float]:
        """Measure how often the order of held-out tuples is recognised.

        Tuples are drawn without replacement, with the probability and the augmentation of training. Each is shown in
        an order of every class, so that no class is more frequent than another and a constant answer scores chance.

        Returns
        -------
        dict
            ``accuracy``; its ``chance``, 1/12; and its ``standard_error`` over videos, whose tuples overlap.
        """
        tuples, weights = self.tuples(pool)
        count = min(_EVALUATED_TUPLES, len(tuples))
        chosen = tuples[torch.multinomial(weights, count, generator=generator)]
        shares = torch.cat(
            [
                (logits.argmax(-1) == target).double().mean(1).cpu()
                for logits, target in (
                    self._answers(network, pool, chunk, len(ORDERS), generator) for chunk in chosen.split(_CHUNK)
                )
            ]
        ).numpy()
        excess = shares - shares.mean()
        _, video = np.unique(pool.videos[chosen[:, 0].numpy()], return_inverse=True)
        error = float(np.sqrt(np.square(np.bincount(video, excess)).sum())) / count
        return {"accuracy": float(shares.mean()), "chance": 1 / len(ORDERS), "standard_error": error}

    def tuples(self, pool: PretextPool) -> tuple[Tensor, Tensor]:
        """Find all tuples of a pool and how likely each is drawn.

        Returns
        -------
        tuples : Tensor, shape (n, 4), int64
            Indices into the pool, in the order of time.
        weights : Tensor, shape (n,), float64
            Proportional to the motion in the tuple, but for a floor of a tenth of the mean; they sum to 1.

        Raises
        ------
        ValueError
            If the pool has no numbers ``motion``, or no source is long enough.
        """
        motion = pool.numbers.get("motion")
        if motion is None or not np.isfinite(motion).all() or (motion < 0).any():
            raise ValueError(
                "the pool needs the motion of each image, numbers['motion'], finite and not negative; encode it with "
                "the material of the task"
            )
        reach = (TUPLE - 1) * self.spacing
        breaks = np.flatnonzero(pool.sources[1:] != pool.sources[:-1]) + 1
        bounds = [0, *breaks.tolist(), len(pool)]
        starts = [np.arange(start, stop - reach) for start, stop in zip(bounds[:-1], bounds[1:], strict=True)]
        tuples = np.concatenate(starts)[:, None] + self.spacing * np.arange(TUPLE)
        if not len(tuples):
            raise ValueError(
                f"no source has the {reach + 1} images that a tuple of spacing {self.spacing} needs; use longer videos "
                "or a smaller spacing"
            )
        weights = motion.astype(np.float64)[tuples].sum(1)
        weights = np.maximum(weights, _FLOOR * weights.mean()) if weights.any() else np.ones(len(weights))
        return torch.from_numpy(tuples), torch.from_numpy(weights / weights.sum())

    def _answers(
        self, network: nn.Module, pool: PretextPool, tuples: Tensor, orders: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Show each tuple in so many orders; returns logits (n, orders, 12) and the classes (n, orders)."""
        device = next(network.parameters()).device
        images = self.show(to_network(pool.images[tuples.flatten()]).to(device), generator)
        features = network(images)
        target = torch.rand(len(tuples), len(ORDERS), generator=generator).argsort(1)[:, :orders]
        places = torch.tensor(ORDERS)[target]
        backwards = torch.rand(len(tuples), orders, 1, generator=generator) < 0.5
        places = torch.where(backwards, places.flip(-1), places).to(device)
        shown = features[torch.arange(len(tuples), device=device)[:, None, None], places]
        logits: Tensor = network.order(shown.flatten(0, 1))  # type: ignore[operator]
        return logits.unflatten(0, (len(tuples), orders)), target.to(device)

    def show(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Crop, jitter and mirror the images of tuples, and leave one channel of each tuple.

        Parameters
        ----------
        images : Tensor, shape (4 n, 3, H, W), float
            The images of a tuple follow each other.
        generator : torch.Generator
            On the CPU.

        Returns
        -------
        Tensor, shape (4 n, 3, H, W)
            The three channels are equal.
        """
        count = len(images) // TUPLE
        theta = self.augmentation.draw(count, generator).repeat_interleave(TUPLE, 0)
        # A crop within the crop, so that jitter never reaches beyond the image, where a margin would tell of it.
        reach = self.jitter / (1 + 2 * self.jitter)
        offset = 2 * reach * (2 * torch.rand(len(images), 2, 1, generator=generator) - 1)
        centre = theta[:, :, 2:] + theta[:, :, :2] @ offset
        theta = torch.cat([theta[:, :, :2] / (1 + 2 * self.jitter), centre], dim=-1)
        channel = torch.randint(images.shape[1], (count,), generator=generator).repeat_interleave(TUPLE)
        single = images[torch.arange(len(images)), channel.to(images.device)][:, None]
        grid = functional.affine_grid(theta.to(images.device), list(single.shape), align_corners=False)
        shown = functional.grid_sample(single, grid, padding_mode="border", align_corners=False)
        return shown.expand(-1, images.shape[1], -1, -1)
