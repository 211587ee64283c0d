"""Tables as HTML: those that were emitted, and plain ones of records."""

from __future__ import annotations

from collections.abc import Sequence

from repro.suite.report.markup import Html, escape, join, tag
from repro.suite.report.parsing import EmittedTable, Field

__all__ = ["emitted_table", "plain_table", "scroll_box"]

_MANY_COLUMNS = 7
"""Beyond which intervals stand below their numbers."""

_NOTHING = ("", "–", "N/A")
_VERDICTS = {"holds": "holds", "does not hold": "fails", "supported": "holds", "contradicted": "fails"}
"""Words of tables that are coloured."""


def emitted_table(table: EmittedTable, label: str) -> Html:
    """Return a table that can be sorted, in a box of its own.

    Parameters
    ----------
    table : EmittedTable
    label : str
        Name of the box for those who do not see it.
    """
    names = [_split(text) for text in table.header]
    # What stays in view when the table is scrolled: the first column that has a name.
    key = next((place for place, (label, _) in enumerate(names) if label), 0)
    roles = [f"{kind} key" if place == key else kind for place, kind in enumerate(table.kinds)]
    head = tag("tr", *(_heading(*name, role) for name, role in zip(names, roles, strict=True)))
    groups: list[Html] = []
    for published in (True, False):
        rows = [fields for above, fields in table.rows if above is published]
        if not published and rows and groups:
            note = tag("th", "not in the paper", class_="label", scope="rowgroup")
            rest = tag("td", colspan=len(names) - 1) if len(names) > 1 else None
            groups.append(tag("tbody", tag("tr", note, rest), class_="divider"))
        if rows:
            groups.append(tag("tbody", *(_row(fields, roles, key) for fields in rows), class_="sorted"))
    stacked = "stacked" if len(names) > _MANY_COLUMNS else None
    return scroll_box(tag("table", tag("thead", head), *groups, class_=stacked), label)


def _split(label: str) -> tuple[str, str]:
    """Return the label of a column, and what kind of number stands in it."""
    for suffix, small in ((" [95 % CI]", "95 % CI"), (", paper", "paper")):
        if label.endswith(suffix):
            return label.removesuffix(suffix), small
    return label, ""


def _heading(label: str, small: str, kind: str) -> Html:
    name = join(tag("span", label), tag("small", small) if small else None)
    button = tag("button", name, type="button", title="Sort by this column")
    return tag("th", button, class_=kind, scope="col", aria_sort="none")


def _row(fields: Sequence[Field], roles: Sequence[str], key: int) -> Html:
    cells = []
    for place, (field, role) in enumerate(zip(fields, roles, strict=True)):
        value = None if field.value is None else repr(field.value)
        role += " words" if value is None and field.text not in _NOTHING else ""
        name, scope = ("th", "row") if place == key else ("td", None)
        cells.append(tag(name, _content(field), class_=role, scope=scope, data_value=value))
    return tag("tr", *cells)


def _content(field: Field) -> Html:
    text = tag("strong", field.text) if field.best else escape(field.text)
    if field.text in _VERDICTS:
        text = tag("b", text, class_=_VERDICTS[field.text])
    interval = join(" ", tag("small", field.interval)) if field.interval else None
    lacking = join(" ", tag("small", field.lacking, class_="lacking")) if field.lacking else None
    return join(text, interval, lacking)


def plain_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], label: str, numeric: Sequence[str] = ()
) -> Html:
    """Return a table of what records hold.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequence
        `Html` as it is, None as an empty place, numbers with their thousands apart, anything else as text.
    label : str
        Name of its box.
    numeric : sequence of str
        Columns that are set flush right; one called "Published" has the look of the paper's numbers.
    """
    kinds = ["label key" if place == 0 else "text" for place in range(len(header))]
    for place, name in enumerate(header):
        if name in numeric:
            kinds[place] = "paper" if name == "Published" else "ours"
    head = tag("tr", *(tag("th", name, class_=kind, scope="col") for name, kind in zip(header, kinds, strict=True)))
    body = []
    for row in rows:
        first, *others = (tag("span", _plain(value)) for value in row)
        cells = [tag("td", value, class_=kind) for value, kind in zip(others, kinds[1:], strict=True)]
        body.append(tag("tr", tag("th", first, class_=kinds[0], scope="row"), *cells))
    return scroll_box(tag("table", tag("thead", head), tag("tbody", *body), class_="plain"), label)


def _plain(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
    return value


def scroll_box(content: Html, label: str) -> Html:
    """Return contents that scroll sideways for themselves, with arrow keys, too."""
    return tag("div", content, class_="scroll", role="region", tabindex=0, aria_label=label)
