"""What a pretext task looks at: which clips of the unlabelled videos, and what stands beside their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from repro.data.clips import Clip, Source, cut_sources
from repro.data.schema import Dataset

if TYPE_CHECKING:
    from repro.data.encoding import InputSpec

__all__ = ["Extra", "Material"]


@dataclass(frozen=True, eq=False)
class Extra:
    """What stands beside the images of n clips of one video.

    Parameters
    ----------
    views : mapping of str to Tensor, (n, 3, H, W) uint8
        Further images of each clip.
    numbers : mapping of str to ndarray, (n, ...) float16 or float32
        Anything else, such as labels that were computed from the video.
    """

    views: Mapping[str, Tensor] = field(default_factory=dict)
    numbers: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """The images of the clips of each source (decision D13), and nothing else.

    A pretext task that needs other clips, further images of each, or labels that are computed from the video declares a
    subclass: a frozen dataclass whose fields, with `name` and `version`, tell all that changes what is encoded. It is
    encoded once, a subject at a time, and shared by every task that asks for the same.
    """

    name: ClassVar[str] = "clips"
    version: ClassVar[int] = 1

    def input(self, spec: InputSpec) -> InputSpec:
        """Return how clips become images: as `spec` says, with one image a clip."""
        return replace(spec, frames=1)

    def cut(
        self, dataset: Dataset, spec: InputSpec, *, clip_length: int, stride: int, clips_per_source: int
    ) -> list[Source]:
        """Cut unlabelled clips; the clips of a source stand in the order of time.

        Parameters
        ----------
        dataset : Dataset
        spec : InputSpec
            As returned by `input`.
        clip_length, stride, clips_per_source : int
            The scale's usual cut, see `repro.data.clips.cut_sources`.
        """
        return cut_sources(dataset, clip_length=clip_length, stride=stride, clips_per_source=clips_per_source)

    def extra(self, faces: Tensor, clips: Sequence[Clip], spec: InputSpec) -> Extra:
        """Compute what stands beside the images of clips of one video.

        Parameters
        ----------
        faces : Tensor, (T, 3, size, size) uint8
            All frames of the video, after alignment or cropping; must not be modified.
        clips : sequence of Clip
            Those that are kept; all end within the video.
        spec : InputSpec
            As returned by `input`.
        """
        return Extra()

    def describe(self) -> dict[str, Any]:
        """Return what changes the material beyond the usual cut and input; nothing for the usual clips."""
        if type(self) is Material:
            return {}
        return {"material": self.name, "version": self.version, **asdict(self)}
