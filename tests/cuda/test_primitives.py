"""Every primitive that has kernel text, orders 0 to 2 and its dtypes, in the simulator.

The reference is NumPy's, by the same tape: what is tested here is the text around the statements, their
casts, and that nothing outside of a buffer is touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from cuda_device import agree, marks
from samples import Sample, samples

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import primitives
from nbgrad.ops.kinds.forms import Expression, Host

pytestmark = marks
load_vocabulary()


def on_a_card(prim: Primitive) -> bool:
    """Whether some kernel computes it: of the others only the rules are."""
    lower = prim.lower
    return bool(lower.text) if isinstance(lower, Expression) else not isinstance(lower, Host)


PRIMITIVES = [p for p in primitives.values() if on_a_card(p)]


def chosen(prim: Primitive) -> list[Sample]:
    """A general sample of each of its params, one of other shapes, and a 0-d one."""
    found = samples(prim)
    if prim.kind in ("elementwise", "reduction"):
        first = {str(s.params): s for s in reversed(found)}
        return [*list(first.values())[:4], *found[1:2]]
    return found[:4]


def recorded(sample: Sample, *xs: Any) -> Any:
    return ng.Tensor(sample.record([x._node for x in xs]))


def orders(sample: Sample) -> Any:
    """The result, its gradient along numbers, and the gradient of that along others."""
    rng = sample.random()
    tracked = sample.tracked if sample.prim.vjp is not None else []
    weights = rng.uniform(0.5, 1.5, sample.evaluate().shape)
    others = [rng.uniform(0.5, 1.5, sample.arrays[k].shape) for k in tracked]

    def all_of_them(*xs: Any) -> list[Any]:
        y = recorded(sample, *xs)
        if not tracked or y.dtype.kind != "f":
            return [y]

        def slopes(*xs: Any) -> Any:
            total = lambda *xs: (recorded(sample, *xs) * weights.astype(y.dtype)).sum()
            return ng.grad(total, argnums=tuple(tracked))(*xs)

        def second(*xs: Any) -> Any:
            pairs = zip(slopes(*xs), others, strict=True)
            return sum([(g * w.astype(y.dtype)).sum() for g, w in pairs])

        return [y, *slopes(*xs), *ng.grad(second, argnums=tuple(tracked))(*xs)]

    return all_of_them


@pytest.mark.parametrize("prim", PRIMITIVES, ids=lambda p: p.name)
def test_orders_0_to_2_in_float64(prim: Primitive) -> None:
    for sample in chosen(prim):
        agree(orders(sample), *sample.arrays)


def typed(sample: Sample) -> Iterator[Sample]:
    """The sample in the other dtypes that the primitive has text for."""
    yield sample.astype(np.float32)
    kinds = getattr(sample.prim.lower, "dtypes", "")
    for code in ("i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1") if "i" in kinds else ():
        arrays = [
            np.round(3 * np.abs(a)).astype(code) if a.dtype.kind == "f" else a
            for a in sample.arrays
        ]
        yield Sample(sample.prim, tuple(arrays), sample.params)
    if "b" in kinds:
        yield Sample(sample.prim, tuple(a > 0 for a in sample.arrays), sample.params)


@pytest.mark.parametrize("prim", PRIMITIVES, ids=lambda p: p.name)
def test_values_in_every_dtype(prim: Primitive) -> None:
    for sample in typed(chosen(prim)[0]):
        try:
            sample.evaluate()
        except (TypeError, np.linalg.LinAlgError):
            continue  # NumPy has it for no such numbers
        agree(partial(recorded, sample), *sample.arrays)
