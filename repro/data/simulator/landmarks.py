"""The 68 iBUG landmarks of a person in each frame, and their 66-point subset of UNBC-McMaster."""

from __future__ import annotations

import numpy as np

from repro.data.simulator import actions, shading
from repro.data.simulator.anatomy import LIP_ROW, Head
from repro.data.simulator.skin import mouth_side
from repro.data.simulator.subject import Identity

UNBC_66 = tuple(i for i in range(68) if i not in (60, 64))
"""The AAM of UNBC-McMaster lacks the inner corners of the mouth."""
# Position of each eyelid point along its lid, -1 inner corner to 1 outer corner: the subject's right eye (36-41),
# then the left one.
_LID = {
    36: 1.0,
    37: 0.42,
    38: -0.38,
    39: -1.0,
    40: -0.36,
    41: 0.40,
    42: -1.0,
    43: -0.38,
    44: 0.42,
    45: 1.0,
    46: 0.40,
    47: -0.36,
}
_UPPER, _LOWER = (37, 38, 43, 44), (40, 41, 46, 47)


def _contour(head: Head) -> np.ndarray:
    """Return 17 points (17, 3) of the outline from temple to chin to temple."""
    p = head.points[(head.points[..., 2] > -1.0) & (head.elevation > -62)]
    out = np.empty((17, 3))
    for i in range(17):
        angle = np.radians(172.0 + (368.0 - 172.0) * i / 16)
        x, y = np.cos(angle), np.sin(angle)
        along = p[:, 0] * x + (p[:, 1] + 2.2) * y
        across = np.abs(-p[:, 0] * y + (p[:, 1] + 2.2) * x)
        out[i] = p[int(np.argmax(along - 3.5 * across))]
    return out


def _plane(identity: Identity, head: Head) -> np.ndarray:
    """Return face positions (x, y) of landmarks 17-67 in a (68, 2) array; eyelids as if open."""
    s = identity.shape
    out = np.zeros((68, 2))
    t = np.linspace(1.0, 0.03, 5)
    inner, outer = 1.15, s["eye_x"] + s["eye_half"] + 0.35
    x = inner + t * (outer - inner)
    rise = s["brow_arch"] * np.where(
        t < 0.66, np.sin(t / 0.66 * np.pi / 2), np.cos((t - 0.66) / 0.34 * np.pi / 2) * 1.35 - 0.35
    )
    y = s["brow_y"] - 0.10 + rise + s["brow_tilt"] * (t - 0.5)
    out[17:22] = np.stack([-x, y], -1)
    out[22:27] = np.stack([x, y], -1)[::-1]
    ny, nw = s["nose_y"], s["nose_width"]
    out[27:31] = [(0, 0.55), (0, 0.55 + 0.33 * (ny - 0.55)), (0, 0.55 + 0.67 * (ny - 0.55)), (0, ny)]
    out[31:36] = [(-nw, ny - 0.6), (-0.5 * nw, ny - 0.74), (0, ny - 0.80), (0.5 * nw, ny - 0.74), (nw, ny - 0.6)]
    out[48:68] = _mouth(s, head)
    return out


def _mouth(s: dict[str, float], head: Head) -> np.ndarray:
    row = LIP_ROW * (head.points.shape[0] - 1)
    low = int(row)
    line = head.points[low] + (row - low) * (head.points[low + 1] - head.points[low])
    line = line[(line[:, 2] > 3) & (np.abs(line[:, 0]) < 4.5)]

    def middle(x: np.ndarray) -> np.ndarray:
        return np.interp(x, line[:, 0], line[:, 1])

    def point(t: float, height: float) -> tuple[float, float]:
        x = t * s["mouth_half"]
        return x, float(middle(np.array(x))) + height

    up, down = s["lip_up"], s["lip_low"]
    outer = [
        point(-1, 0),
        point(-0.6, 0.72 * up),
        point(-0.2, 1.1 * up),
        point(0, 0.86 * up * (1 - s["cupid"])),
        point(0.2, 1.1 * up),
        point(0.6, 0.72 * up),
        point(1, 0),
        point(0.6, -0.72 * down),
        point(0.22, -down),
        point(0, -1.02 * down),
        point(-0.22, -down),
        point(-0.6, -0.72 * down),
    ]
    inner = [
        point(-0.93, 0),
        point(-0.32, 0.01),
        point(0, 0.01),
        point(0.32, 0.01),
        point(0.93, 0),
        point(0.32, -0.01),
        point(0, -0.01),
        point(-0.32, -0.01),
    ]
    return np.array(outer + inner)


