"""Table 1: what the datasets hold, ``python -m repro.table1``."""

from functools import partial

from repro.suite.characteristics import (
    Characteristics,
    Quantity,
    Text,
    n_frames,
    n_left_out,
    n_levels,
    n_subjects,
    n_videos,
    pain_share,
    run_characteristics,
)

TABLE = Characteristics(
    name="table1",
    title="Table 1. Characteristics of the pain recognition datasets",
    caption="Characteristics of the pain recognition datasets.",
    lead="Dataset",
    rows={"unbc": "UNBC-McMaster", "biovid": "BioVid (Part A)"},
    columns=(
        Quantity("Subjects", n_subjects),
        Quantity("Videos", n_videos),
        Text("Stimuli", {"unbc": "Shoulder Pain", "biovid": "Induced Heat"}),
        Quantity("Classes", n_levels),
        Quantity("Frames", n_frames, published=False),
        Quantity("Frames with pain (%)", pain_share, metric="share", published=False),
        Quantity("Left out", n_left_out, published=False),
    ),
    notes=(
        "Classes are the levels that occur: of PSPI 0 to 16 at UNBC-McMaster, of BL1 and PA1 to PA4 at BioVid.",
        "With pain: PSPI above 0; BioVid labels videos, of which all frames of PA1 to PA4 count.",
    ),
)
run = partial(run_characteristics, TABLE)

if __name__ == "__main__":
    from repro.suite.characteristics import main

    raise SystemExit(main(TABLE))
