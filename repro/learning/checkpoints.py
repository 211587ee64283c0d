"""Where a training stands, on disk, so that it goes on from there and ends with the same weights.

A checkpoint is one file, which appears whole or not at all. It holds its own hash; one that is damaged is put beside,
which standard error tells, and training begins anew. It is written at the times that the training chooses, after every
`EVERY` seconds, and when the training is asked to stop.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from repro.files import write_atomically
from repro.stopping import Stopped

__all__ = ["EVERY", "FILE", "Checkpoint", "Standing", "check_state"]

FILE = "state.safetensors"
"""Name of the file in a checkpoint's folder."""

EVERY = 600.0
"""Seconds after which a training's state is written, whatever the training is doing."""

_DAMAGED = f"damaged-{FILE}"

_OPTIMISERS_NAMES: Mapping[str, str] = {
    "momentum_buffer": "momentum",
    "step": "updates",
    "exp_avg": "first moment",
    "exp_avg_sq": "second moment",
}
"""What SGD and Adam remember of a parameter -> what it is called in a checkpoint."""


@dataclass(frozen=True, eq=False)
class Standing:
    """Where a training stands, beside the state of its network, optimiser and generators.

    Parameters
    ----------
    position : mapping
        As JSON can hold it.
    tensors : mapping of str to Tensor
    """

    position: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class Checkpoint:
    """The state of a training in a folder.

    Parameters
    ----------
    folder : path, optional
        None: nothing is kept.
    network : Module
    optimiser : Optimizer
        Of the network's parameters, such as SGD or Adam.
    generator : Generator
        That batches are drawn with; torch's global generators are kept, too.
    """

    def __init__(
        self, folder: Path | None, network: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator
    ) -> None:
        self._file = None if folder is None else folder / FILE
        self._network, self._optimiser, self._generator = network, optimiser, generator
        self._written = time.monotonic()

    def reached(
        self,
        report: Callable[[float, str], None] | None,
        fraction: float,
        message: str,
        standing: Callable[[], Standing],
    ) -> None:
        """Report progress after an update, and write the state if that is due or the training is asked to stop.

        Raises
        ------
        Stopped
            If `report` raised it; the state has been written.
        """
        if report is not None:
            try:
                report(fraction, message)
            except Stopped:
                self.save(standing())
                raise
        if self._file is not None and time.monotonic() - self._written > EVERY:
            self.save(standing())

    def save(self, standing: Standing) -> None:
        """Write the state."""
        from safetensors.torch import save

        if self._file is None:
            return
        tensors = {f"standing.{name}": value for name, value in standing.tensors.items()}
        tensors |= {f"network.{name}": value for name, value in self._network.state_dict().items()}
        for index, parameter in enumerate(self._network.parameters()):
            for name, value in self._optimiser.state[parameter].items():
                if value is not None:
                    tensors[f"{_OPTIMISERS_NAMES[name]}.{index}"] = value
        tensors["generator"] = self._generator.get_state()
        tensors["global generator"] = torch.get_rng_state()
        if (device := self._device()).type == "cuda":
            tensors["cuda generator"] = torch.cuda.get_rng_state(device)
        tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        position = json.dumps(standing.position)
        write_atomically(
            self._file, save(tensors, metadata={"position": position, "sha256": _digest(tensors, position)})
        )
        self._written = time.monotonic()

    def restore(self) -> Standing | None:
        """Bring back what was written last, and return where the training stood; None if nothing sound is there.

        Raises
        ------
        ValueError
            If it is the state of another network.
        """
        if self._file is None or not self._file.is_file():
            return None
        try:
            tensors, position = _read(self._file)
        except ValueError as error:
            self._file.replace(self._file.with_name(_DAMAGED))
            sys.stderr.write(f"{error}; it is now {_DAMAGED} there, and this training begins anew\n")
            return None
        try:
            self._put_back(tensors)
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"{self._file} is the state of another training; remove it and run again") from error
        named = {k.removeprefix("standing."): v for k, v in tensors.items() if k.startswith("standing.")}
        return Standing(position, named)

    def _put_back(self, tensors: Mapping[str, Tensor]) -> None:
        network = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        self._network.load_state_dict(network)
        for index, parameter in enumerate(self._network.parameters()):
            for name, written in _OPTIMISERS_NAMES.items():
                if (value := tensors.get(f"{written}.{index}")) is not None:
                    # in the parameter's own layout, by which sums are ordered; the number of updates stays on the CPU
                    like = value if name == "step" else parameter.data
                    self._optimiser.state[parameter][name] = torch.empty_like(like).copy_(value)
        self._generator.set_state(tensors["generator"])
        torch.set_rng_state(tensors["global generator"])
        device = self._device()
        if device.type == "cuda" and "cuda generator" in tensors:
            torch.cuda.set_rng_state(tensors["cuda generator"], device)

    def _device(self) -> torch.device:
        return next(self._network.parameters()).device


def check_state(file: Path) -> None:
    """Check that a checkpoint is whole.

    Raises
    ------
    ValueError
        If it is not; the message names the file.
    """
    _read(file)


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint's tensors and position.

    Raises
    ------
    ValueError
        If it is not whole.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            told = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    position = told.get("position", "")
    if told.get("sha256") != _digest(tensors, position):
        raise ValueError(f"{file} does not match its own hash")
    found: dict[str, Any] = json.loads(position)
    return tensors, found


def _digest(tensors: Mapping[str, Tensor], position: str) -> str:
    digest = hashlib.sha256(position.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"\0{name} {value.dtype} {tuple(value.shape)}\0".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
