"""What declares a distribution: its standard form; its methods are derived and declared from that.

    declare(
        Family(
            "expon",
            logpdf=lambda z: -z,
            support=(0.0, inf),
            cdf=lambda z: -expm1(-z),
            sample=lambda d: (d.positive(3),),
        )
    )

gives ``nbgrad.stats.expon.logpdf``, ``pdf``, ``cdf``, ``sf``, ``logcdf`` and ``logsf`` with the
arguments of ``scipy.stats``, each a function of the registry, with its tests.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbgrad.core.lazy import LazyModule
from nbgrad.core.node import Node, constant
from nbgrad.core.operands import as_operand
from nbgrad.core.ports import ports
from nbgrad.core.registry import functions, register_object
from nbgrad.ops.elements.arithmetic import exp, floor_divide, log
from nbgrad.ops.elements.comparison import equal, greater, greater_equal, less_equal, logical_and
from nbgrad.ops.elements.exponential import log1p
from nbgrad.ops.elements.selection import where
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.composite import astype
from nbgrad.vocabulary.shapes import as_node

stats = LazyModule("scipy.stats")
Form = Callable[..., Any]
POSITIVE = "positive"


@dataclass(frozen=True)
class Family:
    """A distribution in standard form (loc 0, scale 1), as functions of nodes.

    Attributes
    ----------
    name : str
        That of ``scipy.stats``.
    logpdf : callable
        ``logpdf(z, *shapes)`` inside the support; of a discrete family ``logpmf(k, *shapes)``.
    shapes : tuple of str
        Names of the shape parameters, in SciPy's order.
    support : tuple of float, or callable
        Its ends, which belong to it; ``support(*shapes)`` if they depend on the shapes.
    inside : float or callable
        A point in the support: elsewhere, the formulas are evaluated there instead.
    valid : callable
        ``valid(*shapes)``: which shapes are allowed; NaN elsewhere. Positive ones by default.
    cdf, sf, logcdf, logsf, ppf, isf : callable, optional
        In standard form, too. What is missing follows from the others where that is accurate.
    sample : callable
        ``sample(d)`` is a point and the shapes, for tests: see ``vocabulary/declare.py``.
    discrete : bool
    """

    name: str
    logpdf: Form
    sample: Callable[[Any], tuple[Any, ...]]
    shapes: tuple[str, ...] = ()
    support: Any = (-math.inf, math.inf)
    inside: Any = 0.5
    valid: Form | None = None
    cdf: Form | None = None
    sf: Form | None = None
    logcdf: Form | None = None
    logsf: Form | None = None
    ppf: Form | None = None
    isf: Form | None = None
    discrete: bool = False

    def ends(self, shapes: tuple[Any, ...]) -> tuple[Any, Any]:
        return self.support(*shapes) if callable(self.support) else self.support

    def within(self, z: Any, shapes: tuple[Any, ...]) -> tuple[Any, Any]:
        """Where *z* lies in the support, and *z* there with a point of it elsewhere."""
        low, high = self.ends(shapes)
        held = logical_and(greater_equal(z, low), less_equal(z, high))
        if self.discrete:
            held = logical_and(held, equal(z, floor_divide(z, 1)))
        inside = self.inside(*shapes) if callable(self.inside) else self.inside
        return held, where(held, z, inside)

    def allowed(self, shapes: tuple[Any, ...], scale: Any) -> Any:
        """Where the parameters are those of a distribution."""
        good = greater(as_node(scale), 0)
        if self.valid is not None:
            return logical_and(good, self.valid(*shapes))
        for shape in shapes:
            good = logical_and(good, greater(shape, 0))
        return good


Method = Callable[[Family, Any, tuple[Any, ...], Any, Any], Any]


def _logpdf(f: Family, x: Any, shapes: tuple[Any, ...], loc: Any, scale: Any) -> Any:
    given = (x - loc) / scale
    held, z = f.within(given, shapes)
    value = f.logpdf(z, *shapes)
    value = where(held, value if f.discrete else value - log(scale), -math.inf)
    good = logical_and(f.allowed(shapes, scale), equal(given, given))
    return where(good, value, math.nan)


def _pdf(f: Family, x: Any, shapes: tuple[Any, ...], loc: Any, scale: Any) -> Any:
    return exp(_logpdf(f, x, shapes, loc, scale))


def _distribution(form: Form, left: float, right: float) -> Method:
    """A method from its standard *form*, with its values left and right of the support."""

    def method(f: Family, x: Any, shapes: tuple[Any, ...], loc: Any, scale: Any) -> Any:
        z = (x - loc) / scale
        low, high = f.ends(shapes)
        # A discrete distribution function is 1 at the last point; formulas may fail there.
        above = greater_equal(z, high)
        below = less_equal(z, low) if not f.discrete else greater(low, z)
        inside = f.inside(*shapes) if callable(f.inside) else f.inside
        safe = where(below, inside, where(above, inside, z))
        safe = floor_divide(safe, 1) if f.discrete else safe
        value = where(below, left, where(above, right, form(safe, *shapes)))
        value = where(equal(z, z), value, math.nan)
        return where(f.allowed(shapes, scale), value, math.nan)

    return method


def _quantile(form: Form, first: int) -> Method:
    """Ppf or isf: ends of the support at 0 and 1 (*first* says which comes at 0), NaN outside."""

    def method(f: Family, q: Any, shapes: tuple[Any, ...], loc: Any, scale: Any) -> Any:
        ends = f.ends(shapes)
        inside = logical_and(greater(q, 0), greater(1, q))
        value = form(where(inside, q, 0.5), *shapes)
        value = where(equal(q, 0), ends[first], where(equal(q, 1), ends[1 - first], value))
        possible = logical_and(greater_equal(q, 0), less_equal(q, 1))
        value = where(logical_and(possible, f.allowed(shapes, scale)), value, math.nan)
        return value * scale + loc

    return method


def _log_of(form: Form, complement: Form) -> Form:
    """Logarithm of *form*, by that of 1 less its complement where it is close to 0."""

    def logarithm(z: Any, *shapes: Any) -> Any:
        small, rest = form(z, *shapes), complement(z, *shapes)
        near = greater(small, 0.5)
        return where(near, log1p(-where(near, rest, 0.5)), log(where(near, 0.5, small)))

    return logarithm


def _derived(f: Family) -> dict[str, Method]:
    """The methods of *f*, by SciPy's names."""
    density, log_density = ("pmf", "logpmf") if f.discrete else ("pdf", "logpdf")
    methods: dict[str, Method] = {log_density: _logpdf, density: _pdf}
    if f.cdf is not None:
        cdf = f.cdf
        sf = f.sf or (lambda z, *shapes: 1 - cdf(z, *shapes))
        logcdf = f.logcdf or _log_of(cdf, sf)
        logsf = f.logsf or _log_of(sf, cdf)
        methods["cdf"] = _distribution(cdf, 0.0, 1.0)
        methods["sf"] = _distribution(sf, 1.0, 0.0)
        methods["logcdf"] = _distribution(logcdf, -math.inf, 0.0)
        methods["logsf"] = _distribution(logsf, 0.0, -math.inf)
    if f.ppf is not None:
        ppf = f.ppf
        isf = f.isf or (lambda q, *shapes: ppf(1 - q, *shapes))
        methods["ppf"] = _quantile(ppf, 0)
        methods["isf"] = _quantile(isf, 1)
    return methods


