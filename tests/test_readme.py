"""The README says what is so: its table is the committed one, its names exist, its examples run."""

import csv
import itertools
import json
import re
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
TOLD = ("SSD(RGB)", "subject_mean")


def test_the_table_is_the_committed_one():
    table = (ROOT / "tables/simulated/table4.md").read_text()
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert len(lines) > 16 and "\n".join(lines) in README


def test_the_first_screen_has_two_commands():
    first_screen = "\n".join(README.splitlines()[:24])
    (block,) = re.findall(r"```sh\n(.*?)```", first_screen, re.S)
    commands = block.strip().splitlines()
    assert len(commands) == 2
    assert commands[0].endswith("python -m repro.table4") and commands[1].endswith(
        "python -m pytest -n 2 --dist loadfile"
    )


def test_files_and_modules_that_are_named_exist():
    for path in re.findall(r"\]\(([\w/.-]+)\)", README):
        assert (ROOT / path).is_file(), path
    for name in set(re.findall(r"`((?:repro|baselines)(?:\.[a-z_0-9]+)*)`", README)):
        import_module(name)
    for path in set(re.findall(r"`((?:repro|tests|baselines)/[\w/.]+\.py)`", README)):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize(
    "block", [b for b in re.findall(r"```python\n(.*?)```", README, re.S) if "open_dataset" not in b]
)
def test_examples_run(block):
    generator = torch.Generator().manual_seed(0)
    names = {
        "video": torch.randint(0, 256, (44, 3, 24, 24), generator=generator, dtype=torch.uint8),
        "h_i": torch.randn(2, 4, 16, generator=generator),
        "h_j": torch.randn(2, 4, 16, generator=generator),
    }
    exec(block, names)


def test_speeds_are_those_of_the_report():
    report = (ROOT / "benchmarks.md").read_text()
    section = README.partition("## Speed\n")[2].partition("\n## ")[0]
    cells = [cell.strip() for line in section.splitlines() if line.startswith("|") for cell in line.split("|")]
    numbers = [cell for cell in cells if re.fullmatch(r"[\d.,]+", cell)]
    assert len(numbers) == 19
    text = ["992", "1,693", "691", "10.7", "0.150", "31.1", "3.11", "62.5", "6.25", "0.777", "1.04"]
    for number in [*numbers, *text]:
        assert number in section
        assert re.search(rf"(?<![\d.,]){re.escape(number)}(?!\d|[.,]\d)", report), number


def numbers_of(name):
    """Return (row, column) -> its shown number of a committed table."""
    rows = csv.DictReader((ROOT / f"tables/simulated/{name}.csv").open())
    return {(row["row"], row["column"]): row for row in rows if row["aggregate"] != "pooled"}


def shown(number):
    return f"{float(number['value']):.1f} [{float(number['ci_low']):.1f}, {float(number['ci_high']):.1f}]"


def test_the_comparison_of_pretexts_is_that_of_its_table():
    section = README.partition("## Self-supervised methods\n")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    found = numbers_of("self_supervised")
    assert [line[0] for line in lines[2:]] == list(dict.fromkeys(row for row, _ in found))
    for name, _, rgb, ssd, *metrics in lines[2:]:
        for kind, cell in (("RGB", rgb), ("SSD(RGB)", ssd)):
            if cell:
                values = [float(found[name, f"{kind} {what}"]["value"]) for what in ("accuracy", "chance")]
                assert cell == "{:.2f} ({:.2f})".format(*values)
        columns = [f"{kind} {what}" for kind in ("RGB", "SSD(RGB)") for what in ("pain AUC", "gain")]
        for column, cell in zip(columns, metrics, strict=True):
            if cell:
                assert cell == shown(found[name, column])


def holds_zero(number):
    return float(number["ci_low"]) <= 0 <= float(number["ci_high"])


def test_what_is_said_of_few_labels_stands_in_its_table():
    found = numbers_of("label_efficiency")
    gains = {row: number for (row, column), number in found.items() if column == "Gain" and number["value"]}
    for row in ("fine-tuned, 24", "fine-tuned, 96", "fine-tuned, all", "probed, 24", "probed, all"):
        assert shown(gains[f"Our method, {row}"]) in README
    assert shown(gains["the images' pixels, probed, 24"]) in README
    tuned = [number for row, number in gains.items() if "fine-tuned" in row]
    assert len(tuned) == 7 * 3 and all(holds_zero(number) for number in tuned)
    above = [row for row, number in gains.items() if float(number["ci_low"]) > 0]
    assert above == ["Our method, distance of means, probed, 24"] and shown(gains[above[0]]) in README
    probed = {
        row: float(number["value"])
        for (row, column), number in found.items()
        if column == "Pain AUC" and ", probed, " in row
    }
    for labels in ("96", "all"):
        best = {row: value for row, value in probed.items() if row.endswith(labels)}
        assert max(best, key=best.get) == f"the images' pixels, probed, {labels}"


