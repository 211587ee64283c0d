"""The contract of a pretext task, and the one loop that trains them all.

A task says how to draw a batch from unlabelled images, what network and loss to put on the shared backbone, and how
to tell on held-out subjects whether the task was learned. Everything else is here: optimisation, logging, resuming.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from repro.data.material import Material
from repro.data.stored_images import StoredImages
from repro.learning.backbones import build
from repro.learning.checkpoints import Checkpoint, Standing
from repro.learning.schedule import Schedule
from repro.learning.seeds import seed_from

__all__ = [
    "Accuracy",
    "BackboneSpec",
    "NeedsMotion",
    "PretextPool",
    "PretextResult",
    "PretextTask",
    "Report",
    "isolated_randomness",
    "train_pretext",
]

Report = Callable[[float, str], None]
"""Called with the share done, 0..1, and a short message."""


@dataclass(frozen=True)
class BackboneSpec:
    """A backbone by name, with its width (1 is the paper's), its stem, and whether it takes images or clips.

    Parameters
    ----------
    name, width, stem, dims
        As `repro.learning.backbones.build` takes them.
    """

    name: str = "resnet50"
    width: float = 1.0
    stem: str = "imagenet"
    dims: int = 2

    def build(self, generator: torch.Generator) -> nn.Module:
        """Initialise the network from `generator`; its weights lie channels-last, which convolutions on a CPU like."""
        network: nn.Module = build(self.name, dims=self.dims, width=self.width, stem=self.stem, generator=generator)
        return network.to(memory_format=torch.channels_last if self.dims == 2 else torch.channels_last_3d)

    def describe(self) -> dict[str, Any]:
        """Return what changes the network; ``dims`` only if it is not 2, so that keys of 2D networks are as ever."""
        described = asdict(self)
        if self.dims == 2:
            del described["dims"]
        return described


@dataclass(frozen=True, eq=False)
class PretextPool:
    """Unlabelled images and where each came from.

    Parameters
    ----------
    images : Tensor or StoredImages, shape (N, 3, H, W) or, with V images of each clip, (N, V, 3, H, W), uint8
        Those that stay on disk are decoded batch by batch: index them, never iterate over all.
    sources, videos, subjects : ndarray of str, shape (N,)
        Identifiers of the stretch of video (decision D13), the video and the subject of each image, unique over
        all datasets in the pool. Images of one source stand in the order of time.
    views : mapping of str to Tensor or StoredImages, shape (N, 3, H, W), uint8
        Further images of each clip, as the task's material has them.
    numbers : mapping of str to ndarray, shape (N, ...)
        Other properties of each clip, as the task's material has them.
    """

    images: Tensor | StoredImages
    sources: np.ndarray
    videos: np.ndarray
    subjects: np.ndarray
    views: Mapping[str, Tensor | StoredImages] = field(default_factory=dict)
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that shapes agree."""
        columns = (self.images, self.sources, self.videos, self.subjects, *self.views.values(), *self.numbers.values())
        lengths = {len(column) for column in columns}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"a pretext pool needs equally many images and identifiers, at least one: {lengths}")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def select(self, chosen: np.ndarray) -> PretextPool:
        """Return the sub-pool of a boolean mask or an index array."""
        index = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return PretextPool(
            _chosen(self.images, index),
            self.sources[index],
            self.videos[index],
            self.subjects[index],
            {name: _chosen(images, index) for name, images in self.views.items()},
            {name: values[index] for name, values in self.numbers.items()},
        )

    def split(self, held_out: int, seed: int) -> tuple[PretextPool, PretextPool]:
        """Split off `held_out` subjects, drawn by `seed`, to watch the task on.

        Raises
        ------
        ValueError
            If fewer than two subjects would be left to train on.
        """
        names = np.unique(self.subjects)
        if len(names) - held_out < 2 or held_out < 2:
            raise ValueError(
                f"{len(names)} subjects cannot give {held_out} held-out and at least 2 training subjects (both "
                "sides need 2); use more subjects or hold out fewer"
            )
        chosen = np.random.default_rng(seed).choice(names, held_out, replace=False)
        mask = np.isin(self.subjects, chosen)
        return self.select(~mask), self.select(mask)


