"""Hyper-parameters are chosen without a look at the subjects who judge them."""

import numpy as np
import pytest

from baselines.supervised.inner_folds import best_of, inner_folds, out_of_fold, squared_error
from repro.learning.protocols import Split


def rows_of(subjects=6, each=5, seed=0):
    """Shuffled rows: the subject of each, and a level that is pain for about half of a subject's."""
    generator = np.random.default_rng(seed)
    groups = generator.permutation(np.repeat([f"s{i}" for i in range(subjects)], each))
    levels = np.zeros(len(groups), dtype=np.int64)
    for name in np.unique(groups):
        own = np.flatnonzero(groups == name)
        levels[own[: each // 2]] = 1 + np.arange(each // 2)
    return groups, levels


@pytest.mark.parametrize(("subjects", "k", "expected"), [(6, 3, 3), (6, 5, 5), (2, 3, 2), (3, 3, 3)])
def test_folds_are_of_whole_subjects(subjects, k, expected):
    groups, levels = rows_of(subjects)
    folds = inner_folds(groups, levels, k)
    assert len(folds) == expected
    for split in folds:
        assert not set(groups[split.train]) & set(groups[split.test])
        np.testing.assert_array_equal(np.union1d(split.train, split.test), np.arange(len(groups)))
    np.testing.assert_array_equal(np.sort(np.concatenate([s.test for s in folds])), np.arange(len(groups)))


def test_one_subject_has_no_folds():
    assert inner_folds(np.array(["a"] * 4), np.array([0, 1, 2, 0])) == []


def test_pain_is_spread_over_the_folds():
    groups = np.repeat([f"s{i}" for i in range(6)], 10)
    levels = np.where(np.isin(groups, ["s0", "s1", "s2"]), np.arange(60) % 2, 0)
    for split in inner_folds(groups, levels):
        assert len({"s0", "s1", "s2"} & set(groups[split.test])) == 1


def test_a_fold_that_would_learn_from_one_level_is_left_out():
    groups, levels = np.array(["quiet"] * 3 + ["pain"] * 3), np.array([0, 0, 0, 0, 2, 0])
    (split,) = inner_folds(groups, levels)
    assert set(groups[split.train]) == {"pain"} and set(groups[split.test]) == {"quiet"}
    assert inner_folds(groups, np.array([0, 0, 0, 1, 1, 1])) == []


def test_folds_do_not_depend_on_the_order_of_rows():
    groups, levels = rows_of()
    order = np.random.default_rng(1).permutation(len(groups))
    one, other = inner_folds(groups, levels), inner_folds(groups[order], levels[order])
    for a, b in zip(one, other, strict=True):
        assert set(groups[a.test]) == set(groups[order][b.test])


def test_predictions_stand_beside_their_rows():
    groups, levels = rows_of()
    rows, predicted = out_of_fold(lambda choice, train, test: 10.0 * test + choice, 3, inner_folds(groups, levels))
    np.testing.assert_array_equal(predicted, 10.0 * rows + 3)
    assert len(rows) == len(groups)


def by_nearest(x, y, train, test):
    """Answer with the target of the nearest training row."""
    return y[train][np.abs(x[test][:, None] - x[train]).argmin(axis=1)]


@pytest.mark.parametrize("seed", range(5))
def test_only_what_has_seen_the_validation_subjects_can_know_them(seed):
    """Each subject has a level of its own, which says nothing about others: honest predictions cannot know it."""
    groups, levels = rows_of(subjects=9, seed=seed)
    generator = np.random.default_rng(seed + 100)
    face = dict(zip(np.unique(groups), generator.permutation(9), strict=True))
    own = dict(zip(np.unique(groups), generator.permutation(9) - 4.0, strict=True))
    x = np.array([face[name] for name in groups]) + generator.normal(0, 0.01, len(groups))
    y = np.array([own[name] for name in groups])
    everything = np.arange(len(groups))
    folds = inner_folds(groups, levels)

    def predict(choice, train, test):
        if choice == "mean":
            return np.full(len(test), y[train].mean())
        return by_nearest(x, y, everything if choice == "leak" else train, test)

    losses = {}
    for choice in ("mean", "nearest", "leak"):
        rows, predicted = out_of_fold(predict, choice, folds)
        losses[choice] = squared_error(y[rows], predicted)
    assert losses["leak"] == 0
    # The variance of the subjects' levels is 60 / 9. The mean of six others misses by that much and more; what another
    # subject's level says about a subject is worse still, whichever subjects these are.
    assert losses["mean"] > 60 / 9
    assert losses["nearest"] > losses["mean"]
    assert best_of(["mean", "nearest"], predict, y, folds) == "mean"
    assert best_of(["mean", "nearest", "leak"], predict, y, folds) == "leak"


def test_the_subjects_of_each_question_are_apart():
    groups, levels = rows_of()
    asked = []

    def predict(choice, train, test):
        asked.append(choice)
        assert not set(groups[train]) & set(groups[test])
        return np.full(len(test), float(choice))

    assert best_of([5, 1, 3], predict, np.full(len(groups), 1.2), inner_folds(groups, levels)) == 1
    assert sorted(asked) == [1, 1, 1, 3, 3, 3, 5, 5, 5]


def never(choice, train, test):
    raise AssertionError("there is nothing to compare")


def test_the_first_choice_counts_where_nothing_can_be_compared():
    folds = inner_folds(*rows_of())
    assert best_of(["only"], never, np.zeros(30), folds) == "only"
    assert best_of(["first", "second"], never, np.zeros(30), []) == "first"
    assert best_of(["b", "a"], lambda choice, train, test: np.zeros(len(test)), np.zeros(30), folds) == "b"


def test_the_loss_is_over_all_rows_together():
    # Choice 0 errs by 1 in five of six rows, choice 1 by 2 in one of six. By folds, of one and five rows, choice 0 has
    # the mean loss (0 + 1) / 2 and choice 1 (4 + 0) / 2; over all rows 5 / 6 and 4 / 6.
    small, large = np.array([0]), np.arange(1, 6)
    folds = [Split(0, large, small), Split(1, small, large)]
    errors = np.array([[0, 1, 1, 1, 1, 1], [2, 0, 0, 0, 0, 0]], dtype=float)
    assert best_of([0, 1], lambda choice, train, test: errors[choice][test], np.zeros(6), folds) == 1
    # Another loss decides otherwise.
    largest = lambda truth, predicted: float(np.abs(truth - predicted).max())  # noqa: E731
    assert best_of([0, 1], lambda choice, train, test: errors[choice][test], np.zeros(6), folds, largest) == 0


def test_the_squared_error_by_hand():
    assert squared_error(np.array([0, 2]), np.array([1.0, 4.0])) == 2.5
