"""The Siamese pretext task: what is drawn, what is measured, and that it neither collapses nor cheats."""

import numpy as np
import pytest
import torch

from repro.data.encoding import InputSpec
from repro.data.material import Material
from repro.data.schema import Dataset, VideoRecord
from repro.learning.augmentation import Augmentation
from repro.learning.pretext import BackboneSpec, PretextPool, train_pretext
from repro.learning.schedule import Schedule
from repro.siamese.pretext import SiamesePretext, SiameseStills, effective_rank

BACKBONE = BackboneSpec("resnet18", width=0.25)


def bars(n_subjects=5, sources=6, clips=8, size=32, seed=0, nuisance=1.0):
    """A bar whose height in the image tells the source, on a grey that tells the subject; light varies."""
    generator = torch.Generator().manual_seed(seed)
    images, names, subjects = [], [], []
    for subject in range(n_subjects):
        for source in range(sources):
            for _ in range(clips):
                light = nuisance * float(torch.rand((), generator=generator))
                image = 40 + 25 * subject + 60 * light + 10 * torch.randn(3, size, size, generator=generator)
                row = 3 + source * (size - 8) // sources
                image[:, row : row + 3] += 40
                images.append(image.clamp(0, 255).to(torch.uint8))
                names.append(f"s{subject}/v{source // 2}#{source % 2}")
                subjects.append(f"s{subject}")
    names = np.array(names)
    return PretextPool(torch.stack(images), names, np.array([n.split("#")[0] for n in names]), np.array(subjects))


def test_effective_rank_of_known_spectra():
    orthogonal = torch.linalg.qr(torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    centred = torch.linalg.qr(orthogonal - orthogonal.mean(0))[0]
    assert effective_rank(centred) == pytest.approx(6, rel=1e-9)
    line = torch.linspace(-1, 1, 9)[:, None] * torch.ones(1, 5)
    assert effective_rank(line) == pytest.approx(1, abs=1e-4)  # float32 rounding leaves tiny singular values
    assert effective_rank(torch.ones(7, 3)) == 1.0


@pytest.mark.parametrize("objective", ["infonce", "contrastive"])
def test_it_is_learned_on_held_out_subjects_without_collapse(objective):
    task = SiamesePretext(objective=objective, dimensions=32, augmentation=Augmentation(area=(0.8, 1.0)))
    schedule = Schedule(3, 64, 0.1, "cosine", clip_norm=1.0)
    history = train_pretext(
        task, bars(n_subjects=8), BACKBONE, schedule, steps_per_epoch=30, held_out_subjects=3, seed=0
    ).history
    before, after = history[0], history[-1]
    # the bar's height tells sources apart; 18 held-out sources give 18 positive and 90 negative pairs of a subject
    assert after["held_out_auc_same_subject"] > max(0.7, before["held_out_auc_same_subject"] + 0.05)
    assert after["loss"] < 0.3 * history[1]["loss"]
    assert after["held_out_positive"] < after["held_out_negative_same_subject"]
    assert after["held_out_effective_rank"] > 2
    assert all(np.isfinite(list(row.values())).all() for row in history)


def test_the_ablation_by_means_is_another_loss():
    network = SiamesePretext(dimensions=16).network(BACKBONE.build(torch.Generator().manual_seed(0)), torch.Generator())
    losses = {}
    for distance in ("hull", "mean"):
        task = SiamesePretext(dimensions=16, distance=distance)
        losses[distance] = float(task.loss(network, bars(), torch.Generator().manual_seed(1), 32)[0].detach())
    assert abs(losses["hull"] - losses["mean"]) > 1e-3


@pytest.mark.parametrize("negatives", ["same_subject", "other_subjects", "mixed"])
def test_who_shares_a_batch(negatives):
    pool = bars()
    task = SiamesePretext(negatives=negatives, dimensions=16, clips_per_source=8, stretch=None)
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):
        index, group = (tensor.numpy() for tensor in task.draw(pool, 4, generator))
        assert index.shape == (4, 8) and group.shape == (4,)
        for row in index:
            assert len(set(pool.sources[row])) == 1, "a row is one source"
            assert len(set(row)) == 8, "clips are drawn without replacement"
        assert len({pool.sources[row[0]] for row in index}) == 4, "sources are distinct"
        subjects = pool.subjects[index[:, 0]]
        if negatives == "same_subject":
            assert sorted(np.bincount(group)) == [2, 2], "two subjects with two sources each"
            assert all(len(set(subjects[group == g])) == 1 for g in set(group)), "a group is one subject"
            assert len(set(subjects)) == 2
        else:
            assert set(group) == {0}
        if negatives == "other_subjects":
            assert len(set(subjects)) == 4


