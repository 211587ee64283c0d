"""A pretext network of the store as a folder to take away: weights, record, history, curve, features."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from repro.data.inputs import InputSet, read_inputs, read_notes
from repro.files import check_writable, write_atomically
from repro.learning.backbones import Backbone
from repro.learning.exported import RECORD, WEIGHTS, load_backbone, read_record
from repro.learning.probe import features
from repro.suite.store import Store

if TYPE_CHECKING:
    from repro.learning.pretext import Report

__all__ = ["FILES", "check_folder", "export"]

FILES = (WEIGHTS, RECORD, "history.csv", "curve.pdf", "curve.png", "features.npz", "features.csv")
"""What an exported folder holds."""

_CLIPS = 64
"""Clips whose images are decoded at a time."""

_FIRST = ("epoch", "step", "loss", "held_out_accuracy", "held_out_chance")
"""Columns of the history that come before those that are a task's own."""

_NOTE = (
    "features are means over a clip's images and their mirror images; the pretext has seen, without labels, the videos "
    "of all subjects but those that it held out to be measured on"
)


def check_folder(folder: Path, key: str | None = None) -> bool:
    """Look at where a network shall be exported to.

    Parameters
    ----------
    folder : path
    key : str, optional
        Of the network; not known yet before its data was opened.

    Returns
    -------
    bool
        Whether the folder holds this network already.

    Raises
    ------
    ValueError
        If it holds anything else, is incomplete, or cannot be written to; the message names the remedy.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        check_writable(folder, "-o")
        return False
    if not (folder / RECORD).is_file():
        raise ValueError(f"-o {folder}: exists and was not written by this command; give another folder")
    record = read_record(folder)
    if key is None:
        return False
    if record["key"] != key:
        raise ValueError(
            f"-o {folder}: holds a network of {record.get('method')} that was trained otherwise (options, data or "
            "code); give another folder, or remove this one"
        )
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise ValueError(
            f"-o {folder}: lacks {', '.join(missing)}; remove it and run again, the network is in the store"
        )
    return True


def export(
    store: str,
    key: str,
    folder: str,
    record: Mapping[str, Any],
    labelled: Mapping[str, Sequence[str]],
    device: str,
    report: Report,
) -> None:
    """Write a network's folder, whole or not at all.

    Parameters
    ----------
    store : str
        Root of the store.
    key : str
        Of the network, which must be there.
    folder : str
        May exist if it is empty.
    record : mapping
        What is told beside the network's own description, history and circumstances; ``simulated`` and ``excluded``
        among it.
    labelled : mapping of str to sequence of str
        Dataset -> keys of its subjects' labelled clips, which must be encoded.
    device : str
    report : callable
        Receives progress.
    """
    place, target = Store(store), Path(folder)
    entry, weights = place.read_artifact(key)
    shards = {name: [place.input_folder(shard) for shard in keys] for name, keys in labelled.items()}
    data = "simulated" if record["simulated"] else "licensed"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        made = temporary / "network"
        write_atomically(made / WEIGHTS, weights)
        write_atomically(made / RECORD, _record(entry, weights, record, shards))
        network = load_backbone(made, device=device)
        sets = {name: read_inputs(folders) for name, folders in shards.items()}
        for name, content in {
            **_history_files(entry, data),
            **_feature_files(sets, _features(network, sets, report), data),
        }.items():
            write_atomically(made / name, content)
        made.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _record(
    entry: Mapping[str, Any], weights: bytes, record: Mapping[str, Any], shards: Mapping[str, Sequence[Path]]
) -> bytes:
    """Tell all that is known of a network, as strict JSON."""
    left_out = [list(row) for folders in shards.values() for folder in folders for row in read_notes(folder).excluded]
    own = ("task", "backbone", "input", "schedule", "steps_per_epoch", "held_out_subjects", "seed")
    content = {
        "key": entry["key"],
        **record,
        **{name: entry["description"][name] for name in own},
        "material": entry["description"].get("material", {}),
        "excluded": [*record["excluded"], *left_out],
        "sha256": hashlib.sha256(weights).hexdigest(),
        "run": entry["run"],
        "history": [{name: _finite(value) for name, value in row.items()} for row in entry["history"]],
        "note": _NOTE,
    }
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _history_files(entry: Mapping[str, Any], data: str) -> dict[str, bytes]:
    """Write the history as it is stored, and draw what matters most of it."""
    import pandas as pd

    from repro.suite.curves import curves_plot
    from repro.suite.histories import COLUMNS, history_rows
    from repro.suite.render import render

    history = pd.DataFrame(history_rows(entry, settings="", data=data), columns=list(COLUMNS))
    drawn = render(curves_plot, history, history)
    return {
        "history.csv": _csv([{**dict.fromkeys(_FIRST, ""), **row, "data": data} for row in entry["history"]]),
        "curve.pdf": drawn[".pdf"],
        "curve.png": drawn[".png"],
    }


def _features(network: Backbone, sets: Mapping[str, InputSet], report: Report) -> NDArray[np.float32]:
    """Compute the features of all clips, a few at a time."""
    total = sum(len(inputs.clips) for inputs in sets.values())
    rows: list[NDArray[np.float32]] = [np.empty((0, network.n_features), np.float32)]
    done = 0
    for inputs in sets.values():
        for images in inputs.images.split(_CLIPS):
            rows.append(features(network, images).astype(np.float32))
            done += len(images)
            report(done / total, f"features of {done}/{total} clips")
    return np.concatenate(rows)


def _feature_files(sets: Mapping[str, InputSet], values: NDArray[np.float32], data: str) -> dict[str, bytes]:
    """Write the features and the clips that they belong to, row by row."""
    rows = [{"dataset": name, "id": clip.id, **asdict(clip)} for name, inputs in sets.items() for clip in inputs.clips]
    buffer = io.BytesIO()
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    np.savez(buffer, **{"features": values, **columns, "data": np.array(data)})  # type: ignore[arg-type]
    return {"features.npz": buffer.getvalue(), "features.csv": _csv([{**row, "data": data} for row in rows])}


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write rows under the union of their columns, in the order in which they first occur."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
