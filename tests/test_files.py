"""Files appear whole or not at all, also on a disk that is full."""

import errno
import os
import pickle

import pytest

from repro import files
from repro.files import CannotWrite, check_writable, write_atomically


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, where):
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"before")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "fsync":
        monkeypatch.setattr(files.os, "fsync", full)
    elif where == "write":
        monkeypatch.setattr(files.os, "fdopen", full)
    else:
        monkeypatch.setattr(files.Path, "replace", full)
    with pytest.raises(CannotWrite, match="free some space") as told:
        write_atomically(path, b"after")
    assert told.value.errno == errno.ENOSPC and str(path) in str(told.value)
    monkeypatch.undo()
    assert path.read_bytes() == b"before" and [one.name for one in path.parent.iterdir()] == ["file"]


def test_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="cannot be written"):
        write_atomically(tmp_path / "file" / "below", b"")


def test_the_error_is_a_value_error_and_can_be_pickled():
    error = files.cannot_write("place", OSError(errno.EROFS, "Read-only file system"))
    assert isinstance(error, ValueError) and "name a folder that can be written to" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_folders_that_can_be_made_are_writable(tmp_path):
    check_writable(tmp_path / "a" / "b", "--out")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="--out"):
        check_writable(tmp_path / "file" / "b", "--out")
