"""Optical flow against motion that is known exactly, and its drawing."""

import cv2
import numpy as np
import pytest
import torch

from repro.data.flow import LIMIT, draw_flow, flow

SIZE = 64
BORDER = 8
"""Points so near to the edge may have left the image; they are not judged."""

TOLERANCE = 0.1
"""Mean end-point error in pixels. Measured are up to 0.063 (TV-L1) and 0.043 (DIS), for motion of 0.36 to 3.6."""

METHODS = ("tvl1", "dis")


def texture(x, y):
    """Brightness at any point of the plane: waves in many directions, so that a warped image has no resampling."""
    random = np.random.default_rng(7)
    value = np.zeros(np.broadcast(x, y).shape)
    for _ in range(60):
        length, angle, phase = random.uniform(6, 30), random.uniform(0, 2 * np.pi), random.uniform(0, 2 * np.pi)
        value += np.cos(2 * np.pi / length * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return 128 + 16 * value


def frame(matrix, size=SIZE):
    """Show the texture after it was moved by ``p -> A p + b``, (A | b) being `matrix`."""
    y, x = np.mgrid[:size, :size].astype(float)
    inverse = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))
    xs = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    ys = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    grey = texture(xs, ys).clip(0, 255).round().astype(np.uint8)
    return torch.from_numpy(grey).expand(3, size, size)


def true_flow(matrix, size=SIZE):
    y, x = np.mgrid[:size, :size].astype(float)
    moved = matrix @ np.stack([x.ravel(), y.ravel(), np.ones(size * size)])
    return moved.reshape(2, size, size) - np.stack([x, y])


def shift(u, v):
    return np.array([(1.0, 0.0, u), (0.0, 1.0, v)])


def about_centre(a):
    centre = np.full(2, (SIZE - 1) / 2)
    return np.column_stack([a, centre - a @ centre])


def rotation(angle):
    return np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])


