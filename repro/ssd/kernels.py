"""The loops of the fused implementation, compiled; `repro.ssd.cpu` plans and calls them.

A frame lives in a *plane*: it is extended by its reflection (D8) and flattened, so that every offset within a
neighbourhood is one number, ``row * stride + column``. A neighbourhood is known by its first sample. Positions run
over whole rows of the plane; those in the extension are computed and never looked at, which costs less than a loop
that stops at each row's end. A plane is treated block by block, all steps on one block while it is in the cache, and
nothing is K times as large as a frame. Arrays carry the precision: functions are compiled for the dtypes they meet.

This is one file although it is long: numba caches compiled code by its file's time stamp, and would go on using the
code of another file that has changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from repro.compiling import compiled

Array = np.ndarray
Number = float | np.floating

BLOCK = 1024
"""Positions treated together: half a dozen float32 buffers of this length fit into a first-level cache."""

TILE = 5
"""Adjacent taps of a filter that are applied in one pass: one row of the default window."""

DEGREE = 8
"""Most factors of Eq. 11 that share a logarithm."""

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
    scale : float
        What inner products are multiplied by: K if center, else 1.
    rounding : float
        Fraction of an inner product that counts as rounding error once the means' part is taken out.
    null : float
        Below this an inner product, multiplied by `scale`, counts as zero.
    a2_unit, variance_unit : float
        1 / (K s_n^2) and 1 / (K scale s_n^2).
    eigenvalues : array, (K,)
        Of C_u, descending; null ones are 0.
    offsets, begins, filters : array
        See `_quadratic_form`.
    """

    window: int
    center: bool
    shift: float
    scale: Number
    rounding: Number
    null: Number
    a2_unit: Number
    variance_unit: Number
    eigenvalues: Array
    offsets: Array
    begins: Array
    filters: Array


_SQRT_HALF_BITS = int(np.float32(0.5**0.5).view(np.int32))


@compiled()
def _count_fractions(values: Array) -> int:
    count = 0
    for i in range(len(values)):
        count += values[i] != np.rint(values[i])
    return count


@compiled()
def integers(segment: Array, channel: int, first: int, last: int) -> bool:
    """Return whether all intensities of some frames of one channel of a segment, (l, C, H, W), are integers."""
    for frame in range(first, last):
        for row in segment[frame, channel]:
            if _count_fractions(row) > 0:
                return False
    return True


@compiled()
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


@compiled()
def _reflect_row(plane: Array, at: int, width: int, margin: int) -> None:
    for step in range(1, margin + 1):
        plane[at - step] = plane[at + step]
        plane[at + width - 1 + step] = plane[at + width - 1 - step]


@compiled()
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


@compiled("contract", "reassoc", "nsz")
def _total(values: Array) -> float:
    total = 0.0
    for i in range(len(values)):
        total += values[i]
    return total


@compiled("contract")
def _add_row_products(total: Array, u: Array, v: Array, at_u: Any, at_v: Any, stride: Any, rows: int) -> None:
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


@compiled("contract")
def _replace_row_products(total: Array, u: Array, v: Array, at_u: Any, at_v: Any, move: Any) -> None:
    """Take one row's products out of a sum and put those of the row `move` further on in."""
    new_u, new_v = at_u + move, at_v + move
    for i in range(np.uint64(len(total))):
        total[i] += u[new_u + i] * v[new_v + i] - u[at_u + i] * v[at_v + i]


