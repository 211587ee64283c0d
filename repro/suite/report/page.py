"""The page: parts for each kind of data, a section for each experiment, and what they rest on."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files

from repro.suite.report import records
from repro.suite.report.emitted import Emission, Part, missing
from repro.suite.report.markup import Html, data_uri, escape, join, tag
from repro.suite.report.parsing import EmittedTable
from repro.suite.report.tables import emitted_table, plain_table, scroll_box

__all__ = ["to_html"]

_TITLE = "Statistical Spatiotemporal Distillation for pain intensity estimation"
_DATA_LABELS = {"simulated": "Simulated data", "licensed": "Licensed data"}
_DATA_NOTES = {
    "simulated": "Every number and figure in this part comes from simulated faces. Values are not comparable with the "
    "paper's; orderings are, as far as the intervals allow.",
    "licensed": "Every number and figure in this part comes from the licensed datasets.",
}
_HOW_TO_READ = (
    "Numbers of this suite stand beside those of the paper, which are set in italics and colour. The best published "
    "row of a column is bold. Small type is a 95 % interval. Rows below the line are not in the paper and are sorted "
    "by themselves. Click on a column's name to sort by it, with all digits of the CSV; a third click brings the order "
    "back."
)


def to_html(parts: Sequence[Part]) -> bytes:
    """Return the page, which loads nothing and is the same for the same files.

    Parameters
    ----------
    parts : sequence of Part
        At least one.
    """
    style, script = (files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"Reproduction report: {_TITLE}"),
        tag("style", Html(style)),
        tag("script", Html(script)),
    )
    main = tag("main", _header(parts), *(_part(part) for part in parts), _others(parts), id="top")
    skip = tag("a", "Skip to the report", href="#top", class_="skip")
    body = tag("body", skip, _navigation(parts), main)
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n".encode()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _names(name: str, title: str) -> tuple[str, str]:
    """Return what an experiment is called, such as "Table 4", and the rest of its title."""
    short = re.sub(r"(?<=[a-z])(?=\d)", " ", name).replace("_", " ").capitalize()
    return short, title.removeprefix(f"{short}.").strip()


def _full(short: str, title: str) -> str:
    """Return a numbered experiment's number and title, or the title of another."""
    return f"{short}. {title}" if title and short[-1].isdigit() else title or short


def _badge(data: str) -> Html:
    return tag("span", _DATA_LABELS[data], class_=f"badge {data}")


def _navigation(parts: Sequence[Part]) -> Html:
    lists = []
    for part in parts:
        items = []
        for name, emission in part.emissions.items():
            short, title = _names(name, part.titles[name])
            about = (title if short[-1].isdigit() else "") if emission else "not emitted"
            text = join(tag("b", short), " ", tag("span", about) if about else None)
            link = tag("a", text, href=f"#{part.data}-{name}", class_=None if emission else "missing")
            items.append(tag("li", link))
        items += [
            tag("li", tag("a", tag("b", title), href=f"#{part.data}-{anchor}"))
            for anchor, title in (("accounting", "Data accounting"), ("environment", "Environment"))
        ]
        heading = tag("a", _DATA_LABELS[part.data], href=f"#{part.data}", class_=f"part {part.data}")
        lists.append(join(heading, tag("ul", *items)))
    menu = tag("button", "Contents", type="button", id="menu", aria_expanded="false", aria_controls="contents")
    theme = tag("button", "Dark", type="button", id="theme", aria_pressed="false")
    bar = tag("div", tag("a", "Reproduction report", href="#top", class_="home"), menu, theme, class_="bar")
    return tag("nav", bar, tag("div", *lists, id="contents"), aria_label="Contents")


def _header(parts: Sequence[Part]) -> Html:
    banners = [tag("p", _badge(part.data), " ", _DATA_NOTES[part.data], class_=f"banner {part.data}") for part in parts]
    lacking = missing(parts)
    if lacking:
        command = tag("code", "python -m repro.NAME")
        listed = join(*(join(", " if place else None, tag("code", name)) for place, name in enumerate(lacking)))
        lack = tag(
            "p",
            tag("b", "Not emitted: "),
            listed,
            ". Run ",
            command,
            " for each, with the options of the others.",
            class_="fault",
        )
    else:
        lack = tag("p", "Every experiment was emitted.")
    return tag(
        "header",
        tag("p", "Reproduction report", class_="kicker"),
        tag("h1", _TITLE),
        *banners,
        lack,
        _overview(parts),
        tag("p", _HOW_TO_READ, class_="reading"),
    )


def _overview(parts: Sequence[Part]) -> Html:
    """Return a row for each experiment, with what was emitted on each kind of data."""
    header = ["Experiment", "Title", *(_DATA_LABELS[part.data] for part in parts)]
    rows = []
    for name in parts[0].emissions:
        short, title = _names(name, parts[0].titles[name])
        rows.append([short, title, *(_status(name, part) for part in parts)])
    return plain_table(header, rows, "Overview of experiments")


