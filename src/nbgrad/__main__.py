"""``python -m nbgrad``: versions, cache, threads and devices of this installation, and a test that it works.

What to put into a report of a fault. The exit status is 1 if the test fails.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from typing import Any

import numpy as np

import nbgrad as ng
from nbgrad import cache
from nbgrad.config import Config, settings
from nbgrad.errors import NbgradError
from nbgrad.machine.threads import max_threads

_PACKAGES = ("numpy", "numba", "llvmlite", "scipy")


def _versions() -> list[str]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name}: not installed")
    return found


def _devices() -> str:
    try:
        ng.ones(1).to("cuda")
    except NbgradError as error:
        return f"cpu; no cuda: {error}"
    return "cpu, cuda"


def _changed() -> str:
    """Settings that are not the default, and variables that make them so."""
    plain, now = vars(Config()), vars(settings.current)
    found = [f"{name}={now[name]!r}" for name in now if now[name] != plain[name]]
    found += [
        f"{name}={os.environ[name]}" for name in sorted(os.environ) if name.startswith("NBGRAD_")
    ]
    return ", ".join(found) or "default"


def _waves(x: Any) -> Any:
    return np.sin(x) * np.exp(-x)


def _works() -> tuple[bool, str]:
    """Whether a compiled gradient is right, and how long it took to compile and takes to call."""
    x = np.linspace(0.1, 1.0, 1000)
    slope = ng.jit(ng.grad(lambda x: _waves(x).sum()))
    started = time.perf_counter()
    found = slope(x)
    compiled = time.perf_counter()
    slope(x)
    called = time.perf_counter()
    h = 1e-6
    wrong = float(np.max(np.abs(found - (_waves(x + h) - _waves(x - h)) / (2 * h))))
    took = f"compiled in {compiled - started:.2f} s, called in {1e6 * (called - compiled):.0f} µs"
    return wrong < 1e-8, f"gradient {'right' if wrong < 1e-8 else f'WRONG by {wrong:.1e}'}, {took}"


def main() -> int:
    """Print the report; the exit status."""
    files, total = cache.size()
    right, test = _works()
    rows = {
        "nbgrad": f"{ng.__version__} in {os.path.dirname(ng.__file__)}",
        "python": f"{platform.python_version()}, {platform.platform()}",
        "packages": ", ".join(_versions()),
        "threads": f"{ng.get_num_threads()} of {max_threads()}, {os.cpu_count()} processors",
        "cache": f"{cache.directory() or 'in memory only'}, {files} files, {total / 2**20:.1f} MiB",
        "devices": _devices(),
        "settings": _changed(),
        "test": test,
    }
    for name, text in rows.items():
        print(f"{name:9} {text}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
