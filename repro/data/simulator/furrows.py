"""Furrows and folds of the skin: those that an action raises and those that age leaves.

A furrow is a height in cm whose gradient bends the normals, and a darkening where its floor sees less light.
Where an action unit folds the skin follows the FACS manual (Ekman, Friesen & Hager, 2002).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from repro.compiling import compiled
from repro.data.simulator.subject import Identity


class Furrow(NamedTuple):
    """A furrow on one half of the face (x >= 0); one that crosses the midline meets its mirror image there.

    Attributes
    ----------
    line : list of tuple of float
        Corners of its course, cm.
    depth : float
        Relative depth; 1 is a clear furrow at intensity 5.
    width : float
        Standard deviation of the groove, cm.
    fold : float
        0 a groove between two rims; 1 a roll of skin on the left of the course that ends in a crease.
    """

    line: list[tuple[float, float]]
    depth: float
    width: float
    fold: float = 0.0

    def scaled(self, factor: float) -> Furrow:
        """Return the same furrow with its depth times `factor`."""
        return self._replace(depth=self.depth * factor)


def _nasolabial(s: dict[str, float]) -> list[tuple[float, float]]:
    """Return the fold from the wing of the nose to below the corner of the mouth."""
    nw, ny, mh, my = s["nose_width"], s["nose_y"], s["mouth_half"], s["mouth_y"]
    return [
        (nw + 0.45, ny + 0.55),
        (nw + 0.80, ny - 0.20),
        (nw + 1.25, ny - 1.15),
        (mh + 0.60, my + 0.45),
        (mh + 0.80, my - 0.35),
    ]


def _crow(s: dict[str, float]) -> list[Furrow]:
    """Return the fan of wrinkles beside the outer corner of the eye."""
    out = s["eye_x"] + s["eye_half"]
    return [
        Furrow([(out + 0.25, 0.18), (out + 0.9, 0.52), (out + 1.5, 1.05)], 0.85, 0.13),
        Furrow([(out + 0.30, -0.08), (out + 1.05, -0.02), (out + 1.75, 0.22)], 1.0, 0.13),
        Furrow([(out + 0.22, -0.35), (out + 0.95, -0.58), (out + 1.65, -0.75)], 1.0, 0.13),
        Furrow([(out - 0.05, -0.62), (out + 0.6, -1.10), (out + 1.2, -1.65)], 0.75, 0.13),
    ]


def _upper_face(s: dict[str, float]) -> dict[str, list[Furrow]]:
    by, ex, eh, ny = s["brow_y"], s["eye_x"], s["eye_half"], s["nose_y"]
    out = ex + eh
    # From the outer corner inwards: what lies below the course bulges.
    under = [(out - 0.05, -0.78), (ex + 0.5, -1.12), (ex - 0.6, -1.05), (ex - eh + 0.1, -0.62)]
    cheek = [(out + 0.35, -1.20), (ex + 0.8, -1.62), (ex - 0.5, -1.55), (ex - 1.5, -1.05)]
    return {
        "AU1": [
            Furrow([(0.0, by + d), (1.2, by + d + 0.12), (2.3, by + d - 0.05)], 0.8, 0.14) for d in (1.25, 2.0, 2.75)
        ],
        "AU2": [Furrow([(1.6, by + d), (3.2, by + d + 0.25), (4.6, by + d - 0.1)], 0.7, 0.14) for d in (1.4, 2.1)],
        "AU4": [
            Furrow([(0.40, by - 0.75), (0.48, by + 0.1), (0.60, by + 1.2)], 1.45, 0.16),
            Furrow([(0.95, by + 0.25), (1.15, by + 0.95)], 0.55, 0.15),
            Furrow([(-0.3, by - 1.05), (0.55, by - 1.0)], 0.45, 0.15),
        ],
        "AU6": [*[f.scaled(1.3) for f in _crow(s)], Furrow(cheek, 1.35, 0.24, 0.9)],
        "AU7": [Furrow(under, 1.0, 0.13), Furrow([(out + 0.12, -0.05), (out + 0.55, -0.02)], 0.6, 0.10)],
        "AU9": [
            Furrow([(-0.35, by - 1.10), (0.6, by - 1.05)], 0.7, 0.15),
            Furrow([(-0.3, 0.32), (0.5, 0.28), (1.0, 0.55)], 0.85, 0.17),
            Furrow([(-0.3, -0.26), (0.6, -0.28), (1.15, 0.0)], 0.9, 0.17),
            Furrow([(0.50, -1.05), (0.95, -0.80), (1.45, -0.30)], 1.05, 0.17),
            Furrow([(0.70, -1.70), (1.15, -1.35), (1.75, -0.85)], 0.95, 0.18),
            Furrow([(s["nose_width"] + 0.25, ny + 0.85), *_nasolabial(s)[1:3]], 0.7, 0.22, 0.6),
        ],
    }


def _lower_face(s: dict[str, float]) -> dict[str, list[Furrow]]:
    my, mh, nw, ny = s["mouth_y"], s["mouth_half"], s["nose_width"], s["nose_y"]
    naso = _nasolabial(s)
    return {
        "AU10": [
            Furrow(naso[:4], 1.1, 0.27, 0.8),
            Furrow([(nw + 0.15, ny - 0.75), (nw + 0.55, ny - 0.55)], 0.6, 0.14),
        ],
        "AU12": [
            Furrow(naso, 0.75, 0.28, 0.85),
            Furrow([(mh + 0.45, my + 0.45), (mh + 0.55, my - 0.05), (mh + 0.45, my - 0.5)], 0.45, 0.18),
            *[f.scaled(0.35) for f in _crow(s)[1:3]],
        ],
        "AU15": [Furrow([(mh + 0.25, my - 0.25), (mh + 0.45, my - 1.0)], 0.8, 0.18)],
        "AU17": [
            Furrow([(0.0, my - 1.5), (0.9, my - 1.55), (1.5, my - 1.9)], 1.0, 0.20),
            *[Furrow([(dx, my - 2.5), (dx + 0.12, my - 2.7)], 0.6, 0.14) for dx in (0.15, 0.5, 0.85)],
        ],
        "AU20": [Furrow([(mh + 0.6, my + 0.5), (mh + 0.8, my - 0.4), (mh + 0.6, my - 1.1)], 0.7, 0.20)],
        "AU26": [Furrow([(mh + 0.5, my + 0.6), (mh + 0.62, my - 0.6), (mh + 0.3, my - 1.7)], 0.4, 0.24)],
    }


def _age(s: dict[str, float]) -> list[Furrow]:
    """Return the lines that stay."""
    by, ex, eh = s["brow_y"], s["eye_x"], s["eye_half"]
    my, mh = s["mouth_y"], s["mouth_half"]
    under = [(ex + eh - 0.1, -0.72), (ex + 0.5, -1.10), (ex - 0.6, -1.05), (ex - eh + 0.1, -0.62)]
    return [
        Furrow(_nasolabial(s)[:4], 1.0, 0.26, 0.8),
        Furrow(under, 0.7, 0.16),
        *[f.scaled(0.5) for f in _crow(s)[:3]],
        *[Furrow([(0.0, by + d), (2.0, by + d + 0.2), (4.2, by + d - 0.15)], 0.5, 0.14) for d in (1.3, 2.1, 2.9)],
        Furrow([(0.45, by - 0.5), (0.55, by + 0.6)], 0.5, 0.14),
        Furrow([(mh + 0.25, my - 0.35), (mh + 0.40, my - 1.4)], 0.6, 0.22, 0.7),
        Furrow([(3.3, -1.75), (2.4, -1.35), (1.75, -0.55)], 0.8, 0.22, 0.5),
    ]


def furrows(identity: Identity) -> dict[str, list[Furrow]]:
    """Return the furrows of each action, and of ``"age"``, on one half of the face."""
    s = identity.shape
    return _upper_face(s) | _lower_face(s) | {"age": _age(s)}


@compiled("fast")
def _draw(
    height: np.ndarray,
    dark: np.ndarray,
    xs: np.ndarray,
    ys: np.ndarray,
    line: np.ndarray,
    depth: float,
    width: float,
    fold: float,
    floor: float,
) -> None:
    """Add one furrow to a relief `height` and its darkening `dark`, both (R, C), at positions `xs`, `ys` (cm)."""
    w = np.sqrt(width * width + floor * floor)
    scale = depth * width / w
    total = 0.0
    for k in range(len(line) - 1):
        total += np.hypot(line[k + 1, 0] - line[k, 0], line[k + 1, 1] - line[k, 1])
    reach = (4.0 + 2.5 * fold) * w
    x0, x1 = line[:, 0].min() - reach, line[:, 0].max() + reach
    y0, y1 = line[:, 1].min() - reach, line[:, 1].max() + reach
    for r in range(height.shape[0]):
        for c in range(height.shape[1]):
            x, y = xs[r, c], ys[r, c]
            if x < x0 or x > x1 or y < y0 or y > y1:
                continue
            best, along, run, side = 1e9, 0.0, 0.0, 1.0
            for k in range(len(line) - 1):
                dx, dy = line[k + 1, 0] - line[k, 0], line[k + 1, 1] - line[k, 1]
                size = dx * dx + dy * dy
                h = ((x - line[k, 0]) * dx + (y - line[k, 1]) * dy) / size
                h = min(1.0, max(0.0, h))
                px, py = x - line[k, 0] - h * dx, y - line[k, 1] - h * dy
                d = px * px + py * py
                if d < best:
                    best = d
                    along = (run + h * np.sqrt(size)) / total
                    side = 1.0 if dx * py - dy * px > 0 else -1.0
                run += np.sqrt(size)
            taper = min(1.0, 3.0 * along + 0.1) * min(1.0, 3.0 * (1 - along) + 0.1)
            q = best / (w * w)
            groove = np.exp(-0.5 * q)
            # Skin pushed out of a furrow stands up beside it; a fold hangs over its crease from one side.
            even = 0.25 * q * np.exp(-0.22 * q) - groove
            roll = side * np.sqrt(q) * np.exp(-q / (7.0 if side > 0 else 2.6))
            height[r, c] += scale * taper * 1.33 * width * ((1 - fold) * even + fold * 0.78 * roll)
            dark[r, c] = max(dark[r, c], scale * taper * groove * (1 - 0.6 * fold))


def _rounded(line: np.ndarray) -> np.ndarray:
    """Return a course (N, 2) with its corners cut twice (Chaikin), so that a fold does not break where it turns."""
    for _ in range(2):
        if len(line) > 2:
            cut = np.stack([0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]], 1).reshape(-1, 2)
            line = np.concatenate([line[:1], cut[1:-1], line[-1:]])
    return line


def relief(identity: Identity, name: str, points: np.ndarray, texel: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw the furrows of one action on both halves of the face.

    Parameters
    ----------
    identity : Identity
    name : str
        An action, or ``"age"``.
    points : ndarray, shape (R, C, 3)
        Neutral positions, cm.
    texel : float
        Spacing of the points, cm; furrows are widened to it, and flattened as much, so that no detail is lost between
        points.

    Returns
    -------
    height, dark : ndarray, shape (R, C)
        Height in cm and darkening 0..1 at full activation.
    """
    height = np.zeros(points.shape[:2])
    dark = np.zeros(points.shape[:2])
    rng = identity.rng("furrows", name)
    xs, ys = np.ascontiguousarray(points[..., 0]), np.ascontiguousarray(points[..., 1])
    back = points[..., 2] < 0
    # Skin of young people folds less sharply: shallow grooves without a dark floor.
    age = float(np.clip(0.68 + (identity.age - 22) * 0.012, 0.68, 1.15))
    for furrow in furrows(identity).get(name, []):
        for side in (-1.0, 1.0):
            bend = np.asarray(furrow.line, float) + rng.normal(0, 0.05, (len(furrow.line), 2))
            amount = furrow.depth * age * float(np.clip(rng.normal(1.0, 0.22), 0.4, 1.6))
            width = furrow.width * float(np.clip(rng.normal(1, 0.12), 0.7, 1.3))
            _draw(height, dark, side * xs, ys, _rounded(bend), amount, width, furrow.fold, 0.6 * texel)
    height[back] = 0
    dark[back] = 0
    return height, dark * min(1.0, 0.82 * age)
