"""Start-up: NumPy is the floor, nbgrad should be near it, and numba must not be imported."""

from __future__ import annotations

from benchmarks.fresh import package_folder


def timeraw_import_nbgrad() -> tuple[str, str]:
    """Statement and setup, for an interpreter that knows nothing of this one's paths."""
    return "import nbgrad", f"import sys; sys.path.insert(0, {str(package_folder())!r})"


def timeraw_import_numpy() -> str:
    return "import numpy"


for _benchmark in (timeraw_import_nbgrad, timeraw_import_numpy):
    _benchmark.number = 1  # type: ignore[attr-defined]
    _benchmark.version = "1"  # type: ignore[attr-defined]
