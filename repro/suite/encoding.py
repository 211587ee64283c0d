"""Encoding a dataset's clips as tasks: one for each subject, under a key of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, overload
from weakref import WeakKeyDictionary

from repro.data.clips import Clip, Source
from repro.data.encoding import InputSpec
from repro.data.feature_files import read_feature_notes
from repro.data.inputs import read_notes
from repro.data.material import Material
from repro.data.schema import VideoRecord
from repro.suite import tasks
from repro.suite.corpus import Corpus
from repro.suite.engine import Task
from repro.suite.store import Store, hashes_of

if TYPE_CHECKING:
    from repro.suite.still_corpus import StillCorpus

__all__ = ["encoding_tasks", "faces_found", "frames_of", "labelled_of_subjects"]

_Cut = TypeVar("_Cut", Clip, Source)

_SECONDS_PER_FRAME = 1 / 900
_SECONDS_OF_FLOW = {"tvl1": 0.03, "dis": 0.0005}
"""Rough seconds on one core at 64 pixels; they only weigh the progress bar."""


def encoding_tasks(
    corpus: Corpus | StillCorpus,
    spec: InputSpec,
    store: str,
    *,
    material: Material | None = None,
    subjects: Collection[str] | None = None,
) -> dict[str, Task]:
    """Return the tasks that encode each subject's clips.

    Parameters
    ----------
    corpus : Corpus or StillCorpus
    spec : InputSpec
    store : str
        Root of the store.
    material : Material, optional
        What a pretext task looks at; the labelled clips, which a `Corpus` has, if not given.
    subjects : collection of str, optional
        Only these.

    Returns
    -------
    dict
        Key of a subject's images in the store -> task, in the order of the clips. The key is a hash of all that
        changes the images. The same object each time that the same is asked for, not to be modified.

    Raises
    ------
    ValueError
        If labelled clips of stills are asked for, or a material that stills do not have.
    """
    if material is not None:
        spec = material.input(spec)
    elif not isinstance(corpus, Corpus):
        raise ValueError(f"{corpus.dataset.name} has no labelled clips; ask for a pretext task's material")
    known = _MADE.setdefault(corpus, {})
    asked = (store, type(material), repr((spec, material)))  # 1 and 1.0 are equal, and have two keys
    if asked not in known:
        known[asked] = _Made(_encoding_tasks(corpus, spec, store, material))
    return known[asked].of(None if subjects is None else frozenset(subjects))


class _Made:
    """Subject, key and task of each, and those of some subjects: the cells of a table ask for the same many times."""

    def __init__(self, made: list[tuple[str, str, Task]]) -> None:
        self._made = made
        self._known: dict[frozenset[str] | None, dict[str, Task]] = {}

    def of(self, subjects: frozenset[str] | None) -> dict[str, Task]:
        """Return the tasks of some subjects, or of all, by their keys."""
        if subjects not in self._known:
            self._known[subjects] = {
                key: task for subject, key, task in self._made if subjects is None or subject in subjects
            }
        return self._known[subjects]


_MADE: WeakKeyDictionary[Corpus | StillCorpus, dict[Hashable, _Made]] = WeakKeyDictionary()
"""What was made for a corpus."""


def _encoding_tasks(
    corpus: Corpus | StillCorpus, spec: InputSpec, store: str, material: Material | None
) -> list[tuple[str, str, Task]]:
    """Return the subject, the key and the task of each; the specification is the material's."""
    if material is None:
        divided, data = labelled_of_subjects(corpus), corpus.labelled_description  # type: ignore[arg-type, union-attr]
    else:
        divided = _unlabelled_of_subjects(corpus, material, spec)
        data = {**corpus.unlabelled_description, **material.describe()}
    keys = hashes_of({"data": data, "input": spec.describe()}, "subject", list(divided))
    made: list[tuple[str, str, Task]] = []
    for (subject, (work, frames)), key in zip(divided.items(), keys, strict=True):
        task = Task(
            f"input-{key}",
            "input",
            f"{spec.kind} images of {corpus.dataset.name} {subject}",
            frames * _seconds_per_frame(spec),
            tasks.encode_subject,
            {"store": store, "key": key, "work": work, "spec": spec, "material": material or Material()},
        )
        made.append((subject, key, task))
    return made


