"""``fit_many``: one fit after another in one native loop, on as many threads as there are."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nbgrad.api.grad import grad
from nbgrad.api.implicit import custom_root
from nbgrad.api.vmap import vmap
from nbgrad.core.forks import ThreadLock
from nbgrad.core.modes import modes
from nbgrad.machine.compile import Code, native, remembered
from nbgrad.machine.threads import get_num_threads
from nbgrad.solvers import factors
from nbgrad.solvers import native as at
from nbgrad.solvers.batch import fit_one
from nbgrad.solvers.compiled import arguments
from nbgrad.solvers.interface import least_squares
from nbgrad.solvers.losses import loss_of
from nbgrad.solvers.methods import LM, flat
from nbgrad.solvers.minimizing import VERDICTS, Asked, configure
from nbgrad.tensors.tensor import Tensor

# Before each fit its row of each array is put in the place of an input: a frame, a word of it, the first row and
# the bytes to the next.
_FITS: Final = """
def nb_fits(lo, hi, loop, table, k, s, w, rows, count, k0, s0, start, scales, x, cov, value, words):
    for b in range(lo, hi):
        row = rows
        for _ in range(count):
            store_pointer(load_pointer(row, 0), row[1], offset_bytes(load_pointer(row, 2), b * row[3]))
            row = offset_words(row, 4)
        fit_one(loop, table, k, s, w, b, k0, s0, start, scales, x, cov, value, words)
"""
_PARAMS: Final = (
    "i8",
    "i8",
    *("i8*",) * 3,
    "f8*",
    "f8*",
    "i8*",
    "i8",
    "i8*",
    *("f8*",) * 6,
    "i8*",
)
_KERNEL: Final = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
CHUNK: Final = 256  # fits between two looks at whether somebody wants the end


@remembered
def _fits() -> Code:
    return native(_FITS, "nb_fits", _PARAMS, helpers={"fit_one": fit_one})[0]


@dataclass
class Fits:
    """What :func:`fit_many` returns: a row for each fit.

    Attributes
    ----------
    x : ndarray, or Tensor
        The parameters.
    cov : ndarray
        Their covariances, of residuals of which each has the same variance, estimated by what is left of them;
        NaN where the data do not determine the parameters, or the fit failed.
    cost : ndarray
        Half the sum of the squares, or losses, that are left.
    success, status : ndarray
        Whether a fit came to its end, and how: as SciPy's ``least_squares`` has it, 1 to 4; 0: too many calls;
        -1: residuals or Jacobian that are no numbers; -4: an operation of the residuals failed.
    nfev, njev, nit : ndarray
        How often residuals and Jacobian were computed, and how many steps were taken.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> found = ng.fit_many(lambda p, y: p - y, np.zeros((2, 1)), np.array([[1.0], [np.nan]]))
    >>> found.success, found.message(1)
    (array([ True, False]), 'The function or its derivatives are not finite.')
    """

    x: Any
    cov: Any
    cost: Any
    success: Any
    status: Any
    nfev: Any
    njev: Any
    nit: Any

    def message(self, k: int) -> str:
        """How the fit in row *k* ended."""
        return MESSAGES[int(self.status[k])]


MESSAGES: Final = {LM.codes[each]: VERDICTS[each][1] for each in LM.codes}


def fit_many(
    residual: Callable[..., Any],
    p0: Any,
    data: Any = (),
    *,
    bounds: Any = None,
    loss: str = "linear",
    f_scale: float = 1.0,
    x_scale: Any = None,
    ftol: float = 1e-8,
    xtol: float = 1e-8,
    gtol: float = 1e-8,
    max_nfev: int | None = None,
) -> Fits:
    """Fit the same model to many sets of data, by the Levenberg-Marquardt method, in one native loop.

    Fits are spread over ``nbgrad.set_num_threads`` threads; each has the bits that it has alone.

    Parameters
    ----------
    residual : callable
        ``residual(p, *rows)`` returns the residuals of one fit, an array of them, of nbgrad or NumPy operations. One
        that cannot be traced is fitted one by one by Python.
    p0 : array_like
        Where to start: a row for each fit, or one for all.
    data : array_like or tuple of such
        Arrays with a row for each fit. What is the same for all, read from outside.
    bounds : pair of array_like, optional
        The least and the largest parameters, the same for all fits.
    loss : {"linear", "soft_l1", "huber", "cauchy", "arctan"}
        As in SciPy's ``least_squares``; so are the next ones.
    f_scale : float
        What residuals are divided by before the loss.
    x_scale : "jac" or array_like, optional
        How large parameters are; by default as the columns of the Jacobian say.
    ftol, xtol, gtol : float
        The changes of the cost and of the parameters, and the cosine, that a fit ends by.
    max_nfev : int, optional
        How often residuals are computed at most: by default 100 times the number of parameters.

    Returns
    -------
    Fits
        One of them fails alone. If *data* require grad, ``x`` is a tensor, differentiable by them. Inside ``jit`` and
        ``vmap`` there is ``x`` alone, and fits are made one by one.

    Raises
    ------
    ValueError
        If arrays have not as many rows, for bounds without a value between them, an unknown loss.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> t = np.linspace(0, 1, 20)
    >>> true = np.array([[2.0, 1.0], [3.0, 0.5]])
    >>> y = true[:, :1] * np.exp(-true[:, 1:] * t)
    >>> found = ng.fit_many(lambda p, y: p[0] * np.exp(-p[1] * t) - y, np.ones(2), y)
    >>> found.x.round(6), found.success
    (array([[2. , 1. ],
           [3. , 0.5]]), array([ True,  True]))
    """
    given = data if isinstance(data, tuple) else (data,)
    if modes.tracing:
        return _traced(
            residual, p0, given, bounds, (ftol, xtol, gtol, x_scale, loss, f_scale, max_nfev)
        )
    starts, arrays = _rows(p0, given)
    options = {
        "loss": loss, "f_scale": f_scale, "x_scale": x_scale, "ftol": ftol, "xtol": xtol, "gtol": gtol,
        "max_nfev": max_nfev,
    }  # fmt: skip
    batch = Batch(residual, starts, arrays)
    found = batch.run(options, bounds)
    if modes.grad and any(isinstance(a, Tensor) and a.requires_grad for a in given):
        found.x = _differentiable(residual, found.x, given, bounds, loss_of(loss, f_scale))
    return found


def _rows(p0: Any, data: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Starts and data as arrays with as many rows."""
    arrays = [np.ascontiguousarray(a.detach() if isinstance(a, Tensor) else a) for a in data]
    starts = np.asarray(p0.detach() if isinstance(p0, Tensor) else p0)
    if starts.dtype.kind not in "buif" or starts.ndim not in (1, 2) or not starts.shape[-1]:
        raise ValueError(
            f"fit_many: p0 must be real numbers, a row for each fit, not {starts.dtype} of shape {starts.shape}"
        )
    counts = {a.shape[0] if a.ndim else -1 for a in arrays}
    counts |= {starts.shape[0]} if starts.ndim == 2 else set()
    if len(counts) != 1 or -1 in counts:
        shapes = ", ".join(str(a.shape) for a in (starts, *arrays))
        raise ValueError(f"fit_many: p0 and data must have as many rows, and have shapes {shapes}")
    shape = (counts.pop(), starts.shape[-1])
    return np.ascontiguousarray(np.broadcast_to(starts, shape), float), arrays


