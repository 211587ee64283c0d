"""Systems of single moments: which levels they learn, what becomes of a clip's answers; what every system refuses."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from baselines.supervised.hot import HoT
from baselines.supervised.moments import MomentRegressor, learnable_levels
from baselines.supervised.osvr import OSVR
from baselines.supervised.rvr import RVR
from repro.data.features import ClipSet, Moments

COUNTS = np.array([2, 3, 1])
SPANS = np.array([[0, 1], [2, 3], [0, 1], [1, 2], [2, 3], [1, 2]])
MOMENTS = Moments(np.arange(6, dtype=np.float32)[:, None], COUNTS, SPANS)
LEVELS = np.array([2, 1, 3])


def clips(frame_levels):
    return ClipSet(list("abc"), list("xyz"), lambda extractor: MOMENTS, frame_levels)


@dataclass
class Echo(MomentRegressor):
    """Answers with the features themselves, or with what it is told."""

    name: ClassVar[str] = "echo"
    version: ClassVar[int] = 1
    answer: float | None = None

    def extractors(self):
        return ()

    def _fit(self, clips, levels, groups):
        self.learned_ = self._moment_levels(clips, MOMENTS, levels)

    def _intensity(self, clips):
        assert clips.frame_levels is None, "clips that are predicted have no levels"
        if self.answer is not None:
            return np.array([1.0, self.answer, 1.0])
        return self._of_clips(MOMENTS, MOMENTS.values[:, 0])


KNOWN = [np.array([0, 0, 2]), np.array([1, 0, 0]), np.array([0, 3])]


@pytest.mark.parametrize(
    ("frame_levels", "learned", "of_frames"),
    [
        (KNOWN, [0, 2, 1, 0, 0, 3], True),
        (None, [2, 2, 1, 1, 1, 3], False),
        ([np.array([0, 2, 0]), np.array([0, 0, 0, 1]), np.array([3, 0])], [2, 2, 1, 1, 1, 3], False),
    ],
    ids=["frames", "whole videos", "all that is looked at is alike"],
)
def test_what_is_learned_and_what_a_clips_answer_is(frame_levels, learned, of_frames):
    given = clips(frame_levels)
    assert learnable_levels(given, MOMENTS, LEVELS)[1] is of_frames
    system = Echo().fit(given, LEVELS, given.subjects)
    assert system.learned_.tolist() == learned and system.takes_highest_ is of_frames
    expected = np.array([1, 4, 5.0] if of_frames else [0.5, 3, 5])
    inside = expected < 2.9  # others are bent to stay below the highest level, 3
    np.testing.assert_allclose(system.predict(given)[inside], expected[inside])


def test_an_answer_that_is_not_finite_is_refused():
    given = clips(None)
    for answer in (np.nan, np.inf):
        system = Echo(answer=answer).fit(given, LEVELS, given.subjects)
        for ask in (system.predict, system.predict_proba):
            with pytest.raises(ValueError, match="echo: the prediction for clip b is not finite; look at its features"):
                ask(given)


@pytest.mark.parametrize("system", [HoT(), OSVR(), RVR()], ids=lambda system: system.name)
def test_clips_are_told_apart_though_all_frames_that_are_looked_at_are_alike(system, drawn):
    made, levels, groups = drawn()
    alike = ClipSet(made.ids, made.subjects, made.features, [np.r_[level, np.zeros(23, np.int64)] for level in levels])
    train = np.flatnonzero(groups != "s3")
    system.fit(alike.select(train), levels[train], groups[train])
    test = np.flatnonzero(groups == "s3")
    assert np.corrcoef(system.predict(made.select(test)), levels[test])[0, 1] > 0.5
