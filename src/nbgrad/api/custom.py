"""Functions whose derivative the user writes: ``custom_vjp`` and ``custom_jvp``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.api.bodies import Ran
from nbgrad.api.ruled import Func, Ruled, Setting, plain
from nbgrad.api.written import (
    NUMBERS,
    Parted,
    attempted,
    fitted,
    matching,
    nothing,
)
from nbgrad.core.memory import place
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, leaf_node
from nbgrad.engine.backward import run_backward
from nbgrad.errors import NO_TANGENT, AutogradError
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.tensors.rules import depends, is_zero
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.custom import PROBE
from nbgrad.transforms.trace import Traced
from nbgrad.vocabulary.elements.composite import detached


class custom_vjp(Ruled):
    """A function whose reverse-mode derivative is written by hand.

    Parameters
    ----------
    fun : callable
        Takes and returns arrays, which may be nested in tuples, lists and dicts.
    nondiff_argnums : int or sequence of int
        Arguments that are settings: no derivative by them, and the first arguments of ``bwd``.

    Notes
    -----
    ``defvjp(fwd, bwd)`` gives it its rule: ``fwd`` takes the arguments of *fun* and returns its result
    and what ``bwd`` will need; ``bwd(residuals, cotangent)`` returns a tuple, a cotangent for each
    argument, nested as that is; None stands for zeros. Higher derivatives are those of ``fwd`` and
    ``bwd``; the tangent of forward mode is that of ``bwd`` transposed. Eagerly the rules are called with
    values and may look at them; in ``jit``, loops and ``vmap`` they are traced with the function.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> @ng.custom_vjp
    ... def log1pexp(x):
    ...     return np.log(1 + np.exp(x))
    >>> def fwd(x):
    ...     e = np.exp(x)
    ...     return np.log(1 + e), e
    >>> def bwd(e, ct):
    ...     return (ct * (1 - 1 / (1 + e)),)
    >>> log1pexp.defvjp(fwd, bwd)
    >>> float(ng.grad(log1pexp)(0.0))
    0.5
    """

    _kind = "custom_vjp"
    _parts = ("again", "back")
    _advice = "define one by defvjp(fwd, bwd)"

    def defvjp(self, fwd: Func, bwd: Func) -> None:
        """Define the rule: ``fwd(*args) -> (result, residuals)``, ``bwd(residuals, cotangent)``."""
        if not all(map(callable, (fwd, bwd))):
            raise TypeError("custom_vjp: defvjp takes two functions, fwd and bwd")
        self._rules = fwd, bwd

    def _forward(self, given: Any) -> tuple[Any, Any]:
        pair = self._rules[0](*plain(given))
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(
                f"custom_vjp: fwd of {self._name} must return a pair, the result and what bwd needs, "
                f"not {type(pair).__name__}"
            )
        return pair[0], pair[1]

    def _back(self, given: Any, kept: Any, cts: Any) -> list[Any]:
        """What ``bwd`` returns for each tensor among the arguments."""
        settings, others = self._split(given)
        found = self._rules[1](*settings, kept, cts)
        what = f"custom_vjp: what bwd of {self._name} returns"
        if not isinstance(found, (tuple, list)) or len(found) != len(others):
            number = f"{len(found)}" if isinstance(found, (tuple, list)) else type(found).__name__
            raise TypeError(
                f"{what} must be a tuple of {len(others)}, one for each argument, not {number}"
            )
        pairs = zip(others, found, strict=True)
        return [g for x, one in pairs for g in matching(x, one, what)]

    def _run(self, given: Any) -> tuple[Any, Parted]:
        returned, kept = self._forward(given)
        return returned, Parted(kept)

    def _give_rules(self, ctx: Any, call: Parted, results: Parted, kept: Parted) -> None:
        count = len(call.places)

        def backward(ctx: Any, *cts: Any) -> tuple[Any, ...]:
            saved = ctx.saved_tensors
            inner, values = call.filled(saved[:count]), saved[count:]
            residuals = kept
            if modes.grad:  # to be differentiated again: residuals as they depend on the arguments
                try:
                    residuals = Parted(self._forward(inner)[1])
                    values = residuals.values
                except AutogradError:  # it looks at values
                    ctx._exported = True
            found = self._back(inner, residuals.filled(values), results.filled(cts, nothing))
            what = f"custom_vjp: what bwd of {self._name} returns"
            return tuple(
                None if g is None else Tensor(fitted(g, t._node, what))
                for g, t in zip(found, saved, strict=False)
            )

        ctx._backward, ctx._jvp = backward, None

    def _traced_rules(self, call: Parted, results: Parted, traced: Traced) -> dict[str, Any]:
        avals = [t._node.aval for t in call.values]
        kept: list[Parted] = []

        def again(*nodes: Node) -> Any:
            returned, residuals = self._forward(call.boxed(nodes))
            made = Parted(returned, NUMBERS)
            shapes = [t.shape for t in made.tensors]
            if made.made != results.made or shapes != [n.shape for n in traced.outputs]:
                raise TypeError(
                    f"custom_vjp: fwd of {self._name} returns another result than the function: of "
                    f"shapes {shapes}, not {[n.shape for n in traced.outputs]}"
                )
            kept.append(Parted(residuals))
            pairs = zip(made.tensors, traced.outputs, strict=True)
            same = [materialize(t._node, n.aval) for t, n in pairs]
            return [*same, *kept[-1].values]

        where = f"the rule of {self._name}"
        first = attempted(again, avals, where)
        if not isinstance(first, Ran):
            return {"again": first, "back": first}
        count = len(first.avals) - len(traced.outputs)
        residuals = kept[-1]

        def back(*nodes: Node) -> Any:
            tensors = [Tensor(n) for n in nodes]
            cts = results.filled(tensors[count:], nothing)
            found = self._back(call.filled(call.values), residuals.filled(tensors[:count]), cts)
            what = f"custom_vjp: what bwd of {self._name} returns"
            return [fitted(g, t._node, what) for g, t in zip(found, call.values, strict=True)]

        given = [*first.avals[len(traced.outputs) :], *[n.aval for n in traced.outputs]]
        return {"again": first, "back": attempted(back, given, where)}


class custom_jvp(Ruled):
    """A function whose forward-mode derivative is written by hand; reverse mode transposes it.

    Parameters
    ----------
    fun : callable
        Takes and returns arrays, which may be nested in tuples, lists and dicts.
    nondiff_argnums : int or sequence of int
        Arguments that are settings: no derivative by them, and the first arguments of the rule.

    Notes
    -----
    ``defjvp(rule)``: ``rule(primals, tangents)`` returns the result and its tangent, which must be linear
    in the tangents. ``defjvps(*rules)``: for each argument a rule ``rule(tangent, result, *primals)``,
    or None if nothing depends on it.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> @ng.custom_jvp
    ... def f(x, y):
    ...     return np.sin(x) * y
    >>> @f.defjvp
    ... def f_jvp(primals, tangents):
    ...     (x, y), (dx, dy) = primals, tangents
    ...     return f(x, y), np.cos(x) * dx * y + np.sin(x) * dy
    >>> float(ng.grad(f, 1)(0.0, 3.0))
    0.0
    >>> float(ng.grad(f)(0.0, 3.0))
    3.0
    """

    _kind = "custom_jvp"
    _parts = ("ahead",)
    _advice = "define one by defjvp(rule) or defjvps(*rules)"

    def defjvp(self, jvp: Func) -> Func:
        """Define the rule ``jvp(primals, tangents) -> (result, tangent)``; returns it."""
        if not callable(jvp):
            raise TypeError("custom_jvp: defjvp takes a function")
        self._rules = (jvp,)
        return jvp

    def defjvps(self, *jvps: Func | None) -> None:
        """Define a rule for each argument: ``jvp(tangent, result, *primals)``, or None."""
        if self._places:
            raise TypeError("custom_jvp: defjvps is for functions without nondiff_argnums")
        if not jvps or not all(jvp is None or callable(jvp) for jvp in jvps):
            raise TypeError("custom_jvp: defjvps takes a function, or None, for each argument")
        self._rules = (_Each(self, jvps),)

    def _ahead(self, given: Any, tangents: Any, results: Parted) -> list[Any]:
        """What the rule returns as tangent of each value among the results."""
        settings, primals = self._split(given)
        found = self._rules[0](*settings, primals, self._split(tangents)[1])
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise TypeError(
                f"custom_jvp: the rule of {self._name} must return a pair, the result and its tangent, "
                f"not {type(found).__name__}"
            )
        what = f"custom_jvp: the tangent that the rule of {self._name} returns"
        nest = results.filled(results.tensors)
        return matching(nest, found[1], what)

    def _run(self, given: Any) -> tuple[Any, Parted]:
        return self._fun(*plain(given)), Parted(())

    def _give_rules(self, ctx: Any, call: Parted, results: Parted, kept: Parted) -> None:
        avals = [t._node for t in results.tensors]
        what = f"custom_jvp: the tangent that the rule of {self._name} returns"

        def ahead(given: Sequence[Any], tangents: Sequence[Any]) -> list[Node]:
            zeros = call.filled(tangents, _no_tangent)
            found = self._ahead(call.filled(given), zeros, results)
            return [fitted(t, n, what) for t, n in zip(found, avals, strict=True)]

        def jvp(ctx: Any, *tangents: Any) -> tuple[Any, ...]:
            return tuple(map(Tensor, ahead(ctx.saved_tensors, tangents)))

        def backward(ctx: Any, *cts: Any) -> tuple[Any, ...]:
            return self._transposed(ahead, ctx.saved_tensors, cts)

        ctx._backward, ctx._jvp = backward, jvp

    def _transposed(
        self, ahead: Func, saved: Sequence[Any], cts: Sequence[Any]
    ) -> tuple[Any, ...]:
        """Cotangents of the arguments, from a rule that is linear in their tangents."""
        probes: list[Any] = [
            leaf_node(
                place(np.full(t.shape, PROBE, t.dtype), t._node.aval.device), requires_grad=True
            )
            if t._node.aval.inexact
            else materialize(0.0, t._node.aval)
            for t in saved
        ]
        before = modes.grad
        given = saved if before else [t.__class__(detached(t._node)) for t in saved]
        modes.grad = True
        try:
            found = ahead(given, [Tensor(n) for n in probes])
        finally:
            modes.grad = before
        sources = [n for n in probes if n.requires_grad]
        pairs = []
        for node, ct in zip(found, cts, strict=True):
            if node.aval.inexact and depends(node, sources):
                pairs.append((node, ct._node))
            elif node.aval.inexact and not is_zero(node):
                raise NotImplementedError(NO_TANGENT.format(name=self._name))
        made: dict[Any, Any] = {}
        if pairs:
            outs, seeds = [n for n, _ in pairs], [ct for _, ct in pairs]
            made = dict(
                run_backward(outs, seeds, inputs=sources, retain_graph=True, create_graph=before)
            )
        return tuple(Tensor(made[n]) if n in made else None for n in probes)

    def _traced_rules(self, call: Parted, results: Parted, traced: Traced) -> dict[str, Any]:
        avals = [t._node.aval for t in call.values]
        what = f"custom_jvp: the tangent that the rule of {self._name} returns"

        def ahead(*nodes: Node) -> Any:
            primals = call.boxed(nodes[: len(avals)])
            tangents = call.filled([Tensor(n) for n in nodes[len(avals) :]], _no_tangent)
            found = self._ahead(primals, tangents, results)
            return [fitted(t, n, what) for t, n in zip(found, traced.outputs, strict=True)]

        return {"ahead": attempted(ahead, [*avals, *avals], f"the rule of {self._name}")}


class _Each:
    """A rule made of one for each argument."""

    def __init__(self, function: custom_jvp, jvps: tuple[Func | None, ...]) -> None:
        self.function, self.jvps = function, jvps

    def __call__(self, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        if len(self.jvps) != len(primals):
            raise TypeError(
                f"custom_jvp: {self.function._name} has {len(primals)} arguments, and defjvps was "
                f"given {len(self.jvps)} rules"
            )
        result = self.function(*primals)
        total: Any = None
        for jvp, tangent in zip(self.jvps, tangents, strict=True):
            if jvp is not None and tangent is not None:
                term = jvp(tangent, result, *primals)
                total = term if total is None else total + term
        return result, total


def _no_tangent(x: Any) -> Any:
    """The tangent of a number that is not differentiated."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np.zeros_like(x)
    if x.__class__ is Setting:
        return x
    return 0.0 if isinstance(x, (float, complex)) else None
