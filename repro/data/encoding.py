"""What a network takes: a clip as one image, as some of its frames, or as a volume of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.data import faces
from repro.data.clips import Clip
from repro.data.dynamic_image import SHORTEST, dynamic_image
from repro.data.flow import LIMIT, MIN_SIZE, FlowMethod, draw_flow, flow
from repro.data.material import Extra, Material
from repro.data.schema import Exclusion, VideoRecord
from repro.ssd import distill

__all__ = [
    "ALL_KINDS",
    "KINDS",
    "Encoded",
    "InputKind",
    "InputSpec",
    "decodable",
    "draw_motion",
    "encode",
    "encode_clip",
    "middle_frames",
    "prepare_face",
]

InputKind = Literal["RGB", "OF", "SSD(RGB)", "SSD(OF)", "DI(RGB)", "Video"]

ALL_KINDS: tuple[InputKind, ...] = get_args(InputKind)
"""Everything that a clip can be shown as."""

KINDS: tuple[InputKind, ...] = ALL_KINDS[:4]
"""Inputs of the paper's Table 2, which pretext tasks know how to cut clips for."""

_VERSION = 2
"""Raised when the same specification would give other images."""

_USUAL = Material()

_BLOCK = 32
"""Pairs of frames whose flow is held at a time, as floats, before it is drawn."""

_OF_FLOW = ("flow", "flow_limit")
_OF_ALL = ("kind", "size", "alignment")


@dataclass(frozen=True)
class InputSpec:
    """How a clip becomes an image.

    Parameters
    ----------
    kind : {"RGB", "OF", "SSD(RGB)", "SSD(OF)", "DI(RGB)", "Video"}
        Frames of the clip; the optical flow that leads to them, drawn as images (decision D9); the distillation
        (Section 2.1) of the clip's frames; that of its drawn flow; the dynamic image (`repro.data.dynamic_image`) of
        all its frames; frames that a 3D network takes together.
    size : int
        Height and width of the face image in pixels.
    alignment : {"auto", "align", "crop", "fixed", "none"}
        What is done about the face before anything else; see `repro.data.faces`.
    segment_length, window, depth, noise_variance, center, domain, normalize
        As in :func:`repro.ssd.distill`; they matter for SSD only.
    frames : int
        Images of a clip that is shown as "RGB" or "OF": the middle frames of so many equal parts.
    flow : {"tvl1", "dis"}
        As in :func:`repro.data.flow.flow`; matters for optical flow only, as does the next.
    flow_limit : float
        As in :func:`repro.data.flow.draw_flow`: the share of the side a frame at which drawn flow saturates.
    volume : int
        Frames of a clip that is shown as "Video": the middle frames of so many equal parts.
    """

    kind: InputKind = "SSD(RGB)"
    size: int = 224
    alignment: faces.Mode = "auto"
    segment_length: int = 20
    window: int = 5
    depth: int = 1
    noise_variance: float = 0.4
    center: bool = True
    domain: Literal["rms", "log", "product"] = "rms"
    normalize: Literal["joint", "channel"] = "joint"
    frames: int = 1
    flow: FlowMethod = "tvl1"
    flow_limit: float = LIMIT
    volume: int = 16

    def __post_init__(self) -> None:
        """Check what is checked nowhere else before a video was decoded."""
        for name, value, known in (
            ("input kind", self.kind, ALL_KINDS),
            ("alignment", self.alignment, get_args(faces.Mode)),
            ("flow method", self.flow, get_args(FlowMethod)),
        ):
            if value not in known:
                raise ValueError(f"{name} {value!r} is not one of {', '.join(map(repr, known))}")
        if self.frames < 1:
            raise ValueError(f"frames {self.frames} must be at least 1: a clip is shown by one image or more")
        if self.volume < 2:
            raise ValueError(f"volume {self.volume} must be at least 2: a video of one frame is an image")
        if not 0 < self.flow_limit < np.inf:
            raise ValueError(f"flow_limit must be positive, a share of the image's side, got {self.flow_limit}")
        if self.size < (MIN_SIZE if self.is_flow else 1):
            raise ValueError(f"size {self.size} is too small for {self.kind}; optical flow needs {MIN_SIZE} pixels")

    @property
    def is_flow(self) -> bool:
        """Whether the images show optical flow."""
        return self.kind in ("OF", "SSD(OF)")

    @property
    def is_distilled(self) -> bool:
        """Whether the images are distilled."""
        return self.kind in ("SSD(RGB)", "SSD(OF)")

    @property
    def is_dynamic(self) -> bool:
        """Whether the images are dynamic images."""
        return self.kind == "DI(RGB)"

    @property
    def is_volume(self) -> bool:
        """Whether a network takes all images of a clip together."""
        return self.kind == "Video"

    @property
    def shortest_clip(self) -> int:
        """Frames that a clip must have."""
        if self.is_distilled:
            return 2 * self.segment_length
        return SHORTEST if self.is_dynamic else max(2 if self.is_flow else 1, self.images_per_clip)

    @property
    def images_per_clip(self) -> int:
        """Images that show a clip: one if all its frames are pooled."""
        if self.is_volume:
            return self.volume
        return 1 if self.is_distilled or self.is_dynamic else self.frames

    def describe(self) -> dict[str, object]:
        """Return what changes the image: parameters of flow and distillation count only where they are used.

        Images of a clip, where there are several, are always called ``frames``: what is stored is read by that.
        """
        values = {**asdict(self), "frames": self.images_per_clip}
        return {"version": _VERSION, **{name: value for name, value in values.items() if self._uses(name)}}

    def _uses(self, name: str) -> bool:
        if name in _OF_ALL:
            return True
        if name == "frames":
            return self.images_per_clip > 1
        if name in _OF_FLOW:
            return self.is_flow
        return self.is_distilled and name != "volume"


