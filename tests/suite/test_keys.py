"""Keys must not change by accident: what is stored would be computed again, and nothing would say why.

The values were computed once and are compared exactly. Where a change is meant, such as of a method's version, replace
those that it concerns by the ones that the failing test prints.
"""

import hashlib
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from repro.__main__ import EXPERIMENTS
from repro.data.schema import UNLABELLED, Dataset
from repro.data.vggface2 import IdentityRecord
from repro.suite.corpus import Corpus
from repro.suite.expected_data import ExpectedRecord
from repro.suite.scales import SCALES
from repro.suite.spec import Table
from repro.suite.still_corpus import StillCorpus
from repro.suite.store import Store
from repro.suite.work import build_plan

SCALE = SCALES["smoke"]
TABLES = [t for t in (import_module(f"repro.{name}").TABLE for name in EXPERIMENTS) if isinstance(t, Table)]


def dataset(name):
    if name == "vggface2":
        levels = np.full(3, UNLABELLED)
        records = [IdentityRecord(f"n{i}", f"n{i}", 3, levels) for i in range(5)]
        return Dataset(name, "nowhere", records, content=name, n_levels=0)
    records = []
    for s in range(6):
        for v in range(5):
            levels = np.full(150, v if name == "biovid" else 0, np.int64)
            levels[40:70] += 1 if name == "unbc" and v % 2 else 0
            records.append(ExpectedRecord(f"s{s}", f"s{s}/v{v}", 150, levels, 25.0))
    levels = 5 if name == "biovid" else 17
    return Dataset(name, "nowhere", records, content=name, n_levels=levels, labels_of_frames=name == "unbc")


def corpus(population):
    data = dataset(population.dataset)
    if population.dataset == "vggface2":
        return StillCorpus(data)
    changes = dict(population.clips)
    clips = replace(SCALE.clips[population.dataset], **changes)
    shortest = clips.length if "length" in changes else None
    return Corpus(data, clips, shortest or SCALE.input.shortest_clip)


def plan(table):
    table = table.at(SCALE.name).without_simulated_rows().on_given_data()
    corpora = {population.name: corpus(population) for population in table.populations}
    return build_plan(table, SCALE, corpora, Store("nowhere"), repetitions=2, device="cpu")


def digest(names):
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def plans():
    return {table.name: plan(table) for table in TABLES}


KEYS = {
    "table2": ("84a6f9ee7d344e70", "f55cee513b5ffb16"),
    "table3": ("8ca9fc35cb708965", "d5fd70bd8c750404"),
    "table4": ("49b4f650404a879a", "08e204b264e2056e"),
    "table5": ("68014be323438006", "c7dc6070cec22a6d"),
    "table6": ("f0b6ff28cb8db98f", "44faf90e76b7c372"),
    "table7": ("67ffb640a71dc258", "3338c891b05c5b62"),
    "figure3": ("aa881e9af69f39b9", "e783da34758e1639"),
    "self_supervised": ("358990c9b5e3abbe", "c8f1cd6e6f8fa927"),
    "label_efficiency": ("1bc045c39714f255", "87f48085c987c110"),
    "baselines": ("2ac1572f4865ac47", "e34364eeb783df72"),
    "sensitivity": ("14d49a6d9635fa8b", "730e6d7710126192"),
}  # fmt: skip
"""For each table, of its cells and, without regard to order, of all its tasks."""

CELLS = {
    ("table2", "RGB", "unbc", "RGB"): "b044b0270f0b10513976",
    ("table4", "UNBC-McMaster + BioVid (50%) → BioVid", "biovid", "SSD(RGB)"): "1320c007d80a37fda779",
    ("table6", "OSVR", "unbc", "RGB"): "706f1bf4fc0014ab37f3",
    ("table7", "Time-windows", "biovid", "RGB"): "d37b706e7848661bebc4",
    ("figure3", "segment length 5", "unbc length=120 stride=60", "SSD(RGB)"): "a07492e8cedb933be234",
    ("self_supervised", "Our method, distance of means", "unbc", "RGB"): "212024448dd00a175023",
    ("label_efficiency", "Jigsaw, probed, all", "unbc", "SSD(RGB)"): "2ed634f0f9ec96036ee5",
    ("baselines", "LBP, UNBC-McMaster", "unbc", "RGB"): "ac20648f1f3240eac4c8",
    ("baselines", "LBP, BioVid", "biovid", "RGB"): "6ebc1fb11a8a65cdcae8",
    ("sensitivity", "D10: energy=0.8", "unbc", "SSD(RGB)"): "954cd0f1930b8b94fb52",
}  # fmt: skip
"""Single keys: (table, row, place) of the first fold and repetition; 20 of 40 digits."""


def test_keys_of_all_tables_are_as_ever(plans):
    found = {
        name: (digest(cell.key for cell in made.cells), digest(sorted(task.id for task in made.tasks)))
        for name, made in plans.items()
        if made.cells
    }
    assert found == KEYS


def test_single_keys_are_as_ever(plans):
    found = {}
    for name, made in plans.items():
        for cell in made.cells:
            if cell.key and cell.fold == cell.repetition == 0:
                found[name, cell.row, cell.place.population.name, cell.place.input] = cell.key[:20]
    assert {place: found[place] for place in CELLS} == CELLS
