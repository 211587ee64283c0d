"""``python -m repro report``: a page of what was emitted, whole, escaped, sound, and working in a browser."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from repro import report
from repro.suite.report.images import picture
from repro.suite.report.markup import data_uri, escape, tag
from repro.suite.report.parsing import UnreadableTable, parse_table, read_rows
from repro.suite.sheet import Number, Sheet, macro_name, write_sheet
from repro.suite.tabulate import COLUMNS

BADGE = (0xF2, 0xB8, 0x4B)
EVIL = "<script>alert(1)</script>"
VALUES = {"first | bar": 70.04, "second & more": 70.01, "third": 9.5, "fourth": None, "no pretext": 120.25}
"""Two that are shown alike, one that sorts otherwise as a text, one that is not there, one that is not in the paper."""


def emit_table(out, name="table4", kind="simulated", values=VALUES, wide=0, **record):
    """Write the files of a table as tables write them, and return their folder."""
    rows, numbers = [], []
    columns = ["AUC", *(f"column {number}" for number in range(wide))]
    for label, value in values.items():
        published, cells = label != "no pretext", [label, "words"]
        for column in columns:
            shown = "–" if value is None else f"{value:,.1f}"
            interval = "" if value is None else f"[{value - 1:.1f}, {value + 1:.1f}]"
            cells.append(Number(macro_name(name, label, column), shown, interval, best=label == "second & more"))
            cells.append("65.5" if published else "")
            paper = 65.5 if published else None
            for aggregate in ("subject_mean", "pooled"):
                known = {"value": value if aggregate == "subject_mean" else 1.0, "paper": paper, "data": kind}
                place = {"experiment": name, "row": label, "column": column, "aggregate": aggregate}
                numbers.append({**place, **known, "cells_done": 3, "cells_total": 3})
        rows.append((published, tuple(cells)))
    header = ("Method", "Kind", *(f"{c}{end}" for c in columns for end in (" [95 % CI]", ", paper")))
    title = f"Table {name[5:]}. Title of {name}" if name.startswith("table") else f"Title of {name}"
    sheet = Sheet(name, title, "Caption.", header, "l" * len(header), tuple(rows), (f"A note of {name}.",))
    known = {
        "checks": [
            {"check": "is learned", "row": "third", "column": "AUC", "value": 9.5, "ci_low": 8.5, "ci_high": 10.5}
        ],
        "commit": {"hash": "0123456789abcdef", "dirty": True},
        "command": {"scale": "smoke"},
        "versions": {"numpy": "2.0"},
        "seconds": {"cells": 97.7},
        "data": {"unbc": {"frames": 1200, "fingerprint": "f" * 64, "excluded": [["video", "a.avi", "is short"]]}},
    }
    known["checks"][0]["holds"] = True
    folder = out / "tables" / kind
    write_sheet(sheet, pd.DataFrame(numbers, columns=list(COLUMNS)), folder, known | record)
    return folder


def emit_figure(out, name="table4", data="simulated", colour=(20, 90, 160)):
    """Write a figure of a journal page's width at 300 dots an inch."""
    pixels = np.full((600, 2244, 3), 255, dtype=np.uint8)
    pixels[100:500, 200:260] = colour
    folder = out / "figures" / data
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / f"{name}.png", dpi=(300, 300))
    (folder / f"{name}.pdf").write_bytes(b"%PDF-1.4")
    (folder / f"{name}.csv").write_text(f"row,value,data\na,1,{data}\n")
    return folder


def page_of(out, names=("table4",)):
    """Return exit status and text of the page."""
    status = report.write_report(out, {name: f"Declared title of {name}" for name in names})
    return status, (out / report.NAME).read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Collects elements with their attributes, and the text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text, self._open, self.raw = [], "", [], {"script": "", "style": ""}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open and self._open[-1] in self.raw:
            self.raw[self._open[-1]] += data
        else:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_tables_are_read_back_with_all_digits(tmp_path):
    folder = emit_table(tmp_path)
    rows = read_rows((folder / "table4.csv").read_text(), "table4.csv")
    texts = [(folder / f"table4{suffix}").read_text() for suffix in (".md", ".tex")]
    table = parse_table("table4", *texts, rows)
    assert table.title == "Table 4. Title of table4"
    assert table.kinds == ("label", "label", "ours", "paper")
    assert [fields[0].text for _, fields in table.rows] == list(VALUES)
    assert [fields[2].value for _, fields in table.rows] == list(VALUES.values())
    assert [published for published, _ in table.rows] == [True, True, True, True, False]
    assert [fields[3].value for _, fields in table.rows] == [65.5] * 4 + [None]
    assert [fields[2].best for _, fields in table.rows] == [False, True, False, False, False]
    assert table.rows[0][1][2].interval == "[69.0, 71.0]"
    assert table.notes == ("A note of table4.",)
    rounded = parse_table("table4", texts[0], None, rows)
    assert rounded.rows[0][1][2].value == 70.0, "without LaTeX the digits shown are all that is known"


