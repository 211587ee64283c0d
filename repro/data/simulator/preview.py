"""Previews: a few seconds of one person, moving or as a strip, with the pain of each frame."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from repro.data.simulator.actor import Actor
from repro.data.simulator.behaviour import Script
from repro.data.simulator.domain import Domain
from repro.data.simulator.planning import SequenceSpec, plan
from repro.data.simulator.render import Performance
from repro.data.simulator.truth import replay
from repro.files import write_atomically

GIF_BYTES = 1_000_000
"""Most bytes of a moving preview."""
_VIDEOS = {"unbc": 8, "biovid": 20}
"""Sequences of each person to choose from."""
_PEOPLE = 12
"""People to choose from."""
_STRIP = 10
"""Frames of a strip."""
_EVERY = 2
"""Of so many frames a moving preview shows one: 12.5 in a second."""
_COLOURS = (128, 96, 64, 48, 32)
_TOP = 16
"""Largest PSPI."""
_INK, _PAIN, _PALE, _PAPER = (70, 70, 70), (60, 60, 200), (170, 170, 235), (255, 255, 255)


@dataclass(frozen=True)
class Stretch:
    """Some seconds of a sequence.

    Attributes
    ----------
    spec : SequenceSpec
    script : Script
        Of the whole sequence.
    start, stop : int
        First frame, and the one after the last.
    """

    spec: SequenceSpec
    script: Script
    start: int
    stop: int

    @property
    def pspi(self) -> np.ndarray:
        """PSPI of its frames."""
        return self.script.pspi[self.start : self.stop]


def strongest(
    domain: Domain, subject: int | None, seconds: float, *, seed: int = 0, sequence: int | None = None
) -> Stretch:
    """Return the stretch with the strongest pain, of those that begin without pain if there are any.

    Of stretches with the same highest PSPI it is the first of those with the most pain in all.

    Parameters
    ----------
    domain : Domain
    subject : int or None
        Number of the person, from 0; None searches the first twelve.
    seconds : float
        Length; a shorter sequence is taken whole if there is no other.
    seed : int
    sequence : int, optional
        Number of the sequence, from 0; the first ones of a person (8 of UNBC, 20 of BioVid) are searched by default.

    Returns
    -------
    Stretch

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if min(subject or 0, sequence or 0) < 0:
        raise ValueError(f"subject and sequence must be at least 0, got {subject} and {sequence}")
    length = round(seconds * domain.fps)
    if length < _STRIP:
        raise ValueError(
            f"seconds={seconds:g} are {length} frames; ask for at least {_STRIP}, that is {_STRIP / domain.fps:g} s"
        )
    specs = plan(
        domain,
        _PEOPLE if subject is None else subject + 1,
        _VIDEOS[domain.name] if sequence is None else sequence + 1,
        seed,
    )
    specs = [
        spec
        for spec in specs
        if (subject is None or spec.subject_index == subject) and (sequence is None or spec.index == sequence)
    ]
    best, most = None, (False, False, -1, -1)
    for spec, script in replay(domain, specs, seed):
        windows = np.lib.stride_tricks.sliding_window_view(script.pspi, min(length, spec.n_frames))
        calm, peak, pain = windows[:, 0] == 0, windows.max(axis=1), windows.sum(axis=1)
        # The last key counts most; of equals the stable sort keeps the order, so that the search runs backwards.
        at = len(windows) - 1 - int(np.lexsort((pain[::-1], peak[::-1], calm[::-1]))[-1])
        found = windows.shape[1] == length, bool(calm[at]), int(peak[at]), int(pain[at])
        if found > most:
            most, best = found, Stretch(spec, script, at, at + windows.shape[1])
    assert best is not None
    return best


def film(domain: Domain, stretch: Stretch, frames: Sequence[int], size: int, *, seed: int = 0) -> list[np.ndarray]:
    """Render frames of a stretch, numbered from its start, as (H, W, 3) uint8 BGR; `size` is their height."""
    actor = Actor(domain, seed, stretch.spec.subject_index, size)
    shot = actor.shot(stretch.spec)
    at = stretch.start + np.asarray(frames)
    whole = stretch.script.performance
    part = Performance(whole.activation[at], whole.lids[at], whole.gaze[at], whole.angles[at], whole.move[at])
    return [shot.expose(image) for image in actor.person.render(part, shot.background, shot.pose)]


