"""The compiled loop that runs a Program: fill in addresses, then call kernels one after another.

The loop is written in Python, compiled by the kernel compiler and kept in the object cache like any
kernel, so a process whose programs are cached runs them without a compiler. One call from Python costs
about half a microsecond, one instruction a few nanoseconds, and the GIL is released throughout.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterable, Sequence
from textwrap import indent
from typing import Any, Final

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.machine import bounds, builtin, layout, threads
from nbgrad.machine.compile import Code, Words, native, remembered

# Words of a frame's header.
(
    N_VALUES,  # how many arrays the caller passes
    BASES,  # where the table of base addresses starts
    N_PATCHES,
    PATCHES,  # where the rows (destination word, base, byte offset) start
    N_INSTRUCTIONS,
    INSTRUCTIONS,  # where the rows (kernel address, n, grain, word of its arguments) start
    N_THREADS,  # 1: serial
    POOL,  # address of numba_parallel_for, 0: serial
    STATUS,  # set to 0 before the run; kernels may write an error code here
    TASK,  # address of the task function
    DIMS,  # the arguments of numba_parallel_for: number of tasks,
    STEPS,  # bytes between two rows (one, so that a row's address is its number),
    ROWS,  # and the address of the first row
    ROW,  # the instruction being run in parallel, for the task function
    LIST_ITEMS,  # word of a list object that points to its items; 0: bases are filled in already
    ARRAY_DATA,  # word of an array object that points to its data
    LOOP,  # address of the compiled loop
    ARRAY,  # NumPy's class of arrays
    SPECS,  # what the arrays must be, see layout.FITS; 0: they are not looked at
    HEADER,
) = range(20)
MISFIT: Final = -1  # status of a run that was refused: some value is not the array it must be

_SOURCE: Final = f"""
def nbgrad_task(rows, dims, steps, frame):
    # One call runs dims[0] tasks: omp passes one at a time, workqueue a chunk a thread.
    row = load_pointer(frame, {ROW})
    first = distance(load_pointer(rows, 0), row)
    n, grain = row[1], row[2]
    for task in range(first, first + dims[0]):
        lo = task * grain
        call_kernel(load_pointer(row, 0), lo, min(lo + grain, n), offset_words(frame, row[3]))
    return 0


def nbgrad_execute(frame, values):
    bases = offset_words(frame, frame[{BASES}])
    if frame[{LIST_ITEMS}] != 0:
        items = load_pointer(values, frame[{LIST_ITEMS}])
        for k in range(frame[{N_VALUES}]):
            array = load_pointer(items, k)
            store_pointer(bases, k, load_pointer(array, frame[{ARRAY_DATA}]))
    patch = offset_words(frame, frame[{PATCHES}])
    for _ in range(frame[{N_PATCHES}]):
        store_pointer(frame, patch[0], offset_bytes(load_pointer(bases, patch[1]), patch[2]))
        patch = offset_words(patch, 3)
    frame[{STATUS}] = 0
    parallel = frame[{N_THREADS}] > 1 and frame[{POOL}] != 0
    row = offset_words(frame, frame[{INSTRUCTIONS}])
    for _ in range(frame[{N_INSTRUCTIONS}]):
        if frame[{STATUS}] != 0:
            break  # before the steps that write in the place of what was given
        n, grain = row[1], row[2]
        if grain <= 0 or n <= grain:
            call_kernel(load_pointer(row, 0), 0, n, offset_words(frame, row[3]))
        elif parallel:
            frame[{DIMS}] = (n + grain - 1) // grain
            frame[{STEPS}] = 1
            store_pointer(frame, {ROWS}, row)
            store_pointer(frame, {ROW}, row)
            call_pool(
                load_pointer(frame, {POOL}),
                load_pointer(frame, {TASK}),
                offset_words(frame, {ROWS}),
                offset_words(frame, {DIMS}),
                offset_words(frame, {STEPS}),
                frame,
                frame[{N_THREADS}],
            )
        else:
            # The same boundaries as in parallel: results do not depend on the number of threads.
            for lo in range(0, n, grain):
                call_kernel(
                    load_pointer(row, 0), lo, min(lo + grain, n), offset_words(frame, row[3])
                )
        row = offset_words(row, 4)
    return frame[{STATUS}]
