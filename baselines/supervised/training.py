"""The loop that trains the networks of supervised systems."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from repro.learning.checkpoints import Checkpoint, Standing
from repro.learning.pretext import Report
from repro.learning.schedule import Schedule

__all__ = ["Optimiser", "Show", "train"]

Optimiser = Literal["sgd", "adam"]
"""Gradient descent with the schedule's momentum, or Adam (Kingma and Ba, ICLR 2015), whose first decay rate it is."""

Show = Callable[[Tensor, torch.Generator | None, bool], Any]
"""From rows (B,) int64 of clips to what a network takes of them: drawn from a generator in training, as by
augmentation; without one as they are, or, if the last argument is true, as their mirror images."""


def train(
    network: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
    rows: Tensor,
    schedule: Schedule,
    generator: torch.Generator,
    report: Report,
    *,
    optimiser: Optimiser = "sgd",
    checkpoint: Path | None = None,
    keep: bool = False,
) -> None:
    """Minimise a loss over rows of the training data: all of them in each epoch, each time in another order.

    Parameters
    ----------
    network : nn.Module
        All of its parameters are learned.
    loss_of : callable
        From the rows (B,) int64 of a batch to its loss, a number with a gradient. It draws augmentation from the
        same generator.
    rows : Tensor, (n,) int64
        At least one. A batch has `Schedule.batch_size` of them or, as none is left out, up to twice as many less one;
        never fewer, unless there are fewer in all: batch normalisation cannot take a last batch of one.
    schedule : Schedule
        Rates, weight decay and the norm at which gradients are clipped.
    generator : torch.Generator
        Draws the orders; on the CPU.
    report : callable
        Receives progress after each update; may raise `repro.stopping.Stopped`.
    optimiser : {"sgd", "adam"}
        See `Optimiser`.
    checkpoint : path, optional
        A folder for the training's state, which is written every ten minutes and when a stop is asked for. A run that
        finds one there continues from it and ends with the same weights as an undisturbed run.
    keep : bool
        Whether the state is written at the end, too, for who has more to do then.

    Raises
    ------
    FloatingPointError
        If the loss is not finite.
    ValueError
        If there is no row.
    """
    if not len(rows):
        raise ValueError("there is no row to learn from; pass the numbers of one training clip or more")
    method = _optimiser(optimiser, network.parameters(), schedule)
    steps = max(1, len(rows) // schedule.batch_size)
    total = schedule.epochs * steps
    kept = Checkpoint(checkpoint, network, method, generator)
    step, order = 0, rows

    def standing() -> Standing:
        return Standing({"step": step}, {"order": order})

    if (found := kept.restore()) is not None:
        step, order = found.position["step"], found.tensors["order"]
    keep &= step < total
    while step < total:
        if step % steps == 0:
            order = rows[torch.randperm(len(rows), generator=generator)]
        epoch, number = divmod(step, steps)
        loss = loss_of(order.tensor_split(steps)[number])
        schedule.update(method, loss, step, steps)  # type: ignore[arg-type]  # it sets rates, which all have
        step += 1
        message = f"epoch {epoch + 1}/{schedule.epochs} loss {float(loss.detach()):.3f}"
        kept.reached(report, step / total, message, standing)
    if keep:
        kept.save(standing())


def _optimiser(name: Optimiser, parameters: Iterable[Parameter], schedule: Schedule) -> torch.optim.Optimizer:
    if name == "sgd":
        return schedule.optimiser(parameters)
    if name == "adam":
        betas = (schedule.momentum, 0.999)
        return torch.optim.Adam(parameters, lr=schedule.learning_rate, betas=betas, weight_decay=schedule.weight_decay)
    raise ValueError(f"optimiser {name!r} is not one of 'sgd', 'adam'")
