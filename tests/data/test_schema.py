"""The registry of readers, and what holds for every dataset."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from repro.data import READERS, DataError, DatasetUnavailable, Exclusion, VideoError, open_dataset
from repro.data.files import Digest


def test_unknown_name_lists_the_names(tmp_path):
    with pytest.raises(ValueError, match="no dataset 'unbs'; choose one of unbc, biovid, vggface2, manifest"):
        open_dataset("unbs", tmp_path)


def test_unknown_option_lists_the_options(tmp_path):
    with pytest.raises(ValueError, match="biovid has no option openfaces; its options are exclude_nonre.*, openface"):
        open_dataset("biovid", tmp_path, openfaces=tmp_path)
    with pytest.raises(ValueError, match="unbc has no option splits; it has none"):
        open_dataset("unbc", tmp_path, splits=("test",))


@pytest.mark.parametrize("name", READERS)
def test_every_reader_says_how_to_go_on(name, tmp_path):
    with pytest.raises(DatasetUnavailable, match=rf"^{name}: expected .*does not exist\. "):
        open_dataset(name, tmp_path / "none")


def test_errors_are_value_errors():
    assert issubclass(DatasetUnavailable, ValueError) and issubclass(DataError, ValueError)
    assert issubclass(VideoError, DataError)


def test_exclusions_unpack_and_compare():
    row = Exclusion("video", "a.mp4", "damaged")
    what, file, reason = row
    assert (what, file, reason) == ("video", "a.mp4", "damaged")
    assert row == Exclusion(*row) and len({row, Exclusion(*row)}) == 1


def test_digest_tells_names_from_contents_and_large_files_by_their_ends(tmp_path):
    def digest(name: str, content: bytes) -> str:
        (tmp_path / "f").write_bytes(content)
        one = Digest()
        one.file(name, tmp_path / "f")
        return one.hexdigest()

    large = bytes(100_000)
    seen = {
        digest("a", b"bc"),
        digest("ab", b"c"),
        digest("a", b"bd"),
        digest("a", large),
        digest("a", large + b"\0"),
        digest("a", b"\1" + large[1:]),
        digest("a", large[1:] + b"\1"),
    }
    assert len(seen) == 7
    assert digest("a", large) == digest("a", large)


def test_readers_are_imported_when_used():
    script = (
        "import sys, repro.data\n"
        "heavy = "
        "{'pandas', 'datasets', 'sklearn', 'cvxpy', 'matplotlib', 'repro.data.unbc', 'repro.data.biovid'}\n"
        "found = heavy & set(sys.modules)\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
