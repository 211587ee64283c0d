"""Stills as a pretext task's data: a source each, squares around boxes, keys, damage, and the way to a network."""

import pickle
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from baselines import METHODS
from repro.data import open_dataset
from repro.data.clips import Clip
from repro.data.encoding import InputSpec
from repro.data.inputs import read_inputs, read_notes, write_shard
from repro.data.material import Material
from repro.data.schema import UNLABELLED, DataError, Dataset, VideoRecord
from repro.data.still_images import BOXED, WHOLE, encode_stills, still_input
from repro.learning.pretext import BackboneSpec, NeedsMotion
from repro.learning.schedule import Schedule
from repro.siamese.pretext import ShortStretches, SiameseStills
from repro.suite.corpus import Corpus, NotApplicable
from repro.suite.encoding import encoding_tasks, faces_found
from repro.suite.pretraining import plan_pretext
from repro.suite.scales import SCALES
from repro.suite.spec import Clips
from repro.suite.still_corpus import StillCorpus
from repro.suite.store import Store

SMOKE = SCALES["smoke"]
SPEC = InputSpec("RGB", size=32, alignment="none")
BOX = (10, 4, 20, 32)
IDENTITIES, STILLS = 5, 4


def draw(identity, number):
    """Textured background, a face of one colour in the box, a mark in the face's middle."""
    rng = np.random.default_rng((identity, number))
    image = rng.integers(0, 90, (44, 50, 3), dtype=np.uint8)
    x, y, width, height = BOX
    image[y : y + height, x : x + width] = (200, 40 * identity, 30 * number)
    return image


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "vggface2"
    rows = ["NAME_ID,X,Y,W,H"]
    for identity in range(IDENTITIES):
        folder = root / "train" / f"n{identity:06d}"
        folder.mkdir(parents=True)
        for number in range(STILLS):
            cv2.imwrite(str(folder / f"{number:04d}_01.jpg"), draw(identity, number)[..., ::-1])
            rows.append(f'"{folder.name}/{number:04d}_01",' + ",".join(map(str, BOX)))
    (root / "bb_landmark").mkdir()
    (root / "bb_landmark/loose_bb_train.csv").write_text("\n".join(rows) + "\n")
    return root


def corpus(root, strict=True):
    return StillCorpus(open_dataset("vggface2", root, strict=strict))


def stills(record, *numbers):
    return [Clip(record.subject, record.video, i, i + 1, UNLABELLED) for i in numbers]


def plan(given, method="siamese", spec=SPEC, videos=None, corpora=None, repetition=0, store="store"):
    run = replace(SMOKE.pretext, schedule=Schedule(1, 8, 0.03), steps_per_epoch=1, methods={})
    task = METHODS[method].load()(**SMOKE.pretext.options(method))
    return plan_pretext(
        task, method, {"vggface2": given, **(corpora or {})}, videos or {"vggface2": None}, spec,
        replace(SMOKE.fine_tuning, backbone=BackboneSpec("resnet18", width=0.125)), run,
        repetition=repetition, store=str(store), device="cpu",
    )  # fmt: skip


def videos_corpus():
    records = [VideoRecord(f"s{s}", f"s{s}/v{v}", 60, np.zeros(60, np.int64)) for s in range(4) for v in range(2)]
    return Corpus(Dataset("unbc", "nowhere", records, content="0", n_levels=17), Clips(45, 45, 20, 10, 4), 20)


def test_each_still_is_a_source_of_one_frame(root):
    given = corpus(root)
    sources = given.sources(Material(), SPEC)
    assert len(sources) == len({source.id for source in sources}) == IDENTITIES * STILLS
    assert [source.subject for source in sources[::STILLS]] == [f"n{i:06d}" for i in range(IDENTITIES)]
    assert all(len(source.clips) == 1 and len(source.clips[0]) == 1 for source in sources)
    assert [source.clips[0].start for source in sources[:STILLS]] == [source.index for source in sources[:STILLS]]
    assert {source.clips[0].level for source in sources} == {UNLABELLED}
    assert given.excluded == [] and given.remarks == []


def test_what_only_videos_have_is_refused(root):
    given = corpus(root)
    with pytest.raises(ValueError, match="stills have no short stretches"):
        given.sources(ShortStretches(), SPEC)
    for spec in (replace(SPEC, kind="SSD(RGB)"), replace(SPEC, kind="OF"), replace(SPEC, alignment="crop")):
        with pytest.raises(ValueError, match="ask for still_input"):
            given.sources(Material(), spec)
    with pytest.raises(ValueError, match="vggface2 has no labelled clips"):
        encoding_tasks(given, SPEC, "store")
    with pytest.raises(ValueError, match="unbc has videos"):
        StillCorpus(videos_corpus().dataset)
    with pytest.raises(ValueError, match="0001:0-2 is no still"):
        record = given.dataset.records[1]
        encode_stills(record, [Clip(record.subject, record.video, 0, 2, UNLABELLED)], SPEC)


