"""Jigsaw puzzles: tell in which permutation the nine tiles of an image are shown.

Noroozi and Favaro, "Unsupervised learning of visual representations by solving jigsaw puzzles", ECCV 2016. An image is
cut into 3 x 3 cells, a tile into each, and the tiles are shown in one of a fixed set of permutations that are hard to
confuse. The shared trunk describes each tile by itself; only the head sees all nine.

From the authors' paper and code: cells of 85 pixels with tiles of 64, the greedy set of permutations, normalisation of
each tile, and the shift between the channels of a tile. From VISSL's recipe for a ResNet-50 (Goyal et al. 2019), which
the backbone's choice here follows: a layer of 1000 (batch normalisation, ReLU) for each tile, 2000 permutations (the
paper has 1000), and grey images with probability .66 (the paper: .3). Ours:

* Networks of this suite take no less than 32 pixels, so that is the least size of a tile; the image is enlarged to
  three cells a side, which keep the ratio of 85 to 64.
* The suite's weak crop, of changing size and shape, instead of the paper's crop of a fixed size.
* Weights are initialised by the rule of He et al. (2015).

Shortcuts that are closed: edges that continue in the neighbouring tile (a tile lies anywhere in its cell, so that gaps
are random), light and contrast that change over the image (each channel of a tile has mean 0 and deviation 1),
chromatic aberration (two thirds of the images are grey, the channels of the others are shifted against each other), and
left and right (an image is mirrored as a whole, before it is cut).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.selfsup.heads import linear
from baselines.selfsup.permutations import permutation_set
from repro.learning.augmentation import Augmentation, to_network
from repro.learning.backbones import MIN_SIZE
from repro.learning.pretext import Accuracy, PretextPool, PretextTask

__all__ = ["Jigsaw"]

_SIDE = 3
_TILES = _SIDE**2

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey image (ITU-R BT.601)."""

_FLAT = 1 / 127.5
"""Least deviation that is scaled up to 1: one grey level. Flatter tiles hold nothing but rounding."""

_EVALUATED_IMAGES = 512
"""Held-out images; each is shown once."""

_CHUNK = 64
"""Images that are evaluated at a time."""


class _Puzzle(nn.Module):
    """A description of each tile, and a classifier of the permutation in which they are shown."""

    def __init__(self, backbone: nn.Module, task: Jigsaw, generator: torch.Generator) -> None:
        super().__init__()
        self.backbone = backbone
        features: int = backbone.n_features  # type: ignore[assignment]
        self.head = nn.Sequential(
            linear(features, task.tile_features, generator), nn.BatchNorm1d(task.tile_features), nn.ReLU(inplace=True)
        )
        self.classifier = linear(_TILES * task.tile_features, task.classes, generator, gain=0.1)

    def forward(self, tiles: Tensor) -> Tensor:
        """Describe tiles (B, 3, t, t) by features (B, F)."""
        features: Tensor = self.head(self.backbone(tiles))
        return features

    def solve(self, features: Tensor) -> Tensor:
        """Classify the permutation of features (B, 9, F) as they are shown; returns logits (B, classes)."""
        logits: Tensor = self.classifier(features.flatten(1))
        return logits


