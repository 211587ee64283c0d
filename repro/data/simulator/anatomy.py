"""The shape of the head: a surface over azimuth and elevation around the centre of the skull.

Head coordinates are centimetres: x to the subject's left (image right), y up, z towards the camera; the pupils lie at
y = 0 and the ear canals near z = 0. The surface is a grid: columns are azimuth, rows elevation from the vertex to
below the chin. The grid is bent so that one row runs along the line where the lips meet; there the mouth can open.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from repro.data.simulator import sdf
from repro.data.simulator.subject import Identity

# Grid on which the geometry is solved, whatever the resolution of the images.
COLUMNS, ROWS = 161, 193
LIP_ROW = 0.70
"""Row coordinate (0 vertex, 1 below the chin) of the line where the lips meet."""
_AZIMUTH = 166.0
_ELEVATION = PchipInterpolator([0.0, 0.16, 0.30, LIP_ROW, 0.86, 1.0], [88.0, 52.0, 27.0, -35.5, -58.0, -84.0])


@dataclass(frozen=True)
class Head:
    """The neutral surface of one head.

    Attributes
    ----------
    rows : ndarray, shape (P, 12)
        Primitives of the signed distance function.
    points : ndarray, shape (ROWS, COLUMNS, 3)
        Surface points, cm.
    azimuth, elevation : ndarray, shape (ROWS, COLUMNS)
        Direction of each point from the centre, degrees.
    """

    rows: np.ndarray
    points: np.ndarray
    azimuth: np.ndarray
    elevation: np.ndarray


def primitives(s: dict[str, float]) -> np.ndarray:
    """Return the rows of the signed distance function for a set of proportions (see `subject`)."""
    f, fat = s["face_length"], s["fat"]
    my, ny, tip = s["mouth_y"], s["nose_y"], s["nose_out"]
    ex, hw = s["eye_x"], s["head_width"]
    base = ny - 0.78
    rows = [
        sdf.ellipsoid((0, 2.45, -0.9), (hw, s["head_height"], 9.35), 1.0),
        sdf.ellipsoid((0, 4.1, 3.3), (hw - 1.6, 4.4, 5.35), 2.5),
        sdf.ellipsoid((0, -3.2 * f, 2.4), (s["face_width"] + fat * 0.8, 7.0 * f, 6.2), 2.4),
        sdf.capsule(
            (hw - 1.95, 0.5, 0.6),
            (s["jaw_width"] - 0.30, s["jaw_height"], 1.9),
            (1.25, s["jaw_round"] - 0.10 + fat),
            2.0,
        ),
        sdf.capsule(
            (s["jaw_width"] - 0.35, s["jaw_height"], 2.0),
            (s["chin_width"], s["chin_height"] * f + 0.1, s["chin_depth"] - 1.1),
            (s["jaw_round"] - 0.10 + fat, 1.25),
            2.2,
        ),
        sdf.ellipsoid((0.62 * s["jaw_width"], -8.1 * f, 4.4), (1.55 + 0.5 * fat, 1.35, 2.4), 2.0),
        sdf.ellipsoid(
            (0, s["chin_height"] * f + 0.1, s["chin_depth"] - 0.65), (s["chin_width"] + 1.0, 1.15, 1.35), 1.8
        ),
        sdf.ellipsoid((s["cheek_width"], -1.9, 4.6), (s["cheek_volume"], 1.6, 2.4), 2.2),
        sdf.ellipsoid((3.6, -4.6, 3.6), (2.15 + fat, 3.0, 3.0), 2.2),
        sdf.ellipsoid((3.0, -4.6, 6.0), (1.8 + fat, 2.4, 1.75 + 0.8 * fat), 1.8),
        sdf.ellipsoid((0, my + 0.1, 5.9), (2.9, 2.5, 3.0), 1.8),
        sdf.capsule((1.0, s["brow_y"] - 0.35, 7.95), (4.0, s["brow_y"] - 0.25, 5.95), (s["brow_ridge"], 0.75), 1.3),
        # Sockets and the eyeballs under their lids.
        sdf.ellipsoid((ex - 0.15, -0.05, 8.75), (1.95, 1.05, 1.35), 1.1, carve=True),
        sdf.ellipsoid((ex, 0.0, s["eye_depth"]), (1.50, 1.30, 1.30), 0.55),
        # Nose: bridge, hump, tip, wings, columella.
        sdf.capsule((0, 0.55, 8.55), (0, ny + 0.75, tip - 0.80), (s["nose_bridge"], s["nose_bridge"] - 0.02), 1.1),
        sdf.capsule((0.30, 0.20, 7.75), (0.50 * s["nose_width"] + 0.15, ny + 0.60, tip - 1.95), (0.55, 1.0), 1.1),
        sdf.ellipsoid((0, -1.2, 9.05 + s["nose_hump"]), (0.55, 1.1, 0.55), 0.6),
        sdf.ellipsoid((0, ny, tip - s["nose_tip"]), (s["nose_tip"] + 0.02, s["nose_tip"] - 0.06, s["nose_tip"]), 0.75),
        sdf.ellipsoid((s["nose_width"] + 0.08, ny - 0.20, tip - 1.85), (0.56, 0.62, 0.90), 0.42),
        sdf.capsule((0, base + 0.12, 9.25), (0, ny - 0.42 + 0.25 * s["nose_up"], tip - 0.75), (0.34, 0.34), 0.35),
        sdf.ellipsoid((0.56, base + 0.06 + 0.1 * s["nose_up"], tip - 1.30), (0.30, 0.20, 0.55), 0.22, carve=True),
        # Philtrum and lips.
        sdf.capsule((0, base - 0.25, 9.55), (0, my + 0.75, 9.55), (0.22, 0.30), 0.55, carve=True),
        sdf.capsule(
            (0.42, my + 0.36, 8.92), (s["mouth_half"] * 0.92, my + 0.05, 7.75), (0.40 + 0.25 * s["lip_up"], 0.30), 0.55
        ),
        sdf.ellipsoid((0, my + 0.22, 9.05), (0.5, 0.34, 0.45), 0.4),
        sdf.capsule(
            (0.45, my - 0.48, 8.78), (s["mouth_half"] * 0.85, my - 0.15, 7.75), (0.40 + 0.25 * s["lip_low"], 0.30), 0.55
        ),
        sdf.capsule((0, my - 1.55, 9.55), (1.4, my - 1.45, 9.0), (0.45, 0.35), 0.9, carve=True),
        # The corner's dimple and the line where the lips meet.
        sdf.ellipsoid((s["mouth_half"] + 0.2, my + 0.05, 8.5), (0.22, 0.22, 0.45), 0.5, carve=True),
        sdf.capsule(
            (0, my + 0.02, 10.05), (s["mouth_half"] * 0.96, my + s["mouth_curve"], 8.25), (0.30, 0.12), 0.35, carve=True
        ),
    ]
    return np.array(rows, float)


def directions(s: dict[str, float], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return azimuth and elevation (degrees) of the grid, each of shape (ROWS, COLUMNS)."""
    u = np.linspace(-1, 1, COLUMNS)
    v = np.linspace(0, 1, ROWS)
    azimuth = np.broadcast_to(_AZIMUTH * (0.46 * u + 0.54 * u**3), (ROWS, COLUMNS)).copy()
    elevation = np.broadcast_to(_ELEVATION(v)[:, None], (ROWS, COLUMNS)).copy()
    lip = _lip_elevation(azimuth[0], s, rows)
    shift = lip - float(_ELEVATION(LIP_ROW))
    width = np.where(v < LIP_ROW, 0.30, 0.22)
    bump = np.clip(1 - ((v - LIP_ROW) / width) ** 2, 0, 1) ** 2
    return azimuth, elevation + bump[:, None] * shift[None, :]


