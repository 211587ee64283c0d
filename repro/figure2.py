"""Figure 2: the Siamese network with a batch and the affine hulls of its halves, ``python -m repro.figure2``.

The network is the pretext network of the tables, trained if the store has none; ``--network random`` takes random
weights, and the figure says so. Faces of licensed data are drawn only of subjects that ``--show-faces`` names.
"""

from functools import partial

from repro.suite.illustrations.illustration import Illustration, main, run_illustration
from repro.suite.illustrations.siamese import add_network_options, draw_batch, gather_batch

TABLE = Illustration(
    name="figure2",
    title="Figure 2. The Siamese network and the affine hulls of a batch's halves",
    gather=gather_batch,
    draw=draw_batch,
    add_own=add_network_options,
)
run = partial(run_illustration, TABLE)

if __name__ == "__main__":
    raise SystemExit(main(TABLE))
