"""Train one pretext task alone: ``python -m repro.pretext --method siamese -o FOLDER``.

The backbone learns from the unlabelled videos of a dataset, or of several, as the tables have it learn; without
``--unbc`` or ``--biovid`` the data is simulated, and every output says so. Images, training state after each epoch and
the trained network lie in the store that the tables use, so that an interrupted run goes on where it stopped. FOLDER
then holds

=====================  ====================================================================================
backbone.safetensors   the weights; `repro.learning.exported.load_backbone` makes a network of FOLDER
pretext.json           method, hyper-parameters, data, schedule, history, versions
history.csv            what was measured after each epoch
curve.pdf, curve.png   loss, and accuracy on held-out subjects against chance
features.npz           features of every labelled clip, a row each, with the columns of
features.csv           dataset, id, subject, video, start, stop, level
=====================  ====================================================================================

The exit status is 0 if FOLDER was written or is there, 1 if a step failed, 2 if options or data cannot be used, 130 if
interrupted, 143 if ended by SIGTERM.
"""

# ruff: noqa: T201  (a command prints)
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

import torch

from baselines import METHODS, Method
from repro.data import open_dataset
from repro.data.encoding import KINDS, InputSpec
from repro.files import check_writable
from repro.learning.backbones import NAMES
from repro.learning.pretext import PretextTask
from repro.suite.command import (
    COMPLETE,
    INCOMPLETE,
    USAGE,
    add_deterministic,
    add_openface,
    as_asked,
    device_of,
    interrupted,
    open_given,
    positive,
)
from repro.suite.corpus import Corpus
from repro.suite.encoding import encoding_tasks
from repro.suite.engine import Engine, Failure, Task, available_cores
from repro.suite.exporting import check_folder, export
from repro.suite.pretraining import PlannedPretext, plan_pretext
from repro.suite.progress import Progress
from repro.suite.provenance import environment
from repro.suite.scales import SCALES
from repro.suite.settings import configure, settings_of
from repro.suite.simulation import missing_simulations
from repro.suite.spec import DATASET_LABELS, Scale
from repro.suite.store import Store
from repro.suite.where import jobs_within_cores


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list or options.method == "":
        print(_listed(SCALES[options.scale]))
        return COMPLETE
    if options.method is None or options.output is None:
        parser.error("give --method NAME; --list tells the names" if options.method is None else "give -o FOLDER")
    progress = Progress("pretext", visible=not options.quiet)
    try:
        return _run(options, progress)
    except ValueError as error:
        progress.close()
        print(f"pretext: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt as error:
        progress.close()
        return interrupted("pretext", options, error)


class _Wanted(NamedTuple):
    """What is to be trained, as the options have it."""

    method: Method
    task: PretextTask
    scale: Scale
    spec: InputSpec
    device: str


def _run(options: argparse.Namespace, progress: Progress) -> int:
    wanted = _wanted(options)
    check_folder(options.output)
    check_writable(options.store, "--store")
    store = Store(options.store)
    names = sorted(dict.fromkeys(options.data))
    roots = _given_roots(options, names)
    given = bool(roots)
    with Engine(options.jobs) as engine:
        if not roots:
            roots, tasks = missing_simulations(store, {name: (name, wanted.scale.simulated[name]) for name in names})
            progress.add(tasks)
            if failures := engine.run(tasks, progress):
                progress.close()
                return _report_failures(failures)
        corpora = {
            name: Corpus(
                open_given(name, root, options) if given else open_dataset(name, root, strict=options.strict),
                wanted.scale.clips[name],
                wanted.scale.input.shortest_clip,
            )
            for name, root in roots.items()
        }
        planned = _plan(wanted, corpora, options.seed, store)
        if check_folder(options.output, planned.key):
            progress.close()
            print(f"{options.output} holds this network already: nothing is left to do")
            return COMPLETE
        if damaged := store.discard_damaged(planned.key, "artifact"):
            print(damaged, file=sys.stderr)
        tasks = as_asked(_remaining(wanted, planned, corpora, store, options), options)
        progress.add(tasks)
        failures = engine.run(tasks, progress)
    progress.close()
    if failures:
        return _report_failures(failures)
    for remark in (remark for corpus in corpora.values() for remark in corpus.remarks):
        print(remark, file=sys.stderr)
    _tell(options.output, wanted, corpora, store.read_artifact(planned.key)[0])
    return COMPLETE


def _wanted(options: argparse.Namespace) -> _Wanted:
    """Check the options that need no data.

    Raises
    ------
    ValueError
        Naming the option and what would do.
    """
    method = METHODS.get(options.method)
    if method is None or method.kind != "self-supervised":
        raise ValueError(f"there is no pretext task {options.method!r}; choose one of {', '.join(_tasks())}")
    scale = SCALES[options.scale]
    task = configure(method.load(), scale.pretext.options(method.name), options.set)
    given = {"epochs": options.epochs, "batch_size": options.batch_size, "learning_rate": options.learning_rate}
    schedule = replace(scale.pretext.schedule_of(method.name), **{k: v for k, v in given.items() if v is not None})
    steps = options.steps or scale.pretext.steps_per_epoch
    run = replace(scale.pretext, schedule=schedule, steps_per_epoch=steps, methods={})
    backbone = scale.fine_tuning.backbone
    backbone = replace(backbone, name=options.backbone or backbone.name, width=options.width or backbone.width)
    if backbone != scale.fine_tuning.backbone:
        backbone.build(torch.Generator())  # refuses a width that does not fit before anything is encoded
    scale = replace(scale, pretext=run, fine_tuning=replace(scale.fine_tuning, backbone=backbone))
    return _Wanted(method, task, scale, replace(scale.input, kind=options.input), device_of(options.device))


def _given_roots(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Path]:
    """Return roots of the licensed data; empty when none is given.

    Raises
    ------
    ValueError
        If a folder is given that is not asked for, or only some that are: licensed data is never mixed with simulated.
    """
    if unused := [name for name in DATASET_LABELS if getattr(options, name) is not None and name not in names]:
        wider = " ".join([*names, *unused])
        raise ValueError(f"--{unused[0]} is given, but not used; say --data {wider}, or leave it out")
    found = {name: getattr(options, name) or os.environ.get(f"REPRO_{name.upper()}") for name in names}
    roots = {name: Path(root) for name, root in found.items() if root}
    if roots and (missing := sorted(set(names) - set(roots))):
        raise ValueError(
            f"--data {' '.join(names)}: only {', '.join(roots)} was given; add "
            f"{' '.join(f'--{name} DIR' for name in missing)}, or give none to use simulated data"
        )
    return roots


def _plan(wanted: _Wanted, corpora: Mapping[str, Corpus], seed: int, store: Store) -> PlannedPretext:
    return plan_pretext(
        wanted.task,
        wanted.method.name,
        corpora,
        dict.fromkeys(corpora),
        wanted.spec,
        wanted.scale.fine_tuning,
        wanted.scale.pretext,
        repetition=seed,
        store=str(store.root),
        device=wanted.device,
    )


def _remaining(
    wanted: _Wanted,
    planned: PlannedPretext,
    corpora: Mapping[str, Corpus],
    store: Store,
    options: argparse.Namespace,
) -> list[Task]:
    """Return what is left to do: encoding, training unless the network is there, and the export."""
    labelled = {name: encoding_tasks(corpus, wanted.spec, str(store.root)) for name, corpus in corpora.items()}
    inputs = {key: task for made in labelled.values() for key, task in made.items()}
    training = [] if store.has_artifact(planned.key) else [planned.training]
    if training:
        inputs |= planned.inputs
    encoding = [task for key, task in inputs.items() if not store.input_folder(key).is_dir()]
    last = Task(
        f"export-{planned.key}",
        "export",
        f"network, curve and features of {wanted.method.name}",
        sum(len(corpus.labelled) for corpus in corpora.values()) * wanted.spec.images_per_clip * _SECONDS_PER_IMAGE,
        export,
        {
            "store": str(store.root),
            "key": planned.key,
            "folder": str(options.output.absolute()),
            "record": _record(wanted, corpora),
            "labelled": {name: tuple(made) for name, made in labelled.items()},
            "device": wanted.device,
        },
        tuple(task.id for task in (*encoding, *training)),
        on_gpu=wanted.device != "cpu",
    )
    return [*encoding, *training, last]


_SECONDS_PER_IMAGE = 0.003
"""Rough seconds on one core at the quick scale for an image's features; they only weigh the progress bar."""


def _record(wanted: _Wanted, corpora: Mapping[str, Corpus]) -> dict[str, Any]:
    """Tell what the network's own description does not."""
    accuracy = wanted.task.accuracy
    return {
        "method": wanted.method.name,
        "label": wanted.method.label,
        "citation": wanted.method.citation,
        "accuracy": {"label": accuracy.label, "higher_is_better": accuracy.higher_is_better},
        "simulated": any(corpus.dataset.simulated for corpus in corpora.values()),
        "scale": wanted.scale.name,
        "data": {
            name: {
                "label": DATASET_LABELS[name],
                "simulated": corpus.dataset.simulated,
                **corpus.unlabelled_description,
                "labelled_clips": len(corpus.labelled),
            }
            for name, corpus in corpora.items()
        },
        "excluded": [list(row) for corpus in corpora.values() for row in corpus.excluded],
        **environment(),
    }


def _report_failures(failures: Sequence[Failure]) -> int:
    for failure in failures:
        print(f"failed: {failure.task.label}\n  {failure.reason}", file=sys.stderr)
    print("pretext: nothing was exported; mend the cause and run the same command again", file=sys.stderr)
    return INCOMPLETE


def _tell(folder: Path, wanted: _Wanted, corpora: Mapping[str, Corpus], entry: Mapping[str, Any]) -> None:
    """Say what was learned, from what, and where it is."""
    first, last = entry["history"][0], entry["history"][-1]
    simulated = "simulated " if any(corpus.dataset.simulated for corpus in corpora.values()) else ""
    data = " and ".join(DATASET_LABELS[name] for name in corpora)
    accuracy = wanted.task.accuracy
    better = "higher" if accuracy.higher_is_better else "lower"
    updates = "1 update" if last["step"] == 1 else f"{last['step']} updates"
    print(f"{wanted.method.label} on {wanted.spec.kind} images of {simulated}{data} data")
    print(
        f"{accuracy.label}, on held-out subjects: {last['held_out_accuracy']:.3g} after {updates}, "
        f"{first['held_out_accuracy']:.3g} before, chance {last['held_out_chance']:.3g} ({better} is better)"
    )
    print(f"written: {folder}")


def _tasks() -> list[str]:
    return [name for name, method in METHODS.items() if method.kind == "self-supervised"]


def _listed(scale: Scale) -> str:
    """List the pretext tasks with what can be set of each, and what it is at a scale."""
    lines = []
    for name in _tasks():
        method = METHODS[name]
        task = method.load()
        better = "higher" if task.accuracy.higher_is_better else "lower"
        settings = settings_of(task, scale.pretext.options(name))
        values = " ".join(f"{setting}={value}" for setting, value in settings.items())
        lines += [
            f"{name}  {method.label} ({method.citation})",
            f"  accuracy: {task.accuracy.label}, {better} is better",
            *wrap(f"--set {values}", 100, initial_indent="  ", subsequent_indent="        "),
        ]
    lines.append(f"Values are those at --scale {scale.name}.")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m repro.pretext", description="Train one pretext task alone.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--method", nargs="?", const="", metavar="NAME", help="the pretext task; without a name they are listed")
    add("--list", action="store_true", help="list the pretext tasks and their hyper-parameters")
    add("-o", "--output", type=Path, metavar="FOLDER", help="new folder for network, history, curve and features")
    add("--data", nargs="+", choices=list(DATASET_LABELS), default=["biovid"], help="one or more (default: biovid)")
    for name, label in DATASET_LABELS.items():
        add(f"--{name}", type=Path, metavar="DIR", help=f"root of {label} (default: $REPRO_{name.upper()})")
    add("--input", choices=KINDS, default="SSD(RGB)", help="what an image shows (default %(default)s)")
    add("--scale", choices=list(SCALES), default="quick", help="size of all that is not said otherwise")
    add("--backbone", choices=NAMES, help="instead of the scale's")
    add("--width", type=float, metavar="W", help="of the backbone, 1 being the published one")
    add("--epochs", type=positive, metavar="N", help="instead of the scale's")
    add("--steps", type=positive, metavar="N", help="updates in an epoch")
    add("--batch-size", type=positive, metavar="N", help="images in an update")
    add("--learning-rate", type=float, metavar="RATE", help="at its highest")
    add("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="hyper-parameters of the task")
    add("--seed", type=int, default=0, metavar="N", help="0 is the first repetition of the tables")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add_deterministic(parser)
    add("--jobs", type=jobs_within_cores, default=available_cores(), metavar="N", help="a network is trained in one")
    add(
        "--store",
        type=Path,
        default=Path(os.environ.get("REPRO_STORE", "store")),
        metavar="DIR",
        help="images, checkpoints, networks, simulated data, shared with the tables (default: $REPRO_STORE or ./store)",
    )
    add_openface(parser)
    add("--strict", action="store_true", help="stop at damaged data instead of recording it")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


if __name__ == "__main__":
    sys.exit(main())
