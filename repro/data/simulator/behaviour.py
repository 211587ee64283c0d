"""What people do over time: pain, talking, smiling, blinking, moving the head; and how it would be coded.

All time courses are continuous intensities; the FACS codes are their roundings, and PSPI follows from the codes by
its formula.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repro.data.simulator.actions import CHANNELS
from repro.data.simulator.domain import Domain
from repro.data.simulator.render import Performance
from repro.data.simulator.streams import stratified, stream
from repro.data.simulator.subject import Identity

CODED = (4, 6, 7, 9, 10, 12, 15, 20, 25, 26, 43)
"""Action units that are written to FACS files."""
BLINK_LIMIT = 0.5
"""Seconds beyond which closed eyes count as AU43 rather than as a blink (AU45)."""


@dataclass(frozen=True)
class Temper:
    """How one person reacts.

    Attributes
    ----------
    reactivity : float
        Scale of the response to pain; near 0 for people that hardly react.
    style : dict of str to float
        Weight of each action in this person's pain.
    delay : float
        Seconds from the stimulus to the reaction.
    chatter : float
        How often the person talks or smiles, relative to others.
    blink_every : float
        Mean seconds between blinks.
    restless : float
        Scale of head movement.
    """

    reactivity: float
    style: dict[str, float]
    delay: float
    chatter: float
    blink_every: float
    restless: float


@dataclass(frozen=True)
class Script:
    """A sequence as it will be filmed and coded.

    Attributes
    ----------
    performance : Performance
    codes : ndarray, shape (F, len(CODED))
        FACS intensities, integers 0..5 (AU43: 0 or 1).
    pspi : ndarray, shape (F,)
        Prkachin and Solomon pain intensity of each frame, integers.
    closure : ndarray, shape (F,)
        Closure of the lids, whatever its cause, 0..1 (AU45 of OpenFace).
    """

    performance: Performance
    codes: np.ndarray
    pspi: np.ndarray
    closure: np.ndarray


def pspi(codes: np.ndarray) -> np.ndarray:
    """Return AU4 + max(AU6, AU7) + max(AU9, AU10) + AU43 of codes (F, len(CODED)) (Prkachin & Solomon 2008)."""
    au = {number: codes[:, i] for i, number in enumerate(CODED)}
    return au[4] + np.maximum(au[6], au[7]) + np.maximum(au[9], au[10]) + au[43]


def sample_temper(identity: Identity, domain: Domain, seed: int, index: int) -> Temper:
    """Draw the habits of one person."""
    rng = identity.rng("temper")
    still = stratified(seed, index * 5, domain.name, "responder") < domain.non_responders
    base = {
        "AU4": 0.75,
        "AU6": 0.75,
        "AU7": 0.70,
        "AU9": 0.40,
        "AU10": 0.60,
        "AU43": 0.65,
        "AU25": 0.55,
        "AU20": 0.30,
        "AU26": 0.20,
        "AU12": 0.10,
        "AU15": 0.10,
        "AU1": 0.08,
    }
    style = {name: float(np.clip(weight * rng.lognormal(0, 0.28), 0, 1.2)) for name, weight in base.items()}
    return Temper(
        reactivity=float(domain.reactivity * (rng.uniform(0.02, 0.15) if still else rng.uniform(0.65, 1.30))),
        style=style,
        delay=float(rng.uniform(0.9, 2.4)),
        chatter=float(rng.gamma(2.0, 0.5)),
        blink_every=float(rng.uniform(2.2, 5.5)),
        restless=float(rng.lognormal(0, 0.3)),
    )


def _ramp(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * t * (t * (6 * t - 15) + 10)


def envelope(time: np.ndarray, start: float, onset: float, apex: float, offset: float) -> np.ndarray:
    """Return a smooth rise, hold and fall in 0..1; all arguments in seconds."""
    return _ramp((time - start) / onset) * (1 - _ramp((time - start - onset - apex) / offset))


def wander(rng: np.random.Generator, n: int, fps: float, seconds: float, columns: int) -> np.ndarray:
    """Return smooth noise (n, columns) of about unit variance that changes over `seconds`."""
    knots = max(4, int(np.ceil(n / fps / seconds)) + 4)
    value = rng.standard_normal((knots, columns))
    at = np.arange(n) / fps / seconds + rng.random()
    i = at.astype(int)
    t = (at - i)[:, None]
    # Cubic B-spline: twice differentiable, so nothing jerks; the gain restores unit variance on average.
    w = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    return 1.44 * sum(w[k] * value[i + k] for k in range(4)) / 6


class _Stage:
    """Collects intensities (0..5) of actions while a sequence is written."""

    def __init__(self, rng: np.random.Generator, n: int, fps: float) -> None:
        self.rng, self.n, self.fps = rng, n, fps
        self.time = np.arange(n) / fps
        self.level: dict[str, np.ndarray] = {}
        self.guard = np.zeros(n)

    @property
    def seconds(self) -> float:
        """Length of the sequence."""
        return self.n / self.fps

    def add(self, name: str, course: np.ndarray) -> None:
        """Let an action follow `course` where that is stronger than what it does already."""
        self.level[name] = np.maximum(self.level.get(name, np.zeros(self.n)), course)

    def get(self, name: str) -> np.ndarray:
        """Return the course of an action."""
        return self.level.get(name, np.zeros(self.n))


def _hurt(
    stage: _Stage, temper: Temper, strength: float, start: float, *, apex: float, onset: float, offset: float
) -> None:
    """Play one episode of pain of a given strength (about 0..1)."""
    rng = stage.rng
    course = envelope(stage.time, start, onset, apex, offset)
    tremble = 1 + 0.10 * wander(rng, stage.n, stage.fps, 0.4, 1)[:, 0]
    for name, weight in temper.style.items():
        lag = rng.normal(0, 0.10)
        part = envelope(
            stage.time,
            start + lag,
            onset * rng.uniform(0.8, 1.2),
            apex * rng.uniform(0.8, 1.15),
            offset * rng.uniform(0.8, 1.2),
        )
        peak = 5.2 * strength * weight * float(np.clip(rng.normal(1.0, 0.22), 0.3, 1.7))
        if name == "AU43":
            # Eyes close in strong pain only, and then all the way.
            chance = float(np.clip(1.9 * strength * weight - 0.45, 0, 0.95))
            if rng.random() > chance:
                continue
            part = envelope(stage.time, start + 0.5 * onset, 0.25, max(0.6, apex * rng.uniform(0.5, 1.0)), 0.3)
            peak = 5.0
        elif name in ("AU9", "AU10", "AU20", "AU26") and peak < 0.9:
            continue
        stage.add(name, np.clip(part * peak * tremble, 0, 5))
    stage.guard = np.maximum(stage.guard, course * min(1.2, strength))


def _talk(stage: _Stage, start: float, length: float) -> None:
    gate = envelope(stage.time, start, 0.25, max(0.1, length - 0.5), 0.25)
    beat = wander(stage.rng, stage.n, stage.fps, 0.16, 3)
    stage.add("AU25", gate * np.clip(1.6 + 1.6 * beat[:, 0], 0, 4))
    stage.add("AU26", gate * np.clip(0.9 + 1.2 * beat[:, 0], 0, 3.2))
    stage.add("AU18", gate * np.clip(1.8 * beat[:, 1], 0, 3.5))
    stage.add("AU12", gate * np.clip(0.2 + 0.5 * beat[:, 2], 0, 1.2))


def _distract(stage: _Stage, temper: Temper, rate: float) -> None:
    """Play expressions that have nothing to do with pain."""
    rng = stage.rng
    for _ in range(int(rng.poisson(stage.seconds / 6.0 * rate * temper.chatter))):
        start = rng.uniform(-0.5, stage.seconds)
        kind = str(rng.choice(["talk", "smile", "brows", "press"], p=[0.45, 0.30, 0.15, 0.10]))
        if kind == "talk":
            _talk(stage, start, rng.uniform(0.8, 3.0))
            continue
        shape = envelope(stage.time, start, rng.uniform(0.3, 0.6), rng.uniform(0.3, 2.0), rng.uniform(0.4, 0.9))
        if kind == "smile":
            stage.add("AU12", shape * rng.uniform(1.5, 4.5))
            # Half of the smiles reach the eyes; coders then score AU6.
            stage.add("AU6", shape * rng.uniform(0.0, 2.2) * (rng.random() < 0.4))
            stage.add("AU25", shape * rng.uniform(0.0, 2.5) * (rng.random() < 0.5))
        elif kind == "brows":
            stage.add("AU1", shape * rng.uniform(1.0, 3.5))
            stage.add("AU2", shape * rng.uniform(1.0, 3.5))
        else:
            stage.add("AU17", shape * rng.uniform(1.0, 3.0))
            stage.add("AU15", shape * rng.uniform(0.0, 2.0))


def _blinks(stage: _Stage, temper: Temper) -> np.ndarray:
    """Return lid closure (F, 2) by blinks: fast down, slower up, 0.2-0.35 s in all."""
    rng = stage.rng
    out = np.zeros((stage.n, 2))
    at = rng.exponential(temper.blink_every)
    while at < stage.seconds:
        depth = rng.uniform(0.85, 1.0)
        shape = depth * envelope(stage.time, at, 0.07, rng.uniform(0.02, 0.07), rng.uniform(0.12, 0.2))
        out = np.maximum(out, shape[:, None] * [1.0, rng.uniform(0.95, 1.0)])
        at += 0.45 + rng.exponential(temper.blink_every)
    return out


def _gaze(stage: _Stage) -> np.ndarray:
    """Return the iris shift (F, 2) in cm: fixations with quick jumps between them."""
    rng = stage.rng
    out = np.zeros((stage.n, 2))
    value, i = rng.normal(0, [0.10, 0.05]), 0
    while i < stage.n:
        hold = int(stage.fps * rng.uniform(0.4, 2.2)) + 1
        out[i : i + hold] = value
        value = np.clip(rng.normal(0, [0.14, 0.07]), [-0.38, -0.2], [0.38, 0.15])
        i += hold
    return out + 0.004 * rng.standard_normal((stage.n, 2))


def _pose(stage: _Stage, domain: Domain, temper: Temper) -> tuple[np.ndarray, np.ndarray]:
    """Return pitch, yaw, roll (F, 3) in radians and translation (F, 3) in cm."""
    rng, n, fps = stage.rng, stage.n, stage.fps
    scale = domain.head_motion * temper.restless
    slow, quick = wander(rng, n, fps, 2.2, 6), wander(rng, n, fps, 0.6, 6)
    sway = scale * (0.85 * slow + 0.25 * quick)
    angles = np.radians(sway[:, :3] * [1.8, 3.0, 1.4])
    move = sway[:, 3:] * [0.35, 0.20, 0.35]
    angles += np.radians(rng.normal(0, [2.0, 3.0, 1.6]) * (0.5 + domain.head_motion))
    away = rng.normal(0, 1, 3)
    guard = domain.guarding * stage.guard[:, None]
    angles += guard * np.radians([3.5 * away[0] - 1.5, 5.0 * away[1], 3.5 * away[2]])
    move += guard * [0.4 * away[1], -0.1 * abs(away[0]), -0.6]
    talk = stage.get("AU26")[:, None] * 0.15
    return angles + talk * np.radians(quick[:, :3]), move


def codes(stage_level: dict[str, np.ndarray], closed: np.ndarray, fps: float) -> np.ndarray:
    """Return FACS codes (F, len(CODED)) of continuous intensities and of lid closure (F,).

    Raises
    ------
    ValueError
        If `fps` is not positive.
    """
    if fps <= 0:
        raise ValueError(f"fps must be positive, got {fps}")
    out = np.zeros((len(closed), len(CODED)), int)
    for i, number in enumerate(CODED):
        if number == 43:
            out[:, i] = long_runs(closed > 0.75, int(np.ceil(BLINK_LIMIT * fps)))
        elif f"AU{number}" in stage_level:
            out[:, i] = np.clip(np.rint(stage_level[f"AU{number}"]), 0, 5).astype(int)
    return out


def long_runs(flags: np.ndarray, shortest: int) -> np.ndarray:
    """Keep the runs of true values that last at least `shortest` frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    out = np.zeros(len(flags), int)
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first >= shortest:
            out[first:last] = 1
    return out


