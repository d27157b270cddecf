"""What HIPS autograd and JAX have of NumPy's numeric functions: writes peers.json.

    python tools/measure_peers.py        in an environment with nbgrad's ``peers`` extra

A peer has a function if one of the calls that nbgrad's declaration lists runs (or, where none is
listed, if the name is there), and differentiates it if the gradient of one of those calls, by all
its floating-point arrays, is finite.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from listed_calls import Call, declaration, floating, listed_calls, nests, with_floating
from numpy_names import MODULES, numeric_functions

from nbgrad.core.lookup import load_vocabulary

Array = np.ndarray[Any, Any]


class Autograd:
    """HIPS autograd."""

    name, package = "autograd", "autograd"

    def __init__(self) -> None:
        self.modules = self._modules("autograd.numpy")
        self.xp = self.modules["numpy"]
        self.grad = importlib.import_module("autograd").grad

    def _modules(self, root: str) -> dict[str, Any]:
        parts = {"numpy": root, "linalg": f"{root}.linalg", "fft": f"{root}.fft"}
        return {key: importlib.import_module(path) for key, path in parts.items()}

    def gradient(self, total: Callable[[list[Any]], Any], arrays: list[Array]) -> Any:
        return self.grad(total)(arrays)


class Jax(Autograd):
    """JAX, in double precision."""

    name, package = "JAX", "jax"

    def __init__(self) -> None:
        jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        self.modules = self._modules("jax.numpy")
        self.xp = self.modules["numpy"]
        self.grad = jax.grad


def total_of(peer: Autograd, function: Any, nest: Call) -> Callable[[list[Any]], Any]:
    """The sum of the (squared, if complex) results, as a function of the float arrays."""

    def total(arrays: list[Any]) -> Any:
        args, kwargs = with_floating(nest, iter(arrays))
        out: Any = 0.0
        for y in nests.leaves(function(*args, **kwargs)):
            kind = np.dtype(y.dtype).kind
            if kind == "c":
                out = out + peer.xp.sum(peer.xp.real(y) + 0.5 * peer.xp.imag(y))
            elif kind == "f":
                out = out + peer.xp.sum(y)
        return out

    return total


def runs(function: Any, nest: Call) -> bool:
    try:
        function(*nest[0], **nest[1])
    except Exception:
        return False
    return True


def differentiates(peer: Autograd, function: Any, nest: Call) -> bool:
    arrays = floating(nest)
    if not arrays or any(a.dtype.kind == "c" for a in arrays):
        return False
    try:
        gradient = peer.gradient(total_of(peer, function, nest), arrays)
    except Exception:
        return False
    return all(bool(np.all(np.isfinite(np.asarray(g)))) for g in gradient)


def measure(peer: Autograd) -> dict[str, Any]:
    has, smooth = [], []
    for module, names in numeric_functions().items():
        for name in names:
            function = getattr(peer.modules[module], name, None)
            title = f"numpy.{name}" if module == "numpy" else f"numpy.{module}.{name}"
            reference = getattr(MODULES[module], name)
            calls = listed_calls(declaration(module, name, reference))
            if function is None or (calls and not any(runs(function, c) for c in calls)):
                continue
            has.append(title)
            if any(differentiates(peer, function, c) for c in calls):
                smooth.append(title)
    return {"version": version(peer.package), "has": has, "differentiates": smooth}


def main() -> int:
    warnings.simplefilter("ignore")
    load_vocabulary()
    found = {}
    for kind in (Autograd, Jax):
        found[kind.name] = measure(kind())
        print(kind.name, {k: len(v) for k, v in found[kind.name].items() if k != "version"})
    path = Path(__file__).with_name("peers.json")
    path.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
