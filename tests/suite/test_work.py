"""Planning: what enters a key, who may be seen by a pretext, what is shared, what is left to do."""

from dataclasses import replace

import numpy as np
import pytest

from repro.data.material import Material
from repro.data.schema import Dataset, VideoRecord
from repro.suite.corpus import Corpus
from repro.suite.scales import SCALES
from repro.suite.spec import Column, Row, Share
from repro.suite.store import CellPredictions, Store
from repro.suite.work import build_plan, expected_cells
from repro.table4 import TABLE
from repro.table5 import TABLE as _TABLE5

SCALE = SCALES["quick"]


def dataset(name, n_subjects=6, videos=10, frames=150, content="0", subject="s"):
    records = []
    for s in range(n_subjects):
        for v in range(videos):
            levels = np.zeros(frames, np.int64)
            levels[:] = v % 5 if name == "biovid" else 0
            if name == "unbc" and v % 3 == 0:
                levels[40:70] = 1 + v % 4
            records.append(VideoRecord(f"{subject}{s}", f"{subject}{s}/v{v}", frames, levels))
    n_levels = 5 if name == "biovid" else 17
    return Dataset(name, "nowhere", records, content=content, n_levels=n_levels)


def corpora(clips=SCALE.clips, **changes):
    return {name: Corpus(dataset(name, **changes), clips[name], 40) for name in ("unbc", "biovid")}


TABLE4, TABLE5 = TABLE.without_simulated_rows(), _TABLE5.without_simulated_rows()


def plan(table=TABLE4, scale=SCALE, store="store", data=None, device="cpu", repetitions=1):
    return build_plan(table, scale, data or corpora(), Store(store), repetitions=repetitions, device=device)


def tasks_of(made, kind):
    return {task.id: task for task in made.tasks if task.kind == kind}


def test_a_table_has_a_cell_for_each_row_and_fold():
    made = plan()
    assert len(made.cells) == len(TABLE4.rows) * SCALE.n_folds == expected_cells(TABLE4, SCALE, 1)
    assert len({cell.key for cell in made.cells}) == len(made.cells)
    assert len(plan(repetitions=2).cells) == 2 * len(made.cells)


def test_rows_are_repeated_where_the_scale_repeats():
    repeating = replace(SCALE, repeats=True)
    shuffled = sum(row.shuffled for row in TABLE4.rows)
    assert shuffled and {row.repeat for row in TABLE4.rows if row.shuffled} == {2}
    made = plan(scale=repeating)
    assert len(made.cells) == (len(TABLE4.rows) + shuffled) * SCALE.n_folds == expected_cells(TABLE4, repeating, 1)
    assert {cell.key for cell in plan().cells} < {cell.key for cell in made.cells}


def test_no_held_out_subject_enters_a_pretext():
    made = plan()
    fillers, pretexts = tasks_of(made, "cell"), tasks_of(made, "pretext")
    looked_at = 0
    for cell in made.cells:
        task = fillers[f"cell-{cell.key}"]
        if task.arguments.get("pretext") is None:
            continue
        target = "unbc" if cell.row.endswith("UNBC-McMaster") else "biovid"
        videos = pretexts[f"pretext-{task.arguments['pretext']}"].arguments["videos"]
        if target in videos:
            looked_at += 1
            seen = {video.split("/")[0] for video in videos[target]}
            assert seen and seen <= set(task.arguments["train_subjects"])
    assert looked_at == 6 * SCALE.n_folds


def test_shares_are_of_all_videos_and_nested():
    made = plan()
    pretexts = tasks_of(made, "pretext").values()
    by_share = {}
    for task in pretexts:
        videos = task.arguments["videos"]
        if videos.get("unbc") is not None:
            by_share.setdefault(len(videos["unbc"]), []).append(set(videos["unbc"]))
    assert sorted(by_share) == [6, 18, 30]  # 10, 30, 50 % of 60 videos
    assert all(any(small <= large for large in by_share[18]) for small in by_share[6])


