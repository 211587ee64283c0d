"""Contact sheets: people of both domains with each action unit, and its intensities."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from repro.data.simulator import actions
from repro.data.simulator.camera import SUPERSAMPLING, Shot, subject_light
from repro.data.simulator.domain import BIOVID, UNBC, Domain
from repro.data.simulator.render import Performance, Person
from repro.data.simulator.subject import sample_identity

EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "AU4": {"AU4": 5},
    "AU6": {"AU6": 5},
    "AU7": {"AU7": 5},
    "AU9": {"AU9": 5},
    "AU10": {"AU10": 5},
    "AU43": {"AU43": 5},
    "AU12": {"AU12": 4, "AU6": 2},
    "AU25+26": {"AU25": 4, "AU26": 2},
    "pain": {"AU4": 4, "AU6": 4, "AU7": 4, "AU9": 3, "AU10": 3, "AU43": 5, "AU25": 3, "AU20": 2},
}
"""Columns of the contact sheet: intensities 0..5 of the actions shown."""
INTENSITY_ROWS = ("AU4", "AU6", "AU7", "AU9", "AU10", "AU43", "pain")
"""Rows of the sheet of intensities, names in `EXPRESSIONS`."""
CAPTION = 24
"""Height of the line of captions in pixels."""


def activation(levels: dict[str, float], identity_asymmetry: dict[str, float] | None = None) -> np.ndarray:
    """Return the row (len(CHANNELS),) of a `render.Performance` for intensities 0..5 of actions."""
    tilt = identity_asymmetry or {}
    row = np.zeros(len(actions.CHANNELS), np.float32)
    for name, level in levels.items():
        for side, sign in (("L", 1), ("R", -1)):
            row[actions.CHANNELS.index(name + side)] = level / 5 * min(1.0, 1 + sign * tilt.get(name, 0.0))
    return row


def still(rows: np.ndarray, *, yaw: float = 0.0) -> Performance:
    """Return a performance of one frame for each activation row (F, C), eyes open, head turned by `yaw` radians."""
    n = len(rows)
    angles = np.tile([0.02, yaw, 0.0], (n, 1))
    return Performance(rows.astype(np.float32), np.zeros((n, 2)), np.zeros((n, 2)), angles, np.zeros((n, 3)))


def portraits(
    domain: Domain, index: int, size: int, seed: int, levels: Sequence[dict[str, float]], *, yaw: float = 0.0
) -> np.ndarray:
    """Return one person with several expressions side by side, (size, len(levels) * width, 3) uint8 BGR."""
    camera = dataclasses.replace(domain.camera, aspect=0.86, view=24.5, framing=0.0)
    domain = dataclasses.replace(domain, camera=camera)
    identity = sample_identity(seed, domain.name, index, ages=domain.ages)
    shot = Shot(identity, domain, size, "sheet")
    person = Person(identity, camera.view / (shot.height * SUPERSAMPLING), subject_light(identity, camera))
    rows = np.stack([activation(row, identity.asymmetry) for row in levels])
    return np.hstack([shot.expose(image) for image in person.render(still(rows, yaw=yaw), shot.background, shot.pose)])


def contact_sheet(size: int = 192, *, subjects: int = 4, seed: int = 0, yaw: float = 0.0) -> np.ndarray:
    """Draw a contact sheet.

    Parameters
    ----------
    size : int
        Height of a picture in pixels.
    subjects : int
        People of each domain; those of UNBC come first.
    seed : int
    yaw : float
        Turn of the heads, radians.

    Returns
    -------
    ndarray, uint8 BGR
        A row for each person, a column for each of `EXPRESSIONS`, under a line of captions.
    """
    levels = list(EXPRESSIONS.values())
    rows = [portraits(domain, i, size, seed, levels, yaw=yaw) for domain in (UNBC, BIOVID) for i in range(subjects)]
    return _captioned(np.vstack(rows), list(EXPRESSIONS))


def intensity_sheet(size: int = 192, *, seed: int = 0, yaw: float = 0.0) -> np.ndarray:
    """Draw a sheet of the intensities 0 and A to E (1 to 5) of each action of the PSPI, and of pain.

    Parameters
    ----------
    size, seed, yaw
        As for `contact_sheet`.

    Returns
    -------
    ndarray, uint8 BGR
        A row for each of `INTENSITY_ROWS`, each with another person; a column for each intensity, under a line of
        captions.
    """
    rows = []
    # Both domains in turn, and only people whose eyes no glasses cover.
    people = {domain.name: _without_glasses(domain, seed) for domain in (UNBC, BIOVID)}
    for k, name in enumerate(INTENSITY_ROWS):
        domain = (UNBC, BIOVID)[k % 2]
        levels = [{a: v * grade / 5 for a, v in EXPRESSIONS[name].items()} for grade in range(6)]
        rows.append(portraits(domain, next(people[domain.name]), size, seed, levels, yaw=yaw))
        cv2.putText(rows[-1], name, (4, size - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return _captioned(np.vstack(rows), ["0", "A", "B", "C", "D", "E"])


def _without_glasses(domain: Domain, seed: int) -> Iterator[int]:
    """Yield the numbers of the people of a domain who wear no glasses."""
    return (i for i in itertools.count() if sample_identity(seed, domain.name, i, ages=domain.ages).glasses == 0)


def _captioned(body: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Put a line of column names above a sheet."""
    head = np.full((CAPTION, body.shape[1], 3), 255, np.uint8)
    step = body.shape[1] // len(names)
    for k, name in enumerate(names):
        cv2.putText(head, name, (k * step + 6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([head, body])
