"""What every registered supervised system promises, whichever it is; a new one is tested by being registered."""

import dataclasses
import json
import pickle

import numpy as np
import pytest

from baselines import METHODS
from repro.data.encoding import KINDS
from repro.data.features import ClipSet
from repro.suite.scales import SCALES

OPTIONS = SCALES["smoke"].supervised
"""Hyper-parameters for small networks and few clips."""

SYSTEMS = [name for name, method in METHODS.items() if method.kind == "supervised"]


def system(name, **more):
    return METHODS[name].load()(**{**OPTIONS.get(name, {}), **more})


def halves(clips, levels, groups, test="s3"):
    """Train on all subjects but one, test on that one."""
    train, held_out = np.flatnonzero(groups != test), np.flatnonzero(groups == test)
    return (
        clips.select(train),
        levels[train],
        groups[train],
        ClipSet(clips.ids[held_out], clips.subjects[held_out], lambda e: clips.features(e).select(held_out)),
    )


def check(scores, intensities, n, n_levels):
    assert scores.shape == (n, n_levels) and (scores >= 0).all() and np.isfinite(scores).all()
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)
    assert intensities.shape == (n,) and ((intensities >= 0) & (intensities <= n_levels - 1)).all()
    np.testing.assert_allclose(scores @ np.arange(n_levels), intensities, atol=1e-6)


@pytest.fixture(scope="module")
def fitted(drawn):
    """Return a system that was fitted to three subjects, once for each (name, kind), and the fourth's clips."""
    made = {}

    def make(name, kind="RGB"):
        if (name, kind) not in made:
            clips, levels, groups, tested = halves(*drawn(kind))
            made[name, kind] = system(name).run_with(seed=3).fit(clips, levels, groups)
        return made[name, kind], halves(*drawn(kind))[3]

    return make


@pytest.mark.parametrize("name", SYSTEMS)
class TestSystem:
    def test_it_describes_itself(self, name):
        made = system(name)
        described = made.describe()
        assert made.name == name and isinstance(described["version"], int)
        assert {field.name for field in dataclasses.fields(made)} <= set(described)
        json.dumps([described, *(extractor.describe() for extractor in made.extractors())])
        assert set(made.inputs) <= set(KINDS) and "RGB" in made.inputs
        assert len({extractor.describe()["features"] for extractor in made.extractors()}) == len(made.extractors()) > 0
        assert all(hash(extractor) == hash(dataclasses.replace(extractor)) for extractor in made.extractors())

    def test_probabilities_and_intensities(self, name, fitted):
        model, tested = fitted(name)
        check(model.predict_proba(tested), model.predict(tested), len(tested), 4)

    def test_it_learns_what_is_plain_to_see(self, name, fitted, drawn):
        model, _ = fitted(name)
        clips, levels, groups, _ = halves(*drawn("RGB"))
        predicted = model.predict(clips)
        assert np.corrcoef(predicted, levels)[0, 1] > 0.3, "not even its training clips can be told apart"

    def test_the_same_seed_gives_the_same_bytes_and_pickling_changes_nothing(self, name, fitted, drawn):
        model, tested = fitted(name)
        clips, levels, groups, _ = halves(*drawn("RGB"))
        again = system(name).run_with(seed=3).fit(clips, levels, groups)
        expected = model.predict_proba(tested)
        for other in (again, pickle.loads(pickle.dumps(model))):
            np.testing.assert_array_equal(other.predict_proba(tested), expected)

    def test_predictions_do_not_depend_on_the_order_or_company_of_other_subjects(self, name, drawn):
        clips, levels, groups = drawn("RGB")
        train = np.flatnonzero(np.isin(groups, ["s0", "s1"]))
        model = system(name).run_with(seed=3).fit(clips.select(train), levels[train], groups[train])
        own = np.flatnonzero(groups == "s3")
        others = np.flatnonzero(np.isin(groups, ["s2", "s3"]))[::-1]
        together = dict(zip(clips.ids[others], model.predict(clips.select(others)), strict=True))
        np.testing.assert_allclose(
            [together[name] for name in clips.ids[own]], model.predict(clips.select(own)), atol=1e-5
        )  # float32 networks sum in another order for other batches

    def test_inputs_are_not_modified(self, name, drawn):
        clips, levels, groups, tested = halves(*drawn("RGB"))
        model = system(name)
        kept = [clips.features(e).values.copy() for e in model.extractors()], levels.copy(), groups.copy()
        model.fit(clips, levels, groups).predict_proba(tested)
        assert all(
            np.array_equal(clips.features(e).values, was, equal_nan=was.dtype.kind == "f")
            for e, was in zip(model.extractors(), kept[0], strict=True)
        )
        assert (levels == kept[1]).all() and (groups == kept[2]).all()

    def test_a_subject_without_pain_does_no_harm(self, name, drawn):
        clips, levels, groups, tested = halves(*drawn("RGB", quiet=("s0", "s3")))
        model = system(name).fit(clips, levels, groups)
        check(model.predict_proba(tested), model.predict(tested), len(tested), 4)

    @pytest.mark.parametrize("people", [("s0",), ("s0", "s1")])
    def test_few_subjects_and_labels_of_whole_videos(self, name, drawn, people):
        clips, levels, groups = drawn("RGB", known=False)
        assert clips.frame_levels is None
        train = np.flatnonzero(np.isin(groups, people))
        model = system(name).fit(clips.select(train), levels[train], groups[train])
        tested = clips.select(np.flatnonzero(groups == "s3"))
        check(model.predict_proba(tested), model.predict(tested), len(tested), 4)

    def test_one_level_alone_cannot_be_learned(self, name, drawn):
        clips, levels, groups = drawn("RGB")
        with pytest.raises(ValueError, match="all 24 training clips have level 0.*train on subjects with and without"):
            system(name).fit(clips, np.zeros_like(levels), groups)
        with pytest.raises(ValueError, match="24 clips, but levels of shape"):
            system(name).fit(clips, levels[:-1], groups)

    def test_missing_landmarks_of_some_clips_do_not_become_nan(self, name, drawn):
        clips, levels, groups, tested = halves(*drawn("RGB"))
        if not any(extractor.needs_landmarks for extractor in system(name).extractors()):
            pytest.skip("needs no landmarks")
        model = system(name).fit(_blinded(clips), levels, groups)
        blind = _blinded(tested)
        check(model.predict_proba(blind), model.predict(blind), len(blind), 4)


@pytest.mark.parametrize("name", SYSTEMS)
def test_maps_of_segments(name, fitted):
    if "SSD(RGB)" not in system(name).inputs:
        pytest.skip("the method is defined on frames only, as in the paper")
    model, tested = fitted(name, "SSD(RGB)")
    check(model.predict_proba(tested), model.predict(tested), len(tested), 4)


def _blinded(clips):
    """Return clips of which every third has features without landmarks."""

    def source(extractor):
        moments = clips.features(extractor)
        if not extractor.needs_landmarks:
            return moments
        values = moments.values.copy()
        values[moments.clip % 3 == 0] = np.nan
        return dataclasses.replace(moments, values=values)

    return ClipSet(clips.ids, clips.subjects, source, clips.frame_levels)
