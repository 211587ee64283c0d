"""Whole datasets: what is to be written, one subject's share of it, and all of it by several processes."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repro.data.simulator.domain import GENERATOR_VERSION, Domain
from repro.data.simulator.streams import stream
from repro.data.simulator.subject import Identity, sample_identity

if TYPE_CHECKING:
    from repro.data.simulator.behaviour import Script, Temper
    from repro.data.simulator.camera import Shot
    from repro.data.simulator.render import Person

MARKER = "SIMULATED.json"
"""File at the root that tells simulated data from the real."""
SHORTEST = 48
"""Frames of the shortest sequence of UNBC-McMaster."""
_LONGEST_OVER_MEDIAN = 683 / 225
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SequenceSpec:
    """A sequence to be written.

    Attributes
    ----------
    subject : str
        Folder of the subject.
    subject_index, index : int
        Number of the subject, and of the sequence among the subject's.
    name : str
        Name of the sequence or video.
    n_frames : int
    level : int or None
        BioVid's class 0..4; None for UNBC, whose levels belong to frames.
    """

    subject: str
    subject_index: int
    index: int
    name: str
    n_frames: int
    level: int | None


def plan(
    domain: Domain, n_subjects: int, videos_per_subject: int, seed: int = 0, *, frames: int | None = None
) -> list[SequenceSpec]:
    """List the sequences of a dataset without rendering any.

    A subject's sequences do not depend on the number of subjects, nor a sequence on the number of sequences, so that
    a dataset can grow.

    Parameters
    ----------
    domain : Domain
    n_subjects, videos_per_subject : int
        At least 1. BioVid's videos go round the five classes, so that a multiple of 5 is balanced.
    seed : int
    frames : int, optional
        Median length of a sequence (UNBC), at least 48, or length of a video (BioVid), at least 2; the domain's by
        default.

    Returns
    -------
    list of SequenceSpec

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if n_subjects < 1 or videos_per_subject < 1:
        raise ValueError(
            f"n_subjects and videos_per_subject must be at least 1, got {n_subjects} and {videos_per_subject}"
        )
    specs: list[SequenceSpec] = []
    names: set[str] = set()
    for index in range(n_subjects):
        name = _subject_name(domain, seed, index, names)
        names.add(name)
        specs += _sequences(domain, seed, index, name, videos_per_subject, frames)
    return specs


def _subject_name(domain: Domain, seed: int, index: int, taken: set[str]) -> str:
    """Return an invented folder name that looks like the dataset's."""
    rng = stream(seed, domain.name, index, "name")
    identity = sample_identity(seed, domain.name, index, ages=domain.ages)
    while True:
        if domain.name == "biovid":
            day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(10, 24)
            name = f"{month:02d}{day:02d}{year:02d}_{identity.sex}_{identity.age}"
        else:
            # The real archive counts to 124; invented numbers begin beyond it.
            number, letters = int(rng.integers(200, 1000)), rng.integers(0, 26, 2)
            name = f"{number}-{chr(97 + letters[0])}{chr(97 + letters[1])}{number}"
        if name not in taken:
            return name


def _sequences(
    domain: Domain, seed: int, index: int, subject: str, count: int, frames: int | None
) -> list[SequenceSpec]:
    if domain.name == "biovid":
        length = domain.frames if frames is None else frames
        if length < 2:
            raise ValueError(f"frames must be at least 2, got {length}")
        if count > 100:
            raise ValueError(f"BioVid has at most 20 videos of each class, 100 of a subject; got {count}")
        from repro.data.simulator.writers import CLASSES

        specs = []
        for i in range(count):
            level, turn = i % 5, i // 5
            # Real suffixes: BL1 081..100, PA 001..080.
            number = 81 + turn if level == 0 else 1 + turn * 4 + (level - 1)
            specs.append(SequenceSpec(subject, index, i, f"{subject}-{CLASSES[level]}-{number:03d}", length, level))
        return specs
    median = domain.frames if frames is None else frames
    if median < SHORTEST:
        raise ValueError(f"frames must be at least {SHORTEST}, the shortest sequence of the archive, got {median}")
    specs = []
    for i in range(count):
        drawn = median * np.exp(stream(seed, domain.name, index, "length", i).normal(0, 0.36))
        length = int(np.clip(round(drawn), SHORTEST, _LONGEST_OVER_MEDIAN * median))
        # Arm (t1, t2), movement (a..), and whether the affected arm moves.
        arm, movement, side = 1 + i % 2, chr(97 + (i // 4) % 26), "aff" if i // 2 % 2 == 0 else "unaff"
        name = f"{subject[4:]}t{arm + 2 * (i // 104)}a{movement}{side}"
        specs.append(SequenceSpec(subject, index, i, name, length, None))
    return specs


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
            f"{base}: holds a dataset without {MARKER}; give an empty folder, so that real and simulated data do not mix"
        )
    for left in base.glob(".partial-*"):
        shutil.rmtree(left, ignore_errors=True)
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
            f"{marker}: holds {counts[0]} subjects x {counts[1]} videos, more than the {n_subjects} x {videos} asked for; give another folder"
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
            f"{base}: {len(missing)} of {len(specs)} sequences are missing, such as {missing[0]}; simulate again to complete them"
        )
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
        actor = Actor(domain, seed, subject_index, domain.size if size is None else size)
        for k, spec in enumerate(todo, 1):
            actor.write(base, spec)
            if progress is not None:
                progress(len(specs) - len(todo) + k, len(specs))
    finally:
        cv2.setNumThreads(threads)


