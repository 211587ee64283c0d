"""The filters of binarised statistical image features, learned from photographs: how `bsif_filters.npy` was made.

``python -m baselines.features.learn_bsif_filters`` writes the file again. J. Kannala and E. Rahtu, "BSIF: binarized
statistical image features", ICPR 2012, learn filters by independent component analysis of patches of thirteen natural
images. Those images are not part of this suite. Ours are photographs that scikit-image brings along; the rest is as
published: the mean of each patch is removed, a PCA whitens and leaves as many components as there shall be filters, and
the components are turned to be as independent as can be.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from baselines.features.bsif import FILTERS, exact
from repro.learning.seeds import seed_from

__all__ = ["PHOTOGRAPHS", "learn", "patches"]

PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "rocket", "moon")
"""Functions of `skimage.data` whose images lie in the package: people, animals, things, grounds, a sky."""

PATCHES = 50_000
"""Patches that are drawn, the same number of each photograph."""


def patches(side: int, seed: int = 0) -> NDArray[np.float64]:
    """Draw patches of the photographs, each of which has mean 0 and variance 1.

    Returns
    -------
    ndarray, (PATCHES, side * side)
        Grey levels, less the mean of each patch.
    """
    from skimage import color, data

    random = np.random.default_rng(seed_from("bsif patches", seed))
    drawn = []
    for name in PHOTOGRAPHS:
        image = getattr(data, name)()
        grey = color.rgb2gray(image) if image.ndim == 3 else image / 255.0
        windows = sliding_window_view((grey - grey.mean()) / grey.std(), (side, side))
        row, column = (random.integers(0, n, PATCHES // len(PHOTOGRAPHS)) for n in windows.shape[:2])
        drawn.append(windows[row, column].reshape(-1, side * side))
    found = np.concatenate(drawn)
    return found - found.mean(axis=1, keepdims=True)


def learn(side: int = 7, bits: int = 8, seed: int = 0) -> NDArray[np.int32]:
    """Learn filters whose answers to patches of photographs are uncorrelated, of equal variance, and independent.

    Returns
    -------
    ndarray, (bits, side, side) int32
        In order of increasing squares, which is one of increasing spatial frequency, as answers have equal variance;
        the largest weight of each is positive.
    """
    from sklearn.decomposition import FastICA

    analysis = FastICA(bits, whiten="unit-variance", tol=1e-8, max_iter=2000, random_state=seed)
    weights = analysis.fit(patches(side, seed)).components_
    weights = weights[np.argsort((weights**2).sum(axis=1))]
    weights *= np.sign(np.take_along_axis(weights, np.abs(weights).argmax(axis=1)[:, None], axis=1))
    return exact(weights.reshape(bits, side, side))


if __name__ == "__main__":
    np.save(FILTERS, learn())
