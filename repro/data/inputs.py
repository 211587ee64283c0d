"""The cache of encoded clips: Hugging Face datasets, one folder for each subject and specification.

An image is made once for each clip and specification and kept in Arrow files of PNG images, a folder for each
subject, so that work can stop anywhere. `open_inputs` joins the folders to one memory-mapped dataset, which any tool
of that ecosystem can use; `read_inputs` gives the learning code what it needs of them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from repro.data.clips import Clip
from repro.data.encoding import InputSpec, encode
from repro.data.schema import Exclusion, VideoRecord
from repro.data.stored_images import StoredImages, damaged, encode_png

__all__ = [
    "InputSet",
    "InputSpec",
    "Notes",
    "encode",
    "open_inputs",
    "read_inputs",
    "read_notes",
    "write_shard",
]

_TEXT = ("id", "subject", "video", "source", "face")
_NUMBERS = ("start", "stop", "level")


class Notes(NamedTuple):
    """What stands beside a shard's images.

    Attributes
    ----------
    input : dict
        The specification, as `InputSpec.describe` gives it.
    excluded : list of Exclusion
        Videos and clips that have no image.
    faces : dict
        Video -> how its face was found, one of `repro.data.faces.METHODS`.
    """

    input: dict[str, Any]
    excluded: list[Exclusion]
    faces: dict[str, str]


@dataclass(frozen=True, eq=False)
class InputSet:
    """Images of clips, with the clips.

    Parameters
    ----------
    images : StoredImages, (N, 3, H, W) uint8
        Decoded when they are indexed; ``images[:]`` decodes all.
    clips : tuple of Clip
    sources : tuple of str
        Name of the stretch of video that a pretext clip was cut from (decision D13), else empty.
    """

    images: StoredImages
    clips: tuple[Clip, ...]
    sources: tuple[str, ...]

    def select(self, index: np.ndarray) -> InputSet:
        """Return the clips of an index array, in its order, without decoding them."""
        return InputSet(
            self.images.subset(index),
            tuple(self.clips[i] for i in index),
            tuple(self.sources[i] for i in index),
        )

    @property
    def subjects(self) -> np.ndarray:
        """Subject of each clip."""
        return np.array([clip.subject for clip in self.clips])

    @property
    def videos(self) -> np.ndarray:
        """Video of each clip."""
        return np.array([clip.video for clip in self.clips])

    @property
    def levels(self) -> np.ndarray:
        """Level of each clip."""
        return np.array([clip.level for clip in self.clips], dtype=np.int64)

    @property
    def ids(self) -> np.ndarray:
        """Identifier of each clip."""
        return np.array([clip.id for clip in self.clips])


def write_shard(
    folder: Path,
    work: Sequence[tuple[VideoRecord, Sequence[tuple[Clip, str]]]],
    spec: InputSpec,
    report: Callable[[float, str], None] | None = None,
) -> None:
    """Encode clips (each with the name of its source) and save them as one dataset, whole or not at all.

    Parameters
    ----------
    folder : path
        Where the dataset shall stand. If it is there already, nothing is done.
    work : sequence of (record, [(clip, source), ...])
    spec : InputSpec
    report : callable, optional
        Receives progress.
    """
    if folder.exists():
        return
    rows: list[dict[str, object]] = []
    notes = Notes(spec.describe(), [], {})
    for number, (record, items) in enumerate(work):
        source_of = {clip.id: source for clip, source in items}
        encoded = encode(record, [clip for clip, _ in items], spec)
        notes.excluded.extend(encoded.excluded)
        if encoded.face is not None:
            notes.faces[record.video] = encoded.face
        for image, clip in zip(encoded.images, encoded.clips, strict=True):
            picture = {"bytes": encode_png(image), "path": None}
            described = {"id": clip.id, **asdict(clip), "source": source_of[clip.id], "face": encoded.face}
            rows.append({"image": picture, **described})
        if report is not None:
            report((number + 1) / len(work), record.video)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _save(temporary / "shard", rows, notes)
        (temporary / "shard").rename(folder)
    except OSError:
        if not folder.exists():  # otherwise another process was faster, with the same content
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _save(folder: Path, rows: list[dict[str, object]], notes: Notes) -> None:
    import datasets

    features = datasets.Features(
        {
            "image": datasets.Image(),
            **{name: datasets.Value("string") for name in _TEXT},
            **{name: datasets.Value("int64") for name in _NUMBERS},
        }
    )
    columns = {name: [row[name] for row in rows] for name in features}
    datasets.disable_progress_bars()
    table = datasets.Dataset.from_dict(columns, features=features)
    # The library's own fingerprint of new data is random, and the files would differ from run to run.
    table = _fingerprinted(table, [str(notes.input), *(str(row["id"]) for row in rows)])
    table.save_to_disk(str(folder), num_shards=1)  # else an empty dataset has no file and cannot be loaded
    content = {"input": notes.input, "excluded": [asdict(e) for e in notes.excluded], "faces": notes.faces}
    (folder / "notes.json").write_text(json.dumps(content, indent=1))


def _fingerprinted(table: Any, names: Sequence[str], description: str = "") -> Any:
    """Give a dataset a description, and a fingerprint that is a hash of names."""
    import datasets

    digest = hashlib.sha256(json.dumps([description, *names]).encode()).hexdigest()
    info = datasets.DatasetInfo(description=description, features=table.features)
    return datasets.Dataset(table.data, info=info, fingerprint=digest[:40])


def open_inputs(folders: Sequence[Path], *, description: str = "") -> Any:
    """Open shards as one Hugging Face dataset, memory-mapped.

    Parameters
    ----------
    folders : sequence of path
        Of one specification, each named by its key as the store does.
    description : str
        Goes into the dataset's ``info``.

    Returns
    -------
    datasets.Dataset
        With columns ``image`` (decoded on access), ``id``, ``subject``, ``video``, ``source``, ``face``, ``start``,
        ``stop`` and ``level``. Its fingerprint is a hash of the folders' names in their order and of the
        description, the same in every process, so that what the library caches of it can be found again.

    Raises
    ------
    ValueError
        If a folder does not hold a readable shard; the message names it and the remedy.
    """
    import datasets

    joined = datasets.concatenate_datasets([_open(folder) for folder in folders])
    return _fingerprinted(joined, [folder.name for folder in folders], description)


def read_inputs(folders: Sequence[Path]) -> InputSet:
    """Read the clips of shards; their images stay on disk until they are used.

    Raises
    ------
    ValueError
        If a folder does not hold a readable shard; the message names it and the remedy.
    """
    clips: list[Clip] = []
    sources: list[str] = []
    images: list[StoredImages] = []
    for folder in folders:
        table, size = _open(folder), int(read_notes(folder).input["size"])
        columns = {name: table.data.column(name).to_pylist() for name in (*_TEXT, *_NUMBERS)}
        names = ("subject", "video", "start", "stop", "level")
        clips += [Clip(*values) for values in zip(*(columns[name] for name in names), strict=True)]
        sources += columns["source"]
        images.append(StoredImages([(folder, table.data.column("image"))], size))
    return InputSet(StoredImages.concatenate(images), tuple(clips), tuple(sources))


def read_notes(folder: Path) -> Notes:
    """Read what stands beside a shard's images.

    Raises
    ------
    ValueError
        If it cannot be read; the message names the folder and the remedy.
    """
    try:
        content = json.loads((folder / "notes.json").read_text())
        excluded = [Exclusion(**row) for row in content["excluded"]]
        return Notes(dict(content["input"]), excluded, dict(content["faces"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, error) from error


def _open(folder: Path) -> Any:
    import datasets

    try:
        table = datasets.load_from_disk(str(folder), keep_in_memory=False)
        missing = {"image", *_TEXT, *_NUMBERS}.difference(table.column_names)
        if missing:
            raise ValueError(f"it has no column {', '.join(sorted(missing))}")
    except Exception as error:  # whatever Arrow or JSON raise on a damaged file
        raise damaged(folder, error) from error
    return table
