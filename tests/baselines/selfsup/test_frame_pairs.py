"""Frame pairs: which frames, the images of `encode`, and flow that is masked where a point is hidden."""

import dataclasses

import numpy as np
import pytest
import torch

from baselines.selfsup.frame_pairs import FramePairs, consistent, pair_flow
from repro.data.clips import Clip, cut_sources
from repro.data.encoding import KINDS, InputSpec, encode
from repro.data.schema import Dataset, VideoRecord

SPEC = InputSpec(size=32, segment_length=8, alignment="none", flow="dis")
PAIRS = FramePairs(2, 4, "dis")
LENGTH = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Drifting(VideoRecord):
    """A smooth pattern that moves half a pixel to the right with each frame; it may give fewer frames than promised."""

    given: int = 60

    def frames(self):
        coarse = torch.rand(1, 3, 10, 20, generator=torch.Generator().manual_seed(0)) * 255
        wide = torch.nn.functional.interpolate(coarse, (64, 128 + 60), mode="bicubic").clamp(0, 255)
        shown = torch.cat([wide[..., self.given - t : self.given - t + 64] for t in range(self.given)])
        return torch.nn.functional.interpolate(shown, (32, 32), mode="area").to(torch.uint8)


def record(n=60, given=None):
    return Drifting("s", "s/v", n, np.zeros(n, np.int64), given=n if given is None else given)


def clips(*starts):
    return [Clip("s", "s/v", start, start + LENGTH, -1) for start in starts]


def shift_of(clip, n_frames, kind="RGB"):
    """Find the shift by the image: `encode` of which shifted clip gives the partner."""
    spec = dataclasses.replace(SPEC, kind=kind)
    encoded = encode(record(n_frames), [clip], spec, PAIRS)
    found = []
    for shift in range(-12, 13):
        if shift and clip.start + shift >= 0 and clip.stop + shift <= n_frames:
            moved = dataclasses.replace(clip, start=clip.start + shift, stop=clip.stop + shift)
            if torch.equal(encode(record(n_frames), [moved], spec).images[0], encoded.extra.views["partner"][0]):
                found.append(shift)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_partner_is_the_image_of_the_shifted_clip(kind):
    spec = dataclasses.replace(SPEC, kind=kind)
    given = clips(0, 10, 25, 40)
    encoded = encode(record(), given, spec, PAIRS)
    assert encoded.extra.views["partner"].shape == encoded.images.shape
    assert encoded.extra.numbers["flow"].shape == (4, 3, 8, 8) and encoded.extra.numbers["flow"].dtype == np.float16
    assert all(len(shift_of(clip, 60, kind)) == 1 for clip in given)


def test_the_shift_is_the_clips_own_and_turns_back_at_the_end():
    shifts = [shift_of(clip, 60)[0] for clip in clips(*range(0, 40, 3))]
    assert set(shifts) == {2, 3, 4}
    # SSD: the last clips of a video of 20 frames
    late = {start: shift_of(clips(start)[0], 20, "SSD(RGB)") for start in range(5)}
    assert all(abs(shift) in (2, 3, 4) for found in late.values() for shift in found)
    assert late[0][0] > 0 > late[4][0]
    assert [len(found) for found in late.values()] == [1] * 5


def test_flow_is_that_of_the_frames_in_pixels():
    for clip in clips(0, 20, 44):
        flow = encode(record(), [clip], SPEC, PAIRS).extra.numbers["flow"][0].astype(np.float64)
        shift = shift_of(clip, 60, "SSD(RGB)")[0]
        inner = flow[:, 2:-2, 2:-2]
        # half a pixel a frame; DIS is off by up to 0.1 pixel on such patterns
        assert inner[0].mean() == pytest.approx(0.5 * shift, abs=0.15) and abs(inner[1].mean()) < 0.1
        assert inner[2].mean() == 1


