"""Objects of other libraries: taken as numbers where they are nothing more, refused where they are.

NumPy's conversion drops what an object knows besides its numbers: which of them are masked, their
unit, that ``*`` is the product of matrices. No gradient can be right after that, so what comes in
passes here first. Nothing is imported: a class is known by the package that it was written in.
"""

from __future__ import annotations

import array
import numbers
import os
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from nbgrad.core.boxes import is_box
from nbgrad.core.ports import ports
from nbgrad.errors import ForeignError

_NUMBERS = frozenset({int, float, complex, bool, str, bytes, type(None)})
_NESTS = (list, tuple)
_SEQUENCES = (range, array.array, memoryview, deque)
# A subclass of arrays that has one of these of its own computes in a way of its own.
_ARITHMETIC = ("__array_ufunc__", "__array_function__", "__add__", "__mul__", "__matmul__")
# Attributes that say what the numbers mean.
_MEANING = ("mask", "unit", "units", "magnitude", "uncertainty")
_MASKED = "which of its elements are masked would be lost; write nbgrad.where(m.mask, other, "
_MASKED += "m.data), or m.filled(value)"
_MATRIX = "its * is the product of matrices, and a tensor's is not; write np.asarray(m)"
_MISSING = "its missing values would be lost; fill them first, or convert with the value that is "
_MISSING += "to stand for them: x.to_numpy(...)"
_UNIT = "its unit would be lost; pass its numbers alone, in a unit that you choose (x.value, "
_UNIT += "x.magnitude or x.to_value(unit))"
_OTHER = "what it knows besides its numbers would be lost; pass these alone, np.asarray(x)"
_SPARSE = (
    "tensors are dense; multiply it, s @ x, or write s.toarray() (s.todense() of the package "
)
_SPARSE += "sparse)"

_GRAPH = (
    "its gradient would be lost, each library differentiates its own; pass its numbers alone, "
)
_GRAPH += "x.detach(), or see docs/interplay.md for one inside the other"
_TRACER = "it has none while JAX traces the function; call nbgrad's function by jax.pure_callback"

_SPARSE_FOLDER = os.path.join("scipy", "sparse", "")

Reader = Callable[[Any], Any]


def numbers_of(x: Any, *, explicit: bool = False) -> Any:
    """*x* as it is, or as an array, if it is numbers and nothing more.

    Parameters
    ----------
    x : object
        Anything that is to be an operand. Lists and tuples are looked through.
    explicit : bool
        The user asked for a conversion: that may drop what a matrix multiplies like.

    Raises
    ------
    TypeError
        If NumPy's conversion would lose a mask, a unit or missing values.
    """
    kind = x.__class__
    if kind is np.ndarray or kind in _NUMBERS:
        return x
    if isinstance(x, np.generic) or is_box(kind):
        return x
    if isinstance(x, _NESTS):
        plain = all(k in _NUMBERS or issubclass(k, np.generic) for k in set(map(type, x)))
        return x if plain else [numbers_of(part) for part in x]
    if isinstance(x, np.ndarray):
        return _plain_subclass(x, explicit)
    reader = reader_of(kind)
    return _unknown(x) if reader is None else reader(x)


def settled(x: Any) -> Any:
    """A container of another library as an array of its numbers; anything else as it is."""
    if isinstance(x, (*_NESTS, *_SEQUENCES, numbers.Number)) or callable(x):
        return x
    return numbers_of(x)


def is_container(x: Any) -> bool:
    """Whether *x* is an array of another library, or a buffer: NumPy makes an array of it."""
    known = hasattr(x.__class__, "__array__") or isinstance(x, (array.array, memoryview))
    return known and not isinstance(x, type)


def array_of(x: Any, name: str) -> Any:
    """*x*, a float, an array or a container, as an operand of function *name*."""
    found = numbers_of(x)
    if not isinstance(found, (np.ndarray, np.generic, float, complex)):
        found = found if is_box(found.__class__) else np.asarray(found)
    if getattr(found, "dtype", np.dtype(float)).kind not in "biufc":
        raise ForeignError(
            f"{name}: an argument holds {found.dtype}, not numbers or booleans; convert it first, "
            "for example np.asarray(data, dtype=float)"
        )
    return found


def is_numbers(x: Any) -> bool:
    """Whether operators take *x*, which is no array, number or list, as numbers."""
    return reader_of(x.__class__) is not None


def defers(xs: Any) -> bool:
    """Whether one of *xs* is a container of another library that answers to NumPy itself."""
    return not all(
        x.__class__ in _NUMBERS or not hasattr(x, "__array_ufunc__") or answers_for(x.__class__)
        for x in xs
    )


def answers_for(kind: type) -> bool:
    """Whether operations of tensors with objects of *kind* are the tensors' to answer."""
    own = is_box(kind) or issubclass(kind, (np.ndarray, np.generic))
    return own or reader_of(kind) is not None


def is_sparse(kind: type) -> bool:
    """Whether objects of class *kind* are sparse arrays or matrices of SciPy's."""
    return kind.__module__.startswith("scipy.sparse") and reader_of(kind) is _refuse_sparse


