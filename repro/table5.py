"""Table 5: supervised learning across datasets, ``python -m repro.table5``."""

from dataclasses import replace

from repro.suite.figures import supervised_share_plot
from repro.suite.spec import Row, Table
from repro.table4 import TABLE as TABLE4


def _supervised(row: Row) -> Row:
    """Return a row of Table 4 as one of Table 5: what a pretext saw without labels is learned from with labels."""
    if row.published:
        return replace(row, method="scratch", pretext=(), labelled=row.pretext)
    return replace(row, lead=("its own training subjects", row.lead[1])) if row.lead[0] == "no pretext" else row


TABLE = Table(
    name="table5",
    title="Table 5. Supervised learning across datasets (AUC in percent, SSD images)",
    caption="Accuracy of networks trained on labelled images of one dataset, perhaps with some of the other's, and "
    "tested on the other; levels are brought to a common scale of five.",
    lead=("Training data", "Test data"),
    rows=tuple(map(_supervised, TABLE4.rows)),
    columns=TABLE4.columns,
    protocol="grouped_k_fold",
    plot=supervised_share_plot,
)
if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
