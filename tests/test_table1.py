"""Table 1 counts what is given, and else the simulated data, which are called so."""

import argparse
import csv
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from repro.__main__ import EXPERIMENTS
from repro.data import Exclusion, open_dataset
from repro.data.accounting import Account
from repro.suite import characteristics
from repro.suite.characteristics import Quantity, main, pain_share
from repro.suite.command import COMPLETE, INCOMPLETE, INTERRUPTED, USAGE, add_options, parsed
from repro.suite.published import published
from repro.suite.tabulate import COLUMNS
from repro.table1 import TABLE

QUANTITIES = [column for column in TABLE.columns if isinstance(column, Quantity)]


@pytest.fixture(autouse=True)
def unnamed(monkeypatch):
    for name in ("UNBC", "BIOVID"):
        monkeypatch.delenv(f"REPRO_{name}", raising=False)


def run(place, *more):
    common = ["--scale", "smoke", "--out", str(place), "--store", str(place / "store"), "--quiet"]
    return main(TABLE, [*common, *more])


def frame(place, data="simulated"):
    return pd.read_csv(place / "tables" / data / "table1.csv")


def cells(text):
    """Return the cells of a Markdown table, the line under its header left out."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return [line for number, line in enumerate(lines) if number != 1]


def write_unbc(root, sequences):
    """Write sequences of grey frames with these levels."""
    for video, levels in sequences.items():
        images, labels = root / "Images" / video, root / "Frame_Labels" / "PSPI" / video
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for index, level in enumerate(levels, 1):
            stem = f"{images.name}{index:03d}"
            cv2.imwrite(str(images / f"{stem}.png"), np.full((8, 8, 3), 40 + index, np.uint8))
            (labels / f"{stem}_facs.txt").write_text(f"   {level:.7e}\n")
    return root


def test_every_published_number_has_its_row_and_every_row_its_number():
    rows = published()
    assert set(rows.table) <= set(EXPERIMENTS) and not rows.duplicated(["table", "row", "column"]).any()
    ours = rows[rows.table == "table1"]
    declared = {(label, column.label) for label in TABLE.rows.values() for column in QUANTITIES if column.published}
    assert {tuple(row) for row in ours[["row", "column"]].itertuples(index=False)} == declared
    assert list(ours.value) == [25, 200, 16, 87, 8700, 5] and ours.source.str.startswith("Table 1").all()


def test_simulated_data_is_counted_and_called_so(tmp_path, capsys):
    assert run(tmp_path) == COMPLETE
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "tables/simulated/table1.md").read_text()
    header, unbc, biovid = cells(printed)
    assert header[:9] == [
        "Dataset", "Subjects", "Subjects, paper", "Videos", "Videos, paper", "Stimuli", "Classes", "Classes, paper",
        "Frames",
    ]  # fmt: skip
    assert unbc[:6] == ["UNBC-McMaster", "10", "25", "20", "200", "Shoulder Pain"] and unbc[7] == "16"
    assert biovid[:9] == ["BioVid (Part A)", "8", "87", "40", "8,700", "Induced Heat", "5", "5", "2,400"]
    assert biovid[9:] == ["80.0", "0"]
    assert "SIMULATED data: only the paper's numbers count the real datasets." in printed
    assert printed.count("simulated, scale 'smoke': planned, not on disk") == 2
    assert not (tmp_path / "store").exists(), "nothing is simulated in order to be counted"


def test_the_tidy_file_has_the_columns_of_all_tables(tmp_path):
    assert run(tmp_path) == COMPLETE
    rows = frame(tmp_path)
    assert list(rows.columns) == list(COLUMNS) and len(rows) == 2 * len(QUANTITIES)
    assert set(rows["data"]) == {"simulated"} and set(rows["scale"]) == {"smoke"} and set(rows.experiment) == {"table1"}
    assert rows.paper.notna().sum() == 6 and (rows.cells_done == rows.cells_total).all()
    share = rows[(rows.row == "BioVid (Part A)") & (rows.metric == "share")]
    assert share.value.item() == 80


def test_latex_has_a_macro_for_each_number(tmp_path):
    assert run(tmp_path) == COMPLETE
    text = (tmp_path / "tables/simulated/table1.tex").read_text()
    macros = re.findall(r"^\\newcommand\{\\([A-Za-z]+)\}\{(.*)\}$", text, re.M)
    assert len({name for name, _ in macros}) == len(macros) == 2 * len(QUANTITIES)
    assert dict(macros)["TableOneBioVidPartAFrames"] == "2,400"
    assert all(text.count(rf"\{name}{{}}") == 1 for name, _ in macros) and r"\toprule" in text
    (columns,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == 3 and {line.count(" & ") + 1 for line in body} == {len(columns)}


def test_provenance(tmp_path):
    assert run(tmp_path) == COMPLETE
    record = json.loads((tmp_path / "tables/simulated/table1.json").read_text())
    assert {"versions", "commit", "hardware", "command", "suite", "seconds"} <= set(record)
    unbc = record["data"]["unbc"]
    assert unbc["simulated"] and unbc["planned"] and unbc["fingerprint"] is None and unbc["excluded"] == []
    assert unbc["simulation"]["n_subjects"] == 10 and unbc["simulation"]["generator"]
    assert unbc["published"][0] == {
        "quantity": "subjects", "subject": "", "level": None, "found": 10, "published": 25.0,
        "source": "Lucey et al., FG 2011: subjects in the distributed archive", "agrees": None,
    }  # fmt: skip


def test_given_data_is_counted_and_never_mixed_with_simulated(tmp_path, capsys):
    sequences = {"042-ll042/ll042t1aaaff": [0, 0, 4, 12], "043-jh043/jh043t1aaaff": [0, 1]}
    root = write_unbc(tmp_path / "unbc", sequences)
    (root / "Images/043-jh043/jh043t1aaaff/jh043t1aaaff002.png").unlink()
    assert run(tmp_path, "--unbc", str(root)) == INCOMPLETE
    printed = capsys.readouterr()
    _, unbc, biovid = cells(printed.out)
    assert unbc == ["UNBC-McMaster", "1", "25", "1", "200", "Shoulder Pain", "3", "16", "4", "50.0", "1"]
    assert biovid[1:6] == ["–", "87", "–", "8,700", "Induced Heat"]
    assert "SIMULATED" not in printed.out and "BioVid (Part A) was not given" in printed.out
    assert "UNBC-McMaster, left out: 043-jh043/jh043t1aaaff: " in printed.out and "--biovid DIR" in printed.err
    assert not (tmp_path / "tables/simulated").exists()
    rows = frame(tmp_path, "licensed")
    assert list(rows.groupby("row").cells_done.max()) == [0, 1] and rows.value.isna().sum() == len(QUANTITIES)
    data = json.loads((tmp_path / "tables/licensed/table1.json").read_text())["data"]
    assert set(data) == {"unbc"} and len(data["unbc"]["fingerprint"]) == 64 and len(data["unbc"]["excluded"]) == 1


def test_given_simulated_data_is_still_called_simulated(tmp_path, capsys):
    root = write_unbc(tmp_path / "unbc", {"042-ll042/ll042t1aaaff": [0, 2]})
    (root / "SIMULATED.json").write_text("{}")
    assert run(tmp_path, "--unbc", str(root)) == INCOMPLETE
    assert "SIMULATED data" in capsys.readouterr().out
    assert (tmp_path / "tables/simulated/table1.csv").is_file() and not (tmp_path / "tables/licensed").exists()


def test_many_exclusions_are_told_in_the_json(monkeypatch, tmp_path, capsys):
    rows = tuple(Exclusion("video", f"v{index}", "gone") for index in range(14))
    lost = {name: Account(name, False, dict.fromkeys(counts, 0), {0: 0}, excluded=rows) for name, counts in COUNTS}
    monkeypatch.setattr(characteristics, "_accounts", lambda table, options, session: lost)
    assert run(tmp_path) == COMPLETE
    printed = capsys.readouterr().out
    assert printed.count("left out: v") == 20 and printed.count("left out: 4 more, listed in table1.json") == 2
    assert len(json.loads((tmp_path / "tables/licensed/table1.json").read_text())["data"]["unbc"]["excluded"]) == 14
    assert pd.isna(frame(tmp_path, "licensed").value).sum() == 2, "no frames, no share"


COUNTS = (("unbc", ("subjects", "sequences", "frames")), ("biovid", ("subjects", "videos", "frames")))


def test_a_session_opens_what_is_counted(tmp_path):
    root = write_unbc(tmp_path / "unbc", {"042-ll042/ll042t1aaaff": [0, 4]})
    opened = []

    class Opening:
        def dataset(self, name, root, *, given):
            opened.append((name, root, given))
            return open_dataset(name, root)

    parser = argparse.ArgumentParser()
    add_options(parser)
    options = parsed(parser, ["--unbc", str(root), "--out", str(tmp_path), "--store", str(tmp_path / "store")])
    assert characteristics.run_characteristics(TABLE, options, Opening()) == INCOMPLETE, "BioVid was not given"
    assert opened == [("unbc", root, True)]


def test_pain_share_counts_frames():
    found = Account("unbc", False, {"subjects": 1, "sequences": 1, "frames": 48398}, {}, frames_above_zero=8369)
    assert pain_share(found) == pytest.approx(0.173, abs=5e-4)
    assert np.isnan(pain_share(replace(found, counts=found.counts | {"frames": 0})))


def test_exit_statuses(monkeypatch, tmp_path, capsys):
    assert run(tmp_path, "--unbc", str(tmp_path / "nowhere")) == USAGE
    assert "nowhere" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert run(tmp_path, "--out", str(tmp_path / "file")) == USAGE
    assert run(tmp_path, "--mode", "plan") == COMPLETE
    assert "2 datasets to count" in capsys.readouterr().out and not (tmp_path / "tables").exists()

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(characteristics, "_accounts", interrupt)
    assert run(tmp_path) == INTERRUPTED


def test_the_same_counts_give_the_same_bytes(tmp_path):
    assert run(tmp_path) == run(tmp_path / "again") == COMPLETE
    for suffix in (".csv", ".md", ".tex"):
        first, second = (place / f"tables/simulated/table1{suffix}" for place in (tmp_path, tmp_path / "again"))
        assert first.read_bytes() == second.read_bytes()
    assert len(list(csv.reader((tmp_path / "tables/simulated/table1.csv").open()))) == 1 + 2 * len(QUANTITIES)
