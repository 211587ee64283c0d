"""Whole datasets: one subject's share, and all of it by several processes."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from repro.data.simulator.domain import GENERATOR_VERSION, Domain
from repro.data.simulator.planning import SequenceSpec, plan

MARKER = "SIMULATED.json"
"""File at the root that tells simulated data from the real."""
Progress = Callable[[int, int], None]


def _parameters(domain: Domain, seed: int, size: int | None, frames: int | None) -> dict[str, object]:
    return {
        "generator": GENERATOR_VERSION,
        "domain": domain.name,
        "seed": seed,
        "size": domain.size if size is None else size,
        "frames": domain.frames if frames is None else frames,
        "parameters": json.loads(json.dumps(dataclasses.asdict(domain))),
    }


def prepare(
    domain: Domain,
    root: str | os.PathLike[str],
    *,
    n_subjects: int,
    videos_per_subject: int,
    seed: int = 0,
    size: int | None = None,
    frames: int | None = None,
) -> list[SequenceSpec]:
    """Mark a root as simulated, not yet complete, and return its plan; call it before `simulate_subject`.

    Raises
    ------
    ValueError
        If the root holds a simulation with other parameters, or files that are not a simulation.
    """
    base = Path(root)
    specs = plan(domain, n_subjects, videos_per_subject, seed, frames=frames)
    wanted = _parameters(domain, seed, size, frames)
    marker = base / MARKER
    if marker.exists():
        _check_marker(marker, wanted, n_subjects, videos_per_subject)
    elif base.is_dir() and any(entry.name in ("Images", "PartA") for entry in base.iterdir()):
        raise ValueError(
            f"{base}: holds a dataset without {MARKER}; give an empty folder, so that real and simulated data "
            "do not mix"
        )
    base.mkdir(parents=True, exist_ok=True)
    _mark(base, wanted, specs, n_subjects, videos_per_subject, complete=False)
    if domain.name == "biovid":
        from repro.data.simulator.writers import write_samples

        subjects: dict[str, list[tuple[str, int]]] = {}
        for spec in specs:
            subjects.setdefault(spec.subject, []).append((spec.name, int(spec.level or 0)))
        write_samples(base, subjects)
    return specs


def _check_marker(marker: Path, wanted: dict[str, object], n_subjects: int, videos: int) -> None:
    try:
        found = json.loads(marker.read_text())
        counts = int(found["n_subjects"]), int(found["videos_per_subject"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{marker}: cannot be read ({error}); remove the folder and simulate again") from error
    differing = [key for key, value in wanted.items() if found.get(key) != value]
    if differing:
        raise ValueError(
            f"{marker}: written with another {', '.join(differing)}; give an empty folder or remove this one"
        )
    if counts[0] > n_subjects or counts[1] > videos:
        raise ValueError(
            f"{marker}: holds {counts[0]} subjects x {counts[1]} videos, more than the {n_subjects} x {videos} "
            "asked for; give another folder"
        )


def _mark(
    base: Path, wanted: dict[str, object], specs: list[SequenceSpec], n_subjects: int, videos: int, *, complete: bool
) -> None:
    content = {
        **wanted,
        "n_subjects": n_subjects,
        "videos_per_subject": videos,
        "n_sequences": len(specs),
        "n_frames": sum(spec.n_frames for spec in specs),
        "complete": complete,
    }
    temporary = base / f".{MARKER}-{os.getpid()}"
    temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    temporary.replace(base / MARKER)


def finish(
    domain: Domain,
    root: str | os.PathLike[str],
    *,
    n_subjects: int,
    videos_per_subject: int,
    seed: int = 0,
    size: int | None = None,
    frames: int | None = None,
) -> Path:
    """Check that every sequence is there and mark the root as complete.

    Raises
    ------
    ValueError
        If sequences are missing.
    """
    base = Path(root)
    specs = plan(domain, n_subjects, videos_per_subject, seed, frames=frames)
    missing = [spec.name for spec in specs if not is_done(domain, base, spec)]
    if missing:
        raise ValueError(
            f"{base}: {len(missing)} of {len(specs)} sequences are missing, such as {missing[0]}; "
            "simulate again to complete them"
        )
    # What interrupted processes left behind; nobody writes any more.
    for left in base.glob(".partial-*"):
        shutil.rmtree(left, ignore_errors=True)
    _mark(base, _parameters(domain, seed, size, frames), specs, n_subjects, videos_per_subject, complete=True)
    return base


def is_done(domain: Domain, root: Path, spec: SequenceSpec) -> bool:
    """Return whether a sequence is on disk; a sequence appears only when it is complete."""
    from repro.data.simulator import writers

    done = writers.biovid_done if domain.name == "biovid" else writers.unbc_done
    return done(root, spec.subject, spec.name)


def simulate_subject(
    domain: Domain,
    root: str | os.PathLike[str],
    subject_index: int,
    *,
    n_subjects: int,
    videos_per_subject: int,
    seed: int = 0,
    size: int | None = None,
    frames: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the sequences of one subject that are not there yet: the unit of parallel work.

    Call `prepare` before and `finish` after all subjects. The files do not depend on the order of subjects or the
    number of processes. OpenCV is limited to one thread while this runs.

    Parameters
    ----------
    domain : Domain
    root : path
    subject_index : int
        0 .. n_subjects - 1.
    n_subjects, videos_per_subject, seed, size, frames
        As for `simulate`.
    progress : callable, optional
        Called with the number of this subject's sequences that are done, and their number.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if not 0 <= subject_index < n_subjects:
        raise ValueError(f"subject_index must be in 0..{n_subjects - 1}, got {subject_index}")
    import cv2

    base = Path(root)
    specs = [
        s for s in plan(domain, n_subjects, videos_per_subject, seed, frames=frames) if s.subject_index == subject_index
    ]
    todo = [spec for spec in specs if not is_done(domain, base, spec)]
    if not todo:
        return
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        from repro.data.simulator.actor import Actor

        actor = Actor(domain, seed, subject_index, domain.size if size is None else size)
        for k, spec in enumerate(todo, 1):
            actor.write(base, spec)
            if progress is not None:
                progress(len(specs) - len(todo) + k, len(specs))
    finally:
        cv2.setNumThreads(threads)


def simulate(
    domain: Domain,
    root: str | os.PathLike[str],
    *,
    n_subjects: int,
    videos_per_subject: int,
    seed: int = 0,
    size: int | None = None,
    frames: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Write a whole dataset in the layout of the real one.

    Sequences that are there already are kept, so that an interrupted simulation goes on where it stopped.

    Parameters
    ----------
    domain : Domain
        `UNBC` or `BIOVID`, or either with other parameters (`dataclasses.replace`).
    root : path
        Empty or new folder, or one with an earlier simulation of the same parameters and no more subjects or videos.
    n_subjects, videos_per_subject : int
    seed : int
        Root of all randomness; the same seed gives the same bytes.
    size : int, optional
        Height of a frame in pixels; the width follows from the domain's aspect.
    frames : int, optional
        Median length of a sequence (UNBC), length of a video (BioVid).
    jobs : int
        Processes; each takes one subject at a time.
    progress : callable, optional
        Called with the number of sequences done and their number.

    Returns
    -------
    Path
        `root`.

    Raises
    ------
    ValueError
        If a number is out of range, or `root` holds something else.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    options = {
        "n_subjects": n_subjects,
        "videos_per_subject": videos_per_subject,
        "seed": seed,
        "size": size,
        "frames": frames,
    }
    specs = prepare(domain, root, **options)  # type: ignore[arg-type]
    _run(domain, Path(root), specs, options, jobs, progress)
    return finish(domain, root, **options)  # type: ignore[arg-type]


def _run(
    domain: Domain,
    base: Path,
    specs: list[SequenceSpec],
    options: dict[str, int | None],
    jobs: int,
    progress: Progress | None,
) -> None:
    """Write what is missing, subject by subject, here or in several processes."""

    def count() -> int:
        return sum(is_done(domain, base, spec) for spec in specs)

    pending = sorted({spec.subject_index for spec in specs if not is_done(domain, base, spec)})
    if jobs == 1 or len(pending) < 2:

        def tell(*_: int) -> None:
            if progress is not None:
                progress(count(), len(specs))

        for index in pending:
            simulate_subject(domain, base, index, progress=tell, **options)  # type: ignore[arg-type]
        return
    # Processes are spawned: forking after OpenMP or OpenCV threads have run can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(pending)), mp_context=context) as pool:
        futures = [pool.submit(simulate_subject, domain, base, index, **options) for index in pending]  # type: ignore[arg-type]
        for future in as_completed(futures):
            future.result()
            if progress is not None:
                progress(count(), len(specs))
