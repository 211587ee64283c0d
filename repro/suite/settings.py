"""Hyper-parameters from the command line: ``name=value``, checked against the fields of a task's dataclass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from repro.learning.pretext import PretextTask

__all__ = ["configure", "settings_of"]


def configure(task: type[PretextTask], options: Mapping[str, Any], assignments: Sequence[str]) -> PretextTask:
    """Create a task with some of its hyper-parameters changed.

    Parameters
    ----------
    task : type
        A dataclass.
    options : mapping
        Hyper-parameters that differ from the task's defaults, such as a scale's.
    assignments : sequence of str
        ``name=value``, which come after `options`. A field of a field is ``augmentation.flip=false``; the values of a
        tuple are separated by commas, ``augmentation.area=0.5,1``; nothing is ``none``.

    Returns
    -------
    PretextTask

    Raises
    ------
    ValueError
        If there is no such hyper-parameter, a value is not of its type, or the task refuses it.
    """
    values = dict(options)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"{assignment!r} is not NAME=VALUE, such as {next(iter(settings_of(task)), 'name')}=…")
        own = _field(task, path.split(".")[0], path, settings_of(task))
        current = values.get(own.name, _default(own))
        values[own.name] = _changed(current, _types(task)[own.name], path.split(".")[1:], text, path)
    return task(**values)


def settings_of(task: type[PretextTask], options: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return what can be set of a task, as ``name`` or ``field.name``, and the values that hold unless it is set."""
    found: dict[str, str] = {}
    for own in fields(task):  # type: ignore[arg-type]
        value = (options or {}).get(own.name, _default(own))
        if is_dataclass(value):
            found |= {f"{own.name}.{part.name}": _text(getattr(value, part.name)) for part in fields(value)}
        else:
            found[own.name] = _text(value)
    return found


def _field(owner: Any, name: str, path: str, known: Mapping[str, str]) -> Field[Any]:
    for own in fields(owner):
        if own.name == name:
            return own
    raise ValueError(f"there is no hyper-parameter {path!r}; there are {', '.join(known) or 'none'}")


def _default(own: Field[Any]) -> Any:
    if own.default_factory is not MISSING:
        return own.default_factory()
    return None if own.default is MISSING else own.default


def _types(owner: Any) -> dict[str, Any]:
    kind = owner if isinstance(owner, type) else type(owner)
    try:
        return get_type_hints(kind)
    except NameError as error:
        raise ValueError(f"{kind.__module__}: {error}; import the types of {kind.__name__}'s fields in full") from error


def _changed(current: Any, kind: Any, path: Sequence[str], text: str, name: str) -> Any:
    """Return a field's new value: parsed, or itself with one of its own fields changed."""
    if not path:
        if is_dataclass(current):
            parts = ", ".join(f"{name}.{part.name}" for part in fields(current))
            raise ValueError(f"{name} has several values; set them one by one: {parts}")
        return _parsed(text, kind, name)
    if not is_dataclass(current) or isinstance(current, type):
        raise ValueError(f"{name}: {name.rpartition('.')[0]} has no fields of its own")
    known = {f"{name.rpartition('.')[0]}.{part.name}": "" for part in fields(current)}
    own = _field(current, path[0], name, known)
    value = _changed(getattr(current, own.name), _types(current)[own.name], path[1:], text, name)
    return replace(current, **{own.name: value})


def _parsed(text: str, kind: Any, name: str) -> Any:
    """Read a value of a type.

    Raises
    ------
    ValueError
        Naming the hyper-parameter, the text and what is expected.
    """
    try:
        return _read(text, kind)
    except ValueError as error:
        raise ValueError(f"{name}={text}: expected {_name(kind)}") from error


def _read(text: str, kind: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if NoneType in inner and text.lower() == "none":
            return None
        return _first(text, [one for one in inner if one is not NoneType])
    if origin is Literal:
        return inner[[str(value) for value in inner].index(text)]
    if origin is tuple:
        parts = text.split(",")
        each = [inner[0]] * len(parts) if len(inner) == 2 and inner[1] is Ellipsis else inner
        if len(parts) != len(each):
            raise ValueError
        return tuple(_read(part, one) for part, one in zip(parts, each, strict=True))
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind is float and isfinite(float(text)):
        return float(text)
    if kind in (int, str):
        return kind(text)
    raise ValueError


def _first(text: str, kinds: Sequence[Any]) -> Any:
    """Read a value of the first type that takes it."""
    for kind in kinds[:-1]:
        try:
            return _read(text, kind)
        except ValueError:
            continue
    return _read(text, kinds[-1])


def _name(kind: Any) -> str:
    """Describe a type to a reader."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin in (Union, UnionType):
        return " or ".join(_name(one) for one in inner)
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return f"{_name(inner[0])}, separated by commas"
        return f"{len(inner)} values separated by commas: {', '.join(_name(one) for one in inner)}"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", NoneType: "none"}
    return words.get(kind, f"{kind}, which cannot be set from the command line")


def _text(value: Any) -> str:
    """Write a value as it can be given."""
    if isinstance(value, bool | NoneType):
        return str(value).lower()
    return ",".join(map(_text, value)) if isinstance(value, tuple) else str(value)
