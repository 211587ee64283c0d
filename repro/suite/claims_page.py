"""The page of claims: a table of verdicts, and a list of all comparisons below it; as Markdown, LaTeX and a figure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.files import write_atomically
from repro.suite.claims import LOG2, Claims
from repro.suite.display import METRICS
from repro.suite.drawn import write_figure
from repro.suite.figures import claims_plot
from repro.suite.sheet import Number, Sheet, macro_name, to_latex, to_markdown
from repro.suite.spec import Scale
from repro.suite.verdicts import ALPHA, CONTRADICTED, INCOMPLETE, NOT_APPLICABLE, SUPPORTED, Finding, Judged

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["lay_out", "macros", "markdown", "write"]

_SIMULATED = (
    "SIMULATED data: a verdict says what holds on this data, at this scale; whether the paper's sentence holds, "
    "licensed data must tell."
)


def lay_out(claims: Claims, judged: Sequence[Judged], scale: Scale, data: str) -> Sheet:
    """Lay out the verdicts, one row a claim.

    Parameters
    ----------
    claims : Claims
    judged : sequence of Judged
    scale : Scale
    data : {"simulated", "licensed"}
    """
    rows = [
        (
            True,
            (
                one.claim.sentence,
                one.claim.source,
                _summary(one.findings, [math.nan if f.paper is None else f.paper for f in one.findings]),
                _summary(one.made, [finding.difference for finding in one.made]),
                _counts(one),
                Number(macro_name(claims.name, one.claim.name, "verdict"), one.verdict),
            ),
        )
        for one in judged
    ]
    header = ("The paper's claim", "Where", "Differences, paper", "Differences here", "As claimed", "Our verdict")
    notes = tuple(_notes(judged, scale, data))
    return Sheet(claims.name, claims.title, claims.caption, header, "p{6cm}lp{3cm}p{3cm}rl", tuple(rows), notes)


def markdown(sheet: Sheet, judged: Sequence[Judged]) -> str:
    """Return the table of verdicts, and below it each comparison, under its claim."""
    return to_markdown(sheet) + "\n" + "\n".join(_comparisons(judged)) + "\n"


def macros(claims: Claims, judged: Sequence[Judged]) -> str:
    r"""Return a ``\newcommand`` for the difference that was found by each comparison."""
    lines = []
    for finding in (finding for one in judged for finding in one.findings):
        name = macro_name(claims.name, finding.claim.name, finding.comparison.label)
        value = _amount(finding, finding.difference).replace("-", "$-$").replace("×", r"$\times$").replace("–", "--")
        lines.append(rf"\newcommand{{\{name}}}{{{value}}}")
    return "\n".join(["% differences found by the comparisons", *lines, ""])


def write(
    claims: Claims,
    judged: Sequence[Judged],
    frame: pd.DataFrame,
    scale: Scale,
    out: Path,
    data: str,
    provenance: Mapping[str, Any],
) -> list[Path]:
    """Write ``claims.csv``, ``.md``, ``.tex`` and ``.json``, and the figure.

    Parameters
    ----------
    claims : Claims
    judged : sequence of Judged
    frame : DataFrame
        As returned by `repro.suite.verdicts.to_frame`.
    scale : Scale
    out : path
        ``tables/<data>/`` and ``figures/<data>/`` are made below it.
    data : {"simulated", "licensed"}
    provenance : mapping
        Written as JSON.

    Returns
    -------
    list of Path
        The files, in the order written.
    """
    sheet = lay_out(claims, judged, scale, data)
    folder = out / "tables" / data
    files = {
        folder / f"{claims.name}.csv": frame.to_csv(index=False, lineterminator="\n").encode(),
        folder / f"{claims.name}.md": markdown(sheet, judged).encode(),
        folder / f"{claims.name}.tex": (macros(claims, judged) + to_latex(sheet)).encode(),
        folder / f"{claims.name}.json": (json.dumps(provenance, indent=1, sort_keys=True) + "\n").encode(),
    }
    for path, content in files.items():
        write_atomically(path, content)
    written = list(files)
    # A ratio of times has no place beside differences of a metric; the figure of their own table has it.
    drawn = frame[frame.difference.notna() & frame.metric.isin(METRICS)].rename(columns={"difference": "value"})
    if len(drawn):
        drawn = drawn.reset_index(drop=True)
        return written + write_figure(claims_plot, drawn, drawn, out / "figures" / data, claims.name)
    return written


def _amount(finding: Finding, value: float) -> str:
    """Return a difference for readers: signed, a ratio, or, beside a bound, the number itself; a dash for none."""
    if math.isnan(value):
        return "–"
    if finding.metric.startswith(LOG2):
        return f"×{2**value:.2f}"
    bound = finding.comparison.bound
    return f"{value + bound:{'' if bound else '+'}.{METRICS[finding.metric].decimals_for(value)}f}"


def _unit(finding: Finding) -> str:
    """Return what an amount is counted in, where its metric does not tell: points are differences of percentages."""
    if finding.metric not in METRICS or "%" not in METRICS[finding.metric].label:
        return ""
    return " %" if finding.comparison.bound else " points"


def _summary(findings: Sequence[Finding], values: Sequence[float]) -> str:
    """Return the range of differences, metric by metric."""
    parts = []
    metrics = list(dict.fromkeys(finding.metric for finding in findings))
    for metric in metrics:
        own = sorted(
            ((value, finding) for value, finding in zip(values, findings, strict=True)
             if finding.metric == metric and not math.isnan(value)),
            key=lambda pair: pair[0],
        )  # fmt: skip
        if not own:
            continue
        ends = dict.fromkeys(_amount(finding, value) for value, finding in (own[0], own[-1]))
        label = f" {METRICS[metric.removeprefix(LOG2)].label}" if len(metrics) > 1 else ""
        parts.append(" to ".join(ends) + _unit(own[0][1]) + label)
    return ", ".join(parts) or "–"


def _counts(one: Judged) -> str:
    return f"{one.n_as_claimed} of {len(one.made)}, {len(one.of(SUPPORTED))} surely"


def _comparisons(judged: Sequence[Judged]) -> Iterator[str]:
    for one in judged:
        yield f"**{one.claim.sentence}: {one.verdict}{_probability(one)}**"
        yield ""
        for finding in one.findings:
            yield f"- {finding.comparison.label}: {_told(finding)}"
        yield ""


def _probability(one: Judged) -> str:
    """Return a claim's p-value in words; nothing for one that rests on no test."""
    return "" if math.isnan(one.p) else f" (p = {one.p:.2g}, {one.p_holm:.2g} after Holm)"


