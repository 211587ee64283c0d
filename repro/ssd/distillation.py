"""A video becomes one image: the public functions of Section 2.1, over whole videos and over streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import torch
from torch import Tensor

from repro.ssd import checks, equations
from repro.ssd.aggregation import RunningSoftmax
from repro.ssd.checks import VideoLike


def information_weights(
    x: VideoLike,
    y: VideoLike,
    *,
    window: int = 5,
    depth: int = 1,
    noise_variance: float = 0.4,
    center: bool = True,
) -> Tensor:
    """Weights w_{j,i} of Eq. 6, by Eqs. 11 to 15, for every frame and point of two segments.

    Parameters
    ----------
    x, y : Tensor or ndarray, (l, C, H, W)
        Reference and deformed segment, uint8 or floating, on 0..255.
    window, depth : int
        Odd extent of a neighbourhood in pixels and in frames (D3); beyond a segment's ends its first or last
        frame repeats. Borders reflect without repeating the edge pixel (D8).
    noise_variance : float
        s_n^2 in squared grey levels (D1); the default is the constant of IW-SSIM.
    center : bool
        Whether each neighbourhood loses its own mean (D2).

    Returns
    -------
    Tensor, (l, C, H, W)
        In nats, not negative; float64 if both inputs are float64, else float32.

    Raises
    ------
    ValueError
        If a parameter is out of range, an input is no video (`checks.frames`), or the two differ in shape.
    """
    window, depth = checks.odd("window", window), checks.odd("depth", depth)
    noise_variance = checks.variance("noise_variance", noise_variance)
    x, y = checks.frames(x, name="x", window=window), checks.frames(y, name="y", window=window)
    if x.shape != y.shape or len(x) == 0:
        raise ValueError(f"x and y must be segments of one shape; got {tuple(x.shape)} and {tuple(y.shape)}")
    dtype = torch.float64 if x.dtype == y.dtype == torch.float64 else torch.float32
    return equations.information_weights(
        x.to(dtype), y.to(dtype), window=window, depth=depth, noise_variance=noise_variance, center=center
    )


def feature_maps(
    video: VideoLike,
    *,
    segment_length: int = 20,
    window: int = 5,
    depth: int = 1,
    noise_variance: float = 0.4,
    center: bool = True,
    backend: str = "auto",
) -> Tensor:
    """Eq. 6 for each two consecutive segments, as the mean logarithm (1/l) sum_j log m_j.

    Parameters
    ----------
    video : Tensor or ndarray, (T, C, H, W)
        uint8 or floating, on 0..255. The frames after the last whole segment are dropped (D6).
    segment_length : int
        l, in frames.
    window, depth, noise_variance, center
        As for `information_weights`.
    backend : {"auto", "cpu", "cuda", "equations"}
        As for `distill`.

    Returns
    -------
    Tensor, (S - 1, C, H, W)
        S = floor(T / l); each m_j, in squared grey levels, is at least 1e-10. float64 for a float64 video,
        else float32.

    Raises
    ------
    ValueError
        If a parameter is out of range, `video` is no video (`checks.frames`), or T < 2 l.
    """
    stream = Distiller(
        segment_length,
        window=window,
        depth=depth,
        noise_variance=noise_variance,
        center=center,
        backend=backend,
    )
    maps = list(stream.maps(video))
    stream.require_map()
    return torch.stack(maps)


def distill(
    video: VideoLike,
    *,
    segment_length: int = 20,
    window: int = 5,
    depth: int = 1,
    noise_variance: float = 0.4,
    center: bool = True,
    domain: str = "rms",
    normalize: str | None = "joint",
    backend: str = "auto",
) -> Tensor:
    """Distil a video into one image (SSD).

    Parameters
    ----------
    video : Tensor or ndarray, (T, C, H, W)
        uint8 or floating, on 0..255, RGB. The frames after the last whole segment are dropped (D6).
    segment_length : int
        l, in frames; the paper finds 20 best.
    window, depth : int
        Odd extent of a neighbourhood in pixels and in frames (D3).
    noise_variance : float
        s_n^2 in squared grey levels (D1); the default is the constant of IW-SSIM.
    center : bool
        Whether each neighbourhood loses its own mean (D2).
    domain : {"rms", "log", "product"}
        What is aggregated (D5): with m_j the bracket of Eq. 6, the geometric mean (prod_j m_j)^(1/2l) in grey
        levels; its logarithm (1/l) sum_j log m_j; or prod_j m_j, Eq. 6 as printed.
    normalize : {"joint", "channel", None}
        Min-max to 0..255 over all channels together, over each channel, or not at all (D7).
    backend : {"auto", "cpu", "cuda", "equations"}
        "cpu" and "cuda" are the fused kernels, "equations" the reference. "auto" takes the kernel of the frames' own
        device, and the reference for float64 frames on a CPU, for other devices, and on a GPU where Triton is not
        installed.

    Returns
    -------
    Tensor, (C, H, W)
        uint8 on 0..255, rounded to nearest; a map without contrast gives zeros. For ``normalize=None`` the
        aggregated map itself, float64 for a float64 video, else float32; ``domain="product"`` can exceed its
        range and is infinite then.

    Raises
    ------
    ValueError
        If a parameter is out of range, `video` is no video (`checks.frames`), or T < 2 l.

    Examples
    --------
    >>> import torch
    >>> video = torch.randint(0, 256, (60, 3, 32, 32), dtype=torch.uint8)
    >>> distill(video).shape
    torch.Size([3, 32, 32])
    """
    stream = Distiller(
        segment_length,
        window=window,
        depth=depth,
        noise_variance=noise_variance,
        center=center,
        domain=domain,
        normalize=normalize,
        backend=backend,
    )
    stream.update(video)
    return stream.image()


class Distiller:
    """Distil a video that arrives in parts, in memory for two segments whatever its length.

    Its image equals that of `distill` over all frames at once, bit for bit, however they are cut into parts.

    Parameters
    ----------
    segment_length, window, depth, noise_variance, center, domain, normalize, backend
        As for `distill`.

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
    ) -> None:
        self.segment_length = checks.positive("segment_length", segment_length)
        self._window = checks.odd("window", window)
        self._depth = checks.odd("depth", depth)
        self._noise_variance = checks.variance("noise_variance", noise_variance)
        self._center = bool(center)
        self._normalize = checks.one_of("normalize", normalize, checks.NORMALIZATIONS)
        self._backend = checks.one_of("backend", backend, checks.BACKENDS)
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
        frames = checks.frames(frames, name="frames", window=self._window)
        self._match(frames)
        while len(frames):
            filled = self.n_frames % self.segment_length
            part = frames[: self.segment_length - filled]
            self._current[filled : filled + len(part)] = part
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
        return self._softmax.image(self._normalize).to(self._current.dtype if self._normalize is None else torch.uint8)

    def _match(self, frames: Tensor) -> None:
        """Allocate the two segments at the first frames; later ones must be like them."""
        dtype = torch.float64 if frames.dtype == torch.float64 else torch.float32
        if self._backend in ("cpu", "cuda") and frames.device.type != self._backend:
            raise ValueError(f'backend="{self._backend}" needs frames on that device; got device {frames.device}')
        if self._current.numel() == 0:
            shape = (self.segment_length, *frames.shape[1:])
            self._current, self._reference = (torch.empty(shape, dtype=dtype, device=frames.device) for _ in range(2))
        for name, now, before in (
            ("shape (C, H, W)", tuple(frames.shape[1:]), tuple(self._current.shape[1:])),
            ("device", frames.device, self._current.device),
            ("precision", dtype, self._current.dtype),
        ):
            if now != before:
                raise ValueError(f"frames must keep their {name}; got {now} after {before}")

    def _pair_map(self) -> Tensor:
        """Eq. 6 for the two segments in memory."""
        backend = _best_backend(self._current) if self._backend == "auto" else self._backend
        return _feature_map(backend)(
            self._reference,
            self._current,
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


def _best_backend(frames: Tensor) -> str:
    """Return the fastest backend that gives what the reference would: on a CPU float64 would lose its precision."""
    if frames.device.type == "cuda" and find_spec("triton") is not None:
        return "cuda"
    return "cpu" if frames.device.type == "cpu" and frames.dtype == torch.float32 else "equations"


def _feature_map(backend: str) -> Callable[..., Tensor]:
    """Import a backend, here because of the time that numba and Triton take."""
    if backend == "cpu":
        from repro.ssd import cpu

        return cpu.feature_map
    if backend == "cuda":
        from repro.ssd import cuda

        return cuda.feature_map
    return equations.feature_map
