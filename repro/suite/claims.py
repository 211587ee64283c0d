"""What a claim of the paper is: a sentence, and comparisons of numbers of tables that it rests on.

A comparison is a weighted sum of numbers within each subject, such as one number minus another, or how far a line rises
that is fitted to four. `repro.suite.verdicts` judges them, `repro.suite.claims_page` lays them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log2
from typing import Literal, NamedTuple

from repro.suite.display import METRICS
from repro.suite.published import published_difference, published_value
from repro.suite.spec import Column, Table

__all__ = [
    "LOG2",
    "Claim",
    "Claims",
    "Comparison",
    "Entry",
    "Term",
    "alike",
    "better",
    "better_than",
    "faster",
    "needed",
    "paper_difference",
    "rising",
]

LOG2 = "log2_"
"""What a metric's name begins with where its logarithms are compared, so that a difference is a ratio: -1 is half."""


class Entry(NamedTuple):
    """A number of a table: the table's name, and the labels of row and column."""

    table: str
    row: str
    column: str

    def __str__(self) -> str:
        """Return it as it stands in files."""
        return f"{self.table}: {self.row}, {self.column}"


class Term(NamedTuple):
    """A number and its weight in a sum."""

    weight: float
    entry: Entry


@dataclass(frozen=True)
class Comparison:
    """A sum of numbers, and which way the paper says that it goes.

    Parameters
    ----------
    label : str
        Unique in its claim.
    terms : tuple of Term
        Of one metric.
    expected : {"better", "alike"}
        Whether the sum is to lie on the better side of 0, whichever that is for the metric, or near 0.
    bound : float
        Subtracted first, in the unit of tables; 0 where numbers are compared with each other.
    margin : float
        How far from 0 a sum that is "alike" may lie, in the unit of tables.
    logarithms : bool
        Of base 2, in place of the numbers themselves.
    test : {"wilcoxon", "student"}
        Of ranks; or of means, for what is measured a few times only, where ranks cannot tell anything.

    Raises
    ------
    ValueError
        If the weights do not cancel where they should, or a margin is missing.
    """

    label: str
    terms: tuple[Term, ...]
    expected: Literal["better", "alike"] = "better"
    bound: float = 0.0
    margin: float = 0.0
    logarithms: bool = False
    test: Literal["wilcoxon", "student"] = "wilcoxon"

    def __post_init__(self) -> None:
        """Check that the sum means something."""
        total = sum(term.weight for term in self.terms)
        if not self.terms or abs(total - (1 if self.bound else 0)) > 1e-12:
            raise ValueError(f"{self.label}: weights sum to {total:g}; those of a comparison must cancel")
        if (self.expected == "alike") != (self.margin > 0):
            raise ValueError(
                f"{self.label}: margin {self.margin:g} with {self.expected!r}; numbers are alike within one"
            )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The numbers compared."""
        return tuple(term.entry for term in self.terms)


def better(label: str, first: Entry, second: Entry) -> Comparison:
    """Say that the first of two numbers is the better one."""
    return Comparison(label, (Term(1.0, first), Term(-1.0, second)))


def faster(label: str, first: Entry, second: Entry) -> Comparison:
    """Say that the first of two times is shorter, as a ratio."""
    return replace(better(label, first, second), logarithms=True, test="student")


def alike(label: str, first: Entry, second: Entry, margin: float) -> Comparison:
    """Say that two numbers differ by less than a margin."""
    return replace(better(label, first, second), expected="alike", margin=margin)


def better_than(label: str, entry: Entry, bound: float) -> Comparison:
    """Say that what is measured is better than a bound, which is in the unit of tables."""
    return Comparison(label, (Term(1.0, entry),), bound=bound, test="student")


def rising(label: str, entries: Mapping[float, Entry]) -> Comparison:
    """Say that numbers get better with what they are numbers at.

    The sum is the rise, from the first place to the last, of the line that fits the numbers best (least squares).

    Parameters
    ----------
    label : str
    entries : mapping of float to Entry
        By where they are, the last place the highest.
    """
    places = list(entries)
    centre = sum(places) / len(places)
    spread = sum((place - centre) ** 2 for place in places)
    weights = [(place - centre) / spread * (places[-1] - places[0]) for place in places]
    return Comparison(label, tuple(Term(weights[i], entries[place]) for i, place in enumerate(places)))


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper that can be tested.

    Parameters
    ----------
    name : str
        Short, unique.
    sentence : str
        What is claimed, in our words.
    source : str
        Where in the paper.
    comparisons : tuple of Comparison
        All must hold.
    """

    name: str
    sentence: str
    source: str
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Claims:
    """A page of claims.

    Parameters
    ----------
    name, title, caption : str
    tables : tuple of Table
        That entries are of, those that need most datasets first.
    claims : tuple of Claim

    Raises
    ------
    ValueError
        If names are not unique, or a comparison asks for a number that no table has or mixes metrics.
    """

    name: str
    title: str
    caption: str
    tables: tuple[Table, ...]
    claims: tuple[Claim, ...]

    def __post_init__(self) -> None:
        """Check that every number asked for is declared."""
        names = [claim.name for claim in self.claims]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: claims {names} are not unique; give each its own name")
        for claim in self.claims:
            labels = [comparison.label for comparison in claim.comparisons]
            if not labels or len(set(labels)) != len(labels):
                raise ValueError(f"{claim.name}: comparisons {labels} are not unique, or none; give each its own label")
            for comparison in claim.comparisons:
                metrics = {self.column(entry).metric for entry in comparison.entries}
                if len(metrics) > 1:
                    raise ValueError(
                        f"{claim.name}, {comparison.label}: cannot compare {' with '.join(sorted(metrics))}"
                    )
                if comparison.expected == "better" and METRICS[metrics.pop()].higher_is_better is None:
                    raise ValueError(f"{claim.name}, {comparison.label}: neither more nor less of its metric is better")

    @property
    def comparisons(self) -> tuple[tuple[Claim, Comparison], ...]:
        """All comparisons, each with its claim, in order."""
        return tuple((claim, comparison) for claim in self.claims for comparison in claim.comparisons)

    def column(self, entry: Entry) -> Column:
        """Return the column of an entry.

        Raises
        ------
        ValueError
            If there is no such table, row or column.
        """
        found = [
            column
            for table in self.tables
            if table.name == entry.table and any(row.label == entry.row for row in table.rows)
            for column in table.columns
            if column.label == entry.column
        ]
        if len(found) != 1:
            raise ValueError(f"{entry}: found {len(found)} such numbers; name a table of the page, its row and column")
        return found[0]

    def metric(self, comparison: Comparison) -> str:
        """Return the metric of a comparison's numbers, as its table names it."""
        return self.column(comparison.entries[0]).metric

    def sign(self, comparison: Comparison) -> int:
        """Return 1 if more is claimed, -1 if less, 0 if the same."""
        if comparison.expected == "alike":
            return 0
        return 1 if METRICS[self.metric(comparison)].higher_is_better else -1


