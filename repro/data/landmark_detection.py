"""Facial landmarks of videos that have none: dlib's face detector and its 68-point model, an optional extra.

Nothing else in the project knows the library. The detector (histograms of oriented gradients; Dalal and Triggs, CVPR
2005) looks at every frame by itself, and of all that it finds the one face that the video is of is kept. The model
(an ensemble of regression trees; Kazemi and Sullivan, CVPR 2014) answers in whole pixels, and answers differently for
each square that it is given. Therefore the face is then turned upright and enlarged, the model is asked about a few
squares, and the answers are averaged: on simulated faces that leaves a third of the trembling from frame to frame.

The model was trained on iBUG 300-W, whose licence excludes commercial use.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.data.face_detection import surest_path
from repro.data.face_landmarks import eye_centres
from repro.data.openface import N_LANDMARKS

INSTALL = "pip install 'repro-ssd[landmarks]'"
"""What brings the library and the model."""

DETECTION_SIDE = 320
"""Height or width, whichever is less, of the pictures that the detector sees. Its window has 80 pixels: faces are found
whose square, 2.4 distances between the eyes, has a quarter of the frame's smaller side."""

LONGEST_SIDE = 1280
"""What the other one may be at most."""

LEAST_SCORE = -0.3
"""Detector's score from which a square may be a face, if it overlaps with one before or after; its own threshold is 0,
and some square of a video must reach that."""

MODEL_SIDE = 2.4
"""Side of the model's square in distances between the eyes. The model was trained on squares of the detector, and this
is their median over six simulated videos."""

MODEL_CENTRE = 0.46
"""How far its centre lies below the eyes, in the same unit."""

MODEL_PIXELS = 400
"""Side of that square in the upright picture: whole pixels are then 0.6 % of the distance between the eyes."""

SQUARES = ((0.9, 0.0, 0.0), (1.0, 0.0, 0.0), (1.1, 0.0, 0.0), (1.0, -0.03, 0.03), (1.0, 0.03, -0.03))
"""Squares that are averaged over: factor of the side, and shift to the right and down in sides."""

_MARGIN = 0.3
"""Sides of the model's square that the upright picture shows around it."""

_MODEL = "shape_predictor_68_face_landmarks.dat"


class DetectorUnavailable(ValueError):
    """The optional library or its model is not installed; the message says how to get it."""


class Face(NamedTuple):
    """A face in a frame.

    Attributes
    ----------
    square : (left, top, side)
        In pixels.
    score : float
        The detector's, above `LEAST_SCORE`.
    points : ndarray, (68, 2) float64
        In pixels.
    """

    square: tuple[float, float, float]
    score: float
    points: NDArray[np.float64]


class Detected(NamedTuple):
    """The landmarks of a video of T frames.

    Attributes
    ----------
    landmarks : ndarray, (T, 68, 2) float32
        x and y in pixels, with (0, 0) at the centre of the top left pixel; NaN in frames without a face.
    confidence : ndarray, (T,) float32
        The logistic function of the detector's score, 0..1: 0.5 at its threshold. No probability, and it says nothing
        about single points. 0 in frames without a face.
    """

    landmarks: NDArray[np.float32]
    confidence: NDArray[np.float32]

    @property
    def success(self) -> NDArray[np.bool_]:
        """Whether a face was found, (T,)."""
        return self.confidence > 0


Finder = Callable[[NDArray[np.uint8]], Sequence[Face]]
"""Finds faces in a grey picture (H, W)."""


def available() -> bool:
    """Return whether the extra is installed; nothing is imported to find out."""
    return importlib.util.find_spec("dlib") is not None and _model_file() is not None


def require_detector() -> tuple[str, Path]:
    """Return the library's name and version, and the file of the model.

    Raises
    ------
    DetectorUnavailable
        If the extra is not installed.
    """
    model = _model_file()
    if model is None or importlib.util.find_spec("dlib") is None:
        raise DetectorUnavailable(
            f"landmarks are found by dlib and its 68-point model, which are not installed; {INSTALL}, or run "
            "OpenFace's FeatureExtraction on the videos"
        )
    import dlib

    return f"dlib {dlib.__version__}", model


