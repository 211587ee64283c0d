"""The head as a signed distance function: smooth unions of ellipsoids and tapered capsules.

A primitive is a row of 12 numbers: kind (0 ellipsoid, 1 capsule), operation (0 add, 1 carve), blend radius, then for
an ellipsoid its centre and radii (6) and for a capsule its two ends (6) and its two radii. Smooth union after Inigo
Quilez' polynomial minimum.
"""

from __future__ import annotations

import numpy as np

from repro.compiling import compiled

COLUMNS = 12


def ellipsoid(centre: tuple, radii: tuple, blend: float, *, carve: bool = False) -> list[float]:
    """Return the row of an ellipsoid."""
    return [0.0, float(carve), blend, *centre, *radii, 0.0, 0.0, 0.0]


def capsule(start: tuple, end: tuple, radii: tuple, blend: float, *, carve: bool = False) -> list[float]:
    """Return the row of a capsule whose radius goes from ``radii[0]`` to ``radii[1]``."""
    return [1.0, float(carve), blend, *start, *end, *radii, 0.0]


@compiled("fast", inline=True)
def _primitive(row: np.ndarray, x: float, y: float, z: float) -> float:
    if row[0] == 0.0:
        px, py, pz = x - row[3], y - row[4], z - row[5]
        a, b, c = px / row[6], py / row[7], pz / row[8]
        inner = np.sqrt(a * a + b * b + c * c)
        a, b, c = a / row[6], b / row[7], c / row[8]
        outer = np.sqrt(a * a + b * b + c * c) + 1e-9
        return inner * (inner - 1.0) / outer
    dx, dy, dz = row[6] - row[3], row[7] - row[4], row[8] - row[5]
    px, py, pz = x - row[3], y - row[4], z - row[5]
    h = (px * dx + py * dy + pz * dz) / (dx * dx + dy * dy + dz * dz)
    h = min(1.0, max(0.0, h))
    px, py, pz = px - h * dx, py - h * dy, pz - h * dz
    return np.sqrt(px * px + py * py + pz * pz) - (row[9] + h * (row[10] - row[9]))


@compiled("fast")
def distance(rows: np.ndarray, x: float, y: float, z: float) -> float:
    """Return the signed distance (cm, negative inside) of one point; the head is symmetric in x."""
    # A rounded |x| keeps mirrored parts from meeting in a crease at the midline.
    x = np.sqrt(x * x + 0.0144)
    value = 1e3
    for i in range(rows.shape[0]):
        d = _primitive(rows[i], x, y, z)
        k = rows[i, 2]
        if rows[i, 1] == 0.0:
            h = max(k - abs(value - d), 0.0) / k
            value = min(value, d) - h * h * k * 0.25
        else:
            h = max(k - abs(value + d), 0.0) / k
            value = max(value, -d) + h * h * k * 0.25
    return value


@compiled("fast")
def march(rows: np.ndarray, direction: np.ndarray, start: float) -> np.ndarray:
    """Return how far (cm) the surface is from the origin along each direction (N, 3), seen from outside."""
    out = np.empty(direction.shape[0])
    for i in range(direction.shape[0]):
        dx, dy, dz = direction[i]
        r = start
        for _ in range(60):
            d = distance(rows, r * dx, r * dy, r * dz)
            r -= 0.9 * d
            if d < 2e-3:
                break
        out[i] = r
    return out


@compiled("fast")
def occlusion(rows: np.ndarray, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return ambient occlusion in 0..1 (1 open) from distances along the normal."""
    out = np.empty(points.shape[0])
    for i in range(points.shape[0]):
        total, weight = 0.0, 1.0
        for step in (0.25, 0.6, 1.2, 2.2):
            d = distance(
                rows,
                points[i, 0] + step * normals[i, 0],
                points[i, 1] + step * normals[i, 1],
                points[i, 2] + step * normals[i, 2],
            )
            total += weight * max(0.0, step - d) / step
            weight *= 0.8
        out[i] = max(0.0, 1.0 - 0.55 * total)
    return out


@compiled("fast")
def shadow(rows: np.ndarray, points: np.ndarray, light: np.ndarray, softness: float) -> np.ndarray:
    """Return how much of a light of direction `light` (3,) each point (N, 3) sees, 0..1."""
    out = np.empty(points.shape[0])
    for i in range(points.shape[0]):
        seen, t = 1.0, 0.35
        for _ in range(14):
            d = distance(rows, points[i, 0] + t * light[0], points[i, 1] + t * light[1], points[i, 2] + t * light[2])
            seen = min(seen, 0.5 + 0.5 * softness * d / t)
            if seen <= 0.0 or t > 8.0:
                break
            t += max(0.15, d)
        out[i] = min(1.0, max(0.0, seen)) ** 2 * (3 - 2 * min(1.0, max(0.0, seen)))
    return out
