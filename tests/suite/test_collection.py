"""Pausing the search for cycles: off inside, as before outside, whatever happens."""

import gc

import pytest

from repro.suite.collection import paused_collection


@pytest.fixture(autouse=True)
def as_before():
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("for_good", [False, True])
def test_it_is_off_inside_and_on_again_after_an_error(for_good):
    gc.unfreeze()
    with pytest.raises(KeyError), paused_collection(for_good=for_good):
        assert not gc.isenabled()
        with paused_collection():
            pass
        assert not gc.isenabled(), "an inner pause does not end the outer one"
        raise KeyError
    assert gc.isenabled() and (gc.get_freeze_count() > 0) == for_good


def test_who_does_without_it_goes_on_so():
    gc.disable()
    with paused_collection(for_good=True):
        pass
    assert not gc.isenabled()