def test_numbers_of_too_few_cells_are_marked():
    markdown = "**T**\n\n| A | B [95 % CI]              |\n|---|--------------------------|\n"
    markdown += "| x | **1.5 [1, 2]** * (3/4 cells) |\n"
    with pytest.raises(UnreadableTable, match=r"line 5 do not stand below"):
        parse_table("t", markdown, None, [])
    wide = markdown.replace("[95 % CI]              ", "[95 % CI]                  ").replace(
        "-----|\n", "---------|\n"
    )
    field = parse_table("t", wide, None, []).rows[0][1][1]
    assert (field.text, field.value, field.interval, field.lacking) == ("1.5", 1.5, "[1, 2]", "3/4 cells")
    assert field.best


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("table4.csv", "70.04", "71.04", "table4.csv and table4.md are not of one run: first | bar, AUC is 71.04"),
        ("table4.csv", ",9.5,", ",,", "table4.csv and table4.md are not of one run: third, AUC is empty"),
        ("table4.md", "**Table", "| a |\n\n**Table", "table4.md holds no table"),
        ("table4.tex", r"\midrule", r"\hline", "table4.tex and table4.md are not of one run"),
        ("table4.json", "{", "[", "table4.json cannot be read"),
        ("table4.json", '"checks": [', '"checks": 1, "others": [', "table4.json: checks is not a list"),
        ("table4.csv", ",simulated", ",licensed", "in the folder of simulated data, but has numbers of licensed data"),
        ("table4.csv", "3,3,65.5", "2,3,65.5", "incomplete: 4 of 5 numbers lack some of their cells"),
        ("table4.csv", "third,AUC", "third", "fields, not 17"),
    ],
)
def test_damage_is_told_and_fails(tmp_path, capsys, file, old, new, message):
    path = emit_table(tmp_path) / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    status, page = page_of(tmp_path)
    assert status == 1
    assert message in capsys.readouterr().err
    assert message in Elements(page).text


def test_every_file_that_is_lacking_is_named(tmp_path, capsys):
    (emit_table(tmp_path) / "table4.tex").unlink()
    (emit_figure(tmp_path) / "table4.pdf").unlink()
    status, page = page_of(tmp_path)
    told = capsys.readouterr().err
    assert status == 1
    for name in ("tables/simulated/table4.tex is missing", "figures/simulated/table4.pdf is missing"):
        assert name in told
        assert name in Elements(page).text


def test_an_undecodable_picture_is_told(tmp_path, capsys):
    emit_table(tmp_path)
    (emit_figure(tmp_path) / "table4.png").write_bytes(b"no picture")
    status, page = page_of(tmp_path)
    assert status == 1
    assert "table4.png cannot be shown" in Elements(page).text
    assert "table4.png cannot be shown" in capsys.readouterr().err


def test_verdicts_are_words_with_lists_below(tmp_path, capsys):
    """As a page of claims is emitted: its CSV has columns of its own, and its numbers of ours are words."""
    claims = [("A & B beat C", "+2.1 to +3.0", "supported"), ("D is alike", "–", "contradicted")]
    rows = [(True, (s, p, Number(macro_name("claims", s), verdict))) for s, p, verdict in claims]
    notes = ("INCOMPLETE: 1 of 2 comparisons lack cells.", "", "**A & B beat C: supported**", "", "- on frames: +2.5")
    header = ("Claim", "Differences, paper", "Verdict")
    frame = pd.DataFrame({"claim": ["ab", "d"], "verdict": ["supported", "contradicted"], "data": "simulated"})
    write_sheet(
        Sheet("claims", "Claims", "C.", header, "lll", tuple(rows), notes), frame, tmp_path / "tables/simulated", {}
    )
    folder = tmp_path / "tables" / "simulated"
    markdown, latex = ((folder / f"claims{suffix}").read_text() for suffix in (".md", ".tex"))
    table = parse_table("claims", markdown, latex, read_rows((folder / "claims.csv").read_text(), "claims.csv"))
    assert table.kinds == ("label", "paper", "text")
    assert table.notes == ("INCOMPLETE: 1 of 2 comparisons lack cells.",)
    assert table.lists == (("A & B beat C: supported", ("on frames: +2.5",)),)
    status, page = page_of(tmp_path, ("claims",))
    assert status == 1
    assert capsys.readouterr().err == "report: simulated data: INCOMPLETE: 1 of 2 comparisons lack cells.\n"
    assert '<b class="holds">supported</b>' in page
    assert '<b class="fails">contradicted</b>' in page
    assert "<li>on frames: +2.5</li>" in page