@compiled()
def _gram(u: Array, v: Array, same: bool, window: int, height: int, columns: Array, out: Array) -> None:
    """Sum x_a y_b over all neighbourhoods x of plane `u` and y of plane `v`, for all samples a and b.

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
            total = columns[: (width + x_end - x_begin + 15) // 16 * 16]
            total[:] = 0
            at_u = y_begin * stride + x_begin
            at_v = at_u + dy * stride + dx
            _add_row_products(total, u, v, np.uint64(at_u), np.uint64(at_v), np.uint64(stride), height)
            for y in range(y_begin, y_end):
                if y > y_begin:
                    _replace_row_products(total, u, v, np.uint64(at_u), np.uint64(at_v), np.uint64(height * stride))
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


@compiled()
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
    products = np.empty((window * window, window * window))
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


@compiled()
def _times(u: int, v: int, s: int, t: int, length: int) -> int:
    """How many frames have u as their neighbour at distance s, and v at t, where the ends repeat (D3)."""
    count = 0
    for j in range(length):
        if min(max(j + s, 0), length - 1) == u and min(max(j + t, 0), length - 1) == v:
            count += 1
    return count


# --- Eqs. 13 to 15 ------------------------------------------------------------------------------------------


@compiled("contract")
def _difference(out: Array, a: Array, b: Array) -> None:
    for i in range(len(out)):
        out[i] = a[i] - b[i]


@compiled("contract", "reassoc", "nsz")
def _start_filters(first: Array, second: Array, taps: Array, a: Array, b: Array) -> None:
    """Apply five adjacent taps of two filters."""
    a0, a1, a2, a3, a4 = a[0], a[1], a[2], a[3], a[4]
    b0, b1, b2, b3, b4 = b[0], b[1], b[2], b[3], b[4]
    for i in range(len(first)):
        t0, t1, t2, t3, t4 = taps[i], taps[i + 1], taps[i + 2], taps[i + 3], taps[i + 4]
        first[i] = a0 * t0 + a1 * t1 + a2 * t2 + a3 * t3 + a4 * t4
        second[i] = b0 * t0 + b1 * t1 + b2 * t2 + b3 * t3 + b4 * t4


@compiled("contract", "reassoc", "nsz")
def _add_filters(first: Array, second: Array, taps: Array, a: Array, b: Array) -> None:
    """Apply five more adjacent taps of two filters."""
    a0, a1, a2, a3, a4 = a[0], a[1], a[2], a[3], a[4]
    b0, b1, b2, b3, b4 = b[0], b[1], b[2], b[3], b[4]
    for i in range(len(first)):
        t0, t1, t2, t3, t4 = taps[i], taps[i + 1], taps[i + 2], taps[i + 3], taps[i + 4]
        first[i] += a0 * t0 + a1 * t1 + a2 * t2 + a3 * t3 + a4 * t4
        second[i] += b0 * t0 + b1 * t1 + b2 * t2 + b3 * t3 + b4 * t4


@compiled("contract")
def _add_squares(total: Array, first: Array, second: Array) -> None:
    for i in range(len(total)):
        total[i] += first[i] * first[i] + second[i] * second[i]


@compiled()
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


@compiled("contract")
def _sum_rows(column: Array, a: Array, window: int, stride: int) -> None:
    """Sum `window` rows, a few at a time, since moving data costs more than adding it."""
    if window == 1:
        for i in range(len(column)):
            column[i] = a[i]
        return
    a1, a2 = a[stride:], a[2 * stride :]
    for i in range(len(column)):
        column[i] = a[i] + a1[i] + a2[i]
    for dy in range(3, window, 2):
        a1, a2 = a[dy * stride :], a[(dy + 1) * stride :]
        for i in range(len(column)):
            column[i] += a1[i] + a2[i]


@compiled("contract")
def _sum_row_products(column: Array, a: Array, b: Array, window: int, stride: int) -> None:
    """Sum the products of `window` rows."""
    if window == 1:
        for i in range(len(column)):
            column[i] = a[i] * b[i]
        return
    a1, a2, b1, b2 = a[stride:], a[2 * stride :], b[stride:], b[2 * stride :]
    for i in range(len(column)):
        column[i] = a[i] * b[i] + a1[i] * b1[i] + a2[i] * b2[i]
    for dy in range(3, window, 2):
        a1, a2 = a[dy * stride :], a[(dy + 1) * stride :]
        b1, b2 = b[dy * stride :], b[(dy + 1) * stride :]
        for i in range(len(column)):
            column[i] += a1[i] * b1[i] + a2[i] * b2[i]


@compiled("contract")
def _add_columns(total: Array, column: Array, window: int) -> None:
    """Add the sums of `window` adjacent columns; five at a time, for the default window."""
    begin = 0
    while begin + 5 <= window:
        five = column[begin:]
        for i in range(len(total)):
            total[i] += five[i] + (five[i + 1] + five[i + 2]) + (five[i + 3] + five[i + 4])
        begin += 5
    for dx in range(begin, window):
        one = column[dx:]
        for i in range(len(total)):
            total[i] += one[i]


@compiled()
def _inner_products(
    sums: Array, column: Array, n: int, planes: Array, start: int, center: bool, window: int, stride: int
) -> None:
    """Sum x, y, x^2, y^2 and x y over n neighbourhoods, (5, >= n); x and y only where their means are needed.

    Rows are taken from `sums` one by one: part of a matrix has rows at any distance, and of them numba no longer
    knows that they are contiguous, without which nothing is vectorised.
    """
    sum_x, sum_y, sum_xx, sum_yy, sum_xy = sums[0, :n], sums[1, :n], sums[2, :n], sums[3, :n], sums[4, :n]
    for total in (sum_x, sum_y, sum_xx, sum_yy, sum_xy):
        total[:] = 0
    for t in range(planes.shape[1]):
        x, y = planes[0, t, start:], planes[1, t, start:]
        if center:
            _sum_rows(column, x, window, stride)
            _add_columns(sum_x, column, window)
            _sum_rows(column, y, window, stride)
            _add_columns(sum_y, column, window)
        _sum_row_products(column, x, x, window, stride)
        _add_columns(sum_xx, column, window)
        _sum_row_products(column, y, y, window, stride)
        _add_columns(sum_yy, column, window)
        _sum_row_products(column, x, y, window, stride)
        _add_columns(sum_xy, column, window)


@compiled("contract")
def _take_means_out(product: Array, x: Array, y: Array, scale: float, rounding: float, null: float) -> None:
    """Turn sums of x y into inner products of centred neighbourhoods (D2), times `scale` = K.

    Those of integers stay integers; null ones become 0. Not centred, `scale` is 1 and the sums of x and y are
    0.
    """
    zero = product.dtype.type(0)
    for i in range(len(product)):
        whole = scale * product[i]
        value = whole - x[i] * y[i]
        product[i] = zero if abs(value) < null + rounding * abs(whole) else value


@compiled("contract")
def _offset(out: Array, xx: Array, yy: Array, xy: Array, unit: float) -> None:
    """s_v^2 / s_n^2 (Eqs. 14, 15), with the difference in float64, since y may be close to g x."""
    number = out.dtype.type
    zero, one = number(0), number(1)
    for i in range(len(out)):
        residual = number(np.float64(xx[i]) * np.float64(yy[i]) - np.float64(xy[i]) * np.float64(xy[i]))
        rest = residual * (one / number(xx[i])) if xx[i] > 0 else number(yy[i])
        out[i] = max(rest, zero) * unit if yy[i] > 0 else zero


@compiled("contract")
def _slope(out: Array, offset: Array, xx: Array, xy: Array, quadratic: Array, unit: float) -> None:
    """Compute what multiplies lambda_k when Eq. 11's factors are written (1 + offset) (1 + slope lambda_k)."""
    number = out.dtype.type
    zero, one = number(0), number(1)
    for i in range(len(out)):
        gain = number(xy[i]) / number(xx[i])
        below = one + offset[i]
        out[i] = (below + gain * gain) * quadratic[i] * unit / below if xx[i] > 0 else zero


