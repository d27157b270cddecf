"""Aval: what is known of an array without its values, that is its shape and its dtype.

Avals are interned, so that equal ones are the same object and a dictionary finds them by identity.
"""

from __future__ import annotations

from itertools import pairwise
from operator import index
from typing import Any, Final

import numpy as np

Shape = tuple[int, ...]
Scalar = bool | int | float | complex
MAX_NDIM: Final = 64  # of NumPy's arrays
SCALAR_TYPES: Final = (float, int, bool, complex)


class Aval:
    """Shape and dtype of an array. Make one with :func:`make_aval`, never directly.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    size : int
        Number of elements.
    inexact : bool
        Whether the dtype is real or complex floating point, so differentiable.
    weak : bool
        Whether it is a Python number to promotion (NEP 50): beside arrays it takes their dtype.
    device : str or None
        Where the elements lie; None at home, in NumPy's arrays.
    """

    __slots__ = ("device", "dtype", "inexact", "ndim", "shape", "size", "weak")

    def __init__(
        self,
        shape: Shape,
        dtype: np.dtype[Any],
        weak: bool = False,
        device: str | None = None,
    ) -> None:
        self.device = device
        self.shape = shape
        self.weak = weak
        self.dtype = dtype
        self.ndim = len(shape)
        size = 1
        for extent in shape:
            size *= extent
        self.size = size
        self.inexact = dtype.kind in "fc"

    @property
    def nbytes(self) -> int:
        """Bytes of a dense array of this shape and dtype."""
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        weak = " weak" if self.weak else ""
        there = f" on {self.device}" if self.device else ""
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]{weak}{there}"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.weak:
            return weak_aval, (self.dtype,)
        if self.device is not None:
            return placed, (make_aval(self.shape, self.dtype), self.device)
        return make_aval, (self.shape, self.dtype)


_interned: dict[tuple[Shape, np.dtype[Any]], Aval] = {}
_abroad: dict[tuple[Aval, str], Aval] = {}


def make_aval(shape: Shape, dtype: np.dtype[Any]) -> Aval:
    """Return the one Aval of this shape and dtype."""
    key = (shape, dtype)
    aval = _interned.get(key)
    if aval is None:
        if len(shape) > MAX_NDIM:
            raise ValueError(f"an array has at most {MAX_NDIM} dimensions, not {len(shape)}")
        # NumPy's own object of the dtype, which arrays share: native byte order, no metadata.
        native = np.dtype(dtype.char) if dtype.kind in "biufc" else dtype.newbyteorder("=")
        # setdefault: two threads that race here still agree on one object.
        aval = _interned.setdefault(key, Aval(shape, native))
    return aval


def placed(aval: Any, device: str | None) -> Any:
    """The one Aval of an array like *aval* that lies on *device*, None for home; of several, each."""
    if aval.__class__ is Several:
        return several(*[placed(one, device) for one in aval.parts])
    if aval.device == device or aval.weak:
        return aval
    home = aval if aval.device is None else make_aval(aval.shape, aval.dtype)
    if device is None:
        return home
    return _on(home, device)


def _on(home: Aval, device: str) -> Aval:
    found = _abroad.get((home, device))
    return found or _abroad.setdefault((home, device), Aval(home.shape, home.dtype, device=device))


def alike(aval: Aval, shape: Shape) -> Aval:
    """The Aval of an array of another *shape*, of the same dtype and on the same device."""
    found = make_aval(shape, aval.dtype)
    return found if aval.device is None else _on(found, aval.device)


# Python's numbers by the dtype that holds them, and what is known of one whose value is not.
NUMBERS: Final = {np.dtype(kind): kind for kind in (float, int, complex)}
_weak: Final = {dtype: Aval((), dtype, weak=True) for dtype in NUMBERS}


def weak_aval(dtype: Any) -> Aval:
    """Return the one Aval of a Python number that *dtype* holds: of float, int or complex."""
    return _weak[np.dtype(dtype)]


def aval_of(array: np.ndarray[Any, Any]) -> Aval:
    """Return the Aval of a NumPy array."""
    return make_aval(array.shape, array.dtype)


