"""The imaginary part of complex numbers, and complex numbers from their parts, exact for infinities.

The real part is a cast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.registry import register_view
from nbgrad.ops.basis import cast
from nbgrad.ops.kinds.cotangents import is_number, materialize
from nbgrad.ops.kinds.elementwise import elementwise
from nbgrad.ops.kinds.promotion import common_loop


def real_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype of the parts of *dtype*."""
    return np.zeros(0, dtype).real.dtype


def _parts_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, Any]:
    ct = materialize(ct, y.aval)
    return cast(ct, dtype=real_dtype(ct.dtype)), imaginary_part(ct)


def _joined(tangents: Any, y: Node, xs: Any, params: Any) -> Any:
    re, im = (0.0 if t is None else t for t in tangents)
    if is_number(re) and is_number(im):
        return complex(re, im)
    return from_parts(re, im)


def _from_parts(x: Any, y: Any) -> Any:
    out = np.empty(
        np.broadcast_shapes(np.shape(x), np.shape(y)), np.result_type(x, y, np.complex64)
    )
    out.real, out.imag = x, y
    return out


def _from_parts_loop(kinds: Sequence[Any]) -> tuple[Any, ...]:
    dtype = common_loop(floating=True, ordered=True)(kinds)[0]
    return dtype, dtype, np.result_type(dtype, np.complex64)


from_parts = elementwise(
    "from_parts",
    public=False,
    host="complex numbers have kernels on a card alone",
    complex_expr="{to}(complex({x}, {y}))",
    reference=_from_parts,
    loop=_from_parts_loop,
    vjp=_parts_vjp,
    jvp=_joined,
    grad_name="Complex",
    doc="The complex number of a real and an imaginary part.",
)
imaginary_part = elementwise(
    "imaginary_part",
    public=False,
    host="complex numbers have kernels on a card alone",
    complex_expr="imag_{c}({x})",
    reference=np.imag,
    loop=lambda kinds: (np.dtype(kinds[0]), real_dtype(kinds[0])),
    vjp=lambda ct, y, xs, params, wants: (from_parts(0.0, materialize(ct, y.aval)),),
    jvp=lambda tangents, y, xs, params: imaginary_part(materialize(tangents[0], xs[0].aval)),
    grad_name="Imag",
    doc="Imaginary part of a complex number; the cotangent becomes imaginary.",
)


def _halves(shape: Any, strides: Any, params: Any) -> tuple[int, ...]:
    return tuple(2 * s for s in strides)  # of numbers half as wide


register_view(
    imaginary_part, lambda x, y, params: from_parts(cast(x, dtype=y.dtype), y), _halves, True
)
# Of a complex operand: that to another dtype, or of a real one, is a copy and is not asked for.
register_view(cast, lambda x, y, params: from_parts(y, imaginary_part(x)), _halves, True)
__all__ = ["from_parts", "imaginary_part", "real_dtype"]
