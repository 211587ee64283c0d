"""Writes sequences in the layouts of UNBC-McMaster and of BioVid.

A sequence is first written to a temporary folder in the root and then moved into place; its pictures are moved last,
so that a sequence whose pictures are there is complete.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from repro.data.simulator.behaviour import Script
from repro.data.simulator.coding import CODED
from repro.data.simulator.landmarks import UNBC_66
from repro.data.simulator.planning import CLASSES

_OPENFACE_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""Action units of which OpenFace estimates the intensity; of AU28 it tells the presence alone."""
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]


def _replace(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def unbc_done(root: Path, subject: str, sequence: str) -> bool:
    """Return whether a sequence is complete."""
    return (root / "Images" / subject / sequence).is_dir()


def write_unbc(
    root: Path,
    subject: str,
    sequence: str,
    images: Iterable[np.ndarray],
    landmarks: np.ndarray,
    script: Script,
    ratings: dict[str, float],
) -> None:
    """Write one sequence in UNBC's layout.

    Parameters
    ----------
    root : Path
    subject, sequence : str
        Such as ``042-ll042`` and ``ll042t1aaaff``.
    images : iterable of ndarray (H, W, 3) uint8 BGR
    landmarks : ndarray, shape (F, 68, 2)
    script : Script
    ratings : dict of str to float
        AFF, OPR, SEN, VAS of the sequence.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    work = root / f".partial-{subject}-{sequence}-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    places = {
        "images": Path("Images") / subject / sequence,
        "aam": Path("AAM_landmarks") / subject / sequence,
        "facs": Path("Frame_Labels") / "FACS" / subject / sequence,
        "pspi": Path("Frame_Labels") / "PSPI" / subject / sequence,
    }
    for name in places:
        (work / name).mkdir(parents=True)
    points = landmarks[:, list(UNBC_66)]
    base = {name: f"{work}/{name}/{sequence}" for name in places}
    for f, image in enumerate(images):
        number = f"{f + 1:03d}"
        _encode(f"{base['images']}{number}.png", image)
        _write(f"{base['aam']}{number}_aam.txt", _ROWS_66 % tuple(points[f].ravel().tolist()))
        _write(f"{base['facs']}{number}_facs.txt", _facs(script.codes[f]))
        _write(f"{base['pspi']}{number}_facs.txt", f"   {script.pspi[f]:.7e}\n")
    for rating, value in ratings.items():
        target = root / "Sequence_Labels" / rating / subject / f"{sequence}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = work / f"{rating}.txt"
        temporary.write_text(f"   {value:.7e}\n")
        temporary.replace(target)
    for name in ("aam", "facs", "pspi", "images"):
        _replace(work / name, root / places[name])
    work.rmdir()


_ROWS_66 = "   %.7e   %.7e\n" * 66


def _encode(path: str, image: np.ndarray) -> None:
    ok, code = cv2.imencode(".png", image, _PNG)
    if not ok:
        raise OSError(f"{path}: OpenCV could not encode a PNG of shape {image.shape}")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        os.write(handle, code.tobytes())
    finally:
        os.close(handle)


def _facs(row: np.ndarray) -> str:
    return "".join(
        f"   {float(au):.7e}   {float(value):.7e}   0.0000000e+00   0.0000000e+00\n"
        for au, value in zip(CODED, row.tolist(), strict=True)
        if value
    )


def biovid_done(root: Path, subject: str, video: str) -> bool:
    """Return whether a video is complete."""
    return (root / "PartA" / "video" / subject / f"{video}.mp4").is_file()


def write_biovid(
    root: Path,
    subject: str,
    video: str,
    images: Iterable[np.ndarray],
    landmarks: np.ndarray,
    script: Script,
    poses: np.ndarray,
    shape: tuple[int, int],
    fps: float,
) -> None:
    """Write one video in BioVid's layout, and the CSV that OpenFace would write for it.

    Parameters
    ----------
    root : Path
    subject, video : str
        Such as ``071309_w_21`` and ``071309_w_21-BL1-081``.
    images : iterable of ndarray (H, W, 3) uint8 BGR
    landmarks : ndarray, shape (F, 68, 2)
    script : Script
    poses : ndarray, shape (F, 6)
        Translation in millimetres and rotation in radians in the camera's coordinates.
    shape : tuple of int
        Height and width of a frame.
    fps : float

    Raises
    ------
    OSError
        If OpenCV cannot open the video for writing.
    """
    work = root / f".partial-{video}-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    film = work / f"{video}.mp4"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"mp4v"), fps, (shape[1], shape[0]))  # type: ignore[attr-defined]
    if not writer.isOpened():
        raise OSError(f"{film}: this OpenCV cannot write mp4v; install opencv-contrib-python-headless with FFmpeg")
    try:
        for image in images:
            writer.write(image)
    finally:
        writer.release()
    table = work / f"{video}.csv"
    table.write_text(_openface(landmarks, script, poses, fps))
    for source, target in (
        (table, root / "OpenFace" / table.name),
        (film, root / "PartA" / "video" / subject / film.name),
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    work.rmdir()


def _openface(landmarks: np.ndarray, script: Script, poses: np.ndarray, fps: float) -> str:
    """Return the CSV of OpenFace's FeatureExtraction; names after the first carry its leading blank.

    The columns of -2Dfp, -pose and -aus: those of the gaze, of the eyes' landmarks and of the fitted shape are absent.
    """
    present = sorted([*_OPENFACE_AUS, 28])
    names = ["frame", "face_id", "timestamp", "confidence", "success"]
    names += [f"pose_{k}" for k in ("Tx", "Ty", "Tz", "Rx", "Ry", "Rz")]
    names += [f"x_{i}" for i in range(68)] + [f"y_{i}" for i in range(68)]
    names += [f"AU{au:02d}_r" for au in _OPENFACE_AUS] + [f"AU{au:02d}_c" for au in present]
    levels = {**script.levels, "AU45": 5 * script.closure}
    nothing = np.zeros(len(landmarks))
    intensity = {au: levels.get(f"AU{au}", nothing) for au in present}
    row = "%d, 0, %.3f, 0.98, 1" + ", %.3f" * 6 + ", %.2f" * (136 + len(_OPENFACE_AUS)) + ", %d" * len(present)
    values = np.column_stack(
        [
            poses,
            landmarks[..., 0],
            landmarks[..., 1],
            *(intensity[au] for au in _OPENFACE_AUS),
            *(intensity[au] >= 0.5 for au in present),
        ]
    )
    lines = [row % (f + 1, f / fps, *values[f].tolist()) for f in range(len(landmarks))]
    return "\n".join([", ".join(names), *lines]) + "\n"


def write_samples(root: Path, subjects: dict[str, list[tuple[str, int]]]) -> None:
    """Write BioVid's samples.csv for subjects and their (video, class) pairs, in place at once."""
    rows = ["subject_id\tsubject_name\tclass_id\tclass_name\tsample_id\tsample_name"]
    for number, (subject, videos) in enumerate(subjects.items(), 1):
        rows += [
            f"{number}\t{subject}\t{level}\t{CLASSES[level]}\t{k}\t{video}"
            for k, (video, level) in enumerate(videos, 1)
        ]
    target = root / "PartA" / "starting_point" / "samples.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".partial-{os.getpid()}")
    temporary.write_text("\n".join(rows) + "\n")
    temporary.replace(target)
