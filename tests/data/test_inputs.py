"""Clips as images, and their cache."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from repro.data import faces, inputs, open_dataset
from repro.data.clips import Clip, cut
from repro.data.dynamic_image import dynamic_image
from repro.data.encoding import ALL_KINDS, KINDS, InputSpec, draw_motion, encode
from repro.data.flow import draw_flow, flow
from repro.data.inputs import InputSet, open_inputs, read_inputs, read_notes, write_shard
from repro.data.material import Extra, Material
from repro.data.schema import VideoRecord
from repro.data.simulator import DOMAINS, simulate
from repro.data.stored_images import StoredImages
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


def spec_of(kind, **changes):
    return dataclasses.replace(SPEC, kind=kind, flow="dis", **changes)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Return a dataset of two videos of one simulated subject, with their clips."""
    root = tmp_path_factory.mktemp("simulated") / "biovid"
    simulate(DOMAINS["biovid"], root, n_subjects=1, videos_per_subject=2, size=48, frames=24)
    data = open_dataset("biovid", root)
    made, excluded = cut(data, length=16, stride=4)
    assert len(made) == 6 and not excluded
    return data, made


def work_of(data, made):
    return [(r, [(clip, "") for clip in made if clip.video == r.video]) for r in data.records]


def test_every_input_of_a_simulated_face(simulated):
    data, made = simulated
    first, clip = data.records[0], made[1]
    prepared = faces.prepare(first.frames(), first.landmarks(), size=40, mode="auto")
    motion = draw_flow(flow(prepared.frames))
    assert clip.start == 4
    expected = {
        "RGB": prepared.frames[12],
        "OF": motion[11],  # leads from frame 11 to frame 12
        "SSD(RGB)": distill(prepared.frames[4:20], segment_length=8),
        "SSD(OF)": distill(motion[3:19], segment_length=8),
        "DI(RGB)": dynamic_image(prepared.frames[4:20]),
        "Video": prepared.frames[[6, 10, 14, 18]],  # the third of each four
    }
    assert tuple(expected) == ALL_KINDS and tuple(expected)[:4] == KINDS
    for kind, image in expected.items():
        encoded = encode(first, [clip], InputSpec(kind, size=40, segment_length=8, volume=4))
        assert encoded.clips == [clip] and encoded.excluded == [] and encoded.face == prepared.method
        assert encoded.images.shape == (1, *image.shape) and encoded.images.dtype == torch.uint8
        assert torch.equal(encoded.images[0], image), kind
    assert len({bytes(image.numpy()) for image in expected.values()}) == len(ALL_KINDS)


def test_the_first_frame_of_a_video_repeats_the_flow_of_the_second():
    frames = record().frames()[:5]
    field = draw_flow(flow(frames, method="dis"), limit=0.05)
    drawn = draw_motion(frames, np.ones(5, bool), method="dis", limit=0.05)
    assert torch.equal(drawn, torch.cat([field[:1], field]))
    assert len(drawn) == len(frames)


def test_flow_is_computed_for_the_frames_that_clips_need_and_once(monkeypatch):
    seen = []

    def counted(frames, **options):
        seen.append(len(frames) - 1)
        return flow(frames, **options)

    monkeypatch.setattr("repro.data.encoding.flow", counted)
    overlapping = encode(record(), clips(0, 4, 8, length=16), spec_of("SSD(OF)"))
    assert sum(seen) == 23, "frames 0..23 lie in a clip, and 23 pairs lead to 1..23"
    seen.clear()
    encode(record(), clips(0, 20), spec_of("OF"))
    assert seen == [1, 1]
    alone = encode(record(), clips(8, length=16), spec_of("SSD(OF)"))
    assert torch.equal(overlapping.images[2], alone.images[0])


