"""What the pretext networks of a store went through, as one tidy frame."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from baselines import METHODS
from repro.data import open_dataset, simulation
from repro.learning.pretext import PretextTask
from repro.suite.spec import DATASET_LABELS
from repro.suite.store import DamagedEntry, Store, hash_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Histories", "history_rows", "stored_histories"]

COLUMNS = (
    "method", "label", "input", "pretext", "settings", "seed", "network", "epoch", "step", "loss", "accuracy", "chance",
    "accuracy_is", "higher_is_better", "data",
)  # fmt: skip
"""Of the frame: a row for each network and epoch, ``data`` being "simulated" or "licensed"."""

_TASK = ("task", "version")
"""Of a task's description: what is not a hyper-parameter."""


@dataclass(frozen=True, eq=False)
class Histories:
    """The frame, and a sentence on each network that is not in it.

    Parameters
    ----------
    frame : DataFrame
        With `COLUMNS`; methods in the order of the registry. Networks that differ in their seed, or in which videos
        a share was drawn, agree in ``method``, ``input``, ``pretext`` and ``settings``: they are runs of one curve.
    left_out : list of str
    """

    frame: pd.DataFrame
    left_out: list[str]


def stored_histories(store: Store, *, methods: Collection[str] = (), inputs: Collection[str] = ()) -> Histories:
    """Read the histories of the pretext networks in a store.

    Parameters
    ----------
    store : Store
    methods, inputs : collection of str
        Only these; all, if empty.
    """
    import pandas as pd

    simulated = _Simulated(store)
    entries: list[tuple[Mapping[str, Any], str]] = []
    left_out: list[str] = []
    for key in store.artifact_keys():
        try:
            entry, _ = store.read_artifact(key)
            task, kind = entry["description"]["task"], entry["description"]["input"]["kind"]
        except (DamagedEntry, KeyError, TypeError) as error:
            left_out.append(f"{store.artifact_folder(key)}: damaged ({error}); python -m repro check tells more")
            continue
        if (methods and task["task"] not in methods) or (inputs and kind not in inputs):
            continue
        data = simulated.of(entry)
        reason = "it does not tell whether its data is simulated" if data is None else _stale(entry)
        if data is None or reason:
            left_out.append(f"{store.artifact_folder(key)}: {reason}; run what needs it again")
        else:
            entries.append((entry, data))
    names = _settings([entry["description"] for entry, _ in entries])
    rows = [
        row
        for (entry, data), settings in zip(entries, names, strict=True)
        for row in history_rows(entry, settings=settings, data=data)
    ]
    order = {name: place for place, name in enumerate(METHODS)}
    rows.sort(key=lambda row: (order[row["method"]], row["pretext"], row["settings"], row["network"], row["epoch"]))
    return Histories(pd.DataFrame(rows, columns=list(COLUMNS)), left_out)


def history_rows(entry: Mapping[str, Any], *, settings: str, data: str) -> list[dict[str, Any]]:
    """Return a network's rows of the frame.

    Parameters
    ----------
    entry : mapping
        As `Store.read_artifact` returns it: ``key``, ``description`` and ``history``.
    settings : str
        What tells the network from others of its method, for readers.
    data : {"simulated", "licensed"}
    """
    described = entry["description"]
    method = METHODS[described["task"]["task"]]
    accuracy = method.load().accuracy
    same = {
        "method": method.name,
        "label": method.label,
        "input": described["input"]["kind"],
        "pretext": _pretext(described),
        "settings": settings,
        "seed": described["seed"],
        "network": entry["key"],
        "accuracy_is": accuracy.label,
        "higher_is_better": accuracy.higher_is_better,
        "data": data,
    }
    nothing = float("nan")
    return [
        {
            **same,
            "epoch": int(row["epoch"]),
            "step": int(row["step"]),
            "loss": row.get("loss", nothing),
            "accuracy": row["held_out_accuracy"],
            "chance": row["held_out_chance"],
        }
        for row in entry["history"]
    ]


