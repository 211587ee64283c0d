"""Topographic features on surfaces whose shape is known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from baselines.features.regions import regions
from baselines.features.topographic import BINS, LABELS, PARTS, Surface, Topographic, histogram, labels, surface

SIGMA = 2.0
SIDE = 65
MIDDLE = SIDE // 2
Y, X = np.mgrid[:SIDE, :SIDE] - float(MIDDLE)
INSIDE = (slice(10, -10), slice(10, -10))
"""Where the repeated edge has no say: five standard deviations from it."""


def wave(angle=0.0, period=16.0, strength=30.0):
    """A wave that runs along `angle`, with a crest through the middle."""
    return 100 + strength * np.cos(2 * np.pi / period * (np.cos(angle) * X + np.sin(angle) * Y))


def names(picture, flat=0.1):
    return np.array(LABELS)[labels(surface(picture, SIGMA), flat)]


def picture_of(grey):
    return torch.from_numpy(np.repeat(np.round(grey)[None], 3, 0).astype(np.uint8))


def parts_of(features):
    """Split features into histograms by part: curvature orientation, two amplitudes, direction, length, labels."""
    table = features.reshape(len(PARTS), -1)
    return dict(zip(PARTS, (np.split(row, [8, 16, 24, 32, 40]) for row in table), strict=True))


def texture(size=96, seed=0, smooth=2.0):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), smooth)
    return 100 + 50 * noise / np.abs(noise).max()


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.1, 2.5])
def test_a_wave_has_the_eigenvalues_of_its_closed_form(angle):
    # A Gaussian damps a wave of angular frequency w by exp(-(s w)^2 / 2); each derivative brings a factor w. The
    # derivatives are sampled and cut, and the repeated edge is five deviations away: 1e-4 of the wave.
    frequency = SIGMA * 2 * np.pi / 16
    found, expected = surface(wave(angle), SIGMA), 30 * np.exp(-(frequency**2) / 2)
    phase = 2 * np.pi / 16 * (np.cos(angle) * X + np.sin(angle) * Y)
    slope = -frequency * expected * np.sin(phase)
    tolerance = {"atol": 1e-4 * expected}
    np.testing.assert_allclose(
        found.eigenvalues[0][INSIDE], -(frequency**2 * expected * np.cos(phase))[INSIDE], **tolerance
    )
    np.testing.assert_allclose(found.eigenvalues[1][INSIDE], 0, **tolerance)
    np.testing.assert_allclose(found.gradient[0][INSIDE], (slope * np.cos(angle))[INSIDE], **tolerance)
    np.testing.assert_allclose(found.gradient[1][INSIDE], (slope * np.sin(angle))[INSIDE], **tolerance)
    np.testing.assert_allclose(found.magnitude[INSIDE], np.abs(slope)[INSIDE], **tolerance)
    turned = np.abs(np.exp(2j * found.orientation[MIDDLE, MIDDLE]) - np.exp(2j * angle))
    assert turned < 1e-2


def test_eigenvalues_are_those_of_the_hessian():
    picture = texture(40)
    found = surface(picture, SIGMA)
    xx, xy, yy = (
        SIGMA**2 * gaussian_filter(picture, SIGMA, order, mode="nearest", truncate=6)
        for order in ((0, 2), (1, 1), (2, 0))
    )
    hessian = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2)
    values, vectors = np.linalg.eigh(hessian)
    order = np.argsort(-np.abs(values), axis=-1)
    expected = np.take_along_axis(values, order, -1)
    np.testing.assert_allclose(found.eigenvalues, np.moveaxis(expected, -1, 0), atol=1e-10)
    first = np.take_along_axis(vectors, order[..., None, :1], -1)[..., 0]
    cosine = np.cos(found.orientation) * first[..., 0] + np.sin(found.orientation) * first[..., 1]
    np.testing.assert_allclose(np.abs(cosine), 1, atol=1e-8)
    assert found.orientation.min() >= 0 and found.orientation.max() < np.pi
    assert found.direction.min() >= 0 and found.direction.max() < 2 * np.pi
    np.testing.assert_allclose(np.hypot(*found.along()), found.magnitude, atol=1e-12)


@pytest.mark.parametrize(("sign", "name"), [(1, "peak"), (-1, "pit")])
def test_a_bump_has_one_summit(sign, name):
    bump = names(100 + sign * 60 * np.exp(-(X**2 + Y**2) / (2 * 4.0**2)))
    assert bump[MIDDLE, MIDDLE] == name
    rows, columns = np.nonzero(bump == name)
    assert np.hypot(rows - MIDDLE, columns - MIDDLE).max() <= SIGMA
    assert bump[2, 2] == "flat"
    # The smoothed bump has a deviation of sqrt(16 + 4). Its flank is most curved across the way down, and level there,
    # as far as sqrt(2) of these; beyond, it is most curved on the way down.
    round_ = "ridge" if sign > 0 else "valley"
    assert bump[MIDDLE, MIDDLE + 4] == bump[MIDDLE - 4, MIDDLE] == round_
    assert bump[MIDDLE, MIDDLE + 8] == bump[MIDDLE - 8, MIDDLE] == "slope"


@pytest.mark.parametrize("climb", [0.0, 0.4])
def test_a_wave_has_ridges_and_valleys_even_if_they_climb(climb):
    found = names(wave() + climb * Y)[INSIDE]
    phase = np.mod(X[INSIDE], 16)
    assert (found[phase == 0] == "ridge").all()
    assert (found[phase == 8] == "valley").all()
    assert (found[np.isin(phase, (4, 12))] == "slope").all()
    assert set(np.unique(found)) == {"ridge", "valley", "slope"}


def test_a_saddle_an_inclined_plane_and_a_plain():
    for across, along in ((1, 1), (1, 2), (2, 1)):
        saddle = names(100 + 0.02 * (across * X**2 - along * Y**2))[INSIDE]
        centre = len(saddle) // 2
        assert saddle[centre, centre] == "saddle"
        assert not {"peak", "pit", "flat"} & set(np.unique(saddle))
        if along > across:
            assert saddle[centre, -1] == "ridge" and saddle[-1, centre] == "slope"
        if across > along:
            assert saddle[centre, -1] == "slope" and saddle[-1, centre] == "valley"
    assert (names(100 + 0.5 * X - 0.2 * Y)[INSIDE] == "slope").all()
    assert (names(np.full((SIDE, SIDE), 77.0)) == "flat").all()
    assert (names(100 + 0.01 * X)[INSIDE] == "flat").all()


def test_labels_turn_with_the_picture():
    picture = texture(SIDE, seed=3)
    np.testing.assert_array_equal(names(np.rot90(picture)), np.rot90(names(picture)))


def histograms(shape: Surface):
    difference = np.abs(np.subtract(*shape.eigenvalues)).ravel()
    return (
        histogram(shape.orientation.ravel() * BINS / np.pi, difference, circular=True),
        histogram(shape.direction.ravel() * BINS / (2 * np.pi), shape.magnitude.ravel(), circular=True),
    )


@pytest.mark.parametrize("seed", range(3))
def test_orientations_turn_with_the_picture(seed):
    picture = texture(SIDE, seed)
    before, after = histograms(surface(picture, SIGMA)), histograms(surface(np.rot90(picture, -1), SIGMA))
    # A quarter of a turn from x towards y: four of eight bins over half a turn, two of eight over a whole one.
    for shift, one, other in zip((4, 2), before, after, strict=True):
        np.testing.assert_allclose(np.roll(one, shift), other, rtol=1e-9)
        assert one.std() > 0.02 * one.mean()


@pytest.mark.parametrize("bin_", range(BINS))
def test_a_wave_fills_the_bin_of_its_orientation(bin_):
    shape = surface(wave((bin_ + 0.5) * np.pi / BINS), SIGMA)
    weights = np.abs(np.subtract(*shape.eigenvalues))[INSIDE].ravel()
    sums = histogram(shape.orientation[INSIDE].ravel() * BINS / np.pi, weights, circular=True)
    assert sums.argmax() == bin_
    assert sums[bin_] > 0.95 * sums.sum()


def test_weights_are_divided_between_neighbouring_bins():
    by_hand = [0.5, 0, 0, 0, 0, 0, 0, 0.5]
    np.testing.assert_allclose(histogram(np.array([0.0]), np.ones(1), circular=True), by_hand)
    np.testing.assert_allclose(histogram(np.array([8.0 - 1e-12]), np.ones(1), circular=True), by_hand)
    np.testing.assert_allclose(
        histogram(np.array([0.0, -3, 1.75]), np.array([1, 1, 4.0]), circular=False)[:3], [2, 3, 1]
    )
    np.testing.assert_allclose(histogram(np.array([7.6, 11]), np.array([1, 2.0]), circular=False)[7], 3)


def test_a_constant_and_a_gain_change_nothing():
    extractor, picture = Topographic(), texture()
    plain = extractor.of_picture(picture_of(picture - 40))
    for other in (np.round(picture - 40) + 60, 2 * np.round(picture - 40)):
        assert other.max() < 256  # no grey level is cut
        np.testing.assert_allclose(extractor.of_picture(picture_of(other)), plain, atol=1e-5)


def test_mirrored_faces_swap_left_and_right():
    picture = texture(96, seed=5)
    one = parts_of(Topographic().of_picture(picture_of(picture)))
    other = parts_of(Topographic().of_picture(picture_of(picture[:, ::-1])))
    swapped = {"left": "right", "right": "left"}
    for part in ("brow_left", "brow_right", "eye_left", "eye_right", "nasolabial_left", "nasolabial_right"):
        side = part.split("_")[1]
        mirrored = other[part.replace(side, swapped[side])]
        # An angle a becomes pi - a.
        expected = [one[part][0][::-1], *one[part][1:3], one[part][3][(3 - np.arange(8)) % 8], *one[part][4:]]
        for found, wanted in zip(mirrored, expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(one["eye_left"][0] - one["eye_right"][0]).max() > 0.01


def test_amplitudes_and_labels_are_shares():
    for histograms_ in parts_of(Topographic().of_picture(picture_of(texture()))).values():
        for shares in (histograms_[1], histograms_[2], histograms_[4], histograms_[5]):
            np.testing.assert_allclose(shares.sum(), 1, atol=1e-5)
        assert len(histograms_[5]) == len(LABELS)


def test_orientations_are_weighted_by_curvature_and_slope():
    picture = np.round(texture())
    shape, boxes = surface(picture, 0.06 * 96 / 3), regions(96)
    contrast = np.sqrt(np.mean(np.concatenate([(shape.magnitude[boxes[part]] ** 2).ravel() for part in PARTS])))
    for part, found in parts_of(Topographic().of_picture(picture_of(picture))).items():
        larger, smaller = (values[boxes[part]] for values in shape.eigenvalues)
        np.testing.assert_allclose(found[0].sum(), np.abs(larger - smaller).mean() / contrast, rtol=1e-5)
        np.testing.assert_allclose(found[3].sum(), shape.magnitude[boxes[part]].mean() / contrast, rtol=1e-5)
        # Weights that are divided between neighbouring bins keep their mean place.
        for shares, values in ((found[1], larger), (found[2], smaller), (found[4], shape.magnitude[boxes[part]])):
            octaves = np.clip(np.log2(np.abs(values) / contrast) + 5 - 0.5, 0, 7)
            np.testing.assert_allclose(shares @ np.arange(8), octaves.mean(), rtol=1e-5)


def test_the_size_of_the_picture_matters_little():
    fine = texture(192, smooth=6)
    coarse = fine.reshape(96, 2, 96, 2).mean((1, 3))
    one, other = (Topographic().of_picture(picture_of(grey)) for grey in (fine, coarse))
    # Half a pixel of the coarse picture at each edge of a region belongs to another one.
    assert np.abs(one - other).max() < 0.1
    assert np.corrcoef(one, other)[0, 1] > 0.995


def test_a_picture_without_contrast_is_flat():
    for grey in (0, 200):
        described = parts_of(Topographic().of_picture(torch.full((3, 64, 64), grey, dtype=torch.uint8)))
        for histograms_ in described.values():
            np.testing.assert_array_equal(histograms_[5], np.eye(len(LABELS))[LABELS.index("flat")])
            np.testing.assert_array_equal(histograms_[4], np.eye(8)[0])
            assert np.abs(histograms_[0]).max() < 1e-6 and np.abs(histograms_[3]).max() < 1e-6


def test_parts_see_their_own_pixels_only():
    picture = texture()
    changed = picture.copy()
    changed[78:, :] += 30 * np.sin(X[0, 0] + np.arange(96))  # below the mouth, more than four standard deviations
    one, other = (parts_of(Topographic().of_picture(picture_of(grey))) for grey in (picture, changed))
    moved = {part: max(np.abs(a - b).max() for a, b in zip(one[part], other[part], strict=True)) for part in PARTS}
    # The contrast is that of all parts, so that the others change, too, but far less.
    assert moved.pop("mouth") > 5 * max(moved.values())


@pytest.mark.parametrize("kind", ["RGB", "SSD(RGB)"])
def test_moments_of_clips(drawn_sequences, kind):
    sequences = drawn_sequences(kind)
    before = [sequence.pictures.clone() for sequence in sequences]
    moments = Topographic(frames=4).of(sequences)
    assert moments.counts.tolist() == [4 if kind == "RGB" else 3] * 4
    assert moments.values.shape == (moments.counts.sum(), 376) and moments.values.dtype == np.float32
    assert np.isfinite(moments.values).all()
    assert all(torch.equal(old, sequence.pictures) for old, sequence in zip(before, sequences, strict=True))
    for i, clip in enumerate(moments.clip):
        chosen = sequences[clip].spans.tolist().index(moments.spans[i].tolist())
        np.testing.assert_array_equal(moments.values[i], Topographic().of_picture(sequences[clip].pictures[chosen]))


def test_a_picture_that_is_too_small():
    with pytest.raises(ValueError, match="make it larger"):
        Topographic().of_picture(torch.zeros((3, 4, 4), dtype=torch.uint8))
