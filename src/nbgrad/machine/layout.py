"""Where objects keep their parts: every fact about memory, found on specimens, and nowhere else.

Nothing is assumed. Where nothing is found (another build of Python, or one without a GIL) callers
have another way. The facts, each with who finds it:

- an object begins with its count of references and its class, one word each (``header_known``); the
  count is the low half of its word (``REFERENCES``); None and False are counted, or not (``COUNTED``)
- a tuple has its items in itself, a list in memory that a word points to (``tuple_items``,
  ``list_items``); both have their length in one word (``container_size``)
- an object of a class with ``__slots__`` has a word for each (``slot``)
- a weak reference has a word that points to what it refers to, or to None (``referent``)
- a class has the size of its objects, that of their items, and flags (``classes``), one for classes
  that derive from list, tuple and type (``SUBCLASSES``)
- an array has words that point to elements, dtype and extents, its rank and flags, in NumPy's
  documented order (``array_data``, ``array_layout``); a dtype has kind, letter, byte order and number
  in one word (``elements_of``); a closure's cell has a word that points to what it holds (``cell``)
- NumPy's table has its functions where its header says (``of_numpy``)
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import weakref
from collections.abc import Iterable, Sequence
from functools import cache
from types import CellType
from typing import Any, Final

import numpy as np

from nbgrad.core.aval import Aval

# NumPy's flags of an array, ndarraytypes.h: contiguous in C's order, aligned.
BEHAVED: Final = 0x0001 | 0x0100
# The bytes of a dtype's word that say what its elements are: kind, letter, byte order and number.
ELEMENTS: Final = -0xFF000001
WORD: Final = 8
# The bits of an object's first word that count references in any version.
REFERENCES: Final = (1 << 32) - 1
# Whether references to None and False are counted: not from Python 3.12 on.
COUNTED: Final = int(sys.version_info < (3, 12))
# Flags of a class that derives from one of these: Python's Py_TPFLAGS_LIST_SUBCLASS and so on.
SUBCLASSES: Final = {"list": 1 << 25, "tuple": 1 << 26, "type": 1 << 31}


def words_of(specimen: object, size: int) -> list[int | None]:
    """The first *size* bytes of an object, word by word."""
    return list((ctypes.c_void_p * (size // WORD)).from_address(id(specimen)))


@cache
def list_items() -> int:
    """The word of a list that points to its items; 0 if there is none."""
    specimen = [np.arange(3.0), np.arange(5)]
    for word in (3, 2, 4, 5):
        place = words_of(specimen, 6 * WORD)[word]
        # Sizes and flags that lie there in other layouts are small numbers, not addresses.
        if place and place > 2**16 and place % WORD == 0:
            table = (ctypes.c_void_p * 2).from_address(place)
            if list(table) == [id(x) for x in specimen]:
                return word
    return 0


@cache
def array_data() -> int:
    """The word of an array that points to its elements; 0 if there is none."""
    arrays = [np.arange(3.0), np.arange(5)]
    return _common(word_with(a, a.ctypes.data, 6 * WORD) for a in arrays)


@cache
def array_layout() -> dict[str, int]:
    """Where arrays keep dtype, rank, extents and flags, and dtypes their elements; 0 if unknown."""
    arrays: list[np.ndarray[Any, Any]]
    arrays = [np.ones((2, 3)), np.ones((5, 7), np.float32)[:, ::2], np.ones((4, 6), ">i2")]
    place = {word_with(a, id(a.dtype), 9 * WORD) for a in arrays}
    ndim, shape, flags, elements = 3, 4, max(place) + 1, 3  # their order is NumPy's documented one
    known = len(place) == 1 and all(_as_documented(a, ndim, shape, flags) for a in arrays)
    known = known and all(elements_of(a.dtype) == _documented(a.dtype) for a in arrays)
    found = {"dtype": max(place), "ndim": ndim, "shape": shape, "flags": flags}
    found["elements"] = elements
    return found if known else dict.fromkeys(found, 0)


def _as_documented(a: Any, ndim: int, shape: int, flags: int) -> bool:
    words = words_of(a, (flags + 1) * WORD)
    extents = words[shape] or 0
    return (
        (words[ndim] or 0) & 0xFFFFFFFF == a.ndim
        and extents > 2**16
        and extents % WORD == 0
        and tuple((ctypes.c_int64 * 2).from_address(extents)) == a.shape
        and (((words[flags] or 0) & BEHAVED) == BEHAVED) == a.flags.c_contiguous
    )


def elements_of(dtype: np.dtype[Any]) -> int:
    """The word that tells what the elements are: equal for dtypes of the same bits."""
    word = words_of(dtype, 4 * WORD)[3] or 0
    return (word - (word >> 63 << 64)) & ELEMENTS


def _documented(dtype: np.dtype[Any]) -> int:
    letters = (dtype.kind, dtype.char, dtype.byteorder)
    return sum(ord(c) << 8 * k for k, c in enumerate(letters)) | dtype.num << 32


@cache
def tuple_items() -> int:
    """The word of a tuple where its items start; 0 if there is none."""
    specimens = [(object(), object()), (object(), object(), object())]
    return _common(word_with(t, id(t[0]), t.__sizeof__()) for t in specimens)


@cache
def container_size() -> int:
    """The word of a tuple or list that holds its length; 0 if there is none."""
    return _common(word_with(t, len(t), t.__sizeof__()) for t in ((1.0,) * 77, [1.0] * 78))


@cache
def cell() -> int:
    """The word of a closure's cell that points to what it holds; 0 if unknown."""
    held = object(), object()
    return _common(word_with(CellType(x), id(x), CellType.__basicsize__) for x in held)


