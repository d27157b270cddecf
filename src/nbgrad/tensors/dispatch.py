"""Recording one operation on tensors: the hot path of eager code.

Operands that need no cast and no broadcast are found by their avals in dictionaries, what a call
with others recorded is replayed. Where there is machine code for that it is asked first: 0.25 µs an
operation instead of 0.8.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.foreign import is_numbers, numbers_of
from nbgrad.core.node import Node
from nbgrad.core.ports import Shortcut, Tables, shortcuts
from nbgrad.core.primitive import Primitive, bind
from nbgrad.core.recipes import STATIC, Recipe, Recipes, replay, window_between
from nbgrad.core.record import record
from nbgrad.ops import basis
from nbgrad.vocabulary.shapes import as_node

if TYPE_CHECKING:
    from nbgrad.tensors.tensor import Tensor

FAST_ENTRIES = 4096
_FLOAT64 = make_aval((), np.dtype(np.float64)).dtype
OPERANDS = (float, int, bool, complex, np.ndarray, np.generic, list, tuple)

Method = Callable[..., "Tensor"]
Operator = Callable[[Any, Any], "Tensor"]
Named = TypeVar("Named", bound=Callable[..., Any])


def unary(prim: Primitive, general: Callable[[Any], Any] | None = None) -> Callable[[Any], Tensor]:
    """Return the function that records *prim* of one tensor; *general* takes anything else."""
    fast: dict[Any, Any] = {}
    quick = shortcuts.ask(fast)

    def method(self: Any) -> Any:
        if (twin := quick.call) is not None and (tensor := twin(self)) is not None:
            return tensor
        if not hasattr(self.__class__, "_node"):
            if general is None:
                raise TypeError(f"{prim.name}: {self!r} is not a tensor")
            return general(self)
        a = self._node
        node = _recorded(prim, fast, a, a)
        if node.aval.weak and general is not None:  # a function, not an operator, of a number
            node = basis.strong(node)
        return self.__class__(node)

    return _named(method, prim)


def copying(prim: Primitive) -> Callable[[Any], Tensor]:
    """Return the method that copies by *prim*, which keeps values; booleans, as it has none, by reshaping."""
    fast: dict[Any, Any] = {}
    quick = shortcuts.ask(fast)

    def clone(self: Any) -> Tensor:
        """A copy, which is differentiated as the tensor is; nothing is shared."""
        if (twin := quick.call) is not None and (copy := twin(self)) is not None:
            return copy  # type: ignore[no-any-return]
        a = self._node
        node = apart(a) if a.aval.dtype.kind == "b" else _recorded(prim, fast, a, a)
        return self.__class__(node)  # type: ignore[no-any-return]

    return clone


def binary(prim: Primitive) -> Operator:
    """Return the function that records *prim* of a tensor and a second operand.

    It returns NotImplemented for an operand that is no number, array or tensor.
    """
    on_nodes, tables = of_nodes(prim)
    alike, number, whole = tables

    def general(self: Any, other: Any) -> Any:
        cls, kind, a = self.__class__, other.__class__, self._node
        if kind is cls:
            b = other._node
            same = b.aval is a.aval
            return cls(_recorded(prim, alike, a, a, b) if same else on_nodes(a, b))
        if kind is float:
            return cls(_recorded(prim, number, a, a, other))
        if kind is int and a.aval.inexact:
            return cls(_recorded(prim, whole, a, a, other))
        if kind is np.float64 and _is_number_beside(a.aval):
            return method(self, float(other))
        if isinstance(other, OPERANDS):
            return cls(bind(prim, a, operand(other)))
        if hasattr(kind, "_node"):  # of a subclass, or of its base
            return (kind if issubclass(kind, cls) else cls)(on_nodes(a, other._node))
        return cls(bind(prim, a, numbers_of(other))) if is_numbers(other) else NotImplemented

    method = _named(_quickened(general, shortcuts.ask(*tables)), prim)
    return method


def _is_number_beside(aval: Aval) -> bool:
    """Whether a float64 of NumPy, of which an array is made elsewhere, gives what a float does."""
    return aval.dtype is _FLOAT64 and not aval.weak and aval.device is None


def of_nodes(prim: Primitive) -> tuple[Callable[[Node, Any], Node], Tables]:
    """Return the function that records *prim* of a node and a second operand, and its tables.

    They have signatures by the aval of both operands, of a node with a float, and of a node of
    floating point with an integer.
    """
    alike: dict[Any, Any] = {}
    number: dict[Any, Any] = {}
    whole: dict[Any, Any] = {}
    mixed = pair(functools.partial(bind, prim))

    def on_nodes(a: Node, other: Any) -> Node:
        kind = other.__class__
        if kind is Node:
            if other.aval is not a.aval:
                return mixed(a, other)
            table = alike
        elif kind is float:
            table = number
        elif kind is int and a.aval.inexact:
            table = whole
        else:
            return bind(prim, a, other)  # type: ignore[no-any-return]
        return _recorded(prim, table, a, a, other)

    return on_nodes, (alike, number, whole)


def reflected(prim: Primitive) -> Operator:
    """Return the function that records *prim* of a second operand and a tensor: ``1.0 - x``."""
    number: dict[Any, Any] = {}
    whole: dict[Any, Any] = {}

    def general(self: Any, other: Any) -> Any:
        cls, a, kind = self.__class__, self._node, other.__class__
        if kind is float or (kind is int and a.aval.inexact):
            return cls(_recorded(prim, number if kind is float else whole, a, other, a))
        if kind is np.float64 and _is_number_beside(a.aval):
            return method(self, float(other))
        return cls(bind(prim, operand(other), a)) if admitted(other) else NotImplemented

    method = _quickened(general, shortcuts.ask({}, number, whole, swapped=True))
    return method


def _quickened(general: Operator, quick: Shortcut) -> Operator:
    """The method of two operands that tries machine code first, where there is some."""

    def method(self: Any, other: Any) -> Any:
        if (twin := quick.call) is not None and (tensor := twin(self, other)) is not None:
            return tensor
        return general(self, other)

    return method


def _recorded(prim: Primitive, table: dict[Any, Any], a: Node, *operands: Any) -> Node:
    """Record *prim* by the signature that *table* has for the aval of *a*, or bind and remember."""
    sig = table.get(a.aval)
    if sig is not None:
        return record(sig, operands)
    node: Node = bind(prim, *operands)
    same = len(node.inputs) == len(operands)
    if same and all(x is y for x, y in zip(node.inputs, operands, strict=True)):
        looped = zip(operands, node.sig.loop, strict=False)
        # Any integer fits beside floats, but where it is taken as one: the exponent of ldexp.
        if not any(x.__class__ is int and dtype.kind in "iu" for x, dtype in looped):
            _bounded(table)[a.aval] = node.sig
    return node


def operand(x: Any) -> Any:
    """The second operand as `bind` takes it: a list with tensors in it is their stack."""
    if isinstance(x, (list, tuple)):
        return as_node(x)
    return x if isinstance(x, OPERANDS) or hasattr(x.__class__, "_node") else numbers_of(x)


def admitted(x: Any) -> bool:
    """Whether operators take *x* as a second operand, or leave it to its own class."""
    return isinstance(x, OPERANDS) or hasattr(x.__class__, "_node") or is_numbers(x)


def static(
    function: Callable[..., Node],
    told: bool = False,
    share: Callable[..., Any] | None = None,
    only: Callable[..., bool] | None = None,
    element: Callable[..., bool] | None = None,
) -> Method:
    """Return the method that records *function* of one tensor and of settings.

    What it recorded is remembered by the aval and the settings, and replayed the next time.
    *told* says that tuples among the settings are told apart by equality alone. What is a view is
    shown to ``share(made, tensor, chain, element)``: see views.py. ``only(tensor, chain)`` says
    whether it is a view, ``element(a, node, *settings)`` whether one that NumPy gives as a scalar.
    """
    fast = Recipes()
    quick = shortcuts.ask()  # it is always told the signature

    def method(self: Any, *args: Any, **given: Any) -> Any:
        a = self._node
        key: Any = (a.aval, *given) if given else a.aval
        for x in (*args, *given.values()) if given else args:
            # The types come first: 2 and 2.0 and True are equal, and a tensor compares to a tensor.
            tell = x.__class__ is tuple and not told
            key = (key, tuple, x, *map(type, x)) if tell else (key, x.__class__, x)
        try:
            recipe = fast[key]
        except KeyError:
            node = _new(function(a, *args, **given), a)
            if told or all(map(_tells, (*args, *given.values()))):
                fast.learn(key, node, (a,), element is not None and element(a, node, *args))
        except TypeError:  # a list, a slice, an array
            node = _new(function(a, *args, **given), a)
        else:
            if recipe.window is not None and share is not None:
                return again(self, recipe, share, only)
            sig = recipe.alone
            if sig is not None and (twin := quick.call) is not None:
                made = twin(self, sig)
                if made is not None:
                    return made
            return self.__class__(replay(recipe, (a,)))
        made = self.__class__(node)
        if share is None:
            return made
        chain = window_between(node, a)
        shared = chain is not None and (only is None or only(self, chain))
        single = element is not None and element(a, node, *args)
        return share(made, self, chain, single) if shared else made

    method.__name__ = function.__name__
    method.__doc__ = function.__doc__
    method.recipes = fast  # type: ignore[attr-defined]
    method.__wrapped__ = function  # type: ignore[attr-defined]
    return method


def again(
    tensor: Any,
    recipe: Recipe,
    share: Callable[..., Any],
    only: Callable[..., bool] | None = None,
) -> Any:
    """The view of *tensor* that *recipe* makes; a copy where *only* does not hold."""
    window: Any = recipe.window
    alias = tensor._alias
    shared = (
        only is None
        or alias is None
        or (alias.__class__ is shortcuts.group and not alias.place)  # contiguous, as if no view
        or only(tensor, window)
    )
    if shared and (twin := shortcuts.view) is not None:
        made = twin(tensor, recipe)
        if made is not None:
            return made
    node = tensor._node
    for sig in window:
        node = record(sig, (node,))
    made = tensor.__class__(node)
    return share(made, tensor, window, recipe.element) if shared else made


def apart(node: Node) -> Node:
    """Another node of the same value, so that hooks on a result are not hooks on the operand."""
    return basis.reshape(node, shape=node.shape)  # type: ignore[no-any-return]


def _new(node: Node, operand: Node) -> Node:
    return apart(node) if node is operand else node


def _tells(x: Any) -> bool:
    """Whether a setting is no array and equals no other of its type, or of its items' types."""
    if x.__class__ is tuple:
        return all(item.__class__ is not tuple and _tells(item) for item in x)
    return isinstance(x, STATIC) or (x.__class__ is float and x == x and x != 0.0)


