"""Functions that were given signatures, compiled again: for what these say, not for what a call gives them.

Numba casts what a call gives such a function to what a signature says: a float to an integer is cut. So does a
copy of it. Where numbers stand for others, and carry derivatives, they still do after the cast, unless the signature
says an integer or a flag; and an array that is only read may be given to a function that says nothing of that.
"""

from __future__ import annotations

from typing import Any

from numba import types

from nbgrad.machine.numba_inside import AbstractTemplate, CPUDispatcher, cpu_target, signature


class Declared(CPUDispatcher):  # type: ignore[misc]
    """A copy of *original*, which takes the types that this takes."""

    original: Any

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """What types a call: the overload of what the signature says, made here."""
        pysig, args = self._compiler.fold_argument_types(args, kws)
        plain = tuple([plain_type(x) for x in args])
        context = cpu_target.typing_context
        chosen = types.Dispatcher(self.original).get_call_type(context, plain, {})
        if chosen is None:
            return _template(self.py_func, None), pysig, args, {}
        taken = tuple([_taken(x, y) for x, y in zip(args, chosen.args, strict=True)])
        asked: Any = signature(chosen.return_type, *taken) if taken == chosen.args else taken
        self.compile(asked)
        found = signature(self.overloads[taken].signature.return_type, *taken)
        return _template(self.py_func, found), pysig, taken, {}


def declared(dispatcher: Any, like: Any) -> Any:
    """*like*, a copy of *dispatcher* for any types, as one that casts what it is given as *dispatcher* does."""
    if not dispatcher._can_compile:
        like.__class__, like.original = Declared, dispatcher
    return like


def _template(function: Any, found: Any) -> Any:
    class Template(AbstractTemplate):  # type: ignore[misc]
        key = function.__name__

        def generic(self, args: Any, kws: Any) -> Any:
            return found

    return Template


def stands(ty: Any) -> bool:
    """Whether a type is of numbers that stand for others, or holds such."""
    if isinstance(ty, types.BaseTuple):
        return any(map(stands, ty.types))
    inner = (getattr(ty, name, None) for name in ("dtype", "type", "value_type"))
    return hasattr(ty, "with_base") or any(
        x is not ty and stands(x) for x in inner if isinstance(x, types.Type)
    )


def plain_type(ty: Any) -> Any:
    """The type that one stands for, as signatures and what chooses an overload have it."""
    ty = types.unliteral(ty)
    if isinstance(ty, types.Optional):
        return types.Optional(plain_type(ty.type))
    if isinstance(ty, types.Array):
        return ty.copy(dtype=plain_type(ty.dtype), readonly=False)
    if isinstance(ty, types.BaseTuple):
        return _tuple(ty, [plain_type(x) for x in ty.types])
    if isinstance(ty, types.List | types.ListType):
        return type(ty)(plain_type(ty.dtype))
    if isinstance(ty, types.DictType):
        return types.DictType(plain_type(ty.key_type), plain_type(ty.value_type))
    return getattr(ty, "base", ty) if hasattr(ty, "with_base") else ty


def _tuple(ty: Any, inner: list[Any]) -> Any:
    kind = ty.instance_class if isinstance(ty, types.BaseNamedTuple) else None
    return types.BaseTuple.from_types(inner, kind)


def _taken(ty: Any, said: Any) -> Any:
    """What a function takes where it is given *ty* and its signature says *said*."""
    if isinstance(said, types.Optional) and ty != types.none:
        return types.Optional(_taken(getattr(ty, "type", ty), said.type))
    if isinstance(ty, types.Optional):
        return _taken(ty.type, said)
    if isinstance(ty, types.Array) and isinstance(said, types.Array):
        return said.copy(dtype=_taken(ty.dtype, said.dtype), readonly=not ty.mutable)
    if isinstance(ty, types.BaseTuple) and isinstance(said, types.BaseTuple):
        return _tuple(said, [_taken(x, y) for x, y in zip(ty.types, said.types, strict=True)])
    if hasattr(ty, "with_base") and isinstance(said, types.Float | types.Complex):
        return ty.with_base(said)
    return said
