"""The loops of the fused implementation, compiled; `repro.ssd.cpu` plans and calls them.

A frame lives in a *plane*: it is extended by its reflection (D8) and flattened, so that every offset within a
neighbourhood is one number, ``row * stride + column``. A neighbourhood is known by its first sample. Positions
run over whole rows of the plane; those in the extension are computed and never looked at, which costs less than
a loop that stops at each row's end.

A plane is treated block by block, all steps on one block while it is in the cache. Nothing here is K times as
large as a frame. Arrays carry the precision: every function is compiled for the dtypes that it is called with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

Array = np.ndarray

BLOCK = 2048
"""Positions treated together: three float32 buffers of this length fit into a first-level cache."""

TILE = 5
"""Adjacent taps of a filter that are applied in one pass: one row of the default window."""

MAX_FRAMES = 20
"""Frames whose m_j may be multiplied: 1e-10 to this power is a normal float64."""

SLACK = 2 * TILE + 16
"""Elements that a plane needs behind its last row, where the last tile and whole vectors may read."""

class Plan(NamedTuple):
    """What `log_map` needs to know of a channel of the reference segment.

    Attributes
    ----------
    window : int
    center : bool
        D2.
    shift : float
        Subtracted from every intensity; any number if neighbourhoods are centred.
    samples : float
        K.
    rounding : float
        Fraction of an inner product that counts as rounding error when the means are taken out.
    null : float
        Below this an inner product, as multiplied by `scale`, counts as zero; `scale` is K if center, else 1.
    a2_unit, variance_unit, precision : float
        1 / K, 1 / (K scale) and 1 / s_n^2.
    eigenvalues : array, (K,)
        Of C_u, descending; null ones are 0.
    offsets, begins, filters : array
        See `_quadratic_form`.
    """

    window: int
    center: bool
    shift: float
    samples: float
    rounding: float
    null: float
    a2_unit: float
    variance_unit: float
    precision: float
    eigenvalues: Array
    offsets: Array
    begins: Array
    filters: Array


_SQRT_HALF_BITS = int(np.float32(0.5**0.5).view(np.int32))


def _compiled(*flags: str) -> Callable[[Callable], Any]:
    """Compile with the given floating-point freedoms, and cache the result where that is possible.

    NaN and infinity keep their meaning unless a flag says otherwise.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(flags) or False}

    def decorate(function: Callable) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache can be written
            return njit(**options)(function)

    return decorate


@_compiled()
def extend(frame: Array, margin: int, shift: float, plane: Array) -> None:
    """Write a frame (H, W), less `shift`, and its reflection into a plane."""
    height, width = frame.shape
    stride = width + 2 * margin
    offset = plane.dtype.type(shift)
    for row in range(-margin, height + margin):
        values = frame[abs(row) if row < height else 2 * (height - 1) - row]
        at = (row + margin) * stride + margin
        interior = plane[at : at + width]
        for column in range(width):
            interior[column] = values[column] - offset
        _reflect_row(plane, at, width, margin)


@_compiled()
def _reflect_row(plane: Array, at: int, width: int, margin: int) -> None:
    for step in range(1, margin + 1):
        plane[at - step] = plane[at + step]
        plane[at + width - 1 + step] = plane[at + width - 1 - step]


@_compiled()
def _reflect(plane: Array, height: int, width: int, margin: int) -> None:
    """Replace the border of a plane by the reflection of its interior."""
    stride = width + 2 * margin
    for row in range(margin, height + margin):
        _reflect_row(plane, row * stride + margin, width, margin)
    last = height + margin - 1
    for step in range(1, margin + 1):
        for column in range(stride):
            plane[(margin - step) * stride + column] = plane[(margin + step) * stride + column]
            plane[(last + step) * stride + column] = plane[(last - step) * stride + column]


# --- Eq. 12 -------------------------------------------------------------------------------------------------


@_compiled("contract", "reassoc", "nsz")
def _total(values: Array) -> float:
    total = 0.0
    for i in range(len(values)):
        total += values[i]
    return total


