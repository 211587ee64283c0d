"""What Tables 6 and 7 share: the rows of a comparison with the state of the art."""

from baselines import METHODS
from repro.suite.spec import OWN, STILLS, Row

REFERENCES = {"no pretext": "scratch", "mean predictor": "mean"}


def rows(table: str, target: str) -> tuple[Row, ...]:
    """Return a row for each method that the paper's table has, in its order, and for what they must beat.

    A pretext sees VGGFace2; those that need motion, which stills do not have, see the training subjects' own videos
    instead (decision D14).

    Parameters
    ----------
    table : {"table6", "table7"}
    target : {"unbc", "biovid"}
    """
    supervised = [m for m in METHODS.values() if m.kind == "supervised" and table in m.tables]
    selfsup = [m for m in METHODS.values() if m.kind == "self-supervised" and table in m.tables]
    return (
        *(Row(m.label, ("supervised", m.label), target, m.name) for m in supervised),
        *(
            Row(m.label, ("self-supervised", m.label), target, m.name, (STILLS if m.load().stills else OWN,))
            for m in selfsup
        ),
        *(Row(label, ("reference", label), target, method, published=False) for label, method in REFERENCES.items()),
    )
