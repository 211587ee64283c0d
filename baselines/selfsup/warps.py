"""Synthetic warps whose optical flow is known exactly: an affine map and a smooth thin-plate field on top of it.

Points are (x, y) in coordinates that run from -1 to 1 between the image's edges, as those of
`torch.nn.functional.grid_sample` with ``align_corners=False``; displacements are in the same unit, so that 2 is the
side. A field leads from the first image of a pair to the second: what the first shows at p, the second shows at
p + d(p). The first image is sampled at these points, so that its flow is the field itself, with nothing to invert.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["WarpField", "WarpedPair", "Warps", "inside", "pixel_points", "sample", "thin_plate"]


def pixel_points(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return the centres of an image's pixels, (height, width, 2)."""
    y = (torch.arange(height, device=device) + 0.5) * (2 / height) - 1
    x = (torch.arange(width, device=device) + 0.5) * (2 / width) - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def sample(images: Tensor, points: Tensor) -> Tensor:
    """Interpolate images (n, C, H, W) bilinearly at points (n, h, w, 2); the image's edge goes on beyond it."""
    return functional.grid_sample(images, points, padding_mode="border", align_corners=False)


def inside(points: Tensor) -> Tensor:
    """Tell which points (..., 2) lie within the image."""
    return (points.abs() <= 1).all(-1)


def thin_plate(controls: Tensor, values: Tensor, points: Tensor) -> Tensor:
    """Interpolate by the thin-plate spline: of all fields through values at control points, the one that bends least.

    Parameters
    ----------
    controls : Tensor, shape (m, 2)
        At least three points, not on a line.
    values : Tensor, shape (n, m, 2)
        Of n fields.
    points : Tensor, shape (..., 2)

    Returns
    -------
    Tensor, shape (n, ..., 2)

    References
    ----------
    Bookstein, "Principal warps: thin-plate splines and the decomposition of deformations", IEEE TPAMI 1989.
    """
    m = len(controls)
    system = torch.zeros(m + 3, m + 3, dtype=torch.float64)
    affine = torch.cat([torch.ones(m, 1), controls.cpu()], dim=1).double()
    system[:m, :m] = _kernel(controls.cpu().double(), controls.cpu().double())
    system[:m, m:], system[m:, :m] = affine, affine.T
    known = torch.cat([values.cpu().double(), values.new_zeros(len(values), 3, 2, device="cpu").double()], dim=1)
    weights = torch.linalg.solve(system, known).to(points)
    flat = points.reshape(-1, 2)
    basis = torch.cat([_kernel(flat, controls.to(flat)), torch.ones_like(flat[:, :1]), flat], dim=1)
    return (basis @ weights).unflatten(1, points.shape[:-1])


def _kernel(points: Tensor, controls: Tensor) -> Tensor:
    """r^2 log r between points (p, 2) and control points (m, 2), which is 0 at r = 0."""
    square = (points[:, None] - controls[None]).square().sum(-1)
    return 0.5 * torch.xlogy(square, square)


@dataclass(frozen=True, eq=False)
class WarpField:
    """Displacements of n warps: d(p) = A p + b - p + t(p), t being the thin-plate field of the control points.

    Parameters
    ----------
    matrix : Tensor, shape (n, 2, 3)
        (A | b).
    controls : Tensor, shape (m, 2)
    bends : Tensor, shape (n, m, 2)
        Values of t at the control points.
    """

    matrix: Tensor
    controls: Tensor
    bends: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """Return the displacements (n, h, w, 2) of points (h, w, 2)."""
        matrix = self.matrix.to(points)
        moved = torch.einsum("nij,hwj->nhwi", matrix[..., :2], points) + matrix[:, None, None, :, 2]
        return moved - points + thin_plate(self.controls, self.bends, points)


class WarpedPair(NamedTuple):
    """Two views of each of n images and the flow from the first to the second.

    Attributes
    ----------
    first, second : Tensor, shape (n, C, H, W)
    field : WarpField
        Exact flow at any point of the first view.
    """

    first: Tensor
    second: Tensor
    field: WarpField


