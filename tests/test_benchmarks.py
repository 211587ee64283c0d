"""The report on a run of the benchmarks: from a made file, and from a real run of one of them."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repro.benchmarks import case_of, machine, main, read, report, summary
from repro.memory import PeakMemory

HOME = Path(__file__).parents[1]


def record(name, median, *, group="speed | of things", **extra):
    return {
        "group": group,
        "name": name,
        "fullname": f"tests/benchmarks/test_things.py::{name}",
        "params": None,
        "param": None,
        "extra_info": extra,
        "options": {},
        "stats": {"min": 0.5 * median, "max": 2 * median, "mean": median, "median": median, "rounds": 7},
    }


CONTENT = {
    "machine_info": {
        "node": "secret-host",
        "machine": "x86_64",
        "python_version": "3.11.7",
        "cpu": {"brand_raw": "A processor", "count": 64},
        "features": {
            "cores": 2,
            "memory_bytes": 24 << 30,
            "threads": {"PyTorch": 2, "OpenCV": 1},
            "versions": {"torch": "2.9.0", "numba": "0.60.0"},
        },
    },
    "commit_info": {"id": "0123456789abcdef", "dirty": True, "author_time": "2024-01-01"},
    "benchmarks": [
        record("test_slow_way[tv_l1]", 1.25, peak_mebibytes=1234.5, frames_per_second=0.8),
        record(
            "test_fast_way[fused]",
            0.0125,
            peak_mebibytes=3.25,
            times_as_fast_as_slow_way=100.0,
            paper_times_as_fast_as_slow_way=3.0,
            times_faster_than_cvxpy=2.5,
        ),
        record("test_share", 4.2e-5, group=None, percent_added=6.789, paper_percent_added=5.5, epochs=5),
    ],
    "datetime": "2024-01-01T00:00:00+00:00",
    "version": "5.0.0",
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(CONTENT))
    return path


def lines_of(text, heading):
    """Return the lines of one section's table, or its sentence."""
    section = text.split(f"{heading}\n\n")[1].split("\n\n")[0]
    return section.splitlines()


def test_ratios_stand_with_time_reference_and_the_papers_ratio():
    assert lines_of(report(CONTENT), "## Ratios") == [
        "| group | this | time | compared with | times as fast | paper |",
        "| --- | --- | --- | --- | --- | --- |",
        r"| speed \| of things | fast way (fused) | 12.5 ms | slow way | 100 | 3.00 |",
        r"| speed \| of things | fast way (fused) | 12.5 ms | cvxpy | 2.50 |  |",
    ]


def test_other_numbers_of_the_paper_stand_beside_ours():
    assert lines_of(report(CONTENT), "## Beside the paper") == [
        "| group | case | quantity | here | paper |",
        "| --- | --- | --- | --- | --- |",
        "| things | share | percent added | 6.79 | 5.50 |",
    ]


def test_every_benchmark_is_listed_in_its_group():
    text = report(CONTENT)
    assert lines_of(text, "### speed | of things")[2:] == [
        "| slow way (tv_l1) | 1.25 s | 625 ms | 7 | 1,234 MiB | frames per second: 0.800 |",
        "| fast way (fused) | 12.5 ms | 6.25 ms | 7 | 3.25 MiB |  |",
    ]
    # neither of the group's members has a peak: the column is left out
    assert lines_of(text, "### things") == [
        "| case | time | minimum | rounds | recorded |",
        "| --- | --- | --- | --- | --- |",
        "| share | 42.0 µs | 21.0 µs | 7 | epochs: 5 |",
    ]


def test_the_machine_is_named_by_its_features_only():
    text = report(CONTENT)
    assert [line for line in text.splitlines() if line.startswith("* ")] == [
        "* Processor: A processor, x86_64",
        "* Cores: 2",
        "* Memory: 24 GiB",
        "* Threads: PyTorch 2, OpenCV 1",
        "* Versions: Python 3.11.7, torch 2.9.0, numba 0.60.0",
        "* Commit: 0123456789ab with changes",
    ]
    assert "secret-host" not in text and "2024" not in text


def test_a_run_that_did_not_record_the_features_says_so():
    content = copy.deepcopy(CONTENT)
    del content["machine_info"]["features"], content["commit_info"]
    text = report(content)
    assert "* Cores: unknown\n* Memory: unknown\n* Versions: Python 3.11.7\n\n" in text
    # 64 processors of the computer are not what the run could use
    assert "64" not in text.replace("x86_64", "")


