"""The loops of the fused implementation, compiled; `repro.ssd.cpu` plans and calls them.

A frame lives in a *plane*: it is extended by its reflection (D8) and flattened, so that every offset within a
neighbourhood is one number, ``row * stride + column``. A neighbourhood is known by its first sample. Positions run
over whole rows of the plane; those in the extension are computed and never looked at, which costs less than a
loop that would have to stop at each row's end.

Work on a plane goes block by block, all steps on one block while it is in the cache. Nothing here is K times as
large as a frame. Arrays carry the precision: every function is compiled for the dtypes that it is called with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

BLOCK = 1024
"""Positions treated together: half a dozen float32 buffers of this length fit into a first-level cache."""

TILE = 5
"""Adjacent taps of a filter applied in one pass: one row of the default window."""


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
def extend(frame, margin, shift, plane):
    """Write a frame (H, W), less `shift`, and its reflection into a plane."""
    height, width = frame.shape
    stride = width + 2 * margin
    for row in range(-margin, height + margin):
        source = abs(row) if row < height else 2 * (height - 1) - row
        at = (row + margin) * stride + margin
        for column in range(width):
            plane[at + column] = frame[source, column] - shift
        _reflect_row(plane, at, width, margin)


@_compiled()
def _reflect_row(plane, at, width, margin):
    for step in range(1, margin + 1):
        plane[at - step] = plane[at + step]
        plane[at + width - 1 + step] = plane[at + width - 1 - step]


@_compiled()
def _reflect(plane, height, width, margin):
    """Replace the border of a plane by the reflection of its interior."""
    stride = width + 2 * margin
    for row in range(margin, height + margin):
        _reflect_row(plane, row * stride + margin, width, margin)
    for step in range(1, margin + 1):
        for column in range(stride):
            plane[(margin - step) * stride + column] = plane[(margin + step) * stride + column]
            last = height + margin - 1
            plane[(last + step) * stride + column] = plane[(last - step) * stride + column]


# --- Eq. 12 ----------------------------------------------------------------------------------------------------


@_compiled("contract", "reassoc", "nsz")
def _total(values):
    total = 0.0
    for i in range(len(values)):
        total += values[i]
    return total


@_compiled("contract")
def _add_product(total, u, v, sign):
    for i in range(len(total)):
        total[i] += sign * u[i] * v[i]


@_compiled("contract")
def _add_four_products(total, u, v, stride):
    n = len(total)
    u1, u2, u3 = u[stride:], u[2 * stride :], u[3 * stride :]
    v1, v2, v3 = v[stride:], v[2 * stride :], v[3 * stride :]
    for i in range(n):
        total[i] += u[i] * v[i] + u1[i] * v1[i] + u2[i] * v2[i] + u3[i] * v3[i]


@_compiled()
def gram(u, v, same, window, height, width, columns, out):
    """Sum x_a y_b over all neighbourhoods x of plane `u` and y of plane `v`, for all samples a and b.

    The sum for samples a and b depends, but for the border, on their distance only: for each distance the products
    are summed over rows once, and moving the window takes away one row or column and adds another.

    Parameters
    ----------
    u, v : array, (plane,)
    same : bool
        Whether they are the same plane, which makes `out` symmetric.
    window, height, width : int
    columns : array, (stride,)
        Work space.
    out : array, (window * window,) * 2 float64
    """
    stride = width + window - 1
    for dy in range(0 if same else 1 - window, window):
        for dx in range(0 if same and dy == 0 else 1 - window, window):
            ay, ay_end = max(0, -dy), min(window, window - dy)
            ax, ax_end = max(0, -dx), min(window, window - dx)
            n = width + ax_end - ax - 1
            shift = dy * stride + dx
            total = columns[:n]
            total[:] = 0
            row, end = ay, ay + height
            while row + 4 <= end:
                at = row * stride + ax
                _add_four_products(total, u[at:], v[at + shift :], stride)
                row += 4
            while row < end:
                at = row * stride + ax
                _add_product(total, u[at:], v[at + shift :], 1)
                row += 1
            for y in range(ay, ay_end):
                if y > ay:
                    old, new = (y - 1) * stride + ax, (y - 1 + height) * stride + ax
                    _add_product(total, u[old:], v[old + shift :], -1)
                    _add_product(total, u[new:], v[new + shift :], 1)
                value = _total(total[:width])
                for x in range(ax, ax_end):
                    if x > ax:
                        value += np.float64(total[x - ax - 1 + width]) - np.float64(total[x - ax - 1])
                    a, b = y * window + x, (y + dy) * window + x + dx
                    out[a, b] = value
                    if same:
                        out[b, a] = value


# --- Eqs. 13 to 15 ---------------------------------------------------------------------------------------------


@_compiled("contract")
def _difference(out, a, b):
    for i in range(len(out)):
        out[i] = a[i] - b[i]


@_compiled("contract", "reassoc", "nsz")
def _filter_pair(first, second, taps, a, b):
    """Add five adjacent taps of two filters."""
    a0, a1, a2, a3, a4 = a[0], a[1], a[2], a[3], a[4]
    b0, b1, b2, b3, b4 = b[0], b[1], b[2], b[3], b[4]
    for i in range(len(first)):
        t0, t1, t2, t3, t4 = taps[i], taps[i + 1], taps[i + 2], taps[i + 3], taps[i + 4]
        first[i] += a0 * t0 + a1 * t1 + a2 * t2 + a3 * t3 + a4 * t4
        second[i] += b0 * t0 + b1 * t1 + b2 * t2 + b3 * t3 + b4 * t4


@_compiled("contract")
def _add_squares(total, first, second):
    for i in range(len(total)):
        total[i] += first[i] * first[i] + second[i] * second[i]


@_compiled()
def _quadratic_form(total, sources, start, offsets, begins, filters, first, second):
    """Eq. 13 times K: the squared length of the filters' answers, the filters being a triangular factor."""
    n = len(total)
    total[:] = 0
    for pair in range(len(filters)):
        first[:n] = 0
        second[:n] = 0
        for tile in range(begins[pair], len(offsets)):
            taps = sources[offsets[tile] + start :]
            _filter_pair(first[:n], second[:n], taps, filters[pair, tile, 0], filters[pair, tile, 1])
        _add_squares(total, first[:n], second[:n])


