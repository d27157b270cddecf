"""The route of generated derivatives: functions of loops and arrays, from their source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numba
import numpy as np

from nbgrad.machine import bounds
from nbgrad.machine.compile import at_once
from nbgrad.machine.scalar import HELPERS
from nbgrad.native import stored
from nbgrad.native.entry import Made, Refusal
from nbgrad.native.forms import Fixed, Leaf, Records, Request, Static
from nbgrad.structured.ir import Refused
from nbgrad.structured.rules import DTYPES
from nbgrad.structured.whole import Spec, read, text

CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}


def route(request: Request, key: stored.Key) -> Made:
    """Tangents beside the statements of the function, or the way back through them.

    Raises
    ------
    Refusal
        If the function has what is not read: where, and what.
    """
    if not request.order and not request.reverse:
        raise Refusal("the function itself is what Numba compiles")
    options = _options(request.dispatcher)
    checks = bounds.ON or bool(options.get("boundscheck")) or bool(numba.config.BOUNDSCHECK)
    try:
        function = read(
            request.py_func,
            [_spec(x) for x in request.arguments],
            options.get("error_model") == "numpy",
            checks,
        )
        _same_results(function, request)
        values = request.values and not request.order
        made = text(function, request.active, request.order, request.reverse, values=values)
        texts = [[made.source, made.params]]
        if request.reverse and not request.order:
            fast = text(function, request.active, 0, True, guarded=False, values=request.values)
            if len(fast.source.splitlines()) + 2 * fast.source.count("for ") <= TWICE:
                made = fast
                texts.append([fast.source, fast.params])
        code = _compiled(texts)
    except Refused as refused:
        raise Refusal(refused.reason, refused.line or None) from None
    except (Refusal, MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # the other route serves what this one fails at
        raise Refusal(f"it could not be read: {error!r:.200}") from error
    words = sum(1 + leaf.ndim for leaf in request.results) if values else 0
    entry = {"texts": texts, "values": words, "always": values}, b""
    return Made(code.address, code, _told(made, request), words, values, entry)


def restored(key: stored.Key, said: dict[str, Any], data: bytes) -> Made:
    """Code of a text that was stored: that is kept with kernels."""
    code = _compiled(said["texts"])
    return Made(code.address, code, said["report"], said["values"], said["always"])


# Lines up to which a way back is compiled twice, those with which a loop begins for three: a second's work.
TWICE: Final = 360
# Code that other code calls, for as long as that may be found in memory: for good.
_called: dict[str, Any] = {}


def _compiled(texts: Sequence[Any]) -> Any:
    """Code of the last text, which ends with that of the one before where a result is NaN."""
    code, again = None, 0
    for source, params in texts:
        if code is not None:
            _called[code.symbol] = code
            again = code.address
        code = at_once(
            source, "run", tuple(params), noalias=True, helpers=HELPERS, table=True, again=again
        )
    return code


def _told(made: Any, request: Request) -> str:
    if not request.reverse:
        return "tangents generated from source"
    if not made.kept:
        return "an adjoint generated from source, which keeps nothing"
    return f"an adjoint generated from source: runs of its loops keep {made.kept} numbers in all"


def _options(dispatcher: Any) -> dict[str, Any]:
    """The options of a function that decide what it computes: ``prange`` is serial in derivatives."""
    options: dict[str, Any] = dict(dispatcher.targetoptions)
    if not dispatcher._can_compile:
        raise Refusal("signatures that were given to njit")
    if dispatcher.locals:
        raise Refusal("types of locals that were given to njit")
    return options


def _spec(x: Any) -> Spec:
    if isinstance(x, Leaf):
        if x.dtype not in CODES:
            raise Refusal(f"an argument of {x.dtype}")
        return Spec("array" if x.ndim else "float", CODES[x.dtype], x.ndim)
    if isinstance(x, Records):
        raise Refusal("an argument of records")
    if isinstance(x, Static):
        return Spec("bool" if x.code == "b1" else "int")
    if isinstance(x, Fixed):
        return Spec("object", value=x.value)
    kind, items = x
    return Spec("tuple", parts=tuple(map(_spec, items)), value=None if kind is tuple else kind)


def _same_results(function: Any, request: Request) -> None:
    """Refuse if results are read as other types than Numba gives them."""
    mine = [(a.code, len(s)) for a, s in zip(function.results, function.shapes, strict=True)]
    theirs = [(CODES.get(r.dtype), r.ndim) for r in request.results]
    if mine != theirs:
        raise Refusal(f"results are read as {mine}, and Numba has {theirs}")
