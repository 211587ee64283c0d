"""The declaration of the head-motion experiment, and how populations of a changed domain are planned and named."""

from repro.data.simulator import UNBC
from repro.head_motion import MOTIONS, TABLE
from repro.suite.scales import SCALES
from repro.suite.simulation import simulated_root, simulation_tasks
from repro.suite.spec import Population, Simulated
from repro.suite.store import Store


def test_a_population_for_each_motion_and_a_row_for_each_way_to_frame_faces():
    assert TABLE.simulated_only and TABLE.datasets == ("unbc",)
    assert [p.changes for p in TABLE.populations] == [(("head_motion", motion),) for motion in MOTIONS]
    assert len({(row.domain, row.encoding) for row in TABLE.rows}) == len(TABLE.rows) == 12
    assert UNBC.head_motion in MOTIONS


def test_populations_have_names_and_folders_of_their_own(tmp_path):
    store = Store(tmp_path)
    names = {population.name for population in TABLE.populations}
    assert names == {f"unbc head_motion={motion:g}" for motion in MOTIONS} and Population("unbc").name == "unbc"
    sizes = [Simulated(2, 3, 48, 90, changes) for changes in ((), (("head_motion", 0.0),), (("head_motion", 0.8),))]
    assert len({simulated_root(store, "unbc", size) for size in sizes}) == 3
    tasks = simulation_tasks(simulated_root(store, "unbc", sizes[1]), "unbc", sizes[1])
    assert all(task.arguments["size"].changes == sizes[1].changes for task in tasks)
    written = [(task.arguments["index"], k) for task in tasks[1:-1] for k in task.arguments["sequences"]]
    assert sorted(written) == [(subject, sequence) for subject in range(2) for sequence in range(3)]
    assert set(TABLE.datasets) <= set(SCALES["smoke"].simulated)
