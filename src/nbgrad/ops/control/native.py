"""``native``: a function that was compiled by Numba, with all its derivatives, as one operation.

The function is a param, which compiles itself for what is asked: ``order`` nested tangents, of the operands
in ``active``, and with ``reverse`` a sweep that goes back over all that. A tangent of J_k is a part of the
results of J_(k+1), a cotangent the result of the reverse sweep R_k. R_k is linear in its cotangents, and
what it gives is derived from R_(k+1) and J_(k+1): so a reverse sweep is outermost at every order.

Operands are the leaves, then for each further component of the tangents those of the active leaves, and in
reverse the cotangents of all components of the results that are floats. Component ``m + 2**k`` of order
k + 1 is the tangent of component ``m`` of order k.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nbgrad.core.aval import several
from nbgrad.core.primitive import Rules
from nbgrad.core.results import SeveralResults
from nbgrad.ops.kinds.batching import EACH
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Library

# Components of operands or results, by number of the component and of the leaf or result.
Components = dict[tuple[int, int], Any]


def _prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Any, Any]:
    function, many = params["function"], 1 << params["order"]
    if params["reverse"]:
        avals = [xs[j].aval for _ in range(many) for j in params["active"]]
        if params["values"]:
            avals = [*function.avals(xs[: function.leaves], params["statics"]), *avals]
    else:
        first = function.avals(xs[: function.leaves], params["statics"])
        avals = [*first, *[first[r] for _ in range(many - 1) for r in function.floats]]
    return tuple(xs), several(*avals), ()


def _evaluate(*xs: Any, function: Any, **given: Any) -> Any:
    found = function.run(xs, **given)
    return found[0] if len(found) == 1 else tuple(found)


class _Call:
    """A call of a function: its leaves, their components from 1 on, and in reverse the seeds."""

    def __init__(self, xs: Sequence[Any], params: dict[str, Any]) -> None:
        self.params, self.function, self.order = params, params["function"], params["order"]
        self.active = params["active"]
        self.many = 1 << self.order
        self.leaves = list(xs[: self.function.leaves])
        self.places = [(m, j) for m in range(1, self.many) for j in self.active]
        start = len(self.leaves)
        end = start + len(self.places)
        self.tangents: Components = dict(zip(self.places, xs[start:end], strict=True))
        self.seeded = [(m, r) for m in range(self.many) for r in self.function.floats]
        given = xs[end:] if params["reverse"] else [None] * len(self.seeded)
        self.seeds: Components = dict(zip(self.seeded, given, strict=True))

    def also(self, leaves: Iterable[int]) -> tuple[int, ...]:
        """The active leaves, with others."""
        return self.function.together({*self.active, *leaves})

    def called(
        self,
        active: tuple[int, ...],
        tangents: Components,
        order: int,
        seeds: list[Any] | None = None,
    ) -> tuple[Any, ...]:
        """Results of the function with these tangents, 0 where there are none, and seeds."""
        filled = [
            _filled(tangents.get((m, j)), self.leaves[j])
            for m in range(1, 1 << order)
            for j in active
        ]
        given = {**self.params, "active": active, "order": order, "reverse": seeds is not None}
        assert not given["values"]  # which stands in programs alone
        found = native(*self.leaves, *filled, *(seeds or ()), **given)
        return found if isinstance(found, tuple) else (found,)

    def raised(self, others: Components) -> Components:
        """Tangents of one order more: those that there are, and *others* on top."""
        return self.tangents | {(m + self.many, j): t for (m, j), t in others.items()}


def _filled(given: Any, like: Any) -> Any:
    """What is given of a tangent or cotangent, in full."""
    return materialize(0.0 if given is None else given, like.aval)


def _tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def _vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
    call, cts, ys = _Call(xs, params), _tuple(cts), _tuple(ys)
    wanted = [j for j, x in enumerate(call.leaves) if wants[j] and x.aval.inexact]
    active = call.also(wanted)
    order, upper = call.order, []
    if params["reverse"]:
        # Cotangents of what R_k gives are tangents of J_(k+1), whose results are those of the seeds;
        # the tangents of these results, which R_k's seeds are cotangents of, give those of the operands.
        places = [(m, j) for m in range(call.many) for j in call.active]
        tangents = call.raised(dict(zip(places, cts, strict=True)))
        upper = list(call.called(active, tangents, order + 1)[-len(call.seeded) :])
        given = list(call.seeds.values())
        seeds = [materialize(0.0, s.aval) for s in given] + given
        found = call.called(active, tangents, order + 1, seeds)
    else:
        results = _results(ys, call)
        given = dict(zip(results, cts, strict=True))
        seeds = [_filled(given[place], results[place]) for place in call.seeded]
        found = call.called(active, call.tangents, order, seeds)
    part = {(m, j): x for (m, j), x in zip(_places(call.many, active), found, strict=False)}
    lower = [part[0, j] if j in active else None for j in range(len(call.leaves))]
    return [*lower, *[part[place] for place in call.places], *upper]


def _places(many: int, numbers: Sequence[int]) -> list[tuple[int, int]]:
    return [(m, n) for m in range(many) for n in numbers]


def _results(ys: Sequence[Any], call: _Call) -> Components:
    """The results of J_k by component and number."""
    first = len(ys) - (call.many - 1) * len(call.function.floats)
    places = [(0, r) for r in range(first)]
    places += [(m, r) for m in range(1, call.many) for r in call.function.floats]
    return dict(zip(places, ys, strict=True))


def _jvp(ts: Any, ys: Any, xs: Any, params: Any) -> Any:
    found = _tangents(ts, _tuple(ys), xs, params)
    return found if isinstance(ys, tuple) else found[0]


def _tangents(ts: Any, ys: tuple[Any, ...], xs: Any, params: Any) -> tuple[Any, ...]:
    call = _Call(xs, params)
    count = len(call.leaves)
    moved = [j for j in range(count) if ts[j] is not None]
    active = call.also(moved)
    along: Components = {(0, j): ts[j] for j in moved}
    along |= dict(zip(call.places, ts[count:], strict=False))
    tangents = call.raised(along)
    if not params["reverse"]:
        found = call.called(active, tangents, call.order + 1)
        upper = (
            dict(zip(call.seeded, found[-len(call.seeded) :], strict=True)) if call.seeded else {}
        )
        return tuple([upper.get(place) for place in _results(ys, call)])
    # Seeds of the tangents are those that R_k has, seeds of the values how these change.
    given = list(call.seeds.values())
    turned = ts[count + len(call.places) :]
    seeds = [_filled(t, s) for t, s in zip(turned, given, strict=True)] + given
    found = call.called(active, tangents, call.order + 1, seeds)
    part = dict(zip(_places(call.many, active), found, strict=False))
    return tuple([part[place] for place in _places(call.many, call.active)])


def _batch(prim: Any, xs: Any, mapped: Any, params: dict[str, Any], size: int) -> Any:
    found = EACH(prim, xs, mapped, params, size)
    return found[0] if isinstance(found, tuple) and len(found) == 1 else found


def _beside(later: Any, earlier: Any) -> dict[str, Any] | None:
    """A reverse sweep with the values of the function, whose run it begins with."""
    mine, other = later.params, earlier.params
    if not mine["reverse"] or mine["values"] or other["reverse"] or other["order"]:
        return None
    function = mine["function"]
    if function is not other["function"] or mine["statics"] != other["statics"]:
        return None
    if not function.gives_values(mine["active"], mine["order"]):
        return None
    return {**mine, "values": True}


def _splits(params: dict[str, Any], *avals: Any) -> list[tuple[int, ...]]:
    """Each dimension as it is."""
    return [tuple(range(x.ndim + 1)) for x in avals]


def _contiguous(extents: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether elements lie in order, without gaps."""
    step = 1
    for extent, stride in zip(reversed(extents), reversed(strides), strict=True):
        if extent != 1 and stride != step:
            return False
        step *= extent
    return True


native = SeveralResults(
    name="native",
    kind="opaque",
    evaluate=_evaluate,
    prepare=_prepare,
    rules=Rules(_vjp, _jvp, _batch),
    lower=Library("native", "biufc", _splits, in_place=_contiguous),
    grad_name="Njit",
    doc="A function compiled by Numba, or one of its derivatives.",
    registered=False,
    beside=_beside,
)
