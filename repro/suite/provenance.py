"""Where a table's numbers come from: the JSON beside it."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
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
from repro.suite.decisions import decisions
from repro.suite.encoding import faces_found
from repro.suite.engine import available_cores
from repro.suite.plan import Plan
from repro.suite.spec import Scale, Table
from repro.suite.still_corpus import StillCorpus
from repro.suite.store import DamagedEntry, Store

__all__ = ["circumstances", "commit_of", "environment", "hash_of_code", "provenance", "seeds_of"]

_DISTRIBUTION = "repro-ssd"

_UNDERNEATH = (
    "dask",
    "llvmlite",
    "pillow",
    "pyarrow",
    "triton",
    "dlib-bin",
    "face_recognition_models",
    "dask-jobqueue",
)
"""Packages that those the suite asks for bring along, or that it takes if they are there, and numbers may depend on."""

_OPTIONS = (
    "scale", "seeds", "mode", "device", "deterministic", "pretext", "protocol", "strict", "jobs", "shard",
)  # fmt: skip
"""Options that are told with their values; of folders and addresses only what was typed is."""


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
        What `circumstances` tells, ``scale``, ``decisions`` with their values, ``seeds``, ``data`` with fingerprints
        and the ledger of what was left out, ``pretext`` with the keys of each row's networks, ``networks`` with the
        history of each, ``computed on``, where and with what stored cells were computed, ``cost`` of a cell of each
        row and of each kind of features, ``checks``, ``seconds`` of this command and of the stored cells and networks
        when they were computed.
    """
    runs = store.runs(plan.keys)
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
        "decisions": decisions(table, scale),
        "seeds": seeds_of(plan, options),
        "data": {name: _data(corpus, plan, store) for name, corpus in corpora.items()},
        "pretext": {row: list(keys) for row, keys in plan.artifacts.items()},
        "networks": {key: _history(store, key) for key in dict.fromkeys(chain.from_iterable(plan.artifacts.values()))},
        "computed on": _computed_on(runs),
        "cost": {"cells": _cost_of_cells(plan, runs), "features": _cost_of_features(plan, store)},
        "checks": list(checks),
        "seconds": {"this command": round(seconds, 1), **_seconds(plan, store, runs)},
    }


def circumstances(table: str, options: argparse.Namespace) -> dict[str, Any]:
    """Collect what does not depend on what a table is about.

    Returns
    -------
    dict
        ``table``; ``command``, the options with the values that they had; ``command line``, what was typed, or None for
        a call from Python; and what `environment` tells.
    """
    return {
        "table": table,
        "command": {name: getattr(options, name, None) for name in _OPTIONS},
        "command line": getattr(options, "typed", None),
        **environment(),
    }


def environment() -> dict[str, Any]:
    """Collect what a result was computed with.

    Returns
    -------
    dict
        ``suite``, its version; ``versions`` of Python and of the packages that are used, None for one that is not
        there; ``commit``, see `commit_of`; ``code``, the SHA-256 of the suite's own Python files, which tells versions
        apart that have no commit; ``hardware``: machine, processor, its instructions that PyTorch uses, cores, the
        operating system, and the names of GPUs if there are any.
    """
    return {
        "suite": __version__,
        "versions": {name: _version(name) for name in _packages()} | {"python": platform.python_version()},
        "commit": commit_of(_ROOT),
        "code": hash_of_code(),
        "hardware": _hardware(),
    }


_ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the packages: a checkout, or where a wheel was installed."""

_CODE = ("repro", "baselines")


def _packages() -> list[str]:
    """Names of the packages that the suite asks for without any extra, and of some underneath."""
    try:
        asked = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        asked = _asked_for(_ROOT / "pyproject.toml")
    names = [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in asked if "extra ==" not in line]
    return [*names, *_UNDERNEATH]


def _asked_for(file: Path) -> list[str]:
    import tomllib

    found: list[str] = tomllib.loads(file.read_text())["project"]["dependencies"]
    return found


def hash_of_code() -> str:
    """Hash the names and contents of all Python files of the packages."""
    digest = hashlib.sha256()
    for file in sorted(file for name in _CODE for file in (_ROOT / name).rglob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(_ROOT).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _hardware() -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": available_cores(),
        "system": platform.platform(),
        **({"gpus": gpus} if gpus else {}),
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
                try:
                    notes = read_feature_notes(file)
                except ValueError:
                    continue  # it is damaged, which is told where it is used
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


def seeds_of(plan: Plan, options: argparse.Namespace) -> dict[str, Any]:
    """Tell the repetitions, and the seed of each fold's cells and of each network.

    Methods share the seeds of a fold: they see the same batches and initial weights (`repro.learning.seeds`).
    """
    given = {task.id: task.arguments["seed"] for task in plan.tasks if "seed" in task.arguments}
    cells: dict[str, int] = {}
    for cell in plan.cells:
        if f"cell-{cell.key}" in given:
            place = f"{cell.place.population.name}, fold {cell.fold + 1}, repetition {cell.repetition + 1}"
            cells[place] = given[f"cell-{cell.key}"]
    networks = dict.fromkeys(chain.from_iterable(plan.artifacts.values()))
    return {
        "repetitions": options.seeds,
        "cells": cells,
        "networks": {key: given[f"pretext-{key}"] for key in networks if f"pretext-{key}" in given},
    }


_WHERE = ("python", "torch", "machine", "threads", "gpu", "deterministic")


def _computed_on(runs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Count stored cells by what they were computed on, most first; several machines may have filled a store."""
    found = Counter(json.dumps({name: run[name] for name in _WHERE if name in run}) for run in runs.values())
    return [{**json.loads(text), "cells": count} for text, count in sorted(found.items(), key=lambda f: (-f[1], f[0]))]


def _history(store: Store, key: str) -> dict[str, Any]:
    try:
        description, _ = store.read_artifact(key)
    except DamagedEntry:
        return {"missing": "the network is not in the store, or damaged there"}
    return {"history": description["history"], "run": description["run"]}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit_of(root: Path) -> dict[str, Any] | None:
    """Tell the commit of the code.

    Parameters
    ----------
    root : path
        Of a checkout, or where a wheel was installed.

    Returns
    -------
    dict or None
        ``hash``; ``dirty``, whether the working tree differs from it; ``changed``, the files that do, relative to the
        root and without what runs write. Hash and dirty are None for a checkout that git cannot tell of. Of an
        installed package the commit is known only if pip took it from a repository; None otherwise.
    """
    if not (root / ".git").exists():
        return _installed_from()
    try:
        hashed = _git(root, "rev-parse", "HEAD").strip()
        # what runs write does not make the code another
        written = (":(top,exclude)tables", ":(top,exclude)figures")
        listed = _git(
            root, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", ":/", *written
        )
    except (OSError, subprocess.SubprocessError):
        return {"hash": None, "dirty": None, "changed": []}
    lines = [line for line in listed.split("\0") if line]
    # a file that git does not know matters only where Python would import it
    changed = sorted(
        line[3:] for line in lines if line[:2] != "??" or line[3:].startswith(tuple(f"{c}/" for c in _CODE))
    )
    return {"hash": hashed, "dirty": bool(changed), "changed": changed}


def _git(root: Path, *words: str) -> str:
    ran = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(root), *words], capture_output=True, check=True, timeout=10
    )
    return ran.stdout.decode(errors="backslashreplace")


def _installed_from() -> dict[str, Any] | None:
    """Return the commit that pip noted of a package that it took from a repository."""
    try:
        noted = metadata.distribution(_DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    hashed = json.loads(noted).get("vcs_info", {}).get("commit_id") if noted else None
    return {"hash": hashed, "dirty": False, "changed": []} if hashed else None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or os.uname().machine