def _lip_elevation(azimuth: np.ndarray, s: dict[str, float], rows: np.ndarray) -> np.ndarray:
    """Return the elevation (degrees) of the line where the lips meet, at each azimuth (degrees)."""
    angle = np.radians(np.clip(azimuth, -40, 40))
    lip = np.full(len(angle), np.arctan2(s["mouth_y"], 9.0))
    for _ in range(4):
        towards = np.stack([np.sin(angle) * np.cos(lip), np.sin(lip), np.cos(angle) * np.cos(lip)], -1)
        point = towards * sdf.march(rows, np.ascontiguousarray(towards), 15.0)[:, None]
        x = np.minimum(np.abs(point[:, 0]) / s["mouth_half"], 1.3)
        # A shallow wave: lowest beside the middle, rising towards the corners.
        wanted = s["mouth_y"] + s["mouth_curve"] * x**2 + 0.05 * np.cos(2 * np.pi * np.minimum(x, 1.0)) * (x < 1)
        lip = np.arctan2(wanted, np.hypot(point[:, 0], point[:, 2]))
    return cv2.GaussianBlur(np.degrees(lip)[None, :], (0, 0), 1.5, borderType=cv2.BORDER_REPLICATE)[0]


def build(identity: Identity) -> Head:
    """Solve the neutral surface of one person."""
    s = identity.shape
    rows = primitives(s)
    azimuth, elevation = directions(s, rows)
    half = COLUMNS // 2 + 1
    a, e = np.radians(azimuth[:, :half]), np.radians(elevation[:, :half])
    towards = np.stack([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], axis=-1)
    radius = sdf.march(rows, np.ascontiguousarray(towards.reshape(-1, 3)), 15.0).reshape(towards.shape[:2])
    left = towards * radius[..., None]
    points = np.concatenate([left, left[:, -2::-1] * [-1, 1, 1]], axis=1)
    return Head(rows, points + _asymmetry(points, identity), azimuth, elevation)


def _asymmetry(points: np.ndarray, identity: Identity) -> np.ndarray:
    """Return a smooth random displacement (cm): no face is its own mirror image."""
    rng = identity.rng("skewness")
    out = np.zeros_like(points)
    for axis in range(3):
        for _ in range(5):
            wave = rng.normal(0, 0.28, 3)
            out[..., axis] += rng.normal(0, 0.045) * np.sin(points @ wave + rng.uniform(0, 2 * np.pi))
    return out


def resample(grid: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Resample a grid (ROWS, COLUMNS, C) at `rows` x `columns` points that include its borders."""
    v = np.linspace(0, grid.shape[0] - 1, rows, dtype=np.float32)
    u = np.linspace(0, grid.shape[1] - 1, columns, dtype=np.float32)
    x, y = np.meshgrid(u, v)
    flat = grid.astype(np.float32)
    parts = [cv2.remap(flat[..., i : i + 4], x, y, cv2.INTER_LINEAR) for i in range(0, flat.shape[2], 4)]
    return np.concatenate([p if p.ndim == 3 else p[..., None] for p in parts], axis=-1)


def normals(points: np.ndarray) -> np.ndarray:
    """Return outward unit normals of a grid of points (R, C, 3)."""
    down, right = np.gradient(points, axis=0), np.gradient(points, axis=1)
    n = np.cross(down, right)
    return n / np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-9)
