"""One update of each pretext task beside the Siamese one's; clustering, permutations and statistics beside references.

An update sees 64 images whatever the task, on the quick scale's network and images; what differs is how many pixels a
task makes of them (the tiles of Jigsaw are enlarged), and its head.
"""

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.cluster import KMeans

from baselines import METHODS
from baselines.selfsup import statistics_kernels
from baselines.selfsup.clip_statistics import patterns
from baselines.selfsup.clustering import kmeans
from baselines.selfsup.permutations import permutation_set
from repro.data.encoding import InputSpec, encode
from repro.data.schema import Dataset, VideoRecord
from repro.learning.pretext import PretextPool
from repro.suite.scales import SCALES

QUICK = SCALES["quick"]
TASKS = ["siamese", *(m.name for m in METHODS.values() if m.kind == "self-supervised" and m.name != "siamese")]


class Drifting(VideoRecord):
    """A drifting pattern."""

    def frames(self):
        generator = torch.Generator().manual_seed(len(self.video))
        wide = torch.randint(0, 256, (3, 64, 64 + self.n_frames), generator=generator, dtype=torch.uint8)
        return torch.stack([wide[..., t : t + 64] for t in range(self.n_frames)])


def pool_of(task):
    """Return what the task sees of three subjects' videos, as RGB frames."""
    names = [(f"s{s}", f"s{s}/{v}") for s in range(3) for v in ("v", "vv")]
    records = [Drifting(subject, video, 140, np.zeros(140, np.int64)) for subject, video in names]
    data = Dataset("unbc", "nowhere", records, content="0", n_levels=17)
    material = task.material()
    spec = material.input(InputSpec("RGB", size=64, alignment="none", flow="dis"))
    sources = material.cut(data, spec, clip_length=40, stride=10, clips_per_source=8)
    sets = []
    for record in records:
        clips = [clip for source in sources if source.video == record.video for clip in source.clips]
        sets.append(encode(record, clips, spec, material))
    return PretextPool(
        torch.cat([part.images for part in sets]),
        *(np.array([getattr(x, what) for x in sources for _ in x.clips]) for what in ("id", "video", "subject")),
        {name: torch.cat([part.extra.views[name] for part in sets]) for name in sets[0].extra.views},
        {name: np.concatenate([part.extra.numbers[name] for part in sets]) for name in sets[0].extra.numbers},
    )


@pytest.fixture(scope="module")
def seconds():
    """Seconds of the updates that were measured so far."""
    return {}


@pytest.mark.benchmark(group="an update of 64 images, ResNet-18 of quarter width, 64 px")
@pytest.mark.parametrize("name", TASKS)
def test_update(benchmark, seconds, name):
    options = dict(QUICK.pretext.options(name))
    task = METHODS[name].load()(**(options | {"clusters": 8} if name == "deepcluster" else options))
    pool, generator = pool_of(task), torch.Generator().manual_seed(0)
    network = task.network(QUICK.fine_tuning.backbone.build(generator), generator)
    schedule = QUICK.pretext.schedule_of(name)
    optimiser = schedule.optimiser(network.parameters())
    task.start_epoch(network.eval(), pool, generator, optimiser)
    network.train()

    def step():
        loss, _ = task.loss(network, pool, generator, schedule.batch_size)
        schedule.update(optimiser, loss, 0, 1)

    benchmark.pedantic(step, rounds=10, warmup_rounds=2)
    if benchmark.stats is not None:
        seconds[name] = benchmark.stats.stats.median
        if name != "siamese" and "siamese" in seconds:
            benchmark.extra_info["seconds_over_siamese"] = round(seconds[name] / seconds["siamese"], 2)