def detect_landmarks(frames: Tensor | Iterable[Tensor], *, finder: Finder | None = None) -> Detected:
    """Find the landmarks of the one face that a video is of.

    Every frame is looked at by itself, so that the result does not depend on how a video is cut into blocks; which of
    several faces counts is decided at the end, see `repro.data.face_detection.surest_path`.

    Parameters
    ----------
    frames : Tensor, (T, 3, H, W) uint8, or iterable of such
        A video, or blocks of one in order, such as `repro.data.video.iter_frames` gives.
    finder : callable, optional
        Finds the faces of a frame; that of dlib if not given.

    Returns
    -------
    Detected
        All NaN if no face is found.

    Raises
    ------
    DetectorUnavailable
        If no `finder` is given and the extra is not installed.
    ValueError
        If frames are not of this shape and type.
    """
    find = dlib_finder() if finder is None else finder
    numbers: list[int] = []
    faces: list[Face] = []
    count = 0
    for block in [frames] if isinstance(frames, Tensor) else frames:
        if block.ndim != 4 or block.shape[1] != 3 or block.dtype != torch.uint8:
            raise ValueError(f"frames must be (T, 3, H, W) uint8, got {tuple(block.shape)} {block.dtype}")
        for frame in block.numpy():
            found = find(_grey(frame))
            faces += found
            numbers += [count] * len(found)
            count += 1
    landmarks = np.full((count, N_LANDMARKS, 2), np.nan, np.float32)
    confidence = np.zeros(count, np.float32)
    squares = np.array([(*face.square, face.score - LEAST_SCORE) for face in faces]).reshape(-1, 4)
    path = surest_path(np.array(numbers, dtype=np.int64), squares)
    if any(faces[index].score >= 0 for index in path):
        for index in path:
            landmarks[numbers[index]] = faces[index].points
            confidence[numbers[index]] = 1 / (1 + np.exp(-faces[index].score))
    return Detected(landmarks, confidence)


@cache
def dlib_finder() -> Finder:
    """Load dlib's detector and model, once in a process: they take 0.7 s and 100 MB.

    Raises
    ------
    DetectorUnavailable
        If the extra is not installed.
    """
    return _DlibFinder(require_detector()[1])


class _DlibFinder:
    """Finds faces and their landmarks in a grey picture."""

    def __init__(self, model: Path) -> None:
        import dlib

        self._rectangle: Any = dlib.rectangle
        self._detector: Any = dlib.get_frontal_face_detector()
        self._model: Any = dlib.shape_predictor(str(model))

    def __call__(self, picture: NDArray[np.uint8]) -> list[Face]:
        height, width = picture.shape
        scale = min(DETECTION_SIDE / min(height, width), LONGEST_SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(picture, size, interpolation=method), dtype=np.uint8)
        boxes, scores, _ = self._detector.run(small, 0, LEAST_SCORE)
        faces = []
        for box, score in zip(boxes, scores, strict=True):
            rough = (_parts(self._model(small, box)) + 0.5) / scale - 0.5
            square = (box.left() + 0.5) / scale - 0.5, (box.top() + 0.5) / scale - 0.5, box.width() / scale
            faces.append(Face(square, float(score), self._refine(picture, rough)))
        return faces

    def _refine(self, picture: NDArray[np.uint8], rough: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn the face upright by its eyes and average over `SQUARES`."""
        matrix, side = upright(rough)
        face = np.asarray(cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)
        found = np.zeros((N_LANDMARKS, 2))
        for factor, right, down in SQUARES:
            centre = (side - 1) / 2 + MODEL_PIXELS * np.array([right, down])
            low, high = centre - factor * MODEL_PIXELS / 2, centre + factor * MODEL_PIXELS / 2
            corners = np.round([*low, *high]).astype(int).tolist()
            found += _parts(self._model(face, self._rectangle(*corners))) / len(SQUARES)
        return np.asarray(np.linalg.solve(matrix[:, :2], (found - matrix[:, 2]).T).T, dtype=np.float64)


def upright(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Return the transform to a picture of the upright face, and that picture's side.

    Parameters
    ----------
    points : ndarray, (68, 2)
        In pixels; only the corners of the eyes count.

    Returns
    -------
    matrix : ndarray, (2, 3)
        Takes ``(x, y, 1)`` of the frame to the picture.
    side : int
        In pixels: the model's square has `MODEL_PIXELS` and lies in the middle.
    """
    left, right = eye_centres(points[None])[0]
    across = right - left
    distance = max(float(np.hypot(*across)), 1.0)  # the model never says so, but eyes that coincide have no direction
    x, y = across / distance
    turn = np.array([[x, y], [-y, x]])
    centre = (left + right) / 2 + MODEL_CENTRE * distance * turn[1]
    side = round((1 + 2 * _MARGIN) * MODEL_PIXELS)
    linear = turn * MODEL_PIXELS / (MODEL_SIDE * distance)
    return np.column_stack([linear, (side - 1) / 2 - linear @ centre]), side


def _grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = np.ascontiguousarray(frame.transpose(1, 2, 0))
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _parts(shape: Any) -> NDArray[np.float64]:
    return np.array([(part.x, part.y) for part in shape.parts()], dtype=np.float64)


def _model_file() -> Path | None:
    """Find the model in the package that ships it, which is not imported: that needs setuptools."""
    package = importlib.util.find_spec("face_recognition_models")
    folders = [] if package is None else package.submodule_search_locations or []
    files = [Path(folder) / "models" / _MODEL for folder in folders]
    return next((file for file in files if file.is_file()), None)