def test_flow_of_a_long_video_does_not_depend_on_the_blocks(monkeypatch):
    whole = encode(record(), clips(0, 30), spec_of("SSD(OF)")).images
    monkeypatch.setattr("repro.data.encoding._BLOCK", 7)
    assert torch.equal(encode(record(), clips(0, 30), spec_of("SSD(OF)")).images, whole)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_images_do_not_depend_on_the_order_of_clips(kind):
    one = encode(record(), clips(0, 11, 30), spec_of(kind)).images
    other = encode(record(), clips(30, 0, 11), spec_of(kind)).images
    assert torch.equal(other, one[[2, 0, 1]])


@pytest.mark.parametrize("kind", ["RGB", "OF"])
def test_several_frames_of_a_clip_are_the_middles_of_equal_parts(kind):
    spec = dataclasses.replace(spec_of(kind), frames=3)
    several = encode(record(), clips(0, 30), spec).images
    assert several.shape == (2, 3, 3, 32, 32)
    for start, images in zip((0, 30), several, strict=True):
        for part, image in enumerate(images):  # parts of 8 frames, whose middle is the fifth, as in a clip of 8
            one = encode(record(), clips(start + 8 * part, length=8), spec_of(kind)).images
            assert torch.equal(image, one[0])
    for pooled in ("SSD(RGB)", "DI(RGB)"):
        one = encode(record(), clips(0), spec_of(pooled)).images
        assert torch.equal(encode(record(), clips(0), spec_of(pooled, frames=3)).images, one), "one image whatever"


def test_a_volume_is_as_many_frames_in_the_order_of_time():
    volume = encode(record(), clips(0, 30), spec_of("Video", volume=6, frames=3)).images
    assert torch.equal(volume, encode(record(), clips(0, 30), spec_of("RGB", frames=6)).images)
    nothing = encode(record(given=20), clips(0), spec_of("Video", volume=6)).images
    assert nothing.shape == (0, 6, 3, 32, 32), "shards without a clip join those with some"


@dataclasses.dataclass(frozen=True)
class Ends(Material):
    """A material with the last frame of each clip, and the brightness of both ends."""

    name = "ends"
    gain: float = 1.0

    def extra(self, faces, clips, spec):
        ends = np.array([[faces[i].float().mean() for i in (c.start, c.stop - 1)] for c in clips], np.float32)
        return Extra({"last": torch.stack([faces[c.stop - 1] for c in clips])}, {"ends": self.gain * ends})


def test_what_a_material_has_beside_the_images_is_stored_and_read(tmp_path):
    work = [[(record(), [(clip, "source") for clip in clips(*starts)])] for starts in ((0, 10), (20,))]
    for name, part in zip(("a", "b"), work, strict=True):
        write_shard(tmp_path / name, part, SPEC, Ends(gain=2.0))
    read = read_inputs([tmp_path / "a", tmp_path / "b"])
    frames = faces.prepare(record().frames(), None, size=32, mode=SPEC.alignment).frames
    assert torch.equal(read.views["last"][:], torch.stack([frames[23], frames[33], frames[43]]))
    expected = [[2 * frames[start].float().mean(), 2 * frames[start + 23].float().mean()] for start in (0, 10, 20)]
    np.testing.assert_allclose(read.numbers["ends"], expected, rtol=1e-6)  # float32
    chosen = read.select(np.array([2, 0]))
    assert torch.equal(chosen.views["last"][:], read.views["last"][np.array([2, 0])])
    np.testing.assert_array_equal(chosen.numbers["ends"], read.numbers["ends"][[2, 0]])
    assert Material().describe() == {} and Ends().describe() != Ends(gain=2.0).describe()


def test_shards_of_different_materials_are_not_joined(tmp_path):
    for name, material in (("a", Ends()), ("b", Material())):
        write_shard(tmp_path / name, [(record(), [(clip, "") for clip in clips(0)])], SPEC, material)
    with pytest.raises(ValueError, match="different materials"):
        read_inputs([tmp_path / "a", tmp_path / "b"])


