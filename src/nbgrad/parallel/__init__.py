"""Many tasks at once: on threads, processes, joblib, Dask, Ray or MPI, with the bits of a serial run."""

from nbgrad.parallel.fits import Starts, bootstrap, cross_validate, multistart
from nbgrad.parallel.running import map
from nbgrad.parallel.sums import ShardedSum, tree_sum

__all__ = [
    "ShardedSum", "Starts", "bootstrap", "cross_validate", "map", "multistart",
    "tree_sum",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