class Distribution:
    """The methods that the registry holds for one distribution.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor(1.0, requires_grad=True)
    >>> ng.stats.norm.logpdf(x, loc=3.0).backward()
    >>> x.grad.item()
    2.0
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        space = ports.namespace("stats")
        found = None if method[0] == "_" else getattr(space, f"{self._name}.{method}", None)
        if found is None:
            held = ", ".join(n for n in dir(self) if not n.startswith("_"))
            raise AttributeError(
                f"nbgrad.stats.{self._name} has no {method!r}; it has {held}. scipy.stats has more, "
                "for arrays without a gradient"
            )
        return found

    def __dir__(self) -> list[str]:
        prefix = f"{self._name}."
        held = [n.removeprefix(prefix) for n in functions["stats"] if n.startswith(prefix)]
        return sorted([*super().__dir__(), *held])

    def __repr__(self) -> str:
        return f"<nbgrad.stats.{self._name}>"


TITLES = {
    "logpdf": "Logarithm of the density at *x*; -inf with derivative 0 outside the support",
    "logpmf": "Logarithm of the probability of *k*; -inf with derivative 0 outside the support",
    "pdf": "Density at *x*; 0 with derivative 0 outside the support",
    "pmf": "Probability of *k*; 0 outside the support",
    "cdf": "Probability of at most *x*",
    "sf": "Probability of more than *x*, accurate where it is small if SciPy's is",
    "logcdf": "Logarithm of the probability of at most *x*",
    "logsf": "Logarithm of the probability of more than *x*",
    "ppf": "Quantile: the inverse of cdf",
    "isf": "Upper quantile: the inverse of sf",
}


def declare(f: Family) -> Family:
    """Declare every method of *f* in the namespace ``stats``, as ``name.method``."""
    for name, method in _derived(f).items():
        implementation = _public(f, name, method)
        declared = function(
            "stats",
            scipy_method(f.name, name),
            name=f"{f.name}.{name}",
            cases=_cases(f, name),
        )
        declared(implementation)
    register_object("stats", f.name, Distribution(f.name))
    return f


def _public(f: Family, name: str, method: Method) -> Callable[..., Node]:
    """*method* as a function of x, the shapes, loc and scale."""
    first = "q" if name in ("ppf", "isf") else "k" if f.discrete else "x"
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(p, kind) for p in (first, *f.shapes)]
    parameters.append(inspect.Parameter("loc", kind, default=0))
    if not f.discrete:
        parameters.append(inspect.Parameter("scale", kind, default=1))
    signature = inspect.Signature(parameters)

    def implementation(*args: Any, **kwargs: Any) -> Node:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        x, *rest = in_one_dtype(*(bound.arguments[p.name] for p in parameters))
        shapes, (loc, *scale) = rest[: len(f.shapes)], rest[len(f.shapes) :]
        return as_node(method(f, x, tuple(shapes), loc, *(scale or (1.0,))))

    implementation.__name__ = implementation.__qualname__ = name
    implementation.__doc__ = f"{TITLES[name]} (``scipy.stats.{f.name}``)."
    implementation.__signature__ = signature  # type: ignore[attr-defined]
    return implementation


def in_one_dtype(*xs: Any) -> list[Any]:
    """The operands as nodes of one floating-point dtype, which Python numbers do not decide."""
    nodes = [as_operand(x) for x in xs]
    dtypes = [x.dtype for x in nodes if isinstance(x, Node)]
    dtype = np.result_type(*dtypes) if dtypes else np.dtype(np.float64)
    dtype = dtype if dtype.kind in "fc" else np.dtype(np.float64)
    return [
        astype(x, dtype) if isinstance(x, Node) else constant(np.asarray(x, dtype)) for x in nodes
    ]


def scipy_method(distribution: str, method: str) -> Callable[..., Any]:
    """The oracle: SciPy's method, rounded to the dtype of the arrays (SciPy returns float64)."""

    def reference(*args: Any, **kwargs: Any) -> Any:
        given = [a for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)]
        dtype = np.result_type(*given) if given else np.dtype(np.float64)
        found = getattr(getattr(stats, distribution), method)(
            *(_wide(a) for a in args), **{k: _wide(a) for k, a in kwargs.items()}
        )
        return np.asarray(found).astype(dtype if dtype.kind == "f" else np.float64)

    return reference


def _wide(x: Any) -> Any:
    return np.asarray(x, np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def _cases(f: Family, name: str) -> Callable[[Any], list[Any]]:
    def cases(d: Any) -> list[Any]:
        x, *shapes = f.sample(d)
        if name in ("ppf", "isf"):
            x = d.unit(*np.shape(x))
        if f.discrete:
            return [call(x + 1, *shapes, loc=1)]
        scale = d.positive() + x.dtype.type(0.5)
        loc = 0.25 * d.positive()
        moved = x if name in ("ppf", "isf") else x * scale + loc
        plain = [call(x, *shapes)] if name == "logpdf" else []
        return [*plain, call(moved, *shapes, loc=loc, scale=scale)]

    return cases
