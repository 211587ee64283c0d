"""What rates are measured on: one video of each encoding, of the given data or simulated, and pools of its clips."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from repro.data.clips import Clip
from repro.data.inputs import read_inputs, write_shard
from repro.data.schema import VideoRecord
from repro.data.stored_images import StoredImages
from repro.learning.pretext import PretextPool
from repro.suite.expected_data import ExpectedRecord
from repro.suite.store import hash_of
from repro.suite.units import Example

__all__ = ["Samples"]

_FRAMES = 138
"""Frames of the video that is timed, at least those of one clip."""

_STILLS = 12
"""Stills that are timed."""

_SUBJECTS = 5
"""Subjects of the pool that pretext tasks are timed on; two of them are held out."""

_POOL = 100
"""Clips of the pool at least: some are held out, and as many clusters as a task has need as many others."""

_HEIGHTS = {"unbc": 240, "biovid": 1038}
"""Pixels of the real datasets' frames."""


class Samples:
    """Encodes examples, each once, in a folder of its own that is removed at the end."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="repro-rates-")
        self._records: dict[str, VideoRecord] = {}
        self._shards: dict[str, tuple[Path, float, int]] = {}

    def close(self) -> None:
        """Remove what was encoded."""
        self._folder.cleanup()

    def folder(self) -> Path:
        """Return a new empty folder."""
        return Path(tempfile.mkdtemp(dir=self._folder.name))

    def shard(self, example: Example) -> tuple[Path, float, int]:
        """Encode an example; return its folder, seconds and frames of clips."""
        described = [example.dataset, example.spec.describe(), example.material.describe(), len(example.clips)]
        key = hash_of({"example": described})
        if key not in self._shards:
            record, items = self.video(example)
            folder = Path(self._folder.name) / "shards" / key
            begin = time.perf_counter()
            write_shard(folder, [(record, items)], example.spec, example.material)
            seconds = time.perf_counter() - begin
            self._shards[key] = folder, seconds, sum(len(clip) for clip, _ in items)
        return self._shards[key]

    def video(self, example: Example) -> tuple[VideoRecord, list[tuple[Clip, str]]]:
        """Return a video that can be decoded, and the clips of the example that lie in it."""
        record, clips = example.record, list(example.clips)
        if record.divisible:
            count = min(_STILLS, record.n_frames)
            clips = [(replace(clips[0][0], start=i, stop=i + 1), f"{record.video}#{i}") for i in range(count)]
            expected = not getattr(record, "folder", "")
        else:
            expected = isinstance(record, ExpectedRecord)
        if expected:
            record = self._simulated(example.dataset)
        stop = max(_FRAMES, min(clip.stop for clip, _ in clips))
        fitting = [(clip, source) for clip, source in clips if clip.stop <= min(stop, record.n_frames)]
        if not fitting:
            clip, source = clips[0]
            fitting = [(replace(clip, start=0, stop=min(len(clip), record.n_frames)), source)]
        return record, fitting

    def _simulated(self, dataset: str) -> VideoRecord:
        """Simulate one video of a dataset, or stills of two identities, as large as its own."""
        if dataset not in self._records:
            from repro.data import open_dataset

            root = Path(self._folder.name) / dataset
            if dataset == "vggface2":
                from repro.data.simulator.stills import simulate_stills

                simulate_stills(root, n_identities=2, stills_per_identity=_STILLS)
            else:
                from repro.data.simulator import DOMAINS, simulate

                size = _HEIGHTS[dataset]
                simulate(DOMAINS[dataset], root, n_subjects=1, videos_per_subject=1, frames=_FRAMES, size=size)
            self._records[dataset] = open_dataset(dataset, root).records[0]
        return self._records[dataset]

    def pool(self, example: Example, stored: bool) -> PretextPool:
        """Repeat an example for some subjects, with two sources of each where it has one."""
        inputs = read_inputs([self.shard(example)[0]])
        copies = 2 * max(_SUBJECTS, math.ceil(_POOL / 2 / len(inputs.clips)))
        names = np.repeat(np.arange(copies), len(inputs.clips))

        def repeated(images: StoredImages) -> Tensor | StoredImages:
            many = StoredImages.concatenate([images] * copies)
            return many if stored else many[:]

        def named(values: Sequence[str], group: int) -> np.ndarray:
            return np.array([f"{n // group}/{v}" for n, v in zip(names, list(values) * copies, strict=True)])

        return PretextPool(
            repeated(inputs.images),
            named(inputs.sources, 1),
            named([clip.video for clip in inputs.clips], 1),
            named([""] * len(inputs.clips), 2),
            {name: repeated(view) for name, view in inputs.views.items()},
            {name: np.concatenate([values] * copies) for name, values in inputs.numbers.items()},
        )

    def told(self, example: Example, frames: int) -> str:
        """Tell what was timed."""
        origin = "simulated" if example.dataset in self._records else "given"
        return f"{frames} frames of clips of one video, {origin}"
