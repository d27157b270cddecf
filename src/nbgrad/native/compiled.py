"""``compile``: a function and its derivatives as machine code, for whoever has no use for Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from nbgrad.api.derivatives import jvp
from nbgrad.api.grad import grad, value_and_grad
from nbgrad.api.jacobian import hessian, jacobian
from nbgrad.api.jit import jit
from nbgrad.api.second_order import hvp
from nbgrad.backends.devices import imaged
from nbgrad.config import settings
from nbgrad.core.forks import ThreadLock
from nbgrad.core.lazy import LazyModule
from nbgrad.core.tree import flatten
from nbgrad.machine.called import COMPILED, EXTENTS, FAULT, IMAGE, RUN, Called, Holder, Leaf
from nbgrad.native import published
from nbgrad.native.nesting import (
    Words,
    names_of,
    nested,
    params_of,
    plain,
    results_of,
    taken,
)
from nbgrad.program.values import CODES

calls = LazyModule("nbgrad.machine.numba_calls")
stubs = LazyModule("nbgrad.machine.stubs")
ahead = LazyModule("nbgrad.native.ahead")
pointers = LazyModule("nbgrad.native.pointers")
DTYPES: Final[dict[str, Any]] = {code: dtype for dtype, code in CODES.items()}
_RUN: Final = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


def compile(
    f: Callable[..., Any], *example_args: Any, argnums: int | Sequence[int] = 0
) -> Compiled:
    """Compile a function and its derivatives for callers that are machine code themselves.

    The result's functions are called from code that Numba compiled (``@njit``, with ``prange`` and from
    several threads as well, ``cfunc``), from C by pointer, by SciPy as a ``LowLevelCallable``; and from Python.

    Parameters
    ----------
    f : callable
        Built of NumPy's or nbgrad's operations, as for :func:`jit`. What it reads from outside is read
        once: later changes are not seen.
    *example_args
        Arguments like those of later calls: arrays of the same shapes and dtypes, floats, and tuples or
        named tuples of these. Integers are settings, which later calls have to repeat.
    argnums : int or sequence of int, optional
        By which arguments derivatives are taken; by several, they are tuples.

    Returns
    -------
    Compiled
        With the attributes ``value``, ``grad``, ``value_and_grad``, ``jvp``, ``hvp``, ``hess`` and
        ``jacobian``, each a :class:`Compiled.Function` which is compiled when it is first asked for.

    Raises
    ------
    TypeError
        For arguments or results that compiled code has no type of, and for programs that call Python.
    ValueError
        For *argnums* that name no argument.
    ConcretizationError
        If *f* needs the number of an argument.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import njit
    >>> import nbgrad as ng
    >>> c = ng.compile(lambda x: (x * x).sum(), np.ones(2))
    >>> @njit
    ... def descend(x):
    ...     for _ in range(100):
    ...         value, slope = c.value_and_grad(x)
    ...         x = x - 0.1 * slope
    ...     return value
    >>> bool(descend(np.array([1.0, 2.0])) < 1e-9)
    True
    """
    return Compiled(f, example_args, argnums)


class Compiled(Holder):
    """What :func:`compile` returns: a function and its derivatives, as attributes.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> c = ng.compile(lambda x: (x**3).sum(), np.ones(2))
    >>> c.grad(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """

    def __init__(
        self, f: Callable[..., Any], args: Sequence[Any], argnums: int | Sequence[int] = 0
    ) -> None:
        if not callable(f):
            raise TypeError(f"compile: a function is needed, and this is a {type(f).__qualname__}")
        self.f = f
        self.names = names_of(f, args)
        self.args = tuple([plain(x, name) for x, name in zip(args, self.names, strict=True)])
        self.argnums: Any = argnums if isinstance(argnums, int) else tuple(argnums)
        wanted: list[Any] = [argnums] if isinstance(argnums, int) else list(argnums)
        if any(not isinstance(k, int) or not -len(args) <= k < len(args) for k in wanted):
            raise ValueError(f"compile: argnums={argnums!r} names none of {len(args)} arguments")
        name = getattr(f, "__qualname__", type(f).__qualname__)
        self.label = f"{getattr(f, '__module__', '')}.{name}"
        self._made: dict[str, Function] = {}
        self._lock = ThreadLock()
        assert calls.type_of  # Numba learns of the types before it compiles what uses them
        published.known(self)

    def __repr__(self) -> str:
        return f"<nbgrad.compile of {self.label}({', '.join(self.names)})>"

    def __reduce__(self) -> Any:
        return Compiled, (self.f, self.args, self.argnums)

    def _function(self, kind: str) -> Function:
        found = self._made.get(kind)
        if found is None:
            with self._lock.held:
                found = self._made.get(kind) or Function(self, kind)
                self._made[kind] = found
        return found

    value = property(lambda self: self._function("value"), doc="The function itself.")
    grad = property(lambda self: self._function("grad"), doc="The gradient.")
    value_and_grad = property(
        lambda self: self._function("value_and_grad"), doc="Both, as a tuple."
    )
    jvp = property(
        lambda self: self._function("jvp"),
        doc="The value and its derivative along a direction, which follows the arguments.",
    )
    hvp = property(
        lambda self: self._function("hvp"),
        doc="The Hessian times a direction, which follows the arguments.",
    )
    hess = property(lambda self: self._function("hess"), doc="The Hessian.")
    jacobian = property(lambda self: self._function("jacobian"), doc="The Jacobian.")

    def save_library(self, path: Any, functions: Sequence[str] = ("value", "value_and_grad"), *, name: str | None = None) -> Any:  # fmt: skip
        """Write a shared library of these functions, and its C header: see docs/compile.md."""
        return ahead.save_library(self, path, functions, name)

    def _directed(self, call: Callable[..., Any]) -> tuple[Callable[..., Any], tuple[Any, ...], list[str]]:  # fmt: skip
        """*call* of primals and tangents as a function of arguments, which a direction follows."""
        n, argnums = len(self.args), self.argnums

        def along(*args: Any) -> Any:
            tangents = (args[n],) if isinstance(argnums, int) else args[n]
            return call(self.f, args[:n], tangents, argnums=argnums)

        like = self.args[argnums] if isinstance(argnums, int) else tuple([self.args[k] for k in argnums])  # fmt: skip
        return along, (*self.args, like), [*self.names, "direction"]

    def _traceable(self, kind: str) -> tuple[Callable[..., Any], tuple[Any, ...], list[str]]:
        """A function in nbgrad's operations, the arguments it is traced for, and their names."""
        if kind in ("jvp", "hvp"):
            return self._directed({"jvp": jvp, "hvp": hvp}[kind])
        by = {
            "grad": grad,
            "value_and_grad": value_and_grad,
            "hess": hessian,
            "jacobian": jacobian,
        }
        made = by[kind](self.f, self.argnums) if kind in by else self.f
        return made, self.args, self.names


class Function(Called):
    """One function of :func:`nbgrad.compile`'s, compiled: called from Python, from compiled code, from C.

    Attributes
    ----------
    kind : str
        Which of them: ``"value"``, ``"grad"`` ...
    address : int
        Of the C function; see :attr:`c_declaration`.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> c = ng.compile(lambda x: (x * x).sum(), np.ones(2))
    >>> print(c.grad.c_declaration)
    int64_t grad(const double *x, double *grad, void *workspace)
    """

    def __init__(self, owner: Compiled, kind: str) -> None:
        assert kind in COMPILED
        self.owner, self.kind = owner, kind
        f, args, names = owner._traceable(kind)
        _, entry = jit(f).traces.find(settings.current, args, {})
        if entry is None or entry.checked or entry.outside or entry.exe.complex:
            raise imaged.NotNative(_REFUSED.format(kind=kind, label=owner.label))
        self.image = image = imaged.Image(entry.exe.compile(), entry.exe.constants)
        words = Words(EXTENTS)
        count = len(flatten(args)[0])
        picked = range(count) if entry.picked is None else entry.picked
        avals: list[Any] = [None] * count
        for k, var in zip(picked, entry.tape.inputs, strict=False):
            avals[k] = var.aval
        self.params = params_of(args, names, iter(avals), words)
        self.results = results_of(entry.rebuild([a.aval for a in entry.outputs]), kind, words)
        self.words = np.array(words.words, np.int64)
        self.words[[RUN, IMAGE, FAULT]] = image.run, image.address, image.fault
        self._run = _RUN(image.run)

    def __repr__(self) -> str:
        return f"<{self.kind} of {self.owner!r}>"

    def __reduce__(self) -> Any:
        return getattr, (self.owner, self.kind)

    @cached_property
    def _numba_type_(self) -> Any:
        return calls.type_of(self)

    @property
    def c_declaration(self) -> str:
        """The function that :attr:`address` is of, in C.

        It returns 0, or what failed. ``workspace`` may be null; else it points to ``workspace_size`` bytes,
        aligned to 64 and zero before the first use, of one thread at a time.
        """
        found: str = pointers.declaration(self, self.kind)
        return found

    @property
    def workspace_size(self) -> int:
        """Bytes of memory that a run needs; a caller may give them, and need not."""
        return int(self.image.size)

    @cached_property
    def descriptor(self) -> int:
        """Where the table is that compiled code calls it by."""
        self.words[RUN] = self.image.written_out()
        return int(self.words.ctypes.data)

    @cached_property
    def _stub(self) -> Any:
        return pointers.stub(self)

    @property
    def address(self) -> int:
        """Where the C function is that :attr:`c_declaration` declares, for as long as this object lives."""
        return int(self._stub.address)

    def ctypes(self) -> Any:
        """The C function as one of :mod:`ctypes`, which keeps this object alive."""
        return pointers.of_ctypes(self)

    def low_level_callable(self) -> Any:
        """The C function as a ``scipy.LowLevelCallable``, which keeps this object alive.

        A function of float64 numbers, or of one vector of them, with one number for a result is
        ``double (int, double *)``, as SciPy's ``quad`` and ``nquad`` want it: NaN where it fails.
        Others have the signature of :attr:`c_declaration`.

        Examples
        --------
        >>> import nbgrad as ng
        >>> from scipy.integrate import quad
        >>> c = ng.compile(lambda t, a: a * t * t, 0.0, 1.0)
        >>> round(quad(c.grad.low_level_callable(), 0, 1, args=(3.0,))[0], 9)
        3.0
        """
        return pointers.low_level(self)

    def first_class(self) -> Any:
        """The same as an object that Numba takes for a first-class function (``types.FunctionType``).

        Examples
        --------
        >>> import numpy as np
        >>> from numba import njit
        >>> import nbgrad as ng
        >>> c = ng.compile(lambda x: (x * x).sum(), np.ones(2))
        >>> @njit("float64(FunctionType(float64(float64[::1])), float64[::1])")
        ... def twice(f, x):
        ...     return 2 * f(x)
        >>> float(twice(c.value.first_class(), np.ones(2)))
        4.0
        """
        return calls.first_class(self)

    @cached_property
    def _symbol(self) -> str:
        text = f"{self.kind}({self.params} -> {self.results}) {self.words[EXTENTS:].tolist()}"
        return f"nbgrad_{self.kind}_{self.image.digest(text)}"

    def publish(self) -> str:
        return published.keep(self._symbol, self)._symbol  # type: ignore[attr-defined,no-any-return]

    def anchor(self) -> Callable[[], None]:
        return published.Anchor(self._symbol, self.owner.label, self.kind)

    def __call__(self, *args: Any) -> Any:
        params = self.params.parts
        if len(args) not in (len(params), len(params) + 1):
            raise TypeError(
                f"{self.kind} takes {len(params)} arguments, or one more for arrays to write to"
            )
        given = [x for tree, a in zip(params, args, strict=False) for x in self._given(tree, a)]
        outs = self._written(args[len(params)] if len(args) > len(params) else None)
        if len(args) > len(params):
            self._disjoint(given, outs)
        values = (ctypes.c_void_p * (len(given) + len(outs) + 1))(
            *[x.ctypes.data for x in (*given, *outs)], None
        )
        status = self._run(self.image.address, ctypes.addressof(values))
        if status:
            raise self.image.failure(status)
        return nested(self.results, iter([y if y.ndim else y[()] for y in outs]))

    def extents(self, leaf: Leaf) -> tuple[int, ...]:
        """The shape of an argument, or of a result."""
        return tuple(self.words[leaf.word : leaf.word + leaf.ndim].tolist())

    def _given(self, tree: Any, arg: Any) -> Iterator[Any]:
        for leaf, x in taken(tree, arg):
            if leaf.setting:
                if x != self.words[leaf.word]:
                    raise ValueError(
                        f"{self.kind}: argument {leaf.name} was compiled as the number "
                        f"{self.words[leaf.word]}; to pass others, pass floats or arrays"
                    )
                continue
            array = np.asarray(x)
            dtype = DTYPES[leaf.code]
            if not leaf.ndim and np.can_cast(array.dtype, dtype, "same_kind"):
                array = array.astype(dtype)
            if array.shape != self.extents(leaf) or array.dtype != dtype:
                raise (TypeError if array.dtype != dtype else ValueError)(
                    f"{self.kind}: argument {leaf.name} is an array of shape {array.shape} and dtype "
                    f"{array.dtype}; it was compiled for {self.extents(leaf)} and {dtype}"
                )
            yield np.require(array, None, ["C", "A"])

    def _disjoint(self, given: Sequence[Any], outs: Sequence[Any]) -> None:
        for k, y in enumerate(outs):
            if y.ndim and any(np.may_share_memory(x, y) for x in (*given, *outs[:k])):
                raise ValueError(
                    f"{self.kind}: an array that a result is written to shares memory with an argument, or "
                    "with that of another result"
                )

    def _written(self, out: Any) -> list[Any]:
        """The arrays that results are written to: those of *out* in the places of arrays."""
        leaves = self.results.leaves()
        arrays = [leaf for leaf in leaves if leaf.ndim]
        if out is not None:
            given = (out,) if isinstance(out, np.ndarray) else tuple(out)
            if len(given) != len(arrays):
                raise TypeError(f"{self.kind} writes {len(arrays)} arrays, and got {len(given)}")
            for leaf, y in zip(arrays, given, strict=True):
                fits = isinstance(y, np.ndarray) and y.dtype == DTYPES[leaf.code]
                if not (fits and y.shape == self.extents(leaf) and y.flags.carray):
                    raise ValueError(
                        f"{self.kind}: the result {leaf.name} is written to a contiguous array of shape "
                        f"{self.extents(leaf)} and dtype {DTYPES[leaf.code]}"
                    )
            found = iter(given)
        return [
            next(found) if out is not None and leaf.ndim else np.empty(self.extents(leaf), DTYPES[leaf.code])
            for leaf in leaves
        ]  # fmt: skip


_REFUSED: Final = (
    "compile: {kind} of {label} is no program of its own: it reads tensors that require grad, has complex "
    "numbers, or is checked for NaN (nan_policy='raise')"
)
