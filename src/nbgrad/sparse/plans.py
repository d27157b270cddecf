"""Plans: what it takes to compute a sparse matrix of derivatives again and again."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.lazy import LazyModule
from nbgrad.core.values import value_of
from nbgrad.sparse.tapes import given_of
from nbgrad.tensors.tensor import Tensor

Array = np.ndarray[Any, Any]
scipy_sparse = LazyModule("scipy.sparse")


class Plan:
    """A sparse Jacobian or Hessian as a function of x, made by :func:`jacobian` and :func:`hessian`.

    Call it with x, and the further arguments of the function. Each call gives a new matrix, whose
    structure is shared by all; :meth:`into` writes to one that a call has given. A plan pickles, with
    the function as it was recorded.

    Attributes
    ----------
    shape : tuple of int
    nnz : int
        The number of entries that the pattern has.
    dtype : dtype
    colors : int
        How many products give all entries, if these are computed by products.
    pattern : scipy.sparse.csr_array
        The entries, as True.
    method : str
        ``"columns"``, ``"rows"``, ``"both"``, ``"star"``, ``"acyclic"``, or ``"direct"`` where no products
        are needed.
    """

    def __init__(self, name: str, **parts: Any) -> None:
        self._name = name
        self._parts = parts
        self.shape: tuple[int, int] = parts["shape"]
        self.dtype = np.dtype(parts["dtype"])
        self.method: str = parts["method"]
        self.colors: int = parts["colors"]
        self._starts, self._indices = parts["starts"], parts["indices"]
        for array in (self._starts, self._indices):
            array.flags.writeable = False
        self.nnz = len(self._indices)
        self._avals, self._structure = parts["avals"], parts["structure"]
        self._alone = parts["alone"]
        self._sources = parts["sources"]
        self._columns = parts["format"] == "csc"
        self._template: Any = None

    def __reduce__(self) -> Any:
        return _again, (self._name, self._parts)

    def __repr__(self) -> str:
        how = f", {self.colors} colors" if self.colors else ""
        return f"<{self._name} of shape {self.shape}, {self.nnz} entries, {self.method}{how}>"

    @property
    def pattern(self) -> Any:
        """The pattern, as a sparse array of True."""
        found = copy.copy(self._made())
        found.data = np.ones(self.nnz, bool)
        return found

    def _made(self) -> Any:
        """A matrix of the plan's structure, whose values nobody reads."""
        if self._template is None:
            data = np.zeros(self.nnz, self.dtype)
            kind = scipy_sparse.csc_array if self._columns else scipy_sparse.csr_array
            made = kind((data, self._indices, self._starts), shape=self.shape)
            made.has_canonical_format = True
            made.indices, made.indptr = self._indices, self._starts
            self._template = made
        return self._template

    def _arguments(self, x: Any, args: Sequence[Any]) -> list[Any]:
        """The arguments as the programs read them.

        Raises
        ------
        TypeError, ValueError
            If they are not of the shapes that were recorded.
        """
        if x.__class__ is np.ndarray and not args and self._alone:
            given = [x]
        else:
            given, structure = given_of(x, args, self._name)
            if structure != self._structure:
                raise TypeError(
                    f"{self._name}: the arguments are nested otherwise than x0 and args were, or "
                    "other settings are among them"
                )
        return [
            self._read(a, aval, k)
            for k, (a, aval) in enumerate(zip(given, self._avals, strict=True))
        ]

    def _read(self, x: Any, aval: Any, k: int) -> Any:
        a = np.asarray(value_of(x._node) if isinstance(x, Tensor) else x)
        if a.shape != aval.shape:
            what = "x" if k == 0 else f"argument {k}"
            raise ValueError(
                f"{self._name}: {what} has shape {a.shape}, and was recorded with {aval.shape}"
            )
        return np.require(a, aval.dtype, ["C", "A"]) if not aval.weak else a.item()

    def values(self, x: Any, *args: Any, out: Array | None = None) -> Array:
        """Return the entries alone, in the order of the structure, written to *out* if given.

        Raises
        ------
        ValueError
            If *out* is not a contiguous array of as many numbers, of the plan's dtype.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> plan = ng.sparse.jacobian(lambda x: x[1:] * x[:-1], np.ones(3))
        >>> plan.values(np.array([1.0, 2.0, 3.0]))
        array([2., 1., 3., 2.])
        """
        given = self._arguments(x, args)
        if out is None:
            out = np.empty(self.nnz, self.dtype)
        elif out.shape != (self.nnz,) or out.dtype != self.dtype or not out.flags.carray:
            raise ValueError(
                f"{self._name}: out must be a contiguous array of {self.nnz} {self.dtype.name}"
            )
        return self._filled(given, out)

    def _filled(self, given: Sequence[Any], out: Array) -> Array:
        for source in self._sources:
            source.fill(given, out)
        return out

    def __call__(self, x: Any, *args: Any) -> Any:
        return self._at(self._arguments(x, args))

    def _at(self, given: Sequence[Any]) -> Any:
        """The matrix at arguments as ``_arguments`` gives them."""
        found = copy.copy(self._made())
        found.data = self._filled(given, np.empty(self.nnz, self.dtype))
        return found

    def into(self, matrix: Any, x: Any, *args: Any) -> Any:
        """Write the values at x to *matrix*, which a call of this plan gave, and return it.

        Raises
        ------
        ValueError
            If it is another matrix.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> plan = ng.sparse.jacobian(lambda x: x * x, np.ones(2))
        >>> matrix = plan(np.ones(2))
        >>> plan.into(matrix, np.array([3.0, 4.0])).diagonal()
        array([6., 8.])
        """
        if getattr(matrix, "indices", None) is not self._indices:
            raise ValueError(f"{self._name}: into takes a matrix that a call of this plan gave")
        self.values(x, *args, out=matrix.data)
        return matrix


def _again(name: str, parts: dict[str, Any]) -> Plan:
    return Plan(name, **parts)
