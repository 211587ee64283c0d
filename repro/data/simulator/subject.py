"""Who a simulated person is: sex, age, colours, proportions and habits of the face.

Lengths are centimetres. The mean proportions follow the usual anthropometric means of adults (Farkas, *Anthropometry
of the Head and Face*, 1994), rounded; the spreads are about one standard deviation of the same tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from repro.data.simulator.streams import stratified, stream

# Skin anchors in sRGB from fair to deep, spanning the Monk skin-tone scale.
_SKIN = (
    np.array([[240, 205, 186], [226, 180, 152], [205, 155, 122], [172, 121, 88], [128, 85, 60], [86, 56, 42]], float)
    / 255.0
)
_HAIR = {
    "black": (0.045, 0.038, 0.036),
    "dark brown": (0.115, 0.075, 0.052),
    "brown": (0.22, 0.135, 0.085),
    "auburn": (0.32, 0.15, 0.075),
    "blond": (0.60, 0.45, 0.27),
}
_IRIS = {
    "brown": (0.23, 0.12, 0.06),
    "dark brown": (0.13, 0.07, 0.045),
    "hazel": (0.36, 0.26, 0.12),
    "green": (0.34, 0.40, 0.25),
    "blue": (0.36, 0.50, 0.62),
    "grey": (0.45, 0.50, 0.52),
}
# name: (mean of men, mean of women, spread), in cm unless the name says otherwise
_SHAPE = {
    "head_width": (7.40, 7.10, 0.25),
    "head_height": (8.9, 8.7, 0.35),
    "face_width": (6.00, 5.62, 0.26),
    "face_length": (1.00, 0.955, 0.030),
    "cheek_width": (4.25, 4.15, 0.18),
    "cheek_volume": (1.75, 1.75, 0.18),
    "jaw_width": (4.20, 3.70, 0.28),
    "jaw_height": (-6.2, -5.9, 0.35),
    "jaw_round": (1.30, 1.15, 0.10),
    "chin_width": (1.15, 0.80, 0.2),
    "chin_height": (-9.95, -9.75, 0.30),
    "chin_depth": (7.7, 7.6, 0.28),
    "fat": (0.0, 0.0, 0.22),
    "brow_ridge": (0.95, 0.62, 0.12),
    "brow_y": (1.95, 2.20, 0.18),
    "brow_thickness": (0.58, 0.38, 0.09),
    "brow_arch": (0.18, 0.38, 0.10),
    "brow_tilt": (0.05, 0.10, 0.08),
    "eye_x": (3.18, 3.08, 0.12),
    "eye_half": (1.52, 1.52, 0.07),
    "eye_up": (0.53, 0.60, 0.06),
    "eye_low": (0.40, 0.42, 0.05),
    "eye_tilt": (0.06, 0.11, 0.06),
    "eye_depth": (6.62, 6.68, 0.12),
    "crease": (0.26, 0.36, 0.10),
    "nose_y": (-3.85, -3.60, 0.22),
    "nose_out": (10.85, 10.55, 0.28),
    "nose_width": (1.10, 0.96, 0.11),
    "nose_bridge": (0.62, 0.52, 0.09),
    "nose_hump": (0.12, 0.0, 0.12),
    "nose_tip": (0.82, 0.72, 0.07),
    "nose_up": (0.0, 0.12, 0.16),
    "mouth_y": (-6.75, -6.55, 0.18),
    "mouth_half": (2.55, 2.40, 0.17),
    "lip_up": (0.58, 0.66, 0.13),
    "lip_low": (0.78, 0.86, 0.15),
    "cupid": (0.13, 0.16, 0.05),
    "mouth_curve": (0.02, 0.06, 0.07),
    "neck": (5.6, 4.75, 0.35),
    "shoulder": (19.0, 16.5, 1.2),
    "ear": (0.97, 0.90, 0.06),
    "ear_angle": (27.0, 24.0, 5.0),
}


@dataclass(frozen=True)
class Identity:
    """A person.

    Attributes
    ----------
    seed, key : int, str
        Root seed and name of the person's random streams.
    sex : str
        ``"m"`` or ``"w"``, as BioVid writes it.
    age : int
        Years.
    shape : dict of str to float
        Proportions in cm (see the module).
    skin, hair, iris, lips, clothes : tuple of float
        Linear RGB albedo, 0..1.
    melanin : float
        Skin tone, 0 fair to 1 deep.
    style : str
        ``"bald"``, ``"buzz"``, ``"short"``, ``"bob"``, ``"long"`` or ``"tied"``.
    beard, moustache, stubble : float
        Amount of facial hair, 0..1.
    glasses : float
        0 none, else the frame's thickness in cm.
    freckles, blemishes, gloss, grey : float
        Amounts, 0..1.
    asymmetry : dict of str to float
        Left-right imbalance of each action, -1 (right side only) to 1 (left side only).
    gains : dict of str to float
        How far this face moves for an intensity of each action; about 1.
    """

    seed: int
    key: str
    sex: str
    age: int
    shape: dict[str, float]
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    iris: tuple[float, float, float]
    lips: tuple[float, float, float]
    clothes: tuple[float, float, float]
    melanin: float
    style: str
    fringe: float
    parting: float
    recession: float
    beard: float
    moustache: float
    stubble: float
    glasses: float
    freckles: float
    blemishes: float
    gloss: float
    grey: float
    neckline: float
    asymmetry: dict[str, float] = field(default_factory=dict)
    gains: dict[str, float] = field(default_factory=dict)

    def rng(self, *names: str | int) -> np.random.Generator:
        """Return the named random stream of this person."""
        return stream(self.seed, self.key, *names)


def linear(srgb: np.ndarray) -> np.ndarray:
    """Convert sRGB in 0..1 to linear light (IEC 61966-2-1)."""
    srgb = np.asarray(srgb, float)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _colour(table: dict[str, tuple[float, float, float]], name: str) -> np.ndarray:
    return linear(np.array(table[name]))


def _skin(melanin: float, rng: np.random.Generator) -> np.ndarray:
    position = melanin * (len(_SKIN) - 1)
    low = min(int(position), len(_SKIN) - 2)
    srgb = _SKIN[low] + (position - low) * (_SKIN[low + 1] - _SKIN[low])
    warm = rng.normal(0.0, 0.012)
    return linear(np.clip(srgb + [warm, 0.0, -warm], 0, 1))


def _hair_colour(melanin: float, grey: float, rng: np.random.Generator) -> np.ndarray:
    fair = max(0.0, 1.0 - 2.6 * melanin)
    weights = np.array([0.25 + 2.5 * melanin, 0.8, 1.1 * fair, 0.25 * fair, 0.7 * fair])
    name = list(_HAIR)[int(rng.choice(5, p=weights / weights.sum()))]
    colour = _colour(_HAIR, name) * math.exp(rng.normal(0, 0.15))
    return (1 - grey) * colour + grey * linear(np.array([0.66, 0.65, 0.64]))


def _iris_colour(melanin: float, rng: np.random.Generator) -> np.ndarray:
    fair = max(0.0, 1.0 - 2.8 * melanin)
    weights = np.array([0.9, 0.3 + 2.0 * melanin, 0.5 * fair, 0.35 * fair, 1.2 * fair, 0.4 * fair])
    return _colour(_IRIS, list(_IRIS)[int(rng.choice(6, p=weights / weights.sum()))])


def _style(sex: str, age: int, rng: np.random.Generator) -> tuple[str, float]:
    """Return a hair style and the recession of the hairline in degrees."""
    if sex == "w":
        style = str(rng.choice(["long", "bob", "tied", "short"], p=[0.33, 0.27, 0.27, 0.13]))
        return style, float(abs(rng.normal(0, 1.5)))
    bald = np.clip((age - 30) / 70, 0.03, 0.4)
    style = str(rng.choice(["bald", "buzz", "short"], p=[bald, 0.22, 0.78 - bald]))
    return style, float(abs(rng.normal(3, 2)) + max(0, age - 30) * rng.uniform(0.05, 0.3))


def _proportions(rng: np.random.Generator, sex: str, age: int, melanin: float) -> dict[str, float]:
    column = 0 if sex == "m" else 1
    shape = {k: v[column] + v[2] * float(np.clip(rng.normal(), -2.2, 2.2)) for k, v in _SHAPE.items()}
    shape["nose_width"] += 0.16 * melanin
    shape["lip_up"] += 0.14 * melanin
    shape["lip_low"] += 0.16 * melanin
    shape["fat"] += 0.004 * (age - 38)
    return shape


def sample_identity(seed: int, key: str, index: int, *, ages: tuple[int, int]) -> Identity:
    """Draw one person.

    Parameters
    ----------
    seed : int
        Root seed.
    key : str
        Name of the population (a domain); the same index under two keys gives two unrelated people.
    index : int
        Number of the person in the population.
    ages : tuple of int
        Lowest and highest age, years.

    Returns
    -------
    Identity
    """
    name = f"{key}/{index}"
    rng = stream(seed, name, "identity")
    sex = "w" if stratified(seed, index, key, "sex") < 0.5 else "m"
    age = int(round(ages[0] + (ages[1] - ages[0]) * stratified(seed, index * 2, key, "age")))
    melanin = float(0.95 * stratified(seed, index * 3, key, "skin") ** 1.6)
    shape = _proportions(stream(seed, name, "shape"), sex, age, melanin)
    skin = _skin(melanin, rng)
    grey = float(np.clip((age - 42) / 28 + rng.normal(0, 0.2), 0, 0.95))
    style, recession = _style(sex, age, rng)
    men = sex == "m"
    facial = rng.random()
    lips = skin * np.array([0.80, 0.43, 0.46]) * (1.05 if men else rng.uniform(0.8, 1.0))
    clothes = linear(np.clip(rng.uniform(0.12, 0.6) + rng.normal(0, 0.13, 3), 0.04, 0.9))
    actions = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU9", "AU10", "AU12", "AU15", "AU20", "AU43")
    tilt = stream(seed, name, "asymmetry")
    return Identity(
        seed=seed,
        key=name,
        sex=sex,
        age=age,
        shape=shape,
        melanin=melanin,
        style=style,
        skin=tuple(skin),
        hair=tuple(_hair_colour(melanin, grey, rng)),
        iris=tuple(_iris_colour(melanin, rng)),
        lips=tuple(lips),
        clothes=tuple(clothes),
        fringe=float(rng.random() < 0.35) * float(rng.uniform(0.5, 1)) if not men else 0.0,
        parting=float(rng.choice([-1, 1]) * rng.uniform(4, 22)),
        recession=recession,
        beard=float(men and facial < 0.16) * float(rng.uniform(0.6, 1)),
        moustache=float(men and facial < 0.24) * float(rng.uniform(0.6, 1)),
        stubble=float(rng.uniform(0.1, 0.75)) if men else 0.0,
        glasses=float(rng.uniform(0.20, 0.40)) if rng.random() < 0.2 else 0.0,
        freckles=float(max(0.0, rng.normal(0.1, 0.4)) * (melanin < 0.35)),
        blemishes=float(rng.uniform(0.2, 1)),
        gloss=float(rng.uniform(0.5, 1.1)),
        grey=grey,
        neckline=float(rng.uniform(0.0, 1.0)),
        asymmetry={a: float(np.clip(tilt.normal(0, 0.16), -0.5, 0.5)) * (0.3 if a == "AU43" else 1.0) for a in actions},
        gains={a: float(np.clip(tilt.normal(1.0, 0.12), 0.7, 1.3)) for a in actions},
    )
