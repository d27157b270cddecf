"""Discrete Fourier transforms: complex, of real numbers, and back to real numbers.

All three are linear. The transform of a direction and norm is the conjugate transpose of the
transform of the other direction and norm, which is what a cotangent is multiplied by. Operands may
be real where complex ones are meant: the cotangent then keeps its real part.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.lazy import load
from nbgrad.core.node import Node, constant
from nbgrad.ops.kinds.linear import linear

OTHER_NORM = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _scipy(name: str) -> Any:
    """SciPy's transforms keep single precision; imported on first use."""
    return getattr(load("scipy.fft"), name)


def complex_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The complex dtype of the same precision."""
    return np.result_type(dtype, np.complex64)


def _real_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.zeros(0, dtype).real.dtype


def _resized(shape: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    return (*shape[:axis], n, *shape[axis + 1 :])


def _fourier(x: Any, axes: tuple[int, ...], inverse: bool, norm: str) -> Any:
    return _scipy("ifftn" if inverse else "fftn")(x, axes=axes, norm=norm)


fourier = linear(
    "fourier",
    aval=lambda x, axes, inverse, norm: make_aval(x.shape, complex_of(x.dtype)),
    adjoint=lambda ct, x, axes, inverse, norm: fourier(
        ct, axes=axes, inverse=not inverse, norm=OTHER_NORM[norm]
    ),
    evaluate=_fourier,
    cases=(
        ((4,), {"axes": (0,), "inverse": False, "norm": "backward"}),
        ((2, 3), {"axes": (0, 1), "inverse": True, "norm": "ortho"}),
    ),
    grad_name="FftC2C",
    doc="Complex discrete Fourier transform over axes, or its inverse.",
)


def _weights(n: int, middle: float, ndim: int, axis: int, dtype: np.dtype[Any]) -> Node:
    """1 for the frequencies that stand for themselves, *middle* for those that stand for two."""
    weights = np.full(n // 2 + 1, middle, _real_of(dtype))
    weights[0] = 1.0
    if n % 2 == 0:
        weights[-1] = 1.0
    return constant(weights.reshape(_resized((1,) * ndim, axis, n // 2 + 1)))


def _half_aval(x: Aval, axis: int, norm: str) -> Aval:
    return make_aval(_resized(x.shape, axis, x.shape[axis] // 2 + 1), complex_of(x.dtype))


def _half_adjoint(ct: Node, x: Aval, axis: int, norm: str) -> Node:
    n = x.shape[axis]
    weighted = ct * _weights(n, 0.5, x.ndim, axis, ct.dtype)
    return real_fourier_inverse(weighted, axis=axis, n=n, norm=OTHER_NORM[norm])


real_fourier = linear(
    "real_fourier",
    aval=_half_aval,
    adjoint=_half_adjoint,
    evaluate=lambda x, axis, norm: _scipy("rfft")(x, axis=axis, norm=norm),
    cases=(((4,), {"axis": 0, "norm": "backward"}), ((3, 2), {"axis": 0, "norm": "forward"})),
    grad_name="FftR2C",
    doc="Discrete Fourier transform of real numbers: the frequencies that are not negative.",
)


def _back_aval(x: Aval, axis: int, n: int, norm: str) -> Aval:
    return make_aval(_resized(x.shape, axis, n), _real_of(x.dtype))


def _back_adjoint(ct: Node, x: Aval, axis: int, n: int, norm: str) -> Node:
    back = real_fourier(ct, axis=axis, norm=OTHER_NORM[norm])
    return back * _weights(n, 2.0, x.ndim, axis, back.dtype)


real_fourier_inverse = linear(
    "real_fourier_inverse",
    aval=_back_aval,
    adjoint=_back_adjoint,
    evaluate=lambda x, axis, n, norm: _scipy("irfft")(x, n=n, axis=axis, norm=norm),
    cases=(
        ((3,), {"axis": 0, "n": 4, "norm": "backward"}),
        ((2, 2), {"axis": 0, "n": 3, "norm": "ortho"}),
    ),
    grad_name="FftC2R",
    doc="Real numbers from their frequencies that are not negative: inverse of real_fourier.",
)
