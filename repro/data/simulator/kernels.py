"""Compiled inner loops of the renderer: projection, rasterisation, shading.

All arrays are float32 unless said otherwise. Images are linear light. The layout of the parameter vectors is defined
by the constants below; `render` fills them.
"""

from __future__ import annotations

import numba
import numpy as np

SKIN, MOUTH, SOLID, SHEET = 0, 1, 2, 3
"""Materials: textured skin and scalp, inside of the mouth, opaque coloured parts, coloured sheets seen from both sides."""

# Rows of the `light` array (5, 3): key direction, key colour, fill direction, fill colour, then sky and ground colour.
KEY_DIRECTION, KEY, FILL_DIRECTION, FILL, SKY, GROUND = range(6)

# Columns of the `eye` array (2, 20): geometry first, then what changes from frame to frame.
(
    EYE_X,
    EYE_Y,
    EYE_HALF,
    EYE_UP,
    EYE_LOW,
    EYE_TILT,
    EYE_CREASE,
    EYE_LASH,
    IRIS_R,
    IRIS_G,
    IRIS_B,
    EYE_SIDE,
    LID_UP,
    LID_LOW,
    GAZE_X,
    GAZE_Y,
    PUPIL,
    LID_DARK,
    SPARE_0,
    SPARE_1,
) = range(20)


@numba.njit(cache=True, fastmath=True)
def combine(weights, basis, bounds, out):  # type: ignore[no-untyped-def]
    """Sum fields `basis` (C, R, K) times `weights` (C,) into `out` (R, K).

    Most weights are 0 most of the time, and a field is 0 outside its rows ``bounds[c]``: this is faster than a matrix
    product, needs no threads, and gives the same bits whatever the number of frames.
    """
    out[:] = 0
    for c in range(weights.shape[0]):
        w = weights[c]
        if w != 0:
            for r in range(bounds[c, 0], bounds[c, 1]):
                source, target = basis[c, r], out[r]
                for k in range(target.shape[0]):
                    target[k] += w * source[k]


@numba.njit(cache=True, fastmath=True)
def project(points, stiffness, rotation, move, pivot, camera, out):  # type: ignore[no-untyped-def]
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


@numba.njit(cache=True, fastmath=True)
def turn(normals, stiffness, rotation, out):  # type: ignore[no-untyped-def]
    """Rotate normals (N, 3) with the head as far as their stiffness says."""
    for i in range(normals.shape[0]):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        w = stiffness[i]
        for k in range(3):
            turned = rotation[k, 0] * x + rotation[k, 1] * y + rotation[k, 2] * z
            out[i, k] = w * turned + (1 - w) * normals[i, k]


@numba.njit(cache=True, fastmath=True)
def rasterise(screen, triangles, material, depth, index, bary):  # type: ignore[no-untyped-def]
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


@numba.njit(cache=True, fastmath=True, inline="always")
def _sat(x):  # type: ignore[no-untyped-def]
    return min(1.0, max(0.0, x))


@numba.njit(cache=True, fastmath=True, inline="always")
def _step(x, low, high):  # type: ignore[no-untyped-def]
    t = _sat((x - low) / (high - low))
    return t * t * (3 - 2 * t)


