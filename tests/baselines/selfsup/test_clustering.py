"""PCA, k-means and mutual information against scikit-learn's, and what k-means does about empty clusters."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score

from baselines.selfsup import clustering
from baselines.selfsup.clustering import fit_whitening, kmeans, nearest, normalized_mutual_information


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n=600, d=5, centres=12, spread=0.35, seed=0):
    """Draw overlapping blobs, so that Lloyd's algorithm has something to do in each iteration."""
    generator = seeded(seed)
    middle = torch.randn(centres, d, generator=generator, dtype=torch.float64)
    noise = spread * torch.randn(n, d, generator=generator, dtype=torch.float64)
    return middle[torch.randint(centres, (n,), generator=generator)] + noise


class TestWhitening:
    @pytest.mark.parametrize(("n", "d", "kept"), [(200, 12, 5), (200, 12, 12), (9, 30, 20)])
    def test_it_is_that_of_scikit_learn_up_to_signs(self, n, d, kept):
        mixing = torch.randn(d, d, generator=seeded(1), dtype=torch.float64)
        features = torch.randn(n, d, generator=seeded(2), dtype=torch.float64) @ mixing + 3
        ours = fit_whitening(features, kept)(features)
        kept = min(kept, n - 1)  # the mean takes a degree of freedom, which scikit-learn does not account for
        theirs = PCA(kept, whiten=True, svd_solver="full").fit_transform(features.numpy())
        signs = np.sign((ours.numpy() * theirs).sum(0))
        # Both are float64; squaring for the covariance leaves half of the digits of the smallest component.
        np.testing.assert_allclose(ours.numpy() * signs, theirs, atol=1e-6)

    def test_components_are_uncorrelated_with_unit_variance_in_float32(self):
        features = torch.randn(500, 20, generator=seeded()) * torch.logspace(-2, 2, 20) + 50
        white = fit_whitening(features, 20)(features).double()
        # The least spread is 0.01 on a mean of 50, where float32 resolves 4e-6: a relative error below 1e-3.
        torch.testing.assert_close(torch.cov(white.T), torch.eye(20, dtype=torch.float64), atol=5e-3, rtol=0)

    def test_directions_without_variance_are_left_out(self):
        flat = torch.randn(300, 4, generator=seeded()) @ torch.randn(4, 30, generator=seeded(1)) + 10
        whitening = fit_whitening(flat, 20)
        assert whitening.projection.shape == (30, 4)
        assert whitening(flat).std(0).allclose(torch.ones(4), atol=1e-3)

    def test_equal_features_become_zeros_and_their_rounding_no_components(self):
        equal = torch.full((50, 8), 0.3)
        assert fit_whitening(equal, 8)(equal).eq(0).all()
        rounded = equal + 3e-8 * torch.randint(-1, 2, (50, 8), generator=seeded())
        assert fit_whitening(rounded, 8)(rounded).eq(0).all()

    def test_blocks_do_not_change_it(self, monkeypatch):
        features = blobs(n=101)
        whole = fit_whitening(features, 3)(features)
        monkeypatch.setattr(clustering, "_BLOCK", 100)
        torch.testing.assert_close(fit_whitening(features, 3)(features), whole, rtol=1e-9, atol=1e-9)

    def test_bad_input(self):
        with pytest.raises(ValueError, match="1 of 3 features are not finite.*learning rate"):
            fit_whitening(torch.tensor([[1.0], [float("nan")], [2.0]]), 1)
        with pytest.raises(ValueError, match="1 features and 2 dimensions"):
            fit_whitening(torch.ones(1, 4), 2)
        with pytest.raises(ValueError, match="0 dimensions"):
            fit_whitening(torch.ones(3, 4), 0)
        with pytest.raises(ValueError, match="matrix of floating-point"):
            fit_whitening(torch.ones(3, 4, dtype=torch.int64), 2)


def lloyd(points, centroids, iterations=20):
    """Lloyd's algorithm as it is written in textbooks: a cluster without points stays where it is."""
    for _ in range(iterations):
        labels = np.square(points[:, None] - centroids[None]).sum(-1).argmin(1)
        for label in np.unique(labels):
            centroids[label] = points[labels == label].mean(0)
    return labels


