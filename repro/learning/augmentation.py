"""Augmentation shared by pretext tasks and fine-tuning: size jittering, cropping, flipping, rescaling (Section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Augmentation", "to_network"]


def to_network(images: Tensor) -> Tensor:
    """Map uint8 images in 0..255 to the float range -1..1 that every backbone of the suite takes."""
    return images.to(torch.float32).mul_(1 / 127.5).sub_(1)


@dataclass(frozen=True)
class Augmentation:
    """Random crop of random size and shape, rescaled to the input's size, and a random mirror image.

    Parameters
    ----------
    area : (float, float)
        Range of the crop's share of the image's area, within 0..1.
    aspect : float
        Largest ratio of the crop's sides; 1 keeps it square. Log-uniform in both directions.
    flip : bool
        Mirror half of the images.
    """

    area: tuple[float, float] = (0.7, 1.0)
    aspect: float = 1.15
    flip: bool = True

    def __post_init__(self) -> None:
        """Check the ranges."""
        low, high = self.area
        if not 0 < low <= high <= 1:
            raise ValueError(f"area {self.area} is not an increasing range within (0, 1]")
        if self.aspect < 1:
            raise ValueError(f"aspect {self.aspect} is below 1; give the larger side over the smaller")

    def __call__(self, images: Tensor, generator: torch.Generator, *, together: int = 1) -> Tensor:
        """Augment a batch.

        Parameters
        ----------
        images : Tensor, shape (B, C, H, W), float
        generator : torch.Generator
            On the CPU, so that the same seed gives the same crops on every device.
        together : int
            So many consecutive images share a crop and are mirrored together; B is a multiple of it.

        Returns
        -------
        Tensor, shape (B, C, H, W)
        """
        theta = self.draw(len(images) // together, generator).repeat_interleave(together, 0)
        grid = functional.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n crops.

        Returns
        -------
        Tensor, shape (n, 2, 3)
            Affine maps from output to input, both in coordinates -1..1 of the image's edges, x before y, as
            `torch.nn.functional.affine_grid` takes them with ``align_corners=False``. Entry (0, 0) is the crop's
            share of the width, negative if mirrored, (1, 1) that of the height.
        """
        area, aspect, x, y, mirror = torch.rand(5, n, generator=generator)
        low, high = self.area
        size = torch.sqrt(low + (high - low) * area)
        stretch = torch.exp((2 * aspect - 1) * 0.5 * torch.log(torch.tensor(self.aspect)))
        width, height = (size * stretch).clamp(max=1.0), (size / stretch).clamp(max=1.0)
        sign = torch.where(mirror < 0.5, -1.0, 1.0) if self.flip else torch.ones(n)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0] = width * sign
        theta[:, 1, 1] = height
        theta[:, 0, 2] = (2 * x - 1) * (1 - width)
        theta[:, 1, 2] = (2 * y - 1) * (1 - height)
        return theta
