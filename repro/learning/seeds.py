"""Seeds derived from named components.

A seed is a hash of what it belongs to, such as ``seed_from("unbc", fold, seed)``. Adding a method, a fold
or a worker then changes no other seed, and leaving the method's name out makes methods paired: they see the
same folds, batches and initial weights.
"""

import hashlib
import json
from numbers import Integral


def seed_from(*names: str | int) -> int:
    """Hash named components to a seed.

    Parameters
    ----------
    *names : str or int
        At least one component. Their order matters, and the text ``"1"`` differs from the number 1.

    Returns
    -------
    int
        In 0 .. 2**63 - 1, which `numpy.random.default_rng` and `torch.Generator.manual_seed` both take: the
        first 63 bits of the SHA-256 digest of the components as a JSON list. It is the same on every
        platform, in every process and for every version of Python.

    Raises
    ------
    ValueError
        Without a component, or for one that is neither text nor a whole number (a float's text form is not
        safe to hash: format it first).
    """
    if not names:
        raise ValueError("a seed needs at least one component")
    components: list[str | int] = []
    for name in names:
        if isinstance(name, str):
            components.append(str(name))
        elif isinstance(name, Integral) and not isinstance(name, bool):
            components.append(int(name))
        else:
            raise ValueError(f"a seed's component must be a str or an int, got {name!r}")
    digest = hashlib.sha256(json.dumps(components).encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
