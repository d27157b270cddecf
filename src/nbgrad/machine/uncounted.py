"""Variables of numbers and pointers, to which nobody counts references: lowered as they stand.

For every variable Numba notes where it is read last and clears it there, and before it writes one it
reads what that held, both to give references back. Kernels refer to nothing, so LLVM has to take all of
it away again; nor does anybody debug them.
"""

from __future__ import annotations

from typing import Any


class Uncounted:
    """Stands before Numba's class that lowers functions, for those whose values refer to nothing."""

    def lower_inst(self, inst: Any) -> None:
        """Lower a statement; Numba prints each first, for who debugs."""
        value = getattr(inst, "value", None)
        if type(inst).__name__ != "Assign" or type(value).__name__ == "Arg":
            super().lower_inst(inst)  # type: ignore[misc]
            return
        name = inst.target.name
        self.storevar(self.lower_assign(self.typeof(name), inst), name)  # type: ignore[attr-defined]

    def storevar(self, value: Any, name: str, argidx: Any = None) -> None:
        """Give a variable a value."""
        if name in self._singly_assigned_vars:  # type: ignore[attr-defined]
            self._blk_local_varmap[name] = value  # type: ignore[attr-defined]
        else:
            self.builder.store(value, self.getvar(name))  # type: ignore[attr-defined]