@numba.njit(cache=True, fastmath=True)
def _lit(out, y, x, r, g, b, nx, ny, nz, gloss, shadow, ao, light, soft):  # type: ignore[no-untyped-def]
    """Write the reflected light of one point: key and fill with red light bleeding past the terminator, sky, sheen."""
    size = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    nx, ny, nz = nx * size, ny * size, nz * size
    kl = nx * light[0, 0] + ny * light[0, 1] + nz * light[0, 2]
    fl = _sat(0.8 * (nx * light[2, 0] + ny * light[2, 1] + nz * light[2, 2]) + 0.2)
    up = 0.5 + 0.5 * ny
    # Skin scatters: red light wraps further around than green and blue, and softens shadows.
    wr, wg = 0.30 * soft, 0.10 * soft
    kr = _sat((kl + wr) / (1 + wr))
    kg = _sat((kl + wg) / (1 + wg))
    sr = shadow + (1 - shadow) * 0.10 * soft
    hx, hy, hz = light[0, 0], light[0, 1], light[0, 2] + 1.0
    hs = 1.0 / np.sqrt(hx * hx + hy * hy + hz * hz)
    nh = _sat((nx * hx + ny * hy + nz * hz) * hs)
    n2 = nh * nh
    n4 = n2 * n2
    n8 = n4 * n4
    n16 = n8 * n8
    if gloss >= 0.0:
        rim = 1.0 - _sat(nz)
        sheen = gloss * (0.050 * n8 + 0.075 * n16 * n16) * shadow * _sat(kl * 4) + gloss * 0.05 * rim * rim * rim * ao
    else:
        sheen = -gloss * 0.10 * n8 * shadow
    ao_r = 1 - (1 - ao) * (1 - 0.18 * soft)
    for k in range(3):
        key = kr * sr if k == 0 else kg * shadow
        occluded = ao_r if k == 0 else ao
        ambient = (light[5, k] + (light[4, k] - light[5, k]) * up) * occluded
        albedo = r if k == 0 else (g if k == 1 else b)
        out[y, x, k] = albedo * (light[1, k] * key + light[3, k] * fl * occluded + ambient) + sheen * light[1, k]


@numba.njit(cache=True, fastmath=True)
def _eye(eye, light, px, x, y, colour):  # type: ignore[no-untyped-def]
    """Lay lids, lashes and eyeball over the skin at face position (x, y); returns gloss, or -1 far from the eye.

    `colour` (5,) holds albedo RGB, the weight of the eyeball and a multiplier of the occlusion; `px` is the pixel's
    size in cm.
    """
    e = (x - eye[EYE_X]) * eye[EYE_SIDE] / eye[EYE_HALF]
    dy = y - eye[EYE_Y]
    colour[3] = 0.0
    if abs(e) > 1.30 or dy > 1.6 or dy < -1.3:
        return -1.0
    ee = min(1.0, e * e)
    arch = (1.0 - ee) ** 0.62
    base = eye[EYE_TILT] * e
    closed = base - 0.62 * eye[EYE_LOW] * (1.0 - ee) ** 0.8
    top = base + eye[EYE_UP] * arch * (1.0 - 0.10 * e)
    low = base - eye[EYE_LOW] * (1.0 - ee) ** 0.8 * (1.0 + 0.12 * e)
    open_top = top
    top = top + (closed - top) * eye[LID_UP]
    low = low + (closed - low) * eye[LID_LOW]
    ends = _step(1.30 - abs(e), 0.0, 0.28)
    # Fold of the upper lid; it sinks a little and fades as the lid comes down.
    fold = open_top + eye[EYE_CREASE] * (0.55 + 0.45 * (1 - ee)) - 0.10 * eye[LID_UP]
    w = max(0.10, 0.7 * px)
    q = (dy - fold) / w
    crease = np.exp(-0.5 * q * q) * (0.10 / w) * 0.50 * (1 - 0.35 * eye[LID_UP]) * ends
    between = _step(dy - top, -0.5 * px, 0.5 * px) * _step(fold - dy, -0.5 * px, px) * ends
    shade = 1.0 - crease - 0.12 * between
    # Pouch and lower lid.
    q = (dy - (low - 0.34)) / max(0.13, 0.7 * px)
    shade -= 0.10 * np.exp(-0.5 * q * q) * ends * (0.6 + 0.9 * eye[LID_LOW])
    colour[0] *= shade
    colour[1] *= shade - 0.03 * between
    colour[2] *= shade - 0.03 * between
    if ee >= 1.0:
        return -1.0
    opening = top - low
    ball = _sat((top - dy) / px + 0.5) * _sat((dy - low) / px + 0.5) * _sat(opening / (0.5 * px))
    gloss = -1.0
    if ball > 0.0:
        gloss = _eyeball(eye, light, px, e, x, dy, top, low, colour, ball)
    # Lash line above, pale wet margin and sparse lashes below.
    thick = eye[EYE_LASH] * (0.55 + 0.45 * _step(e, -0.9, 0.6)) * (1 + 0.9 * max(0.0, eye[LID_UP] - 0.3))
    w = max(thick, px)
    q = (dy - top - 0.15 * thick) / (0.5 * w)
    lash = min(1.0, thick / w) * 0.92 * np.exp(-0.5 * q * q)
    keep = 1 - lash
    colour[0] = colour[0] * keep + lash * 0.018
    colour[1] = colour[1] * keep + lash * 0.013
    colour[2] = colour[2] * keep + lash * 0.012
    w = max(0.07, px)
    q = (dy - low + 0.035) / (0.5 * w)
    pale = 0.05 / w * 0.6 * np.exp(-0.5 * q * q) * _step(opening, 0.0, 0.3)
    colour[0] += pale * (0.50 - colour[0])
    colour[1] += pale * (0.26 - colour[1])
    colour[2] += pale * (0.23 - colour[2])
    q = (dy - low + 0.12) / (0.5 * w)
    lash = 0.045 / w * (0.35 + eye[EYE_LASH]) * np.exp(-0.5 * q * q) * _step(e, -0.7, 0.3)
    for k in range(3):
        colour[k] *= 1 - lash
    colour[3] = max(colour[3], 0.0)
    return gloss


