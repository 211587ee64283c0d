"""Counts are known from the tiny datasets' writers; all comparisons are exact."""

import csv
import io
from importlib import resources

import pytest

from repro.__main__ import main
from repro.data import Exclusion, open_dataset
from repro.data.accounting import Account, account, compare, describe, write_ledger

FIRST = "042-ll042/ll042t1aaaff"


def lenient(name, root):
    return open_dataset(name, root, strict=False)


def published(name):
    """The real dataset's counts as an account, read from the file and not through `compare`."""
    text = resources.files("repro.data").joinpath("published_counts.csv").read_text()
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["dataset"] == name]
    assert all(row["source"] for row in rows)
    assert len({(row["quantity"], row["level"]) for row in rows}) == len(rows)
    counts = {row["quantity"]: int(row["count"]) for row in rows if not row["level"]}
    histogram = {int(row["level"]): int(row["count"]) for row in rows if row["level"]}
    return Account(name, False, counts, histogram)


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
    result = account(lenient("unbc", make_unbc()))
    assert result.counts == {"subjects": 3, "sequences": 4, "frames": 16}
    assert result.histogram == dict.fromkeys(range(17), 0) | {0: 7, 1: 1, 2: 2, 3: 1, 4: 2, 5: 1, 12: 1, 16: 1}
    assert (result.simulated, result.data, result.excluded, result.ledger) == (False, "licensed", (), [])


def test_biovid_is_counted_by_video(make_biovid):
    result = account(lenient("biovid", make_biovid()))
    assert result.counts == {"subjects": 2, "videos": 20, "frames": 2 * 5 * (6 + 7)}
    assert result.histogram == dict.fromkeys(range(5), 4)


def test_published_counts_add_up():
    unbc, biovid = published("unbc"), published("biovid")
    assert sum(unbc.histogram.values()) == unbc.counts["frames"] == 48398
    assert sorted(unbc.histogram) == list(range(17))
    assert unbc.histogram[0] / 48398 == pytest.approx(1 - 0.173, abs=5e-4)  # 17.3 % of the frames show pain
    assert sum(biovid.histogram.values()) == biovid.counts["videos"] == 87 * 5 * 20
    assert biovid.counts["frames"] == 8700 * 138


@pytest.mark.parametrize("name", ["unbc", "biovid"])
def test_comparison(name):
    real = published(name)
    rows = compare(real)
    assert len(rows) == len(real.counts) + len(real.histogram) and all(row.agrees for row in rows)
    assert not any("differs" in line for line in describe(real))
    short = Account(name, False, real.counts | {"subjects": 3}, real.histogram | {2: 0})
    assert [(row.quantity, row.level) for row in compare(short) if not row.agrees] == [
        ("subjects", None),
        ("frames" if name == "unbc" else "videos", 2),
    ]
    assert sum("differs" in line for line in describe(short)) == 2


def test_simulated_counts_are_not_judged(make_unbc):
    root = make_unbc()
    (root / "SIMULATED.json").write_text("{}")
    result = account(lenient("unbc", root))
    assert result.simulated and {row.agrees for row in compare(result)} == {None}
    lines = describe(result)
    assert "simulated data" in lines[0] and not any("differs" in line for line in lines)


def test_other_datasets_are_refused(make_unbc):
    data = lenient("unbc", make_unbc())
    data.name = "manifest"
    with pytest.raises(ValueError, match="no published counts of 'manifest'"):
        account(data)


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
