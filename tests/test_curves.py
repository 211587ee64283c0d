"""``python -m repro.curves``: every pretext network of a store, on the right panel, as the right kind of line."""

from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import pytest
from matplotlib import pyplot

from baselines import METHODS, Method
from repro import curves
from repro.data.encoding import InputSpec
from repro.data.simulator import DOMAINS, simulate
from repro.learning.pretext import Accuracy, BackboneSpec
from repro.learning.schedule import Schedule
from repro.siamese.pretext import SiamesePretext
from repro.suite import histories
from repro.suite.curves import curves_plot
from repro.suite.histories import COLUMNS, stored_histories
from repro.suite.store import Store, hash_of

STYLE = Path(histories.__file__).with_name("style.mplstyle")


@dataclass(frozen=True)
class Errors:
    """A method whose accuracy is an error."""

    size: int = 3
    version = 1
    accuracy = Accuracy("end-point error in pixels", higher_is_better=False)


@pytest.fixture(autouse=True)
def methods(monkeypatch):
    added = Method("errors", "Errors", "self-supervised", "nobody 2020", (), f"{__name__}:Errors")
    monkeypatch.setattr(Method, "load", lambda method: Errors if method.name == "errors" else SiamesePretext)
    known = MappingProxyType({"siamese": METHODS["siamese"], "errors": added})
    for place in (histories, curves):
        monkeypatch.setattr(place, "METHODS", known)
    histories._usual.cache_clear()
    yield
    pyplot.close("all")


def network(
    store, method="siamese", kind="SSD(RGB)", seed=0, videos=None, accuracy=0.6, run=None, fingerprint="f", size=64,
    version=None, **settings,
):  # fmt: skip
    """Store a network that was never trained, and return its key."""
    task = Errors if method == "errors" else SiamesePretext
    description = {
        "task": {"task": method, "version": version or task.version, **asdict(task(**settings))},
        "data": {name: {"fingerprint": fingerprint} for name in videos or {"biovid": None}},
        "videos": videos or {"biovid": None},
        "input": InputSpec(kind, size=size).describe(),
        "backbone": asdict(BackboneSpec("resnet18", width=0.5)),
        "schedule": asdict(Schedule(2, 64)),
        "steps_per_epoch": 20,
        "held_out_subjects": 2,
        "seed": seed,
    }
    history = [{"epoch": 0, "step": 0, "held_out_accuracy": 0.5, "held_out_chance": 0.25}]
    history += [
        {"epoch": e, "step": 20 * e, "loss": 3.0 - e, "held_out_accuracy": accuracy, "held_out_chance": 0.25}
        for e in (1, 2)
    ]
    key = hash_of(description)
    entry = {"description": description, "history": history, "run": {"simulated": True} if run is None else run}
    store.write_artifact(key, b"weights", entry)
    return key


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def run(store, tmp_path, *more):
    return curves.main(["--store", str(store.root), "--out", str(tmp_path), *more])


def test_pdf_png_and_data_are_written_for_each_kind_of_data(store, tmp_path, capsys):
    for kind in ("RGB", "SSD(RGB)"):
        network(store, kind=kind)
        network(store, "errors", kind)
    network(store, seed=1, run={"simulated": False})
    assert run(store, tmp_path) == 0
    told = capsys.readouterr()
    assert "simulated data: 2 networks of Our method, 2 networks of Errors" in told.out
    assert "licensed data: 1 network of Our method" in told.out and told.err == ""
    for data in ("simulated", "licensed"):
        folder = tmp_path / "figures" / data
        suffixes = ("csv", "json", "pdf", "png")
        assert sorted(path.name for path in folder.iterdir()) == [f"pretext_curves.{suffix}" for suffix in suffixes]
        assert (folder / "pretext_curves.pdf").read_bytes().startswith(b"%PDF")
    frame = pd.read_csv(tmp_path / "figures/simulated/pretext_curves.csv")
    assert list(frame.columns) == list(COLUMNS) and len(frame) == 4 * 3 and set(frame["data"]) == {"simulated"}
    assert list(dict.fromkeys(frame.method)) == ["siamese", "errors"]
    first = frame[frame.epoch == 0]
    assert first.loss.isna().all() and (first.accuracy == 0.5).all() and (frame.chance == 0.25).all()
    before = {path: path.read_bytes() for path in tmp_path.glob("figures/*/*")}
    assert run(store, tmp_path) == 0
    assert all(path.read_bytes() == content for path, content in before.items())


def test_methods_and_inputs_can_be_chosen(store, tmp_path, capsys):
    for kind in ("RGB", "OF"):
        network(store, kind=kind)
        network(store, "errors", kind)
    assert run(store, tmp_path, "--method", "errors", "--input", "OF") == 0
    frame = pd.read_csv(tmp_path / "figures/simulated/pretext_curves.csv")
    assert set(frame.method) == {"errors"} and set(frame.input) == {"OF"} and frame.network.nunique() == 1
    assert run(store, tmp_path, "--input", "SSD(OF)") == 2
    assert "no pretext network of these methods and inputs" in capsys.readouterr().err


def test_an_empty_store_is_told_with_the_remedy(store, tmp_path, capsys):
    assert run(store, tmp_path) == 2
    told = capsys.readouterr().err
    assert str(store.root) in told and "python -m repro.pretext" in told and "--store" in told
    assert not (tmp_path / "figures").exists() and not store.root.exists()