class TestKMeans:
    @pytest.mark.parametrize("k", [2, 12, 40])
    def test_it_is_that_of_scikit_learn_from_the_same_start(self, k):
        points = blobs()
        initial = points[torch.randperm(len(points), generator=seeded(3))[:k]]
        ours = kmeans(points, k, seeded(), initial=initial, iterations=20)
        theirs = KMeans(k, init=initial.numpy(), n_init=1, max_iter=20, tol=0, algorithm="lloyd").fit(points.numpy())
        np.testing.assert_array_equal(ours.assignment.numpy(), theirs.labels_)
        np.testing.assert_allclose(ours.centroids.numpy(), theirs.cluster_centers_, atol=1e-10)
        assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-10)

    def test_float32_comes_out_the_same(self):
        points = blobs()
        initial = points[:12]
        double = kmeans(points, 12, seeded(), initial=initial)
        single = kmeans(points.float(), 12, seeded(), initial=initial.float())
        assert float((single.assignment == double.assignment).double().mean()) > 0.99  # but for ties within 1e-6
        assert single.inertia == pytest.approx(double.inertia, rel=1e-4)

    def test_a_seed_decides_and_the_global_generator_does_not(self):
        points = blobs(n=300)
        torch.manual_seed(5)
        state = torch.get_rng_state()
        first = kmeans(points, 10, seeded(1))
        assert torch.equal(state, torch.get_rng_state())
        torch.manual_seed(6)
        second = kmeans(points, 10, seeded(1))
        assert torch.equal(first.assignment, second.assignment) and torch.equal(first.centroids, second.centroids)
        assert not torch.equal(first.assignment, kmeans(points, 10, seeded(2)).assignment)

    def test_blocks_do_not_change_it(self, monkeypatch):
        points = blobs(n=301)
        whole = kmeans(points, 10, seeded(1))
        monkeypatch.setattr(clustering, "_BLOCK", 400)
        parts = kmeans(points, 10, seeded(1))
        assert torch.equal(whole.assignment, parts.assignment)
        torch.testing.assert_close(whole.centroids, parts.centroids, rtol=1e-12, atol=1e-12)

    def test_nearest_is_the_nearest(self):
        points, centroids = blobs(n=50), blobs(n=7, seed=1)
        distances = torch.cdist(points, centroids).square()
        assignment, squared = nearest(points, centroids)
        assert torch.equal(assignment, distances.argmin(1))
        torch.testing.assert_close(squared, distances.min(1).values, rtol=1e-9, atol=1e-12)

    def test_clusters_that_plain_lloyd_leaves_empty_are_filled(self):
        points = blobs(n=400)
        initial = torch.cat([points[:2], torch.full((28, 5), 90.0, dtype=torch.float64)])
        assert len(np.unique(lloyd(points.numpy(), initial.numpy().copy()))) == 2
        found = kmeans(points, 30, seeded(), initial=initial)
        assert len(found.assignment.unique()) >= 29
        assert int(torch.bincount(found.assignment).max()) < 100

    def test_large_clusters_are_split_in_proportion_and_single_points_never(self):
        generator, drawn = seeded(), np.zeros(4)
        for _ in range(2000):
            centroids = torch.tensor([[0.0], [1.0], [2.0], [4.0]])
            kmeans_sizes = torch.tensor([0, 1, 31, 11])
            clustering._split_large(centroids, kmeans_sizes, generator)
            origin = int((centroids[1:, 0] - centroids[0, 0]).abs().argmin()) + 1
            drawn[origin] += 1
            assert kmeans_sizes.sum() == 43 and kmeans_sizes[0] == [0, 0, 15, 5][origin]
        assert drawn[1] == 0
        assert drawn[2] / 2000 == pytest.approx(30 / 40, abs=0.04)  # four standard errors

    def test_halves_of_a_split_cluster_lie_about_its_centroid(self):
        centroids = torch.tensor([[9.0, 9.0], [1.0, -2.0]])
        clustering._split_large(centroids, torch.tensor([0, 8]), seeded())
        torch.testing.assert_close(centroids.mean(0), torch.tensor([1.0, -2.0]))
        torch.testing.assert_close(centroids[0] - centroids[1], torch.tensor([2 / 1024, 4 / 1024]), rtol=1e-3, atol=0)

    def test_equal_points_are_one_cluster_and_no_error(self):
        found = kmeans(torch.zeros(20, 3), 6, seeded())
        assert len(found.assignment.unique()) == 1 and found.inertia == 0
        assert torch.isfinite(found.centroids).all()

    def test_as_many_clusters_as_points(self):
        points = blobs(n=15)
        assert kmeans(points, 15, seeded()).inertia == pytest.approx(0, abs=1e-12)

    def test_bad_input(self):
        points = blobs(n=10)
        for k in (0, 11):
            with pytest.raises(ValueError, match=f"10 points cannot form {k} clusters"):
                kmeans(points, k, seeded())
        with pytest.raises(ValueError, match="iterations 0"):
            kmeans(points, 2, seeded(), iterations=0)
        with pytest.raises(ValueError, match=r"\(2, 4\) instead of \(2, 5\)"):
            kmeans(points, 2, seeded(), initial=points[:2, :4])
        points[3, 1] = torch.inf
        with pytest.raises(ValueError, match="1 of 10 points are not finite"):
            kmeans(points, 2, seeded())

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_a_gpu_finds_the_same_clusters_each_time(self):
        points = blobs()
        whitened = fit_whitening(points.cuda(), 4)(points.cuda())
        assert whitened.is_cuda
        first, second = (kmeans(points.float().cuda(), 12, seeded()) for _ in range(2))
        assert torch.equal(first.centroids, second.centroids)
        cpu = kmeans(points.float(), 12, seeded())
        assert float((first.assignment.cpu() == cpu.assignment).double().mean()) > 0.99


class TestMutualInformation:
    @pytest.mark.parametrize(("n", "parts"), [(40, (3, 7)), (500, (50, 50)), (500, (2, 400))])
    def test_it_is_that_of_scikit_learn_with_the_geometric_mean(self, n, parts):
        rng = np.random.default_rng(n)
        first, second = (rng.integers(part, size=n) for part in parts)
        second[: n // 2] = first[: n // 2] % parts[1]
        theirs = normalized_mutual_info_score(first, second, average_method="geometric")
        assert normalized_mutual_information(first, second) == pytest.approx(theirs, abs=1e-12)

    def test_names_do_not_count(self):
        first = np.array([0, 0, 1, 1, 2, 2])
        assert normalized_mutual_information(first, np.array(list("bbccaa"))) == pytest.approx(1)
        assert normalized_mutual_information([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(0, abs=1e-15)

    def test_a_partition_that_does_not_divide_tells_nothing(self):
        assert normalized_mutual_information([1, 1, 1], [0, 1, 2]) == 0
        assert normalized_mutual_information([1, 1, 1], [5, 5, 5]) == 0

    def test_bad_input(self):
        with pytest.raises(ValueError, match="not equally many"):
            normalized_mutual_information([1, 2], [1, 2, 3])
        with pytest.raises(ValueError, match="at least one"):
            normalized_mutual_information([], [])