def _chosen(images: Tensor | StoredImages, index: np.ndarray) -> Tensor | StoredImages:
    return images.subset(index) if isinstance(images, StoredImages) else images[torch.from_numpy(index)]


@dataclass(frozen=True)
class Accuracy:
    """How well a task is solved, in the measure that is natural to it.

    Parameters
    ----------
    label : str
        What readers see, with its unit.
    higher_is_better : bool
    """

    label: str
    higher_is_better: bool = True


class NeedsMotion(ValueError):
    """A task learns from what moves, and cannot be trained on stills (decision D14)."""


class PretextTask(ABC):
    """One way to learn from unlabelled images.

    Subclasses are frozen dataclasses whose fields are the task's hyper-parameters; `version` changes whenever the
    code would give other weights for the same fields. All randomness comes from the generator that is passed; the
    pool must not be modified. What a task remembers from one epoch to the next lies in the buffers of its network,
    where checkpoints find it. `stills` tells whether the task can be learned from stills, too.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    accuracy: ClassVar[Accuracy]
    stills: ClassVar[bool] = False

    def material(self) -> Material:
        """Return what the task looks at; the images of the clips of each source, unless told otherwise."""
        return Material()

    def on_stills(self) -> PretextTask:
        """Return the task as it learns from stills, each a source with a single image; itself, unless told otherwise.

        Raises
        ------
        NeedsMotion
            If the task cannot be learned from stills.
        """
        if not self.stills:
            raise NeedsMotion(
                f"{self.name} learns from what moves, and stills show no motion (decision D14); train it on videos"
            )
        return self

    @abstractmethod
    def network(self, backbone: nn.Module, generator: torch.Generator) -> nn.Module:
        """Put the task's head on `backbone`, which must become the attribute ``backbone`` of the result."""

    def start_epoch(
        self, network: nn.Module, pool: PretextPool, generator: torch.Generator, optimiser: torch.optim.Optimizer
    ) -> dict[str, float]:
        """Prepare an epoch, such as by clustering; return what should be logged. The network is in evaluation mode.

        Parameters are changed in place; whose momentum is to be forgotten is removed from ``optimiser.state``.
        """
        return {}

    @abstractmethod
    def loss(
        self, network: nn.Module, pool: PretextPool, generator: torch.Generator, batch_size: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Draw a batch of about `batch_size` images in all; return its loss and what should be logged.

        A sample of several images, such as a pair, counts as so many, so that an update costs every task the same.
        """

    @abstractmethod
    def evaluate(self, network: nn.Module, pool: PretextPool, generator: torch.Generator) -> dict[str, float]:
        """Measure on held-out subjects how well the task is solved. The network is in evaluation mode.

        Returns
        -------
        dict
            ``accuracy`` in the measure that the class attribute of this name tells; ``chance``, what it would be on
            the same data without having learned; and whatever else is worth logging.
        """

    def description(self) -> dict[str, Any]:
        """All that changes what the task learns: its name, version and hyper-parameters."""
        return {"task": self.name, "version": self.version, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True, eq=False)
class PretextResult:
    """A trained backbone and the record of its training.

    ``history`` has a row for each epoch, with epoch 0 before any update: ``epoch``, ``step``, ``loss`` and
    the task's training and held-out measures (the latter prefixed ``held_out_``).
    """

    state: dict[str, Tensor]
    history: list[dict[str, float]] = field(default_factory=list)


def train_pretext(
    task: PretextTask,
    pool: PretextPool,
    backbone: BackboneSpec,
    schedule: Schedule,
    *,
    steps_per_epoch: int,
    held_out_subjects: int,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    report: Report | None = None,
) -> PretextResult:
    """Train a backbone on a pretext task.

    Parameters
    ----------
    task : PretextTask
    pool : PretextPool
        All unlabelled images; `held_out_subjects` of its subjects are only evaluated on.
    backbone : BackboneSpec
    schedule : Schedule
        Optimiser; an epoch is `steps_per_epoch` updates, after which measures are logged.
    steps_per_epoch, held_out_subjects, seed : int
    device : str
    checkpoint : path, optional
        A folder for the training's state, which is written after each epoch, every ten minutes, and when a stop is
        asked for. A run that finds one there continues from it and ends with the same weights as an undisturbed run.
    report : callable, optional
        Receives progress; may raise `repro.stopping.Stopped`.

    Returns
    -------
    PretextResult
    """
    with isolated_randomness(seed_from("pretext", "global", seed)):
        return _train(
            task, pool, backbone, schedule, steps_per_epoch, held_out_subjects, seed, device, checkpoint, report
        )


@contextmanager
def isolated_randomness(seed: int) -> Iterator[None]:
    """Seed torch's global generator, which dropout and default initialisation draw from; restore it afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _train(
    task: PretextTask,
    pool: PretextPool,
    backbone: BackboneSpec,
    schedule: Schedule,
    steps_per_epoch: int,
    held_out_subjects: int,
    seed: int,
    device: str,
    checkpoint: Path | None,
    report: Report | None,
) -> PretextResult:
    train, held_out = pool.split(held_out_subjects, seed_from("pretext", "split", seed))
    generator = torch.Generator().manual_seed(seed_from("pretext", "init", seed))
    network = task.network(backbone.build(generator), generator).to(device)
    generator.manual_seed(seed_from("pretext", "batches", seed))
    optimiser = schedule.optimiser(network.parameters())
    kept = Checkpoint(checkpoint, network, optimiser, generator)
    standing = kept.restore()
    done = _Done() if standing is None else _Done(**standing.position)
    if standing is None:
        done.history.append({"epoch": 0, "step": 0, **_held_out(task, network, held_out, seed)})
    total = schedule.epochs * steps_per_epoch
    for epoch in range(len(done.history) - 1, schedule.epochs):
        if done.begun is None:
            network.eval()
            done.begun = task.start_epoch(network, train, generator, optimiser)
        network.train()
        for step in range(epoch * steps_per_epoch + len(done.logs), (epoch + 1) * steps_per_epoch):
            loss, log = task.loss(network, train, generator, schedule.batch_size)
            schedule.update(optimiser, loss, step, steps_per_epoch)
            done.logs.append({"loss": float(loss.detach()), **log})
            message = f"epoch {epoch + 1}/{schedule.epochs} loss {done.logs[-1]['loss']:.3f}"
            kept.reached(report, (step + 1) / total, message, done.standing)
        means = {name: float(np.mean([log[name] for log in done.logs])) for name in done.logs[0]}
        measured = _held_out(task, network, held_out, seed)
        done.end_epoch({"epoch": epoch + 1, "step": (epoch + 1) * steps_per_epoch}, means, measured)
        if epoch + 1 < schedule.epochs:
            kept.save(done.standing())
    trained: nn.Module = network.backbone  # type: ignore[assignment]
    return PretextResult({k: v.detach().cpu().contiguous() for k, v in trained.state_dict().items()}, done.history)


@dataclass
class _Done:
    """What a training has logged: of whole epochs, of the begin of the present one (None before it), of its updates."""

    history: list[dict[str, float]] = field(default_factory=list)
    begun: dict[str, float] | None = None
    logs: list[dict[str, float]] = field(default_factory=list)

    def standing(self) -> Standing:
        return Standing({"history": self.history, "begun": self.begun, "logs": self.logs})

    def end_epoch(self, at: dict[str, float], means: dict[str, float], measured: dict[str, float]) -> None:
        self.history.append({**at, **(self.begun or {}), **means, **measured})
        self.begun, self.logs = None, []


def _held_out(task: PretextTask, network: nn.Module, pool: PretextPool, seed: int) -> dict[str, float]:
    """Evaluate with a generator of its own: the same pairs before and after training."""
    network.eval()
    generator = torch.Generator().manual_seed(seed_from("pretext", "held-out", seed))
    with torch.no_grad():
        measures = task.evaluate(network, pool, generator)
    return {f"held_out_{name}": value for name, value in measures.items()}