@_compiled("contract")
def _box_columns(column, a, start, window, stride):
    for i in range(len(column)):
        column[i] = a[start + i]
    for dy in range(1, window):
        row = a[start + dy * stride :]
        for i in range(len(column)):
            column[i] += row[i]


@_compiled("contract")
def _box_product_columns(column, a, b, start, window, stride):
    for i in range(len(column)):
        column[i] = a[start + i] * b[start + i]
    for dy in range(1, window):
        row_a, row_b = a[start + dy * stride :], b[start + dy * stride :]
        for i in range(len(column)):
            column[i] += row_a[i] * row_b[i]


@_compiled("contract")
def _add_box_rows(total, column, window):
    for dx in range(window):
        shifted = column[dx:]
        for i in range(len(total)):
            total[i] += shifted[i]


@_compiled("contract")
def _deformation(sums, quadratic, center, samples, noise_variance, slack, offset, slope):
    """Eqs. 14 and 15, and with them the two numbers of Eq. 11 that do not depend on k.

    Every factor of Eq. 11 is 1 + offset + slope lambda_k. Inner products come in multiplied by `scale`, so that
    those of integers are exact; their difference in Eq. 15 is taken in float64.
    """
    scale = np.float64(samples if center else 1)
    for i in range(len(offset)):
        x, y = np.float64(sums[0, i]), np.float64(sums[1, i])
        raw_xx, raw_yy, xy = np.float64(sums[2, i]), np.float64(sums[3, i]), np.float64(sums[4, i])
        xx, yy = raw_xx, raw_yy
        if center:
            xx, yy, xy = samples * xx - x * x, samples * yy - y * y, samples * xy - x * y
        null_x = xx < scale * (1e-10 + slack * raw_xx)
        null_y = yy < scale * (1e-10 + slack * raw_yy)
        inverse = 0.0 if null_x else 1.0 / (1.0 if null_x else xx)
        gain = 0.0 if abs(xy) < scale * 1e-10 else xy * inverse
        residual = yy if null_x else (yy * xx - xy * xy) * inverse
        variance = 0.0 if null_y else max(residual, 0.0) / (scale * samples)
        a2 = 0.0 if null_x else quadratic[i] / samples
        offset[i] = variance / noise_variance
        slope[i] = (variance / (noise_variance * noise_variance) + (1 + gain * gain) / noise_variance) * a2


# --- Eq. 11 ----------------------------------------------------------------------------------------------------


@_compiled("contract", "reassoc", "nnan", "nsz")
def _largest(values):
    largest = values[0]
    for i in range(len(values)):
        largest = max(largest, values[i])
    return largest


@_compiled("contract")
def _multiply_four(excess, offset, slope, factors):
    l0, l1, l2, l3 = factors[0], factors[1], factors[2], factors[3]
    for i in range(len(excess)):
        q = excess[i]
        t = offset[i] + slope[i] * l0
        q = q * t + (q + t)
        t = offset[i] + slope[i] * l1
        q = q * t + (q + t)
        t = offset[i] + slope[i] * l2
        q = q * t + (q + t)
        t = offset[i] + slope[i] * l3
        q = q * t + (q + t)
        excess[i] = q


@_compiled("contract")
def _multiply(excess, offset, slope, factor):
    for i in range(len(excess)):
        t = offset[i] + slope[i] * factor
        excess[i] = excess[i] * t + (excess[i] + t)


@_compiled("contract")
def _split(bits, exponent, mantissa_bits, digits, bias, half):
    """Split floats 2^exponent * mantissa, given by their bits, with the mantissa next to 1."""
    for i in range(len(bits)):
        power = (bits[i] - half) >> digits
        mantissa_bits[i] = bits[i] - (power << digits)
        exponent[i] = power


@_compiled("contract")
def _add_log(total, mantissa, exponent, excess):
    """Add log(1 + excess) by the series of 2 artanh(f / (2 + f)), |f| < 0.42; exact to float64 within 1e-13."""
    for i in range(len(total)):
        f = excess[i] if exponent[i] == 0 else mantissa[i] - 1
        s = f / (2 + f)
        z = s * s
        series = 1 / 9 + z * (1 / 11 + z * (1 / 13 + z * (1 / 15)))
        series = 1 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * series)))
        total[i] += exponent[i] * np.log(2.0) + 2 * s * series
