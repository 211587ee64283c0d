"""Backbones, training loops, protocols and metrics shared by the method and every baseline."""
