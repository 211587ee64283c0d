"""Simulated stills in the layout of VGGFace2: identities, boxes, five points, names.

`prepare_stills`, `stills_of_identity` for each identity in whatever order and process, `finish_stills`; or all of it
by `simulate_stills`.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from repro.data.simulator.dataset import Progress
from repro.data.simulator.domain import GENERATOR_VERSION
from repro.data.simulator.marker import check_root, write_marker
from repro.data.simulator.still_files import write_names, write_still, write_tables
from repro.data.simulator.streams import stream
from repro.data.simulator.wild import SMALLEST, WILD, wild_identity

FIRST_NUMBER = 10001
"""Number of the first identity: those of the real dataset end at 9294."""
TEST_EVERY = 18
"""One identity of so many is in the test split, as in the real dataset (500 of 9131)."""
MOST_STILLS = 9999
"""Stills of an identity that four digits can name."""


@dataclass(frozen=True)
class StillSpec:
    """A still to be written.

    Attributes
    ----------
    identity : str
        Such as "n010001".
    identity_index, index : int
        Number of the identity, and of the still among the identity's.
    split : {"train", "test"}
    name : str
        Such as "0001_01": number of the photograph and of the face in it.
    """

    identity: str
    identity_index: int
    index: int
    split: str
    name: str

    @property
    def path(self) -> Path:
        """The file, relative to the root."""
        return Path(self.split) / self.identity / f"{self.name}.jpg"

    @property
    def id(self) -> str:
        """The still as the CSV files name it."""
        return f"{self.identity}/{self.name}"


def plan_stills(n_identities: int, stills_per_identity: int, seed: int = 0) -> list[StillSpec]:
    """List the stills of a dataset without drawing any.

    An identity's split and stills do not depend on how many there are, so that a dataset can grow. The second of
    every 18 identities is for tests.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if n_identities < 1 or not 1 <= stills_per_identity <= MOST_STILLS:
        raise ValueError(
            f"n_identities must be at least 1 and stills_per_identity in 1..{MOST_STILLS}, got {n_identities} and "
            f"{stills_per_identity}"
        )
    return [spec for index in range(n_identities) for spec in _plan_identity(index, stills_per_identity, seed)]


def _plan_identity(index: int, count: int, seed: int) -> list[StillSpec]:
    identity = f"n{FIRST_NUMBER + index:06d}"
    split = "test" if index % TEST_EVERY == 1 else "train"
    # In a photograph of several people the face may be any of them.
    faces = stream(seed, "vggface2", index, "faces").geometric(0.8, MOST_STILLS).clip(max=9).tolist()
    return [StillSpec(identity, index, k, split, f"{k + 1:04d}_{faces[k]:02d}") for k in range(count)]


def _height(size: int | None) -> int:
    height = WILD.size if size is None else size
    if height < SMALLEST:
        raise ValueError(f"size must be at least {SMALLEST} pixels, got {height}")
    return height


def _parameters(seed: int, size: int | None) -> dict[str, object]:
    return {
        "generator": GENERATOR_VERSION,
        "domain": "vggface2",
        "seed": seed,
        "size": _height(size),
        "parameters": json.loads(json.dumps(dataclasses.asdict(WILD))),
    }


def prepare_stills(
    root: str | os.PathLike[str],
    *,
    n_identities: int,
    stills_per_identity: int,
    seed: int = 0,
    size: int | None = None,
) -> list[StillSpec]:
    """Mark a root as simulated, not yet complete, and return its plan; call it before `stills_of_identity`.

    Raises
    ------
    ValueError
        If the root holds a simulation with other parameters, or files that are not a simulation.
    """
    base = Path(root)
    specs = plan_stills(n_identities, stills_per_identity, seed)
    wanted = _parameters(seed, size)
    check_root(base, wanted, n_identities, stills_per_identity)
    _mark(base, wanted, n_identities, stills_per_identity, complete=False)
    return specs


def _mark(base: Path, wanted: dict[str, object], n_identities: int, stills: int, *, complete: bool) -> None:
    content = {
        **wanted,
        "n_subjects": n_identities,
        "videos_per_subject": stills,
        "n_stills": n_identities * stills,
        "complete": complete,
    }
    write_marker(base, content)


def is_done(root: Path, spec: StillSpec) -> bool:
    """Return whether a still is on disk; it appears only when it is complete."""
    return (root / spec.path).is_file()


