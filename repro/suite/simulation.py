"""Simulated datasets as tasks: one for each block of a subject's sequences, and one that declares them complete.

Of stills a block is of whole identities.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from repro.data.simulator import DOMAINS, GENERATOR_VERSION, Domain, divide, finish, plan, prepare, simulate_subject
from repro.data.simulator.stills import finish_stills, prepare_stills, stills_of_identity
from repro.learning.pretext import Report
from repro.suite.engine import Task, available_cores
from repro.suite.spec import DATASET_LABELS, STILLS_LABELS, Simulated
from repro.suite.store import Store

__all__ = ["compilation_task", "missing_simulations", "simulated_root", "simulation_tasks"]

_Key = TypeVar("_Key", bound=Hashable)

_SEED = 0
_SECONDS_PER_FRAME = 0.0012
_SECONDS_PER_STILL = 0.035

_BLOCKS_PER_CORE = 4
"""Blocks of identities for each core, so that no core waits long for the last one."""


def simulated_root(store: Store, name: str, size: Simulated) -> Path:
    """Return where the simulated dataset of this size stands, or will stand."""
    frames = "" if size.frames is None else f"-{size.frames}f"
    changes = "".join(f"-{field}={value:g}" for field, value in size.changes)
    videos = "real" if size.videos_per_subject is None else size.videos_per_subject
    folder = f"{name}-{size.n_subjects}x{videos}-{size.size}px{frames}{changes}-v{GENERATOR_VERSION}"
    return store.data_folder / "simulated" / folder


def _is_complete(root: Path) -> bool:
    """Whether the simulator has declared the dataset complete."""
    try:
        return bool(json.loads((root / "SIMULATED.json").read_text())["complete"])
    except (OSError, ValueError, KeyError):
        return False


def _domain(name: str, size: Simulated) -> Domain:
    return replace(DOMAINS[name], **dict(size.changes))  # type: ignore[arg-type]


def simulation_tasks(root: Path, name: str, size: Simulated) -> list[Task]:
    """Return the tasks that write what is missing of a simulated dataset; none if it is complete.

    Raises
    ------
    ValueError
        If a size is given that stills do not have, or not how many of them there are.
    """
    if name in STILLS_LABELS:
        return _tasks_of_stills(root, name, size)
    if _is_complete(root):
        return []
    specs = plan(_domain(name, size), size.n_subjects, size.videos_per_subject, _SEED, frames=size.frames)
    start = Task(
        f"simulate-{root.name}", "prepare", f"simulated {DATASET_LABELS[name]}", 0.1, _prepare, _of(root, name, size)
    )
    blocks = [
        Task(
            f"simulate-{root.name}-{block.subject_index}-{block.sequences[0]}",
            "simulate",
            f"simulated {DATASET_LABELS[name]}, subject {block.subject_index + 1}/{size.n_subjects}",
            block.n_frames * _SECONDS_PER_FRAME * (size.size / 96) ** 2,
            _block,
            {**_of(root, name, size), "index": block.subject_index, "sequences": block.sequences},
            (start.id,),
        )
        for block in divide(specs, available_cores())
    ]
    end = Task(
        f"complete-{root.name}",
        "prepare",
        f"simulated {DATASET_LABELS[name]}",
        0.1,
        _finish,
        _of(root, name, size),
        tuple(task.id for task in blocks),
    )
    return [start, *blocks, end]


def _tasks_of_stills(root: Path, name: str, size: Simulated) -> list[Task]:
    if size.videos_per_subject is None or size.frames is not None or size.changes:
        raise ValueError(
            f"{name}: simulated stills need videos_per_subject, the stills of each identity, and have neither frames "
            f"nor changes; got {size}"
        )
    if _is_complete(root):
        return []
    what = f"simulated {STILLS_LABELS[name]}"
    start = Task(f"simulate-{root.name}", "prepare", what, 0.1, _prepare_stills, {"root": str(root), "size": size})
    count = min(size.n_subjects, _BLOCKS_PER_CORE * available_cores())
    edges = [k * size.n_subjects // count for k in range(count + 1)]
    blocks = [
        Task(
            f"simulate-{root.name}-{first}",
            "simulate",
            f"{what}, identities {first + 1}-{stop}/{size.n_subjects}",
            (stop - first) * size.videos_per_subject * _SECONDS_PER_STILL * (size.size / 96) ** 2,
            _block_of_stills,
            {"root": str(root), "size": size, "identities": (first, stop)},
            (start.id,),
        )
        for first, stop in pairwise(edges)
    ]
    end = Task(
        f"complete-{root.name}",
        "prepare",
        what,
        0.1,
        _finish_stills,
        {"root": str(root), "size": size},
        tuple(task.id for task in blocks),
    )
    return [start, *blocks, end]


def missing_simulations(
    store: Store, wanted: Mapping[_Key, tuple[str, Simulated]]
) -> tuple[dict[_Key, Path], list[Task]]:
    """Find out where simulated datasets stand, and what is left to do for them.

    Parameters
    ----------
    store : Store
    wanted : mapping
        Anything -> name of the dataset and its size; keys may share a dataset, which is then made once. Of stills
        `n_subjects` are the identities and `videos_per_subject` the stills of each.

    Returns
    -------
    roots : dict
        Under the keys of `wanted`.
    tasks : list of Task
        Those that simulate what is missing, kernels being compiled meanwhile; none if nothing is.
    """
    roots = {key: simulated_root(store, name, size) for key, (name, size) in wanted.items()}
    unique = {roots[key]: what for key, what in wanted.items()}
    tasks = [task for root, (name, size) in unique.items() for task in simulation_tasks(root, name, size)]
    return roots, [compilation_task(), *tasks] if tasks else []


def compilation_task() -> Task:
    """Return a task that compiles SSD's kernels: on a fresh machine one worker does so while another simulates."""
    return Task("compile", "prepare", "SSD kernels compiled", 10.0, _compile)


