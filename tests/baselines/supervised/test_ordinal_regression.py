"""Ordinal regression: both solvers against a general one, and the pairs that an apex makes."""

import cvxpy as cp
import numpy as np
import pytest

from baselines.supervised.ordinal_regression import OrdinalProblem, apex_pairs, solve


def problem(seed=0, *, clips=12, length=8, dimensions=7, pairs=True, **options):
    """Return clips whose level rises and falls, with features that say so in part."""
    random = np.random.default_rng(seed)
    distance = np.abs(np.arange(length) - random.integers(0, length, (clips, 1)))
    y = np.maximum(0, random.integers(0, 5, (clips, 1)) - distance).ravel().astype(float)
    x = random.normal(size=(clips * length, dimensions)) * np.logspace(0, -2, dimensions) + 0.3 * y[:, None]
    x[:, -1] = 1.0
    which = apex_pairs(y, [length] * clips if pairs else [], 20)
    return OrdinalProblem(x, y, *which, **options)


def dense(p):
    """Return A and c, written out row by row."""
    order = p.x[p.pairs[:, 1]] - p.x[p.pairs[:, 0]]
    ones = np.ones(len(p.y))
    c = [-p.y - p.epsilon[0] * ones, p.y - p.epsilon[0] * ones, np.full(len(order), p.epsilon[1])]
    return np.concatenate([p.x, -p.x, order]), np.concatenate(c)


def optimum(p):
    """Solve by an interior-point method."""
    a, c = dense(p)
    m, w = len(p.y), cp.Variable(p.x.shape[1])
    mu = np.concatenate([np.full(2 * m, p.gamma[0]), p.gamma[1] / np.abs(p.pairs[:, 0] - p.pairs[:, 1])])
    loss = cp.sum_squares(cp.multiply(np.sqrt(mu), cp.pos(a @ w + c)))
    task = cp.Problem(cp.Minimize(p.ridge / 2 * cp.sum_squares(w) + loss))
    task.solve(solver=cp.CLARABEL, tol_gap_rel=1e-12, tol_gap_abs=1e-9, tol_feas=1e-10)
    return task.value, w.value


