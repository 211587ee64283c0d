"""Simulated datasets as tasks: what is planned, each dataset once, and that stills come out as the simulator's own."""

import pytest

from repro.data import open_dataset
from repro.data.simulator.stills import simulate_stills
from repro.suite.scales import SCALES
from repro.suite.simulation import missing_simulations, simulated_root, simulation_tasks
from repro.suite.spec import Population, Simulated
from repro.suite.still_corpus import StillCorpus
from repro.suite.store import Store

VIDEOS = SCALES["smoke"].simulated["unbc"]


def run(tasks):
    """Run tasks in their order, which is one that can be run; return what they reported."""
    done, reports = set(), []
    for task in tasks:
        assert set(task.requires) <= done
        task.function(**task.arguments, report=lambda share, message: reports.append((share, message)))
        done.add(task.id)
    return reports


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_datasets_that_several_ask_for_are_made_once(tmp_path):
    usual, short = Population("unbc"), Population("unbc", clips=(("length", 20),))
    moved = Population("unbc", (("head_motion", 0.1),))
    wanted = {usual: ("unbc", VIDEOS), short: ("unbc", VIDEOS)}
    roots, tasks = missing_simulations(Store(tmp_path), wanted)
    assert roots[usual] == roots[short]
    assert [task.id for task in tasks] == [
        task.id for task in missing_simulations(Store(tmp_path), {1: wanted[usual]})[1]
    ]
    changed = Simulated(VIDEOS.n_subjects, VIDEOS.videos_per_subject, VIDEOS.size, VIDEOS.frames, moved.changes)
    roots, more = missing_simulations(Store(tmp_path), {**wanted, moved: ("unbc", changed)})
    assert len({task.id for task in more}) == len(more) == 2 * len(tasks) - 1, "kernels are compiled once"
    assert len(set(roots.values())) == 2


@pytest.mark.parametrize("identities", [1, 5, 48, 200])
def test_each_identity_is_in_one_block(tmp_path, identities):
    size = Simulated(identities, 24, 96)
    start, *blocks, end = simulation_tasks(simulated_root(Store(tmp_path), "vggface2", size), "vggface2", size)
    spans = [task.arguments["identities"] for task in blocks]
    assert [index for first, stop in spans for index in range(first, stop)] == list(range(identities))
    assert all(task.requires == (start.id,) for task in blocks) and end.requires == tuple(task.id for task in blocks)
    assert len({task.id for task in (start, *blocks, end)}) == len(blocks) + 2
    assert len(pairs := {stop - first for first, stop in spans}) <= 2 and max(pairs) - min(pairs) <= 1


def test_stills_come_out_as_the_simulators_own(tmp_path):
    size = Simulated(2, 3, 48)
    store = Store(tmp_path)
    roots, tasks = missing_simulations(store, {"stills": ("vggface2", size)})
    reports = run(task for task in tasks if task.id != "compile")
    assert reports and max(share for share, _ in reports) == 1.0
    alone = simulate_stills(tmp_path / "alone", n_identities=2, stills_per_identity=3, seed=0, size=48)
    assert contents(roots["stills"]) == contents(alone)
    given = StillCorpus(open_dataset("vggface2", roots["stills"]))
    assert given.dataset.simulated and [r.n_frames for r in given.dataset.records] == [3, 3]
    assert missing_simulations(store, {"stills": ("vggface2", size)}) == (roots, [])
    other = simulated_root(store, "vggface2", Simulated(2, 4, 48))
    assert len({other, roots["stills"], simulated_root(store, "unbc", size)}) == 3


@pytest.mark.parametrize(
    "size", [Simulated(2, None, 48), Simulated(2, 3, 48, 90), Simulated(2, 3, 48, changes=(("head_motion", 0.1),))]
)
def test_sizes_that_stills_do_not_have_are_refused(tmp_path, size):
    with pytest.raises(ValueError, match="vggface2: simulated stills need videos_per_subject"):
        missing_simulations(Store(tmp_path), {"stills": ("vggface2", size)})
