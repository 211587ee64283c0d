"""Ears, neck, shoulders, clothes and glasses: coloured meshes around the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repro.data.simulator import kernels, noise
from repro.data.simulator.anatomy import Head, normals
from repro.data.simulator.subject import Identity


@dataclass(frozen=True)
class Part:
    """A grid of coloured points.

    Attributes
    ----------
    points, normals : ndarray, shape (R, C, 3)
        cm.
    attributes : ndarray, shape (R, C, 8)
        Albedo RGB, gloss (negative for hair), occlusion, shadow, softness, unused.
    stiffness : ndarray, shape (R, C)
        1 follows the head, 0 stays with the body.
    material : int
        ``kernels.SOLID`` or ``kernels.SHEET``.
    """

    points: np.ndarray
    normals: np.ndarray
    attributes: np.ndarray
    stiffness: np.ndarray
    material: int


def _smooth(x: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _attributes(
    colour: np.ndarray, gloss: float | np.ndarray, ao: np.ndarray, shadow: np.ndarray, soft: float | np.ndarray
) -> np.ndarray:
    shape = colour.shape[:-1]
    extra = np.stack([np.broadcast_to(a, shape) for a in (gloss, ao, shadow, soft, 0.0)], -1)
    return np.concatenate([colour, extra], -1)


def ear(identity: Identity, head: Head, side: float) -> Part:
    """Build one ear: a shell in polar coordinates with helix, antihelix, concha and lobe; `side` is -1 or 1."""
    rng = identity.rng("ear", "L" if side > 0 else "R")
    size = identity.shape["ear"]
    angle = np.linspace(0, 2 * np.pi, 27)[None, :]
    rho = np.linspace(0, 1, 10)[:, None] ** 0.85
    # Outline: wide above, narrow at the lobe, straight where it joins the head.
    c, s = np.cos(angle), np.sin(angle)
    width = np.where(c > 0, 1.75 + 0.20 * s, 1.05) * (1 - 0.20 * _smooth(-s, 0.2, 1.0))
    a = rho * width * c * size
    b = rho * 3.15 * s * size
    rim = np.exp(-(((rho - 0.90) / 0.10) ** 2)) * _smooth(s + 0.55 + 0.4 * c, 0.0, 0.5)
    anti = np.exp(-(((rho - 0.62) / 0.10) ** 2)) * _smooth(c + 0.35, -0.1, 0.5) * _smooth(s + 0.7, 0.0, 0.4)
    bowl = np.exp(-(((rho * c - 0.05) / 0.38) ** 2 + ((rho * s + 0.08) / 0.32) ** 2))
    groove = np.exp(-(((rho - 0.76) / 0.06) ** 2)) * _smooth(c + 0.4, 0.0, 0.5) * _smooth(s + 0.5, 0.0, 0.4)
    lift = 0.34 * rim + 0.26 * anti - 0.55 * bowl - 0.12 * groove
    flare = np.radians(identity.shape["ear_angle"] + rng.normal(0, 2))
    back = np.array([side * np.sin(flare), 0.0, -np.cos(flare)])
    up = np.array([side * 0.10, 0.985, -0.16])
    out = np.cross(up, back) * -side
    out /= np.linalg.norm(out)
    if out[2] < 0:
        out = -out
    # Where the skull is widest at ear height.
    row = np.abs(head.points[..., 1] + 1.0) < 0.6
    near = row & (np.abs(head.points[..., 2] - 0.3) < 0.8)
    x = float(np.abs(head.points[..., 0][near]).mean()) if near.any() else 7.0
    centre = np.array([side * (x - 0.05), -0.9 + rng.normal(0, 0.15), -0.2]) + 0.95 * size * back
    points = centre + a[..., None] * back + b[..., None] * up + lift[..., None] * out
    n = normals(points)
    if (n[4:8] @ out).mean() < 0:
        n = -n
    n = n + 0.25 * out
    ao = np.clip(1 - 0.75 * bowl - 0.40 * groove + 0.1 * rim - 0.55 * _smooth(-c * rho, 0.35, 0.95), 0.15, 1)
    flush = 0.18 + 0.18 * rim + 0.12 * _smooth(-s, 0.4, 1.0)
    fair = 1 - 0.75 * identity.melanin
    colour = (
        np.asarray(identity.skin)
        * np.exp(-flush[..., None] * fair * np.array([0.1, 1.0, 0.9]))
        * (0.55 + 0.45 * ao[..., None])
    )
    attributes = _attributes(colour, 0.45 * identity.gloss, ao, 0.5 + 0.5 * ao, 1.3)
    return Part(points, n, attributes, np.ones(points.shape[:2]), kernels.SHEET)


def torso(identity: Identity, texel: float, light: np.ndarray) -> Part:
    """Build neck, shoulders and clothes as one surface around the vertical axis."""
    s = identity.shape
    rng = identity.rng("clothes")
    count = int(np.clip(10.0 / texel, 40, 110))
    # Denser where the neckline is.
    y = -2.6 - 31.4 * np.linspace(0, 1, count)[:, None] ** 1.25
    azimuth = np.radians(np.linspace(-118, 118, 45))[None, :]
    neck, wide = s["neck"], s["shoulder"]
    # The trapezius runs from the neck to the shoulders; below them the chest is a broad ellipse.
    slope = _smooth(-y, 12.2, 20.5)
    rx = (
        neck * (1 + 0.10 * _smooth(y, -10.0, -5.0))
        + (wide - neck) * slope**0.75
        + 0.6 * np.exp(-(((y + 12.5) / 2.0) ** 2))
    )
    rz = neck * 0.98 + 3.2 * _smooth(-y, 13.5, 24.0)
    cz = -2.3 + 0.10 * (y + 12.0) * (y > -12) + 1.6 * _smooth(-y, 14.0, 26.0)
    x = rx * np.sin(azimuth)
    z = cz + rz * np.sign(np.cos(azimuth)) * np.abs(np.cos(azimuth)) ** 0.8
    yy = np.broadcast_to(y, x.shape).copy()
    # The front of the shoulders' line falls towards the sides.
    yy = yy - 1.2 * slope * np.sin(azimuth) ** 2
    ax = np.abs(x)
    strap = neck * (0.92 - 0.070 * (-yy - 5.0))
    sterno = np.exp(-(((ax - np.maximum(strap, 0.4)) / 0.75) ** 2)) * _smooth(yy, -16.0, -14.0) * (np.cos(azimuth) > 0)
    notch = np.exp(-((ax / 0.9) ** 2 + ((yy + 15.6) / 0.9) ** 2))
    collar = np.exp(-(((yy + 16.3 - 0.10 * ax) / 0.5) ** 2)) * _smooth(ax, 0.8, 2.5) * _smooth(9.0 - ax, 0, 2.0)
    adam = np.exp(-((ax / 0.55) ** 2 + ((yy + 11.6) / 0.9) ** 2)) * (identity.sex == "m")
    z = z + 0.45 * sterno - 0.5 * notch + 0.35 * collar + 0.45 * adam
    points = np.stack([x, yy, z], -1)
    n = normals(points)
    colour = np.broadcast_to(np.asarray(identity.skin), (*x.shape, 3)) * np.array([0.93, 0.91, 0.92])
    # Below the chin: the head covers the sky and the key light.
    chin = _smooth(yy, -15.5 - 1.5 * max(0.0, float(light[1])), -9.5)
    ao = 1 - 0.55 * chin - 0.15 * notch
    shadow = 1 - 0.80 * _smooth(yy, -15.0 - 3.0 * float(light[1]), -11.5 - 2.0 * float(light[1]))
    # Clothes: a round or a pointed neckline, or a collar.
    depth = 1.0 + 3.2 * identity.neckline
    line = -15.3 - depth * np.exp(-((ax / (2.6 + 1.2 * identity.neckline)) ** 2)) + 0.9 * _smooth(ax, 2.0, 6.5)
    inside = _smooth(line - yy, -0.35, 0.35)
    fold = noise.sample(noise.lattice(rng, stretch=2.0), ax * 1.6 + 3 * np.sign(x), yy * 0.8)
    weave = 1 + 0.10 * fold
    if rng.random() < 0.3:
        weave = weave * (1 + 0.22 * np.sign(np.sin(yy * rng.uniform(1.2, 2.5))))
    seam = np.exp(-(((line - yy - 0.55) / 0.3) ** 2))
    cloth = np.asarray(identity.clothes) * np.clip(weave - 0.25 * seam, 0.3, 1.6)[..., None]
    colour = colour + inside[..., None] * (cloth - colour)
    ao = (
        ao
        * (1 - inside * 0.10 * np.clip(fold, 0, 2))
        * (1 - 0.35 * np.exp(-(((line - yy + 0.25) / 0.3) ** 2)) * (1 - inside))
    )
    n = n + inside[..., None] * 0.25 * np.stack([fold, 0.3 * fold, 0 * fold], -1)
    attributes = _attributes(colour, 0.35 * identity.gloss * (1 - inside), ao, shadow, 0.55 - 0.5 * inside)
    return Part(points, n, attributes, 0.85 * _smooth(yy, -15.0, -6.0), kernels.SOLID)


def glasses(identity: Identity, head: Head, light: np.ndarray) -> list[Part]:
    """Build rims, bridge and arms of a pair of glasses, if the person wears one."""
    if identity.glasses <= 0:
        return []
    s = identity.shape
    rng = identity.rng("glasses")
    colour = np.array([[0.02, 0.02, 0.022], [0.06, 0.025, 0.012], [0.16, 0.15, 0.14]][int(rng.integers(3))])
    thick = identity.glasses
    round_ = rng.uniform(2.2, 4.0)
    wide, tall = rng.uniform(2.35, 2.65), rng.uniform(1.55, 2.0)
    z0 = s["eye_depth"] + 2.95
    parts = []
    t = np.linspace(0, 2 * np.pi, 41)[None, :]
    c, q = np.cos(t), np.sin(t)
    px, py = np.sign(c) * np.abs(c) ** (2 / round_), np.sign(q) * np.abs(q) ** (2 / round_)
    across = np.array([-0.5, 0.0, 0.5])[:, None] * thick
    for side in (-1.0, 1.0):
        x = side * (s["eye_x"] + 0.05) + (wide + across) * px
        y = -0.25 + (tall + across) * py
        z = z0 - 0.035 * (np.abs(x) - 1.0) ** 2 + 0.06 * np.array([0, 1, 0])[:, None] + 0 * t
        n = np.stack([px * np.array([-0.8, 0, 0.8])[:, None], py * np.array([-0.8, 0, 0.8])[:, None], 0.7 + 0 * x], -1)
        parts.append(_ribbon(np.stack([x, y, z], -1), n, colour))
        arm = np.linspace(0, 1, 9)[None, :]
        ay = 0.55 + np.array([-0.5, 0, 0.5])[:, None] * 0.42 + 0.15 * arm
        hinge, skull = s["eye_x"] + wide + 0.1, s["head_width"] + 0.10
        ax = side * (hinge + (skull - hinge) * arm**0.8) + 0 * ay
        az = z0 - 0.6 - (z0 - 0.9) * arm + 0 * ay
        n = np.stack([np.full_like(ax, side), 0 * ax, 0.3 + 0 * ax], -1)
        parts.append(_ribbon(np.stack([ax, ay, az], -1), n, colour))
    b = np.linspace(-1, 1, 9)[None, :]
    gap = s["eye_x"] + 0.05 - wide
    y = 0.35 + 0.25 * (1 - b**2) + across * np.array([1.0])
    x = b * (gap + 0.15) + 0 * y
    parts.append(
        _ribbon(
            np.stack([x, y, z0 + 0.05 + 0.1 * (1 - b**2) + 0 * y], -1),
            np.stack([0 * x, 0.3 + 0 * x, 1 + 0 * x], -1),
            colour,
        )
    )
    return parts


def _ribbon(points: np.ndarray, n: np.ndarray, colour: np.ndarray) -> Part:
    shape = points.shape[:2]
    one = np.ones(shape)
    attributes = _attributes(np.broadcast_to(colour, (*shape, 3)).copy(), 1.6, one, one, 0.0)
    return Part(points, n, attributes, one, kernels.SHEET)
