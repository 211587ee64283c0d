"""A video becomes one image: the public functions of Section 2.1, over whole videos."""

from __future__ import annotations

import torch
from torch import Tensor

from repro.ssd import checks, equations
from repro.ssd.checks import VideoLike
from repro.ssd.streaming import Distiller


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
