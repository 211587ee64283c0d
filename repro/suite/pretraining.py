"""A pretext network as a task: what it is trained on, under a key that tells all that changes its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from repro.data.encoding import InputSpec
from repro.learning.finetune import FineTuning
from repro.learning.pretext import PretextTask
from repro.learning.seeds import seed_from
from repro.suite import tasks
from repro.suite.encoding import encoding_tasks
from repro.suite.engine import Task
from repro.suite.spec import DATASET_LABELS, PretextRun
from repro.suite.store import hash_of

if TYPE_CHECKING:
    from repro.suite.corpus import Corpus

__all__ = ["PlannedPretext", "plan_pretext"]

_VERSION = 1
"""Of the work between data and network; raised when the same description would give other weights."""

_SECONDS_PER_IMAGE = 0.0045
"""Rough seconds on one core at the quick scale; they only weigh the progress bar."""


@dataclass(frozen=True)
class PlannedPretext:
    """A pretext network that can be trained.

    Parameters
    ----------
    key : str
        Of the network in the store: a hash of all that changes its weights.
    description : mapping
        What is hashed.
    training : Task
    inputs : mapping of str to Task
        Those that encode what it sees, by their keys.
    """

    key: str
    description: Mapping[str, Any]
    training: Task
    inputs: Mapping[str, Task]


def plan_pretext(
    task: PretextTask,
    method: str,
    corpora: Mapping[str, Corpus],
    videos: Mapping[str, Sequence[str] | None],
    spec: InputSpec,
    settings: FineTuning,
    run: PretextRun,
    *,
    repetition: int,
    store: str,
    device: str,
) -> PlannedPretext:
    """Plan the training of a pretext network; the tables ask for the same one by the same key.

    Parameters
    ----------
    task : PretextTask
    method : str
        Name in the registry.
    corpora : mapping of str to Corpus
        By the name of the dataset.
    videos : mapping of str to sequence of str, or None
        Which videos of each dataset it may see; None for all.
    spec : InputSpec
    settings : FineTuning
        Whose backbone is trained.
    run : PretextRun
    repetition : int
        Enters the seeds.
    store : str
        Root of the store.
    device : str
        Does not enter the key.

    Raises
    ------
    ValueError
        If no clip can be cut from a dataset's videos.
    """
    material, schedule = task.material(), run.schedule_of(method)
    shards: dict[str, list[str]] = {}
    inputs: dict[str, Task] = {}
    for name, chosen in sorted(videos.items()):  # in any order the same pool, as the key is the same
        records = corpora[name].dataset.records
        owners = {r.subject for r in records if chosen is None or r.video in chosen}
        made = encoding_tasks(corpora[name], spec, store, material=material, subjects=owners)
        if not made:
            raise ValueError(
                f"{corpora[name].dataset.root}: no unlabelled clip can be cut for {method}, as the videos are too "
                "short; use longer ones"
            )
        shards[name] = list(made)
        inputs |= made
    description = {
        "version": _VERSION,
        "task": task.description(),
        "data": {name: corpora[name].unlabelled_description for name in shards},
        "videos": dict(videos),
        "input": material.input(spec).describe(),
        **({"material": described} if (described := material.describe()) else {}),
        "backbone": asdict(settings.backbone),
        "schedule": asdict(schedule),
        "steps_per_epoch": run.steps_per_epoch,
        "held_out_subjects": run.held_out_subjects,
        "seed": repetition,
    }
    key = hash_of(description)
    training = Task(
        f"pretext-{key}",
        "pretext",
        f"{method} on {' + '.join(DATASET_LABELS[name] for name in shards)}",
        schedule.epochs * run.steps_per_epoch * schedule.batch_size * _SECONDS_PER_IMAGE,
        tasks.pretrain,
        {
            "store": store,
            "key": key,
            "description": description,
            "task": task,
            "shards": shards,
            "videos": dict(videos),
            "backbone": settings.backbone,
            "schedule": schedule,
            "steps_per_epoch": run.steps_per_epoch,
            "held_out_subjects": run.held_out_subjects,
            "seed": seed_from("pretext", repetition),
            "device": device,
            "simulated": any(corpora[name].dataset.simulated for name in shards),
        },
        tuple(f"input-{name}" for names in shards.values() for name in names),
        on_gpu=device != "cpu",
    )
    return PlannedPretext(key, description, training, inputs)
