"""What is printed of an active number: its value."""

from __future__ import annotations

from typing import Any

from numba.extending import lower_builtin

from nbgrad.native.active import Carrier, base_of


@lower_builtin("print_item", Carrier)
def _printed(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    ty, x = base_of(context, builder, sig.args[0], args[0])
    return context.get_function("print_item", sig.return_type(ty))(builder, (x,))
