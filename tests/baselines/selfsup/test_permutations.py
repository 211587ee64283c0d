"""The permutation set: against a literal greedy search, and the distances that the paper asks for."""

from itertools import combinations, permutations

import numpy as np
import pytest

from baselines.selfsup.permutations import permutation_set


def distance(first, second):
    return sum(a != b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("length", "count"), [(2, 2), (3, 6), (4, 24), (5, 40)])
def test_each_choice_is_the_best_that_is_left(length, count):
    chosen = [tuple(int(i) for i in row) for row in permutation_set(count, length)]
    assert len(set(chosen)) == count
    left = set(permutations(range(length))) - {chosen[0]}
    for step in range(1, count):
        before = chosen[:step]
        merit = {p: (min(distance(p, q) for q in before), sum(distance(p, q) for q in before)) for p in left}
        assert merit[chosen[step]] == max(merit.values()), f"choice {step} of {length} elements is not the best"
        left.remove(chosen[step])


def test_a_thousand_of_nine_are_as_far_apart_as_the_paper_asks():
    chosen = permutation_set(1000).astype(np.int8)
    assert (np.sort(chosen, axis=1) == np.arange(9)).all()
    apart = np.concatenate([(chosen[i + 1 :] != chosen[i]).mean(1) for i in range(999)])
    assert apart.mean() == pytest.approx(0.89, abs=0.005)
    assert apart.min() == pytest.approx(5 / 9)
    # a random set of that size is as far apart on average, but nearly repeats itself
    random = np.stack([np.random.default_rng(i).permutation(9) for i in range(1000)])
    assert min((random[i + 1 :] != random[i]).mean(1).min() for i in range(999)) < 4 / 9


def test_a_smaller_set_begins_a_larger_one_and_nothing_can_be_changed():
    large, small = permutation_set(50), permutation_set(20)
    np.testing.assert_array_equal(large[:20], small)
    assert min(distance(a, b) for a, b in combinations(small.tolist(), 2)) >= 6
    assert permutation_set(50) is large
    with pytest.raises(ValueError, match="read-only"):
        large[0, 0] = 1


@pytest.mark.parametrize(("count", "length"), [(0, 4), (25, 4), (3, 1), (3, 10)])
def test_what_cannot_be_chosen_is_refused(count, length):
    with pytest.raises(ValueError, match="permutations"):
        permutation_set(count, length)
