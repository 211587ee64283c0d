"""The downstream task: pain levels are classified, the whole network being fine-tuned (Section 3)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.learning.augmentation import Augmentation, to_network
from repro.learning.checkpoints import Checkpoint, Standing
from repro.learning.pretext import BackboneSpec, Report, isolated_randomness
from repro.learning.schedule import Schedule
from repro.learning.seeds import seed_from

__all__ = ["FineTuning", "fine_tune", "predict", "pretrained"]


@dataclass(frozen=True)
class FineTuning:
    """How a backbone becomes a classifier of pain levels.

    Parameters
    ----------
    backbone : BackboneSpec
    schedule : Schedule
    augmentation : Augmentation
    balance : float
        Clips are drawn with probability proportional to (frequency of their level) ** -balance: 0 draws all alike,
        1 all levels alike. The paper says nothing of balancing.
    min_updates : int
        With few clips each epoch passes over them several times, until there are so many updates in all: a network
        should not learn less merely because it is updated less.
    """

    backbone: BackboneSpec
    schedule: Schedule
    augmentation: Augmentation = Augmentation()
    balance: float = 0.0
    min_updates: int = 0

    def passes(self, n_clips: int) -> tuple[int, int]:
        """Tell how the training of so many clips goes.

        Returns
        -------
        (int, int)
            Passes over the clips in each of the schedule's epochs, and updates in a pass.
        """
        updates = max(1, n_clips // self.schedule.batch_size)
        return max(1, math.ceil(self.min_updates / (self.schedule.epochs * updates))), updates

    def updates(self, n_clips: int) -> int:
        """Count the updates in the whole training of so many clips."""
        return self.schedule.epochs * math.prod(self.passes(n_clips))

    def describe(self) -> dict[str, Any]:
        """Return what changes the classifier, the backbone as `BackboneSpec.describe` does."""
        return {**asdict(self), "backbone": self.backbone.describe()}


class _Classifier(nn.Module):
    """A backbone and one linear layer; `clips` tells whether it takes frames of a clip together."""

    def __init__(self, backbone: nn.Module, n_levels: int, generator: torch.Generator, *, clips: bool) -> None:
        super().__init__()
        self.backbone, self.clips = backbone, clips
        features: int = backbone.n_features  # type: ignore[assignment]
        self.head = nn.Linear(features, n_levels)
        with torch.no_grad():
            self.head.weight.normal_(0, 0.01, generator=generator)
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(images))
        return logits


def fine_tune(
    images: Tensor,
    levels: np.ndarray,
    n_levels: int,
    settings: FineTuning,
    *,
    seed: int,
    state: dict[str, Tensor] | None = None,
    device: str = "cpu",
    checkpoint: Path | None = None,
    keep: bool = False,
    report: Report | None = None,
) -> nn.Module:
    """Train a classifier of pain levels.

    Parameters
    ----------
    images : Tensor, shape (N, 3, H, W) or (N, V, 3, H, W), uint8
        With V images of each clip, such as frames, an update of a 2D network sees one of them, drawn anew each time. A
        3D network sees all of them, as V frames in the order of time, which are cropped and mirrored alike.
    levels : ndarray of int, shape (N,), in 0..n_levels - 1
    n_levels : int
        Levels that the dataset knows, whether they occur in the training clips or not.
    settings : FineTuning
    seed : int
        Of the initial weights of what is not loaded, the order of the clips and their augmentation.
    state : dict, optional
        The pretext's backbone; None starts from scratch.
    device : str
    checkpoint : path, optional
        A folder for the training's state, which is written every ten minutes and when a stop is asked for. A run that
        finds one there continues from it and ends with the same weights as an undisturbed run.
    keep : bool
        Whether the state is written at the end, too, for who has more to do then.
    report : callable, optional
        Receives progress; may raise `repro.stopping.Stopped`.

    Returns
    -------
    nn.Module
        Maps (B, 3, H, W), or (B, 3, V, H, W) in 3D, to logits (B, n_levels); in evaluation mode.

    Raises
    ------
    ValueError
        If the lengths disagree, a level is out of range, only one level occurs, a 3D network is given single images,
        or the pretext's backbone is another.
    """
    _check_clips(images, settings.backbone.dims == 3)
    if len(images) != len(levels):
        raise ValueError(f"{len(images)} images but {len(levels)} levels; pass one level for each image")
    present = np.unique(levels)
    if len(present) < 2:
        raise ValueError(f"the training clips show only level {present.tolist()}; a classifier needs two levels")
    if present[0] < 0 or present[-1] >= n_levels:
        raise ValueError(f"levels {present.tolist()} are not all in 0..{n_levels - 1}; check the labels' scale")
    with isolated_randomness(seed_from("fine-tuning", "global", seed)):
        return _train(images, levels, n_levels, settings, seed, state, device, checkpoint, keep, report)


def _train(
    images: Tensor,
    levels: np.ndarray,
    n_levels: int,
    settings: FineTuning,
    seed: int,
    state: dict[str, Tensor] | None,
    device: str,
    checkpoint: Path | None,
    keep: bool,
    report: Report | None,
) -> nn.Module:
    schedule = settings.schedule
    generator = torch.Generator().manual_seed(seed_from("fine-tuning", "init", seed))
    backbone = _initialised(settings.backbone, generator, state)
    deep = settings.backbone.dims == 3
    network = _Classifier(backbone, n_levels, generator, clips=deep).to(device).train()
    generator.manual_seed(seed_from("fine-tuning", "batches", seed))
    optimiser = schedule.optimiser(network.parameters())
    targets = torch.from_numpy(np.asarray(levels, dtype=np.int64))
    frequency = torch.bincount(targets, minlength=n_levels).double()
    weights = frequency[targets] ** -settings.balance
    passes, steps_per_pass = settings.passes(len(images))
    steps_per_epoch = passes * steps_per_pass
    total = schedule.epochs * steps_per_epoch
    kept = Checkpoint(checkpoint, network, optimiser, generator)
    step, order = 0, torch.empty(0, dtype=torch.int64)

    def standing() -> Standing:
        return Standing({"step": step}, {"order": order})

    if (found := kept.restore()) is not None:
        step, order = found.position["step"], found.tensors["order"]
    batches = order.tensor_split(steps_per_pass)
    keep &= step < total
    while step < total:
        if step % steps_per_pass == 0:
            order = torch.multinomial(weights, len(images), replacement=settings.balance > 0, generator=generator)
            # array_split leaves no last batch of one, which batch normalisation could not take
            batches = order.tensor_split(steps_per_pass)
        batch = batches[step % steps_per_pass]
        inputs = _augmented(images[batch], settings.augmentation, generator, device, clips=deep)
        loss = functional.cross_entropy(network(inputs), targets[batch].to(device))
        schedule.update(optimiser, loss, step, steps_per_epoch)
        step += 1
        message = f"step {step}/{total} loss {float(loss.detach()):.3f}"
        kept.reached(report, step / total, message, standing)
    if keep:
        kept.save(standing())
    return network.eval()


def _augmented(
    drawn: Tensor, augmentation: Augmentation, generator: torch.Generator, device: str, *, clips: bool
) -> Tensor:
    """Make a network's input of a batch: of each clip one image, drawn here, or all its frames as a volume."""
    if clips:
        frames = to_network(drawn.flatten(0, 1)).to(device)
        return _volumes(augmentation(frames, generator, together=drawn.shape[1]), len(drawn))
    if drawn.ndim == 5:
        chosen = torch.randint(drawn.shape[1], (len(drawn),), generator=generator)
        drawn = drawn[torch.arange(len(drawn)), chosen]
    return augmentation(to_network(drawn).to(device), generator)


