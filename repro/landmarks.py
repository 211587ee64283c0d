"""Find facial landmarks in videos: ``python -m repro.landmarks --biovid DIR -o DIR/OpenFace``, or with video files.

Every video gets a CSV file of its name in OpenFace's layout, with 68 points a frame and without pose and action units.
BioVid has no landmarks of its own: its reader finds a folder ``OpenFace`` beside or in ``PartA``. Files that are there
are kept, so that an interrupted run goes on where it stopped. This needs the extra ``landmarks``; its model was trained
on iBUG 300-W, which excludes commercial use.

The exit status is 0 if every video has its file, 1 if one has not, 2 if options or data cannot be used.
"""

# ruff: noqa: T201  (a command prints)
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from repro.data.face_track import TRUSTED_SHARE
from repro.data.landmark_files import RECORD, count_faces, start_record, write_landmarks
from repro.data.links import walk_files
from repro.data.schema import DatasetUnavailable
from repro.files import check_writable
from repro.suite.command import COMPLETE, INCOMPLETE, INTERRUPTED, TERMINATED, USAGE
from repro.suite.engine import Engine, Task, Terminated, available_cores
from repro.suite.progress import Progress
from repro.suite.where import jobs_within_cores

_SUFFIXES = (".mp4", ".avi", ".mkv")
"""Of BioVid's videos."""

_SECONDS = 5.0
"""Rough seconds that a video of BioVid takes; only weighs the progress bar."""

_SHOWN = 10
"""Videos with few faces that are named."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    progress = Progress("landmarks", visible=not options.quiet)
    try:
        return _run(options, progress)
    except (ValueError, OSError) as error:
        progress.close()
        print(f"landmarks: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt as error:
        progress.close()
        print(f"landmarks: interrupted; files in {options.output} are kept: run it again", file=sys.stderr)
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED


def _run(options: argparse.Namespace, progress: Progress) -> int:
    if bool(options.videos) == (options.biovid is not None):
        raise ValueError("give either a VIDEO, or several, or --biovid DIR")
    outputs = _outputs(_biovid_videos(options.biovid) if options.biovid else options.videos, options.output)
    check_writable(options.output, "-o")
    start_record(options.output)
    tasks = [
        Task(
            id=str(output),
            kind="landmarks",
            label=video.stem,
            cost=_SECONDS,
            function=write_landmarks,
            arguments={"video": str(video), "output": str(output), "strict": not options.lenient},
        )
        for output, video in outputs.items()
        if not output.exists()
    ]
    progress.add(tasks)
    with Engine(options.jobs) as engine:
        failures = engine.run(tasks, progress)
    progress.close()
    for failure in failures:
        print(f"failed: {failure.task.label}\n  {failure.reason}", file=sys.stderr)
    _tell([output for output in outputs if output.exists()], len(tasks) - len(failures), options.output)
    if failures:
        print(f"landmarks: {len(failures)} of {len(outputs)} videos have no file", file=sys.stderr)
    return INCOMPLETE if failures else COMPLETE


def _biovid_videos(root: Path) -> list[Path]:
    """List the videos of Part A.

    Raises
    ------
    DatasetUnavailable
        If there is none.
    """
    part = root / "PartA" if (root / "PartA").is_dir() else root
    videos = [Path(path) for suffix in _SUFFIXES for path in walk_files(part / "video", suffix)]
    if not videos:
        raise DatasetUnavailable(
            f"{root}: no videos such as PartA/video/<subject>/<subject>-BL1-081.mp4; give the folder above PartA"
        )
    return sorted(videos)


def _outputs(videos: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Map CSV files to videos; a video that is named twice counts once.

    Raises
    ------
    ValueError
        If two videos would share a file: a dataset's reader goes by their names.
    """
    outputs: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    for video in {path.resolve(): path for path in videos}.values():
        # Some file systems do not tell upper from lower case.
        other = taken.setdefault(video.stem.casefold(), video)
        if other is not video:
            raise ValueError(f"{video}: would share a CSV file with {other}; give each a folder of its own with -o")
        outputs[folder / f"{video.stem}.csv"] = video
    return outputs


def _tell(files: Sequence[Path], made: int, folder: Path) -> None:
    counts = {file: count_faces(file) for file in files}
    found, frames = (sum(column) for column in zip((0, 0), *counts.values(), strict=True))
    print(f"{len(files)} files, {made} of them new; a face in {found} of {frames} frames -> {folder}")
    few = [file for file, (face, total) in counts.items() if face < TRUSTED_SHARE * total]
    for file in few[:_SHOWN]:
        print(f"  {file.stem}: a face in {counts[file][0]} of {counts[file][1]} frames, too few to align by")
    if len(few) > _SHOWN:
        print(f"  and {len(few) - _SHOWN} more such videos")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m repro.landmarks",
        description="Find 68 facial landmarks in every frame of videos, as CSV files in OpenFace's layout.",
        epilog="Needs pip install 'repro-ssd[landmarks]'. The model was trained on iBUG 300-W, whose licence excludes "
        "commercial use.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("videos", nargs="*", type=Path, metavar="VIDEO", help="any video file that OpenCV reads")
    add("--biovid", type=Path, metavar="DIR", help="all videos of BioVid Part A, in place of VIDEO")
    add(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="FOLDER",
        help=f"for the CSV files and {RECORD}; BioVid's reader looks for OpenFace beside PartA",
    )
    add("--jobs", type=jobs_within_cores, default=available_cores(), metavar="N", help="processes side by side")
    add("--lenient", action="store_true", help="take what can be decoded of a damaged video")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


if __name__ == "__main__":
    sys.exit(main())