class _Sourced(Sequence[tuple[Clip, str]]):
    """The clips of a video's sources, each with the name of its source; made when they are looked at.

    Attributes
    ----------
    n_frames : int
        Frames of all clips.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._length = sum([len(source.clips) for source in sources])
        self.n_frames = sum([source.n_frames for source in sources])

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[Clip, str]]:
        for source in self._sources:
            name = source.id
            for clip in source.clips:
                yield clip, name

    @overload
    def __getitem__(self, index: int) -> tuple[Clip, str]: ...

    @overload
    def __getitem__(self, index: slice) -> list[tuple[Clip, str]]: ...

    def __getitem__(self, index: int | slice) -> tuple[Clip, str] | list[tuple[Clip, str]]:
        return list(self)[index]


_Work = list[tuple[VideoRecord, Sequence[tuple[Clip, str]]]]
"""Videos with their clips, each with the name of its source, "" where there is none."""

_Divided = dict[str, tuple[_Work, int]]
"""Each subject's videos, and how many frames their clips have."""

_DIVIDED: WeakKeyDictionary[Corpus | StillCorpus, dict[int, tuple[list[Any], _Divided]]] = WeakKeyDictionary()
"""Clips by subject, under the identity of the list that they were taken from, which is kept alive beside them."""


def labelled_of_subjects(corpus: Corpus) -> _Divided:
    """Return each subject's videos with their labelled clips, and how many frames these have; not to be modified."""
    return _divided(corpus, corpus.labelled, lambda clips: [(clip, "") for clip in clips])


def _unlabelled_of_subjects(corpus: Corpus | StillCorpus, material: Material, spec: InputSpec) -> _Divided:
    return _divided(corpus, corpus.sources(material, spec), _Sourced)


def _divided(
    corpus: Corpus | StillCorpus, cut: list[_Cut], clips_of: Callable[[list[_Cut]], Sequence[tuple[Clip, str]]]
) -> _Divided:
    """Divide clips by subject and video, once for all that they are shown as; the same objects each time."""
    known = _DIVIDED.setdefault(corpus, {})
    if id(cut) not in known:
        by_subject: dict[str, dict[str, list[_Cut]]] = {}
        for one in cut:
            by_subject.setdefault(one.subject, {}).setdefault(one.video, []).append(one)
        records = {record.video: record for record in corpus.dataset.records}
        divided: _Divided = {}
        for subject, by_video in by_subject.items():
            work = [(records[video], clips_of(own)) for video, own in by_video.items()]
            divided[subject] = work, frames_of(work)
        known[id(cut)] = cut, divided
    return known[id(cut)][1]


def frames_of(work: Iterable[tuple[VideoRecord, Sequence[tuple[Clip, str]]]]) -> int:
    """Count the frames of the clips that a task encodes, those of overlaps more than once."""
    return sum(
        items.n_frames if isinstance(items, _Sourced) else sum(clip.stop - clip.start for clip, _ in items)
        for _, items in work
    )


def faces_found(made: Iterable[Task], corpus: Corpus | StillCorpus, store: Store) -> dict[str, int]:
    """Count how the faces of a dataset's videos were found.

    Parameters
    ----------
    made : iterable of Task
        Those of a plan; others than of `encoding_tasks` and `repro.suite.supervised` are passed over.
    corpus : Corpus or StillCorpus
        The dataset. Videos whose subject is not encoded yet, or has no image, do not count.
    store : Store

    Returns
    -------
    dict
        One of `repro.data.faces.METHODS`, or of `repro.data.still_images` -> number of videos, or of identities. A
        video counts once for each method, of which there are several only where specifications differ in their
        alignment.
    """
    records = {id(record) for record in corpus.dataset.records}  # names recur in other simulations of the dataset
    found: set[tuple[str, str]] = set()
    for task in made:
        if task.kind not in ("input", "features") or id(task.arguments["work"][0][0]) not in records:
            continue
        with suppress(ValueError):  # what is damaged is told where it is used
            if task.kind == "input":
                folder = store.input_folder(task.arguments["key"])
                found.update(read_notes(folder).faces.items() if folder.is_dir() else ())
            for file in map(store.feature_file, task.arguments.get("wanted", ())):
                found.update(read_feature_notes(file).faces.items() if file.is_file() else ())
    return dict(sorted(Counter(method for _, method in found).items()))


def _seconds_per_frame(spec: InputSpec) -> float:
    flow = _SECONDS_OF_FLOW[spec.flow] if spec.kind == "SSD(OF)" else 0.0
    return (_SECONDS_PER_FRAME + flow) * (spec.size / 64) ** 2