def test_the_specification_of_stills_has_nothing_of_the_clips():
    specs = [
        InputSpec(kind, size=48, alignment=alignment, frames=frames, window=7)
        for kind in ("RGB", "OF", "SSD(RGB)", "SSD(OF)")
        for alignment in ("auto", "fixed")
        for frames in (1, 5)
    ]
    assert {still_input(spec) for spec in specs} == {InputSpec("RGB", size=48, alignment="none")}


def test_faces_are_squares_around_boxes(root):
    """A square of 32 pixels around a box of 20 x 32 has 6 columns of background on either side."""
    record = corpus(root).dataset.records[2]
    encoded = encode_stills(record, stills(record, 1, 3), SPEC)
    assert encoded.images.shape == (2, 3, 32, 32) and encoded.images.dtype == torch.uint8
    assert (encoded.face, encoded.excluded) == (BOXED, []) and [clip.start for clip in encoded.clips] == [1, 3]
    for image, number in zip(encoded.images.float(), (1, 3), strict=True):
        assert image[0, :, 8:24].mean() == pytest.approx(200, abs=8)  # JPEG blurs colours
        assert image[2, :, 8:24].mean() == pytest.approx(30 * number, abs=8)
        assert image[0, :, :4].mean() < 100 and image[0, :, -4:].mean() < 100
    smaller = encode_stills(record, stills(record, 1), replace(SPEC, size=8)).images[0].float()
    averaged = encoded.images[0].float().unflatten(1, (8, 4)).unflatten(3, (8, 4)).mean((2, 4))
    assert (smaller - averaged).abs().max() <= 1, "pixels are averaged where a face shrinks"


def test_a_square_beyond_the_still_repeats_its_edge(root):
    record = corpus(root).dataset.records[1]
    whole = record.still(record.names()[0], None)
    square = record.square(record.names()[0], (-6, 0, 16, 40))  # 0..10 is left; 40 pixels around column 5
    assert square.shape == (3, 40, 40)
    assert torch.equal(square[:, :, 15:25], whole[:, :40, :10]), "what is within the still is as it is"
    assert torch.equal(square[:, :, :15], whole[:, :40, :1].expand(-1, -1, 15))
    with pytest.raises(DataError, match=r"box \(60, 0, 5, 5\).*outside the still"):
        record.square(record.names()[0], (60, 0, 5, 5))


def test_without_boxes_the_middle_is_taken(root):
    shutil.rmtree(root / "bb_landmark")
    record = corpus(root).dataset.records[0]
    encoded = encode_stills(record, stills(record, 0), replace(SPEC, size=44))
    whole = record.still(record.names()[0], None)
    assert encoded.face == WHOLE and torch.equal(encoded.images[0], whole[:, :, 3:47])


def test_damaged_stills_are_left_out_and_told(root, tmp_path):
    (root / "train/n000001/0002_01.jpg").write_bytes(b"\xff\xd8")
    boxes = root / "bb_landmark/loose_bb_train.csv"
    boxes.write_text(boxes.read_text().replace('"n000003/0000_01",10,4,20,32', '"n000003/0000_01",90,4,20,32'))
    strict, lenient = corpus(root), corpus(root, strict=False)
    (task,) = encoding_tasks(strict, SPEC, str(tmp_path), material=Material(), subjects={"n000001"}).values()
    with pytest.raises(DataError, match=r"n000001/0002_01\.jpg: is not a whole JPEG image"):
        task.function(**task.arguments)
    tasks = encoding_tasks(lenient, SPEC, str(tmp_path), material=Material(), subjects={"n000001", "n000003"})
    for task in tasks.values():
        task.function(**task.arguments)
    folders = [Store(tmp_path).input_folder(key) for key in tasks]
    told = [row for folder in folders for row in read_notes(folder).excluded]
    assert [(row.what, row.file) for row in told] == [
        ("still", "train/n000001/0002_01"),
        ("still", "train/n000003/0000_01"),
    ]
    assert "copy it again" in told[0].reason and "correct its row" in told[1].reason
    kept = read_inputs(folders)
    assert [clip.start for clip in kept.clips] == [0, 1, 3, 1, 2, 3], "the others keep their numbers"
    assert faces_found(tasks.values(), lenient, Store(tmp_path)) == {BOXED: 2}


def test_an_identity_with_damaged_boxes_or_fewer_stills_than_before(root):
    record = corpus(root, strict=False).dataset.records[0]
    shutil.move(root / "train/n000000/0003_01.jpg", root / "train/n000000/0003_01.gone")
    encoded = encode_stills(record, stills(record, 2, 3), SPEC)
    assert [clip.start for clip in encoded.clips] == [2] and "is gone, 3 are left" in encoded.excluded[0].reason
    boxes = root / "bb_landmark/loose_bb_train.csv"
    boxes.write_text(boxes.read_text().replace('n000000/0001_01",10', 'n000000/0001_01",x0'))
    encoded = encode_stills(record, stills(record, 0), SPEC)
    assert len(encoded.images) == 0 and [row.what for row in encoded.excluded] == ["identity"]
    with pytest.raises(DataError, match="expected NAME_ID,X,Y,W,H"):
        encode_stills(replace(record, strict=True), stills(record, 0), SPEC)


