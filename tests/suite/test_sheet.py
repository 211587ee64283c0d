"""Layout of tables: the same cells for Markdown and for LaTeX."""

from dataclasses import replace

from repro.suite.sheet import Number, Sheet, macro_name, to_latex, to_markdown

SHEET = Sheet(
    name="t9",
    title="A table",
    caption="Caption.",
    header=("Method", "AUC (%)", "paper"),
    alignment="lrr",
    rows=(
        (True, ("a & b", Number("Tfirst", "71.3", "[65.0, 77.1]", best=True), "69.2")),
        (False, ("c → d", Number("Tsecond", "–", lacking="1/3"), "–")),
    ),
    notes=("50 % of it.",),
)


def test_numbers():
    assert Number("M", "71.3").markdown() == "71.3" and Number("M", "71.3").latex() == r"\M{}"
    full = Number("M", "71.3", "[65.0, 77.1]", best=True, lacking="2/3")
    assert full.markdown() == "**71.3 [65.0, 77.1]** * (2/3 cells)"
    assert full.latex() == r"\textbf{\M} {\scriptsize [65.0, 77.1]}$^*$ (2/3)"


def test_markdown():
    assert to_markdown(SHEET).splitlines() == [
        "**A table**",
        "",
        "| Method              | AUC (%)               | paper |",
        "|---------------------|-----------------------|-------|",
        "| a & b               | **71.3 [65.0, 77.1]** | 69.2  |",
        "| *not in the paper:* |                       |       |",
        "| c → d               | – * (1/3 cells)       | –     |",
        "",
        "50 % of it.",
    ]


def test_latex():
    lines = to_latex(SHEET).splitlines()
    assert lines[1:3] == [r"\newcommand{\Tfirst}{71.3}", r"\newcommand{\Tsecond}{–}"]
    assert r"\caption{Caption. 50 \% of it.}" in lines and r"\begin{tabular}{lrr}" in lines
    assert r"Method & AUC (\%) & paper \\" in lines
    assert r"a \& b & \textbf{\Tfirst} {\scriptsize [65.0, 77.1]} & 69.2 \\" in lines
    assert r"c $\rightarrow$ d & \Tsecond{}$^*$ (1/3) & -- \\" in lines
    assert lines.index(r"\midrule") < len(lines) - 1 - lines[::-1].index(r"\midrule"), "ours stand below a line"


def test_a_table_of_ours_alone_has_no_divider():
    alone = replace(SHEET, rows=SHEET.rows[1:])
    assert "not in the paper" not in to_markdown(alone) and to_latex(alone).count(r"\midrule") == 1


def test_macro_names_have_letters_only():
    assert macro_name("table4", "A + b (30%) → C", "AUC") == "TableFourAAndBThreeZeroToCAUC"
