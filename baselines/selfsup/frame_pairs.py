"""Images a few frames apart and the optical flow between them, as a pretext task's material."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from repro.data.clips import Clip, Source
from repro.data.encoding import InputSpec, draw_motion, encode_clip
from repro.data.files import few
from repro.data.flow import FlowMethod, flow
from repro.data.material import Extra, Material
from repro.data.schema import Dataset
from repro.learning.seeds import seed_from

__all__ = ["CELL", "FramePairs", "consistent", "pair_flow"]

CELL = 4
"""Pixels along each side over which flow is averaged: tasks predict it at a quarter of the resolution."""

_RELATIVE, _ABSOLUTE = 0.01, 0.5
"""Forward and backward flow agree if the square of their sum is below a share of their squares plus this many pixels
squared (Sundaram, Brox and Keutzer, "Dense point trajectories by GPU-accelerated large displacement optical flow",
ECCV 2010)."""


@dataclass(frozen=True)
class FramePairs(Material):
    """For each clip, the image of the clip some frames later, and the optical flow that leads there.

    How much later is drawn for each clip by a hash of its name; it is as much earlier where the video ends before.
    View ``partner``: for RGB the frame so much after the clip's middle frame, for SSD the distillation of the clip
    that is shifted so much. Number ``flow``, float16 (n, 3, size // 4, size // 4): u and v in pixels from the middle
    frame of the clip to that of its partner, averaged over cells of 4 x 4 pixels, and 1 where at least half of a
    cell's points are seen in both frames, else 0. It is the motion of the faces whatever the images show: between two
    distillations there is no motion that could be measured.

    Parameters
    ----------
    nearest, farthest : int
        Frames between the two, both included.
    method : {"tvl1", "dis"}
        Estimator of the flow, see `repro.data.flow.flow`.
    """

    name: ClassVar[str] = "frame pairs"
    version: ClassVar[int] = 1

    nearest: int = 5
    farthest: int = 10
    method: FlowMethod = "tvl1"

    def __post_init__(self) -> None:
        """Check the distances and the method."""
        if not 1 <= self.nearest <= self.farthest:
            raise ValueError(f"nearest {self.nearest} and farthest {self.farthest} are not an increasing range from 1")
        if self.method not in get_args(FlowMethod):
            raise ValueError(f"flow method {self.method!r} is not one of {', '.join(map(repr, get_args(FlowMethod)))}")

    def cut(
        self, dataset: Dataset, spec: InputSpec, *, clip_length: int, stride: int, clips_per_source: int
    ) -> list[Source]:
        """Cut the usual clips and leave out those whose video has no partner; a warning tells of them.

        Raises
        ------
        ValueError
            If no clip is left.
        """
        sources = super().cut(dataset, spec, clip_length=clip_length, stride=stride, clips_per_source=clips_per_source)
        length = {record.video: record.n_frames for record in dataset.records}
        paired, lonely = [], []
        for source in sources:
            n_frames = length[source.video]
            if self._fits(source.clips, n_frames, spec):
                paired.append(source)
                continue
            rooms = [max(_room(clip, n_frames, spec)) for clip in source.clips]
            clips = tuple(clip for clip, room in zip(source.clips, rooms, strict=True) if room >= self.nearest)
            lonely += [clip.id for clip, room in zip(source.clips, rooms, strict=True) if room < self.nearest]
            if clips:
                paired.append(replace(source, clips=clips))
        if not paired:
            raise ValueError(
                f"no clip of {clip_length} frames of {dataset.name} has room to be shifted by {self.nearest} frames in "
                "its video; use longer videos or shorter clips"
            )
        if lonely:
            warnings.warn(
                f"{len(lonely)} clips cannot be shifted by {self.nearest} frames in their video and are left out: "
                f"{few(lonely)}",
                stacklevel=2,
            )
        return paired

    def _fits(self, clips: Sequence[Clip], n_frames: int, spec: InputSpec) -> bool:
        """Whether a video is so long that its clips, of one length, have partners wherever they lie."""
        shown = len(clips[0]) if spec.is_distilled else 1
        return (n_frames - shown + 1) // 2 >= self.nearest  # forwards and backwards, of which one is at least half

    def extra(self, faces: Tensor, clips: Sequence[Clip], spec: InputSpec) -> Extra:
        """Encode the partners and estimate the flow that leads to them.

        Where fewer frames could be decoded than were promised and a clip has lost its partner, it is its own, and no
        point of its flow counts.
        """
        shown = _shown_frames(faces, clips, spec, self.farthest)
        partners, fields = [], []
        for clip in clips:
            offset = self._offset(clip, len(faces), spec)
            partners.append(encode_clip(shown[clip.start + offset : clip.stop + offset], spec))
            middle = _middle(clip)
            field = pair_flow(faces[middle], faces[middle + offset], method=self.method)
            fields.append(field if offset else torch.zeros_like(field))
        return Extra({"partner": torch.stack(partners)}, {"flow": torch.stack(fields).numpy().astype(np.float16)})

    def _offset(self, clip: Clip, n_frames: int, spec: InputSpec) -> int:
        """Frames from a clip to its partner: forwards, else backwards, else the most there is; 0 if too few."""
        forwards, backwards = _room(clip, n_frames, spec)
        span = self.farthest - self.nearest + 1
        wanted = self.nearest + seed_from("frame pairs", clip.id) % span
        if wanted <= forwards:
            return wanted
        if wanted <= backwards:
            return -wanted
        most = max(forwards, backwards)
        if most < self.nearest:
            return 0
        return most if forwards >= backwards else -most


def _room(clip: Clip, n_frames: int, spec: InputSpec) -> tuple[int, int]:
    """How many frames the clip, or the one of it that is shown, can be moved forwards and backwards in its video."""
    first, last = (clip.start, clip.stop - 1) if spec.is_distilled else (_middle(clip), _middle(clip))
    return n_frames - 1 - last, first


def pair_flow(first: Tensor, second: Tensor, *, method: FlowMethod) -> Tensor:
    """Estimate flow between two frames, where they show the same, averaged over cells.

    Parameters
    ----------
    first, second : Tensor, (3, H, W) uint8
    method : {"tvl1", "dis"}

    Returns
    -------
    Tensor, (3, H // 4, W // 4) float32
        u and v in pixels at the points of the first frame, averaged over each cell's points that are seen in both
        frames, and 1 where these are at least half of the cell, else 0 in all three.
    """
    there, back = (flow(torch.stack(pair), method=method)[0] for pair in ((first, second), (second, first)))
    seen = consistent(there, back).float()
    height, width = there.shape[-2:]
    cells = (height // CELL, width // CELL)
    share, total = (functional.adaptive_avg_pool2d(values, cells) for values in (seen[None], there * seen))
    valid = (share >= 0.5).float()
    return torch.cat([valid * total / share.clamp(min=0.5), valid])


def consistent(there: Tensor, back: Tensor) -> Tensor:
    """Tell which points of a frame are seen in another: those that flow there and back brings home.

    Parameters
    ----------
    there, back : Tensor, (2, H, W)
        Flow in pixels from the one to the other, and from the other to the one.

    Returns
    -------
    Tensor, (H, W) bool
        False also where the flow leaves the image.
    """
    height, width = there.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = x + there[0], y + there[1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    returned = functional.grid_sample(back[None], grid[None], padding_mode="border", align_corners=False)[0]
    mismatch = (there + returned).square().sum(0)
    size = there.square().sum(0) + returned.square().sum(0)
    within = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return within & (mismatch < _RELATIVE * size + _ABSOLUTE)


def _middle(clip: Clip) -> int:
    return clip.start + len(clip) // 2


def _shown_frames(faces: Tensor, clips: Sequence[Clip], spec: InputSpec, reach: int) -> Tensor:
    """Return what images are made of: the faces, or their drawn flow near the clips."""
    if not spec.is_flow:
        return faces
    wanted = np.zeros(len(faces), dtype=bool)
    for clip in clips:
        wanted[max(0, clip.start - reach) : clip.stop + reach] = True
    return draw_motion(faces, wanted, method=spec.flow, limit=spec.flow_limit)