# --- Eq. 11 -------------------------------------------------------------------------------------------------


@compiled()
def _largest_integer(values: Array) -> int:
    largest = values[0]
    for i in range(len(values)):
        largest = max(largest, values[i])
    return largest


@compiled()
def _largest(values: Array) -> float:
    """Return the largest of some numbers >= 0, which are in the order of their bits.

    Compilers vectorise a maximum of integers, but not one of floating-point numbers, for which NaN matters.
    """
    if values.itemsize == 4:
        return np.float64(np.int32(_largest_integer(values.view(np.int32))).view(np.float32))
    return np.int64(_largest_integer(values.view(np.int64))).view(np.float64)


@compiled("contract")
def _add_log1p_single(total: Array, excess: Array, factor: float) -> None:
    """Add factor * log(1 + excess) in float32.

    1 + excess = 2^power * mantissa with sqrt(1/2) <= mantissa < sqrt(2) by its bits, and with f = mantissa -
    1, log(mantissa) = 2 artanh(f / (2 + f)) by its series. Where power is 0, f is the excess itself.
    """
    one, two, log_two = np.float32(1), np.float32(2), np.float32(np.log(2.0))
    c3, c5, c7, c9 = np.float32(1 / 3), np.float32(1 / 5), np.float32(1 / 7), np.float32(1 / 9)
    for i in range(len(total)):
        bits = np.float32(excess[i] + one).view(np.int32)
        power = np.int32(np.int32(bits - _SQRT_HALF_BITS) >> 23)
        mantissa = np.int32(bits - (power << 23)).view(np.float32)
        f = excess[i] if power == 0 else mantissa - one
        s = f / (two + f)
        z = s * s
        series = one + z * (c3 + z * (c5 + z * (c7 + z * c9)))
        total[i] += factor * (np.float32(power) * log_two + two * s * series)


