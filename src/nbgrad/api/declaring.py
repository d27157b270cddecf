"""Operations of the user's: ``primitive`` declares one, ``register_gradient`` its derivative."""

from __future__ import annotations

import ast
import functools
import inspect
import string
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.aval import make_aval, placed
from nbgrad.core.interpret import computed, inline
from nbgrad.core.node import Node
from nbgrad.core.registry import primitives
from nbgrad.core.tape import Tape
from nbgrad.core.tree import LEAF
from nbgrad.core.values import value_of
from nbgrad.errors import NO_GRADIENT, AutogradError
from nbgrad.ops.basis import full
from nbgrad.ops.elements.trigonometric import FLOATING
from nbgrad.ops.kinds.cotangents import add_up, materialize, times
from nbgrad.ops.kinds.elementwise import elementwise
from nbgrad.ops.kinds.forms import Call, Expression
from nbgrad.tensors.namespaces import find
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.calls import expanded
from nbgrad.transforms.trace import trace
from nbgrad.vocabulary.shapes import as_node

Func = Callable[..., Any]
MAX_TAPES = 256  # of one expression, by the shapes and dtypes of its operands
# Declared without partials, and what was registered for each since.
_open: dict[str, Func | None] = {}


def primitive(
    name: str,
    expression: str | Func,
    *partials: Func | None,
    reference: Func | None = None,
    domain: tuple[tuple[float, float], ...] = ((-2.0, 2.0),),
    doc: str = "",
) -> Callable[..., Any]:
    """Declare an elementwise operation of your own, with its partial derivatives.

    It is an operation like nbgrad's: fused with what stands around it into one kernel, differentiable
    to any order in both modes, batched, known as ``nbgrad.<name>``.

    Parameters
    ----------
    name : str
        A name that no other operation has.
    expression : callable or str
        A function of one element, or of several, made of NumPy's or nbgrad's elementwise functions:
        ``lambda x: x / (1 + abs(x))``. Or the text of a kernel over ``{x}``, ``{y}``, ``{z}``, in which
        ``{c}`` is the code of the dtype: ``"log1p_{c}({x} * {x})"``, of which *reference* is the meaning.
    *partials : callable or None
        The partial derivative by each operand, a function of the operands; if its first parameter is
        named ``out``, of the result and the operands. None if nothing depends on the operand. With no
        partials at all, :func:`register_gradient` gives the operation its derivative later.
    reference : callable, optional
        The same on NumPy's arrays; needed with a text alone.
    domain : tuple of (float, float)
        Where each operand may be sampled.
    doc : str
        A line of documentation. The derivative at a kink is a decision: say it there.

    Returns
    -------
    callable
        The operation, of tensors, arrays and numbers.

    Raises
    ------
    ValueError
        If the name is taken, or the text is none of a kernel.
    TypeError
        If there is not one partial for each operand.

    Examples
    --------
    >>> import nbgrad as ng
    >>> softsign = ng.primitive(
    ...     "my_softsign", lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2
    ... )
    >>> softsign(ng.tensor([1.0, -3.0]))
    tensor([ 0.5 , -0.75])
    >>> float(ng.grad(softsign)(1.0))
    0.25
    """
    if not str(name).isidentifier():
        raise ValueError(f"primitive: {name!r} is no name: letters, digits and underscores")
    if name in primitives:
        raise ValueError(f"primitive: {name!r} is already declared; choose another name")
    if isinstance(expression, str):
        _check_text(name, expression)
        if reference is None:
            raise TypeError(f"primitive: {name} has a text, so it needs reference=, its meaning")
        form: Any = expression
        oracle = reference
        count = len({field for field in _fields(expression) if field in "xyz"})
    elif callable(expression):
        body = _Body(name, expression)
        form, oracle, count = Call(body.of_signature), reference or body.oracle, body.count
    else:
        raise TypeError("primitive: the expression is a function, or the text of a kernel")
    if partials and len(partials) != count:
        raise TypeError(
            f"primitive: {name} has {count} operands and {len(partials)} partial derivatives: pass "
            "one for each, None where nothing depends on the operand"
        )
    elementwise(
        name,
        expr=form,
        reference=oracle,
        loop=FLOATING,
        domain=domain * count if len(domain) == 1 else domain,
        doc=doc or f"The user's operation {name}.",
        **(_written(partials) if partials else _registered(name)),
    )
    return find("numpy", name)  # type: ignore[no-any-return]


