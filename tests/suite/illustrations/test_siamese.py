"""Figure 2: its numbers are the solution of Eq. 21, and its lines are the hulls."""

import pytest
import torch

from repro.learning.pretext import BackboneSpec
from repro.siamese.affine_hull import dissimilarity
from repro.suite.illustrations.hulls import FIDELITY, Plane, pair_of
from repro.suite.illustrations.siamese import Batch, batch_frame
from repro.suite.illustrations.siamese_page import batch_plot


def halves(n=2, seed=0):
    h = torch.randn(2, n, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).abs()
    return tuple(torch.nn.functional.normalize(h, dim=-1))


def pair(n=2, title="a pair"):
    images = torch.full((2, n, 3, 8, 8), 90, dtype=torch.uint8)
    names = ([f"a{i}" for i in range(n)], [f"b{i}" for i in range(n)])
    return pair_of(title, (images[0], images[1]), names, halves(n))


def batch(n=2, data="simulated", trained="random weights"):
    return Batch([pair(n, "one"), pair(n, "two")], BackboneSpec("resnet18", width=0.25), trained, data, "BioVid")


@pytest.mark.parametrize("n", [2, 5])
def test_terms_add_up_to_the_dissimilarity_by_its_own_rules(n):
    terms = pair(n).terms
    sparse = terms["lambda_2 |alpha|"] + terms["lambda_3 |beta|"]
    # all of it in float64
    assert terms["F"] + FIDELITY * (terms["G"] + terms["Q"]) + sparse == pytest.approx(terms["d"], rel=1e-9)
    assert terms["d"] == pytest.approx(float(dissimilarity(*halves(n)).value), rel=1e-9)


def test_the_plane_holds_the_share_of_variance_that_it_says():
    samples = torch.cat(halves(4))
    plane = Plane.of(samples)
    torch.testing.assert_close(plane.axes @ plane.axes.mT, torch.eye(2, dtype=torch.float64))
    seen = plane.project(samples)
    total = (samples - samples.mean(0)).square().sum()
    assert plane.share == pytest.approx(float(seen.square().sum() / total)) and 0 < plane.share < 1
    flat = torch.cat([samples[:, :2], torch.zeros(8, 14, dtype=torch.float64)], 1)
    assert Plane.of(flat).share == pytest.approx(1)
    torch.testing.assert_close(torch.pdist(Plane.of(flat).project(flat)), torch.pdist(flat))


def test_points_lie_on_the_lines_of_their_samples(page):
    one = pair()
    figure = page(batch_plot, batch())
    (axis,) = [axis for axis in figure.axes if len(axis.get_lines()) == 7][:1]
    for samples, point in zip(one.samples, one.points, strict=True):
        a, b = one.plane.project(samples)
        u, v = b - a, one.plane.project(point) - a
        assert float(u[0] * v[1] - u[1] * v[0]) == pytest.approx(0, abs=1e-9)
        drawn = [line.get_xydata()[0] for line in axis.get_lines() if line.get_marker() == "*"]
        assert any(place == pytest.approx(one.plane.project(point).numpy()) for place in drawn)


def test_the_frame_lists_coefficients_projections_and_terms():
    rows = batch_frame(batch())
    one = rows[rows.pair == "one"].set_index("quantity")
    assert list(one.loc["alpha"].value) == pytest.approx(pair().solution.alpha.tolist())
    assert list(one.loc["beta"]["clip"]) == ["b0", "b1"] and one.value["d"] == pytest.approx(pair().terms["d"])
    places = pair().plane.project(pair().samples[0])
    mine = one.loc["sample"][one.loc["sample"].half == "i"]
    assert list(mine.x) == pytest.approx(places[:, 0].tolist()) and one.value["variance shown"] == pair().plane.share
    assert set(rows.network) == {"random weights"} and set(rows["data"]) == {"simulated"}


def test_bars_are_the_coefficients(page):
    figure = page(batch_plot, batch())
    bars = [patch.get_height() for axis in figure.axes for patch in axis.patches if len(axis.containers) == 2]
    solution = pair().solution
    assert bars == pytest.approx([*solution.alpha.tolist(), *solution.beta.tolist()] * 2)


@pytest.mark.parametrize("n", [2, 3])
def test_the_page_says_what_the_network_is(page, words, n):
    figure = page(batch_plot, batch(n))
    assert figure.get_figwidth() * 25.4 == pytest.approx(190)
    text = words(figure)
    assert "random weights" in text and "simulated data" in text and "Eq. 21" in text and "shared weights" in text
    assert f"{100 * pair(n).plane.share:.0f} % of the samples' variance" in text


def test_licensed_data_is_not_called_simulated(page, words):
    assert "simulated" not in words(page(batch_plot, batch(data="licensed", trained="trained")))