@compiled()
def _add_log1p(total: Array, excess: Array, factor: float) -> None:
    """Add factor * log(1 + excess), (n,)."""
    if excess.itemsize == 4:
        _add_log1p_single(total, excess, factor)
    else:
        for i in range(len(total)):
            total[i] += factor * np.log1p(excess[i])


@compiled("contract")
def _polynomial(out: Array, z: Array, c: Array) -> None:
    """Evaluate c[0] z + ... + c[7] z^8; no coefficient is negative, hence no digit is lost."""
    c1, c2, c3, c4, c5, c6, c7, c8 = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
    for i in range(len(out)):
        x = z[i]
        out[i] = x * (c1 + x * (c2 + x * (c3 + x * (c4 + x * (c5 + x * (c6 + x * (c7 + x * c8)))))))


@compiled("contract")
def _scale(values: Array, factor: float) -> None:
    for i in range(len(values)):
        values[i] *= factor


@compiled()
def _information(total: Array, offset: Array, slope: Array, eigenvalues: Array, excess: Array) -> None:
    """Twice Eq. 11: K log(1 + offset) + sum_k log(1 + slope lambda_k); (n,), `slope` is overwritten.

    The product of several factors is a polynomial in the slope, so one logarithm serves up to DEGREE of them,
    as many as cannot overflow in this block. The polynomial is that of the slope over its largest value,
    whose coefficients are no larger than the largest product.
    """
    limit = 1e36 if total.itemsize == 4 else 1e300
    largest = _largest(slope)
    total[:] = 0
    _add_log1p(total, offset, total.dtype.type(len(eigenvalues)))
    if largest == 0:
        return
    _scale(slope, total.dtype.type(1 / largest))
    coefficients, typed = np.empty(DEGREE + 1), np.empty(DEGREE, total.dtype)
    k = 0
    while k < len(eigenvalues) and eigenvalues[k] > 0:
        coefficients[:] = 0
        coefficients[0] = 1.0
        product, count = 1.0, 0
        while k < len(eigenvalues) and count < DEGREE:
            root = largest * eigenvalues[k]
            product *= 1 + root
            if count > 0 and product > limit:
                break
            for power in range(DEGREE, 0, -1):
                coefficients[power] += root * coefficients[power - 1]
            count += 1
            k += 1
        for power in range(DEGREE):
            typed[power] = coefficients[power + 1]
        _polynomial(excess, slope, typed)
        _add_log1p(total, excess, total.dtype.type(1))


# --- Eq. 6 --------------------------------------------------------------------------------------------------


@compiled("contract")
def _square_difference(out: Array, a: Array, b: Array) -> None:
    for i in range(len(out)):
        out[i] = (a[i] - b[i]) * (a[i] - b[i])


@compiled("contract")
def _multiply_ratio(product: Array, moment: Array, total: Array) -> None:
    """Multiply by the bracket of Eq. 6, at least 1e-10; twice the weights make the same ratio."""
    for i in range(len(product)):
        ratio = np.float64(moment[i] / total[i])
        product[i] *= max(ratio, 1e-10) if total[i] > 0 else 1e-10