def _volumes(frames: Tensor, n: int) -> Tensor:
    """Arrange the frames of n clips, (n V, 3, H, W), as a 3D network takes them, (n, 3, V, H, W)."""
    return frames.unflatten(0, (n, -1)).transpose(1, 2)


def _check_clips(images: Tensor, clips: bool) -> None:
    if clips and images.ndim != 5:
        raise ValueError(
            f"a 3D network takes the frames of each clip, (N, V, 3, H, W), got shape {tuple(images.shape)}; show clips "
            'as "Video", or use dims=2'
        )


def pretrained(spec: BackboneSpec, *, seed: int, state: dict[str, Tensor] | None) -> nn.Module:
    """Build the backbone that fine-tuning with this seed starts from: the pretext's, or a random one.

    Parameters
    ----------
    spec : BackboneSpec
    seed : int
    state : dict, optional
        The pretext's backbone.

    Raises
    ------
    ValueError
        If the pretext's backbone is another.
    """
    return _initialised(spec, torch.Generator().manual_seed(seed_from("fine-tuning", "init", seed)), state)


def _initialised(spec: BackboneSpec, generator: torch.Generator, state: dict[str, Tensor] | None) -> nn.Module:
    backbone = spec.build(generator)
    if state is not None:
        try:
            backbone.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"the pretext's network is no {spec.dims}D {spec.name} like this: {error}") from error
    return backbone


@torch.no_grad()
def predict(network: nn.Module, images: Tensor, *, batch_size: int = 256) -> np.ndarray:
    """Predict level probabilities; the average over a clip's images, or its volume, and their mirror images.

    Parameters
    ----------
    network : nn.Module
        As returned by :func:`fine_tune`.
    images : Tensor, shape (N, 3, H, W) or (N, V, 3, H, W), uint8
    batch_size : int
        Images at a time; of a 3D network, frames, but at least one clip.

    Returns
    -------
    ndarray of float32, shape (N, n_levels)

    Raises
    ------
    ValueError
        If a 3D network is given single images.
    """
    device = next(network.parameters()).device
    clips = bool(network.clips)
    _check_clips(images, clips)
    per_clip = images.shape[1] if images.ndim == 5 else 1
    at_a_time = max(1, batch_size // per_clip) * per_clip if clips else batch_size
    rows = []
    for chunk in images.view(-1, *images.shape[-3:]).split(at_a_time):
        inputs = to_network(chunk).to(device)
        if clips:
            inputs = _volumes(inputs, len(chunk) // per_clip)
        rows.append(0.5 * (network(inputs).softmax(-1) + network(inputs.flip(-1)).softmax(-1)))
    scores = torch.cat(rows)
    if not clips:
        scores = scores.unflatten(0, (-1, per_clip)).mean(1)
    return scores.cpu().numpy().astype(np.float32)