def test_identities_without_a_second_still_are_told(root):
    for number in (1, 2, 3):
        (root / f"train/n000004/{number:04d}_01.jpg").unlink()
    assert "1 of 5 identities have a single still" in corpus(root).remarks[0]
    with pytest.raises(ValueError, match="no still of vggface2 can be used; it holds no identity"):
        StillCorpus(Dataset("vggface2", root, [], content="0", n_levels=0))


def test_no_more_is_used_than_asked_for(root):
    dataset = open_dataset("vggface2", root)
    few = StillCorpus(dataset, most_identities=2, most_stills=3)
    assert [(s.subject, s.index) for s in few.sources(Material(), SPEC)] == [
        (subject, index) for subject in ("n000000", "n000002") for index in (0, 1, 2)
    ]
    assert few.remarks == [
        "vggface2: 2 of 5 identities are used",
        "vggface2: 6 of their 8 stills are used, at most 3 of each",
    ]
    all_of_them = StillCorpus(dataset, most_identities=9, most_stills=4)
    keys = [plan(given).key for given in (all_of_them, few, StillCorpus(dataset, most_stills=3))]
    assert keys[0] == plan(corpus(root)).key and len(set(keys)) == 3
    assert len(plan(few).inputs) == 2
    with pytest.raises(ValueError, match="most_stills must be at least 1, got 0"):
        StillCorpus(dataset, most_stills=0)


def test_a_network_is_shared_by_all_inputs_and_told_apart_by_all_else(root):
    given = corpus(root)
    base = plan(given)
    for spec in (
        replace(SPEC, kind="SSD(RGB)", segment_length=7, window=3),
        replace(SPEC, kind="SSD(OF)", alignment="fixed", flow="dis"),
        replace(SPEC, frames=5),
    ):
        same = plan(given, spec=spec)
        assert same.key == base.key and list(same.inputs) == list(base.inputs)
    others = {
        plan(given, spec=replace(SPEC, size=48)).key,
        plan(given, repetition=1).key,
        plan(given, videos={"vggface2": ["train/n000000", "train/n000003"]}).key,
        plan(given, "jigsaw").key,
    }
    (root / "train/n000002/0001_01.jpg").unlink()
    others.add(plan(corpus(root)).key)
    assert len(others | {base.key}) == 6
    assert base.description["task"]["stills"] is True and "stretch" not in base.description["task"]
    assert isinstance(base.training.arguments["task"], SiameseStills)
    assert base.training.label == "siamese on VGGFace2" and len(base.inputs) == IDENTITIES
    assert len(plan(given, videos={"vggface2": ["train/n000000", "train/n000003"]}).inputs) == 2


def test_a_network_of_videos_is_another(root):
    clips = {"unbc": videos_corpus()}
    of_videos = plan(corpus(root), videos={"unbc": None}, corpora=clips)
    assert "stills" not in of_videos.description["task"] and of_videos.key != plan(corpus(root)).key


def test_stills_and_clips_are_not_mixed(root):
    with pytest.raises(ValueError, match="stills of vggface2 cannot share a pretext with clips of unbc"):
        plan(corpus(root), videos={"unbc": None, "vggface2": None}, corpora={"unbc": videos_corpus()})


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.kind == "self-supervised"])
def test_tasks_learn_from_stills_or_say_that_they_need_motion(name, root, tmp_path):
    task = METHODS[name].load()
    assert task.stills == (name in ("jigsaw", "deepcluster", "siamese"))
    if not task.stills:
        with pytest.raises(NeedsMotion, match=f"{name} learns from what moves.*decision D14"):
            task().on_stills()
        with pytest.raises(NotApplicable, match="D14"):
            plan(corpus(root), name)
        return
    planned = plan(corpus(root), name, spec=replace(SPEC, kind="SSD(RGB)"), store=tmp_path)
    for step in (*planned.inputs.values(), planned.training):
        step = pickle.loads(pickle.dumps(step))  # as it travels to a worker
        step.function(**step.arguments)
    record, weights = Store(tmp_path).read_artifact(planned.key)
    assert weights and record["history"][-1]["epoch"] == 1
    assert np.isfinite([record["history"][-1][name] for name in ("loss", "held_out_accuracy", "held_out_chance")]).all()
    assert record["run"]["simulated"] is False


def test_a_shard_of_stills_is_made_once(root, tmp_path):
    record = corpus(root).dataset.records[0]
    work = [(record, [(clip, f"{record.video}#{clip.start}") for clip in stills(record, 0, 1)])]
    write_shard(tmp_path / "shard", work, SPEC)
    made = read_inputs([tmp_path / "shard"])
    assert made.sources == ("train/n000000#0", "train/n000000#1")
    assert torch.equal(made.images[:], encode_stills(record, stills(record, 0, 1), SPEC).images)
    shutil.rmtree(root)
    write_shard(tmp_path / "shard", work, SPEC)  # nothing is read again
