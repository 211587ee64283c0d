"""The downstream task: pain levels are classified, the whole network being fine-tuned (Section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.learning.augmentation import Augmentation, to_network
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


class _Classifier(nn.Module):
    """A backbone and one linear layer."""

    def __init__(self, backbone: nn.Module, n_levels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.backbone = backbone
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
    report: Report | None = None,
) -> nn.Module:
    """Train a classifier of pain levels.

    Parameters
    ----------
    images : Tensor, shape (N, 3, H, W) or (N, V, 3, H, W), uint8
        With V images of each clip, such as frames, an update sees one of them, drawn anew each time.
    levels : ndarray of int, shape (N,), in 0..n_levels - 1
    n_levels : int
        Levels that the dataset knows, whether they occur in the training clips or not.
    settings : FineTuning
    seed : int
        Of the initial weights of what is not loaded, the order of the clips and their augmentation.
    state : dict, optional
        The pretext's backbone; None starts from scratch.
    device : str
    report : callable, optional
        Receives progress.

    Returns
    -------
    nn.Module
        Maps (B, 3, H, W) to logits (B, n_levels); in evaluation mode.

    Raises
    ------
    ValueError
        If the lengths disagree, a level is out of range, or only one level occurs.
    """
    if len(images) != len(levels):
        raise ValueError(f"{len(images)} images but {len(levels)} levels; pass one level for each image")
    present = np.unique(levels)
    if len(present) < 2:
        raise ValueError(f"the training clips show only level {present.tolist()}; a classifier needs two levels")
    if present[0] < 0 or present[-1] >= n_levels:
        raise ValueError(f"levels {present.tolist()} are not all in 0..{n_levels - 1}; check the labels' scale")
    with isolated_randomness(seed_from("fine-tuning", "global", seed)):
        return _train(images, levels, n_levels, settings, seed, state, device, report)


def _train(
    images: Tensor,
    levels: np.ndarray,
    n_levels: int,
    settings: FineTuning,
    seed: int,
    state: dict[str, Tensor] | None,
    device: str,
    report: Report | None,
) -> nn.Module:
    schedule = settings.schedule
    generator = torch.Generator().manual_seed(seed_from("fine-tuning", "init", seed))
    backbone = _initialised(settings.backbone, generator, state)
    network = _Classifier(backbone, n_levels, generator).to(device).train()
    generator.manual_seed(seed_from("fine-tuning", "batches", seed))
    optimiser = schedule.optimiser(network.parameters())
    targets = torch.from_numpy(np.asarray(levels, dtype=np.int64))
    frequency = torch.bincount(targets, minlength=n_levels).double()
    weights = frequency[targets] ** -settings.balance
    steps_per_pass = max(1, len(images) // schedule.batch_size)
    passes = max(1, math.ceil(settings.min_updates / (schedule.epochs * steps_per_pass)))
    steps_per_epoch = passes * steps_per_pass
    total = schedule.epochs * steps_per_epoch
    step = 0
    for _ in range(schedule.epochs * passes):
        order = torch.multinomial(weights, len(images), replacement=settings.balance > 0, generator=generator)
        # array_split leaves no last batch of one, which batch normalisation could not take
        for batch in order.tensor_split(steps_per_pass):
            drawn = images[batch]
            if images.ndim == 5:
                drawn = drawn[
                    torch.arange(len(batch)), torch.randint(images.shape[1], (len(batch),), generator=generator)
                ]
            inputs = settings.augmentation(to_network(drawn).to(device), generator)
            loss = functional.cross_entropy(network(inputs), targets[batch].to(device))
            schedule.update(optimiser, loss, step, steps_per_epoch)
            step += 1
            if report is not None:
                report(step / total, f"step {step}/{total} loss {float(loss.detach()):.3f}")
    return network.eval()


def pretrained(spec: BackboneSpec, *, seed: int, state: dict[str, Tensor] | None) -> nn.Module:
    """Build the backbone that fine-tuning with this seed starts from: the pretext's, or a random one.

    Parameters
    ----------
    spec : BackboneSpec
    seed : int
    state : dict, optional
        The pretext's backbone.
    """
    return _initialised(spec, torch.Generator().manual_seed(seed_from("fine-tuning", "init", seed)), state)


def _initialised(spec: BackboneSpec, generator: torch.Generator, state: dict[str, Tensor] | None) -> nn.Module:
    backbone = spec.build(generator)
    if state is not None:
        backbone.load_state_dict(state)
    return backbone


@torch.no_grad()
def predict(network: nn.Module, images: Tensor, *, batch_size: int = 256) -> np.ndarray:
    """Predict level probabilities; the average over a clip's images and their mirror images.

    Parameters
    ----------
    network : nn.Module
        As returned by :func:`fine_tune`.
    images : Tensor, shape (N, 3, H, W) or (N, V, 3, H, W), uint8

    Returns
    -------
    ndarray of float32, shape (N, n_levels)
    """
    device = next(network.parameters()).device
    per_clip = images.shape[1] if images.ndim == 5 else 1
    rows = []
    for chunk in images.view(-1, *images.shape[-3:]).split(batch_size):
        inputs = to_network(chunk).to(device)
        rows.append(0.5 * (network(inputs).softmax(-1) + network(inputs.flip(-1)).softmax(-1)))
    return torch.cat(rows).unflatten(0, (-1, per_clip)).mean(1).cpu().numpy().astype(np.float32)
