"""Reference reproduction suite for Statistical Spatiotemporal Distillation (SSD)."""

__version__ = "0.1.0"