class Several:
    """The avals of the results of one operation that has several. Make one with :func:`several`."""

    __slots__ = ("device", "inexact", "parts", "size")
    weak = False

    def __init__(self, parts: tuple[Aval, ...]) -> None:
        self.parts = parts
        self.device = parts[0].device
        self.inexact = any(aval.inexact for aval in parts)
        self.size = sum(aval.size for aval in parts)

    def __repr__(self) -> str:
        return f"({', '.join(map(repr, self.parts))})"

    def __reduce__(self) -> tuple[Any, ...]:
        return several, self.parts


_several: dict[tuple[Aval, ...], Several] = {}


def several(*parts: Aval) -> Any:
    """Return the one object that stands for results of the avals *parts*: of one, its aval."""
    if len(parts) == 1:
        return parts[0]
    found = _several.get(parts)
    return found or _several.setdefault(parts, Several(parts))


def is_several(aval: object) -> bool:
    """Whether *aval* is that of an operation with several results."""
    return aval.__class__ is Several


def avals_of(aval: Any) -> tuple[Aval, ...]:
    """The avals of the results of an operation, one or several."""
    return aval.parts if aval.__class__ is Several else (aval,)


def broadcast_shapes(name: str, *shapes: Shape) -> Shape:
    """NumPy's broadcasting rule, with the operation's name in the error."""
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    # Not by np.broadcast_shapes, which knows 32 dimensions where arrays have 64.
    ndim = max(map(len, shapes))
    found = [1] * ndim
    for shape in shapes:
        for axis, n in enumerate(shape, ndim - len(shape)):
            if n != 1 and found[axis] not in (1, n):
                listed = " ".join(str(shape) for shape in shapes)
                raise ValueError(
                    f"{name}: operands could not be broadcast together with shapes {listed}. "
                    "Trailing dimensions must be equal or 1; insert one with x[:, None] or reshape."
                )
            found[axis] = found[axis] if n == 1 else n
    return tuple(found)


def normalize_axis(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """Return *axis* (None, int or tuple) as sorted, non-negative, distinct axes."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    result = []
    for a in axes:
        if a is True or a is False:
            raise TypeError(f"{name}: an integer is required for the axis, not {a}")
        k = index(a)
        if not -ndim <= k < ndim:
            raise np.exceptions.AxisError(k, ndim, name)
        result.append(k % ndim)
    if len(set(result)) != len(result):
        raise ValueError(f"{name}: duplicate value in axis {axis}")
    return tuple(sorted(result))


def reduced_axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """:func:`normalize_axis` where NumPy's reductions take axis 0 and -1 of a scalar."""
    if (
        not ndim
        and not isinstance(axis, (tuple, list, bool, type(None)))
        and index(axis) in (0, -1)
    ):
        return ()
    return normalize_axis(name, axis, ndim)


def single_axis(name: str, axis: Any, ndim: int) -> int:
    """Return one *axis* as a non-negative integer."""
    if isinstance(axis, (tuple, list)):
        raise TypeError(f"{name}: an integer is required for the axis, not {axis}")
    return normalize_axis(name, axis, ndim)[0]


def strides_of_reshape(shape: Any, strides: Any, target: Any) -> tuple[int, ...] | None:
    """Strides of the same memory in the shape *target*; None if it has to be copied.

    Runs of dimensions of equal extent in all are matched; those of the old shape must lie without
    gaps, so that one step leads through them.

    Examples
    --------
    >>> strides_of_reshape((2, 3), (3, 1), (6,)), strides_of_reshape((3, 2), (1, 3), (6,))
    ((1,), None)
    """
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    new = [k for k, n in enumerate(target) if n != 1]
    found = [1] * len(target)
    if 0 in target:
        return tuple(found)
    while old:
        n, m = 1, 1
        run: list[tuple[int, int]] = []
        group: list[int] = []
        while n != m or not run:
            if n <= m:
                run.append(old.pop(0))
                n *= run[-1][0]
            else:
                group.append(new.pop(0))
                m *= target[group[-1]]
        if any(a[1] != b[0] * b[1] for a, b in pairwise(run)):
            return None
        step = run[-1][1]
        for k in reversed(group):
            found[k] = step
            step *= target[k]
    return tuple(found)
