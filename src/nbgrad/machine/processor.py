"""Which processor machine code is for, said without LLVM, which takes longer to ask than all else in a key."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from typing import Final

from nbgrad.core.lazy import load
from nbgrad.machine import lljit

# Maker, family, model and every feature of the first processor, in one line of Linux's. Those of other makers' than
# x86's do not say the model.
_LINE: Final = "/sys/devices/system/cpu/modalias"
_WHOLE: Final = "cpu:type:x86,"


@cache
def identity() -> str:
    """What tells apart processors, and versions of LLVM, that different machine code is made for."""
    try:
        with open(_LINE, encoding="utf-8") as stream:
            said = stream.read()
    except (OSError, UnicodeDecodeError):  # no such file: another system, or a closed one
        said = ""
    return f"{said} {version('llvmlite')}" if said.startswith(_WHOLE) else of_llvm()


def of_llvm() -> str:
    """The same as LLVM says it."""
    host = lljit.host()
    return f"{host.triple} {host.cpu} {host.features} {host.llvmlite}"


@cache
def version(package: str) -> str:
    """The version of a package, without importing it, nor the slow ``importlib.metadata``."""
    spec = importlib.util.find_spec(package)
    if spec is not None and spec.origin is not None:
        for entry in os.listdir(os.path.dirname(os.path.dirname(spec.origin))):
            if entry.startswith(f"{package}-") and entry.endswith(".dist-info"):
                return entry.removesuffix(".dist-info")
    return str(load("importlib.metadata").version(package))