@numba.njit(cache=True, fastmath=True)
def _eyeball(eye, light, px, e, x, dy, top, low, colour, ball):  # type: ignore[no-untyped-def]
    """Blend white, iris, pupil, highlight and the shadow of the lid into `colour` with weight `ball`."""
    gx = (x - eye[EYE_X]) - eye[GAZE_X]
    gy = dy - 0.06 - eye[GAZE_Y]
    d = np.sqrt(gx * gx + gy * gy)
    # White, redder towards the corners; the caruncle fills the inner one.
    inner = _step(-e, 0.72, 0.98)
    corner = e * e
    r = 0.60 - 0.12 * corner + 0.06 * inner
    g = 0.55 - 0.17 * corner - 0.20 * inner
    b = 0.53 - 0.17 * corner - 0.20 * inner
    iris = _sat((0.585 - d) / max(px, 0.05) + 0.5)
    if iris > 0:
        ring = _step(d, 0.40, 0.60)
        glow = (0.85 + 0.5 * _step(-gy, -0.3, 0.5)) * (1 - 0.72 * ring)
        pupil = _sat((eye[PUPIL] - d) / max(px, 0.05) + 0.5)
        keep = glow * (1 - pupil)
        r += iris * (eye[IRIS_R] * keep + 0.008 - r)
        g += iris * (eye[IRIS_G] * keep + 0.008 - g)
        b += iris * (eye[IRIS_B] * keep + 0.008 - b)
    # A sphere under two lids: dark below the upper lid and towards the corners.
    cover = 1.0 - 0.62 * np.exp(-(top - dy) / 0.20) - 0.22 * np.exp(-(dy - low) / 0.12)
    cover *= 1.0 - 0.30 * corner
    r, g, b = r * cover, g * cover, b * cover
    hx = gx - 0.24 * light[0, 0]
    hy = gy - 0.26 * light[0, 1]
    s = max(0.085, 0.45 * px)
    spark = 0.0080 / (s * s) * np.exp(-0.5 * (hx * hx + hy * hy) / (s * s))
    colour[0] += ball * (r + spark - colour[0])
    colour[1] += ball * (g + spark - colour[1])
    colour[2] += ball * (b + spark - colour[2])
    colour[3] = ball
    return 0.3