def test_what_cannot_be_plotted_is_told_and_the_rest_is(store, tmp_path, capsys):
    network(store)
    old = network(store, version=1, seed=5)
    silent = network(store, run={}, seed=6)
    damaged = network(store, seed=7)
    (store.artifact_folder(damaged) / "network.safetensors").write_bytes(b"else")
    assert run(store, tmp_path) == 0
    told = capsys.readouterr().err
    for key, reason in ((old, "earlier version"), (silent, "whether its data is simulated"), (damaged, "damaged")):
        (line,) = [line for line in told.splitlines() if key in line]
        assert reason in line and line.startswith("left out")
    assert pd.read_csv(tmp_path / "figures/simulated/pretext_curves.csv").network.nunique() == 1


def test_a_network_is_simulated_if_its_data_is_among_the_simulations(store):
    from repro.data import open_dataset

    root = store.data_folder / "simulated" / "biovid-2x1-48px"
    simulate(DOMAINS["biovid"], root, n_subjects=2, videos_per_subject=1, size=48, frames=2)
    network(store, run={}, fingerprint=open_dataset("biovid", root).fingerprint)
    other = network(store, run={}, fingerprint="another")
    found = stored_histories(store)
    assert set(found.frame["data"]) == {"simulated"} and found.frame.network.nunique() == 1
    assert other in found.left_out[0]


def test_runs_are_told_from_settings(store):
    mine = {seed: network(store, seed=seed) for seed in (0, 1)}
    mean = network(store, distance="mean")
    share = [network(store, videos={"biovid": None, "unbc": [name, "x"]}) for name in ("a", "b")]
    small = network(store, "errors")
    wide = network(store, "errors", size=32)
    frame = stored_histories(store).frame.drop_duplicates("network").set_index("network")
    assert set(frame.loc[list(mine.values())].settings) == {""} and set(frame.loc[list(mine.values())].seed) == {0, 1}
    assert frame.loc[mean].settings == "distance=mean" and frame.loc[mean].pretext == "BioVid"
    assert set(frame.loc[share].pretext) == {"BioVid + 2 videos of UNBC-McMaster"}
    assert (frame.loc[small].settings, frame.loc[wide].settings) == ("64 px", "32 px")


def test_different_curves_never_share_a_name(store):
    keys = [network(store, fingerprint=name) for name in ("one", "other")]
    frame = stored_histories(store).frame.drop_duplicates("network").set_index("network")
    names = [frame.loc[key].settings for key in keys]
    assert names[0] != names[1] and all(len(name) == 7 and name[0] == "#" for name in names)


def lines(axis, label):
    return [line for line in axis.get_lines() if line.get_label() == label]


def test_lines_are_means_over_runs_with_the_runs_behind(store):
    network(store, accuracy=0.6)
    network(store, accuracy=0.8, seed=1)
    network(store, "errors", accuracy=0.1)
    figure = curves_plot(stored_histories(store).frame)
    loss, accuracy, _, error = figure.axes
    (mean,) = lines(accuracy, "BioVid")
    assert list(mean.get_ydata()) == pytest.approx([0.5, 0.7, 0.7]) and list(mean.get_xdata()) == [0, 1, 2]
    runs = [line for line in accuracy.get_lines() if line.get_gid() == "run"]
    assert sorted(line.get_ydata()[-1] for line in runs) == [0.6, 0.8]
    assert all(line.get_linewidth() < mean.get_linewidth() and line.get_alpha() < 1 for line in runs)
    (chance,) = lines(accuracy, "chance")
    assert set(chance.get_ydata()) == {0.25} and not lines(loss, "chance")
    (falling,) = lines(loss, "BioVid")
    assert list(falling.get_xdata()) == [1, 2] and list(falling.get_ydata()) == [2, 1]
    assert not [line for line in error.get_lines() if line.get_gid() == "run"]
    assert "lower is better" in error.get_ylabel() and "lower" not in accuracy.get_ylabel()
    assert "simulated" in figure.get_suptitle()


def test_a_row_for_each_method_a_panel_for_each_input_and_one_scale_for_both(store):
    for kind in ("SSD(RGB)", "RGB"):
        network(store, kind=kind, accuracy=0.9 if kind == "RGB" else 0.4)
        network(store, "errors", kind)
    figure = curves_plot(stored_histories(store).frame)
    axes = figure.axes
    assert len(axes) == 2 * 4
    assert [axis.get_title() for axis in axes[:4]] == [
        "loss, RGB",
        "loss, SSD(RGB)",
        "accuracy, RGB",
        "accuracy, SSD(RGB)",
    ]
    assert axes[2].get_ylim() == axes[3].get_ylim() and axes[2].get_ylim()[1] > 0.9
    assert [axes[0].get_ylabel(), axes[4].get_ylabel()] == ["Our method\nloss", "Errors\nloss"]
    assert figure.get_size_inches()[0] == pytest.approx(190 / 25.4)


def test_many_lines_can_be_told_apart_without_colour(store):
    for count in range(1, 11):
        network(store, videos={"biovid": [str(i) for i in range(count)]})
    with pyplot.style.context(str(STYLE)):
        (axis, _) = curves_plot(stored_histories(store).frame).axes
    drawn = {(line.get_marker(), line.get_markerfacecolor() == "white") for line in axis.get_lines()}
    assert len(drawn) == 10


def test_licensed_data_is_not_called_simulated(store):
    network(store, run={"simulated": False})
    assert curves_plot(stored_histories(store).frame).get_suptitle() == ""
