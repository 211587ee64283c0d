"""People as strangers photograph them: sessions of clothes, light and place, and stills that differ in all else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np

from repro.data.simulator.actions import CHANNELS
from repro.data.simulator.behaviour import visible
from repro.data.simulator.camera import SUPERSAMPLING, Shot
from repro.data.simulator.domain import UNBC, Camera, Domain
from repro.data.simulator.landmarks import Landmarks
from repro.data.simulator.render import Light, Performance, Person, project_points
from repro.data.simulator.subject import Identity, linear
from repro.data.simulator.wild import EXPRESSIONS, SETTINGS, SMALLEST, WILD, Setting, Wild


@dataclass(frozen=True)
class Pose:
    """What is decided about one still before it is drawn: its frame, the camera, and what the face does."""

    height: int
    aspect: float
    view: float
    offset: tuple[float, float]
    angles: tuple[float, float, float]
    gaze: tuple[float, float]
    lids: float
    activation: np.ndarray
    exposure: float
    blur: float
    noise: float
    quality: int


@dataclass(frozen=True)
class Still:
    """A still and what is known about it.

    Attributes
    ----------
    jpeg : bytes
        The picture as a JPEG file.
    box : tuple of int
        x, y, width and height of the face in pixels; it may reach beyond the still.
    points : ndarray, shape (5, 2)
        The eye to the left in the picture, the other one, tip of the nose, corners of the mouth, left and right;
        pixels, 0-based.
    """

    jpeg: bytes
    box: tuple[int, int, int, int]
    points: np.ndarray


class Session:
    """Stills of one person on one occasion.

    Parameters
    ----------
    identity : Identity
        From `wild_identity`.
    number : int
        Number of the session among the person's.
    size : int
        Median height of a still in pixels, over all sessions.
    wild : Wild
    """

    def __init__(self, identity: Identity, number: int, size: int, wild: Wild = WILD) -> None:
        self.wild = wild
        rng = identity.rng("session", number)
        self.setting = SETTINGS[int(rng.integers(len(SETTINGS)))]
        self.grey = bool(rng.random() < wild.grey)
        self.height = size * float(np.exp(np.clip(rng.normal(0, wild.size_spread), -0.8, 0.8)))
        self.tone = {
            "black": float(rng.uniform(0.0, 0.05)),
            "contrast": float(rng.uniform(0.85, 1.12)),
            "saturation": float(rng.uniform(0.60, 1.05)),
            "vignette": float(rng.uniform(0.0, 0.15)),
        }
        self.light = _light(rng, self.setting)
        self.identity = _dressed(identity, rng)
        # Its own name: place and camera of another session must differ.
        self.visit = dataclasses.replace(self.identity, key=f"{identity.key}/session{number}")
        self.poses = [self._pose(i) for i in range(wild.stills_per_session)]
        # The skin is built once, for a still of middling detail: that takes far longer than drawing it.
        pixel = float(np.mean([pose.view / (pose.height * SUPERSAMPLING) for pose in self.poses]))
        self.person = Person(self.identity, pixel, self.light)
        self.marks = Landmarks(self.identity, self.person.head)

    def _pose(self, i: int) -> Pose:
        wild, rng = self.wild, self.visit.rng("still", i)
        limit = wild.yaw_long_hair if self.identity.style in ("long", "bob") else wild.yaw
        yaw = rng.normal(0, 0.14) if rng.random() < wild.frontal else rng.uniform(-limit, limit)
        angles = (
            float(np.clip(rng.normal(0.02, 0.10), -wild.pitch, wild.pitch)),
            float(np.clip(yaw, -limit, limit)),
            float(np.clip(rng.normal(0, 0.09), -wild.roll, wild.roll)),
        )
        offset = rng.normal([0.5, 0.46], [0.045, 0.03])
        if rng.random() < wild.off_centre:
            offset = rng.uniform([0.25, 0.36], [0.75, 0.56])
        look = rng.normal(0, [0.12, 0.05])
        return Pose(
            height=max(SMALLEST, 2 * round(self.height * float(np.exp(rng.normal(0, 0.08))) / 2)),
            aspect=float(rng.uniform(0.74, 1.0)),
            view=float(rng.uniform(*wild.view)),
            offset=(float(offset[0]), float(offset[1])),
            angles=angles,
            gaze=(float(np.clip(look[0] - 0.5 * angles[1], -0.38, 0.38)), float(look[1] + 0.35 * angles[0])),
            lids=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.04 else 0.0,
            activation=_activation(rng, self.identity),
            exposure=float(np.clip(rng.normal(0, 0.30), -0.8, 0.7)),
            blur=float(np.clip(rng.lognormal(np.log(0.0022), 0.5), 0.0, 0.008)),
            noise=float(rng.lognormal(np.log(1.6), 0.6)),
            quality=int(rng.integers(45, 97)),
        )

    def take(self, i: int) -> Still:
        """Take the session's `i`-th still, 0 .. `Wild.stills_per_session` - 1; the same whichever were taken before."""
        pose = self.poses[i]
        shot = self._shot(pose, i)
        performance = Performance(
            pose.activation[None],
            np.full((1, 2), pose.lids),
            np.array([pose.gaze]),
            np.array([pose.angles]),
            np.zeros((1, 3)),
        )
        (picture,) = self.person.render(performance, shot.background, shot.pose)
        head = self.marks.positions(performance.activation.astype(float), self.person.eye_state(performance))
        marks = shot.pixels(project_points(head, performance, shot.pose))[0]
        ok, code = cv2.imencode(
            ".jpg", shot.expose(picture * np.float32(2.0**pose.exposure)), [cv2.IMWRITE_JPEG_QUALITY, pose.quality]
        )
        if not ok:
            raise OSError(f"OpenCV could not encode a JPEG of {shot.height} x {shot.width} pixels")
        return Still(code.tobytes(), face_box(marks, self.visit.rng("box", i)), five_points(marks))

    def _shot(self, pose: Pose, i: int) -> Shot:
        camera = dataclasses.replace(
            UNBC.camera,
            **self.tone,  # type: ignore[arg-type]
            aspect=pose.aspect,
            view=pose.view,
            distance=120.0,
            offset=pose.offset,
            framing=0.0,
            exposure_spread=0.0,
            blur=pose.blur,
            noise=pose.noise,
            jpeg=0,
            grey=float(self.grey),
            backdrop="screen" if self.setting.place == "screen" else "room",
        )
        shot = Shot(self.visit, _domain(camera), pose.height, "still", i)
        tint = np.exp(self.visit.rng("tint").normal(0.1, [0.35, 0.15, 0.15, 0.15]))
        shot.background = (shot.background * tint[0] * tint[1:]).astype(np.float32)
        if self.setting.place == "open":
            shot.background = outdoors(self.visit.rng("outdoors"), shot.rows, shot.columns)
        return shot


