"""Compiled shading: skin, hair, eyes under their lids, the inside of the mouth.

Colours are linear light. The layout of the parameter vectors is defined by the constants below; `render` fills them.
"""

from __future__ import annotations

import numpy as np

from repro.compiling import compiled
from repro.data.simulator.kernels import MOUTH, SHEET, SKIN

Array = np.ndarray

# A surface point: albedo RGB, normal, gloss (negative for hair), shadow of the key light (1 none), openness to the
# surroundings (ambient occlusion, 1 open), position on the face (cm), how far it scatters light, weight of an eyeball,
# change of the normal and darkening by actions (4).
RED, GREEN, BLUE, NX, NY, NZ, GLOSS, SHADOW, OPEN, FACE_X, FACE_Y, SOFT, BALL, DENT = range(14)

# Rows of the `light` array (7, 3): key direction and colour, fill direction and colour, sky and ground colour, and the
# direction halfway between the key light and the camera.
KEY_DIRECTION, KEY, FILL_DIRECTION, FILL, SKY, GROUND, HALFWAY = range(7)

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
    SQUEEZE,
    SPARE_0,
    SPARE_1,
) = range(20)


@compiled("fast", inline=True)
def _sat(x: float) -> float:
    return min(1.0, max(0.0, x))


@compiled("fast", inline=True)
def _step(x: float, low: float, high: float) -> float:
    t = _sat((x - low) / (high - low))
    return t * t * (3 - 2 * t)


@compiled("fast")
def _lit(p: Array, light: Array, out: Array, y: int, x: int) -> None:
    """Write to pixel (y, x) of `out` the light that a surface point `p` reflects: key and fill, sky and ground, sheen.

    Skin scatters: red light wraps further around than green and blue, and fills shadows.
    """
    size = 1.0 / np.sqrt(p[NX] * p[NX] + p[NY] * p[NY] + p[NZ] * p[NZ] + 1e-12)
    nx, ny, nz = p[NX] * size, p[NY] * size, p[NZ] * size
    gloss, shadow, ao, soft = p[GLOSS], p[SHADOW], p[OPEN], p[SOFT]
    kl = nx * light[KEY_DIRECTION, 0] + ny * light[KEY_DIRECTION, 1] + nz * light[KEY_DIRECTION, 2]
    fl = nx * light[FILL_DIRECTION, 0] + ny * light[FILL_DIRECTION, 1] + nz * light[FILL_DIRECTION, 2]
    fl = _sat(0.8 * fl + 0.2)
    up = 0.5 + 0.5 * ny
    wr, wg = 0.30 * soft, 0.10 * soft
    # 1 - 0.77 w stands for 1 / (1 + w): divisions are slow.
    kr = _sat((kl + wr) * (1 - 0.77 * wr)) * (shadow + (1 - shadow) * 0.10 * soft)
    kg = _sat((kl + wg) * (1 - 0.77 * wg)) * shadow
    nh = _sat(nx * light[HALFWAY, 0] + ny * light[HALFWAY, 1] + nz * light[HALFWAY, 2])
    n4 = nh * nh * nh * nh
    n8 = n4 * n4
    if gloss >= 0.0:
        n16 = n8 * n8
        rim = 1.0 - _sat(nz)
        sheen = gloss * (0.050 * n8 + 0.075 * n16 * n16) * shadow * _sat(kl * 4) + gloss * 0.05 * rim * rim * rim * ao
    else:
        sheen = -gloss * 0.10 * n8 * shadow
    for k in range(3):
        key = kr if k == 0 else kg
        seen = 1 - (1 - ao) * (1 - 0.18 * soft) if k == 0 else ao
        ambient = light[FILL, k] * fl + light[GROUND, k] + (light[SKY, k] - light[GROUND, k]) * up
        out[y, x, k] = p[k] * (light[KEY, k] * key + ambient * seen) + sheen * light[KEY, k]


