"""Primitive: one kind of operation. ``bind`` applies it to nodes and records the result."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, is_several, placed
from nbgrad.core.frozen import Frozen, Value, made
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.node import Node
from nbgrad.core.operands import as_operand
from nbgrad.core.placing import gathered
from nbgrad.core.recipes import Recipe, recipe_of, replay, together
from nbgrad.core.record import record
from nbgrad.core.registry import primitives, register_primitive
from nbgrad.core.signature import Signature

PYTHON_NUMBERS = frozenset({int, float, bool, complex})
HERE = object()  # the device of an operation that does not move anything
MAX_SIGNATURES = 1 << 17  # of a primitive: a loop may read each element of an array by number


class Rules(Value):
    """What transforms know of an operation; they see operands, results and params, never the graph.

    Attributes
    ----------
    vjp : callable or None
        ``vjp(ct, y, xs, params, wants) -> sequence of cotangents``; None: not differentiable.
    jvp : callable or None
        ``jvp(tangents, y, xs, params) -> tangent``; a tangent of None is a structural zero.
    series : bool
        ``jvp`` takes tuples of Taylor coefficients as well, of 1 up, and gives such: operations that
        have a body push it forward by the transform of those.
    batch : callable or None
        ``batch(prim, xs, mapped, params, size) -> result`` on stacks: see ops/kinds/batching.py.
    reach : callable or None
        Which elements of the operands each of the result depends on: see ops/kinds/reaching.py.
    """

    vjp: Callable[..., Any] | None = None
    jvp: Callable[..., Any] | None = None
    batch: Callable[..., Any] | None = None
    series: bool = False
    reach: Callable[..., Any] | None = None


class Primitive(Frozen):
    """One declared operation; the fields are filled by a kind of ``ops/kinds``.

    Attributes
    ----------
    name : str
    kind : str
        One of the kinds of DESIGN.md 2.
    evaluate : callable
        NumPy reference, ``evaluate(*arrays, **params) -> array``.
    prepare : callable
        ``prepare(operands, params) -> (operands, aval, loop dtypes)``: inserts casts and broadcasts, and
        raises the shape, dtype and domain errors.
    rules : Rules
        Of derivatives and batches: ``vjp``, ``jvp`` and ``batch`` are those.
    lower : object
        What the program layer needs to make a kernel of it; its type depends on the kind.
    grad_name : str
        Name of the backward function that users see, without its ``Backward0``; empty if they see
        that of the last operand, whose history the result has.
    doc : str
    structural, alias : bool
        Inserted by nbgrad itself, so not shown to users; the operand itself where the avals agree.
    bounds : callable or None
        ``bounds(*ranges, **params)``: where the results of integers lie, from where these do. None
        where it makes no integers of them, or not for all.
    partials, domain, cases :
        As declared; tests, benchmarks and documentation read them.
    public, namespace : bool, str
        Whether users see it as ``nbgrad.<namespace>.<name>``.
    kink : object
        What transforms/kinks.py must know of it where it divides 0 by 0; None elsewhere.
    square : object
        What transforms/kinks.py and squares.py must know of roots, powers, factors; None elsewhere.
    algebra : object
        Which sum or product it is, if it is one: see ops/kinds/algebra.py.
    projects : bool
        It takes result ``number`` of an operation that has several: its first operand.
    beside : callable or None
        ``beside(later, earlier)``, of two signatures: see transforms/together.py.
    """

    name: str
    kind: str
    evaluate: Callable[..., Any]
    prepare: Callable[..., tuple[tuple[Any, ...], Aval, tuple[Any, ...]]]
    rules: Rules
    lower: Any
    grad_name: str
    doc: str
    reference: Any = None
    partials: Any = None
    domain: tuple[tuple[float, float], ...] = ()
    cases: tuple[Any, ...] = ()
    structural: bool = False
    alias: bool = False
    bounds: Callable[..., tuple[int, int] | None] | None = None
    public: bool = False
    namespace: str = "numpy"
    registered: bool = True
    kink: Any = None
    square: Any = None
    algebra: Any = None
    projects: bool = False
    beside: Callable[..., dict[str, Any] | None] | None = None
    signatures: dict[Any, Signature] = made(init=False, factory=dict)
    recipes: dict[Any, Recipe] = made(init=False, factory=dict)

    @property
    def vjp(self) -> Callable[..., Any] | None:
        return self.rules.vjp

    @property
    def jvp(self) -> Callable[..., Any] | None:
        return self.rules.jvp

    @property
    def batch(self) -> Callable[..., Any] | None:
        return self.rules.batch

    @property
    def keeps_history(self) -> bool:
        """Whether users see the history of the last operand."""
        return not self.grad_name

    def __post_init__(self) -> None:
        if self.registered:
            register_primitive(self)

    def __call__(self, *operands: Any, **params: Any) -> Any:
        return bind(self, *operands, **params)

    def __reduce__(self) -> Any:
        if not self.registered:
            for module, held in list(sys.modules.items()):
                if module.startswith("nbgrad.ops."):
                    for name, value in vars(held).items():
                        if value is self:
                            return getattr, (_Module(module), name)
            raise TypeError(
                f"{self.name} cannot be pickled: it was made by a call, and is known to this "
                "process alone"
            )
        return named, (self.name,)

    @property
    def backward_name(self) -> str:
        """Name of the backward function: PyTorch numbers those of its own operations."""
        return f"{self.grad_name}Backward{'0' if self.registered else ''}"


class _Module:
    """A module, as it is pickled: by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return importlib.import_module, (self.name,)


