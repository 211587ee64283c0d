"""What the muscles do: each FACS action as a displacement of the skin and a relief of furrows.

Every action is split into a left and a right half (suffixes ``L`` and ``R``), so that a face can act unevenly.
Displacements are cm at intensity 5; the relief is a height in cm whose gradient bends the normals, and `crease` the
darkening of its furrows. The anatomy follows the FACS manual (Ekman, Friesen & Hager, 2002): which part moves where,
and which furrows appear.
"""

from __future__ import annotations

import numba
import numpy as np

from repro.data.simulator.subject import Identity

ACTIONS = (
    "AU1",
    "AU2",
    "AU4",
    "AU6",
    "AU7",
    "AU9",
    "AU10",
    "AU12",
    "AU15",
    "AU17",
    "AU18",
    "AU20",
    "AU25",
    "AU26",
    "AU43",
)
"""Actions that move the face. AU43 (eyes closed) and AU45 (blink) share the lids; time decides which is coded."""
CHANNELS = tuple(f"{name}{side}" for name in ACTIONS for side in "LR")
"""Names of the columns of an activation matrix; values are intensities over 5, so 0..1."""


def _bell(x: np.ndarray, y: np.ndarray, cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
    return np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))


def _smooth(x: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def displacement(points: np.ndarray, lower: np.ndarray, identity: Identity) -> np.ndarray:
    """Return the displacement of every channel.

    Parameters
    ----------
    points : ndarray, shape (N, 3)
        Neutral positions, cm.
    lower : ndarray, shape (N,)
        1 where a point hangs on the lower lip and jaw, 0 where on the upper lip; it decides between two points of
        equal position.
    identity : Identity

    Returns
    -------
    ndarray, shape (len(CHANNELS), N, 3)
        cm at full activation, float32.
    """
    s = identity.shape
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    front = _smooth(z, 0.5, 4.0)
    fields = _brow_fields(x, y, s) | _mid_fields(x, y, s) | _mouth_fields(x, y, z, lower, s)
    left = _smooth(points[:, 0], -0.7, 0.7)
    out = np.zeros((len(CHANNELS), len(points), 3), np.float32)
    for i, channel in enumerate(CHANNELS):
        name, side = channel[:-1], channel[-1]
        if name not in fields:
            continue
        dx, dy, dz = fields[name]
        mask = front * (left if side == "L" else 1 - left) * identity.gains.get(name, 1.0)
        out[i, :, 0] = dx * mask * np.sign(points[:, 0])
        out[i, :, 1] = dy * mask
        out[i, :, 2] = dz * mask
    out[np.abs(out) < 1e-5] = 0.0
    return out


Field = tuple[np.ndarray, np.ndarray, np.ndarray]


def _brow_fields(x: np.ndarray, y: np.ndarray, s: dict[str, float]) -> dict[str, Field]:
    by = s["brow_y"]
    nil = np.zeros_like(x)
    inner = _bell(x, y, 1.1, by, 1.3, 1.15)
    middle = _bell(x, y, 2.9, by + 0.1, 1.6, 1.1)
    outer = _bell(x, y, 4.6, by, 1.4, 1.2)
    glabella = _bell(x, y, 0.0, by - 0.3, 0.75, 0.8)
    au4 = (
        -0.42 * inner - 0.18 * middle,
        -0.62 * inner - 0.42 * middle - 0.18 * glabella,
        0.10 * inner + 0.12 * _bell(x, y, 0.9, by - 0.5, 0.5, 0.5),
    )
    return {
        "AU1": (-0.05 * inner, 0.62 * inner + 0.1 * middle, nil),
        "AU2": (nil, 0.62 * outer + 0.35 * middle, nil),
        "AU4": au4,
    }


def _mid_fields(x: np.ndarray, y: np.ndarray, s: dict[str, float]) -> dict[str, Field]:
    ex, ny = s["eye_x"], s["nose_y"]
    nil = np.zeros_like(x)
    cheek = _bell(x, y, ex + 0.3, -2.6, 1.7, 1.25)
    pouch = _bell(x, y, ex + 0.1, -1.35, 1.5, 0.55)
    wing = _bell(x, y, s["nose_width"] + 0.2, ny - 0.2, 0.65, 0.8)
    side = _bell(x, y, 1.5, -2.0, 0.8, 1.1)
    root = _bell(x, y, 0.7, 0.6, 1.2, 0.9)
    return {
        "AU6": (0.06 * cheek, 0.62 * cheek + 0.30 * pouch, 0.24 * cheek + 0.12 * pouch),
        "AU7": (nil, 0.10 * _bell(x, y, ex, -0.9, 1.5, 0.45), 0.10 * _bell(x, y, ex, -0.85, 1.4, 0.3)),
        "AU9": (
            0.10 * wing - 0.10 * root,
            0.42 * wing + 0.38 * side - 0.36 * root + 0.20 * _bell(x, y, 0.9, s["mouth_y"] + 0.6, 1.0, 0.7),
            0.16 * wing + 0.16 * side + 0.08 * root,
        ),
    }


def _mouth_fields(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, lower: np.ndarray, s: dict[str, float]
) -> dict[str, Field]:
    my, half = s["mouth_y"], s["mouth_half"]
    nil = np.zeros_like(x)
    corner = _bell(x, y, half, my, 1.25, 1.15)
    # The two lips part between the corners only; `lower` separates them at the line where they meet.
    span = np.clip(1 - (x / half) ** 2, 0, 1) ** 0.75
    upper_lip = (1 - lower) * span * np.exp(-0.5 * (np.maximum(y - my, 0) / 0.95) ** 2)
    lower_lip = lower * span * np.exp(-0.5 * (np.minimum(y - my, 0) / 1.15) ** 2)
    shelf = (1 - lower) * np.clip(1 - (x / half) ** 4, 0, 1) * np.exp(-0.5 * (np.maximum(y - my, 0) / 0.95) ** 2)
    fold = _bell(x, y, 2.15, my + 2.6, 0.85, 0.95)
    smile = _bell(x, y, 3.1, my + 2.6, 1.3, 1.3)
    hinge = np.array([-0.6, 0.3])
    jaw = np.maximum(lower, 0) * _smooth(z, 0.0, 3.0)
    angle = np.radians(13.0)
    return {
        "AU10": (
            0.06 * fold,
            0.52 * shelf * (0.75 + 0.25 * np.minimum(x / 1.2, 1))
            + 0.40 * fold
            + 0.20 * _bell(x, y, 1.3, s["nose_y"] - 0.2, 0.6, 0.6),
            0.05 * shelf + 0.20 * fold,
        ),
        "AU12": (0.62 * corner + 0.1 * smile, 0.68 * corner + 0.42 * smile, -0.10 * corner + 0.20 * smile),
        "AU15": (0.05 * corner, -0.62 * corner, nil),
        "AU17": (
            nil,
            0.50 * _bell(x, y, 0.0, my - 2.1, 1.7, 1.1) + 0.22 * lower_lip,
            0.20 * _bell(x, y, 0, my - 2.4, 1.2, 0.8),
        ),
        "AU18": (-0.75 * corner, nil, 0.35 * _bell(x, y, 0, my, 1.6, 0.9)),
        "AU20": (0.72 * corner, -0.18 * corner, -0.25 * corner),
        "AU25": (nil, 0.14 * upper_lip - 0.46 * lower_lip, 0.05 * lower_lip),
        "AU26": (
            nil,
            jaw * (-(z - hinge[0]) * np.sin(angle)) * _jaw_weight(x, y, s),
            jaw * (y - hinge[1]) * np.sin(angle) * 0.8 * _jaw_weight(x, y, s),
        ),
    }


def _jaw_weight(x: np.ndarray, y: np.ndarray, s: dict[str, float]) -> np.ndarray:
    """Return how much skin follows the jaw: all of the chin, less towards the cheeks and the corners of the mouth."""
    side = 1 - 0.75 * _smooth(x, s["mouth_half"] * 0.35, s["mouth_half"] + 1.6) * _smooth(
        y, s["mouth_y"] - 3.2, s["mouth_y"] - 0.2
    )
    corner = 1 - 0.62 * _bell(x, y, s["mouth_half"] + 0.1, s["mouth_y"], 0.9, 0.9)
    return side * corner


def lower_flag(points: np.ndarray, s: dict[str, float]) -> np.ndarray:
    """Return 1 for points that hang on the lower jaw, by height alone; beside the mouth the change is gradual."""
    x, y = np.abs(points[:, 0]), points[:, 1]
    width = 0.02 + 2.2 * _smooth(x, s["mouth_half"] - 0.3, s["mouth_half"] + 1.4)
    line = s["mouth_y"] + s["mouth_curve"] * np.minimum((x / s["mouth_half"]) ** 2, 1.5) + 0.35 * width
    return _smooth(line - y, -width, width)


# A furrow is a polyline on one half of the face (x >= 0) with a relative depth and a width in cm.
Stroke = tuple[list[tuple[float, float]], float, float]


def strokes(identity: Identity) -> dict[str, list[Stroke]]:
    """Return the furrows of each action on one half of the face."""
    s = identity.shape
    by, ex, ny, my = s["brow_y"], s["eye_x"], s["nose_y"], s["mouth_y"]
    eh, nw, mh = s["eye_half"], s["nose_width"], s["mouth_half"]
    out = ex + eh
    naso = [
        (nw + 0.50, ny + 0.55),
        (nw + 0.80, ny - 0.25),
        (nw + 1.25, ny - 1.25),
        (mh + 0.65, my + 0.35),
        (mh + 0.75, my - 0.35),
    ]
    crow = [
        ([(out + 0.25, 0.15), (out + 0.9, 0.45), (out + 1.5, 0.95)], 0.9, 0.10),
        ([(out + 0.30, -0.10), (out + 1.05, -0.05), (out + 1.75, 0.15)], 1.0, 0.10),
        ([(out + 0.20, -0.35), (out + 0.95, -0.55), (out + 1.6, -0.75)], 1.0, 0.10),
        ([(out - 0.05, -0.62), (out + 0.6, -1.05), (out + 1.2, -1.55)], 0.7, 0.10),
    ]
    under = [(ex - eh + 0.1, -0.62), (ex - 0.6, -1.05), (ex + 0.5, -1.10), (out - 0.1, -0.72)]
    return {
        "AU1": [([(0.0, by + d), (1.2, by + d + 0.12), (2.3, by + d - 0.05)], 0.8, 0.12) for d in (1.25, 2.0, 2.75)],
        "AU2": [([(1.6, by + d), (3.2, by + d + 0.25), (4.6, by + d - 0.1)], 0.7, 0.12) for d in (1.4, 2.1)],
        "AU4": [
            ([(0.42, by - 0.75), (0.52, by + 0.1), (0.62, by + 1.25)], 1.7, 0.13),
            ([(0.95, by + 0.25), (1.15, by + 0.95)], 0.6, 0.13),
            ([(0.0, by - 1.05), (0.55, by - 1.0)], 0.7, 0.12),
        ],
        "AU6": [*crow, ([(ex - 1.5, -1.15), (ex - 0.5, -1.75), (ex + 0.8, -1.85), (out + 0.2, -1.45)], 1.1, 0.17)],
        "AU7": [(under, 1.1, 0.11), ([(out + 0.12, -0.05), (out + 0.55, -0.02)], 0.6, 0.09)],
        "AU9": [
            ([(0.0, 0.42), (0.6, 0.35), (1.0, 0.6)], 1.1, 0.12),
            ([(0.0, -0.15), (0.7, -0.20), (1.15, 0.05)], 1.2, 0.12),
            ([(0.55, -0.9), (0.95, -0.75), (1.35, -0.35)], 1.3, 0.13),
            ([(0.75, -1.45), (1.15, -1.2), (1.6, -0.85)], 1.1, 0.13),
            (naso[:3], 0.9, 0.22),
        ],
        "AU10": [(naso[:4], 1.15, 0.27), ([(nw + 0.15, ny - 0.75), (nw + 0.55, ny - 0.55)], 0.7, 0.13)],
        "AU12": [
            (naso, 0.55, 0.28),
            ([(mh + 0.75, my + 0.5), (mh + 0.95, my - 0.15), (mh + 0.85, my - 0.7)], 0.5, 0.18),
            *[(p, 0.35 * d, w) for p, d, w in crow[1:3]],
        ],
        "AU15": [([(mh + 0.25, my - 0.25), (mh + 0.45, my - 1.0)], 0.9, 0.15)],
        "AU17": [
            ([(0.0, my - 1.5), (0.9, my - 1.55), (1.5, my - 1.9)], 1.0, 0.18),
            *[([(dx, my - 2.5), (dx + 0.12, my - 2.7)], 0.6, 0.13) for dx in (0.15, 0.5, 0.85)],
        ],
        "AU20": [([(mh + 0.6, my + 0.5), (mh + 0.8, my - 0.4), (mh + 0.6, my - 1.1)], 0.8, 0.16)],
        "AU26": [([(mh + 0.5, my + 0.6), (mh + 0.62, my - 0.6), (mh + 0.3, my - 1.7)], 0.5, 0.2)],
        # Lines that stay: drawn with age by `skin`.
        "age": [
            (naso[:4], 1.1, 0.26),
            (under, 0.7, 0.14),
            *[(p, 0.5 * d, w) for p, d, w in crow[:3]],
            *[([(0.0, by + d), (2.0, by + d + 0.2), (4.2, by + d - 0.15)], 0.55, 0.12) for d in (1.3, 2.1, 2.9)],
            ([(0.45, by - 0.5), (0.55, by + 0.6)], 0.5, 0.12),
            ([(mh + 0.2, my - 0.35), (mh + 0.35, my - 1.3)], 0.6, 0.16),
            ([(1.75, -0.55), (2.4, -1.35), (3.3, -1.75)], 0.9, 0.2),
        ],
    }


@numba.njit(cache=True, fastmath=True)
def draw_stroke(
    height: np.ndarray,
    dark: np.ndarray,
    xs: np.ndarray,
    ys: np.ndarray,
    line: np.ndarray,
    depth: float,
    width: float,
    floor: float,
) -> None:
    """Add one furrow to a relief `height` and its darkening `dark`, both (R, C), at positions `xs`, `ys` (cm)."""
    w = np.sqrt(width * width + floor * floor)
    scale = depth * width / w
    total = 0.0
    for k in range(len(line) - 1):
        total += np.hypot(line[k + 1, 0] - line[k, 0], line[k + 1, 1] - line[k, 1])
    x0, x1 = line[:, 0].min() - 4 * w, line[:, 0].max() + 4 * w
    y0, y1 = line[:, 1].min() - 4 * w, line[:, 1].max() + 4 * w
    for r in range(height.shape[0]):
        for c in range(height.shape[1]):
            x, y = xs[r, c], ys[r, c]
            if x < x0 or x > x1 or y < y0 or y > y1:
                continue
            best, along, run = 1e9, 0.0, 0.0
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
                run += np.sqrt(size)
            taper = min(1.0, 4.0 * along + 0.25) * min(1.0, 4.0 * (1 - along) + 0.25)
            q = best / (w * w)
            groove = np.exp(-0.5 * q)
            # Skin pushed out of a furrow stands up beside it.
            rim = 0.45 * q * np.exp(-0.22 * q)
            height[r, c] += scale * taper * 0.16 * width / 0.12 * (0.55 * rim - groove)
            dark[r, c] = max(dark[r, c], scale * taper * groove)


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
    # Skin of young people folds less sharply.
    age = float(np.clip(0.75 + (identity.age - 25) * 0.012, 0.7, 1.25))
    for line, depth, width in strokes(identity).get(name, []):
        for side in (-1.0, 1.0):
            bend = np.asarray(line, float) + rng.normal(0, 0.05, (len(line), 2))
            amount = depth * age * float(np.clip(rng.normal(1.0, 0.22), 0.4, 1.6))
            draw_stroke(
                height,
                dark,
                side * xs,
                ys,
                bend,
                amount,
                width * float(np.clip(rng.normal(1, 0.12), 0.7, 1.3)),
                0.6 * texel,
            )
    height[back] = 0
    dark[back] = 0
    return height, dark