@compiled("fast")
def _eye(eyes: Array, i: int, light: Array, px: float, x: float, y: float, p: Array) -> None:
    """Lay lids, lashes and eyeball over the skin point `p` at face position (x, y); `px` is a pixel's size in cm.

    Lids are curves over the position e along the eye, -1 at the inner and 1 at the outer corner. `p[BALL]` receives
    the weight of the eyeball.
    """
    e = (x - eyes[i, EYE_X]) * eyes[i, EYE_SIDE] / eyes[i, EYE_HALF]
    dy = y - eyes[i, EYE_Y]
    p[BALL] = 0.0
    if abs(e) > 1.30 or dy > 1.6 or dy < -1.3:
        return
    ee = min(1.0, e * e)
    base = eyes[i, EYE_TILT] * e
    # Cheap arches: between a half circle and a parabola.
    root = np.sqrt(1.0 - ee)
    upper, lower = 0.65 * root + 0.35 * (1.0 - ee), 0.5 * root + 0.5 * (1.0 - ee)
    closed = base - 0.62 * eyes[i, EYE_LOW] * lower
    open_top = base + eyes[i, EYE_UP] * upper * (1.0 - 0.10 * e)
    top = open_top + (closed - open_top) * eyes[i, LID_UP]
    low = base - eyes[i, EYE_LOW] * lower * (1.0 + 0.12 * e)
    low = low + (closed - low) * eyes[i, LID_LOW]
    _lids(eyes, i, px, e, ee, dy, open_top, top, low, p)
    if ee >= 1.0:
        return
    opening = top - low
    ball = _sat((top - dy) / px + 0.5) * _sat((dy - low) / px + 0.5) * _sat(opening / (0.5 * px))
    if ball > 0.0:
        _eyeball(eyes, i, light, px, e, x, dy, top, low, p, ball)
    _lashes(eyes, i, px, e, dy, top, low, p)


@compiled("fast")
def _lids(
    eyes: Array, i: int, px: float, e: float, ee: float, dy: float, open_top: float, top: float, low: float, p: Array
) -> None:
    """Darken the fold of the upper lid, the lid below it, and the pouch of the lower lid."""
    ends = _step(1.30 - abs(e), 0.0, 0.28)
    # The fold sinks a little and fades as the lid comes down; squeezed, the brow's skin hangs over the lid.
    fold = open_top + eyes[i, EYE_CREASE] * (0.55 + 0.45 * (1 - ee)) - 0.10 * eyes[i, LID_UP]
    fold += (top + 0.26 - fold) * 0.6 * eyes[i, SQUEEZE] * max(np.float32(0.0), eyes[i, LID_UP])
    w = max(0.10, 0.7 * px)
    q = (dy - fold) / w
    crease = np.exp(-0.5 * q * q) * (0.10 / w) * 0.50 * (1 - 0.35 * eyes[i, LID_UP] + 0.45 * eyes[i, SQUEEZE]) * ends
    between = _step(dy - top, -0.5 * px, 0.5 * px) * _step(fold - dy, -0.5 * px, px) * ends
    q = (dy - (low - 0.34)) / max(0.13, 0.7 * px)
    pouch = 0.10 * np.exp(-0.5 * q * q) * ends * (0.6 + 0.9 * eyes[i, LID_LOW] + 0.8 * eyes[i, SQUEEZE])
    shade = 1.0 - crease - 0.12 * between - pouch
    p[RED] *= shade
    p[GREEN] *= shade - 0.03 * between
    p[BLUE] *= shade - 0.03 * between


@compiled("fast")
def _lashes(eyes: Array, i: int, px: float, e: float, dy: float, top: float, low: float, p: Array) -> None:
    """Draw the lash line above, the pale wet margin and sparse lashes below; lines thinner than a pixel get paler."""
    thick = eyes[i, EYE_LASH] * (0.55 + 0.45 * _step(e, -0.9, 0.6)) * (1 + 0.9 * max(0.0, eyes[i, LID_UP] - 0.3))
    w = max(thick, px)
    q = (dy - top - 0.15 * thick) / (0.5 * w)
    lash = min(1.0, thick / w) * 0.92 * np.exp(-0.5 * q * q)
    p[RED] += lash * (0.018 - p[RED])
    p[GREEN] += lash * (0.013 - p[GREEN])
    p[BLUE] += lash * (0.012 - p[BLUE])
    w = max(0.07, px)
    q = (dy - low + 0.035) / (0.5 * w)
    pale = 0.05 / w * 0.6 * np.exp(-0.5 * q * q) * _step(top - low, 0.0, 0.3)
    p[RED] += pale * (0.50 - p[RED])
    p[GREEN] += pale * (0.26 - p[GREEN])
    p[BLUE] += pale * (0.23 - p[BLUE])
    q = (dy - low + 0.12) / (0.5 * w)
    lash = 0.045 / w * (0.35 + eyes[i, EYE_LASH]) * np.exp(-0.5 * q * q) * _step(e, -0.7, 0.3)
    for k in range(3):
        p[k] *= 1 - lash


