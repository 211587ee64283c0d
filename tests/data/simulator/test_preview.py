"""Previews: which stretch they show, and what the files hold."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from repro.data.simulator import BIOVID, UNBC, plan
from repro.data.simulator.__main__ import main
from repro.data.simulator.preview import GIF_BYTES, moving, strip, strongest
from repro.data.simulator.truth import replay


@pytest.mark.parametrize(("domain", "videos"), [(UNBC, 8), (BIOVID, 20)])
def test_the_stretch_has_the_strongest_pain(domain, videos):
    found = strongest(domain, 4, 2.0)
    assert found.spec.subject_index == 4 and len(found.pspi) == 50
    windows = [
        script.pspi[at : at + 50]
        for spec, script in replay(domain, plan(domain, 5, videos), 0)
        if spec.subject_index == 4
        for at in range(spec.n_frames - 49)
    ]
    best = max((w[0] == 0, w.max(), w.sum()) for w in windows)
    assert (found.pspi[0] == 0, found.pspi.max(), found.pspi.sum()) == best and best[1] > 0
    everyone = strongest(domain, None, 2.0)
    assert everyone.pspi.max() == max(strongest(domain, k, 2.0).pspi.max() for k in range(12))


def test_a_sequence_may_be_named_and_a_short_one_is_taken_whole():
    found = strongest(UNBC, 2, 1000.0, sequence=3)
    spec = plan(UNBC, 3, 8)[19]
    assert found.spec == spec and (found.start, found.stop) == (0, spec.n_frames)


@pytest.mark.parametrize("arguments", [(-1, 5.0, None), (0, 5.0, -1), (0, 0.2, None)])
def test_numbers_out_of_range_are_named(arguments):
    subject, seconds, sequence = arguments
    with pytest.raises(ValueError, match=r"-1|0\.2"):
        strongest(UNBC, subject, seconds, sequence=sequence)


def test_the_strip_shows_frames_over_their_pspi():
    stretch = strongest(UNBC, 5, 2.0)
    image = strip(UNBC, stretch, 32)
    height, width = image.shape[:2]
    assert width % 10 == 0 and height > 32 + 40
    # The red columns are as high as the PSPI, up to rounding to a row; the darker baseline adds one.
    curve = image[32 + 18 : 32 + 18 + 40]
    red = (curve == (60, 60, 200)).all(axis=2).sum(axis=0)
    expected = 1 + stretch.pspi[np.arange(width) * len(stretch.pspi) // width] / 16 * 37
    assert np.abs(red - expected).max() <= 0.5


def test_the_moving_one_shows_every_second_frame():
    stretch = strongest(BIOVID, 4, 1.0)
    images = moving(BIOVID, stretch, 32)
    assert len(images) == 13 and len({image.shape for image in images}) == 1
    faces = np.stack([image[:32] for image in images]).astype(int)
    assert np.abs(np.diff(faces, axis=0)).mean() > 0.5


def test_command_line(tmp_path, capsys):
    options = ["--domain", "unbc", "--subject", "5", "--seconds", "0.8", "--size", "32"]
    assert main(["preview", str(tmp_path / "p.gif"), *options]) == 0
    assert main(["preview", str(tmp_path / "again.gif"), *options]) == 0
    assert main(["preview", str(tmp_path / "p.png"), *options]) == 0
    code = (tmp_path / "p.gif").read_bytes()
    assert code[:6] == b"GIF89a" and len(code) < GIF_BYTES and code == (tmp_path / "again.gif").read_bytes()
    image_module = pytest.importorskip("PIL.Image")
    with image_module.open(tmp_path / "p.gif") as film:
        assert film.n_frames == 10 and film.info["duration"] == 80 and film.info["loop"] == 0
    assert cv2.imread(str(tmp_path / "p.png")) is not None
    assert main(["preview", str(tmp_path / "p.mp4"), *options]) == 2
    assert "p.mp4: a preview is a .gif" in capsys.readouterr().err
    assert main(["preview", str(tmp_path / "no" / "p.gif"), *options]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_what_does_not_fit_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("repro.data.simulator.preview.GIF_BYTES", 100)
    assert main(["preview", str(tmp_path / "p.gif"), "--domain", "biovid", "--seconds", "0.4", "--size", "32"]) == 2
    assert "do not fit into 100 bytes; ask for fewer --seconds" in capsys.readouterr().err