def test_a_pretext_without_target_data_is_trained_once_for_all_folds():
    made = plan()
    keys = {label: len(keys) for label, keys in made.artifacts.items()}
    assert keys["BioVid → UNBC-McMaster"] == keys["UNBC-McMaster → BioVid"] == 1
    assert keys["BioVid + UNBC-McMaster (30%) → UNBC-McMaster"] == SCALE.n_folds
    assert len(tasks_of(made, "pretext")) == 2 + 6 * SCALE.n_folds


def test_keys_do_not_hold_place_or_device():
    first = {cell.key for cell in plan(store="here").cells}
    assert first == {cell.key for cell in plan(store="there", device="cuda").cells}


@pytest.mark.parametrize(
    "change",
    [
        {"data": corpora(content="1")},
        {"scale": replace(SCALE, input=replace(SCALE.input, window=7))},
        {"scale": replace(SCALE, fine_tuning=replace(SCALE.fine_tuning, balance=0.5))},
        {"data": corpora({**SCALE.clips, "unbc": replace(SCALE.clips["unbc"], stride=20)})},
    ],
    ids=["data", "input", "fine-tuning", "clips"],
)
def test_what_changes_a_number_changes_its_key(change):
    row = "BioVid + UNBC-McMaster (10%) → UNBC-McMaster"
    before = {cell.fold: cell.key for cell in plan().cells if cell.row == row}
    after = {cell.fold: cell.key for cell in plan(**change).cells if cell.row == row}
    assert set(before.values()).isdisjoint(after.values())


def test_changing_the_pretext_leaves_cells_without_one_alone():
    other = replace(SCALE, pretext=replace(SCALE.pretext, steps_per_epoch=7))
    before, after = ({(c.row, c.fold, c.repetition): c.key for c in plan(scale=s).cells} for s in (SCALE, other))
    for place in before:
        assert (before[place] == after[place]) == place[0].startswith(("no pretext", "mean"))


def test_cutting_labelled_clips_otherwise_leaves_pretexts_alone():
    other = plan(data=corpora({**SCALE.clips, "unbc": replace(SCALE.clips["unbc"], stride=20)}))
    assert set(tasks_of(other, "pretext")) == set(tasks_of(plan(), "pretext"))


def test_methods_are_paired_by_fold_and_seed():
    seeds = {}
    for cell in (made := plan()).cells:
        task = tasks_of(made, "cell")[f"cell-{cell.key}"]
        if "seed" in task.arguments:
            seeds.setdefault((cell.row.rpartition(" → ")[2], cell.fold, cell.repetition), set()).add(
                task.arguments["seed"]
            )
    assert all(len(found) == 1 for found in seeds.values()) and len(seeds) == 2 * SCALE.n_folds


def test_a_pretext_must_not_see_its_whole_target():
    row = Row("bad", ("bad", "bad"), "unbc", pretext=(Share("unbc"),), published=False)
    with pytest.raises(ValueError, match="its own test data"):
        plan(table=replace(TABLE4, rows=(row,)))


def test_a_share_that_the_training_subjects_lack_blocks_its_row_only():
    made = plan(scale=replace(SCALE, n_folds=2), data=corpora(n_subjects=3))
    blocked = {cell.row for cell in made.cells if cell.reason}
    assert blocked == {row.label for row in TABLE4.rows if "50%" in row.label} == set(made.reasons)
    assert all("lower the share" in reason for reason in made.reasons.values())
    assert all(bool(cell.key) != bool(cell.reason) for cell in made.cells)


def test_what_is_left_shrinks_and_is_divided_among_shards(tmp_path):
    store = Store(tmp_path)
    made = plan(store=tmp_path)
    everything = made.remaining(store)
    assert len(everything) == len(made.tasks)
    done = made.cells[0].key
    scores = np.full((2, 5), 0.2, np.float32)
    store.write(done, CellPredictions(np.array(["a", "b"]), np.array(["a", "b"]), np.array([0, 1]), scores, 0, 0), {})
    assert f"cell-{done}" not in {task.id for task in made.remaining(store)}
    assert f"cell-{done}" in {task.id for task in made.remaining(store, always=True)}
    shards = [
        {t.id for t in made.remaining(Store(tmp_path / "empty"), shard=(i, 3)) if t.kind == "cell"} for i in (1, 2, 3)
    ]
    assert sum(map(len, shards)) == len(made.cells) and len(set.union(*shards)) == len(made.cells)