def _status(name: str, part: Part) -> Html:
    emission = part.emissions[name]
    if emission is None:
        return tag("span", "not emitted", class_="absent")
    held, total = records.holding(emission.record)
    words = []
    if emission.faults:
        words.append(tag("b", "see there", class_="fails"))
    if total:
        words.append(tag("b", f"{held} of {total} checks hold", class_="holds" if held == total else "fails"))
    if not words:
        words.append(tag("span", "emitted"))
    listed = (join(", " if place else None, word) for place, word in enumerate(words))
    return tag("a", *listed, href=f"#{part.data}-{name}")


def _part(part: Part) -> Html:
    emitted = {name: emission for name, emission in part.emissions.items() if emission is not None}
    known = {_names(name, "")[0]: emission.record for name, emission in emitted.items() if emission.record}
    count = f"{len(emitted)} of {len(part.emissions)} experiments were emitted on {_DATA_LABELS[part.data].lower()}."
    return tag(
        "div",
        tag("h2", _DATA_LABELS[part.data], id=part.data),
        tag("p", count, class_="count"),
        *(_section(name, part) for name in part.emissions),
        _closing(part.data, "accounting", "Data accounting", records.accounting(known)),
        _closing(part.data, "environment", "Environment", records.environment(known)),
        class_=f"data {part.data}",
    )


def _closing(data: str, anchor: str, title: str, content: Html) -> Html:
    heading = tag("h3", title, " ", _badge(data))
    return tag("section", heading, content, id=f"{data}-{anchor}")


def _section(name: str, part: Part) -> Html:
    emission, data, anchor = part.emissions[name], part.data, f"{part.data}-{name}"
    short, title = _names(name, part.titles[name])
    heading = tag("h3", tag("a", _full(short, title), href=f"#{anchor}", class_="anchor"))
    if emission is None:
        text = tag("p", "Not emitted. Run ", tag("code", f"python -m repro.{name}"), ".", class_="fault")
        return tag("section", heading, text, id=anchor, class_="missing")
    faults = [tag("p", tag("b", "Attention: "), fault, class_="fault") for fault in emission.faults]
    table = emission.table
    return tag(
        "section",
        heading,
        tag("p", _badge(data), _facts(emission), class_="facts"),
        *faults,
        emitted_table(table, f"{short}, {_DATA_LABELS[data].lower()}") if table else None,
        tag("ul", *(tag("li", note) for note in table.notes), class_="notes") if table and table.notes else None,
        _lists(table) if table else None,
        _downloads(emission),
        _figure(emission, data, short, title),
        records.checks(emission.record),
        records.costs(emission.record, short),
        id=anchor,
    )


def _facts(emission: Emission) -> Html | None:
    """Return scale and commit in one line."""
    command = emission.record.get("command", {})
    words = [f"scale {command['scale']}"] if "scale" in command else []
    known = records.commit(emission.record)
    return join(*(tag("span", word) for word in words), tag("span", "commit ", known) if known else None)


def _lists(table: EmittedTable) -> Html | None:
    """Return what a table tells below its notes, such as what each verdict rests on."""
    if not table.lists:
        return None
    content = (
        join(tag("p", heading), tag("ul", *(tag("li", item) for item in items))) for heading, items in table.lists
    )
    return tag("details", tag("summary", "In detail"), tag("div", *content, class_="lists"))


def _downloads(emission: Emission) -> Html | None:
    offered = (
        ("CSV", f"{emission.name}.csv", emission.csv, "text/csv;charset=utf-8"),
        ("LaTeX", f"{emission.name}.tex", emission.latex, "application/x-tex;charset=utf-8"),
        ("CSV of the figure", f"{emission.name}_figure.csv", emission.figure_csv, "text/csv;charset=utf-8"),
    )
    links = [
        tag("a", text, href=data_uri(content, mime), download=file)
        for text, file, content, mime in offered
        if content is not None
    ]
    return tag("p", *links, class_="downloads") if links else None


def _figure(emission: Emission, data: str, short: str, title: str) -> Html | None:
    if emission.figure is None:
        return None
    shown = emission.figure
    numbers = "its numbers are in the table above" if emission.table else "see its caption"
    image = tag(
        "img",
        src=data_uri(shown.content, "image/webp"),
        width=shown.width,
        height=shown.height,
        alt=f"Figure: {_full(short, title)}; {numbers}",
    )
    caption = tag("figcaption", _badge(data), " ", _full(short, title))
    return tag("figure", scroll_box(tag("div", image, class_="plot"), f"Figure of {short}"), caption)


def _others(parts: Sequence[Part]) -> Html | None:
    """Name the files that are not of an experiment."""
    names: Mapping[str, None] = dict.fromkeys(name for part in parts for name in part.others)
    if not names:
        return None
    items = (tag("li", tag("code", escape(name))) for name in names)
    summary = tag("summary", f"{len(names)} files of other names are not shown")
    return tag("section", tag("details", summary, tag("ul", *items)), class_="others")
