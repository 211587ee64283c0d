"""Geometry guidance: the network predicts how points move from one image to another.

Gan, Gong, Liu, Su and Guibas, "Geometry guided convolutional neural networks for self-supervised video representation
learning", CVPR 2018. A network first learns flow where it is known exactly, on synthetic images, and then the
horizontal component of motion in films, where a term of distillation keeps what the first stage taught.

There is no public code, and the data is private: rendered scenes for the first stage, disparity of stereoscopic films
for the second. What is used here is a surrogate, and all of it is our reconstruction from the text:

* First stage: the flow between two views of one unlabelled image, an affine map and a thin-plate field apart.
* Second stage: the horizontal flow between two images of a video 5 to 10 frames apart, estimated from its frames
  (`FramePairs`) and masked where forward and backward flow disagree. A stereoscopic pair differs by horizontal
  displacement only; two frames do not, and the vertical component is not asked for.
* Distillation: half of each batch of the second stage are synthetic pairs, whose target is what a frozen copy of the
  network predicted at the end of the first stage.
* Both images pass through one shared trunk, so that its weights serve the downstream task, and a decoder compares
  their maps (`FlowNetwork`).

Between two distillations (SSD) the second stage still asks for the motion of the underlying faces. On simulated BioVid
at 64 pixels (ResNet-18 of half width, 160 updates of 64 images, one seed) it is learned from RGB and not from SSD
images: the held-out error is 0.11 and 0.14 % of the side, and 0.14 % for predicting no motion. Synthetic flow is
learned from both: 1.8 and 2.6 %, against 5.7 %. That is why `Geometry.accuracy` is the error of the first stage
throughout; the second's is logged beside it.

Shortcuts that are closed: both views are resampled once, and both lie within the image, so that neither sharpness nor
repeated edges tell which was moved where; crop and mirror are those of both images. What a network knows about where
parts of an aligned face usually are is not hidden from it: that is what the method is after.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.selfsup.flow_network import GROUPS, FlowNetwork
from baselines.selfsup.frame_pairs import CELL, FramePairs
from baselines.selfsup.warps import Warps, inside, pixel_points, sample
from repro.data.flow import FlowMethod
from repro.learning.augmentation import Augmentation, to_network
from repro.learning.backbones import Backbone
from repro.learning.pretext import Accuracy, PretextPool, PretextTask

__all__ = ["FlowBatch", "Geometry"]

_EVALUATED_PAIRS = 240
"""Held-out pairs of each kind: 960 images in all."""

_CHUNK = 64
"""Pairs that are evaluated at a time."""

_SOFT = 0.05
"""Errors below this share of the usual motion count by their square, so that the noise of small ones has no say."""

_LEAST_MOTION = 0.01
"""Percent of the side that counts as the usual motion at least: videos may hold still."""

_WHOLE = 0.99
"""Share of valid cells among those that an interpolated value comes from, with room for rounding."""


class FlowBatch(NamedTuple):
    """Pairs of images with the flow from the first to the second.

    Attributes
    ----------
    first, second : Tensor, shape (n, 3, H, W)
    flow : Tensor, shape (n, 2, H // 4, W // 4)
        u and v in percent of the side; v is 0 where only u is asked for.
    valid : Tensor, shape (n, 1, H // 4, W // 4)
        1 where the flow is known and leads to a point within the second image, else 0.
    horizontal : Tensor, shape (n,), bool
        Whether only u is asked for.
    """

    first: Tensor
    second: Tensor
    flow: Tensor
    valid: Tensor
    horizontal: Tensor


class _Network(nn.Module):
    """The network that learns, the frozen copy that it was after the first stage, and the number of the epoch."""

    epoch: Tensor

    def __init__(self, student: FlowNetwork) -> None:
        super().__init__()
        self.student = student
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    @property
    def backbone(self) -> nn.Module:
        return self.student.backbone

    def train(self, mode: bool = True) -> _Network:
        super().train(mode)
        self.teacher.eval()
        return self


@dataclass(frozen=True)
class Geometry(PretextTask):
    """Flow of synthetic warps, then the horizontal flow of videos, with distillation of the first.

    Parameters
    ----------
    first_stage_epochs : int
        Epochs of the first stage; the others are the second's. Ours: half of the updates (2 of 4 or 5 epochs).
    distillation : float
        Weight of the term that keeps the first stage; its errors and those of the second stage are both relative to
        the usual motion of their pairs.
    warps : Warps
        Distribution of the synthetic warps.
    nearest, farthest : int
        Frames between the images of a pair of the second stage.
    flow : {"tvl1", "dis"}
        Estimator of their flow.
    width, reach : int
        Of the decoder, see `FlowNetwork`.
    augmentation : Augmentation
        Crop and mirror, the same for both images of a pair.
    """

    name: ClassVar[str] = "geometry"
    version: ClassVar[int] = 2
    accuracy: ClassVar[Accuracy] = Accuracy("end-point error of warps, % of side", higher_is_better=False)

    first_stage_epochs: int = 2
    distillation: float = 1.0
    warps: Warps = Warps()
    nearest: int = 5
    farthest: int = 10
    flow: FlowMethod = "tvl1"
    width: int = 64
    reach: int = 2
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.first_stage_epochs < 1:
            raise ValueError(
                f"first_stage_epochs {self.first_stage_epochs} must be at least 1: the second stage keeps what the "
                "first has learned"
            )
        if not 0 <= self.distillation < math.inf:
            raise ValueError(f"distillation {self.distillation} must be finite and not negative")
        if self.width < 1 or self.width % GROUPS or self.reach < 1:
            raise ValueError(f"width {self.width} must be a multiple of {GROUPS} and reach {self.reach} at least 1")
        self.material()

    def material(self) -> FramePairs:
        """Return images with a partner some frames later, and the flow between them."""
        return FramePairs(self.nearest, self.farthest, self.flow)

    def network(self, backbone: nn.Module, generator: torch.Generator) -> nn.Module:
        """Put the decoder of flow on the backbone."""
        student = FlowNetwork(cast("Backbone", backbone), generator, width=self.width, reach=self.reach)
        lengths = self.warps.draw(256, generator)(pixel_points(8, 8)).norm(dim=-1)
        student.scale[0] = max(50 * float(lengths.mean()), _LEAST_MOTION)
        return _Network(student)

    def start_epoch(
        self, network: nn.Module, pool: PretextPool, generator: torch.Generator, optimiser: torch.optim.Optimizer
    ) -> dict[str, float]:
        """Count epochs; at the start of the second stage keep a copy of the network and measure the usual motion."""
        trained = cast("_Network", network)
        trained.epoch += 1
        if int(trained.epoch) == self.first_stage_epochs + 1:
            u, _, valid = pool.numbers["flow"].astype(np.float32).transpose(1, 0, 2, 3)
            usual = 100 / pool.images.shape[-1] * float(np.abs(u * valid).sum() / max(1.0, valid.sum()))
            trained.student.scale[1] = max(usual, _LEAST_MOTION)
            trained.teacher.load_state_dict(trained.student.state_dict())
        return {"stage": 2.0 if self._is_second(trained) else 1.0}

    def _is_second(self, network: _Network) -> bool:
        return int(network.epoch) > self.first_stage_epochs

    def loss(
        self, network: nn.Module, pool: PretextPool, generator: torch.Generator, batch_size: int
    ) -> tuple[Tensor, dict[str, float]]:
        """End-point error of a batch of pairs; in the second stage half of them are synthetic and distilled.

        Errors count relative to the usual motion, averaged over the decoder's levels. Logged are the end-point errors
        in percent of the side: ``accuracy`` of synthetic pairs, ``frames`` of those of the videos.
        """
        trained = cast("_Network", network)
        device = trained.epoch.device
        index = torch.randperm(len(pool), generator=generator)[: max(2, batch_size // 2)]
        if not self._is_second(trained):
            batch = self.warped(pool, index, generator, device)
            predictions = trained.student(batch.first, batch.second, batch.horizontal)
            scale = trained.student.scale[0]
            return _loss(predictions, batch, scale), {"accuracy": _error(predictions[-1], batch)[0]}
        n = (len(index) + 1) // 2
        frames = self.frames(pool, index[:n], generator, device)
        warped = self.warped(pool, index[n:], generator, device)
        both = [torch.cat(parts) for parts in zip(frames, warped, strict=True)]
        predictions = trained.student(both[0], both[1], both[4])
        of_frames, of_warps = [p[:n] for p in predictions], [p[n:] for p in predictions]
        with torch.no_grad():
            soft = trained.teacher(warped.first, warped.second, warped.horizontal)
        loss = _loss(of_frames, frames, trained.student.scale[1])
        kept = torch.stack(
            [_robust((p - s) / trained.student.scale[0]).mean() for p, s in zip(of_warps, soft, strict=True)]
        )
        log = {"accuracy": _error(of_warps[-1], warped)[0], "frames": _error(of_frames[-1], frames)[0]}
        return loss + self.distillation * kept.mean(), {**log, "distillation": float(kept.mean().detach())}

    @torch.no_grad()
    def evaluate(self, network: nn.Module, pool: PretextPool, generator: torch.Generator) -> dict[str, float]:
        """Measure end-point errors on images that are cropped and mirrored as in training.

        Returns
        -------
        dict
            In percent of the side: ``accuracy``, of synthetic pairs, and ``frames``, of the horizontal component
            between images of a video, which is not learned before the second stage; ``chance`` and
            ``frames_chance``, of predicting no motion for the same pairs.
        """
        trained = cast("_Network", network)
        device = trained.epoch.device
        index = torch.randperm(len(pool), generator=generator)[:_EVALUATED_PAIRS]
        measures = []
        for draw in (self.warped, self.frames):
            errors = []
            for chunk in index.split(_CHUNK):
                batch = draw(pool, chunk, generator, device)
                prediction = trained.student(batch.first, batch.second, batch.horizontal)[-1]
                errors.append((*_error(prediction, batch), _error(torch.zeros_like(prediction), batch)[0]))
            error, points, still = np.array(errors).T
            measures += [float(np.average(values, weights=np.maximum(points, 1e-9))) for values in (error, still)]
        return dict(zip(("accuracy", "chance", "frames", "frames_chance"), measures, strict=True))

    def warped(self, pool: PretextPool, index: Tensor, generator: torch.Generator, device: torch.device) -> FlowBatch:
        """Make synthetic pairs of images."""
        images = to_network(pool.images[index]).to(device)
        pair = self.warps.pair(images, self.augmentation.draw(len(index), generator), generator)
        points = pixel_points(images.shape[-2] // CELL, images.shape[-1] // CELL, device)
        displacement = pair.field(points)
        return FlowBatch(
            pair.first,
            pair.second,
            50 * displacement.permute(0, 3, 1, 2),
            inside(points + displacement)[:, None].float(),
            torch.zeros(len(index), dtype=torch.bool, device=device),
        )

    def frames(self, pool: PretextPool, index: Tensor, generator: torch.Generator, device: torch.device) -> FlowBatch:
        """Fetch pairs of images of videos, cropped and mirrored together with the flow between them.

        Raises
        ------
        ValueError
            If the pool has no such pairs.
        """
        if "partner" not in pool.views or "flow" not in pool.numbers:
            raise ValueError(
                f"the pool has views {sorted(pool.views)} and numbers {sorted(pool.numbers)}, but the second stage "
                "needs 'partner' and 'flow'; encode the videos with this task's material()"
            )
        first, second = (to_network(images[index]).to(device) for images in (pool.images, pool.views["partner"]))
        measured = torch.from_numpy(pool.numbers["flow"][index.numpy()]).float().to(device)
        crops = self.augmentation.draw(len(index), generator).to(device)
        seen = functional.affine_grid(crops, list(first.shape), align_corners=False)
        cells = functional.affine_grid(crops, list(measured.shape), align_corners=False)
        valid = sample(measured[:, 2:], cells)
        flow = sample(measured[:, :2] * measured[:, 2:], cells) * (100 / first.shape[-1])
        # p and its flow d are shown at q with A q + t = p; where p + d is shown lies A^-1 d from there.
        flow = torch.einsum("nij,njhw->nihw", torch.linalg.inv(crops[..., :2]), flow)
        target = pixel_points(flow.shape[-2], flow.shape[-1], device) + flow.permute(0, 2, 3, 1) / 50
        return FlowBatch(
            sample(first, seen),
            sample(second, seen),
            functional.pad(flow[:, :1], (0, 0, 0, 0, 0, 1)),
            ((valid >= _WHOLE) & inside(target)[:, None]).float(),
            torch.ones(len(index), dtype=torch.bool, device=device),
        )


def _robust(difference: Tensor) -> Tensor:
    """Length of vectors (n, 2, h, w), smooth at 0."""
    return torch.sqrt(difference.square().sum(1) + _SOFT**2) - _SOFT


def _loss(predictions: Sequence[Tensor], batch: FlowBatch, scale: Tensor) -> Tensor:
    """Mean error of valid points relative to the usual motion, averaged over levels."""
    losses = []
    for prediction in predictions:
        size = (prediction.shape[-2], prediction.shape[-1])
        weight, flow = (functional.adaptive_avg_pool2d(x, size) for x in (batch.valid, batch.flow * batch.valid))
        error = _robust((prediction - flow / weight.clamp(min=1e-6)) / scale)
        losses.append((weight[:, 0] * error).sum() / weight.sum().clamp(min=1))
    return torch.stack(losses).mean()


def _error(prediction: Tensor, batch: FlowBatch) -> tuple[float, float]:
    """Mean end-point error of valid points, 0 if there is none, and their number."""
    size = batch.flow.shape[-2:]
    prediction = functional.interpolate(prediction.detach(), size, mode="bilinear", align_corners=False)
    lengths = (prediction - batch.flow).norm(dim=1) * batch.valid[:, 0]
    points = float(batch.valid.sum())
    return float(lengths.sum()) / max(points, 1.0), points