def visible(level: np.ndarray) -> np.ndarray:
    """Return how far a face moves, 0..1, for an intensity over 5; the first steps of FACS' scale show the most."""
    return np.asarray(level, float) ** 0.8


def _finish(stage: _Stage, identity: Identity, domain: Domain, temper: Temper) -> Script:
    """Turn intensities into an activation matrix, lids, pose and codes."""
    rng = stage.rng
    lids = _blinks(stage, temper)
    shut = np.clip(stage.get("AU43") / 5, 0, 1)
    closure = np.maximum(lids.mean(1), shut)
    activation = np.zeros((stage.n, len(CHANNELS)), np.float32)
    for name, level in stage.level.items():
        tilt = domain.asymmetry * float(np.clip(identity.asymmetry.get(name, 0.0) + rng.normal(0, 0.06), -0.6, 0.6))
        if name in ("AU25", "AU26", "AU18", "AU17"):
            tilt *= 0.2
        elif name == "AU43":
            tilt *= 0.3
        for side, sign in (("L", 1), ("R", -1)):
            share = min(1.0, 1 + sign * tilt)
            activation[:, CHANNELS.index(name + side)] = share * np.clip(
                visible(level / 5) * (1.0 if name == "AU43" else domain.expressiveness), 0, 1.2
            )
    angles, move = _pose(stage, domain, temper)
    gaze = _gaze(stage)
    # Eyes hold their target while the head turns.
    gaze[:, 0] -= 0.5 * angles[:, 1]
    gaze[:, 1] += 0.35 * angles[:, 0]
    table = codes(stage.level, closure, stage.fps)
    performance = Performance(activation, lids, gaze, angles, move)
    return Script(performance, table, pspi(table), closure)


