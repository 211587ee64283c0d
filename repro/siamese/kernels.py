"""Compiled kernels for a CPU: sums over the features of samples, and lassos by coordinate descent.

Each pair is worked on by one thread and in one order, so results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from repro.compiling import compiled

__all__ = ["descend", "grams", "in_threads", "meet"]

Array = np.ndarray

# Rows and columns of the product that one pass over a block of features adds to.
_TILE = 4
# Features that are converted to double precision at a time: a block stays in the cache.
_WIDTH = 256
# Pairs times features below which a second thread costs more than it saves.
_WORTH_A_THREAD = 1 << 15


_summing = compiled("contract", "reassoc", "nsz")
"""Compile with sums in any order."""


def in_threads(kernel: Callable[..., None], threads: int, *arrays: Array) -> None:
    """Call a kernel on arrays (B, ..., .), whose last is (B, ..., D), in up to `threads` threads."""
    pairs = len(arrays[0])
    threads = min(threads, pairs, pairs * arrays[-1].shape[-1] // _WORTH_A_THREAD)
    if threads < 2:
        kernel(*arrays)
        return
    bounds = [pairs * k // threads for k in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        parts = zip(bounds[:-1], bounds[1:], strict=True)
        list(pool.map(lambda part: kernel(*(array[slice(*part)] for array in arrays)), parts))


# ---------------------------------------------------------------------------------------- sums over features


@_summing
def grams(products: Array, first: Array, second: Array) -> None:
    """Write the inner products (B, n + m, n + m) of the rows of `first` (B, n, D) and `second` (B, m, D)."""
    n, m, features = first.shape[1], second.shape[1], first.shape[2]
    below = -(-n // _TILE) * _TILE
    rows = below + -(-m // _TILE) * _TILE
    block, total = np.zeros((rows, _WIDTH)), np.empty((rows, rows))
    for b in range(len(first)):
        total[:] = 0.0
        for start in range(0, features, _WIDTH):
            end = min(start + _WIDTH, features)
            _convert(first[b], start, end, block)
            _convert(second[b], start, end, block[below:])
            for i in range(0, rows, _TILE):
                for j in range(i, rows, _TILE):
                    _add_tile(block, i, j, end - start, total)
        for i in range(n + m):
            k = i if i < n else i - n + below
            for j in range(i, n + m):
                product = total[k, j if j < n else j - n + below]
                products[b, i, j] = product
                products[b, j, i] = product


@_summing
def _convert(samples: Array, start: int, end: int, block: Array) -> None:
    for i in range(len(samples)):
        # Indices from zero along slices, here and below, are what the compiler makes vectors of.
        source, target = samples[i, start:end], block[i]
        for d in range(len(source)):
            target[d] = source[d]


@_summing
def _add_tile(block: Array, i: int, j: int, width: int, total: Array) -> None:
    """Add the inner products of four rows from i and four rows from j over `width` features.

    Sixteen sums in registers for eight values read: this is what makes it as fast as the processor multiplies.
    """
    a0, a1, a2, a3 = block[i], block[i + 1], block[i + 2], block[i + 3]
    b0, b1, b2, b3 = block[j], block[j + 1], block[j + 2], block[j + 3]
    t00 = t01 = t02 = t03 = t10 = t11 = t12 = t13 = t20 = t21 = t22 = t23 = t30 = t31 = t32 = t33 = 0.0
    for d in range(width):
        t00, t01, t02, t03 = t00 + a0[d] * b0[d], t01 + a0[d] * b1[d], t02 + a0[d] * b2[d], t03 + a0[d] * b3[d]
        t10, t11, t12, t13 = t10 + a1[d] * b0[d], t11 + a1[d] * b1[d], t12 + a1[d] * b2[d], t13 + a1[d] * b3[d]
        t20, t21, t22, t23 = t20 + a2[d] * b0[d], t21 + a2[d] * b1[d], t22 + a2[d] * b2[d], t23 + a2[d] * b3[d]
        t30, t31, t32, t33 = t30 + a3[d] * b0[d], t31 + a3[d] * b1[d], t32 + a3[d] * b2[d], t33 + a3[d] * b3[d]
    rows = (t00, t01, t02, t03), (t10, t11, t12, t13), (t20, t21, t22, t23), (t30, t31, t32, t33)
    for k in range(_TILE):
        row = rows[k]
        for l in range(_TILE):  # noqa: E741
            total[i + k, j + l] += row[l]


@_summing
def meet(
    fidelity: float,
    left_i: Array,
    left_j: Array,
    h_i: Array,
    h_j: Array,
    squares: Array,
    points: Array,
    right_i: Array,
    right_j: Array,
) -> None:
    """Write what Eq. 21 and its gradient need of the features, which are read once.

    Rows of `left_i` (B, 2, n) weight the samples `h_i` (B, n, D), for the point of the hull and for its sparse
    combination, and likewise for j. `squares` (B, 1, 3) are F, G and Q (Eqs. 18 to 20), `points` (B, 2, D) those of
    i and j, `right_i` and `right_j` (B, 2, D) the gradient of F + fidelity (G + Q) in the four combinations.
    """
    at_i, at_j, difference = np.empty((2, _WIDTH)), np.empty((2, _WIDTH)), np.empty(_WIDTH)
    for b in range(len(h_i)):
        squares[b] = 0.0
        for start in range(0, h_i.shape[2], _WIDTH):
            end = min(start + _WIDTH, h_i.shape[2])
            _combine(left_i[b], h_i[b], start, end, difference, at_i)
            _combine(left_j[b], h_j[b], start, end, difference, at_j)
            point_i, sparse_i, point_j, sparse_j = at_i[0], at_i[1], at_j[0], at_j[1]
            squares[b, 0, 0] += _square_distance(point_i, point_j, end - start)
            squares[b, 0, 1] += _square_distance(point_i, sparse_i, end - start)
            squares[b, 0, 2] += _square_distance(point_j, sparse_j, end - start)
            points[b, 0, start:end] = point_i[: end - start]
            points[b, 1, start:end] = point_j[: end - start]
            _write_gradient(fidelity, point_i, sparse_i, point_j, right_i[b, :, start:end])
            _write_gradient(fidelity, point_j, sparse_j, point_i, right_j[b, :, start:end])


@_summing
def _square_distance(a: Array, b: Array, width: int) -> float:
    total = 0.0
    for d in range(width):
        total += (a[d] - b[d]) ** 2
    return total


@_summing
def _write_gradient(fidelity: float, point: Array, sparse: Array, other: Array, right: Array) -> None:
    """One result a loop: with several the compiler gives up proving that they do not overlap."""
    at_point, at_sparse = right[0], right[1]
    for d in range(len(at_point)):
        at_point[d] = 2 * (fidelity * (point[d] - sparse[d]) + point[d] - other[d])
    for d in range(len(at_sparse)):
        at_sparse[d] = -2 * fidelity * (point[d] - sparse[d])


@_summing
def _combine(weights: Array, samples: Array, start: int, end: int, difference: Array, totals: Array) -> None:
    """Write weighted sums (m, end - start) of the samples' features into `totals`."""
    origin = samples[0, start:end]
    for k in range(len(weights)):
        weight, total = weights[k].sum(), totals[k]
        for d in range(len(origin)):
            total[d] = weight * origin[d]
    # The large weights of near-duplicates meet their small differences, not their size.
    for i in range(1, len(samples)):
        row = samples[i, start:end]
        for d in range(len(origin)):
            difference[d] = np.float64(row[d]) - np.float64(origin[d])
        for k in range(len(weights)):
            weight, total = weights[k, i], totals[k]
            for d in range(len(origin)):
                total[d] += weight * difference[d]