def named(name: str) -> Primitive:
    """The primitive *name*, which may be declared only when it is asked for."""
    if name not in primitives:
        load_vocabulary()
    if name not in primitives:
        raise LookupError(
            f"this process has no operation {name!r}: import the module that declares it"
        )
    return primitives[name]  # type: ignore[no-any-return]


def bind(prim: Primitive, *operands: Any, **params: Any) -> Any:
    """Apply *prim*: infer the aval, insert casts and broadcasts, record one node.

    Nothing is computed. Errors of shape, dtype and params are raised here, at the user's call.
    """
    xs = tuple([as_operand(x) for x in operands])
    given = tuple([x.aval if x.__class__ is Node else x.__class__ for x in xs])
    if prim.kind == "elementwise" and PYTHON_NUMBERS.issuperset(given):
        with np.errstate(all="ignore"):  # as on every tier
            # Numbers stay numbers inside rules; references read arrays, and would round mere numbers.
            return prim.evaluate(*[np.asarray(x) for x in xs], **params).item()
    key = (given, tuple(params.items()))
    sig = prim.signatures.get(key)
    if sig is not None and int not in given:
        return record(sig, xs)
    recipe = prim.recipes.get(key)
    if recipe is not None:
        return replay(recipe, xs)
    operands = xs
    if sig is None:
        sig, operands = _prepared(prim, xs, params)
    if int in given:
        fitted = fit_integers(sig, operands)
        if fitted is not operands:
            return bind(prim, *fitted, **params)
        return record(sig, operands)
    node = record(sig, operands)
    recipe = recipe_of(node, xs)
    if recipe is not None and len(recipe.constants) == 0 and together(xs):
        _bounded(prim.recipes)[key] = recipe
    return node


def _prepared(
    prim: Primitive, xs: tuple[Any, ...], params: dict[str, Any]
) -> tuple[Signature, tuple[Any, ...]]:
    """Cast and broadcast *xs*; return the signature of the operation on them, and them."""
    _refuse_undeclared(prim, xs, params)
    if any(x.__class__ is Node and x.aval.device is not None for x in xs):
        xs = xs if prim.projects or _has_body(params) else gathered(prim.name, xs)
    operands, aval, loop = prepared(prim, xs, params)
    avals = tuple([x.aval if x.__class__ is Node else x.__class__ for x in operands])
    key = (avals, tuple(params.items()))
    sig = prim.signatures.get(key)
    if sig is None:
        sig = intern_signature(prim, key, Signature(prim, avals, params, aval, loop))
    return sig, operands


def prepared(prim: Primitive, xs: Any, params: dict[str, Any]) -> tuple[Any, Any, Any]:
    """As ``prim.prepare``, which knows nothing of devices: the result lies where the operands do."""
    operands, aval, loop = prim.prepare(xs, params)
    device = params.get("device", HERE)
    if prim.projects or _has_body(params):
        return operands, aval, loop  # of results that lie where they were said to
    if device is HERE:
        device = next(
            (x.aval.device for x in operands if x.__class__ is Node and x.aval.device), None
        )
    same = device == aval.device and not is_several(aval)
    return operands, aval if same else placed(aval, device), loop


def _has_body(params: dict[str, Any]) -> bool:
    """Whether a param is a tape, or several: it says where what it reads lies."""
    held = [p[0] if p.__class__ is tuple and p else p for p in params.values()]
    return any(hasattr(p, "tape") for p in held)


_signature = functools.lru_cache(4096)(inspect.signature)


def _refuse_undeclared(prim: Primitive, xs: tuple[Any, ...], params: dict[str, Any]) -> None:
    """Raise unless the primitive takes so many operands, and these params."""
    evaluate = prim.evaluate
    if not isinstance(evaluate, np.ufunc):
        try:
            _signature(evaluate).bind(*xs, **params)
        except TypeError as error:
            raise TypeError(f"{prim.name}: {error}") from None
        except ValueError:  # compiled functions of NumPy before 2.4 do not tell theirs
            if params:
                raise TypeError(f"{prim.name}: it takes no {', '.join(params)}") from None
    elif params or len(xs) != evaluate.nin:
        given = f", and {', '.join(params)}" if params else ""
        raise TypeError(
            f"{prim.name}: it takes {evaluate.nin} operands and nothing else, not {len(xs)}{given}"
        )


def fit_integers(sig: Signature, xs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse Python integers that the dtype they would take cannot hold, as NumPy does.

    Comparisons are right for any integer: beyond the dtype's range it is as good as infinite.
    """
    fitted = list(xs)
    for k, (x, dtype) in enumerate(zip(xs, sig.loop, strict=False)):
        if x.__class__ is int and dtype.kind in "iu" and not 0 <= x < 128:
            try:
                dtype.type(x)
            except OverflowError:
                if sig.aval.dtype.kind != "b":
                    raise
                fitted[k] = math.inf if x > 0 else -math.inf
    return xs if fitted == list(xs) else tuple(fitted)


def intern_signature(prim: Primitive, key: Any, sig: Signature) -> Signature:
    """Store *sig*; when two threads race, both get the first one stored."""
    interned: Signature = _bounded(prim.signatures).setdefault(key, sig)
    return interned


def _bounded(table: dict[Any, Any]) -> dict[Any, Any]:
    if len(table) >= MAX_SIGNATURES:
        table.clear()
    return table