@pytest.mark.parametrize("solver", ["lbfgs", "admm"])
@pytest.mark.parametrize(
    "options",
    [{}, {"ridge": 1e3}, {"gamma": (1.0, 50.0)}, {"epsilon": (0.5, 0.2)}, {"pairs": False}],
    ids=str,
)
def test_solvers_reach_the_optimum_of_a_general_one(solver, options):
    p = problem(**options)
    value, w = optimum(p)
    found = solve(p, solver, tolerance=1e-10)
    # Clarabel's own accuracy; the solvers' is proven to be 1e-10 of the value
    assert found.value == pytest.approx(value, rel=1e-7)
    np.testing.assert_allclose(found.w, w, atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_solvers_agree_and_the_gradient_vanishes(seed):
    p = problem(seed, clips=60, dimensions=30)
    a, b = solve(p, "lbfgs", tolerance=1e-11), solve(p, "admm", tolerance=1e-11)
    assert a.value == pytest.approx(b.value, rel=1e-9)
    start = np.linalg.norm(p.objective(np.zeros(30))[1])
    for found in (a, b):
        assert np.linalg.norm(p.objective(found.w)[1]) < 1e-5 * start


def test_without_pairs_it_is_support_vector_regression():
    from sklearn.svm import LinearSVR

    p = problem(pairs=False)
    machine = LinearSVR(C=100.0, epsilon=0.1, loss="squared_epsilon_insensitive", dual=False, fit_intercept=False)
    machine.set_params(tol=1e-9, max_iter=100_000).fit(p.x, p.y)
    np.testing.assert_allclose(solve(p, tolerance=1e-11).w, machine.coef_, atol=1e-4)


def test_rows_adjoint_and_curvature_are_those_of_the_matrix():
    p, random = problem(), np.random.default_rng(1)
    a, c = dense(p)
    w, values = random.normal(size=7), random.normal(size=len(c))
    np.testing.assert_allclose(p.rows(w), a @ w + c, atol=1e-12)
    np.testing.assert_allclose(p.adjoint(values), values @ a, atol=1e-12)
    np.testing.assert_allclose(p.curvature(both=True), a.T @ (p.weights[:, None] * a), rtol=1e-12)


def test_the_gradient_is_that_of_the_objective():
    p, random = problem(), np.random.default_rng(2)
    w, step = random.normal(size=7), 1e-6
    numerical = [(p.objective(w + step * e)[0] - p.objective(w - step * e)[0]) / (2 * step) for e in np.eye(7)]
    np.testing.assert_allclose(p.objective(w)[1], numerical, rtol=1e-5)


def test_the_gap_is_proven_and_closes_where_it_should():
    p, random = problem(), np.random.default_rng(3)
    found = solve(p, tolerance=1e-12)
    for size in (1e-4, 1e-2, 1.0):
        value, gradient = p.objective(found.w + size * random.normal(size=7))
        assert 0 < value - found.value <= p.gap(gradient) + 1e-9 * value


def test_order_is_learned_where_levels_are_not_told():
    random = np.random.default_rng(4)
    x = random.normal(size=(40, 3))
    y = np.zeros(40)
    pairs = np.array([(i, j) for i in range(40) for j in range(40) if x[i, 0] > x[j, 0] + 0.5])
    w = solve(OrdinalProblem(x, y, pairs, np.ones(len(pairs)), gamma=(1e-6, 1.0))).w
    assert w[0] > 1 and abs(w[0]) > 5 * np.abs(w[1:]).max()


def test_pairs_rise_to_the_apex_and_fall_after_it():
    pairs, distances = apex_pairs(np.array([0, 2, 1, 0]), [4], 20)
    assert set(map(tuple, pairs.tolist())) == {(1, 0), (1, 2), (1, 3), (2, 3)}
    assert dict(zip(map(tuple, pairs.tolist()), distances, strict=True))[1, 3] == 2


def test_of_several_highest_moments_the_middle_one_is_the_apex():
    pairs, _ = apex_pairs(np.array([0, 3, 3, 3, 0]), [5], 1)
    assert set(map(tuple, pairs.tolist())) == {(1, 0), (2, 1), (2, 3), (3, 4)}


def test_pairs_stay_within_clips_and_reach_and_leave_out_flat_clips():
    levels = np.array([0, 0, 1, 1, 1, 0, 0, 1])
    pairs, distances = apex_pairs(levels, [3, 2, 0, 3], 1)
    assert set(map(tuple, pairs.tolist())) == {(1, 0), (2, 1), (6, 5), (7, 6)}
    np.testing.assert_array_equal(distances, 1)
    pairs, distances = apex_pairs(np.zeros(6), [3, 3], 5)
    assert pairs.shape == (0, 2) and distances.shape == (0,)


def test_what_is_not_reached_is_told():
    for solver in ("lbfgs", "admm"):
        with pytest.raises(FloatingPointError, match=f"{solver} reached a gap of .* take a larger ridge"):
            solve(problem(), solver, max_iterations=1, tolerance=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ridge": 0.0}, "ridge"),
        ({"gamma": (0.0, 1.0)}, "gamma"),
        ({"y": np.zeros(3)}, r"y \(M,\)"),
        ({"x": np.full((96, 7), np.nan)}, "finite"),
        ({"pairs": np.array([[0, 96]]), "distances": np.ones(1)}, "rows 0 to 96"),
        ({"pairs": np.array([[0, 1]]), "distances": np.zeros(1)}, "above 0"),
        ({"distances": np.ones(1)}, "pairs must be"),
    ],
)
def test_bad_input_is_refused(change, message):
    p = problem()
    fields = {"x": p.x, "y": p.y, "pairs": p.pairs, "distances": p.distances, **change}
    with pytest.raises(ValueError, match=message):
        OrdinalProblem(**fields)


def test_unknown_solver_is_refused():
    with pytest.raises(ValueError, match="'lbfgs', 'admm'"):
        solve(problem(), "newton")
