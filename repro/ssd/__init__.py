"""Statistical Spatiotemporal Distillation: a video becomes one image (Section 2.1 of the paper).

Nothing here depends on the rest of the project. Videos are (T, C, H, W), uint8 or floating, on 0..255;
results are tensors. `repro.ssd.equations` is the method in plain PyTorch, to be read beside the paper.
"""

from repro.ssd.distillation import distill, feature_maps, information_weights
from repro.ssd.streaming import Distiller
from repro.ssd.transform import SSD

__all__ = ["SSD", "Distiller", "distill", "feature_maps", "information_weights"]