def unbc_script(identity: Identity, domain: Domain, temper: Temper, n_frames: int, *names: str | int) -> Script:
    """Write one sequence of an arm test: mostly nothing, now and then pain."""
    rng = stream(identity.seed, identity.key, "sequence", *names)
    stage = _Stage(rng, n_frames, domain.fps)
    if rng.random() < domain.pain_share:
        for _ in range(1 + int(rng.poisson(stage.seconds / 12.0))):
            strength = float(np.clip(temper.reactivity * (0.10 + rng.beta(1.1, 3.1)) * 1.05, 0, 1.15))
            onset, apex, offset = rng.uniform(0.3, 0.9), rng.uniform(0.2, 1.6), rng.uniform(0.4, 1.3)
            room = max(0.1, stage.seconds - onset - 0.4)
            _hurt(stage, temper, strength, rng.uniform(-0.2, room), onset=onset, apex=apex, offset=offset)
    _distract(stage, temper, domain.distraction)
    return _finish(stage, identity, domain, temper)


def biovid_script(
    identity: Identity, domain: Domain, temper: Temper, n_frames: int, level: int, *names: str | int
) -> Script:
    """Write one video of a heat stimulus of class `level`, 0 (none) to 4."""
    rng = stream(identity.seed, identity.key, "video", level, *names)
    stage = _Stage(rng, n_frames, domain.fps)
    chance = (0.0, 0.10, 0.25, 0.60, 0.93)[level]
    share = n_frames / domain.fps / 5.5
    if rng.random() < chance:
        strength = float(np.clip(temper.reactivity * (0.10 + 0.15 * level) * rng.uniform(0.6, 1.35), 0, 1.1))
        start = temper.delay + rng.normal(0.0, 0.4)
        _hurt(
            stage,
            temper,
            strength,
            start * share,
            onset=rng.uniform(0.4, 1.0) * share,
            apex=rng.uniform(0.8, 2.4) * share,
            offset=rng.uniform(0.6, 1.5),
        )
    elif rng.random() < 0.10:
        # People frown or squint for reasons of their own.
        _hurt(
            stage,
            temper,
            rng.uniform(0.12, 0.35) * min(1.0, 0.3 + temper.reactivity),
            rng.uniform(0, 4) * share,
            onset=0.5,
            apex=rng.uniform(0.3, 1.5),
            offset=0.6,
        )
        stage.guard *= 0.3
    _distract(stage, temper, domain.distraction)
    return _finish(stage, identity, domain, temper)
