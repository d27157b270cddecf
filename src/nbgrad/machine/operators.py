"""What Numba's operators return for numbers and pointers, and by what they are lowered: asked once.

Numba asks all that declared an operator, of which there are dozens, and does so up to four times for each
sum in a kernel: a third of what compiling took. These stand before its classes.
"""

from __future__ import annotations

import types as types_of_python
from typing import Any, Final

import numpy as np
from numba import types

from nbgrad.machine.hashes import has_own, hash_of_integer

_plain: list[Any] = [types.Number, types.Boolean, types.CPointer]


def numbers(kind: Any) -> None:
    """Let operands of the types *kind* be numbers, too, of which functions return what they once did."""
    _plain.append(kind)


def _all_plain(args: Any) -> bool:
    plain = tuple(_plain)
    return all(isinstance(x, plain) for x in args)


class Operator(types.Function):  # type: ignore[misc]
    """A function of Numba's that remembers what it returns for numbers, active ones too, and pointers."""

    def __init__(self, function: Any) -> None:
        super().__init__(function.templates)
        self.known: dict[Any, Any] = {}
        self.lowered: dict[Any, Any] = {}  # by context and signature

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        """The signature of a call with arguments of these types."""
        if kws or not _all_plain(args):
            return super().get_call_type(context, args, kws)
        args = tuple(args)
        if args not in self.known:
            self.known[args] = super().get_call_type(context, args, kws)
        return self.known[args]


class Hash(Operator):
    """Python's ``hash``, which of integers is ours."""

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        """The signature of a call with arguments of these types."""
        if kws or not has_own(args):
            return super().get_call_type(context, args, kws)
        return context.resolve_value_type(hash_of_integer).get_call_type(context, args, {})


_operators: dict[Any, Operator] = {}
# Functions of modules, which Numba asks first whether they are numbers or arrays: their types, as told and as known.
_LASTING: Final = (types_of_python.BuiltinFunctionType, np.ufunc)
_values: dict[Any, tuple[Any, Operator]] = {}


class OperatorTyping:
    """Numba's typing, with functions that remember."""

    def resolve_value_type(self, val: Any) -> Any:
        """The type of a value that is a constant in compiled code."""
        told = self._lookup_global(val) if val.__class__ in _LASTING else None  # type: ignore[attr-defined]
        if told is not None and told is _values.get(val, (None,))[0]:
            return _values[val][1]
        found = super().resolve_value_type(val)  # type: ignore[misc]
        if found.__class__ is not types.Function:
            return found
        kind = Hash if val is hash else Operator
        known = _operators.get(found) or _operators.setdefault(found, kind(found))
        if told is found:
            _values[val] = told, known
        return known

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """The signature of a call; Numba looks first whether the type of *func* has a ``__call__``."""
        known = func.known.get(tuple(args)) if func.__class__ is Operator and not kws else None
        return known or super().resolve_function_type(func, args, kws)  # type: ignore[misc]


class OperatorLowering:
    """Numba's lowering, which remembers what makes the code of such calls."""

    def get_function(self, fn: Any, sig: Any, _firstcall: bool = True) -> Any:
        """What makes the code of a call."""
        find = super().get_function  # type: ignore[misc]
        if fn.__class__ is Hash and has_own(sig.args):
            fn = self.typing_context.resolve_value_type(hash_of_integer)  # type: ignore[attr-defined]
        if fn.__class__ is not Operator or not _all_plain(sig.args):
            return find(fn, sig, _firstcall)
        if (self, sig) not in fn.lowered:
            fn.lowered[self, sig] = find(fn, sig, _firstcall)
        return fn.lowered[self, sig]
