"""Figure 4: SSD images against the length of a segment, ``python -m repro.figure4``.

One simulated video of each dataset, or any others: ``python -m repro.figure4 --video clip.mp4``. Faces of licensed data
are drawn only of subjects that ``--show-faces`` names.
"""

from functools import partial

from repro.suite.illustrations.illustration import Illustration, main, run_illustration
from repro.suite.illustrations.lengths import draw_lengths, gather_lengths
from repro.suite.illustrations.videos import add_video_options

TABLE = Illustration(
    name="figure4",
    title="Figure 4. SSD images against the length of a segment",
    gather=gather_lengths,
    draw=draw_lengths,
    add_own=partial(add_video_options, several=True),
)
run = partial(run_illustration, TABLE)

if __name__ == "__main__":
    raise SystemExit(main(TABLE))