@pytest.mark.benchmark(group="k-means, 2000 points of 64 dimensions, 50 clusters, 20 iterations")
@pytest.mark.parametrize("by", ["scikit-learn", "ours"])
def test_kmeans(benchmark, seconds, by):
    points = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0))
    initial = points[:50].clone()

    def theirs():
        KMeans(50, init=initial.numpy(), n_init=1, max_iter=20, tol=0, algorithm="lloyd").fit(points.numpy())

    def ours():
        kmeans(points, 50, torch.Generator().manual_seed(0), initial=initial)

    benchmark.pedantic(ours if by == "ours" else theirs, rounds=10, warmup_rounds=2)
    if benchmark.stats is not None:
        seconds[by] = benchmark.stats.stats.median
        if by == "ours" and "scikit-learn" in seconds:
            benchmark.extra_info["times_as_fast_as_scikit_learn"] = round(seconds["scikit-learn"] / seconds["ours"], 2)


def literal_permutations(count):
    """Choose the first permutations as the paper's algorithm says, one distance at a time."""
    from itertools import permutations

    left = list(permutations(range(6)))
    chosen = [left.pop(0)]
    while len(chosen) < count:
        scores = []
        for candidate in left:
            distances = [sum(a != b for a, b in zip(candidate, other, strict=True)) for other in chosen]
            scores.append((min(distances), sum(distances)))
        chosen.append(left.pop(scores.index(max(scores))))
    return chosen


@pytest.mark.benchmark(group="100 permutations of 6")
@pytest.mark.parametrize("by", ["literal loop", "ours"])
def test_permutations(benchmark, seconds, by):
    def ours():
        permutation_set.cache_clear()
        permutation_set(100, 6)

    benchmark.pedantic(ours if by == "ours" else lambda: literal_permutations(100), rounds=3, warmup_rounds=1)
    if benchmark.stats is not None:
        seconds[f"permutations by {by}"] = benchmark.stats.stats.median
        if by == "ours" and (loop := seconds.get("permutations by literal loop")):
            own = seconds["permutations by ours"]
            benchmark.extra_info["times_as_fast_as_literal_loop"] = round(loop / own, 1)


def whole_arrays(frames, fields, blocks):
    """Compute what the compiled loops do by SciPy's filters and NumPy's counts, a frame or a field at a time."""
    counts = []
    for frame in frames.reshape(len(frames), 3, -1):
        places = (blocks[:, None] * 3 + np.arange(3)[:, None]) * 256 + frame
        red, green, blue = (frame >= 128).astype(np.int64)
        octants = blocks * 8 + 4 - 4 * blue + 2 * red + green
        counts.append(
            [np.bincount(places.ravel(), minlength=28 * 3 * 256), np.bincount(octants.ravel(), minlength=224)]
        )
    change, total = [-1.0, 0.0, 1.0], [1.0, 1.0, 1.0]
    strengths = []
    for field in fields.astype(np.float64):
        x, y = (
            ndimage.correlate1d(ndimage.correlate1d(field, change, axis=along), total, axis=across)
            for along, across in ((-1, -2), (-2, -1))
        )
        strengths.append(np.sqrt(x**2 + y**2).sum((-2, -1)))
    return counts, np.array(strengths)


@pytest.mark.benchmark(group="statistics of 138 frames of 48 pixels: values, octants, motion boundaries")
@pytest.mark.parametrize("by", ["SciPy and NumPy", "ours"])
def test_statistics(benchmark, seconds, by):
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (138, 3, 48, 48), dtype=np.uint8)
    fields = generator.normal(size=(128, 2, 48, 48)).astype(np.float32)
    blocks = patterns(48).reshape(3, -1) + np.array([0, 16, 20])[:, None]

    def ours():
        values, octants = np.zeros((138, 28, 3, 256), np.int32), np.zeros((138, 28, 8), np.int32)
        strengths = np.empty((128, 2))
        statistics_kernels.count(frames.reshape(138, 3, -1), blocks, values, octants)
        statistics_kernels.strengths(fields, strengths)

    theirs = lambda: whole_arrays(frames, fields, blocks)  # noqa: E731
    benchmark.pedantic(ours if by == "ours" else theirs, rounds=5, warmup_rounds=1)
    if benchmark.stats is not None:
        seconds[f"statistics by {by}"] = benchmark.stats.stats.median
        if by == "ours" and (whole := seconds.get("statistics by SciPy and NumPy")):
            own = seconds["statistics by ours"]
            benchmark.extra_info["times_as_fast_as_scipy_and_numpy"] = round(whole / own, 1)
