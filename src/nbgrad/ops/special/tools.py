"""What the declarations of special functions share: dtypes, evaluation in double, fixed orders."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.lazy import LazyModule
from nbgrad.core.primitive import Primitive
from nbgrad.ops.kinds.cotangents import add_up, times
from nbgrad.ops.kinds.elementwise import elementwise

special = LazyModule("scipy.special")
Domain = tuple[tuple[float, float], ...]


def real_loop(name: str) -> Callable[[Sequence[Any]], tuple[np.dtype[Any], ...]]:
    """Dtype rule of SciPy's real ufuncs: at least float32, float64 for integers, not complex."""

    def resolve(kinds: Sequence[Any]) -> tuple[np.dtype[Any], ...]:
        samples = {float: 0.0, int: 0, complex: 0j}
        dtype = np.result_type(*(samples.get(k, k) if isinstance(k, type) else k for k in kinds))
        if dtype.kind == "c":
            raise TypeError(
                f"special.{name} has a derivative rule for real numbers only, not {dtype}; use its "
                "real and imaginary parts, or scipy.special on arrays without a gradient"
            )
        if dtype.kind != "f":
            dtype = np.dtype(np.float64)
        elif dtype.itemsize < 4:
            dtype = np.dtype(np.float32)
        return (dtype,) * (len(kinds) + 1)

    return resolve


def in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    """*function* of float64 arrays, on any dtype: computed in float64 and rounded once."""

    @functools.wraps(function)
    def reference(*xs: Any, **params: Any) -> Any:
        dtype = np.result_type(*xs)
        if dtype.kind != "f":
            dtype = np.dtype(np.float64)
        with np.errstate(all="ignore"):
            wide = function(*(np.asarray(x, np.float64) for x in xs), **params)
        return np.asarray(wide).astype(dtype, copy=False)

    return reference


def special_function(
    name: str,
    reference: Callable[..., Any],
    *,
    partials: Callable[..., Any] | None = None,
    domain: Domain,
    doc: str,
    fixed: Sequence[int] = (),
    cases: tuple[Any, ...] = (),
    public: bool = True,
    text: str | Callable[[dict[str, Any]], str] = "",
    host: str = "",
) -> Primitive:
    """Declare an elementwise function of ``nbgrad.special``, evaluated by SciPy or by NumPy code.

    Without ``text`` or ``host`` kernels call SciPy's function of scalars of that *name*, which must be
    among those of ``machine/scipy_scalars.py``. A text is
    over operands in float64, and its result is rounded to the dtype. ``fixed`` are the
    operands without a derivative (an order, a degree): asking for one raises NotImplementedError.
    A pair of integers in ``domain`` says that tests draw integers for that operand.
    """
    rules: dict[str, Any] = {}
    if fixed and partials is not None:
        rules = dict(zip(("vjp", "jvp"), _with_fixed(name, partials, tuple(fixed)), strict=True))
    return elementwise(
        name,
        namespace="special",
        expr="" if host else _in_double_text(text or _scipy_call(name, reference)),
        host=host,
        reference=in_double(reference),
        loop=real_loop(name),
        partials=None if fixed else partials,
        domain=domain,
        doc=doc,
        cases=cases,
        public=public,
        **rules,
    )


def _scipy_call(name: str, reference: Callable[..., Any]) -> str:
    """The kernel text of SciPy's scalar function *name*, of the operands of *reference*."""
    if set(reference.__code__.co_names) != {"special", name}:
        raise TypeError(
            f"special.{name}: its reference is more than SciPy's function of that name: declare "
            "text=, its kernel text, or host=, why it has none"
        )
    count = len(inspect.signature(reference).parameters)
    return f"scipy_{name}({', '.join(f'{{{letter}}}' for letter in 'xyz'[:count])})"


def _in_double_text(text: Any) -> Any:
    """*text* with its operands cast to float64, and its result to the dtype."""
    if callable(text):
        return lambda params: _in_double_text(text(params))
    return "{to}(" + re.sub(r"\{([xyz])\}", r"f8({\1})", text) + ")"


def _with_fixed(name: str, partials: Any, fixed: tuple[int, ...]) -> tuple[Any, Any]:
    """VJP and JVP from *partials*, that refuse the derivative by the *fixed* operands."""

    def refuse(asked: Sequence[bool]) -> None:
        for k in fixed:
            if asked[k]:
                raise NotImplementedError(
                    f"special.{name} has no derivative by operand {k + 1} (an order): pass it as "
                    "a number or an array, or detach() it"
                )

    def vjp(ct: Any, y: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
        refuse(wants)
        given = partials(y, *xs, **params)
        return [times(ct, p) if w else None for p, w in zip(given, wants, strict=True)]

    def jvp(tangents: Any, y: Any, xs: Any, params: Any) -> Any:
        refuse([t is not None for t in tangents])
        given = partials(y, *xs, **params)
        return add_up([times(t, p) for t, p in zip(tangents, given, strict=True) if t is not None])

    return vjp, jvp
