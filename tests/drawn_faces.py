"""Small clips of drawn faces, with landmarks, that all tests of supervised systems share."""

from dataclasses import dataclass

import numpy as np
import torch

from repro.data.clips import cut
from repro.data.encoding import InputSpec
from repro.data.face_sequence import face_sequences
from repro.data.features import ClipSet
from repro.data.schema import Dataset, VideoRecord

SIZE = 48
"""Side of the drawn frames and of the pictures, in pixels."""

FRAMES = 24
"""Frames of a clip; with segments of 6 it has three maps."""


def face_points():
    """Return 68 points of a frontal face about (0, 0.65), the eyes at (-0.5, 0) and (0.5, 0)."""
    around = np.linspace(0, 2 * np.pi, 7)[:-1]
    jaw = [(1.1 * np.sin(a), 0.5 + 1.2 * np.cos(a)) for a in np.linspace(-np.pi / 2, np.pi / 2, 17)]
    brows = [
        (x, -0.35 - 0.06 * (1 - abs(abs(x) - 0.5) * 3))
        for x in (*np.linspace(-0.8, -0.2, 5), *np.linspace(0.2, 0.8, 5))
    ]
    nose = [(0, y) for y in np.linspace(0.05, 0.57, 4)] + [(x, 0.68) for x in np.linspace(-0.2, 0.2, 5)]
    eyes = [(side + 0.18 * -np.cos(a), 0.07 * -np.sin(a)) for side in (-0.5, 0.5) for a in around]
    outer = [(-0.41 * np.cos(a), 1.15 - 0.14 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 13)[:-1]]
    inner = [(-0.3 * np.cos(a), 1.15 - 0.05 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 9)[:-1]]
    return np.array([*jaw, *brows, *nose, *eyes, *outer, *inner])


@dataclass(frozen=True)
class DrawnFace(VideoRecord):
    """A face of a tone of its own; in the middle of the video it lowers its brows and opens its mouth by its level."""

    level: int = 0
    marked: bool = True

    def pulse(self):
        """Strength of the expression in each frame, 0..1."""
        return np.sin(np.linspace(0, np.pi, self.n_frames)) ** 2 * self.level / 3

    def landmarks(self):
        if not self.marked:
            return None
        points = np.repeat(face_points()[None], self.n_frames, 0)
        pulse = self.pulse()[:, None]
        points[:, 17:27, 1] += 0.2 * pulse
        points[:, 54:60, 1] += 0.25 * pulse
        random = np.random.default_rng(len(self.video) + self.level)
        sway = 0.04 * np.sin(np.arange(self.n_frames) / 4)[:, None, None] * (1, 0)
        noise = random.normal(0, 0.004, points.shape)
        return ((points + sway + noise - (0, 0.65)) * SIZE / 3 + SIZE / 2).astype(np.float32)

    def frames(self):
        generator = np.random.default_rng(sum(self.subject.encode()))
        base = generator.integers(90, 160, (3, 1, 1)) + generator.normal(0, 4, (3, SIZE, SIZE))
        noise = np.random.default_rng(sum(self.video.encode())).normal(0, 2, (self.n_frames, 3, SIZE, SIZE))
        video = base[None] + noise
        down = np.round(self.pulse() * 0.2 * SIZE / 3).astype(int)
        rows = [(SIZE / 2 + (y - 0.65) * SIZE / 3) for y in (-0.38, 1.12)]
        for t in range(self.n_frames):
            brow, mouth = int(rows[0]) + down[t], int(rows[1])
            video[t, :, brow : brow + 2, 12:36] -= 60
            video[t, :, mouth : mouth + 2 + 2 * down[t], 18:30] -= 50
        return torch.from_numpy(np.clip(video, 0, 255).round().astype(np.uint8))


def drawn_clips(kind="RGB", *, subjects=4, per_subject=6, levels=4, marked=True, known=True, quiet=()):
    """Return a `ClipSet`, levels and groups; `known` gives frame levels, `quiet` names subjects without pain."""
    records = []
    for s in range(subjects):
        for v in range(per_subject):
            name = f"s{s}"
            level = 0 if name in quiet else (s + v) % levels
            rise = np.round(np.sin(np.linspace(0, np.pi, FRAMES)) ** 2 * level).astype(np.int64)
            records.append(DrawnFace(name, f"{name}/v{v}", FRAMES, rise, 25.0, level=level, marked=marked))
    data = Dataset("unbc", "nowhere", records, content="0", n_levels=levels, labels_of_frames=known)
    clips, _ = cut(data, length=None, level="max")
    spec = InputSpec(kind, size=SIZE, segment_length=6, flow="dis")
    sequences = [s for r, c in zip(records, clips, strict=True) for s in face_sequences(r, [c], spec).sequences]
    frame_levels = [r.levels for r in records] if known else None
    return (
        ClipSet.of_sequences(sequences, frame_levels),
        np.array([c.level for c in clips]),
        np.array([c.subject for c in clips]),
    )


def drawn_sequences(kind="RGB", marked=True):
    """Return one clip of each level 0..3 of one subject."""
    spec = InputSpec(kind, size=SIZE, segment_length=6, flow="dis")
    found = []
    for level in range(4):
        record = DrawnFace("s0", f"s0/v{level}", FRAMES, np.full(FRAMES, level), 25.0, level=level, marked=marked)
        clips, _ = cut(Dataset("unbc", "nowhere", [record], content="0", n_levels=4), length=None)
        found += face_sequences(record, clips, spec).sequences
    return found
