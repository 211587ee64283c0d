"""One video decoder, with an account of its frames.

OpenCV does not raise on a damaged file: it stops early, repeats frames or reports a length that is not there.
Every video of the project is therefore read here: in sequence, once, without seeking, and what was decoded is
counted and compared with what the container declares.

Frames are RGB ``uint8`` tensors of shape (T, 3, H, W).
"""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import torch
from torch import Tensor

from repro.data.schema import DataError

MAX_BYTES = 4 << 30
"""Largest video that `decode` holds in memory, in bytes. A BioVid video (138 x 1388 x 1038) takes 0.6 GB."""

MAX_PIXELS = 1 << 26
"""Largest frame that is believed, in pixels (8192 x 8192): a damaged header can declare any size."""

_OPENING = threading.Lock()


class VideoError(DataError):
    """A video cannot be read as its container declares; the message names the file and the remedy."""


class VideoWarning(UserWarning):
    """A video was read leniently, and fewer or more frames were decoded than its container declares."""


class VideoInfo(NamedTuple):
    """What a video's container declares; nothing is decoded to find it.

    Attributes
    ----------
    n_frames : int
        Number of frames; 0 if the container declares none.
    height, width : int
        Size of a frame in pixels.
    fps : float or None
        Frames per second; None if the container declares none.
    """

    n_frames: int
    height: int
    width: int
    fps: float | None


class DecodedVideo(NamedTuple):
    """A video in memory, with the account of its frames.

    Attributes
    ----------
    frames : Tensor, (T, 3, H, W) uint8
        The decoded frames, RGB.
    fps : float or None
        Frames per second; None if the container declares none.
    declared : int
        Number of frames that the container declares; 0 if it declares none.
    decoded : int
        Number of frames that were decoded, which is T.
    """

    frames: Tensor
    fps: float | None
    declared: int
    decoded: int


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Return what a video's container declares, without decoding it.

    Parameters
    ----------
    path : path
        Any video file that OpenCV reads (mp4, avi, mkv, mov, ...).

    Returns
    -------
    VideoInfo
        Number of frames, height and width in pixels, frames per second.

    Raises
    ------
    VideoError
        If the file is missing, empty, a still image, or no readable video.
    """
    with _opened(path) as (_, info):
        return info


def iter_frames(path: str | os.PathLike[str], *, chunk: int = 32, strict: bool = True) -> Iterator[Tensor]:
    """Decode a video in sequence, a few frames at a time.

    Parameters
    ----------
    path : path
        Any video file that OpenCV reads.
    chunk : int
        Frames in a block; the last block may be shorter.
    strict : bool
        Whether a number of decoded frames that differs from the declared one is an error, raised after the
        last block, or a `VideoWarning`.

    Yields
    ------
    Tensor, (n, 3, H, W) uint8
        The next 1 <= n <= `chunk` frames, RGB.

    Raises
    ------
    VideoError
        If the file is no readable video, no frame can be decoded, the size of the frames changes, or `strict`
        and the counts differ.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1 frame, got {chunk}")
    with _opened(path) as (capture, info):
        decoded = 0
        while True:
            block = torch.empty((chunk, 3, info.height, info.width), dtype=torch.uint8)
            n = _fill(capture, block, path)
            decoded += n
            if n:
                yield block if n == chunk else block[:n].clone()
            if n < chunk:
                break
    _account(path, info.n_frames, decoded, strict)


