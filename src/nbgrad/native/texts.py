"""Operations of numbers that Numba does not know by themselves: compiled from their declared text."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import njit, types

from nbgrad.core.frozen import Value
from nbgrad.machine.object_code import _namespace
from nbgrad.machine.scalar import HELPERS

_CODES = {types.float32: "f4", types.float64: "f8"}


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
    space = _namespace(HELPERS)
    space[f"cast_{code}"] = np.float64 if code == "f8" else np.float32
    exec(compile(source, f"<nbgrad {text.name}>", "exec"), space)
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")(
        space[text.name]
    )