def needed(claims: Claims) -> list[Table]:
    """Return the tables with those rows and columns only that are compared.

    Returns
    -------
    list of Table
        A table stands in as many parts as its rows differ in the columns asked for.
    """
    asked: dict[tuple[str, str], set[str]] = {}
    for _, comparison in claims.comparisons:
        for entry in comparison.entries:
            asked.setdefault((entry.table, entry.row), set()).add(entry.column)
    parts = []
    for table in claims.tables:
        groups: dict[frozenset[str], list[str]] = {}
        for row in table.rows:
            if (table.name, row.label) in asked:
                groups.setdefault(frozenset(asked[table.name, row.label]), []).append(row.label)
        for columns, rows in groups.items():
            parts.append(
                replace(
                    table,
                    rows=tuple(row for row in table.rows if row.label in rows),
                    columns=tuple(column for column in table.columns if column.label in columns),
                    plot=None,
                    checks=(),
                )
            )
    return parts


def paper_difference(comparison: Comparison) -> float | None:
    """Return the same sum of the paper's numbers, in the unit of tables; None where it lacks one.

    A difference that the paper's text names is taken from there.
    """
    first, *others = comparison.terms
    if len(others) == 1 and not comparison.logarithms and first.weight == 1:
        (second,) = others
        if first.entry[::2] == second.entry[::2]:
            return published_difference(first.entry.table, first.entry.row, second.entry.row, first.entry.column)
    total = -comparison.bound
    for weight, entry in comparison.terms:
        number = published_value(*entry)
        if number is None:
            return None
        total += weight * (log2(number) if comparison.logarithms else number)
    return round(total, 3)