def test_a_figure_of_other_data_is_told(tmp_path):
    folder = emit_figure(tmp_path, "figure4")
    assert page_of(tmp_path, ("figure4",))[0] == 0
    (folder / "figure4.csv").write_text("row,data\na,licensed\n")
    status, page = page_of(tmp_path, ("figure4",))
    assert status == 1
    assert "figures/simulated/figure4.csv is in the folder of simulated data, but has numbers of licensed" in page


def test_what_is_missing_is_listed_in_its_place(tmp_path, capsys):
    emit_table(tmp_path, "table2")
    emit_figure(tmp_path, "figure4")
    names = ("table1", "table2", "figure4", "claims")
    status, page = page_of(tmp_path, names)
    assert status == 1
    told = capsys.readouterr().err
    assert "experiments were not emitted (table1, " in told and "claims" in told
    assert "run python -m repro all, or one of them as python -m repro.NAME, with the --out" in told
    assert "table2" not in told
    elements = Elements(page)
    sections = [attributes["id"] for attributes in elements.all("section") if "id" in attributes]
    assert sections[: len(names)] == [f"simulated-{name}" for name in names]
    assert "Not emitted: table1, claims." in elements.text
    assert "Declared title of claims" in elements.text


def test_nothing_to_show_is_an_error(tmp_path, capsys):
    with pytest.raises(ValueError, match="run python -m repro all"):
        report.write_report(tmp_path, {"table4": ""})
    assert report.main(["--out", str(tmp_path)]) == 2
    assert "holds neither tables/ nor figures/" in capsys.readouterr().err


def test_everything_emitted_is_complete(tmp_path, capsys):
    emit_table(tmp_path)
    emit_figure(tmp_path)
    status, page = page_of(tmp_path)
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    assert str(tmp_path / "report.html") in out
    text = Elements(page).text
    for shown in (
        "65.5",
        "[69.0, 71.0]",
        "A note of table4.",
        "is learned",
        "0123456789",
        "with changes",
        "97.7",
        "a.avi",
    ):
        assert shown in text


