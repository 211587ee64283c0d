"""Eq. 21 against a general convex solver, closed forms, invariances and finite differences."""

import numpy as np
import pytest
import torch

from repro.siamese import coordinates
from repro.siamese.affine_hull import AffineHullDissimilarity, dissimilarity
from repro.siamese.oracle import affine_hull, solve


def normal(seed, *shape, shift=0.0, scale=1.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, scale, shape))


def halves(seed, n_i, n_j, width, shift=0.7):
    return normal(seed, n_i, width, shift=shift), normal(seed + 1000, n_j, width, shift=-shift / 2)


def near_duplicates(seed, distance):
    h_i, h_j = halves(seed, 3, 4, 11)
    return torch.cat([h_i, h_i + distance * normal(seed + 5000, 3, 11)]), h_j


# Each entry makes a pair from a seed. Samples of one half that differ by orders of magnitude are left to
# `test_residual_certifies_problems_beyond_the_oracle`.
PROBLEMS = {
    "few samples": lambda seed: (*halves(seed, 4, 4, 20), {}),
    "more samples": lambda seed: (*halves(seed, 9, 12, 32), {}),
    "unequal halves": lambda seed: (*halves(seed, 2, 9, 14), {}),
    "single samples": lambda seed: (*halves(seed, 1, 1 + seed % 3, 6), {}),
    "hulls that meet": lambda seed: (*halves(seed, 6, 6, 8), {}),
    "more samples than features": lambda seed: (*halves(seed, 12, 4, 8), {}),
    "truncated, more samples than features": lambda seed: (*halves(seed, 12, 10, 6), {"energy": 0.7}),
    "truncated": lambda seed: (*halves(seed, 6, 5, 15), {"energy": 0.5 + 0.1 * (seed % 5)}),
    "tiny": lambda seed: (*(1e-3 * h for h in halves(seed, 5, 4, 12)), {}),
    "huge": lambda seed: (*(1e3 * h for h in halves(seed, 5, 4, 12)), {}),
    "halves of different scale": lambda seed: (halves(seed, 5, 4, 12)[0], 30 * halves(seed, 5, 4, 12)[1], {}),
    "near-duplicates": lambda seed: (*near_duplicates(seed, 10.0 ** -(1 + seed % 6)), {}),
    "shared samples": lambda seed: (normal(seed, 4, 10, shift=1), normal(seed, 6, 10, shift=1), {}),
    "rectified": lambda seed: (*(h.clamp_min(0) for h in halves(seed, 5, 5, 16)), {}),
    "large mean": lambda seed: (*halves(seed, 5, 5, 16, shift=50), {}),
    "other constants": lambda seed: (*halves(seed, 5, 5, 16), {"fidelity": 0.3, "sparsity": 0.4}),
    "given weights": lambda seed: (*halves(seed, 5, 5, 16), {"lambda_i": 0.05, "lambda_j": 1e-4 * seed}),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_optimum_is_that_of_a_general_solver(kind):
    for seed in range(4):
        h_i, h_j, settings = PROBLEMS[kind](seed)
        expected = solve(h_i.numpy(), h_j.numpy(), **settings)
        found = dissimilarity(h_i, h_j, **settings)
        # 1e-6 is what the solver's own tolerances leave; hulls that contain the origin have optimum 0.
        floor = 1e-10 * float(h_i.square().sum() + h_j.square().sum())
        assert float(found.value) == pytest.approx(expected.value, rel=1e-6, abs=floor)
        # F is determined by strict convexity, to the square root of the accuracy of the optimum.
        assert float(found.gap) == pytest.approx(expected.gap, rel=1e-3, abs=1e-4 * expected.value + floor)
        assert float(found.residual) < 1e-9


def test_residual_certifies_problems_beyond_the_oracle():
    generator = np.random.default_rng(7)
    for seed in range(40):
        h_i, h_j = halves(seed, int(generator.integers(1, 9)), int(generator.integers(1, 9)), 12)
        h_i = h_i * torch.from_numpy(10.0 ** generator.uniform(-3, 3, (len(h_i), 1)))
        h_j = h_j * 10.0 ** generator.uniform(-3, 3)
        found = dissimilarity(h_i, h_j)
        assert float(found.residual) < 1e-7
        # The solver's answer is an upper bound, here a loose one at times.
        assert float(found.value) <= solve(h_i.numpy(), h_j.numpy()).value * (1 + 1e-6)


def test_result_is_a_point_of_the_program():
    """The value is the objective of Eq. 21 at the points and coefficients that are returned."""
    for energy in (1.0, 0.8):
        h_i, h_j = halves(3, 5, 4, 12)
        found = dissimilarity(h_i, h_j, energy=energy)
        total = found.gap
        for h, point, coefficient in ((h_i, found.point_i, found.alpha), (h_j, found.point_j, found.beta)):
            mean, basis = (torch.from_numpy(part) for part in affine_hull(h.numpy(), energy))
            offset = point - mean
            assert torch.allclose(basis @ (basis.T @ offset), offset, atol=1e-12)
            weight = 0.1 * (2 * 0.01 * h @ mean).abs().max()
            total = total + 0.01 * (point - coefficient @ h).square().sum() + weight * coefficient.abs().sum()
        assert float(found.value) == pytest.approx(float(total), rel=1e-12)
        apart = found.point_i - found.point_j
        assert float(found.gap) == pytest.approx(float(apart.square().sum()), rel=1e-12)


# ----------------------------------------------------------------------------------------------- closed forms


def test_single_samples():
    """min_a l1 |h|^2 (1 - a)^2 + 0.2 l1 |h|^2 |a| is at a = 0.9, with value 0.19 l1 |h|^2."""
    h_i, h_j = torch.tensor([[3.0, 4.0]]).double(), torch.tensor([[0.0, 2.0]]).double()
    found = dissimilarity(h_i, h_j)
    assert float(found.gap) == pytest.approx(9 + 4, rel=1e-12)
    assert float(found.alpha) == pytest.approx(0.9, rel=1e-12)
    assert float(found.beta) == pytest.approx(0.9, rel=1e-12)
    assert float(found.value) == pytest.approx(13 + 0.19 * 0.01 * (25 + 4), rel=1e-12)
    assert torch.equal(found.point_i, h_i[0])


def test_parallel_lines():
    """Heights 1 and 3 are single samples of 1 and 3; how alpha is shared along a line does not matter."""
    h_i = torch.tensor([[1.0, 0, 1], [-1, 0, 1]]).double()
    h_j = torch.tensor([[2.0, 0, 3], [-2, 0, 3]]).double()
    found = dissimilarity(h_i, h_j)
    assert float(found.gap) == pytest.approx(4, rel=1e-12)
    assert float(found.alpha.sum()) == pytest.approx(0.9, rel=1e-12)
    assert float(found.beta.sum()) == pytest.approx(0.9, rel=1e-12)
    assert float(found.value) == pytest.approx(4 + 0.19 * 0.01 * (1 + 9), rel=1e-12)


def test_heavy_weights_leave_no_coefficients():
    h_i, h_j = halves(1, 4, 3, 9)
    found = dissimilarity(h_i, h_j, lambda_i=1e3, lambda_j=1e3)
    assert not found.alpha.any() and not found.beta.any()
    # What is left is quadratic in v: |p_i - p_j|^2 + l1 |p_i|^2 + l1 |p_j|^2 with p = mu + U v.
    (mean_i, basis_i), (mean_j, basis_j) = affine_hull(h_i.numpy()), affine_hull(h_j.numpy())
    none_i, none_j = np.zeros_like(basis_i), np.zeros_like(basis_j)
    rows = np.block([[basis_i, -basis_j], [0.1 * basis_i, none_j], [none_i, 0.1 * basis_j]])
    offset = np.concatenate([mean_i - mean_j, 0.1 * mean_i, 0.1 * mean_j])
    v = np.linalg.lstsq(rows, -offset, rcond=None)[0]
    assert float(found.value) == pytest.approx(float(np.sum((rows @ v + offset) ** 2)), rel=1e-12)


def test_no_weights_leave_the_distance_of_the_hulls():
    """Without l2 and l3 alpha can be the affine weights of the point, so that G = Q = 0."""
    h_i, h_j = halves(2, 4, 3, 12)
    (mean_i, basis_i), (mean_j, basis_j) = affine_hull(h_i.numpy()), affine_hull(h_j.numpy())
    basis, offset = np.hstack([basis_i, basis_j]), mean_i - mean_j
    distance = np.sum((offset - basis @ np.linalg.lstsq(basis, offset, rcond=None)[0]) ** 2)
    for settings in ({"lambda_i": 0.0, "lambda_j": 0.0}, {"sparsity": 0.0}, {"fidelity": 0.0}):
        found = dissimilarity(h_i, h_j, **settings)
        assert float(found.value) == pytest.approx(distance, rel=1e-10)
        assert float(found.gap) == pytest.approx(distance, rel=1e-10)


@pytest.mark.parametrize("width", [6, 7, 8])
def test_hulls_meet_where_their_dimensions_fill_the_space(width):
    """Hulls of 4 and 4 dimensions in at most 8: F = 0 for the hulls alone."""
    h_i, h_j = halves(4, 5, 5, width)
    assert float(dissimilarity(h_i, h_j, fidelity=0.0).gap) < 1e-20
    assert float(dissimilarity(h_i, h_j, sparsity=0.0).gap) < 1e-12
    apart = dissimilarity(*halves(4, 5, 5, 9), fidelity=0.0)
    assert float(apart.gap) > 1e-3


def test_hull_through_the_origin_costs_nothing():
    """With more samples than features both hulls are the whole space: p = 0 and alpha = beta = 0."""
    found = dissimilarity(*halves(6, 9, 8, 5))
    assert 0 <= float(found.value) < 1e-20
    assert float(found.residual) < 1e-9


def test_a_line_is_a_line_however_close_its_samples():
    """The hull of two samples does not depend on their distance while double precision tells them apart."""
    base, direction, h_j = normal(1, 1, 9, shift=1), normal(2, 1, 9), normal(3, 3, 9, shift=-1)
    expected = dissimilarity(torch.cat([base - direction, base + direction]), h_j, fidelity=0.0).value
    for distance, tolerance in ((1e-3, 1e-11), (1e-6, 1e-8), (1e-9, 1e-5)):  # rounding / distance
        near = torch.cat([base - distance * direction, base + distance * direction])
        value = dissimilarity(near, h_j, fidelity=0.0).value
        assert float(value) == pytest.approx(float(expected), rel=tolerance)


# ------------------------------------------------------------------------------------------------ invariances


@pytest.mark.parametrize("energy", [1.0, 0.7])
def test_invariances(energy):
    h_i, h_j = halves(8, 5, 4, 10)
    found = dissimilarity(h_i, h_j, energy=energy)
    rotation = torch.linalg.qr(normal(9, 10, 10))[0]
    rotated = dissimilarity(h_i @ rotation, h_j @ rotation, energy=energy)
    assert torch.allclose(rotated.value, found.value, rtol=1e-11)
    assert torch.allclose(rotated.point_i, found.point_i @ rotation, atol=1e-10)
    order = torch.tensor([3, 0, 4, 1, 2])
    permuted = dissimilarity(h_i[order], h_j, energy=energy)
    assert torch.allclose(permuted.value, found.value, rtol=1e-11)
    assert torch.allclose(permuted.alpha, found.alpha[order], atol=1e-9)
    swapped = dissimilarity(h_j, h_i, energy=energy)
    assert torch.allclose(swapped.value, found.value, rtol=1e-11)
    assert torch.allclose(swapped.alpha, found.beta, atol=1e-9)
    assert torch.allclose(swapped.point_i, found.point_j, atol=1e-9)
    scaled = dissimilarity(100 * h_i, 100 * h_j, energy=energy)
    assert torch.allclose(scaled.value, 1e4 * found.value, rtol=1e-11)
    assert torch.allclose(scaled.alpha, found.alpha, atol=1e-9)


def test_equal_singular_values_are_kept_together():
    """A third of the energy of a regular simplex could be any line, so all of it is kept."""
    simplex, h_j = torch.eye(4, 9).double().requires_grad_(), normal(1, 1, 9, shift=1)
    rotation = torch.linalg.qr(normal(2, 9, 9))[0]
    whole = dissimilarity(simplex, h_j).value
    for h, other in ((simplex, h_j), (simplex @ rotation, h_j @ rotation)):
        truncated = dissimilarity(h, other, energy=0.3).value
        assert torch.allclose(truncated, whole, rtol=1e-12)
        assert torch.autograd.grad(truncated, simplex)[0].isfinite().all()


# --------------------------------------------------------------------------------------------------- batching


@pytest.mark.parametrize("energy", [1.0, 0.8])
def test_batches_are_loops(energy):
    h_i, h_j = normal(1, 3, 2, 4, 9, shift=1), normal(2, 3, 2, 5, 9)
    batched = dissimilarity(h_i, h_j, energy=energy)
    assert batched.value.shape == (3, 2)
    assert batched.alpha.shape == (3, 2, 4) and batched.point_j.shape == (3, 2, 9)
    for index in np.ndindex(3, 2):
        single = dissimilarity(h_i[index], h_j[index], energy=energy)
        for name, part in single._asdict().items():
            if name != "residual":
                assert torch.allclose(getattr(batched, name)[index], part, rtol=1e-9, atol=1e-9), name


@pytest.mark.parametrize("energy", [1.0, 0.8])
def test_all_pairs_by_broadcasting(energy):
    """Values, and gradients summed over the pairs of a half, are those of the repeated halves."""
    h_i, h_j = normal(1, 3, 1, 4, 16, shift=1).requires_grad_(), normal(2, 5, 4, 16).requires_grad_()
    weight = normal(3, 3, 5)
    pairs = dissimilarity(h_i, h_j, energy=energy)
    gradients = torch.autograd.grad((weight * pairs.value).sum(), (h_i, h_j))
    repeated = dissimilarity(h_i.expand(3, 5, 4, 16), h_j.expand(3, 5, 4, 16), energy=energy)
    expected = torch.autograd.grad((weight * repeated.value).sum(), (h_i, h_j))
    assert pairs.value.shape == (3, 5) and pairs.beta.shape == (3, 5, 4)
    assert torch.allclose(pairs.value, repeated.value, rtol=1e-12)
    for gradient, other in zip(gradients, expected, strict=True):
        assert torch.allclose(gradient, other, rtol=1e-9, atol=1e-12)


def test_weights_for_each_pair_and_empty_batches():
    h_i, h_j = normal(1, 3, 4, 9), normal(2, 3, 4, 9)
    weights = torch.tensor([0.0, 0.01, 0.3])
    batched = dissimilarity(h_i, h_j, lambda_i=weights, lambda_j=0.02)
    for k in range(3):
        single = dissimilarity(h_i[k], h_j[k], lambda_i=float(weights[k]), lambda_j=0.02)
        assert torch.allclose(batched.value[k], single.value, rtol=1e-9)
    assert dissimilarity(h_i[:0], h_j[:0]).alpha.shape == (0, 4)


@pytest.mark.parametrize("shift", [0.7, 30.0])
def test_single_precision_is_solved_in_double(shift):
    """Only the rounding of results is left; single precision Gram matrices would lose digits at shift 30."""
    h_i, h_j = (h.float().requires_grad_() for h in halves(5, 6, 5, 600, shift=shift))
    found = dissimilarity(h_i, h_j)
    gradients = torch.autograd.grad(found.value, (h_i, h_j))
    exact = [h.detach().double().requires_grad_() for h in (h_i, h_j)]
    expected = dissimilarity(*exact)
    for part, other in zip(found, expected, strict=True):
        assert part.dtype == torch.float32 and part.shape == other.shape
    assert torch.allclose(found.value.double(), expected.value, rtol=2e-7)
    assert torch.allclose(found.alpha.double(), expected.alpha, atol=1e-7)
    for gradient, other in zip(gradients, torch.autograd.grad(expected.value, exact), strict=True):
        assert gradient.dtype == torch.float32
        assert torch.allclose(gradient.double(), other, rtol=1e-6, atol=1e-7 * float(other.abs().max()))


@pytest.mark.parametrize("energy", [1.0, 0.8])
def test_both_factorisations_agree(monkeypatch, energy):
    """Cholesky factors of the Gram matrices serve well-conditioned halves, Householder QR and an SVD all others."""
    h_i, h_j = (h.requires_grad_() for h in halves(6, 6, 5, 40))
    results = []
    for bound in (coordinates._GRAM_CONDITION, 0.0):
        monkeypatch.setattr(coordinates, "_GRAM_CONDITION", bound)
        value = dissimilarity(h_i, h_j, energy=energy).value
        results.append((value, *torch.autograd.grad(value, (h_i, h_j))))
    for first, second in zip(*results, strict=True):
        assert torch.allclose(first, second, rtol=1e-10, atol=1e-12)


# -------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("energy", [1.0, 0.9, 0.6])
@pytest.mark.parametrize("shape", [(1, 1, 5), (4, 3, 12), (5, 6, 8), (12, 3, 8), (4, 4, 40)])
def test_gradient_is_that_of_finite_differences(shape, energy):
    """Fourth-order central differences with step 1e-5: rounding / step leaves 1e-9 of the gradient."""
    h_i, h_j = (h.requires_grad_() for h in halves(sum(shape), *shape))
    settings = {"energy": energy, "lambda_i": 0.01, "lambda_j": 0.02 * (shape[0] != shape[1])}
    gradients = torch.autograd.grad(dissimilarity(h_i, h_j, **settings).value, (h_i, h_j))
    size = max(float(gradient.abs().max()) for gradient in gradients)
    for which, gradient in enumerate(gradients):
        for seed in range(3):
            direction = normal(seed, *gradient.shape)
            direction /= direction.norm()

            def along(step, which=which, direction=direction):
                moved = [h.detach() for h in (h_i, h_j)]
                moved[which] = moved[which] + step * direction
                return float(dissimilarity(*moved, **settings).value)

            step = 1e-5
            wide, narrow = along(2 * step) - along(-2 * step), along(step) - along(-step)
            slope = (8 * narrow - wide) / (12 * step)
            assert float((gradient * direction).sum()) == pytest.approx(slope, abs=1e-8 * size)


def test_truncated_hull_needs_the_turning_of_its_basis(monkeypatch):
    """Without the derivative of the projector the gradient of a truncated hull is off by percents."""
    h_i, h_j = (h.requires_grad_() for h in halves(1, 6, 5, 12))
    exact = torch.autograd.grad(dissimilarity(h_i, h_j, energy=0.7).value, h_i)[0]
    still = lambda hull, *_: torch.zeros_like(hull.left @ hull.left.mT)  # noqa: E731
    monkeypatch.setattr("repro.siamese.program.turning", still)
    envelope = torch.autograd.grad(dissimilarity(h_i, h_j, energy=0.7).value, h_i)[0]
    assert float((exact - envelope).norm()) > 1e-2 * float(exact.norm())


def test_weights_are_constants_in_the_gradient():
    h_i, h_j = (h.requires_grad_() for h in halves(7, 4, 4, 12))
    with torch.no_grad():
        weights = [0.1 * (2 * 0.01 * h @ h.mean(0)).abs().max() for h in (h_i, h_j)]
    ruled, given = dissimilarity(h_i, h_j), dissimilarity(h_i, h_j, lambda_i=weights[0], lambda_j=weights[1])
    assert torch.allclose(ruled.value, given.value, rtol=1e-12)
    first = torch.autograd.grad(ruled.value, (h_i, h_j))
    second = torch.autograd.grad(given.value, (h_i, h_j))
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(first, second, strict=True))


