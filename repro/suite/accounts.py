"""Accounts of the simulated datasets: read from the store where one is complete, else of what would be written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from repro.data import open_dataset
from repro.data.accounting import Account, account
from repro.data.schema import Dataset, simulation
from repro.data.simulator import DOMAINS
from repro.suite.simulation import simulated_root
from repro.suite.spec import Scale
from repro.suite.store import Store

__all__ = ["simulated_account"]

_FULL_SIZE = "paper"
"""Scale whose simulated datasets are as large as the real ones."""


def simulated_account(
    store: Store, name: str, scale: Scale, *, strict: bool = False, opened: Callable[[str, Path], Dataset] | None = None
) -> Account:
    """Account for the simulated dataset that this scale uses.

    Parameters
    ----------
    store : Store
        Need not exist.
    name : {"unbc", "biovid"}
    scale : Scale
    strict : bool
        Whether a damaged file of a dataset on disk is an error, or told in the account.
    opened : callable, optional
        From name and root to the dataset, in place of opening it here.

    Returns
    -------
    Account
        ``planned`` if the dataset is not complete in the store.

    Raises
    ------
    ValueError
        If the store's dataset cannot be opened.
    """
    size, full_size = scale.simulated[name], scale.name == _FULL_SIZE
    root = simulated_root(store, name, size)
    if (simulation(root) or {}).get("complete") is True:
        found = opened(name, root) if opened else open_dataset(name, root, strict=strict)
        return account(found, full_size=full_size)
    from repro.data.planned import planned_account  # the renderer takes a second to import

    domain = replace(DOMAINS[name], **dict(size.changes))  # type: ignore[arg-type]
    return planned_account(domain, size.n_subjects, size.videos_per_subject, frames=size.frames, full_size=full_size)
