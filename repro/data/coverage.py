"""How much of a dataset has the labels and landmarks that it may lack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from repro.data.files import names_ending, read_bytes
from repro.data.schema import Dataset
from repro.data.unbc import RATINGS, UnbcRecord, locate
from repro.data.unbc_labels import is_blank
from repro.data.vggface2 import IdentityRecord
from repro.data.video_file import VideoFileRecord

__all__ = ["Coverage", "coverage"]

_RATINGS: Mapping[str, str] = {
    "AFF": "affective report",
    "OPR": "observer's rating, OPI",
    "SEN": "sensory report",
    "VAS": "visual analogue scale",
}


@dataclass(frozen=True)
class Coverage:
    """How many have something.

    Attributes
    ----------
    what : str
        The label or landmarks.
    unit : str
        What is counted, such as "frames".
    found, total : int
    """

    what: str
    unit: str
    found: int
    total: int


def coverage(dataset: Dataset) -> tuple[Coverage, ...]:
    """Count what has labels and landmarks beyond those that a record must have.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    tuple of Coverage
        UNBC: frames with landmarks (a file that is not empty) and with a file of coded action units, sequences with
        each rating. BioVid: videos with a file of OpenFace. VGGFace2: identities with boxes. None for a manifest.
    """
    counters: Mapping[str, Callable[[Dataset], tuple[Coverage, ...]]] = {
        "unbc": _unbc,
        "biovid": _biovid,
        "vggface2": _vggface2,
    }
    return counters[dataset.name](dataset) if dataset.name in counters else ()


def _unbc(dataset: Dataset) -> tuple[Coverage, ...]:
    records = [record for record in dataset.records if isinstance(record, UnbcRecord)]
    facs = locate(dataset.root).get("FACS")
    marked = coded = 0
    for record in records:
        if record.points:
            marked += sum(not is_blank(read_bytes(path)) for path in _present(record, record.points, "_aam.txt"))
        if facs is not None:
            coded += len(_present(record, str(facs / record.video), "_facs.txt"))
    frames = sum(record.n_frames for record in records)
    return (
        Coverage("landmarks (AAM)", "frames", marked, frames),
        Coverage("action units (FACS)", "frames", coded, frames),
        *(_rated(records, rating) for rating in RATINGS),
    )


def _present(record: UnbcRecord, folder: str, ending: str) -> list[str]:
    """Return the paths of those of a sequence's files in a folder that are there."""
    stem, there = record.video.rpartition("/")[2], names_ending(folder, ending)
    return [f"{folder}/{name}" for number in record.numbers if (name := f"{stem}{number}{ending}") in there]


def _rated(records: Sequence[UnbcRecord], rating: str) -> Coverage:
    found = sum(rating in record.ratings for record in records)
    return Coverage(f"{rating} ({_RATINGS[rating]})", "sequences", found, len(records))


def _biovid(dataset: Dataset) -> tuple[Coverage, ...]:
    marked = sum(isinstance(record, VideoFileRecord) and bool(record.landmark_file) for record in dataset.records)
    return (Coverage("landmarks (OpenFace)", "videos", marked, len(dataset)),)


def _vggface2(dataset: Dataset) -> tuple[Coverage, ...]:
    boxed = sum(isinstance(record, IdentityRecord) and bool(record.box_spans) for record in dataset.records)
    return (Coverage("boxes of faces", "identities", boxed, len(dataset)),)
