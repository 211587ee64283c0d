"""What the JSON beside tables tells: data, settings, and what was computed where, by whom and for how long."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from repro.suite.report.markup import Html, join, tag
from repro.suite.report.tables import plain_table
from repro.suite.spec import DATASET_LABELS

__all__ = ["accounting", "checks", "costs", "environment", "holding"]

Records = Mapping[str, Mapping[str, Any]]
"""JSON of each experiment, by the name that readers see."""

_MOST_ROWS = 500
"""Of a ledger; the JSON has all."""


def holding(record: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many checks hold, of how many."""
    verdicts = [check.get("holds") is True for check in _mappings(record.get("checks"))]
    return sum(verdicts), len(verdicts)


def checks(record: Mapping[str, Any]) -> Html | None:
    """Return the checks of a table, as they were judged."""
    lines = []
    for check in _mappings(record.get("checks")):
        holds = check.get("holds") is True
        verdict = tag("b", "holds" if holds else "does not hold", class_="holds" if holds else "fails")
        numbers = f"{_short(check.get('value'))} [{_short(check.get('ci_low'))}, {_short(check.get('ci_high'))}]"
        place = ", ".join(str(check[key]) for key in ("row", "column") if check.get(key))
        lines.append(tag("li", verdict, " ", str(check.get("check", "")), " ", tag("small", f"{place}: {numbers}")))
    if not lines:
        return None
    held, total = holding(record)
    name = f"Checks: {held} of {total} hold"
    return tag("details", tag("summary", name), tag("ul", *lines, class_="checks"), open=held < total or total <= 6)


def costs(record: Mapping[str, Any], label: str) -> Html | None:
    """Return what a cell of each row took."""
    rows = []
    for row, inputs in _mapping(_mapping(record.get("cost")).get("cells")).items():
        for kind, cost in _mapping(inputs).items():
            taken = _mapping(cost)
            rows.append([row, kind, taken.get("seconds"), taken.get("peak_mib")])
    if not rows:
        return None
    header = ["Row", "Input", "Seconds a cell", "Peak memory (MiB)"]
    table = plain_table(header, rows, f"{label}: cost of a cell", header[2:])
    return tag("details", tag("summary", "Cost of a cell on one core"), table)


def accounting(records: Records) -> Html:
    """Return what the datasets hold, beside the published counts, and the ledger of what was left out."""
    published, coverage = [], []
    used: dict[tuple[str, ...], dict[str, Any]] = {}
    ledger: dict[tuple[str, ...], None] = {}
    for name, record in records.items():
        for key, info in _mapping(record.get("data")).items():
            dataset, info = _dataset(key), _mapping(info)
            counted = _counted(dataset, info)
            published += [] if counted is None else [counted]
            coverage += [
                [dataset, *(cover.get(key) for key in ("what", "found", "total", "unit"))]
                for cover in _mappings(info.get("coverage"))
            ]
            if "frames" in info:
                _add_use(used, name, dataset, info)
            for kind in ("excluded", "notes"):
                for row in info.get(kind) or []:
                    what = [str(cell) for cell in row] if isinstance(row, list) else [str(row)]
                    ledger[(dataset, *(what + ["", "", ""])[:3])] = None
    return join(
        *published,
        _coverage(coverage),
        _uses(used),
        _ledger([list(row) for row in ledger]),
    )


def _dataset(key: str) -> str:
    """Return the name of a dataset as readers see it, with how its simulation was changed."""
    name, _, changes = key.partition(" ")
    return f"{DATASET_LABELS.get(name, name)} {changes}".rstrip()


def _counted(dataset: str, info: Mapping[str, Any]) -> Html | None:
    """Return the counts of a dataset, as Table 1's JSON has them."""
    quantities = _mapping(info.get("quantities"))
    if not quantities:
        return None
    comparisons = _mappings(info.get("published"))
    totals = {
        str(row.get("quantity")): row for row in comparisons if row.get("level") is None and not row.get("subject")
    }
    rows = [
        [name, found, _of(totals, name, "published"), _of(totals, name, "source")] for name, found in quantities.items()
    ]
    levels = {str(row["level"]): row for row in comparisons if row.get("level") is not None and not row.get("subject")}
    histogram = [
        [f"level {level}", found, _of(levels, level, "published"), _of(levels, level, "source")]
        for level, found in _mapping(info.get("histogram")).items()
    ]
    header = ["Quantity", "Found", "Published", "Source of the published count"]
    subjects = [
        [subject, *(counts if isinstance(counts, list) else [counts, None])][:3]
        for subject, counts in _mapping(info.get("subjects")).items()
    ]
    real = "The published counts are the real dataset's and are not expected of simulated data."
    return join(
        tag("h4", f"{dataset}: counts"),
        tag("p", real, class_="remark") if info.get("simulated") else None,
        plain_table(header, rows, f"{dataset}: counts", header[1:3]),
        tag(
            "details",
            tag("summary", f"Levels of {dataset}"),
            plain_table(header, histogram, f"{dataset}: levels", header[1:3]),
        ),
        tag(
            "details",
            tag("summary", f"Subjects of {dataset}"),
            plain_table(["Subject", "Videos", "Frames"], subjects, f"{dataset}: subjects", ["Videos", "Frames"]),
        ),
    )