def test_only_the_value_is_differentiable_and_once():
    h_i, h_j = halves(7, 4, 4, 12)
    h_i.requires_grad_()
    found = dissimilarity(h_i, h_j)
    assert found.value.requires_grad and not any(part.requires_grad for part in found[1:])
    with pytest.raises(RuntimeError, match="differentiated once"):
        torch.autograd.grad(found.value, h_i, create_graph=True)


def test_inputs_are_left_alone():
    h_i, h_j = halves(7, 4, 4, 12)
    copies = h_i.clone(), h_j.clone()
    dissimilarity(h_i, h_j, energy=0.8)
    assert torch.equal(h_i, copies[0]) and torch.equal(h_j, copies[1])


# ----------------------------------------------------------------------------------------------- degeneracies


def scattered(seed):
    """Rows whose sizes spread over six orders of magnitude."""
    return normal(seed, 5, 9) * torch.logspace(-3, 3, 5).double()[:, None]


DEGENERATE = {
    "single samples": lambda: halves(1, 1, 1, 6),
    "one feature": lambda: halves(1, 3, 4, 1),
    "identical samples": lambda: (normal(1, 1, 6).repeat(4, 1), normal(2, 3, 6)),
    "identical samples in both": lambda: (normal(1, 1, 6).repeat(4, 1), normal(2, 1, 6).repeat(3, 1)),
    "identical halves": lambda: (normal(1, 4, 9), normal(1, 4, 9)),
    "identical single samples": lambda: (normal(1, 1, 9), normal(1, 1, 9)),
    "one sample twice": lambda: (normal(1, 4, 9)[[0, 1, 2, 2]], normal(2, 4, 9)),
    "near-duplicates": lambda: near_duplicates(1, 1e-7),
    "duplicates but for rounding": lambda: near_duplicates(1, 1e-15),
    "more samples than features": lambda: halves(1, 20, 7, 5),
    "zeros": lambda: (torch.zeros(3, 6).double(), torch.zeros(4, 6).double()),
    "zeros in one half": lambda: (torch.zeros(3, 6).double(), normal(1, 4, 6)),
    "a sample of zeros": lambda: (torch.cat([torch.zeros(1, 6).double(), normal(1, 2, 6)]), normal(2, 4, 6)),
    "zero features": lambda: tuple(h * torch.tensor([1, 0, 0, 1, 1, 0, 1, 0, 1]) for h in halves(1, 4, 3, 9)),
    "centred": lambda: tuple(h - h.mean(0) for h in halves(1, 4, 3, 9)),
    "opposite samples": lambda: (torch.cat([normal(1, 2, 9), -normal(1, 2, 9)]), normal(2, 4, 9)),
    "halves at different scales": lambda: (1e-3 * normal(1, 4, 9), 1e3 * normal(2, 4, 9)),
    "samples at different scales": lambda: (scattered(1), scattered(2)),
    "nearly zero": lambda: tuple(1e-150 * h for h in halves(1, 4, 3, 9)),
    "very large": lambda: tuple(1e60 * h for h in halves(1, 4, 3, 9)),
}