def test_evaluation_separates_same_and_other_subjects():
    class Brightness(torch.nn.Module):
        """Knows the subject and nothing else."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            level = x.mean((1, 2, 3))
            return torch.stack([torch.cos(3 * level), torch.sin(3 * level)] + [0 * level] * 14, dim=1)

    measures = SiamesePretext(dimensions=16, distance="mean").evaluate(
        Brightness(), bars(nuisance=0.0), torch.Generator().manual_seed(0)
    )
    assert measures["auc_other_subject"] > 0.95
    assert measures["auc_same_subject"] < 0.75


def test_a_pool_without_negatives_of_the_same_subject_is_refused():
    pool = bars(sources=1)
    task = SiamesePretext(dimensions=16)
    network = task.network(BACKBONE.build(torch.Generator().manual_seed(0)), torch.Generator())
    with pytest.raises(ValueError, match="mixed"):
        task.loss(network, pool, torch.Generator(), 32)
    with pytest.raises(ValueError, match="smaller stride"):
        task.loss(network, bars(clips=3), torch.Generator(), 32)


def test_one_half_of_each_source_is_mirrored():
    class Edge(torch.nn.Module):
        """Tells on which side the image is brighter."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.seen = []

        def forward(self, x):
            self.seen.append((x[..., :16].mean((1, 2, 3)) > x[..., 16:].mean((1, 2, 3))).tolist())
            return torch.nn.functional.normalize(x.mean((2, 3)) + 0 * self.weight, dim=-1).repeat(1, 4)

    pool = bars()
    pool.images[..., :16] = 0  # the right half is the brighter one
    for task in (SiamesePretext(dimensions=12), SiamesePretext(dimensions=12, mirror=False)):
        network = Edge()
        task.loss(network, pool, torch.Generator().manual_seed(0), 64)
        sides = np.array(network.seen[0]).reshape(-1, 2, 2)  # source, half, clip
        if task.mirror:
            assert (sides[..., 0] == sides[..., 1]).all() and (sides[:, 0] != sides[:, 1]).all()
            assert 0 < sides[:, 0, 0].mean() < 1, "either half"
        else:
            assert (sides[..., 0] != sides[..., 1]).any()


def single(**options):
    """A pool of stills: one image a source."""
    pool = bars(**options)
    return pool.select(np.unique(pool.sources, return_index=True)[1])


def test_a_still_is_shown_several_times_and_never_the_same():
    class Seen(torch.nn.Module):
        """Keeps what it is shown."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.images = []

        def forward(self, x):
            self.images.append(x)
            return torch.nn.functional.normalize(x.mean((2, 3)) + 0 * self.weight, dim=-1).repeat(1, 4)

    pool, task, network = single(), SiamesePretext(dimensions=12).on_stills(), Seen()
    index, group = task.draw(pool, 4, torch.Generator().manual_seed(3))
    assert index.shape == (4, 4) and (index == index[:, :1]).all(), "a row is one still"
    assert len(set(index[:, 0].tolist())) == 4 and sorted(np.bincount(group)) == [2, 2]
    assert all(len(set(pool.subjects[index[group == g, 0]])) == 1 for g in (0, 1)), "negatives are of one identity"
    task.loss(network, pool, torch.Generator().manual_seed(0), 16)
    task.evaluate(network, pool, torch.Generator().manual_seed(0))
    for images in network.images:
        for shown in images.unflatten(0, (-1, 4)):
            for i in range(4):
                for j in range(i):
                    assert (shown[i] - shown[j]).abs().max() > 0.05
                    assert (shown[i] - shown[j].flip(-1)).abs().max() > 0.05


def test_the_task_on_stills_keeps_its_settings():
    task = SiamesePretext(objective="contrastive", dimensions=48, clips_per_source=6, stretch=6)
    stills = task.on_stills()
    assert type(stills) is SiameseStills and stills.on_stills() is stills
    assert stills.material() == Material() and (stills.objective, stills.dimensions) == ("contrastive", 48)
    described = stills.description()
    assert described["stills"] is True and "stretch" not in described
    assert {name: described[name] for name in task.description() if name != "stretch"} == {
        name: value for name, value in task.description().items() if name != "stretch"
    }


def test_stills_that_would_be_shown_the_same_each_time_are_refused():
    with pytest.raises(ValueError, match="the same each time; let it crop"):
        SiamesePretext(augmentation=Augmentation(area=(1.0, 1.0), aspect=1.0)).on_stills()


def test_it_is_learned_from_stills_of_held_out_subjects():
    task = SiamesePretext(dimensions=32, augmentation=Augmentation(area=(0.9, 1.0), aspect=1.05)).on_stills()
    schedule = Schedule(2, 64, 0.1, "cosine", clip_norm=1.0)
    pool, backbone = single(n_subjects=8, nuisance=0.0), BackboneSpec("resnet18", width=0.125)
    history = train_pretext(task, pool, backbone, schedule, steps_per_epoch=25, held_out_subjects=3, seed=0).history
    before, after = history[0], history[-1]
    # nothing but the bar's height tells stills of one subject apart; AUC of 18 positive and 90 negative pairs
    assert after["held_out_auc_same_subject"] > max(0.9, before["held_out_auc_same_subject"] + 0.1)
    assert after["loss"] < 0.3 * history[1]["loss"]


def test_short_stretches_are_hardly_longer_than_a_clip():
    data = Dataset("unbc", "", [VideoRecord("s", "s/v", 130, np.zeros(130, np.int64))], content="0", n_levels=17)
    material = SiamesePretext().material()
    cut = {"clip_length": 40, "stride": 10, "clips_per_source": 8}
    sources = material.cut(data, InputSpec(), **cut)
    starts = [[clip.start for clip in source.clips] for source in sources]
    assert starts == [[0, 5, 10, 15, 20], [60, 65, 70, 75, 80]]
    assert {len(clip) for source in sources for clip in source.clips} == {40}
    usual = SiamesePretext(stretch=None).material()
    assert usual == Material() and usual.describe() == {} != material.describe()


@pytest.mark.parametrize(
    "bad",
    [
        {"objective": "triplet"},
        {"distance": "cosine"},
        {"negatives": "none"},
        {"clips_per_source": 7},
        {"clips_per_source": 128},
        {"temperature": 0.0},
        {"margin": -1.0},
        {"stretch": 3},
    ],
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError):
        SiamesePretext(**bad)
