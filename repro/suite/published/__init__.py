"""The paper's numbers as data: ``tables.csv``, one row a number, with the place each was read from."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["published", "published_value"]


@cache
def published() -> pd.DataFrame:
    """Return all published numbers: ``table, row, column, metric, value, source``."""
    import pandas as pd

    with resources.files(__package__).joinpath("tables.csv").open("rb") as file:
        return pd.read_csv(file)


def published_value(table: str, row: str, column: str) -> float | None:
    """Return the paper's number, or None where it has none."""
    rows = published()
    found = rows[(rows.table == table) & (rows.row == row) & (rows.column == column)]
    return None if found.empty else float(found.value.iloc[0])