# ---------------------------------------------------------------------------------------------------- lassos


@_summing
def descend(
    quadratic: Array,
    linear: Array,
    weight: Array,
    rounding: Array,
    sweeps: int,
    tolerance: float,
    solution: Array,
    solved: Array,
) -> None:
    """Solve lassos (see `repro.siamese.lasso.Lasso`) by coordinate descent, exact on its active set.

    Once the signs stand still, the equations of that active set are solved. `solved` (B,) tells where this satisfies
    the optimality conditions within `tolerance` of |q|'|z| after at most `sweeps` sweeps; `solution` is (B, N).
    """
    n = linear.shape[1]
    slope, exact, exact_slope, work = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    signs, tried, index, matrix = np.empty(n), np.empty(n), np.empty(n, np.int64), np.empty((n, n))
    for b in range(len(linear)):
        p, q, w, r, z = quadratic[b], linear[b], weight[b], rounding[b], solution[b]
        z[:], signs[:], tried[:] = 0.0, 0.0, np.nan
        slope[:] = -q
        solved[b] = False
        for _ in range(sweeps):
            if _sweep(p, w, r, slope, z, signs) or (signs == tried).all():
                continue
            tried[:] = signs
            if not _solve_signs(p, q, w, r, signs, exact, exact_slope, matrix, work, index):
                break
            if _violation(w, exact_slope, exact) <= tolerance * np.abs(q * exact).sum():
                z[:], solved[b] = exact, True
                break
            if _objective(q, w, exact_slope, exact) < _objective(q, w, slope, z):
                z[:], slope[:], signs[:] = exact, exact_slope, np.sign(exact)


