"""The loop of a live distillation: frames in, a moment out for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from repro.ssd import Distiller

if TYPE_CHECKING:
    from repro.live.sinks import Sink


class Moment(NamedTuple):
    """What there is to see when a frame has arrived.

    Attributes
    ----------
    picture : Tensor, (3, H, W) uint8
        The frame.
    image : Tensor, (3, H, W) uint8, or None
        SSD image of the whole segments so far; None before there are two.
    n_frames : int
        Frames so far.
    n_segments : int
        Segments in `image`; 0 without one.
    segment_length : int
        Frames in a segment.
    """

    picture: Tensor
    image: Tensor | None
    n_frames: int
    n_segments: int
    segment_length: int


def watch(frames: Iterable[Tensor], new_stream: Callable[[], Distiller], sink: Sink, *, wait: bool = True) -> Distiller:
    """Distil frames as they arrive and show every moment.

    Memory is for three segments whatever the number of frames.

    Parameters
    ----------
    frames : iterable of Tensor, (3, H, W) uint8
        RGB, all of one size.
    new_stream : callable
        Makes the stream that takes them in; again where the sink wants to start over.
    sink : Sink
        Shows moments or records them.
    wait : bool
        Whether each moment shows the image of all segments that are whole by then. Otherwise frames go on while a
        segment is being distilled, and the image follows a little later: what a camera needs, which does not wait.

    Returns
    -------
    Distiller
        The stream, which holds all frames since it was made.
    """
    with ThreadPoolExecutor(1) as pool:
        growth = _Growth(new_stream(), pool, wait)
        for frame in frames:
            growth.add(frame)
            wish = sink.add(growth.moment(frame))
            if wish == "stop":
                break
            if wish == "start over":
                growth = _Growth(new_stream(), pool, wait)
        return growth.finish()


class _Growth:
    """A stream and its image so far; segments are distilled by another thread."""

    def __init__(self, stream: Distiller, pool: ThreadPoolExecutor, wait: bool) -> None:
        self._stream, self._pool, self._wait = stream, pool, wait
        self._segment: list[Tensor] = []
        self._pending: Future[tuple[Tensor | None, int]] | None = None
        self._image: Tensor | None = None
        self._n_frames = self._n_segments = 0

    def add(self, frame: Tensor) -> None:
        self._n_frames += 1
        self._segment.append(frame)
        if len(self._segment) == self._stream.segment_length:
            self._settle()
            self._pending = self._pool.submit(self._distil, torch.stack(self._segment))
            self._segment = []
        if self._pending is not None and (self._wait or self._pending.done()):
            self._settle()

    def moment(self, frame: Tensor) -> Moment:
        return Moment(frame, self._image, self._n_frames, self._n_segments, self._stream.segment_length)

    def finish(self) -> Distiller:
        self._settle()
        if self._segment:
            self._stream.update(torch.stack(self._segment))
        return self._stream

    def _distil(self, segment: Tensor) -> tuple[Tensor | None, int]:
        self._stream.update(segment)
        n_segments = self._stream.n_segments
        return (self._stream.image(), n_segments) if n_segments > 1 else (None, 0)

    def _settle(self) -> None:
        if self._pending is not None:
            self._image, self._n_segments = self._pending.result()
            self._pending = None