class _Body:
    """An expression of elements as tapes, one for the shapes and dtypes of its operands."""

    def __init__(self, name: str, f: Func) -> None:
        self.name, self.f = name, f
        parameters = inspect.signature(f).parameters.values()
        if any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
            raise TypeError(
                f"primitive: the expression of {name} takes operands by position, so many and no more"
            )
        self.count = len(parameters)
        if not self.count:
            raise TypeError(f"primitive: the expression of {name} takes no operands")
        self.tapes: dict[Any, Tape] = {}
        self.oracle = functools.wraps(f)(lambda *xs: self._evaluated(xs))
        self.tape([make_aval((1,), np.dtype(float))] * self.count)  # what is wrong is said now

    def of_signature(self, sig: Any) -> Tape:
        return self.tape(sig.operands)

    def tape(self, avals: Any) -> Tape:
        found = self.tapes.get(key := tuple(avals))
        if found is None:
            if len(self.tapes) >= MAX_TAPES:
                self.tapes.clear()
            found = self.tapes[key] = self._traced(key)
        return found

    def _traced(self, avals: tuple[Any, ...]) -> Tape:
        traced = trace(lambda *nodes: self.f(*map(Tensor, nodes)), avals)
        numbers = traced.constants
        if len(traced.outputs) != 1 or traced.made != LEAF:
            raise TypeError(f"primitive: the expression of {self.name} must return one element")
        if any(n.value is None or n.ndim for n in numbers):
            raise TypeError(
                f"primitive: the expression of {self.name} reads an array from outside: make it an "
                "operand"
            )
        for eqn in traced.tape.eqns:
            if eqn.prim.kind != "elementwise" and not eqn.prim.structural:
                raise TypeError(
                    f"primitive: the expression of {self.name} is not elementwise: it calls "
                    f"{eqn.prim.name}"
                )
        shape = np.broadcast_shapes(*[aval.shape for aval in avals])
        device = next((aval.device for aval in avals if aval.device), None)
        out = placed(make_aval(shape, np.result_type(*[aval.dtype for aval in avals])), device)

        def closed(*nodes: Node) -> Node:
            held = [full(value_of(n).item(), shape=(), dtype=n.dtype) for n in numbers]
            (found,) = inline(traced.tape, [*nodes, *held])
            return materialize(found, out)

        return trace(closed, avals).tape

    def _evaluated(self, xs: tuple[Any, ...]) -> Any:
        """The expression of NumPy's arrays and numbers, in their dtype."""
        dtype = FLOATING([np.asarray(x).dtype for x in xs])[-1]
        arrays = [np.asarray(x, dtype) for x in xs]
        tape = self.tape([make_aval(a.shape, dtype) for a in arrays])
        return computed(expanded(tape), arrays)[0]


def _written(partials: tuple[Func | None, ...]) -> dict[str, Any]:
    """Rules by partial derivatives that users wrote, for tensors."""
    with_result = [p is not None and _first(p) == "out" for p in partials]

    def all_partials(out: Any, *xs: Any) -> list[Any]:
        boxed = [_boxed(x) for x in xs]
        return [
            None if p is None else _unboxed(p(_boxed(out), *boxed) if named else p(*boxed))
            for p, named in zip(partials, with_result, strict=True)
        ]

    return {"partials": all_partials}


def _first(p: Func) -> str:
    return next(iter(inspect.signature(p).parameters), "")


def _boxed(x: Any) -> Any:
    return Tensor(x) if x.__class__ is Node else x


def _unboxed(x: Any) -> Any:
    if x is None or x.__class__ in (int, float, complex):
        return x
    return x._node if isinstance(x, Tensor) else as_node(x)


class Operation:
    """What a registered gradient is told of the operation: its name, inputs and outputs."""

    __slots__ = ("inputs", "name", "outputs")

    def __init__(self, name: str, inputs: list[Any], outputs: list[Any]) -> None:
        self.name, self.inputs, self.outputs = name, inputs, outputs

    def __repr__(self) -> str:
        return f"<operation {self.name} of {len(self.inputs)} inputs>"


