"""Links in a dataset: followed wherever the user made them lead, but not in circles and not into nothing.

Large datasets are spread over disks, and a folder of links is how they are put together: a link may lead out of the
root. A path that a CSV file names may not, since nobody made it on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from repro.data.files import is_stray, list_folder, unreadable
from repro.data.schema import DataError


def list_linked(path: str | os.PathLike[str]) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """Return the folders and the files in a folder, each sorted by name, without stray files.

    Links count as what they lead to, and as files if they lead nowhere.

    Raises
    ------
    DataError
        If the folder cannot be read.
    """
    try:
        return list_folder(path)
    except OSError as error:
        raise unreadable(path, error) from error


def broken_links(files: list[os.DirEntry[str]]) -> list[DataError]:
    """Return an error for each link that leads nowhere or to itself: where folders are expected it stood for one."""
    return [
        DataError(f"{entry.path}: is a link that leads nowhere; mount or copy what it leads to, or remove it")
        for entry in files
        if entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110
    ]


def walk_files(folder: str | os.PathLike[str], ending: str) -> Iterator[str]:
    """Yield the paths of files with an ending at any depth, sorted in each folder, without stray files.

    Links to folders are followed; a folder that was met before, so a link to one above, is not entered again.
    """
    seen: set[tuple[int, int]] = set()
    for here, below, names in os.walk(folder, followlinks=True):
        status = os.stat(here)  # noqa: PTH116 - beside os.walk
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below[:] = sorted(name for name in below if not is_stray(name))
        yield from (f"{here}/{name}" for name in sorted(names) if name.endswith(ending) and not is_stray(name))
