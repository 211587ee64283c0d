"""A record whose frames are a video file, or a part of one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.data.schema import DataError, VideoRecord
from repro.data.video import decode, iter_frames, probe


@dataclass(frozen=True)
class VideoFileRecord(VideoRecord):
    """A record whose frames are in one video file.

    Attributes
    ----------
    path : str
        The video file.
    start : int
        Number of the record's first frame in the file.
    stop : int or None
        The frame after its last; None for the whole file.
    landmark_file : str or None
        OpenFace's CSV file for the video; "" if the dataset has landmarks, but none of this video.
    """

    path: str = ""
    start: int = 0
    stop: int | None = None
    landmark_file: str | None = None

    def frames(self) -> Tensor:
        """Decode the video in sequence; see `VideoRecord.frames`."""
        if self.stop is None:
            return decode(self.path, strict=self.strict).frames
        wanted: list[Tensor] = []
        at = 0
        # The file is read to its end, beyond the part, so that its frames can be accounted for.
        for block in iter_frames(self.path, strict=self.strict):
            part = block[max(0, self.start - at) : max(0, self.stop - at)]
            if len(part):
                wanted.append(part)
            at += len(block)
        if not wanted:
            raise DataError(f"{self.path}: ends at frame {at}, before frame {self.start} where {self.video} begins")
        return torch.cat(wanted)

    def check(self) -> int:
        """Decode the file, a few frames at a time, and count the record's frames; read its landmarks too."""
        self.landmarks()
        total = sum(len(block) for block in iter_frames(self.path, strict=self.strict))
        return total if self.stop is None else max(0, min(total, self.stop) - self.start)

    def landmarks(self) -> NDArray[np.float32] | None:
        """Read OpenFace's 68 points of each frame; see `VideoRecord.landmarks`."""
        if self.landmark_file is None:
            return None
        from repro.data.openface import N_LANDMARKS, read_openface

        if not self.landmark_file:
            return np.full((self.n_frames, N_LANDMARKS, 2), np.nan, np.float32)
        total = self.n_frames if self.stop is None else probe(self.path).n_frames
        return read_openface(self.landmark_file, n_frames=total).landmarks[self.start : self.stop]
