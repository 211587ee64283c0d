"""What the paper claims and whether it holds, ``python -m repro.claims``: each sentence judged by the tables' numbers.

How is judged stands in `repro.suite.verdicts`.
"""

from collections.abc import Iterator
from functools import partial

from repro import figure3, table2, table3, table4, table5, table6, table7
from repro.suite.claims import Claim, Claims, Comparison, Entry, alike, better, better_than, faster, rising
from repro.suite.claims_command import run_claims
from repro.suite.spec import DATASET_LABELS

OURS = "Our method"
OTHERS = ("Geometry", "OPN", "Jigsaw", "Motion statistics", "DeepCluster")
"""The five self-supervised methods that the proposed one is compared with."""

SUPERVISED = {
    "table6": ("RVR", "HoT", "OSVR", "RCNN", "LSTM"),
    "table7": ("Head-movement", "Time-windows", "LBP", "BSIF", "FAD set"),
}
"""Systems that the paper has on frames and on SSD images."""

METRICS = {"table6": ("MSE", "PCC"), "table7": ("AUC",)}

NOT_PRINTED = {("OSVR", "MSE")}
"""Where the paper has N/A on one of the two inputs."""

BEST = {"table6": {"RGB": "SCN", "SSD(RGB)": "LSTM"}, "table7": {"RGB": "SCN", "SSD(RGB)": "FAD set"}}
"""The paper's best supervised system on each input: chosen by its numbers, so that ours cannot favour one."""

SHARES = {0.0: "", 0.1: " (10%)", 0.3: " (30%)", 0.5: " (50%)"}

ALIKE = 3.0
"""Points of AUC within which a 2D and a 3D network are alike; the paper's differ by up to 1.8."""

SMALL = 10.0
"""Percent of a training time below which an addition is a small one; the paper's is 5.5."""


def _inputs(first: str, others: tuple[str, ...]) -> tuple[Comparison, ...]:
    return tuple(
        better(f"{dataset}, {first} against {other}", Entry("table2", first, dataset), Entry("table2", other, dataset))
        for dataset in DATASET_LABELS.values()
        for other in others
    )


def _peak(kind: str, best: int, others: tuple[int, ...]) -> tuple[Comparison, ...]:
    return tuple(
        better(
            f"{kind} {best} against {other}",
            Entry("figure3", f"{kind} {best}", "AUC"),
            Entry("figure3", f"{kind} {other}", "AUC"),
        )
        for other in others
    )


def _across() -> Iterator[tuple[str, dict[float, str]]]:
    """Return each dataset that is tested on, and the rows about it by the share that is seen of it."""
    for source, target in (("BioVid", "UNBC-McMaster"), ("UNBC-McMaster", "BioVid")):
        seen = {share: f"{source} + {target}{text}" if text else source for share, text in SHARES.items()}
        yield target, {share: f"{data} → {target}" for share, data in seen.items()}


def _growth(table: str) -> tuple[Comparison, ...]:
    return tuple(
        rising(f"{target}, from 0 to 50 %", {share: Entry(table, row, "AUC") for share, row in rows.items()})
        for target, rows in _across()
    )


def _columns(table: str) -> Iterator[tuple[str, str]]:
    """Return each published column of a comparison of methods, after its input."""
    for kind in BEST[table]:
        for metric in METRICS[table]:
            yield kind, f"{kind} {metric}"


def _margin(table: str) -> tuple[Comparison, ...]:
    return tuple(
        better(
            f"{column}, {BEST[table][kind]} against {OURS}",
            Entry(table, BEST[table][kind], column),
            Entry(table, OURS, column),
        )
        for kind, column in _columns(table)
    )


def _pretext(table: str) -> tuple[Comparison, ...]:
    return tuple(
        better(f"{column}, against {other}", Entry(table, OURS, column), Entry(table, other, column))
        for _, column in _columns(table)
        for other in OTHERS
    )


def _gain(table: str) -> tuple[Comparison, ...]:
    return tuple(
        better(f"{method}, {metric}", Entry(table, method, f"SSD(RGB) {metric}"), Entry(table, method, f"RGB {metric}"))
        for method in (*SUPERVISED[table], *OTHERS, OURS)
        for metric in METRICS[table]
        if (method, metric) not in NOT_PRINTED
    )


