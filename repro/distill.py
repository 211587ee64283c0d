"""Turn video files into SSD images: ``python -m repro.distill clip.mp4 -o clip.png``.

Each video is decoded in sequence and distilled as it is read, in memory for two segments whatever its length.
One line a video goes to standard output: frames decoded, number of segments, and where the image was written.
The exit status is 0 if every video has its image, 1 if one has not, 2 if the command line is wrong.

``--camera 0`` shows the image in a window as it grows, beside the camera's picture; ``--live OUT.mp4`` (or ``.gif``,
``.png``) records that, from a camera or from a file (`repro.live`).
"""

# ruff: noqa: T201  (a command prints)
from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from repro.data.stored_images import encode_png
from repro.data.video import iter_frames, probe
from repro.files import write_atomically
from repro.live import SUFFIXES, Camera, Sink, Window, recorder, watch
from repro.ssd import Distiller
from repro.ssd.checks import DOMAINS

CHUNK = 8
"""Frames decoded at a time: enough to keep the decoder busy, few beside the two segments in memory."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as of all commands."""

UNTIMED_FPS = 25.0
"""Frames per second of a recording of a video that declares none."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        _distiller(options)
        _check_sources(options)
        outputs = output_files(options.videos or [Path(_source(options))], options.output) if options.output else {}
    except ValueError as error:
        parser.error(str(error))
    try:
        if options.camera is not None or options.live:
            return _live(options, next(iter(outputs.values()), None))
        return _distill_all(options, outputs)
    except KeyboardInterrupt:
        print("distill: interrupted; images that were told of are whole", file=sys.stderr)
        return INTERRUPTED


def _distill_all(options: argparse.Namespace, outputs: dict[Path, Path]) -> int:
    failed = 0
    for video, output in outputs.items():
        try:
            stream = distill_file(video, _distiller(options), resize=options.resize, strict=not options.lenient)
            write_atomically(output, encode_png(stream.image()))
        except (ValueError, OSError) as error:
            failed += 1
            _complain(str(video), error)
            continue
        print(f"{video}: {stream.n_frames} frames, {stream.n_segments} segments -> {output}", flush=True)
    if failed and len(outputs) > 1:
        print(f"{failed} of {len(outputs)} videos have no image", file=sys.stderr)
    return 1 if failed else 0


def _live(options: argparse.Namespace, output: Path | None) -> int:
    """Show or record one source; `output`, if any, receives its last image."""
    source = _source(options)
    try:
        stream = _watch(options)
        if output is not None:
            write_atomically(output, encode_png(stream.image()))
    except (ValueError, OSError) as error:
        _complain(source, error)
        return 1
    written = " and ".join(str(path) for path in (options.live, output) if path is not None)
    print(f"{source}: {stream.n_frames} frames, {stream.n_segments} segments{written and f' -> {written}'}", flush=True)
    return 0


def _watch(options: argparse.Namespace) -> Distiller:
    with ExitStack() as stack:
        sink: Sink
        if options.live is None:  # before the camera's light goes on
            sink = stack.enter_context(Window())
        if options.camera is None:
            info = probe(options.videos[0])
            fps, frames = info.fps or UNTIMED_FPS, _file_frames(options, info.n_frames)
        else:
            camera = stack.enter_context(Camera(options.camera))
            fps, frames = camera.fps, camera.frames()
        if options.live is not None:
            sink = stack.enter_context(recorder(options.live, fps))
        if options.resize is not None:
            frames = (_resized(frame[None], options.resize)[0] for frame in frames)
        stream = watch(islice(frames, options.frames), lambda: _distiller(options), sink, wait=options.camera is None)
        if options.live is not None or options.output is not None:
            stream.require_map()
    return stream


def _file_frames(options: argparse.Namespace, declared: int) -> Iterator[Tensor]:
    video = options.videos[0]
    with tqdm(total=declared or None, desc=video.name, unit="frame", leave=False, disable=None) as progress:
        for block in iter_frames(video, chunk=CHUNK, strict=not options.lenient):
            for frame in block:
                yield frame
                progress.update()


def _source(options: argparse.Namespace) -> str:
    return f"camera {options.camera}" if options.camera is not None else str(options.videos[0])


def _complain(source: str, error: Exception) -> None:
    message = str(error)
    print(message if message.startswith(source) else f"{source}: {message}", file=sys.stderr)


def _check_sources(options: argparse.Namespace) -> None:
    """Raise a ValueError unless the command line names sources and outputs that go together."""
    live = options.live
    if bool(options.videos) == (options.camera is not None):
        raise ValueError("give either a VIDEO, or several, or --camera N")
    if options.camera is None and live is None and options.output is None:
        raise ValueError("give a folder or a .png file with -o, or a film to record with --live")
    if options.frames is not None and options.camera is None and live is None:
        raise ValueError("--frames goes with --camera or --live; a VIDEO without them is distilled as a whole")
    if live is None:
        return
    if live.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{live}: --live writes {', '.join(SUFFIXES)}; give a file with one of these suffixes")
    if live.is_dir():
        raise ValueError(f"{live}: is a folder; give a file with --live")
    if len(options.videos) > 1:
        raise ValueError(f"{live}: one recording cannot hold {len(options.videos)} videos; give one VIDEO with --live")
    taken = [path.resolve() for path in (*options.videos, options.output) if path is not None]
    if live.resolve() in taken:
        raise ValueError(f"{live}: --live would overwrite the VIDEO or what -o writes; give another name")


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
    if output.suffix.lower() in (".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp") and not output.is_dir():
        raise ValueError(f"{output}: images are written as .png, without loss; give such a name, or a folder")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: is neither a folder nor a .png file; give one of them with -o")
    return dict(zip(distinct, (output / f"{name}.png" for name in _unique_names(distinct)), strict=True))


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


def _index(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no camera; give its number, 0 for the first")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of frames; give 1 or more")
    return int(text)


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
    add("videos", nargs="*", type=Path, metavar="VIDEO", help="any video file that OpenCV reads")
    add(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        help="a folder; or a .png file for one video",
    )
    add(
        "--camera",
        type=_index,
        metavar="N",
        help="take the frames of a camera, the first is 0, and show them in a window",
    )
    add("--live", type=Path, metavar="OUT", help="record how the image grows in a film .mp4, a .gif, or a strip .png")
    add("--frames", type=_count, metavar="N", help="stop a camera or a recording after N frames")
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
