"""Encode a dataset as images: ``python -m repro.inputs --data unbc DIR --kind "SSD(OF)" -o FOLDER``.

Every video is cut into clips and every clip becomes one image. FOLDER then holds one Hugging Face dataset for
``datasets.load_from_disk`` with the columns image, id, subject, video, start, stop, level and face, and beside it
``notes.json`` with all that was left out and how each video's face was found. Images are encoded subject by subject
into the store that the tables use, so that an interrupted run goes on where it stopped.

The exit status is 0 if the dataset was written, 1 if subjects failed, 2 if options or data cannot be used.
"""

# ruff: noqa: T201  (a command prints)
from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from repro.data import READERS, Dataset, Exclusion
from repro.data.encoding import KINDS, InputSpec
from repro.data.faces import Mode
from repro.data.flow import LIMIT, FlowMethod
from repro.data.inputs import open_inputs, read_notes
from repro.files import check_writable
from repro.suite.command import INTERRUPTED, TERMINATED, add_openface, open_given, positive
from repro.suite.corpus import Corpus
from repro.suite.encoding import encoding_tasks
from repro.suite.engine import Engine, Terminated, available_cores
from repro.suite.progress import Progress
from repro.suite.scales import SCALES
from repro.suite.spec import DATASET_LABELS, Clips
from repro.suite.store import Store
from repro.suite.where import jobs_within_cores

_DATASETS = tuple(name for name in READERS if name != "vggface2")
"""Those with videos."""

_SHOWN = 10
"""Rows of the ledger that are printed; all of them are in ``notes.json``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    progress = Progress("inputs", visible=not options.quiet)
    try:
        return _run(options, progress)
    except ValueError as error:
        progress.close()
        print(f"inputs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        progress.close()
        print(f"inputs: interrupted; what is encoded is kept in {options.store}: run it again", file=sys.stderr)
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED


def _run(options: argparse.Namespace, progress: Progress) -> int:
    spec = InputSpec(
        options.kind,
        size=options.size,
        alignment=options.alignment,
        segment_length=options.segment_length,
        flow=options.flow,
        flow_limit=options.flow_limit,
    )
    _check_output(options.output)
    data = open_given(options.data, options.root, options)
    corpus = Corpus(data, _clips(options, spec), spec.shortest_clip)
    store = Store(options.store)
    made = encoding_tasks(corpus, spec, str(store.root))
    folders = [store.input_folder(key) for key in made]
    missing = [task for task, folder in zip(made.values(), folders, strict=True) if not folder.is_dir()]
    progress.add(missing)
    with Engine(options.jobs) as engine:
        failures = engine.run(missing, progress)
    progress.close()
    for failure in failures:
        print(f"failed: {failure.task.label}\n  {failure.reason}", file=sys.stderr)
    if failures:
        print("inputs: nothing was written; mend the cause and run the same command again", file=sys.stderr)
        return 1
    notes = [read_notes(folder) for folder in folders]
    faces = {video: face for note in notes for video, face in note.faces.items()}
    ledger = [*corpus.excluded, *(row for note in notes for row in note.excluded)]
    images = open_inputs(folders, description=_description(data, spec)).remove_columns("source")
    if not len(images):
        raise ValueError(f"{options.root}: no clip could be encoded: {ledger[0].reason if ledger else 'it is empty'}")
    record = {
        "description": images.info.description,
        "data": data.fingerprint,
        "simulated": data.simulated,
        "clips": corpus.labelled_description,
        "input": spec.describe(),
        "faces": faces,
        "excluded": [asdict(row) for row in ledger],
    }
    _save(images, record, options.output)
    _tell(images, faces, ledger, options.output)
    return 0


def _clips(options: argparse.Namespace, spec: InputSpec) -> Clips:
    """Return how to cut: as the paper's tables do, unless told otherwise; whole videos of a manifest.

    Raises
    ------
    ValueError
        If clips are shorter than an image needs.
    """
    usual = SCALES["paper"].clips.get(options.data, Clips(None, 1, 40, 10))
    length = usual.length if options.length is None else options.length
    if options.length is not None and options.length < spec.shortest_clip:
        raise ValueError(
            f"--length {options.length}: {spec.kind} needs clips of at least {spec.shortest_clip} frames (two "
            f"segments of {spec.segment_length}, if distilled); give longer clips or a shorter --segment-length"
        )
    stride = options.stride or (usual.stride if options.length is None else options.length)
    return Clips(length, stride, usual.source_length, usual.source_stride, usual.clips_per_source)


def _description(data: Dataset, spec: InputSpec) -> str:
    kind = "Simulated faces in the layout of " if data.simulated else ""
    return f"{kind}{DATASET_LABELS.get(data.name, data.name)}: {spec.kind} images, {json.dumps(spec.describe())}"


def _check_output(folder: Path) -> None:
    """Refuse a folder that holds something, or cannot be made, before anything is computed."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"-o {folder}: exists already; remove it or give another folder")
    check_writable(folder, "-o")