def test_what_is_said_of_pretexts_with_all_labels_stands_in_their_table():
    gains = [
        number
        for (_, column), number in numbers_of("self_supervised").items()
        if column.endswith(" gain") and number["value"]
    ]
    assert len(gains) == 14 and all(holds_zero(number) for number in gains)


def test_what_is_said_of_decisions_stands_in_their_table():
    found = {row: number for (row, column), number in numbers_of("sensitivity").items() if column == "Change"}
    told = {row: number for row, number in found.items() if number["value"] and not number["row"].startswith("default")}
    assert f"[{len(told)} alternatives]" in README
    assert all(holds_zero(number) for row, number in told.items() if re.match("D[1-7]:", row))
    assert sorted(told, key=lambda row: float(told[row]["value"]))[:2] == [
        "D5: domain=product",
        "D0: the paper's schedule",
    ]
    for row in ("D5: domain=product", "D0: the paper's schedule"):
        assert f"{float(told[row]['value']):.1f})" in README
    better = [row for row, number in told.items() if not holds_zero(number)]
    assert better == ["D12: objective=contrastive", "D14: training subjects' videos"]
    assert all(shown(told[row]) in README for row in better)


def test_what_is_said_of_head_motion_stands_in_its_table():
    rows = list(csv.DictReader((ROOT / "tables/simulated/head_motion.csv").open()))
    found = {row["row"]: float(row["value"]) for row in rows if (row["column"], row["aggregate"]) == TOLD}
    said = re.search(
        r"AUC is (\d+) with landmarks, (\d+) with a crop that follows the face, (\d+) with a fixed", README
    )
    assert said is not None
    for faces, number in zip(("aligned", "following crop", "fixed crop"), said.groups(), strict=True):
        assert int(number) == round(found[f"head motion 1.6, {faces}"])


def test_the_numbers_of_supervised_systems_are_the_committed_ones():
    frame = pd.read_csv(ROOT / "tables/simulated/baselines.csv")
    main = frame[frame["aggregate"] == "subject_mean"].set_index(["row", "column"])
    section = README.partition("## Supervised systems\n")[2].partition("\n## ")[0]
    lines = {line.split("|")[1].strip(): line for line in section.splitlines() if line.startswith("|")}
    systems = list(dict.fromkeys(row.rpartition(", ")[0] for row in frame.row))
    assert len(systems) == 13 and set(systems) <= set(lines)
    for system in systems:
        shown = [cell.strip() for cell in lines[system].split("|")[3:-1]]
        for place, (dataset, kind) in enumerate(itertools.product(("UNBC-McMaster", "BioVid"), ("RGB", "SSD(RGB)"))):
            auc, pcc = (main.loc[(f"{system}, {dataset}", f"{kind} {name}")] for name in ("pain AUC", "PCC"))
            expected = [
                f"{auc.value:.1f} [{auc.ci_low:.1f}, {auc.ci_high:.1f}]",
                f"{pcc.value:.2f}".replace("nan", "–"),
            ]
            assert shown[2 * place : 2 * place + 2] == (expected if auc.cells_total else ["N/A", "N/A"])
    errors = {place: main.loc[place].value for place in main.index if place[1] == "RGB MSE"}
    means = {row.partition(", ")[2]: error for (row, _), error in errors.items() if row.startswith("mean predictor")}
    above = [row for (row, _), error in errors.items() if error > means[row.partition(", ")[2]]]
    assert {row for row in above if not row.startswith("network")} == {"RVR, BioVid", "RCNN, BioVid"}
    assert all(f"{errors[row, 'RGB MSE']:.2f}" in section for row in above if not row.startswith("network"))


def test_the_verdicts_are_those_of_the_committed_page():
    section = README.partition("## What came out\n")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    claims = json.loads((ROOT / "tables/simulated/claims.json").read_text())["claims"]
    assert len(claims) == 16
    told = [[claim["sentence"], claim["source"], _as_claimed(claim), claim["verdict"]] for claim in claims]
    assert lines[2:] == told


def _as_claimed(claim):
    return f"{claim['as claimed']} of {claim['made']}"
