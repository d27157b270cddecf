"""Operations on the bits of integers, and on their divisors: results carry no gradient."""

from __future__ import annotations

import operator

import numpy as np

from nbgrad.core.primitive import Primitive
from nbgrad.ops.kinds import ranges
from nbgrad.ops.kinds.elementwise import elementwise


def _integers(
    name: str, text: str, doc: str, bounds: ranges.Bounds, dtypes: str = "iu"
) -> Primitive:
    return elementwise(
        name,
        expr=text or f"{{to}}({name}_{{c}}({{x}}, {{y}}))",
        reference=getattr(np, name),
        domain=((0, 60), (0, 5)),
        dtypes=dtypes,
        bounds=bounds,
        doc=doc,
    )


bitwise_and = _integers(
    "bitwise_and",
    "{x} & {y}",
    "The bits that both have; of booleans, whether both hold.",
    ranges.bits,
    "iub",
)
bitwise_or = _integers(
    "bitwise_or",
    "{x} | {y}",
    "The bits that either has; of booleans, whether either holds.",
    ranges.bits,
    "iub",
)
bitwise_xor = _integers(
    "bitwise_xor", "{x} ^ {y}", "The bits that exactly one of both has.", ranges.bits, "iub"
)
invert = _integers(
    "invert",
    "{to}(invert_{c}({x}))",
    "All bits turned over; of a boolean, whether it does not hold.",
    ranges.corners(operator.invert),
    "iub",
)
left_shift = _integers(
    "left_shift", "", "The first operand times 2 to the power of the second.", ranges.left_shift
)
right_shift = _integers(
    "right_shift", "", "The bits of the first moved down by the second.", ranges.right_shift
)
bitwise_count = _integers(
    "bitwise_count",
    "{to}(bitwise_count_{c}({x}))",
    "The number of bits that are 1 in the absolute value.",
    lambda x: (0, 64),
)
gcd = _integers("gcd", "", "Greatest common divisor.", ranges.divisor)
lcm = _integers("lcm", "", "Lowest common multiple.", ranges.multiple)
__all__ = ["bitwise_and", "bitwise_count", "bitwise_or", "bitwise_xor", "gcd", "invert", "lcm"]
__all__ += ["left_shift", "right_shift"]
