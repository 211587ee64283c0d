"""Colour, fine relief and baked shading of the head's surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repro.data.simulator import actions, anatomy, furrows, noise, sdf
from repro.data.simulator import hair as hair_module
from repro.data.simulator.anatomy import LIP_ROW, Head
from repro.data.simulator.subject import Identity


@dataclass(frozen=True)
class Surface:
    """A head's surface at the resolution of the images.

    Attributes
    ----------
    base : ndarray, shape (R, C, 12)
        As `shading.shade` reads it.
    points : ndarray, shape (R, C, 3)
        Neutral positions, without hair, cm.
    normals : ndarray, shape (R, C, 3)
        Smooth normals, without hair and fine relief.
    thickness : ndarray, shape (R, C)
        Hair above the skin, cm.
    texel : float
        Spacing in the middle of the face, cm.
    """

    base: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    thickness: np.ndarray
    texel: float


class Slopes:
    """Derivatives along a surface given as a grid of points (R, C, 3), cm."""

    def __init__(self, points: np.ndarray) -> None:
        du, dv = np.gradient(points, axis=1), np.gradient(points, axis=0)
        e, f, g = (du * du).sum(-1), (du * dv).sum(-1), (dv * dv).sum(-1)
        det = np.maximum(e * g - f * f, 1e-7)[..., None]
        self._across = (g[..., None] * du - f[..., None] * dv) / det
        self._down = (e[..., None] * dv - f[..., None] * du) / det

    def gradient(self, height: np.ndarray) -> np.ndarray:
        """Return the gradient (R, C, 3) of a height (R, C) above the surface."""
        return (
            np.gradient(height, axis=1)[..., None] * self._across + np.gradient(height, axis=0)[..., None] * self._down
        )

    def tilt(self, shift: np.ndarray, normals: np.ndarray, seam: int) -> np.ndarray:
        """Return how much the normal tips back (R, C, 3) when every point moves by `shift` (R, C, 3), to first order.

        Only the change of the shift counts: a patch that moves as a whole keeps its normal. The lips part between the
        rows `seam` and ``seam + 1``; no slope is taken across them.
        """
        across = (np.gradient(shift, axis=1) * normals).sum(-1)
        down = np.gradient(shift, axis=0)
        down[seam], down[seam + 1] = down[seam - 1], down[seam + 2]
        return across[..., None] * self._across + (down * normals).sum(-1)[..., None] * self._down


def _bell(p: np.ndarray, cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
    """Return a Gaussian on both halves of the face."""
    q = ((np.abs(p[..., 0]) - cx) / sx) ** 2 + ((p[..., 1] - cy) / sy) ** 2
    return np.exp(-0.5 * q) * (p[..., 2] > 0)


def _smooth(x: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _blend(albedo: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> None:
    albedo += alpha[..., None] * (colour - albedo)


def complexion(identity: Identity, p: np.ndarray, texel: float) -> np.ndarray:
    """Return the albedo of bare skin (R, C, 3), linear."""
    s = identity.shape
    rng = identity.rng("complexion")
    fair = 1 - 0.75 * identity.melanin
    redness = (
        0.55 * _bell(p, 3.7, -2.9, 1.5, 1.3)
        + 0.55 * _bell(p, 0.0, s["nose_y"], 0.9, 0.8)
        + 0.35 * _bell(p, s["nose_width"], s["nose_y"], 0.5, 0.5)
        + 0.25 * _bell(p, 0.0, -10.0, 1.4, 1.0)
        + 0.3 * _bell(p, s["eye_x"], 0.2, 1.6, 0.8)
        - 0.15 * _bell(p, 0.0, 4.0, 3.5, 1.5)
    )
    redness = redness * rng.uniform(0.5, 1.3) + 0.05 * noise.octaves(rng, p[..., 0], p[..., 1], texel, (4.0, 2.0, 1.0))
    under = _bell(p, s["eye_x"] - 0.3, -0.95, 1.0, 0.35) * rng.uniform(0.3, 1.0)
    mottle = noise.octaves(identity.rng("mottle"), p[..., 0], p[..., 1], texel, (1.6, 0.7, 0.35, 0.2))
    # Haemoglobin absorbs green and blue, melanin all, most in blue.
    blood = np.stack([0.05 * redness, 0.30 * redness, 0.26 * redness], -1) * fair + under[..., None] * [
        0.16,
        0.20,
        0.12,
    ]
    pigment = 0.014 * (1 + identity.blemishes) * mottle[..., None] * [0.6, 1.0, 1.2]
    return np.asarray(identity.skin) * np.exp(-blood - pigment)


def _spots(identity: Identity, albedo: np.ndarray, p: np.ndarray, texel: float) -> None:
    """Add freckles, moles and blemishes; a spot smaller than a texel is drawn wider and as much paler."""
    rng = identity.rng("spots")
    count = int(160 * identity.freckles) + int(14 * identity.blemishes)
    freckles = int(160 * identity.freckles)
    for i in range(count):
        freckle = i < freckles
        cx = rng.normal(0, 3.2) if freckle else rng.uniform(-6, 6)
        cy = rng.normal(-1.9, 1.6) if freckle else rng.uniform(-9, 5.5)
        size = rng.uniform(0.05, 0.11) if freckle else rng.uniform(0.06, 0.16)
        depth = rng.uniform(0.25, 0.7)
        tint = np.array([0.35, 0.6, 0.8]) if freckle or rng.random() < 0.4 else np.array([0.10, 0.55, 0.45])
        w = float(np.hypot(size, 0.6 * texel))
        q = ((p[..., 0] - cx) ** 2 + (p[..., 1] - cy) ** 2) / (w * w)
        near = (q < 9) & (p[..., 2] > 0)
        albedo[near] *= np.exp(-depth * (size / w) ** 2 * np.exp(-0.5 * q[near]))[:, None] ** tint


def _lips(identity: Identity, albedo: np.ndarray, p: np.ndarray, texel: float) -> tuple[np.ndarray, np.ndarray]:
    """Colour the lips in place; return their cover and the darkness of the line between them."""
    s = identity.shape
    row = LIP_ROW * (p.shape[0] - 1)
    low = int(row)
    line = p[low] + (row - low) * (p[low + 1] - p[low])
    front = np.abs(line[:, 0]) < 4.5
    front &= line[:, 2] > 3
    middle = np.interp(p[..., 0], line[front, 0], line[front, 1])
    t = np.abs(p[..., 0]) / s["mouth_half"]
    span = np.clip(1 - t**2, 0, 1)
    up = (
        s["lip_up"]
        * span**0.85
        * (1 - s["cupid"] * np.exp(-((t / 0.13) ** 2)) * 1.6)
        * (0.86 + 0.30 * np.exp(-(((t - 0.22) / 0.2) ** 2)))
    )
    down = s["lip_low"] * span**0.60
    dy = p[..., 1] - middle
    edge = max(0.09, 0.6 * texel)
    upper = _smooth(up - dy, -edge, edge) * (dy > 0)
    under = _smooth(down + dy, -edge * 1.5, edge * 1.5) * (dy <= 0)
    alpha = np.clip(upper + under, 0, 1) * _smooth(1.04 - t, 0, 0.12) * (p[..., 2] > 3)
    lips = np.asarray(identity.lips) * (1 - 0.16 * upper + 0.06 * under)[..., None]
    cracks = noise.sample(noise.lattice(identity.rng("lips"), stretch=3), p[..., 0] * 14, p[..., 1] * 4) * float(
        np.clip(0.14 / texel, 0, 1)
    )
    _blend(albedo, lips * np.exp(-0.06 * cracks)[..., None], 0.82 * alpha)
    w = max(0.055, 0.6 * texel)
    seam = np.exp(-0.5 * (dy / w) ** 2) * (0.055 / w) * _smooth(1.06 - t, 0, 0.1) * (p[..., 2] > 3)
    return alpha, seam


def brows(identity: Identity, p: np.ndarray, texel: float) -> np.ndarray:
    """Return the cover of the eyebrows (R, C), 0..1."""
    s = identity.shape
    rng = identity.rng("brows")
    x = np.abs(p[..., 0])
    inner, outer = 1.15 + rng.normal(0, 0.12), s["eye_x"] + s["eye_half"] + 0.35
    alpha = np.zeros(x.shape)
    strands = noise.lattice(rng, stretch=4.0)
    for side in (-1, 1):
        t = (x - inner) / (outer - inner) + rng.normal(0, 0.015)
        # Rises from the inner end to two thirds, then falls to the tail.
        rise = s["brow_arch"] * np.where(
            t < 0.66, np.sin(np.clip(t, 0, 1) / 0.66 * np.pi / 2), np.cos((t - 0.66) / 0.34 * np.pi / 2.0) * 1.35 - 0.35
        )
        centre = s["brow_y"] - 0.10 + rise + s["brow_tilt"] * (t - 0.5) + rng.normal(0, 0.06)
        half = (
            0.5 * s["brow_thickness"] * np.interp(t, [-0.1, 0.0, 0.15, 0.6, 1.0, 1.1], [0.5, 0.85, 1.1, 0.9, 0.35, 0.1])
        )
        # Hairs point up at the inner end and outwards further on; they are short, so their noise is sheared.
        flow = noise.sample(
            strands, (x * np.cos(0.9 - t * 0.6) - (p[..., 1] - centre) * 0.6) * 22, p[..., 1] * 5 + 60 * side
        )
        hairy = float(np.clip(0.16 / texel, 0.15, 1))
        soft = max(0.13, 0.7 * texel)
        d = np.abs(p[..., 1] - centre) - half + 0.025 * hairy * flow
        a = _smooth(-d, -soft, soft * 0.6) * _smooth(t, -0.05, 0.10) * _smooth(1.06 - t, 0.0, 0.2)
        a *= 0.86 + 0.09 * hairy * flow
        alpha = np.maximum(alpha, np.where(p[..., 0] * side > 0, a, 0))
    return np.clip(alpha, 0, 1) * (p[..., 2] > 2)


def _beard(identity: Identity, p: np.ndarray, texel: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the cover of beard and moustache, and of stubble."""
    s = identity.shape
    x, y, z = np.abs(p[..., 0]), p[..., 1], p[..., 2]
    my = s["mouth_y"]
    cheek = my + 1.0 + 0.55 * np.maximum(x - 3.0, 0)
    wobble = 0.18 * noise.octaves(identity.rng("beard edge"), p[..., 0], y, texel, (1.2, 0.5))
    chin = _smooth(cheek + wobble - y, -0.3, 0.9) * _smooth(
        x / s["mouth_half"] + np.maximum(0, my - 1.25 - y) * 0.8, 0.75, 1.25
    )
    chin *= _smooth(z, -1.5, 0.5)
    lip = (
        _smooth(y - my - 0.35, -0.1, 0.25)
        * _smooth(s["nose_y"] - 1.0 - 1.3 * (x / (s["mouth_half"] + 0.5)) ** 2 + 0.1 * wobble - y, -0.1, 0.35)
        * _smooth(s["mouth_half"] + 0.45 - x, 0, 0.6)
    )
    beside = (
        _smooth(x, s["mouth_half"] - 0.1, s["mouth_half"] + 0.35)
        * _smooth(my + 1.1 - y, 0, 0.8)
        * _smooth(s["mouth_half"] + 1.4 - x, 0, 0.6)
        * (y > my - 2.5)
    )
    grain = noise.octaves(identity.rng("beard"), p[..., 0], y, texel, (0.7, 0.35, 0.2))
    front = (z > 0).astype(float)
    full = np.maximum(identity.beard * chin, identity.moustache * np.maximum(lip, beside * (identity.beard > 0)))
    full = np.clip(full * (0.90 + 0.06 * grain), 0, 1) * front
    return full, np.clip(np.maximum(chin, lip) * (0.88 + 0.08 * grain), 0, 1) * identity.stubble * front


