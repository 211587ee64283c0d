"""A subject in front of the camera: identity, behaviour, picture and files brought together."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from repro.data.simulator import writers
from repro.data.simulator.behaviour import Script, sample_temper, write_script
from repro.data.simulator.camera import SUPERSAMPLING, Shot, subject_light
from repro.data.simulator.domain import Domain, frame_shape
from repro.data.simulator.landmarks import Landmarks, mistracked
from repro.data.simulator.planning import SequenceSpec
from repro.data.simulator.render import Person, project_points
from repro.data.simulator.subject import sample_identity


class Actor:
    """A subject of a domain, ready to be filmed.

    Parameters
    ----------
    domain : Domain
    seed : int
    subject_index : int
    size : int
        Height of a frame in pixels.
    """

    def __init__(self, domain: Domain, seed: int, subject_index: int, size: int) -> None:
        self.domain, self.size = domain, size
        self.identity = sample_identity(seed, domain.name, subject_index, ages=domain.ages)
        self.temper = sample_temper(self.identity, domain, seed, subject_index)
        pixel = domain.camera.view / (frame_shape(domain, size)[0] * SUPERSAMPLING)
        self.person = Person(self.identity, pixel, subject_light(self.identity, domain.camera))
        self.marks = Landmarks(self.identity, self.person.head)

    def script(self, spec: SequenceSpec) -> Script:
        """Return what happens in a sequence."""
        return write_script(self.identity, self.domain, self.temper, spec)

    def shot(self, spec: SequenceSpec) -> Shot:
        """Return the camera of a sequence."""
        return Shot(self.identity, self.domain, self.size, spec.index)

    def landmarks(self, script: Script, shot: Shot) -> np.ndarray:
        """Return where the 68 landmarks are in each frame, (F, 68, 2), in pixels of the stored frame."""
        performance = script.performance
        head = self.marks.positions(performance.activation.astype(float), self.person.eye_state(performance))
        return shot.pixels(project_points(head, performance, shot.pose))

    def write(self, root: Path, spec: SequenceSpec) -> None:
        """Film one sequence and write its files."""
        script, shot = self.script(spec), self.shot(spec)
        marks = self.landmarks(script, shot)
        if self.domain.landmark_error:
            rng = self.identity.rng("landmark error", spec.index)
            marks = mistracked(marks, self.domain.landmark_error, self.domain.fps, rng)
        images = (shot.expose(frame) for frame in self.person.render(script.performance, shot.background, shot.pose))
        if spec.level is None:
            writers.write_unbc(root, spec.subject, spec.name, images, marks, script, self._ratings(spec, script))
        else:
            shape = shot.height, shot.width
            writers.write_biovid(
                root, spec.subject, spec.name, images, marks, script, self._poses(script), shape, self.domain.fps
            )

    def _ratings(self, spec: SequenceSpec, script: Script) -> dict[str, float]:
        """Return sequence ratings that agree, roughly, with what the face shows."""
        rng = self.identity.rng("ratings", spec.index)
        felt = float(np.clip(0.55 * script.pspi.max() + 1.2 * rng.gamma(1.0, 1.0) - 0.6, 0, 10))
        return {
            "AFF": float(np.clip(round(1.4 * felt + rng.normal(0, 1.5)), 0, 15)),
            "OPR": float(np.clip(round(script.pspi.max() / 2.6 + rng.normal(0, 0.5)), 0, 5)),
            "SEN": float(np.clip(round(1.45 * felt + rng.normal(0, 1.2)), 0, 15)),
            "VAS": float(round(felt)),
        }

    def _poses(self, script: Script) -> np.ndarray:
        """Return OpenFace's pose columns: millimetres with z away from the camera and y down, radians about x, y, z."""
        p = script.performance
        place = p.move * 10.0 * [1.0, -1.0, -1.0] + [0.0, 0.0, 10.0 * self.domain.camera.distance]
        return np.concatenate([place, p.angles * [1.0, -1.0, -1.0]], axis=1)


@lru_cache(maxsize=1)
def actor(domain: Domain, seed: int, subject_index: int, size: int) -> Actor:
    """Return an actor; the last one is kept, as blocks of one subject often come to one process in a row."""
    return Actor(domain, seed, subject_index, size)
