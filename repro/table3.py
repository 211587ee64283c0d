"""Table 3: a 2D network on SSD images against the same network in 3D on frames, ``python -m repro.table3``."""

from repro.suite.figures import networks_plot
from repro.suite.spec import Column, Row, Table

NETWORKS = {"VGG16": "vgg16", "Inception-V1": "inception_v1", "ResNet-18": "resnet18", "ResNet-50": "resnet50"}

TABLE = Table(
    name="table3",
    title="Table 3. 2D networks on SSD images against 3D networks on frames (UNBC-McMaster, from scratch)",
    caption="Seconds a frame at test time, distillation included, and accuracy in percent.",
    lead=("Architecture",),
    rows=tuple(Row(label, (label,), "unbc", "scratch", network=(("name", name),)) for label, name in NETWORKS.items()),
    columns=(
        Column("2D time", "seconds_per_frame"),
        Column("2D AUC", "auc_ovr"),
        Column("3D time", "seconds_per_frame", "Video"),
        Column("3D AUC", "auc_ovr", "Video"),
        Column("2D pain AUC", "auc_binary", published=False),
        Column("3D pain AUC", "auc_binary", "Video", published=False),
        Column("SSD adds to training", "training_overhead"),
    ),
    protocol="grouped_k_fold",
    plot=networks_plot,
    note="All networks start from scratch: where the interval of an AUC holds 50, one has learned nothing that shows, "
    "and only times can be compared.",
)

if __name__ == "__main__":
    from repro.suite.command import main

    raise SystemExit(main(TABLE))