def _depth(head: Head, xy: np.ndarray) -> np.ndarray:
    """Return z (cm) of the front surface at positions (N, 2), from its four nearest points."""
    p = head.points[head.points[..., 2] > 2.0]
    d = ((p[None, :, :2] - xy[:, None]) ** 2).sum(-1)
    nearest = np.argpartition(d, 4, axis=1)[:, :4]
    nearest = np.take_along_axis(nearest, np.argsort(np.take_along_axis(d, nearest, 1), axis=1), 1)
    w = 1 / (np.take_along_axis(d, nearest, 1) + 1e-6)
    return (w * p[:, 2][nearest]).sum(1) / w.sum(1)


class Landmarks:
    """Landmarks that follow pose and actions.

    Parameters
    ----------
    identity : Identity
    head : Head
    """

    def __init__(self, identity: Identity, head: Head) -> None:
        self.identity = identity
        self.points = np.zeros((68, 3))
        self.points[:, :2] = _plane(identity, head)
        place = self.points[:, :2].copy()
        s = identity.shape
        for index, e in _LID.items():
            side = 1.0 if index >= 42 else -1.0
            lift = 0.3 if index in _UPPER else (-0.3 if index in _LOWER else 0.0)
            place[index] = side * (s["eye_x"] + e * s["eye_half"]), lift
        self.points[17:, 2] = _depth(head, place[17:])
        self.points[:17] = _contour(head)
        below = np.zeros(68)
        below[[*range(0, 17), *range(55, 60), *range(65, 68)]] = 1
        at = np.concatenate([place, self.points[:, 2:]], axis=1)
        at[:17] = self.points[:17]
        shift = actions.displacement(at, mouth_side(at, below, identity), identity)
        self.shift = shift.reshape(len(actions.CHANNELS), -1)

    def positions(self, activation: np.ndarray, eyes: np.ndarray) -> np.ndarray:
        """Return head positions (F, 68, 3), cm, for activations (F, C) and the `eye_state` (F, 2, 20) of a person."""
        out = self.points + (activation @ self.shift).reshape(len(activation), 68, 3)
        for index, e in _LID.items():
            eye = eyes[:, 1 if index >= 42 else 0].astype(float)
            out[:, index, 0] += eye[:, shading.EYE_X] + eye[:, shading.EYE_SIDE] * e * eye[:, shading.EYE_HALF]
            rest = 1.0 - min(1.0, e * e)
            upper, lower = 0.65 * rest**0.5 + 0.35 * rest, 0.5 * rest**0.5 + 0.5 * rest
            base = eye[:, shading.EYE_TILT] * e
            closed = base - 0.62 * eye[:, shading.EYE_LOW] * lower
            lid = closed
            if index in _UPPER:
                top = base + eye[:, shading.EYE_UP] * upper * (1 - 0.10 * e)
                lid = top + (closed - top) * eye[:, shading.LID_UP]
            elif index in _LOWER:
                low = base - eye[:, shading.EYE_LOW] * lower * (1 + 0.12 * e)
                lid = low + (closed - low) * eye[:, shading.LID_LOW]
            out[:, index, 1] += eye[:, shading.EYE_Y] + lid
        return out


_MEMORY = 1.0
"""Seconds over which the slow part of a tracking error forgets what it was, by a factor of e."""


def mistracked(landmarks: np.ndarray, error: float, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Return landmarks as a program that tracks faces would give them.

    Each coordinate of each point is wrong by itself: half of the variance is of single frames, half drifts within about
    a second. Programs also err in ways that depend on pose and person; this is not simulated.

    Parameters
    ----------
    landmarks : ndarray, (F, 68, 2)
        In pixels.
    error : float
        Standard deviation in distances between the eyes.
    fps : float
        Frames per second.
    rng : Generator

    Returns
    -------
    ndarray, (F, 68, 2)
    """
    from scipy.signal import lfilter

    eyes = landmarks[:, [36, 39]].mean(axis=1) - landmarks[:, [42, 45]].mean(axis=1)
    distance = float(np.median(np.hypot(*eyes.T)))
    keep = float(np.exp(-1 / (_MEMORY * fps)))
    steps = rng.normal(size=landmarks.shape)
    steps[1:] *= np.sqrt(1 - keep**2)
    slow = lfilter([1.0], [1.0, -keep], steps, axis=0)
    wrong = np.sqrt(0.5) * (slow + rng.normal(size=landmarks.shape))
    return landmarks + error * distance * wrong