def _relief(identity: Identity, p: np.ndarray, texel: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the height of pores and of lines that age left, and the darkening of the lines."""
    pores = noise.octaves(identity.rng("pores"), p[..., 0], p[..., 1], texel, (0.6, 0.3, 0.16))
    amount = float(np.clip((identity.age - 22) / 40, 0.0, 1.15)) ** 1.3
    height, dark = furrows.relief(identity, "age", p, texel)
    return 0.0045 * pores + 0.55 * amount * height, 0.42 * amount * dark


def build(identity: Identity, head: Head, texel: float, light: np.ndarray) -> Surface:
    """Paint a head.

    Parameters
    ----------
    identity : Identity
    head : Head
    texel : float
        Wanted spacing in the middle of the face, cm.
    light : ndarray, shape (3,)
        Direction towards the key light, for the cast shadows.
    """
    columns = int(np.clip(round(22.5 / texel), 48, 400))
    rows = int(np.clip(round(24.0 / texel), 48, 440))
    p = anatomy.resample(head.points, rows, columns).astype(float)
    n = anatomy.resample(anatomy.normals(head.points), rows, columns).astype(float)
    n /= np.linalg.norm(n, axis=-1, keepdims=True)
    flat, flat_n = p.reshape(-1, 3), n.reshape(-1, 3)
    ao = sdf.occlusion(head.rows, flat, flat_n).reshape(rows, columns)
    ao = 0.38 + 0.62 * ao
    cast = sdf.shadow(head.rows, flat, light, 2.4).reshape(rows, columns)
    angles = anatomy.resample(np.stack([head.azimuth, head.elevation], -1), rows, columns).astype(float)
    scalp = hair_module.scalp(identity, angles[..., 0], angles[..., 1], texel)

    albedo = complexion(identity, p, texel)
    _spots(identity, albedo, p, texel)
    lips, seam = _lips(identity, albedo, p, texel)
    s = identity.shape
    nostril = _bell(p, 0.52, s["nose_y"] - 0.68 + 0.08 * s["nose_up"], 0.20, 0.10) * (p[..., 2] > 8.6)
    albedo *= (1 - 0.62 * np.clip(nostril * 1.2, 0, 1))[..., None] * np.exp(-seam[..., None] * [1.3, 2.0, 2.0])
    full, stubble = _beard(identity, p, texel)
    hair = np.asarray(identity.hair)
    _blend(albedo, albedo * [0.55, 0.60, 0.68], 0.75 * stubble * (1 - full))
    grain = 1 + 0.22 * scalp.strand
    _blend(albedo, hair * 0.9 * np.clip(grain, 0.4, 1.8)[..., None], 0.88 * full)
    brow_colour = np.minimum(hair * 0.75, 0.14) if identity.grey < 0.6 else hair * 0.5
    _blend(albedo, brow_colour, 0.88 * brows(identity, p, texel))
    _blend(albedo, hair * np.clip(1 + 0.26 * scalp.strand, 0.35, 1.9)[..., None], scalp.alpha)

    height, dark = _relief(identity, p, texel)
    covered = p + n * scalp.thickness[..., None]
    fine = anatomy.normals(covered)
    fine -= Slopes(covered).gradient(
        height * (1 - scalp.alpha) + 0.03 * scalp.strand * scalp.alpha + 0.03 * full * grain
    )
    albedo *= np.exp(-dark[..., None] * (1 - scalp.alpha)[..., None] * [0.35, 0.5, 0.5])
    ao = ao * (1 - 0.4 * dark) * (1 - 0.45 * seam) * (1 - 0.5 * np.clip(nostril, 0, 1))
    # Hair shades the skin beneath its edge and thickens to the dark between strands.
    edge = np.exp(-np.maximum(-scalp.inside, 0) / 4.0) * (1 - scalp.alpha) * min(1.0, float(scalp.thickness.max()))
    ao = ao * (1 - 0.28 * edge)
    gloss = identity.gloss * (
        0.75 + 0.5 * _bell(p, 0, s["nose_y"], 0.6, 0.7) + 0.35 * _bell(p, 0, 4.2, 2.5, 1.2) + 0.35 * lips
    )
    gloss = gloss * (1 - full) * (1 - scalp.alpha) - scalp.alpha * np.clip(0.55 + 0.35 * scalp.strand, 0.05, 1.5)
    gloss = np.where((gloss < 0) & (scalp.alpha < 0.5), 0.0, gloss)
    base = np.zeros((rows, columns, 12), np.float32)
    base[..., 0:3], base[..., 3:6] = albedo, fine
    base[..., 6], base[..., 7], base[..., 8] = gloss, cast, ao
    base[..., 9:11] = p[..., :2]
    base[p[..., 2] < 3, 10] = 99.0
    return Surface(base, p, n, scalp.thickness, texel)


def expression(identity: Identity, surface: Surface) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
    """Return what each action does to normals and furrows.

    Returns
    -------
    basis : ndarray, shape (len(CHANNELS), r, c * 4), float32
        Change of the normal (3) and darkening (1) over a window of the surface.
    window : tuple of int
        First row and first column of the window.
    size : tuple of int
        Its rows and columns.
    """
    p, n = surface.points, surface.normals
    rows, columns = p.shape[:2]
    r0, r1 = int(0.24 * rows), int(0.95 * rows)
    c0, c1 = int(0.19 * columns), int(0.81 * columns) + 1
    p, n = p[r0:r1, c0:c1], n[r0:r1, c0:c1]
    flat = p.reshape(-1, 3)
    v = np.broadcast_to(np.linspace(0, 1, rows)[r0:r1, None], p.shape[:2]).ravel()
    lower = mouth_side(flat, (v > LIP_ROW).astype(float), identity)
    shift = actions.displacement(flat, lower, identity)
    seam = int(LIP_ROW * (rows - 1)) - r0
    slope = Slopes(p)
    left = np.clip((p[..., 0] + 0.5) / 1.0, 0, 1)
    out = np.zeros((len(actions.CHANNELS), *p.shape[:2], 4), np.float32)
    for name in actions.ACTIONS:
        height, dark = furrows.relief(identity, name, p, surface.texel)
        for side in "LR":
            i = actions.CHANNELS.index(name + side)
            mask = left if side == "L" else 1 - left
            out[i, ..., :3] = -slope.tilt(shift[i].reshape(p.shape), n, seam) - slope.gradient(height * mask)
            out[i, ..., 3] = dark * mask
    np.clip(out, -1.6, 1.6, out=out)
    out[np.abs(out) < 1e-5] = 0.0
    return out.reshape(len(actions.CHANNELS), p.shape[0], -1), (r0, c0), p.shape[:2]


def mouth_side(points: np.ndarray, below: np.ndarray, identity: Identity) -> np.ndarray:
    """Return 1 for lower lip and jaw: `below` (0 or 1) between the corners of the mouth, by height elsewhere."""
    x = np.abs(points[:, 0])
    half = identity.shape["mouth_half"]
    near = _smooth(half + 0.05 - x, -0.15, 0.35) * (points[:, 2] > 3)
    return near * below + (1 - near) * actions.lower_flag(points, identity.shape)
