"""The file at a root that tells simulated data from the real, and what they were simulated with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from repro.files import write_atomically

MARKER = "SIMULATED.json"
"""File at the root that tells simulated data from the real."""


def check_root(root: Path, wanted: Mapping[str, object], n_subjects: int, videos: int | None) -> None:
    """Check that a simulation may be written to a root: a new or empty folder, or one that may be continued.

    Parameters
    ----------
    root : Path
    wanted, n_subjects, videos
        As for `check_marker`.

    Raises
    ------
    ValueError
        If the root is a file, holds something else than a simulation, or one that may not be continued.
    """
    marker = root / MARKER
    if marker.exists():
        check_marker(marker, wanted, n_subjects, videos)
    elif root.exists() and not root.is_dir():
        raise ValueError(f"{root}: is a file; give a new or empty folder")
    elif root.is_dir() and any(entry.name[0] != "." for entry in root.iterdir()):
        raise ValueError(
            f"{root}: holds files without {MARKER}; give a new or empty folder, so that simulated and other data do "
            "not mix"
        )


def check_marker(marker: Path, wanted: Mapping[str, object], n_subjects: int, videos: int | None) -> None:
    """Check that a root may be continued with these parameters: it may grow but not change.

    Parameters
    ----------
    marker : Path
    wanted : mapping of str to object
        Parameters, as JSON would return them.
    n_subjects : int
    videos : int or None
        Videos of each subject; None for as many as in the real dataset.

    Raises
    ------
    ValueError
        If the marker cannot be read, tells of other parameters or of more subjects or videos.
    """
    try:
        found = json.loads(marker.read_text())
        subjects, of_each = int(found["n_subjects"]), found["videos_per_subject"]
        of_each = of_each if of_each is None else int(of_each)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{marker}: cannot be read ({error}); remove the folder and simulate again") from error
    differing = [key for key, value in wanted.items() if found.get(key) != value]
    if (of_each is None) != (videos is None):
        differing.append("videos_per_subject")
    if differing:
        raise ValueError(
            f"{marker}: written with another {', '.join(differing)}; give an empty folder or remove this one"
        )
    if subjects > n_subjects or (of_each is not None and videos is not None and of_each > videos):
        count = "the real number of" if videos is None else str(videos)
        before = "the real number of" if of_each is None else str(of_each)
        raise ValueError(
            f"{marker}: holds {subjects} subjects x {before} videos, more than the {n_subjects} x {count} "
            "asked for; give another folder"
        )


def write_marker(root: Path, content: Mapping[str, object]) -> None:
    """Write the marker of a root, in place at once."""
    write_atomically(root / MARKER, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
