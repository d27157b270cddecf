"""The one place that imports Numba for CUDA: one of two packages, or the simulator, by name.

Only what all of them have is used: arrays, kernels, shared memory, barriers, atomics on integers.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, Final

from nbgrad.core import forks
from nbgrad.errors import NO_CUDA, DeviceError

PACKAGES: Final[dict[str, Callable[[], Any]]] = {
    "numba-cuda": lambda: importlib.import_module("numba.cuda"),
    "numba-cuda-mlir": lambda: importlib.import_module("numba_cuda_mlir.cuda"),
}
SIMULATED: Final = "NUMBA_ENABLE_CUDASIM"


def module(name: str) -> Any:
    """The module ``cuda`` of the package *name*: for "auto", of the first that finds a card.

    Raises
    ------
    DeviceError
        If it is not there, or finds no card: the message says what is missing.
    """
    if name == "simulator":
        if os.environ.get(SIMULATED) != "1":
            why = f"Numba's simulator is chosen, and {SIMULATED}=1 was not set before the first import"
            raise DeviceError(NO_CUDA.format(why=why))
        return _imported("numba-cuda")
    missing = []
    for package in PACKAGES if name == "auto" else (name,):
        try:
            found = _imported(package)
        except ImportError as error:
            missing.append(f"{package} is not installed ({error})")
            continue
        if simulated() and package == "numba-cuda":
            missing.append(f"{SIMULATED}=1 replaces numba-cuda by the simulator")
        elif not found.is_available():
            missing.append(f"{package} finds no card or no driver")
        else:
            return found
    raise DeviceError(NO_CUDA.format(why="; ".join(missing)))


def compiler(name: str) -> Any:
    """The module that compiles for a card, which need not be there: for "auto" the first that is installed.

    Raises
    ------
    DeviceError
        If it is not installed.
    """
    missing = []
    for package in (name,) if name in PACKAGES else PACKAGES:
        try:
            return _imported(package)
        except ImportError as error:
            missing.append(f"{package} is not installed ({error})")
    raise DeviceError(NO_CUDA.format(why="; ".join(missing)))


def simulated() -> bool:
    """Whether Numba's own ``cuda`` is the simulator."""
    return os.environ.get(SIMULATED) == "1"


def _imported(package: str) -> Any:
    with forks.importing:
        return PACKAGES[package]()


def cupy() -> Any:
    """CuPy, or None if it is not installed or finds no card."""
    try:
        with forks.importing:
            found = importlib.import_module("cupy")
        return found if found.cuda.is_available() else None
    except ImportError:
        return None