@pytest.mark.parametrize("energy", [1.0, 0.8])
@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_halves_stay_finite(kind, energy):
    h_i, h_j = (h.clone().requires_grad_() for h in DEGENERATE[kind]())
    for settings in ({}, {"sparsity": 0.0}, {"fidelity": 0.0}, {"lambda_i": 1.0, "lambda_j": 0.0}):
        found = dissimilarity(h_i, h_j, energy=energy, **settings)
        assert all(part.isfinite().all() for part in found), settings
        assert float(found.value.detach()) >= 0
        # Without penalties most optima are zero, and a violation by rounding is relative to next to nothing.
        assert float(found.residual) < (1e-6 if settings else 1e-8), settings
        gradients = torch.autograd.grad(found.value, (h_i, h_j))
        assert all(gradient.isfinite().all() for gradient in gradients), settings


def test_a_degenerate_pair_does_not_touch_its_batch():
    sound, batch = halves(1, 4, 4, 9), list(halves(1, 4, 4, 9))
    batch[0] = torch.stack([batch[0], torch.zeros(4, 9).double(), batch[0][[0, 0, 0, 0]]])
    found = dissimilarity(batch[0], batch[1])
    assert torch.allclose(found.value[0], dissimilarity(*sound).value, rtol=1e-10)


