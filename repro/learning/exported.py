"""Networks to take away: a folder with a pretext backbone's weights and all that is needed to rebuild it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from repro.learning.backbones import Backbone
from repro.learning.pretext import BackboneSpec

__all__ = ["RECORD", "WEIGHTS", "load_backbone", "read_record"]

WEIGHTS, RECORD = "backbone.safetensors", "pretext.json"
"""Files of an exported folder that a network is rebuilt from."""


def load_backbone(folder: str | Path, *, device: str = "cpu") -> Backbone:
    """Rebuild the network that ``python -m repro.pretext`` exported.

    Parameters
    ----------
    folder : path
    device : str

    Returns
    -------
    Backbone
        In evaluation mode. It maps images (B, 3, H, W), float in -1..1 as `repro.learning.augmentation.to_network`
        makes them of uint8 RGB, to features (B, ``n_features``).

    Raises
    ------
    ValueError
        If a file is missing, damaged, or does not belong to the others; the message names it and the remedy.
    """
    from safetensors.torch import load

    place = Path(folder)
    record, file = read_record(place), place / WEIGHTS
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _unusable(file, error) from error
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        raise _unusable(file, f"is not the file that {RECORD} was written with")
    try:
        network: Backbone = BackboneSpec(**record["backbone"]).build(torch.Generator())  # type: ignore[assignment]
        network.load_state_dict(load(data))
    except (TypeError, ValueError, RuntimeError) as error:
        raise _unusable(file, f"does not fit the backbone {record['backbone']} of {RECORD}: {error}") from error
    return network.to(device).eval()


def read_record(folder: Path) -> dict[str, Any]:
    """Read what an exported folder tells of its network.

    Raises
    ------
    ValueError
        If it is missing or is not such a record; the message names it and the remedy.
    """
    file = folder / RECORD
    try:
        record = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise _unusable(file, error) from error
    if not isinstance(record, dict) or not {"key", "backbone", "sha256"} <= record.keys():
        raise _unusable(file, "is no record of a pretext network")
    return record


def _unusable(file: Path, reason: object) -> ValueError:
    return ValueError(f"{file}: {reason}; give a folder that python -m repro.pretext wrote, or write a new one")
