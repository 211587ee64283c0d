"""The command line that turns video files into images."""

import cv2
import numpy as np
import pytest
import torch

from repro import distill as command
from repro.data.video import iter_frames, probe
from repro.ssd import distill


def write_video(path, frames=12, height=32, width=48, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    scene = cv2.resize(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8), (2 * width, 2 * height))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (width, height))
    for t in range(frames):
        writer.write(np.ascontiguousarray(scene[t : t + height, 2 * t : 2 * t + width]))
    writer.release()
    return path


def read_png(path):
    return torch.from_numpy(cv2.imread(str(path))[..., ::-1].transpose(2, 0, 1).copy())


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "clip.avi")


def test_one_video_becomes_one_file(video, tmp_path, capsys):
    output = tmp_path / "new" / "image.png"
    assert command.main([str(video), "-o", str(output), "--segment-length", "4"]) == 0
    frames = torch.cat(list(iter_frames(video)))
    assert torch.equal(read_png(output), distill(frames, segment_length=4))
    assert capsys.readouterr().out == f"{video}: 12 frames, 3 segments -> {output}\n"
    assert [file.name for file in output.parent.iterdir()] == ["image.png"]


def test_every_option_reaches_the_distillation(video, tmp_path):
    options = "--segment-length 3 --window 3 --depth 3 --noise-variance 2 --no-center --domain log"
    options += " --normalize channel --resize 20x30"
    assert command.main([str(video), "-o", str(tmp_path / "a.png"), *options.split()]) == 0
    frames = torch.cat(list(iter_frames(video)))
    resized = torch.nn.functional.interpolate(frames, (20, 30), mode="bilinear", antialias=True)
    expected = distill(
        resized,
        segment_length=3,
        window=3,
        depth=3,
        noise_variance=2.0,
        center=False,
        domain="log",
        normalize="channel",
    )
    assert torch.equal(read_png(tmp_path / "a.png"), expected)


def test_a_bad_video_does_not_lose_the_others(video, tmp_path, capsys):
    short = write_video(tmp_path / "short.avi", frames=5)
    missing, text = tmp_path / "missing.mp4", tmp_path / "notes.mp4"
    text.write_text("no video")
    arguments = [str(file) for file in (missing, short, text, video)]
    assert command.main([*arguments, "-o", str(tmp_path / "out"), "--segment-length", "4"]) == 1
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["clip.png"]
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    for line in (
        f"{missing}: ",
        f"{text}: ",
        f"{short}: a video of T = 5 frames",
        "3 of 4 videos have no image",
    ):
        assert captured.err.count(line) == 1


def test_a_truncated_video_needs_lenience(tmp_path, capsys):
    whole = write_video(tmp_path / "whole.avi", frames=30)
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    arguments = [str(damaged), "-o", str(tmp_path / "out.png"), "--segment-length", "4"]
    assert command.main(arguments) == 1
    assert "declared" in capsys.readouterr().err and not (tmp_path / "out.png").exists()
    with pytest.warns(UserWarning, match="damaged.avi"):
        assert command.main([*arguments, "--lenient"]) == 0
    assert (tmp_path / "out.png").exists()


def camera(monkeypatch, frames):
    """Put a camera in place that gives BGR pictures, and then no more."""

    class Capture:
        def __init__(self, index):
            self.pictures = iter(frames[:, ::-1].transpose(0, 2, 3, 1) if index == 0 else [])

        def isOpened(self):
            return True

        def get(self, _):
            return 20.0

        def read(self):
            picture = next(self.pictures, None)
            return picture is not None, picture

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Capture)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".png"])
def test_a_video_is_recorded_live(video, tmp_path, capsys, suffix):
    live, image = tmp_path / f"live{suffix}", tmp_path / "image.png"
    assert command.main([str(video), "--live", str(live), "-o", str(image), "--segment-length", "4"]) == 0
    frames = torch.cat(list(iter_frames(video)))
    assert torch.equal(read_png(image), distill(frames, segment_length=4))
    assert capsys.readouterr().out == f"{video}: 12 frames, 3 segments -> {live} and {image}\n"
    if suffix == ".mp4":
        declared = probe(live)
        assert (declared.n_frames, declared.fps) == (12, 25.0)