def containers() -> dict[str, int]:
    """Where tuples, lists and arrays keep what they hold, by the names that source uses."""
    places = {"items": tuple_items(), "size": container_size()}
    return places | {"list_items": list_items(), "array_data": array_data()}


def specification(avals: Iterable[Aval]) -> list[int]:
    """What :data:`FITS` compares arrays with, for one array after another."""
    return [w for a in avals for w in (elements_of(a.dtype), a.ndim, *a.shape)]


# Whether the array ``x``, of exactly NumPy's class at ``kind``, is as ``spec`` says. A subclass may
# be of another shape or dtype than it tells, and has a memory of its own that may have shrunk.
FITS: Final = f"""
fits = x[1] == kind
if fits:
    fits = (
        (load_pointer(x, {{dtype}})[{{elements}}] & {ELEMENTS}) == spec[0]
        and (x[{{ndim}}] & 0xFFFFFFFF) == spec[1]
        and (x[{{flags}}] & {BEHAVED}) == {BEHAVED}
    )
    extents = load_pointer(x, {{shape}})
    for axis in range(spec[1] if fits else 0):
        fits = fits and extents[axis] == spec[2 + axis]
"""


@cache
def header_known() -> bool:
    """Whether objects begin with a count and their class: in a build that traces references not."""
    specimen = float("1.5")
    words = words_of(specimen, 2 * WORD)
    count = (words[0] or 0) & REFERENCES
    held = [specimen, specimen]
    more = (words_of(specimen, WORD)[0] or 0) & REFERENCES
    return words[1] == id(float) and more == count + len(held)


@cache
def classes() -> tuple[int, int, int]:
    """The words of a class with the size of its objects, that of their items, and its flags."""
    words = (ctypes.c_int64 * 32).from_address(id(tuple))
    basic, item = tuple.__basicsize__, tuple.__itemsize__
    at = next(k for k in range(3, 15) if words[k] == basic and words[k + 1] == item)
    return at, at + 1, next(k for k in range(at + 2, 32) if words[k] == tuple.__flags__)


@cache
def referent() -> int:
    """The word of a weak reference that points to what it refers to, or to None; 0 if unknown."""
    kind = type("_Kind", (), {"__slots__": ("__weakref__",)})
    objects = [kind(), kind()]
    marks = [weakref.ref(x) for x in objects]
    found = {word_with(r, id(x), r.__sizeof__()) for r, x in zip(marks, objects, strict=True)}
    word = found.pop()
    objects.clear()
    dead = all(words_of(r, r.__sizeof__())[word] == id(None) for r in marks)
    return word if not found and dead else 0


@cache
def of_numpy(name: str) -> int:
    """Address of a function of NumPy's, ``PyArray_Empty``, found in its table; 0 if unknown."""
    try:
        with open(
            os.path.join(np.get_include(), "numpy", "__multiarray_api.h"), encoding="utf-8"
        ) as header:
            text = header.read()
    except OSError:
        return 0
    entry = re.search(rf"#define {name}\s.*?PyArray_API\[(\d+)\]", text, re.DOTALL)
    core = getattr(np, "_core", None)
    capsule = getattr(getattr(core, "_multiarray_umath", None), "_ARRAY_API", None)
    if entry is None or capsule is None:
        return 0
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    table = pointer(("PyCapsule_GetPointer", ctypes.pythonapi))(capsule, None)
    return (ctypes.c_void_p * (int(entry[1]) + 1)).from_address(table)[int(entry[1])] or 0


def word_with(specimen: object, wanted: int, size: int) -> int:
    """The word of an object that holds *wanted*, behind the object's header; 0 if there is none."""
    found = words_of(specimen, size)
    return found.index(wanted, 2) if wanted in found[2:] else 0


def slot(specimen: Any, name: str) -> int:
    """The word where objects of the specimen's class, which has ``__slots__``, keep *name*."""
    mark = object()
    object.__setattr__(specimen, name, mark)  # frozen or not
    return word_with(specimen, id(mark), specimen.__sizeof__())


def _common(words: Any) -> int:
    found: Sequence[int] = list(dict.fromkeys(words))
    return found[0] if len(found) == 1 else 0
