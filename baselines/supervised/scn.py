"""SCN: a 3-D convolutional network with parallel temporal depths, whose weights come from a 2-D teacher.

M. Tavakolian and A. Hadid, "A spatiotemporal convolutional neural network for automatic pain intensity estimation from
facial dynamics", International Journal of Computer Vision 127, 1413-1425, 2019. No code is public. From the paper, as
others tell of it: a stack of modules, each a 3-D convolution of one temporal depth, parallel 3-D convolutions of depths
1, 3, 5 and 7, and average pooling, with 64 to 512 channels; weights by transfer across architectures, which asks of a
frozen 2-D network and the 3-D one together whether a frame and a clip belong to each other
(`baselines.supervised.cross_architecture`); a regression of the intensity by the mean squared error.

Ours, beside what `IntensityNetwork` says, as no source that could be read settles it:

* Four modules; an equal part of a module's channels for each depth; 3 x 3 pixels and a fixed depth of 3; pooling by two
  in time and place; the mean over what is left; batch normalisation; all numbers of training.
* A clip is shown by a fixed number of frames, spread evenly over it, whatever its length.
* The teacher. The paper's was trained on other images before, and no such network is at hand: it is one of this suite's
  backbones, fine-tuned on the levels of the training clips' frames, or not trained at all, or there is no transfer.
  Where the levels of frames are not known, or all alike, frames have their clip's.
* The teacher sees frames as they are also where the network is shown their contrast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.features.frames import are_frames, sample_evenly
from baselines.supervised.cross_architecture import FrameClipPairs, describe_frames, match_frames
from baselines.supervised.moments import learnable_levels
from baselines.supervised.network import IntensityNetwork
from baselines.supervised.scn_network import SCNNetwork
from baselines.supervised.training import Optimiser, Show
from repro.data.features import ClipSet, Moments
from repro.learning.augmentation import Augmentation
from repro.learning.backbones import MIN_SIZE
from repro.learning.finetune import FineTuning, fine_tune
from repro.learning.pretext import BackboneSpec, isolated_randomness
from repro.learning.schedule import Schedule
from repro.learning.seeds import seed_from

__all__ = ["SCN", "TEACHERS"]

TEACHERS = ("labels", "random", "none")
"""A 2-D network that was fine-tuned on frames, one that was not trained, or no transfer."""

_TEACHER_BALANCE = 0.5
"""Frames without pain are most of all; see `FineTuning.balance`."""


@dataclass
class SCN(IntensityNetwork):
    """Spatiotemporal convolutional network (Tavakolian and Hadid 2019).

    Parameters
    ----------
    width : float
        Multiplies the channels of all modules.
    depths : tuple of int
        Temporal depths of the parallel convolutions, odd.
    fixed_depth : int
        Temporal depth of the convolution before them, odd.
    teacher : {"labels", "random", "none"}
        One of `TEACHERS`.
    teacher_backbone : str
        One of `repro.learning.backbones.NAMES`.
    teacher_width : float
        Multiplies its channels.
    teacher_epochs, transfer_epochs : int
        Passes over all frames in the teacher's fine-tuning, and over the clips in the transfer.
    teacher_rate : float
        Learning rate of the teacher, which is trained without weight decay.
    augmentation : Augmentation
        The frames of a clip share their crop and mirror.
    frames, size, contrast
        See `IntensityNetwork`.
    epochs, batch_size, learning_rate, weight_decay
        See `IntensityNetwork`. The batch size, of frames for the teacher, and momentum .9 are those of all stages; rate
        and weight decay are those of the transfer, too. The optimiser is stochastic gradient descent.

    Raises
    ------
    ValueError
        For an unknown teacher, or pictures that are too small for it.
    """

    name: ClassVar[str] = "scn"
    version: ClassVar[int] = 1
    inputs: ClassVar[tuple[str, ...]] = ("RGB",)
    optimiser: ClassVar[Optimiser] = "sgd"

    width: float = 1.0
    depths: tuple[int, ...] = (1, 3, 5, 7)
    fixed_depth: int = 3
    teacher: str = "labels"
    teacher_backbone: str = "resnet18"
    teacher_width: float = 1.0
    teacher_epochs: int = 5
    transfer_epochs: int = 10
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

    def _fit(self, clips: ClipSet, levels: NDArray[np.int64], groups: NDArray[Any]) -> None:
        """Train the teacher, transfer from it, and learn the levels."""
        moments = clips.features(*self.extractors())
        if not are_frames(moments):
            raise ValueError("scn: these clips are shown by maps of segments; the method is defined on frames only")
        show = self._inputs(moments)
        generator = torch.Generator().manual_seed(seed_from("scn", "init", self.seed))
        with isolated_randomness(seed_from("scn", "global", self.seed)):
            network = SCNNetwork(self.width, self.depths, self.fixed_depth, generator).to(self.device)
            generator.manual_seed(seed_from("scn", "batches", self.seed))
            if self.teacher != "none":
                pairs = FrameClipPairs(clips.ids, groups, self.frames)
                chosen = sample_evenly(moments, self.frames)
                pictures = torch.from_numpy(moments.values[chosen])
                teacher = self._teacher(pictures, learnable_levels(clips, moments, levels)[0][chosen])
                match_frames(
                    network,
                    describe_frames(teacher, pictures, self.device),
                    pairs,
                    show=show,
                    schedule=self._schedule(self.transfer_epochs),
                    generator=generator,
                    report=self._part(0.3, 0.6),
                    checkpoint=self._folder("transfer"),
                )
            start = 0.0 if self.teacher == "none" else 0.6
            self._regress(network.train(), show, levels, generator, start=start)

    def _inputs(self, moments: Moments) -> Show:
        """Return what shows the network clips (B, 3, frames, size, size)."""
        return self._even_pictures(moments, self.augmentation)

    def _teacher(self, pictures: Tensor, levels: NDArray[np.int64]) -> nn.Module:
        """Return a 2-D backbone, trained on frames (n, T, 3, size, size) uint8 and their levels (n, T)."""
        spec = BackboneSpec(self.teacher_backbone, self.teacher_width)
        seed = seed_from("scn", "teacher", self.seed)
        if self.teacher == "random":
            return spec.build(torch.Generator().manual_seed(seed))
        schedule = Schedule(self.teacher_epochs, self.batch_size, self.teacher_rate, "cosine")
        trained = fine_tune(
            pictures.flatten(0, 1),
            levels.ravel(),
            self.n_levels_,
            FineTuning(spec, schedule, self.augmentation, balance=_TEACHER_BALANCE),
            seed=seed,
            device=self.device,
            checkpoint=self._folder("teacher"),
            keep=True,
            report=self._part(0.0, 0.3),
        )
        backbone: nn.Module = trained.backbone  # type: ignore[assignment]
        return backbone
