"""Relevance vector regression: against ridge regression, Gaussian processes, direct formulas and Tipping's example."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from baselines.supervised import relevance
from baselines.supervised.relevance import (
    RelevanceVectorRegression,
    gaussian_kernel,
    maximise_evidence,
    posterior,
    squared_distances,
)


def random_problem(n=40, m=25):
    random = np.random.default_rng(0)
    return random.normal(size=(n, m)), random.normal(size=n) + 3, random.normal(size=(7, m))


def sinc(noise, n=100):
    """Return Tipping's example: sin(x) / x at evenly spaced places of -10..10."""
    x = np.linspace(-10, 10, n)
    truth = np.sinc(x / np.pi)
    return x[:, None], truth + noise * np.random.default_rng(1).normal(size=n), truth


def design_of(x):
    return np.concatenate([np.ones((len(x), 1)), gaussian_kernel(x, x, 3.0)], axis=1)


@pytest.fixture(scope="module")
def noisy():
    x, targets, truth = sinc(0.1)
    return x, targets, truth, maximise_evidence(design_of(x), targets, iterations=3000)


class TestGivenPrecisions:
    """Linear algebra only: all agree to rounding, so tolerances are near that of float64."""

    def test_equal_ones_give_ridge_regression(self):
        from sklearn.linear_model import Ridge

        design, targets, _ = random_problem()
        alpha, noise = 0.7, 0.3
        ridge = Ridge(alpha=alpha * noise, fit_intercept=False, solver="cholesky").fit(design, targets)
        found = posterior(design, targets, np.full(25, alpha), noise)
        np.testing.assert_allclose(found.mean, ridge.coef_, rtol=1e-9, atol=1e-12)

    def test_they_give_a_gaussian_process(self):
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import DotProduct

        design, targets, others = random_problem()
        alpha, noise = np.exp(np.linspace(-4, 4, 25)), 0.3
        kernel = DotProduct(sigma_0=0, sigma_0_bounds="fixed")
        process = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(design / np.sqrt(alpha), targets)
        mean, deviation = process.predict(others / np.sqrt(alpha), return_std=True)
        found = posterior(design, targets, alpha, noise)
        np.testing.assert_allclose(others @ found.mean, mean, rtol=1e-9)
        np.testing.assert_allclose(np.sum((others @ found.spread.T) ** 2, axis=1), deviation**2, rtol=1e-8)
        assert found.evidence == pytest.approx(process.log_marginal_likelihood_value_, rel=1e-10)

    @pytest.mark.parametrize("shape", [(40, 25), (25, 40)])
    def test_direct_formulas(self, shape):
        design, targets, _ = random_problem(*shape)
        alpha, noise = np.exp(np.linspace(-12, 12, shape[1])), 0.3
        found = posterior(design, targets, alpha, noise)
        covariance = np.linalg.inv(design.T @ design / noise + np.diag(alpha))
        np.testing.assert_allclose(found.spread.T @ found.spread, covariance, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(found.mean, covariance @ design.T @ targets / noise, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(found.determined, 1 - alpha * np.diag(covariance), atol=1e-7)
        marginal = noise * np.eye(shape[0]) + (design / alpha) @ design.T
        assert found.evidence == pytest.approx(multivariate_normal(cov=marginal).logpdf(targets), rel=1e-9)
        assert found.residual == pytest.approx(np.sum((targets - design @ found.mean) ** 2), rel=1e-9)
        with_gram = posterior(design, targets, alpha, noise, design.T @ design)
        np.testing.assert_array_equal(with_gram.mean, found.mean)


class TestEvidence:
    def test_it_is_that_of_what_is_left(self, noisy):
        x, targets, _, found = noisy
        design = design_of(x)[:, found.columns]
        marginal = found.noise * np.eye(len(x)) + (design / found.alpha) @ design.T
        direct = multivariate_normal(cov=marginal).logpdf(targets)
        assert found.converged and found.evidences[-1] == pytest.approx(direct, rel=1e-9)

    def test_it_rises_with_each_iteration(self, noisy):
        # the updates do not promise it, and a removal may cost what rounds to nothing here
        evidences = noisy[3].evidences
        assert evidences[-1] - evidences[0] > 20 and np.diff(evidences).min() > -1e-6

    def test_it_ends_in_a_maximum(self, noisy):
        x, targets, _, found = noisy
        design = design_of(x)[:, found.columns]

        def evidence(alpha, noise):
            return posterior(design, targets, alpha, noise).evidence

        best = evidence(found.alpha, found.noise)
        for factor in (0.8, 1.25):
            assert evidence(found.alpha, found.noise * factor) < best
            for i in range(len(found.alpha)):
                changed = found.alpha.copy()
                changed[i] *= factor
                # the fixed point moves a thousandth more at most, which changes the evidence by far less
                assert evidence(changed, found.noise) < best + 1e-4

    def test_units_of_the_targets_do_not_matter(self, noisy):
        x, targets, _, found = noisy
        scaled = maximise_evidence(design_of(x), 1000 * targets, iterations=3000)
        np.testing.assert_array_equal(scaled.columns, found.columns)
        np.testing.assert_allclose(scaled.posterior.mean, 1000 * found.posterior.mean, rtol=1e-4)
        assert scaled.evidences[-1] == pytest.approx(found.evidences[-1] - 100 * np.log(1000), rel=1e-6)


class TestTippingsExample:
    def test_without_noise_few_vectors_give_the_function(self):
        x, targets, truth = sinc(0.0)
        model = RelevanceVectorRegression(3.0).fit(x, targets)
        assert len(model.vectors_) < 20
        assert np.sqrt(np.mean((model.predict(x) - truth) ** 2)) < 1e-3

    def test_with_noise_fewer_do(self):
        x, targets, truth = sinc(0.1)
        model = RelevanceVectorRegression(3.0).fit(x, targets)
        assert 3 <= len(model.vectors_) <= 12
        assert np.sqrt(np.mean((model.predict(x) - truth) ** 2)) < 0.05
        assert model.noise_**0.5 == pytest.approx(0.1, abs=0.03)


def test_it_agrees_with_scikit_learns_ard_on_columns_that_are_apart():
    from sklearn.linear_model import ARDRegression

    random = np.random.default_rng(2)
    design = random.normal(size=(200, 30))
    weights = np.zeros(30)
    weights[[3, 11, 20]] = 2.0, -1.0, 0.5
    targets = design @ weights + 0.2 * random.normal(size=200)
    found = maximise_evidence(design, targets, iterations=5000)
    other = ARDRegression(
        fit_intercept=False, max_iter=5000, tol=1e-8, threshold_lambda=1e6 / targets.var(), alpha_1=0, alpha_2=0,
        lambda_1=0, lambda_2=0,
    ).fit(design, targets)  # fmt: skip
    mine = np.zeros(30)
    mine[found.columns] = found.posterior.mean
    assert {3, 11, 20} <= set(found.columns) and len(found.columns) < 15
    np.testing.assert_allclose(mine, other.coef_, atol=1e-3)  # where the last columns fade, the two stop apart
    assert found.noise == pytest.approx(1 / other.alpha_, rel=1e-3)


class TestPredictions:
    def test_mean_and_variance_are_the_direct_formulas(self):
        x, targets, _ = sinc(0.1)
        model = RelevanceVectorRegression(3.0).fit(x, targets)
        found = maximise_evidence(design_of(x), targets)
        at = np.linspace(-14, 14, 31)[:, None]
        ahead = np.concatenate([np.ones((31, 1)), gaussian_kernel(at, x, 3.0)], axis=1)[:, found.columns]
        design = design_of(x)[:, found.columns]
        covariance = np.linalg.inv(design.T @ design / found.noise + np.diag(found.alpha))
        np.testing.assert_allclose(model.predict(at), ahead @ covariance @ design.T @ targets / found.noise, rtol=1e-6)
        spread = np.einsum("ij,jk,ik->i", ahead, covariance, ahead)
        np.testing.assert_allclose(model.variance(at), found.noise + spread, rtol=1e-6)
        assert (model.variance(at) >= model.noise_).all()

    def test_far_away_the_constant_is_left(self):
        x, targets, _ = sinc(0.1)
        for shift, constant in ((5.0, True), (0.0, False)):
            model = RelevanceVectorRegression(3.0).fit(x, targets + shift)
            if constant:
                assert model.constant_
            expected = model.posterior_.mean[0] if model.constant_ else 0
            np.testing.assert_allclose(model.predict(np.array([[1e3]])), expected, atol=1e-12)

    def test_the_same_data_give_the_same_bytes(self):
        x, targets, _ = sinc(0.1)
        first, second = (RelevanceVectorRegression(3.0).fit(x, targets) for _ in range(2))
        np.testing.assert_array_equal(first.predict(x), second.predict(x))

    def test_candidates_may_be_fewer_than_the_rows(self):
        x, targets, truth = sinc(0.1)
        model = RelevanceVectorRegression(3.0).fit(x, targets, x[::5])
        assert set(model.vectors_.ravel()) <= set(x[::5].ravel())
        assert np.sqrt(np.mean((model.predict(x) - truth) ** 2)) < 0.05


def test_distances_part_by_part(monkeypatch):
    random = np.random.default_rng(0)
    x, centres = random.normal(size=(23, 5)).astype(np.float32), random.normal(size=(4, 5)).astype(np.float32)
    monkeypatch.setattr(relevance, "_ROWS", 7)
    np.testing.assert_allclose(squared_distances(x, centres), cdist(x, centres) ** 2, rtol=1e-12)
    np.testing.assert_allclose(gaussian_kernel(x, centres, 2.0), np.exp(-(cdist(x, centres) ** 2) / 4), rtol=1e-12)


def test_what_cannot_be_fitted_is_told():
    x, targets, _ = sinc(0.1)
    with pytest.raises(ValueError, match="all 100 targets are 2: there is no function to learn"):
        RelevanceVectorRegression(1.0).fit(x, np.full(100, 2))
    with pytest.raises(ValueError, match="the width of the kernel must be above 0, got 0"):
        RelevanceVectorRegression(0).fit(x, targets)
    with pytest.raises(ValueError, match="not all finite; impute missing values first"):
        RelevanceVectorRegression(1.0).fit(np.where(x > 9, np.nan, x), targets)
    with pytest.raises(ValueError, match="not all finite; impute missing values first"):
        RelevanceVectorRegression(1.0).fit(x, np.where(x[:, 0] > 9, np.inf, targets))
