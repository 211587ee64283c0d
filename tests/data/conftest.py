"""Writers of tiny datasets in the real layouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

H, W = 24, 32

SEQUENCES = {
    "042-ll042/ll042t1aaaff": [0, 1, 5, 12, 16],
    "042-ll042/ll042t2aeaff": [0, 0, 3, 0],
    "043-jh043/jh043t1aaaff": [2, 2, 0],
    "123-jh123/jh123t1aaaff": [0, 4, 4, 0],
}
"""PSPI of each frame of each sequence; two subjects share their initials."""


def coded_units(level: int) -> dict[int, int]:
    """Intensities of action units whose PSPI is `level`: AU43, then AU4, AU7 (beside a lower AU6), AU10."""
    units: dict[int, int] = {}
    if level % 5 == 1:
        units[43] = 1
        level -= 1
    for unit in (4, 7, 10):
        if level:
            units[unit] = min(level, 5)
            level -= units[unit]
    if 7 in units:
        units[6] = units[7] - 1
    return units


def face_points(index: int, count: int = 66) -> np.ndarray:
    return np.stack([np.arange(count) * 0.25 + index, np.arange(count) * 0.125 + 0.5], axis=1)


def write_unbc(root: Path, sequences: Mapping[str, Sequence[int]] = SEQUENCES, *, nested: bool = False) -> Path:
    """Write the archive; frame k of a sequence is grey of value 10 + k, but for a red left column."""

    def folder(*names: str) -> Path:
        path = root
        for name in names:
            path = path / name / name if nested else path / name
        return path

    for video, levels in sequences.items():
        subject, sequence = video.split("/")
        images = folder("Images") / video
        points = folder("AAM_landmarks") / video
        pspi = folder("Frame_Labels") / "PSPI" / video
        facs = folder("Frame_Labels") / "FACS" / video
        for path in (images, points, pspi, facs):
            path.mkdir(parents=True)
        for index, level in enumerate(levels):
            stem = f"{sequence}{index + 1:03d}"
            image = np.full((H, W, 3), 10 + index, np.uint8)
            image[:, 0] = (0, 0, 255)
            cv2.imwrite(str(images / f"{stem}.png"), image)
            rows = (f"   {x:.7e}   {y:.7e}\n" for x, y in face_points(index))
            (points / f"{stem}_aam.txt").write_text("".join(rows))
            (pspi / f"{stem}_facs.txt").write_text(f"   {level:.7e}\n")
            coded = "".join(f" {u:.7e} {i:.7e} 0.0000000e+00 0.0000000e+00\n" for u, i in coded_units(level).items())
            (facs / f"{stem}_facs.txt").write_text(coded)
        for rating, value in {"AFF": 7, "OPR": 2, "SEN": 6, "VAS": 4}.items():
            path = folder("Sequence_Labels") / rating / subject / f"{sequence}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"   {value:.7e}\n")
    return root


def write_video(path: Path, n_frames: int = 6, codec: str = "mp4v", noisy: bool = False) -> Path:
    """Write frames of one grey each, 20 k, or noise that compresses badly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25.0, (W, H))
    assert writer.isOpened()
    random = np.random.default_rng(0)
    for index in range(n_frames):
        grey = np.full((H, W, 3), 20 * index % 256, np.uint8)
        writer.write(random.integers(0, 256, (H, W, 3)).astype(np.uint8) if noisy else grey)
    writer.release()
    return path


def write_openface(path: Path, n_frames: int = 6, *, blank: str = " ") -> Path:
    """Write OpenFace's CSV: point p of frame k at (p + k, 2 p); frame 3 has failed, with zeros."""
    names = ["frame", "face_id", "timestamp", "confidence", "success", "gaze_0_x"]
    names += [f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"]
    names += [f"x_{p}" for p in range(68)] + [f"y_{p}" for p in range(68)] + ["AU04_r", "AU45_r", "AU04_c", "AU45_c"]
    lines = [", ".join(names) if blank else ",".join(names)]
    for index in range(n_frames):
        ok = index != 2
        values: list[float] = [index + 1, 0, index / 25, 0.98 if ok else 0.0, int(ok), 0.1, *range(1, 7)]
        values += [(p + index) * ok for p in range(68)] + [2 * p * ok for p in range(68)] + [1.5, 0.5, 1, 0]
        lines.append((f",{blank}").join(f"{value:g}" for value in values))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def write_biovid(
    root: Path,
    subjects: Sequence[str] = ("071309_w_21", "082315_w_60"),
    *,
    samples: bool = True,
    openface: bool = False,
) -> Path:
    """Write two videos of each class, of 6 and 7 frames, in Part A."""
    rows = ["subject_id\tsubject_name\tclass_id\tclass_name\tsample_id\tsample_name"]
    for subject_id, subject in enumerate(subjects, 1):
        for level, name in enumerate(("BL1", "PA1", "PA2", "PA3", "PA4")):
            for take in (0, 1):
                sample = f"{subject}-{name}-{(81 if name == 'BL1' else 1) + take:03d}"
                write_video(root / "PartA" / "video" / subject / f"{sample}.mp4", 6 + take)
                rows.append(f"{subject_id}\t{subject}\t{level}\t{name}\t{len(rows)}\t{sample}")
                if openface:
                    write_openface(root / "OpenFace" / subject / f"{sample}.csv", 6 + take)
    if samples:
        path = root / "PartA" / "starting_point" / "samples.csv"
        path.parent.mkdir()
        path.write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def make_unbc(tmp_path: Path) -> Callable[..., Path]:
    return lambda *args, name="unbc", **kwargs: write_unbc(tmp_path / name, *args, **kwargs)


@pytest.fixture
def make_biovid(tmp_path: Path) -> Callable[..., Path]:
    return lambda *args, name="biovid", **kwargs: write_biovid(tmp_path / name, *args, **kwargs)


@pytest.fixture
def make_video() -> Callable[..., Path]:
    return write_video


@pytest.fixture
def make_openface() -> Callable[..., Path]:
    return write_openface