class Encoded(NamedTuple):
    """Clips of one video as images.

    Attributes
    ----------
    images : Tensor, (n, 3, size, size) or, with V images of each clip, (n, V, 3, size, size) uint8
    clips : list of Clip
        The clips that the images show.
    excluded : list of Exclusion
        The video, if its face cannot be found as asked for; clips beyond the frames that could be decoded.
    face : str or None
        How the face was found, one of `repro.data.faces.METHODS`; None if it was not.
    extra : Extra
        What a pretext task's material has beside the images.
    """

    images: Tensor
    clips: list[Clip]
    excluded: list[Exclusion]
    face: str | None
    extra: Extra


def encode(record: VideoRecord, clips: Sequence[Clip], spec: InputSpec, material: Material = _USUAL) -> Encoded:
    """Encode clips of one video; each image depends on its own clip and the frame before it only.

    Optical flow is that of the faces, after they were aligned or cropped. The flow of a frame is the one that
    leads to it from the frame before, which may lie before the clip, so that T frames have T fields; a video's
    first frame repeats the field of its second (decision D9). It is computed once for clips that overlap.

    Parameters
    ----------
    record : VideoRecord
    clips : sequence of Clip, all of this video
    spec : InputSpec
    material : Material, optional
        What a pretext task wants beside the images.

    Returns
    -------
    Encoded

    Raises
    ------
    ValueError
        If a clip is shorter than `spec.shortest_clip`, or as `VideoRecord.frames` does.
    """
    try:
        prepared = prepare_face(record, spec)
    except faces.FaceError as error:
        return Encoded(_stack([], spec), [], [Exclusion("video", record.video, str(error))], None, Extra())
    shown = prepared.frames
    kept, excluded = decodable(clips, len(shown))
    if spec.is_flow and kept:
        shown = draw_motion(shown, _frames_of(kept, len(shown), spec), method=spec.flow, limit=spec.flow_limit)
    images = [encode_clip(shown[clip.start : clip.stop], spec) for clip in kept]
    extra = material.extra(prepared.frames, kept, spec) if kept else Extra()
    return Encoded(_stack(images, spec), kept, excluded, prepared.method, extra)