def test_damaged_numbers_beside_images_are_told(tmp_path):
    write_shard(tmp_path / "a", [(record(), [(clip, "") for clip in clips(0)])], SPEC, Ends())
    (tmp_path / "a" / "extra.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="not a readable input cache"):
        read_inputs([tmp_path / "a"])


def test_clips_beyond_what_was_decoded_are_excluded():
    encoded = encode(record(given=50), clips(0, 30), SPEC)
    assert len(encoded.images) == 1 and encoded.clips == clips(0)
    (row,) = encoded.excluded
    assert row.file == "s/v:30-54" and "54" in row.reason and "50" in row.reason


def test_a_video_that_cannot_be_aligned_is_excluded():
    encoded = encode(record(), clips(0), dataclasses.replace(SPEC, alignment="align"))
    assert encoded.images.shape == (0, 3, 32, 32) and encoded.clips == [] and encoded.face is None
    assert encoded.excluded[0].file == "s/v" and "landmarks" in encoded.excluded[0].reason


CHANGES = {
    "size": 48,
    "alignment": "crop",
    "segment_length": 10,
    "window": 3,
    "depth": 3,
    "noise_variance": 1.0,
    "center": False,
    "domain": "log",
    "normalize": "channel",
    "frames": 3,
    "flow": "tvl1",
    "flow_limit": 0.02,
    "volume": 8,
}


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_the_description_differs_exactly_when_the_image_does(kind):
    assert set(CHANGES) == {field.name for field in dataclasses.fields(InputSpec)} - {"kind"}
    not_of_ssd = {"flow", "flow_limit", "frames", "volume"}
    used = {"size", "alignment"}
    used |= {"flow", "flow_limit"} if "OF" in kind else set()
    used |= {"Video": {"volume"}, "RGB": {"frames"}, "OF": {"frames"}}.get(kind, set())
    used |= set(CHANGES) - not_of_ssd if "SSD" in kind else set()
    base = spec_of(kind)
    for name, value in CHANGES.items():
        differs = dataclasses.replace(base, **{name: value}).describe() != base.describe()
        assert differs == (name in used), name
    assert len({str(spec_of(other).describe()) for other in ALL_KINDS}) == len(ALL_KINDS)


def test_what_the_caches_are_keyed_by_stays_what_it_was():
    common = {"version": 2, "size": 64, "alignment": "auto"}
    flow = {"flow": "dis", "flow_limit": 0.01}
    ssd = {"segment_length": 20, "window": 5, "depth": 1, "noise_variance": 0.4, "center": True}
    ssd |= {"domain": "rms", "normalize": "joint"}
    expected = {
        "RGB": {**common, "frames": 5},
        "OF": {**common, "frames": 5, **flow},
        "SSD(RGB)": {**common, **ssd},
        "SSD(OF)": {**common, **ssd, **flow},
    }
    for kind, described in expected.items():
        assert InputSpec(kind, size=64, frames=5, flow="dis").describe() == {"kind": kind, **described}


def test_the_shortest_clip_follows_from_the_kind():
    assert [InputSpec(kind).shortest_clip for kind in ALL_KINDS] == [1, 2, 40, 40, 2, 16]
    assert [InputSpec(kind, frames=5).shortest_clip for kind in ALL_KINDS] == [5, 5, 40, 40, 2, 16]
    assert [InputSpec(kind, frames=5).images_per_clip for kind in ALL_KINDS] == [5, 5, 1, 1, 1, 16]
    assert InputSpec("Video", volume=8).shortest_clip == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "flow"}, "'flow' is not one of 'RGB', 'OF', "),
        ({"alignment": "warp"}, "alignment 'warp'"),
        ({"kind": "OF", "flow": "farneback"}, "flow method 'farneback'"),
        ({"kind": "OF", "size": 8}, "size 8 is too small"),
        ({"flow_limit": float("nan")}, "flow_limit.* nan"),
        ({"size": 0}, "size 0 is too small"),
        ({"kind": "Video", "volume": 1}, "volume 1 must be at least 2"),
    ],
)
def test_a_wrong_specification_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InputSpec(**options)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_shard_reads_as_it_was_encoded_bit_for_bit(tmp_path, simulated, kind):
    data, made = simulated
    spec = InputSpec(kind, size=32, segment_length=8, flow="dis", volume=4)
    write_shard(tmp_path / "shard", work_of(data, made), spec)
    read = read_inputs([tmp_path / "shard"])
    encoded = [encode(r, [clip for clip in made if clip.video == r.video], spec) for r in data.records]
    assert torch.equal(read.images[:], torch.cat([e.images for e in encoded]))
    assert list(read.clips) == made


