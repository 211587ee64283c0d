"""Nothing of the test subjects reaches what is learned, and hyper-parameters are chosen by folds of whole subjects.

Each check is shown to catch a leak that is planted.
"""

import ast
import dataclasses
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import baselines.supervised
from baselines import METHODS
from baselines.supervised.inner_folds import best_of, inner_folds
from repro.data.clips import Clip
from repro.data.features import Moments
from repro.suite import tasks
from repro.suite.scales import SCALES
from repro.suite.store import Store

OPTIONS = SCALES["smoke"].supervised
SYSTEMS = [name for name, method in METHODS.items() if method.kind == "supervised"]


def learned(name, drawn, monkeypatch, folder, *, other_test_subjects):
    """Fill a cell; return what the system had learned. The test subjects' faces and levels may be quite others."""
    clips, levels, groups = drawn("RGB")
    system = METHODS[name].load()(**OPTIONS.get(name, {}))
    tested = groups == "s3"
    known = [
        Clip(subject, identifier.partition(":")[0], 0, 24, 3 - level if hidden and other_test_subjects else level)
        for identifier, subject, level, hidden in zip(clips.ids, groups, levels.tolist(), tested, strict=True)
    ]
    made = {e: clips.features(e) for e in system.extractors()}
    if other_test_subjects:
        made = {e: _replaced(moments, tested) for e, moments in made.items()}
    monkeypatch.setattr(tasks, "_features", lambda *_: (made, known))
    of_frames = dict(zip(clips.ids, clips.frame_levels, strict=True))
    if other_test_subjects:
        of_frames |= {name: 3 - of_frames[name] for name in clips.ids[tested]}
    tasks.fit_supervised(
        str(folder), "0" * 40, {}, {}, known, of_frames, ["s0", "s1", "s2"], 4, system, False, None, 0, 0, 5, "cpu"
    )
    assert set(Store(folder).read("0" * 40)[1].subjects) == {"s3"}
    return _bytes_of(system)


class _Pickler(pickle.Pickler):
    """Pickles tensors by their values, and equal names alike: PyTorch's own pickles tell which objects are shared."""

    def reducer_override(self, made):
        if isinstance(made, torch.Tensor):
            return bytes, (made.detach().numpy().tobytes(),)
        return NotImplemented


def _bytes_of(system):
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    pickler.fast = True  # no memory of objects that were met before
    pickler.dump(system)
    return stream.getvalue()


def _replaced(moments, tested):
    values = moments.values.copy()
    of_others = tested[moments.clip]
    values[of_others] = 255 - values[of_others] if values.dtype == np.uint8 else 7 - 3 * values[of_others]
    return dataclasses.replace(moments, values=values)


@pytest.mark.parametrize("name", SYSTEMS)
def test_other_test_subjects_leave_what_is_learned_as_it_is(name, drawn, monkeypatch, tmp_path):
    first, second = (
        learned(name, drawn, monkeypatch, tmp_path / str(other), other_test_subjects=other) for other in (False, True)
    )
    assert first == second


def test_a_scaler_that_sees_all_clips_is_caught(drawn, monkeypatch, tmp_path):
    def scaled(made, clips, index, frame_levels=None, kept=tasks._clip_set):
        return kept({e: _standardised(moments) for e, moments in made.items()}, clips, index, frame_levels)

    monkeypatch.setattr(tasks, "_clip_set", scaled)
    first, second = (
        learned("head_movement", drawn, monkeypatch, tmp_path / str(other), other_test_subjects=other)
        for other in (False, True)
    )
    assert first != second


def _standardised(moments: Moments) -> Moments:
    values = moments.values
    return dataclasses.replace(moments, values=(values - values.mean(0)) / (values.std(0) + 1e-6))


def test_a_choice_that_has_seen_its_validation_subjects_looks_better_than_it_is():
    """Two choices, one of which only remembers people: honest folds refuse it, folds of single clips do not."""
    groups = np.repeat(np.arange(8), 6)
    levels = (groups % 2).astype(np.int64) * 2
    person = np.eye(8)[groups]
    constant = np.ones((48, 1))

    def predict(choice, train, test):
        x = person if choice == "person" else constant
        return x[test] @ np.linalg.lstsq(x[train], levels[train].astype(float), rcond=None)[0]

    honest = inner_folds(groups, levels)
    assert all(not set(groups[split.train]) & set(groups[split.test]) for split in honest)
    assert best_of(["person", "constant"], predict, levels, honest) == "constant"
    leaky = [split._replace(train=np.arange(0, 48, 2), test=np.arange(1, 48, 2)) for split in honest[:1]]
    assert best_of(["constant", "person"], predict, levels, leaky) == "person"


SPLITTERS = ("model_selection", "calibration", "LassoCV", "RidgeCV", "LogisticRegressionCV", "ElasticNetCV")
"""Of scikit-learn: what divides samples by itself."""


def splits_by_itself(source):
    """Tell whether code uses folds that do not know subjects: a splitter, or the probabilities of an SVC."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        if any(word in name for name in names for word in SPLITTERS):
            return True
        if isinstance(node, ast.keyword) and node.arg == "probability":
            return True
    return False


@pytest.mark.parametrize(
    "path", sorted(Path(baselines.supervised.__path__[0]).glob("*.py")), ids=lambda path: path.stem
)
def test_no_system_divides_its_clips_without_regard_to_subjects(path):
    assert not splits_by_itself(path.read_text())


@pytest.mark.parametrize(
    "planted",
    [
        "from sklearn.model_selection import GridSearchCV",
        "import sklearn.calibration",
        "from sklearn.linear_model import RidgeCV",
        "SVC(C=1, probability=True)",
    ],
)
def test_a_planted_splitter_is_caught(planted):
    assert splits_by_itself(f"def fit():\n    {planted}\n")
