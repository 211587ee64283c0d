"""``python -m repro check``: what a given dataset holds; else whether the store is sound and what is simulated."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.suite.command import COMPLETE, INCOMPLETE, INTERRUPTED, USAGE, open_given
from repro.suite.inventory import Finding, Inventory, State, take_inventory
from repro.suite.requests import Requests
from repro.suite.scales import SCALES
from repro.suite.spec import DATASET_LABELS, STILLS_LABELS, Scale, Table
from repro.suite.store import Store

__all__ = ["HELP", "add_check_options", "check"]

HELP = (
    "count what datasets hold, beside the published counts, and write the ledger of what is left out. Datasets are "
    "named on the command line; here the environment is not asked. Without any, look for damaged, stale and left-over "
    "entries in the store and account for the simulated data of every scale"
)

_GIVEN = (*DATASET_LABELS, *STILLS_LABELS, "manifest")
"""Layouts that can be given."""

_NAMED = 20
"""Entries of each group that are named without ``--verbose``."""

_GROUPS: Mapping[State, str] = {
    "damaged": "does not parse, or does not match its hash or key",
    "stale": "of an earlier version of a method, of the code or of simulated data",
    "left over": "of writers that were killed, or asked for by nothing",
}


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only ``check`` has, to a parser that has those of all tables."""
    parser.add_argument("--manifest", type=Path, metavar="CSV", help="your own videos: video,subject,label[,start,end]")
    parser.add_argument("--verify", action="store_true", help="decode everything in the given datasets")
    parser.add_argument("--verbose", action="store_true", help="name all entries that something is said of")
    parser.add_argument(
        "--fix",
        action="store_true",
        help="move damaged entries to the store's folder damaged, stale and left-over ones to set_aside; nothing is "
        "deleted, and what tables need is computed again by their next run",
    )
    parser.add_argument("--delete", action="store_true", help="with --fix: delete these entries instead of moving them")
    # all scales unless one is named; a root in the environment would leave no way to check the store
    parser.set_defaults(scale=None, default_store=parser.get_default("store"), **dict.fromkeys(_GIVEN))


def check(options: argparse.Namespace, tables: Callable[[], Iterable[Any]] = tuple) -> int:
    """Account for the datasets that are given; without any, for the store and the simulated ones.

    Parameters
    ----------
    options : Namespace
        Of the command line, those of `add_check_options` included.
    tables : callable
        Returns what experiments declare as their ``TABLE``; what they ask for is not left over.

    Returns
    -------
    int
        0: sound; 1: something in the store is damaged and was not set aside, or a dataset is not kept whole; 2: a
        dataset or a folder that was named cannot be used, or options cannot be meant together; 130: interrupted.
    """
    if options.delete and not options.fix:
        _say("check: --delete is of what --fix would set aside; give both, or neither")
        return USAGE
    roots = {name: root for name in _GIVEN if (root := getattr(options, name)) is not None}
    try:
        if roots and options.fix:
            _say(f"check: --fix is about the store and never touches data; leave out {', '.join(roots)}")
            return USAGE
        if roots:
            return max([_check_dataset(name, root, options) for name, root in roots.items()])
        return max(_check_store(options, tables), _check_simulated(options))
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


def _check_store(options: argparse.Namespace, tables: Callable[[], Iterable[Any]]) -> int:
    """Look at everything in the store, and tell it; set aside what is to be, if that is asked for."""
    store = Store(options.store)
    if not store.root.is_dir():
        if options.store != options.default_store:
            _say(f"check: there is no store at {store.root}; correct --store")
            return USAGE
        _print(f"{options.store}: there is no store yet")
        return COMPLETE

    def asked() -> list[tuple[Table, Scale]]:
        return [(table, scale) for table in tables() if isinstance(table, Table) for scale in SCALES.values()]

    inventory = take_inventory(store, Requests(asked))
    _print(f"{options.store}: {_told(inventory)}")
    for state, meaning in _GROUPS.items():
        _print(*_describe(state, meaning, inventory.of(state), None if options.verbose else _NAMED))
    _print(*(f"note: {remark}" for remark in inventory.remarks))
    if options.fix:
        return _fix(store, inventory.findings, delete=options.delete)
    if inventory.findings:
        _print("--fix sets these aside; damaged entries are set aside, too, by the next run that needs them")
    return INCOMPLETE if inventory.of("damaged") else COMPLETE


def _told(inventory: Inventory) -> str:
    """Tell how much of each kind there is, the kinds that every store has first."""
    kinds = dict.fromkeys(("cells", "networks", "measurements", *inventory.counts))
    words = {"networks": "pretext networks", "inputs": "folders of images", "features": "files of features"}
    counts = (f"{inventory.counts[kind]:,} {words.get(kind, kind)}" for kind in kinds)
    return f"{', '.join(counts)}; {_amount(sum(inventory.sizes.values()))}"


def _describe(state: State, meaning: str, found: Sequence[Finding], most: int | None) -> list[str]:
    """Return a line for each kind of entry that is in a state, with the names of some."""
    lines = []
    for kind in dict.fromkeys(one.kind for one in found):
        own = [one for one in found if one.kind == kind]
        lines.append(f"{len(own):,} {kind}, {_amount(sum(one.n_bytes for one in own))}, {state} ({meaning})")
        lines += [f"  {state}: {_reason(one)}" for one in own[:most]]
        if most is not None and len(own) > most:
            lines.append(f"  and {len(own) - most:,} more; --verbose names them")
    return lines


def _reason(finding: Finding) -> str:
    return finding.reason if str(finding.path) in finding.reason else f"{finding.path}: {finding.reason}"


def _fix(store: Store, findings: Sequence[Finding], *, delete: bool) -> int:
    """Set aside what was found, or delete it; return the exit status."""
    status, done = COMPLETE, 0
    for finding in findings:
        try:
            if delete:
                _delete(finding.path)
            else:
                store.set_aside(finding.path, "damaged" if finding.state == "damaged" else "set_aside")
            done += 1
        except FileNotFoundError:
            continue  # another process has finished it, or set it aside
        except (OSError, ValueError) as error:
            _say(f"check: {error}")
            status = INCOMPLETE
    if done:
        places = "deleted" if delete else f"set aside in {store.root / 'damaged'} and {store.root / 'set_aside'}"
        _print(f"{done:,} entries {places}; run what needs them again")
    return status


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _amount(n_bytes: int) -> str:
    """Write a number of bytes with the unit that fits."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"


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