def pair(function: Callable[..., Node]) -> Callable[..., Node]:
    """Return *function* of two nodes and settings, which replays what it recorded for such ones.

    Settings are told apart by equality alone: they must be of one type each.
    """
    fast = Recipes()

    def call(a: Node, b: Any, *settings: Any) -> Node:
        if b.__class__ is not Node:
            return function(a, b, *settings)
        # One node given twice is a recipe of its own: the next call may give two.
        operands = (a,) if a is b else (a, b)
        key = (a.aval, None if a is b else b.aval, *settings)
        recipe = fast.get(key)
        if recipe is not None:
            return replay(recipe, operands)  # type: ignore[no-any-return]
        node = function(a, b, *settings)
        fast.learn(key, node, operands)
        return node

    return call


def index_key(index: Any) -> Any:
    """A hashable form of a basic index; None for any other."""
    kind = index.__class__
    if kind is int or index is None or index is Ellipsis:
        return (index,)
    if kind is slice:
        a, b, c = index.start, index.stop, index.step
        plain = (a is None or a.__class__ is int) and (b is None or b.__class__ is int)
        return (a, b, c) if plain and (c is None or c.__class__ is int) else None
    if kind is tuple:
        keys = tuple([index_key(item) for item in index])
        return None if None in keys else (kind, keys)
    return None


def index_of(key: Any) -> Any:
    """The index that *key* stands for."""
    if len(key) == 3:
        return slice(*key)
    return key[0] if len(key) == 1 else tuple(index_of(item) for item in key[1])


def _bounded(table: dict[Any, Any]) -> dict[Any, Any]:
    if len(table) >= FAST_ENTRIES:
        table.clear()
    return table


def _named(method: Named, prim: Primitive) -> Named:
    method.__name__ = prim.name
    method.__doc__ = prim.doc
    return method
