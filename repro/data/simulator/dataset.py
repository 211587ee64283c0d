"""Whole datasets: one subject's share, and all of it by several processes."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path

from repro.data.simulator.blocks import Block, divide
from repro.data.simulator.domain import GENERATOR_VERSION, Domain, frame_shape
from repro.data.simulator.marker import check_root, write_marker
from repro.data.simulator.planning import SequenceSpec, plan

Progress = Callable[[int, int], None]
_POLL = 1.0
"""Seconds between two looks at what other processes have written."""


def _parameters(
    domain: Domain, seed: int, size: int | None, frames: int | None, videos: int | None
) -> dict[str, object]:
    parameters = json.loads(json.dumps(dataclasses.asdict(domain)))
    if not domain.landmark_error:  # simulations from before there was such a parameter are the same
        del parameters["landmark_error"]
    return {
        "generator": GENERATOR_VERSION,
        "domain": domain.name,
        "seed": seed,
        "size": domain.size if size is None else size,
        # Real counts come with real lengths.
        "frames": domain.frames if frames is None and videos is not None else frames,
        "parameters": parameters,
    }


def prepare(
    domain: Domain,
    root: str | os.PathLike[str],
    *,
    n_subjects: int,
    videos_per_subject: int | None = None,
    seed: int = 0,
    size: int | None = None,
    frames: int | None = None,
) -> list[SequenceSpec]:
    """Mark a root as simulated, not yet complete, and return its plan; call it before `simulate_subject`.

    Raises
    ------
    ValueError
        If a number is out of range, or the root holds a simulation with other parameters or something else.
    """
    base = Path(root)
    specs = plan(domain, n_subjects, videos_per_subject, seed, frames=frames)
    wanted = _parameters(domain, seed, size, frames, videos_per_subject)
    frame_shape(domain, domain.size if size is None else size)
    check_root(base, wanted, n_subjects, videos_per_subject)
    _mark(base, wanted, specs, n_subjects, videos_per_subject, complete=False)
    if domain.name == "biovid":
        from repro.data.simulator.writers import write_samples

        subjects: dict[str, list[tuple[str, int]]] = {}
        for spec in specs:
            subjects.setdefault(spec.subject, []).append((spec.name, int(spec.level or 0)))
        write_samples(base, subjects)
    return specs


def _mark(
    base: Path,
    wanted: dict[str, object],
    specs: list[SequenceSpec],
    n_subjects: int,
    videos: int | None,
    *,
    complete: bool,
) -> None:
    content = {
        **wanted,
        "n_subjects": n_subjects,
        "videos_per_subject": videos,
        "n_sequences": len(specs),
        "n_frames": sum(spec.n_frames for spec in specs),
        "complete": complete,
    }
    write_marker(base, content)


def finish(
    domain: Domain,
    root: str | os.PathLike[str],
    *,
    n_subjects: int,
    videos_per_subject: int | None = None,
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
    wanted = _parameters(domain, seed, size, frames, videos_per_subject)
    _mark(base, wanted, specs, n_subjects, videos_per_subject, complete=True)
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
    videos_per_subject: int | None = None,
    seed: int = 0,
    size: int | None = None,
    frames: int | None = None,
    sequences: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the sequences of one subject, or some of them, that are not there yet: the unit of parallel work.

    Call `prepare` before and `finish` after all subjects. The files do not depend on the order of subjects and
    sequences or the number of processes. OpenCV is limited to one thread while this runs.

    Parameters
    ----------
    domain : Domain
    root : path
    subject_index : int
        0 .. n_subjects - 1.
    n_subjects, videos_per_subject, seed, size, frames
        As for `simulate`.
    sequences : sequence of int, optional
        Numbers of the sequences, such as those of a `repro.data.simulator.blocks.Block`; all by default.
    progress : callable, optional
        Called after each sequence with the frames of these sequences that are written, and their number.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if not 0 <= subject_index < n_subjects:
        raise ValueError(f"subject_index must be in 0..{n_subjects - 1}, got {subject_index}")
    base = Path(root)
    own = {
        spec.index: spec
        for spec in plan(domain, n_subjects, videos_per_subject, seed, frames=frames)
        if spec.subject_index == subject_index
    }
    numbers = sorted(own) if sequences is None else sequences
    if not set(numbers) <= own.keys():
        raise ValueError(f"sequences must be in 0..{len(own) - 1}, got {list(numbers)}")
    todo = [own[k] for k in numbers if not is_done(domain, base, own[k])]
    if not todo:
        return
    import cv2

    from repro.data.simulator.actor import actor

    total = sum(own[k].n_frames for k in numbers)
    written = total - sum(spec.n_frames for spec in todo)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        person = actor(domain, seed, subject_index, domain.size if size is None else size)
        for spec in todo:
            person.write(base, spec)
            written += spec.n_frames
            if progress is not None:
                progress(written, total)
    finally:
        cv2.setNumThreads(threads)


def simulate(
    domain: Domain,
    root: str | os.PathLike[str],
    *,
    n_subjects: int,
    videos_per_subject: int | None = None,
    seed: int = 0,
    size: int | None = None,
    frames: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Write a whole dataset in the layout of the real one.

    Sequences that are there already are kept, so that an interrupted simulation goes on where it stopped. Frames are
    written as they are drawn, so that memory does not grow with their number.

    Parameters
    ----------
    domain : Domain
        `UNBC` or `BIOVID`, or either with other parameters (`dataclasses.replace`).
    root : path
        Empty or new folder, or one with an earlier simulation of the same parameters and no more subjects or videos.
    n_subjects : int
    videos_per_subject : int, optional
        By default as many as in the real dataset, and as long; see `plan`.
    seed : int
        Root of all randomness; the same seed gives the same bytes.
    size : int, optional
        Height of a frame in pixels; the width follows from the domain's aspect.
    frames : int, optional
        Median length of a sequence (UNBC), length of a video (BioVid).
    jobs : int
        Processes; each takes one subject at a time, and a part of one when few are left.
    progress : callable, optional
        Called with the number of frames written and their number.

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
    tally = _Tally(domain, Path(root), specs, progress)
    tally.look()
    write: Callable[..., None] = partial(simulate_subject, domain, root, **options)  # type: ignore[arg-type]
    work = divide(tally.missing, jobs)
    if jobs == 1 or len(work) < 2:
        for block in work:
            write(block.subject_index, sequences=block.sequences, progress=tally.look)
    else:
        _in_processes(write, work, jobs, tally)
    return finish(domain, root, **options)  # type: ignore[arg-type]


def _in_processes(write: Callable[..., None], work: list[Block], jobs: int, tally: _Tally) -> None:
    # Processes are spawned: forking after OpenMP or OpenCV threads have run can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(work)), mp_context=context) as pool:
        futures = {pool.submit(write, block.subject_index, sequences=block.sequences) for block in work}
        try:
            while futures:
                done, futures = wait(futures, _POLL, FIRST_COMPLETED)
                for future in done:
                    future.result()
                tally.look()
        except BaseException:
            # Blocks that wait are not begun; those at work are finished.
            pool.shutdown(cancel_futures=True)
            raise


class _Tally:
    """Looks at what is on disk and tells how many frames are written, whoever wrote them."""

    def __init__(self, domain: Domain, root: Path, specs: list[SequenceSpec], progress: Progress | None) -> None:
        self.domain, self.root, self.progress = domain, root, progress
        self.total = sum(spec.n_frames for spec in specs)
        self.missing = [spec for spec in specs if not is_done(domain, root, spec)]
        self.told = -1

    def look(self, *_: int) -> None:
        """Tell the progress if there is any."""
        self.missing = [spec for spec in self.missing if not is_done(self.domain, self.root, spec)]
        written = self.total - sum(spec.n_frames for spec in self.missing)
        if self.progress is not None and written != self.told:
            self.told = written
            self.progress(written, self.total)
