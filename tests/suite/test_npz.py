"""Archives of small arrays: the same arrays as ``numpy.load``, refused where it refuses."""

import io

import numpy as np
import pytest

from repro.suite import npz
from repro.suite.npz import read_npz


def saved(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


ARRAYS = {
    "names": np.array(["a", "Ü-17", ""]),
    "scores": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
    "levels": np.arange(3),
    "fold": np.int64(7),
    "empty": np.zeros((0, 3)),
}


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    monkeypatch.setattr(npz, "_KNOWN", {})


def agree(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.asarray(array).dtype and found[name].shape == np.shape(array)
        assert not found[name].flags.writeable


def test_arrays_are_those_that_were_saved(monkeypatch):
    monkeypatch.setattr(npz, "_by_numpy", lambda data: pytest.fail("read by numpy"))
    for _ in range(2):
        agree(read_npz(saved(**ARRAYS)), ARRAYS)


def test_files_of_one_length_may_differ(monkeypatch):
    """What was learned of one file's layout is not believed of another."""
    first, second = {"a": np.arange(4), "b": np.zeros(2)}, {"a": np.zeros(4), "b": np.arange(2)}
    third = {"b": np.arange(4), "a": np.zeros(2)}
    assert len(saved(**first)) == len(saved(**second)) == len(saved(**third))
    for expected in (first, second, third, first):
        agree(read_npz(saved(**expected)), expected)


def test_unusual_layouts_are_left_to_numpy():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **ARRAYS)
    agree(read_npz(buffer.getvalue()), ARRAYS)
    columns = {"a": np.asfortranarray(np.arange(6).reshape(2, 3))}
    agree(read_npz(saved(**columns)), columns)


def test_objects_and_damage_are_refused():
    with pytest.raises(ValueError, match="pickle"):
        read_npz(saved(a=np.array([{"a": 1}], dtype=object)))
    data = saved(**ARRAYS)
    for damaged in (b"", b"PK", data[: len(data) // 2], data[:-10], data[:40] + data[60:]):
        with pytest.raises(Exception):  # noqa: B017 - whatever numpy raises
            read_npz(damaged)
