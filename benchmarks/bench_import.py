"""Start-up: NumPy is the floor, nbgrad should be near it, and numba must not be imported."""

from __future__ import annotations


def timeraw_import_nbgrad() -> str:
    return "import nbgrad"


def timeraw_import_numpy() -> str:
    return "import numpy"


for _benchmark in (timeraw_import_nbgrad, timeraw_import_numpy):
    _benchmark.number = 1  # type: ignore[attr-defined]
    _benchmark.version = "1"  # type: ignore[attr-defined]
