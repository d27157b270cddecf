"""NumPy's functions on tensors: ``import nbgrad.numpy as np`` runs a NumPy script, recorded.

The namespace follows the Array API standard 2024.12 as NumPy 2 does. Names that hold no function
of arrays (dtypes, constants, ``errstate``, ``set_printoptions`` ...) are NumPy's own.
"""

from collections.abc import Callable
from typing import Any

import numpy as _numpy

from nbgrad.core.lazy import load
from nbgrad.numpy import fft, linalg
from nbgrad.numpy.array_api import ARRAY_API_VERSION as __array_api_version__
from nbgrad.numpy.array_api import array_namespace_info as __array_namespace_info__
from nbgrad.numpy.array_api import asanyarray, asarray, finfo, iinfo
from nbgrad.tensors.namespaces import lookup

__all__ = ["__array_api_version__", "__array_namespace_info__", "asanyarray", "asarray", "fft"]
__all__ += ["finfo", "iinfo", "linalg"]

_declared: Callable[[str], Any]
_declared, _names = lookup("numpy", globals())


def __getattr__(name: str) -> Any:
    if name == "random":  # costs more than all of this namespace
        return load("nbgrad.numpy.random")
    try:
        return _declared(name)
    except AttributeError:
        # NumPy's functions of arrays refuse tensors by name, so none of them cuts a gradient.
        if name.startswith("_") or not hasattr(_numpy, name):
            raise
        return getattr(_numpy, name)


def __dir__() -> list[str]:
    return sorted({*_names(), *__all__, *(n for n in dir(_numpy) if n[0] != "_")})
