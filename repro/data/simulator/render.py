"""A person as triangles, and pictures of the person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from repro.data.simulator import actions, anatomy, hair, kernels, parts, shading, skin
from repro.data.simulator.anatomy import LIP_ROW
from repro.data.simulator.subject import Identity

PIVOT = np.array([0.0, -7.0, -2.0], np.float32)
"""Where the head turns on the neck, cm."""
_TEETH = 0.85


@dataclass(frozen=True)
class Light:
    """Lighting in camera coordinates; colours are linear and multiply the albedo."""

    key_direction: tuple[float, float, float]
    key: tuple[float, float, float]
    fill_direction: tuple[float, float, float]
    fill: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]

    def array(self) -> np.ndarray:
        """Return the rows that `shading.shade` reads, directions normalised."""
        rows = np.array(
            [self.key_direction, self.key, self.fill_direction, self.fill, self.sky, self.ground], np.float32
        )
        for k in (0, 2):
            rows[k] /= np.linalg.norm(rows[k])
        halfway = rows[0] + np.array([0, 0, 1], np.float32)
        return np.vstack([rows, halfway / np.linalg.norm(halfway)])


@dataclass(frozen=True)
class Performance:
    """What a person does in each of F frames.

    Attributes
    ----------
    activation : ndarray, shape (F, len(CHANNELS))
        Intensity over 5, 0..1.
    lids : ndarray, shape (F, 2)
        Closure of the right and the left eye by blinking or closing, 0 open to 1 closed.
    gaze : ndarray, shape (F, 2)
        Shift of the iris, cm.
    angles : ndarray, shape (F, 3)
        Pitch (nod down positive), yaw (to image right positive), roll, radians.
    move : ndarray, shape (F, 3)
        Translation, cm.
    """

    activation: np.ndarray
    lids: np.ndarray
    gaze: np.ndarray
    angles: np.ndarray
    move: np.ndarray


def rotations(angles: np.ndarray) -> np.ndarray:
    """Return rotation matrices (F, 3, 3) of pitch, yaw and roll (F, 3) in radians."""
    pitch, yaw, roll = angles[:, 0], angles[:, 1], angles[:, 2]
    zero, one = np.zeros_like(pitch), np.ones_like(pitch)
    cp, sp, cy, sy, cr, sr = (np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw), np.cos(roll), np.sin(roll))
    rx = np.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], -1).reshape(-1, 3, 3)
    ry = np.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], -1).reshape(-1, 3, 3)
    rz = np.stack([cr, -sr, zero, sr, cr, zero, zero, zero, one], -1).reshape(-1, 3, 3)
    return (rz @ ry @ rx).astype(np.float32)


class Person:
    """An identity built for one resolution and one lighting.

    Parameters
    ----------
    identity : Identity
    pixel : float
        Size of a rendered pixel at the face, cm.
    light : Light
    """

    def __init__(self, identity: Identity, pixel: float, light: Light) -> None:
        self.identity = identity
        self.pixel = pixel
        self.light = light.array()
        self.head = anatomy.build(identity)
        self.surface = skin.build(identity, self.head, 0.8 * pixel, self.light[0].astype(float))
        self.expression, self.window, self.window_size = skin.expression(identity, self.surface)
        self._assemble()
        self.shift_box, self.expression_box = _nonzero_box(self.shift), _nonzero_box(self.expression)
        self.eyes = self._eyes()

    def _assemble(self) -> None:
        points, attributes, normals, stiffness, faces, material = self._head_mesh()
        self.n_head = len(points)
        groups = [(points, attributes, normals, stiffness, faces, material)]
        others = [parts.torso(self.identity, self.surface.texel, self.light[0])]
        if self.identity.style not in ("long", "bob"):
            others += [parts.ear(self.identity, self.head, side) for side in (-1.0, 1.0)]
        others += parts.glasses(self.identity, self.head, self.light[0])
        curtain = hair.curtain(self.identity, self.head.points, self.surface.texel)
        if curtain is not None:
            others.append(parts.Part(curtain[0], curtain[2], curtain[1], curtain[3], kernels.SHEET))
        offset = len(points)
        for part in others:
            r, c = part.points.shape[:2]
            grid = _quads(r, c) + offset
            groups.append(
                (
                    part.points.reshape(-1, 3),
                    part.attributes.reshape(-1, 8),
                    part.normals.reshape(-1, 3),
                    part.stiffness.ravel(),
                    grid,
                    np.full(len(grid), part.material),
                )
            )
            offset += r * c
        columns = [np.concatenate([g[k] for g in groups]) for k in range(6)]
        self.points, self.attributes, self.normals, self.stiffness = (
            np.ascontiguousarray(c, np.float32) for c in columns[:4]
        )
        self.triangles, self.material = columns[4].astype(np.int32), columns[5].astype(np.int32)

    def _head_mesh(self) -> tuple[np.ndarray, ...]:
        """Return the head's triangles; the row of the lips is doubled so that they can part."""
        rows, columns = self.surface.base.shape[:2]
        n_c = int(np.clip(columns * 0.62, 60, 150)) | 1
        n_up, n_low = int(np.clip(rows * 0.42, 44, 110)), int(np.clip(rows * 0.19, 20, 50))
        v = np.concatenate([np.linspace(0, LIP_ROW, n_up), np.linspace(LIP_ROW, 1, n_low)])
        u = np.linspace(0, columns - 1, n_c)
        tv, tu = np.meshgrid(v * (rows - 1), u, indexing="ij")
        full = np.concatenate([self.surface.points, self.surface.normals, self.surface.thickness[..., None]], -1)
        grid = _bilinear(full, tv, tu)
        skin_points = grid[..., :3]
        points = skin_points + grid[..., 3:6] * grid[..., 6:]
        below = np.broadcast_to((np.arange(len(v)) >= n_up)[:, None], tv.shape).astype(float)
        lower = skin.mouth_side(skin_points.reshape(-1, 3), below.ravel(), self.identity)
        self.shift = actions.displacement(skin_points.reshape(-1, 3), lower, self.identity).reshape(
            len(actions.CHANNELS), len(v), -1
        )
        attributes = np.zeros((*tv.shape, 8))
        attributes[..., 0], attributes[..., 1], attributes[..., 2] = tu, tv, below
        faces = _quads(len(v), n_c)
        column_of = faces[:, 0] % n_c
        mouth = (faces.min(1) // n_c == n_up - 1) & (faces.max(1) // n_c == n_up)
        x = np.abs(skin_points[n_up - 1, np.minimum(column_of, n_c - 1), 0])
        z = skin_points[n_up - 1, np.minimum(column_of, n_c - 1), 2]
        keep = ~mouth | ((x < self.identity.shape["mouth_half"] + 0.4) & (z > 3))
        material = np.where(mouth, kernels.MOUTH, kernels.SKIN)
        count = tv.size
        return (
            points.reshape(-1, 3),
            attributes.reshape(-1, 8),
            np.zeros((count, 3)),
            np.ones(count),
            faces[keep],
            material[keep],
        )

    def _eyes(self) -> np.ndarray:
        s = self.identity.shape
        rng = self.identity.rng("eyes")
        out = np.zeros((2, 20), np.float32)
        lash = 0.15 if self.identity.sex == "w" else 0.10
        for k, side in enumerate((-1.0, 1.0)):
            out[k, :12] = [
                side * (s["eye_x"] + rng.normal(0, 0.04)),
                rng.normal(0, 0.05),
                s["eye_half"],
                s["eye_up"] * (1 + rng.normal(0, 0.05)),
                s["eye_low"],
                s["eye_tilt"] + rng.normal(0, 0.02),
                s["crease"] * (1 + rng.normal(0, 0.08)),
                lash * (1 - 0.3 * self.identity.grey),
                *self.identity.iris,
                side,
            ]
        return out

    def eye_state(self, performance: Performance) -> np.ndarray:
        """Return the rows (F, 2, 20) that `shading.shade` reads."""
        a = performance.activation
        out = np.repeat(self.eyes[None], len(a), axis=0)
        index = actions.CHANNELS.index
        for k, side in enumerate("RL"):
            cheek, tight, nose = (a[:, index("AU6" + side)], a[:, index("AU7" + side)], a[:, index("AU9" + side)])
            brow, smile = a[:, index("AU4" + side)], a[:, index("AU12" + side)]
            shut = np.maximum(performance.lids[:, k], a[:, index("AU43" + side)])
            squeeze_low = 1 - (1 - 0.70 * cheek) * (1 - 0.80 * tight) * (1 - 0.20 * nose) * (1 - 0.22 * smile)
            squeeze_up = 1 - (1 - 0.16 * cheek) * (1 - 0.32 * tight) * (1 - 0.12 * brow) * (1 - 0.08 * nose)
            up = squeeze_up + (1 - squeeze_up) * shut
            out[:, k, shading.LID_UP] = np.clip(up - 0.25 * a[:, index("AU2" + side)] * (1 - shut), -0.25, 1)
            out[:, k, shading.LID_LOW] = squeeze_low + (1 - squeeze_low) * np.clip(shut * 1.6 - 0.6, 0, 1)
            out[:, k, shading.SQUEEZE] = np.maximum(tight, 0.8 * cheek)
            # Looking down brings the upper lid down.
            out[:, k, shading.LID_UP] += np.clip(-performance.gaze[:, 1] * 0.9, 0, 0.4) * (
                1 - out[:, k, shading.LID_UP]
            )
            out[:, k, shading.GAZE_X] = performance.gaze[:, 0]
            out[:, k, shading.GAZE_Y] = performance.gaze[:, 1]
            out[:, k, shading.PUPIL] = 0.21
        return out

    def render(self, performance: Performance, background: np.ndarray, camera: np.ndarray) -> Iterator[np.ndarray]:
        """Yield linear images.

        Parameters
        ----------
        performance : Performance
        background : ndarray, shape (H, W, 3)
            Linear light behind the person, float32.
        camera : ndarray, shape (4,)
            Pixels per cm at the head, position of the head's origin in pixels (x, y), distance in cm.

        Yields
        ------
        ndarray, shape (H, W, 3), float32
            The buffer is reused: copy what must be kept.
        """
        canvas = _Canvas(self, *background.shape[:2])
        turned = rotations(performance.angles)
        eyes = self.eye_state(performance)
        move = performance.move.astype(np.float32)
        camera = camera.astype(np.float32)
        weights = performance.activation.astype(np.float32)
        # Traces of an action cost time (denormal numbers) and show nothing.
        weights[weights < 1e-3] = 0.0
        for f, w in enumerate(weights):
            if f == 0 or not np.array_equal(w, weights[f - 1]):
                self._express(canvas, w)
            self._draw(canvas, turned[f], move[f], eyes[f], camera, background)
            yield canvas.out

    def _express(self, canvas: _Canvas, weights: np.ndarray) -> None:
        """Move skin and mouth as the activations (len(CHANNELS),) of one frame say."""
        kernels.combine(weights, self.shift, self.shift_box, canvas.moved)
        kernels.combine(weights, self.expression, self.expression_box, canvas.field)
        np.add(self.points[: self.n_head], canvas.moved.reshape(-1, 3), out=canvas.points[: self.n_head])
        canvas.mouth[1] = weights[_JAW].sum()
        canvas.mouth[2] = canvas.mouth[1] + 0.3 * weights[_LIPS].sum()

    def _draw(
        self,
        canvas: _Canvas,
        rotation: np.ndarray,
        move: np.ndarray,
        eyes: np.ndarray,
        camera: np.ndarray,
        background: np.ndarray,
    ) -> None:
        """Draw one frame into ``canvas.out``."""
        rest = slice(self.n_head, None)
        kernels.project(canvas.points, self.stiffness, rotation, move, PIVOT, camera, canvas.screen)
        kernels.turn(self.normals[rest], self.stiffness[rest], rotation, canvas.normals[rest])
        kernels.rasterise(canvas.screen, self.triangles, self.material, canvas.depth, canvas.index, canvas.bary)
        canvas.out[:] = background
        geometry = self.triangles, self.material, self.attributes, canvas.normals, canvas.points
        skin_maps = self.surface.base, canvas.field.reshape(*self.window_size, 4), canvas.window
        scene = rotation, self.light, eyes, canvas.mouth
        shading.shade(canvas.index, canvas.bary, *geometry, *skin_maps, *scene, float(self.pixel), canvas.out)


_JAW = [actions.CHANNELS.index("AU26" + side) for side in "LR"]
_LIPS = [actions.CHANNELS.index(name + side) for name in ("AU25", "AU10") for side in "LR"]


class _Canvas:
    """Buffers of one rendering, reused from frame to frame."""

    def __init__(self, person: Person, height: int, width: int) -> None:
        self.depth = np.empty((height, width), np.float32)
        self.index = np.empty((height, width), np.int32)
        self.bary = np.empty((height, width, 2), np.float32)
        self.out = np.empty((height, width, 3), np.float32)
        self.points, self.screen = person.points.copy(), np.empty_like(person.points)
        self.normals = person.normals.copy()
        self.moved = np.empty(person.shift.shape[1:], np.float32)
        self.field = np.empty(person.expression.shape[1:], np.float32)
        self.window = np.array([*person.window, *person.window_size])
        self.mouth = np.array([person.identity.shape["mouth_y"], 0.0, 0.0, _TEETH], np.float32)


def _nonzero_box(basis: np.ndarray) -> np.ndarray:
    """Return where each field (C, R, K) is not 0, (C, 4) int64: first row, row after the last, the same of columns."""
    box = []
    for used in ((basis != 0).any(axis=2), (basis != 0).any(axis=1)):
        box.append(np.where(used.any(1), used.argmax(1), 0))
        box.append(np.where(used.any(1), used.shape[1] - used[:, ::-1].argmax(1), 0))
    return np.stack(box, 1).astype(np.int64)


def _quads(rows: int, columns: int) -> np.ndarray:
    """Return the triangles (2 (rows - 1) (columns - 1), 3) of a grid, seen from outside."""
    i = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = i[:-1, :-1].ravel(), i[:-1, 1:].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel()
    return np.stack([a, c, b, b, c, d], 1).reshape(-1, 3)


def _bilinear(grid: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Sample a grid (R, C, K) at fractional rows `v` and columns `u`."""
    iv, iu = np.minimum(v.astype(int), grid.shape[0] - 2), np.minimum(u.astype(int), grid.shape[1] - 2)
    fv, fu = (v - iv)[..., None], (u - iu)[..., None]
    top = grid[iv, iu] * (1 - fu) + grid[iv, iu + 1] * fu
    bottom = grid[iv + 1, iu] * (1 - fu) + grid[iv + 1, iu + 1] * fu
    return top * (1 - fv) + bottom * fv


def project_points(points: np.ndarray, performance: Performance, camera: np.ndarray) -> np.ndarray:
    """Return rendered pixels (F, K, 2) of positions (F, K, 3) that move with the head."""
    turned = rotations(performance.angles).astype(float)
    moved = np.einsum("fij,fkj->fki", turned, points - PIVOT) + PIVOT + performance.move[:, None]
    scale = camera[0] * camera[3] / (camera[3] - moved[..., 2])
    return np.stack([camera[1] + scale * moved[..., 0], camera[2] - scale * moved[..., 1]], -1)
