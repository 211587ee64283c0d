"""A clip as systems see it that do not take one image: the pictures of its face, landmarks beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.data import faces
from repro.data.clips import Clip
from repro.data.encoding import InputSpec, decodable, draw_motion, middle_frames
from repro.data.face_landmarks import believable
from repro.data.schema import Exclusion, VideoRecord
from repro.ssd import feature_maps

__all__ = ["USUAL_FPS", "FaceSequence", "Sequences", "face_sequences"]

USUAL_FPS = 25.0
"""Frames a second where a dataset does not say: BioVid's rate, and near that of the UNBC-McMaster archive."""


@dataclass(frozen=True, eq=False)
class FaceSequence:
    """Pictures of one clip's face in the order of time, and what is known beside them.

    Parameters
    ----------
    clip : Clip
    pictures : Tensor, (P, 3, size, size) uint8
        Aligned or cropped faces, all T of the clip; their drawn flow; or, distilled, the S - 1 maps of Eq. 6 for each
        two consecutive segments, as grey levels by one min-max over all of them (decision D7).
    spans : ndarray, (P, 2) int64
        First frame, and the one after the last, that each picture shows; counted from the clip's start.
    fps : float
        Frames a second, of the video.
    landmarks : ndarray, (T, 66 or 68, 2) float64, or None
        Of every frame of the clip, in pixels of the video; NaN in frames without. None if the dataset has none.
    segment_length : int or None
        Frames of a segment if the pictures are distilled, else None.
    """

    clip: Clip
    pictures: Tensor
    spans: NDArray[np.int64]
    fps: float = USUAL_FPS
    landmarks: NDArray[np.float64] | None = None
    segment_length: int | None = None

    def __len__(self) -> int:
        """Return the number of frames of the clip, T."""
        return len(self.clip)

    @property
    def is_distilled(self) -> bool:
        """Whether the pictures are maps of segments, not frames."""
        return self.segment_length is not None

    def shown(self, frames: int) -> NDArray[np.int64]:
        """Return which pictures a system looks at that takes `frames` of a clip.

        Returns
        -------
        ndarray, (V,) int64
            The middle pictures of so many equal parts, as `repro.data.encoding` shows a clip; all pictures if there
            are no more, or if they are maps, of which there are few.
        """
        if self.is_distilled or len(self.pictures) <= frames:
            return np.arange(len(self.pictures))
        return middle_frames(len(self.pictures), frames)


class Sequences(NamedTuple):
    """Clips of one video.

    Attributes
    ----------
    sequences : list of FaceSequence
    excluded : list of Exclusion
        As in `repro.data.encoding.Encoded`.
    face : str or None
        How the face was found, one of `repro.data.faces.METHODS`; None if it was not.
    """

    sequences: list[FaceSequence]
    excluded: list[Exclusion]
    face: str | None


def face_sequences(record: VideoRecord, clips: Sequence[Clip], spec: InputSpec) -> Sequences:
    """Decode a video once and cut the pictures of its face into clips.

    Parameters
    ----------
    record : VideoRecord
    clips : sequence of Clip, all of this video
    spec : InputSpec
        What the pictures show, their size, and how the face is aligned; `frames` does not matter.

    Returns
    -------
    Sequences

    Raises
    ------
    ValueError
        If a clip is shorter than `spec.shortest_clip`, or as `VideoRecord.frames` does.
    """
    frames = record.frames()
    landmarks = record.landmarks()
    known = None if landmarks is None else landmarks[: len(frames)]
    try:
        prepared = faces.prepare(
            frames, None if spec.alignment == "none" else known, size=spec.size, mode=spec.alignment
        )
    except faces.FaceError as error:
        return Sequences([], [Exclusion("video", record.video, str(error))], None)
    points = None if known is None else believable(known, (len(frames), *frames.shape[-2:]))
    kept, excluded = decodable(clips, len(frames))
    shown = prepared.frames
    if spec.is_flow and kept:
        wanted = np.zeros(len(frames), dtype=bool)
        for clip in kept:
            wanted[clip.start : clip.stop] = True
        shown = draw_motion(shown, wanted, method=spec.flow, limit=spec.flow_limit)
    sequences = [
        FaceSequence(
            clip,
            *_pictures(shown[clip.start : clip.stop], spec),
            record.fps or USUAL_FPS,
            None if points is None else points[clip.start : clip.stop],
            spec.segment_length if spec.is_distilled else None,
        )
        for clip in kept
    ]
    return Sequences(sequences, excluded, prepared.method)


def _pictures(frames: Tensor, spec: InputSpec) -> tuple[Tensor, NDArray[np.int64]]:
    """Return a clip's pictures and the frames that each of them shows."""
    if not spec.is_distilled:
        start = np.arange(len(frames))
        return frames, np.stack([start, start + 1], axis=1)
    maps = feature_maps(
        frames,
        segment_length=spec.segment_length,
        window=spec.window,
        depth=spec.depth,
        noise_variance=spec.noise_variance,
        center=spec.center,
    )
    start = np.arange(len(maps)) * spec.segment_length
    return _grey_levels(maps, spec), np.stack([start, start + 2 * spec.segment_length], axis=1)


def _grey_levels(log_maps: Tensor, spec: InputSpec) -> Tensor:
    """Bring maps of mean logarithms (S - 1, 3, H, W) to 0..255 by the domain of D5 and one min-max (D7)."""
    levels = log_maps.double()
    if spec.domain != "log":
        power = 0.5 if spec.domain == "rms" else float(spec.segment_length)
        levels = torch.exp(power * (levels - levels.amax()))  # a min-max ignores scale, and nothing is infinite so
    axes = (0, 2, 3) if spec.normalize == "channel" else (0, 1, 2, 3)
    low, high = levels.amin(axes, keepdim=True), levels.amax(axes, keepdim=True)
    return ((levels - low) / torch.where(high > low, high - low, 1.0) * 255).round().to(torch.uint8)
