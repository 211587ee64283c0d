"""What people do over time: pain as the two datasets have it, amid what they do without pain.

All time courses are continuous intensities; the FACS codes are their roundings, and PSPI follows from the codes by
its formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from repro.data.simulator import habits
from repro.data.simulator.actions import ACTIONS, CHANNELS
from repro.data.simulator.coding import codes, pspi
from repro.data.simulator.domain import Domain
from repro.data.simulator.planning import SequenceSpec
from repro.data.simulator.render import Performance
from repro.data.simulator.stage import Stage, envelope, wander
from repro.data.simulator.streams import stratified, stream
from repro.data.simulator.subject import Identity

STYLE = {
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
"""Average weight of each action in pain, relative to the strength of the pain."""
REACTS = (0.0, 0.10, 0.25, 0.60, 0.93)
"""Chance that a person reacts to BioVid's classes."""
FALSE_ALARMS = 0.10
"""Chance of an expression like that of slight pain in a BioVid video without a reaction."""


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
    levels : dict of str to ndarray, shape (F,)
        Intensity, 0..5, of each action that occurs.
    codes : ndarray, shape (F, len(CODED))
        FACS intensities, integers 0..5 (AU43: 0 or 1).
    pspi : ndarray, shape (F,)
        Prkachin and Solomon pain intensity of each frame, integers.
    closure : ndarray, shape (F,)
        Closure of the lids, whatever its cause, 0..1 (AU45 of OpenFace).
    """

    performance: Performance
    levels: dict[str, np.ndarray]
    codes: np.ndarray
    pspi: np.ndarray
    closure: np.ndarray


@dataclass(frozen=True)
class Pain:
    """One episode.

    Attributes
    ----------
    strength : float
        About 0..1.
    start, onset, apex, offset : float
        When it begins, and how long it rises, holds and falls, seconds.
    recruited : float
        Share of the person's actions that take part.
    """

    strength: float
    start: float
    onset: float
    apex: float
    offset: float
    recruited: float = 1.0


def sample_temper(identity: Identity, domain: Domain, seed: int, index: int) -> Temper:
    """Draw the habits of one person."""
    rng = identity.rng("temper")
    still = stratified(seed, index * 5, domain.name, "responder") < domain.non_responders
    style = {name: float(np.clip(weight * rng.lognormal(0, 0.28), 0, 1.2)) for name, weight in STYLE.items()}
    return Temper(
        reactivity=float(domain.reactivity * (rng.uniform(0.02, 0.15) if still else rng.uniform(0.65, 1.30))),
        style=style,
        delay=float(rng.uniform(0.9, 2.4)),
        chatter=float(rng.gamma(2.0, 0.5)),
        blink_every=float(rng.uniform(2.2, 5.5)),
        restless=float(rng.lognormal(0, 0.3)),
    )


@dataclass(frozen=True)
class ArmTest:
    """How often and how strongly the movement of a sore shoulder hurts.

    The values are set so that the PSPI of 25 simulated subjects is spread over its levels as in UNBC-McMaster: levels
    1 to 4 make up nearly all of the pain, and levels of 10 and more are about one frame in 250.

    Attributes
    ----------
    further : float
        Seconds of a sequence for each episode beyond the first, on average.
    floor, span : float
        Least strength of an ordinary episode, and how much is added to it at most.
    shape : tuple of float
        Parameters of the beta distribution of what is added.
    severe : float
        Share of episodes that hurt a lot.
    severe_strength : tuple of float
        Least and greatest strength of those.
    recruited : tuple of float
        Share of a person's actions that take part in the weakest pain, and how that share grows with the strength:
        slight pain shows in a frown or about the eyes only.
    onset, hold, severe_hold, offset : tuple of float
        Least and greatest seconds of the rise, at the apex, and of the fall.
    """

    further: float = 8.5
    floor: float = 0.10
    span: float = 0.38
    shape: tuple[float, float] = (1.5, 1.9)
    severe: float = 0.045
    severe_strength: tuple[float, float] = (0.80, 0.95)
    recruited: tuple[float, float] = (0.52, 0.55)
    onset: tuple[float, float] = (0.3, 1.6)
    hold: tuple[float, float] = (0.1, 0.7)
    severe_hold: tuple[float, float] = (0.2, 0.8)
    offset: tuple[float, float] = (0.5, 3.0)


ARM_TEST = ArmTest()


def write_script(identity: Identity, domain: Domain, temper: Temper, spec: SequenceSpec) -> Script:
    """Write a planned sequence of either dataset."""
    if spec.level is None:
        return unbc_script(identity, domain, temper, spec.n_frames, spec.index)
    return biovid_script(identity, domain, temper, spec.n_frames, spec.level, spec.index)


def unbc_script(identity: Identity, domain: Domain, temper: Temper, n_frames: int, *names: str | int) -> Script:
    """Write one sequence of an arm test: mostly nothing, now and then pain."""
    stage = Stage(n_frames, domain.fps, partial(stream, identity.seed, identity.key, "sequence", *names))
    rng = stage.draw("episodes")
    if rng.random() < domain.pain_share:
        for k in range(1 + int(rng.poisson(stage.seconds / ARM_TEST.further))):
            _hurt(stage, temper, _arm_pain(stage.draw("episode", k), temper, stage.seconds), k)
    habits.distract(stage, domain.distraction * temper.chatter)
    return _finish(stage, identity, domain, temper)


def _arm_pain(rng: np.random.Generator, temper: Temper, seconds: float) -> Pain:
    test = ARM_TEST
    severe = bool(rng.random() < test.severe)
    strength = test.floor + test.span * rng.beta(*test.shape)
    strongest = rng.uniform(*test.severe_strength)
    onset, offset = rng.uniform(*test.onset), rng.uniform(*test.offset)
    where, apex = rng.random(), rng.uniform(*(test.severe_hold if severe else test.hold))
    strength = float(np.clip(temper.reactivity * (strongest if severe else strength), 0, 1.15))
    room = max(0.1, seconds - onset - 0.4)
    recruited = min(1.0, test.recruited[0] + test.recruited[1] * strength)
    return Pain(strength, -0.2 + where * (room + 0.2), onset, apex, offset, recruited)


def biovid_script(
    identity: Identity, domain: Domain, temper: Temper, n_frames: int, level: int, *names: str | int
) -> Script:
    """Write one video of a heat stimulus of class `level`, 0 (none) to 4.

    People react with a delay of their own, more often and more strongly to more heat; without heat, or when the heat
    does not reach them, some frown or squint for reasons of their own.
    """
    stage = Stage(n_frames, domain.fps, partial(stream, identity.seed, identity.key, "video", level, *names))
    rng = stage.draw("episode")
    reacts, frowns = rng.random() < REACTS[level], rng.random() < FALSE_ALARMS
    # A video of another length has the same course, faster or slower.
    share = stage.seconds / 5.5
    heat = Pain(
        strength=float(np.clip(temper.reactivity * (0.10 + 0.15 * level) * rng.uniform(0.6, 1.35), 0, 1.1)),
        start=(temper.delay + rng.normal(0.0, 0.4)) * share,
        onset=rng.uniform(0.4, 1.0) * share,
        apex=rng.uniform(0.8, 2.4) * share,
        offset=rng.uniform(0.6, 1.5),
    )
    frown = Pain(
        strength=rng.uniform(0.12, 0.35) * min(1.0, 0.3 + temper.reactivity),
        start=rng.uniform(0, 4) * share,
        onset=0.5,
        apex=rng.uniform(0.3, 1.5),
        offset=0.6,
    )
    if reacts or frowns:
        _hurt(stage, temper, heat if reacts else frown, "heat" if reacts else "frown")
    if not reacts:
        stage.guard *= 0.3
    habits.distract(stage, domain.distraction * temper.chatter)
    return _finish(stage, identity, domain, temper)


def _hurt(stage: Stage, temper: Temper, pain: Pain, name: str | int) -> None:
    """Play one episode of pain."""
    rng = stage.draw("pain", name)
    tremble = 1 + 0.10 * wander(rng, stage.n, stage.fps, 0.4, 1)[:, 0]
    for action, weight in temper.style.items():
        # Every number is drawn whether it is used or not, so that a change of strength changes nothing else.
        lag, rise, hold, fall = rng.normal(0, 0.10), *rng.uniform([0.8, 0.8, 0.8], [1.2, 1.15, 1.2])
        peak = 5.2 * pain.strength * weight * float(np.clip(rng.normal(1.0, 0.22), 0.3, 1.7))
        lot, closed = rng.random(), rng.uniform(0.5, 1.0)
        if action == "AU43":
            # Eyes close in strong pain only, and then all the way.
            if lot > np.clip(1.9 * pain.strength * weight - 0.45, 0, 0.95):
                continue
            start, shut = pain.start + 0.5 * pain.onset, max(0.6, pain.apex * closed)
            part, peak = envelope(stage.time, start, 0.25, shut, 0.3), 5.0
        elif lot > pain.recruited or (action in ("AU9", "AU10", "AU20", "AU26") and peak < 0.9):
            continue
        else:
            start = pain.start + lag
            part = envelope(stage.time, start, pain.onset * rise, pain.apex * hold, pain.offset * fall)
        stage.add(action, np.clip(part * peak * tremble, 0, 5))
    course = envelope(stage.time, pain.start, pain.onset, pain.apex, pain.offset)
    stage.guard = np.maximum(stage.guard, course * min(1.2, pain.strength))


def visible(level: np.ndarray) -> np.ndarray:
    """Return how far a face moves, 0..1, for an intensity over 5; the first steps of FACS' scale show the most."""
    return np.asarray(level, float) ** 0.8