# ------------------------------------------------------------------------------------------ module and errors


def test_module_holds_the_settings():
    module = AffineHullDissimilarity(fidelity=0.05, sparsity=0.2, energy=0.8)
    h_i, h_j = halves(1, 4, 4, 12)
    expected = dissimilarity(h_i, h_j, fidelity=0.05, sparsity=0.2, energy=0.8, lambda_j=0.1)
    assert torch.equal(module(h_i, h_j, lambda_j=0.1).value, expected.value)
    assert repr(module) == "AffineHullDissimilarity(fidelity=0.05, sparsity=0.2, energy=0.8)"


def spoiled(value):
    h = torch.ones(2, 3, 4)
    h[1, 2, 0] = value
    return h


SHAPES = [
    (torch.ones(3, 4), torch.ones(3, 5), r"dimension D, got \(3, 4\) and \(3, 5\)"),
    (torch.ones(2, 3, 4), torch.ones(3, 3, 4), r"must broadcast, got \(2, 3, 4\) and \(3, 3, 4\)"),
    (torch.ones(4), torch.ones(3, 4), r"h_i must have shape .* got \(4,\)"),
    (torch.ones(3, 4), torch.ones(0, 4), r"h_j must have shape .* got \(0, 4\)"),
    (torch.ones(3, 0), torch.ones(3, 0), r"h_i must have shape .* got \(3, 0\)"),
    (spoiled(float("nan")), torch.ones(3, 4), r"h_i must be finite, got nan at index \(1, 2, 0\)"),
    (torch.ones(3, 4), spoiled(float("-inf")), r"h_j must be finite, got -inf at index \(1, 2, 0\)"),
    (torch.ones(9, 4), spoiled(float("nan")), r"h_j must be finite, got nan at index \(1, 2, 0\)"),
    (1e200 * torch.ones(2, 4).double(), torch.ones(2, 4).double(), r"h_i must stay .* got 1e\+200"),
    (torch.ones(3, 4).int(), torch.ones(3, 4), "h_i must be float32 or float64, got torch.int32"),
    (torch.ones(3, 4).half(), torch.ones(3, 4), "h_i must be float32 or float64, got torch.float16"),
    (torch.ones(3, 4), torch.ones(3, 4).double(), "one dtype, got torch.float32 and torch.float64"),
    (np.ones((3, 4)), torch.ones(3, 4), "h_i must be a tensor .* got ndarray"),
]