@numba.njit(cache=True, fastmath=True)
def _mouth(mouth, x, y, across, colour):  # type: ignore[no-untyped-def]
    """Return in `colour` what is seen between the lips at head position (x, y); `across` is 0 at the upper lip, 1 at
    the lower.

    `mouth` holds the height of the closed lips, how far the jaw has dropped (cm), the gap (cm) and the brightness of
    the teeth.
    """
    dx = abs(x)
    rest = y - mouth[0]
    gap = mouth[2]
    bend = 0.035 * dx * dx
    upper = rest + bend + 0.22
    lower = -(rest - bend * 0.6 + mouth[1] + 0.30)
    r, g, b = 0.050, 0.014, 0.013
    tongue = _step(-(rest + 0.35 * mouth[1]), 0.1, 0.6) * _step(1.7 - dx, 0.0, 0.6)
    r, g, b = r + 0.10 * tongue, g + 0.025 * tongue, b + 0.025 * tongue
    teeth = _step(upper, -0.05, 0.08) * _step(2.35 - dx, 0.0, 0.4)
    below = _step(lower, 0.0, 0.12) * _step(1.9 - dx, 0.0, 0.4) * 0.75
    # Gaps between the teeth: an incisor is .85 cm wide, its neighbours .65.
    part = np.abs((dx + (0.0 if dx < 0.85 else 0.45)) % 0.85 - 0.425) / 0.425
    seam = 1 - 0.22 * part**6
    bright = mouth[3] * seam * (1 - 0.33 * _step(dx, 0.5, 2.3))
    amount = max(teeth, below)
    r += amount * (0.62 * bright - r)
    g += amount * (0.57 * bright - g)
    b += amount * (0.48 * bright - b)
    depth = 0.30 + 0.70 * _step(min(across, 1 - across) * gap, -0.03, 0.28)
    depth *= 0.55 + 0.45 * _step(2.3 - dx, 0.0, 1.0)
    colour[0], colour[1], colour[2] = r * depth, g * depth, b * depth