@compiled("fast")
def _eyeball(
    eyes: Array,
    i: int,
    light: Array,
    px: float,
    e: float,
    x: float,
    dy: float,
    top: float,
    low: float,
    p: Array,
    ball: float,
) -> None:
    """Blend white, iris, pupil, highlight and the shadow of the lid into `p` with weight `ball`."""
    gx = (x - eyes[i, EYE_X]) - eyes[i, GAZE_X]
    gy = dy - 0.06 - eyes[i, GAZE_Y]
    d = np.sqrt(gx * gx + gy * gy)
    # White, redder towards the corners; the caruncle fills the inner one.
    inner = _step(-e, 0.72, 0.98)
    corner = e * e
    r = 0.54 - 0.12 * corner + 0.06 * inner
    g = 0.49 - 0.16 * corner - 0.20 * inner
    b = 0.47 - 0.16 * corner - 0.20 * inner
    iris = _sat((0.585 - d) / max(px, 0.05) + 0.5)
    if iris > 0:
        ring = _step(d, 0.40, 0.60)
        glow = (0.85 + 0.5 * _step(-gy, -0.3, 0.5)) * (1 - 0.72 * ring)
        pupil = _sat((eyes[i, PUPIL] - d) / max(px, 0.05) + 0.5)
        keep = glow * (1 - pupil)
        r += iris * (eyes[i, IRIS_R] * keep + 0.008 - r)
        g += iris * (eyes[i, IRIS_G] * keep + 0.008 - g)
        b += iris * (eyes[i, IRIS_B] * keep + 0.008 - b)
    # A sphere under two lids: dark below the upper lid and towards the corners.
    cover = 1.0 - 0.62 * np.exp(-(top - dy) / 0.20) - 0.22 * np.exp(-(dy - low) / 0.12)
    cover *= 1.0 - 0.30 * corner
    r, g, b = r * cover, g * cover, b * cover
    hx = gx - 0.40 * light[0, 0]
    hy = gy - 0.42 * light[0, 1]
    s = max(0.085, 0.45 * px)
    spark = 0.0080 / (s * s) * np.exp(-0.5 * (hx * hx + hy * hy) / (s * s))
    p[0] += ball * (r + spark - p[0])
    p[1] += ball * (g + spark - p[1])
    p[2] += ball * (b + spark - p[2])
    p[BALL] = ball


@compiled("fast")
def _mouth(mouth: Array, x: float, y: float, across: float, colour: Array) -> None:
    """Return in `colour` what is seen between the lips at head position (x, y).

    `across` is 0 at the upper lip, 1 at the lower; `mouth` holds the height of the closed lips, how far the jaw has
    dropped (cm), the gap (cm) and the brightness of the teeth.
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
    r += amount * (0.64 * bright - r)
    g += amount * (0.565 * bright - g)
    b += amount * (0.46 * bright - b)
    depth = 0.30 + 0.70 * _step(min(across, 1 - across) * gap, -0.03, 0.28)
    depth *= 0.55 + 0.45 * _step(2.3 - dx, 0.0, 1.0)
    colour[0], colour[1], colour[2] = r * depth, g * depth, b * depth


@compiled("fast")
def _mouth_point(mouth: Array, x: float, y: float, across: float, rotation: Array, p: Array) -> None:
    _mouth(mouth, x, y, across, p)
    p[NX], p[NY], p[NZ] = rotation[0, 2], rotation[1, 2], rotation[2, 2]
    p[GLOSS], p[SHADOW], p[OPEN], p[SOFT] = 0.0, 0.75, 0.9, 0.5


@compiled("fast")
def _skin_texels(
    u: float, v: float, rows: int, columns: int, base: Array, expression: Array, window: Array, p: Array
) -> None:
    """Sample the skin's textures at column `u` and row `v` into `p`, furrows and bulges included."""
    iu, iv = min(columns - 2, int(u)), min(rows - 2, int(v))
    fu, fv = u - iu, v - iv
    w00, w01 = np.float32((1 - fv) * (1 - fu)), np.float32((1 - fv) * fu)
    w10, w11 = np.float32(fv * (1 - fu)), np.float32(fv * fu)
    # Flat arrays and unsigned positions: the loops run without index checks, as vector instructions.
    t00 = 12 * (iv * columns + iu)
    t10 = t00 + 12 * columns
    for k in range(12):
        p[k] = (
            w00 * base[np.uintp(t00 + k)]
            + w01 * base[np.uintp(t00 + 12 + k)]
            + w10 * base[np.uintp(t10 + k)]
            + w11 * base[np.uintp(t10 + 12 + k)]
        )
    iu, iv = iu - window[1], iv - window[0]
    columns = window[3]
    if iu < 0 or iv < 0 or iu >= columns - 1 or iv >= window[2] - 1:
        return
    t00 = 4 * (iv * columns + iu)
    t10 = t00 + 4 * columns
    for k in range(4):
        p[DENT + k] = (
            w00 * expression[np.uintp(t00 + k)]
            + w01 * expression[np.uintp(t00 + 4 + k)]
            + w10 * expression[np.uintp(t10 + k)]
            + w11 * expression[np.uintp(t10 + 4 + k)]
        )
    # Folds of several actions add up, but skin cannot lean over without end.
    steep = p[DENT] * p[DENT] + p[DENT + 1] * p[DENT + 1] + p[DENT + 2] * p[DENT + 2]
    if steep > 0.0:
        keep = 1.0 / np.sqrt(1.0 + 0.45 * steep)
        p[NX] += keep * p[DENT]
        p[NY] += keep * p[DENT + 1]
        p[NZ] += keep * p[DENT + 2]
    dark = max(np.float32(0.0), p[DENT + 3])
    # Furrows that meet do not add up to black.
    dark = dark / (1 + 0.55 * dark)
    p[OPEN] *= 1 - 0.5 * dark
    p[0] *= 1 - 0.36 * dark
    p[1] *= 1 - 0.50 * dark
    p[2] *= 1 - 0.52 * dark


