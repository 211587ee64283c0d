"""From linear light to the 8-bit picture that a camera of the domain would have stored."""

from __future__ import annotations

import cv2
import numpy as np

from repro.data.simulator import kernels
from repro.data.simulator.domain import Camera, Domain, frame_shape
from repro.data.simulator.render import Light
from repro.data.simulator.streams import stream
from repro.data.simulator.subject import Identity

SUPERSAMPLING = 1.5
"""Rendered pixels per stored pixel, along each axis."""


def subject_light(identity: Identity, camera: Camera) -> Light:
    """Return the light on one subject: the domain's, turned and tinted a little."""
    rng = identity.rng("light")
    turned = np.asarray(camera.key_direction) + rng.normal(0, camera.light_spread, 3)
    tint = np.exp(rng.normal(0, 0.02, 3))
    return Light(
        tuple(turned),
        tuple(np.asarray(camera.key) * tint),
        camera.fill_direction,
        camera.fill,
        camera.sky,
        camera.ground,
    )


class Shot:
    """The camera during one recording.

    Parameters
    ----------
    identity : Identity
    domain : Domain
    height : int
        Height of a stored frame in pixels.
    *names : str or int
        Name of the recording's random streams.
    """

    def __init__(self, identity: Identity, domain: Domain, height: int, *names: str | int) -> None:
        c = domain.camera
        self.camera = c
        self.height, self.width = frame_shape(domain, height)
        self.rows, self.columns = round(self.height * SUPERSAMPLING), round(self.width * SUPERSAMPLING)
        rng = stream(identity.seed, identity.key, "shot", *names)
        self.exposure = float(2.0 ** rng.normal(0, c.exposure_spread))
        # People of one subject's recordings sit in about the same place.
        seat = identity.rng("seat").normal(0, c.framing, 2) + 0.4 * rng.normal(0, c.framing, 2)
        scale = self.rows / (c.view * float(np.exp(identity.rng("distance").normal(0, 0.05))))
        self.pose = np.array(
            [scale, c.offset[0] * self.columns + seat[0] * self.rows, (c.offset[1] + seat[1]) * self.rows, c.distance]
        )
        self.grey = bool(identity.rng("film").random() < c.grey)
        self.noise_rng = stream(identity.seed, identity.key, "noise", *names)
        self.background = backdrop(identity, domain, self.rows, self.columns)
        self._grain = self.noise_rng.standard_normal((self.height + 40, self.width + 40, 3)).astype(np.float32)
        if self.grey:
            self._grain[:] = self._grain[..., :1]
        self._table = self._tone()
        self._vignette = self._falloff()

    def _tone(self) -> np.ndarray:
        """Return 8-bit values (as float) for 4096 steps of linear light in 0..2."""
        x = np.linspace(0, 2, 4096) * self.exposure
        # A shoulder keeps highlights from clipping hard.
        x = np.where(x < 0.6, x, 0.6 + 0.4 * np.tanh((x - 0.6) / 0.4 * 0.8))
        y = np.clip(x, 0, 1) ** (1 / 2.2)
        y = 0.5 + (y - 0.5) * self.camera.contrast
        return (255 * (self.camera.black + (1 - self.camera.black) * np.clip(y, 0, 1))).astype(np.float32)

    def _falloff(self) -> np.ndarray:
        y, x = np.mgrid[-1 : 1 : self.height * 1j, -1 : 1 : self.width * 1j]
        return (1 - self.camera.vignette * 0.5 * (x * x + y * y)).astype(np.float32)

    def expose(self, linear: np.ndarray) -> np.ndarray:
        """Return the stored frame, (H, W, 3) uint8 in OpenCV's BGR order, of rendered linear light."""
        image = cv2.resize(linear, (self.width, self.height), interpolation=cv2.INTER_AREA)
        sigma = self.camera.blur * self.height
        if sigma > 0.15:
            image = cv2.GaussianBlur(image, (0, 0), sigma)
        dy, dx = self.noise_rng.integers(0, 40, 2)
        grain = self._grain[dy : dy + self.height, dx : dx + self.width]
        stored = np.empty(image.shape, np.uint8)
        kernels.develop(
            image,
            self._vignette,
            self._table,
            0.0 if self.grey else self.camera.saturation,
            grain,
            self.camera.noise,
            stored,
        )
        if self.camera.jpeg:
            code = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, self.camera.jpeg])[1]
            stored = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
        return stored

    def pixels(self, screen: np.ndarray) -> np.ndarray:
        """Convert rendered pixels (..., 2) to pixels of the stored frame; (0, 0) is the centre of the first one."""
        scale = np.array([self.width / self.columns, self.height / self.rows])
        return (screen + 0.5) * scale - 0.5


def backdrop(identity: Identity, domain: Domain, rows: int, columns: int) -> np.ndarray:
    """Return what is behind a subject, (rows, columns, 3) linear light: a blurred room or a plain screen."""
    rng = identity.rng("backdrop")
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : columns / rows : columns * 1j]
    if domain.camera.backdrop == "screen":
        base = np.array([0.30, 0.33, 0.35]) * np.exp(rng.normal(0, 0.08))
        glow = 1.08 - 0.35 * ((x - 0.66) ** 2 + (y - 0.35) ** 2)
        return (base * glow[..., None]).astype(np.float32)
    wall = np.clip(rng.uniform(0.05, 0.32) + rng.normal(0, 0.025, 3), 0.02, 0.6)
    image = wall * (1.0 - 0.35 * y - rng.uniform(-0.2, 0.3) * x)[..., None]
    for _ in range(int(rng.integers(2, 6))):
        # Furniture, doors and curtains out of focus.
        cx, cy = rng.uniform(-0.1, columns / rows + 0.1), rng.uniform(0, 1)
        w, h = rng.uniform(0.08, 0.45), rng.uniform(0.1, 0.8)
        soft = rng.uniform(0.01, 0.05)
        mask = 1 / (1 + np.exp((np.abs(x - cx) - w / 2) / soft)) / (1 + np.exp((np.abs(y - cy) - h / 2) / soft))
        colour = np.clip(wall * np.exp(rng.normal(0, 0.5)) + rng.normal(0, 0.03, 3), 0.01, 0.7)
        image += mask[..., None] * (colour - image) * rng.uniform(0.4, 1.0)
    return np.clip(image, 0.005, 1).astype(np.float32)
