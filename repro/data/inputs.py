"""What a network takes: a clip as one image, and the cache of such images.

An image is made once for each clip and specification and kept as a Hugging Face dataset (Arrow files of PNG
images), a folder for each subject, so that work can stop anywhere and any tool of that ecosystem can open the
result::

    datasets.load_from_disk("store/inputs/3f/3f…")[0]["image"]
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from repro.data import faces
from repro.data.clips import Clip
from repro.data.schema import Exclusion, VideoRecord
from repro.ssd import distill

__all__ = ["InputSet", "InputSpec", "encode", "read_shard", "write_shard"]


@dataclass(frozen=True)
class InputSpec:
    """How a clip becomes an image.

    Parameters
    ----------
    kind : {"RGB", "SSD(RGB)"}
        The clip's middle frame, or its distillation (Section 2.1).
    size : int
        Height and width of the face image in pixels.
    alignment : {"auto", "align", "crop", "none"}
        Faces are aligned by their landmarks, cropped by a detector, or frames only resized; ``"auto"`` aligns
        where the dataset has landmarks and crops elsewhere.
    segment_length, window, depth, noise_variance, center, domain, normalize
        As in :func:`repro.ssd.distill`; they do not matter for RGB.
    """

    kind: Literal["RGB", "SSD(RGB)"] = "SSD(RGB)"
    size: int = 224
    alignment: Literal["auto", "align", "crop", "none"] = "auto"
    segment_length: int = 20
    window: int = 5
    depth: int = 1
    noise_variance: float = 0.4
    center: bool = True
    domain: Literal["rms", "log", "product"] = "rms"
    normalize: Literal["joint", "channel"] = "joint"

    def __post_init__(self) -> None:
        """Check the kind."""
        if self.kind not in ("RGB", "SSD(RGB)"):
            raise ValueError(f"input kind {self.kind!r} is not one of 'RGB', 'SSD(RGB)'")

    @property
    def shortest_clip(self) -> int:
        """Frames that a clip must have."""
        return 2 * self.segment_length if self.kind.startswith("SSD") else 1

    def describe(self) -> dict[str, object]:
        """Return what changes the image: parameters of the distillation count for SSD only."""
        fields = asdict(self)
        return fields if self.kind.startswith("SSD") else {k: fields[k] for k in ("kind", "size", "alignment")}


@dataclass(frozen=True, eq=False)
class InputSet:
    """Images of clips, with the clips: ``images`` (N, 3, H, W) uint8."""

    images: Tensor
    clips: tuple[Clip, ...]
    sources: tuple[str, ...]

    @classmethod
    def concatenate(cls, sets: Sequence[InputSet]) -> InputSet:
        """Join sets of equal image size, in order."""
        return cls(
            torch.cat([s.images for s in sets]),
            tuple(clip for s in sets for clip in s.clips),
            tuple(source for s in sets for source in s.sources),
        )

    def select(self, index: np.ndarray) -> InputSet:
        """Return the clips of an index array, in its order."""
        return InputSet(
            self.images[torch.from_numpy(index)],
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


def encode(record: VideoRecord, clips: Sequence[Clip], spec: InputSpec) -> tuple[Tensor, list[Clip], list[Exclusion]]:
    """Encode clips of one video.

    Parameters
    ----------
    record : VideoRecord
    clips : sequence of Clip, all of this video
    spec : InputSpec

    Returns
    -------
    images : Tensor, shape (n, 3, size, size), uint8
    kept : list of Clip
        The clips that the images show.
    excluded : list of Exclusion
        Clips that could not be encoded, because the video holds fewer frames than it declares or shows no
        face.
    """
    frames = record.frames()
    try:
        mode = spec.alignment
        landmarks = record.landmarks() if mode in ("auto", "align") else None
        if mode == "auto":
            mode = "crop" if landmarks is None else "align"
        frames = faces.prepare(
            frames, None if landmarks is None else landmarks[: len(frames)], size=spec.size, mode=mode
        )
    except faces.FaceError as error:
        return _empty(spec), [], [Exclusion("video", record.video, str(error))]
    kept = [clip for clip in clips if clip.stop <= len(frames)]
    excluded = [
        Exclusion("clip", clip.id, f"needs frames up to {clip.stop}, but only {len(frames)} could be decoded")
        for clip in clips
        if clip.stop > len(frames)
    ]
    images = [_encode_clip(frames[clip.start : clip.stop], spec) for clip in kept]
    return (torch.stack(images) if images else _empty(spec)), kept, excluded


def _encode_clip(frames: Tensor, spec: InputSpec) -> Tensor:
    if spec.kind == "RGB":
        return frames[len(frames) // 2]
    return distill(
        frames,
        segment_length=spec.segment_length,
        window=spec.window,
        depth=spec.depth,
        noise_variance=spec.noise_variance,
        center=spec.center,
        domain=spec.domain,
        normalize=spec.normalize,
    )


def _empty(spec: InputSpec) -> Tensor:
    return torch.empty((0, 3, spec.size, spec.size), dtype=torch.uint8)


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
    ledger: list[Exclusion] = []
    for number, (record, items) in enumerate(work):
        source_of = {clip.id: source for clip, source in items}
        images, kept, excluded = encode(record, [clip for clip, _ in items], spec)
        ledger += excluded
        for image, clip in zip(images, kept, strict=True):
            rows.append({"image": _png(image), "id": clip.id, **asdict(clip), "source": source_of[clip.id]})
        if report is not None:
            report((number + 1) / len(work), record.video)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _save(temporary / "shard", rows, ledger, spec)
        (temporary / "shard").rename(folder)
    except OSError:
        if not folder.exists():  # otherwise another process was faster, with the same content
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _png(image: Tensor) -> dict[str, object]:
    bgr = image.numpy().transpose(1, 2, 0)[..., ::-1]
    return {"bytes": cv2.imencode(".png", bgr)[1].tobytes(), "path": None}


def _save(folder: Path, rows: list[dict[str, object]], ledger: list[Exclusion], spec: InputSpec) -> None:
    import datasets

    features = datasets.Features(
        {
            "image": datasets.Image(),
            **{name: datasets.Value("string") for name in ("id", "subject", "video", "source")},
            **{name: datasets.Value("int64") for name in ("start", "stop", "level")},
        }
    )
    columns = {name: [row[name] for row in rows] for name in features}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(folder))
    notes = {"input": spec.describe(), "excluded": [asdict(e) for e in ledger]}
    (folder / "notes.json").write_text(json.dumps(notes, indent=1))


def read_shard(folder: Path) -> tuple[InputSet, list[Exclusion]]:
    """Read what :func:`write_shard` saved: the images, and what was left out.

    Raises
    ------
    ValueError
        If the folder does not hold a readable dataset.
    """
    import datasets

    try:
        notes = json.loads((folder / "notes.json").read_text())
        table = datasets.load_from_disk(str(folder)).cast_column("image", datasets.Image(decode=False))
        columns = table.to_dict()
        pictures = [cv2.imdecode(np.frombuffer(i["bytes"], np.uint8), cv2.IMREAD_COLOR) for i in columns["image"]]
        size = int(notes["input"]["size"])
        images = np.empty((len(pictures), size, size, 3), np.uint8)
        for row, picture in enumerate(pictures):
            if picture is None:
                raise ValueError(f"image {row} does not decode")
            images[row] = picture[..., ::-1]
    except Exception as error:  # whatever Arrow, JSON or OpenCV raise on a damaged file
        raise ValueError(
            f"{folder} is not a readable input cache ({error}); remove the folder and run again"
        ) from error
    clips = tuple(
        Clip(subject=subject, video=video, start=start, stop=stop, level=level)
        for subject, video, start, stop, level in zip(
            *(columns[name] for name in ("subject", "video", "start", "stop", "level")), strict=True
        )
    )
    tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    return InputSet(tensor, clips, tuple(columns["source"])), [Exclusion(**row) for row in notes["excluded"]]
