"""Kernel source to a callable address, through the object cache.

Nothing here imports Numba or LLVM before it must: a kernel that is in memory costs a hash, one on
disk a tenth of a millisecond, and only a new one needs LLVM.
"""

from __future__ import annotations

import ctypes
import functools
import re
import threading
import time
import weakref
from collections.abc import Callable
from functools import cache
from types import CodeType, FunctionType
from typing import Any, Final, TypeVar

import numpy as np

from nbgrad.core import forks
from nbgrad.core.frozen import Value
from nbgrad.core.lazy import load
from nbgrad.machine import bounds, lljit, loading, processor, quiet, scipy_scalars
from nbgrad.machine.cache import default_cache, digest
from nbgrad.machine.request import Helper, Helpers, Request

# Part of every key: raise it when the code generated for the same source changes.
CODEGEN_VERSION: Final = "9"

Made = TypeVar("Made")
# Not by numpy.typing, which is not loaded yet.
Words = np.ndarray[Any, np.dtype[np.int64]]

_KERNEL_TYPE: Final = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


class Code(Value):
    """Machine code in memory. It is unloaded when the last reference to this goes."""

    symbol: str
    address: int
    tracker: object


class Kernel(Value):
    """A compiled kernel ``void symbol(int64 lo, int64 hi, int64 *args)``.

    Attributes
    ----------
    name, symbol : str
        The name in the source, and that of the machine code.
    address : int
        Where the code is, for as long as ``keepalive`` is referenced.
    origin : {"memory", "disk", "compiled"}
    compile_ms : float
        Time that getting it took.
    """

    name: str
    symbol: str
    address: int
    keepalive: object
    origin: str
    compile_ms: float

    def __call__(self, lo: int, hi: int, args: Words) -> None:
        """Run the kernel from Python, for tests and debugging."""
        if bounds.ON:  # what is not said of its pointers is not known
            args = np.append(args, np.zeros(64, np.int64))
        _KERNEL_TYPE(self.address)(lo, hi, args.ctypes.data)


class Absent(Exception):
    """Machine code that an attempt needs at once is not there yet."""


class _Wanted(threading.local):
    """What the attempt that this thread makes has found missing; None outside of attempts."""

    requests: dict[str, Request] | None = None
    made: dict[Any, Any] | None = None  # by functions that are `remembered`


_wanted = _Wanted()
_loaded: weakref.WeakValueDictionary[str, Code] = weakref.WeakValueDictionary()


# The last codes that were loaded. A function made anew, of the same structure as one that was
# dropped, finds its code here instead of linking it again.
_recent: dict[str, Code] = {}
RECENT: Final = 1024


def _keep(key: str, code: Code) -> Code:
    """Remember a code that was loaded."""
    _loaded[key] = _recent[key] = code
    while len(_recent) > RECENT:
        del _recent[next(iter(_recent))]
    return code


def forget() -> None:
    """Unload every code that nothing else refers to."""
    with forks.compiling:
        _recent.clear()


@cache
def _environment() -> str:
    """Return what the code of every kernel depends on besides its source."""
    return digest(processor.identity(), processor.version("numba"), CODEGEN_VERSION)


_fingerprints: dict[Helper, str] = {}


def fingerprint(helper: Helper) -> str:
    """Return a digest of a helper and of all it calls: their bytecode is what Numba compiles."""
    found = _fingerprints.get(helper)
    if found is None:
        if not isinstance(helper, FunctionType) or helper.__closure__:
            raise TypeError(f"helper {helper!r} must be a plain function without a closure")
        _fingerprints[helper] = "recursive"
        code, names = helper.__code__, helper.__globals__
        parts = [_code_text(code), repr(helper.__defaults__)]
        for name in code.co_names:
            value = names.get(name)
            parts.append(fingerprint(value) if isinstance(value, FunctionType) else _text(value))
        found = _fingerprints[helper] = digest(*parts)
    return found


