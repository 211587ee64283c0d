"""Where moments go: a window, a film (``.mp4``), an animation (``.gif``) or a strip (``.png``).

A file appears whole, or not at all if its ``with`` block ends in an error or there was nothing to see.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Generic, Literal, Protocol, TypeVar

import cv2
from PIL import Image

from repro.files import write_atomically
from repro.live.drawing import side_by_side, strip
from repro.live.watching import Moment

Wish = Literal["go on", "stop", "start over"]
_Item = TypeVar("_Item")

ANIMATION_FRAMES = 150
"""Most frames of an animation; of longer ones every second, every fourth, ... is kept."""

STRIP_COLUMNS = 8
"""Most columns of a strip; likewise."""


class WindowError(ValueError):
    """No window can be opened here; the message says what to do instead."""


class Sink(Protocol):
    """What `watch` shows moments to."""

    def add(self, moment: Moment) -> Wish:
        """Take in the next moment and say how to go on."""


class Thinned(Generic[_Item]):
    """What becomes of moments, evenly spaced, never more than `limit` of however many, and of the last.

    Parameters
    ----------
    limit : int
    convert : callable
        What is kept of a moment; it is called for those that are.

    Attributes
    ----------
    stride : int
        Distance of the moments that are kept, a power of two.
    """

    def __init__(self, limit: int, convert: Callable[[Moment], _Item]) -> None:
        self._limit, self._convert, self.stride = limit, convert, 1
        self._items: list[_Item] = []
        self._last: Moment | None = None
        self._count = 0

    def add(self, moment: Moment) -> None:
        """Take in the next moment."""
        if len(self._items) == self._limit:
            self._items = self._items[::2]
            self.stride *= 2
        kept = self._count % self.stride == 0
        if kept:
            self._items.append(self._convert(moment))
        self._last = None if kept else moment
        self._count += 1

    def items(self) -> list[_Item]:
        """Return what is kept."""
        return self._items if self._last is None else [*self._items, self._convert(self._last)]


class _Recorder:
    """A sink that writes a file in the end."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._commit()
        else:
            self._discard()

    def add(self, moment: Moment) -> Wish:
        raise NotImplementedError

    def _commit(self) -> None:
        raise NotImplementedError

    def _discard(self) -> None:
        pass


class Film(_Recorder):
    """One picture a frame, written as they come (MPEG-4 part 2)."""

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__(path, fps)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        os.close(handle)
        self._temporary = Path(name)
        self._writer: cv2.VideoWriter | None = None

    def add(self, moment: Moment) -> Wish:
        """Write the next picture."""
        picture = side_by_side(moment)
        if self._writer is None:
            size = picture.shape[1::-1]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._temporary), cv2.CAP_FFMPEG, code, self._fps, size)
            if not self._writer.isOpened():
                raise OSError(f"{self._path}: this OpenCV cannot write an MPEG-4 film; write a .gif or a .png instead")
        self._writer.write(picture)
        return "go on"

    def _commit(self) -> None:
        if self._writer is None:
            self._discard()
            return
        self._writer.release()
        umask = os.umask(0)
        os.umask(umask)
        self._temporary.chmod(0o666 & ~umask)
        self._temporary.replace(self._path)

    def _discard(self) -> None:
        if self._writer is not None:
            self._writer.release()
        self._temporary.unlink(missing_ok=True)


class Animation(_Recorder):
    """Pictures with a palette of their own, in a loop, thinned out so that memory and file stay small."""

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__(path, fps)
        self._pictures = Thinned(ANIMATION_FRAMES, _with_palette)

    def add(self, moment: Moment) -> Wish:
        """Keep the next picture, or drop it."""
        self._pictures.add(moment)
        return "go on"

    def _commit(self) -> None:
        pictures = self._pictures.items()
        if not pictures:
            return
        first, *others = pictures
        buffer = io.BytesIO()
        milliseconds = max(round(1000 * self._pictures.stride / self._fps), 20)  # players take less for none
        first.save(buffer, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
        write_atomically(self._path, buffer.getvalue())


class Strip(_Recorder):
    """One column for each segment that has been distilled, thinned out to a few."""

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__(path, fps)
        self._moments: Thinned[Moment] = Thinned(STRIP_COLUMNS, lambda moment: moment)
        self._n_segments = 0

    def add(self, moment: Moment) -> Wish:
        """Keep the moment if its image is new, or drop it."""
        if moment.n_segments != self._n_segments:
            self._n_segments = moment.n_segments
            self._moments.add(moment)
        return "go on"

    def _commit(self) -> None:
        moments = self._moments.items()
        if moments:
            write_atomically(self._path, cv2.imencode(".png", strip(moments))[1].tobytes())


def _with_palette(moment: Moment) -> Image.Image:
    picture = side_by_side(moment, heights=(120, 180))
    return Image.fromarray(picture[..., ::-1].copy()).quantize(method=Image.Quantize.FASTOCTREE)


SUFFIXES: dict[str, type[_Recorder]] = {".mp4": Film, ".gif": Animation, ".png": Strip}
"""What a file's name asks for."""


def recorder(path: Path, fps: float) -> _Recorder:
    """Return the recorder that the file's suffix asks for, one of `SUFFIXES`."""
    return SUFFIXES[path.suffix.lower()](path, fps)


class Window:
    """A window on the screen: q, Esc or its button ends, r starts over.

    Raises
    ------
    WindowError
        If OpenCV was built without windows, or there is no screen.
    """

    _NAME = "SSD"

    def __init__(self) -> None:
        instead = "write a file instead with --live OUT.mp4 (or .gif, .png)"
        if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
            raise WindowError(
                f"this OpenCV has no windows (it is the headless build); {instead}, or replace it: "
                "pip uninstall opencv-contrib-python-headless, then pip install opencv-contrib-python"
            )
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise WindowError(f"there is no screen (DISPLAY is not set); {instead}")
        try:
            cv2.namedWindow(self._NAME)
        except cv2.error as error:
            raise WindowError(f"OpenCV cannot open a window ({error.err}); {instead}") from error

    def __enter__(self) -> Window:
        """Return the window."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the window."""
        cv2.destroyWindow(self._NAME)

    def add(self, moment: Moment) -> Wish:
        """Show the moment and look for a key."""
        cv2.imshow(self._NAME, side_by_side(moment))
        key = cv2.waitKey(1) & 0xFF
        if key in (27, ord("q")) or cv2.getWindowProperty(self._NAME, cv2.WND_PROP_VISIBLE) < 1:
            return "stop"
        return "start over" if key == ord("r") else "go on"