def test_a_recording_may_end_early_and_be_resized(video, tmp_path, capsys):
    arguments = [str(video), "--segment-length", "4", "--frames", "9", "--resize", "20x30", "--live"]
    assert command.main([*arguments, str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png")]) == 0
    frames = torch.cat(list(iter_frames(video)))[:9]
    resized = torch.nn.functional.interpolate(frames, (20, 30), mode="bilinear", antialias=True)
    assert torch.equal(read_png(tmp_path / "b.png"), distill(resized, segment_length=4))
    assert "9 frames, 2 segments" in capsys.readouterr().out


def test_a_camera_is_recorded(video, tmp_path, capsys, monkeypatch):
    frames = torch.cat(list(iter_frames(video)))
    camera(monkeypatch, frames.numpy())
    arguments = ["--camera", "0", "--segment-length", "4", "--live", str(tmp_path / "a.gif"), "-o", str(tmp_path)]
    assert command.main(arguments) == 0
    assert torch.equal(read_png(tmp_path / "camera 0.png"), distill(frames, segment_length=4))
    expected = f"camera 0: 12 frames, 3 segments -> {tmp_path / 'a.gif'} and {tmp_path / 'camera 0.png'}\n"
    assert capsys.readouterr().out == expected and (tmp_path / "a.gif").exists()


def test_a_recording_without_an_image_is_status_1(video, tmp_path, capsys, monkeypatch):
    live = tmp_path / "live.mp4"
    assert command.main([str(video), "--live", str(live), "--segment-length", "7"]) == 1
    assert capsys.readouterr().err.startswith(f"{video}: a video of T = 12 frames")
    assert command.main([str(tmp_path / "missing.mp4"), "--live", str(live)]) == 1
    assert "no such file" in capsys.readouterr().err
    frames = np.zeros((3, 3, 32, 48), np.uint8)
    camera(monkeypatch, frames)
    assert command.main(["--camera", "0", "--live", str(live)]) == 1
    assert capsys.readouterr().err.startswith("camera 0: a video of T = 3 frames")
    assert command.main(["--camera", "1", "--live", str(live)]) == 1
    assert "camera 1: opens but gives no picture" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["clip.avi"]


def test_a_camera_needs_a_window(monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(cv2, "VideoCapture", opened.append)
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "GUI:   NONE")
    assert command.main(["--camera", "0"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("camera 0: this OpenCV has no windows") and "--live OUT.mp4" in message and not opened


def test_equal_stems_do_not_overwrite_one_another(tmp_path):
    files = [
        "a/clip.avi",
        "b/clip.avi",
        "clip.avi",
        "clip.mov",
        "CLIP.mkv",
        "other.avi",
        "x/c/d.avi",
        "x-c/d.avi",
    ]
    videos = [tmp_path / file for file in files]
    outputs = command.output_files(videos, tmp_path / "out")
    names = [output.name for output in outputs.values()]
    assert len({name.casefold() for name in names}) == len(videos)
    assert all(output.parent == tmp_path / "out" for output in outputs.values())
    assert names[0] == "a-clip.avi.png" and names[3] == "clip.mov.png" and names[5] == "other.png"
    # Which of them come first does not matter, and a video named twice is one video.
    again = command.output_files([*reversed(videos), videos[0].parent / "." / videos[0].name], tmp_path / "out")
    assert {video.resolve(): output for video, output in again.items()} == {
        video.resolve(): output for video, output in outputs.items()
    }


def test_names_that_cannot_be_told_apart_are_numbered():
    names = command._unique_names([command.Path("/a-b/c.avi"), command.Path("/a/b-c.avi"), command.Path("/B-C.AVI")])
    assert len({name.casefold() for name in names}) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{video}"], "-o"),
        (["-o", "out"], "VIDEO"),
        (["{video}", "-o", "out", "--window", "4"], "window must be odd"),
        (["{video}", "-o", "out", "--noise-variance", "-1"], "noise_variance"),
        (["{video}", "-o", "out", "--resize", "12x"], "'12x' is no size"),
        (["{video}", "-o", "out", "--resize", "0"], "'0' is no size"),
        (["{video}", "other.avi", "-o", "out.png"], "one image cannot hold 2 videos"),
        (["{video}", "-o", "{video}"], "neither a folder nor a .png"),
        (["{video}", "-o", "image.jpg"], "images are written as .png"),
        (["{video}", "--camera", "0", "-o", "out"], "either a VIDEO, or several, or --camera"),
        (["--camera", "front"], "'front' is no camera"),
        (["{video}", "-o", "out", "--frames", "9"], "--frames goes with --camera or --live"),
        (["{video}", "--live", "a.gif", "--frames", "0"], "'0' is no number of frames"),
        (["{video}", "other.avi", "--live", "a.gif"], "one recording cannot hold 2 videos"),
        (["{video}", "--live", "{video}"], "--live writes .mp4, .gif, .png"),
        (["a.mp4", "--live", "a.mp4"], "would overwrite"),
        (["a.mp4", "--live", "a.png", "-o", "a.png"], "would overwrite"),
    ],
)
def test_a_wrong_command_line_is_status_2(video, arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main([argument.format(video=video) for argument in arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_ctrl_c_ends_in_one_line(video, tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "distill_file", interrupted)
    assert command.main([str(video), "-o", str(tmp_path / "image.png")]) == 130
    told = capsys.readouterr().err
    assert told.startswith("distill: interrupted") and told.count("\n") == 1 and not (tmp_path / "image.png").exists()
