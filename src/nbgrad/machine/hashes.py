"""The hash of an integer, as a dozen instructions: of sets and dicts in functions of the user's.

Numba has it as nine functions of Python that it compiles, a tenth of what the first gradient of a function with a
set takes.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

MODULUS: Final = sys.hash_info.modulus  # 2^61 - 1
BITS: Final = MODULUS.bit_length()


@intrinsic
def hash_of_integer(typingctx: Any, x: Any) -> Any:
    """The hash that Python has of an integer of at most 64 bits."""
    kind = types.unliteral(x)

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        word = ir.IntType(64)
        whole = types.int64 if kind.signed else types.uint64
        x = context.cast(b, args[0], kind, whole)
        negative = b.icmp_signed("<", x, word(0)) if kind.signed else ir.IntType(1)(0)
        size = b.select(negative, b.neg(x), x)  # of the least, too, as a number without a sign
        rest = b.add(b.and_(size, word(MODULUS)), b.lshr(size, word(BITS)))
        rest = b.select(
            b.icmp_unsigned(">=", rest, word(MODULUS)), b.sub(rest, word(MODULUS)), rest
        )
        found = b.select(negative, b.neg(rest), rest)
        return b.select(b.icmp_signed("==", found, word(-1)), word(-2), found)

    return types.intp(kind), generate


def has_own(args: Any) -> bool:
    """Whether ``hash`` of arguments of these types is the one above."""
    return len(args) == 1 and isinstance(args[0], types.Integer) and sys.hash_info.width == 64
