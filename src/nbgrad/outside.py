"""What a function reads from outside: the state that a trace of it holds for, and its test.

A traced function is not run again, so what it read of closures, globals and attributes of objects
has to be as it was. Numbers and texts are compared, arrays element by element, tensors by the value
that they name. Modules, classes and functions are taken to stay: what they hold themselves is looked
at. Past some hundreds of places nothing more is looked at.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import is_
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

from nbgrad.core.modes import in_library
from nbgrad.tensor import Tensor

Guard = Callable[[], bool]
MAX_PLACES = 300
CHUNK = 1 << 16  # bytes of an array that are compared at a time, so that they stay in the cache
# A function with one of these names in it may read any attribute.
_ANY = frozenset(
    {"getattr", "vars", "__dict__", "attrgetter", "asdict", "astuple", "eval", "exec"}
)
_MAKING = frozenset({"__init__", "__new__", "__repr__", "__str__", "__post_init__", "__reduce__"})
_NUMBERS = (int, float, complex, str, bytes, type(None))
_OTHERS = frozenset(sys.stdlib_module_names) | {"nbgrad", "numpy", "numba", "scipy"}
_CLASS_STATE = (np.ndarray, Tensor, *_NUMBERS)
_BUILTIN = os.__file__  # what belongs to no package of its own
_SHARED = (FunctionType, MemberDescriptorType, np.ndarray, Tensor, *_NUMBERS)
_FAILURES = (LookupError, AttributeError, ValueError, TypeError)


class Reader:
    """The walk over what functions read, from the functions down.

    Which attributes count is decided by the names in the functions met, so the walk is repeated
    until it meets no further one. Each of ``tests`` is an expression in the names of ``space``.
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        roots = list(roots)
        self.package = _package_of(roots[0]) if roots else _BUILTIN
        self.codes: set[CodeType] = set()
        self.names: frozenset[str] = frozenset()
        known = -1
        while known < len(self.codes):
            known = len(self.codes)
            self.space: dict[str, Any] = {"failures": _FAILURES}
            self.tests: list[str] = []
            self.seen: set[int] = set()
            for root in roots:
                self._look(root)
            self.names = names_read(self.codes)

    def guard(self) -> Guard | None:
        """The test that everything is as it was at the walk; None if there is nothing to test.

        What has changed since then already was changed by the function itself, and is left out.
        """
        kept = [test for test in self.tests if self._holds(test)]
        if not kept:
            return None
        lines = ["def guard():", "    try:", f"        return {' and '.join(kept)}"]
        exec("\n".join([*lines, "    except failures:", "        return False"]), self.space)
        return self.space["guard"]  # type: ignore[no-any-return]

    def _holds(self, test: str) -> bool:
        try:
            return bool(eval(test, self.space))
        except _FAILURES:
            return False

    def _named(self, value: Any) -> str:
        name = f"v{len(self.space)}"
        self.space[name] = value
        return name

    def _test(self, *tests: str) -> None:
        if len(self.tests) < MAX_PLACES:
            self.tests += tests

    def _look(self, x: Any, path: str = "") -> None:
        """Add the test that *x*, found at *path*, is as it is now."""
        if isinstance(x, _NUMBERS):
            if path:  # 1 and True and 1.0 are equal, and a NaN does not equal itself
                v, kind = self._named(x), self._named(x.__class__)
                self._test(f"({path} is {v} or {path}.__class__ is {kind} and {path} == {v})")
        elif isinstance(x, (Tensor, np.ndarray)):
            held = path or self._named(x)
            same = [f"{path} is {self._named(x)}"] if path else []
            if isinstance(x, Tensor):
                self._test(*same, f"{held}._node is {self._named(x._node)}")
            else:
                self._test(*same, f"{self._named(unchanged(x))}()")
        elif id(x) not in self.seen and len(self.tests) < MAX_PLACES:
            self.seen.add(id(x))
            self._look_into(x, path)

    def _look_into(self, x: Any, path: str) -> None:
        if isinstance(x, (FunctionType, MethodType, partial)) or "__wrapped__" in _vars(x):
            self._look_into_function(x)
            return
        if isinstance(x, ModuleType):
            self._look_into_module(x)
            return
        if isinstance(x, type):
            self._look_into_class(x)
            return
        container = isinstance(x, (list, tuple, dict, deque))
        if container or is_users(type(x)):
            if path:
                self._test(f"{path} is {self._named(x)}")
            (self._look_into_container if container else self._look_into_object)(x)

    def _look_into_function(self, f: Any) -> None:
        while isinstance(f, MethodType) or "__wrapped__" in _vars(f):
            if isinstance(f, MethodType):  # which shows the attributes of its function
                self._look(f.__self__)
                f = f.__func__
            else:
                f = f.__wrapped__
        if isinstance(f, partial):
            for part in (f.func, f.args, f.keywords):
                self._look(part)
        if not isinstance(f, FunctionType) or not self._is_of_user(f.__code__.co_filename):
            return
        self.codes.add(f.__code__)
        for cell in f.__closure__ or ():
            if (content := content_of(cell)) is not cell:
                self._look(content, f"{self._named(cell)}.cell_contents")
        space = f.__globals__
        for name in names_read([f.__code__]) & space.keys():
            self._look(space[name], f"{self._named(space)}[{name!r}]")
        self._look(f.__defaults__)
        self._look(f.__kwdefaults__)

    def _look_into_container(self, x: Any) -> None:
        held = self._named(x)
        if len(x) > MAX_PLACES:
            before = tuple(x.items() if isinstance(x, dict) else x)
            self._test(f"{self._named(partial(_same_items, x, before))}()")
            return
        self._test(f"len({held}) == {len(x)}")
        for key in x if isinstance(x, dict) else range(len(x)):
            self._look(x[key], f"{held}[{self._named(key)}]")

    def _is_of_user(self, filename: str) -> bool:
        """Whether code of that file belongs to the user, or to the package of the first function."""
        return not in_library(filename) or filename.startswith(self.package)

    def _look_into_module(self, module: Any) -> None:
        # One without a file is built into Python, or made by the user.
        file = getattr(module, "__file__", None) or ""
        if module.__name__.split(".")[0] not in _OTHERS and self._is_of_user(file):
            held = self._named(vars(module))
            for name in sorted(self.names & vars(module).keys()):
                self._look(vars(module)[name], f"{held}[{name!r}]")

    def _look_into_class(self, cls: type) -> None:
        for base, name, value in shared_by(cls, self.names) if is_users_class(cls) else ():
            if not isinstance(value, _CLASS_STATE):
                self._look(value)
            elif name in self.names:
                self._look(value, f"{self._named(base)}.__dict__[{name!r}]")

    def _look_into_object(self, x: Any) -> None:
        everything = not _ANY.isdisjoint(self.names)
        held = self._named(x)
        inner = _vars(x)
        if everything:
            self._test(f"len({held}.__dict__) == {len(inner)}")
        for name, value in list(inner.items()):
            if everything or name in self.names:
                self._look(value, f"{held}.__dict__[{name!r}]")
        for base, name, value in shared_by(type(x), self.names):
            if isinstance(value, MemberDescriptorType):  # a slot
                if hasattr(x, name):
                    self._look(getattr(x, name), f"{held}.{name}")
            elif isinstance(value, _CLASS_STATE):
                if name not in inner and name in self.names:
                    self._test(
                        f"{name!r} not in {held}.__dict__" if hasattr(x, "__dict__") else "1"
                    )
                    self._look(value, f"{self._named(base)}.__dict__[{name!r}]")
            else:
                self._look(value)


