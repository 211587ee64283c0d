"""A pretext network as a task: what it is trained on, under a key that tells all that changes its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from repro.data.encoding import InputSpec
from repro.data.still_images import still_input
from repro.learning.finetune import FineTuning
from repro.learning.pretext import NeedsMotion, PretextTask
from repro.learning.seeds import seed_from
from repro.suite import tasks
from repro.suite.corpus import Corpus, NotApplicable
from repro.suite.encoding import encoding_tasks
from repro.suite.engine import Task
from repro.suite.spec import DATASET_LABELS, STILLS_LABELS, PretextRun
from repro.suite.still_corpus import StillCorpus
from repro.suite.store import hash_with_names

__all__ = ["VERSION", "PlannedPretext", "plan_pretext"]

VERSION = 1
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
    corpora: Mapping[str, Corpus | StillCorpus],
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
        As it learns from clips; for stills it is replaced by `PretextTask.on_stills`.
    method : str
        Name in the registry.
    corpora : mapping of str to Corpus or StillCorpus
        By the name of the dataset.
    videos : mapping of str to sequence of str, or None
        Which videos of each dataset, or which identities' stills, it may see; None for all.
    spec : InputSpec
        How clips become images. Of stills only its size matters, so that one network serves every input that it is
        transferred to.
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
    NotApplicable
        If the data are stills and the task needs motion.
    ValueError
        If no clip can be cut from a dataset's videos, or stills and clips are mixed.
    """
    if _are_stills(corpora, videos):
        try:
            task, spec = task.on_stills(), still_input(spec)
        except NeedsMotion as error:
            raise NotApplicable(str(error)) from error
    material, schedule = task.material(), run.schedule_of(method)
    shards: dict[str, list[str]] = {}
    requires: list[str] = []
    inputs: dict[str, Task] = {}
    for name, chosen in sorted(videos.items()):  # in any order the same pool, as the key is the same
        owners = None if chosen is None else corpora[name].owners.of(chosen)
        made = encoding_tasks(corpora[name], spec, store, material=material, subjects=owners)
        if not made:
            raise ValueError(
                f"{corpora[name].dataset.root}: no unlabelled clip can be cut for {method}, as the videos are too "
                "short; use longer ones"
            )
        shards[name] = list(made)
        requires += [encoding.id for encoding in made.values()]
        inputs |= made
    description = {
        "version": VERSION,
        "task": task.description(),
        "data": {name: corpora[name].unlabelled_description for name in shards},
        "videos": dict(videos),
        "input": material.input(spec).describe(),
        **({"material": described} if (described := material.describe()) else {}),
        "backbone": settings.backbone.describe(),
        "schedule": asdict(schedule),
        "steps_per_epoch": run.steps_per_epoch,
        "held_out_subjects": run.held_out_subjects,
        "seed": repetition,
    }
    key = hash_with_names(description, "videos", videos)
    training = Task(
        f"pretext-{key}",
        "pretext",
        f"{method} on {' + '.join({**DATASET_LABELS, **STILLS_LABELS}[name] for name in shards)}",
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
        tuple(requires),
        on_gpu=device != "cpu",
    )
    return PlannedPretext(key, description, training, inputs)


def _are_stills(corpora: Mapping[str, Corpus | StillCorpus], names: Iterable[str]) -> bool:
    """Whether the data are stills.

    Raises
    ------
    ValueError
        If they are stills and clips: a task learns from one or the other.
    """
    of_stills = sorted(name for name in names if isinstance(corpora[name], StillCorpus))
    if of_stills and (others := sorted(set(names) - set(of_stills))):
        raise ValueError(
            f"stills of {', '.join(of_stills)} cannot share a pretext with clips of {', '.join(others)}; train on one "
            "or the other"
        )
    return bool(of_stills)
