"""Optimiser and learning-rate schedules: the paper's, and one that learns from scratch (decision D0)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import Parameter

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Stochastic gradient descent with momentum, and how its learning rate moves.

    Parameters
    ----------
    epochs : int
        Passes over the training data (fine-tuning) or logging periods (pretext).
    batch_size : int
        Samples in an update.
    learning_rate : float
        Its start (``"paper"``) or its peak (``"cosine"``).
    decay : {"paper", "cosine", "constant"}
        ``"paper"``: multiplied by 0.2 after each epoch (Section 3.1), which presumes a network trained before.
        ``"constant"``: not at all.
        ``"cosine"``: linear warm-up over the first tenth of the updates, then half a cosine to zero.
    momentum, weight_decay : float
        The paper gives momentum 0.9 and no weight decay.
    clip_norm : float or None
        Gradients are scaled down to this norm at most.
    """

    epochs: int
    batch_size: int
    learning_rate: float = 1e-3
    decay: Literal["paper", "cosine", "constant"] = "paper"
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0:
            raise ValueError(
                f"epochs {self.epochs}, batch_size {self.batch_size} and learning_rate {self.learning_rate} "
                "must be positive"
            )
        if self.decay not in ("paper", "cosine", "constant"):
            raise ValueError(f"decay {self.decay!r} is not one of 'paper', 'cosine', 'constant'")

    def optimiser(self, parameters: Iterable[Parameter]) -> torch.optim.SGD:
        """Create the optimiser of `parameters`."""
        return torch.optim.SGD(
            parameters, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of update `step` (from 0), as a multiple of `learning_rate`."""
        if self.decay == "paper":
            return 0.2 ** (step // steps_per_epoch)
        if self.decay == "constant":
            return 1.0
        total = self.epochs * steps_per_epoch
        warm_up = max(1, total // 10)
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))

    def update(self, optimiser: torch.optim.SGD, loss: torch.Tensor, step: int, steps_per_epoch: int) -> None:
        """Make one update.

        Raises
        ------
        FloatingPointError
            If the loss is not finite.
        """
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss.item()} at update {step}; lower learning_rate ({self.learning_rate})"
            )
        for group in optimiser.param_groups:
            group["lr"] = self.learning_rate * self.factor(step, steps_per_epoch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(
                [p for group in optimiser.param_groups for p in group["params"]], self.clip_norm
            )
        optimiser.step()
