"""Properties of the protocols, over random data sets of many shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.learning.protocols import few_labels, grouped_k_fold, leave_one_subject_out, share_of_videos


def random_subjects(seed: int) -> np.ndarray:
    """3 to 30 subjects with 1 to 40 samples each, interleaved."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 41, size=rng.integers(3, 31))
    return rng.permutation(np.repeat([f"{i:03d}-x" for i in rng.permutation(len(sizes))], sizes))


def check(splits: list, subjects: np.ndarray) -> None:
    """Subjects are disjoint, each sample is tested once, and nothing is lost."""
    for number, (fold, train, test) in enumerate(splits):
        assert fold == number
        assert len(test) and len(train)
        assert not set(subjects[train]) & set(subjects[test])
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(subjects)))
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    tested = np.concatenate([test for _, _, test in splits])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(subjects)))


@pytest.mark.parametrize("seed", range(10))
def test_leave_one_subject_out(seed):
    subjects = random_subjects(seed)
    splits = list(leave_one_subject_out(subjects))
    check(splits, subjects)
    assert [subjects[split.test[0]] for split in splits] == sorted(set(subjects))
    assert all(len(set(subjects[split.test])) == 1 for split in splits)


# Names that differ in case or a blank only, that begin alike or share their initials are different subjects.
NAMES = st.sampled_from(["jh043", "jh123", "JH043", "jh04", "jh043 ", "é", "0"]) | st.text("ab ", max_size=3)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(NAMES).filter(lambda names: len(set(names)) > 1), st.integers(0, 99))
def test_no_subject_is_in_two_folds(subjects, seed):
    for splits in (list(leave_one_subject_out(subjects)), list(grouped_k_fold(subjects, 2, seed))):
        check(splits, np.array(subjects))
        fold_of: dict[str, int] = {}
        for fold, _, test in splits:
            for index in test:
                assert fold_of.setdefault(subjects[index], fold) == fold
        assert set(fold_of) == set(subjects)


def test_leave_one_subject_out_by_hand():
    splits = [(s.fold, s.train.tolist(), s.test.tolist()) for s in leave_one_subject_out(["b", "a", "b", "c"])]
    assert splits == [(0, [0, 2, 3], [1]), (1, [1, 3], [0, 2]), (2, [0, 1, 2], [3])]


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("seed", range(10))
def test_grouped_k_fold(seed, k):
    subjects = random_subjects(seed)
    if k > len(set(subjects)):
        pytest.skip("fewer subjects than folds is an error, tested below")
    splits = list(grouped_k_fold(subjects, k, seed))
    check(splits, subjects)
    assert len(splits) == k
    # The greedy rule's bound: the largest and smallest fold differ by one subject at most.
    sizes = [len(split.test) for split in splits]
    assert max(sizes) - min(sizes) <= np.unique(subjects, return_counts=True)[1].max()


def test_grouped_k_fold_depends_on_the_seed_and_not_on_the_order_of_samples():
    subjects = random_subjects(4)

    def folds(order: np.ndarray, seed: int) -> dict[str, int]:
        return {s: f for f, _, test in grouped_k_fold(subjects[order], 4, seed) for s in subjects[order][test]}

    here, there = np.arange(len(subjects)), np.random.default_rng(0).permutation(len(subjects))
    assert folds(here, 1) == folds(there, 1)
    same_size = np.repeat([f"s{i:02d}" for i in range(20)], 5)
    partitions = {
        tuple(tuple(np.unique(same_size[test])) for _, _, test in grouped_k_fold(same_size, 4, seed))
        for seed in range(10)
    }
    assert len(partitions) == 10


