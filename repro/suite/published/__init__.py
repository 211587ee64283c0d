"""The paper's numbers as data, with the place each was read from.

``tables.csv`` has one row a number, in the unit of tables; ``absent.csv`` what stands where a number could;
``differences.csv`` and ``best.csv`` what the text says of them.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["published", "published_best", "published_difference", "published_reason", "published_value"]


@cache
def published(name: str = "tables") -> pd.DataFrame:
    """Return what the paper says; every file has the columns ``table``, ``row`` and ``source``.

    Parameters
    ----------
    name : {"tables", "absent", "differences", "best"}
        All numbers: ``column, metric, value``; cells without one: ``column, printed``; differences that the text
        names: ``other, column, metric, value``, of ``row`` minus ``other``; rows that the text calls best.
    """
    import pandas as pd

    with resources.files(__package__).joinpath(f"{name}.csv").open("rb") as file:
        return pd.read_csv(file, keep_default_na=False)


def published_value(table: str, row: str, column: str) -> float | None:
    """Return the paper's number, or None where it has none."""
    return _values().get((table, row, column))


@cache
def _values() -> dict[tuple[str, str, str], float]:
    numbers = published()
    places = zip(numbers.table, numbers.row, numbers.column, strict=True)
    return dict(zip(places, map(float, numbers.value), strict=True))


def published_reason(table: str, row: str, column: str) -> str | None:
    """Return what the paper prints in place of a number, such as "N/A"; None where it prints a number or nothing."""
    found = _at(published("absent"), table=table, row=row, column=column)
    return None if found.empty else str(found.printed.iloc[0])


def published_difference(table: str, row: str, other: str, column: str) -> float | None:
    """Return how far a row is above another in the paper: what its text says, or else the difference of its numbers.

    Parameters
    ----------
    table, row, other, column : str

    Returns
    -------
    float or None
        ``row`` minus ``other`` in the unit of tables, in no more digits than are printed; None where a number is
        missing.
    """
    said = _number(_at(published("differences"), table=table, row=row, other=other, column=column))
    if said is not None:
        return said
    first, second = (published_value(table, label, column) for label in (row, other))
    # Rounded: the difference of two printed decimals has their digits and no others.
    return None if first is None or second is None else round(first - second, 3)


def published_best(table: str) -> tuple[str, ...]:
    """Return the rows of a table or figure that the paper's text calls best."""
    return tuple(_at(published("best"), table=table).row)


def _at(frame: pd.DataFrame, **place: str) -> pd.DataFrame:
    for column, label in place.items():
        frame = frame[frame[column] == label]
    return frame


def _number(found: pd.DataFrame) -> float | None:
    return None if found.empty else float(found.value.iloc[0])