def test_what_was_left_out_and_how_faces_were_found_stands_beside_the_images(tmp_path):
    items = [(clip, f"s/v#{i}") for i, clip in enumerate(clips(0, 12, 30))]
    write_shard(tmp_path / "a/shard", [(record(given=50), items)], SPEC)
    notes, read = read_notes(tmp_path / "a/shard"), read_inputs([tmp_path / "a/shard"])
    assert notes.excluded == encode(record(given=50), clips(0, 12, 30), SPEC).excluded
    assert notes.faces == {"s/v": "centre crop"} and notes.input == SPEC.describe()
    assert open_inputs([tmp_path / "a/shard"])["face"][:] == ["centre crop"] * 2
    assert read.sources == ("s/v#0", "s/v#1")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["shard"], "nothing temporary is left"


def test_a_shard_that_is_there_is_not_made_again(tmp_path, monkeypatch):
    work = [(record(), [(clip, "") for clip in clips(0)])]
    write_shard(tmp_path / "shard", work, SPEC)
    monkeypatch.setattr(inputs, "encode", None)
    write_shard(tmp_path / "shard", work, SPEC)


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
def test_an_interrupted_shard_leaves_nothing(tmp_path, monkeypatch, error):
    def fail(folder, *_):
        folder.mkdir()
        (folder / "half.arrow").touch()
        raise error

    monkeypatch.setattr(inputs, "_save", fail)
    with pytest.raises(type(error)):
        write_shard(tmp_path / "shard", [(record(), [(clip, "") for clip in clips(0)])], SPEC)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def shards(tmp_path):
    """Write three shards of 2, 0 and 1 images."""
    folders = [tmp_path / name for name in ("k1", "k2", "k3")]
    for folder, starts in zip(folders, [(0, 30), (), (12,)], strict=True):
        write_shard(folder, [(record(), [(clip, "") for clip in clips(*starts)])], SPEC)
    return folders


def test_shards_open_as_one_memory_mapped_dataset(shards):
    import datasets

    table = open_inputs(shards, description="three shards")
    assert isinstance(table, datasets.Dataset) and table.info.description == "three shards"
    assert table["start"][:] == [0, 30, 12] and table["level"][:] == [0, 0, 2]
    assert {file["filename"].rsplit("/", 2)[-2] for file in table.cache_files} == {"k1", "k3"}
    assert table[0]["image"].size == (32, 32)
    rgb = np.stack([np.asarray(row["image"]).transpose(2, 0, 1) for row in table])
    np.testing.assert_array_equal(rgb, encode(record(), clips(0, 30, 12), SPEC).images.numpy())


def test_an_exported_dataset_loads_again(shards, tmp_path):
    import datasets

    table = open_inputs(shards, description="three shards")
    table.save_to_disk(str(tmp_path / "export"))
    again = datasets.load_from_disk(str(tmp_path / "export"))
    assert json.loads((tmp_path / "export/state.json").read_text())["_fingerprint"] == table._fingerprint
    assert again._fingerprint == datasets.load_from_disk(str(tmp_path / "export"))._fingerprint
    assert again.info.description == "three shards"
    assert again.column_names == table.column_names
    for one, other in zip(table, again, strict=True):
        assert {k: v for k, v in one.items() if k != "image"} == {k: v for k, v in other.items() if k != "image"}
        np.testing.assert_array_equal(np.asarray(one["image"]), np.asarray(other["image"]))


SCRIPT = """
import sys
from pathlib import Path
from repro.data.inputs import open_inputs
print(open_inputs([Path(folder) for folder in sys.argv[1:]], description="d")._fingerprint)
"""


