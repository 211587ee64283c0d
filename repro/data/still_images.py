"""What a network takes of a still: the face as an image, for pretext tasks that learn from stills (decision D14).

Faces are brought to one size as a square around the dataset's box, as wide as its longer side: a box, which is higher
than wide, would have to be stretched, and stretched differently in each still. That frames a face much as the videos'
faces are framed, from the brows to the chin. Nothing is aligned, as nothing moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from repro.data.clips import Clip
from repro.data.encoding import Encoded, InputSpec
from repro.data.faces import Box, crop
from repro.data.material import Extra
from repro.data.schema import DataError, Exclusion
from repro.data.vggface2 import IdentityRecord

__all__ = ["BOXED", "VERSION", "WHOLE", "check_still_input", "encode_stills", "still_input"]

VERSION = 1
"""Raised when the same specification would give other images."""

BOXED = "square around the dataset's box"
WHOLE = "centre crop"
"""How a face was found: by the dataset's boxes, or not at all where there are none."""


def still_input(spec: InputSpec) -> InputSpec:
    """Return how stills are shown where clips are shown by `spec`: of all of it, only the size is for a still to share.

    A network that is pretrained on stills is thus the same whatever is made of the clips that it is transferred to.
    """
    return InputSpec("RGB", size=spec.size, alignment="none")


def check_still_input(spec: InputSpec) -> None:
    """Raise a ValueError unless stills can be shown by a specification."""
    wanted = still_input(spec)
    if spec.describe() != wanted.describe():
        raise ValueError(
            f"stills have no {spec.kind} images with alignment {spec.alignment!r}; ask for still_input(spec), which is "
            f"{wanted.kind} with {wanted.alignment!r}"
        )


def encode_stills(record: IdentityRecord, clips: Sequence[Clip], spec: InputSpec) -> Encoded:
    """Encode stills of one identity.

    Parameters
    ----------
    record : IdentityRecord
    clips : sequence of Clip
        One frame long; the frame is the number of the still among `IdentityRecord.names`.
    spec : InputSpec
        As `still_input` returns it. Pixels are averaged where a still is larger than that.

    Returns
    -------
    Encoded
        Of a dataset that was opened with ``strict=False``, damaged stills are told among `excluded`.

    Raises
    ------
    ValueError
        If `spec` is none for stills or a clip is longer than a still; a `DataError` that names the file, if a still or
        the identity's boxes are damaged.
    """
    check_still_input(spec)
    if longer := [clip.id for clip in clips if len(clip) != 1]:
        raise ValueError(f"{longer[0]} is no still: a clip of stills is one frame long")
    images: list[Tensor] = []
    kept: list[Clip] = []
    excluded: list[Exclusion] = []
    names = record.names()
    try:
        boxes = record.boxes()
    except DataError as error:
        return Encoded(_stack([], spec), [], [_left_out(record, "identity", record.video, error)], None, Extra())
    for clip in clips:
        name = names[clip.start] if clip.start < len(names) else None
        try:
            if name is None:
                raise DataError(
                    f"{record.folder}: still {clip.stop} is gone, {len(names)} are left; copy the folder again"
                )
            square = record.square(name, record.box_of(name, boxes))
        except DataError as error:
            excluded.append(_left_out(record, "still", f"{record.video}/{name}" if name else clip.id, error))
            continue
        images.append(crop(square[None], Box(0, 0, square.shape[-1]), spec.size)[0])
        kept.append(clip)
    return Encoded(_stack(images, spec), kept, excluded, BOXED if record.box_file else WHOLE, Extra())


def _left_out(record: IdentityRecord, what: str, file: str, error: DataError) -> Exclusion:
    if record.strict:
        raise error
    return Exclusion(what, file, str(error))


def _stack(images: Sequence[Tensor], spec: InputSpec) -> Tensor:
    if images:
        return torch.stack(list(images))
    return torch.empty((0, 3, spec.size, spec.size), dtype=torch.uint8)