def _stale(entry: Mapping[str, Any]) -> str:
    """Tell why a network is not one of the present code's; empty if it is."""
    task = entry["description"]["task"]
    if task["task"] not in METHODS:
        return f"there is no method {task['task']!r} any more"
    if task["version"] != METHODS[task["task"]].load().version or any(
        "held_out_accuracy" not in row for row in entry["history"]
    ):
        return f"it was trained by an earlier version of {task['task']}"
    return ""


class _Simulated:
    """Tells simulated data from licensed: by what was noted of the training, or by the simulations in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fingerprints = cache(self._read)

    def of(self, entry: Mapping[str, Any]) -> str | None:
        """Return "simulated", "licensed", or None if it cannot be told."""
        noted = entry.get("run", {}).get("simulated")
        if noted is None:
            used = {part["fingerprint"] for part in entry["description"]["data"].values()}
            noted = True if used & self._fingerprints() else None
        return None if noted is None else "simulated" if noted else "licensed"

    def _read(self) -> set[str]:
        found = set()
        for root in sorted((self._store.data_folder / "simulated").glob("*")):
            name = root.name.partition("-")[0]
            if name in DATASET_LABELS and (simulation(root) or {}).get("complete"):
                found.add(open_dataset(name, root, strict=False).fingerprint)
        return found


def _pretext(described: Mapping[str, Any]) -> str:
    """Name the videos that a network has seen."""
    parts = [
        DATASET_LABELS.get(name, name)
        if chosen is None
        else f"{len(chosen)} videos of {DATASET_LABELS.get(name, name)}"
        for name, chosen in described["videos"].items()
    ]
    return " + ".join(parts)


def _settings(described: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say for each network in what it differs from others of its method; the same for runs of one curve."""
    told = [_told(description) for description in described]
    peers: dict[str, list[dict[str, str]]] = {}
    for own, description in zip(told, described, strict=True):
        peers.setdefault(description["task"]["task"], []).append(own)
    labels: list[str] = []
    for own, description in zip(told, described, strict=True):
        method = description["task"]["task"]
        unusual = {name: text for name, text in own.items() if text != _usual(method).get(name)}
        differing = [text for name, text in unusual.items() if any(peer.get(name) != text for peer in peers[method])]
        labels.append(", ".join(differing))
    return _apart(labels, described)


def _apart(labels: Sequence[str], described: Sequence[Mapping[str, Any]]) -> list[str]:
    """Add the beginning of a hash where different curves would have the same name."""
    curves = [_curve(description) for description in described]
    meant: dict[tuple[str, ...], set[str]] = {}
    places = []
    for label, curve, description in zip(labels, curves, described, strict=True):
        places.append((description["task"]["task"], description["input"]["kind"], _pretext(description), label))
        meant.setdefault(places[-1], set()).add(curve)
    marks = [f"#{curve[:6]}" if len(meant[place]) > 1 else "" for place, curve in zip(places, curves, strict=True)]
    return [", ".join(filter(None, both)) for both in zip(labels, marks, strict=True)]


def _curve(described: Mapping[str, Any]) -> str:
    """Return a hash of what runs of one curve agree in."""
    agreed = {name: value for name, value in described.items() if name not in ("seed", "videos")}
    return hash_of({**agreed, "pretext": _pretext(described)})


def _told(described: Mapping[str, Any]) -> dict[str, str]:
    """Write the settings that readers know by name."""
    task = {name: value for name, value in described["task"].items() if name not in _TASK}
    backbone, schedule = described["backbone"], described["schedule"]
    return {
        **_flat(task.items()),
        "backbone": f"{backbone['name']} × {backbone['width']:g}",
        "size": f"{described['input']['size']} px",
        "updates": f"{schedule['epochs']} × {described['steps_per_epoch']} updates of {schedule['batch_size']}",
    }


def _flat(items: Iterable[tuple[str, Any]], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in items:
        if isinstance(value, Mapping):
            found |= _flat(value.items(), f"{prefix}{name}.")
        else:
            found[prefix + name] = f"{prefix}{name}={value if isinstance(value, str) else json.dumps(value)}"
    return found


@cache
def _usual(method: str) -> dict[str, str]:
    """Return a method's own hyper-parameters, as `_told` writes them."""
    task: PretextTask = METHODS[method].load()()
    own = json.loads(json.dumps(asdict(task)))  # type: ignore[call-overload]
    return _flat(own.items())