"""


@remembered
def _task() -> Code:
    return native(_SOURCE, "nbgrad_task", ("i8*",) * 4, result="i8")[0]


# The loop as a built-in function: *owner* is the array of a frame's words.
_BUILTIN: Final = (
    f"""
def nbgrad_run(owner, values):
    frame = load_pointer(owner, {{array_data}})
    if frame[{SPECS}] != 0:
        spec, kind = load_pointer(frame, {SPECS}), frame[{ARRAY}]
        items = load_pointer(values, {{list_items}})
        fits = values[{{size}}] == frame[{N_VALUES}]
        for k in range(frame[{N_VALUES}] if fits else 0):
            x = load_pointer(items, k)
"""
    + indent(layout.FITS, " " * 12)
    + f"""
            if not fits:
                break
            spec = offset_words(spec, 2 + spec[1])
        if not fits:
            return PyLong_FromLongLong({MISFIT})
    state = PyEval_SaveThread()
    status = call_loop(load_pointer(frame, {LOOP}), frame, values)
    PyEval_RestoreThread(state)
    return PyLong_FromLongLong(status)
"""
)

Entry = Callable[[list[Any]], int]


def prepare() -> None:
    """Load, or compile, what every frame needs."""
    _loop()
    if builtin.available():
        _run()


@remembered
def _loop() -> Code:
    return native(_SOURCE, "nbgrad_execute", ("i8*", "i8*"), result="i8")[0]


def loop_code() -> Code:
    """The compiled loop."""
    return _loop()


def loop_address() -> int:
    """Where the compiled loop is."""
    return _loop().address


@remembered
def _run() -> Code:
    text = _BUILTIN.format(**layout.array_layout(), **layout.containers())
    return native(text, "nbgrad_run", ("i8*", "i8*"), result="i8")[0]


def entry(words: Words) -> Entry:
    """Return ``run(list of arrays) -> status``, the loop over the frame in *words*.

    The caller keeps the arrays alive, and no two threads may run one frame at a time.
    """
    if builtin.available():
        words[LOOP] = _loop().address
        stands_for = "backends.cpu.executor.fitting"  # and calls the loop
        return builtin.builtin(_run(), "nbgrad_run", words, stands_for=stands_for, keep=_loop())
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.py_object)
    return functools.partial(prototype(_loop().address), words.ctypes.data)


def object_layout() -> tuple[int, int]:
    """Return the words LIST_ITEMS and ARRAY_DATA of this Python, or (0, 0) if unknown."""
    found = layout.list_items(), layout.array_data()
    return found if all(found) else (0, 0)


def _rows(given: Any, width: int) -> Words:
    """A table of its own of *given* rows."""
    found = given if isinstance(given, np.ndarray) else list(given)
    return np.array(found, np.int64).reshape(-1, width)


class Frame:
    """The memory of one Program's run: addresses, patches, instructions and their arguments.

    Parameters
    ----------
    n_values : int
        Arrays passed to each run; they are bases ``0 .. n_values - 1``.
    bases : sequence of int
        Further base addresses (arena, constants), numbered on from there.
    patches : iterable of (int, int, int)
        ``(argument word, base, byte offset)``: that word becomes the base's address plus offset.
    instructions : iterable of (int, int, int, int)
        ``(kernel address, n, grain, first argument word)``. A positive *grain* splits ``[0, n)``
        into tasks of that size, which may run in parallel.
    args : sequence of int
        The argument words, with the bits of scalars in place.
    avals : sequence of Aval
        What the arrays must be. Without them they are not looked at.
    specification : ndarray, optional
        That of *avals*, where other frames of the same arrays have it.

    Attributes
    ----------
    args, bases : ndarray of int64
        Views of the frame, to be written between runs.
    parallel : bool
        Whether any instruction has more than one task.
    addresses : Addresses or None
        Which argument words are addresses, for who copies the frame to another place.
    """

    addresses: Any = None

    def __init__(
        self,
        n_values: int,
        bases: Sequence[int],
        patches: Iterable[tuple[int, int, int]] | Words,
        instructions: Iterable[tuple[int, int, int, int]] | Words,
        args: Sequence[int] | Words,
        avals: Sequence[Aval] = (),
        specification: Words | None = None,
    ) -> None:
        triples, rows = _rows(patches, 3), _rows(instructions, 4)
        at_bases = HEADER
        at_patches = at_bases + n_values + len(bases)
        at_rows = at_patches + triples.size
        at_args = at_rows + rows.size
        self.words = words = np.zeros(at_args + len(args), np.int64)
        triples[:, 0] += at_args
        rows[:, 3] += at_args
        words[BASES], words[PATCHES], words[INSTRUCTIONS] = at_bases, at_patches, at_rows
        words[N_VALUES], words[N_PATCHES], words[N_INSTRUCTIONS] = (
            n_values,
            len(triples),
            len(rows),
        )
        words[LIST_ITEMS], words[ARRAY_DATA] = object_layout()
        words[N_THREADS] = 1
        words[at_bases + n_values : at_patches] = bases
        words[at_patches:at_rows] = triples.ravel()
        words[at_rows:at_args] = rows.ravel()
        words[at_args:] = args
        self.avals = tuple(avals)
        if specification is None:
            specification = np.array(layout.specification(self.avals), np.int64)
        self.specification = specification
        bounds.register(self.words, self.specification)
        known = avals and builtin.available() and 0 not in layout.array_layout().values()
        words[ARRAY] = id(np.ndarray)
        words[SPECS] = self.specification.ctypes.data if known else 0
        self.parallel = bool(np.any((rows[:, 2] > 0) & (rows[:, 1] > rows[:, 2])))
        self._finish()

    def _finish(self) -> None:
        words = self.words
        self.address = words.ctypes.data
        self.bases = words[words[BASES] : words[PATCHES]]
        self.args = words[words[INSTRUCTIONS] + 4 * words[N_INSTRUCTIONS] :]
        self.enter = entry(words)
        # Where the layout of objects is unknown, or an address is written from Python.
        self._fill = words[LIST_ITEMS] == 0

    def take_bases(self) -> None:
        """Let the caller write the addresses of the arrays into the frame, and give no list."""
        self.words[LIST_ITEMS] = self.words[SPECS] = 0

    @property
    def status_address(self) -> int:
        """Address of the word that :meth:`run` returns; kernels may write error codes there."""
        return self.address + 8 * STATUS

    def copy(self) -> Frame:
        """Return a frame that may run at the same time as this one.

        Addresses in it that point into this frame (``status_address``) still do.
        """
        other = object.__new__(Frame)
        other.words, other.parallel = self.words.copy(), self.parallel
        other.avals, other.specification = self.avals, self.specification
        bounds.register(other.words)
        other._finish()
        return other

    def run(self, values: list[Any]) -> int:
        """Run the program on arrays and return the status word, 0 unless a kernel set it.

        Those of another layout are replaced by copies in *values*.
        """
        if self._fill:
            values[:] = fitting(values, self.avals) if self.avals else values
            self.bases[: len(values)] = [a.ctypes.data for a in values]
        parallel = self.parallel and threads.get_num_threads() > 1
        status = self._run_parallel(values) if parallel else self.enter(values)
        return self.refit(values) if status == MISFIT else status

    def refit(self, values: list[Any]) -> int:
        """Run on *values*, some of which were refused, as the arrays they must be."""
        values[:] = fitting(values, self.avals)
        if (status := self.enter(values)) == MISFIT:
            raise AssertionError("arrays that fit were refused")
        return status

    def _run_parallel(self, values: list[Any]) -> int:
        with threads.pool() as (launch, count):
            self.words[POOL], self.words[N_THREADS] = launch, count
            self.words[TASK] = _task().address
            try:
                return self.enter(values)
            finally:
                self.words[POOL] = 0


def fitting(values: Sequence[Any], avals: Sequence[Aval]) -> list[Any]:
    """*values* as arrays of exactly these avals, contiguous and aligned, copied where need be.

    Raises
    ------
    TypeError
        For a value of another shape, or of a dtype with other elements.
    """
    found = []
    for k, (value, aval) in enumerate(zip(values, avals, strict=True)):
        array = np.asarray(value)
        if array.shape != aval.shape or array.dtype != aval.dtype:
            raise TypeError(
                f"a compiled program was made for {aval} as its value {k} and got an array of "
                f"shape {array.shape} and dtype {array.dtype}"
            )
        flags = array.flags
        whole = flags.c_contiguous and flags.aligned
        array = array if whole else np.require(array, None, ["C", "A"])
        found.append(array if array.dtype is aval.dtype else array.view(aval.dtype))
    return found
