"""Sub-clips: how videos are cut, for every input, and the motion in each."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from baselines.selfsup.sub_clips import SubClips
from repro.data.encoding import KINDS, InputSpec, encode
from repro.data.schema import Dataset, VideoRecord

USUAL = {"clip_length": 40, "stride": 10, "clips_per_source": 8}


def dataset(*lengths):
    records = [VideoRecord(f"s{i}", f"s{i}/v", n, np.zeros(n, np.int64)) for i, n in enumerate(lengths)]
    return Dataset("made", Path(), records, content="", n_levels=5)


@pytest.mark.parametrize("kind", KINDS)
def test_sub_clips_of_the_usual_clip(kind):
    material = SubClips()
    spec = material.input(InputSpec(kind=kind, frames=5))
    (source,) = material.cut(dataset(138), spec, **USUAL)
    assert [(clip.start, clip.stop) for clip in source.clips] == [(10 * k, 10 * k + 20) for k in range(12)]
    assert source.clips[2].start >= source.clips[0].stop, "every second one shares no frame"
    assert spec.frames == 1 and spec.shortest_clip <= 20
    if spec.is_distilled:
        assert spec.segment_length == 10


@pytest.mark.parametrize("segment_length", [2, 3, 7, 20, 31, 40])
@pytest.mark.parametrize("clip_length", [4, 20, 21, 40])
def test_sub_clips_can_be_distilled_and_never_share_frames(segment_length, clip_length):
    material = SubClips()
    spec = material.input(InputSpec(segment_length=segment_length))
    (source,) = material.cut(dataset(400), spec, **{**USUAL, "clip_length": clip_length})
    assert all(len(clip) >= spec.shortest_clip for clip in source.clips)
    assert all(b.start >= a.stop for a, b in zip(source.clips, source.clips[2:], strict=False))
    assert len({clip.id for clip in source.clips}) == len(source.clips)
    assert 400 - source.clips[-1].stop < len(source.clips[0]) / 2, "the whole video is used"


def test_videos_without_a_tuple_are_told():
    spec = SubClips().input(InputSpec())
    with pytest.warns(UserWarning, match="1 of 2 videos have fewer than the 80 frames .* s0/v") as told:
        sources = SubClips().cut(dataset(79, 80), spec, **USUAL)
    assert len(told) == 1
    assert [(source.video, len(source.clips)) for source in sources] == [("s1/v", 7)]
    with pytest.raises(ValueError, match="none of the 2 videos of made has the 80 frames"):
        SubClips().cut(dataset(79, 40), spec, **USUAL)
    with pytest.raises(ValueError, match="clips of 3 frames"):
        SubClips().cut(dataset(79), spec, **{**USUAL, "clip_length": 3})
    with pytest.raises(ValueError, match="segment_length 1 cannot be halved"):
        SubClips().input(InputSpec(segment_length=1))


@dataclasses.dataclass(frozen=True, eq=False)
class Drifting(VideoRecord):
    """A smooth pattern that holds still for 40 frames and then moves."""

    size: int = 64
    speed: int = 1

    def frames(self):
        coarse = torch.rand(1, 3, 20, 60, generator=torch.Generator().manual_seed(4))
        picture = nn.functional.interpolate(coarse, (self.size, 3 * self.size), mode="bicubic")[0].mul(255)
        starts = [max(0, i - 40) * self.speed for i in range(self.n_frames)]
        return torch.stack([picture[..., s : s + self.size] for s in starts]).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize(("size", "kind"), [(64, "RGB"), (128, "RGB"), (64, "SSD(RGB)")])
def test_motion_is_a_share_of_the_side_a_frame(size, kind):
    video = Drifting("s", "s/v", 80, np.zeros(80, np.int64), size=size, speed=size // 64)
    material = SubClips()
    spec = material.input(InputSpec(kind=kind, size=size, alignment="none"))
    (source,) = material.cut(Dataset("made", Path(), [video], content="", n_levels=5), spec, **USUAL)
    encoded = encode(video, source.clips, spec, material)
    assert encoded.images.shape == (7, 3, size, size)
    motion = encoded.extra.numbers["motion"]
    assert motion.shape == (7,) and motion.dtype == np.float32
    np.testing.assert_allclose(motion[:3], 0, atol=1e-3)
    # a pixel of 64 a frame; where the pattern enters the image its flow is a guess
    np.testing.assert_allclose(motion[4:], 1 / 64, rtol=0.1)
    assert motion[3] == pytest.approx(motion[5] * 10 / 19, rel=0.1), "of its 19 steps 10 move"


def test_material_tells_what_changes_it():
    assert SubClips().describe() == {"material": "sub-clips", "version": 2, "flow": "dis"}
    assert SubClips("tvl1").describe() != SubClips().describe()
