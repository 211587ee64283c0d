"""Kinds of work that a plan is counted in, and that rates are measured of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from repro.data.clips import Clip
from repro.data.encoding import InputSpec
from repro.data.features import Extractor
from repro.data.material import Material
from repro.data.schema import VideoRecord
from repro.learning.finetune import FineTuning
from repro.learning.pretext import BackboneSpec, PretextTask
from repro.learning.schedule import Schedule

__all__ = [
    "Encoding",
    "Example",
    "Features",
    "FineTune",
    "Fit",
    "Infer",
    "Measure",
    "Pretrain",
    "Read",
    "Work",
]


@dataclass(frozen=True, eq=False)
class Example:
    """One video of those that are encoded, with its clips: what a rate is measured on.

    Parameters
    ----------
    dataset : str
    record : VideoRecord
        An `repro.suite.expected_data.ExpectedRecord` where the data is not there.
    clips : sequence of (Clip, str)
        Each with the name of its source.
    spec, material
        How they become images.
    """

    dataset: str
    record: VideoRecord
    clips: Sequence[tuple[Clip, str]]
    spec: InputSpec
    material: Material


@dataclass(frozen=True)
class Work:
    """Work of one kind, counted in units of its own; equal if its key is.

    Parameters
    ----------
    key : str
        Hash of all that its rate depends on, but for the device.
    label : str
        What readers see.
    """

    key: str
    label: str = field(compare=False)

    kind = "work"
    unit = "units"
    on_device = False
    """Whether a GPU does it; all else is done by the CPU."""


@dataclass(frozen=True)
class Pretrain(Work):
    """Updates of a pretext task, by the images that they are fed, on average over the schedule's epochs."""

    example: Example = field(compare=False, repr=False)
    task: PretextTask = field(compare=False, repr=False)
    backbone: BackboneSpec = field(compare=False, repr=False)
    schedule: Schedule = field(compare=False, repr=False)
    stored: bool = field(compare=False, repr=False)
    """Whether the images stay on disk, as there are too many to hold, and are decoded as they are drawn."""

    kind = "pretext"
    unit = "images"
    on_device = True


@dataclass(frozen=True)
class FineTune(Work):
    """Updates of a classifier, by images, or by volumes where the network is 3D."""

    settings: FineTuning = field(compare=False, repr=False)
    spec: InputSpec = field(compare=False, repr=False)

    kind = "fine-tuning"
    unit = "images"
    on_device = True


@dataclass(frozen=True)
class Infer(Work):
    """Images or volumes that a network is only shown."""

    backbone: BackboneSpec = field(compare=False, repr=False)
    spec: InputSpec = field(compare=False, repr=False)

    kind = "inference"
    unit = "images"
    on_device = True


@dataclass(frozen=True)
class Read(Work):
    """Stored images that are decoded before a network can see them; a GPU waits meanwhile."""

    example: Example = field(compare=False, repr=False)

    kind = "reading"
    unit = "images"
    on_device = True


@dataclass(frozen=True)
class Encoding(Work):
    """Frames of clips that become images: decoding, alignment, flow, distillation, writing.

    Frames that clips share count for each of them; all videos of a dataset are cut alike.
    """

    example: Example = field(compare=False, repr=False)

    kind = "encoding"
    unit = "frames"


@dataclass(frozen=True)
class Features(Work):
    """Frames of clips that features are computed of: decoding, alignment, distillation, and the extractors'."""

    example: Example = field(compare=False, repr=False)
    extractors: Sequence[Extractor] = field(compare=False, repr=False)

    kind = "features"
    unit = "frames"


@dataclass(frozen=True)
class Fit(Work):
    """Fits of a supervised system, or of a reference."""

    kind = "fits"
    unit = "fits"


@dataclass(frozen=True)
class Measure(Work):
    """Measurements that are no predictions, each of which times or compares what it is about."""

    kind = "measurements"
    unit = "measurements"
