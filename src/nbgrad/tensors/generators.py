"""Generators of random numbers, whose draws gradients pass through.

The random numbers are constants of what is recorded: evaluating it again, or differentiating it
any number of times, uses the same ones. ``jit`` would freeze them for all later calls, so a draw
inside a traced function raises.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np

from nbgrad.core.lazy import LazyModule
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, constant
from nbgrad.core.values import value_of
from nbgrad.errors import DRAWN_IN_TRACE, ConcretizationError
from nbgrad.ops.elements.activations import sigmoid
from nbgrad.ops.elements.arithmetic import exp, log, sqrt
from nbgrad.ops.linalg.products import matmul
from nbgrad.tensors.creation import generator
from nbgrad.tensors.namespaces import find
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.elements.composite import softmax
from nbgrad.vocabulary.shapes import as_node, reshape, transpose

# Importing nbgrad does not load the special functions.
incomplete = LazyModule("nbgrad.ops.special.incomplete")

Size = int | tuple[int, ...] | None


def default_rng(seed: Any = None) -> Generator:
    """Return a generator made of a seed, of None or of NumPy's, or *seed* if it is one (SPEC 7).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.random.default_rng(0).normal(3.0, 0.0).item()
    3.0
    """
    if isinstance(seed, Generator):
        return seed
    if modes.tracing:
        raise ConcretizationError(DRAWN_IN_TRACE)
    return Generator(np.random.default_rng(seed))


def _node(x: Any) -> Node:
    node = as_node(x)
    return node if node.aval.inexact else node * 1.0


class Generator:
    """Draws of the distributions of ``numpy.random.Generator``, as tensors.

    Continuous draws are differentiable in their parameters: by location and scale, by the
    inverse distribution function, or for the gamma family by moving the draw along with its
    quantile (implicit reparameterisation, Figurnov et al. 2018). Discrete draws have no gradient.
    Except for beta, dirichlet, standard_t and multivariate_normal the numbers are NumPy's.

    Parameters
    ----------
    numpy : numpy.random.Generator
        Where the random numbers come from.

    Examples
    --------
    >>> import nbgrad as ng
    >>> rng = ng.random.default_rng(0)
    >>> mu = ng.tensor(3.0, requires_grad=True)
    >>> rng.normal(mu, 2.0, size=100).sum().backward()
    >>> mu.grad
    tensor(100.)
    """

    def __init__(self, numpy: np.random.Generator) -> None:
        self.numpy = numpy

    # --------------------------------------------------------------------------------- sources

    def _drawn(self, name: str, size: Size, params: tuple[Any, ...], *args: Any) -> Node:
        """Numbers of NumPy's method *name*, of shape *size* or that of the parameters."""
        if modes.tracing:
            raise ConcretizationError(DRAWN_IN_TRACE)
        shape = np.broadcast_shapes(*(p.shape for p in params)) if size is None else size
        return constant(getattr(self.numpy, name)(*args, size=shape))

    def _values(self, *params: Node) -> list[Any]:
        """The values of *params*, which NumPy's own methods need."""
        if modes.tracing:
            raise ConcretizationError(DRAWN_IN_TRACE)
        return [value_of(p) for p in params]

    # --------------------------------------------------------------------- location and scale

    def random(self, size: Size = None) -> Tensor:
        """Uniform draws from [0, 1)."""
        return Tensor(self._drawn("random", size, ()))

    def standard_normal(self, size: Size = None) -> Tensor:
        """Draws of the normal distribution of mean 0 and deviation 1."""
        return Tensor(self._drawn("standard_normal", size, ()))

    def standard_exponential(self, size: Size = None) -> Tensor:
        """Draws of the exponential distribution of mean 1."""
        return Tensor(self._drawn("standard_exponential", size, ()))

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Size = None) -> Tensor:
        """Uniform draws from [low, high), differentiable in both."""
        low, high = _node(low), _node(high)
        return Tensor(low + (high - low) * self._drawn("random", size, (low, high)))

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Size = None) -> Tensor:
        """``loc + scale * z`` for standard normal z.

        Examples
        --------
        >>> import nbgrad as ng
        >>> mu = ng.tensor(1.0, requires_grad=True)
        >>> ng.random.normal(mu, 2.0, size=5, rng=0).mean().backward()
        >>> mu.grad.item()
        1.0
        """
        loc, scale = _node(loc), _node(scale)
        return Tensor(loc + scale * self._drawn("standard_normal", size, (loc, scale)))

    def lognormal(self, mean: Any = 0.0, sigma: Any = 1.0, size: Size = None) -> Tensor:
        """Exponential of a normal draw."""
        return Tensor(exp(self.normal(mean, sigma, size)._node))

    def exponential(self, scale: Any = 1.0, size: Size = None) -> Tensor:
        """``scale`` times a standard exponential draw."""
        scale = _node(scale)
        return Tensor(scale * self._drawn("standard_exponential", size, (scale,)))

    def laplace(self, loc: Any = 0.0, scale: Any = 1.0, size: Size = None) -> Tensor:
        """``loc + scale * z`` for standard Laplace z."""
        loc, scale = _node(loc), _node(scale)
        return Tensor(loc + scale * self._drawn("laplace", size, (loc, scale)))

    def logistic(self, loc: Any = 0.0, scale: Any = 1.0, size: Size = None) -> Tensor:
        """``loc + scale * z`` for standard logistic z."""
        loc, scale = _node(loc), _node(scale)
        return Tensor(loc + scale * self._drawn("logistic", size, (loc, scale)))

    def gumbel(self, loc: Any = 0.0, scale: Any = 1.0, size: Size = None) -> Tensor:
        """``loc + scale * z`` for standard Gumbel z."""
        loc, scale = _node(loc), _node(scale)
        return Tensor(loc + scale * self._drawn("gumbel", size, (loc, scale)))

    def standard_cauchy(self, size: Size = None) -> Tensor:
        """Draws of the Cauchy distribution."""
        return Tensor(self._drawn("standard_cauchy", size, ()))

    def cauchy(self, loc: Any = 0.0, scale: Any = 1.0, size: Size = None) -> Tensor:
        """``loc + scale * z`` for standard Cauchy z."""
        loc, scale = _node(loc), _node(scale)
        return Tensor(loc + scale * self._drawn("standard_cauchy", size, (loc, scale)))

    def weibull(self, a: Any, size: Size = None) -> Tensor:
        """Power 1/a of a standard exponential draw."""
        a = _node(a)
        return Tensor(exp(log(self._drawn("standard_exponential", size, (a,))) / a))

    # ------------------------------------------------------------------------ the gamma family

    def standard_gamma(self, shape: Any, size: Size = None) -> Tensor:
        """Gamma draws, differentiable in *shape* by -(dP/dshape) / density."""
        a = _node(shape)
        (held,) = self._values(a)
        z = self._drawn("standard_gamma", size, (a,), held)
        return Tensor(incomplete.gamma_transport(z, constant(held), a))

    def gamma(self, shape: Any, scale: Any = 1.0, size: Size = None) -> Tensor:
        """``scale`` times a standard gamma draw, differentiable in both."""
        a, scale = _node(shape), _node(scale)
        if size is None:
            size = np.broadcast_shapes(a.shape, scale.shape)
        return Tensor(scale * self.standard_gamma(Tensor(a), size)._node)

    def chisquare(self, df: Any, size: Size = None) -> Tensor:
        """Twice a gamma draw of shape df / 2."""
        return Tensor(2.0 * self.standard_gamma(Tensor(0.5 * _node(df)), size)._node)

    def _log_gamma(self, a: Node, size: Size) -> Node:
        """Logarithms of gamma draws of any small shape: log G(a + 1) + log(u) / a."""
        raised = self.standard_gamma(Tensor(a + 1.0), size)._node
        drawn: Node = log(raised) - self._drawn("standard_exponential", size, (a,)) / a
        return drawn

    def beta(self, a: Any, b: Any, size: Size = None) -> Tensor:
        """Draws of G(a) / (G(a) + G(b)) for gamma draws G, differentiable in both."""
        a, b = _node(a), _node(b)
        if size is None:
            size = np.broadcast_shapes(a.shape, b.shape)
        return Tensor(sigmoid(self._log_gamma(a, size) - self._log_gamma(b, size)))

    def dirichlet(self, alpha: Any, size: Size = None) -> Tensor:
        """Gamma draws of shapes *alpha*, normalised to add up to 1."""
        alpha = _node(alpha)
        lead = () if size is None else tuple(np.atleast_1d(size).tolist())
        return Tensor(softmax(self._log_gamma(alpha, (*lead, *alpha.shape)), axis=-1))

    def standard_t(self, df: Any, size: Size = None) -> Tensor:
        """A normal draw over the root of a chi-square draw by *df*, differentiable in df."""
        df = _node(df)
        size = df.shape if size is None else size
        z = self._drawn("standard_normal", size, ())
        return Tensor(z / sqrt(self.chisquare(Tensor(df), size)._node / df))

    def multivariate_normal(self, mean: Any, cov: Any, size: Size = None) -> Tensor:
        """``mean + L z`` for the Cholesky factor L of *cov*, differentiable in both."""
        mean, factor = _node(mean), find("linalg", "cholesky")(Tensor(_node(cov)))._node
        lead = () if size is None else tuple(np.atleast_1d(size).tolist())
        z = self._drawn("standard_normal", (*lead, mean.shape[-1]), ())
        moved = matmul(reshape(z, (-1, mean.shape[-1])), transpose(factor))
        return Tensor(mean + reshape(moved, z.shape))

    # ------------------------------------------------------------------- without a gradient

    def _counts(self, name: str, size: Size, *params: Any) -> Tensor:
        values = self._values(*(as_node(p) for p in params))
        return Tensor(constant(getattr(self.numpy, name)(*values, size=size)))

    def poisson(self, lam: Any = 1.0, size: Size = None) -> Tensor:
        """Numbers of events; no gradient (see ``stats.poisson.logpmf`` for score estimators)."""
        return self._counts("poisson", size, lam)

    def binomial(self, n: Any, p: Any, size: Size = None) -> Tensor:
        """Numbers of successes in n trials; no gradient."""
        return self._counts("binomial", size, n, p)

    def bernoulli(self, p: Any, size: Size = None) -> Tensor:
        """0 or 1, which has probability p; no gradient."""
        return self._counts("binomial", size, 1, p)

    def geometric(self, p: Any, size: Size = None) -> Tensor:
        """Numbers of trials up to the first success; no gradient."""
        return self._counts("geometric", size, p)

    def integers(self, low: int, high: int | None = None, size: Size = None, **kw: Any) -> Tensor:
        """Integers from [low, high), or below low; no gradient."""
        self._values()
        return Tensor(constant(self.numpy.integers(low, high, size=size, **kw)))

    def permutation(self, x: Any, axis: int = 0) -> Tensor:
        """*x* in random order along *axis* (or a permuted range), differentiable in x."""
        self._values()
        if isinstance(x, int):
            return Tensor(constant(self.numpy.permutation(x)))
        node = as_node(x)
        return _take(node, self.numpy.permutation(node.shape[axis]), axis)

    def choice(
        self, a: Any, size: Size = None, replace: bool = True, p: Any = None, axis: int = 0
    ) -> Tensor:
        """Elements of *a* (or of a range), differentiable in a and not in p."""
        self._values()
        count = a if isinstance(a, int) else as_node(a).shape[axis]
        picked = self.numpy.choice(count, size=size, replace=replace, p=p)
        if isinstance(a, int):
            return Tensor(constant(picked))
        return _take(as_node(a), picked, axis)


