"""Named tuples of active numbers: in a clone, their class makes floats active beside others that are.

A variable that is such a tuple has one type, and its first value often has constants where later ones do not:
``State(x, 0.0)``. Numba unifies plain tuples item by item, named ones not. Where that is not enough, as of
``State(0.0, 0.0)``, all floats that named tuples are made of become active: constants, too, then take part in
what is recorded.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic, overload

from nbgrad.native.active import Carrier
from nbgrad.native.memory import dtype_of


@intrinsic
def _like(typing_context: Any, x: Any, active: Any) -> Any:
    """*x*, a float or complex number, as an active one of the kind of *active*."""
    number = getattr(active, "dtype", active)
    result = number.with_base(types.unliteral(x))

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return context.cast(b, args[0], sig.args[0], result)

    return result(x, active), generate


def is_named(x: Any) -> bool:
    """Whether *x* is a class that ``collections.namedtuple`` has made."""
    return isinstance(x, type) and issubclass(x, tuple) and hasattr(x, "_field_defaults")


def maker(plain: Any, number: Any = None) -> Any:
    """What stands for a class of named tuples in a clone; with *number*, all floats become such."""
    names = plain.__match_args__
    given = plain.__new__.__defaults__ or ()
    defaults = dict(zip(reversed(names), reversed(given), strict=False))
    # No field begins with an underscore.
    space = {f"_default_{k}": value for k, value in defaults.items()}
    space |= {"__name__": __name__, "_plain": plain, "_like": _like}
    space["_number"] = number and dtype_of(number)
    params = ", ".join(f"{k}=_default_{k}" if k in defaults else k for k in names)

    def chosen(*kinds: Any) -> Any:
        # Numba leaves out what has its default, and so does a clone.
        args = [k for k, ty in zip(names, kinds, strict=True) if not isinstance(ty, types.Omitted)]
        active = [k for k, ty in zip(names, kinds, strict=True) if isinstance(ty, Carrier)]
        if active or number is not None:
            inexact, kind = types.Float | types.Complex, "_number()" if number else active[0]
            wide = {k for k, ty in zip(names, kinds, strict=True) if isinstance(ty, inexact)}
            args = [f"_like({k}, {kind})" if k in wide else k for k in args]
        exec(f"def impl({params}): return _plain({', '.join(args)})", space)
        return space["impl"]

    exec(f"def stub({params}): raise NotImplementedError", space)
    space["_chosen"] = chosen
    exec(f"def choose({params}): return _chosen({', '.join(names)})", space)
    overload(space["stub"], strict=False)(space["choose"])
    return space["stub"]