def write_preview(
    out: Path,
    domain: Domain,
    *,
    subject: int | None = None,
    sequence: int | None = None,
    seconds: float = 5.0,
    size: int = 128,
    seed: int = 0,
) -> None:
    """Write a preview of a simulated person.

    Parameters
    ----------
    out : Path
        ``.gif`` for a moving one of 12.5 frames a second and less than a megabyte, ``.png`` for a strip of ten frames.
        Below the frames stands the PSPI.
    domain : Domain
    subject, sequence, seconds, seed
        As for `strongest`.
    size : int
        Height of a frame in pixels.

    Raises
    ------
    ValueError
        If a number is out of range, or the file can be neither of these.
    """
    if out.suffix not in (".gif", ".png"):
        raise ValueError(f"{out}: a preview is a .gif (moving) or a .png (a strip of frames); give such a name")
    if not out.parent.is_dir():
        raise ValueError(f"{out}: {out.parent} is no folder; create it before")
    stretch = strongest(domain, subject, seconds, seed=seed, sequence=sequence)
    if out.suffix == ".png":
        code = cv2.imencode(".png", strip(domain, stretch, size, seed=seed))[1].tobytes()
    else:
        code = _gif(moving(domain, stretch, size, seed=seed), 1000 * _EVERY / domain.fps, out)
    write_atomically(out, code)


def strip(domain: Domain, stretch: Stretch, size: int, *, seed: int = 0) -> np.ndarray:
    """Return ten frames side by side over the course of the PSPI, uint8 BGR."""
    n = len(stretch.pspi)
    # Each stands in the middle of its tenth, so that the curve below is aligned with the frames.
    frames = ((np.arange(_STRIP) + 0.5) * n / _STRIP).astype(int)
    row = np.hstack(film(domain, stretch, frames.tolist(), size, seed=seed))
    labels = np.full((18, row.shape[1], 3), _PAPER, np.uint8)
    for k, f in enumerate(frames):
        _write(labels, f"{f / domain.fps:.1f} s: {stretch.pspi[f]}", k * row.shape[1] // _STRIP + 4)
    curve = _curve(stretch.pspi, row.shape[1], max(40, size // 3))
    return np.vstack([row, labels, curve, _caption(domain, stretch, row.shape[1])])


def moving(domain: Domain, stretch: Stretch, size: int, *, seed: int = 0) -> list[np.ndarray]:
    """Return every second frame over the course of the PSPI so far, uint8 BGR."""
    frames = range(0, len(stretch.pspi), _EVERY)
    images = film(domain, stretch, frames, size, seed=seed)
    width = images[0].shape[1]
    return [
        np.vstack([image, _curve(stretch.pspi, width, max(24, size // 5), now=f)])
        for f, image in zip(frames, images, strict=True)
    ]


def _curve(pspi: np.ndarray, width: int, height: int, *, now: int | None = None) -> np.ndarray:
    """Draw the PSPI of each frame as columns up to 16; what comes after `now` is pale."""
    panel = np.full((height, width, 3), _PAPER, np.uint8)
    frame = np.arange(width) * len(pspi) // width
    columns = np.rint(pspi[frame] / _TOP * (height - 3)).astype(int)
    filled = np.arange(height)[::-1, None] < 1 + columns
    later = np.zeros(width, bool) if now is None else frame > now
    panel[filled & ~later] = _PAIN
    panel[filled & later] = _PALE
    return panel


def _caption(domain: Domain, stretch: Stretch, width: int) -> np.ndarray:
    title = {"unbc": "UNBC-McMaster-like", "biovid": "BioVid-like"}[domain.name]
    text = f"Simulated, {title}: {stretch.spec.name}, PSPI of each frame (columns, of {_TOP} at most)"
    line = np.full((20, width, 3), _PAPER, np.uint8)
    _write(line, text, 4)
    return line


def _write(image: np.ndarray, text: str, x: int) -> None:
    cv2.putText(image, text, (x, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _INK, 1, cv2.LINE_AA)


def _gif(images: list[np.ndarray], milliseconds: float, out: Path) -> bytes:
    """Encode with as many colours as fit into the limit."""
    from PIL import Image

    pictures = [Image.fromarray(np.ascontiguousarray(image[..., ::-1])) for image in images]
    # One palette for all of them, so that colours do not flicker.
    sample = Image.fromarray(np.ascontiguousarray(np.vstack(images[::6])[..., ::-1]))
    for colours in _COLOURS:
        palette = sample.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        frames = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
        code = io.BytesIO()
        frames[0].save(
            code, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=False
        )
        if code.tell() < GIF_BYTES:
            return code.getvalue()
    raise ValueError(
        f"{out}: {len(images)} frames of {images[0].shape[1]} x {images[0].shape[0]} pixels do not fit into "
        f"{GIF_BYTES:,} bytes; ask for fewer --seconds or a smaller --size"
    )
