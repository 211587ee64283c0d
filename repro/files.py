"""Files that appear whole or not at all."""

from __future__ import annotations

import argparse
import errno
import os
import tempfile
from pathlib import Path

__all__ = ["CannotWrite", "cannot_write", "check_folders", "check_writable", "write_atomically"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


class CannotWrite(OSError, ValueError):
    """A file could not be written; what it held before, if anything, is as it was. The message tells what to do."""


def cannot_write(path: Path, error: OSError) -> CannotWrite:
    """Compose the error for a file or folder that the system did not let be written."""
    told = error.strerror or str(error)
    if error.errno in _FULL:
        remedy = "free some space, or name a folder on another disk, and run the same command again"
    elif error.errno in _FORBIDDEN:
        remedy = "name a folder that can be written to"
    else:
        remedy = "look at the disk and run the same command again"
    found = CannotWrite(f"{path} cannot be written ({told}): {remedy}")
    found.errno = error.errno
    return found


def check_writable(folder: Path, option: str) -> None:
    """Refuse a folder that cannot be made or written to, before anything is computed.

    Parameters
    ----------
    folder : path
        May be missing.
    option : str
        By which it was given, to be named.

    Raises
    ------
    ValueError
        Naming the option and what is in the way.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ValueError(f"{option} {folder}: {existing} is not a folder that can be written to; give another")


def check_folders(options: argparse.Namespace) -> None:
    """Refuse an ``--out`` that cannot be written to, and such a ``--store`` unless it is only read.

    Raises
    ------
    ValueError
        As `check_writable` does.
    """
    check_writable(options.out, "--out")
    if options.mode not in ("only-cache", "plan"):
        try:
            check_writable(options.store, "--store")
        except ValueError as error:
            raise ValueError(f"{error}, or show what is there by --mode only-cache") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either all of it or what it held before.

    Raises
    ------
    CannotWrite
        If the disk is full, or the folder cannot be made or written to. No temporary file is left.
    """
    try:
        _write(path, data)
    except OSError as error:
        raise cannot_write(path, error) from error


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