def _told(finding: Finding) -> str:
    """Return one comparison in words."""
    paper = "no number in the paper" if finding.paper is None else f"paper {_amount(finding, finding.paper)}"
    if not finding.made:
        return f"{finding.verdict} ({paper})"
    low, high = (_amount(finding, end) for end in (finding.ci_low, finding.ci_high))
    parts = [f"{_amount(finding, finding.difference)} [{low}, {high}]{_unit(finding)} ({paper})"]
    if not math.isnan(finding.p):
        within = f", {finding.p_within:.2g} within the claim" if finding.way < 0 else ""
        parts.append(f"p = {finding.p:.2g}{within}")
    elif finding.sign:
        parts.append("too few for a test")
    else:
        parts.append(f"margin {finding.comparison.margin:g}{_unit(finding)}")
    undefined = f" and {finding.n_undefined} undefined" if finding.n_undefined else ""
    return f"{', '.join(parts)}, n = {finding.n_subjects}{undefined}: {finding.verdict}"


def _notes(judged: Sequence[Judged], scale: Scale, data: str) -> Iterator[str]:
    """Sentences below the table: how is judged, and what stands in the way."""
    findings = [finding for one in judged for finding in one.findings]
    if data == "simulated":
        yield _SIMULATED
    yield "The paper gives neither an interval nor a test for any of its numbers."
    yield from _rules(judged)
    yield from _limits(judged)
    for one in judged:
        if against := one.of(CONTRADICTED):
            yield f"Contradicted, {one.claim.sentence}: {'; '.join(f.comparison.label for f in against)}."
    if absent := [f"{f.claim.source}, {f.comparison.label}" for f in findings if f.verdict == NOT_APPLICABLE]:
        yield f"Not applicable on this data: {'; '.join(absent)}."
    if missing := sum(finding.verdict == INCOMPLETE for finding in findings):
        yield f"INCOMPLETE: {missing} of {len(findings)} comparisons lack cells; their claims count with p = 1."
    yield f"Scale '{scale.name}': {scale.note}."


def _rules(judged: Sequence[Judged]) -> Iterator[str]:
    yield (
        "Differences are means of those within subjects, with 95 % intervals by bootstrap and p-values of Wilcoxon's "
        "signed-rank test; of times, which are of this machine, ratios within videos, or means over repetitions, with "
        "p-values of Student's test."
    )
    if tested := _tested(judged):
        level = f"{tested[0].level:.2g}"
        yield (
            f"Supported: all comparisons go as claimed, and the largest of their p-values is below {level}. "
            "Contradicted: one or more go the other way with a p-value, corrected for the number of the claim's "
            f"comparisons (Holm), below {level}. Not decided: all else. This level is Holm's for the {len(tested)} "
            f"claims that rest on tests: that any of their verdicts is wrong has a probability of {100 * ALPHA:g} % at "
            "most. Comparisons that are supported at this level are counted as sure."
        )
    if any(finding.sign == 0 for one in judged for finding in one.findings):
        yield (
            "Numbers said to be alike are not tested: the interval of their difference has to lie within a margin, and "
            "to have a width, which it has not where both networks give every clip the same answer."
        )


def _tested(judged: Sequence[Judged]) -> list[Judged]:
    """Return the claims that rest on tests."""
    return [one for one in judged if not math.isnan(one.p)]


def _least(finding: Finding) -> float:
    """Return the smallest p-value that a test of so many subjects can have."""
    if math.isnan(finding.p):
        return 1.0
    return 2.0 ** (1 - finding.n_subjects) if finding.comparison.test == "wilcoxon" else 0.0


def _limits(judged: Sequence[Judged]) -> Iterator[str]:
    """Say what this data cannot decide, however the differences are."""
    tested = _tested(judged)
    least = [[_least(f) for f in one.findings if f.tested] for one in tested if not one.of(INCOMPLETE)]
    first = ALPHA / max(len(tested), 1)
    unsupported = sum(max(own) >= first for own in least)
    uncontradicted = sum(len(own) * min(own) >= first for own in least)
    if unsupported or uncontradicted:
        yield (
            f"Even unanimous subjects are too few, in the first of Holm's steps, to support {unsupported} of "
            f"{len(tested)} claims, and for any one comparison to contradict {uncontradicted}."
        )
    findings = [finding for one in judged for finding in one.findings]
    if undefined := max((finding.n_undefined for finding in findings), default=0):
        yield (
            f"Up to {undefined} subjects of a comparison have no defined value, such as one without any pain, and are "
            "left out of it; the CSV counts them."
        )
