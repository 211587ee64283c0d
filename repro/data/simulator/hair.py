"""Hair on the scalp and hair that hangs beside the neck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from repro.data.simulator import noise
from repro.data.simulator.anatomy import normals
from repro.data.simulator.subject import Identity

# Azimuth (degrees) at which the hair begins in front of the ear, for an elevation.
_SIDE = PchipInterpolator([-40, -12, -2, 8, 20, 30, 38], [90, 76, 70, 67, 61, 52, 40])
_THICKNESS = {"bald": 0.10, "buzz": 0.28, "short": 1.05, "tied": 0.75, "bob": 1.45, "long": 1.35}


@dataclass(frozen=True)
class Scalp:
    """Hair over a grid of directions.

    Attributes
    ----------
    alpha : ndarray, shape (R, C)
        Cover, 0..1.
    thickness : ndarray, shape (R, C)
        Outward displacement, cm.
    strand : ndarray, shape (R, C)
        Brightness variation of the strands, about zero mean and unit variance.
    inside : ndarray, shape (R, C)
        Signed distance from the hairline, degrees; positive under hair.
    """

    alpha: np.ndarray
    thickness: np.ndarray
    strand: np.ndarray
    inside: np.ndarray


def _smooth(x: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def hairline(identity: Identity, azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Return the signed distance (degrees) from the hairline."""
    rng = identity.rng("hairline")
    wave = sum(rng.normal(0, 0.35) * np.sin(azimuth * f + rng.uniform(0, 6.3)) for f in (0.09, 0.16, 0.31))
    a = np.abs(azimuth)
    front = (
        37.0
        + rng.normal(0, 1.8)
        + identity.recession * np.exp(-(((a - 30) / 14) ** 2))
        + 0.35 * identity.recession
        + wave
    )
    front -= identity.fringe * (17.0 + 2 * wave) * np.exp(-((a / 58) ** 6))
    low = np.where(a < 82, -5.0 + rng.normal(0, 3.0), -30.0)
    side_shift: float | np.ndarray = 0.0
    if identity.style in ("long", "bob"):
        low, side_shift = np.where(a < 60, -5.0, -70.0), -5.0 * _smooth(-elevation, -30.0, 0.0)
    if identity.style == "bald":
        front = np.full_like(a, 78.0) + 6 * np.cos(np.radians(azimuth)) + 14 * np.exp(-((a / 60) ** 4))
        low = np.where(a < 82, 0.0, -30.0)
        side_shift = 6.0 * _smooth(elevation, 5.0, 45.0) * np.ones_like(a)
        beside = (a - 62.0 - side_shift) * 0.8
    else:
        beside = (a - _SIDE(np.clip(elevation, -40, 38)) - side_shift) * 0.9
    top = elevation - front
    side = np.minimum(beside + 0.6 * wave, elevation - low)
    return np.maximum(top, side)


def scalp(identity: Identity, azimuth: np.ndarray, elevation: np.ndarray, texel: float) -> Scalp:
    """Grow hair over a grid of directions (degrees)."""
    inside = hairline(identity, azimuth, elevation)
    rng = identity.rng("strands")
    # Strands radiate from the parting, or from the face when the hair is combed back.
    origin = (identity.parting, 66.0) if identity.style in ("long", "bob") or identity.parting > 12 else (0.0, -25.0)
    dx = (azimuth - origin[0]) * np.cos(np.radians(np.clip(elevation, -60, 75)))
    dy = elevation - origin[1]
    angle = np.arctan2(dx, dy) * (256 / (2 * np.pi))
    radius = np.hypot(dx, dy)
    wobble = 1.2 * noise.sample(noise.lattice(rng), azimuth * 0.10, elevation * 0.10)
    strand = np.zeros(azimuth.shape, np.float32)
    for frequency, amplitude in ((0.5, 0.75), (1.0, 0.6), (3.0, 0.6)):
        weight = float(np.clip(0.9 / frequency / texel * 0.5, 0.0, 1.0))
        strand += (
            amplitude * weight * noise.sample(noise.lattice(rng, stretch=6.0), angle * frequency + wobble, radius * 0.5)
        )
    # Hairs thin out over a finger's breadth; a fringe ends sooner.
    cropped = identity.style in ("buzz", "bald")
    ragged = 0.6 if cropped else 1.0
    softness = 2.6 if cropped else 2.2 - 0.8 * float(identity.fringe > 0)
    alpha = _smooth(inside + ragged * strand, -softness, softness + 1.4)
    locks = noise.sample(noise.lattice(rng, stretch=4.0), angle * 0.22 + wobble, radius * 0.25)
    if identity.style == "bald":
        alpha = 0.55 * alpha * _smooth(-elevation, -75.0, -30.0)
    if identity.style == "buzz":
        alpha = alpha * 0.86
    depth = _THICKNESS[identity.style] * (1.0 + 0.12 * float(np.clip(rng.normal(), -2, 2)))
    crown = 0.65 + 0.35 * _smooth(elevation, 15.0, 50.0)
    ramp = _smooth(inside, -0.5, 15.0) * 0.85 + 0.15 * _smooth(inside, -1.0, 2.5)
    if identity.fringe > 0:
        ramp = np.maximum(ramp, 0.6 * _smooth(inside, -0.5, 3.5))
    thickness = depth * crown * ramp * (1 + (0.05 if cropped else 0.16) * np.clip(locks, -2, 2))
    thickness += 0.05 * strand * depth * _smooth(inside, 0, 8)
    return Scalp(alpha, np.maximum(thickness, 0.0), strand, inside)


