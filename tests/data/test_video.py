"""The decoder: order and colour of frames, its account of frames, and every kind of unreadable file."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from repro.data import video
from repro.data.video import VideoError, VideoWarning, decode, iter_frames, probe

T, H, W = 30, 48, 64


def drawn(n: int = T) -> np.ndarray:
    """Frames (n, H, W, 3) RGB: red constant, green rising with time, blue rising from left to right."""
    frames = np.zeros((n, H, W, 3), np.uint8)
    frames[..., 0] = 200
    frames[..., 1] = (np.arange(n) * 8 % 256)[:, None, None]
    frames[..., 2] = np.linspace(0, 255, W).astype(np.uint8)
    return frames


def write(path: Path, frames: np.ndarray, codec: str = "FFV1", fps: float = 25.0) -> Path:
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def noise(n: int = 150) -> np.ndarray:
    """Frames that compress badly, so that a cut file loses many of them."""
    return np.random.default_rng(0).integers(0, 256, (n, H, W, 3)).astype(np.uint8)


def cut(path: Path, share: float = 0.55) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_probe_reads_what_is_declared(tmp_path):
    info = probe(write(tmp_path / "v.avi", drawn(), "MJPG", 12.5))
    assert info == (T, H, W, 12.5)


def test_frames_are_rgb_in_order_and_exact_for_a_lossless_codec(tmp_path):
    frames = drawn()
    clip = decode(write(tmp_path / "v.avi", frames))
    assert clip.frames.shape == (T, 3, H, W) and clip.frames.dtype == torch.uint8
    assert (clip.declared, clip.decoded, clip.fps) == (T, T, 25.0)
    # FFV1 stores YUV 4:2:0 here: colours move by a few grey levels; the channels differ by far more.
    difference = np.abs(clip.frames.permute(0, 2, 3, 1).numpy().astype(int) - frames)
    assert difference.max() <= 6


@pytest.mark.parametrize("chunk", [1, 7, 30, 64])
def test_blocks_joined_are_the_decoded_video(tmp_path, chunk):
    path = write(tmp_path / "v.avi", drawn(), "MJPG")
    blocks = list(iter_frames(path, chunk=chunk))
    assert all(1 <= len(block) <= chunk for block in blocks)
    torch.testing.assert_close(torch.cat(blocks), decode(path).frames, rtol=0, atol=0)


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "MJPG"), ("avi", "XVID"), ("mp4", "mp4v"), ("mkv", "FFV1")])
def test_formats(tmp_path, suffix, codec):
    assert len(decode(write(tmp_path / f"v.{suffix}", drawn(), codec)).frames) == T


@pytest.mark.parametrize("codec", ["MJPG", "XVID"])
def test_truncated_avi_is_an_error_that_counts(tmp_path, codec):
    path = cut(write(tmp_path / "v.avi", noise(), codec))
    assert probe(path).n_frames == 150  # the header still promises all of them
    with pytest.raises(VideoError, match=r"v\.avi: \d+ frames decoded, 150 declared.*strict=False"):
        decode(path)
    with pytest.raises(VideoError, match="150 declared"):
        list(iter_frames(path))


def test_truncated_avi_read_leniently_tells_the_loss(tmp_path):
    path = cut(write(tmp_path / "v.avi", noise(), "MJPG"))
    with pytest.warns(VideoWarning, match="150 declared"):
        clip = decode(path, strict=False)
    assert clip.declared == 150
    assert 0 < clip.decoded < 100 and clip.decoded == len(clip.frames)
    assert clip.frames.untyped_storage().nbytes() == clip.frames.numel()
    with pytest.warns(VideoWarning):
        assert sum(map(len, iter_frames(path, strict=False))) == clip.decoded


def test_corrupted_mp4_is_an_error_that_counts(tmp_path):
    path = write(tmp_path / "v.mp4", noise(), "mp4v")
    data = bytearray(path.read_bytes())
    start, size = len(data) // 3, len(data) // 10
    data[start : start + size] = np.random.default_rng(1).integers(0, 256, size).astype(np.uint8).tobytes()
    path.write_bytes(bytes(data))
    with pytest.raises(VideoError, match=r"v\.mp4: \d+ frames decoded, 150 declared"):
        decode(path)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d / "none.mp4", "no such file; check the path"),
        (lambda d: d, "is a folder; give a video file"),
        (lambda d: (d / "e.mp4").write_bytes(b"") and None or d / "e.mp4", "empty; copy it again"),
        (lambda d: (d / "t.mp4").write_text("text") and d / "t.mp4", "cannot be opened.*copy it again"),
        (lambda d: cut(write(d / "c.mp4", drawn(), "mp4v")), "cannot be opened.*truncated"),
        (
            lambda d: cv2.imwrite(str(d / "i.png"), drawn()[0]) and d / "i.png",
            "still image.*give a video file",
        ),
    ],
    ids=["missing", "folder", "empty", "text", "truncated mp4", "image"],
)
def test_unreadable_files(tmp_path, make, message, strict):
    path = make(tmp_path)
    for read in (probe, lambda p: decode(p, strict=strict), lambda p: list(iter_frames(p, strict=strict))):
        with pytest.raises(VideoError, match=message) as error:
            read(path)
        assert str(path) in str(error.value)


def test_size_is_refused_before_decoding(tmp_path, monkeypatch):
    path = write(tmp_path / "v.avi", drawn(), "MJPG")
    assert len(decode(path, max_bytes=T * 3 * H * W).frames) == T
    monkeypatch.setattr(video, "_fill", lambda *_: pytest.fail("decoded before the size was checked"))
    with pytest.raises(VideoError, match=r"30 frames of 64 x 48 take 276,480 bytes.*iter_frames"):
        decode(path, max_bytes=T * 3 * H * W - 1)


def understated(path: Path, declared: int) -> Path:
    """Let an AVI's headers (avih and strh) declare fewer frames than it holds."""
    data = bytearray(path.read_bytes())
    for tag, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        at = data.index(tag) + offset
        assert int.from_bytes(data[at : at + 4], "little") == T
        data[at : at + 4] = declared.to_bytes(4, "little")
    path.write_bytes(bytes(data))
    return path