def multiplies(frame: FrameType) -> bool:
    """Whether *frame* is a sparse matrix of SciPy's that is about to multiply with what it was given."""
    code = frame.f_code
    return code.co_name == "_matmul_dispatch" and _SPARSE_FOLDER in code.co_filename


def reader_of(kind: type) -> Reader | None:
    """What reads an object of class *kind* as numbers (or refuses it), if that is known."""
    if issubclass(kind, _SEQUENCES):
        return _sequence
    if issubclass(kind, numbers.Real) and not issubclass(kind, (np.generic, float, int)):
        return float
    for base in kind.__mro__:
        reader = _PACKAGES.get(getattr(base, "__module__", "").partition(".")[0])
        if reader is not None and base.__name__ in reader:
            return reader[base.__name__]
    return None


def refusal(x: Any, why: str) -> ForeignError:
    """The error for an object that must not be taken as numbers."""
    kind = x.__class__
    return ForeignError(
        f"nbgrad cannot take a {kind.__module__}.{kind.__qualname__} as numbers: {why}"
    )


def _plain_subclass(x: Any, explicit: bool) -> Any:
    """An array of a subclass that computes as arrays do, as ``numpy.memmap`` does."""
    kind = x.__class__
    if kind is np.memmap or (explicit and kind is np.matrix):
        return x
    if isinstance(x, np.matrix):
        raise refusal(x, _MATRIX)
    if any(base.__name__ == "MaskedArray" for base in kind.__mro__):
        if kind.__module__.startswith("numpy.") and not np.any(x.mask):
            return np.asarray(x.data)
        raise refusal(x, _MASKED)
    for name in ("unit", "units"):
        if getattr(x, name, None) is not None:
            raise refusal(x, _UNIT)
    computes = any(getattr(kind, n, None) is not getattr(np.ndarray, n, None) for n in _ARITHMETIC)
    if x.dtype.kind in "biufc" and (computes or x.__array_priority__ > 0.0):
        raise refusal(x, _OTHER)
    return x


def _unknown(x: Any) -> Any:
    """An object that NumPy converts by a protocol, unless it says that its numbers mean more."""
    kind = x.__class__
    if (found := ports.memory.boxed(x)) is not None:
        return found  # on a card, and stays there
    if kind.__module__.startswith("xarray."):
        return numbers_of(x.data)  # in which there may be units
    if isinstance(x, type) or not hasattr(kind, "__array__"):
        return x
    for name in _MEANING:
        if getattr(x, name, None) is not None:
            raise refusal(x, _MASKED if name == "mask" else _UNIT)
    return np.asarray(x)


def _sequence(x: Any) -> Any:
    return np.array(numbers_of(list(x)) if isinstance(x, deque) else x)


def _pandas(x: Any) -> Any:
    """A Series, an Index, a DataFrame or one of pandas' own arrays."""
    dtypes = x.dtypes if x.ndim == 2 else (x.dtype,)
    wide = []
    for dtype in dtypes:
        plain = dtype if isinstance(dtype, np.dtype) else getattr(dtype, "numpy_dtype", None)
        plain = getattr(dtype, "subtype", plain)  # of a sparse dtype
        if not isinstance(plain, np.dtype) or plain.kind not in "biufc":
            raise refusal(x, f"its dtype {dtype} is none of numbers; convert it, x.astype(float)")
        wide.append(plain)
    numpy_dtypes = all(isinstance(dtype, np.dtype) for dtype in dtypes)
    if not numpy_dtypes and np.any(np.asarray(x.isna())):
        raise refusal(x, _MISSING)
    return np.asarray(x, None if numpy_dtypes or not wide else np.result_type(*wide))


def _polars(x: Any) -> Any:
    """A Series or a DataFrame of polars."""
    found = x.to_numpy()
    if found.dtype.kind not in "biufc":
        raise refusal(x, f"it holds {found.dtype}; cast it, x.cast(polars.Float64)")
    nulls = x.null_count()
    if nulls if isinstance(nulls, int) else sum(nulls.row(0)):
        raise refusal(x, _MISSING)
    return found


def _computed(x: Any) -> Any:
    """A lazy array of dask; what its chunks are is only known then."""
    return numbers_of(x.compute())


def _torchs(x: Any) -> Any:
    """A tensor of PyTorch's, if it is no part of a graph of its own."""
    if x.requires_grad:
        raise refusal(x, _GRAPH)
    return np.asarray(x.cpu())


def _traced(x: Any) -> Any:
    raise refusal(x, _TRACER)


def _refuse_sparse(x: Any) -> Any:
    raise refusal(x, _SPARSE)


_PACKAGES: dict[str, dict[str, Reader]] = {
    "pandas": dict.fromkeys(("Series", "Index", "DataFrame", "ExtensionArray"), _pandas),
    "polars": dict.fromkeys(("Series", "DataFrame"), _polars),
    "dask": {"Array": _computed},
    "torch": {"Tensor": _torchs},
    "jaxlib": {"ArrayImpl": np.asarray},
    "jax": {"Tracer": _traced},
    "scipy": dict.fromkeys(("sparray", "spmatrix", "_spbase"), _refuse_sparse),
    "sparse": {"SparseArray": _refuse_sparse},
}
