"""Clips as images, and their cache."""

import dataclasses

import numpy as np
import pytest
import torch

from repro.data import inputs
from repro.data.clips import Clip
from repro.data.inputs import InputSet, InputSpec, encode, read_shard, write_shard
from repro.data.schema import VideoRecord
from repro.ssd import distill

SPEC = InputSpec(size=32, segment_length=8, alignment="none")


@dataclasses.dataclass(frozen=True, eq=False)
class Moving(VideoRecord):
    """A video of a drifting pattern; it may give fewer frames than it declares."""

    given: int = 60

    def frames(self):
        generator = torch.Generator().manual_seed(0)
        picture = torch.randint(0, 256, (3, 40, 40 + 60), generator=generator, dtype=torch.uint8)
        return torch.stack([picture[..., i : i + 40] for i in range(self.given)])


def record(given=60):
    return Moving("s", "s/v", 60, np.zeros(60, np.int64), given=given)


def clips(*starts, length=24):
    return [Clip("s", "s/v", start, start + length, start % 5) for start in starts]


def test_an_ssd_input_is_the_distilled_clip_of_the_prepared_frames():
    images, kept, excluded = encode(record(), clips(0, 30), SPEC)
    assert kept == clips(0, 30) and excluded == []
    assert images.shape == (2, 3, 32, 32) and images.dtype == torch.uint8
    prepared = inputs.faces.prepare(record().frames(), None, size=32, mode="none")
    assert torch.equal(images[1], distill(prepared[30:54], segment_length=8))


def test_an_rgb_input_is_the_middle_frame():
    images, _, _ = encode(record(), clips(10), InputSpec("RGB", size=40, alignment="none"))
    assert torch.equal(images[0], record().frames()[10 + 12])


def test_clips_beyond_what_was_decoded_are_excluded():
    images, kept, excluded = encode(record(given=50), clips(0, 30), SPEC)
    assert len(images) == 1 and kept == clips(0)
    (row,) = excluded
    assert row.file == "s/v:30-54" and "54" in row.reason and "50" in row.reason


def test_a_video_without_a_face_is_excluded():
    images, kept, excluded = encode(record(), clips(0), dataclasses.replace(SPEC, alignment="crop"))
    assert images.shape == (0, 3, 32, 32) and kept == []
    assert excluded[0].file == "s/v" and "face" in excluded[0].reason


def test_a_shard_reads_as_it_was_written(tmp_path):
    items = [(clip, f"s/v#{i}") for i, clip in enumerate(clips(0, 12, 30))]
    write_shard(tmp_path / "a/shard", [(record(given=50), items)], SPEC)
    read, excluded = read_shard(tmp_path / "a/shard")
    images, kept, lost = encode(record(given=50), [clip for clip, _ in items], SPEC)
    assert torch.equal(read.images, images) and list(read.clips) == kept and excluded == lost
    assert read.sources == ("s/v#0", "s/v#1")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["shard"], "nothing temporary is left"


def test_a_shard_is_a_hugging_face_dataset(tmp_path):
    import datasets

    write_shard(tmp_path / "shard", [(record(), [(clip, "") for clip in clips(0, 30)])], SPEC)
    table = datasets.load_from_disk(str(tmp_path / "shard"))
    assert table.num_rows == 2 and table[1]["level"] == 0 and table[0]["image"].size == (32, 32)
    rgb = np.asarray(table[0]["image"]).transpose(2, 0, 1)
    np.testing.assert_array_equal(rgb, encode(record(), clips(0), SPEC)[0][0].numpy())


def test_a_shard_that_is_there_is_not_made_again(tmp_path, monkeypatch):
    work = [(record(), [(clip, "") for clip in clips(0)])]
    write_shard(tmp_path / "shard", work, SPEC)
    monkeypatch.setattr(inputs, "encode", None)
    write_shard(tmp_path / "shard", work, SPEC)


def test_an_interrupted_shard_leaves_nothing(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(inputs, "_save", fail)
    with pytest.raises(OSError, match="no space"):
        write_shard(tmp_path / "shard", [(record(), [(clip, "") for clip in clips(0)])], SPEC)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_shard_names_the_folder(tmp_path):
    write_shard(tmp_path / "shard", [(record(), [(clip, "") for clip in clips(0)])], SPEC)
    next((tmp_path / "shard").glob("*.arrow")).write_bytes(b"damage")
    with pytest.raises(ValueError, match="shard is not a readable input cache"):
        read_shard(tmp_path / "shard")


def test_sets_are_joined_and_selected():
    first = InputSet(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), tuple(clips(0, 1)), ("a", "b"))
    second = InputSet(torch.ones(1, 3, 4, 4, dtype=torch.uint8), tuple(clips(2)), ("c",))
    joined = InputSet.concatenate([first, second]).select(np.array([2, 0]))
    assert joined.sources == ("c", "a") and list(joined.levels) == [2, 0]
    assert list(joined.ids) == ["s/v:2-26", "s/v:0-24"] and joined.images[0].max() == 1


def test_an_rgb_key_does_not_hold_parameters_of_the_distillation():
    assert InputSpec("RGB", window=3).describe() == InputSpec("RGB").describe()
    assert InputSpec(window=3).describe() != InputSpec().describe()
    assert InputSpec().shortest_clip == 40 and InputSpec("RGB").shortest_clip == 1
    with pytest.raises(ValueError, match="flow"):
        InputSpec("flow")