def test_without_ratios_the_report_says_none():
    content = {**CONTENT, "benchmarks": [record("test_alone", 1.0)]}
    assert lines_of(report(content), "## Ratios") == ["None in this run."]


def test_a_papers_number_without_counterpart_is_kept():
    case = case_of(record("test_share", 1.0, paper_minutes=1257))
    assert [tuple(number) for number in case.numbers] == [("minutes", None, 1257)]


def test_parameters_and_classes_in_names():
    made = record("test_x[a_b-3]", 1.0)
    made["fullname"] = "tests/benchmarks/test_things.py::TestThis::test_of_it[a_b-3]"
    assert case_of(made).name == "of it (a_b-3)"


def test_summary_aligns_a_groups_members():
    assert summary([case_of(made) for made in CONTENT["benchmarks"]]) == "\n".join(
        [
            "speed | of things",
            "  slow way (tv_l1)    1.25 s   1,234 MiB",
            "  fast way (fused)   12.5 ms    3.25 MiB  100 x slow way, 2.50 x cvxpy",
            "things",
            "  share   42.0 µs",
        ]
    )


def test_command_writes_a_file_or_prints(file, tmp_path, capsys):
    assert main([str(file)]) == 0
    printed = capsys.readouterr().out
    assert printed == report(CONTENT) and printed.endswith("|\n")
    target = tmp_path / "reports" / "benchmarks.md"
    assert main([str(file), "-o", str(target)]) == 0
    assert target.read_text(encoding="utf-8") == printed and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no JSON", "is no file of pytest-benchmark (JSONDecodeError"),
        ("[]", "is no file of pytest-benchmark (TypeError"),
        ('{"benchmarks": [{"name": "x"}], "machine_info": {"cpu": {}}}', "(KeyError: 'extra_info')"),
        ('{"benchmarks": [{}]}', "(KeyError: 'machine_info')"),
        ('{"benchmarks": [], "machine_info": {"cpu": {}}}', "holds no benchmark, as none ran"),
    ],
)
def test_an_unusable_file_is_refused_with_its_name_and_the_remedy(text, message, tmp_path, capsys):
    path, target = tmp_path / "file.json", tmp_path / "out.md"
    path.write_text(text)
    assert main([str(path), "-o", str(target)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error and message in error and "--benchmark-json FILE" in error
    assert not target.exists()


def test_an_absent_file_is_named(tmp_path, capsys):
    assert main([str(tmp_path / "absent.json")]) == 2
    assert "absent.json" in capsys.readouterr().err


def test_features_of_this_machine():
    features = machine()
    assert features["cores"] >= 1 and features["threads"]["PyTorch"] >= 1
    assert features["memory_bytes"] is None or features["memory_bytes"] > 1 << 28
    assert {"torch", "numba", "opencv-contrib-python-headless"} <= features["versions"].keys()


MADE = """
import numpy as np
import pytest

@pytest.mark.benchmark(group="made")
@pytest.mark.parametrize("way", ["called", "pedantic"])
def test_taking(benchmark, way):
    take = lambda: np.ones(64 << 20, dtype=np.uint8).sum()
    benchmark(take) if way == "called" else benchmark.pedantic(take, rounds=3)
    benchmark.extra_info["times_as_fast_as_nothing"] = 2.0

def test_that_times_nothing():
    assert False
"""


def test_a_real_run_is_measured_summed_up_and_reported(tmp_path):
    """The benchmarks' own conftest and the project's configuration, with a benchmark whose memory is known."""
    shutil.copy(HOME / "tests/benchmarks/conftest.py", tmp_path)
    (tmp_path / "test_made.py").write_text(MADE)
    path = tmp_path / "benchmark.json"
    # a worker of pytest-xdist tells so in its environment, and there benchmarks are off
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    words = ["--rootdir", str(tmp_path), "-c", str(HOME / "pyproject.toml"), "--benchmark-json", str(path)]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", str(tmp_path), "--benchmark-only", *words, "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=alone,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0 and "2 passed, 1 skipped" in run.stdout, run.stdout + run.stderr
    content = read(path)
    cases = [case_of(made) for made in content["benchmarks"]]
    assert summary(cases) in run.stdout and "2.00 x nothing" in summary(cases)
    assert "### made" in report(content)
    assert content["machine_info"]["features"]["threads"]["PyTorch"] == machine()["cores"]
    if PeakMemory().source == "resident set":
        assert [case.peak for case in cases] == pytest.approx([64, 64], abs=8)  # MiB, some pages more or less
