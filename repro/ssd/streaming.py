"""A video that arrives in parts becomes one image; every distillation is such a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from repro.ssd import checks, equations
from repro.ssd.aggregation import RunningSoftmax
from repro.ssd.checks import VideoLike


class Distiller:
    """Distil a video that arrives in parts, in memory for two segments whatever its length.

    Its image equals that of `distill` over all frames at once, bit for bit, however they are cut into parts.

    Parameters
    ----------
    segment_length, window, depth, noise_variance, center, domain, normalize, backend
        As for `distill`.
    videos : int
        How many videos the channels of the frames belong to, those of one after those of the other. All steps but D7
        treat a channel by itself; D7 then normalises each video by itself.

    Attributes
    ----------
    n_frames : int
        Frames taken in so far.
    n_segments : int
        Whole segments among them, floor(n_frames / segment_length).

    Examples
    --------
    >>> import torch
    >>> stream = Distiller(segment_length=10)
    >>> for _ in range(5):
    ...     stream.update(torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8))
    >>> stream.n_segments, stream.image().shape
    (3, torch.Size([3, 32, 32]))
    """

    def __init__(
        self,
        segment_length: int = 20,
        *,
        window: int = 5,
        depth: int = 1,
        noise_variance: float = 0.4,
        center: bool = True,
        domain: str = "rms",
        normalize: str | None = "joint",
        backend: str = "auto",
        videos: int = 1,
    ) -> None:
        self.segment_length = checks.positive("segment_length", segment_length)
        self._window = checks.odd("window", window)
        self._depth = checks.odd("depth", depth)
        self._noise_variance = checks.variance("noise_variance", noise_variance)
        self._center = bool(center)
        self._normalize = checks.one_of("normalize", normalize, checks.NORMALIZATIONS)
        self._backend = checks.one_of("backend", backend, checks.BACKENDS)
        self._videos = checks.positive("videos", videos)
        self._softmax = RunningSoftmax(self.segment_length, checks.one_of("domain", domain, checks.DOMAINS))
        self._reference = self._current = torch.empty(0)  # until the first frames tell their shape
        self.n_frames = 0

    @property
    def n_segments(self) -> int:
        """Whole segments so far."""
        return self.n_frames // self.segment_length

    def update(self, frames: VideoLike) -> None:
        """Take in the next frames.

        Parameters
        ----------
        frames : Tensor or ndarray, (n, C, H, W)
            n >= 0 frames, uint8 or floating, on 0..255; they are copied.

        Raises
        ------
        ValueError
            If `frames` is no video (`checks.frames`), or its shape, device or precision differs from what
            came before.
        """
        for feature_map in self.maps(frames):
            self._softmax.add(feature_map)

    def maps(self, frames: VideoLike) -> Iterator[Tensor]:
        """Take in the next frames and yield the maps that they complete, without aggregating them.

        `update` is this followed by the aggregation; `feature_maps` wants the maps themselves.

        Parameters
        ----------
        frames : Tensor or ndarray, (n, C, H, W)
            As for `update`.

        Yields
        ------
        Tensor, (C, H, W)
            As `feature_maps` returns them.
        """
        frames = checks.frames(frames, name="frames", window=self._window, videos=self._videos)
        self._match(frames)
        while len(frames):
            filled = self.n_frames % self.segment_length
            part = frames[: self.segment_length - filled]
            _copy(self._current[filled : filled + len(part)], part)
            self.n_frames += len(part)
            frames = frames[len(part) :]
            if self.n_frames % self.segment_length == 0:
                if self.n_segments > 1:
                    yield self._pair_map()
                self._reference, self._current = self._current, self._reference

    def image(self) -> Tensor:
        """Return the image of all whole segments so far; as `distill` does.

        Raises
        ------
        ValueError
            If there are fewer than two segments.
        """
        self.require_map()
        image = self._softmax.image(self._normalize, self._videos)
        return image.to(self._precision) if self._normalize is None else image

    @property
    def _precision(self) -> torch.dtype:
        """That of maps."""
        return _precision(self._current.dtype)

    def _match(self, frames: Tensor) -> None:
        """Allocate the two segments at the first frames; later ones must be like them.

        Segments stay uint8, a quarter of the memory, as long as all frames are.
        """
        if self._backend in ("cpu", "cuda") and frames.device.type != self._backend:
            raise ValueError(f'backend="{self._backend}" needs frames on that device; got device {frames.device}')
        if self._current.numel() == 0:
            shape = (self.segment_length, *frames.shape[1:])
            dtype = torch.uint8 if frames.dtype == torch.uint8 else _precision(frames.dtype)
            self._current, self._reference = (torch.empty(shape, dtype=dtype, device=frames.device) for _ in range(2))
        for name, now, before in (
            ("shape (C, H, W)", tuple(frames.shape[1:]), tuple(self._current.shape[1:])),
            ("device", frames.device, self._current.device),
            ("precision", _precision(frames.dtype), self._precision),
        ):
            if now != before:
                raise ValueError(f"frames must keep their {name}; got {now} after {before}")
        if self._current.dtype == torch.uint8 and frames.is_floating_point():
            self._current, self._reference = self._current.float(), self._reference.float()

    def _pair_map(self) -> Tensor:
        """Eq. 6 for the two segments in memory."""
        backend = best_backend(self._current) if self._backend == "auto" else self._backend
        segments = self._reference, self._current
        if backend == "equations":
            segments = self._reference.to(self._precision), self._current.to(self._precision)
        return _feature_map(backend)(
            *segments,
            window=self._window,
            depth=self._depth,
            noise_variance=self._noise_variance,
            center=self._center,
        )

    def require_map(self) -> None:
        """Raise a ValueError, with T and l, if there are fewer than two segments."""
        if self.n_segments < 2:
            raise ValueError(
                f"a video of T = {self.n_frames} frames has fewer than two segments of l = "
                f"{self.segment_length}; it needs T >= 2 l = {2 * self.segment_length}: "
                "give more frames or a smaller segment_length"
            )


def _precision(dtype: torch.dtype) -> torch.dtype:
    """Return the precision of maps for frames of some dtype."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _copy(target: Tensor, source: Tensor) -> None:
    """Copy frames, on a CPU with one thread, as `RunningSoftmax` works."""
    if target.device.type == "cpu" and source.dtype != torch.bfloat16:  # NumPy has no such number
        np.copyto(target.numpy(), source.numpy(), casting="unsafe")
    else:
        target.copy_(source)


def best_backend(frames: Tensor) -> str:
    """Return the fastest backend that gives what the reference would: on a CPU float64 would lose its precision."""
    if frames.device.type == "cuda" and find_spec("triton") is not None:
        return "cuda"
    return "cpu" if frames.device.type == "cpu" and frames.dtype != torch.float64 else "equations"


def _feature_map(backend: str) -> Callable[..., Tensor]:
    """Import a backend, here because of the time that numba and Triton take."""
    if backend == "cpu":
        from repro.ssd import cpu

        return cpu.feature_map
    if backend == "cuda":
        from repro.ssd import cuda

        return cuda.feature_map
    return equations.feature_map
