"""Figures are drawn where their data, code or files changed, and only there."""

import json
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot

from repro.files import CannotWrite
from repro.suite import drawn
from repro.suite.drawn import digest_of, write_figure

FRAME = pd.DataFrame({"x": [1.0, 2.0], "data": "simulated"})


def plot(shown):
    figure, axis = pyplot.subplots()
    axis.plot(shown.x, shown.x)
    return figure


plot.__module__ = "repro.suite.figures.example"  # as if it were the suite's own


@pytest.fixture
def drawings(monkeypatch):
    """What was drawn, by the plots' names."""
    made, render = [], drawn.render

    def counted(plot, shown, frame):
        made.append(getattr(plot, "__qualname__", "?"))
        return render(plot, shown, frame)

    monkeypatch.setattr(drawn, "render", counted)
    return made


def contents(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_what_is_there_stays(tmp_path, drawings):
    written = write_figure(plot, FRAME, FRAME, tmp_path, "a")
    assert [path.name for path in written] == ["a.pdf", "a.png", "a.csv", "a.json"]
    before = contents(tmp_path)
    assert write_figure(plot, FRAME.copy(), FRAME.copy(), tmp_path, "a") == written
    assert contents(tmp_path) == before and drawings == ["plot"]


@pytest.mark.parametrize("file", ["a.pdf", "a.png", "a.csv", "a.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_file_is_drawn_again(tmp_path, drawings, file, damage):
    write_figure(plot, FRAME, FRAME, tmp_path, "a")
    before = {name: content for name, (content, _) in contents(tmp_path).items()}
    place = tmp_path / file
    if damage == "missing":
        place.unlink()
    else:
        place.write_bytes(before[file][: len(before[file]) // 2] if damage == "cut" else b"[1, 2]")
    write_figure(plot, FRAME, FRAME, tmp_path, "a")
    assert {name: content for name, (content, _) in contents(tmp_path).items()} == before
    assert drawings == ["plot"] * 2


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: FRAME.assign(x=[1.0, 2.0000000000000004]),
        lambda patch: patch.setattr(drawn, "hash_of_code", lambda: "of other code"),
        lambda patch: patch.setattr(drawn, "version", lambda library: "3.0"),
        lambda patch: patch.setattr(plot, "__qualname__", "other"),
    ],
    ids=["a number", "the code", "a library", "the plot"],
)
def test_what_changed_is_drawn_again(tmp_path, drawings, monkeypatch, change):
    write_figure(plot, FRAME, FRAME, tmp_path, "a")
    changed = change(monkeypatch)
    frame = FRAME if changed is None else changed
    write_figure(plot, frame, frame, tmp_path, "a")
    assert len(drawings) == 2


def test_pictures_of_other_things_are_other_figures_though_their_numbers_are_equal(tmp_path, drawings):
    for shown in (torch.zeros(2), torch.ones(2)):
        write_figure(picture, shown, FRAME, tmp_path, "a")
    assert len(drawings) == 2


def picture(shown):
    return pyplot.figure()


picture.__module__ = "repro.suite.figures.example"


def foreign(shown):
    return pyplot.figure()


@pytest.mark.parametrize("unknown", [foreign, partial(picture), lambda shown: pyplot.figure()])
def test_of_code_that_is_not_the_suites_nothing_is_known(tmp_path, drawings, unknown):
    for _ in range(2):
        write_figure(unknown, FRAME, FRAME, tmp_path, "a")
    assert len(drawings) == 2 and json.loads((tmp_path / "a.json").read_text())["drawn_from"] is None


def test_a_run_that_ended_between_two_files_is_no_trap(tmp_path, drawings, monkeypatch):
    """The record is written last, and holds for the files of its own run only."""
    write_figure(plot, FRAME, FRAME, tmp_path, "a")
    before = {name: content for name, (content, _) in contents(tmp_path).items()}
    write = drawn.write_atomically

    def full(path, content):
        if path.suffix == ".csv":
            raise CannotWrite(f"{path}: the disk is full")
        write(path, content)

    other = FRAME.assign(x=[3.0, 4.0])
    with monkeypatch.context() as patch:
        patch.setattr(drawn, "write_atomically", full)
        with pytest.raises(CannotWrite, match="full"):
            write_figure(plot, other, other, tmp_path, "a")
    for _ in range(2):
        write_figure(plot, FRAME, FRAME, tmp_path, "a")
    assert {name: content for name, (content, _) in contents(tmp_path).items()} == before
    assert len(drawings) == 3


@dataclass
class Point:
    x: object


@dataclass
class Place:
    x: object


def test_digests_tell_values_apart():
    values = [
        None, True, 1, 1.0, "1", b"1", "", b"", [], [[]], ["1"], ["1", "1"], ["11"],
        {"1": 1}, ["1", 1], {"1": 1, "2": None}, np.zeros(2), np.zeros(2, np.float32),
        np.zeros((2, 1)), np.ones(2), np.float64(1), np.int64(1),
        Point(1), Place(1), Point(2), FRAME, FRAME.assign(x=[1, 2]), FRAME.rename(columns={"x": "y"}),
    ]  # fmt: skip
    assert len({digest_of(value) for value in values}) == len(values)
    equal = [torch.arange(6).view(2, 3).T, np.arange(6).reshape(2, 3).T.copy(), torch.arange(6).view(2, 3).T.clone()]
    assert len({digest_of(value) for value in equal}) == 1
    assert digest_of((1, 2)) == digest_of([1, 2])


@pytest.mark.parametrize("value", [object(), np.array([None]), {1, 2}, Point])
def test_what_cannot_be_hashed_is_refused(value):
    with pytest.raises(TypeError, match="cannot be hashed"):
        digest_of([value])
