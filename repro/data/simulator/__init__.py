"""Simulated face videos with pain, written in the layouts of UNBC-McMaster and BioVid.

Faces are rendered from a parametric head whose muscles follow the Facial Action Coding System, so that every frame's
action units and its PSPI are known. They stand in for the licensed datasets: they show that a method runs and which
of two methods is better, not how well it would do on people.
"""

from repro.data.simulator.blocks import Block, divide
from repro.data.simulator.dataset import finish, prepare, simulate, simulate_subject
from repro.data.simulator.domain import BIOVID, DOMAINS, GENERATOR_VERSION, UNBC, Camera, Domain
from repro.data.simulator.planning import SequenceSpec, plan

__all__ = [
    "BIOVID",
    "DOMAINS",
    "GENERATOR_VERSION",
    "UNBC",
    "Block",
    "Camera",
    "Domain",
    "SequenceSpec",
    "divide",
    "finish",
    "plan",
    "prepare",
    "simulate",
    "simulate_subject",
]
