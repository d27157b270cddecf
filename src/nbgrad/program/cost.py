"""What computing an element costs, roughly, as far as deciding between computing and storing it asks."""

from __future__ import annotations

from functools import lru_cache

from nbgrad.core.signature import Signature
from nbgrad.core.tape import Equation
from nbgrad.ops.kinds.forms import Expression

# Rough costs in ns an element of vectorised code.
CALL_COST, DIVIDE_COST, SIMPLE_COST = 3.0, 1.0, 0.1
# Calls that are no vectorised code: of SciPy, or with loops.
SCALAR_COST, SCALAR_CALLS = 30.0, ("scipy_", "special_", "series_")


def cost_of(eqn: Equation) -> float:
    """Rough cost of one element of an elementwise equation."""
    return _cost_of(eqn.sig)


@lru_cache(maxsize=4096)
def _cost_of(sig: Signature) -> float:
    lower = sig.prim.lower
    if not isinstance(lower, Expression):
        return 0.0
    text = lower.text(sig.params) if callable(lower.text) else lower.text
    if any(prefix in text for prefix in SCALAR_CALLS):
        return SCALAR_COST
    if "{c}(" in text or "_f8(" in text or "math." in text:
        return CALL_COST
    return DIVIDE_COST if "/" in text else SIMPLE_COST
