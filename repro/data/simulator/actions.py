"""What the muscles do: each FACS action as a displacement of the skin.

Every action is split into a left and a right half (suffixes ``L`` and ``R``), so that a face can act unevenly.
Displacements are cm at intensity 5. The anatomy follows the FACS manual (Ekman, Friesen & Hager, 2002): which part
moves where. The furrows that go with it are in `furrows`.
"""

from __future__ import annotations

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
    ex, ny, by = s["eye_x"], s["nose_y"], s["brow_y"]
    out = ex + s["eye_half"]
    cheek = _bell(x, y, ex + 0.3, -2.6, 1.7, 1.25)
    apple = _bell(x, y, ex + 0.2, -2.2, 1.35, 0.75)
    pouch = _bell(x, y, ex + 0.1, -1.25, 1.5, 0.50)
    temple = _bell(x, y, out + 0.6, 0.1, 0.9, 0.9)
    cover = _bell(x, y, out - 0.2, by - 0.35, 1.2, 0.7)
    wing = _bell(x, y, s["nose_width"] + 0.2, ny - 0.2, 0.65, 0.8)
    side = _bell(x, y, 1.5, -2.0, 0.8, 1.1)
    root = _bell(x, y, 0.7, 0.6, 1.2, 0.9)
    brow = _bell(x, y, 1.0, by - 0.1, 1.15, 0.85)
    return {
        "AU6": (
            0.06 * cheek - 0.22 * temple,
            0.62 * cheek + 0.30 * apple + 0.30 * pouch - 0.26 * cover,
            0.24 * cheek + 0.42 * apple + 0.16 * pouch + 0.08 * cover,
        ),
        "AU7": (
            -0.06 * temple,
            0.12 * _bell(x, y, ex, -0.9, 1.5, 0.45),
            0.14 * _bell(x, y, ex, -0.85, 1.4, 0.3),
        ),
        "AU9": (
            0.18 * wing - 0.10 * root - 0.14 * brow,
            0.50 * wing
            + 0.44 * side
            - 0.30 * root
            - 0.46 * brow
            + 0.22 * _bell(x, y, 0.8, s["mouth_y"] + 0.9, 0.9, 0.7),
            0.20 * wing + 0.18 * side + 0.10 * root + 0.08 * brow,
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
    lower_lip = lower * span**0.7 * np.exp(-0.5 * (np.minimum(y - my, 0) / 1.15) ** 2)
    shelf = (1 - lower) * np.clip(1 - (x / half) ** 4, 0, 1) * np.exp(-0.5 * (np.maximum(y - my, 0) / 0.95) ** 2)
    fold = _bell(x, y, 2.3, my + 2.3, 0.9, 0.95)
    smile = _bell(x, y, 3.1, my + 2.6, 1.3, 1.3)
    hinge = np.array([-0.6, 0.3])
    # The corners follow the jaw a third of the way, with the end of the upper lip: an open mouth is round.
    end = 0.36 * _bell(x, y, half + 0.1, my, 0.8, 0.7)
    jaw = (lower * _jaw_weight(x, y, s) + (1 - lower) * end) * _smooth(z, 0.0, 3.0)
    angle = np.radians(13.0)
    return {
        "AU10": (
            0.06 * fold,
            0.60 * shelf * (0.82 + 0.18 * np.minimum(x / 1.2, 1))
            + 0.46 * fold
            + 0.20 * _bell(x, y, 1.3, s["nose_y"] - 0.2, 0.6, 0.6),
            0.05 * shelf + 0.30 * fold,
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
            jaw * (-(z - hinge[0]) * np.sin(angle)),
            jaw * (y - hinge[1]) * np.sin(angle) * 0.8,
        ),
    }


def _jaw_weight(x: np.ndarray, y: np.ndarray, s: dict[str, float]) -> np.ndarray:
    """Return how much skin follows the jaw: all of the chin, less towards the cheeks and the corners of the mouth."""
    side = 1 - 0.75 * _smooth(x, s["mouth_half"] * 0.35, s["mouth_half"] + 1.6) * _smooth(
        y, s["mouth_y"] - 3.2, s["mouth_y"] - 0.2
    )
    corner = 1 - 0.45 * _bell(x, y, s["mouth_half"] + 0.1, s["mouth_y"], 0.9, 0.9)
    return side * corner


def lower_flag(points: np.ndarray, s: dict[str, float]) -> np.ndarray:
    """Return 1 for points that hang on the lower jaw, by height alone; beside the mouth the change is gradual."""
    x, y = np.abs(points[:, 0]), points[:, 1]
    width = 0.02 + 2.2 * _smooth(x, s["mouth_half"] - 0.3, s["mouth_half"] + 1.4)
    line = s["mouth_y"] + s["mouth_curve"] * np.minimum((x / s["mouth_half"]) ** 2, 1.5) + 0.35 * width
    return _smooth(line - y, -width, width)
