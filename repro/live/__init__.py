"""An SSD image as it grows, beside the pictures that it is made of: in a window, a film, an animation or a strip."""

from repro.live.camera import Camera, CameraError
from repro.live.sinks import SUFFIXES, Sink, Window, WindowError, recorder
from repro.live.watching import Moment, watch

__all__ = ["SUFFIXES", "Camera", "CameraError", "Moment", "Sink", "Window", "WindowError", "recorder", "watch"]