def prepare_face(record: VideoRecord, spec: InputSpec) -> faces.Prepared:
    """Decode a video and bring its face to the size and place that a specification asks for.

    Raises
    ------
    repro.data.faces.FaceError
        If faces shall be aligned and there are no landmarks to do it by.
    ValueError
        As `VideoRecord.frames` does.
    """
    frames = record.frames()
    landmarks = None if spec.alignment == "none" else record.landmarks()
    known = None if landmarks is None else landmarks[: len(frames)]
    return faces.prepare(frames, known, size=spec.size, mode=spec.alignment)


def decodable(clips: Sequence[Clip], n_frames: int) -> tuple[list[Clip], list[Exclusion]]:
    """Return the clips that lie within the frames that could be decoded, and why the others are left out."""
    kept = [clip for clip in clips if clip.stop <= n_frames]
    excluded = [
        Exclusion("clip", clip.id, f"needs frames up to {clip.stop}, but only {n_frames} could be decoded")
        for clip in clips
        if clip.stop > n_frames
    ]
    return kept, excluded


def draw_motion(frames: Tensor, wanted: NDArray[np.bool_], *, method: FlowMethod, limit: float) -> Tensor:
    """Draw the flow that leads to each frame of a video from the one before.

    Parameters
    ----------
    frames : Tensor, (T, 3, H, W) uint8
    wanted : ndarray, (T,) bool
        The frames whose flow is needed; others stay black.
    method, limit
        As in `repro.data.flow.flow` and `repro.data.flow.draw_flow`.

    Returns
    -------
    Tensor, (T, 3, H, W) uint8
        The first frame, which has none before it, shows the flow to the second.
    """
    drawn = torch.zeros_like(frames)
    later = np.unique(np.maximum(np.flatnonzero(wanted), 1))
    for run in np.split(later, np.flatnonzero(np.diff(later) > 1) + 1):
        for first in range(0, len(run), _BLOCK):
            start, stop = int(run[first]), int(run[first : first + _BLOCK][-1]) + 1
            drawn[start:stop] = draw_flow(flow(frames[start - 1 : stop], method=method), limit=limit)
    if wanted[0]:
        drawn[0] = drawn[1]
    return drawn


def _frames_of(clips: Sequence[Clip], n_frames: int, spec: InputSpec) -> NDArray[np.bool_]:
    """Tell which frames of a video its clips need."""
    needed = np.zeros(n_frames, dtype=bool)
    for clip in clips:
        if spec.is_distilled:
            needed[clip.start : clip.stop] = True
        else:
            needed[clip.start + middle_frames(len(clip), spec.images_per_clip)] = True
    return needed


def middle_frames(length: int, frames: int) -> NDArray[np.int64]:
    """Return the middle frames of so many equal parts of a clip."""
    return (2 * np.arange(frames) + 1) * length // (2 * frames)


def encode_clip(frames: Tensor, spec: InputSpec) -> Tensor:
    """Make the image or images of a clip.

    Parameters
    ----------
    frames : Tensor, (T, 3, size, size) uint8
        Of the clip: faces, or their drawn flow.
    spec : InputSpec

    Returns
    -------
    Tensor, (3, size, size) or, with V images of a clip, (V, 3, size, size) uint8
    """
    if spec.is_dynamic:
        return dynamic_image(frames)
    if not spec.is_distilled:
        shown = frames[torch.from_numpy(middle_frames(len(frames), spec.images_per_clip))]
        return shown if spec.images_per_clip > 1 else shown[0]
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


def _stack(images: Sequence[Tensor], spec: InputSpec) -> Tensor:
    if images:
        return torch.stack(list(images))
    several = (spec.images_per_clip,) if spec.images_per_clip > 1 else ()
    return torch.empty((0, *several, 3, spec.size, spec.size), dtype=torch.uint8)
