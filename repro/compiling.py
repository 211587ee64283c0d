"""Loops compiled for a CPU by Numba, and kept on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["compiled"]


def compiled(*freedoms: str, inline: bool = False) -> Callable[[Callable], Any]:
    """Return a decorator that compiles a function at its first call; it runs without Python's lock.

    The result is cached beside the function's file, else in the user's cache; where neither can be written, every
    process compiles anew.

    Parameters
    ----------
    freedoms : str
        LLVM's fast-math flags, such as ``"contract"``, ``"reassoc"`` and ``"nsz"``, or ``"fast"`` for all of them;
        without ``"nnan"`` and ``"ninf"`` NaN and infinity keep their meaning. A division by zero is no error.
    inline : bool
        Whether the function is written out where compiled functions call it.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(freedoms) or False}
    if inline:
        options["inline"] = "always"

    def decorate(function: Callable) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # no place for the cache
            return njit(**options)(function)

    return decorate
