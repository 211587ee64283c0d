"""The protocol of Table 3: seconds a frame of SSD and a 2D network against the same network in 3D.

Section 3.3 draws 50 test videos of 150 to 200 frames and compares runtimes per frame. It does not say what is inside
the clock. Here it is everything between frames of the network's size in memory and pooled features: for 2D the
distillation, then scaling and the forward pass of one image; for 3D scaling and the forward pass of all frames.
Decoding and the alignment of faces are the same for both and outside. So is the transfer to a GPU.

How a 3D network takes a long video is open, too. By default it takes the whole video at once, as SSD does, so that both
see the same frames; with ``clip_length`` a video is cut into clips for both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.data.schema import VideoRecord
from repro.learning.augmentation import to_network
from repro.learning.backbones import Backbone
from repro.learning.seeds import seed_from
from repro.memory import PeakMemory
from repro.ssd import distill

__all__ = ["FRAMES", "VIDEOS", "Timing", "draw_videos", "time_per_frame"]

VIDEOS = 50
"""Videos that the paper timed."""

FRAMES = (150, 200)
"""Their shortest and longest length."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Timing:
    """What was measured of one network.

    Attributes
    ----------
    backbone : str
    input : {"SSD", "3D"}
    device : str
    threads : int
        PyTorch's, which the distillation on a CPU uses as well.
    frames : ndarray, (n,) int64
        Length of each video; all its frames count, those that the distillation drops (decision D6) included.
    distillation, forward : ndarray, (n, repeats)
        Seconds of each video and repetition; distillation is 0 for 3D.
    peak_bytes : int or None
        Most memory taken above what was held before, over all videos; weights are not included.
    peak_source : str
        As `repro.memory.PeakMemory.source`.
    """

    backbone: str
    input: Literal["SSD", "3D"]
    device: str
    threads: int
    frames: NDArray[np.int64]
    distillation: Array
    forward: Array
    peak_bytes: int | None
    peak_source: str

    @property
    def per_frame(self) -> Array:
        """Seconds a frame of each video, (n,): the median of its repetitions over its length."""
        seconds: Array = np.median(self.distillation + self.forward, axis=1)
        return seconds / self.frames

    @property
    def mean(self) -> float:
        """Mean over videos of the seconds a frame: what Table 3 prints."""
        return float(self.per_frame.mean())

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile over videos of the seconds a frame."""
        low, middle, high = np.quantile(self.per_frame, (0.25, 0.5, 0.75)).tolist()
        return low, middle, high

    @property
    def distillation_share(self) -> float:
        """Share of the distillation in all seconds, 0..1."""
        return float(self.distillation.sum() / (self.distillation.sum() + self.forward.sum()))


def draw_videos(
    records: Sequence[VideoRecord], *, count: int = VIDEOS, frames: tuple[int, int] = FRAMES, seed: int = 0
) -> list[VideoRecord]:
    """Draw test videos of the length that the protocol asks for, without replacement.

    Parameters
    ----------
    records : sequence of VideoRecord
        Of test subjects. Their order does not matter.
    count : int
    frames : (int, int)
        Shortest and longest length.
    seed : int

    Returns
    -------
    list of VideoRecord
        In the order of their names.

    Raises
    ------
    ValueError
        If fewer than `count` videos have such a length, or `count` is below 1.
    """
    shortest, longest = frames
    fitting = sorted((r for r in records if shortest <= r.n_frames <= longest), key=lambda record: record.video)
    if not 1 <= count <= len(fitting):
        raise ValueError(
            f"cannot draw {count} videos: {len(fitting)} of {len(records)} have {shortest} to {longest} frames; give "
            "more videos, another range of frames, or a count from 1 to what there is"
        )
    chosen = np.random.default_rng(seed_from("timing", "videos", seed)).choice(len(fitting), count, replace=False)
    return [fitting[index] for index in sorted(chosen)]


def time_per_frame(
    backbone: Backbone,
    videos: Iterable[Tensor],
    *,
    distillation: Callable[[Tensor], Tensor] = distill,
    clip_length: int | None = None,
    device: str | torch.device = "cpu",
    repeats: int = 3,
    warmup: int = 1,
) -> Timing:
    """Time a network on videos: a 2D one with the distillation before it, a 3D one on the frames.

    Parameters
    ----------
    backbone : Backbone
        Its ``dims`` say which. It is moved to `device`, on a CPU into the channels-last layout, which is the faster one
        in 2D and 3D; training mode is set again afterwards.
    videos : iterable of Tensor, (T, C, H, W) uint8
        Faces of the network's size. Read once, one at a time, outside the clock: a generator that decodes is fine.
    distillation : callable, optional
        From (T, C, H, W) to a uint8 image (C, H, W); by default `repro.ssd.distill` as it stands.
    clip_length : int, optional
        Cut each video into equal clips of at most this many frames. A 2D network then gets one image for each clip, in
        one batch, and a 3D network one clip after another, which bounds its memory. None: the whole video.
    device : str or torch.device
    repeats : int
        Times that each video is timed.
    warmup : int
        Runs on the first video before the clock starts, for compilation and the choice of algorithms.

    Returns
    -------
    Timing
        By a monotonic clock, in inference mode, a GPU's queue being waited for at each reading.

    Raises
    ------
    ValueError
        Without videos, for videos that are not uint8 (T, C, H, W), for numbers below 1 (`warmup`: 0), and as
        `repro.ssd.distill` and `Backbone.forward` do: a clip shorter than two segments is an error.
    """
    _check_counts(clip_length, repeats, warmup)
    device = torch.device(device)
    frames: list[int] = []
    seconds: list[list[tuple[float, float]]] = []
    peaks: list[PeakMemory] = []
    with _ready(backbone, device):
        for number, video in enumerate(videos):
            clips = _clips(video, number, clip_length, device)
            for _ in range(warmup if number == 0 else 0):
                _run(backbone, clips, distillation)
            with PeakMemory(device) as peak:
                seconds.append([_run(backbone, clips, distillation) for _ in range(repeats)])
            frames.append(len(video))
            peaks.append(peak)
    if not frames:
        raise ValueError("no videos to time; give at least one")
    both = np.array(seconds)
    return Timing(
        backbone=backbone.name,
        input="SSD" if backbone.dims == 2 else "3D",
        device=str(device),
        threads=torch.get_num_threads(),
        frames=np.array(frames, dtype=np.int64),
        distillation=both[..., 0],
        forward=both[..., 1],
        peak_bytes=max((peak.bytes for peak in peaks if peak.bytes is not None), default=None),
        peak_source=peaks[0].source,
    )


@contextmanager
def _ready(backbone: Backbone, device: torch.device) -> Iterator[None]:
    """Put a network on a device, for inference; restore its mode."""
    backbone.to(device)
    if device.type == "cpu":
        layout = torch.channels_last if backbone.dims == 2 else torch.channels_last_3d
        backbone.to(memory_format=layout)
    training = backbone.training
    try:
        backbone.eval()
        with torch.inference_mode():
            yield
    finally:
        backbone.train(training)


def _run(backbone: Backbone, clips: Sequence[Tensor], distillation: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """Return the seconds of the distillation and of the rest for one video."""
    begin = _now(clips[0].device)
    if backbone.dims == 3:
        for clip in clips:
            backbone(to_network(clip.transpose(0, 1))[None])
        return 0.0, _now(clips[0].device) - begin
    images = torch.stack([distillation(clip) for clip in clips])
    middle = _now(images.device)
    backbone(to_network(images))
    return middle - begin, _now(images.device) - middle


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _clips(video: Tensor, number: int, length: int | None, device: torch.device) -> Sequence[Tensor]:
    if video.ndim != 4 or video.dtype != torch.uint8 or len(video) == 0:
        raise ValueError(f"video {number} is {video.dtype} {tuple(video.shape)}; give uint8 frames (T, C, H, W)")
    video = video.to(device)
    return [video] if length is None else video.tensor_split(-(-len(video) // length))


def _check_counts(clip_length: int | None, repeats: int, warmup: int) -> None:
    for name, value, least in (("clip_length", clip_length, 1), ("repeats", repeats, 1), ("warmup", warmup, 0)):
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
