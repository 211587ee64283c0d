"""Counts are known from the tiny datasets' writers; all comparisons are exact."""

import csv
import io
import shutil
from dataclasses import replace
from importlib import resources

import pytest

from repro.__main__ import main
from repro.data import Exclusion, open_dataset
from repro.data.accounting import Account, account, compare
from repro.suite.ledgers import describe, write_counts, write_ledger

FIRST = "042-ll042/ll042t1aaaff"


def lenient(name, root):
    return open_dataset(name, root, strict=False)


def published(name):
    """The real dataset's counts as an account, read from the file and not through `compare`."""
    text = resources.files("repro.data").joinpath("published_counts.csv").read_text()
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["dataset"] == name]
    assert all(row["source"] for row in rows)
    assert len({(row["quantity"], row["subject"], row["level"]) for row in rows}) == len(rows)
    totals = {row["quantity"]: int(row["count"]) for row in rows if not row["level"] and not row["subject"]}
    counts = {quantity: totals[quantity] for quantity in list(totals)[:3]}
    histogram = {int(row["level"]): int(row["count"]) for row in rows if row["level"]}
    by_subject = {row["subject"]: {} for row in rows if row["subject"]}
    for row in rows:
        if row["subject"]:
            by_subject[row["subject"]][row["quantity"]] = int(row["count"])
    subjects = {subject: (found["sequences"], found["frames"]) for subject, found in by_subject.items()}
    return Account(name, False, counts, histogram, lengths=real_lengths(name), subjects=subjects)


def real_lengths(name):
    """Lengths with the published extremes, median, and numbers of short and of middling sequences."""
    if name == "biovid":
        return (138,) * 8700
    return (48, *[119] * 14, *[150] * 24, *[200] * 24, *[210] * 36, *[225] * 2, *[300] * 98, 683)


def corrupt_pixels(path):
    """Change bytes amid the compressed pixels: sizes and chunks stay, only decoding tells."""
    content = bytearray(path.read_bytes())
    place = content.index(b"IDAT") + 6
    content[place : place + 8] = b"\xff" * 8
    path.write_bytes(content)


