"""Figure 1: the outline of SSD on a real video, ``python -m repro.figure1``.

A simulated video, or any other: ``python -m repro.figure1 --video clip.mp4``. Faces of licensed data are drawn only of
subjects that ``--show-faces`` names.
"""

from functools import partial

from repro.suite.illustrations.illustration import Illustration, main, run_illustration
from repro.suite.illustrations.outline import draw_outline, gather_outline
from repro.suite.illustrations.videos import add_video_options

TABLE = Illustration(
    name="figure1",
    title="Figure 1. Outline of Statistical Spatiotemporal Distillation",
    gather=gather_outline,
    draw=draw_outline,
    add_own=partial(add_video_options, several=False),
)
run = partial(run_illustration, TABLE)

if __name__ == "__main__":
    raise SystemExit(main(TABLE))
