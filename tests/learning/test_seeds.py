"""Seeds are a fixed function of their named components."""

import numpy as np
import pytest
import torch

from repro.learning.seeds import seed_from


def test_value_is_fixed_for_ever():
    """The first 16 hexadecimal digits are from coreutils: printf '["unbc", 3, 0]' | sha256sum."""
    assert seed_from("unbc", 3, 0) == 0xEA740CFA8B2590F6 // 2


def test_components_are_told_apart():
    variants = [
        ("a", "bc"),
        ("ab", "c"),
        ("abc",),
        ("a", "b", "c"),
        ("1",),
        (1,),
        (1, 0),
        (10,),
        ("é",),
        ("bc", "a"),
    ]
    assert len({seed_from(*names) for names in variants}) == len(variants)


def test_numpy_and_python_numbers_agree():
    assert seed_from("x", np.int64(5), np.str_("y")) == seed_from("x", 5, "y")


def test_range_suits_both_generators():
    for i in range(200):
        seed = seed_from("range", i)
        assert 0 <= seed < 2**63
    torch.Generator().manual_seed(seed)
    np.random.default_rng(seed)
    # The top bit of 63 is used: seeds are spread over the range.
    assert max(seed_from("range", i) for i in range(200)) > 2**62


@pytest.mark.parametrize("names", [(), (1.5,), (None,), (True,), (("a",),)])
def test_bad_components(names):
    with pytest.raises(ValueError, match="component"):
        seed_from(*names)
