"""The videos that illustrations show: simulated ones of the store, licensed ones whose faces may be shown, any file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from repro.data import Dataset, VideoRecord, simulation
from repro.data import faces as face_frames
from repro.data.video import decode
from repro.suite.command import positive
from repro.suite.illustrations.illustration import FacesNotShown, Steps
from repro.suite.spec import DATASET_LABELS

__all__ = ["Example", "add_faces_option", "add_video_options", "examples", "showable"]

_SIZE_OF_FILES = 128
"""Pixels of a face's side in videos that belong to no dataset, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Example:
    """One video, its face brought to a square.

    Parameters
    ----------
    label : str
        What readers see.
    video : str
    faces : Tensor, (T, 3, size, size) uint8
    method : str
        How the face was found, one of `repro.data.faces.METHODS`.
    peak : int
        First of the frames of the highest level; 0 without labels.
    data : {"simulated", "licensed"}
    """

    label: str
    video: str
    faces: Tensor
    method: str
    peak: int
    data: str

    @property
    def shown(self) -> int:
        """The frame that stands for the video: its peak, or its middle where no frame stands out."""
        return self.peak or len(self.faces) // 2


def add_faces_option(parser: argparse.ArgumentParser) -> None:
    """Add the option without which no face of licensed data is drawn."""
    parser.add_argument(
        "--show-faces",
        nargs="+",
        metavar="SUBJECT",
        help="subjects of licensed data whose faces may be printed, by the licence and their consent; without it "
        "nothing is drawn of licensed data",
    )


def add_video_options(parser: argparse.ArgumentParser, *, several: bool) -> None:
    """Add the options that say which videos are shown."""
    parser.add_argument(
        "--video",
        nargs="+" if several else 1,
        type=Path,
        metavar="FILE",
        help="show any video in place of the datasets'; whether its faces may be shown is yours to know",
    )
    parser.add_argument(
        "--size",
        type=positive,
        metavar="N",
        help=f"pixels of a face's side (default: the scale's, for --video {_SIZE_OF_FILES})",
    )
    add_faces_option(parser)


def examples(names: Sequence[str], steps: Steps, *, frames: int) -> list[Example]:
    """Bring the faces of the videos that are asked for, or of one video of each dataset.

    Parameters
    ----------
    names : sequence of str
        Datasets.
    steps : Steps
    frames : int
        Videos of at least so many are preferred.

    Raises
    ------
    ValueError
        If a video cannot be used, or its face may not be shown (`FacesNotShown`).
    """
    options = steps.options
    size = getattr(options, "size", None)
    if files := getattr(options, "video", None):
        return [_of_file(file, size or _SIZE_OF_FILES, strict=options.strict) for file in files]
    datasets = {name: corpus.dataset for name, corpus in steps.corpora(names).items()}
    records = showable(datasets, options)
    return [
        _of_record(dataset, _telling(records[name], frames), size or steps.scale.input.size, steps)
        for name, dataset in datasets.items()
    ]


def showable(datasets: dict[str, Dataset], options: argparse.Namespace) -> dict[str, list[VideoRecord]]:
    """Return, for each dataset, the videos whose faces may be shown: all simulated ones, licensed ones by name.

    Raises
    ------
    FacesNotShown
        If there is licensed data and no subject was named.
    ValueError
        If a named subject is not there, or none of a dataset's was named.
    """
    licensed = [name for name, dataset in datasets.items() if not dataset.simulated]
    named = getattr(options, "show_faces", None) or ()
    if licensed and not named:
        raise FacesNotShown(
            f"would print faces of {' and '.join(DATASET_LABELS[name] for name in licensed)}, whose licence allows "
            "only some subjects to be shown; name those that may be by --show-faces SUBJECT [SUBJECT ...], or give no "
            f"--{licensed[0]} to draw simulated ones"
        )
    known = {subject for name in licensed for subject in datasets[name].subjects}
    if licensed and (unknown := sorted(set(named) - known)):
        raise ValueError(
            f"--show-faces {unknown[0]}: is no subject of the data; it has {', '.join(sorted(known)[:5])}, …"
        )
    found = {
        name: [record for record in dataset.records if name not in licensed or record.subject in named]
        for name, dataset in datasets.items()
    }
    for name, records in found.items():
        if not records:
            raise ValueError(
                f"{datasets[name].root}: no video can be shown; name one of its subjects by --show-faces, such as "
                f"{', '.join(datasets[name].subjects[:3]) or 'none that it has'}"
            )
    return found


def _telling(records: Sequence[VideoRecord], frames: int) -> VideoRecord:
    """Return the first video of the highest level, among those that are long enough if any is."""
    long = [record for record in records if record.n_frames >= frames]
    return max(long or records, key=lambda record: int(record.levels.max(initial=-1)))


def _of_record(dataset: Dataset, record: VideoRecord, size: int, steps: Steps) -> Example:
    frames, landmarks = record.frames(), record.landmarks()
    known = None if landmarks is None else landmarks[: len(frames)]
    prepared = face_frames.prepare(frames, known, size=size, mode=steps.scale.input.alignment)
    data = "simulated" if dataset.simulated else "licensed"
    label = DATASET_LABELS[dataset.name] + (", simulated" if dataset.simulated else "")
    peak = int(np.argmax(record.levels[: len(frames)]))
    return Example(label, record.video, prepared.frames, prepared.method, peak, data)


def _of_file(file: Path, size: int, *, strict: bool) -> Example:
    prepared = face_frames.prepare(decode(file, strict=strict).frames, None, size=size)
    simulated = any(simulation(folder) is not None for folder in file.resolve().parents)
    label = file.name + (", simulated" if simulated else "")
    return Example(label, file.name, prepared.frames, prepared.method, 0, "simulated" if simulated else "licensed")
