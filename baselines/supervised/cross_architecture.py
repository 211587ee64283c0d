"""Weights for a 3-D network from a frozen 2-D one, by asking which frames belong to which clips.

Diba, Fayyaz, Sharma, Karami, Arzani, Yousefzadeh and Van Gool, "Temporal 3D ConvNets: new architecture and transfer
learning for video classification", arXiv:1711.08200, 2017: a teacher that was trained on images describes a frame, the
3-D network describes a clip, both descriptions are concatenated, and a classifier tells whether the frame is of the
clip. The teacher is frozen, so that the 3-D network must learn to describe what the teacher sees. Tavakolian and Hadid
(IJCV 2019) take this up for pain.

Ours: the classifier has one hidden layer; the teacher's features are standardised; each clip of a batch is shown with
one of its own frames and with one of another clip, which is of the same subject half of the time, as otherwise it would
do to recognise people. Clips that overlap in time share frames and are no negatives of each other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from baselines.selfsup.heads import linear
from baselines.supervised.training import Show, train
from repro.learning.augmentation import to_network
from repro.learning.pretext import Report
from repro.learning.schedule import Schedule

__all__ = ["FrameClipMatcher", "FrameClipPairs", "describe_frames", "match_frames"]

_NAME = re.compile(r"(.*):(\d+)-(\d+)", re.DOTALL)

_CHUNK = 256
"""Frames that the teacher describes at a time."""


class FrameClipMatcher(nn.Module):
    """Tells from the descriptions of a frame and of a clip whether they belong together.

    Parameters
    ----------
    student : nn.Module
        The 3-D network, with `features` and `n_features`.
    frames : Tensor, (n, T, F)
        Teacher's descriptions of the training clips' frames, which are standardised by their mean and deviation.
    generator : torch.Generator
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, student: nn.Module, frames: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        self.student = student
        every = frames.flatten(0, 1)
        self.register_buffer("mean", every.mean(0))
        self.register_buffer("deviation", every.std(0, correction=0).clamp(min=1e-6))
        hidden: int = student.n_features  # type: ignore[assignment]
        self.classifier = nn.Sequential(
            linear(frames.shape[-1] + hidden, hidden, generator),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            linear(hidden, 1, generator, gain=0.1),
        )

    def forward(self, clips: Tensor, frames: Tensor) -> Tensor:
        """Return logits (B, k) of k frames (B, k, F) to belong to each clip (B, 3, T, H, W)."""
        described: Tensor = self.student.features(clips)  # type: ignore[operator]
        standard = (frames - self.mean) / self.deviation
        both = torch.cat([standard, described[:, None].expand(-1, frames.shape[1], -1)], dim=-1)
        logits: Tensor = self.classifier(both.flatten(0, 1))
        return logits.view(frames.shape[:2])