@dataclass(frozen=True)
class Jigsaw(PretextTask):
    """Recognise the permutation of an image's tiles (Noroozi & Favaro 2016).

    Parameters
    ----------
    classes : int
        Permutations to tell apart.
    tile_features : int
        Width of a tile's description.
    grey : float
        Share of images that are shown without colour.
    channel_shift : int
        How far the channels of a coloured tile are shifted at most, in pixels of the paper's image of 255.
    arrangements : int
        In how many permutations an image's tiles are shown at once; 1 in the paper. The trunk sees each tile once
        whatever their number: more of them make the loss less noisy, and do not change its expectation.
    augmentation : Augmentation
        Of the image, before it is cut.
    """

    name: ClassVar[str] = "jigsaw"
    version: ClassVar[int] = 2
    accuracy: ClassVar[Accuracy] = Accuracy("share of permutations recognised")
    stills: ClassVar[bool] = True

    classes: int = 2000
    tile_features: int = 1000
    grey: float = 0.66
    channel_shift: int = 2
    arrangements: int = 1
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.classes < 2:
            raise ValueError(f"classes {self.classes} leave nothing to tell apart; give 2 or more")
        if self.tile_features < 1:
            raise ValueError(f"tile_features {self.tile_features} must be at least 1")
        if not 0 <= self.grey <= 1:
            raise ValueError(f"grey {self.grey} is not a share within 0..1")
        if not 0 <= self.channel_shift <= 10:
            raise ValueError(f"channel_shift {self.channel_shift} is not within 0..10, half of the gap between tiles")
        if not 1 <= self.arrangements <= self.classes:
            raise ValueError(f"arrangements {self.arrangements} is not within 1..{self.classes}, the classes")

    def network(self, backbone: nn.Module, generator: torch.Generator) -> nn.Module:
        """Put the description of a tile and the classifier on the backbone."""
        return _Puzzle(backbone, self, generator)

    def loss(
        self, network: nn.Module, pool: PretextPool, generator: torch.Generator, batch_size: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the permutations of a batch of images."""
        index = torch.randint(len(pool), (batch_size,), generator=generator)
        logits, target = self._answers(network, pool, index, self.arrangements, generator)
        loss = functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        return loss, {"accuracy": float((logits.detach().argmax(-1) == target).float().mean())}

    @torch.no_grad()
    def evaluate(self, network: nn.Module, pool: PretextPool, generator: torch.Generator) -> dict[str, float]:
        """Measure how often the permutation of held-out images is recognised, cut as in training.

        Returns
        -------
        dict
            ``accuracy``, and its ``chance``, one over the number of classes.
        """
        chosen = torch.randperm(len(pool), generator=generator)[:_EVALUATED_IMAGES]
        right = 0.0
        for chunk in chosen.split(_CHUNK):
            logits, target = self._answers(network, pool, chunk, 1, generator)
            right += float((logits.argmax(-1) == target).sum())
        return {"accuracy": right / len(chosen), "chance": 1 / self.classes}

    def _answers(
        self, network: nn.Module, pool: PretextPool, index: Tensor, arrangements: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Show images in so many permutations; returns logits (B, arrangements, classes) and (B, arrangements)."""
        device = next(network.parameters()).device
        tiles = self.cut(to_network(pool.images[index]).to(device), generator)
        features = network(tiles).unflatten(0, (len(index), _TILES))
        target = torch.randint(self.classes, (len(index), arrangements), generator=generator)
        places = torch.from_numpy(permutation_set(self.classes)[target.numpy()]).long().to(device)
        shown = features[torch.arange(len(index), device=device)[:, None, None], places]
        logits: Tensor = network.solve(shown.flatten(0, 1))  # type: ignore[operator]
        return logits.unflatten(0, (len(index), arrangements)), target.to(device)

    def cut(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment images and cut each into nine normalised tiles.

        Parameters
        ----------
        images : Tensor, shape (B, 3, H, W), float
        generator : torch.Generator
            On the CPU.

        Returns
        -------
        Tensor, shape (9 B, 3, t, t)
            The tiles of an image follow each other, row by row; see `tile_sizes` for t.
        """
        tile, cell = tile_sizes(min(images.shape[-2:]))
        theta = self.augmentation.draw(len(images), generator).to(images.device)
        side = _SIDE * cell
        grid = functional.affine_grid(theta, [len(images), images.shape[1], side, side], align_corners=False)
        large = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        grey = torch.rand(len(images), generator=generator) < self.grey
        large = torch.where(grey.to(images.device)[:, None, None, None], _grey(large), large)
        shift = round(self.channel_shift * cell / 85)
        rows, columns = (_offsets(grey, cell - tile, shift, generator).to(images.device) for _ in range(2))
        return _normalised(_tiles(large, rows, columns, tile))


def tile_sizes(size: int) -> tuple[int, int]:
    """Return the sides of a tile and of its cell in pixels, for images of so many.

    The paper's 64 and 85 at 224 pixels; tiles shrink with the image down to what every network takes.
    """
    tile = max(MIN_SIZE, round(size * 64 / 224))
    return tile, round(tile * 85 / 64)


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True).expand_as(images)


def _offsets(grey: Tensor, room: int, shift: int, generator: torch.Generator) -> Tensor:
    """Draw where each channel of each tile begins in its cell, (9 B, 3); a grey image's channels stay together."""
    base = torch.randint(shift, room - shift + 1, (len(grey), _TILES, 1), generator=generator)
    shifts = torch.randint(-shift, shift + 1, (len(grey), _TILES, 3), generator=generator)
    return (base + shifts * ~grey[:, None, None]).flatten(0, 1)


def _tiles(images: Tensor, rows: Tensor, columns: Tensor, tile: int) -> Tensor:
    """Cut tiles (9 B, 3, t, t) from images (B, 3, 3 c, 3 c), at offsets (9 B, 3) within their cells."""
    count, channels, side, _ = images.shape
    cell = side // _SIDE
    grid = images.view(count, channels, _SIDE, cell, _SIDE, cell)
    cells = grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, cell, cell)
    span = torch.arange(tile, device=images.device)
    rows = (rows[:, :, None] + span)[..., None].expand(-1, -1, -1, cell)
    columns = (columns[:, :, None] + span)[:, :, None].expand(-1, -1, tile, -1)
    return cells.gather(2, rows).gather(3, columns)


def _normalised(tiles: Tensor) -> Tensor:
    """Bring each channel of each tile to mean 0 and deviation 1."""
    centred = tiles - tiles.mean((-2, -1), keepdim=True)
    deviation = centred.square().mean((-2, -1), keepdim=True).sqrt()  # a quarter of the time of torch.std_mean
    return centred / deviation.clamp(min=_FLAT)
