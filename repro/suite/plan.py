"""A table as cells, and the tasks that fill them: what is there, what is left to do, and what cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from repro.data.schema import Exclusion
from repro.suite.engine import Task
from repro.suite.spec import DATASET_LABELS, Place
from repro.suite.store import Store

__all__ = ["Cell", "Measured", "Plan", "is_done"]


@dataclass(frozen=True)
class Cell:
    """One stored prediction: a row's method at one place, one fold, one repetition.

    ``reason`` tells why it cannot be computed on this data; the key is then empty. If it is not ``applicable``, nothing
    is missing for that.
    """

    row: str
    place: Place
    fold: int
    repetition: int
    key: str
    reason: str = ""
    applicable: bool = True


@dataclass(frozen=True)
class Measured:
    """What is measured where a row meets a column: the key and name of a stored series, or why there is none."""

    key: str
    series: str
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """The cells of a table, the tasks that fill them, and what is left to do.

    Networks of pretext tasks stand in ``artifacts`` under the rows' labels, measurements under those of row and column.
    ``shown`` has the input of each network whose own accuracy is a number of the table, by its key.
    """

    cells: tuple[Cell, ...]
    tasks: tuple[Task, ...]
    excluded: Mapping[str, list[Exclusion]]
    artifacts: Mapping[str, tuple[str, ...]]
    measured: Mapping[tuple[str, str], Measured] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """Keys of the cells that can be computed, each once."""
        return list(dict.fromkeys(cell.key for cell in self.cells if cell.key))

    @property
    def measurements(self) -> list[str]:
        """Keys of the measurements that can be made, each once."""
        return list(dict.fromkeys(one.key for one in self.measured.values() if one.key))

    def networks(self, row: str, kind: str) -> list[str]:
        """Keys of a row's networks that see an input, if their accuracy is shown."""
        return [key for key in self.artifacts.get(row, ()) if self.shown.get(key) == kind]

    @property
    def reasons(self) -> dict[str, str]:
        """Why cells cannot be computed, for each row, or row and place, for which that is so."""
        places = self._places
        without = {(cell.row, cell.place): cell.reason for cell in reversed(self.cells) if cell.reason}
        found: dict[str, str] = {}
        for (row, place), reason in reversed(without.items()):
            everywhere = all(without.get((row, other)) == reason for other in places[row])
            found[row if everywhere else f"{row} on {self.told(row, place)}"] = reason
        of_columns: dict[tuple[str, str], list[str]] = {}
        for (row, column), one in self.measured.items():
            if one.reason:
                of_columns.setdefault((column, one.reason), []).append(row)
        for (column, reason), rows in of_columns.items():
            many = f"{column} of {len(rows)} rows without a value"
            found[f"{rows[0]}, {column}" if len(rows) == 1 else many] = reason
        return found

    @cached_property
    def _places(self) -> dict[str, dict[Place, None]]:
        places: dict[str, dict[Place, None]] = {}
        for cell in self.cells:
            places.setdefault(cell.row, {})[cell.place] = None
        return places

    def told(self, row: str, place: Place) -> str:
        """Name a place by what sets it apart from the others of its row."""
        others = self._places[row]
        if len({other.population for other in others}) == 1:
            return place.input
        dataset = DATASET_LABELS[place.population.dataset]
        return dataset if len({other.input for other in others}) == 1 else f"{place.input} of {dataset}"

    def remaining(self, store: Store, *, shard: tuple[int, int] = (1, 1), always: bool = False) -> list[Task]:
        """Return the tasks whose files are missing and that a missing number needs, in an order that can be run.

        Parameters
        ----------
        store : Store
        shard : (int, int)
            (i, N): only every N-th cell from the i-th (from 1).
        always : bool
            Run cells and pretext networks again even if they are there.
        """
        by_id = {task.id: task for task in self.tasks}
        mine = slice(shard[0] - 1, None, shard[1])
        stack = [f"cell-{key}" for key in self.keys[mine]]
        stack += [f"measure-{key}" for key in self.measurements[mine]]
        stack += [f"pretext-{key}" for key in list(self.shown)[mine]]
        seen, needed = set(stack), set()
        while stack:
            task = by_id[stack.pop()]
            again = always and task.kind not in ("input", "features")
            if again or not is_done(task, store):
                needed.add(task.id)
                new = [name for name in task.requires if name not in seen]
                seen.update(new)
                stack += new
        return [task for task in self.tasks if task.id in needed]


def is_done(task: Task, store: Store) -> bool:
    """Whether the file of a table's task is there."""
    key = task.id.partition("-")[2]
    if task.kind == "input":
        return store.has_input(key)
    if task.kind == "features":
        return all(map(store.has_features, task.arguments["wanted"]))
    if task.kind == "measure":
        return store.has_measurement(key)
    return store.has_artifact(key) if task.kind == "pretext" else store.has(key)
