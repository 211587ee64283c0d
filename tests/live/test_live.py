"""What a live distillation shows at each moment, and the files that it writes."""

import os
import signal
import threading

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from repro.live import Camera, CameraError, Moment, Window, WindowError, recorder, sinks, watch
from repro.live.drawing import CAPTION, GAP, side_by_side
from repro.ssd import Distiller, distill

L = 3


def film(frames=14, height=40, width=60):
    """A drifting texture, (frames, 3, height, width) uint8."""
    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.integers(0, 256, (10, 14, 3), dtype=np.uint8), (2 * width, 2 * height))
    clip = np.stack([texture[t : t + height, 2 * t : 2 * t + width] for t in range(frames)])
    return torch.from_numpy(clip.transpose(0, 3, 1, 2).copy())


class Kept:
    """A sink that keeps all moments and answers with wishes by frame."""

    def __init__(self, wishes=()):
        self.moments, self.wishes = [], dict(wishes)

    def add(self, moment):
        self.moments.append(moment)
        return self.wishes.get(len(self.moments), "go on")


def new_stream():
    return Distiller(L)


def test_each_moment_shows_the_image_of_the_segments_so_far():
    video, sink = film(), Kept()
    stream = watch(iter(video), new_stream, sink)
    assert stream.n_frames == len(video) == len(sink.moments)
    assert torch.equal(stream.image(), distill(video, segment_length=L))
    for count, moment in enumerate(sink.moments, 1):
        assert torch.equal(moment.picture, video[count - 1])
        assert (moment.n_frames, moment.segment_length) == (count, L)
        assert moment.n_segments == (count // L if count >= 2 * L else 0)
        if count < 2 * L:
            assert moment.image is None
        else:
            assert torch.equal(moment.image, distill(video[:count], segment_length=L))


def test_a_sink_may_stop_or_start_over():
    video = film()
    assert watch(iter(video), new_stream, Kept({7: "stop"})).n_frames == 7
    sink = Kept({7: "start over"})
    stream = watch(iter(video), new_stream, sink)
    assert torch.equal(stream.image(), distill(video[7:], segment_length=L))
    assert sink.moments[7].n_frames == 1 and sink.moments[7].image is None


def test_frames_do_not_wait_for_a_segment_to_be_distilled():
    """Here the third segment, the second that gives a map, is distilled while its successor arrives."""
    video, go = film(), threading.Event()

    class Slow(Distiller):
        def update(self, frames):
            if self.n_segments == 2:
                assert go.wait(60)
            super().update(frames)

    class Opening(Kept):
        def add(self, moment):
            if moment.n_frames == 4 * L - 1:
                go.set()
            return super().add(moment)

    sink = Opening()
    stream = watch(iter(video), lambda: Slow(L), sink, wait=False)
    assert all(moment.n_segments <= 2 for moment in sink.moments[: 4 * L - 1])
    # No segment is distilled before the one ahead of it is done, hence the queue cannot grow.
    assert all(moment.n_segments >= 3 for moment in sink.moments[4 * L - 1 :])
    assert torch.equal(stream.image(), distill(video, segment_length=L))


def test_an_error_of_the_distillation_is_raised():
    with pytest.raises(ValueError, match="too small to reflect"):
        watch(iter(film()[..., :2]), new_stream, Kept())


@pytest.mark.parametrize(
    ("height", "width", "panel"), [(40, 60, (280, 420)), (300, 201, (300, 201)), (960, 1280, (480, 640))]
)
def test_a_picture_and_its_image_side_by_side(height, width, panel):
    picture = torch.zeros(3, height, width, dtype=torch.uint8)
    picture[0] = 200  # red
    image = torch.zeros_like(picture)
    image[2] = 100  # blue
    canvas = side_by_side(Moment(picture, image, 7, 2, L))
    tall, wide = panel
    assert canvas.shape[0] in (tall + CAPTION + 2 * GAP, tall + CAPTION + 2 * GAP + 1)
    assert canvas.shape[0] % 2 == canvas.shape[1] % 2 == 0
    assert (canvas[GAP : GAP + tall, GAP : GAP + wide] == (0, 0, 200)).all()
    right = 2 * GAP + wide
    assert (canvas[GAP : GAP + tall, right : right + wide] == (100, 0, 0)).all()
    empty = side_by_side(Moment(picture, None, 7, 0, L))
    assert empty.shape == canvas.shape and len(np.unique(empty[GAP : GAP + tall, right : right + wide])) == 1


def test_a_film_has_every_frame(tmp_path):
    video, path = film(), tmp_path / "new" / "film.mp4"
    with recorder(path, 12.5) as sink:
        watch(iter(video), new_stream, sink)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == 12.5 and capture.get(cv2.CAP_PROP_FRAME_COUNT) == len(video)
    for count in range(1, len(video) + 1):
        picture = capture.read()[1]
        image = distill(video[:count], segment_length=L) if count >= 2 * L else None
        expected = side_by_side(Moment(video[count - 1], image, count, count // L if image is not None else 0, L))
        assert picture.shape == expected.shape
        # The codec loses some: about 2 grey levels on average here, while frames differ by more than 20.
        assert np.abs(picture.astype(int) - expected).mean() < 5
    assert list(path.parent.iterdir()) == [path]


def test_an_animation_has_every_frame_or_every_second(tmp_path, monkeypatch):
    video, path = film(), tmp_path / "film.gif"
    for limit, kept, milliseconds in ((200, 14, 80), (10, 8, 160)):
        monkeypatch.setattr(sinks, "ANIMATION_FRAMES", limit)
        with recorder(path, 12.5) as sink:
            watch(iter(video), new_stream, sink)
        with Image.open(path) as animation:
            assert animation.n_frames == kept and animation.info["duration"] == milliseconds
            animation.seek(kept - 1)
            last = np.asarray(animation.convert("RGB")).astype(int)
        moment = Moment(video[-1], distill(video, segment_length=L), 14, 4, L)
        expected = side_by_side(moment, heights=(120, 180))[..., ::-1]
        assert np.abs(last - expected).mean() < 10  # 256 colours


def test_a_strip_has_a_column_for_each_image(tmp_path):
    video, path = film(), tmp_path / "strip.png"
    with recorder(path, 25.0) as sink:
        watch(iter(video), new_stream, sink)
    canvas = cv2.imread(str(path))[..., ::-1]
    height, width = 120, 180
    assert canvas.shape[1] == 3 * (width + GAP) + GAP
    for column, count in enumerate((6, 9, 12)):
        left = GAP + column * (width + GAP)
        image = distill(video[:count], segment_length=L).permute(1, 2, 0).numpy()
        for picture, top in ((video[count - 1].permute(1, 2, 0).numpy(), GAP), (image, 2 * GAP + height)):
            enlarged = picture.repeat(3, 0).repeat(3, 1)
            assert np.array_equal(canvas[top : top + height, left : left + width], enlarged)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 16, 100])
def test_thinning_keeps_first_and_last_evenly(count):
    kept = sinks.Thinned(8, lambda moment: moment)
    for number in range(count):
        kept.add(number)
    items = kept.items()
    assert items[0] == 0 and items[-1] == count - 1 and len(items) <= 8
    assert all(b - a == kept.stride for a, b in zip(items[:-2], items[1:-1], strict=True))
    assert count > 8 or items == list(range(count))
    assert len(items) > 3 or count <= 3


@pytest.mark.parametrize("suffix", sinks.SUFFIXES)
def test_a_recording_that_fails_leaves_what_there_was(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    path.write_text("earlier")
    with pytest.raises(RuntimeError), recorder(path, 25.0) as sink:
        watch(iter(film()), new_stream, sink)
        raise RuntimeError
    with recorder(path, 25.0):
        pass  # nor does one without a frame
    assert [file.name for file in tmp_path.iterdir()] == [path.name] and path.read_text() == "earlier"


class Capture:
    """A camera that gives the frames of `film`, with OpenCV's channel order."""

    opened, fps, frames = True, 12.0, 14

    def __init__(self, index):
        self.index, self.count, self.released = index, 0, False

    def isOpened(self):
        return self.opened

    def get(self, _):
        return self.fps

    def read(self):
        self.count += 1
        if self.count > self.frames:
            return False, None
        return True, film()[self.count - 1].permute(1, 2, 0).numpy()[..., ::-1]

    def release(self):
        self.released = True


def test_a_camera_gives_rgb_frames(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    with Camera(2) as camera:
        assert camera.fps == 12.0 and camera._capture.index == 2
        assert torch.equal(torch.stack(list(camera.frames())), film())
    assert camera._capture.released
    monkeypatch.setattr(Capture, "fps", -1.0)
    assert Camera(0).fps == 30.0


@pytest.mark.parametrize(
    ("attribute", "value", "message"), [("opened", False, "try --camera 1"), ("frames", 0, "no picture")]
)
def test_a_camera_without_pictures(monkeypatch, attribute, value, message):
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(Capture, attribute, value)
    with pytest.raises(CameraError, match=f"camera 0: .*{message}"), Camera(0) as camera:
        list(camera.frames())


def test_ctrl_c_ends_a_camera_well(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    before = signal.getsignal(signal.SIGINT)
    with Camera(0) as camera:
        frames = camera.frames()
        next(frames)
        os.kill(os.getpid(), signal.SIGINT)
        assert list(frames) == []
        assert signal.getsignal(signal.SIGINT) == before  # a second one ends the program
    assert signal.getsignal(signal.SIGINT) == before


def test_a_window_listens_to_its_keys(monkeypatch):
    keys, shown, state = iter([-1, ord("r"), ord("q"), 27, -1]), [], {"visible": 1.0}
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           GTK3\n")
    monkeypatch.setenv("DISPLAY", ":0")
    for name, function in {
        "namedWindow": lambda *_: None,
        "destroyWindow": lambda *_: state.update(closed=True),
        "imshow": lambda name, picture: shown.append(picture),
        "waitKey": lambda _: next(keys),
        "getWindowProperty": lambda *_: state["visible"],
    }.items():
        monkeypatch.setattr(cv2, name, function)
    moment = Moment(film()[0], None, 1, 0, L)
    with Window() as window:
        assert [window.add(moment) for _ in range(4)] == ["go on", "start over", "stop", "stop"]
        state["visible"] = 0.0  # the button in its corner
        assert window.add(moment) == "stop"
    assert state["closed"] and np.array_equal(shown[0], side_by_side(moment))


def test_where_there_is_no_window_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n")
    with pytest.raises(WindowError, match="headless build.*--live OUT.mp4.*pip install opencv-contrib-python"):
        Window()
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           QT5\n")
    monkeypatch.setattr(sinks.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(WindowError, match="no screen.*--live"):
        Window()
