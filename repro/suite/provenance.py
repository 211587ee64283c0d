"""Where a table's numbers come from: the JSON beside it."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from repro import __version__
from repro.data.feature_files import read_feature_notes
from repro.suite.corpus import Corpus
from repro.suite.encoding import faces_found
from repro.suite.engine import available_cores
from repro.suite.plan import Plan
from repro.suite.spec import Scale, Table
from repro.suite.still_corpus import StillCorpus
from repro.suite.store import DamagedEntry, Store

__all__ = ["circumstances", "environment", "provenance"]

_PACKAGES = (
    "torch", "torchvision", "numpy", "numba", "scipy", "scikit-learn", "scikit-image", "opencv-contrib-python-headless",
    "pandas", "datasets",
)  # fmt: skip


def provenance(
    table: Table,
    scale: Scale,
    plan: Plan,
    corpora: Mapping[str, Corpus | StillCorpus],
    store: Store,
    options: argparse.Namespace,
    checks: Sequence[Mapping[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """Collect what is needed to understand and repeat a run.

    Returns
    -------
    dict
        ``command``, ``versions``, ``commit``, ``hardware``, ``scale`` with every decision's value, ``data`` with
        fingerprints and the ledger of what was left out, ``pretext`` with the keys of each row's networks, ``networks``
        with the history of each, ``cost`` of a cell of each row and of each kind of features, ``checks``, ``seconds``
        of this command and of the stored cells and networks when they were computed.
    """
    runs = {key: store.read(key)[0]["run"] for key in plan.keys if store.has(key)}
    return {
        **circumstances(table.name, options),
        "scale": {
            "input": scale.input.describe(),
            "clips": {name: asdict(clips) for name, clips in scale.clips.items()},
            "folds": scale.n_folds,
            "protocol": scale.protocol_of(table),
            "pretext": {
                "schedule": asdict(scale.pretext.schedule),
                "steps_per_epoch": scale.pretext.steps_per_epoch,
                "held_out_subjects": scale.pretext.held_out_subjects,
                "methods": {name: asdict(tuning) for name, tuning in scale.pretext.methods.items()},
            },
            "fine_tuning": asdict(scale.fine_tuning),
            "supervised": {name: dict(options) for name, options in scale.supervised.items()},
        },
        "data": {name: _data(corpus, plan, store) for name, corpus in corpora.items()},
        "pretext": {row: list(keys) for row, keys in plan.artifacts.items()},
        "networks": {key: _history(store, key) for key in dict.fromkeys(chain.from_iterable(plan.artifacts.values()))},
        "cost": {"cells": _cost_of_cells(plan, runs), "features": _cost_of_features(plan, store)},
        "checks": list(checks),
        "seconds": {"this command": round(seconds, 1), **_seconds(plan, store, runs)},
    }


def circumstances(table: str, options: argparse.Namespace) -> dict[str, Any]:
    """Collect what does not depend on what a table is about: ``command``, and what `environment` tells."""
    return {
        "table": table,
        "command": {name: getattr(options, name) for name in ("scale", "seeds", "mode", "device")},
        **environment(),
    }


def environment() -> dict[str, Any]:
    """Collect what a result was computed with: ``suite``, ``versions``, ``commit``, ``hardware``."""
    return {
        "suite": __version__,
        "versions": {name: _version(name) for name in _PACKAGES} | {"python": platform.python_version()},
        "commit": _commit(),
        "hardware": {"machine": platform.machine(), "processor": _processor(), "cores": available_cores()},
    }


def _cost_of_cells(plan: Plan, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return, for each row and place, mean seconds of a cell on one core and the highest peak memory of one in MiB.

    Of supervised systems the peak is what a cell took beyond what its process held before; of networks, the process's.
    """
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for cell in plan.cells:
        if cell.key in runs:
            found.setdefault(cell.row, {}).setdefault(plan.told(cell.row, cell.place), []).append(runs[cell.key])
    return {row: {kind: _cost(own) for kind, own in kinds.items()} for row, kinds in found.items()}


