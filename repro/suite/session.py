"""What the tables of one command share: worker processes, opened datasets, cut clips."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from repro.data import Dataset, open_dataset
from repro.suite.corpus import Corpus
from repro.suite.engine import Engine, Failure
from repro.suite.progress import Progress
from repro.suite.simulation import missing_simulations
from repro.suite.spec import STILLS_LABELS, Population, Scale
from repro.suite.still_corpus import StillCorpus
from repro.suite.store import Store
from repro.suite.where import Where

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

__all__ = ["Session", "open_given"]


class Session:
    """Workers, datasets and clips that are opened once, however many tables need them; a context manager.

    Parameters
    ----------
    options : Namespace
        Of the command line.

    Attributes
    ----------
    engine : Engine
    store : Store
    planned : set of str
        Keys of the cells of the tables before.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.engine = Engine(Where.from_options(options), timeout=options.timeout)
        self.store = Store(Path(options.store).absolute())  # workers may be elsewhere
        self.planned: set[str] = set()
        self._datasets: dict[Path, Dataset] = {}
        self._corpora: dict[tuple[Path, Population, str], Corpus | StillCorpus] = {}

    def __enter__(self) -> Session:
        """Listen to Ctrl-C; no process is started yet."""
        self.engine.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what was started."""
        self.engine.__exit__(kind, error, trace)

    def simulate(
        self, populations: Iterable[Population], scale: Scale, progress: Progress, *, allowed: bool
    ) -> tuple[dict[Population, Path], list[Failure], int]:
        """Find simulated data, and write what is missing of it if that is allowed.

        Returns
        -------
        roots : dict
            Folder of each population; populations that differ only in how they are cut share one.
        failures : list of Failure
        n_missing : int
            Steps that were left undone, as they were not allowed.
        """
        wanted = {}
        for population in populations:
            size = scale.simulated[population.dataset]
            wanted[population] = (population.dataset, replace(size, changes=(*size.changes, *population.changes)))
        roots, tasks = missing_simulations(self.store, wanted)
        if tasks and not allowed:
            return roots, [], len(tasks)
        progress.add(tasks)
        return roots, self.engine.run(tasks, progress), 0

    def corpora(
        self, roots: Mapping[Population, Path], scale: Scale, *, given: bool
    ) -> dict[str, Corpus | StillCorpus]:
        """Open and cut what a table needs, under the names of its populations.

        Raises
        ------
        ValueError
            If data cannot be used.
        """
        return {population.name: self._corpus(population, root, scale, given) for population, root in roots.items()}

    def _corpus(self, population: Population, root: Path, scale: Scale, given: bool) -> Corpus | StillCorpus:
        key = (root, population, scale.name)
        if key not in self._corpora:
            dataset = self.dataset(population.dataset, root, given=given)
            if population.dataset in STILLS_LABELS:
                size = scale.simulated[population.dataset]
                few = given and scale.name != "paper"  # a small scale does not look at three million stills
                limits = {"most_identities": size.n_subjects, "most_stills": size.videos_per_subject} if few else {}
                self._corpora[key] = StillCorpus(dataset, **limits)
            else:
                clips = replace(scale.clips[population.dataset], **dict(population.clips))
                # a length that was asked for is that of all clips; usual clips may be as short as an image needs
                shortest = clips.length if "length" in dict(population.clips) else None
                self._corpora[key] = Corpus(dataset, clips, shortest or scale.input.shortest_clip)
        return self._corpora[key]

    def dataset(self, name: str, root: Path, *, given: bool) -> Dataset:
        """Open a dataset, once; `given` is one of the command line, whose other options then count.

        Raises
        ------
        ValueError
            If it cannot be used.
        """
        if root not in self._datasets:
            strict = self.options.strict
            self._datasets[root] = (
                open_given(name, root, self.options) if given else open_dataset(name, root, strict=strict)
            )
        return self._datasets[root]


def open_given(name: str, root: Path, options: argparse.Namespace) -> Dataset:
    """Open a dataset that was given on the command line, with the options that it shares with others."""
    own = {"openface": options.openface.absolute()} if name == "biovid" and options.openface is not None else {}
    return open_dataset(name, root, strict=options.strict, **own)