TABLE = Claims(
    name="claims",
    title="What the paper claims, and the verdict of this data",
    caption="Sentences of the paper that can be tested, and what was found.",
    tables=(table2.TABLE, figure3.TABLE, table3.TABLE, table4.TABLE, table5.TABLE, table6.TABLE, table7.TABLE),
    claims=(
        Claim(
            "inputs",
            "The SSD image of a video serves better than its frames and than optical flow",
            "Section 3.2, Table 2",
            _inputs("SSD (RGB)", ("OF", "RGB")),
        ),
        Claim("optical flow", "SSD helps optical flow, too", "Section 3.2, Table 2", _inputs("SSD (OF)", ("OF",))),
        Claim(
            "segment length",
            "Accuracy grows with the length of segments up to 20 frames and falls beyond",
            "Section 3.2, Figure 3",
            _peak("segment length", 20, (5, 10, 40, 60)),
        ),
        Claim(
            "window",
            "Neighbourhoods of 5 x 5 pixels are best; smaller and larger ones are worse",
            "Section 3.2, Figure 3",
            _peak("window", 5, (3, 9, 11)),
        ),
        Claim(
            "speed",
            "With SSD a 2D network is faster than the same network in 3D",
            "Section 3.3, Table 3",
            tuple(
                faster(network, Entry("table3", network, "2D time"), Entry("table3", network, "3D time"))
                for network in table3.NETWORKS
            ),
        ),
        Claim(
            "2D as 3D",
            f"A 2D network with SSD is as accurate as the same network in 3D (within {ALIKE:g} points)",
            "Section 3.3, Table 3",
            tuple(
                alike(network, Entry("table3", network, "2D AUC"), Entry("table3", network, "3D AUC"), ALIKE)
                for network in table3.NETWORKS
            ),
        ),
        Claim(
            "training time",
            f"Distilling adds little to the time of training (less than {SMALL:g} %)",
            "Section 3.3",
            (better_than("ResNet-50", Entry("table3", "ResNet-50", "SSD adds to training"), SMALL),),
        ),
        Claim(
            "share without labels",
            "Across datasets, accuracy grows with the share of the target's videos that the pretext sees",
            "Section 3.4, Table 4",
            _growth("table4"),
        ),
        Claim(
            "share with labels",
            "Across datasets, accuracy grows with the share of the target's videos that are learned with labels",
            "Table 5",
            _growth("table5"),
        ),
        Claim(
            "labels",
            "Across datasets, learning with labels beats learning without",
            "Section 3.4, Tables 4 and 5",
            tuple(
                better(row, Entry("table5", row, "AUC"), Entry("table4", row, "AUC"))
                for _, rows in _across()
                for row in rows.values()
            ),
        ),
        Claim(
            "margin, UNBC-McMaster",
            "The best supervised system stays ahead of the self-supervised ones on UNBC-McMaster",
            "Section 3.5, Table 6",
            _margin("table6"),
        ),
        Claim(
            "margin, BioVid",
            "The best supervised system stays ahead of the self-supervised ones on BioVid",
            "Table 7",
            _margin("table7"),
        ),
        Claim(
            "pretext, UNBC-McMaster",
            "The proposed pretext beats the five others on UNBC-McMaster, on frames and on SSD images",
            "Section 3.5, Table 6",
            _pretext("table6"),
        ),
        Claim(
            "pretext, BioVid",
            "The proposed pretext beats the five others on BioVid, on frames and on SSD images",
            "Section 3.5, Table 7",
            _pretext("table7"),
        ),
        Claim(
            "gain, UNBC-McMaster",
            "Every method gains from SSD images on UNBC-McMaster",
            "Section 3.5, Table 6",
            _gain("table6"),
        ),
        Claim("gain, BioVid", "Every method gains from SSD images on BioVid", "Section 3.5, Table 7", _gain("table7")),
    ),
)
run = partial(run_claims, TABLE)

if __name__ == "__main__":
    from repro.suite.claims_command import main

    raise SystemExit(main(TABLE))
