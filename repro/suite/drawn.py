"""Writes the files of a figure; those that are there stay, if the same code drew them from the same data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from repro.files import write_atomically
from repro.suite.provenance import hash_of_code
from repro.suite.render import STYLE, SUFFIXES, render

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["digest_of", "write_figure"]

_PACKAGES = ("repro", "baselines")
_DRAWING = ("matplotlib", "numpy", "pandas", "pillow", "fonttools")
"""Libraries whose versions may change the bytes of a figure."""


def write_figure(plot: Callable[[Any], Figure], shown: Any, frame: pd.DataFrame, folder: Path, name: str) -> list[Path]:
    """Draw a figure and write it, or leave the files that are there.

    They are left only if the record beside them, ``<name>.json``, says that this version of the code and of the
    libraries drew them from the same data, and if each holds what was written then. A plot from outside the suite,
    of whose code nothing is known, is drawn each time.

    Parameters
    ----------
    plot : callable
        From `shown` to the figure.
    shown : object
        All that the plot depends on; see `digest_of`.
    frame : DataFrame
        The numbers behind it, written as CSV.
    folder : path
    name : str
        Of the files, without suffix.

    Returns
    -------
    list of Path
        PDF, PNG, CSV and the record.

    Raises
    ------
    CannotWrite
        If a file cannot be written; the others are as they were, or new.
    """
    paths = {suffix: folder / f"{name}{suffix}" for suffix in SUFFIXES}
    record = folder / f"{name}.json"
    source = _source(plot, shown, frame)
    if source is None or not _is_drawn(source, paths, record):
        files = render(plot, shown, frame)
        for suffix, content in files.items():
            write_atomically(paths[suffix], content)
        written = {path.name: _sha256(files[suffix]) for suffix, path in paths.items()}
        text = json.dumps({"drawn_from": source, "files": written}, indent=1, sort_keys=True) + "\n"
        write_atomically(record, text.encode())
    return [*paths.values(), record]


def _source(plot: Callable[[Any], Figure], shown: Any, frame: pd.DataFrame) -> str | None:
    """Return the hash of all that decides what the files hold; None where that is not known."""
    module, name = (getattr(plot, part, "") for part in ("__module__", "__qualname__"))
    if module.partition(".")[0] not in _PACKAGES or not name or "<" in name:
        return None
    libraries = {library: version(library) for library in _DRAWING}
    return digest_of([hash_of_code(), STYLE.read_bytes(), libraries, f"{module}.{name}", shown, frame])


def _is_drawn(source: str, paths: Mapping[str, Path], record: Path) -> bool:
    """Whether the files that are there were drawn from this, and are whole."""
    try:
        found = json.loads(record.read_bytes())
        hashes = {path.name: _sha256(path.read_bytes()) for path in paths.values()}
    except (OSError, ValueError):
        return False
    return bool(found == {"drawn_from": source, "files": hashes})


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digest_of(value: Any) -> str:
    """Hash data of any shape.

    Parameters
    ----------
    value : object
        Built of dataclasses, mappings, sequences, tensors, arrays, data frames, texts, bytes, numbers and None.

    Returns
    -------
    str
        SHA-256 in hexadecimal; others for values of other types, such as 1 and 1.0.

    Raises
    ------
    TypeError
        If there is anything else in it.
    """
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    """Add a value, preceded by its kind and size, so that no two values add the same."""
    import pandas as pd

    def add(kind: str, content: bytes) -> None:
        digest.update(f"{kind} {len(content)}\n".encode() + content)

    if value is None or isinstance(value, str | bool | int | float):
        add(type(value).__name__, repr(value).encode())
    elif isinstance(value, bytes):
        add("bytes", value)
    elif isinstance(value, Tensor):
        _feed(digest, value.detach().cpu().numpy())
    elif isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        add(f"array {value.dtype} {value.shape}", np.ascontiguousarray(value).tobytes())
    elif isinstance(value, pd.DataFrame):
        add(f"frame {list(value.dtypes.astype(str).items())}", value.to_csv(index=False).encode())
    elif is_dataclass(value) and not isinstance(value, type):
        add("dataclass", type(value).__qualname__.encode())
        _feed(digest, [getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, Mapping):
        add("mapping", b"")
        _feed(digest, [item for pair in value.items() for item in pair])
    elif isinstance(value, Sequence):
        add(f"sequence {len(value)}", b"")
        for item in value:
            _feed(digest, item)
    else:
        raise TypeError(f"{type(value).__qualname__} cannot be hashed: give data that it is made of")