class FrameClipPairs:
    """Draws frames that belong to clips, and frames that do not.

    Parameters
    ----------
    ids : sequence of str, (n,)
        Names of the clips as `repro.data.clips.Clip.id` gives them: they tell which clips overlap.
    groups : ndarray, (n,)
        Subject of each clip.
    frames : int
        Frames of a clip to choose from.
    same_subject : float
        Probability that a frame of another clip shows the same subject, where there is the choice.

    Raises
    ------
    ValueError
        If a name tells no video and frames, or no clip has another one that it does not overlap.
    """

    def __init__(
        self, ids: Sequence[str] | NDArray[np.str_], groups: NDArray[Any], frames: int, same_subject: float = 0.5
    ) -> None:
        self.frames, self.same_subject = frames, same_subject
        video, self._start, self._stop = _places(ids)
        self._video = torch.from_numpy(np.unique(video, return_inverse=True)[1].astype(np.int64))
        self._subject = torch.from_numpy(np.unique(groups, return_inverse=True)[1].astype(np.int64))
        every = torch.arange(len(self._video))
        self.usable = torch.cat([part[(~self.overlapping(part)).any(1)] for part in every.split(_CHUNK)])
        if not len(self.usable):
            raise ValueError(
                f"each of the {len(every)} training clips overlaps all others, so that no frame is of another clip; "
                "train on more videos, or without a teacher"
            )

    def overlapping(self, clips: Tensor) -> Tensor:
        """Tell which clips (n,) share frames with each of some clips, (B, n) bool; each does with itself."""
        same = self._video[clips, None] == self._video
        return same & (self._start[clips, None] < self._stop) & (self._start < self._stop[clips, None])

    def draw(self, clips: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a frame of each clip and one of another.

        Parameters
        ----------
        clips : Tensor, (B,) int64
            Some of `usable`.
        generator : torch.Generator

        Returns
        -------
        whose, which : Tensor, (B, 2) int64
            Clip that each frame is of, the first the clip itself; and the frame's number, 0..frames - 1.
        """
        others = ~self.overlapping(clips)
        own = self._subject[clips, None] == self._subject
        alike, unlike = others & own, others & ~own
        wanted = torch.rand(len(clips), generator=generator) < self.same_subject
        from_own = alike.any(1) & (wanted | ~unlike.any(1))
        chosen = torch.where(from_own[:, None], alike, unlike)
        other = torch.multinomial(chosen.float(), 1, generator=generator)
        whose = torch.cat([clips[:, None], other], dim=1)
        return whose, torch.randint(self.frames, whose.shape, generator=generator)


def describe_frames(teacher: nn.Module, pictures: Tensor, device: str = "cpu") -> Tensor:
    """Describe the frames of clips (n, T, 3, H, W) uint8 by a 2-D backbone; returns (n, T, F) on the CPU."""
    teacher = teacher.to(device).eval()
    with torch.no_grad():
        parts = [teacher(to_network(part).to(device)).cpu() for part in pictures.flatten(0, 1).split(_CHUNK)]
    return torch.cat(parts).unflatten(0, pictures.shape[:2])


def match_frames(
    student: nn.Module,
    frames: Tensor,
    pairs: FrameClipPairs,
    *,
    show: Show,
    schedule: Schedule,
    generator: torch.Generator,
    report: Report,
    checkpoint: Path | None = None,
) -> FrameClipMatcher:
    """Train a 3-D network to tell which frames belong to which clips.

    Parameters
    ----------
    student : nn.Module
        The 3-D network; it is changed in place.
    frames : Tensor, (n, T, F)
        What the teacher says of the clips' frames.
    pairs : FrameClipPairs
    show : callable
        Returns clips (B, 3, T, H, W) on the network's device; called with `generator`.
    schedule : Schedule
    generator : torch.Generator
    report : callable
    checkpoint : path, optional
        A folder for the training's state, that at the end included; see `repro.learning.finetune.fine_tune`.

    Returns
    -------
    FrameClipMatcher
        In training mode; its `student` is the network.
    """
    device = next(student.parameters()).device
    matcher = FrameClipMatcher(student, frames, generator).to(device).train()
    target = torch.tensor([1.0, 0.0], device=device)

    def loss(batch: Tensor) -> Tensor:
        whose, which = pairs.draw(batch, generator)
        logits = matcher(show(batch, generator, False), frames[whose, which].to(device))
        return functional.binary_cross_entropy_with_logits(logits, target.expand_as(logits))

    train(matcher, loss, pairs.usable, schedule, generator, report, checkpoint=checkpoint, keep=True)
    return matcher


def _places(ids: Sequence[str] | NDArray[np.str_]) -> tuple[NDArray[np.str_], Tensor, Tensor]:
    """Read the video, the first frame and the one after the last off the names of clips."""
    found = [_NAME.fullmatch(str(name)) for name in ids]
    for name, match in zip(ids, found, strict=True):
        if match is None:
            raise ValueError(
                f"clip {str(name)!r} is not named '<video>:<first frame>-<end>', which tells the clips that share "
                "frames; name clips so, or train without a teacher"
            )
    parts = [match.groups() for match in found if match is not None]
    start, stop = (torch.tensor([int(part[k]) for part in parts]) for k in (1, 2))
    return np.array([part[0] for part in parts]), start, stop
