"""RVR: what is fused and how, how a clip is answered, and how the kernels' widths are chosen."""

import numpy as np
import pytest

from baselines.features.dct import DCT
from baselines.features.lbp import LBP
from baselines.supervised.inner_folds import inner_folds, squared_error
from baselines.supervised.rvr import RVR, _Machine
from repro.data.features import ClipSet


def unlabelled(clips, rows):
    return ClipSet(clips.ids[rows], clips.subjects[rows], lambda e: clips.features(e).select(rows))


def parts(drawn, kind="RGB", **options):
    clips, levels, groups = drawn(kind, **options)
    train, test = np.flatnonzero(groups != "s3"), np.flatnonzero(groups == "s3")
    return clips.select(train), levels[train], groups[train], unlabelled(clips, test), levels[test]


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
def test_it_learns_to_tell_levels_of_unseen_people(drawn, kind):
    train, levels, groups, tested, truth = parts(drawn, kind)
    model = RVR().fit(train, levels, groups)
    intensities = model.predict(tested)
    assert np.corrcoef(intensities, truth)[0, 1] > 0.5  # six clips of a person like no other
    assert set(model.choice_) <= set(model.widths) and len(model.choice_) == 2


@pytest.mark.parametrize(("known", "reduce"), [(True, np.max), (False, np.mean)])
def test_a_clip_is_answered_by_its_moments_as_it_was_labelled(drawn, known, reduce):
    train, levels, groups, tested, _ = parts(drawn, known=known)
    assert (train.frame_levels is not None) == known and tested.frame_levels is None
    model = RVR(frames=3).fit(train, levels, groups)
    of_dct, of_lbp = tested.features(DCT(3)), tested.features(LBP(3))
    answers = (model.machines_[0].predict(of_dct.values) + model.machines_[1].predict(of_lbp.values)) / 2
    expected = [reduce(answers[of_dct.clip == c]) for c in range(len(tested))]
    np.testing.assert_allclose(model._intensity(tested), expected, rtol=1e-12)


def test_machines_learn_the_levels_of_moments(drawn):
    train, levels, groups, _, _ = parts(drawn)
    moments = train.features(DCT())
    targets = train.moment_levels(moments, levels)
    assert not np.array_equal(targets, levels[moments.clip])
    model = RVR(widths=(2.0,)).fit(train, levels, groups)
    again = _Machine(2.0, 500, histograms=False).fit(moments.values, targets)
    np.testing.assert_array_equal(model.machines_[0].predict(moments.values), again.predict(moments.values))


def test_the_width_is_that_of_least_error_over_unseen_people(drawn):
    train, levels, groups, _, _ = parts(drawn)
    widths = (0.05, 2.0, 4.0)
    model = RVR(widths=widths).fit(train, levels, groups)
    moments = train.features(LBP())
    targets, people = train.moment_levels(moments, levels), groups[moments.clip]
    losses = []
    for width in widths:
        found = []
        for split in inner_folds(people, targets):
            assert not set(people[split.train]) & set(people[split.test])
            machine = _Machine(width, 500, histograms=True, iterations=100)
            machine.fit(moments.values[split.train], targets[split.train])
            found.append((targets[split.test], machine.predict(moments.values[split.test])))
        losses.append(squared_error(*(np.concatenate(side) for side in zip(*found, strict=True))))
    assert model.choice_[1] == widths[int(np.argmin(losses))] != widths[0]


def test_with_one_subject_the_first_width_is_taken(drawn):
    clips, levels, groups = drawn("RGB")
    own = np.flatnonzero(groups == "s0")
    assert RVR().fit(clips.select(own), levels[own], groups[own]).choice_ == (2.0, 2.0)


class TestMachine:
    def rows(self, n=60):
        random = np.random.default_rng(0)
        x = random.uniform(size=(n, 6)).astype(np.float32)
        return x, np.round(3 * x[:, 0]).astype(np.int64)

    def test_units_of_coefficients_do_not_matter(self):
        x, targets = self.rows()
        units = np.array([1, 16, 0.25, 4, 2, 1], np.float32)
        one, other = (_Machine(2.0, 500, False).fit(values, targets).predict(values) for values in (x, x * units))
        np.testing.assert_allclose(other, one, atol=1e-3)  # float32 features, and a fixed point that ends early

    def test_columns_that_never_varied_are_not_looked_at(self):
        x, targets = self.rows()
        x[:, 4:] = 0.1, 0
        machine = _Machine(2.0, 500, False).fit(x, targets)
        other = x.copy()
        other[:, 4:] = 7
        np.testing.assert_array_equal(machine.predict(other), machine.predict(x))

    def test_distances_of_histograms_are_hellingers(self):
        x, targets = self.rows()
        machine = _Machine(2.0, 500, True).fit(x, targets)
        roots = np.sqrt(x.astype(float))
        apart = np.sqrt(((roots[:, None] - roots) ** 2).sum(axis=2))[np.triu_indices(len(x), 1)]
        assert machine.regression_.width == pytest.approx(2 * np.median(apart), rel=1e-5)

    def test_candidates_are_few_and_of_all_levels(self):
        x, _ = self.rows()
        targets = np.zeros(60, np.int64)
        targets[40:48], targets[53] = 1, 5
        machine = _Machine(0.1, 10, False).fit(x, targets)  # so narrow that each needs its own
        assert len(machine.regression_.vectors_) <= 10
        prepared = x * machine.scale_
        rows = [int(np.flatnonzero((prepared == vector).all(axis=1))[0]) for vector in machine.regression_.vectors_]
        assert {1, 5} <= set(targets[rows].tolist())

    def test_equal_faces_are_answered_by_one_number(self):
        x, targets = np.ones((8, 6), np.float32), np.array([0, 1, 2, 3] * 2)
        # the mean, drawn towards 0 by the prior of largest evidence for a single weight
        expected = targets.mean() - targets.var(ddof=1) / (8 * targets.mean())
        for histograms in (False, True):
            machine = _Machine(2.0, 500, histograms).fit(x, targets)
            np.testing.assert_allclose(machine.predict(x), expected, atol=1e-3)  # the fixed point ends early


def test_columns_that_vary_by_rounding_only_are_not_looked_at():
    """A cell that is flat in all training pictures, at several brightnesses, has coefficients of about 1e-14."""
    random = np.random.default_rng(0)
    x = np.c_[random.normal(0, 50, (40, 3)), 1e-14 * random.normal(size=40)].astype(np.float32)
    targets = (x[:, 0] > 0).astype(np.int64)
    machine = _Machine(2.0, 500, histograms=False).fit(x, targets)
    assert machine.scale_[3] == 0
    textured = x.copy()
    textured[:, 3] = 30
    np.testing.assert_array_equal(machine.predict(textured), machine.predict(x))


def test_a_single_candidate_is_refused():
    with pytest.raises(ValueError, match="candidates=1: at least 2"):
        RVR(candidates=1)
