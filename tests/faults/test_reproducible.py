"""Same machine, same seed, a CPU: the same bytes, whatever the number of workers and the order of tasks; the record."""

import json
import shutil
from pathlib import Path

import pytest

from repro.suite.decisions import DECISIONS


def record(place):
    return json.loads((place / "out/tables/licensed/faults.json").read_text())


@pytest.mark.faults
def test_the_record_beside_the_table_tells_where_it_comes_from(undisturbed):
    told = record(undisturbed.place)
    place, root = str(undisturbed.place), undisturbed.options[1]
    typed = f"python -m repro.faults --scale smoke --device cpu --quiet --store {place}/store --out {place}/out"
    assert told["command line"] == f"{typed} --unbc {root} --jobs 1"
    assert told["command"]["deterministic"] is False and told["command"]["jobs"] == 1
    assert len(told["data"]["unbc"]["fingerprint"]) == 64 and not told["data"]["unbc"]["simulated"]
    assert set(told["decisions"]) == set(DECISIONS) and len(told["code"]) == 64
    assert told["decisions"]["D14"]["value"] == ["the same data (training subjects)"]
    assert set(told["seeds"]["cells"]) == {f"unbc, fold {fold}, repetition 1" for fold in (1, 2)}
    assert set(told["seeds"]["networks"]) == set(told["networks"]) and len(told["networks"]) == 2
    (computed,) = told["computed on"]
    assert (
        computed["cells"] == 4 and computed["threads"] == 1 and computed["torch"].startswith(told["versions"]["torch"])
    )
    untyped = json.dumps({name: value for name, value in told.items() if name != "command line"})
    assert root not in untyped and place not in untyped, "folders stand in what was typed only"


def check_orders(harness, server, undisturbed, tmp_path, jobs):
    for order in (None, 5, 6):
        place = tmp_path / str(order)
        place.mkdir()
        run = server.start(place, *undisturbed.options, "--jobs", jobs, shuffled=order)
        harness.check_finished(place, run, undisturbed.files, undisturbed.table)


@pytest.mark.faults
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_any_number_of_workers_and_order_of_tasks_gives_the_same_bytes(harness, server, undisturbed, tmp_path, jobs):
    check_orders(harness, server, undisturbed, tmp_path, jobs)


@pytest.mark.faults
@pytest.mark.parametrize("options", [(), ("--deterministic",)])
def test_a_cell_alone_in_a_new_process_gives_the_same_bytes(harness, undisturbed, tmp_path, options):
    """One network and one cell that needs it, in a process with other hashes of text."""
    shutil.copytree(undisturbed.place, tmp_path, dirs_exist_ok=True)
    results = sorted((tmp_path / "store").glob("[0-9a-f][0-9a-f]/*/result.json"))
    described = {file.parent: json.loads(file.read_text())["description"] for file in results}
    cell, pretext = next((folder, own["pretext"]) for folder, own in described.items() if "pretext" in own)
    for folder in (cell, Path(tmp_path / "store/artifacts", pretext[:2], pretext), tmp_path / "out"):
        shutil.rmtree(folder)
    kept = harness.visible(tmp_path)
    typed = (*undisturbed.options, "--jobs", "1", *options)
    run = harness.start_alone(tmp_path, *typed, env={"PYTHONHASHSEED": "7"})
    harness.check_finished(tmp_path, run, undisturbed.files, undisturbed.table)
    harness.check_kept(tmp_path, kept)
    computed = record(tmp_path)["computed on"]
    asked = "--deterministic" in options
    assert [(one["deterministic"], one["cells"]) for one in computed] == (
        [(False, 3), (True, 1)] if asked else [(False, 4)]
    )
