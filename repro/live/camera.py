"""The frames of a camera, as they arrive."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

DEFAULT_FPS = 30.0
"""Frames per second of a camera that does not tell its own rate."""


class CameraError(ValueError):
    """A camera gives no pictures; the message says what to try."""


class Camera:
    """A camera of this computer, open between ``with`` and its end.

    Meanwhile Ctrl-C ends its frames instead of the program, so that what they go to ends well; a second one ends the
    program.

    Parameters
    ----------
    index : int
        Which one; the first is 0.

    Attributes
    ----------
    fps : float
        Frames per second as the camera tells them, `DEFAULT_FPS` if it does not.

    Raises
    ------
    CameraError
        If there is no such camera, or another program uses it.
    """

    def __init__(self, index: int) -> None:
        self._name = f"camera {index}"
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(0)  # every driver that fails to open it would say so
        try:
            self._capture = cv2.VideoCapture(index)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraError(
                f"{self._name}: cannot be opened; check that it is plugged in and that no other program uses it, try "
                f"--camera {index + 1 if index == 0 else 0}, or give a video file instead"
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if math.isfinite(fps) and fps > 0 else DEFAULT_FPS
        self._stopped = False
        self._handler: Any = None

    def __enter__(self) -> Camera:
        """Take over Ctrl-C."""
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give Ctrl-C back and close the camera."""
        self._restore()
        self._capture.release()

    def _stop(self, number: int, stack: Any) -> None:
        self._stopped = True
        self._restore()

    def _restore(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._handler = None

    def frames(self) -> Iterator[Tensor]:
        """Yield frames, (3, H, W) uint8 RGB, until the camera gives no more or Ctrl-C is pressed.

        Raises
        ------
        CameraError
            If it never gives one.
        """
        count = 0
        while not self._stopped:
            more, picture = self._capture.read()
            if not more:
                break
            count += 1
            yield torch.from_numpy(np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)))
        if count == 0 and not self._stopped:
            raise CameraError(f"{self._name}: opens but gives no picture; unplug it and plug it in again")