def _take(x: Node, places: Any, axis: int) -> Tensor:
    taken: Tensor = find("numpy", "take")(Tensor(x), places, axis)
    return taken


# What the example of a function gives for the parameters that have no default.
_GIVEN = {
    "a": "2", "alpha": "[1.0, 2.0]", "b": "3.0", "cov": "[[1.0, 0.5], [0.5, 1.0]]", "df": "4.0", "low": "10",
    "mean": "[0.0, 1.0]", "n": "8", "p": "0.5", "shape": "2.0", "x": "5",
}  # fmt: skip
_DRAWN = """{doc}

Examples
--------
>>> import nbgrad as ng
>>> ng.random.{name}({given}).shape
{shape}
"""


def _documented(name: str, doc: str, given: list[inspect.Parameter]) -> str:
    """*doc* and an example; the numbers are another for each version of NumPy."""
    words = [_GIVEN[p.name] for p in given if p.default is p.empty]
    words += ["size=3"] * any(p.name == "size" for p in given) + ["rng=0"]
    shape = {"permutation": "(5,)"}.get(name, "(3, 2)" if "[" in words[0] else "(3,)")
    return _DRAWN.format(doc=doc, name=name, given=", ".join(words), shape=shape)


def _of_default(name: str) -> Any:
    """The function that calls the method *name* of the generator that ``rng=`` stands for."""
    method = getattr(Generator, name)

    @functools.wraps(method)
    def draw(*args: Any, rng: Any = None, **kwargs: Any) -> Tensor:
        chosen = rng if isinstance(rng, Generator) else Generator(generator(rng))
        result: Tensor = getattr(chosen, name)(*args, **kwargs)
        return result

    given = [p for p in inspect.signature(method).parameters.values() if p.name != "self"]
    given = [p for p in given if p.kind is not inspect.Parameter.VAR_KEYWORD]
    draw.__doc__ = _documented(name, inspect.getdoc(method) or "", given)
    given.append(inspect.Parameter("rng", inspect.Parameter.KEYWORD_ONLY, default=None))
    draw.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    draw.__module__, draw.__qualname__ = "nbgrad.random", name
    return draw


DRAWS = [name for name in vars(Generator) if not name.startswith("_")]
draws = {name: _of_default(name) for name in DRAWS}
