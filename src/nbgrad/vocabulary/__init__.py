"""Functions built of operations, by subject; each module is imported on first need."""

import functools

from nbgrad.core.lazy import LazyModule, load
from nbgrad.core.ports import ports

pkgutil = LazyModule("pkgutil")


@functools.cache
def load_all() -> None:
    """Import every module of this folder; their declarations fill the registry."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        load(module.name)


ports.load = load_all
