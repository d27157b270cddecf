"""``vjp``, ``jvp``, ``linearize`` and ``linear_transpose``: derivatives as linear functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.enclosing import belongs_outside, finished
from nbgrad.api.linear import Form, Linear, agree, fitted, linear_in
from nbgrad.api.products import tangents_of
from nbgrad.api.tracked import (
    Tracked,
    as_asked,
    aux_as_asked,
    call_tracked,
    outputs_of,
)
from nbgrad.api.wanted import Argnames, Argnums, Wanted, split_aux
from nbgrad.core.foreign import numbers_of
from nbgrad.core.linearize import build_tape, capture, environment
from nbgrad.core.modes import modes
from nbgrad.core.nested_alike import leaves_like
from nbgrad.core.node import Node, placeholder
from nbgrad.core.tape import Var
from nbgrad.core.tree import LEAF, Structure, builder, flatten, paths, unflatten
from nbgrad.errors import need_functions
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.jvp import push_forward
from nbgrad.transforms.vjp import UNDEFINED, backpropagate, reached
from nbgrad.vocabulary.elements import composite


class Pass:
    """A function that has been run to be differentiated: its results, and the tape to them."""

    def __init__(
        self,
        f: Callable[..., Any],
        name: str,
        primals: Sequence[Any],
        argnums: Argnums = None,
        argnames: Argnames = None,
        has_aux: bool = False,
    ) -> None:
        need_functions(name, f)
        if argnums is None and argnames is None:
            argnums = tuple(range(len(primals)))
        self.run = run = call_tracked(
            f, Wanted(argnums, argnames, name), tuple(primals), {}, False
        )
        y, aux = split_aux(run.returned, has_aux, name)
        self.aux = (aux_as_asked(aux, run),) if has_aux else ()
        self.outs, self.made = outputs_of(y, name)
        for out, path in zip(self.outs, paths(self.made, "result"), strict=True):
            if not out._node.aval.inexact:
                raise TypeError(
                    f"{name}: {path} of the function is {out.dtype}; differentiation needs real or "
                    "complex floating-point results"
                )
        self.nodes = [out._node for out in self.outs]
        self.cap = capture(self.nodes, differentiate=True)
        self.outer = modes.grad and belongs_outside(self.cap, self.nodes, run.nodes)

    @property
    def given(self) -> Structure:
        """The structure of what is differentiated by."""
        return self.run.structure

    def results(self, further: Sequence[Node] = ()) -> tuple[Any, list[Any]]:
        """The results as the caller is to see them, and *further* nodes."""
        outer, run = self.outer, self.run
        if outer or modes.tracing:  # a body that reads what is detached of these has no gradient
            finished.update(run.nodes)
        own = [(out if outer else out.detach())._node for out in self.outs]
        further = further if outer else [composite.detached(n) for n in further]
        found = as_asked([*own, *further], outer, run.given)
        leaves = found[: len(own)]
        made = leaves[0] if self.made == LEAF else builder(self.made)(leaves)
        return made, found[len(own) :]

    def tape(self) -> tuple[Any, dict[Var, Any], list[Var], set[Var]]:
        """The tape to the results, the nodes of its variables, and what no gradient passes."""
        sources = self.run.nodes
        tape, var_of = build_tape(self.cap, self.nodes, sources, lift=False)
        env = environment(var_of)
        wrt = [var_of[n] for n in sources]
        closed = {v for v, n in env.items() if not n.requires_grad or n.leaf is not None}
        return tape, env, wrt, closed.difference(wrt)

    def forward(self) -> tuple[list[Node], list[Node]]:
        """Placeholders of tangents of the arguments, and the tangents of the results by them."""
        tape, env, wrt, closed = self.tape()
        tangents = [placeholder(v.aval) for v in wrt]
        with recording(self.outer):
            found = push_forward(tape.eqns, env, dict(zip(wrt, tangents, strict=True)), closed)
            made = [materialize(found.get(a, 0.0), a.aval) for a in tape.outputs]
        return tangents, made

    def backward(self) -> tuple[list[Node], list[Node]]:
        """Placeholders of cotangents of the results, and the cotangents of the arguments by them."""
        tape, env, wrt, closed = self.tape()
        cotangents = [placeholder(n.aval) for n in self.nodes]
        seeds: dict[Var, Any] = {}
        with recording(self.outer):
            for out, ct in zip(tape.outputs, cotangents, strict=True):
                if out not in closed:
                    seeds[out] = ct if out not in seeds else seeds[out] + ct
            active = reached(tape, wrt, frozenset(closed))
            found = backpropagate(tape.eqns, env, active, seeds, keep=wrt)
            found = {v: 0.0 if ct is UNDEFINED else ct for v, ct in found.items()}
            made = [materialize(found.get(v, 0.0), v.aval) for v in wrt]
        return cotangents, made


class recording:
    """Whether what the rules record can be differentiated itself."""

    def __init__(self, flag: bool) -> None:
        self.flag = flag

    def __enter__(self) -> None:
        self.before, modes.grad = modes.grad, self.flag

    def __exit__(self, *_: Any) -> None:
        modes.grad = self.before


def vjp(
    f: Callable[..., Any],
    *primals: Any,
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
) -> Any:
    """Return the result of ``f``, and the function that takes cotangents back to its arguments.

    Parameters
    ----------
    f : callable
        Takes and returns arrays, or data nested of them.
    *primals : object
        Its arguments, positional.
    argnums, argnames
        By which of them; all, unless they are given.
    has_aux : bool
        ``f`` returns a pair, of which the second is not differentiated and is returned last.

    Returns
    -------
    result : object
    pullback : callable
        Takes a cotangent, nested as the result is, and returns one for each argument, as a tuple:
        gradients as :func:`grad` gives them. It holds arrays alone: it can be called many times,
        pickled, and passed to :func:`jit`.

    Raises
    ------
    TypeError
        For arguments or results that are not real or complex floating-point numbers, and for a
        cotangent that is nested otherwise; the message names the place.
    ValueError
        For a cotangent of another shape.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> y, pullback = ng.vjp(lambda a, b: a * b, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> y
    array([3., 8.])
    >>> pullback(np.array([1.0, 0.0]))
    (array([3., 0.]), array([1., 0.]))
    """
    done = Pass(f, "vjp", primals, argnums, argnames, has_aux)
    wrt, nodes = done.backward()
    body, held, _ = linear_in(nodes, wrt)
    form = Form("the pullback of vjp", body, (tuple, None, (done.made,)), done.given)
    result, arrays = done.results(held)
    return (result, Linear(form, arrays), *done.aux)


def linearize(
    f: Callable[..., Any],
    *primals: Any,
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
) -> Any:
    """Return the result of ``f``, and the linear function that is its derivative there.

    What does not depend on the direction is computed once, so that each further direction costs
    the linear part alone.

    Parameters
    ----------
    f, *primals, argnums, argnames, has_aux
        As of :func:`vjp`.

    Returns
    -------
    result : object
    pushforward : callable
        Takes tangents, one for each argument and nested as it, and returns the tangent of the
        result. It holds arrays alone: it can be called many times, pickled, and passed to :func:`jit`.

    Raises
    ------
    TypeError, ValueError
        As of :func:`vjp`, for tangents.
    NotImplementedError
        If ``f`` calls a user's function without forward mode.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> y, pushforward = ng.linearize(np.sin, 0.0)
    >>> float(y), float(pushforward(2.0))
    (0.0, 2.0)
    """
    done = Pass(f, "linearize", primals, argnums, argnames, has_aux)
    wrt, nodes = done.forward()
    body, held, _ = linear_in(nodes, wrt)
    given = (tuple, None, tuple(done.run.places()))
    form = Form("the pushforward of linearize", body, given, done.made)
    result, arrays = done.results(held)
    return (result, Linear(form, arrays), *done.aux)


def linear_transpose(f: Callable[..., Any], *primals: Any) -> Callable[..., Any]:
    """Return the transpose of a linear function.

    Parameters
    ----------
    f : callable
        Linear in its arguments, arrays or data nested of them. What it reads beside them is constant.
    *primals : object
        Arguments for their structure, shapes and dtypes; their numbers are not looked at.

    Returns
    -------
    callable
        Takes what is nested and shaped as the result of ``f``, and returns a tuple with one for
        each argument. It can be called many times, pickled, and passed to :func:`jit`. Of a complex
        function it is the adjoint, as gradients are.

    Raises
    ------
    TypeError
        If ``f`` is not linear: its derivative depends on the arguments, or it is not 0 where they are.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> A = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> ng.linear_transpose(lambda x: A @ x, np.zeros(2))(np.array([1.0, 0.0]))
    (array([1., 2.]),)
    """
    name = "linear_transpose"
    leaves, structure = flatten(primals)
    places = paths(structure, f"{name}: argument ")
    zeros = [zeros_like(x, path) for x, path in zip(leaves, places, strict=True)]
    made, result, linear = _transposed(f, unflatten(structure, zeros))
    outs = [x for x in flatten(result)[0] if not isinstance(x, Tensor)]
    if not linear:
        # A loop computes at once what depends on its arguments and what is linear in them.
        there = [np.cos(np.arange(x.size)).reshape(x.shape).astype(x.dtype) for x in zeros]
        linear = agree(made, _transposed(f, unflatten(structure, there))[0])
    if not linear or any(np.any(x) for x in outs):
        why = "is not 0 where they are" if linear else "has a derivative that depends on them"
        raise TypeError(
            f"{name}: the function is not linear in its arguments: it {why}. For the derivative at "
            "a point use nbgrad.vjp"
        )
    return made


def _transposed(f: Callable[..., Any], primals: Any) -> tuple[Linear, Any, bool]:
    """The derivative at *primals* transposed, the result, and whether it is seen to be the same anywhere."""
    done = Pass(f, "linear_transpose", primals)
    wrt, nodes = done.backward()
    body, held, linear = linear_in(nodes, wrt, done.run.nodes)
    result, arrays = done.results(held)
    form = Form("the transpose", body, (tuple, None, (done.made,)), done.given)
    return Linear(form, arrays), result, linear


def zeros_like(x: Any, path: str) -> np.ndarray[Any, Any]:
    try:
        array = x if hasattr(x, "dtype") else np.asarray(numbers_of(x))
    except (TypeError, ValueError):
        array = np.array("")
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{path} is a {type(x).__name__} that makes no array of numbers")
    return np.zeros(array.shape, array.dtype)


def jvp(
    f: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
) -> Any:
    """Return the result of ``f`` and its derivative along a direction, by forward mode.

    Parameters
    ----------
    f : callable
        Takes and returns arrays, or data nested of them.
    primals, tangents : tuple or list
        Positional arguments, and a direction for each of them, nested as it is.
    argnums, argnames
        To which arguments *tangents* belong; to all, unless they are given.
    has_aux : bool
        ``f`` returns a pair, of which the second is not differentiated and is returned last.

    Returns
    -------
    result, tangent : object

    Raises
    ------
    TypeError
        If *primals* and *tangents* are no tuples of the same length, or nested otherwise; the
        message names the place.
    ValueError
        For a tangent of another shape.
    NotImplementedError
        If ``f`` calls a user's function without forward mode.

    Examples
    --------
    >>> import nbgrad as ng
    >>> y, t = ng.jvp(lambda p: p["a"] * p["b"], ({"a": 2.0, "b": 3.0},), ({"a": 1.0, "b": 0.0},))
    >>> float(y), float(t)
    (6.0, 3.0)
    """
    check_pairs("jvp", primals, tangents, argnums is None and argnames is None)
    done = Pass(f, "jvp", primals, argnums, argnames, has_aux)
    run = done.run
    run.given = ((*primals, *tangents), {})
    found = tangents_along(done, directions(run, tangents, "jvp"))
    result, leaves = done.results(found)
    tangent = leaves[0] if done.made == LEAF else builder(done.made)(leaves)
    return (result, tangent, *done.aux)


def tangents_along(done: Pass, vs: Sequence[Node]) -> list[Node]:
    """The tangents of the results along *vs*."""
    done.outer = done.outer or (modes.grad and any(v.requires_grad for v in vs))
    if done.outer:
        finished.update(done.run.nodes)
    with recording(done.outer):
        return tangents_of(done.outs, done.run.tensors, vs)


def check_pairs(name: str, primals: Any, tangents: Any, every: bool = True) -> None:
    """Raise unless *primals* and *tangents* are tuples or lists; one each for *every* argument."""
    for what, x in (("primals", primals), ("tangents", tangents)):
        if not isinstance(x, (tuple, list)):
            raise TypeError(
                f"{name}: {what} must be a tuple with one for each argument, ({what},) for a "
                f"function of one, not a {type(x).__name__}"
            )
    if every and len(primals) != len(tangents):
        raise TypeError(
            f"{name}: there are {len(primals)} primals and {len(tangents)} tangents; each argument "
            "has one of both"
        )


def directions(run: Tracked, tangents: Sequence[Any], name: str) -> list[Node]:
    """The leaves of *tangents*, one for each of the tensors of a call."""
    parts = run.places()
    if len(parts) != len(tangents):
        raise TypeError(f"{name}: {len(tangents)} tangents for {len(parts)} arguments")
    found: list[Node] = []
    for k, (part, x) in enumerate(zip(parts, tangents, strict=True)):
        path = f"{name}: tangent {k}"
        leaves = leaves_like(part, x, path)
        for leaf, where in zip(leaves, paths(part, path), strict=True):
            found.append(fitted(leaf, run.tensors[len(found)]._node.aval, where))
    return found


__all__ = ["jvp", "linear_transpose", "linearize", "vjp"]