class Actor:
    """A subject of a domain, ready to be filmed.

    Parameters
    ----------
    domain : Domain
    seed : int
    subject_index : int
    size : int
        Height of a frame in pixels.
    """

    def __init__(self, domain: Domain, seed: int, subject_index: int, size: int) -> None:
        from repro.data.simulator.behaviour import sample_temper
        from repro.data.simulator.camera import SUPERSAMPLING, frame_shape, subject_light
        from repro.data.simulator.landmarks import Landmarks
        from repro.data.simulator.render import Person

        self.domain, self.size = domain, size
        self.identity: Identity = sample_identity(seed, domain.name, subject_index, ages=domain.ages)
        self.temper: Temper = sample_temper(self.identity, domain, seed, subject_index)
        pixel = domain.camera.view / (frame_shape(domain, size)[0] * SUPERSAMPLING)
        self.person: Person = Person(self.identity, pixel, subject_light(self.identity, domain.camera))
        self.marks = Landmarks(self.identity, self.person.head)

    def script(self, spec: SequenceSpec) -> Script:
        """Return what happens in a sequence."""
        from repro.data.simulator.behaviour import biovid_script, unbc_script

        if spec.level is None:
            return unbc_script(self.identity, self.domain, self.temper, spec.n_frames, spec.index)
        return biovid_script(self.identity, self.domain, self.temper, spec.n_frames, spec.level, spec.index)

    def shot(self, spec: SequenceSpec) -> Shot:
        """Return the camera of a sequence."""
        from repro.data.simulator.camera import Shot

        return Shot(self.identity, self.domain, self.size, spec.index)

    def landmarks(self, script: Script, shot: Shot) -> np.ndarray:
        """Return the 68 landmarks of each frame, (F, 68, 2), in pixels of the stored frame."""
        from repro.data.simulator.render import project_points

        performance = script.performance
        head = self.marks.positions(performance.activation.astype(float), self.person.eye_state(performance))
        return shot.pixels(project_points(head, performance, shot.pose))

    def write(self, root: Path, spec: SequenceSpec) -> None:
        """Film one sequence and write its files."""
        from repro.data.simulator import writers

        script, shot = self.script(spec), self.shot(spec)
        marks = self.landmarks(script, shot)
        images = (shot.expose(frame) for frame in self.person.render(script.performance, shot.background, shot.pose))
        if spec.level is None:
            writers.write_unbc(root, spec.subject, spec.name, images, marks, script, self._ratings(spec, script))
        else:
            shape = shot.height, shot.width
            writers.write_biovid(
                root, spec.subject, spec.name, images, marks, script, self._poses(script), shape, self.domain.fps
            )

    def _ratings(self, spec: SequenceSpec, script: Script) -> dict[str, float]:
        """Return sequence ratings that agree, roughly, with what the face shows."""
        rng = self.identity.rng("ratings", spec.index)
        felt = float(np.clip(0.55 * script.pspi.max() + 1.2 * rng.gamma(1.0, 1.0) - 0.6, 0, 10))
        return {
            "AFF": float(np.clip(round(1.4 * felt + rng.normal(0, 1.5)), 0, 15)),
            "OPR": float(np.clip(round(script.pspi.max() / 2.6 + rng.normal(0, 0.5)), 0, 5)),
            "SEN": float(np.clip(round(1.45 * felt + rng.normal(0, 1.2)), 0, 15)),
            "VAS": round(felt, 1),
        }

    def _poses(self, script: Script) -> np.ndarray:
        """Return OpenFace's pose columns: millimetres with z away from the camera and y down, radians about x, y, z."""
        p = script.performance
        place = p.move * 10.0 * [1.0, -1.0, -1.0] + [0.0, 0.0, 10.0 * self.domain.camera.distance]
        return np.concatenate([place, p.angles * [1.0, -1.0, -1.0]], axis=1)


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
    base = Path(root)
    pending = sorted({s.subject_index for s in specs if not is_done(domain, base, s)})
    done = sum(is_done(domain, base, s) for s in specs)
    if jobs == 1 or len(pending) < 2:
        for index in pending:
            own = sum(is_done(domain, base, s) for s in specs if s.subject_index == index)

            def tell(k: int, _: int, start: int = done - own) -> None:
                if progress is not None:
                    progress(start + k, len(specs))

            simulate_subject(domain, root, index, progress=tell, **options)  # type: ignore[arg-type]
            done = sum(is_done(domain, base, s) for s in specs)
    else:
        # Processes are spawned: forking after OpenMP or OpenCV threads have run can hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(jobs, len(pending)), mp_context=context) as pool:
            futures = [pool.submit(simulate_subject, domain, root, index, **options) for index in pending]  # type: ignore[arg-type]
            for future in as_completed(futures):
                future.result()
                if progress is not None:
                    progress(sum(is_done(domain, base, s) for s in specs), len(specs))
    return finish(domain, root, **options)  # type: ignore[arg-type]