def test_the_page_loads_nothing(tmp_path):
    emit_table(tmp_path)
    emit_figure(tmp_path)
    elements = Elements(page_of(tmp_path)[1])
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name, attributes in elements.found:
        assert name not in {"link", "iframe", "object", "embed", "base", "form"}
        assert not [key for key in attributes if key.startswith("on") or key in {"style", "srcset"}]
        for key in ("src", "href"):
            address = attributes.get(key, "#top")
            assert address.startswith("data:") or address[1:] in ids, address
    policy = next(a["content"] for a in elements.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    for text in elements.raw.values():
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert "url(" not in elements.raw["style"]
    assert "@import" not in elements.raw["style"]


def test_downloads_hold_the_files(tmp_path):
    folder = emit_table(tmp_path)
    links = {a["download"]: a["href"] for a in Elements(page_of(tmp_path)[1]).all("a") if "download" in a}
    assert set(links) == {"table4.csv", "table4.tex"}
    for name, address in links.items():
        assert address in {
            data_uri((folder / name).read_bytes(), address[5:].partition(",")[0].removesuffix(";base64"))
        }
    assert data_uri(b"a,b\n1,2\n", "text/csv") == "data:text/csv,a,b%0A1,2%0A"
    assert data_uri(bytes(range(128, 256)), "x/y").startswith("data:x/y;base64,")


def test_what_files_say_is_text(tmp_path):
    folder = emit_table(
        tmp_path,
        values={EVIL: 1.0, "x": 2.0},
        checks=[{"check": EVIL, "row": EVIL, "column": EVIL, "value": EVIL, "holds": False}],
        data={EVIL: {"frames": EVIL, "excluded": [[EVIL, EVIL, EVIL]], "quantities": {EVIL: EVIL}}},
        scale={EVIL: {EVIL: EVIL}},
        command={"scale": EVIL},
        commit={"hash": EVIL},
        versions={EVIL: EVIL},
    )
    (folder / f"{EVIL.replace('/', '')}.txt").touch()
    (folder / os.fsdecode(b"\xff.csv")).touch()
    page = page_of(tmp_path)[1]
    elements = Elements(page)
    assert len(elements.all("script")) == 1
    assert "alert" not in elements.raw["script"]
    assert elements.text.count(EVIL) > 12
    assert "tables/simulated/<script>alert(1)<script>.txt" in elements.text
    assert r"\udcff.csv" in elements.text
    assert tag("a", '"', title='">', hidden=None) == '<a title="&quot;&gt;">&quot;</a>'
    assert escape(escape("&")) == "&amp;"


def test_equal_files_give_equal_bytes(tmp_path):
    pages = []
    for name in ("first", "second"):
        emit_table(tmp_path / name)
        emit_figure(tmp_path / name)
        page_of(tmp_path / name)
        for file in (tmp_path / name).rglob("*.*"):
            os.utime(file, (len(pages), len(pages)))
        page_of(tmp_path / name)
        pages.append((tmp_path / name / report.NAME).read_bytes())
    assert pages[0] == pages[1]
    assert [path.name for path in (tmp_path / "first").iterdir() if path.is_file()] == [report.NAME]


def test_kinds_of_data_stand_apart(tmp_path):
    for data in ("simulated", "licensed"):
        emit_table(tmp_path, kind=data)
        emit_figure(tmp_path, data=data)
    emit_table(tmp_path, "head_motion")
    status, page = page_of(tmp_path, ("table4", "head_motion"))
    assert status == 0, "what was emitted on one of them is not missing"
    parts = dict(zip(("before", "licensed", "simulated"), re.split(r'<div class="data \w+">', page), strict=True))
    for data, other in (("simulated", "licensed"), ("licensed", "simulated")):
        badges = parts[data].count(f'<span class="badge {data}">')
        assert badges == parts[data].count("<figure>") + parts[data].count('class="facts"') + 2
        assert f'class="badge {other}"' not in parts[data]
    assert 'id="licensed-head_motion" class="missing"' in parts["licensed"]


def test_line_art_and_photographs_stay_sharp():
    """Errors are root mean squares in 255 levels: 3 cannot be seen in a plot, a photograph's noise is 4."""
    draw = np.random.default_rng(0)
    lines = np.full((1200, 2244, 3), 255, dtype=np.uint8)
    colours = draw.integers(0, 200, (8, 3))
    for place in range(30, 2200, 37):
        lines[draw.integers(0, 600) : draw.integers(601, 1200), place : place + 5] = draw.choice(colours)
    ramp = np.linspace(0, 255, 1100)[None, :, None] * np.linspace(0.2, 1, 800)[:, None, None]
    photograph = np.clip(ramp * [1.0, 0.8, 0.5] + draw.normal(0, 4, (800, 1100, 3)), 0, 255).astype(np.uint8)
    for pixels, size, limit, dpi in (
        (lines, (800, 428), 3.0, (300, 300)),
        (photograph, (550, 400), 4.0, None),
    ):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", **({"dpi": dpi} if dpi else {}))
        shown = picture(buffer.getvalue())
        assert (shown.width, shown.height) == size
        image = Image.open(io.BytesIO(shown.content))
        assert image.format == "WEBP"
        assert image.size == (min(pixels.shape[1], 2 * shown.width), min(pixels.shape[0], 2 * shown.height))
        wanted = np.asarray(Image.fromarray(pixels).resize(image.size, Image.Resampling.LANCZOS), dtype=float)
        assert np.sqrt(((np.asarray(image.convert("RGB"), dtype=float) - wanted) ** 2).mean()) < limit
        assert len(shown.content) < 200_000
    with pytest.raises(ValueError, match="not a whole picture"):
        picture(buffer.getvalue()[:2000])


def test_committed_results_fit_a_small_page(tmp_path):
    root = Path(report.__file__).resolve().parents[1]
    names = sorted(path.stem for path in (root / "tables" / "simulated").glob("*.md"))
    for kind in ("tables", "figures"):
        (tmp_path / kind).symlink_to(root / kind)
    status, page = page_of(tmp_path, names)
    assert (status, names != []) == (0, True)
    assert len(page.encode()) < 3_000_000
    assert json.loads((root / "tables" / "simulated" / f"{names[0]}.json").read_text())["commit"]["hash"][:10] in page


@pytest.fixture(scope="module")
def chromium():
    """Start a browser that is installed, once for all tests."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install .[test]")
    with playwright.sync_playwright() as api:
        # Chromium refuses its sandbox to root
        browser = api.chromium.launch(executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    emit_table(out)
    emit_table(out, "table5", wide=9)
    emit_figure(out)
    page_of(out, ("table4", "table5", "table6"))
    return (out / report.NAME).as_uri()


@pytest.fixture
def visit(chromium, address):
    """Open the page; nothing but itself may be asked for, and nothing may be complained of."""
    contexts, complaints = [], []

    def see(**options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.extend({request.url} - {address}) if ":" in request.url else None)
        page.goto(address)
        return page

    yield see
    for context in contexts:
        context.close()
    assert [text for text in complaints if not text.startswith("data:")] == []


def column(page, number=2):
    return (
        page.locator("#simulated-table4 tbody.sorted").first.locator(f"tr > :nth-child({number + 1})").all_inner_texts()
    )


def looks(page):
    """Return the screen as RGB."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), dtype=int)


def test_headers_sort_by_all_digits(visit):
    page = visit()
    heading = page.locator("#simulated-table4 thead th").nth(2)
    given = column(page, 0)
    assert heading.get_attribute("aria-sort") == "none"
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column(page, 0) == ["third", "second & more", "first | bar", "fourth"]
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert column(page, 0) == ["first | bar", "second & more", "third", "fourth"], "what is not there stays last"
    assert page.locator("#simulated-table4 tbody").last.inner_text().startswith("no pretext"), (
        "ours stay below the line"
    )
    page.locator("#simulated-table4 thead th").first.locator("button").click()
    assert heading.get_attribute("aria-sort") == "none"
    assert column(page, 0) == sorted(VALUES.keys() - {"no pretext"})
    for _ in range(2):
        page.locator("#simulated-table4 thead th").first.locator("button").press("Space")
    assert column(page, 0) == given


def test_dark_and_light(visit):
    for preferred in ("light", "dark"):
        page = visit(viewport={"width": 1200, "height": 800}, color_scheme=preferred)
        button = page.locator("#theme")
        screens = {}
        for _ in range(2):
            pressed = button.get_attribute("aria-pressed") == "true"
            screens["dark" if pressed else "light"] = looks(page)
            button.click()
        assert (button.get_attribute("aria-pressed") == "true") == (preferred == "dark")
        assert np.median(screens["light"]) > 240
        assert np.median(screens["dark"]) < 40
        for screen in screens.values():
            assert screen.std() > 5, "blank"
            assert (np.abs(screen - BADGE).max(axis=-1) < 4).sum() > 300, "simulated data is not marked"


def test_phones_scroll_tables_not_the_page(visit):
    page = visit(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True, reduced_motion="reduce")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = page.locator("#simulated-table5 .scroll").first
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    label = box.locator("tbody th").first
    before = label.bounding_box()["x"]
    box.evaluate("box => { box.scrollLeft = 300; }")
    assert label.bounding_box()["x"] == pytest.approx(before, abs=1), "the first column stays"
    assert not page.locator("#contents").is_visible()
    page.locator("#menu").tap()
    page.locator("#contents a", has_text="Table 5").tap()
    assert not page.locator("#contents").is_visible()
    assert 0 < page.locator("#simulated-table5").bounding_box()["y"] < 100, "the link leads there, below the bar"


def test_print_is_light_and_has_no_controls(visit):
    page = visit(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light dark"
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator(".downloads").first.is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    assert (
        page.locator("#simulated-table4 tbody tr").first.evaluate("row => getComputedStyle(row).breakInside") == "avoid"
    )
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"


def test_scripts_of_others_do_not_run(chromium, tmp_path):
    """The policy stops what would get past escaping."""
    emit_table(tmp_path)
    page_of(tmp_path)
    file = tmp_path / report.NAME
    file.write_text(file.read_text().replace("</main>", "<script>document.title = 'taken'</script></main>"))
    page = chromium.new_page()
    page.goto(file.as_uri())
    title = page.title()
    page.close()
    assert title.startswith("Reproduction report")
