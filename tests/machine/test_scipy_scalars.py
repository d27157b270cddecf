"""Kernels that call SciPy's functions of scalars: addresses, the cache, threads, edge values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from subprocesses import run

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.node import leaf_node
from nbgrad.core.primitive import Primitive, bind
from nbgrad.core.registry import primitives
from nbgrad.engine.demand import demand
from nbgrad.errors import NbgradError
from nbgrad.machine import scipy_scalars
from nbgrad.ops.kinds.elementwise import arity
from nbgrad.ops.kinds.forms import Expression

load_vocabulary()
WITH_KERNEL = [
    p
    for p in primitives.values()
    if p.namespace == "special" and isinstance(p.lower, Expression) and p.lower.text
]
EDGES = [0.0, 0.1, 0.5, 0.65, 1.0, 1.5, 3.0, 9.5, 10.0, 12.0, 25.0, 31.0, 100.0, 1e5, 1e-10, 1e300]
EDGES += [np.inf, np.nan, -0.0, -0.25, -2.0, -2.5, -12.0, -40.0, -1e300, -np.inf]


def evaluated(prims: list[Primitive], tier: str, dtype: Any) -> list[tuple[Any, Any, Any]]:
    """Operands, what one program of all finds, and the references."""
    some = np.array(EDGES)[[0, 2, 4, 6, 8, 12, 16, 17, 19]]
    given = []
    for prim in prims:
        values = np.array(EDGES) if arity(prim) < 3 else some
        with np.errstate(over="ignore"):
            values = values.astype(dtype)
        pairs = np.meshgrid(*[values] * arity(prim))
        given.append([v.reshape(-1).copy() for v in pairs])
    with ng.configure(tier=tier):
        nodes = [
            bind(p, *map(leaf_node, xs), **(p.cases or ({},))[0])
            for p, xs in zip(prims, given, strict=True)
        ]
        demand(nodes)
    with np.errstate(all="ignore"):
        wanted = [
            p.evaluate(*xs, **(p.cases or ({},))[0]) for p, xs in zip(prims, given, strict=True)
        ]
    return [(xs, n.value, w) for xs, n, w in zip(given, nodes, wanted, strict=True)]


# Exponentials of large numbers, whose rounding is a relative error of theirs.
ROUNDINGS = dict.fromkeys(("beta", "gamma_kernel", "beta_kernel"), 1000.0)


@pytest.mark.filterwarnings("ignore:floating point number truncated to an integer")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_edge_values_are_those_of_the_reference(dtype: Any) -> None:
    for n in (1, 2, 3):
        prims = [p for p in WITH_KERNEL if arity(p) == n]
        for prim, (xs, found, wanted) in zip(prims, evaluated(prims, "fused", dtype), strict=True):
            rtol = ROUNDINGS.get(prim.name, 6.0) * float(np.finfo(dtype).eps)
            where = f"{prim.name} of {[x[:3] for x in xs]}"
            tiny = float(np.finfo(dtype).tiny)  # vector code may flush what is smaller
            assert_allclose(found, wanted, rtol=rtol, atol=tiny, err_msg=where)


STORED = """
    import nbgrad as ng
    from nbgrad.machine import compile
    x = np.linspace(-2.0, 2.0, 7)
    def f(x):
        return ng.special.ndtr(x) * 2.0 + ng.special.kl_div(ng.exp(x), 1.5) + ng.special.erfc(x)
    y = ng.jit(f)(x)
    from scipy import special
    expected = special.ndtr(x) * 2.0 + special.kl_div(np.exp(x), 1.5) + special.erfc(x)
    assert np.allclose(y, expected, rtol=1e-13), (y, expected)
    print("nbgrad.machine.object_code" in sys.modules, special.ndtr.__name__)
"""


def test_stored_code_finds_the_addresses_of_another_process(tmp_path: Path) -> None:
    assert run(STORED, NBGRAD_CACHE_DIR=tmp_path) == "True ndtr\n"
    assert run(STORED, NBGRAD_CACHE_DIR=tmp_path) == "False ndtr\n"


def test_stored_code_holds_no_address() -> None:
    names = {"scipy_ndtr": scipy_scalars.SCIPY["scipy_ndtr"]}
    assert list(scipy_scalars.imports(names)) == ["nbgrad_scipy_ndtr"]
    assert not scipy_scalars.imports({})


def test_every_function_has_an_address() -> None:
    found = scipy_scalars.imports(scipy_scalars.SCIPY)
    assert len(found) == len(scipy_scalars.SCIPY) and all(found.values())


def test_a_function_that_scipy_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scipy_scalars.OPERANDS, "no_such_function", 2)
    with pytest.raises(NbgradError, match=r"no no_such_function of the type double \\\(double, d"):
        scipy_scalars._address("no_such_function")


def test_errors_that_scipy_reports_do_not_hang_or_crash() -> None:
    output = run(
        """
        import warnings
        import faulthandler; faulthandler.dump_traceback_later(60, exit=True)
        from scipy import special
        import nbgrad as ng
        x = np.full(200_000, -1.0)  # on several threads
        f = ng.jit(lambda x: ng.special.gammaln(x) + 1.0)
        f(x)
        special.seterr(all="warn")
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            print(np.isinf(f(x)).all())
        """
    )
    assert output == "True\n"
