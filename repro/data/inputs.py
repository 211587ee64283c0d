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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from repro.data.clips import Clip
from repro.data.encoding import InputSpec, encode
from repro.data.material import Material
from repro.data.schema import Exclusion, VideoRecord
from repro.data.still_images import encode_stills
from repro.data.stored_images import StoredImages, damaged, encode_png
from repro.data.vggface2 import IdentityRecord
from repro.files import cannot_write

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
_VIEW = "view "
"""Before the names of columns that hold further images of each clip."""

_EXTRA = "extra.safetensors"
"""File of the numbers beside the images, where there are any."""

_USUAL = Material()


class Notes(NamedTuple):
    """What stands beside a shard's images.

    Attributes
    ----------
    input : dict
        The specification, as `InputSpec.describe` gives it.
    excluded : list of Exclusion
        Videos and clips that have no image.
    faces : dict
        Video -> how its face was found, one of `repro.data.faces.METHODS`; of an identity's stills, what
        `repro.data.still_images.encode_stills` tells.
    """

    input: dict[str, Any]
    excluded: list[Exclusion]
    faces: dict[str, str]


@dataclass(frozen=True, eq=False)
class InputSet:
    """Images of clips, with the clips.

    Parameters
    ----------
    images : StoredImages, (N, 3, H, W) or, with V images of each clip, (N, V, 3, H, W) uint8
        Decoded when they are indexed; ``images[:]`` decodes all.
    clips : tuple of Clip
    sources : tuple of str
        Name of the stretch of video that a pretext clip was cut from (decision D13), else empty.
    views : mapping of str to StoredImages, (N, 3, H, W) uint8
        Further images of each clip, see `repro.data.material.Extra`.
    numbers : mapping of str to ndarray, (N, ...)
        Other properties of each clip.
    """

    images: StoredImages
    clips: tuple[Clip, ...]
    sources: tuple[str, ...]
    views: Mapping[str, StoredImages] = field(default_factory=dict)
    numbers: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)

    def select(self, index: np.ndarray) -> InputSet:
        """Return the clips of an index array, in its order, without decoding them."""
        return InputSet(
            self.images.subset(index),
            tuple(self.clips[i] for i in index),
            tuple(self.sources[i] for i in index),
            {name: images.subset(index) for name, images in self.views.items()},
            {name: values[index] for name, values in self.numbers.items()},
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
    material: Material = _USUAL,
    report: Callable[[float, str], None] | None = None,
) -> None:
    """Encode clips (each with the name of its source) and save them as one dataset, whole or not at all.

    Parameters
    ----------
    folder : path
        Where the dataset shall stand. If it is there already, nothing is done.
    work : sequence of (record, [(clip, source), ...])
        An identity's clips are stills of it.
    spec : InputSpec
    material : Material, optional
        What a pretext task wants beside the images.
    report : callable, optional
        Receives progress.
    """
    if folder.exists():
        return
    rows: list[dict[str, object]] = []
    numbers: dict[str, list[NDArray[np.floating[Any]]]] = {}
    notes = Notes(spec.describe(), [], {})
    for number, (record, items) in enumerate(work):
        source_of = {clip.id: source for clip, source in items}
        clips = [clip for clip, _ in items]
        if isinstance(record, IdentityRecord):
            encoded = encode_stills(record, clips, spec)
        else:
            encoded = encode(record, clips, spec, material)
        notes.excluded.extend(encoded.excluded)
        if encoded.face is not None:
            notes.faces[record.video] = encoded.face
        for i, (images, clip) in enumerate(zip(encoded.images, encoded.clips, strict=True)):
            described = {"id": clip.id, **asdict(clip), "source": source_of[clip.id], "face": encoded.face}
            described |= {_VIEW + name: _picture(view[i]) for name, view in encoded.extra.views.items()}
            rows += [{"image": _picture(image), **described} for image in images.view(-1, *images.shape[-3:])]
        for name, values in encoded.extra.numbers.items():
            numbers.setdefault(name, []).append(values)
        if report is not None:
            report((number + 1) / len(work), record.video)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _save(temporary / "shard", rows, notes, {name: np.concatenate(parts) for name, parts in numbers.items()})
        (temporary / "shard").rename(folder)
    except OSError as error:
        if not folder.exists():  # otherwise another process was faster, with the same content
            raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _picture(image: Tensor) -> dict[str, object]:
    return {"bytes": encode_png(image), "path": None}


def _save(
    folder: Path, rows: list[dict[str, object]], notes: Notes, numbers: Mapping[str, NDArray[np.floating[Any]]]
) -> None:
    import datasets
    from safetensors.numpy import save_file

    views = [name for name in (rows[0] if rows else ()) if name.startswith(_VIEW)]
    features = datasets.Features(
        {
            **{name: datasets.Image() for name in ("image", *views)},
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
    if numbers:
        save_file({name: np.ascontiguousarray(values) for name, values in numbers.items()}, folder / _EXTRA)
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
    parts = [_read(folder) for folder in folders]
    return InputSet(
        StoredImages.concatenate([part.images for part in parts]),
        tuple(clip for part in parts for clip in part.clips),
        tuple(source for part in parts for source in part.sources),
        {name: StoredImages.concatenate([part.views[name] for part in parts]) for name in _common(parts, "views")},
        {name: np.concatenate([part.numbers[name] for part in parts]) for name in _common(parts, "numbers")},
    )


def _common(parts: Sequence[InputSet], what: str) -> list[str]:
    """Names of what the shards have beside their images; shards without any clip do not count.

    Raises
    ------
    ValueError
        If shards differ in that.
    """
    names = {tuple(sorted(getattr(part, what))) for part in parts if part.clips}
    if len(names) > 1:
        raise ValueError(f"shards of different materials cannot be joined: their {what} are {sorted(names)}")
    return list(next(iter(names), ()))


def _read(folder: Path) -> InputSet:
    from safetensors.numpy import load_file

    table, described = _open(folder), read_notes(folder).input
    size, count = int(described["size"]), int(described.get("frames", 1))
    columns = {name: table.data.column(name).to_pylist()[::count] for name in (*_TEXT, *_NUMBERS)}
    names = ("subject", "video", "start", "stop", "level")
    clips = tuple(Clip(*values) for values in zip(*(columns[name] for name in names), strict=True))
    try:
        numbers = load_file(folder / _EXTRA) if (folder / _EXTRA).exists() else {}
    except Exception as error:  # whatever the format's reader raises on a damaged file
        raise damaged(folder, error) from error
    if len(table) != count * len(clips) or any(len(values) != len(clips) for values in numbers.values()):
        raise damaged(folder, f"its {len(table)} images or {_EXTRA} are not those of {len(clips)} clips")
    views = [name for name in table.column_names if name.startswith(_VIEW)]
    return InputSet(
        StoredImages([(folder, table.data.column("image"))], size, per_item=count),
        clips,
        tuple(columns["source"]),
        {name.removeprefix(_VIEW): StoredImages([(folder, table.data.column(name))], size) for name in views},
        numbers,
    )


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
