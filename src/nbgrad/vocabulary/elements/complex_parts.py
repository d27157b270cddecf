"""Parts of complex numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.basis import full
from nbgrad.ops.elements.complex_parts import imaginary_part, real_dtype
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.composite import astype
from nbgrad.vocabulary.shapes import as_node


@function("numpy", np.real, cases=lambda d: [call(d(2, 3)), call(d())], complex=True, view=True)
def real(val: Any) -> Node:
    """Real part; the cotangent of its operand is real."""
    node = as_node(val)
    return astype(node, real_dtype(node.dtype))


@function("numpy", np.imag, cases=lambda d: [call(d(2, 3)), call(d())], complex=True, view=True)
def imag(val: Any) -> Node:
    """Imaginary part; zero for real numbers."""
    node = as_node(val)
    if node.dtype.kind != "c":
        return full(0, shape=node.shape, dtype=node.dtype)
    return imaginary_part(node)
