"""The numbers of stills taken in the wild: how people, places, light, expressions and pictures vary."""

from __future__ import annotations

from dataclasses import dataclass

from repro.data.simulator.subject import Identity, sample_identity

SMALLEST = 48
"""Pixels below which a still is never drawn, whatever the median."""


@dataclass(frozen=True)
class Wild:
    """How stills vary.

    Attributes
    ----------
    ages : tuple of int
        Lowest and highest age.
    size : int
        Median height of a still in pixels when none is asked for.
    size_spread : float
        Standard deviation of the logarithm of that height, between sessions.
    stills_per_session : int
        Stills that share clothes, light and place.
    frontal : float
        Share of stills whose face looks roughly at the camera.
    yaw, yaw_long_hair : float
        Largest turn of the head, radians; hair that hangs beside the face is drawn soundly up to the second.
    pitch, roll : float
        Largest nod and tilt, radians.
    view : tuple of float
        Smallest and largest height of a still at the face, cm.
    grey : float
        Share of sessions in black and white.
    off_centre : float
        Share of stills with the face near a border.
    """

    ages: tuple[int, int] = (18, 76)
    size: int = 128
    size_spread: float = 0.30
    stills_per_session: int = 8
    frontal: float = 0.5
    yaw: float = 0.66
    yaw_long_hair: float = 0.52
    pitch: float = 0.24
    roll: float = 0.24
    view: tuple[float, float] = (22.0, 34.0)
    grey: float = 0.10
    off_centre: float = 0.15


WILD = Wild()
"""Variation of the simulated stills."""


@dataclass(frozen=True)
class Setting:
    """A kind of place: strengths of the lights, warmth (log of red over green), and the largest angle of the key."""

    key: float
    fill: float
    sky: float
    ground: float
    warmth: float
    angle: float
    place: str


SETTINGS = (
    Setting(0.95, 0.24, 0.36, 0.24, 0.05, 0.9, "room"),
    Setting(1.30, 0.10, 0.30, 0.22, 0.03, 1.0, "open"),
    Setting(0.45, 0.20, 0.62, 0.34, -0.03, 0.6, "open"),
    Setting(1.05, 0.08, 0.20, 0.14, 0.00, 0.15, "room"),
    Setting(1.10, 0.16, 0.14, 0.10, 0.08, 1.1, "room"),
    Setting(0.80, 0.40, 0.38, 0.28, 0.00, 0.5, "screen"),
)
"""A room by day, sun, an overcast sky, a flash, a stage or an evening lamp, a studio."""

EXPRESSIONS: dict[str, tuple[float, dict[str, tuple[float, float]]]] = {
    "neutral": (0.30, {}),
    "smile": (0.22, {"AU12": (1.5, 4.0), "AU6": (0.5, 3.0)}),
    "laugh": (0.12, {"AU12": (3.0, 5.0), "AU6": (1.5, 4.0), "AU25": (2.0, 4.5), "AU26": (0.3, 2.0)}),
    "talk": (0.14, {"AU25": (1.0, 4.0), "AU26": (0.3, 2.5), "AU18": (0.0, 2.0)}),
    "surprise": (0.05, {"AU1": (1.5, 4.0), "AU2": (1.5, 4.0), "AU25": (1.0, 3.0), "AU26": (0.5, 3.0)}),
    "frown": (0.06, {"AU4": (1.0, 3.5), "AU17": (0.0, 2.0)}),
    "sorrow": (0.05, {"AU1": (1.0, 3.0), "AU15": (1.0, 3.5), "AU17": (0.5, 2.0)}),
    "squint": (0.04, {"AU7": (1.0, 3.5), "AU6": (0.0, 1.5)}),
    "pout": (0.02, {"AU18": (1.5, 4.0), "AU17": (0.5, 2.0)}),
}
"""Share of each expression, and the range of its actions' intensities, 0..5. Nobody is in pain."""


def wild_identity(seed: int, index: int, wild: Wild = WILD) -> Identity:
    """Draw the `index`-th person; none of the videos' domains has the same one."""
    return sample_identity(seed, "vggface2", index, ages=wild.ages)
