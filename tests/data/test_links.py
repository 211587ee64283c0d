"""Links: followed, told where they lead nowhere, and never walked in circles."""

from __future__ import annotations

import pytest

from repro.data import DataError
from repro.data.links import broken_links, list_linked, walk_files


def test_links_count_as_what_they_lead_to(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "file").write_text("")
    inside.mkdir()
    for name in ("folder", "file"):
        (inside / name).symlink_to(outside / name)
    (inside / "gone").symlink_to(outside / "gone")
    (inside / "self").symlink_to("self")
    folders, files = list_linked(inside)
    assert [entry.name for entry in folders] == ["folder"]
    assert [entry.name for entry in files] == ["file", "gone", "self"]
    gone, own = broken_links(files)
    assert str(gone) == f"{inside}/gone: is a link that leads nowhere; mount or copy what it leads to, or remove it"
    assert str(own).startswith(f"{inside}/self: ")


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match="none: cannot be read"):
        list_linked(tmp_path / "none")


def test_walking_follows_links_and_ends(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "b" / "c", root / ".hidden", outside):
        folder.mkdir(parents=True)
        (folder / "x.csv").write_text("")
    for name in ("a.csv", "a.txt", "._a.csv"):
        (root / name).write_text("")
    (root / "b" / "up").symlink_to("..")
    (root / "b" / "again").symlink_to("c")
    (root / "own").symlink_to(".")
    (root / "out").symlink_to(outside)
    (root / "gone").symlink_to("nowhere")
    found = [path[len(str(root)) + 1 :] for path in walk_files(root, ".csv")]
    assert found == ["a.csv", "b/again/x.csv", "out/x.csv"]  # b/again and b/c are one folder
