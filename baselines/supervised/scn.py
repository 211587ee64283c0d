"""SCN: a 3-D convolutional network with parallel temporal depths, whose weights come from a 2-D teacher.

Tavakolian and Hadid, "A spatiotemporal convolutional neural network for automatic pain intensity estimation from facial
dynamics", International Journal of Computer Vision 127, 1413-1425, 2019. No code is public. From the paper, as others
tell of it: a stack of modules, each a 3-D convolution of one temporal depth, parallel 3-D convolutions of depths 1, 3,
5 and 7, and average pooling, with 64 to 512 channels; weights by transfer across architectures, which asks a frozen 2-D
network and the 3-D one whether a frame and a clip belong together (`baselines.supervised.cross_architecture`); a
regression of the intensity by the mean squared error.

Ours, as no source that could be read settles it:

* Four modules; an equal part of a module's channels for each depth; 3 x 3 pixels and a fixed depth of 3; pooling by two
  in time and place; the mean over what is left; batch normalisation; all numbers of training.
* A clip is shown by a fixed number of frames, spread evenly over it, whatever its length; its level is learned, and the
  answer is the mean of the clip's and its mirror image's.
* The teacher. The paper's was trained on other images before, and no such network is at hand: it is one of this suite's
  backbones, fine-tuned on the levels of the training clips' frames, or not trained at all, or there is no transfer.
* `SCN.contrast`, off by default and not in the paper: what each frame differs by from the mean of its clip's is shown
  instead of the frame. Of the variance of simulated pictures, 1.6 % lies within clips and 85 % between people. Trained
  on 8 simulated people for 10 epochs, a network of an eighth of the width did no better than chance on frames, with or
  without a teacher, and clearly better on their contrast. With so few people the transfer teaches it to recognise
  them: whether a frame is of a clip or of another one of the same person was answered no better than by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from baselines.features.frames import Pictures, spread
from baselines.supervised.cross_architecture import FrameClipPairs, describe_frames, match_frames
from baselines.supervised.estimator import IntensityRegressor
from baselines.supervised.scn_network import SCNNetwork
from baselines.supervised.training import train
from repro.data.features import ClipSet, Extractor
from repro.learning.augmentation import Augmentation, to_network
from repro.learning.backbones import MIN_SIZE
from repro.learning.finetune import FineTuning, fine_tune
from repro.learning.pretext import BackboneSpec, Report, isolated_randomness
from repro.learning.schedule import Schedule
from repro.learning.seeds import seed_from

__all__ = ["SCN", "TEACHERS"]

TEACHERS = ("labels", "random", "none")
"""A 2-D network that was fine-tuned on frames, one that was not trained, or no transfer."""

_TEACHER_BALANCE = 0.5
"""Frames without pain are most of all; see `FineTuning.balance`."""

_CHUNK = 32
"""Clips that are predicted at a time."""


@dataclass
class SCN(IntensityRegressor):
    """Spatiotemporal convolutional network (Tavakolian and Hadid 2019).

    Parameters
    ----------
    frames : int
        Frames that show a clip.
    size : int
        Their height and width in pixels.
    width : float
        Multiplies the channels of all modules.
    depths : tuple of int
        Temporal depths of the parallel convolutions, odd.
    fixed_depth : int
        Temporal depth of the convolution before them, odd.
    contrast : bool
        Show the network by what frames differ from their clip's mean.
    teacher : {"labels", "random", "none"}
        One of `TEACHERS`.
    teacher_backbone : str
        One of `repro.learning.backbones.NAMES`.
    teacher_width : float
        Multiplies its channels.
    teacher_epochs, transfer_epochs, epochs : int
        Passes over all frames in the teacher's fine-tuning, over the clips in the transfer, and in the regression.
    batch_size : int
        Clips, or the teacher's frames, in an update.
    learning_rate, teacher_rate, weight_decay : float
        Of stochastic gradient descent with momentum .9; rates warm up and fall as half a cosine in each stage.
    augmentation : Augmentation
        The frames of a clip share their crop and mirror.

    Attributes
    ----------
    network_ : SCNNetwork
        Maps clips to levels in deviations from the training mean.
    mean_, scale_ : float
        Mean and standard deviation of the training levels.

    Raises
    ------
    ValueError
        For an unknown teacher, or pictures that are too small for it.
    """

    name: ClassVar[str] = "scn"
    version: ClassVar[int] = 1
    inputs: ClassVar[tuple[str, ...]] = ("RGB",)

    frames: int = 16
    size: int = 112
    width: float = 1.0
    depths: tuple[int, ...] = (1, 3, 5, 7)
    fixed_depth: int = 3
    contrast: bool = False
    teacher: str = "labels"
    teacher_backbone: str = "resnet18"
    teacher_width: float = 1.0
    teacher_epochs: int = 5
    transfer_epochs: int = 10
    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 0.05
    teacher_rate: float = 0.02
    weight_decay: float = 1e-4
    augmentation: Augmentation = Augmentation(area=(0.8, 1.0), aspect=1.1)

    def __post_init__(self) -> None:
        """Check the teacher."""
        if self.teacher not in TEACHERS:
            raise ValueError(f"teacher {self.teacher!r} is not one of {', '.join(map(repr, TEACHERS))}")
        if self.teacher != "none" and self.size < MIN_SIZE:
            raise ValueError(f"size {self.size} is too small for a teacher, which takes {MIN_SIZE} pixels or more")

    def extractors(self) -> tuple[Extractor, ...]:
        """Return the one of the pictures."""
        return (Pictures(frames=self.frames, size=self.size),)

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        """Train the teacher, transfer from it, and learn the levels."""
        moments = clips.features(*self.extractors())
        chosen = spread(moments, self.frames)
        pictures = torch.from_numpy(moments.values)[torch.from_numpy(chosen)]
        generator = torch.Generator().manual_seed(seed_from("scn", "init", self.seed))
        with isolated_randomness(seed_from("scn", "global", self.seed)):
            network = SCNNetwork(self.width, self.depths, self.fixed_depth, generator).to(self.device)
            generator.manual_seed(seed_from("scn", "batches", self.seed))
            if self.teacher != "none":
                pairs = FrameClipPairs(clips.ids, groups, self.frames)
                shown = clips.moment_levels(moments, levels)[chosen]
                frames = describe_frames(self._teacher(pictures, shown, levels), pictures, self.device)
                match_frames(
                    network,
                    pictures,
                    frames,
                    pairs,
                    show=self._show,
                    schedule=self._schedule(self.transfer_epochs),
                    generator=generator,
                    report=self._part(0.3, 0.6),
                )
            self._regress(network.train(), pictures, levels, generator)
        self.network_ = network.eval()

    def _teacher(self, pictures: Tensor, shown: NDArray[np.int64], levels: NDArray[np.int64]) -> nn.Module:
        """Return a 2-D backbone, trained on levels of frames (n, T), or of their clips (n,) if all frames are alike."""
        spec = BackboneSpec(self.teacher_backbone, self.teacher_width)
        seed = seed_from("scn", "teacher", self.seed)
        if self.teacher == "random":
            return spec.build(torch.Generator().manual_seed(seed))
        if len(np.unique(shown)) < 2:
            shown = np.broadcast_to(levels[:, None], shown.shape)
        schedule = Schedule(self.teacher_epochs, self.batch_size, self.teacher_rate, "cosine")
        trained = fine_tune(
            pictures.flatten(0, 1),
            shown.ravel(),
            self.n_levels_,
            FineTuning(spec, schedule, self.augmentation, balance=_TEACHER_BALANCE),
            seed=seed,
            device=self.device,
            report=self._part(0.0, 0.3),
        )
        backbone: nn.Module = trained.backbone  # type: ignore[assignment]
        return backbone

    def _regress(
        self, network: SCNNetwork, pictures: Tensor, levels: NDArray[np.int64], generator: torch.Generator
    ) -> None:
        """Minimise the squared error of the levels, in units of their standard deviation."""
        self.mean_, self.scale_ = float(levels.mean()), float(levels.std())
        target = torch.from_numpy((levels - self.mean_) / self.scale_).float()
        schedule = self._schedule(self.epochs)
        report = self._part(0.0 if self.teacher == "none" else 0.6, 1.0)

        def loss(batch: Tensor) -> Tensor:
            predicted = network(self._show(pictures[batch], generator).to(self.device))
            return functional.mse_loss(predicted, target[batch].to(self.device))

        train(network.parameters(), loss, torch.arange(len(pictures)), schedule, generator, report)

    @torch.no_grad()
    def _intensity(self, clips: ClipSet) -> NDArray[np.float64]:
        """Return levels (n,), the mean over clips and their mirror images."""
        moments = clips.features(*self.extractors())
        chosen = torch.from_numpy(spread(moments, self.frames))
        values = torch.from_numpy(moments.values)
        network = self.network_.to(self.device)
        answers = []
        for part in chosen.split(_CHUNK):
            shown = self._show(values[part], None).to(self.device)
            answers.append(((network(shown) + network(shown.flip(-1))) / 2).cpu())
        intensities: NDArray[np.float64] = torch.cat(answers).double().numpy() * self.scale_ + self.mean_
        return intensities

    def _show(self, pictures: Tensor, generator: torch.Generator | None) -> Tensor:
        """Prepare clips (B, T, 3, H, W) uint8 as (B, 3, T, H, W) in -1..1, or their contrast; cropped if drawn for."""
        frames = to_network(pictures.flatten(0, 1))
        if generator is not None:
            frames = self.augmentation(frames, generator, together=pictures.shape[1])
        shown = frames.unflatten(0, pictures.shape[:2])
        if self.contrast:
            shown = shown - shown.mean(1, keepdim=True)
        return shown.transpose(1, 2)

    def _part(self, start: float, stop: float) -> Report:
        """Return what reports the progress of one stage as that of the whole."""
        return lambda share, message: self.report(start + (stop - start) * share, message)

    def _schedule(self, epochs: int) -> Schedule:
        return Schedule(
            epochs, self.batch_size, self.learning_rate, "cosine", weight_decay=self.weight_decay, clip_norm=1.0
        )