SETTINGS = [
    ({"energy": 0.0}, r"energy must lie in \(0, 1\], got 0.0"),
    ({"energy": 1.5}, r"energy must lie in \(0, 1\], got 1.5"),
    ({"energy": float("nan")}, r"energy must lie in \(0, 1\], got nan"),
    ({"fidelity": -0.01}, "fidelity must be finite and >= 0, got -0.01"),
    ({"fidelity": float("inf")}, "fidelity must be finite and >= 0, got inf"),
    ({"sparsity": float("nan")}, "sparsity must be finite and >= 0, got nan"),
    ({"lambda_i": -1.0}, "lambda_i must be finite and >= 0, got -1.0"),
    ({"lambda_j": torch.tensor(np.inf)}, "lambda_j must be finite and >= 0, got inf"),
    ({"lambda_j": torch.ones(2)}, r"lambda_j must broadcast to \(\), got \(2,\)"),
]


@pytest.mark.parametrize(("h_i", "h_j", "message"), SHAPES)
def test_errors_name_what_is_wrong_with_samples(h_i, h_j, message):
    with pytest.raises(ValueError, match=message):
        dissimilarity(h_i, h_j)


@pytest.mark.parametrize(("settings", "message"), SETTINGS)
def test_errors_name_what_is_wrong_with_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        dissimilarity(torch.ones(3, 4), torch.ones(3, 4), **settings)
    if "lambda" not in message:
        with pytest.raises(ValueError, match=message):
            AffineHullDissimilarity(**settings)