def test_the_fingerprint_is_that_of_the_keys_in_every_process(shards, tmp_path):
    fingerprint = open_inputs(shards, description="d")._fingerprint
    command = [sys.executable, "-c", SCRIPT, *map(str, shards)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == fingerprint
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for folder in shards:
        folder.rename(moved / folder.name)
    folders = [moved / folder.name for folder in shards]
    assert open_inputs(folders, description="d")._fingerprint == fingerprint
    assert open_inputs(folders[:2], description="d")._fingerprint != fingerprint
    assert open_inputs(folders[::-1], description="d")._fingerprint != fingerprint
    assert open_inputs(folders)._fingerprint != fingerprint


def test_a_shard_is_the_same_files_whenever_it_is_written(tmp_path):
    work = [(record(), [(clip, "") for clip in clips(0, 30)])]
    for name in ("one", "two"):
        write_shard(tmp_path / name / "key", work, SPEC)
    contents = [{p.name: p.read_bytes() for p in (tmp_path / name / "key").iterdir()} for name in ("one", "two")]
    assert contents[0] == contents[1] and len(contents[0]) == 4


@pytest.mark.parametrize("file", ["*.arrow", "notes.json", "state.json"])
def test_a_damaged_shard_names_the_folder_and_the_remedy(shards, file):
    next(shards[2].glob(file)).write_bytes(b"damage")
    with pytest.raises(ValueError, match="k3 is not a readable input cache.*remove the folder"):
        read_inputs(shards)


def test_a_damaged_image_names_the_folder_and_the_row(shards):
    (arrow,) = shards[0].glob("*.arrow")
    data = bytearray(arrow.read_bytes())
    second = data.find(b"\x89PNG", data.find(b"\x89PNG") + 1)
    data[second + 500] ^= 0x55
    arrow.write_bytes(bytes(data))
    read = read_inputs(shards)
    assert torch.equal(read.images[[0, 2]], encode(record(), clips(0, 12), SPEC).images), "the others are sound"
    with pytest.raises(ValueError, match="k1 is not a readable input cache .image 1 does not decode.*remove"):
        read.images[1]


def test_stored_images_are_indexed_as_a_tensor_is(shards):
    read = read_inputs(shards)
    images, whole = read.images, encode(record(), clips(0, 30, 12), SPEC).images
    assert len(images) == 3 and images.shape == whole.shape and images.dtype == whole.dtype
    assert images.nbytes == whole.numel()
    for index in (1, -1, slice(1, None), [2, 0], torch.tensor([[2, 0], [1, 1]]), torch.tensor([True, False, True])):
        assert torch.equal(images[index], whole[index]), index
    assert torch.equal(images[np.array([1, 1])], whole[[1, 1]]) and images[[]].shape == (0, 3, 32, 32)
    assert [len(part) for part in images.split(2)] == [2, 1]
    assert torch.equal(torch.cat(list(images.split(2))), whole)
    with pytest.raises(IndexError):
        images[3]


def test_sets_are_selected_and_joined_without_decoding(shards, monkeypatch):
    whole = encode(record(), clips(0, 30, 12), SPEC).images
    read = read_inputs(shards)
    with monkeypatch.context() as patch:
        patch.setattr("repro.data.stored_images.decode_png", None)
        chosen = read.select(np.array([2, 0]))
        joined = StoredImages.concatenate([chosen.images, read.images, read.images.subset(np.array([], int))])
    assert isinstance(chosen, InputSet) and list(chosen.levels) == [2, 0]
    assert list(chosen.ids) == ["s/v:12-36", "s/v:0-24"] and chosen.sources == ("", "")
    assert torch.equal(joined[:], whole[[2, 0, 0, 1, 2]])


def test_images_of_two_sizes_are_not_joined(shards, tmp_path):
    write_shard(tmp_path / "large", [(record(), [(clip, "") for clip in clips(0)])], dataclasses.replace(SPEC, size=40))
    with pytest.raises(ValueError, match=r"\(3, 32, 32\), \(3, 40, 40\)"):
        read_inputs([*shards, tmp_path / "large"])