@_summing
def _sweep(p: Array, w: Array, r: Array, slope: Array, z: Array, signs: Array) -> bool:
    """Minimise over one coefficient after the other; tell whether a sign changed."""
    changed = False
    for k in range(len(z)):
        pivot = p[k, k]
        if pivot <= r[k]:  # the objective does not depend on it
            continue
        pull = pivot * z[k] - slope[k]
        new = sign = 0.0
        if abs(pull) > w[k]:
            sign = np.sign(pull)
            new = (pull - w[k] * sign) / pivot
        step = new - z[k]
        if step != 0.0:
            z[k] = new
            for j in range(len(z)):
                slope[j] += step * p[k, j]
        if sign != signs[k]:
            signs[k] = sign
            changed = True
    return changed


@_summing
def _solve_signs(
    p: Array,
    q: Array,
    w: Array,
    r: Array,
    signs: Array,
    z: Array,
    slope: Array,
    matrix: Array,
    work: Array,
    index: Array,
) -> bool:
    """Write z, zero where `signs` is, elsewhere without slope if it has those signs; False if P is singular there."""
    size = 0
    for k in range(len(z)):
        z[k] = 0.0
        if signs[k] != 0.0:
            index[size] = k
            size += 1
    for i in range(size):
        for j in range(i + 1):
            matrix[i, j] = p[index[i], index[j]]
        matrix[i, i] += r[index[i]]
    if not _factorise(matrix, size):
        return False
    for _ in range(2):  # the second pass removes the bias of the regularisation
        _slope(p, q, z, slope)
        for i in range(size):
            work[i] = -slope[index[i]] - w[index[i]] * signs[index[i]]
        _substitute(matrix, size, work)
        for i in range(size):
            z[index[i]] += work[i]
    _slope(p, q, z, slope)
    return True


@_summing
def _factorise(matrix: Array, size: int) -> bool:
    """Replace the lower triangle of (size, size) by its Cholesky factor; False if it is not positive definite."""
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i, j]
            for k in range(j):
                rest -= matrix[i, k] * matrix[j, k]
            if j < i:
                matrix[i, j] = rest / matrix[j, j]
            elif rest > 0.0:
                matrix[i, i] = np.sqrt(rest)
            else:
                return False
    return True


@_summing
def _substitute(factor: Array, size: int, x: Array) -> None:
    """Replace the right side x by the solution, given the Cholesky factor."""
    for i in range(size):
        rest = x[i]
        for k in range(i):
            rest -= factor[i, k] * x[k]
        x[i] = rest / factor[i, i]
    for i in range(size - 1, -1, -1):
        x[i] /= factor[i, i]
        for k in range(i):
            x[k] -= factor[i, k] * x[i]


@_summing
def _slope(p: Array, q: Array, z: Array, slope: Array) -> None:
    """Write the gradient Pz - q of the smooth part."""
    slope[:] = -q
    for k in range(len(z)):
        if z[k] != 0.0:
            for j in range(len(z)):
                slope[j] += z[k] * p[k, j]


@_summing
def _violation(w: Array, slope: Array, z: Array) -> float:
    """Violation of the optimality conditions, as `Lasso.violation`."""
    loose = excess = length = 0.0
    for k in range(len(z)):
        loose += abs(slope[k] * z[k] + w[k] * abs(z[k]))
        excess = max(excess, abs(slope[k]) - w[k])
        length += abs(z[k])
    return loose + excess * (1 + 2 * length)


@_summing
def _objective(q: Array, w: Array, slope: Array, z: Array) -> float:
    total = 0.0
    for k in range(len(z)):
        total += 0.5 * z[k] * (slope[k] - q[k]) + w[k] * abs(z[k])
    return total
