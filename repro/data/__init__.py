"""Readers of the datasets: records of videos whatever the layout on disk, and the decoder of their frames."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from repro.data.schema import (
    UNLABELLED,
    DataError,
    Dataset,
    DatasetUnavailable,
    Exclusion,
    VideoRecord,
    simulation,
)
from repro.data.video import VideoError, VideoWarning

__all__ = [
    "READERS",
    "UNLABELLED",
    "DataError",
    "Dataset",
    "DatasetUnavailable",
    "Exclusion",
    "VideoError",
    "VideoRecord",
    "VideoWarning",
    "open_dataset",
]

READERS = {
    "unbc": "repro.data.unbc:open_unbc",
    "biovid": "repro.data.biovid:open_biovid",
    "vggface2": "repro.data.vggface2:open_vggface2",
    "manifest": "repro.data.manifest:open_manifest",
}
"""Name of each layout and where its reader is; a reader is imported when it is used."""


def open_dataset(name: str, root: str | os.PathLike[str], strict: bool = True, **options: Any) -> Dataset:
    """Open a dataset in its own layout.

    Parameters
    ----------
    name : {"unbc", "biovid", "vggface2", "manifest"}
        Which layout is at `root`.
    root : path
        Folder of the dataset; for "manifest" the CSV file.
    strict : bool
        Whether a damaged file is an error, or its video is left out and told in ``excluded``; see `Dataset`.
    **options
        Options of the reader: for "biovid" ``exclude_nonreactive`` and ``openface``, for "vggface2"
        ``splits``.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If there is no such name or option.
    DatasetUnavailable
        If `root` does not hold the dataset; the message says how to get it.
    DataError
        If `strict` and a file is damaged or contradicts another.
    """
    if name not in READERS:
        raise ValueError(f"there is no dataset {name!r}; choose one of {', '.join(READERS)}")
    module, _, function = READERS[name].partition(":")
    reader: Callable[..., Dataset] = getattr(import_module(module), function)
    _check_options(name, reader, options)
    if (simulation(Path(root)) or {}).get("complete") is False:
        raise DatasetUnavailable(
            f"{name}: expected a complete dataset, but the simulation in {root} was interrupted. "
            "Simulate again with the same parameters: what is there is kept."
        )
    return reader(root, strict=strict, **options)


def _check_options(name: str, reader: Callable[..., Dataset], options: dict[str, Any]) -> None:
    from inspect import signature

    known = [option for option in signature(reader).parameters if option not in ("root", "strict")]
    unknown = sorted(set(options).difference(known))
    if unknown:
        has = f"its options are {', '.join(known)}" if known else "it has none"
        raise ValueError(f"{name} has no option {', '.join(unknown)}; {has}")