@dataclass(frozen=True)
class Warps:
    """A distribution of warps; lengths are shares of the image's side.

    Parameters
    ----------
    shift : float
        Largest translation along each axis.
    rotation : float
        Largest angle, in degrees.
    scale, stretch : float
        Largest factor of the size, and of one axis over the other (along a random direction); 1 changes nothing.
    bend : float
        Standard deviation of the thin-plate field at its control points.
    controls : int
        Control points along each side, from edge to edge.
    """

    shift: float = 0.05
    rotation: float = 10.0
    scale: float = 1.1
    stretch: float = 1.1
    bend: float = 0.02
    controls: int = 4

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.shift, self.rotation, self.bend) < 0 or not all(
            math.isfinite(value) for value in (self.shift, self.rotation, self.bend, self.scale, self.stretch)
        ):
            raise ValueError(
                f"shift {self.shift}, rotation {self.rotation} and bend {self.bend} must be finite and not negative"
            )
        if min(self.scale, self.stretch) < 1:
            raise ValueError(f"scale {self.scale} and stretch {self.stretch} are largest factors; give 1 or more")
        if self.controls < 2:
            raise ValueError(f"controls {self.controls} must be at least 2 along a side to span a thin-plate field")

    def draw(self, n: int, generator: torch.Generator) -> WarpField:
        """Draw n warps; the generator is on the CPU, and so are they."""
        x, y, turn, size, ratio, direction = 2 * torch.rand(6, n, generator=generator) - 1
        shift = 2 * self.shift * torch.stack([x, y], dim=-1)
        rotation = _rotation(torch.deg2rad(self.rotation * turn))
        axes = _rotation(math.pi * direction)
        factors = torch.exp(
            size[:, None] * math.log(self.scale) + 0.5 * math.log(self.stretch) * torch.stack([ratio, -ratio], dim=-1)
        )
        matrix = rotation @ axes @ torch.diag_embed(factors) @ axes.mT
        bends = 2 * self.bend * torch.randn(n, self.controls**2, 2, generator=generator)
        line = torch.linspace(-1, 1, self.controls)
        grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).flatten(0, 1)
        return WarpField(torch.cat([matrix, shift[..., None]], dim=-1), grid, bends)

    def pair(self, images: Tensor, crops: Tensor, generator: torch.Generator) -> WarpedPair:
        """Make two views of each image that are warps of each other.

        Both are resampled once from the image, so that sharpness does not tell which is which, and both lie within
        it: where a warp would leave it, the views take a smaller part of the crop. Repeated edges, which would show
        where the image was moved, cannot be seen.

        Parameters
        ----------
        images : Tensor, shape (n, C, H, W), floating
        crops : Tensor, shape (n, 2, 3)
            As drawn by `repro.learning.augmentation.Augmentation.draw`: which part of the image, mirrored or not.
        generator : torch.Generator
        """
        field = self.draw(len(images), generator)
        height, width = images.shape[-2:]
        points = pixel_points(height, width, images.device)
        moved = points + field(points)
        low = moved.amin((1, 2)).clamp(max=-1)
        high = moved.amax((1, 2)).clamp(min=1)
        half = (high - low).amax(-1)[:, None, None, None] / 2
        centre = ((low + high) / 2)[:, None, None]
        crops = crops.to(images)

        def view(seen: Tensor) -> Tensor:
            within = (seen - centre) / half
            source = torch.einsum("nij,nhwj->nhwi", crops[..., :2], within) + crops[:, None, None, :, 2]
            return sample(images, source)

        return WarpedPair(view(moved), view(points.expand_as(moved)), field)


def _rotation(angle: Tensor) -> Tensor:
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([torch.stack([cos, -sin], dim=-1), torch.stack([sin, cos], dim=-1)], dim=-2)
