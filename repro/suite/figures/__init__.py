"""Plots of tables: functions from a tidy frame to a Figure, one module for each kind."""

from repro.suite.figures.claims import claims_plot
from repro.suite.figures.efficiency import efficiency_plot
from repro.suite.figures.inputs import inputs_plot
from repro.suite.figures.methods import grid_plot, methods_plot, systems_plot
from repro.suite.figures.motion import motion_plot
from repro.suite.figures.networks import networks_plot
from repro.suite.figures.sensitivity import sensitivity_plot
from repro.suite.figures.shares import share_plot, supervised_share_plot
from repro.suite.figures.sweep import sweep_plot

__all__ = [
    "claims_plot",
    "efficiency_plot",
    "grid_plot",
    "inputs_plot",
    "methods_plot",
    "motion_plot",
    "networks_plot",
    "sensitivity_plot",
    "share_plot",
    "supervised_share_plot",
    "sweep_plot",
    "systems_plot",
]
