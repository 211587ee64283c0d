"""The 27 numbers against a literal reference in plain loops, and against patterns whose answers are known."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from baselines.selfsup.clip_statistics import APPEARANCE, MOTION, NAMES, clip_statistics, mirrored, patterns
from repro.data.flow import flow

BLOCKS = (16, 4, 8)
_OF_PATTERNS = [n for blocks in BLOCKS for n in (blocks, 8, blocks, 8)]
BINS = [*_OF_PATTERNS, 0, 0, *_OF_PATTERNS, 8]


def random_clip(seed, length=6, size=16, apart=1):
    """Frames of blocky noise that keeps changing, and smooth fields: no two blocks are equal."""
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 256, (length, 3, size, size)) * generator.integers(1, 5, (1, 3, size, size)) // 4
    fields = ndimage.gaussian_filter(generator.normal(size=(length - apart, 2, size, size)), (0, 0, 1, 1))
    return frames.astype(np.uint8), fields.astype(np.float32)


def bins(numbers):
    """Whole numbers of bins, from 0; those of fields stay shares."""
    return {
        name: int(value * count) if count else float(value)
        for name, value, count in zip(NAMES, numbers, BINS, strict=True)
    }


def still(length=6, size=16):
    return np.full((length, 3, size, size), 40, np.uint8), np.zeros((length - 1, 2, size, size))


class TestPatterns:
    @pytest.mark.parametrize("size", [8, 32, 64, 112])
    def test_every_pixel_has_one_block_and_the_blocks_their_share(self, size):
        grid, rings, triangles = patterns(size)
        assert np.bincount(grid.ravel()).tolist() == [size**2 // 16] * 16
        assert np.bincount(rings.ravel()).tolist() == [size**2 // 16 * n for n in (1, 3, 5, 7)]
        # A diagonal of size / 2 pixels in each quarter belongs to the triangle above or below it.
        half = size // 2
        assert np.bincount(triangles.ravel()).tolist() == [
            half * (half + side) // 2 for side in (-1, 1, 1, -1, -1, 1, 1, -1)
        ]

    def test_blocks_lie_where_they_should(self):
        grid, rings, triangles = patterns(16)
        assert grid[::4, ::4].tolist() == np.arange(16).reshape(4, 4).tolist()
        assert rings[8].tolist() == [3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3]
        assert (rings == rings.T).all() and (rings == rings[::-1]).all()
        around = [(3, 0), (0, 3), (0, 12), (3, 15), (12, 0), (15, 3), (15, 12), (12, 15)]
        assert [triangles[place] for place in around] == list(range(8))

    @pytest.mark.parametrize("size", [0, 4, 12, 33, 225])
    def test_other_sizes_are_refused(self, size):
        with pytest.raises(ValueError, match="multiple of 8"):
            patterns(size)


def literal(frames, fields, start, stop):
    """The definition, point by point, in float64 and with masks for blocks."""
    size, apart = frames.shape[-1], len(frames) - len(fields)
    at = lambda plane, row, column: float(plane[min(max(row, 0), size - 1), min(max(column, 0), size - 1)])  # noqa: E731
    gradients = np.zeros((stop - apart - start, 2, 2, size, size))
    for t in range(start, stop - apart):
        for component in range(2):
            plane = fields[t, component]
            for row in range(size):
                for column in range(size):
                    x = sum(at(plane, row + d, column + 1) - at(plane, row + d, column - 1) for d in (-1, 0, 1))
                    y = sum(at(plane, row + 1, column + d) - at(plane, row - 1, column + d) for d in (-1, 0, 1))
                    gradients[t - start, component, :, row, column] = x, y
    numbers = []
    summed = gradients.sum(0)
    for pattern, count in zip(patterns(size), BLOCKS, strict=True):
        for component in range(2):
            histograms, areas = np.zeros((count, 8)), np.zeros(count)
            for row in range(size):
                for column in range(size):
                    x, y = summed[component, :, row, column]
                    block, angle = pattern[row, column], np.degrees(np.arctan2(y, x)) % 360
                    nearest = int(angle // 45) % 8
                    areas[block] += 1
                    histograms[block, nearest] += np.hypot(x, y) * (1 - angle % 45 / 45)
                    histograms[block, (nearest + 1) % 8] += np.hypot(x, y) * (angle % 45 / 45)
            block = int(np.argmax(histograms.sum(1) / areas))
            numbers += [(block + 0.5) / count, (np.argmax(histograms[block]) + 0.5) / 8]
    for component in range(2):
        strength = [np.hypot(*gradient[component]).sum() for gradient in gradients]
        numbers.append((np.argmax(strength) + 0.5) / len(strength))
    return numbers + literal_appearance(frames[start:stop])


def dominant(pixels):
    """The octant of most pixels (n, 3); without blue first, then red, then green."""
    order = [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1), (0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0)]
    counts = [0] * 8
    for pixel in pixels:
        counts[order.index(tuple(int(value >= 128) for value in pixel))] += 1
    return (counts.index(max(counts)) + 0.5) / 8


def literal_appearance(frames):
    numbers = []
    for pattern, count in zip(patterns(frames.shape[-1]), BLOCKS, strict=True):
        ratios, colours = [], []
        for block in range(count):
            inside = [frame[:, pattern == block] for frame in frames]
            of_channels = []
            for channel in range(3):
                histograms = [[list(pixels[channel]).count(value) for value in range(256)] for pixels in inside]
                shared = sum(min(column) for column in zip(*histograms, strict=True))
                united = sum(max(column) for column in zip(*histograms, strict=True))
                of_channels.append(shared / united)
            ratios.append(np.mean(of_channels))
            colours.append(dominant(np.concatenate(inside, axis=1).T))
        for block in (int(np.argmin(ratios)), int(np.argmax(ratios))):
            numbers += [(block + 0.5) / count, colours[block]]
    return [*numbers, dominant(frames.transpose(0, 2, 3, 1).reshape(-1, 3))]


class TestReference:
    @pytest.mark.parametrize(("seed", "apart"), [(0, 1), (1, 1), (2, 3)])
    def test_equals_the_definition_point_by_point(self, seed, apart):
        frames, fields = random_clip(seed, apart=apart)
        # Few values, as random ones of 256 are never shared by all frames of so small a block, and all would be equal.
        frames = frames // 64 * 64
        found = clip_statistics(frames, fields, [(0, 6), (1, 5)])
        expected = [literal(frames, fields, 0, 6), literal(frames, fields, 1, 5)]
        np.testing.assert_array_equal(found, np.array(expected, np.float32))

    def test_a_clip_depends_on_its_own_frames_only(self):
        frames, fields = random_clip(3, length=9)
        alone = clip_statistics(frames[2:7], fields[2:6], [(0, 5)])
        np.testing.assert_array_equal(clip_statistics(frames, fields, [(0, 4), (2, 7)])[1:], alone)

    def test_names_and_numbers_agree(self):
        assert len(NAMES) == len(set(NAMES)) == 27
        assert len(NAMES[MOTION]) == 14 and len(NAMES[APPEARANCE]) == 13
        numbers = clip_statistics(*random_clip(4), [(0, 6)] * 2)
        assert numbers.shape == (2, 27) and numbers.dtype == np.float32 and ((numbers > 0) & (numbers < 1)).all()


class TestMotion:
    @pytest.mark.parametrize(
        ("direction", "orientation"),
        [((0, 1), 0), ((1, 1), 1), ((1, 0), 2), ((1, -1), 3), ((0, -1), 4), ((-1, -1), 5), ((-1, 0), 6), ((-1, 1), 7)],
    )
    @pytest.mark.parametrize("component", [0, 1])
    def test_orientation_is_where_the_component_grows(self, direction, orientation, component):
        frames, fields = still(size=32)
        rows, columns = np.indices((32, 32))
        fields[:, component] = 0.1 * (direction[0] * rows + direction[1] * columns)
        found = bins(clip_statistics(frames, fields, [(0, 6)])[0])
        assert {found[f"{pattern} {'uv'[component]} orientation"] for pattern in ("grid", "rings", "triangles")} == {
            orientation
        }

    @pytest.mark.parametrize("block", range(16))
    @pytest.mark.parametrize("component", [0, 1])
    def test_block_that_moves(self, block, component):
        frames, fields = still(size=32)
        row, column = 8 * (block // 4), 8 * (block % 4)
        fields[:, component, row + 2 : row + 6, column + 2 : column + 6] = 1
        found = bins(clip_statistics(frames, fields, [(0, 6)])[0])
        assert found[f"grid {'uv'[component]} block"] == block
        assert found[f"grid {'vu'[component]} block"] == 0  # nothing moves there
        assert found[f"rings {'uv'[component]} block"] in ((0, 1) if block in (5, 6, 9, 10) else (2, 3))

    def test_motion_of_the_whole_image_leaves_no_boundary(self):
        frames, fields = still(size=32)
        fields += np.array([3.0, -2.0])[:, None, None]
        fields[:, :, 20, 28] += 0.01
        found = bins(clip_statistics(frames, fields, [(0, 6)])[0])
        assert found["grid u block"] == found["grid v block"] == 11

    def test_a_ring_is_not_chosen_for_its_size(self):
        frames, fields = still(size=32)
        rows, columns = np.indices((32, 32))
        fields[:, 0] = 0.1 * columns + np.where(np.maximum(abs(rows - 15.5), abs(columns - 15.5)) < 4, 0.1 * columns, 0)
        assert bins(clip_statistics(frames, fields, [(0, 6)])[0])["rings u block"] < 2

    def test_turning_ellipse_moves_at_its_ends(self):
        # A rigid rotation about a point: u = -w y and v = w x within the turning part, zero around it.
        frames, fields = still(size=64)
        rows, columns = np.indices((64, 64)) + 0.5
        inside = ((rows - 48) / 4) ** 2 + ((columns - 32) / 28) ** 2 < 1
        fields[:, 0] = np.where(inside, -0.1 * (rows - 48), 0)
        fields[:, 1] = np.where(inside, 0.1 * (columns - 32), 0)
        found = bins(clip_statistics(frames, fields, [(0, 6)])[0])
        assert found["grid v block"] in (8, 11, 12, 15) and found["grid v orientation"] in (2, 6)

    def test_flash_of_motion_is_the_field_of_largest_motion(self):
        frames, fields = random_clip(5, length=10, size=32)
        fields *= 0.1
        fields[6, 0, 8:16, 8:16] += 9
        fields[2, 1, 8:16, 8:16] += 9
        found = bins(clip_statistics(frames, fields, [(0, 10), (1, 9)])[1])
        assert found["u field"] == pytest.approx(5.5 / 7) and found["v field"] == pytest.approx(1.5 / 7)

    def test_order_of_frames_tells_in_the_field_alone(self):
        frames, fields = random_clip(6, length=8)
        order = np.random.default_rng(0).permutation(7)
        before = clip_statistics(frames, fields, [(0, 8)])[0]
        after = clip_statistics(frames[[*order, 7]], fields[order], [(0, 8)])[0]
        field = np.array([name.endswith("field") for name in NAMES])
        np.testing.assert_array_equal(before[~field], after[~field])
        np.testing.assert_array_equal((before[field] * 7).astype(int), order[(after[field] * 7).astype(int)])

    @pytest.mark.parametrize(("step", "component"), [((0, 1), "u"), ((1, 0), "v")])
    def test_flow_of_a_square_that_moves(self, step, component):
        # The estimated flow, not one that was put in: a textured square of 10 pixels in the block at row 2, column 1.
        generator = np.random.default_rng(7)
        texture = ndimage.gaussian_filter(generator.normal(size=(1, 64, 64)), (0, 1.5, 1.5))
        ground = np.repeat(128 + 150 * texture, 3, 0)
        square = np.repeat(128 + 150 * ndimage.gaussian_filter(generator.normal(size=(1, 10, 10)), (0, 1, 1)), 3, 0)
        frames = np.repeat(ground[None], 6, 0)
        for t, frame in enumerate(frames):
            row, column = 33 + step[0] * t // 2, 17 + step[1] * t // 2
            frame[:, row : row + 10, column : column + 10] = square
        frames = frames.clip(0, 255).astype(np.uint8)
        fields = flow(torch.from_numpy(frames), method="tvl1").numpy()
        assert bins(clip_statistics(frames, fields, [(0, 6)])[0])[f"grid {component} block"] == 9


class TestAppearance:
    def test_block_that_changes_its_colour(self):
        frames, fields = still(size=32)
        frames[:3, :, 24:32, 0:8] = np.array([200, 20, 200])[:, None, None]
        frames[3:, :, 24:32, 0:8] = np.array([20, 200, 20])[:, None, None]
        frames[2, :, 24:32, 0:8] = np.array([20, 200, 20])[:, None, None]
        found = bins(clip_statistics(frames, fields, [(0, 6)])[0])
        assert found["grid least block"] == 12 and found["grid least colour"] == 5  # green in 4 of 6 frames
        assert found["grid most block"] == 0 and found["grid most colour"] == 4  # dark, and never another
        assert found["colour"] == 4
        assert found["triangles least block"] in (4, 5) and found["rings least block"] == 3

    def test_moving_within_a_block_does_not_change_its_colours(self):
        frames, fields = still(size=32)
        for t, frame in enumerate(frames):
            frame[:, 1 + t : 3 + t, 1:3] = 250
            frame[:, 24 + t % 2, 24] = 250 - 2 * t
        assert bins(clip_statistics(frames, fields, [(0, 6)])[0])["grid least block"] == 15

    @pytest.mark.parametrize(
        ("colour", "octant"),
        [((0, 0, 255), 0), ((0, 255, 255), 1), ((255, 0, 255), 2), ((255, 255, 255), 3)]
        + [((127, 127, 127), 4), ((127, 128, 127), 5), ((128, 127, 127), 6), ((128, 128, 127), 7)],
    )
    def test_octants(self, colour, octant):
        frames, fields = still()
        frames[:] = np.array(colour, np.uint8)[:, None, None]
        found = bins(clip_statistics(frames, fields, [(0, 6)])[0])
        assert {value for name, value in found.items() if name.endswith("colour")} == {octant}


class TestMirror:
    @pytest.mark.parametrize("seed", range(40))
    def test_equals_the_numbers_of_the_mirrored_clip(self, seed):
        # Exactly: random clips have no ties, and no rounding comes near the distance of the two largest sums.
        frames, fields = random_clip(seed, size=24)
        frames = frames // 64 * 64 + (frames[:1] & 63)
        other = fields[..., ::-1] * np.array([-1, 1], np.float32)[:, None, None]
        expected = clip_statistics(frames[..., ::-1], other, [(0, 6)])
        numbers = clip_statistics(frames, fields, [(0, 6)])
        np.testing.assert_array_equal(mirrored(numbers), expected)

    def test_twice_is_not_at_all_and_the_input_stays(self):
        numbers = np.concatenate([clip_statistics(*random_clip(seed), [(0, 6)]) for seed in range(20)])
        kept = numbers.copy()
        once = mirrored(numbers)
        assert (once != numbers).any()
        np.testing.assert_array_equal(mirrored(once), numbers)
        np.testing.assert_array_equal(numbers, kept)

    def test_colours_and_time_do_not_change(self):
        numbers = np.concatenate([clip_statistics(*random_clip(seed), [(0, 6)]) for seed in range(20)])
        rings = [name for name in NAMES if name.startswith("rings") and name.endswith("block")]
        same = np.array([name.split()[-1] in ("colour", "field") or name in rings for name in NAMES])
        np.testing.assert_array_equal(mirrored(numbers)[:, same], numbers[:, same])
        assert all((mirrored(numbers) != numbers)[:, column].any() for column in np.flatnonzero(~same))


class TestErrors:
    def test_shapes_that_do_not_fit(self):
        frames, fields = random_clip(0)
        for wrong in (frames[0], frames.astype(np.float32), frames[:, :2], frames[..., :8]):
            with pytest.raises(ValueError, match="frames must be"):
                clip_statistics(wrong, fields, [(0, 6)])
        for wrong in (np.repeat(fields, 2, 0), fields[:0], fields[:, :1], fields[..., :8]):
            with pytest.raises(ValueError, match="flow fields"):
                clip_statistics(frames, wrong, [(0, 6)])

    def test_flow_that_is_not_finite(self):
        frames, fields = random_clip(0)
        fields[2, 1, 3, 4] = np.nan
        with pytest.raises(ValueError, match="not finite"):
            clip_statistics(frames, fields, [(0, 6)])

    @pytest.mark.parametrize("clip", [(0, 1), (-1, 4), (2, 7), (4, 2)])
    def test_clips_that_are_too_short_or_elsewhere(self, clip):
        with pytest.raises(ValueError, match=f"clip {clip[0]}-{clip[1]}"):
            clip_statistics(*random_clip(0), [clip])

    def test_no_clip_has_no_numbers(self):
        assert clip_statistics(*random_clip(0), []).shape == (0, 27)
