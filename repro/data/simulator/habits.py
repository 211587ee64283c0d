"""What people do whether or not it hurts: talk, smile, blink, look about, move the head."""

from __future__ import annotations

import numpy as np

from repro.data.simulator.domain import Domain
from repro.data.simulator.stage import Stage, envelope, wander

_FACING = (1.8, 2.7, 1.4)
"""Standard deviation of the pitch, yaw and roll at which people sit, degrees."""


def distract(stage: Stage, rate: float) -> None:
    """Play expressions that have nothing to do with pain, `rate` of them in six seconds on average."""
    rng = stage.draw("distraction")
    for k in range(int(rng.poisson(stage.seconds / 6.0 * rate))):
        start = rng.uniform(-0.5, stage.seconds)
        kind = str(rng.choice(["talk", "smile", "brows", "press"], p=[0.45, 0.30, 0.15, 0.10]))
        if kind == "talk":
            _talk(stage, stage.draw("talk", k), start, rng.uniform(0.8, 3.0))
            continue
        shape = envelope(stage.time, start, rng.uniform(0.3, 0.6), rng.uniform(0.3, 2.0), rng.uniform(0.4, 0.9))
        if kind == "smile":
            stage.add("AU12", shape * rng.uniform(1.5, 4.5))
            # Some smiles reach the eyes; coders then score AU6.
            stage.add("AU6", shape * rng.uniform(0.0, 2.2) * (rng.random() < 0.4))
            stage.add("AU25", shape * rng.uniform(0.0, 2.5) * (rng.random() < 0.5))
        elif kind == "brows":
            stage.add("AU1", shape * rng.uniform(1.0, 3.5))
            stage.add("AU2", shape * rng.uniform(1.0, 3.5))
        else:
            stage.add("AU17", shape * rng.uniform(1.0, 3.0))
            stage.add("AU15", shape * rng.uniform(0.0, 2.0))


def _talk(stage: Stage, rng: np.random.Generator, start: float, length: float) -> None:
    gate = envelope(stage.time, start, 0.25, max(0.1, length - 0.5), 0.25)
    beat = wander(rng, stage.n, stage.fps, 0.16, 3)
    stage.add("AU25", gate * np.clip(1.6 + 1.6 * beat[:, 0], 0, 4))
    jaw = gate * np.clip(0.9 + 1.2 * beat[:, 0], 0, 3.2)
    stage.add("AU26", jaw)
    stage.speech = np.maximum(stage.speech, jaw)
    stage.add("AU18", gate * np.clip(1.8 * beat[:, 1], 0, 3.5))
    stage.add("AU12", gate * np.clip(0.2 + 0.5 * beat[:, 2], 0, 1.2))


def blinks(stage: Stage, every: float) -> np.ndarray:
    """Return lid closure (F, 2) by blinks `every` so many seconds: fast down, slower up, 0.2-0.35 s in all."""
    rng = stage.draw("blinks")
    out = np.zeros((stage.n, 2))
    at = rng.exponential(every)
    while at < stage.seconds:
        depth = rng.uniform(0.85, 1.0)
        shape = depth * envelope(stage.time, at, 0.07, rng.uniform(0.02, 0.07), rng.uniform(0.12, 0.2))
        out = np.maximum(out, shape[:, None] * [1.0, rng.uniform(0.95, 1.0)])
        at += 0.45 + rng.exponential(every)
    return out


def gaze(stage: Stage, angles: np.ndarray) -> np.ndarray:
    """Return the iris shift (F, 2) in cm: fixations with quick jumps between them, held while the head turns."""
    rng = stage.draw("gaze")
    out = np.zeros((stage.n, 2))
    value, i = rng.normal(0, [0.10, 0.05]), 0
    while i < stage.n:
        hold = int(stage.fps * rng.uniform(0.4, 2.2)) + 1
        out[i : i + hold] = value
        value = np.clip(rng.normal(0, [0.14, 0.07]), [-0.38, -0.2], [0.38, 0.15])
        i += hold
    out += 0.004 * rng.standard_normal((stage.n, 2))
    return out + angles[:, [1, 0]] * [-0.5, 0.35]


def head_pose(stage: Stage, domain: Domain, restless: float) -> tuple[np.ndarray, np.ndarray]:
    """Return pitch, yaw, roll (F, 3) in radians and translation (F, 3) in cm.

    `restless` is how lively the person is, relative to others.
    """
    rng, n, fps = stage.draw("head"), stage.n, stage.fps
    scale = domain.head_motion * restless
    slow, quick = wander(rng, n, fps, 2.2, 6), wander(rng, n, fps, 0.6, 6)
    sway = scale * (0.85 * slow + 0.25 * quick)
    # Heads nod along with speech.
    nod = 0.4 * domain.head_motion * stage.speech[:, None] * quick[:, :3]
    angles = np.radians(rng.normal(0, _FACING) + sway[:, :3] * [1.8, 3.0, 1.4] + nod)
    move = sway[:, 3:] * [0.35, 0.20, 0.35]
    away = stage.draw("guard").normal(0, 1, 3)
    guard = domain.guarding * stage.guard[:, None]
    angles += guard * np.radians([3.5 * away[0] - 1.5, 5.0 * away[1], 3.5 * away[2]])
    move += guard * [0.4 * away[1], -0.1 * abs(away[0]), -0.6]
    return angles, move