def stills_of_identity(
    root: str | os.PathLike[str],
    identity_index: int,
    *,
    n_identities: int,
    stills_per_identity: int,
    seed: int = 0,
    size: int | None = None,
    stills: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the stills of one identity, or some of them, that are not there yet: the unit of parallel work.

    Call `prepare_stills` before and `finish_stills` after all identities. The files do not depend on the order of
    identities or the number of processes. OpenCV is limited to one thread while this runs.

    Parameters
    ----------
    root : path
    identity_index : int
        0 .. n_identities - 1.
    n_identities, stills_per_identity, seed, size
        As for `simulate_stills`.
    stills : sequence of int, optional
        Numbers of the stills; all by default. Those of a session, `WILD.stills_per_session` at a time, are best
        written together: a person has to be built for each session.
    progress : callable, optional
        Called after each still with the number of these stills that are done, and their number.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if not 0 <= identity_index < n_identities:
        raise ValueError(f"identity_index must be in 0..{n_identities - 1}, got {identity_index}")
    height = _height(size)
    import cv2

    base = Path(root)
    specs = _plan_identity(identity_index, stills_per_identity, seed)
    if stills is not None:
        if not set(stills) <= set(range(len(specs))):
            raise ValueError(f"stills must be in 0..{len(specs) - 1}, got {list(stills)}")
        specs = [specs[k] for k in sorted(set(stills))]
    todo = [spec for spec in specs if not is_done(base, spec)]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        from repro.data.simulator.session import Session

        done = len(specs) - len(todo)
        for session, group in groupby(todo, lambda spec: spec.index // WILD.stills_per_session):
            visit = Session(wild_identity(seed, identity_index), session, height)
            for spec in group:
                write_still(base, spec, visit.take(spec.index % WILD.stills_per_session))
                done += 1
                if progress is not None:
                    progress(done, len(specs))
    finally:
        cv2.setNumThreads(threads)


def finish_stills(
    root: str | os.PathLike[str],
    *,
    n_identities: int,
    stills_per_identity: int,
    seed: int = 0,
    size: int | None = None,
) -> Path:
    """Check that every still is there, write boxes, points and names, and mark the root as complete.

    Raises
    ------
    ValueError
        If stills are missing.
    """
    base = Path(root)
    specs = plan_stills(n_identities, stills_per_identity, seed)
    missing = [spec.id for spec in specs if not is_done(base, spec)]
    if missing:
        raise ValueError(
            f"{base}: {len(missing)} of {len(specs)} stills are missing, such as {missing[0]}; "
            "simulate again to complete them"
        )
    # What interrupted processes left behind; nobody writes any more.
    for left in base.glob(".partial-*"):
        left.unlink(missing_ok=True)
    write_tables(base, specs)
    write_names(base, specs, seed)
    _mark(base, _parameters(seed, size), n_identities, stills_per_identity, complete=True)
    return base


def simulate_stills(
    root: str | os.PathLike[str],
    *,
    n_identities: int,
    stills_per_identity: int,
    seed: int = 0,
    size: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Write a whole dataset in the layout of VGGFace2.

    Stills that are there already are kept, so that an interrupted simulation goes on where it stopped.

    Parameters
    ----------
    root : path
        Empty or new folder, or one with an earlier simulation of the same parameters and no more identities or
        stills.
    n_identities, stills_per_identity : int
    seed : int
        Root of all randomness; the same seed gives the same bytes.
    size : int, optional
        Median height of a still in pixels, at least 48; that of `repro.data.simulator.wild.WILD` by default.
    jobs : int
        Processes; each takes one identity at a time.
    progress : callable, optional
        Called with the number of stills done and their number.

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
    base = Path(root)
    options = {
        "n_identities": n_identities,
        "stills_per_identity": stills_per_identity,
        "seed": seed,
        "size": size,
    }
    specs = prepare_stills(base, **options)  # type: ignore[arg-type]
    pending = Counter(spec.identity_index for spec in specs if not is_done(base, spec))
    work = partial(stills_of_identity, base, **options)  # type: ignore[arg-type]
    _run(work, pending, jobs, _Tally(progress, len(specs) - pending.total(), len(specs)))
    return finish_stills(base, **options)  # type: ignore[arg-type]


class _Tally:
    """Counts stills and tells how many are done."""

    def __init__(self, progress: Progress | None, done: int, total: int) -> None:
        self.progress, self.done, self.total = progress, done, total

    def add(self, count: int) -> None:
        """Add stills that are done."""
        self.done += count
        if self.progress is not None:
            self.progress(self.done, self.total)


def _run(work: Callable[..., None], pending: Counter[int], jobs: int, tally: _Tally) -> None:
    """Write what is missing of each identity, here or in several processes."""
    if jobs == 1 or len(pending) < 2:
        for index in pending:
            work(index, progress=lambda *_: tally.add(1))
        return
    # Processes are spawned: forking after OpenMP or OpenCV threads have run can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(pending)), mp_context=context) as pool:
        futures = {pool.submit(work, index): count for index, count in pending.items()}
        try:
            for future in as_completed(futures):
                future.result()
                tally.add(futures[future])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
