"""Numba's form of what kernel text calls. Importing this module imports Numba."""

from __future__ import annotations

import inspect
import operator
from typing import Any, Final

from llvmlite import ir
from numba import types

from nbgrad.machine.frontend import modules
from nbgrad.machine.frontend.instructions import ANY, Instruction
from nbgrad.machine.frontend.kinds import Kind, Typed
from nbgrad.machine.numba_inside import PointerModel, intrinsic, lower_builtin, register_model

SCALARS: Final = {
    "f8": types.float64,
    "f4": types.float32,
    "i8": types.int64,
    "i4": types.int32,
    "i2": types.int16,
    "i1": types.int8,
    "u8": types.uint64,
    "u4": types.uint32,
    "u2": types.uint16,
    "u1": types.uint8,
    "b1": types.boolean,
    "c16": types.complex128,
    "c8": types.complex64,
}


class BoolPointer(types.CPointer):
    """Pointer to NumPy booleans: bytes in memory, one bit in registers."""

    def __init__(self) -> None:
        super().__init__(types.boolean)


register_model(BoolPointer)(PointerModel)


@lower_builtin(operator.getitem, BoolPointer, types.Integer)
def _load_bool(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    byte = builder.load(builder.gep(args[0], [args[1]]))
    return builder.icmp_unsigned("!=", byte, byte.type(0))


@lower_builtin(operator.setitem, BoolPointer, types.Integer, types.Any)
def _store_bool(context: Any, builder: Any, sig: Any, args: Any) -> None:
    place = builder.gep(args[0], [args[1]])
    bit = context.cast(builder, args[2], sig.args[2], types.boolean)
    builder.store(builder.zext(bit, ir.IntType(8)), place)


def numba_type(kind: Kind) -> Any:
    """Numba's type of a kind, such as ``"f8*"`` or ``"i4"``."""
    if isinstance(kind, tuple):
        return types.Tuple([numba_type(k) for k in kind])
    if kind == "b1*":
        return BoolPointer()
    if kind == "none":
        return types.void
    return types.CPointer(SCALARS[kind[:-1]]) if kind.endswith("*") else SCALARS[kind]


_CODES: Final = {kind: code for code, kind in SCALARS.items()}


def _kind(ty: Any) -> Kind:
    """The kind of a Numba type."""
    plain = types.unliteral(ty)
    if isinstance(plain, BoolPointer):
        return "b1*"
    return f"{_CODES[plain.dtype]}*" if isinstance(plain, types.CPointer) else _CODES[plain]


def _intrinsic(declared: Instruction) -> Any:
    """An instruction as one of Numba's intrinsics."""

    def typing(typingctx: Any, *args: Any) -> Any:
        kinds = tuple(map(_kind, args))
        wanted = [
            k if p == ANY else p for k, p in zip(kinds, declared.params or kinds, strict=True)
        ]
        result = declared.kind(kinds)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            made = declared.write(builder, [*map(Typed, wanted, args)])
            return context.get_dummy_value() if result == "none" else made.value

        return numba_type(result)(*map(numba_type, wanted)), generate

    typing.__name__ = typing.__qualname__ = declared.name
    names = ["typingctx", *[f"x{k}" for k in range(declared.arity)]]
    given = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names]
    typing.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    return intrinsic(typing)


BY_PLAIN: Final = {plain: _intrinsic(found) for plain, found in modules.BY_PLAIN.items()}
POINTER_NAMES: Final = {name: _intrinsic(i) for name, i in modules.POINTER_NAMES.items()}