def _domain(camera: Camera) -> Domain:
    """Return a domain whose only use is its camera."""
    return dataclasses.replace(UNBC, name="vggface2", camera=camera)


def _light(rng: np.random.Generator, setting: Setting) -> Light:
    """Draw the light of a session: the setting's, from some side, stronger or weaker against its surroundings."""
    side, height = rng.uniform(-setting.angle, setting.angle), rng.uniform(0.1, 0.9)
    hardness = float(np.exp(rng.normal(0, 0.18)))
    warm = np.exp((setting.warmth + rng.normal(0, 0.03)) * np.array([1.0, 0.0, -1.0]))
    cool = np.exp(rng.normal(0, 0.04) * np.array([1.0, 0.0, -1.0]))

    def colour(strength: float, tint: np.ndarray) -> tuple[float, float, float]:
        red, green, blue = (strength * tint).tolist()
        return red, green, blue

    return Light(
        (float(np.sin(side)), float(height), float(np.cos(side))),
        colour(setting.key * hardness, warm),
        (float(-np.sign(side) * 0.85), 0.15, 0.6),
        colour(setting.fill, cool),
        colour(setting.sky / hardness, cool),
        colour(setting.ground / hardness, warm),
    )


def _dressed(identity: Identity, rng: np.random.Generator) -> Identity:
    """Return the person as on one occasion: other clothes, some years apart, shaved or not, with glasses or without."""
    clothes = linear(np.clip(rng.uniform(0.08, 0.75) + rng.normal(0, 0.16, 3), 0.03, 0.92))
    age = int(np.clip(identity.age + rng.normal(0, 3.5), 16, 85))
    stubble = float(np.clip(identity.stubble + rng.normal(0, 0.2), 0, 0.9)) if identity.stubble else 0.0
    wears = rng.random() < 0.75
    return dataclasses.replace(
        identity,
        clothes=tuple(clothes.tolist()),
        age=age,
        stubble=stubble,
        glasses=identity.glasses if wears else 0.0,
        gloss=float(identity.gloss * np.exp(rng.normal(0, 0.2))),
        neckline=float(rng.uniform(0, 1)),
    )


