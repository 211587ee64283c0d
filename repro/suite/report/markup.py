"""HTML in which every text is escaped unless it is said to be markup."""

from __future__ import annotations

import base64
import html
from urllib.parse import quote

__all__ = ["Html", "data_uri", "escape", "join", "tag"]

_VOID = frozenset({"img", "meta"})
_URL_SAFE = "!$'()*+,-./:;=?@_~"
"""Beside letters and digits, what an URL may hold as it is."""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def escape(text: object) -> Html:
    """Return a text as markup that shows it; names of files that are not text show their bytes as escapes."""
    if isinstance(text, Html):
        return text
    return Html(html.escape(str(text).encode("utf-8", "backslashreplace").decode(), quote=True))


def join(*content: object) -> Html:
    """Return contents one after another; None is left out."""
    return Html("".join(escape(part) for part in content if part is not None))


def tag(name: str, /, *content: object, **attributes: str | int | bool | None) -> Html:
    """Return an element.

    Parameters
    ----------
    name : str
    *content : object
        `Html` as it is, None not at all, anything else as escaped text.
    **attributes : str, int, bool or None
        ``class_`` becomes ``class`` and ``data_value`` becomes ``data-value``; None and False are left out.
    """
    written = ""
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        written += f" {key}" if value is True else f' {key}="{escape(value)}"'
    return Html(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{join(*content)}</{name}>")


def data_uri(content: bytes, mime: str) -> str:
    """Return an address that holds the content itself, in the shorter of two encodings."""
    percent = f"data:{mime},{quote(content, safe=_URL_SAFE)}"
    binary = f"data:{mime};base64,{base64.b64encode(content).decode()}"
    return min(percent, binary, key=len)
