"""The systems that the paper compares, in one ordered registry: ``METHODS``.

>>> from baselines import METHODS
>>> METHODS["siamese"].citation
'Tavakolian, Bordallo Lopez and Liu 2020'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

__all__ = ["METHODS", "Method"]


@dataclass(frozen=True)
class Method:
    """An entry of the registry.

    Parameters
    ----------
    name : str
        What tables and the command line call it.
    label : str
        What readers see.
    kind : {"self-supervised", "supervised", "reference"}
        Self-supervised methods load a `repro.learning.pretext.PretextTask`, supervised ones a
        `baselines.supervised.estimator.SupervisedEstimator`; references have its ``fit``, ``predict`` and
        ``predict_proba``, too, but take the images of clips.
    citation : str
    tables : tuple of str
        Tables of the paper in which it has a row.
    location : str
        ``"module:Class"``; imported when loaded.
    """

    name: str
    label: str
    kind: str
    citation: str
    tables: tuple[str, ...]
    location: str

    def load(self) -> Any:
        """Import and return the class."""
        module, _, name = self.location.partition(":")
        return getattr(import_module(module), name)


def _registry(*methods: Method) -> Mapping[str, Method]:
    return MappingProxyType({method.name: method for method in methods})


METHODS: Mapping[str, Method] = _registry(
    Method(
        "geometry",
        "Geometry",
        "self-supervised",
        "Gan, Gong, Liu, Su and Guibas 2018",
        ("table6", "table7"),
        "baselines.selfsup.geometry:Geometry",
    ),
    Method(
        "opn",
        "OPN",
        "self-supervised",
        "Lee, Huang, Singh and Yang 2017",
        ("table6", "table7"),
        "baselines.selfsup.opn:OPN",
    ),
    Method(
        "jigsaw",
        "Jigsaw",
        "self-supervised",
        "Noroozi and Favaro 2016",
        ("table6", "table7"),
        "baselines.selfsup.jigsaw:Jigsaw",
    ),
    Method(
        "motion_statistics",
        "Motion statistics",
        "self-supervised",
        "Wang, Jiao, Bao, He, Liu and Liu 2019",
        ("table6", "table7"),
        "baselines.selfsup.motion_statistics:MotionStatistics",
    ),
    Method(
        "deepcluster",
        "DeepCluster",
        "self-supervised",
        "Caron, Bojanowski, Joulin and Douze 2018",
        ("table6", "table7"),
        "baselines.selfsup.deepcluster:DeepCluster",
    ),
    Method(
        "siamese",
        "Our method",
        "self-supervised",
        "Tavakolian, Bordallo Lopez and Liu 2020",
        ("table2", "table3", "table4", "table6", "table7"),
        "repro.siamese.pretext:SiamesePretext",
    ),
    Method(
        "rvr",
        "RVR",
        "supervised",
        "Kaltwang, Rudovic and Pantic 2012",
        ("table6",),
        "baselines.supervised.rvr:RVR",
    ),
    Method(
        "hot",
        "HoT",
        "supervised",
        "Florea, Florea and Vertan 2014",
        ("table6",),
        "baselines.supervised.hot:HoT",
    ),
    Method(
        "osvr",
        "OSVR",
        "supervised",
        "Zhao, Gan, Wang and Ji 2016",
        ("table6",),
        "baselines.supervised.osvr:OSVR",
    ),
    Method(
        "rcnn",
        "RCNN",
        "supervised",
        "Zhou, Hong, Su and Zhao 2016",
        ("table6",),
        "baselines.supervised.rcnn:RCNN",
    ),
    Method(
        "lstm",
        "LSTM",
        "supervised",
        "Rodriguez, Cucurull, Gonzalez, Gonfaus, Nasrollahi, Moeslund and Roca 2017",
        ("table6",),
        "baselines.supervised.lstm:LSTM",
    ),
    Method(
        "head_movement",
        "Head-movement",
        "supervised",
        "Walter et al. 2013",
        ("table7",),
        "baselines.supervised.head_movement:HeadMovement",
    ),
    Method(
        "time_windows",
        "Time-windows",
        "supervised",
        "Walter et al. 2013",
        ("table7",),
        "baselines.supervised.time_windows:TimeWindows",
    ),
    Method(
        "lbp_top",
        "LBP",
        "supervised",
        "Yang, Tong, Bordallo López, Boutellaa, Peng, Feng and Hadid 2016",
        ("table7",),
        "baselines.supervised.lbp_top:LBPTopSVM",
    ),
    Method(
        "bsif_top",
        "BSIF",
        "supervised",
        "Yang, Tong, Bordallo López, Boutellaa, Peng, Feng and Hadid 2016",
        ("table7",),
        "baselines.supervised.bsif_top:BSIFTopSVM",
    ),
    Method(
        "fad",
        "FAD set",
        "supervised",
        "Werner, Al-Hamadi, Limbrecht-Ecklundt, Walter, Gruss and Traue 2017",
        ("table7",),
        "baselines.supervised.fad:FAD",
    ),
    Method(
        "scn",
        "SCN",
        "supervised",
        "Tavakolian and Hadid 2019",
        ("table6", "table7"),
        "baselines.supervised.scn:SCN",
    ),
    Method(
        "pixels",
        "Pixels",
        "reference",
        "logistic regression on images of 16 x 16 pixels",
        (),
        "baselines.supervised.pixels:PixelProbe",
    ),
    Method(
        "mean",
        "Mean predictor",
        "reference",
        "level frequencies of the training clips",
        (),
        "baselines.supervised.mean:MeanPredictor",
    ),
)