def _activation(rng: np.random.Generator, identity: Identity) -> np.ndarray:
    """Draw an expression and return how far each action moves, (len(CHANNELS),) float32."""
    names = list(EXPRESSIONS)
    actions = EXPRESSIONS[names[int(rng.choice(len(names), p=[EXPRESSIONS[name][0] for name in names]))]][1]
    row = np.zeros(len(CHANNELS), np.float32)
    for name, (low, high) in actions.items():
        amount = float(visible(np.array(rng.uniform(low, high) / 5)))
        tilt = identity.asymmetry.get(name, 0.0)
        for side, sign in (("L", 1), ("R", -1)):
            row[CHANNELS.index(name + side)] = amount * min(1.0, 1 + sign * tilt)
    return row


def outdoors(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Return a street or a garden out of focus, (rows, columns, 3) linear light: sky over blurred patches."""
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : columns / rows : columns * 1j]
    horizon, soft = rng.uniform(-0.1, 0.6), rng.uniform(0.03, 0.12)
    sky = np.array([0.55, 0.66, 0.85]) * np.exp(rng.normal(0, 0.15))
    base = rng.uniform(0.06, 0.30) * np.exp(rng.normal(0, 0.2, 3))
    below = 1 / (1 + np.exp((horizon - y) / soft))[..., None]
    image = sky * (1 - below) + base * below
    for _ in range(int(rng.integers(6, 16))):
        # Leaves, windows and cars: round patches, lighter or darker than what is behind them.
        cx, cy, radius = rng.uniform(0, columns / rows), rng.uniform(0, 1), rng.uniform(0.04, 0.22)
        mask = np.exp(-((((x - cx) ** 2 + (y - cy) ** 2) / radius**2) ** 2))[..., None]
        image += mask * (base * np.exp(rng.normal(0, 0.6)) - image) * rng.uniform(0.3, 0.9)
    return np.clip(image, 0.005, 1.2).astype(np.float32)


def face_box(marks: np.ndarray, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Return x, y, width and height of the box that a face detector would give for 68 landmarks, in pixels.

    It goes from the middle of the forehead to the chin, and errs by about 2 % of its size.
    """
    left, right = marks[:, 0].min(), marks[:, 0].max()
    brow, chin = marks[17:27, 1].min(), marks[:, 1].max()
    top = brow - 0.38 * (chin - brow)
    edges = np.array([left, top, right, chin])
    edges += rng.normal(0, 0.02, 4) * np.array([right - left, chin - top] * 2)
    x, y, far, low = (round(edge) for edge in edges.tolist())
    return x, y, far - x, low - y


def five_points(marks: np.ndarray) -> np.ndarray:
    """Return both eyes, the tip of the nose and both corners of the mouth, (5, 2), of 68 landmarks."""
    return np.stack([marks[36:42].mean(0), marks[42:48].mean(0), marks[30], marks[48], marks[54]])