def _of(rows: Mapping[str, Mapping[str, Any]], name: str, key: str) -> Any:
    return rows[name].get(key) if name in rows else None


def _coverage(rows: Sequence[Sequence[Any]]) -> Html | None:
    if not rows:
        return None
    header = ["Dataset", "What", "Found", "Of", "Unit"]
    return join(tag("h4", "Coverage"), plain_table(header, rows, "Coverage", ["Found", "Of"]))


def _add_use(used: dict[tuple[str, ...], dict[str, Any]], name: str, dataset: str, info: Mapping[str, Any]) -> None:
    """Note that an experiment used a dataset, once for all that used the same."""
    counts = [info.get(key) for key in ("subjects", "videos", "frames", "labelled_clips")]
    key = (dataset, str(info.get("fingerprint")), *map(str, counts))
    use = used.setdefault(key, {"by": [], "counts": counts, "clips": {}})
    use["by"].append(name)
    for kind in ("unlabelled_clips", "faces"):
        use["clips"].update({f"{what}: {_count(count)}": None for what, count in _mapping(info.get(kind)).items()})


def _uses(used: Mapping[tuple[str, ...], Mapping[str, Any]]) -> Html | None:
    if not used:
        return None
    header = [
        "Dataset",
        "Subjects",
        "Videos",
        "Frames",
        "Labelled clips",
        "Unlabelled clips, faces",
        "Used by",
        "Fingerprint",
    ]
    rows = [
        [
            key[0],
            *use["counts"],
            "; ".join(use["clips"]),
            ", ".join(use["by"]),
            tag("code", key[1][:12], title=key[1]),
        ]
        for key, use in used.items()
    ]
    return join(tag("h4", "What experiments used"), plain_table(header, rows, "What experiments used", header[1:5]))


def _ledger(rows: Sequence[Sequence[str]]) -> Html:
    heading = tag("h4", "Ledger of exclusions and notes")
    if not rows:
        return join(heading, tag("p", "Nothing was left out."))
    table = plain_table(["Dataset", "What", "File", "Reason"], rows[:_MOST_ROWS], "Ledger of exclusions and notes")
    more = f"{len(rows) - _MOST_ROWS:,} more rows are in the JSON files." if len(rows) > _MOST_ROWS else None
    return join(heading, table, tag("p", more) if more else None)


def environment(records: Records) -> Html:
    """Return where the numbers come from: commit, machine, options and seconds of each table; versions and settings."""
    spent = {name: _mapping(record.get("seconds")) for name, record in records.items()}
    kinds = list(dict.fromkeys(kind for seconds in spent.values() for kind in seconds))
    header = ["Experiment", "Commit", "Suite", "Machine", "Command", *(f"Seconds: {kind}" for kind in kinds)]
    rows = [
        [
            name,
            commit(record),
            record.get("suite"),
            _words(_mapping(record.get("hardware"))),
            _words(_mapping(record.get("command"))),
            *(spent[name].get(kind) for kind in kinds),
        ]
        for name, record in records.items()
    ]
    return join(
        plain_table(header, rows, "Where numbers come from", header[5:]),
        tag("h4", "Versions"),
        _versions(records),
        tag("h4", "Settings and decisions"),
        *_settings(records),
    )


def commit(record: Mapping[str, Any]) -> Html | None:
    """Return a commit's abbreviation, and whether the code was changed from it."""
    known = _mapping(record.get("commit"))
    if not known.get("hash"):
        return None
    full = str(known["hash"])
    return join(tag("code", full[:10], title=full), " with changes" if known.get("dirty") else None)


def _versions(records: Records) -> Html:
    """Return a column for each set of versions that differs."""
    sets: dict[str, list[str]] = {}
    for name, record in records.items():
        if versions := _mapping(record.get("versions")):
            sets.setdefault(json.dumps(versions, sort_keys=True, default=str), []).append(name)
    known = [json.loads(text) for text in sets]
    packages = list(dict.fromkeys(package for versions in known for package in sorted(versions)))
    header = ["Package", *("all experiments" if len(sets) == 1 else ", ".join(names) for names in sets.values())]
    return plain_table(header, [[p, *(versions.get(p) for versions in known)] for p in packages], "Versions")


def _settings(records: Records) -> Iterator[Html]:
    """Yield each set of settings once, with the experiments that it is of."""
    sets: dict[str, list[str]] = {}
    shown = ("scale", "decisions")
    for name, record in records.items():
        if settings := {key: record[key] for key in shown if record.get(key)}:
            flat = settings if "decisions" in settings else settings["scale"]
            sets.setdefault(json.dumps(flat, sort_keys=True, default=str), []).append(name)
    for text, names in sets.items():
        label = f"Settings of {', '.join(names)}"
        rows = [[tag("code", key), tag("code", value)] for key, value in _flat(json.loads(text))]
        yield tag("details", tag("summary", label), plain_table(["Setting", "Value"], rows, label))


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested settings with their paths."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_count(value)}" for key, value in values.items())


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else "–"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
