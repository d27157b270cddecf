"""The vocabulary is imported when something asks for a function nobody has declared yet.

Most programs need little of it, and all of it would double the time of ``import nbgrad``.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from nbgrad.core.ports import ports
from nbgrad.core.registry import by_reference, functions, primitives, register_reference


def load_vocabulary() -> None:
    """Declare all public functions: the modules of the vocabulary fill the registry."""
    ports.load()


def ours(reference: Any) -> Any:
    """Our function of nodes for NumPy's or SciPy's *reference*, or None."""
    found = _known(reference)
    if found is None:
        load_vocabulary()
        found = _known(reference)
    return found


def _known(reference: Any) -> Any:
    found = by_reference.get(reference)
    if found is None and isinstance(reference, np.ufunc):
        return _special(reference)
    return found


def _special(ufunc: np.ufunc) -> Any:
    """Our function for a ufunc of scipy.special: the same object under the same name there.

    A user who holds one has imported the module.
    """
    module = sys.modules.get("scipy.special")
    declared = functions.get("special", {})
    special = [p.name for p in primitives.values() if p.public and p.namespace == "special"]
    for name in (*declared, *special):
        if getattr(module, name, None) is ufunc:
            found = declared[name].implementation if name in declared else primitives[name]
            register_reference(ufunc, found)
            return found
    return None