def decode(path: str | os.PathLike[str], *, strict: bool = True, max_bytes: int = MAX_BYTES) -> DecodedVideo:
    """Decode a whole video into memory.

    Parameters
    ----------
    path : path
        Any video file that OpenCV reads.
    strict : bool
        Whether a number of decoded frames that differs from the declared one is an error or a `VideoWarning`;
        the result holds both numbers.
    max_bytes : int
        Largest width x height x 3 x frames, in bytes. It is compared with what the container declares before
        anything is allocated, and with what is decoded.

    Returns
    -------
    DecodedVideo
        Frames (T, 3, H, W) uint8 RGB, frames per second, number of frames declared and decoded.

    Raises
    ------
    VideoError
        If the file is no readable video, is larger than `max_bytes`, no frame can be decoded, the size of the
        frames changes, or `strict` and the counts differ.
    """
    with _opened(path) as (capture, info):
        frame_bytes = 3 * info.height * info.width
        _check_size(path, info, info.n_frames, max_bytes)
        blocks: list[Tensor] = []
        decoded, capacity = 0, max(info.n_frames, 1)
        while True:
            block = torch.empty((capacity, 3, info.height, info.width), dtype=torch.uint8)
            n = _fill(capture, block, path)
            decoded += n
            if n:
                blocks.append(block[:n])
            if n < capacity:
                break
            # The declared frames are in; more are expected only where the container understates its length.
            capacity = max(1, min(32, max_bytes // frame_bytes - decoded + 1))
            _check_size(path, info, decoded, max_bytes)
    _account(path, info.n_frames, decoded, strict)
    frames = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
    if decoded < info.n_frames:
        frames = frames.clone()  # else the view would keep the declared length in memory
    return DecodedVideo(frames, info.fps, info.n_frames, decoded)


def _check_size(path: str | os.PathLike[str], info: VideoInfo, n_frames: int, max_bytes: int) -> None:
    size = 3 * info.height * info.width * n_frames
    if size > max_bytes:
        raise VideoError(
            f"{path}: {n_frames} frames of {info.width} x {info.height} take {size:,} bytes, more than the "
            f"limit of {max_bytes:,}; read it in blocks with iter_frames, shrink the file, or raise max_bytes"
        )


def _account(path: str | os.PathLike[str], declared: int, decoded: int, strict: bool) -> None:
    """Compare what was decoded with what was declared."""
    if decoded == 0:
        raise VideoError(
            f"{path}: no frame can be decoded, {declared} are declared; the file is damaged, "
            "copy it again from its source"
        )
    if decoded == declared:
        return
    if declared == 0:
        found = f"{decoded} frames decoded, but the container declares no number of frames to compare with"
        remedy = "write it anew (ffmpeg -i FILE -c copy NEW.mp4)"
    elif decoded > declared:
        found = f"{decoded} frames decoded, {declared} declared; the header understates the length"
        remedy = "write it anew (ffmpeg -i FILE -c copy NEW.mp4)"
    else:
        found = f"{decoded} frames decoded, {declared} declared; the file is truncated or damaged"
        remedy = "copy it again from its source"
    if strict:
        raise VideoError(f"{path}: {found}; {remedy}, or read it with strict=False")
    warnings.warn(f"{path}: {found}", VideoWarning, stacklevel=3)


def _fill(capture: cv2.VideoCapture, block: Tensor, path: str | os.PathLike[str]) -> int:
    """Decode the next frames into `block`, (n, 3, H, W) uint8; return how many there were."""
    planes = block.numpy()
    height, width = planes.shape[-2:]
    for index in range(len(planes)):
        more, frame = capture.read()
        if not more:
            return index
        if frame.shape != (height, width, 3):
            raise VideoError(
                f"{path}: a frame of {frame.shape[1]} x {frame.shape[0]} among frames of {width} x {height}; "
                "write the video anew at one size (ffmpeg -i FILE -vf scale=W:H NEW.mp4)"
            )
        red, green, blue = planes[index]
        cv2.split(frame, [blue, green, red])  # OpenCV's channel order; writes into the block
    return len(planes)


def _check_file(file: Path) -> None:
    """Raise unless there is a file that is not empty."""
    try:
        if file.is_dir():
            raise VideoError(f"{file}: is a folder; give a video file")
        if not file.is_file():
            raise VideoError(f"{file}: no such file; check the path")
        if file.stat().st_size == 0:
            raise VideoError(f"{file}: the file is empty; copy it again from its source")
    except OSError as error:  # such as a name that is too long
        raise VideoError(f"{file}: cannot be read ({error.strerror or error}); check the path") from error


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[cv2.VideoCapture, VideoInfo]]:
    """Open a video, check what it declares and release it in the end."""
    file = Path(path)
    _check_file(file)
    if file.suffix.lower() != ".gif" and cv2.haveImageReader(str(file)):
        raise VideoError(f"{file}: is a still image, not a video; give a video file (mp4, avi, ...)")
    capture = _open_quietly(str(file))
    try:
        if not capture.isOpened():
            raise VideoError(
                f"{file}: cannot be opened as a video; it is truncated, damaged or of a format that OpenCV "
                "does not read: copy it again from its source, or convert it (ffmpeg -i FILE NEW.mp4)"
            )
        yield capture, _declared(capture, file)
    finally:
        capture.release()


def _open_quietly(name: str) -> cv2.VideoCapture:
    """Open a video with FFmpeg, without OpenCV's and FFmpeg's own messages on stderr.

    FFmpeg's level is read from the environment when OpenCV first opens a video, and stays; a level that the
    user has set is respected. One decoding thread: what is salvaged from a damaged file must not depend on
    the machine.
    """
    with _OPENING:
        level = cv2.utils.logging.getLogLevel()
        preset = "OPENCV_FFMPEG_LOGLEVEL" in os.environ
        if not preset:
            os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # AV_LOG_QUIET
        cv2.utils.logging.setLogLevel(0)
        try:
            return cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        finally:
            cv2.utils.logging.setLogLevel(level)
            if not preset:
                os.environ.pop("OPENCV_FFMPEG_LOGLEVEL", None)


def _declared(capture: cv2.VideoCapture, file: Path) -> VideoInfo:
    """Read what the container declares; counts and rates that cannot be are taken as not declared."""
    height, width = (int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
    if not 0 < height * width <= MAX_PIXELS or min(height, width) < 1:
        raise VideoError(
            f"{file}: declares frames of {width} x {height}; the header is damaged, copy the file again from its source"
        )
    count, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    n_frames = int(count) if math.isfinite(count) and count > 0 else 0
    if n_frames > file.stat().st_size:  # a frame takes a byte at the very least; labels are allocated by this count
        raise VideoError(
            f"{file}: declares {n_frames:,} frames, more than the file has bytes; the header is damaged, copy the "
            "file again from its source"
        )
    return VideoInfo(n_frames, height, width, fps if math.isfinite(fps) and fps > 0 else None)
