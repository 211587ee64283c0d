"""The harness sees what it is there to see: a store that was tampered with is told from a sound one."""

import json
import os
import random
import shutil

import pytest

pytestmark = pytest.mark.faults


@pytest.fixture
def place(undisturbed, tmp_path):
    shutil.copytree(undisturbed.place, tmp_path, dirs_exist_ok=True)
    return tmp_path


def one(place, pattern):
    return sorted((place / "store").rglob(pattern))[0]


def shorten(path):
    path.write_bytes(path.read_bytes()[:-20])


def rewrite(path, **changed):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


TAMPER = {
    "predictions cut short": lambda place: shorten(one(place, "predictions.npz")),
    "a record cut short": lambda place: shorten(one(place, "result.json")),
    "another network": lambda place: os.truncate(one(place, "network.safetensors"), 1000),
    "another record": lambda place: rewrite(one(place, "result.json"), sha256="0"),
    "an image cut short": lambda place: shorten(one(place, "*.arrow")),
    "a temporary file that can be seen": lambda place: one(place, "result.json").with_name("tmp12").touch(),
    "an entry of another key": lambda place: one(place, "result.json").parent.rename(place / "store" / "00"),
}


@pytest.mark.parametrize("what", TAMPER)
def test_what_is_wrong_is_seen(harness, undisturbed, place, what):
    harness.check_visible(place, undisturbed.files)
    TAMPER[what](place)
    with pytest.raises(harness.Fault):
        harness.check_visible(place, undisturbed.files)


def test_what_a_run_may_leave_is_passed(harness, undisturbed, place):
    """Temporary files, entries that are not there yet, and other seconds."""
    one(place, "result.json").with_name(".result.json.x1").write_text("{")
    shutil.rmtree(one(place, "network.safetensors").parent)
    rewrite(one(place, "result.json"), run={"seconds": 3.0})
    harness.check_visible(place, undisturbed.files)


def test_a_checkpoint_that_does_not_parse_is_seen(harness, undisturbed, place):
    folder = place / "store" / "checkpoints" / "k"
    folder.mkdir(parents=True)
    shutil.copy(one(place, "network.safetensors"), folder / "state.safetensors")
    harness.check_visible(place, undisturbed.files)
    shorten(folder / "state.safetensors")
    with pytest.raises(harness.Fault, match=r"state\.safetensors does not parse"):
        harness.check_visible(place, undisturbed.files)


def test_a_file_that_was_written_again_is_seen(harness, place):
    before = harness.visible(place)
    harness.check_kept(place, before)
    rewrite(one(place, "result.json"), run={"seconds": 3.0})
    with pytest.raises(harness.Fault, match=r"result\.json was there before the fault and is other now"):
        harness.check_kept(place, before)
    one(place, "result.json").unlink()
    with pytest.raises(harness.Fault, match="gone now"):
        harness.check_kept(place, before)


def test_moments_are_spread_over_the_run_and_the_same_each_time(harness):
    moments = harness.moments(50, "a worker killed")
    assert sorted(int(50 * moment) for moment in moments) == list(range(50))
    assert moments == harness.moments(50, "a worker killed") != harness.moments(50, "another")
    assert harness.moments(1, "x") == [random.Random(f"{harness.SEED} x 1").random()]