def _code_text(code: CodeType) -> str:
    constants = [_code_text(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"


def _text(value: Any) -> str:
    # A module or a type has a name; the representation of anything else is its value.
    return str(getattr(value, "__name__", None) or repr(value))


_NAMES: Final = re.compile(r"[A-Za-z_]\w*")


def _used(source: str, helpers: Helpers) -> dict[str, Helper]:
    """The helpers that the source names."""
    return {name: helpers[name] for name in sorted(set(_NAMES.findall(source))) if name in helpers}


def _key(
    source: str,
    name: str,
    params: tuple[str, ...],
    result: str | None,
    noalias: bool,
    helpers: Helpers,
) -> str:
    called = [f"{alias}={fingerprint(helper)}" for alias, helper in helpers.items()]
    options = f"{name} {params} {result} {noalias}"
    return digest(_environment(), source, options, *called)


def native(
    source: str,
    name: str,
    params: tuple[str, ...],
    *,
    result: str | None = None,
    noalias: bool = False,
    helpers: Helpers | None = None,
    table: bool = False,
    again: int = 0,
) -> tuple[Code, str]:
    """Return the machine code of a function and where it came from.

    ``params`` has the type code of every parameter. Without ``result`` the code has the kernel
    ABI; with it (``"i8"``), the code is a C function of these parameters. With ``table`` it is one
    of a pointer to words that hold them; such a function tests its accesses itself, and if it returns
    ``AGAIN`` the function at address ``again``, which takes the words, returns in its place.
    """
    helpers = _used(source, helpers) if helpers else {}
    if bounds.ON and not table:
        source, params = bounds.instrumented(source, name, params, result)
    kind = f"{result} table {bool(again)}" if table else result
    key = _key(source, name, params, kind, noalias, helpers)
    code = _loaded.get(key)
    if code is not None:
        return code, "memory"
    imports = scipy_scalars.imports(helpers) | ({"nbgrad_again": again} if again else {})
    with forks.compiling:
        code = _loaded.get(key)
        if code is not None:
            return code, "memory"
        symbol = f"nbgrad_{key}"
        code, origin = _from_disk(key, symbol, imports), "disk"
        if code is None:
            request = Request(
                key, symbol, source, name, params, result, noalias, helpers, table, bool(again)
            )
            if _wanted.requests is not None:
                _wanted.requests[key] = request
                return Code(symbol, 0, None), "wanted"
            with lljit.uninterrupted(), quiet.numba():
                lowering = load("nbgrad.machine.object_code")
                data, needs = lowering.build(request)
                code = _load_new(request, data, needs, imports)
                origin = "compiled"
        return _keep(key, code), origin


def at_once(source: str, name: str, params: tuple[str, ...], **options: Any) -> Code:
    """Machine code that other machine code is linked with: there at once, even in an attempt."""
    before, _wanted.requests = _wanted.requests, None
    try:
        return native(source, name, params, result="i8", **options)[0]
    finally:
        _wanted.requests = before


bounds.made_by(at_once)


def attempt(make: Callable[[], Made]) -> tuple[Made | None, list[Request]]:
    """Call *make* without compiling anything: return its result, or what it lacks.

    What it makes while something is missing holds no address and must not be run or kept.
    """
    before = _wanted.requests, _wanted.made
    _wanted.requests, _wanted.made = {}, {}
    try:
        made: Made | None = make()
    except Absent:
        made = None
    finally:
        requests = list(_wanted.requests.values())
        _wanted.requests, _wanted.made = before
    return (None if requests else made), requests


def lacking() -> bool:
    """Whether an attempt is being made, and something was missing already."""
    return bool(_wanted.requests)


def remembered(function: Callable[..., Made]) -> Callable[..., Made]:
    """``functools.cache`` for what holds machine code; what may lack some is kept for an attempt."""
    found: dict[tuple[Any, ...], Made] = {}

    @functools.wraps(function)
    def call(*args: Any) -> Made:
        if args in found:
            return found[args]
        attempted = {} if _wanted.made is None else _wanted.made
        if (function, args) in attempted:
            made: Made = attempted[function, args]
            return made
        result = function(*args)
        if not lacking():
            return found.setdefault(args, result)
        attempted[function, args] = result  # like all of the attempt, not to be run
        return result

    return call


def deliver(request: Request, data: bytes, needs: tuple[str, ...]) -> Code | None:
    """Link and cache what another process compiled; None if it cannot be linked here."""
    imports = scipy_scalars.imports(request.helpers)
    with forks.compiling:
        code = _loaded.get(request.key)
        if code is None:
            try:
                code = _load_new(request, data, needs, imports)
            except lljit.LinkError:  # it calls what only Numba, in its own process, provides
                return None
            _keep(request.key, code)
        return code


def _from_disk(key: str, symbol: str, imports: dict[str, int]) -> Code | None:
    data = default_cache().load(key)
    if data is None:
        return None
    try:
        return Code(symbol, *loading.load(data, symbol, imports))
    except lljit.LinkError:
        default_cache().discard(key)
        return None


def _load_new(
    request: Request, data: bytes, needs: tuple[str, ...], imports: dict[str, int]
) -> Code:
    """Load new object code, and cache it if it needs but the C library, and SciPy's functions."""
    symbol = request.symbol
    try:
        code = Code(symbol, *loading.load(data, symbol, imports))
    except lljit.LinkError:
        # Numba's own run-time functions are known to LLVM by address only.
        resolve = lljit.llvm().address_of_symbol
        imports = imports | {need: address for need in needs if (address := resolve(need))}
        try:
            return Code(symbol, *loading.load(data, symbol, imports))
        except lljit.LinkError as error:
            missing = ", ".join(need for need in needs if need not in imports)
            raise lljit.LinkError(
                f"{error}. It calls functions that are neither in this process's C library nor "
                f"in Numba: one of {missing}."
            ) from None
    default_cache().store(request.key, data)
    return code


def compile_kernel(
    source: str,
    name: str,
    signature: tuple[str, ...],
    *,
    noalias: bool = False,
    helpers: Helpers | None = None,
) -> Kernel:
    r"""Compile one kernel, or fetch it from the cache.

    Parameters
    ----------
    source : str
        Python text of one function ``def name(lo, hi, a0, a1, ...)``.
    signature : tuple of str
        Type codes of ``a0, a1, ...``: ``"f8*"``, ``"i4"``, ``"b1*"`` ... A scalar takes one word
        of the argument table, so complex scalars are passed by pointer.
    noalias : bool
        Promise that no pointer reaches memory that another one writes.
    helpers : mapping of str to function, optional
        Plain Python functions of scalars that the source may call.

    Returns
    -------
    Kernel

    Raises
    ------
    LinkError
        If the code calls a function that does not exist in this process.

    Examples
    --------
    >>> import numpy as np
    >>> text = "def double(lo, hi, x):\n    for i in range(lo, hi):\n        x[i] *= 2.0"
    >>> kernel = compile_kernel(text, "double", ("f8*",))
    >>> x = np.ones(3)
    >>> kernel(0, 3, np.array([x.ctypes.data]))
    >>> x
    array([2., 2., 2.])
    """
    started = time.perf_counter()
    if "c16" in signature or "c8" in signature:
        raise TypeError(f"kernel {name}: a complex scalar is two words; pass a pointer to it")
    code, origin = native(source, name, ("i8", "i8", *signature), noalias=noalias, helpers=helpers)
    elapsed = 1e3 * (time.perf_counter() - started)
    return Kernel(name, code.symbol, code.address, code, origin, elapsed)


def is_cached(
    source: str,
    name: str,
    signature: tuple[str, ...],
    *,
    noalias: bool = False,
    helpers: Helpers | None = None,
) -> bool:
    """Return whether :func:`compile_kernel` would return without compiling."""
    used, params = _used(source, helpers) if helpers else {}, ("i8", "i8", *signature)
    if bounds.ON:
        source, params = bounds.instrumented(source, name, params, None)
    key = _key(source, name, params, None, noalias, used)
    return key in _loaded or default_cache().contains(key)