class Batch:
    """Fits that are to be made: where they start, and what each reads."""

    def __init__(self, residual: Callable[..., Any], starts: Any, arrays: Sequence[Any]) -> None:
        self.starts, self.arrays = starts, arrays
        self.count, self.n = starts.shape
        rows = [a[0] if a.ndim > 1 else a[0:1].reshape(()) for a in arrays] if self.count else []
        rows = rows or [np.zeros(a.shape[1:], a.dtype) for a in arrays]
        first = starts[0] if self.count else np.zeros(self.n)
        self.residual, self.asked = residual, Asked("nb-lm", residual, first, tuple(rows))
        self.m = self.asked.residuals()
        n, count = self.n, self.count
        self.x, self.cov = starts.copy(), np.full((count, n, n), np.nan)
        self.cost, self.words = np.full(count, np.nan), np.zeros((count, 4), np.int64)

    def run(self, options: dict[str, Any], bounds: Any) -> Fits:
        """Make them."""
        threads = min(get_num_threads(), -(-self.count // CHUNK))
        workers = [self._worker(options, bounds) for _ in range(max(1, threads))]
        if not all(workers):
            return self._one_by_one(options, bounds)
        self.code = _fits()
        self.next, self.stopped, self.lock = 0, False, ThreadLock()
        others = [threading.Thread(target=self._work, args=(w,), daemon=True) for w in workers[1:]]
        for each in others:
            each.start()
        try:
            self._work(workers[0])
            for each in others:
                each.join()
        finally:
            self.stopped = True
        for memory in workers:
            self.pool.append(memory[0])
        status, calls, jacobians, steps = self.words.T
        table = np.zeros(at.FAILED + 1, np.int64)
        for end, code in LM.codes.items():
            table[end] = code
        codes = table[status]
        return Fits(self.x, self.cov, self.cost, codes > 0, codes, calls, jacobians, steps)

    def _one_by_one(self, options: dict[str, Any], bounds: Any) -> Fits:
        """Make them where there is no compiled program of the residuals."""
        codes = np.zeros(self.count, np.int64)
        for k, start in enumerate(self.starts):
            asked = Asked("nb-lm", self.residual, start, tuple([a[k, ...] for a in self.arrays]))
            try:
                found = asked.solved(options, bounds, None, None)
            except np.linalg.LinAlgError:
                codes[k] = LM.codes[at.FAILED]
                continue
            codes[k], self.x[k], self.cost[k] = found.status, found.x, found.cost
            self.words[k, 1:] = found.nfev, found.njev, found.nit
            if found.status >= 0 and self.m > self.n:
                self.cov[k] = found.cov * 2 * found.cost / (self.m - self.n)
        _, calls, jacobians, steps = self.words.T
        return Fits(self.x, self.cov, self.cost, codes > 0, codes, calls, jacobians, steps)

    def _worker(self, options: dict[str, Any], bounds: Any) -> Any:
        """Memory of a thread, and the arguments of its loop."""
        memory, self.pool = self.asked.memory(self.n, self.m)
        if not all(f.plain for f in memory.functions):
            return None
        memory.s.fill(0.0)
        memory.w[: self.n] = np.clip(self.starts[0] if self.count else 0.0, -1e300, 1e300)
        if bounds is not None:
            low, high = (np.broadcast_to(np.asarray(b, float), (self.n,)) for b in bounds)
            memory.w[: self.n] = np.clip(memory.w[: self.n], low, high)
            outside = ~((self.starts >= low) & (self.starts <= high) | np.isnan(self.starts))
            if outside.any():
                k = int(np.nonzero(outside.any(1))[0][0])
                raise ValueError(f"fit_many: p0[{k}] is not within the bounds")
        configure(LM, memory, self.n, self.m, dict(options), bounds)
        memory.k[at.PAUSE] = 1 << 62
        d = factors.D * self.n
        held = memory.k.copy(), memory.s.copy(), memory.w[d : d + self.n].copy()
        rows = []
        for f in memory.functions:
            inputs = f.runner.tape.inputs
            for place, a in enumerate(self.arrays, 1):
                base = f.of.bases.ctypes.data + 8 * f.runner.base_of[inputs[place]]
                rows.append(
                    (f.of.address, (base - f.of.address) // 8, a.ctypes.data, a.strides[0])
                )
        table = np.array(rows, np.int64).reshape(-1, 4)
        words = [
            memory.code.address,
            memory.address,
            *memory.words[4:],
            table.ctypes.data,
            len(rows),
        ]
        arrays = held[0], held[1], self.starts, held[2], self.x, self.cov, self.cost, self.words
        words += [a.ctypes.data for a in arrays]
        return memory, arguments(words), (held, table)

    def _work(self, worker: Any) -> None:
        """Take fits, some at a time, until there are no more."""
        enter, words = _KERNEL(self.code.address), worker[1]
        while not self.stopped:
            with self.lock.held:
                first = self.next
                self.next = last = min(first + CHUNK, self.count)
            if first == last:
                break
            enter(first, last, words.ctypes.data)


def _traced(residual: Any, p0: Any, data: Sequence[Any], bounds: Any, options: Any) -> Fits:
    """Fits of data that are not known yet."""
    ftol, xtol, gtol, x_scale, loss, f_scale, max_nfev = options

    def one(p0: Any, *rows: Any) -> Any:
        found = least_squares(
            residual, p0, bounds or (-np.inf, np.inf), "nb-lm", ftol, xtol, gtol, x_scale, loss, f_scale,
            max_nfev, rows,
        )  # fmt: skip
        return found.x

    axes = (None if np.ndim(p0) == 1 else 0, *[0] * len(data))
    return Fits(vmap(one, in_axes=axes)(p0, *data), *[None] * 7)


def _differentiable(residual: Any, x: Any, data: Sequence[Any], bounds: Any, loss: Any) -> Any:
    """Parameters that are found, as what the equations of the fits say."""
    low, high = (-np.inf, np.inf) if bounds is None else bounds

    def one(x: Any, *rows: Any) -> Any:
        slope = grad(lambda p: loss(flat(residual(p, *rows))))
        project = lambda p: p - np.clip(p - slope(p), low, high)
        return custom_root(slope if bounds is None else project, x, lambda _, x: x)

    return vmap(one)(x, *data)
