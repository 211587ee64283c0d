"""What comes from a disk is data: nothing is unpickled, and names of files are no formula, markup or command."""

import ast
import csv
import importlib.util
from pathlib import Path

import pytest

from repro.data.accounting import Account
from repro.data.schema import Exclusion
from repro.suite.ledgers import write_ledger
from repro.suite.report.markup import escape, tag
from repro.suite.sheet import Sheet, to_latex

PACKAGES = ("repro", "baselines")
SOURCES = {
    f"{name}/{path.relative_to(folder).as_posix()}": path
    for name in PACKAGES
    for folder in importlib.util.find_spec(name).submodule_search_locations
    for path in sorted(Path(folder).rglob("*.py"))
}

UNPICKLING = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "jsonpickle", "yaml", "cloudpickle"}
"""Modules that run what they read."""

EVALUATING = {"eval", "exec", "compile", "__import__"}


def unsafe(source):
    """Return (line, what) of what in a source could run what it reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [(node.lineno, name) for name in names if name.split(".")[0] in UNPICKLING]
        if not isinstance(node, ast.Call):
            continue
        given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        called = ast.unparse(node.func)
        if called in EVALUATING:
            found.append((node.lineno, called))
        if called == "torch.load" and given.get("weights_only") is not True:
            found.append((node.lineno, "torch.load without weights_only=True"))
        if called.split(".")[0] in ("np", "numpy") and called.endswith((".load", ".fromfile", ".genfromtxt")):
            if called.endswith(".load") and given.get("allow_pickle") is not False:
                found.append((node.lineno, "numpy.load without allow_pickle=False"))
        if called.endswith("read_pickle"):
            found.append((node.lineno, called))
        if given.get("shell") is True:
            found.append((node.lineno, f"{called} by a shell"))
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from joblib import load", "torch.load(f)", "torch.load(f, weights_only=False)",
        "np.load(f)", "np.load(f, allow_pickle=True)", "pd.read_pickle(f)", "eval(text)",
        "subprocess.run(line, shell=True)",
    ],
)  # fmt: skip
def test_what_is_unsafe_is_found(source):
    assert unsafe(source)


SPOKEN = {
    ("repro/suite/runner.py", "pickle"),
    ("repro/suite/runner.py", "cloudpickle"),
    ("repro/suite/hosts.py", "pickle"),
}
"""Processes of one run speak to one another so; nothing of it touches a disk."""


def test_nothing_is_unpickled_or_evaluated():
    assert len(SOURCES) > 100
    found = [
        (name, line, what)
        for name, path in SOURCES.items()
        for line, what in unsafe(path.read_text(encoding="utf-8"))
        if (name, what) not in SPOKEN
    ]
    assert found == []


HOSTILE = ("=cmd|' /C calc'!A1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1")


def test_a_ledger_holds_no_formula(tmp_path):
    rows = [Exclusion("video", name, f"{name}: cannot be read") for name in (*HOSTILE, "plain.mp4")]
    account = Account("manifest", False, {}, {}, excluded=tuple(rows))
    with write_ledger(account, tmp_path).open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["file"] for row in read] == [*("'" + name.replace("\r", "\\r") for name in HOSTILE), "plain.mp4"]
    for row in read:
        assert not any(value.startswith(("=", "+", "-", "@", "\t", "\r")) for value in row.values())


def test_names_are_no_commands_of_latex():
    name = r"\input{/etc/passwd} $x$ ~ ^ 50% a_b #1 {&}" + "\n"
    sheet = Sheet("t", "t", "c", ("Row",), "l", ((True, (name,)),), (f"{name}: cannot be computed",))
    text = to_latex(sheet)
    assert r"\input" not in text and r"\textbackslash{}input\{/etc/passwd\} \$x\$" in text
    for mark in "%_#&":
        assert mark not in text.split("\n", 1)[1].replace(f"\\{mark}", "").replace(" & ", "")


def test_names_are_no_markup():
    name = "<img src=x onerror='alert(1)'>\"&.mp4"
    assert escape(name) == "&lt;img src=x onerror=&#x27;alert(1)&#x27;&gt;&quot;&amp;.mp4"
    assert "<img" not in tag("p", name, title=name)
