"""The whole way at smoke scale: simulate, encode, pretrain, fine-tune, tabulate; interrupt, damage, repeat."""

import argparse
import os
import shutil
import signal
from dataclasses import replace
from importlib import import_module

import pandas as pd
import pytest

from repro.__main__ import main as suite_main
from repro.suite import tasks
from repro.suite.command import COMPLETE, INCOMPLETE, INTERRUPTED, TERMINATED, USAGE, add_options, main
from repro.suite.engine import Engine, Terminated
from repro.suite.progress import Progress
from repro.suite.session import Session
from repro.suite.store import Store
from repro.suite.tabulate import COLUMNS
from repro.table4 import TABLE

CELLS = len(TABLE.rows) * 2  # folds; the scale repeats nothing


def run(store, out, *more, jobs="1"):
    options = ["--scale", "smoke", "--store", str(store), "--out", str(out), "--quiet", "--device", "cpu"]
    return main(TABLE, [*options, "--jobs", jobs, *more])


def csv(out, data="simulated"):
    return (out / "tables" / data / "table4.csv").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, smoke_store):
    """A finished run, and the folder it wrote to."""
    place = tmp_path_factory.mktemp("finished")
    assert run(smoke_store(place / "store"), place / "out") == COMPLETE
    return place


@pytest.fixture
def store(finished, tmp_path):
    """A copy of the finished store, free to be damaged; its data is shared."""
    shutil.copytree(finished / "store", tmp_path / "store", ignore=shutil.ignore_patterns("data"))
    (tmp_path / "store" / "data").symlink_to(finished / "store" / "data")
    return Store(tmp_path / "store")


def data_root(store, name):
    (root,) = (store.data_folder / "simulated").glob(f"{name}-*")
    return root


def test_everything_is_written(finished):
    for file in ("csv", "md", "tex", "json"):
        assert (finished / "out/tables/simulated" / f"table4.{file}").stat().st_size > 500
    for file in ("pdf", "png", "csv"):
        assert (finished / "out/figures/simulated" / f"table4.{file}").stat().st_size > 500
    frame = pd.read_csv(finished / "out/tables/simulated/table4.csv")
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == len(TABLE.rows) * 2 * 2
    assert set(frame["data"]) == {"simulated"} and set(frame["scale"]) == {"smoke"}
    assert (frame.cells_done == frame.cells_total).all() and set(frame.cells_total) == {2}
    assert frame.paper.notna().sum() == 8
    perfect = frame[(frame.row == "true PSPI only → UNBC-McMaster") & (frame.metric == "auc_binary")]
    assert (perfect.value == 100).all()


def test_pretext_histories_are_stored(finished):
    store = Store(finished / "store")
    keys = list(store.artifact_keys())
    assert len(keys) == 2 + 6 * 2
    for key in keys:
        history = store.read_artifact(key)[0]["history"]
        assert [row["epoch"] for row in history] == [0, 1]
        for measure in (
            "positive", "negative_same_subject", "negative_other_subject", "auc_same_subject", "auc_other_subject",
            "effective_rank",
        ):  # fmt: skip
            assert all(f"held_out_{measure}" in row for row in history)


def test_a_second_run_computes_nothing_and_writes_the_same(finished, tmp_path, monkeypatch):
    def idle(self, tasks, progress, is_done=None):
        assert list(tasks) == []
        return []

    monkeypatch.setattr(Engine, "run", idle)
    assert run(finished / "store", tmp_path) == COMPLETE
    assert csv(tmp_path) == csv(finished / "out")