@numba.njit(cache=True, fastmath=True)
def shade(
    index,
    bary,
    triangles,
    material,
    attributes,
    normals,
    points,
    base,
    expression,
    window,
    rotation,
    light,
    eyes,
    mouth,
    px,
    out,
):  # type: ignore[no-untyped-def]
    """Shade every covered pixel of `out` (H, W, 3); pixels without a surface keep their background.

    `base` (R, C, 12) holds albedo, normal, gloss, shadow, occlusion, face position and a spare; `expression` (r, c,
    4) the change of the normal and the darkening of furrows, its first row and column being `window`. `attributes`
    (N, 8) hold texture coordinates for skin, else albedo, gloss, occlusion and shadow.
    """
    height, width = index.shape
    rows, columns = base.shape[0], base.shape[1]
    er, ec = expression.shape[0], expression.shape[1]
    f = np.empty(12, np.float32)
    g = np.empty(4, np.float32)
    colour = np.empty(5, np.float32)
    for y in range(height):
        for x in range(width):
            t = index[y, x]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            wb, wc = bary[y, x, 0], bary[y, x, 1]
            wa = 1 - wb - wc
            kind = material[t]
            if kind == MOUTH:
                hx = wa * points[a, 0] + wb * points[b, 0] + wc * points[c, 0]
                hy = wa * points[a, 1] + wb * points[b, 1] + wc * points[c, 1]
                across = wa * attributes[a, 2] + wb * attributes[b, 2] + wc * attributes[c, 2]
                _mouth(mouth, hx, hy, across, colour)
                _lit(
                    out,
                    y,
                    x,
                    colour[0],
                    colour[1],
                    colour[2],
                    rotation[0, 2],
                    rotation[1, 2],
                    rotation[2, 2],
                    0.0,
                    0.75,
                    0.9,
                    light,
                    0.5,
                )
                continue
            if kind != SKIN:
                for k in range(8):
                    f[k] = wa * attributes[a, k] + wb * attributes[b, k] + wc * attributes[c, k]
                nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
                ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
                nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
                if kind == SHEET and nz < 0:
                    nx, ny, nz = -nx, -ny, -nz
                _lit(out, y, x, f[0], f[1], f[2], nx, ny, nz, f[3], f[5], f[4], light, f[6])
                continue
            u = wa * attributes[a, 0] + wb * attributes[b, 0] + wc * attributes[c, 0]
            v = wa * attributes[a, 1] + wb * attributes[b, 1] + wc * attributes[c, 1]
            iu, iv = min(columns - 2, int(u)), min(rows - 2, int(v))
            fu, fv = u - iu, v - iv
            w00, w01 = np.float32((1 - fv) * (1 - fu)), np.float32((1 - fv) * fu)
            w10, w11 = np.float32(fv * (1 - fu)), np.float32(fv * fu)
            # Views of one texel each: their loop has no index checks and runs as vector instructions.
            t00, t01, t10, t11 = base[iv, iu], base[iv, iu + 1], base[iv + 1, iu], base[iv + 1, iu + 1]
            for k in range(12):
                f[k] = w00 * t00[k] + w01 * t01[k] + w10 * t10[k] + w11 * t11[k]
            nx, ny, nz, ao, gloss = f[3], f[4], f[5], f[8], f[6]
            ju, jv = iu - window[1], iv - window[0]
            if ju >= 0 and jv >= 0 and ju < ec - 1 and jv < er - 1:
                t00, t01, t10, t11 = (
                    expression[jv, ju],
                    expression[jv, ju + 1],
                    expression[jv + 1, ju],
                    expression[jv + 1, ju + 1],
                )
                for k in range(4):
                    g[k] = w00 * t00[k] + w01 * t01[k] + w10 * t10[k] + w11 * t11[k]
                nx, ny, nz = nx + g[0], ny + g[1], nz + g[2]
                d = max(np.float32(0.0), g[3])
                d = d / (1 + 0.55 * d)
                ao *= 1 - 0.5 * d
                f[0] *= 1 - 0.36 * d
                f[1] *= 1 - 0.50 * d
                f[2] *= 1 - 0.52 * d
            colour[0], colour[1], colour[2] = f[0], f[1], f[2]
            soft = 1.0
            if f[10] < 2.0 and f[10] > -1.8 and abs(f[9]) < 5.8 and nz > -0.2:
                eye = eyes[1] if f[9] > 0 else eyes[0]
                shine = _eye(eye, light, px, f[9], f[10], colour)
                if shine >= 0.0:
                    ball = colour[3]
                    # The eyeball's own normal: a sphere, seen between the lids.
                    nx = nx * (1 - ball) + ball * ((f[9] - eye[EYE_X]) * 0.55)
                    ny = ny * (1 - ball) + ball * 0.05
                    nz = nz * (1 - ball) + ball
                    gloss = gloss * (1 - ball)
                    ao = ao * (1 - ball) + ball * 0.95
                    soft = 1 - 0.6 * ball
            vx = rotation[0, 0] * nx + rotation[0, 1] * ny + rotation[0, 2] * nz
            vy = rotation[1, 0] * nx + rotation[1, 1] * ny + rotation[1, 2] * nz
            vz = rotation[2, 0] * nx + rotation[2, 1] * ny + rotation[2, 2] * nz
            if gloss < 0:
                soft = 0.2
            _lit(out, y, x, colour[0], colour[1], colour[2], vx, vy, vz, gloss, f[7], ao, light, soft)


@numba.njit(cache=True, fastmath=True)
def develop(linear, vignette, table, saturation, grain, noise, out):  # type: ignore[no-untyped-def]
    """Turn linear light (H, W, 3) RGB into 8-bit BGR `out`: vignette, tone `table` over 0..2, saturation, `noise` times `grain`."""
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
