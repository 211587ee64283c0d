"""The search for cycles among Python's objects, put off where many are made that are in none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["paused_collection"]


@contextmanager
def paused_collection(*, for_good: bool = False) -> Iterator[None]:
    """Pause the search for cycles, which would go through the same objects again and again, and find none.

    Parameters
    ----------
    for_good : bool
        Whether it passes these objects over afterwards, too, also at the end of the process: for those that stay.
    """
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            if for_good:
                gc.freeze()
            gc.enable()