def _cost(runs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    peaks = [run["peak_bytes"] for run in runs if run.get("peak_bytes") is not None]
    return {
        "seconds": round(sum(run["seconds"] for run in runs) / len(runs), 2),
        "peak_mib": round(max(peaks) / 2**20, 1) if peaks else None,
    }


def _cost_of_features(plan: Plan, store: Store) -> dict[str, dict[str, float]]:
    """Return clips and seconds on one core of each extractor and kind of picture, without decoding and alignment."""
    sums: dict[str, dict[str, float]] = {}
    for task in plan.tasks:
        if task.kind != "features":
            continue
        for key, extractor in task.arguments["wanted"].items():
            file = store.feature_file(key)
            if file.is_file():
                notes = read_feature_notes(file)
                own = sums.setdefault(f"{extractor!r} of {task.arguments['spec'].kind}", {"clips": 0, "seconds": 0.0})
                own["clips"] += len(notes.ids)
                own["seconds"] = round(own["seconds"] + notes.seconds, 3)
    return sums


def _seconds(plan: Plan, store: Store, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Sum what the stored cells and networks took when they were computed, on one core each."""
    networks = dict.fromkeys(key for keys in plan.artifacts.values() for key in keys)
    trained = [store.read_artifact(key)[0]["run"] for key in networks if store.has_artifact(key)]
    kinds = {"cells": list(runs.values()), "pretext networks": trained}
    return {kind: round(sum(run["seconds"] for run in found), 1) for kind, found in kinds.items()}


def _data(corpus: Corpus | StillCorpus, plan: Plan, store: Store) -> dict[str, Any]:
    data = corpus.dataset
    return {
        "simulated": data.simulated,
        "fingerprint": data.fingerprint,
        "subjects": len(data.subjects),
        "videos": len(data.records),
        "frames": int(sum(record.n_frames for record in data.records)),
        "labelled_clips": len(corpus.labelled) if isinstance(corpus, Corpus) else 0,
        "unlabelled_clips": _unlabelled(corpus, plan),
        "faces": faces_found(plan.tasks, corpus, store),
        "excluded": [tuple(row) for row in corpus.excluded],
        "unlabelled_remarks": corpus.remarks,
        "notes": [tuple(row) for row in data.notes],
    }


def _unlabelled(corpus: Corpus | StillCorpus, plan: Plan) -> dict[str, int]:
    """Count the clips that pretext tasks of the table may see, by their material and input."""
    records = {id(record) for record in corpus.dataset.records}  # names recur in other simulations of the dataset
    counts: Counter[str] = Counter()
    for task in plan.tasks:
        if task.kind == "input" and id(task.arguments["work"][0][0]) in records:
            label = f"{task.arguments['material'].name}, {task.arguments['spec'].kind}"
            clips = [source for _, items in task.arguments["work"] for _, source in items]
            counts.update({label: sum(source != "" for source in clips)})
    return {label: count for label, count in counts.items() if count}


def _history(store: Store, key: str) -> dict[str, Any]:
    try:
        description, _ = store.read_artifact(key)
    except DamagedEntry as error:
        return {"missing": str(error)}
    return {"history": description["history"], "run": description["run"]}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> dict[str, Any] | None:
    """Return the commit of the checkout that this file is in, and whether it was changed; None for a wheel."""
    here = Path(__file__).resolve().parent
    if not (here.parents[1] / ".git").exists():
        return None
    try:
        answers = [
            subprocess.run(
                ["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=10
            ).stdout
            for words in (
                ["rev-parse", "HEAD"],
                # what runs write does not make the code another
                [
                    "status",
                    "--porcelain",
                    "--untracked-files=no",
                    "--",
                    ":/",
                    ":(top,exclude)tables",
                    ":(top,exclude)figures",
                ],
            )
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return {"hash": answers[0].strip(), "dirty": bool(answers[1].strip())}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or os.uname().machine