def test_requirements_are_in_the_plan():
    made = plan()
    known = {task.id for task in made.tasks}
    assert all(set(task.requires) <= known for task in made.tasks)


def test_too_short_videos_are_in_the_ledger():
    data = dataset("unbc")
    short = VideoRecord("s0", "s0/short", 39, np.zeros(39, np.int64))
    data.records.append(short)
    corpus = Corpus(data, SCALE.clips["unbc"], 40)
    assert len(corpus.sources(Material(), SCALE.input)) > 0
    (remark,) = corpus.remarks
    assert "1 of 61 videos" in remark and "s0/short" in remark
    (row,) = corpus.excluded
    assert row.file == "s0/short" and "39 frames" in row.reason and "segments" in row.reason
    only_short = Dataset("unbc", "nowhere", [short], content="0", n_levels=17)
    with pytest.raises(ValueError, match="39"):
        Corpus(only_short, SCALE.clips["unbc"], 40)


def few(**changes):
    row = {"label": "few", "lead": ("few",), "target": "unbc", "method": "scratch", "published": False, **changes}
    return replace(TABLE4, rows=(Row(**row),))


def test_few_labels_are_of_training_subjects_nested_and_paired():
    chosen = {}
    for labels in (24, 48):
        for method in ("scratch", "siamese"):
            pretext = (Share("biovid"),) if method == "siamese" else ()
            made = plan(few(labels=labels, method=method, pretext=pretext))
            for cell in made.cells:
                arguments = tasks_of(made, "cell")[f"cell-{cell.key}"].arguments
                clips = chosen.setdefault((labels, cell.fold), arguments["labelled"])
                assert clips == arguments["labelled"] and len(clips) == labels, "all methods have the same labels"
                assert {clip.split("/")[0] for clip in clips} <= set(arguments["train_subjects"])
    assert all(set(chosen[24, fold]) < set(chosen[48, fold]) for fold in range(SCALE.n_folds))


def test_more_labels_than_clips_are_a_reason():
    made = plan(few(labels=10_000))
    assert not made.keys and "10000 labelled clips" in made.reasons["few"]


def test_probes_and_hyper_parameters_of_a_row_change_keys():
    kinds = [few(), few(probed=True), few(labels=24)]
    pretext = (Share("biovid"),)
    kinds += [few(method="siamese", pretext=pretext, task=task) for task in ((), (("distance", "mean"),))]
    keys = [key for table in kinds for key in plan(table).keys]
    assert len(set(keys)) == len(keys) == 5 * SCALE.n_folds


def test_a_pretext_on_training_subjects_sees_all_of_theirs_and_no_other():
    made = plan(few(method="siamese", pretext=(Share("unbc", training_subjects=True),)))
    for cell in made.cells:
        arguments = tasks_of(made, "cell")[f"cell-{cell.key}"].arguments
        videos = tasks_of(made, "pretext")[f"pretext-{arguments['pretext']}"].arguments["videos"]["unbc"]
        assert {video.split("/")[0] for video in videos} == set(arguments["train_subjects"])
        assert len(videos) == 10 * len(arguments["train_subjects"])


def test_rows_of_other_scales_are_left_out():
    table = replace(TABLE4, rows=(replace(TABLE4.rows[0], scales=("smoke",)), TABLE4.rows[1]))
    assert table.at("quick").rows == TABLE4.rows[1:2] and table.at("smoke").rows == table.rows


