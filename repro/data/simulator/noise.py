"""Band-limited noise that is the same at every resolution."""

from __future__ import annotations

import cv2
import numpy as np

_SIZE = 256


def _white(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((_SIZE, _SIZE))


def lattice(rng: np.random.Generator, *, stretch: float = 1.0) -> np.ndarray:
    """Return a periodic field (256, 256) of unit variance, four cells a wave; `stretch` lengthens it down the rows."""
    white = _white(rng).astype(np.float32)
    pad = 48
    wrapped = np.pad(white, pad, mode="wrap")
    field = cv2.GaussianBlur(wrapped, (0, 0), sigmaX=1.2, sigmaY=1.2 * stretch)[pad:-pad, pad:-pad]
    return field / field.std()


def sample(field: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sample a lattice at coordinates given in cells (any range)."""
    x, y = np.broadcast_arrays(x, y)
    mx = np.mod(x, _SIZE).astype(np.float32)
    my = np.mod(y, _SIZE).astype(np.float32)
    return cv2.remap(field, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def octaves(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, texel: float, wavelengths: tuple[float, ...]
) -> np.ndarray:
    """Sum octaves of noise over positions in cm.

    Octaves whose wavelength (cm) comes near two texels fade out: a finer image shows more detail, a coarser one never
    aliases.
    """
    total = np.zeros(x.shape, np.float32)
    for length in wavelengths:
        weight = float(np.clip((length / (2.0 * texel) - 0.8) / 0.8, 0, 1))
        if weight > 0:
            total += weight * sample(lattice(rng), x * 4.0 / length + 37.0, y * 4.0 / length + 91.0)
        else:
            _white(rng)  # other octaves are the same whether this one is seen or not
    return total
