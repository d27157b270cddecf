"""What Numba is told of functions of arrays of active numbers, element by element."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numba import types
from numba.extending import overload

from nbgrad.machine.fused_ufuncs import leave_ours_alone
from nbgrad.machine.numba_inside import TypingError, as_dtype
from nbgrad.native.active import Carrier
from nbgrad.native.functions import ARITY_TWO, FUNCTIONS, IN_PLACE
from nbgrad.native.memory import dtype_of
from nbgrad.native.replacing import compiled, element_of, holds_active, replaces
from nbgrad.native.scalars import result_type, typing_context


def maker(ty: Any, space: dict[str, Any]) -> str:
    """Text of the dtype of arrays of *ty*."""
    if isinstance(ty, Carrier):
        space["kind"] = dtype_of(ty)
        return "kind()"
    space["kind"] = as_dtype(ty).type
    return "kind"


def rank(ty: Any) -> int:
    return ty.ndim if isinstance(ty, types.Array) else 0


def elementwise(function: Any, kinds: Sequence[Any], out: Any, into: int | None = None) -> Any:
    """A function of so many arrays and numbers, each element of the type *out*.

    *into* is the operand that it writes into, as an operator in place does.
    """
    names = [f"x{k}" for k in range(len(kinds))]
    ranks = [rank(ty) for ty in kinds]
    n = max(ranks)
    space: dict[str, Any] = {"__name__": __name__, "np": np, "function": function}
    lines = [f"def impl({', '.join(names)}):"]
    for d in range(n):
        mine = [(name, d - (n - r)) for name, r in zip(names, ranks, strict=True) if d >= n - r]
        first, axis = mine[0]
        lines.append(f"    n{d} = {first}.shape[{axis}]")
        for name, axis in mine[1:]:
            lines.append(f"    if n{d} == 1: n{d} = {name}.shape[{axis}]")
        if len(mine) > 1:
            bad = " or ".join(f"{name}.shape[{axis}] not in (1, n{d})" for name, axis in mine)
            lines.append(f"    if {bad}:")
            lines.append("        raise ValueError('operands could not be broadcast together')")
    shape = "".join(f"n{d}, " for d in range(n))
    target = f"x{into}" if into is not None else "out"
    if into is None:
        lines.append(f"    out = np.empty(({shape}), {maker(out, space)})")
    indent = "    "
    for d in range(n):
        lines.append(f"{indent}for i{d} in range(n{d}):")
        indent += "    "
    args = []
    for name, r in zip(names, ranks, strict=True):
        at = "".join(f"i{d} if {name}.shape[{d - (n - r)}] != 1 else 0, " for d in range(n - r, n))
        args.append(f"{name}[{at}]" if r else name)
    place = ", ".join(f"i{d}" for d in range(n))
    lines += [f"{indent}{target}[{place}] = function({', '.join(args)})", f"    return {target}"]
    exec("\n".join(lines), space)
    return space["impl"]


def element_result(function: Any, kinds: Sequence[Any], carries: bool) -> Any:
    """The type of an element of the result, or None if these are not arrays of active numbers."""
    if not holds_active(*kinds) or not any(isinstance(x, types.Array) for x in kinds):
        return None
    if any(isinstance(x, types.BaseTuple | types.List | types.ListType) for x in kinds):
        return None
    return result_type(typing_context(), function, tuple(map(element_of, kinds)), carries)


def _register(function: Any, arity: int, carries: bool) -> None:
    if arity == 1:

        def choose(x0: Any) -> Any:
            out = element_result(function, [x0], carries)
            return None if out is None else elementwise(function, [x0], out)

    else:

        def choose(x0: Any, x1: Any) -> Any:  # type: ignore[misc]
            plain = IN_PLACE.get(function)
            kinds = [x0, x1]
            out = element_result(plain or function, kinds, carries)
            if out is None:
                return None
            if plain is None or not isinstance(x0, types.Array):
                return elementwise(plain or function, kinds, out)
            if not isinstance(x0.dtype, Carrier):
                raise TypingError(
                    "an array of constants is written to with numbers that carry derivatives"
                )
            return elementwise(plain, kinds, out, into=0)

    overload(function, strict=False)(choose)


def ours_first(function: Any) -> None:
    """Let Numba ask for operators in place here first: its own fails where it does not know a dtype."""
    known = typing_context().resolve_value_type(function)
    ours = [t for t in known.templates if _is_ours(t)]
    known.templates = (*ours, *[t for t in known.templates if not _is_ours(t)])


def _is_ours(template: Any) -> bool:
    found = getattr(getattr(template, "_overload_func", None), "__module__", "")
    return (found or "").startswith("nbgrad.native.")


def _register_all() -> None:
    for primitive, functions in FUNCTIONS.items():
        for function in functions:
            if getattr(function, "__module__", "") == "math":
                continue
            arity = 2 if primitive in ARITY_TWO or function in BINARY else 1
            _register(function, arity, bool(primitive))


BINARY: Final = {
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
    operator.floordiv, operator.ifloordiv, np.floor_divide, np.less, np.less_equal, np.greater,
    np.greater_equal, np.equal, np.not_equal, np.logical_and, np.logical_or, np.logical_xor,
}  # fmt: skip
_register_all()
leave_ours_alone()
typing_context().refresh()
for _operator in IN_PLACE:
    ours_first(_operator)


def _chosen(c: Any, a: Any, b: Any) -> Any:
    raise NotImplementedError


@overload(_chosen, strict=False)
def _chosen_of(c: Any, a: Any, b: Any) -> Any:
    def impl(c: Any, a: Any, b: Any) -> Any:
        if c:
            return a
        return b

    return impl


def unified(*kinds: Any) -> Any:
    return typing_context().unify_types(*[types.unliteral(element_of(x)) for x in kinds])


@replaces(np.where)
def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None or isinstance(x, types.Omitted):
        return None
    kinds = [condition, x, y]
    if not any(map(rank, kinds)):
        return lambda condition, x=None, y=None: _chosen(condition, x, y)
    found = elementwise(_chosen, kinds, unified(x, y))
    return _renamed(found, "condition, x=None, y=None", "condition, x, y")


def _renamed(found: Any, params: str, args: str) -> Any:
    """The function with parameters of other names."""
    space = {"__name__": __name__, "found": compiled(found)}
    exec(f"def impl({params}): return found({args})", space)
    return space["impl"]
