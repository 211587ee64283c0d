"""How fast datasets open, videos decode and faces align."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from repro.data import faces, open_dataset
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


def test_align(benchmark):
    frames = torch.randint(0, 256, (138, 3, 240, 320), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    random = np.random.default_rng(0)
    landmarks = np.tile(random.normal((160, 120), 30, (68, 2)), (138, 1, 1))
    assert benchmark(faces.align, frames, landmarks, size=224).shape == (138, 3, 224, 224)
