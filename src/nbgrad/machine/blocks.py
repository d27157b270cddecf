"""What variables and elements of arrays hold, read once in a block of a function that Numba lowers.

LLVM would see to that later; who makes code of a value is to know now that it is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from numba import types

_chosen: list[Callable[[Any], bool]] = []


def remembering(chosen: Callable[[Any], bool]) -> None:
    """Let *chosen* say of which types values are read once in a block."""
    _chosen[:] = [chosen]


PLAIN: Final = (types.Number, types.Boolean)
# Statements and expressions that change no element of an array, by their names in Numba.
KEEPING: Final = frozenset(("Del", "Jump", "Branch", "Return"))
READING: Final = frozenset(
    ("getitem", "static_getitem", "binop", "unary", "cast", "getattr", "build_tuple", "pair_first",
     "pair_second", "exhaust_iter", "phi")
)  # fmt: skip


def _elements(ty: Any) -> bool:
    """Whether the elements of what has this type are what they were until a statement may write."""
    return isinstance(ty, types.Array) or getattr(ty, "constant_elements", False)


class OncePerBlock:
    """Stands before Numba's class that lowers functions; has the values of a block that are known."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._held: dict[Any, Any] = {}  # by variable, or by array, operation and index

    def pre_block(self, block: Any) -> None:
        """Begin a block: what was read in another may not be there."""
        self._held = {}
        super().pre_block(block)  # type: ignore[misc]

    def loadvar(self, name: str) -> Any:
        """Read a variable."""
        if name not in self._held:
            found = super().loadvar(name)  # type: ignore[misc]
            if not self._remembers(self.typeof(name)):  # type: ignore[attr-defined]
                return found
            self._held[name] = found
        return self._held[name]

    def storevar(self, value: Any, name: str, argidx: Any = None) -> None:
        """Give a variable a value."""
        super().storevar(value, name, argidx=argidx)  # type: ignore[misc]
        self._forget(name)
        if self._remembers(self.typeof(name)):  # type: ignore[attr-defined]
            self._held[name] = value

    def delvar(self, name: str) -> None:
        """End a variable."""
        super().delvar(name)  # type: ignore[misc]
        self._forget(name)

    def lower_inst(self, inst: Any) -> None:
        """Lower a statement."""
        if self._may_write(inst):
            self._held = {k: v for k, v in self._held.items() if k.__class__ is not tuple}
        super().lower_inst(inst)  # type: ignore[misc]

    def lower_expr(self, resty: Any, expr: Any) -> Any:
        """Lower an expression."""
        lower: Any = super().lower_expr  # type: ignore[misc]
        reads = expr.op in ("getitem", "static_getitem") and self._remembers(resty)
        if not reads or not _elements(self.typeof(expr.value.name)):  # type: ignore[attr-defined]
            return lower(resty, expr)
        index = expr.index.name if expr.op == "getitem" else repr(expr.index)
        key = expr.value.name, expr.op, index
        if key not in self._held:
            self._held[key] = lower(resty, expr)
        return self._held[key]

    def _forget(self, name: str) -> None:
        self._held = {
            k: v
            for k, v in self._held.items()
            if name not in (k if k.__class__ is tuple else (k,))
        }

    def _may_write(self, inst: Any) -> bool:
        """Whether elements of an array may be others after a statement."""
        kind = type(inst).__name__
        expr: Any = getattr(inst, "value", None)
        if kind != "Assign":
            return kind not in KEEPING
        if type(expr).__name__ != "Expr":
            return False
        if expr.op not in ("call", "inplace_binop"):
            return expr.op not in READING
        signature = self.fndesc.calltypes[expr]  # type: ignore[attr-defined]
        given = (signature.recvr, *signature.args)
        return not all(x is None or isinstance(x, PLAIN) or self._remembers(x) for x in given)

    def _remembers(self, ty: Any) -> bool:
        # What was read before a generator yields is not there where it goes on, in the same block.
        return self.generator_info is None and bool(_chosen and _chosen[0](ty))  # type: ignore[attr-defined]
