"""Operations of numbers that Numba does not know by themselves: compiled from their declared text."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import llvmlite.binding as ll
import numpy as np
from numba import types

from nbgrad.core.frozen import Value
from nbgrad.machine import scipy_scalars
from nbgrad.machine.numba_kernels import namespace
from nbgrad.machine.plain import plainly
from nbgrad.machine.scalar import HELPERS

_CODES = {types.float32: "f4", types.float64: "f8", types.complex64: "c8", types.complex128: "c16"}
_CASTS = {"f4": np.float32, "f8": np.float64, "c8": np.complex64, "c16": np.complex128}


class Text(Value):
    """The text of an operation, in the language of kernels, over its operands."""

    name: str
    text: str
    arity: int

    def dispatcher(self, base: Any) -> Any:
        """It as a function of Numba's, of operands of the type *base*."""
        return _compiled(self, _CODES[base])


def text_of(prim: Any, params: tuple[tuple[str, Any], ...]) -> Text:
    """What computes the primitive *prim*."""
    form = getattr(prim.lower, "text", "")
    text = form(dict(params)) if callable(form) else form
    if not text:
        raise NotImplementedError(f"{prim.name} has no text to be compiled from")
    arity = max(k for k, name in enumerate("xyz", 1) if "{" + name + "}" in text)
    return Text(prim.name, text, arity)


@cache
def _compiled(text: Text, code: str) -> Any:
    names = "xyz"[: text.arity]
    body = text.text.format(
        **{name: name for name in names}, c=code, t=f"cast_{code}", to=f"cast_{code}"
    )
    source = f"def {text.name}({', '.join(names)}):\n    return {body}\n"
    # An unknown symbol ends the process: LLVM is told of SciPy's that the text reaches.
    reached = {name: HELPERS[name] for name in re.findall(r"\w+", body) if name in HELPERS}
    for symbol, address in scipy_scalars.imports(reached).items():
        ll.add_symbol(symbol, address)
    space = namespace(HELPERS)
    space[f"cast_{code}"] = _CASTS[code]
    exec(compile(source, f"<nbgrad {text.name}>", "exec"), space)
    return plainly(space[text.name])
