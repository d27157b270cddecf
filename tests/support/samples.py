"""Samples of every primitive: operands from the declared domains and cases, of many shapes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from draws import Draw

from nbgrad.core.node import constant
from nbgrad.core.primitive import Primitive, bind
from nbgrad.core.results import SeveralResults, result_of
from nbgrad.ops.kinds.elementwise import arity

Array = np.ndarray[Any, Any]

# Shapes of the operands of an elementwise primitive, by their number: 0-d, empty, broadcast.
SHAPES: dict[int, list[tuple[tuple[int, ...], ...]]] = {
    1: [((2, 3),), ((),), ((0,),), ((5,),)],
    2: [
        ((2, 1), (1, 3)),
        ((), (2, 3)),
        ((3,), (3,)),
        ((2, 3), ()),
        ((), ()),
        ((0, 3), (1, 3)),
        ((0,), ()),
    ],
    3: [
        ((2, 3), (1, 3), (2, 1)),
        ((3,), (), (3,)),
        ((), (2, 3), ()),
        ((), (), ()),
        ((0, 3), (3,), ()),
    ],
}
# Shape, axes and keepdims of a reduction.
REDUCTIONS: list[tuple[tuple[int, ...], tuple[int, ...], bool]] = [
    ((2, 3, 4), (0, 2), False),
    ((4,), (0,), False),
    ((2, 5), (1,), True),
    ((2, 3), (0, 1), True),
    ((), (), False),
    ((2, 3), (), False),
    ((3, 0), (0,), False),
    ((3, 0), (1,), False),
    ((0, 3), (0, 1), True),
]


@dataclass(frozen=True, eq=False)
class Sample:
    """One application of a primitive: float64, integer or boolean operands, and params."""

    prim: Primitive
    arrays: tuple[Array, ...]
    params: dict[str, Any]
    symmetric: frozenset[int] = frozenset()  # operands that stay symmetric when they move
    result: int | None = None  # which of the results is looked at, of a primitive that has several

    @property
    def label(self) -> str:
        shapes = ", ".join(str(a.shape) for a in self.arrays)
        which = "" if self.result is None else f" result {self.result}"
        return f"{self.prim.name}({shapes}) {self.params}{which}"

    @property
    def tracked(self) -> list[int]:
        """Positions of the operands to differentiate by."""
        return [k for k, a in enumerate(self.arrays) if a.dtype.kind in "fc"]

    def astype(self, dtype: Any) -> Sample:
        """The same operands, floating-point and complex ones in the precision of *dtype*."""
        real = np.zeros(0, dtype).real.dtype
        arrays = tuple(
            a.astype(
                {"f": real, "c": np.result_type(real, np.complex64)}.get(a.dtype.kind, a.dtype)
            )
            for a in self.arrays
        )
        return replace(self, arrays=arrays)

    def with_imaginary(self, which: list[int]) -> Sample:
        """The operands at *which* with an imaginary part of 0.1 to 0.4, of either sign."""
        rng = self.random()
        arrays = list(self.arrays)
        for k in which:
            shape = arrays[k].shape
            y = rng.uniform(0.1, 0.4, shape) * rng.choice([-1.0, 1.0], shape)
            arrays[k] = np.asarray(arrays[k] + 1j * y)
        return replace(self, arrays=tuple(arrays))

    def moved(self, step: float, directions: dict[int, Array]) -> tuple[Array, ...]:
        """The operands a *step* along *directions*."""
        return tuple(
            np.asarray(a + step * directions[k]) if k in directions else a
            for k, a in enumerate(self.arrays)
        )

    def evaluate(self, arrays: tuple[Array, ...] | None = None) -> Array:
        """The NumPy reference."""
        with np.errstate(all="ignore"):
            found = self.prim.evaluate(*(arrays or self.arrays), **self.params)
        return np.asarray(found if self.result is None else found[self.result])

    def record(self, xs: Sequence[Any]) -> Any:
        """The node of the result on operands *xs*."""
        node = bind(self.prim, *xs, **self.params)
        return node if self.result is None else result_of(node, self.result)

    def random(self) -> np.random.Generator:
        """A generator that is the same for this sample in every run."""
        return np.random.default_rng(zlib.crc32(self.label.encode()))


def draw(rng: np.random.Generator, prim: Primitive, k: int, shape: tuple[int, ...]) -> Array:
    """Numbers from the declared domain of the k-th operand: integers, if its bounds are."""
    low, high = prim.domain[min(k, len(prim.domain) - 1)] if prim.domain else (-2.0, 2.0)
    if isinstance(low, int):
        return np.array(rng.integers(low, high, size=shape))
    return np.array(rng.uniform(low, high, size=shape))


def samples(prim: Primitive) -> list[Sample]:
    """All samples of *prim*; the first is a general one, without empty or 0-d operands."""
    rng = np.random.default_rng(zlib.crc32(prim.name.encode()))
    make = {"elementwise": _elementwise, "reduction": _reductions}.get(prim.kind, _cases)
    return list(make(prim, rng))


def _elementwise(prim: Primitive, rng: np.random.Generator) -> Iterator[Sample]:
    count = arity(prim)
    for params in prim.cases or ({},):
        for shapes in SHAPES[count]:
            arrays = [draw(rng, prim, k, shape) for k, shape in enumerate(shapes)]
            yield Sample(prim, tuple(_booleans(prim, params, arrays)), params)


def _booleans(prim: Primitive, params: dict[str, Any], arrays: list[Array]) -> Iterator[Array]:
    """Operands that the primitive reads as booleans are true or false with equal chances."""
    _, _, loop = prim.prepare(tuple(constant(a) for a in arrays), params)
    logical = prim.domain == ((0.0, 1.0),)
    for array, dtype in zip(arrays, loop, strict=True):
        middle = np.median(array) if array.size else 0.0
        yield array > middle if logical or dtype.kind == "b" else array


def _reductions(prim: Primitive, rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis, keepdims in REDUCTIONS:
        sample = Sample(prim, (draw(rng, prim, 0, shape),), {"axis": axis, "keepdims": keepdims})
        if prim.name in ("any", "all"):
            yield replace(sample, arrays=(sample.arrays[0] > 0,))
        elif _allowed(sample):
            yield sample


def _allowed(sample: Sample) -> bool:
    """Whether NumPy has it: not the maximum of no elements, nor argmax over no axes or some."""
    axis = sample.params["axis"]
    if sample.prim.name.startswith("arg") and len(axis) not in (1, sample.arrays[0].ndim or 1):
        return False
    try:
        sample.evaluate()
    except ValueError:
        return False
    return True


def _cases(prim: Primitive, rng: np.random.Generator) -> Iterator[Sample]:
    """Shapes stand for arrays of that shape, lists for integer arrays, a dict for the params.

    A shape after a name, as in ``("spd", 3, 3)``, stands for what ``Draw`` has by that name.
    """
    source = Draw(prim.name)
    for case in prim.cases:
        arrays, params = [], {}
        for k, item in enumerate(case):
            if isinstance(item, dict):
                params = item
            elif isinstance(item, list):
                arrays.append(np.array(item, dtype=np.int64))
            elif item and isinstance(item[0], str):
                arrays.append(getattr(source, item[0])(*item[1:]))
            else:
                arrays.append(draw(rng, prim, k, item))
        symmetric = (k for k, x in enumerate(case) if isinstance(x, tuple) and x[:1] == ("spd",))
        sample = Sample(prim, tuple(arrays), params, frozenset(symmetric))
        if isinstance(prim, SeveralResults):
            for number in range(len(prim.evaluate(*arrays, **params))):
                yield replace(sample, result=number)
        else:
            yield sample
