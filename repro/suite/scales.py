"""The scales: how large data, networks and training are, and each pretext task's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from repro.data.encoding import InputSpec
from repro.learning.augmentation import Augmentation
from repro.learning.finetune import FineTuning
from repro.learning.pretext import BackboneSpec
from repro.learning.schedule import Schedule
from repro.suite.spec import Clips, PretextRun, Scale, Simulated, Tuning

__all__ = ["SCALES"]

_TRACKED = (("landmark_error", 0.01),)
"""Simulated landmarks are as far from the truth as a tracker's, in distances between the eyes: exact ones would tell
more than anyone sees."""

_FEW_FOLDS = {"leave_one_subject_out": "grouped_k_fold"}

_SMALL = BackboneSpec("resnet18", width=0.25, stem="imagenet")

_SMOKE = {
    "geometry": Tuning({"flow": "dis", "width": 16, "first_stage_epochs": 1}),
    "siamese": Tuning({"clips_per_source": 4, "dimensions": 16}),
    "jigsaw": Tuning({"classes": 24, "tile_features": 32}),
    "opn": Tuning({"features": 64, "comparison": 64, "orders": 12, "centred": True, "dropout": 0.0}),
    "motion_statistics": Tuning({"flow": "dis", "apart": 10}),
    "deepcluster": Tuning({"clusters": 8, "dimensions": 8}),
}

_QUICK = {
    "geometry": Tuning({"flow": "dis", "width": 32, "first_stage_epochs": 2}, {"learning_rate": 0.1}),
    "siamese": Tuning(schedule={"learning_rate": 0.1}),
    "jigsaw": Tuning({"classes": 100, "tile_features": 128}),
    "opn": Tuning(
        {
            "orders": 12,
            "centred": True,
            "dropout": 0.0,
            "jitter": 0.25 / 64,
            "augmentation": Augmentation(area=(0.8, 1.0), aspect=1.1),
        },
        {"learning_rate": 0.1},
    ),
    "motion_statistics": Tuning({"flow": "dis", "apart": 10}, {"learning_rate": 0.1, "weight_decay": 0.02}),
    "deepcluster": Tuning({"dimensions": 16, "reassign": 1}, {"learning_rate": 0.1}),
}

_PAPER = {
    "geometry": Tuning(schedule={"learning_rate": 0.03, "decay": "cosine"}),
    "jigsaw": Tuning(schedule={"learning_rate": 0.05, "decay": "cosine", "weight_decay": 1e-4}),
    "opn": Tuning(schedule={"learning_rate": 0.01, "decay": "cosine", "weight_decay": 5e-4}),
    "deepcluster": Tuning(
        schedule={"learning_rate": 0.025, "decay": "constant", "weight_decay": 1e-5, "clip_norm": None}
    ),
}

_CNN = {width: BackboneSpec("resnet18", width=width, stem="imagenet") for width in (0.125, 0.25)}
_MILD = Augmentation(area=(0.8, 1.0), aspect=1.1)

_SUPERVISED_SMOKE: Mapping[str, Mapping[str, Any]] = {
    "rcnn": {"size": 16, "channels": (4, 8), "epochs": 20, "contrast": True, "batch_size": 8},
    "lstm": {
        "size": 32, "units": 16, "epochs": 10, "contrast": True, "batch_size": 8,
        "cnn": FineTuning(
            _CNN[0.125], Schedule(2, 16, 0.02, "cosine", clip_norm=1.0), _MILD, min_updates=20
        ),
    },
    "scn": {
        "frames": 8, "size": 32, "width": 1 / 16, "contrast": True, "teacher_width": 0.125, "teacher_epochs": 1,
        "transfer_epochs": 1, "epochs": 12, "batch_size": 8,
    },
}  # fmt: skip

_SUPERVISED_QUICK: Mapping[str, Mapping[str, Any]] = {
    "rcnn": {"size": 32, "channels": (8, 16, 16), "epochs": 10, "contrast": True},
    "lstm": {
        "size": 64, "units": 64, "epochs": 20, "contrast": True,
        "cnn": FineTuning(
            _CNN[0.25], Schedule(2, 32, 0.02, "cosine", clip_norm=1.0), _MILD, min_updates=160
        ),
    },
    "scn": {
        "frames": 8, "size": 48, "width": 0.125, "contrast": True, "teacher_width": 0.125, "teacher_epochs": 1,
        "transfer_epochs": 3, "epochs": 10,
    },
}  # fmt: skip
"""Of supervised systems, what differs from their defaults, which are those of their papers where known."""

SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "smoke": Scale(
            "smoke",
            simulated={
                "unbc": Simulated(10, 2, 48, 130, changes=_TRACKED),
                "biovid": Simulated(8, 5, 48, 60, changes=_TRACKED),
                "vggface2": Simulated(6, 6, 48),
            },
            clips={"unbc": Clips(45, 45, 20, 10, 4), "biovid": Clips(None, 1, 20, 10, 4)},
            input=InputSpec(size=32, segment_length=10, frames=2, flow="dis", volume=4),
            n_folds=2,
            pretext=PretextRun(Schedule(1, 16, 0.03, "cosine", clip_norm=1.0), 2, 2, _SMOKE),
            fine_tuning=FineTuning(
                BackboneSpec("resnet18", width=0.125), Schedule(1, 16, 0.01, "cosine"), min_updates=2
            ),
            note="a few seconds of training: shows that everything runs, its numbers mean nothing",
            supervised=_SUPERVISED_SMOKE,
            protocols=_FEW_FOLDS,
            repeats=False,
        ),
        "quick": Scale(
            "quick",
            simulated={
                "unbc": Simulated(12, 8, 72, changes=_TRACKED),
                "biovid": Simulated(12, 20, 72, changes=_TRACKED),
                "vggface2": Simulated(48, 24, 96),
            },
            clips={"unbc": Clips(60, 30, 40, 10), "biovid": Clips(None, 1, 40, 14)},
            input=InputSpec(size=64, frames=5, flow="dis", volume=8),
            n_folds=3,
            pretext=PretextRun(Schedule(3, 64, 0.03, "cosine", clip_norm=1.0), 50, 2, _QUICK),
            fine_tuning=FineTuning(_SMALL, Schedule(8, 16, 0.02, "cosine"), min_updates=100),
            note="networks of quarter width (VGG16: an eighth), ResNet-18 unless a row names another, on 64-pixel "
            "images, from scratch but for their pretext, warm-up and cosine schedule",
            supervised=_SUPERVISED_QUICK,
            training={"table3": FineTuning(_SMALL, Schedule(7, 8, 0.1, "cosine", clip_norm=1.0), _MILD)},
            widths={"vgg16": 0.125},
            learning_rates={"vgg16": 0.01},  # its authors', as it has no batch normalisation
            protocols=_FEW_FOLDS,
            repeats=False,
        ),
        "paper": Scale(
            "paper",
            simulated={
                "unbc": Simulated(25, None, 240, changes=_TRACKED),
                "biovid": Simulated(87, None, 240, changes=_TRACKED),
                "vggface2": Simulated(500, 60, 240),
            },
            clips={"unbc": Clips(60, 20, 40, 10), "biovid": Clips(None, 1, 40, 14)},
            input=InputSpec(size=224, frames=10),
            n_folds=5,
            pretext=PretextRun(Schedule(5, 128, 1e-3, "paper", clip_norm=1.0), 1000, 4, _PAPER),
            fine_tuning=FineTuning(BackboneSpec("resnet50"), Schedule(5, 32, 1e-3, "paper"), min_updates=300),
            note="ResNet-50 on 224-pixel images, the paper's optimiser and schedule (decision D0)",
        ),
    }
)