def curtain(
    identity: Identity, points: np.ndarray, texel: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Return hair that hangs from the head of people with long hair.

    Returns
    -------
    positions (R, C, 3), attributes (R, C, 8), normals (R, C, 3), stiffness (R, C) or None without long hair
        Attributes as `shading.shade` reads them.
    """
    if identity.style not in ("long", "bob"):
        return None
    rng = identity.rng("curtain")
    long = identity.style == "long"
    bottom = rng.uniform(-19, -15) if long else rng.uniform(-10.5, -7.0)
    v = np.linspace(0, 1, 26)[:, None]
    u = np.linspace(-1, 1, int(np.clip(11 / texel, 48, 130)))[None, :]
    y = 5.5 + (bottom - 5.5) * v + 0 * u
    drop = _smooth(-y, -2.0, 9.0)
    # The top is tucked under the hair of the scalp; a bob turns in at the end.
    tuck = _smooth(5.5 - y, 0.0, 3.2)
    out = identity.shape["head_width"] - 0.5 + (1.7 + (0.2 if long else 0.5) * np.sin(np.pi * v)) * tuck
    out = out - ((0.4 if long else 1.7) * drop * _smooth(v, 0.6, 1.0))
    edge = noise.sample(noise.lattice(rng), 0 * u + v * 10, 0 * u + np.sign(u) * 40 + 50)
    front = 66.0 - (15.0 if long else 9.0) * drop + rng.normal(0, 3) + 4.0 * edge * drop
    azimuth = np.sign(u) * (180 - (180 - front) * np.abs(u) ** 0.7)
    azimuth = np.where(u == 0, 180.0, azimuth)
    # Locks run down the hair; each waves in its own phase.
    locks = noise.sample(noise.lattice(rng, stretch=8.0), u * 22 + 0 * v, v * 12 + 0 * u)
    strands = noise.sample(noise.lattice(rng, stretch=8.0), u * 60 + 0 * v, v * 20 + 0 * u)
    fine = noise.sample(noise.lattice(rng, stretch=8.0), u * 150 + 0 * v, v * 20 + 0 * u)
    phase = 2.5 * noise.sample(noise.lattice(rng, stretch=8.0), u * 14 + 0 * v, v * 6 + 0 * u)
    curl = float(rng.choice([0.10, 0.30, 0.55])) * _smooth(v, 0.15, 0.6)
    turns = rng.uniform(3.0, 5.0) * (bottom - 5.5) / -22.0
    swing = np.sin(2 * np.pi * turns * v + phase)
    azimuth = azimuth + 5.0 * curl * np.cos(2 * np.pi * turns * v + phase) * np.sign(u)
    angle = np.radians(azimuth)
    radius = out + (0.30 * locks + 0.08 * strands) * tuck + 0.6 * curl * swing
    depth = 8.6 + 0.6 * drop + (1.2 * _smooth(-y, 9.0, 16.0) if long else 0.0)
    x = radius * np.sin(angle)
    z = -0.4 + (depth + 0.2 * locks) * np.cos(angle)
    y = y - (0.7 * locks + 0.35 * strands + 0.25 * fine) * v**3
    positions = np.stack([x, y, z], -1)
    round_ = np.stack([np.sin(angle), 0.08 + 0 * y, np.cos(angle)], -1)
    relief = normals(positions)
    relief = relief * np.sign((relief * round_).sum(-1, keepdims=True))
    across = np.stack([np.cos(angle), 0 * y, -np.sin(angle)], -1)
    normal = 0.5 * round_ + 0.5 * relief + 0.22 * strands[..., None] * across
    hidden = 1 - 0.72 * _smooth(np.abs(azimuth), 75.0, 115.0)
    tone = np.clip(1 + 0.20 * locks + 0.26 * strands + 0.18 * fine, 0.35, 1.9)
    tone = tone * hidden * (1 - 0.25 * _smooth(-y, 3.0, 9.0) * _smooth(np.abs(azimuth), 60, 80))
    colour = np.asarray(identity.hair) * tone[..., None]
    gloss = -(0.5 + 0.5 * np.clip(strands + 0.5 * swing, 0, 2)) * hidden
    open_ = hidden * np.clip(0.80 + 0.12 * locks, 0.4, 1.0)
    attributes = np.concatenate([colour, np.stack([gloss, open_, 0.9 * hidden, 0.2 + 0 * y, 0 * y], -1)], -1)
    stiffness = 1 - 0.75 * _smooth(-y, 2.0, 15.0)
    return positions, attributes, normal, stiffness
