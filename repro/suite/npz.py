"""Reads what ``numpy.savez`` wrote of a few small arrays, several times as fast as ``numpy.load`` does.

A table reads such a file for each of its cells, up to 10^5 of them. ``numpy.load`` spends almost all of its time on the
archive's directory and on parsing the arrays' headers, of which there are few different ones.
"""

from __future__ import annotations

import ast
import io
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_npz"]

_END = struct.Struct("<4s4H2LH")
"""The archive's last record: signature, two numbers of disks, two of entries, directory's size and place, comment."""

_ENTRY = struct.Struct("<4s6H3L5H2L")
"""An entry of the directory: signature, versions, flags, method, time, date, CRC, sizes, lengths, ..., place."""

_MAGIC = b"\x93NUMPY\x01\x00"
_STORED = 0


class _Unusual(Exception):
    """The file is not laid out as ``numpy.savez`` does it."""


class _Layout(NamedTuple):
    dtype: np.dtype
    shape: tuple[int, ...]
    size: int


def read_npz(data: bytes) -> dict[str, NDArray]:
    """Read all arrays of an archive, without pickle.

    Parameters
    ----------
    data : bytes
        Contents of a ``.npz`` file. Checksums of its members are not looked at: pass what was verified.

    Returns
    -------
    dict
        Name -> array, which cannot be written to.

    Raises
    ------
    Exception
        Whatever `numpy.load` raises for what it cannot read, and for arrays of objects.
    """
    try:
        return _by_layout(data)
    except (_Unusual, struct.error, ValueError, TypeError, SyntaxError):
        return _by_numpy(data)


def _by_numpy(data: bytes) -> dict[str, NDArray]:
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    for array in found.values():
        array.flags.writeable = False
    return found


class _Arrays(NamedTuple):
    """How arrays lie in a file: at some places it has `heads`, which tell names and layouts; `dtype` has the arrays."""

    places: list[slice]
    heads: list[bytes]
    dtype: np.dtype


_KNOWN: dict[int, _Arrays] = {}
_MOST_LENGTHS = 4096


def _by_layout(data: bytes) -> dict[str, NDArray]:
    """Read the arrays; how a file of this length was laid out before is tried first, and verified."""
    arrays = _KNOWN.get(len(data))
    if arrays is None or [data[place] for place in arrays.places] != arrays.heads:
        arrays = _arrays(data)
        if len(_KNOWN) < _MOST_LENGTHS:
            _KNOWN[len(data)] = arrays
    record = np.frombuffer(data, arrays.dtype).reshape(())
    return {name: record[name] for name in arrays.dtype.names or ()}


def _arrays(data: bytes) -> _Arrays:
    members = list(_directory(data))
    dtype = np.dtype(
        {
            "names": [one.name for one in members],
            "formats": [(one.layout.dtype, one.layout.shape) for one in members],
            "offsets": [one.values for one in members],
            "itemsize": len(data),
        }
    )
    places = [slice(one.begin, one.values) for one in members]
    return _Arrays(places, [data[place] for place in places], dtype)


class _Place(NamedTuple):
    """Where an array lies: from `begin` to `values` its file has its head."""

    name: str
    begin: int
    values: int
    layout: _Layout


def _directory(data: bytes) -> Iterator[_Place]:
    begin = len(data) - _END.size
    if begin < 0:
        raise _Unusual
    signature, disk, first_disk, here, count, _, place, comment = _END.unpack_from(data, begin)
    if signature != b"PK\x05\x06" or disk or first_disk or here != count or comment or place == 0xFFFFFFFF:
        raise _Unusual
    for _ in range(count):
        fields = _ENTRY.unpack_from(data, place)
        signature, method, packed, size = fields[0], fields[4], fields[8], fields[9]
        name_length, extra, remark, offset = fields[10], fields[11], fields[12], fields[16]
        name = data[place + _ENTRY.size : place + _ENTRY.size + name_length]
        if signature != b"PK\x01\x02" or method != _STORED or packed != size or not name.endswith(b".npy"):
            raise _Unusual
        place += _ENTRY.size + name_length + extra + remark
        yield _place(data, name, offset, size)


def _place(data: bytes, name: bytes, offset: int, size: int) -> _Place:
    """Find the array of a member whose local header begins at an offset."""
    name_length, extra = struct.unpack_from("<2H", data, offset + 26)
    start = offset + 30 + name_length + extra
    if data[offset : offset + 4] != b"PK\x03\x04" or data[offset + 30 : offset + 30 + name_length] != name:
        raise _Unusual
    if data[start : start + 8] != _MAGIC:
        raise _Unusual
    values = start + 10 + struct.unpack_from("<H", data, start + 8)[0]
    layout = _layout(data[start + 10 : values])
    if values + layout.size * layout.dtype.itemsize != start + size or start + size > len(data):
        raise _Unusual
    return _Place(name.decode("ascii").removesuffix(".npy"), offset + 26, values, layout)


@lru_cache(maxsize=4096)
def _layout(header: bytes) -> _Layout:
    described = ast.literal_eval(header.decode("latin1"))
    if set(described) != {"descr", "fortran_order", "shape"} or described["fortran_order"]:
        raise _Unusual
    dtype, shape = np.dtype(described["descr"]), described["shape"]
    if dtype.hasobject or not isinstance(described["descr"], str) or not all(type(n) is int and n >= 0 for n in shape):
        raise _Unusual
    return _Layout(dtype, shape, int(np.prod(shape, dtype=np.int64)))
