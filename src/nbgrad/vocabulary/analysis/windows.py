"""Windows of signal processing: constants, but for the shape of Kaiser's."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.elements.arithmetic import multiply
from nbgrad.ops.special import bessel
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.support import concrete, held


def _number(M: Any) -> Any:
    return concrete(M)[()]


@function("numpy", "numpy.bartlett", cases=lambda d: [call(5), call(1), call(0)])
def bartlett(M: Any) -> Node:
    """A triangle with zeros at its *M* points' ends."""
    return held(np.bartlett(_number(M)))


@function("numpy", "numpy.blackman", cases=lambda d: [call(5), call(1)])
def blackman(M: Any) -> Node:
    """Three cosines, so that leakage is small."""
    return held(np.blackman(_number(M)))


@function("numpy", "numpy.hamming", cases=lambda d: [call(5), call(1)])
def hamming(M: Any) -> Node:
    """A raised cosine that does not fall to zero."""
    return held(np.hamming(_number(M)))


@function("numpy", "numpy.hanning", cases=lambda d: [call(5), call(1)])
def hanning(M: Any) -> Node:
    """A raised cosine that falls to zero."""
    return held(np.hanning(_number(M)))


@function("numpy", "numpy.kaiser", cases=lambda d: [call(5, 2.0), call(1, 3.0)])
def kaiser(M: Any, beta: Any) -> Node:
    """Bessel functions of a half circle; *beta* sets its width and may be a tensor."""
    count = _number(M)
    if beta.__class__ is not Node:
        return held(np.kaiser(count, beta))
    half = (count - 1) / 2.0 or 1.0
    circle = np.sqrt(1 - ((np.arange(0, count) - (half if count > 1 else 0.0)) / half) ** 2.0)
    top, bottom = bessel.i0(multiply(held(circle), beta)), bessel.i0(beta)
    return top / bottom
