"""Dense flow between two images from the feature maps of one shared single-image network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.selfsup.heads import linear
from baselines.selfsup.warps import pixel_points
from repro.learning.backbones import Backbone

__all__ = ["FINEST", "GROUPS", "FlowNetwork", "antisymmetric_correlation"]

FINEST = 4
"""Smallest stride, in pixels, at which flow is predicted."""

GROUPS = 4
"""Of group normalisation, which keeps a level's activations apart from what else is in a batch."""


class FlowNetwork(nn.Module):
    """A decoder that refines flow from coarse to fine on the maps of both images.

    At each level of the pyramid the features of the second image are fetched from where the flow so far leads and
    compared with those of the first; what is left is added to the flow. The coarsest level also sees the pooled
    features of both images, so that every layer of the backbone is trained.

    Parameters
    ----------
    backbone : Backbone
    generator : torch.Generator
        Initialises the decoder. The layers that predict are zero: untrained, nothing moves.
    width : int
        Channels of the decoder, a multiple of 4.
    reach : int
        How many points around features are compared, at each level.

    Attributes
    ----------
    scale : Tensor, shape (2,)
        Size of motion that is usual where all of it is predicted, and where the horizontal component is, in percent
        of the side; what the layers predict is in units of half of it. 1 until it is set.
    """

    scale: Tensor

    def __init__(self, backbone: Backbone, generator: torch.Generator, *, width: int, reach: int) -> None:
        super().__init__()
        self.backbone = backbone
        used = [level.channels for level in backbone.levels if level.stride >= FINEST]
        self.context = linear(2 * backbone.n_features, width, generator)
        self.levels = nn.ModuleList(_Refinement(channels, width, reach, generator) for channels in reversed(used))
        self.register_buffer("scale", torch.ones(2))

    def forward(self, first: Tensor, second: Tensor, horizontal: Tensor) -> list[Tensor]:
        """Predict flow.

        Parameters
        ----------
        first, second : Tensor, shape (B, 3, H, W)
        horizontal : Tensor, shape (B,), bool
            For which pairs only the horizontal component is predicted, by layers of its own.

        Returns
        -------
        list of Tensor, shapes (B, 2, h, w)
            Coarse to fine, at the points of the first image's maps down to stride 4: u and v in percent of the side,
            v being 0 where only u is predicted.
        """
        maps = self.backbone.pyramid(torch.cat([first, second]))
        context = torch.cat(self.backbone.pool(maps[-1]).chunk(2), dim=1)
        hidden = functional.relu(self.context(context))[..., None, None]
        # In whole units, training at a learning rate of 0.1 diverges.
        unit = 0.5 * self.scale[horizontal.long()][:, None, None, None]
        flow = hidden.new_zeros(len(first), 2, 1, 1)
        predictions = []
        for level, features in zip(self.levels, reversed(maps[-len(self.levels) :]), strict=True):
            hidden, flow = level(*features.chunk(2), hidden, flow, unit, horizontal[:, None, None, None])
            predictions.append(flow)
        return predictions