def _compile(report: Report) -> None:
    import torch

    from repro.ssd import distill

    distill(torch.zeros((4, 3, 8, 8), dtype=torch.uint8), segment_length=2)


def _of(root: Path, name: str, size: Simulated) -> dict[str, object]:
    return {"root": str(root), "name": name, "size": size}


def _options(size: Simulated) -> dict[str, int | None]:
    return {
        "n_subjects": size.n_subjects,
        "videos_per_subject": size.videos_per_subject,
        "seed": _SEED,
        "size": size.size,
        "frames": size.frames,
    }


def _prepare(root: str, name: str, size: Simulated, report: Report) -> None:
    prepare(_domain(name, size), root, **_options(size))  # type: ignore[arg-type]


def _block(root: str, name: str, size: Simulated, index: int, sequences: tuple[int, ...], report: Report) -> None:
    def progress(done: int, total: int) -> None:
        report(done / total, f"{done}/{total} frames")

    simulate_subject(
        _domain(name, size),
        root,
        index,
        sequences=sequences,
        progress=progress,
        **_options(size),  # type: ignore[arg-type]
    )


def _finish(root: str, name: str, size: Simulated, report: Report) -> None:
    finish(_domain(name, size), root, **_options(size))  # type: ignore[arg-type]


def _options_of_stills(size: Simulated) -> dict[str, Any]:
    return {
        "n_identities": size.n_subjects,
        "stills_per_identity": size.videos_per_subject,
        "seed": _SEED,
        "size": size.size,
    }


def _prepare_stills(root: str, size: Simulated, report: Report) -> None:
    prepare_stills(root, **_options_of_stills(size))


def _block_of_stills(root: str, size: Simulated, identities: tuple[int, int], report: Report) -> None:
    first, stop = identities
    for index in range(first, stop):
        stills_of_identity(root, index, **_options_of_stills(size))
        report((index + 1 - first) / (stop - first), f"{index + 1 - first}/{stop - first} identities")


def _finish_stills(root: str, size: Simulated, report: Report) -> None:
    finish_stills(root, **_options_of_stills(size))