@compiled()
def _write_sources(planes: Array, stride: int, center: bool, sources: Array) -> None:
    """Write what the filters apply to: differences in space and in time, and the first frame itself."""
    depth, size = planes.shape
    for t in range(depth):
        vertical, horizontal = sources[2 * t * size :], sources[(2 * t + 1) * size :]
        _difference(vertical[: size - stride], planes[t, stride:], planes[t])
        _difference(horizontal[: size - 1], planes[t, 1:], planes[t])
    for t in range(depth - 1):
        temporal = sources[(2 * depth + t) * size :]
        _difference(temporal[:size], planes[t + 1], planes[t])
    if not center:
        frame = sources[(3 * depth - 1) * size :]
        for i in range(size):
            frame[i] = planes[0, i]


@compiled()
def _write_weights(
    weights: Array, planes: Array, sources: Array, plan: Plan, stride: int, sums: Array, work: Array
) -> None:
    """Twice the weights of Eq. 11 at `weights`, (n,), block by block."""
    window = plan.window
    for start in range(0, len(weights), BLOCK):
        n = min(BLOCK, len(weights) - start)
        quadratic, offset, slope = work[0, :n], work[1, :n], work[2, :n]
        _quadratic_form(quadratic, sources[start:], plan.offsets, plan.begins, plan.filters, work[3, :n], work[4, :n])
        _inner_products(sums, sums[5, : n + window - 1], n, planes, start, plan.center, window, stride)
        x, y, xx, yy, xy = sums[0, :n], sums[1, :n], sums[2, :n], sums[3, :n], sums[4, :n]
        for product, one, two in ((xx, x, x), (yy, y, y), (xy, x, y)):
            _take_means_out(product, one, two, plan.scale, plan.rounding, plan.null)
        _offset(offset, xx, yy, xy, plan.variance_unit)
        _slope(slope, offset, xx, xy, quadratic, plan.a2_unit)
        _information(weights[start : start + n], offset, slope, plan.eigenvalues, quadratic)


@compiled()
def _multiply_brackets(
    product: Array, weights: Array, difference: Array, window: int, stride: int, work: Array
) -> None:
    """Multiply by Eq. 6's brackets, (n,), block by block; `weights` and `difference` are planes."""
    for start in range(0, len(product), BLOCK):
        n = min(BLOCK, len(product) - start)
        moment, total, column = work[0, :n], work[1, :n], work[2, : n + window - 1]
        moment[:] = 0
        total[:] = 0
        _sum_row_products(column, weights[start:], difference[start:], window, stride)
        _add_columns(moment, column, window)
        _sum_rows(column, weights[start:], window, stride)
        _add_columns(total, column, window)
        _multiply_ratio(product[start : start + n], moment, total)


@compiled()
def log_map(
    x: Array,
    y: Array,
    channel: int,
    first: int,
    last: int,
    plan: Plan,
    planes: Array,
    sources: Array,
    weights: Array,
    difference: Array,
    out: Array,
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
    sources : array, (3 * depth * plane,)
        Work space for the filters' input; its dtype is that of the filters and of Eqs. 6, 11 and 13.
    weights, difference : array, (plane,)
        Work space of the same dtype.
    out : array, (H, W) float64
    """
    length, _, height, width = x.shape
    depth, margin = planes.shape[1], plan.window // 2
    stride = width + 2 * margin
    n = (height - 1) * stride + width
    inner = margin * stride + margin
    sums = np.empty((6, BLOCK + plan.window), planes.dtype)
    work = np.empty((6, BLOCK + plan.window), sources.dtype)
    product = np.empty(n)
    product[:] = 1
    for j in range(first, last):
        for t in range(depth):
            frame = min(max(j + t - depth // 2, 0), length - 1)
            extend(x[frame, channel], margin, plan.shift, planes[0, t])
            extend(y[frame, channel], margin, plan.shift, planes[1, t])
        _write_sources(planes[0], stride, plan.center, sources)
        _square_difference(difference, planes[0, depth // 2], planes[1, depth // 2])
        _write_weights(weights[inner : inner + n], planes, sources, plan, stride, sums, work)
        _reflect(weights, height, width, margin)
        _multiply_brackets(product, weights, difference, plan.window, stride, work)
    for row in range(height):
        for column in range(width):
            out[row, column] = np.log(product[row * stride + column])
