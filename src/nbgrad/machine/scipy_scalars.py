"""SciPy's special functions of scalars, which kernels call as machine code.

SciPy publishes the addresses of its C functions as capsules, with their C types for a name
(``scipy.special.cython_special.__pyx_capi__``). Machine code knows them as symbols, such as
``nbgrad_scipy_ndtr``; an address is looked up when code is loaded into a process that needs it, so
what is stored on disk holds none. The functions here are their meaning in plain Python.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Final

from nbgrad.core.lazy import LazyModule, load
from nbgrad.errors import NbgradError

special = LazyModule("scipy.special")
PREFIX: Final = "scipy_"
SYMBOL: Final = "nbgrad_"

_BY_OPERANDS: Final = {
    1: "j0 j1 y0 y1 i0 i1 i0e i1e k0 k1 k0e k1e logit cosm1 exprel erfc erfcx erfi dawsn erfinv "
    "erfcinv ndtr log_ndtr ndtri exp1 expi digamma gamma rgamma gammaln loggamma gammasgn",
    2: "jv yv iv ive kv kve rel_entr kl_div boxcox boxcox1p pseudo_huber expn beta betaln binom "
    "poch gammainc gammaincc gammaincinv gammainccinv stdtr stdtrit",
    3: "betainc betaincc betaincinv",
    4: "hyp2f1",
}
OPERANDS: Final = {name: n for n, names in _BY_OPERANDS.items() for name in names.split()}
# Two results, through pointers.
PAIRS: Final = ("fresnel",)
_OTHER_NAMES: Final = {"digamma": "psi"}


_SHAPES: Final[dict[int, Callable[..., Any]]] = {
    1: lambda a: special.name(a),
    2: lambda a, b: special.name(a, b),
    3: lambda a, b, c: special.name(a, b, c),
    4: lambda a, b, c, d: special.name(a, b, c, d),
}


def _plain(name: str, count: int) -> Callable[..., Any]:
    """What the machine code of *name* computes: a function of this module, as others may copy.

    Bytecode under another name: to compile 71 texts took a tenth of a first call of ``jit``.
    """
    own = PREFIX + name
    code = _SHAPES[count].__code__.replace(
        co_name=own, co_qualname=own, co_names=("special", name)
    )
    found: Callable[..., Any] = FunctionType(code, globals(), own)
    globals()[own] = found
    return found


SCIPY: Final[dict[str, Callable[..., Any]]] = {
    PREFIX + name: _plain(name, count) for name, count in OPERANDS.items()
} | {PREFIX + name: _plain(name, 1) for name in PAIRS}


def _type(name: str) -> str:
    """The C type of a function, as a regular expression."""
    if name in PAIRS:
        return r"void \(double, double \*, double \*\)"
    return rf"double \({'double, ' * OPERANDS[name]}int __pyx_skip_dispatch\)"


def _address(name: str) -> int:
    capsules = load("scipy.special.cython_special").__pyx_capi__
    c_name = _OTHER_NAMES.get(name, name)
    naming, following = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    naming.restype, naming.argtypes = ctypes.c_char_p, [ctypes.py_object]
    following.restype, following.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    for key, capsule in capsules.items():
        if re.fullmatch(rf"(?:__pyx_fuse_\d)?{c_name}", key):
            kind = naming(capsule)
            if re.fullmatch(_type(name), kind.decode()):
                return int(following(capsule, kind))
    raise NbgradError(
        f"scipy.special.cython_special has no {c_name} of the type {_type(name)}: this SciPy "
        f"({load('scipy').__version__}) is not one that nbgrad knows"
    )


_reached: dict[Callable[..., Any], frozenset[str]] = {}


def _reaches(helper: Callable[..., Any]) -> frozenset[str]:
    """The names of SciPy's functions that a helper calls, itself or through others."""
    found = _reached.get(helper)
    if found is None:
        name = helper.__name__
        if SCIPY.get(name) is helper:
            return frozenset([name.removeprefix(PREFIX)])
        _reached[helper] = frozenset()  # of a helper that calls itself
        names = helper.__globals__
        called = [names.get(n) for n in helper.__code__.co_names]
        found = _reached[helper] = frozenset[str]().union(
            *(_reaches(f) for f in called if isinstance(f, FunctionType))
        )
    return found


_known: dict[str, int] = {}


def imports(helpers: Mapping[str, Callable[..., Any]]) -> dict[str, int]:
    """The addresses of what code with these helpers calls, by symbol."""
    found = {}
    for name in sorted(frozenset[str]().union(*map(_reaches, helpers.values()))):
        if name not in _known:
            _known[name] = _address(name)
        found[SYMBOL + PREFIX + name] = _known[name]
    return found
