"""Files of simulated stills: JPEG images that carry what is known about them, and the CSV files made from these.

A still has its box and points in a comment of its JPEG file: one on disk is never without them, whoever wrote it and
whenever the work was interrupted.
"""

from __future__ import annotations

import json
import os
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from repro.data.simulator.wild import wild_identity
from repro.files import write_atomically

if TYPE_CHECKING:
    from repro.data.simulator.session import Still
    from repro.data.simulator.stills import StillSpec

_TRADES = ("Baker", "Carpenter", "Gardener", "Glazier", "Miller", "Potter", "Sailor", "Weaver")
_SOI, _COMMENT = b"\xff\xd8", b"\xff\xfe"


def write_still(base: Path, spec: StillSpec, still: Still) -> None:
    """Write a still with its box and points in a comment, in place at once."""
    known = {"simulated": True, "box": still.box, "points": [round(c, 3) for c in still.points.ravel().tolist()]}
    comment = json.dumps(known).encode()
    if not still.jpeg.startswith(_SOI):
        raise OSError(f"{base / spec.path}: OpenCV did not give a JPEG image")
    target = base / spec.path
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = base / f".partial-{spec.identity}-{spec.name}-{os.getpid()}"
    head = _SOI + _COMMENT + (len(comment) + 2).to_bytes(2, "big")
    temporary.write_bytes(head + comment + still.jpeg[len(_SOI) :])
    temporary.replace(target)


def read_known(path: Path) -> tuple[list[int], list[float]]:
    """Return the box (4,) and the points (10,) that a simulated still carries in its comment.

    Raises
    ------
    ValueError
        If the file is not a simulated still.
    """
    with path.open("rb") as stream_:
        head = stream_.read(6)
        comment = stream_.read(max(0, int.from_bytes(head[4:], "big") - 2))
    try:
        if not head.startswith(_SOI + _COMMENT):
            raise ValueError("no comment")
        known = json.loads(comment)
        return [int(value) for value in known["box"]], [float(value) for value in known["points"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is not a simulated still ({error}); remove it and simulate again") from error


def write_tables(base: Path, specs: list[StillSpec]) -> None:
    """Write boxes and five points of each split."""
    for split in sorted({spec.split for spec in specs}):
        boxes = ["NAME_ID,X,Y,W,H"]
        points = ["NAME_ID," + ",".join(f"P{i}{axis}" for i in range(1, 6) for axis in "XY")]
        for spec in specs:
            if spec.split == split:
                box, marks = read_known(base / spec.path)
                boxes.append(f'"{spec.id}",' + ",".join(map(str, box)))
                points.append(f'"{spec.id}",' + ",".join(map(str, marks)))
        for name, rows in (("bb", boxes), ("landmark", points)):
            write_atomically(base / "bb_landmark" / f"loose_{name}_{split}.csv", ("\n".join(rows) + "\n").encode())


def write_names(base: Path, specs: list[StillSpec], seed: int) -> None:
    """Write invented names; the real file has blanks after commas and a comma at a row's end, and so has this one."""
    rows = ["Class_ID, Name, Sample_Num, Flag, Gender"]
    for (identity, index, split), group in groupby(specs, lambda s: (s.identity, s.identity_index, s.split)):
        gender = "f" if wild_identity(seed, index).sex == "w" else "m"
        rows.append(f'{identity}, "{invented_name(index)}",{len(list(group))},{split == "train":d}, {gender},')
    write_atomically(base / "meta" / "identity_meta.csv", ("\n".join(rows) + "\n").encode())


def invented_name(index: int) -> str:
    """Return a name that nobody has, such as "Simulated_Baker_1"; every fourth holds a comma."""
    return f"Simulated_{_TRADES[index % len(_TRADES)]}{',_No._' if index % 4 == 3 else '_'}{index + 1}"
