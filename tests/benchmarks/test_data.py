"""How fast datasets open, videos decode, and faces are found, cropped and aligned."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from repro.data import faces, open_dataset
from repro.data.simulator import BIOVID, plan
from repro.data.simulator.actor import Actor
from repro.data.video import decode


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Write 1,000 frames in the layout of UNBC: 4,000 small files."""
    root = tmp_path_factory.mktemp("unbc")
    picture = cv2.imencode(".png", np.zeros((24, 32, 3), np.uint8))[1].tobytes()
    for sequence in (f"ll042t{k}aaaff" for k in range(10)):
        folders = [root / name / "042-ll042" / sequence for name in ("Images", "AAM_landmarks", "Frame_Labels/PSPI")]
        for folder in folders:
            folder.mkdir(parents=True)
        for number in range(1, 101):
            (folders[0] / f"{sequence}{number:03d}.png").write_bytes(picture)
            (folders[1] / f"{sequence}{number:03d}_aam.txt").write_text("   1.5000000e+01   2.5000000e+01\n" * 66)
            (folders[2] / f"{sequence}{number:03d}_facs.txt").write_text("   0.0000000e+00\n")
    return root


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (320, 240))
    random = np.random.default_rng(0)
    base = cv2.GaussianBlur(random.integers(0, 256, (240, 320, 3)).astype(np.uint8), (0, 0), 5)
    for index in range(138):
        writer.write(np.roll(base, index, axis=1))
    writer.release()
    return path


def test_open_unbc(benchmark, archive):
    assert len(benchmark(open_dataset, "unbc", archive).records) == 10


def test_decode(benchmark, film):
    assert benchmark(decode, film).decoded == 138


@pytest.fixture(scope="module", params=[128, 512], ids=["128 px", "512 px"])
def person(request):
    """A simulated person at two sizes of the frame: 60 frames, (60, 3, H, W) uint8, and landmarks (60, 68, 2)."""
    actor = Actor(BIOVID, 0, 0, 128)
    spec = plan(BIOVID, 1, 1, frames=60)[0]
    script, shot = actor.script(spec), actor.shot(spec)
    images = actor.person.render(script.performance, shot.background, shot.pose)
    frames = torch.from_numpy(np.stack([shot.expose(image) for image in images])[..., ::-1].copy()).permute(0, 3, 1, 2)
    factor = request.param // 128
    frames = frames.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    return frames, (actor.landmarks(script, shot) + 0.5) * factor - 0.5


@pytest.mark.benchmark(group="faces, 60 frames to 64 x 64")
@pytest.mark.parametrize(
    ("mode", "method"),
    [
        ("align", "aligned by landmarks"),
        ("crop", "cropped by landmarks"),
        ("crop", "cropped by detector"),
        ("fixed", "fixed crop by detector"),
    ],
)
def test_faces(benchmark, person, mode, method):
    frames, landmarks = person
    marks = landmarks if method.endswith("landmarks") else None
    assert benchmark(faces.prepare, frames, marks, size=64, mode=mode).method == method
    if benchmark.stats is not None:
        benchmark.extra_info["frames_per_second"] = len(frames) / benchmark.stats.stats.min