def _save(images: Any, record: dict[str, Any], folder: Path) -> None:
    """Write the dataset whole or not at all."""
    import datasets

    datasets.disable_progress_bars()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        images.save_to_disk(str(temporary / "dataset"))
        (temporary / "dataset" / "notes.json").write_text(json.dumps(record, indent=1) + "\n")
        (temporary / "dataset").rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _tell(images: Any, faces: dict[str, str], ledger: Sequence[Exclusion], folder: Path) -> None:
    print(images.info.description)
    print(f"{len(images)} images of {len(faces)} videos, {len(set(images['subject']))} subjects -> {folder}")
    print("faces: " + ", ".join(f"{count} videos {method}" for method, count in Counter(faces.values()).most_common()))
    print(f"left out: {len(ledger)}" + ("" if ledger else "; nothing"))
    for row in ledger[:_SHOWN]:
        print(f"  {row.what} {row.file}: {row.reason}")
    if len(ledger) > _SHOWN:
        print(f"  and {len(ledger) - _SHOWN} more, see {folder / 'notes.json'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m repro.inputs", description="Encode every clip of a dataset.", allow_abbrev=False
    )
    add = parser.add_argument
    add("root", type=Path, metavar="ROOT", help="folder of the dataset; of a manifest, the CSV file")
    add("--data", required=True, choices=_DATASETS, help="layout of ROOT")
    add("-o", "--output", required=True, type=Path, metavar="FOLDER", help="new folder for the dataset")
    add("--kind", choices=KINDS, default="SSD(RGB)", help="what an image shows (default %(default)s)")
    add("--size", type=int, default=224, help="height and width in pixels (default %(default)s)")
    add("--alignment", choices=get_args(Mode), default="auto", help="what is done about faces (default %(default)s)")
    add("--segment-length", type=int, default=20, metavar="L", help="frames in a segment (default %(default)s)")
    add("--flow", choices=get_args(FlowMethod), default="tvl1", help="method of optical flow (default %(default)s)")
    add(
        "--flow-limit",
        type=float,
        default=LIMIT,
        metavar="SHARE",
        help="share of the side a frame at which drawn flow saturates (default %(default)s)",
    )
    add("--length", type=positive, metavar="N", help="frames in a clip (default: 60 of unbc, else whole videos)")
    add("--stride", type=positive, metavar="N", help="frames from clip to clip (default: 20 of unbc, else --length)")
    add("--jobs", type=jobs_within_cores, default=available_cores(), metavar="N", help="processes side by side")
    add(
        "--store",
        type=Path,
        default=Path(os.environ.get("REPRO_STORE", "store")),
        metavar="DIR",
        help="cache of encoded subjects (default: $REPRO_STORE or ./store)",
    )
    add_openface(parser)
    add("--strict", action="store_true", help="stop at damaged data instead of recording it")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


if __name__ == "__main__":
    sys.exit(main())
