"""Command line: ``python -m repro.data.simulator {unbc,biovid,vggface2} DIR``, or ``{sheet,preview} FILE``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from repro.data.simulator.archive import REAL_SUBJECTS
from repro.data.simulator.dataset import simulate
from repro.data.simulator.domain import DOMAINS

_COUNTS = {"unbc": (12, 8), "biovid": (12, 20), "vggface2": (36, 24)}
"""Subjects, and videos or stills of each, when none are asked for."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m repro.data.simulator",
        description="Simulate face videos with pain, and stills of faces.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (subjects, videos) in _COUNTS.items():
        command = commands.add_parser(name, help=f"write a dataset in the layout of {name}")
        command.add_argument("dir", type=Path)
        command.add_argument(
            "--subjects", type=int, default=None if name in DOMAINS else subjects, help=f"default {subjects}"
        )
        count = command.add_mutually_exclusive_group()
        count.add_argument("--videos", type=int, default=videos, help="sequences, videos or stills of each subject")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--size", type=int, default=None, help="height of a frame, or median of stills, in pixels")
        if name in DOMAINS:
            command.add_argument(
                "--frames", type=int, default=None, help="median frames of a sequence (unbc), of a video (biovid)"
            )
            count.add_argument(
                "--real-counts",
                action="store_true",
                help="as many sequences of each subject, and as long, as in the real dataset, which has "
                f"{REAL_SUBJECTS[name]} subjects; --subjects asks for the first of them",
            )
        command.add_argument("--jobs", type=int, default=1)
    command = commands.add_parser("sheet", help="write a contact sheet of faces and action units")
    command.add_argument("out", type=Path)
    command.add_argument("--size", type=int, default=192)
    command.add_argument("--subjects", type=int, default=4, help="people of each domain")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--yaw", type=float, default=0.0, help="turn of the heads in radians")
    command.add_argument(
        "--intensities", action="store_true", help="show intensities 0 and A to E of each action, a person a row"
    )
    command = commands.add_parser("preview", help="write some seconds of a person, .gif (moving) or .png (a strip)")
    command.add_argument("out", type=Path)
    command.add_argument("--domain", choices=DOMAINS, required=True)
    command.add_argument("--subject", type=int, default=None, help="number from 0 (default: the strongest of twelve)")
    command.add_argument("--sequence", type=int, default=None, help="number from 0 (default: the strongest pain)")
    command.add_argument("--seconds", type=float, default=5.0)
    command.add_argument("--size", type=int, default=128, help="height of a frame in pixels")
    command.add_argument("--seed", type=int, default=0)
    return parser


class _Meter:
    """Prints progress and the time left on stderr."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.start = time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        # What was there already says nothing about speed.
        if self.first is None:
            self.first = done
        spent, new = time.monotonic() - self.start, done - self.first
        left = f", {spent / new * (total - done):.0f} s left" if new else ""
        sys.stderr.write(f"\r{done}/{total} {self.what}{left}   ")
        sys.stderr.flush()


def _sheet(options: argparse.Namespace) -> None:
    import cv2

    from repro.data.simulator.sheet import contact_sheet, intensity_sheet

    if options.subjects < 1:
        raise ValueError(f"--subjects {options.subjects}: a sheet shows at least 1 person")
    if options.out.suffix.lower() not in (".png", ".jpg") or not options.out.parent.is_dir():
        raise ValueError(f"{options.out}: cannot be written; give a .png or .jpg in an existing folder")
    if options.intensities:
        image = intensity_sheet(options.size, seed=options.seed, yaw=options.yaw)
    else:
        image = contact_sheet(options.size, subjects=options.subjects, seed=options.seed, yaw=options.yaw)
    if not cv2.imwrite(str(options.out), image):
        raise ValueError(f"{options.out}: cannot be written; give a .png or .jpg in an existing folder")


def _preview(options: argparse.Namespace) -> None:
    from repro.data.simulator.preview import write_preview

    write_preview(
        options.out,
        DOMAINS[options.domain],
        subject=options.subject,
        sequence=options.sequence,
        seconds=options.seconds,
        size=options.size,
        seed=options.seed,
    )


def _stills(options: argparse.Namespace) -> None:
    from repro.data.simulator.stills import simulate_stills

    simulate_stills(
        options.dir,
        n_identities=options.subjects,
        stills_per_identity=options.videos,
        seed=options.seed,
        size=options.size,
        jobs=options.jobs,
        progress=_Meter("stills"),
    )
    sys.stderr.write("\n")


def _videos(options: argparse.Namespace) -> None:
    name, subjects = options.command, options.subjects
    if subjects is None:
        subjects = REAL_SUBJECTS[name] if options.real_counts else _COUNTS[name][0]
    simulate(
        DOMAINS[name],
        options.dir,
        n_subjects=subjects,
        videos_per_subject=None if options.real_counts else options.videos,
        seed=options.seed,
        size=options.size,
        frames=options.frames,
        jobs=options.jobs,
        progress=_Meter("frames"),
    )
    sys.stderr.write("\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status (0 done, 2 wrong usage, 130 interrupted)."""
    options = _parser().parse_args(arguments)
    commands = {"sheet": _sheet, "preview": _preview, "vggface2": _stills}
    try:
        commands.get(options.command, _videos)(options)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; what is written is kept: run the same command to go on\n")
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
