"""The material of order prediction: half-overlapping sub-clips of whole videos, and the motion in each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from repro.data.clips import Clip, EvenClips, Source
from repro.data.files import few
from repro.data.flow import FlowMethod, flow
from repro.data.material import Extra, Material
from repro.data.schema import Dataset

if TYPE_CHECKING:
    from repro.data.encoding import InputSpec

__all__ = ["APART", "TUPLE", "SubClips"]

TUPLE = 4
"""Images whose order is predicted."""

APART = 2
"""Sub-clips from one to the next that shares no frame with it."""

_FLOW_SIZE = 64
"""Pixels at which motion is measured: a mean magnitude gains nothing from more."""

_FLOW_BLOCK = 32
"""Pairs of frames whose flow is held at a time."""


@dataclass(frozen=True)
class SubClips(Material):
    """Half-overlapping sub-clips of each whole video, in the order of time, with the motion in each.

    A sub-clip has half as many frames as the usual clip, and is distilled in segments of half the length: 20 frames
    in segments of 10 where a clip has 40 in segments of 20. A video is one source. Its number ``motion`` is the mean
    magnitude of the optical flow within the sub-clip, as a share of the image's side a frame.

    Parameters
    ----------
    flow : {"tvl1", "dis"}
        How motion is measured.
    """

    name: ClassVar[str] = "sub-clips"
    version: ClassVar[int] = 2

    flow: FlowMethod = "dis"

    def input(self, spec: InputSpec) -> InputSpec:
        """Return how sub-clips become images: one each, distilled in segments of half the length.

        Raises
        ------
        ValueError
            If a segment cannot be halved.
        """
        if spec.is_distilled and spec.segment_length < 2:
            raise ValueError(f"segment_length {spec.segment_length} cannot be halved for sub-clips; give 2 or more")
        return replace(spec, frames=1, segment_length=max(1, spec.segment_length // 2))

    def cut(
        self, dataset: Dataset, spec: InputSpec, *, clip_length: int, stride: int, clips_per_source: int
    ) -> list[Source]:
        """Cut every video that holds four sub-clips without overlap; a warning tells of those that do not.

        Raises
        ------
        ValueError
            If no video is long enough, or a clip cannot be divided.
        """
        if clip_length < TUPLE:
            raise ValueError(f"clips of {clip_length} frames cannot be divided into sub-clips; give {TUPLE} or more")
        step = max(clip_length // 4, (spec.shortest_clip + 1) // 2)
        shortest = TUPLE * APART * step
        short = [record.video for record in dataset.records if record.n_frames < shortest]
        if len(short) == len(dataset.records):
            raise ValueError(
                f"none of the {len(short)} videos of {dataset.name} has the {shortest} frames of four sub-clips of "
                f"{APART * step}; use longer videos or shorter segments and clips"
            )
        if short:
            warnings.warn(
                f"{len(short)} of {len(dataset.records)} videos have fewer than the {shortest} frames of four "
                f"sub-clips and give no order to predict: {few(short)}",
                stacklevel=2,
            )
        return [
            Source(record.subject, record.video, 0, _sub_clips(record.subject, record.video, record.n_frames, step))
            for record in dataset.records
            if record.n_frames >= shortest
        ]

    def extra(self, faces: Tensor, clips: Sequence[Clip], spec: InputSpec) -> Extra:
        """Measure the motion in each sub-clip."""
        first, stop = min(clip.start for clip in clips), max(clip.stop for clip in clips)
        lengths = _motion(faces[first:stop], self.flow)
        means = [lengths[clip.start - first : clip.stop - 1 - first].mean() for clip in clips]
        return Extra(numbers={"motion": np.array(means, np.float32)})


@lru_cache(maxsize=2**14)
def _sub_clips(subject: str, video: str, n_frames: int, step: int) -> EvenClips:
    return EvenClips(subject, video, range(0, n_frames - APART * step + 1, step), APART * step)


def _motion(frames: Tensor, method: FlowMethod) -> NDArray[np.float64]:
    """Mean length of the flow between each frame and the next, as a share of the image's side."""
    size = min(_FLOW_SIZE, *frames.shape[-2:])
    lengths = []
    for start in range(0, len(frames) - 1, _FLOW_BLOCK):
        block = frames[start : start + _FLOW_BLOCK + 1]
        small = functional.interpolate(block.float(), (size, size), mode="area").round().to(torch.uint8)
        u, v = flow(small, method=method).unbind(1)
        lengths.append((u * u + v * v).sqrt().mean((-2, -1)).double().numpy() / size)
    return np.concatenate(lengths)
