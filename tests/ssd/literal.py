"""Section 2.1 once more, in NumPy float64 with one loop per index: written from the paper, sharing nothing
with the package.

Only `numpy` and `math` appear here. Every neighbourhood is gathered and treated on its own, so that no trick
of the package (unfolding, whitening, box sums, running softmax) is needed, or can be wrong, here.
"""

import math

import numpy as np


def mirrored(index, size):
    """D8: -1 -> 1, -2 -> 2, size -> size - 2, ..."""
    if index < 0:
        return -index
    return 2 * (size - 1) - index if index >= size else index


def neighbourhood(segment, j, row, column, window, depth, center):
    """K samples around a point of frame j of one channel's segment (l, H, W)."""
    length, height, width = segment.shape
    samples = []
    for t in range(j - depth // 2, j + depth // 2 + 1):
        frame = min(max(t, 0), length - 1)
        for dy in range(-(window // 2), window // 2 + 1):
            for dx in range(-(window // 2), window // 2 + 1):
                samples.append(segment[frame, mirrored(row + dy, height), mirrored(column + dx, width)])
    vector = np.array(samples, dtype=np.float64)
    return vector - vector.mean() if center else vector


def zero_if_small(product):
    return 0.0 if abs(product) < 1e-10 else product


def weights(x, y, window=5, depth=1, noise_variance=0.4, center=True):
    """w of Eqs. 11 to 15 for one channel: (l, H, W) twice -> (l, H, W)."""
    points = list(np.ndindex(x.shape))
    xs = {p: neighbourhood(x, *p, window, depth, center) for p in points}
    c_u = sum(np.outer(v, v) for v in xs.values()) / len(points)
    eigenvalues, vectors = np.linalg.eigh(c_u)
    kept = [k for k in range(len(eigenvalues)) if eigenvalues[k] > max(1e-9 * eigenvalues[-1], 0)]
    k_samples = len(c_u)
    w = np.zeros(x.shape)
    for p in points:
        v_x, v_y = xs[p], neighbourhood(y, *p, window, depth, center)
        xx, xy, yy = (zero_if_small(a @ b) for a, b in ((v_x, v_x), (v_x, v_y), (v_y, v_y)))
        g, a2 = 0.0, 0.0
        if xx > 0:
            g = xy / xx
            a2 = sum((vectors[:, k] @ v_x) ** 2 / eigenvalues[k] for k in kept) / k_samples
        s_v2 = max(0.0, (yy - g * xy) / k_samples)
        for k in range(k_samples):
            scaled = a2 * eigenvalues[k] if k in kept else 0.0
            slope = s_v2 / noise_variance**2 + (1 + g * g) / noise_variance
            w[p] += 0.5 * math.log(1 + s_v2 / noise_variance + slope * scaled)
    return w


def feature_map(x, y, window=5, depth=1, noise_variance=0.4, center=True):
    """(1/l) sum_j log m_j for one channel: (l, H, W) twice -> (H, W)."""
    length, height, width = x.shape
    w = weights(x, y, window, depth, noise_variance, center)
    total = np.zeros((height, width))
    for j, row, column in np.ndindex(x.shape):
        above = below = 0.0
        for dy in range(-(window // 2), window // 2 + 1):
            for dx in range(-(window // 2), window // 2 + 1):
                at = (j, mirrored(row + dy, height), mirrored(column + dx, width))
                above += w[at] * (x[at] - y[at]) ** 2
                below += w[at]
        m = above / below if below > 0 else 0.0
        total[row, column] += math.log(max(m, 1e-10)) / length
    return total


def feature_maps(video, segment_length, **parameters):
    """(T, C, H, W) -> (S - 1, C, H, W)."""
    video = np.asarray(video, dtype=np.float64)
    segments = [video[s : s + segment_length] for s in range(0, len(video), segment_length)]
    segments = [s for s in segments if len(s) == segment_length]
    return np.array(
        [
            [feature_map(x[:, c], y[:, c], **parameters) for c in range(video.shape[1])]
            for x, y in zip(segments[:-1], segments[1:], strict=True)
        ]
    )


def aggregate(maps, segment_length, domain):
    """(S - 1, C, H, W) -> (C, H, W), one point at a time."""
    image = np.zeros(maps.shape[1:])
    for point in np.ndindex(image.shape):
        values = []
        for s in range(len(maps)):
            f = maps[(s, *point)]
            values.append({"rms": math.exp(f / 2), "log": f, "product": math.exp(segment_length * f)}[domain])
        largest = max(values)
        b = [math.exp(e - largest) for e in values]
        image[point] = sum(beta * e for beta, e in zip(b, values, strict=True)) / sum(b)
    return image


def to_image(image, normalize):
    if normalize is None:
        return image
    parts = [image] if normalize == "joint" else list(image)
    out = []
    for part in parts:
        low, high = part.min(), part.max()
        out.append(np.round((part - low) / (high - low) * 255) if high > low else part * 0)
    return (out[0] if normalize == "joint" else np.array(out)).astype(np.uint8)
