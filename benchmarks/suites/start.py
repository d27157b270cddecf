"""Fresh processes: the import, the first gradient, and what compiling takes once a compiler is there."""

from __future__ import annotations

from benchmarks import fresh


def timeraw_import_nbgrad() -> tuple[str, str]:
    """Statement and setup, for an interpreter that knows nothing of this one's paths."""
    folder = str(fresh.package_folder())
    return "import nbgrad", f"import sys; sys.path.insert(0, {folder!r})"


def timeraw_import_numpy() -> str:
    return "import numpy"


for _benchmark in (timeraw_import_nbgrad, timeraw_import_numpy):
    _benchmark.number = 1  # type: ignore[attr-defined]
    _benchmark.repeat = 5  # type: ignore[attr-defined]
    _benchmark.rounds = 1  # type: ignore[attr-defined]
    _benchmark.version = "1"  # type: ignore[attr-defined]


class FirstGradient:
    """Import, record, differentiate, compile, run: a chain of 20 operations on 1000 elements."""

    params = (("backward", "jit"), ("empty", "warm"))
    param_names = ("how", "cache")
    unit = "s"
    version = "1"

    def track_first_gradient(self, how: str, cache: str) -> float:
        return fresh.first_gradient_seconds(how, warm=cache == "warm")


class Compile:
    """The first call of a gradient by ``jit``, with an empty cache, after that of another function."""

    params = tuple(fresh.COMPILED)
    param_names = ("program",)
    unit = "s"
    version = "1"

    def track_compile(self, program: str) -> float:
        return fresh.on_an_empty_cache(f"compile-{program}")["seconds"]