def test_strata_spread_the_positive_samples():
    """Four subjects hold all positives: strata put one into each fold, plain balancing does not always."""
    subjects = np.repeat([f"s{i:02d}" for i in range(16)], 10)
    positive = np.isin(subjects, ["s03", "s04", "s09", "s15"])
    for seed in range(20):
        of_fold = [positive[test].sum() for _, _, test in grouped_k_fold(subjects, 4, seed, strata=positive)]
        assert of_fold == [10, 10, 10, 10]
        sizes = [len(test) for _, _, test in grouped_k_fold(subjects, 4, seed, strata=positive)]
        assert sizes == [40, 40, 40, 40]
    plain = [[positive[t].sum() for _, _, t in grouped_k_fold(subjects, 4, seed)] for seed in range(20)]
    assert any(counts != [10, 10, 10, 10] for counts in plain)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: leave_one_subject_out(["a", "a"]), r"at least 2 subjects, got \['a'\]"),
        (lambda: leave_one_subject_out([]), "non-empty"),
        (
            lambda: grouped_k_fold(["a", "b"], 3, 0),
            "k must lie between 2 and the number of subjects, 2, got 3",
        ),
        (lambda: grouped_k_fold(["a", "b"], 1, 0), "k must lie"),
        (lambda: grouped_k_fold(["a", "b"], 2, 0, strata=[1]), "strata do not match"),
        (lambda: grouped_k_fold([["a"], ["b"]], 2, 0), r"1-D array, got shape \(2, 1\)"),
    ],
)
def test_bad_splits_fail_at_the_call(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def dataset(n_subjects: int = 10, n_videos: int = 10, n_clips: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Videos and subjects of clips; video names repeat across subjects."""
    subjects = np.repeat([f"s{i}" for i in range(n_subjects)], n_videos * n_clips)
    videos = np.tile(np.repeat([f"v{i}" for i in range(n_videos)], n_clips), n_subjects)
    return videos, subjects


TRAIN = [f"s{i}" for i in range(7)]


def pairs(videos: np.ndarray, subjects: np.ndarray, index: np.ndarray) -> set[tuple[str, str]]:
    return set(zip(subjects[index], videos[index], strict=True))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_share_is_of_all_videos_from_training_subjects_only(share, seed):
    videos, subjects = dataset()
    index = share_of_videos(videos, subjects, TRAIN, share, seed)
    chosen = pairs(videos, subjects, index)
    assert len(chosen) == round(share * 100)
    # Every clip of a chosen video is there.
    assert len(index) == 3 * len(chosen)
    of_subject = [sum(s == subject for s, _ in chosen) for subject in TRAIN]
    assert sum(of_subject) == len(chosen)
    assert max(of_subject) - min(of_subject) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_nested_and_depend_on_the_seed(seed):
    videos, subjects = dataset()
    small, middle, large = (
        set(share_of_videos(videos, subjects, TRAIN, share, seed).tolist()) for share in (0.1, 0.3, 0.5)
    )
    assert small < middle < large
    assert set(share_of_videos(videos, subjects, TRAIN, 0.3, seed + 1).tolist()) != middle


def test_share_ignores_the_order_of_samples_and_of_training_subjects():
    videos, subjects = dataset()
    order = np.random.default_rng(2).permutation(len(videos))
    one = pairs(videos, subjects, share_of_videos(videos, subjects, TRAIN, 0.3, 0))
    shuffled = share_of_videos(videos[order], subjects[order], TRAIN[::-1], 0.3, 0)
    assert pairs(videos[order], subjects[order], shuffled) == one


def test_share_with_unequal_subjects_takes_all_of_the_small_ones():
    subjects = np.array(["a"] * 2 + ["b"] * 20 + ["c"] * 20 + ["held"] * 8)
    videos = np.arange(50)
    chosen = subjects[share_of_videos(videos, subjects, ["a", "b", "c"], 0.3, 1)]
    counts = {s: int((chosen == s).sum()) for s in "abc"}
    assert counts["a"] == 2 and sorted([counts["b"], counts["c"]]) == [6, 7]


def test_share_rounds_half_up_and_is_at_least_one_video():
    videos, subjects = np.arange(5), np.array(["a", "a", "a", "b", "b"])
    assert len(share_of_videos(videos, subjects, ["a"], 0.3, 0)) == 2
    assert len(share_of_videos(videos, subjects, ["a"], 0.01, 0)) == 1
    assert share_of_videos(videos, subjects, ["b", "a"], 1, 0).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 0.8}, "80% of 100 videos are 80, but the 7 training subjects have 70"),
        ({"share": 0}, "share must be above 0"),
        ({"share": 1.1}, "share must be above 0"),
        ({"train_subjects": ["s0", "s99"]}, r"without a video in the dataset: \['s99'\]"),
        ({"videos": ["v"]}, "do not match"),
    ],
)
def test_bad_shares(change, message):
    videos, subjects = dataset()
    arguments = {"videos": videos, "subjects": subjects, "train_subjects": TRAIN, "share": 0.3, "seed": 0}
    with pytest.raises(ValueError, match=message):
        share_of_videos(**(arguments | change))


@given(st.integers(0, 10_000), st.integers(2, 60))
@settings(max_examples=60, deadline=None)
def test_few_labels_are_nested_and_keep_the_share_of_pain(seed, n):
    levels = np.random.default_rng(seed).choice([0, 0, 0, 1, 4], 60)
    chosen, more = few_labels(levels, n, seed), few_labels(levels, min(60, n + 7), seed)
    assert len(chosen) == n and (np.diff(chosen) > 0).all()
    assert set(chosen) <= set(more)
    # half a sample of each side at most, as they alternate by their shares
    assert abs((levels[chosen] > 0).sum() - n * (levels > 0).mean()) <= 1
    np.testing.assert_array_equal(chosen, few_labels(levels, n, seed))
    assert len(few_labels(levels, 60, seed)) == 60


@pytest.mark.parametrize("n", [1, 61])
def test_more_labels_than_there_are_cannot_be_drawn(n):
    with pytest.raises(ValueError, match=f"{n} labelled clips"):
        few_labels(np.arange(60) % 3, n, 0)