def test_points_that_flow_out_of_the_image_or_are_hidden_are_not_consistent():
    there, back = torch.zeros(2, 16, 24), torch.zeros(2, 16, 24)
    assert consistent(there, back).all()
    there[0, :, 10:14] = 5.0  # a bar moves to the right and hides what is still at 15..18
    back[0, :, 15:19] = -5.0
    seen = consistent(there, back)
    expected = torch.ones(16, 24, dtype=torch.bool)
    expected[:, 15:19] = False
    assert torch.equal(seen, expected)
    assert not consistent(torch.full((2, 16, 24), 30.0), torch.full((2, 16, 24), -30.0)).any()
    leaving = consistent(torch.stack([torch.full((16, 24), 3.0), torch.zeros(16, 24)]), torch.zeros(2, 16, 24) - 3)
    assert not leaving[:, -3:].any()


def test_a_bar_that_covers_the_background_masks_it():
    generator = torch.Generator().manual_seed(1)
    smooth = torch.nn.functional.interpolate(
        torch.rand(2, 3, 16, 16, generator=generator) * 255, (64, 64), mode="bicubic"
    ).clamp(0, 255)
    frames = []
    for left in (20, 26):
        frame = smooth[0].clone()
        frame[:, :, left : left + 16] = smooth[1][:, :, :16]
        frames.append(frame.to(torch.uint8))
    field = pair_flow(frames[0], frames[1], method="tvl1")
    columns = field[2, 2:-2].mean(0)
    # columns 36..41 are covered: cells 9 and 10; cells 6..7 are within the bar, 0..3 and 12.. far from it
    assert float(columns[9:11].min()) < 0.5
    assert float(columns[6:8].min()) == 1 and float(columns[:4].min()) == 1 and float(columns[13:].min()) == 1
    assert float(field[0, 4:-4, 6:8].mean()) == pytest.approx(6, abs=0.5)


def dataset(*lengths):
    records = tuple(dataclasses.replace(record(n), video=f"s/v{i}", given=n) for i, n in enumerate(lengths))

    class Given(Dataset):
        pass

    made = object.__new__(Given)
    for name, value in (("name", "given"), ("records", records)):
        object.__setattr__(made, name, value)
    return made


def test_clips_without_room_are_left_out():
    cut = {"clip_length": LENGTH, "stride": 3, "clips_per_source": 2}
    spec = dataclasses.replace(SPEC, kind="SSD(RGB)")
    with pytest.warns(UserWarning, match="2 clips cannot be shifted by 2 frames.*s/v1:0-16"):
        sources = PAIRS.cut(dataset(60, LENGTH + 1), spec, **cut)
    assert {source.video for source in sources} == {"s/v0"}
    with pytest.raises(ValueError, match="room to be shifted by 2 frames"), pytest.warns(UserWarning):
        PAIRS.cut(dataset(LENGTH, LENGTH + 1), spec, **cut)


@pytest.mark.filterwarnings("ignore:.*cannot be shifted", "ignore:.*have fewer than")
@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
def test_no_clip_is_left_out_or_kept_because_of_its_videos_length_alone(kind):
    spec, cut = dataclasses.replace(SPEC, kind=kind), {"clip_length": LENGTH, "stride": 2, "clips_per_source": 3}
    pairs = FramePairs(5, 6, "dis")
    for n in range(22, 40):
        kept = [clip for source in pairs.cut(dataset(n, 60), spec, **cut) for clip in source.clips]
        expected = []
        for clip in (clip for source in cut_sources(dataset(n, 60), **cut) for clip in source.clips):
            length = n if clip.video == "s/v0" else 60
            middle = clip.start + LENGTH // 2
            first, last = (clip.start, clip.stop - 1) if kind == "SSD(RGB)" else (middle, middle)
            if first >= 5 or length - 1 - last >= 5:
                expected.append(clip)
        assert kept == expected


def test_a_clip_whose_partner_was_lost_counts_nowhere():
    spec = dataclasses.replace(SPEC, kind="SSD(RGB)")
    encoded = encode(record(60, given=LENGTH), clips(0), spec, PAIRS)
    assert torch.equal(encoded.extra.views["partner"], encoded.images)
    assert not encoded.extra.numbers["flow"].any()


def test_descriptions_tell_materials_apart_and_bad_settings_are_refused():
    assert PAIRS.describe() != FramePairs(2, 4, "tvl1").describe() != FramePairs(2, 5, "tvl1").describe()
    for bad in ({"nearest": 0}, {"nearest": 11}, {"method": "farneback"}):
        with pytest.raises(ValueError, match="nearest|farneback"):
            FramePairs(**bad)