class _Refinement(nn.Module):
    """One level: compare features at the flow so far, and correct it."""

    def __init__(self, channels: int, width: int, reach: int, generator: torch.Generator) -> None:
        super().__init__()
        self.reach = reach
        self.project = _convolution(channels, width, 1, generator)
        self.mix = nn.ModuleList(
            nn.Sequential(_convolution(inputs, width, 3, generator), nn.GroupNorm(GROUPS, width), nn.ReLU(inplace=True))
            for inputs in (3 * width + (2 * reach + 1) ** 2 + 1, width)
        )
        self.flow = _convolution(width, 2, 3, generator)
        self.horizontal = _convolution(width, 1, 3, generator)
        for head in (self.flow, self.horizontal):
            nn.init.zeros_(head.weight)

    def forward(
        self, first: Tensor, second: Tensor, hidden: Tensor, flow: Tensor, unit: Tensor, horizontal: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Refine what the coarser level has; returns its own."""
        size = first.shape[-2:]
        hidden, flow = (functional.interpolate(x, size, mode="bilinear", align_corners=False) for x in (hidden, flow))
        # The point to sample at is held fixed: gradients through it are noise on a coarse map.
        first, second = self.project(first), _fetch(self.project(second), flow.detach())
        first, second = _directions(first, second)
        # Motion of a small part of a point's width changes features by about as small a part.
        gain = (100 / size[-1] / unit).clamp(min=1)
        changes = gain * torch.cat([second - first, antisymmetric_correlation(first, second, self.reach)], dim=1)
        hidden = torch.cat([first, changes, hidden, flow / unit], dim=1)
        for layer in self.mix:
            hidden = layer(hidden)
        all_of_it, only_u = self.flow(hidden), functional.pad(self.horizontal(hidden), (0, 0, 0, 0, 0, 1))
        return hidden, flow + unit * torch.where(horizontal, only_u, all_of_it)


def antisymmetric_correlation(first: Tensor, second: Tensor, reach: int) -> Tensor:
    """Compare each point of a map with the points around it in another, less the same the other way round.

    The correlation of flow networks (Dosovitskiy et al., "FlowNet", ICCV 2015) is the first term,
    c(p, o) = first(p) . second(p + o). Without motion it depends on what the image shows; motion of a hundredth of a
    point's width is lost in that. Exchanging the maps and subtracting leaves what changes sign when time is reversed: 0
    without motion, and for small motion proportional to it.

    Parameters
    ----------
    first, second : Tensor, shape (B, C, h, w)
    reach : int
        How far around, in points.

    Returns
    -------
    Tensor, shape (B, (2 reach + 1)^2 - 1, h, w)
        first(p) . second(p + o) - second(p) . first(p + o) for offsets o = (x, y), x fastest, both from -reach to
        reach without (0, 0), where it is always 0. Beyond the maps features are 0.
    """
    height, width = first.shape[-2:]
    first, second = (maps.permute(0, 2, 3, 1) for maps in (first, second))
    span = torch.arange(-reach, reach + 1, device=first.device)
    column = torch.arange(width, device=first.device)[:, None] + span
    within = ((column >= 0) & (column < width)).to(first.dtype)
    column = column.clamp(0, width - 1)
    above: list[Tensor] = []
    below: list[Tensor] = []
    for down in range(reach + 1):
        # Each point of a row with each of the row so far below, of which a band is kept: products of matrices. What a
        # point has with one above it is, but for the sign, what that one has with the point.
        row, end = min(down, height), max(height - down, 0)
        products = first[:, :end] @ second[:, row:].mT - second[:, :end] @ first[:, row:].mT
        band = column.expand(*products.shape[:2], -1, -1)
        below.append(functional.pad(products.gather(-1, band) * within, (0, 0, 0, 0, 0, row)))
        above.append(functional.pad(-products.mT.gather(-1, band) * within, (0, 0, 0, 0, row, 0)))
    level = (above[0][..., :reach], below[0][..., reach + 1 :])
    return torch.cat([*above[:0:-1], *level, *below[1:]], dim=-1).permute(0, 3, 1, 2)


def _directions(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Remove what two maps have in common everywhere and scale the vectors to a length of the fourth root of C.

    The dot product of two that have nothing to do with each other then has a variance of 1.
    """
    mean = (first.mean((2, 3), keepdim=True) + second.mean((2, 3), keepdim=True)) / 2
    length = first.shape[1] ** 0.25
    return tuple(length * functional.normalize(features - mean, dim=1) for features in (first, second))


def _fetch(features: Tensor, flow: Tensor) -> Tensor:
    """Take features from where flow, in percent of the side, leads; zero outside the map."""
    height, width = features.shape[-2:]
    target = pixel_points(height, width, features.device) + flow.permute(0, 2, 3, 1) / 50
    return functional.grid_sample(features, target, align_corners=False)


def _convolution(inputs: int, outputs: int, size: int, generator: torch.Generator) -> nn.Conv2d:
    """Create a convolution with weights by the rule of He et al. (2015) and biases zero."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    with torch.no_grad():
        layer.weight.normal_(0, (2 / (inputs * size * size)) ** 0.5, generator=generator)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
