"""Motion and appearance statistics: tell where a clip moves most, and where its colours change most.

Wang, Jiao, Bao, He, Liu and Liu, "Self-supervised spatio-temporal representation learning for videos by predicting
motion and appearance statistics", CVPR 2019. A network regresses 27 numbers that `clip_statistics` computes of a clip.

From the authors' code, and that of the method's extension by the same authors: the numbers (with changes that
`clip_statistics` tells), TV-L1 flow, images of at most 112 pixels, numbers that are computed after the clip was cropped
and mirrored, a linear layer on pooled features, and the mean squared error. Ours:

* Theirs is a 3D network on 16 frames. The suite's sees one image at a time: RGB and optical flow are shown by four
  frames of the clip, evenly spaced, whose features are joined in the order of time. A distilled image shows the whole
  clip, so its features stand at all four times.
* Numbers are computed when clips are encoded, so crops are not drawn anew each time but chosen from nine windows of
  three quarters of the side, at the left, middle and right of top, middle and bottom, each with its own numbers.
* The mirror image's numbers are derived from the clip's, with u turned round. The authors mirror u without turning it.
* Flow may lead over several frames (`MotionStatistics.apart`). Simulated faces of 64 pixels move by hundredths of a
  pixel a frame, less than flow is exact to. On 32 clips of 40 frames, the numbers of motion by TV-L1 and by DIS
  correlate by .06 on average if flow leads from frame to frame, and by .24 if it leads over 10 frames.
* Numbers of motion and of appearance weigh alike; the extension gives appearance a tenth.

The suite's `Augmentation` is not used: its crops of any size and place would each need numbers of their own, and to
scale one axis more than the other would turn orientations. Nor are colours changed, as they are asked for. What could
be learned without looking at motion or colours is which numbers are usual for a subject: windows and mirror images
change the numbers, and accuracy is measured on other subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from baselines.selfsup.clip_statistics import APPEARANCE, MOTION, NAMES, mirrored
from baselines.selfsup.heads import linear
from baselines.selfsup.statistics_material import ClipStatistics, measured_size, windows
from repro.data.flow import FlowMethod
from repro.data.material import Material
from repro.learning.augmentation import to_network
from repro.learning.pretext import Accuracy, PretextPool, PretextTask

__all__ = ["MotionStatistics"]

_EVALUATED_IMAGES = 1000
"""Held-out images; several of a clip count as so many."""

_CHUNK = 64
"""Clips that are evaluated at a time."""


class _Regression(nn.Module):
    """Features of a clip's images, joined in the order of time, and a linear layer."""

    begun: Tensor

    def __init__(self, backbone: nn.Module, frames: int, generator: torch.Generator) -> None:
        super().__init__()
        self.backbone = backbone
        self.frames = frames
        features: int = backbone.n_features  # type: ignore[assignment]
        self.head = linear(frames * features, len(NAMES), generator, gain=0.01)
        nn.init.constant_(self.head.bias, 0.5)
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    def forward(self, images: Tensor) -> Tensor:
        """Estimate the numbers (B, 27) of clips that are shown by images (B, V, 3, H, W)."""
        if images.shape[1] not in (1, self.frames):
            raise ValueError(f"{images.shape[1]} images of a clip do not fit a network for one or {self.frames}")
        features = self.backbone(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        estimate: Tensor = self.head(features.expand(-1, self.frames, -1).flatten(1))
        return estimate


@dataclass(frozen=True)
class MotionStatistics(PretextTask):
    """Regress 27 numbers that tell of a clip's motion and colours (Wang et al. 2019).

    Parameters
    ----------
    frames : int
        Images that show a clip which is not distilled; a sample counts as so many.
    flow : {"tvl1", "dis"}
        How motion is measured, see `ClipStatistics`.
    apart : int
        Frames that a flow field leads over; 1 in the paper.
    mirror : bool
        Mirror half of the clips.
    """

    name: ClassVar[str] = "motion_statistics"
    version: ClassVar[int] = 1
    accuracy: ClassVar[Accuracy] = Accuracy("explained variance of 27 statistics")

    frames: int = 4
    flow: FlowMethod = "tvl1"
    apart: int = 1
    mirror: bool = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.frames < 1:
            raise ValueError(f"frames {self.frames} must be at least 1: a clip is shown by one image or more")
        if self.apart < 1:
            raise ValueError(f"apart {self.apart} must be at least 1: flow leads from a frame to a later one")

    def material(self) -> Material:
        """Return clips with their numbers."""
        return ClipStatistics(self.frames, self.flow, self.apart)

    def network(self, backbone: nn.Module, generator: torch.Generator) -> nn.Module:
        """Put the linear layer on the backbone."""
        return _Regression(backbone, self.frames, generator)

    def start_epoch(
        self, network: nn.Module, pool: PretextPool, generator: torch.Generator, optimiser: torch.optim.Optimizer
    ) -> dict[str, float]:
        """Before the first epoch, let the network answer with the numbers' means; they need not be learned."""
        if not network.begun:
            numbers = _numbers(pool)
            seen = (numbers + mirrored(numbers)) / 2 if self.mirror else numbers
            with torch.no_grad():
                network.head.bias.copy_(torch.from_numpy(seen.mean((0, 1))))  # type: ignore[union-attr, operator]
                network.begun.fill_(True)  # type: ignore[operator]
        return {}

    def loss(
        self, network: nn.Module, pool: PretextPool, generator: torch.Generator, batch_size: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error of the numbers of a batch of clips."""
        index = torch.randint(len(pool), (max(2, batch_size // _per_clip(pool)),), generator=generator)
        estimate, target = self._answers(network, pool, index, generator)
        loss = functional.mse_loss(estimate, target)
        return loss, {"accuracy": _explained(estimate.detach(), target)}

    @torch.no_grad()
    def evaluate(self, network: nn.Module, pool: PretextPool, generator: torch.Generator) -> dict[str, float]:
        """Measure how much of the held-out numbers' variance is explained, in windows and mirrored as in training.

        Numbers are taken together, weighted by their variance: a number that hardly varies would else decide the mean.
        Those that do not vary are left out.

        Returns
        -------
        dict
            ``accuracy``: one less the errors' variance over the numbers', at most 1; its ``chance``, 0: what any
            constant answer has; ``motion`` and ``appearance``: the same of either part; ``r2``: with the squared error
            instead of its variance, so that a constant answer has 0 only if it is the held-out mean.
        """
        order = torch.randperm(len(pool), generator=generator)[: max(2, _EVALUATED_IMAGES // _per_clip(pool))]
        parts = [self._answers(network, pool, chunk, generator) for chunk in order.split(_CHUNK)]
        estimate, target = (torch.cat(column).cpu().double() for column in zip(*parts, strict=True))
        return {
            "accuracy": _explained(estimate, target),
            "chance": 0.0,
            "motion": _explained(estimate[:, MOTION], target[:, MOTION]),
            "appearance": _explained(estimate[:, APPEARANCE], target[:, APPEARANCE]),
            "r2": _explained(estimate, target, offsets=True),
        }

    def _answers(
        self, network: nn.Module, pool: PretextPool, index: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Crop and mirror clips; returns the estimated numbers and the true ones, (B, 27)."""
        device = next(network.parameters()).device
        images, target = self.show(pool, index, generator, device)
        return network(images), target

    def show(
        self, pool: PretextPool, index: Tensor, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """Crop clips to a window and mirror half of them, with their numbers.

        Parameters
        ----------
        pool : PretextPool
        index : Tensor, shape (B,)
        generator : torch.Generator
            On the CPU.
        device : torch.device or str
            Where the result is computed.

        Returns
        -------
        images : Tensor, shape (B, V, 3, H, W), float
            The images of a clip are cropped and mirrored together.
        numbers : Tensor, shape (B, 27), float

        Raises
        ------
        ValueError
            If the pool lacks the numbers.
        """
        numbers = _numbers(pool)
        window = torch.randint(numbers.shape[1], (len(index),), generator=generator)
        mirror = torch.rand(len(index), generator=generator) < (0.5 if self.mirror else 0.0)
        target = numbers[index.numpy(), window.numpy()]
        target = np.where(mirror.numpy()[:, None], mirrored(target), target)
        images = pool.images[index]
        images = images if images.ndim == 5 else images[:, None]
        images = _turned(images, mirror & torch.from_numpy(pool.numbers["drawn_flow"][index.numpy()] > 0))
        return _cropped(to_network(images.to(device)), window, mirror), torch.from_numpy(target).to(device)


def _turned(images: Tensor, chosen: Tensor) -> Tensor:
    """Turn u round in drawn flow (B, V, 3, H, W) uint8, where 128 is no motion."""
    if not chosen.any():
        return images
    images = images.clone()
    images[chosen, :, 0] = (256 - images[chosen, :, 0].int()).clamp(max=255).to(torch.uint8)
    return images


def _cropped(images: Tensor, window: Tensor, mirror: Tensor) -> Tensor:
    """Crop images (B, V, 3, H, W) to windows, mirror those that are chosen, and restore their size."""
    size = measured_size(images.shape[-1])
    row, column, side = (torch.tensor(values)[window] / size for values in zip(*windows(size), strict=True))
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0] = torch.where(mirror, -side, side)
    theta[:, 1, 1] = side
    theta[:, 0, 2] = 2 * column + side - 1
    theta[:, 1, 2] = 2 * row + side - 1
    theta = theta.repeat_interleave(images.shape[1], 0).to(images.device)
    flat = images.flatten(0, 1)
    grid = functional.affine_grid(theta, list(flat.shape), align_corners=False)
    shown = functional.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    return shown.unflatten(0, images.shape[:2])


def _per_clip(pool: PretextPool) -> int:
    return pool.images.shape[1] if pool.images.ndim == 5 else 1


def _numbers(pool: PretextPool) -> NDArray[np.float32]:
    numbers = pool.numbers.get("statistics")
    if numbers is None or numbers.shape[1:] != (9, len(NAMES)) or "drawn_flow" not in pool.numbers:
        raise ValueError(
            "the pool needs the statistics of each clip, numbers['statistics'] (n, 9, 27) and numbers['drawn_flow']; "
            "encode it with the material of the task"
        )
    return numbers


def _explained(estimate: Tensor, target: Tensor, *, offsets: bool = False) -> float:
    """Explained share of the variance of all numbers together; 0 where none varies."""
    varies = (target != target[:1]).any(0)
    if not varies.any():
        return 0.0
    error = (estimate - target)[:, varies]
    error = error if offsets else error - error.mean(0)
    deviation = target[:, varies] - target[:, varies].mean(0)
    return float(1 - error.square().sum() / deviation.square().sum())
