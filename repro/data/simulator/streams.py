"""Named random streams: every quantity draws from a generator of its own.

A face must not depend on the resolution at which it is rendered, on the order of rendering or on the number of workers.
Each consumer therefore asks for a stream by name instead of sharing one generator.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator that belongs to a path of names.

    Parameters
    ----------
    seed : int
        Root seed, not negative.
    *names : str or int
        Path of the stream, such as ``("unbc", 3, "identity")``. Different paths give independent streams.

    Returns
    -------
    numpy.random.Generator

    Raises
    ------
    ValueError
        If `seed` is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    digest = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    words = np.frombuffer(digest, dtype="<u4").tolist()
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


def stratified(seed: int, index: int, *names: str | int) -> float:
    """Return the `index`-th point in [0, 1) of a randomly shifted golden-ratio sequence.

    Any run of consecutive indices covers [0, 1) evenly, so that even a dozen subjects span ages and skin tones, while a
    subject's value does not depend on how many subjects there are.
    """
    golden = 0.6180339887498949
    return float((stream(seed, *names).random() + index * golden) % 1.0)