def _package_of(f: Any) -> str:
    """The directory of an installed package that *f* belongs to."""
    while not isinstance(f, FunctionType):
        inner = getattr(f, "__wrapped__", None) or getattr(f, "__func__", None)
        f = inner or getattr(f, "func", None) or type(f).__call__
        if not isinstance(f, (FunctionType, MethodType, partial)) and "__wrapped__" not in _vars(
            f
        ):
            return _BUILTIN
    root = sys.modules.get((f.__module__ or "").split(".")[0])
    path = getattr(root, "__path__", None)
    return path[0] if path else f.__code__.co_filename


def names_read(codes: Iterable[CodeType]) -> frozenset[str]:
    """Names of globals and attributes in *codes* and in the functions that they make."""
    found: set[str] = set()
    stack = list(codes)
    while stack:
        code = stack.pop()
        found.update(code.co_names)
        stack += [c for c in code.co_consts if isinstance(c, CodeType)]
    return frozenset(found)


def shared_by(cls: type, names: frozenset[str]) -> Iterator[tuple[type, str, Any]]:
    """What a class and its bases have of *names*, and their functions that operators call."""
    for base in cls.__mro__[:-1]:
        for name, value in vars(base).items():
            if name in names or (name.startswith("__") and name not in _MAKING):
                for part in ("__func__", "fget", "func"):  # of a method, a property, a cached one
                    value = getattr(value, part, None) or value
                if isinstance(value, _SHARED):
                    yield base, name, value


def _vars(x: Any) -> dict[str, Any]:
    held = getattr(x, "__dict__", None)
    return held if isinstance(held, dict) else {}


def attributes(x: Any) -> dict[str, Any] | None:
    """The attributes of an instance of a class of the user's; None of anything else."""
    return _vars(x) if is_users(type(x)) and hasattr(x, "__dict__") else None


def is_users(cls: type) -> bool:
    """Whether *cls* is a class of the user's, written in Python."""
    return not issubclass(cls, type) and is_users_class(cls)


def is_users_class(cls: type) -> bool:
    """Whether a class, or a class of classes, is written in Python and not by a library we know."""
    root = cls.__module__.split(".")[0]
    return root not in _OTHERS or root == "types"


def content_of(cell: Any) -> Any:
    """What a closure's cell holds; the cell itself if nothing."""
    try:
        return cell.cell_contents
    except ValueError:
        return cell


def unchanged(array: np.ndarray[Any, Any]) -> Guard:
    """Return the test that the elements of *array* are as they are now.

    Those of an array that nobody can write to are not looked at.
    """
    if frozen(array):
        return lambda: not array.flags.writeable
    if array.dtype.hasobject:
        return lambda: True  # no array of numbers: nothing of it can be on a tape
    shape, dtype, strides = array.shape, array.dtype, array.strides
    if array.flags.c_contiguous:
        flat = np.asarray(array).reshape(-1).view(np.uint8)
        parts = [flat[k : k + CHUNK] for k in range(0, flat.size, CHUNK)]
    else:
        parts = [array]
    pairs = [(part.tobytes, part.tobytes()) for part in parts]
    now, before = pairs[0] if pairs else (array.tobytes, b"")
    rest = pairs[1:]

    def same() -> bool:
        return (
            array.shape == shape
            and array.dtype is dtype
            and array.strides == strides
            and now() == before
            and (not rest or all(now() == before for now, before in rest))
        )

    return same


def frozen(array: Any) -> bool:
    """Whether no array that shares the memory of *array* can be written to."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None or isinstance(array, bytes)


def _same_items(x: Any, before: tuple[Any, ...]) -> bool:
    if len(x) != len(before):
        return False
    if isinstance(x, dict):
        return all(k is j and v is w for (k, v), (j, w) in zip(x.items(), before, strict=True))
    return all(map(is_, x, before))