@_compiled("contract")
def _add_row_products(total: Array, u: Array, v: Array, at_u: int, at_v: int, stride: int, rows: int) -> None:
    """Add u * v row by row, four at a time, since moving data costs more than adding it.

    Offsets are unsigned: a signed index could count from the end, and the test for that stops vectorisation.
    """
    n, four = np.uint64(len(total)), np.uint64(4)
    for _ in range(rows // 4):
        u1, v1 = at_u + stride, at_v + stride
        u2, v2 = u1 + stride, v1 + stride
        u3, v3 = u2 + stride, v2 + stride
        for i in range(n):
            first = u[at_u + i] * v[at_v + i] + u[u1 + i] * v[v1 + i]
            total[i] += first + (u[u2 + i] * v[v2 + i] + u[u3 + i] * v[v3 + i])
        at_u += four * stride
        at_v += four * stride
    for _ in range(rows % 4):
        for i in range(n):
            total[i] += u[at_u + i] * v[at_v + i]
        at_u += stride
        at_v += stride


@_compiled("contract")
def _replace_row_products(total: Array, u: Array, v: Array, at_u: int, at_v: int, move: int) -> None:
    """Take one row's products out of a sum and put those of the row `move` further on in."""
    new_u, new_v = at_u + move, at_v + move
    for i in range(np.uint64(len(total))):
        total[i] += u[new_u + i] * v[new_v + i] - u[at_u + i] * v[at_v + i]


@_compiled()
def _gram(u: Array, v: Array, same: bool, window: int, height: int, columns: Array, out: Array) -> None:
    """Sum x_a y_b over all neighbourhoods x of plane `u` and y of plane `v`, for all samples a and b of a window.

    But for the border, a sum depends only on the distance between a and b. For each distance the products are
    summed over the window's rows once; to move the window takes one row or column away and adds another.

    Parameters
    ----------
    u, v : array, (plane,)
    same : bool
        Whether they are the same plane, which makes `out` symmetric.
    window, height : int
    columns : array, (stride + SLACK,)
        Work space.
    out : array, (window * window,) * 2 float64
    """
    stride = len(columns) - SLACK
    width = stride - window + 1
    for dy in range(0 if same else 1 - window, window):
        for dx in range(0 if same and dy == 0 else 1 - window, window):
            y_begin, y_end = max(0, -dy), min(window, window - dy)
            x_begin, x_end = max(0, -dx), min(window, window - dx)
            # Whole vectors; what lies beyond the row is not looked at.
            total = columns[: (width + x_end - x_begin + 14) // 16 * 16]
            total[:] = 0
            at_u = y_begin * stride + x_begin
            at_v = at_u + dy * stride + dx
            _add_row_products(total, u, v, np.uint64(at_u), np.uint64(at_v), np.uint64(stride), height)
            for y in range(y_begin, y_end):
                if y > y_begin:
                    _replace_row_products(
                        total, u, v, np.uint64(at_u), np.uint64(at_v), np.uint64(height * stride)
                    )
                    at_u += stride
                    at_v += stride
                value = _total(total[:width])
                for x in range(x_begin, x_end):
                    a, b = y * window + x, (y + dy) * window + x + dx
                    out[a, b] = value
                    if same:
                        out[b, a] = value
                    left = x - x_begin
                    value += np.float64(total[left + width]) - np.float64(total[left])


@_compiled()
def covariance(
    segment: Array, channel: int, first: int, last: int, window: int, shift: float, planes: Array, out: Array
) -> None:
    """Add up N times Eq. 12, neighbourhoods not centred, over some frames of one channel of a segment.

    Parameters
    ----------
    segment : array, (l, C, H, W)
    channel, first, last : int
        The channel, and the range of the earlier one of two frames that a neighbourhood spans.
    window : int
    shift : float
        Subtracted from every intensity.
    planes : array, (depth, plane)
        Work space; its dtype is that of products and of their sums over a column.
    out : array, (depth, depth, window * window, window * window) float64
        [s, t] is the block of frames s and t of a neighbourhood; only those with s <= t are added to.
    """
    length, _, height, width = segment.shape
    depth = len(planes)
    columns = np.empty(width + window - 1 + SLACK, planes.dtype)
    products = np.empty(out.shape[2:])
    for u in range(first, last):
        for v in range(u, min(u + depth, length)):
            extend(segment[v, channel], window // 2, shift, planes[v - u])
            _gram(planes[0], planes[v - u], u == v, window, height, columns, products)
            for s in range(depth):
                for t in range(s, depth):
                    count = _times(u, v, s - depth // 2, t - depth // 2, length)
                    for a in range(len(products)):
                        for b in range(len(products)):
                            out[s, t, a, b] += count * products[a, b]


@_compiled()
def _times(u: int, v: int, s: int, t: int, length: int) -> int:
    """How many frames have u as their neighbour at distance s, and v at t, where the ends repeat (D3)."""
    count = 0
    for j in range(length):
        if min(max(j + s, 0), length - 1) == u and min(max(j + t, 0), length - 1) == v:
            count += 1
    return count


# --- Eqs. 13 to 15 ------------------------------------------------------------------------------------------


@_compiled("contract")
def _difference(out: Array, a: Array, b: Array) -> None:
    for i in range(len(out)):
        out[i] = a[i] - b[i]


@_compiled("contract", "reassoc", "nsz")
def _start_filters(first: Array, second: Array, taps: Array, a: Array, b: Array) -> None:
    """Apply five adjacent taps of two filters."""
    a0, a1, a2, a3, a4 = a[0], a[1], a[2], a[3], a[4]
    b0, b1, b2, b3, b4 = b[0], b[1], b[2], b[3], b[4]
    for i in range(len(first)):
        t0, t1, t2, t3, t4 = taps[i], taps[i + 1], taps[i + 2], taps[i + 3], taps[i + 4]
        first[i] = a0 * t0 + a1 * t1 + a2 * t2 + a3 * t3 + a4 * t4
        second[i] = b0 * t0 + b1 * t1 + b2 * t2 + b3 * t3 + b4 * t4


@_compiled("contract", "reassoc", "nsz")
def _add_filters(first: Array, second: Array, taps: Array, a: Array, b: Array) -> None:
    """Apply five more adjacent taps of two filters."""
    a0, a1, a2, a3, a4 = a[0], a[1], a[2], a[3], a[4]
    b0, b1, b2, b3, b4 = b[0], b[1], b[2], b[3], b[4]
    for i in range(len(first)):
        t0, t1, t2, t3, t4 = taps[i], taps[i + 1], taps[i + 2], taps[i + 3], taps[i + 4]
        first[i] += a0 * t0 + a1 * t1 + a2 * t2 + a3 * t3 + a4 * t4
        second[i] += b0 * t0 + b1 * t1 + b2 * t2 + b3 * t3 + b4 * t4


@_compiled("contract")
def _add_squares(total: Array, first: Array, second: Array) -> None:
    for i in range(len(total)):
        total[i] += first[i] * first[i] + second[i] * second[i]


@_compiled()
def _quadratic_form(
    total: Array, sources: Array, offsets: Array, begins: Array, filters: Array, first: Array, second: Array
) -> None:
    """K times Eq. 13: the squared length of the filters' answers, the filters being a triangular factor.

    Parameters
    ----------
    total, first, second : array, (n,)
        The result and two work spaces.
    sources : array
        From the first position on.
    offsets : array, (tiles,) int
        Where in `sources` each tile begins.
    begins : array, (pairs,) int
        First tile of two filters that is not zero.
    filters : array, (pairs, tiles, 2, TILE)
    """
    total[:] = 0
    for pair in range(len(filters)):
        begin = begins[pair]
        taps = sources[offsets[begin] :]
        _start_filters(first, second, taps, filters[pair, begin, 0], filters[pair, begin, 1])
        for tile in range(begin + 1, len(offsets)):
            taps = sources[offsets[tile] :]
            _add_filters(first, second, taps, filters[pair, tile, 0], filters[pair, tile, 1])
        _add_squares(total, first, second)


@_compiled("contract")
def _box_columns(column: Array, a: Array, window: int, stride: int) -> None:
    """Sum `window` rows, two at a time."""
    for i in range(len(column)):
        column[i] = a[i]
    for dy in range(1, window, 2):
        a1, a2 = a[dy * stride :], a[(dy + 1) * stride :]
        for i in range(len(column)):
            column[i] += a1[i] + a2[i]


@_compiled("contract")
def _box_product_columns(column: Array, a: Array, b: Array, window: int, stride: int) -> None:
    """Sum the products of `window` rows."""
    for i in range(len(column)):
        column[i] = a[i] * b[i]
    for dy in range(1, window, 2):
        a1, a2 = a[dy * stride :], a[(dy + 1) * stride :]
        b1, b2 = b[dy * stride :], b[(dy + 1) * stride :]
        for i in range(len(column)):
            column[i] += a1[i] * b1[i] + a2[i] * b2[i]


@_compiled("contract")
def _add_box_rows(total: Array, column: Array, window: int) -> None:
    """Add the sums of `window` adjacent columns."""
    for i in range(len(total)):
        total[i] += column[i]
    for dx in range(1, window, 2):
        one, two = column[dx:], column[dx + 1 :]
        for i in range(len(total)):
            total[i] += one[i] + two[i]


@_compiled()
def _inner_products(
    sums: Array, column: Array, planes: Array, start: int, center: bool, window: int, stride: int
) -> None:
    """Sums over neighbourhoods of x, y, x^2, y^2 and x y, the first two only if they are needed; (5, n)."""
    sums[:] = 0
    for t in range(planes.shape[1]):
        x, y = planes[0, t, start:], planes[1, t, start:]
        if center:
            _box_columns(column, x, window, stride)
            _add_box_rows(sums[0], column, window)
            _box_columns(column, y, window, stride)
            _add_box_rows(sums[1], column, window)
        _box_product_columns(column, x, x, window, stride)
        _add_box_rows(sums[2], column, window)
        _box_product_columns(column, y, y, window, stride)
        _add_box_rows(sums[3], column, window)
        _box_product_columns(column, x, y, window, stride)
        _add_box_rows(sums[4], column, window)


@_compiled("contract")
def _center(sums: Array, samples: float, rounding: float) -> None:
    """Multiply inner products by K and take the means' part out (D2); those of integers stay integers.

    A difference below `rounding` times what it is taken from is rounding error, and zero.
    """
    zero = sums.dtype.type(0)
    for i in range(sums.shape[1]):
        x, y = sums[0, i], sums[1, i]
        x_square, y_square = samples * sums[2, i], samples * sums[3, i]
        xx, yy = x_square - x * x, y_square - y * y
        sums[2, i] = zero if xx < rounding * x_square else xx
        sums[3, i] = zero if yy < rounding * y_square else yy
        sums[4, i] = samples * sums[4, i] - x * y


@_compiled("contract")
def _deformation(sums: Array, quadratic: Array, plan: Plan, offset: Array, slope: Array) -> None:
    """Eqs. 14 and 15, and with them what Eq. 11 is made of: its factors are 1 + offset + slope lambda_k.

    The difference of inner products in Eq. 15 is taken in float64, since y may be close to g x.
    """
    number = offset.dtype.type
    zero, one = number(0), number(1)
    a2_unit, variance_unit, precision, null = plan.a2_unit, plan.variance_unit, plan.precision, plan.null
    for i in range(len(offset)):
        xx, yy, xy = sums[2, i], sums[3, i], sums[4, i]
        residual = number(np.float64(xx) * np.float64(yy) - np.float64(xy) * np.float64(xy))
        inverse = one / number(xx)
        gain = zero if xx < null or abs(xy) < null else number(xy) * inverse
        rest = number(yy) if xx < null else residual * inverse
        variance = zero if yy < null else max(rest, zero) * variance_unit
        a2 = zero if xx < null else quadratic[i] * a2_unit
        offset[i] = variance * precision
        slope[i] = (variance * precision + (one + gain * gain)) * precision * a2


# --- Eq. 11 -------------------------------------------------------------------------------------------------


@_compiled("contract", "reassoc", "nnan", "nsz")
def _largest(values: Array) -> float:
    largest = values[0]
    for i in range(len(values)):
        largest = max(largest, values[i])
    return largest


@_compiled("contract")
def _multiply_four(excess: Array, offset: Array, slope: Array, eigenvalues: Array) -> None:
    l0, l1, l2, l3 = eigenvalues[0], eigenvalues[1], eigenvalues[2], eigenvalues[3]
    for i in range(len(excess)):
        q = excess[i]
        t = offset[i] + slope[i] * l0
        q = q * t + (q + t)
        t = offset[i] + slope[i] * l1
        q = q * t + (q + t)
        t = offset[i] + slope[i] * l2
        q = q * t + (q + t)
        t = offset[i] + slope[i] * l3
        excess[i] = q * t + (q + t)


@_compiled("contract")
def _multiply(excess: Array, offset: Array, slope: Array, eigenvalue: float) -> None:
    for i in range(len(excess)):
        t = offset[i] + slope[i] * eigenvalue
        excess[i] = excess[i] * t + (excess[i] + t)


@_compiled("contract")
def _add_one(out: Array, a: Array) -> None:
    for i in range(len(out)):
        out[i] = a[i] + np.float32(1)


@_compiled("contract")
def _split(value_bits: Array, exponent: Array, mantissa_bits: Array) -> None:
    """Split float32 numbers into 2^exponent * mantissa, sqrt(1/2) <= mantissa < sqrt(2), by their bits."""
    for i in range(len(value_bits)):
        power = np.int32(np.int32(value_bits[i] - _SQRT_HALF_BITS) >> 23)
        mantissa_bits[i] = value_bits[i] - (power << 23)
        exponent[i] = power


@_compiled("contract")
def _add_series(total: Array, excess: Array, exponent: Array, mantissa: Array) -> None:
    """Add log(1 + excess) = exponent log(2) + 2 artanh(f / (2 + f)), by its series; |f| < 0.42."""
    one, two, log_two = np.float32(1), np.float32(2), np.float32(np.log(2.0))
    c3, c5, c7, c9 = np.float32(1 / 3), np.float32(1 / 5), np.float32(1 / 7), np.float32(1 / 9)
    for i in range(len(total)):
        f = mantissa[i] - one
        f = excess[i] if exponent[i] == 0 else f  # as it was before 1 was added to it
        s = f / (two + f)
        z = s * s
        series = one + z * (c3 + z * (c5 + z * (c7 + z * c9)))
        total[i] += exponent[i] * log_two + two * s * series


@_compiled()
def _add_log1p(total: Array, excess: Array, work: Array) -> None:
    """Add log(1 + excess), (n,); `work` is (3, n)."""
    if excess.itemsize != 4:
        for i in range(len(total)):
            total[i] += np.log1p(excess[i])
        return
    value, exponent, mantissa = work[0], work[1], work[2]
    _add_one(value, excess)
    _split(value.view(np.int32), exponent, mantissa.view(np.int32))
    _add_series(total, excess, exponent, mantissa)


@_compiled()
def _information(total: Array, offset: Array, slope: Array, eigenvalues: Array, excess: Array, work: Array) -> None:
    """Twice Eq. 11: sum_k log(1 + offset + slope lambda_k), with one logarithm for many factors; (n,).

    `excess` is a product of factors less 1, so that a product near 1 keeps its digits. A logarithm is taken where
    the next factor could make a product overflow.
    """
    limit = 1e36 if total.itemsize == 4 else 1e300
    largest_offset, largest_slope = np.float64(_largest(offset)), np.float64(_largest(slope))
    total[:] = 0
    begin = 0
    while begin < len(eigenvalues):
        excess[:] = 0
        bound, end = 1 + largest_offset + largest_slope * eigenvalues[begin], begin + 1
        while end < len(eigenvalues):
            bound *= 1 + largest_offset + largest_slope * eigenvalues[end]
            if bound > limit:
                break
            end += 1
        while begin + 4 <= end:
            _multiply_four(excess, offset, slope, eigenvalues[begin:])
            begin += 4
        while begin < end:
            _multiply(excess, offset, slope, eigenvalues[begin])
            begin += 1
        _add_log1p(total, excess, work)


# --- Eq. 6 --------------------------------------------------------------------------------------------------


@_compiled("contract")
def _square_difference(out: Array, a: Array, b: Array) -> None:
    for i in range(len(out)):
        out[i] = (a[i] - b[i]) * (a[i] - b[i])


@_compiled("contract")
def _multiply_ratio(product: Array, moment: Array, total: Array) -> None:
    """Multiply by the bracket of Eq. 6, at least 1e-10; twice the weights make the same ratio."""
    for i in range(len(product)):
        ratio = np.float64(moment[i] / total[i])
        product[i] *= max(ratio, 1e-10) if total[i] > 0 else 1e-10


@_compiled()
def _write_sources(planes: Array, stride: int, sources: Array) -> None:
    """Write what the filters apply to: differences in space and between frames, and the first frame itself."""
    depth, size = planes.shape
    for t in range(depth):
        _difference(sources[2 * t, : size - stride], planes[t, stride:], planes[t])
        _difference(sources[2 * t + 1, : size - 1], planes[t, 1:], planes[t])
    for t in range(depth - 1):
        _difference(sources[2 * depth + t], planes[t + 1], planes[t])
    for i in range(size):
        sources[3 * depth - 1, i] = planes[0, i]


@_compiled()
def _write_weights(weights: Array, planes: Array, sources: Array, plan: Plan, stride: int, sums: Array, work: Array) -> None:
    """Twice the weights of Eq. 11 at `weights`, (n,), block by block."""
    window, flat = plan.window, sources.reshape(-1)
    for start in range(0, len(weights), BLOCK):
        n = min(BLOCK, len(weights) - start)
        quadratic, offset, slope = work[0, :n], work[1, :n], work[2, :n]
        _quadratic_form(
            quadratic, flat[start:], plan.offsets, plan.begins, plan.filters, work[3, :n], work[4, :n]
        )
        _inner_products(sums[:5, :n], sums[5, : n + window - 1], planes, start, plan.center, window, stride)
        if plan.center:
            _center(sums[:5, :n], plan.samples, plan.rounding)
        _deformation(sums[:5, :n], quadratic, plan, offset, slope)
        _information(weights[start : start + n], offset, slope, plan.eigenvalues, quadratic, work[3:6, :n])


@_compiled()
def _multiply_brackets(product: Array, weights: Array, difference: Array, window: int, stride: int, work: Array) -> None:
    """Multiply by Eq. 6's brackets, (n,), block by block; `weights` and `difference` are planes."""
    for start in range(0, len(product), BLOCK):
        n = min(BLOCK, len(product) - start)
        moment, total, column = work[0, :n], work[1, :n], work[2, : n + window - 1]
        moment[:] = 0
        total[:] = 0
        _box_product_columns(column, weights[start:], difference[start:], window, stride)
        _add_box_rows(moment, column, window)
        _box_columns(column, weights[start:], window, stride)
        _add_box_rows(total, column, window)
        _multiply_ratio(product[start : start + n], moment, total)


@_compiled()
def log_map(
    x: Array, y: Array, channel: int, first: int, last: int, plan: Plan, planes: Array, sources: Array, out: Array
) -> None:
    """Sum log m_j (Eq. 6) over some frames of one channel of two segments.

    Parameters
    ----------
    x, y : array, (l, C, H, W)
    channel, first, last : int
        The channel, and the range of the frames j, at most MAX_FRAMES.
    plan : Plan
    planes : array, (2, depth, plane)
        Work space for the frames of a neighbourhood; its dtype is that of the inner products.
    sources : array, (3 * depth, plane)
        Work space for the filters' input; its dtype is that of the filters and of Eqs. 6, 11 and 13.
    out : array, (H, W) float64
    """
    length, _, height, width = x.shape
    depth, margin = planes.shape[1], plan.window // 2
    stride = width + 2 * margin
    n = (height - 1) * stride + width
    inner = margin * stride + margin
    weights, difference = np.zeros_like(sources[0]), np.zeros_like(sources[0])
    sums = np.empty((6, BLOCK + plan.window), planes.dtype)
    work = np.empty((6, BLOCK + plan.window), sources.dtype)
    product = np.ones(n)
    for j in range(first, last):
        for t in range(depth):
            frame = min(max(j + t - depth // 2, 0), length - 1)
            extend(x[frame, channel], margin, plan.shift, planes[0, t])
            extend(y[frame, channel], margin, plan.shift, planes[1, t])
        _write_sources(planes[0], stride, sources)
        _square_difference(difference, planes[0, depth // 2], planes[1, depth // 2])
        _write_weights(weights[inner : inner + n], planes, sources, plan, stride, sums, work)
        _reflect(weights, height, width, margin)
        _multiply_brackets(product, weights, difference, plan.window, stride, work)
    for row in range(height):
        for column in range(width):
            out[row, column] = np.log(product[row * stride + column])