MOTIONS = {
    "right": shift(1, 0),
    "down": shift(0, 1),
    "left and up": shift(-1.5, -0.75),
    "a fraction of a pixel": shift(0.3, -0.2),
    "far": shift(3.0, -2.0),
    "scale": about_centre(1.03 * np.eye(2)),
    "rotation": about_centre(rotation(0.03)),
    "shear": about_centre(np.array([(1.0, 0.04), (0.0, 1.0)])),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("motion", MOTIONS)
def test_known_motion_is_found(motion, method):
    matrix = MOTIONS[motion]
    field = flow(torch.stack([frame(shift(0, 0)), frame(matrix)]), method=method)
    assert field.shape == (1, 2, SIZE, SIZE) and field.dtype == torch.float32
    error = np.linalg.norm(field[0].double().numpy() - true_flow(matrix), axis=0)
    assert error[BORDER:-BORDER, BORDER:-BORDER].mean() < TOLERANCE


def test_flow_does_not_run_away_at_the_border():
    """Without the repeated edge the mean is 0.26 pixels, and errors of 2 pixels reach inside."""
    errors = []
    for matrix in (MOTIONS[name] for name in ("right", "down", "left and up", "rotation")):
        field = flow(torch.stack([frame(shift(0, 0)), frame(matrix)]))
        errors.append(np.linalg.norm(field[0].double().numpy() - true_flow(matrix), axis=0))
    border = np.ones((SIZE, SIZE), bool)
    border[4:-4, 4:-4] = False
    assert np.mean([error[border].mean() for error in errors]) < 0.17
    assert max(error[~border].max() for error in errors) < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_right_is_positive_u_and_down_is_positive_v(method):
    # independent of the texture and the affine code above: a blob is moved by two pixels
    frames = torch.zeros(3, 3, SIZE, SIZE, dtype=torch.uint8)
    for index, (x, y) in enumerate([(30, 30), (32, 30), (32, 28)]):
        image = np.zeros((SIZE, SIZE), np.float32)
        image[y, x] = 1
        image = cv2.GaussianBlur(image, (0, 0), 6)
        frames[index] = torch.from_numpy((255 * image / image.max()).astype(np.uint8))
    to_right, upwards = flow(frames, method=method)[..., 26:36, 26:36].mean((-1, -2))
    assert to_right[0] == pytest.approx(2, abs=0.5) and to_right[1] == pytest.approx(0, abs=0.2)
    assert upwards[1] == pytest.approx(-2, abs=0.5) and upwards[0] == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("method", METHODS)
def test_a_still_video_does_not_move(method):
    still = frame(shift(0, 0))[None].expand(3, 3, SIZE, SIZE)
    field = flow(still, method=method)
    assert field.shape == (2, 2, SIZE, SIZE) and field.abs().max() < 1e-3
    assert (draw_flow(field) == torch.tensor([128, 128, 0]).view(1, 3, 1, 1)).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_pair_gives_the_same_whatever_the_video_and_the_threads(method):
    frames = torch.stack([frame(shift(0.4 * t, 0.1 * t * t)) for t in range(4)])
    whole = flow(frames, method=method)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        again = torch.cat([flow(frames[t : t + 2], method=method) for t in (2, 0, 1)])
        assert cv2.getNumThreads() == 4, "the caller's setting is restored"
    finally:
        cv2.setNumThreads(threads)
    assert torch.equal(whole, again[[1, 2, 0]])


def test_colour_counts_by_its_luminance():
    frames = torch.stack([frame(shift(0, 0)), frame(shift(1, 0))]).clone()
    frames[:, 2] = 77  # blue, constant
    assert flow(frames)[0, 0, 16:-16, 16:-16].mean() == pytest.approx(1, abs=0.05)


def test_the_drawing_can_be_read_back():
    random = np.random.default_rng(0)
    length, angle = random.uniform(0, 0.0099, (2, 1, 40, 60)), random.uniform(0, 2 * np.pi, (2, 1, 40, 60))
    share = torch.from_numpy(np.concatenate([length * np.cos(angle), length * np.sin(angle)], axis=1))
    drawn = draw_flow(share * 40, limit=0.01).double()  # 40 is the shorter side
    step = 0.01 / 127
    assert (((drawn[:, :2] - 128) * step) - share).abs().max() <= step / 2 + 1e-12
    assert ((drawn[:, 2] * 0.01 / 255) - share.norm(dim=1)).abs().max() <= 0.01 / 255 / 2 + 1e-12


def test_the_drawing_depends_on_each_vector_alone():
    field = torch.randn(5, 2, 20, 20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draw_flow(field)[2:3], draw_flow(field[2:3]))
    assert torch.equal(
        draw_flow(field * 4)[:, :, 3:4, 5:6], draw_flow((field * 4)[:, :, 3:4, 5:6].expand(5, 2, 20, 20))[:, :, :1, :1]
    )


def test_the_same_share_of_the_side_is_drawn_alike_at_every_size():
    small, large = (torch.full((1, 2, side, side), 0.004 * side) for side in (64, 224))
    assert draw_flow(small)[0, :, 0, 0].tolist() == draw_flow(large)[0, :, 0, 0].tolist()


@pytest.mark.parametrize(
    ("vector", "colour"),
    [
        ((1, 0), (255, 128, 255)),
        ((0, -1), (128, 1, 255)),
        ((7, 0), (255, 128, 255)),
        ((-30, -40), (128 - 76, 128 - 102, 255)),  # 127 times 0.6 and 0.8, rounded: the direction is kept
        ((0.5, 0), (192, 128, 128)),
    ],
)
def test_motion_beyond_the_limit_is_shortened_to_it(vector, colour):
    side = 32
    field = torch.tensor(vector, dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, side, side) * LIMIT * side
    assert draw_flow(field)[0, :, 5, 5].tolist() == list(colour)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(2, 3, 32, 32), "float32"),
        (torch.zeros(2, 1, 32, 32, dtype=torch.uint8), r"\(2, 1, 32, 32\)"),
        (torch.zeros(3, 32, 32, dtype=torch.uint8), r"\(3, 32, 32\)"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), r"two frames.*\(1, 3, 32, 32\)"),
        (torch.zeros(2, 3, 32, 15, dtype=torch.uint8), r"16 x 16 pixels.*\(2, 3, 32, 15\)"),
    ],
)
def test_wrong_frames_are_refused(frames, message):
    with pytest.raises(ValueError, match=message):
        flow(frames)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="'farneback' is not one of 'tvl1', 'dis'"):
        flow(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), method="farneback")


@pytest.mark.parametrize(
    ("field", "limit", "message"),
    [
        (torch.zeros(1, 3, 8, 8), 0.01, r"\(1, 3, 8, 8\)"),
        (torch.zeros(1, 2, 8, 8, dtype=torch.int64), 0.01, "int64"),
        (torch.zeros(1, 2, 8, 8), 0.0, "limit.*0.0"),
        (torch.zeros(1, 2, 8, 8), float("nan"), "limit.*nan"),
        (torch.full((1, 2, 8, 8), float("inf")), 0.01, "128 values that are not finite"),
    ],
)
def test_a_wrong_field_or_limit_is_refused(field, limit, message):
    with pytest.raises(ValueError, match=message):
        draw_flow(field, limit=limit)
