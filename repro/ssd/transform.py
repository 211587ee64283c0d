"""The distillation as a module: a transform of torchvision's v2, or the first layer of a network."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from repro.ssd.streaming import Distiller, best_backend

TOGETHER = 1 << 27
"""Samples of a segment, over all videos, that a GPU treats together; each takes 8 bytes for its weight."""


class SSD(nn.Module):
    """Distil videos into images, (..., T, C, H, W) -> (..., C, H, W).

    It has no parameters, is not differentiable, and works on batches with any leading axes; on a GPU, as many of
    their videos at once as memory is meant for. Like a transform
    of ``torchvision.transforms.v2`` it also takes samples, nested as one likes, and leaves labels and all
    else alone: every ``tv_tensors.Video`` in them becomes a ``tv_tensors.Image``, and if there is none the
    first tensor is the video.

    Parameters
    ----------
    segment_length, window, depth, noise_variance, center, domain, normalize, backend
        As for `repro.ssd.distill`.

    Examples
    --------
    >>> import torch
    >>> SSD(segment_length=10)(torch.randint(0, 256, (2, 30, 3, 32, 32), dtype=torch.uint8)).shape
    torch.Size([2, 3, 32, 32])
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
        super().__init__()
        self._settings: dict[str, Any] = {
            "segment_length": segment_length,
            "window": window,
            "depth": depth,
            "noise_variance": noise_variance,
            "center": center,
            "domain": domain,
            "normalize": normalize,
            "backend": backend,
        }
        Distiller(**self._settings)  # a wrong setting is told here, not at the first video

    def forward(self, *inputs: Any) -> Any:
        """Distil the video or videos of a sample.

        Parameters
        ----------
        *inputs : Tensor, or any nesting of containers with one
            Videos (..., T, C, H, W), uint8 or floating, on 0..255.

        Returns
        -------
        Tensor, or the same nesting
            With images (..., C, H, W) in the videos' places.

        Raises
        ------
        ValueError
            As `repro.ssd.distill`, or if there is no tensor among the inputs.
        """
        from torchvision import tv_tensors  # here, because importing it takes longer than all of this package

        leaves, structure = pytree.tree_flatten(inputs if len(inputs) > 1 else inputs[0])
        videos = [at for at, leaf in enumerate(leaves) if isinstance(leaf, tv_tensors.Video)]
        tensors = [at for at, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        if not tensors:
            raise ValueError(f"no video among the inputs; got {', '.join(type(leaf).__name__ for leaf in leaves)}")
        for at in videos or tensors[:1]:
            image = self._distill(leaves[at].as_subclass(Tensor))
            leaves[at] = tv_tensors.Image(image) if videos else image
        return pytree.tree_unflatten(leaves, structure)

    def _distill(self, videos: Tensor) -> Tensor:
        if videos.ndim < 4:
            raise ValueError(f"a video must have axes (..., T, C, H, W); got shape {tuple(videos.shape)}")
        leading = videos.shape[:-4]
        if 0 in leading:
            raise ValueError(f"the batch is empty; got shape {tuple(videos.shape)}")
        batch = videos.reshape(-1, *videos.shape[-4:])
        images = self._together(batch, self._step(batch))
        return images.reshape(*leading, *images.shape[1:])

    def _step(self, batch: Tensor) -> int:
        """Return how many videos (N, T, C, H, W) to distil at a time."""
        backend = self._settings["backend"]
        if (best_backend(batch) if backend == "auto" else backend) != "cuda":
            return 1
        length = Distiller(**self._settings).segment_length
        return max(TOGETHER // max(length * math.prod(batch.shape[2:]), 1), 1)

    def _together(self, batch: Tensor, step: int) -> Tensor:
        """Distil videos (N, T, C, H, W) into (N, C, H, W), `step` at a time.

        All steps but D7 treat a channel by itself, so that the channels of several videos may be those of one. That
        keeps a GPU busy. A CPU is by one video, gains a tenth at most (by frames of 32 x 32), and chooses its precision
        by all intensities, on which other videos must have no influence.
        """
        images = []
        for part in batch.split(step):
            stream = Distiller(**self._settings, videos=len(part))
            for segment in part.split(stream.segment_length, dim=1):
                stream.update(segment.transpose(0, 1).flatten(1, 2))
            images.append(stream.image().unflatten(0, (len(part), -1)))
        return torch.cat(images) if len(images) > 1 else images[0]

    def extra_repr(self) -> str:
        """Return the settings."""
        return ", ".join(f"{name}={value!r}" for name, value in self._settings.items())