@pytest.mark.faults
def test_two_workers_give_the_same_table_as_one(finished, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/data").symlink_to(finished / "store/data")
    assert run(tmp_path / "store", tmp_path / "out", jobs="2") == COMPLETE
    assert csv(tmp_path / "out") == csv(finished / "out")


def test_two_workers_give_the_same_bytes_as_one(finished, tmp_path):
    few = [row for row in TABLE.rows if row.target == "biovid" and (row.method == "mean" or len(row.pretext) == 1)]
    assert len(few) == 2
    store, one = Store(tmp_path / "store"), Store(finished / "store")
    store.root.mkdir()
    store.data_folder.symlink_to(one.data_folder)
    options = ["--scale", "smoke", "--store", str(store.root), "--out", str(tmp_path), "--quiet", "--device", "cpu"]
    assert main(replace(TABLE, rows=tuple(few)), [*options, "--jobs", "2"]) == COMPLETE
    assert set(store.keys()) < set(one.keys()) and set(store.artifact_keys()) < set(one.artifact_keys())
    for key in store.keys():
        two_of, one_of = (place.result_folder(key) / "predictions.npz" for place in (store, one))
        assert two_of.read_bytes() == one_of.read_bytes()
    for key in store.artifact_keys():
        two_of, one_of = (place.artifact_folder(key) / "network.safetensors" for place in (store, one))
        assert two_of.read_bytes() == one_of.read_bytes()


def test_missing_cells_are_told_planned_and_computed(finished, store, tmp_path, capsys):
    keys = list(store.keys())
    for key in keys[:5]:
        shutil.rmtree(store.result_folder(key))
    assert run(store.root, tmp_path, "--mode", "plan") == COMPLETE
    assert f"{CELLS - 5}/{CELLS} cells are there; left to do: 5 cells" in capsys.readouterr().out
    assert run(store.root, tmp_path, "--mode", "only-cache") == INCOMPLETE
    printed = capsys.readouterr()
    assert "INCOMPLETE" in printed.out and f"{CELLS - 5}/{CELLS} cells" in printed.err
    assert run(store.root, tmp_path) == COMPLETE
    assert csv(tmp_path) == csv(finished / "out")


def test_damaged_entries_are_set_aside_and_computed_again(finished, store, tmp_path, capsys):
    cell, artifact = next(store.keys()), next(store.artifact_keys())
    (store.result_folder(cell) / "predictions.npz").write_bytes(b"damage")
    (store.artifact_folder(artifact) / "network.safetensors").write_bytes(b"damage")
    assert suite_main(["check", "--store", str(store.root), "--out", str(tmp_path)]) == INCOMPLETE
    assert capsys.readouterr().out.count("damaged:") == 2
    assert run(store.root, tmp_path) == COMPLETE
    assert capsys.readouterr().err.count("set aside") == 2
    assert csv(tmp_path) == csv(finished / "out")
    for key in store.keys():
        store.read(key)


def test_an_interrupted_run_continues(finished, store, tmp_path, monkeypatch, capsys):
    for key in list(store.keys()):
        shutil.rmtree(store.result_folder(key))
    done = []
    original = tasks.train_cell

    def interrupt(*arguments, **keywords):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(keywords["key"])
        original(*arguments, **keywords)

    monkeypatch.setattr(tasks, "train_cell", interrupt)
    assert run(store.root, tmp_path) == INTERRUPTED
    assert "run the same command" in capsys.readouterr().err
    kept = {key: (store.result_folder(key) / "predictions.npz").read_bytes() for key in store.keys()}
    assert set(done) <= set(kept)
    monkeypatch.setattr(tasks, "train_cell", original)
    assert run(store.root, tmp_path) == COMPLETE
    assert all((store.result_folder(key) / "predictions.npz").read_bytes() == data for key, data in kept.items())
    assert csv(tmp_path) == csv(finished / "out")


def test_a_failing_step_is_reported_with_its_reason(store, tmp_path, monkeypatch, capsys):
    for key in list(store.keys()):
        shutil.rmtree(store.result_folder(key))

    def diverge(*arguments, **keywords):
        raise FloatingPointError("the loss became nan at update 3; lower learning_rate (9)")

    monkeypatch.setattr(tasks, "train_cell", diverge)
    assert run(store.root, tmp_path) == INCOMPLETE
    printed = capsys.readouterr()
    assert printed.err.count("lower learning_rate") == 1, "a reason is told once, after the steps that it stopped"
    assert "failed: " in printed.err and "SSD(RGB), fold 1" in printed.err
    assert "(0/2 cells)" in printed.out


def test_a_table_that_lacks_one_cell_says_so_everywhere_and_how_to_go_on(
    finished, store, tmp_path, monkeypatch, capsys
):
    described = {key: store.read(key)[0]["description"] for key in store.keys()}
    lost = next(key for key, d in described.items() if d["method"] == "scratch" and not d["shuffled"])
    shutil.rmtree(store.result_folder(lost))
    original = tasks.train_cell

    def diverge(*arguments, **keywords):
        raise FloatingPointError("the loss became nan at update 3; lower learning_rate (9)")

    monkeypatch.setattr(tasks, "train_cell", diverge)
    assert run(store.root, tmp_path) == INCOMPLETE
    printed = capsys.readouterr()
    assert "INCOMPLETE: 1 of" in printed.out and "* (1/2 cells)" in printed.out
    assert f"table4 is INCOMPLETE: {CELLS - 1}/{CELLS} cells" in printed.err
    assert "0 of 1 steps done, 1 failed; mend the cause and run again: python -m repro.table4 --scale" in printed.err
    assert "lower learning_rate" in printed.err and "Traceback" not in printed.err
    frame = pd.read_csv(tmp_path / "tables/simulated/table4.csv")
    assert (frame.cells_done < frame.cells_total).sum() == 4, "two columns, each by two aggregates"
    assert "* (1/2 cells)" in (tmp_path / "tables/simulated/table4.md").read_text()
    assert "$^*$ (1/2)" in (tmp_path / "tables/simulated/table4.tex").read_text()
    monkeypatch.setattr(tasks, "train_cell", original)
    assert run(store.root, tmp_path) == COMPLETE
    assert csv(tmp_path) == csv(finished / "out")


def test_time_limits_are_seconds_and_reach_the_engine(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_options(parser)
    for text, seconds in (("30", 30.0), ("2.5", 2.5), ("0", None), ("none", None)):
        assert parser.parse_args(["--timeout", text]).timeout == seconds
    options = parser.parse_args(["--timeout", "30", "--jobs", "1", "--device", "cpu", "--store", str(tmp_path)])
    assert Session(options).engine.timeout == 30.0
    for bad in ("-1", "nan", "inf", "soon"):
        with pytest.raises(SystemExit) as exit_:
            parser.parse_args(["--timeout", bad])
        assert exit_.value.code == USAGE


def test_sigterm_in_mid_training_is_gone_on_with_to_the_same_bytes(finished, store, tmp_path, monkeypatch, capsys):
    cell, network = next(
        (key, found) for key in store.keys() if (found := store.read(key)[0]["description"].get("pretext")) is not None
    )
    before = store.read_artifact(network)[1], store.read(cell)[1].to_bytes()
    shutil.rmtree(store.result_folder(cell))
    shutil.rmtree(store.artifact_folder(network))
    messages: dict[str, list[str]] = {"pretext": [], "cell": []}
    original = Progress.report

    def report(self, name, fraction, message):
        original(self, name, fraction, message)
        kind = name.partition("-")[0]
        messages[kind].append(message)
        if len(messages[kind]) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Progress, "report", report)
    for key in (network, cell):
        assert run(store.root, tmp_path) == TERMINATED
        assert "run the same command to go on" in capsys.readouterr().err
        assert [path.name for path in (store.root / "checkpoints").iterdir()] == [key]
    assert run(store.root, tmp_path) == COMPLETE
    assert csv(tmp_path) == csv(finished / "out")
    assert (store.read_artifact(network)[1], store.read(cell)[1].to_bytes()) == before
    # the report of the update after the signal asks for the stop, and that update is not made again
    assert messages["cell"][0].startswith("step 1/") and not any(m.startswith("step 2/") for m in messages["cell"])
    assert all(len(set(told)) == len(told) for told in messages.values())
    assert not list((store.root / "checkpoints").iterdir())


def test_sigterm_has_its_own_status_and_says_how_to_go_on(store, tmp_path, monkeypatch, capsys):
    shutil.rmtree(store.result_folder(next(store.keys())))

    def terminate(self, left_over, progress, is_done=None):
        raise Terminated

    monkeypatch.setattr(Engine, "run", terminate)
    assert run(store.root, tmp_path) == TERMINATED == 143
    printed = capsys.readouterr()
    assert "table4: terminated" in printed.err and "run the same command to go on" in printed.err
    assert printed.out == "" and not (tmp_path / "tables").exists(), (
        "nothing is printed of a table that was not finished"
    )


def test_data_without_the_simulators_mark_is_licensed(store, tmp_path):
    roots = {}
    for name in ("unbc", "biovid"):
        roots[name] = tmp_path / name
        shutil.copytree(data_root(store, name), roots[name], ignore=shutil.ignore_patterns("SIMULATED.json"))
    given = ["--unbc", str(roots["unbc"]), "--biovid", str(roots["biovid"])]
    assert run(store.root, tmp_path, *given, "--mode", "plan") == COMPLETE
    assert run(store.root, tmp_path, *given, "--mode", "only-cache") == COMPLETE, "same content, same keys"
    frame = pd.read_csv(tmp_path / "tables/licensed/table4.csv")
    assert set(frame["data"]) == {"licensed"}
    assert not frame.row.str.startswith("true PSPI").any() and len(frame) == (len(TABLE.rows) - 2) * 4
    assert "Simulated" not in (tmp_path / "tables/licensed/table4.md").read_text()
    assert not (tmp_path / "tables/simulated").exists()


def test_given_simulated_data_is_still_called_simulated(store, tmp_path):
    given = [word for name in ("unbc", "biovid") for word in (f"--{name}", str(data_root(store, name)))]
    assert run(store.root, tmp_path, *given, "--mode", "only-cache") == COMPLETE
    assert (tmp_path / "tables/simulated/table4.csv").exists()


def test_what_needs_a_dataset_that_was_not_given_is_not_applicable(store, tmp_path, capsys):
    given = ["--unbc", str(data_root(store, "unbc")), "--mode", "only-cache"]
    assert run(store.root, tmp_path, *given) == COMPLETE
    frame = pd.read_csv(tmp_path / "tables/simulated/table4.csv").set_index("row")
    own = frame.index.isin([row.label for row in TABLE.rows if row.target == "unbc" and not row.pretext])
    assert own.any() and (frame[own].cells_done == frame[own].cells_total).all() and frame[own].value.notna().all()
    assert (frame[~own].cells_total == 0).all() and frame[~own].value.isna().all(), "no cell is missing, none is faked"
    assert "BioVid was not given (--biovid DIR)" in (tmp_path / "tables/simulated/table4.md").read_text()


def test_a_table_about_another_dataset_than_the_given_says_so_and_does_not_simulate(store, tmp_path, capsys):
    about_biovid = import_module("repro.table7").TABLE
    given = ["--unbc", str(data_root(store, "unbc")), "--pretext", "own"]
    options = ["--scale", "smoke", "--quiet", "--jobs", "1", "--store", str(tmp_path / "own"), "--out", str(tmp_path)]
    assert main(about_biovid, [*options, *given]) == COMPLETE
    frame = pd.read_csv(tmp_path / "tables/simulated/table7.csv")
    assert len(frame) and (frame.cells_total == 0).all() and frame.value.isna().all()
    assert "nothing of it is about UNBC-McMaster alone" in capsys.readouterr().err
    assert not (tmp_path / "own/data/simulated").exists()
    assert main(about_biovid, [*options, *given[:2]]) == USAGE
    assert "sees vggface2, and only unbc was given. Add --vggface2 DIR (or --pretext own" in capsys.readouterr().err


def test_unusable_roots_are_errors_and_never_replaced(store, tmp_path, capsys):
    unbc, biovid = (str(data_root(store, name)) for name in ("unbc", "biovid"))
    (tmp_path / "empty").mkdir()
    for given, words in (
        (["--vggface2", unbc, "--unbc", str(tmp_path / "nowhere")], ["nowhere"]),
        (["--unbc", str(tmp_path / "nowhere"), "--biovid", biovid], ["nowhere"]),
        (["--unbc", str(tmp_path / "empty"), "--biovid", biovid], ["empty"]),
        (["--unbc", biovid, "--biovid", unbc], ["open it as", "simulated"]),
    ):
        assert run(store.root, tmp_path / "out", *given) == USAGE
        message = capsys.readouterr().err
        assert all(word in message for word in words), message
    assert not (tmp_path / "out").exists()


def test_damaged_labels_stop_a_strict_run_and_are_recorded_by_a_lenient_one(store, tmp_path, capsys):
    root = tmp_path / "unbc"
    shutil.copytree(data_root(store, "unbc"), root)
    label = next((root / "Frame_Labels" / "PSPI").rglob("*_facs.txt"))
    label.write_text("pain\n")
    given = ["--unbc", str(root), "--biovid", str(data_root(store, "biovid"))]
    assert run(store.root, tmp_path, *given, "--strict", "--mode", "plan") == USAGE
    message = capsys.readouterr().err
    assert label.name in message and "pain" in message
    assert run(store.root, tmp_path, *given, "--mode", "plan") == COMPLETE


def test_folders_that_cannot_be_written_to_are_refused_before_anything_is_computed(tmp_path, capsys):
    file = tmp_path / "file"
    file.touch()
    assert run(tmp_path / "store", file) == USAGE
    assert f"--out {file}" in capsys.readouterr().err
    assert run(file, tmp_path / "out") == USAGE
    assert f"--store {file}" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
    assert suite_main(["check", "--store", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == USAGE
    assert "nowhere" in capsys.readouterr().err


def test_options_out_of_range(tmp_path):
    for bad in (["--shard", "3/2"], ["--jobs", "0"], ["--scale", "huge"]):
        with pytest.raises(SystemExit) as exit_:
            run(tmp_path, tmp_path, *bad)
        assert exit_.value.code == USAGE


def test_the_plan_before_there_is_any_data(tmp_path, capsys):
    assert run(tmp_path / "store", tmp_path, "--mode", "plan") == COMPLETE
    assert f"0/{CELLS} cells" in capsys.readouterr().out
    assert not (tmp_path / "store").exists()


def test_list_names_tables_and_methods(capsys):
    assert suite_main(["list"]) == COMPLETE
    printed = capsys.readouterr().out
    assert "table4" in printed and "siamese" in printed


def test_landmarks_of_biovid_can_lie_elsewhere(store, tmp_path, capsys):
    unbc, biovid = (data_root(store, name) for name in ("unbc", "biovid"))
    copy = tmp_path / "biovid"
    shutil.copytree(biovid, copy)
    (landmarks,) = copy.rglob("OpenFace")
    shutil.move(landmarks, tmp_path / "marks")
    given = ["--unbc", str(unbc), "--biovid", str(copy)]
    command = ["--scale", "smoke", "--jobs", "1", "--quiet", "--store", str(tmp_path / "store"), "--mode", "plan"]
    found = []

    def look(table, scale, corpora, *_, **__):
        found.append(corpora["biovid"].has_landmarks)
        raise ValueError("seen")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repro.suite.command.build_plan", look)
        for more in ([], ["--openface", str(tmp_path / "marks")]):
            assert main(TABLE, [*command, *given, *more]) == USAGE
    assert found == [False, True]
    assert main(TABLE, [*command, "--openface", str(tmp_path / "marks")]) == USAGE
    assert "give --biovid DIR, too" in capsys.readouterr().err
    assert main(TABLE, [*command, *given, "--openface", str(tmp_path / "nowhere")]) == USAGE
    assert "no CSV files of OpenFace" in capsys.readouterr().err