def _finish(stage: Stage, identity: Identity, domain: Domain, temper: Temper) -> Script:
    """Turn intensities into an activation matrix, lids, pose and codes."""
    lids = habits.blinks(stage, temper.blink_every)
    closure = np.maximum(lids.mean(1), np.clip(stage.get("AU43") / 5, 0, 1))
    chance = dict(zip(ACTIONS, stage.draw("asymmetry").normal(0, 0.06, len(ACTIONS)), strict=True))
    activation = np.zeros((stage.n, len(CHANNELS)), np.float32)
    for name, level in stage.levels.items():
        tilt = domain.asymmetry * float(np.clip(identity.asymmetry.get(name, 0.0) + chance[name], -0.6, 0.6))
        tilt *= _EVEN.get(name, 1.0)
        moved = np.clip(visible(level / 5) * (1.0 if name == "AU43" else domain.expressiveness), 0, 1.2)
        for side, sign in (("L", 1), ("R", -1)):
            activation[:, CHANNELS.index(name + side)] = min(1.0, 1 + sign * tilt) * moved
    angles, move = habits.head_pose(stage, domain, temper.restless)
    performance = Performance(activation, lids, habits.gaze(stage, angles), angles, move)
    table = codes(stage.levels, closure, stage.fps)
    return Script(performance, stage.levels, table, pspi(table), closure)


_EVEN = {"AU25": 0.2, "AU26": 0.2, "AU18": 0.2, "AU17": 0.2, "AU43": 0.3}
"""How much of a face's asymmetry shows in actions of its middle, and of both lids."""
