"""Command line: ``python -m repro.data.simulator {unbc,biovid} DIR`` and ``... sheet OUT.png``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from repro.data.simulator.dataset import simulate
from repro.data.simulator.domain import DOMAINS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m repro.data.simulator", description="Simulate face videos with pain."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (subjects, videos) in {"unbc": (12, 8), "biovid": (12, 20)}.items():
        command = commands.add_parser(name, help=f"write a dataset in the layout of {name}")
        command.add_argument("dir", type=Path)
        command.add_argument("--subjects", type=int, default=subjects)
        command.add_argument("--videos", type=int, default=videos, help="sequences or videos of each subject")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--size", type=int, default=None, help="height of a frame in pixels")
        command.add_argument(
            "--frames", type=int, default=None, help="median frames of a sequence (unbc), frames of a video (biovid)"
        )
        command.add_argument("--jobs", type=int, default=1)
    command = commands.add_parser("sheet", help="write a contact sheet of faces and action units")
    command.add_argument("out", type=Path)
    command.add_argument("--size", type=int, default=192)
    command.add_argument("--subjects", type=int, default=4, help="people of each domain")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--yaw", type=float, default=0.0, help="turn of the heads in radians")
    return parser


class _Meter:
    """Prints progress and the time left on stderr."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        # Sequences that were there already say nothing about speed.
        if self.first is None:
            self.first = done - 1
        spent = time.monotonic() - self.start
        left = spent / max(1, done - self.first) * (total - done)
        sys.stderr.write(f"\r{done}/{total} sequences, {left:.0f} s left   ")
        sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status (0 done, 2 wrong usage)."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "sheet":
            import cv2

            from repro.data.simulator.sheet import contact_sheet

            image = contact_sheet(options.size, subjects=options.subjects, seed=options.seed, yaw=options.yaw)
            if not cv2.imwrite(str(options.out), image):
                raise ValueError(f"{options.out}: cannot be written; give a .png or .jpg in an existing folder")
            return 0
        simulate(
            DOMAINS[options.command],
            options.dir,
            n_subjects=options.subjects,
            videos_per_subject=options.videos,
            seed=options.seed,
            size=options.size,
            frames=options.frames,
            jobs=options.jobs,
            progress=_Meter(),
        )
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stderr.write("\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
