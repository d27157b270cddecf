"""Discrete Fourier transforms, with the signatures of ``numpy.fft``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import normalize_axis, single_axis
from nbgrad.core.memory import named
from nbgrad.core.node import Node
from nbgrad.core.placing import moved
from nbgrad.ops import basis
from nbgrad.ops.arrays.fourier import OTHER_NORM, fourier, real_fourier, real_fourier_inverse
from nbgrad.ops.elements.arithmetic import conjugate
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.composite import astype
from nbgrad.vocabulary.linalg.matmul import refuse_out
from nbgrad.vocabulary.shapes import as_node, concatenate

Axes = Sequence[int] | None


def _norm(norm: str | None) -> str:
    if norm not in (None, *OTHER_NORM):
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".')
    return norm or "backward"


def _axis(name: str, x: Node, axis: int) -> int:
    return single_axis(name, axis, x.ndim)


def _fitted(name: str, x: Node, axis: int, n: int | None) -> Node:
    """*x* cropped, or padded with zeros, to *n* elements along *axis*."""
    have = x.shape[axis]
    n = have if n is None else int(n)
    if n < 1:
        raise ValueError(f"{name}: Invalid number of FFT data points ({n}) specified.")
    if n == have:
        return x
    zeros, ones = (0,) * x.ndim, (1,) * x.ndim
    shape = (*x.shape[:axis], n, *x.shape[axis + 1 :])
    if n < have:
        return basis.slice_(x, starts=zeros, sizes=shape, steps=ones)
    return basis.pad(x, shape=shape, starts=zeros, steps=ones)


def _floating(x: Any) -> Node:
    """*x* in single or double precision."""
    node = as_node(x)
    if node.dtype.kind in "fc":
        return astype(node, np.result_type(node.dtype, np.float32))
    return astype(node, np.float64)


def _real(name: str, x: Any) -> Node:
    node = _floating(x)
    if node.dtype.kind == "c":
        raise TypeError(f"{name}: takes real numbers, not {node.dtype}; use fft, or pass x.real")
    return node


# ------------------------------------------------------------------------------- one dimension


def _one(name: str, a: Any, n: int | None, axis: int, norm: str | None, out: Any) -> Node:
    refuse_out(name, out)
    x = _floating(a)
    k = _axis(name, x, axis)
    x = _fitted(name, x, k, n)
    return fourier(x, axes=(k,), inverse=name == "ifft", norm=_norm(norm))


def _cases_of_one(d: Any) -> list[Any]:
    return [call(d(4)), call(d(2, 3), 4, 0, "ortho"), call(d(2, 4), n=3, norm="forward")]


@function("fft", np.fft.fft, cases=_cases_of_one, complex=True)
def fft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Node:
    """Discrete Fourier transform along *axis*, of *n* elements (cropped or padded to)."""
    return _one("fft", a, n, axis, norm, out)


@function("fft", np.fft.ifft, cases=_cases_of_one, complex=True)
def ifft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Node:
    """Inverse of ``fft``."""
    return _one("ifft", a, n, axis, norm, out)


@function(
    "fft",
    np.fft.rfft,
    cases=lambda d: [call(d.real(4)), call(d.real(2, 5), 3, 0, "ortho"), call(d.real(3), 4)],
)
def rfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Node:
    """Discrete Fourier transform of real numbers: only the frequencies that are not negative."""
    refuse_out("rfft", out)
    x = _real("rfft", a)
    k = _axis("rfft", x, axis)
    return real_fourier(_fitted("rfft", x, k, n), axis=k, norm=_norm(norm))


@function(
    "fft",
    np.fft.irfft,
    cases=lambda d: [call(d(3)), call(d(2, 3), 3, 0, "ortho"), call(d(2), n=5, norm="forward")],
    complex=True,
)
def irfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Node:
    """Inverse of ``rfft``: *n* real numbers (an even number by default)."""
    refuse_out("irfft", out)
    x = _floating(a)
    k = _axis("irfft", x, axis)
    n = 2 * (x.shape[k] - 1) if n is None else int(n)
    if n < 1:
        raise ValueError(f"irfft: Invalid number of FFT data points ({n}) specified.")
    x = _fitted("irfft", x, k, n // 2 + 1)
    return real_fourier_inverse(x, axis=k, n=n, norm=_norm(norm))


@function(
    "fft", np.fft.hfft, cases=lambda d: [call(d(3)), call(d(2, 3), 4, 0, "ortho")], complex=True
)
def hfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Node:
    """Real spectrum of a signal with Hermitian symmetry, given by its first half."""
    refuse_out("hfft", out)
    return irfft(conjugate(as_node(a)), n, axis, OTHER_NORM[_norm(norm)])


@function(
    "fft", np.fft.ihfft, cases=lambda d: [call(d.real(4)), call(d.real(2, 3), 5, 1, "ortho")]
)
def ihfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Node:
    """Inverse of ``hfft``: the first half of the signal with the real spectrum *a*."""
    refuse_out("ihfft", out)
    return conjugate(rfft(_real("ihfft", a), n, axis, OTHER_NORM[_norm(norm)]))


# ------------------------------------------------------------------------------ many dimensions


def _sizes(name: str, x: Node, s: Any, axes: Axes) -> tuple[list[int], list[int]]:
    """The axes in order, and how many elements along each; -1 in *s* is as many as there are."""
    if axes is None:
        axes = list(range(x.ndim)) if s is None else list(range(-len(s), 0))
    where = [_axis(name, x, a) for a in axes]
    sizes = [x.shape[k] for k in where] if s is None else list(s)
    if len(sizes) != len(where):
        raise ValueError(f"{name}: Shape and axes have different lengths.")
    return where, [
        x.shape[k] if n in (-1, None) else int(n) for n, k in zip(sizes, where, strict=True)
    ]


def _transformed(
    name: str, x: Node, axes: Sequence[int], sizes: Sequence[int], norm: str | None
) -> Node:
    """*x* brought to size and transformed over *axes*; one after the other where they repeat."""
    inverse, chosen = name.startswith("i"), _norm(norm)
    if len(set(axes)) < len(axes):
        for k, n in zip(reversed(axes), reversed(sizes), strict=True):
            x = fourier(_fitted(name, x, k, n), axes=(k,), inverse=inverse, norm=chosen)
        return x
    for k, n in zip(axes, sizes, strict=True):
        x = _fitted(name, x, k, n)
    return fourier(x, axes=tuple(axes), inverse=inverse, norm=chosen) if axes else x


def _many(name: str, a: Any, s: Any, axes: Axes, norm: str | None, out: Any) -> Node:
    refuse_out(name, out)
    x = _floating(a)
    return _transformed(name, x, *_sizes(name, x, s, axes), norm)


def _half(name: str, a: Any, s: Any, axes: Axes, norm: str | None, out: Any) -> Node:
    refuse_out(name, out)
    x = _real(name, a)
    where, sizes = _some_sizes(name, x, s, axes)
    x = real_fourier(_fitted(name, x, where[-1], sizes[-1]), axis=where[-1], norm=_norm(norm))
    return _transformed(name, x, where[:-1], sizes[:-1], norm)


def _back(name: str, a: Any, s: Any, axes: Axes, norm: str | None, out: Any) -> Node:
    refuse_out(name, out)
    x = _floating(a)
    where, sizes = _some_sizes(name, x, s, axes)
    last = 2 * (sizes[-1] - 1) if s is None else sizes[-1]
    return irfft(_transformed(name, x, where[:-1], sizes[:-1], norm), last, where[-1], norm)


def _some_sizes(name: str, x: Node, s: Any, axes: Axes) -> tuple[list[int], list[int]]:
    where, sizes = _sizes(name, x, s, axes)
    if not where:
        raise IndexError(f"{name}: at least one axis must be transformed")
    return where, sizes


def _family(
    name: str, run: Callable[..., Node], doc: str, cases: Callable[[Any], list[Any]], complex: bool
) -> Callable[..., Node]:
    """Declare the transform over *axes* (all, or the last two) that *run* computes."""

    def over_all(
        a: Any, s: Any = None, axes: Axes = None, norm: str | None = None, out: Any = None
    ) -> Node:
        return run(name, a, s, axes, norm, out)

    def over_two(
        a: Any, s: Any = None, axes: Axes = (-2, -1), norm: str | None = None, out: Any = None
    ) -> Node:
        return run(name, a, s, axes, norm, out)

    chosen = over_two if name.endswith("2") else over_all
    chosen.__name__ = chosen.__qualname__ = name
    chosen.__doc__ = doc
    function("fft", getattr(np.fft, name), cases=cases, complex=complex)(chosen)
    return chosen


def _cases_of_many(d: Any) -> list[Any]:
    return [call(d(2, 3)), call(d(2, 2, 3), (3, 2), axes=(0, 2), norm="ortho")]


def _cases_of_real(d: Any) -> list[Any]:
    return [call(d.real(2, 3)), call(d.real(2, 2, 3), (3, 4), axes=(0, 2), norm="forward")]


def _cases_of_back(d: Any) -> list[Any]:
    return [call(d(2, 3)), call(d(2, 2, 3), (3, 3), axes=(0, 2), norm="forward")]


fftn = _family("fftn", _many, "Fourier transform over several axes.", _cases_of_many, True)
ifftn = _family("ifftn", _many, "Inverse of ``fftn``.", _cases_of_many, True)
rfftn = _family(
    "rfftn", _half, "Fourier transform of real numbers, the last axis halved.",
    _cases_of_real, False,
)  # fmt: skip
irfftn = _family("irfftn", _back, "Inverse of ``rfftn``: real.", _cases_of_back, True)
fft2 = _family("fft2", _many, "``fftn`` over two axes.", _cases_of_many, True)
ifft2 = _family("ifft2", _many, "Inverse of ``fft2``.", _cases_of_many, True)
rfft2 = _family("rfft2", _half, "``rfftn`` over two axes.", _cases_of_real, False)
irfft2 = _family("irfft2", _back, "Inverse of ``rfft2``: real.", _cases_of_back, True)


# ---------------------------------------------------------------------------- frequencies, shifts


def _frequencies(counts: np.ndarray[Any, Any], n: int, d: Any, device: Any, dtype: Any) -> Node:
    found = moved(as_node(counts) * (1.0 / (n * as_node(d))), named(device))
    return found if dtype is None else astype(found, dtype)


@function("fft", np.fft.fftfreq, cases=lambda d: [call(4), call(5, 0.1)])
def fftfreq(n: int, d: Any = 1.0, device: Any = None, *, dtype: Any = None) -> Node:
    """Frequencies of the elements of ``fft``, for samples *d* apart; *dtype* is the standard's."""
    counts = np.concatenate([np.arange((n + 1) // 2), np.arange(-(n // 2), 0)])
    return _frequencies(counts, n, d, device, dtype)


@function("fft", np.fft.rfftfreq, cases=lambda d: [call(4), call(5, 0.1)])
def rfftfreq(n: int, d: Any = 1.0, device: Any = None, *, dtype: Any = None) -> Node:
    """Frequencies of the elements of ``rfft``, for samples *d* apart; *dtype* is the standard's."""
    return _frequencies(np.arange(n // 2 + 1), n, d, device, dtype)


def _shifted(name: str, x: Any, axes: Any, up: bool) -> Node:
    node = as_node(x)
    for k in normalize_axis(name, axes, node.ndim):
        n = node.shape[k]
        first = n - n // 2 if up else n // 2  # what comes to the front
        if first not in (0, n):
            node = concatenate([_part(node, k, first, n), _part(node, k, 0, first)], k)
    return node


def _part(x: Node, axis: int, start: int, stop: int) -> Node:
    starts = tuple(start if k == axis else 0 for k in range(x.ndim))
    sizes = (*x.shape[:axis], stop - start, *x.shape[axis + 1 :])
    return basis.slice_(x, starts=starts, sizes=sizes, steps=(1,) * x.ndim)


@function(
    "fft", np.fft.fftshift, cases=lambda d: [call(d(5)), call(d(2, 3), axes=(1,))], complex=True
)
def fftshift(x: Any, axes: Any = None) -> Node:
    """Move frequency zero to the middle of *axes* (all by default)."""
    return _shifted("fftshift", x, axes, up=True)


@function(
    "fft", np.fft.ifftshift, cases=lambda d: [call(d(5)), call(d(2, 3), axes=1)], complex=True
)
def ifftshift(x: Any, axes: Any = None) -> Node:
    """Inverse of ``fftshift``."""
    return _shifted("ifftshift", x, axes, up=False)