@compiled("fast")
def _skin_point(eyes: Array, light: Array, rotation: Array, px: float, p: Array) -> None:
    """Complete a sampled skin point: eyes laid over it, its normal turned with the head."""
    p[SOFT] = 1.0
    if -1.8 < p[FACE_Y] < 2.0 and abs(p[FACE_X]) < 5.8 and p[NZ] > -0.2:
        i = 1 if p[FACE_X] > 0 else 0
        _eye(eyes, i, light, px, p[FACE_X], p[FACE_Y], p)
        ball = p[BALL]
        if ball > 0.0:
            # The eyeball's own normal: a sphere, seen between the lids.
            p[NX] = p[NX] * (1 - ball) + ball * ((p[FACE_X] - eyes[i, EYE_X]) * 0.55)
            p[NY] = p[NY] * (1 - ball) + ball * 0.05
            p[NZ] = p[NZ] * (1 - ball) + ball
            p[GLOSS] *= 1 - ball
            p[OPEN] = p[OPEN] * (1 - ball) + ball * 0.95
            p[SOFT] = 1 - 0.6 * ball
    if p[GLOSS] < 0:
        p[SOFT] = 0.2
    nx, ny, nz = p[NX], p[NY], p[NZ]
    for k in range(3):
        p[NX + k] = rotation[k, 0] * nx + rotation[k, 1] * ny + rotation[k, 2] * nz


@compiled("fast")
def shade(
    index: Array,
    bary: Array,
    triangles: Array,
    material: Array,
    attributes: Array,
    normals: Array,
    points: Array,
    base: Array,
    expression: Array,
    window: Array,
    rotation: Array,
    light: Array,
    eyes: Array,
    mouth: Array,
    px: float,
    out: Array,
) -> None:
    """Shade every covered pixel of `out` (H, W, 3); pixels without a surface keep their background.

    `base` (R, C, 12) holds what the constants above name; `expression` (r, c, 4) the change of the normal and the
    darkening of furrows; `window` its first row and column in `base`, and its rows and columns. `attributes` (N, 8)
    hold texture coordinates for skin, else albedo, gloss, openness, shadow and softness.
    """
    p = np.zeros(20, np.float32)
    a8 = np.zeros(8, np.float32)
    texels, dents = base.reshape(-1), expression.reshape(-1)
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            t = index[y, x]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            wb, wc = bary[y, x, 0], bary[y, x, 1]
            wa = 1 - wb - wc
            for k in range(8):
                a8[k] = wa * attributes[a, k] + wb * attributes[b, k] + wc * attributes[c, k]
            kind = material[t]
            if kind == SKIN:
                _skin_texels(a8[0], a8[1], base.shape[0], base.shape[1], texels, dents, window, p)
                _skin_point(eyes, light, rotation, px, p)
            elif kind == MOUTH:
                hx = wa * points[a, 0] + wb * points[b, 0] + wc * points[c, 0]
                hy = wa * points[a, 1] + wb * points[b, 1] + wc * points[c, 1]
                _mouth_point(mouth, hx, hy, a8[2], rotation, p)
            else:
                for k in range(3):
                    p[k] = a8[k]
                    p[NX + k] = wa * normals[a, k] + wb * normals[b, k] + wc * normals[c, k]
                p[GLOSS], p[OPEN], p[SHADOW], p[SOFT] = a8[3], a8[4], a8[5], a8[6]
                if kind == SHEET and p[NZ] < 0:
                    p[NX], p[NY], p[NZ] = -p[NX], -p[NY], -p[NZ]
            _lit(p, light, out, y, x)
