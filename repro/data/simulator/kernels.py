"""Compiled inner loops of the renderer: sums of fields, projection, rasterisation, exposure.

All arrays are float32 unless said otherwise. Images are linear light.
"""

from __future__ import annotations

import numpy as np

from repro.compiling import compiled

Array = np.ndarray

SKIN, MOUTH, SOLID, SHEET = 0, 1, 2, 3
"""Materials: textured skin and scalp, inside of the mouth, coloured parts, coloured sheets seen from both sides."""


@compiled("fast")
def combine(weights: Array, basis: Array, bounds: Array, out: Array) -> None:
    """Sum fields `basis` (C, R, K) times `weights` (C,) into `out` (R, K).

    Most weights are 0 most of the time, and a field is 0 outside its box ``bounds[c]`` (first row, row after the last,
    first column, column after the last): this is faster than a matrix product, needs no threads, and gives the same
    bits whatever the number of frames.
    """
    out[:] = 0
    for c in range(weights.shape[0]):
        w = weights[c]
        if w != 0:
            for r in range(bounds[c, 0], bounds[c, 1]):
                source = basis[c, r, bounds[c, 2] : bounds[c, 3]]
                target = out[r, bounds[c, 2] : bounds[c, 3]]
                for k in range(target.shape[0]):
                    target[k] += w * source[k]


@compiled("fast")
def project(
    points: Array, stiffness: Array, rotation: Array, move: Array, pivot: Array, camera: Array, out: Array
) -> None:
    """Move points (N, 3) with the head, as far as their `stiffness` (N,) says, and project them to pixels.

    `camera` holds scale (px/cm), centre x, centre y (px), distance (cm). `out` (N, 3) receives x, y (px) and depth
    (cm).
    """
    scale, cx, cy, distance = camera[0], camera[1], camera[2], camera[3]
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        w = stiffness[i]
        if w > 0:
            px, py, pz = x - pivot[0], y - pivot[1], z - pivot[2]
            qx = rotation[0, 0] * px + rotation[0, 1] * py + rotation[0, 2] * pz + pivot[0]
            qy = rotation[1, 0] * px + rotation[1, 1] * py + rotation[1, 2] * pz + pivot[1]
            qz = rotation[2, 0] * px + rotation[2, 1] * py + rotation[2, 2] * pz + pivot[2]
            x, y, z = x + w * (qx - x), y + w * (qy - y), z + w * (qz - z)
        x, y, z = x + move[0], y + move[1], z + move[2]
        f = scale * distance / (distance - z)
        out[i, 0] = cx + f * x
        out[i, 1] = cy - f * y
        out[i, 2] = z


@compiled("fast")
def turn(normals: Array, stiffness: Array, rotation: Array, out: Array) -> None:
    """Rotate normals (N, 3) with the head as far as their stiffness says."""
    for i in range(normals.shape[0]):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        w = stiffness[i]
        for k in range(3):
            turned = rotation[k, 0] * x + rotation[k, 1] * y + rotation[k, 2] * z
            out[i, k] = w * turned + (1 - w) * normals[i, k]


@compiled("fast")
def rasterise(screen: Array, triangles: Array, material: Array, depth: Array, index: Array, bary: Array) -> None:
    """Fill the depth buffer (H, W), triangle index (H, W) int32 and two barycentric coordinates (H, W, 2)."""
    height, width = depth.shape
    depth[:] = -1e9
    index[:] = -1
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = screen[a, 0], screen[a, 1]
        bx, by = screen[b, 0], screen[b, 1]
        cx, cy = screen[c, 0], screen[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area > -1e-6 and (material[t] != SHEET or area < 1e-6):
            continue
        x0 = max(0, int(np.ceil(min(ax, bx, cx))))
        x1 = min(width - 1, int(np.floor(max(ax, bx, cx))))
        y0 = max(0, int(np.ceil(min(ay, by, cy))))
        y1 = min(height - 1, int(np.floor(max(ay, by, cy))))
        if x0 > x1 or y0 > y1:
            continue
        inv = 1.0 / area
        az, bz, cz = screen[a, 2], screen[b, 2], screen[c, 2]
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) * inv
                wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * inv
                wa = 1.0 - wb - wc
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                z = wa * az + wb * bz + wc * cz
                if z > depth[y, x]:
                    depth[y, x] = z
                    index[y, x] = t
                    bary[y, x, 0] = wb
                    bary[y, x, 1] = wc


@compiled("fast")
def develop(
    linear: Array, vignette: Array, table: Array, saturation: float, grain: Array, noise: float, out: Array
) -> None:
    """Turn linear light (H, W, 3) RGB into 8-bit BGR: vignette, tone `table` over 0..2, saturation, noise."""
    height, width = linear.shape[0], linear.shape[1]
    top = table.shape[0] - 1
    steps = np.float32(0.5 * top)
    for y in range(height):
        for x in range(width):
            v = vignette[y, x] * steps
            r = table[int(min(top, max(0.0, linear[y, x, 0] * v)))]
            g = table[int(min(top, max(0.0, linear[y, x, 1] * v)))]
            b = table[int(min(top, max(0.0, linear[y, x, 2] * v)))]
            luma = 0.299 * r + 0.587 * g + 0.114 * b
            r = luma + saturation * (r - luma) + noise * grain[y, x, 0] + 0.5
            g = luma + saturation * (g - luma) + noise * grain[y, x, 1] + 0.5
            b = luma + saturation * (b - luma) + noise * grain[y, x, 2] + 0.5
            out[y, x, 0] = np.uint8(min(255.0, max(0.0, b)))
            out[y, x, 1] = np.uint8(min(255.0, max(0.0, g)))
            out[y, x, 2] = np.uint8(min(255.0, max(0.0, r)))
