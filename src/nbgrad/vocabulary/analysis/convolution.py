"""Convolution and correlation, with the signatures of NumPy and ``scipy.signal``.

``oaconvolve`` is left out: it computes what ``fftconvolve`` does, and only its use of memory for a
signal much longer than the kernel differs; ``convolve`` takes the direct way there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import broadcast_shapes, normalize_axis
from nbgrad.core.lazy import load
from nbgrad.core.node import Node, constant
from nbgrad.ops import basis
from nbgrad.ops.arrays.convolution import convolve_full, convolve_valid, reverse
from nbgrad.ops.arrays.indexing import take
from nbgrad.ops.elements.arithmetic import add, conjugate, multiply
from nbgrad.vocabulary.analysis.fourier import fftn, ifftn, irfftn, rfftn
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.composite import astype
from nbgrad.vocabulary.shapes import as_node, reshape

MODES = ("full", "same", "valid")


def _window(x: Node, starts: Sequence[int], sizes: Sequence[int]) -> Node:
    if x.shape == tuple(sizes):
        return x
    ones = (1,) * x.ndim
    return basis.slice_(x, starts=tuple(starts), sizes=tuple(sizes), steps=ones)


def _mirror(x: Node) -> Node:
    """What turns a convolution into a correlation."""
    return reverse(conjugate(x))


def _check_mode(name: str, mode: Any) -> None:
    if mode not in MODES:
        raise ValueError(f"{name}: mode must be 'full', 'same' or 'valid', not {mode!r}")


def _larger_first(name: str, a: Node, b: Node, axes: Sequence[int]) -> tuple[Node, Node, bool]:
    """The operands, the one that covers the other first; and whether they were exchanged."""
    if all(a.shape[k] >= b.shape[k] for k in axes):
        return a, b, False
    if all(a.shape[k] <= b.shape[k] for k in axes):
        return b, a, True
    raise ValueError(
        f"{name}: in mode 'valid' one operand must be at least as large as the other in every "
        f"dimension, but the shapes are {a.shape} and {b.shape}"
    )


# ------------------------------------------------------------------------------------------ NumPy


def _vectors(name: str, a: Any, v: Any) -> tuple[Node, Node]:
    nodes = [as_node(x) for x in (a, v)]
    a, v = (reshape(x, (1,)) if not x.ndim else x for x in nodes)
    if a.ndim != 1 or v.ndim != 1:
        raise ValueError(
            f"{name}: takes vectors, not shapes {a.shape} and {v.shape}; see nbgrad.signal.convolve"
        )
    if not a.size or not v.size:
        raise ValueError(f"{name}: {'a' if not a.size else 'v'} cannot be empty")
    return a, v


def _of_vectors(name: str, a: Node, v: Node, mode: str, start: int) -> Node:
    """The convolution, of which *start* begins the part for mode ``"same"``."""
    _check_mode(name, mode)
    if mode == "valid":
        a, v, _ = _larger_first(name, a, v, (0,))
        return convolve_valid(a, v)
    full = convolve_full(a, v)
    return full if mode == "full" else _window(full, (start,), (max(a.size, v.size),))


@function(
    "numpy",
    np.convolve,
    cases=lambda d: [
        call(d(4), d(2)),
        call(d(2), d(4), "same"),
        call(d(4), d(3), mode="valid"),
        call(d(2), d(3), "valid"),
    ],
    complex=True,
)
def convolve(a: Any, v: Any, mode: str = "full") -> Node:
    """Discrete convolution of two vectors."""
    a, v = _vectors("convolve", a, v)
    return _of_vectors("convolve", a, v, mode, (min(a.size, v.size) - 1) // 2)


@function(
    "numpy",
    np.correlate,
    cases=lambda d: [
        call(d(4), d(2)),
        call(d(2), d(4), "same"),
        call(d(4), d(2), "same"),
        call(d(2), d(3), mode="full"),
    ],
    complex=True,
)
def correlate(a: Any, v: Any, mode: str = "valid") -> Node:
    """Cross-correlation of two vectors; the second is conjugated."""
    a, v = _vectors("correlate", a, v)
    start = (v.size - 1) // 2 if a.size >= v.size else a.size // 2
    return _of_vectors("correlate", a, _mirror(v), mode, start)


# ------------------------------------------------------------------------------------------ SciPy


def _arrays(name: str, in1: Any, in2: Any) -> tuple[Node, Node]:
    a, b = as_node(in1), as_node(in2)
    if a.ndim != b.ndim:
        raise ValueError(f"{name}: in1 and in2 should have the same dimensionality")
    return a, b


def _part(full: Node, a: Node, b: Node, mode: str, axes: Sequence[int]) -> Node:
    """The part of a full convolution over *axes* that *mode* asks for; *b* fits into *a*."""
    starts, sizes = [0] * full.ndim, list(full.shape)
    for k in axes if mode != "full" else ():
        starts[k] = (b.shape[k] - 1) // 2 if mode == "same" else b.shape[k] - 1
        sizes[k] = a.shape[k] if mode == "same" else a.shape[k] - b.shape[k] + 1
    return _window(full, starts, sizes)


@function(
    "signal",
    "scipy.signal.fftconvolve",
    cases=lambda d: [
        call(d(5), d(3)),
        call(d(2, 3), d(2, 2), "same"),
        call(d(2, 3), d(1, 2), "valid", axes=1),
    ],
    complex=True,
)
def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Node:
    """Convolution over *axes* (all by default) by Fourier transforms.

    Fast for large kernels; rounding errors are relative to the largest results.
    """
    _check_mode("fftconvolve", mode)
    a, b = _arrays("fftconvolve", in1, in2)
    over = normalize_axis("fftconvolve", axes, a.ndim)
    if not a.ndim or not a.size or not b.size:
        return multiply(a, b) if not a.ndim else constant(np.zeros(0))
    broadcast_shapes(
        "fftconvolve",
        *(tuple(1 if k in over else n for k, n in enumerate(x.shape)) for x in (a, b)),
    )
    if mode == "valid":
        a, b, _ = _larger_first("fftconvolve", a, b, over)
    moving = [k for k in over if a.shape[k] != 1 and b.shape[k] != 1]
    full = _by_transforms(a, b, moving) if moving else multiply(a, b)
    return _part(full, a, b, mode, over)


def _by_transforms(a: Node, b: Node, axes: Sequence[int]) -> Node:
    real = a.dtype.kind != "c" and b.dtype.kind != "c"
    dtype = np.result_type(a.dtype, b.dtype, np.float32)
    a, b = astype(a, dtype), astype(b, dtype)
    fast = load("scipy.fft").next_fast_len
    sizes = [a.shape[k] + b.shape[k] - 1 for k in axes]
    padded = [fast(n, real) for n in sizes]
    there, back = (rfftn, irfftn) if real else (fftn, ifftn)
    full = back(multiply(there(a, padded, axes), there(b, padded, axes)), padded, axes)
    shape = list(full.shape)
    for k, n in zip(axes, sizes, strict=True):
        shape[k] = n
    return _window(full, (0,) * full.ndim, shape)


def _faster_by_transforms(a: Node, b: Node) -> bool:
    """Whether transforms of the padded arrays are less work than every product, roughly."""
    size = math.prod(m + n - 1 for m, n in zip(a.shape, b.shape, strict=True))
    direct = a.size * b.size * (0.2 if a.ndim == 1 else 1.0)
    return direct > 6.0 * size * math.log2(size + 1)


@function(
    "signal",
    "scipy.signal.convolve",
    name="convolve",
    cases=lambda d: [
        call(d(4), d(3), "same"),
        call(d(2, 3), d(2, 2)),
        call(d(2, 2), d(3, 2), mode="valid"),
        call(d(4), d(3), method="fft"),
    ],
    complex=True,
)
def convolve_arrays(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Node:
    """Convolution over all dimensions, directly or by Fourier transforms, whichever is faster."""
    _check_mode("convolve", mode)
    a, b = _arrays("convolve", in1, in2)
    if method not in ("auto", "direct", "fft"):
        raise ValueError(f"convolve: method must be 'auto', 'direct' or 'fft', not {method!r}")
    if not a.ndim:
        return multiply(a, b)
    if not a.size or not b.size:
        raise ValueError("convolve: arrays cannot be empty")
    inexact = a.aval.inexact or b.aval.inexact  # integers stay exact
    if inexact and (method == "fft" or (method == "auto" and _faster_by_transforms(a, b))):
        return fftconvolve(a, b, mode)
    axes = range(a.ndim)
    if mode == "valid":
        return convolve_valid(*_larger_first("convolve", a, b, axes)[:2])
    return _part(convolve_full(a, b), a, b, mode, axes)


@function(
    "signal",
    "scipy.signal.correlate",
    name="correlate",
    cases=lambda d: [call(d(4), d(3), "same"), call(d(2, 3), d(2, 2)), call(d(2), d(3), "valid")],
    complex=True,
)
def correlate_arrays(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Node:
    """Cross-correlation over all dimensions; the second operand is conjugated."""
    return convolve_arrays(in1, _mirror(as_node(in2)), mode, method)


# ------------------------------------------------------------------------------------------ images

BOUNDARIES = {"fill": "fill", "wrap": "wrap", "circular": "wrap"}
BOUNDARIES |= {"symm": "symmetric", "symmetric": "symmetric"}


def _images(name: str, in1: Any, in2: Any, mode: Any, boundary: Any) -> tuple[Node, Node]:
    _check_mode(name, mode)
    if boundary not in BOUNDARIES:
        raise ValueError(f"{name}: boundary must be 'fill', 'wrap' or 'symm', not {boundary!r}")
    a, b = as_node(in1), as_node(in2)
    if a.ndim != 2 or b.ndim != 2 or not a.size or not b.size:
        raise ValueError(
            f"{name}: inputs must both be 2-D arrays with elements, not {a.shape} and {b.shape}"
        )
    return a, b


def _bordered(a: Node, b: Node, boundary: str, fillvalue: Any) -> Node:
    """*a* with as much beyond its border as *b* reaches."""
    widths = [(n - 1, n - 1) for n in b.shape]
    if boundary != "fill":
        places = np.pad(np.arange(a.size).reshape(a.shape), widths, mode=boundary)  # type: ignore[call-overload]
        return take(reshape(a, (-1,)), constant(places))
    shape = tuple(m + 2 * (n - 1) for m, n in zip(a.shape, b.shape, strict=True))
    starts = tuple(n - 1 for n in b.shape)
    border = np.pad(np.zeros(a.shape, a.dtype), widths, constant_values=1)
    outside = multiply(constant(border), astype(as_node(fillvalue), a.dtype))
    return add(basis.pad(a, shape=shape, starts=starts, steps=(1, 1)), outside)


def _of_images(a: Node, b: Node, mode: str, boundary: str, fillvalue: Any, shift: int) -> Node:
    """The convolution of images; mode ``"same"`` starts at ``(n - 1 + shift) // 2``."""
    nothing = not isinstance(fillvalue, Node) and np.ndim(fillvalue) == 0 and fillvalue == 0
    if boundary == "fill" and nothing:
        full = convolve_full(a, b)
    else:
        full = convolve_valid(_bordered(a, b, boundary, fillvalue), b)
    if mode == "full":
        return full
    return _window(full, [(n - 1 + shift) // 2 for n in b.shape], a.shape)


@function(
    "signal",
    "scipy.signal.convolve2d",
    cases=lambda d: [
        call(d(3, 3), d(2, 2), "same"),
        call(d(2, 3), d(2, 2), boundary="symm"),
        call(d(2, 2), d(3, 1), "same", "wrap"),
        call(d(2, 2), d(2, 1), fillvalue=0.5),
        call(d(2, 2), d(3, 2), "valid"),
    ],
    complex=True,
)
def convolve2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Node:
    """Convolution of images, which go on beyond their border as *boundary* says."""
    a, b = _images("convolve2d", in1, in2, mode, boundary)
    if mode == "valid":
        return convolve_valid(*_larger_first("convolve2d", a, b, (0, 1))[:2])
    return _of_images(a, b, mode, BOUNDARIES[boundary], fillvalue, 0)


@function(
    "signal",
    "scipy.signal.correlate2d",
    cases=lambda d: [
        call(d(3, 3), d(2, 2), "same"),
        call(d(2, 3), d(2, 2), "same", "symm"),
        call(d(2, 2), d(2, 1), fillvalue=0.5),
        call(d(2, 2), d(3, 2), "valid"),
    ],
    complex=True,
)
def correlate2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Node:
    """Cross-correlation of images; the second is conjugated."""
    a, b = _images("correlate2d", in1, in2, mode, boundary)
    kernel = _mirror(b)
    if mode == "valid":
        a, kernel, exchanged = _larger_first("correlate2d", a, kernel, (0, 1))
        found = convolve_valid(a, kernel)
        return conjugate(found) if exchanged else found  # SciPy conjugates the smaller then
    return _of_images(a, kernel, mode, BOUNDARIES[boundary], fillvalue, 1)
