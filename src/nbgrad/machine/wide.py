"""Several elements by one load or store of up to 16 bytes, for kernels on a card: what Numba has no name for.

``load_4(view, k, whole)`` gives elements k to k + 3 of a view of memory; ``whole`` says that k is a multiple of 4, so that one
instruction may do it. These definitions are what it means; numba-cuda is told the instruction.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final


def load_2(view: Any, k: Any, whole: Any) -> Any:
    return view[k], view[k + 1]


def load_4(view: Any, k: Any, whole: Any) -> Any:
    return view[k], view[k + 1], view[k + 2], view[k + 3]


def store_2(view: Any, k: Any, whole: Any, a: Any, b: Any) -> None:
    view[k] = a
    view[k + 1] = b


def store_4(view: Any, k: Any, whole: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    view[k] = a
    view[k + 1] = b
    view[k + 2] = c
    view[k + 3] = d


WIDE: Final[dict[str, Callable[..., Any]]] = {
    f.__name__: f for f in (load_2, load_4, store_2, store_4)
}


@cache
def instruction(name: str) -> Any:
    """The function *name* for numba-cuda: one instruction where it may be one, else one for each element."""
    intrinsic = importlib.import_module("numba.cuda.extending").intrinsic
    count = int(name[-1])
    return intrinsic(_load(count) if name.startswith("load") else STORES[count])


class _Vector:
    """LLVM's text of a vector of elements of a view, from element *k* on."""

    def __init__(self, count: int, context: Any, builder: Any, view: Any, given: Any) -> None:
        self.ir = importlib.import_module("llvmlite.ir")
        self.count, self.builder, self.whole = count, builder, given[2]
        made = context.make_array(view)(context, builder, given[0])
        self.one = context.get_data_type(view.dtype)
        self.type = self.ir.VectorType(self.one, count)
        self.bytes = count * context.get_abi_sizeof(self.one)
        self.places = [
            builder.gep(made.data, [builder.add(given[1], self.ir.Constant(given[1].type, k))])
            for k in range(count)
        ]

    def number(self, k: int) -> Any:
        return self.ir.Constant(self.ir.IntType(32), k)

    def pointer(self) -> Any:
        return self.builder.bitcast(self.places[0], self.type.as_pointer())

    def joined(self, values: list[Any]) -> Any:
        """The vector of *values*."""
        vector = self.ir.Constant(self.type, self.ir.Undefined)
        for k, value in enumerate(values):
            vector = self.builder.insert_element(vector, value, self.number(k))
        return vector

    def parts(self, vector: Any) -> list[Any]:
        return [self.builder.extract_element(vector, self.number(k)) for k in range(self.count)]


def _load(count: int) -> Callable[..., Any]:
    types = importlib.import_module("numba.types")

    def typed(context: Any, view: Any, k: Any, whole: Any) -> Any:
        def text(context: Any, builder: Any, sig: Any, given: Any) -> Any:
            v = _Vector(count, context, builder, sig.args[0], given)
            with builder.if_else(v.whole) as (then, otherwise):
                with then:
                    at_once, first = builder.load(v.pointer(), align=v.bytes), builder.block
                with otherwise:
                    each = v.joined([builder.load(place) for place in v.places])
                    second = builder.block
            found = builder.phi(v.type)
            found.add_incoming(at_once, first)
            found.add_incoming(each, second)
            return context.make_tuple(builder, sig.return_type, v.parts(found))

        return types.UniTuple(view.dtype, count)(view, k, whole), text

    return typed


def _stored(view: Any, k: Any, whole: Any, values: tuple[Any, ...]) -> Any:
    types = importlib.import_module("numba.types")

    def text(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        v = _Vector(len(values), context, builder, sig.args[0], given)
        with builder.if_else(v.whole) as (then, otherwise):
            with then:
                builder.store(v.joined(given[3:]), v.pointer(), align=v.bytes)
            with otherwise:
                for place, value in zip(v.places, given[3:], strict=True):
                    builder.store(value, place)
        return context.get_dummy_value()

    return types.void(view, k, whole, *[view.dtype] * len(values)), text


def _two(context: Any, view: Any, k: Any, whole: Any, a: Any, b: Any) -> Any:
    return _stored(view, k, whole, (a, b))


def _four(context: Any, view: Any, k: Any, whole: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    return _stored(view, k, whole, (a, b, c, d))


STORES: Final = {2: _two, 4: _four}