def ledger(out, name, data="licensed"):
    with (out / "tables" / data / f"ledger_{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_unbc_is_counted(make_unbc):
    data = lenient("unbc", make_unbc())
    result = account(data)
    assert result.counts == {"subjects": 3, "sequences": 4, "frames": 16}
    assert result.lengths == (3, 4, 4, 5) and result.frames_above_zero == 9
    assert result.subjects == {"042-ll042": (2, 9), "043-jh043": (1, 3), "123-jh123": (1, 4)}
    assert result.fingerprint == data.fingerprint and not result.planned
    found = {name: result.quantities[name] for name in result.quantities if name not in result.counts}
    assert found == {
        "levels that occur": 8,
        "frames of the shortest sequence": 3,
        "frames of the median sequence": 4,
        "frames of the longest sequence": 5,
        "sequences below 120 frames": 4,
        "sequences of 150 to 200 frames": 0,
    }
    assert result.histogram == dict.fromkeys(range(17), 0) | {0: 7, 1: 1, 2: 2, 3: 1, 4: 2, 5: 1, 12: 1, 16: 1}
    assert (result.simulated, result.data, result.excluded, result.ledger) == (False, "licensed", (), [])


def test_biovid_is_counted_by_video(make_biovid):
    result = account(lenient("biovid", make_biovid()))
    assert result.counts == {"subjects": 2, "videos": 20, "frames": 2 * 5 * (6 + 7)}
    assert result.histogram == dict.fromkeys(range(5), 4)
    assert result.frames_above_zero == 2 * 4 * (6 + 7)


def test_published_counts_add_up():
    unbc, biovid = published("unbc"), published("biovid")
    assert sum(unbc.histogram.values()) == unbc.counts["frames"] == 48398
    assert sorted(unbc.histogram) == list(range(17))
    assert [sum(column) for column in zip(*unbc.subjects.values(), strict=True)] == [200, 48398]
    assert len(unbc.subjects) == 25
    assert unbc.histogram[0] / 48398 == pytest.approx(1 - 0.173, abs=5e-4)  # 17.3 % of the frames show pain
    assert sum(biovid.histogram.values()) == biovid.counts["videos"] == 87 * 5 * 20
    assert biovid.counts["frames"] == 8700 * 138


@pytest.mark.parametrize("name", ["unbc", "biovid"])
def test_comparison(name):
    real = published(name)
    rows = compare(real)
    assert len(rows) == len(real.quantities) + len(real.histogram) + 2 * len(real.subjects)
    assert all(row.agrees for row in rows)
    assert not any("differs" in line for line in describe(real))
    short = replace(real, counts=real.counts | {"subjects": 3}, histogram=real.histogram | {2: 0})
    assert [(row.quantity, row.level) for row in compare(short) if not row.agrees] == [
        ("subjects", None),
        ("levels that occur", None),
        ("frames" if name == "unbc" else "videos", 2),
    ]
    assert sum("differs" in line for line in describe(short)) == 3


def test_subjects_are_set_beside_the_real_ones_of_their_names(make_unbc):
    result = account(lenient("unbc", make_unbc()))
    rows = {(row.subject, row.quantity): row for row in compare(result) if row.subject}
    assert len(rows) == 2 * 25, "those that are not there are named, too"
    lost = rows["124-dn124", "frames"]
    assert (lost.found, lost.published, lost.agrees) == (0, 1695, False)
    assert rows["042-ll042", "sequences"].found == 2 and rows["042-ll042", "sequences"].published == 8
    more = replace(result, subjects=result.subjects | {"999-xx999": (1, 3)})
    (stranger, _) = [row for row in compare(more) if row.subject == "999-xx999"]
    assert (stranger.found, stranger.published, stranger.agrees) == (1, None, None)
    strangers = replace(result, subjects={"999-xx999": (1, 3)})
    assert not any(row.subject for row in compare(strangers)), "invented names are not compared"


def test_simulated_data_of_full_size_is_judged_by_its_totals_only():
    real = published("unbc")
    simulated = replace(real, simulated=True, full_size=True, histogram={0: 48398})
    judged = {row.quantity: row.agrees for row in compare(simulated) if row.agrees is not None}
    assert set(judged) == set(real.quantities) - {"levels that occur"} and all(judged.values())
    assert not any(row.subject for row in compare(simulated))
    short = replace(simulated, counts=simulated.counts | {"frames": 48397})
    assert [row.quantity for row in compare(short) if row.agrees is False] == ["frames"]


def test_a_rounded_count_agrees_within_its_rounding():
    counts = {"identities": 9131, "stills": 3_311_286}
    (rounded,) = [row for row in compare(Account("vggface2", False, counts, {})) if row.quantity == "stills"]
    assert rounded.agrees
    counts["stills"] = 3_315_001
    (rounded,) = [row for row in compare(Account("vggface2", False, counts, {})) if row.quantity == "stills"]
    assert rounded.agrees is False


def test_coverage_of_unbc(make_unbc):
    root = make_unbc()
    assert [(c.unit, c.found, c.total) for c in account(lenient("unbc", root)).covered] == [
        ("frames", 16, 16),
        ("frames", 16, 16),
        *[("sequences", 4, 4)] * 4,
    ]
    points, codes = root / "AAM_landmarks" / FIRST, root / "Frame_Labels" / "FACS" / FIRST
    (points / "ll042t1aaaff001_aam.txt").write_text("\n")
    (points / "ll042t1aaaff002_aam.txt").unlink()
    (points / "ll042t1aaaff099_aam.txt").write_text("of no frame")
    (codes / "ll042t1aaaff001_facs.txt").unlink()
    shutil.rmtree(root / "Sequence_Labels" / "VAS")
    result = account(lenient("unbc", root))
    assert [(c.found, c.total) for c in result.covered] == [(14, 16), (15, 16), (4, 4), (4, 4), (4, 4), (0, 4)]
    assert "  landmarks (AAM): 14 of 16 frames" in describe(result)
    shutil.rmtree(root / "AAM_landmarks")
    shutil.rmtree(root / "Frame_Labels" / "FACS")
    assert [c.found for c in account(lenient("unbc", root)).covered[:2]] == [0, 0]


def test_coverage_of_biovid(make_biovid):
    root = make_biovid(openface=True)
    next((root / "OpenFace").rglob("*PA4-001.csv")).unlink()
    (cover,) = account(lenient("biovid", root)).covered
    assert (cover.found, cover.total, cover.unit) == (19, 20, "videos")
    (cover,) = account(lenient("biovid", make_biovid(name="bare"))).covered
    assert cover.found == 0


def test_counts_are_written_tidily(make_unbc, tmp_path):
    result = account(lenient("unbc", make_unbc()))
    path = write_counts({"": result}, tmp_path)
    assert path == tmp_path / "tables" / "licensed" / "accounting_unbc.csv"
    rows = list(csv.DictReader(path.open(newline="")))
    assert len(rows) == len(compare(result)) + len(result.covered)
    (frames,) = [row for row in rows if row["quantity"] == "frames" and not row["level"] and not row["subject"]]
    assert (frames["found"], frames["published"], frames["agrees"]) == ("16", "48398", "False")
    assert (frames["dataset"], frames["data"], frames["scale"], frames["held"]) == ("unbc", "licensed", "", "on disk")
    (none,) = [row for row in rows if row["quantity"] == "frames" and row["level"] == "16"]
    assert (none["found"], none["published"]) == ("1", "0")


def test_simulated_counts_are_not_judged(make_unbc):
    root = make_unbc()
    (root / "SIMULATED.json").write_text("{}")
    result = account(lenient("unbc", root))
    assert result.simulated and {row.agrees for row in compare(result)} == {None}
    lines = describe(result)
    assert "simulated data" in lines[0] and not any("differs" in line for line in lines)


def test_a_manifest_has_its_own_counts_only(tmp_path, make_video):
    for subject, label in (("anna", 0), ("anna", 3), ("bert", 3)):
        make_video(tmp_path / f"{subject}{label}.mp4", 5 + label)
    path = tmp_path / "videos.csv"
    path.write_text("video,subject,label\nanna0.mp4,anna,0\nanna3.mp4,anna,3\nbert3.mp4,bert,3\nlost.mp4,bert,1\n")
    result = account(lenient("manifest", path))
    assert result.counts == {"subjects": 2, "videos": 3, "frames": 21}
    assert result.histogram == {0: 1, 1: 0, 2: 0, 3: 2} and result.subjects == {"anna": (2, 13), "bert": (1, 8)}
    assert {row.published for row in compare(result)} == {row.agrees for row in compare(result)} == {None}
    assert result.excluded[0].file == "lost.mp4" and str(tmp_path) not in result.excluded[0].reason
    lines = describe(result)
    assert "nothing is published" in lines[0] and any(line.split()[:3] == ["label", "3", "2"] for line in lines)


def test_vggface2_is_counted_by_split(tmp_path):
    for name, count in (("train/n000002", 3), ("train/n000003", 2), ("test/n000001", 1)):
        (tmp_path / name).mkdir(parents=True)
        for index in range(count):
            (tmp_path / name / f"{index:04d}_01.jpg").touch()
    (tmp_path / "bb_landmark").mkdir()
    boxes = 'NAME_ID,X,Y,W,H\n"n000002/0000_01",1,2,3,4\n"n000003/0000_01",1,2,3,4\n'
    (tmp_path / "bb_landmark" / "loose_bb_train.csv").write_text(boxes)
    result = account(lenient("vggface2", tmp_path))
    assert result.counts == {
        "identities": 3,
        "stills": 6,
        "identities in train": 2,
        "stills in train": 5,
        "identities in test": 1,
        "stills in test": 1,
    }
    assert (result.histogram, result.subjects) == ({}, {})
    assert [(c.found, c.total) for c in result.covered] == [(2, 3)]
    rows = {row.quantity: row for row in compare(result)}
    assert [rows[f"identities in {split}"].published for split in ("train", "test")] == [8631, 500]
    assert rows["stills"].published == 3_310_000 and rows["stills in test"].published is None


def test_all_sequences_left_out(make_unbc):
    data = lenient("unbc", make_unbc())
    data.records = []
    result = account(data)
    assert set(result.counts.values()) == {0} and set(result.histogram.values()) == {0}


def test_reasons_lose_only_the_root(make_unbc):
    data = lenient("unbc", make_unbc())
    data.excluded = [Exclusion("sequence", "a", f"{data.root}/Images/a: gone, not /else{data.root}/b")]
    assert account(data).excluded[0].reason == f"Images/a: gone, not /else{data.root}/b"


def test_an_empty_ledger_replaces_an_older_one(make_unbc, tmp_path):
    result = account(lenient("unbc", make_unbc()))
    path = tmp_path / "tables" / "licensed" / "ledger_unbc.csv"
    path.parent.mkdir(parents=True)
    path.write_text("old")
    assert write_ledger(result, tmp_path) == path and path.read_text() == "what,file,reason,kept\n"


def test_check_of_a_sound_dataset(make_unbc, make_biovid, tmp_path, capsys):
    arguments = ["--unbc", str(make_unbc()), "--biovid", str(make_biovid()), "--out", str(tmp_path), "--verify"]
    assert main(["check", *arguments]) == 0
    out, err = capsys.readouterr()
    assert "unbc: licensed data" in out and "biovid: licensed data" in out and "--verify" not in out
    assert "unbc: decoding: 100%" in err and "biovid: decoding: 100%" in err
    assert (tmp_path / "tables" / "licensed" / "accounting_biovid.csv").is_file()
    assert ledger(tmp_path, "unbc") == ledger(tmp_path, "biovid") == []


def test_check_names_a_sequence_that_is_left_out(make_unbc, tmp_path, capsys):
    root = make_unbc()
    (root / "Images" / FIRST / "ll042t1aaaff002.png").unlink()
    assert main(["check", "--unbc", str(root), "--out", str(tmp_path), "--quiet"]) == 1
    (row,) = ledger(tmp_path, "unbc")
    assert (row["what"], row["file"], row["kept"]) == ("sequence", FIRST, "False")
    assert row["reason"].startswith(f"Images/{FIRST}: ") and str(root) not in row["reason"]
    out = capsys.readouterr().out
    assert f"left out: sequence {FIRST}: {row['reason']}" in out and "1 left out, 0 notes" in out


def test_only_verify_finds_damaged_pixels(make_unbc, tmp_path, capsys):
    root = make_unbc()
    corrupt_pixels(root / "Images" / FIRST / "ll042t1aaaff004.png")
    arguments = ["check", "--unbc", str(root), "--out", str(tmp_path), "--quiet"]
    assert main(arguments) == 0
    assert "add --verify" in capsys.readouterr().out
    assert main([*arguments, "--verify"]) == 1
    (row,) = ledger(tmp_path, "unbc")
    assert (row["what"], row["file"], row["kept"]) == ("video", FIRST, "False")
    out, err = capsys.readouterr()
    assert "3 frames decoded, 5 declared" in out and "decoding" not in err


def test_subjects_without_a_metric_and_notes_are_kept(make_unbc, tmp_path, capsys):
    root = make_unbc({"042-ll042/ll042t1aaaff": [0, 0, 0], "043-jh043/jh043t1aaaff": [2, 2, 0]})
    label = root / "Frame_Labels" / "PSPI" / "043-jh043" / "jh043t1aaaff" / "jh043t1aaaff001_facs.txt"
    label.write_text("   5.0000000e+00\n")
    assert main(["check", "--unbc", str(root), "--out", str(tmp_path)]) == 0
    rows = ledger(tmp_path, "unbc")
    assert [(row["what"], row["kept"]) for row in rows] == [("metric", "True"), ("frame", "True")]
    out = capsys.readouterr().out
    assert "note: metric 042-ll042: PSPI is 0" in out and "0 left out, 2 notes" in out


def test_an_unusable_root_does_not_hide_the_other(make_biovid, tmp_path, capsys):
    missing = tmp_path / "nothing"
    arguments = ["check", "--unbc", str(missing), "--biovid", str(make_biovid()), "--out", str(tmp_path)]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert "check: unbc: expected the root of the UNBC-McMaster archive" in err and str(missing) in err
    assert "biovid: licensed data" in out and ledger(tmp_path, "biovid") == []
    assert not (tmp_path / "tables" / "licensed" / "ledger_unbc.csv").exists()
