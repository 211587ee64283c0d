"""Turn video files into SSD images: ``python -m repro.distill clip.mp4 -o clip.png``.

Each video is decoded in sequence and distilled as it is read, in memory for two segments whatever its length.
One line a video goes to standard output: frames decoded, number of segments, and where the image was written.
The exit status is 0 if every video has its image, 1 if one has not, 2 if the command line is wrong.
"""

# ruff: noqa: T201  (a command prints)
from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from repro.data.video import iter_frames, probe
from repro.files import write_atomically
from repro.ssd import Distiller
from repro.ssd.checks import DOMAINS

CHUNK = 8
"""Frames decoded at a time: enough to keep the decoder busy, few beside the two segments in memory."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        _distiller(options)
        outputs = output_files(options.videos, options.output)
    except ValueError as error:
        parser.error(str(error))
    failed = 0
    for video, output in outputs.items():
        try:
            stream = distill_file(video, _distiller(options), resize=options.resize, strict=not options.lenient)
            write_atomically(output, encode_png(stream.image()))
        except (ValueError, OSError) as error:
            failed += 1
            message = str(error)
            print(message if message.startswith(str(video)) else f"{video}: {message}", file=sys.stderr)
            continue
        print(f"{video}: {stream.n_frames} frames, {stream.n_segments} segments -> {output}", flush=True)
    if failed and len(outputs) > 1:
        print(f"{failed} of {len(outputs)} videos have no image", file=sys.stderr)
    return 1 if failed else 0


def distill_file(
    video: Path, stream: Distiller, *, resize: tuple[int, int] | None = None, strict: bool = True
) -> Distiller:
    """Decode a video into a stream.

    Parameters
    ----------
    video : Path
        Any video file that OpenCV reads.
    stream : Distiller
        Takes in the frames.
    resize : (height, width), optional
        Each frame is resized to it first, bilinear with antialiasing.
    strict : bool
        Whether a number of decoded frames that differs from the declared one is an error or a warning.

    Returns
    -------
    Distiller
        `stream`, which now holds the whole video.

    Raises
    ------
    ValueError
        If the video cannot be decoded (`repro.data.video.VideoError`) or its frames are too small.
    """
    declared = probe(video).n_frames
    with tqdm(total=declared or None, desc=video.name, unit="frame", leave=False, disable=None) as progress:
        for frames in iter_frames(video, chunk=CHUNK, strict=strict):
            stream.update(frames if resize is None else _resized(frames, resize))
            progress.update(len(frames))
    return stream


def output_files(videos: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Decide where each video's image goes; no two videos share a file.

    Parameters
    ----------
    videos : sequence of Path
        A video that is named twice counts once.
    output : Path
        A ``.png`` file, for one video only, or a folder. In a folder an image has the video's stem as its
        name; videos that would share one use the file's whole name, then that of its folders as well.

    Returns
    -------
    dict
        Video -> image, in the order of `videos`.

    Raises
    ------
    ValueError
        If several videos go into one file, or `output` is a file that is not a ``.png``.
    """
    distinct = list({video.resolve(): video for video in videos}.values())
    if output.suffix.lower() == ".png" and not output.is_dir():
        if len(distinct) > 1:
            raise ValueError(f"{output}: one image cannot hold {len(distinct)} videos; give a folder with -o")
        return {distinct[0]: output}
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: is neither a folder nor a .png file; give one of them with -o")
    return dict(zip(distinct, (output / f"{name}.png" for name in _unique_names(distinct)), strict=True))


def encode_png(image: Tensor) -> bytes:
    """Encode an image (3, H, W) uint8 RGB as PNG."""
    bgr = np.ascontiguousarray(image.numpy()[::-1].transpose(1, 2, 0))
    return cv2.imencode(".png", bgr)[1].tobytes()


def _unique_names(videos: Sequence[Path]) -> list[str]:
    """Return the shortest of stem, file name, folder-file name, ... that tells each video from the others."""
    candidates = []
    for video in videos:
        parts = video.resolve().parts[1:]
        candidates.append([video.stem, *("-".join(parts[-n:]) for n in range(1, len(parts) + 1))])
    level = [0] * len(videos)
    while True:
        names = [names[at] for names, at in zip(candidates, level, strict=True)]
        # Some file systems do not tell upper from lower case.
        counts = Counter(name.casefold() for name in names)
        clashing = [at for at, name in enumerate(names) if counts[name.casefold()] > 1]
        longer = [at for at in clashing if level[at] + 1 < len(candidates[at])]
        if not longer:
            break
        for at in longer:
            level[at] += 1
    if clashing:  # folders and files whose names differ only in where a "-" or a "/" is
        names = [f"{name}-{at}" if at in clashing else name for at, name in enumerate(names)]
    return names


def _resized(frames: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(frames, size=size, mode="bilinear", antialias=True)


def _size(text: str) -> tuple[int, int]:
    """Parse ``224`` or ``180x320``, height before width."""
    try:
        numbers = [int(number) for number in text.lower().split("x")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; give SIZE or HEIGHTxWIDTH, such as 224 or 180x320")
    return numbers[0], numbers[-1]


def _distiller(options: argparse.Namespace) -> Distiller:
    return Distiller(
        options.segment_length,
        window=options.window,
        depth=options.depth,
        noise_variance=options.noise_variance,
        center=options.center,
        domain=options.domain,
        normalize=options.normalize,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m repro.distill",
        description="Distil each video into one image (Statistical Spatiotemporal Distillation).",
    )
    add = parser.add_argument
    add("videos", nargs="+", type=Path, metavar="VIDEO", help="any video file that OpenCV reads")
    add(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="OUT",
        help="a folder; or a .png file for one video",
    )
    add(
        "--segment-length",
        type=int,
        default=20,
        metavar="L",
        help="frames in a segment (default %(default)s)",
    )
    add("--window", type=int, default=5, help="neighbourhood's side in pixels, odd (default %(default)s)")
    add("--depth", type=int, default=1, help="neighbourhood's depth in frames, odd (default %(default)s)")
    add(
        "--noise-variance",
        type=float,
        default=0.4,
        metavar="V",
        help="variance of the noise in squared grey levels (default %(default)s)",
    )
    add("--no-center", dest="center", action="store_false", help="neighbourhoods keep their mean")
    add("--domain", choices=DOMAINS, default="rms", help="what is aggregated (default %(default)s)")
    add(
        "--normalize",
        choices=("joint", "channel"),
        default="joint",
        help="min-max over all channels together or over each (default %(default)s)",
    )
    add("--resize", type=_size, metavar="SIZE", help="resize frames first: SIZE or HEIGHTxWIDTH")
    add("--lenient", action="store_true", help="take what can be decoded of a damaged video")
    return parser


if __name__ == "__main__":
    sys.exit(main())