def test_more_frames_than_declared(tmp_path):
    path = understated(write(tmp_path / "v.avi", drawn(), "MJPG"), 20)
    assert probe(path).n_frames == 20
    with pytest.raises(VideoError, match="30 frames decoded, 20 declared"):
        decode(path)
    with pytest.warns(VideoWarning):
        clip = decode(path, strict=False)
    assert (clip.declared, clip.decoded, len(clip.frames)) == (20, T, T)
    with pytest.raises(VideoError, match="more than the limit"):
        decode(path, strict=False, max_bytes=25 * 3 * H * W)


def test_chunk_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="chunk must be at least 1 frame, got 0"):
        list(iter_frames(tmp_path / "v.avi", chunk=0))


def test_a_sound_video_warns_of_nothing(tmp_path):
    path = write(tmp_path / "v.avi", drawn(), "MJPG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(path, strict=False)


def test_stderr_stays_silent_and_settings_stay_as_they_were(tmp_path):
    cut(write(tmp_path / "a.mp4", drawn(), "mp4v"))
    cut(write(tmp_path / "b.avi", noise(60), "XVID"))
    script = (
        "import os, sys, warnings, cv2\n"
        "from repro.data.video import VideoError, decode\n"
        "warnings.simplefilter('ignore')\n"
        "state = cv2.getNumThreads(), cv2.utils.logging.getLogLevel(), dict(os.environ)\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        decode(name, strict=False)\n"
        "    except VideoError:\n"
        "        pass\n"
        "assert state == (cv2.getNumThreads(), cv2.utils.logging.getLogLevel(), dict(os.environ))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.mp4"), str(tmp_path / "b.avi")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stderr) == (0, "")
