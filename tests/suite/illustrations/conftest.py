"""What figures made of pictures are checked with."""

from itertools import combinations

import pytest
import torch
from matplotlib import pyplot
from matplotlib.text import Text

from repro.suite import render
from repro.suite.illustrations.videos import Example


@pytest.fixture
def page():
    """Draw in the journal's style, and check that no words leave the page or cover each other."""
    style = str(render.__file__).replace("render.py", "style.mplstyle")

    def draw(plot, *given):
        with pyplot.style.context(style):
            figure = plot(*given)
            figure.canvas.draw()
            words = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
            boxes = [(text.get_text(), text.get_window_extent()) for text in words]
        width, height = figure.canvas.get_width_height()
        for text, box in boxes:
            inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
            assert inside, f"{text!r} leaves the page"
        for (one, first), (other, second) in combinations(boxes, 2):
            # half a pixel: neighbours may touch
            apart = first.padded(-0.5).overlaps(second.padded(-0.5))
            assert not apart, f"{one!r} covers {other!r}"
        return figure

    yield draw
    pyplot.close("all")


@pytest.fixture
def video():
    """Make a video of a bright square that jumps about on a dark ground, 24 pixels a side."""

    def make(frames, *, peak=0, label="BioVid, simulated", data="simulated"):
        generator = torch.Generator().manual_seed(frames)
        faces = torch.randint(0, 60, (frames, 3, 24, 24), generator=generator, dtype=torch.uint8)
        for number, (x, y) in enumerate(torch.randint(0, 16, (frames, 2), generator=generator).tolist()):
            faces[number, :, y : y + 8, x : x + 8] += 150
        return Example(label, "subject/clip", faces, "centre crop", peak, data)

    return make


def words_of(figure):
    """Return all that is written on a figure."""
    return " ".join(text.get_text() for text in figure.findobj(Text))


@pytest.fixture
def words():
    """Give the function that reads a figure."""
    return words_of
