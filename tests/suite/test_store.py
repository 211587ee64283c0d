"""The store: whole or absent, equal bytes, damage noticed."""

import json

import numpy as np
import pytest

from repro.suite.store import CellPredictions, DamagedEntry, Store, hash_of, hash_with_names, hashes_of, joined


def predictions(n=4, **changes):
    values = {
        "samples": np.array([f"clip{i}" for i in range(n)]),
        "subjects": np.array(["a", "b"] * (n // 2)),
        "levels": np.arange(n) % 3,
        "scores": np.full((n, 3), 1 / 3, np.float32),
        "fold": 1,
        "seed": 0,
    }
    return CellPredictions(**{**values, **changes})


KEY = hash_of({"cell": 1})


def test_round_trip_keeps_everything(tmp_path):
    store = Store(tmp_path)
    assert not store.has(KEY)
    store.write(KEY, predictions(), {"description": {"cell": 1}})
    description, read = store.read(KEY)
    assert description["description"] == {"cell": 1} and description["key"] == KEY
    for name in ("samples", "subjects", "levels", "scores", "fold", "seed"):
        np.testing.assert_array_equal(getattr(read, name), getattr(predictions(), name))
    assert list(store.keys()) == [KEY]
    assert store.result_folder(KEY) == tmp_path / KEY[:2] / KEY


def test_joined_cells_have_their_fold_and_seed_beside_each_sample():
    first, second = predictions(2), predictions(4, fold=3, seed=5, scores=np.eye(3, dtype=np.float32)[[0, 1, 2, 0]])
    found = joined([first, second])
    assert found.subject.tolist() == ["a", "b", "a", "b", "a", "b"] and found.level.tolist() == [0, 1, 0, 1, 2, 0]
    assert found.fold.tolist() == [1, 1, 3, 3, 3, 3] and found.seed.tolist() == [0, 0, 5, 5, 5, 5]
    assert found.scores.dtype == np.float64
    np.testing.assert_array_equal(found.scores, np.concatenate([first.scores, second.scores]))
    for cells, widths in (([first, predictions(scores=np.full((4, 2), 0.5, np.float32))], r"\[2, 3\]"), ([], r"\[\]")):
        with pytest.raises(ValueError, match=f"one number of levels, got {widths}"):
            joined(cells)


def test_equal_predictions_are_equal_bytes():
    assert predictions().to_bytes() == predictions().to_bytes()


def test_a_folder_without_its_record_is_unfinished(tmp_path):
    store = Store(tmp_path)
    store.write(KEY, predictions(), {})
    (store.result_folder(KEY) / "result.json").unlink()
    assert not store.has(KEY)
    assert list(store.keys()) == []


@pytest.mark.parametrize("file", ["predictions.npz", "result.json"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damage_is_noticed_and_set_aside(tmp_path, file, damage):
    store = Store(tmp_path)
    store.write(KEY, predictions(), {})
    path = store.result_folder(KEY) / file
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 3] ^= 0xFF
    path.write_bytes({"truncated": bytes(data[: len(data) // 2]), "flipped": bytes(data), "empty": b""}[damage])
    with pytest.raises(DamagedEntry, match=KEY):
        store.read(KEY)
    reason = store.discard_damaged(KEY)
    assert reason is not None and "damaged" in reason
    assert not store.has(KEY)
    assert len(list((tmp_path / "damaged").iterdir())) == 1


def test_a_sound_entry_is_not_discarded(tmp_path):
    store = Store(tmp_path)
    store.write(KEY, predictions(), {})
    assert store.discard_damaged(KEY) is None
    assert store.has(KEY)


def test_what_was_not_committed_is_no_damage(tmp_path):
    store = Store(tmp_path)
    assert store.recall(KEY) is None
    (tmp_path / KEY[:2]).touch()  # a file where a folder would be
    assert store.recall(KEY) is None and store.discard_damaged(KEY) is None and not store.has(KEY)
    with pytest.raises(DamagedEntry, match="cannot be read"):
        store.read(KEY)


def test_a_moved_store_still_reads(tmp_path):
    Store(tmp_path / "here").write(KEY, predictions(), {})
    (tmp_path / "here").rename(tmp_path / "there")
    assert Store(tmp_path / "there").read(KEY)[1].fold == 1


def test_artifacts_are_separate_from_results(tmp_path):
    store = Store(tmp_path)
    store.write_artifact(KEY, b"weights", {"history": [{"epoch": 0}]})
    assert store.has_artifact(KEY) and not store.has(KEY)
    description, data = store.read_artifact(KEY)
    assert data == b"weights" and description["history"] == [{"epoch": 0}]
    record = store.artifact_folder(KEY) / "history.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "sha256": "0"}))
    with pytest.raises(DamagedEntry, match="hash"):
        store.read_artifact(KEY)


def test_no_temporary_files_are_left(tmp_path):
    store = Store(tmp_path)
    store.write(KEY, predictions(), {})
    store.write(KEY, predictions(), {})
    names = sorted(path.name for path in store.result_folder(KEY).iterdir())
    assert names == ["predictions.npz", "result.json"]


def test_keys_depend_on_values_and_not_on_order():
    assert hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": 2})
    with pytest.raises(ValueError):
        hash_of({"a": float("nan")})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": np.arange(3)}, "length"),
        ({"scores": np.full((4, 3), np.nan)}, "NaN"),
        ({"scores": np.zeros(4)}, "length"),
    ],
)
def test_unusable_predictions_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        predictions(**changes)
    with pytest.raises(ValueError, match="empty"):
        predictions(0)


def test_hashes_of_many_are_those_of_each():
    shared = {"b": {"x": [1, "ü", None]}, "z": 2.5}
    values = ["s1", 'a "quoted" \\ name', {"k": [1, 2]}, 3, None]
    for name in ("a", "m", "zz"):
        assert hashes_of(shared, name, values) == [hash_of({**shared, name: value}) for value in values]


def test_hashes_with_long_lists_are_those_of_the_whole():
    lists = {"unbc": ["a/1", 'b "2"', "ü"], "biovid": None, "b": []}
    for _ in range(2):
        assert hash_with_names({"a": 1, "z": "\0b\0"}, "videos", lists) == hash_of(
            {"a": 1, "z": "\0b\0", "videos": lists}
        )


def test_an_entry_of_another_key_is_damage(tmp_path):
    store, other = Store(tmp_path), "0" * 40
    store.write(KEY, predictions(), {})
    store.result_folder(other).parent.mkdir()
    store.result_folder(KEY).rename(store.result_folder(other))
    with pytest.raises(DamagedEntry, match="another entry"):
        store.read(other)


def test_only_committed_entries_are_listed(tmp_path):
    store = Store(tmp_path)
    assert list(store.keys()) == list(store.artifact_keys()) == list(store.measurement_keys()) == []
    keys = sorted(hash_of({"cell": i}) for i in range(20))
    for key in keys:
        store.write(key, predictions(), {})
    store.write_artifact(KEY, b"weights", {})
    (tmp_path / "ab" / ("ab" * 20)).mkdir(parents=True, exist_ok=True)
    (tmp_path / "damaged" / keys[0]).mkdir(parents=True)
    (tmp_path / "damaged" / keys[0] / "result.json").touch()
    (tmp_path / "file").touch()
    assert list(store.keys()) == keys and list(store.artifact_keys()) == [KEY]


def test_what_is_set_aside_keeps_its_path_and_never_hides_another(tmp_path):
    store = Store(tmp_path)
    for number in range(3):
        store.write(KEY, predictions(), {"number": number})
        moved = store.set_aside(store.result_folder(KEY), "set_aside")
        assert moved == tmp_path / "set_aside" / KEY[:2] / f"{KEY}-{number}"
        assert json.loads((moved / "result.json").read_text())["number"] == number
    with pytest.raises(FileNotFoundError, match="another process"):
        store.set_aside(store.result_folder(KEY), "set_aside")
    assert "another process" in store.reject(DamagedEntry("torn"), store.result_folder(KEY))