def test_parameters_of_a_simulated_domain_do_not_matter_on_given_data():
    rows = [few(domain=(("landmark_error", 0.01),)), few(domain=(("head_motion", 1.0),), simulated_only=True)]
    populations = [p.name for table in rows for p in table.on_given_data().populations if p.dataset == "unbc"]
    assert populations == ["unbc", "unbc head_motion=1"]


def test_no_held_out_subject_is_learned_from_across_datasets():
    made = plan(TABLE5)
    looked_at = 0
    for cell in made.cells:
        arguments = tasks_of(made, "cell")[f"cell-{cell.key}"].arguments
        if "tested" not in arguments:
            continue
        seen = arguments["videos"].get(arguments["target"])
        if seen is not None:
            looked_at += 1
            assert seen and {video.split("/")[0] for video in seen} <= set(arguments["train_subjects"])
    assert looked_at == 6 * SCALE.n_folds


def test_all_of_a_target_is_refused_as_labelled_data():
    with pytest.raises(ValueError, match="must not see all of unbc"):
        plan(few(labelled=(Share("biovid"), Share("unbc"))))


def test_a_row_and_a_column_tell_the_place_together():
    columns = (Column("UNBC", "auc_ovr", target="unbc"), Column("BioVid", "auc_ovr", target="biovid"))
    rows = tuple(Row(kind, (kind,), "", "scratch", input=kind, published=False) for kind in ("RGB", "SSD(RGB)"))
    made = plan(replace(TABLE4, rows=rows, columns=columns))
    places = {(cell.row, cell.place.population.dataset, cell.place.input) for cell in made.cells}
    assert places == {(kind, data, kind) for kind in ("RGB", "SSD(RGB)") for data in ("unbc", "biovid")}
    assert len(set(made.keys)) == len(made.cells) == 4 * SCALE.n_folds


def test_a_pretext_has_no_3d_network():
    made = plan(few(method="siamese", pretext=(Share("biovid"),), input="Video"))
    assert not made.keys and not any(cell.applicable for cell in made.cells)
    assert "2D" in made.reasons["few"]


def test_a_scale_may_leave_out_groups_in_place_of_single_subjects():
    table = replace(few(), protocol="leave_one_subject_out")
    assert len(plan(table).cells) == SCALE.n_folds
    assert len(plan(table, scale=replace(SCALE, protocols={})).cells) == 6, "one of each subject"


def test_an_architecture_may_have_a_learning_rate_of_its_own():
    schedule = replace(SCALE.fine_tuning.schedule, learning_rate=0.5)
    others, own = few(), few(network=(("name", "vgg16"),))
    asked = replace(own, rows=tuple(replace(row, training=(("schedule", schedule),)) for row in own.rows))
    rates = []
    for table in (others, own, asked):
        given = [task.arguments["settings"].schedule.learning_rate for task in tasks_of(plan(table), "cell").values()]
        rates.append(set(given))
    assert rates == [{SCALE.fine_tuning.schedule.learning_rate}, {SCALE.learning_rates["vgg16"]}, {0.5}]


def test_a_network_whose_accuracy_is_shown_is_left_to_do_even_if_all_cells_are_there(tmp_path):
    columns = (Column("AUC", "auc_ovr"), Column("accuracy", "pretext_accuracy", published=False))
    row = few(method="siamese", pretext=(Share("unbc", training_subjects=True),)).rows[0]
    store, scores = Store(tmp_path), np.full((2, 5), 0.2, np.float32)
    left = []
    for shown in (columns, columns[:1]):
        made = plan(replace(few(), rows=(row,), columns=shown), store=tmp_path)
        for key in made.keys:
            names = np.array(["a", "b"])
            store.write(key, CellPredictions(names, names, np.array([0, 1]), scores, 0, 0), {})
        left.append({task.id.partition("-")[2] for task in made.remaining(store) if task.kind == "pretext"})
        assert all(task.kind in ("input", "pretext") for task in made.remaining(store))
    networks = set(plan(replace(few(), rows=(row,), columns=columns)).networks(row.label, "SSD(RGB)"))
    assert left == [networks, set()] and len(networks) == SCALE.n_folds
