"""``python -m repro check``: what a given dataset holds; else whether the store is sound and what is simulated."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from repro.suite.command import COMPLETE, INCOMPLETE, INTERRUPTED, USAGE, open_given
from repro.suite.scales import SCALES
from repro.suite.spec import DATASET_LABELS, STILLS_LABELS
from repro.suite.store import Store

__all__ = ["HELP", "add_check_options", "check"]

HELP = (
    "count what datasets hold, beside the published counts, and write the ledger of what is left out. Datasets are "
    "named on the command line; here the environment is not asked. Without any, look for damaged entries in the store "
    "and account for the simulated data of every scale"
)

_GIVEN = (*DATASET_LABELS, *STILLS_LABELS, "manifest")
"""Layouts that can be given."""


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only ``check`` has, to a parser that has those of all tables."""
    parser.add_argument("--manifest", type=Path, metavar="CSV", help="your own videos: video,subject,label[,start,end]")
    parser.add_argument("--verify", action="store_true", help="decode everything in the given datasets")
    # all scales unless one is named; a root in the environment would leave no way to check the store
    parser.set_defaults(scale=None, default_store=parser.get_default("store"), **dict.fromkeys(_GIVEN))


def check(options: argparse.Namespace) -> int:
    """Account for the datasets that are given; without any, for the store and the simulated ones.

    Returns
    -------
    int
        0: sound; 1: the store is damaged, or a dataset is not kept whole; 2: a dataset or a folder that was named
        cannot be used; 130: interrupted.
    """
    roots = {name: root for name in _GIVEN if (root := getattr(options, name)) is not None}
    try:
        if roots:
            return max([_check_dataset(name, root, options) for name, root in roots.items()])
        return max(_check_store(options), _check_simulated(options))
    except KeyboardInterrupt:
        _say("check: interrupted; the ledger of an unfinished dataset is as it was")
        return INTERRUPTED


def _check_dataset(name: str, root: Path, options: argparse.Namespace) -> int:
    """Print one dataset's counts and ledger, and write both."""
    from tqdm import tqdm

    from repro.data.accounting import account, words
    from repro.suite.ledgers import describe, write_counts, write_ledger

    if not options.quiet:
        _say(f"check: reading {root}")
    try:
        dataset = open_given(name, root, options)
        if options.verify:
            unit = " identities" if name == "vggface2" else f" {words(name).videos}"
            with tqdm(total=len(dataset), desc=f"{name}: decoding", unit=unit, disable=options.quiet) as bar:

                def step(done: int, total: int) -> None:
                    bar.update()

                dataset.verify(step)
        result = account(dataset)
        _print(*describe(result))
        if not options.verify:
            _print(f"  {words(name).frames} are as the files declare; add --verify to decode them all")
        _say(f"written: {write_ledger(result, options.out)}, {write_counts({'': result}, options.out)}")
    except (ValueError, OSError) as error:
        _say(f"check: {error}")
        return USAGE
    return INCOMPLETE if result.left_out else COMPLETE


def _check_store(options: argparse.Namespace) -> int:
    """Look at every stored entry; damaged ones are named, none is touched."""
    store = Store(options.store)
    if not store.root.is_dir():
        if options.store != options.default_store:
            _say(f"check: there is no store at {store.root}; correct --store")
            return USAGE
        _print(f"{options.store}: there is no store yet")
        return COMPLETE
    counts = {"cells": 0, "networks": 0, "measurements": 0}
    damaged = []
    for kind, keys, read in (
        ("cells", store.keys(), store.read),
        ("networks", store.artifact_keys(), store.read_artifact),
        ("measurements", store.measurement_keys(), store.read_measurement),
    ):
        for key in keys:
            counts[kind] += 1
            try:
                read(key)
            except ValueError as error:
                damaged.append(str(error))
    told = f"{counts['cells']} cells, {counts['networks']} pretext networks, {counts['measurements']} measurements"
    _print(f"{options.store}: {told}")
    _print(*(f"damaged: {reason}" for reason in damaged))
    if damaged:
        _print("damaged entries are set aside and computed again by the next run that needs them")
    return INCOMPLETE if damaged else COMPLETE


def _check_simulated(options: argparse.Namespace) -> int:
    """Print what the simulated data of each scale hold, or would hold, and write the counts."""
    from repro.suite.accounts import simulated_account
    from repro.suite.ledgers import describe_scales, write_counts

    scales = [SCALES[options.scale]] if options.scale else list(SCALES.values())
    status = COMPLETE
    for name in DATASET_LABELS:
        accounts = {}
        for scale in scales:
            try:
                accounts[scale.name] = simulated_account(Store(options.store), name, scale, strict=options.strict)
            except ValueError as error:
                _say(f"check: simulated data of scale {scale.name}: {error}")
                status = max(status, INCOMPLETE)
        if not accounts:
            continue
        _print("", *describe_scales(name, accounts))
        if any(result.left_out for result in accounts.values()):
            status = max(status, INCOMPLETE)
        try:
            _say(f"written: {write_counts(accounts, options.out)}")
        except OSError as error:
            _say(f"check: {error}")
            return USAGE
    return status


def _print(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
