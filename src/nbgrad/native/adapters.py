"""Compiled functions for libraries that want C pointers of a form of their own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from numba import carray, cfunc, njit, types

from nbgrad.core.lazy import load
from nbgrad.native.compiled import Compiled

_DOUBLES: Final = types.CPointer(types.double)
_DENSITY: Final = types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, types.voidptr)
_EXPAND: Final = types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, types.voidptr)
_RATES: Final = types.void(types.double, _DOUBLES, _DOUBLES, _DOUBLES)


def nutpie_model(compiled: Compiled, name: str = "x") -> Any:
    """Return a model that ``nutpie.sample`` draws from: *compiled* is a log-density of one vector.

    Parameters
    ----------
    compiled : Compiled
        Of a function of one float64 vector without constraints; its gradient is called by pointer.
    name : str
        Of the vector among the draws.

    Raises
    ------
    TypeError
        For a function of something else.
    ImportError
        Without nutpie.
    """
    if len(compiled.args) != 1 or np.shape(compiled.args[0]) != (np.size(compiled.args[0]),):
        raise TypeError(f"nutpie draws from a function of one vector, and this is {compiled!r}")
    function, n = compiled.value_and_grad, len(compiled.args[0])

    @cfunc(_DENSITY)
    def density(dim: Any, x: Any, out: Any, value: Any, _: Any) -> Any:
        if dim != n:
            return -1
        slope = carray(out, (n,))
        found = function(carray(x, (n,)), slope)[0]
        value[0] = found
        if not np.isfinite(found) or not np.all(np.isfinite(slope)):
            return 3  # which ends a trajectory
        return 0

    @cfunc(_EXPAND)
    def expand(dim: Any, expanded: Any, x: Any, out: Any, _: Any) -> Any:
        for k in range(n):
            out[k] = x[k]
        return 0

    start = np.asarray(compiled.args[0], np.float64)
    made = load("nutpie.compile_pymc").CompiledPyMCModel(
        dims={}, _n_dim=n, _coords={}, _shapes={name: (n,)},
        compiled_logp_func=density, compiled_expand_func=expand,
        initial_point_func=lambda seed: start + np.random.default_rng(seed).uniform(-1, 1, n),
        shared_data={}, user_data=np.zeros(1), n_expanded=n,
        shape_info=([name], [slice(0, n)], [(n,)]), logp_func=None, expand_func=SimpleNamespace(),
    )  # fmt: skip
    return made


def lsoda_rates(compiled: Compiled) -> Any:
    """Return the right-hand side of a differential equation as numbalsoda's ``lsoda`` and ``dop853`` take it.

    Parameters
    ----------
    compiled : Compiled
        Of ``f(t, y)`` or ``f(t, y, p)``, of a float and vectors.

    Returns
    -------
    CFunc
        Its ``address`` is what they want, for as long as it lives.

    Raises
    ------
    TypeError
        For a function of something else.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> from nbgrad.native.adapters import lsoda_rates
    >>> rates = lsoda_rates(ng.compile(lambda t, y: -y, 0.0, np.ones(2)))
    >>> rates.address > 0
    True
    """
    shapes = [np.shape(x) for x in compiled.args]
    if [len(shape) for shape in shapes] not in ([0, 1], [0, 1, 1]):
        raise TypeError(f"a function of time, state and parameters is needed: {compiled!r}")
    function, n = compiled.value, shapes[1][0]
    if len(shapes) == 2:

        @njit
        def called(t: Any, u: Any, du: Any, p: Any) -> None:
            function(t, carray(u, (n,)), carray(du, (n,)))

    else:
        m = shapes[2][0]

        @njit
        def called(t: Any, u: Any, du: Any, p: Any) -> None:
            function(t, carray(u, (n,)), carray(p, (m,)), carray(du, (n,)))

    @cfunc(_RATES)
    def rates(t: Any, u: Any, du: Any, p: Any) -> None:
        called(t, u, du, p)

    return rates