def register_gradient(name: str) -> Callable[[Func], Func]:
    """Decorate the function that is to be the gradient of an operation.

    Parameters
    ----------
    name : str
        Of an operation that :func:`primitive` declared without partial derivatives.

    Returns
    -------
    callable
        A decorator of ``gradient(op, grad)``, which returns the gradient of each of ``op.inputs``, or
        None; ``op.outputs`` are the results. Made of nbgrad's operations it can be differentiated
        again, and gives forward mode its tangent.

    Raises
    ------
    KeyError
        If there is no such operation, or it has a gradient.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> hard = ng.primitive("my_hard_step", lambda x: np.where(x > 0, 1.0, 0.0))
    >>> @ng.register_gradient("my_hard_step")
    ... def straight_through(op, grad):
    ...     return grad * (abs(op.inputs[0]) <= 1)
    >>> ng.grad(lambda x: hard(x).sum())(np.array([-3.0, 0.5]))
    array([0., 1.])
    """

    def register(gradient: Func) -> Func:
        if name not in primitives:
            raise KeyError(f"register_gradient: there is no operation {name!r}")
        if name not in _open or _open[name] is not None:
            raise KeyError(f"register_gradient: {name!r} has a gradient already")
        _open[name] = gradient
        return gradient

    return register


def _registered(name: str) -> dict[str, Any]:
    """Rules that call the gradient registered for *name*."""
    _open[name] = None

    def gradients(ct: Any, y: Any, xs: Any) -> list[Any]:
        rule = _open[name]
        if rule is None:
            raise AutogradError(NO_GRADIENT.format(name=name))
        op = Operation(name, [_boxed(x) for x in xs], [Tensor(y)])
        found = rule(op, Tensor(materialize(ct, y.aval)))
        grads = list(found) if isinstance(found, (tuple, list)) else [found]
        if len(grads) != len(xs):
            raise TypeError(
                f"register_gradient: that of {name} returned {len(grads)} gradients for {len(xs)} inputs"
            )
        return [_unboxed(g) for g in grads]

    def vjp(ct: Any, y: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
        return gradients(ct, y, xs)

    def jvp(tangents: Any, y: Any, xs: Any, params: Any) -> Any:
        partials = gradients(1.0, y, xs)
        pairs = zip(tangents, partials, strict=True)
        return add_up([times(t, p) for t, p in pairs if t is not None and p is not None])

    return {"vjp": vjp, "jvp": jvp}


def _fields(text: str) -> list[str]:
    return [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]


def _check_text(name: str, text: str) -> None:
    """Raise unless *text* is that of a kernel: of operands, numbers and functions that kernels know."""
    try:
        fields = _fields(text)
        tree = ast.parse(_filled(text), mode="eval")
    except (ValueError, KeyError, IndexError, SyntaxError) as error:
        raise ValueError(f"primitive: the text of {name} is no expression: {error}") from None
    operands = [field for field in "xyz" if field in fields]
    if not operands or operands != list("xyz"[: len(operands)]) or set(fields) - set("xyzct"):
        raise ValueError(
            f"primitive: the operands of {name} are {{x}}, {{y}}, {{z}} in its text, in that order, and "
            f"{{c}} is the code of the dtype; it has {sorted(set(fields))}"
        )
    known = {word for prim in primitives.values() for word in _words(prim.lower)}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if unknown := used - known - {"x", "y", "z", "math"}:
        raise ValueError(
            f"primitive: kernels know no {', '.join(sorted(unknown))}; in the text of {name} write "
            "functions as nbgrad's operations do, such as exp_{c}({x})"
        )


def _filled(text: str) -> str:
    return text.format(x="x", y="y", z="z", c="f8", t="f8", to="f8")


def _words(lower: Any) -> set[str]:
    """The names in the text of an operation."""
    text = lower.text if isinstance(lower, Expression) else ""
    if not isinstance(text, str) or not text:
        return set()
    tree = ast.parse(_filled(text), mode="eval")
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
