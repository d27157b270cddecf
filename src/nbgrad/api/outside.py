"""What a function reads from outside: the state that a trace of it holds for, and its test.

A traced function is not run again, so what it read of closures, globals and attributes of objects
has to be as it was. Numbers and texts are compared, arrays element by element, tensors by the value
that they name, everything else by which object it is, and by what it holds itself. Modules and
classes are taken to stay. Of generators of random numbers it is noticed if the function draws.
"""

from __future__ import annotations

import os
import sys
import weakref
from array import array
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from contextvars import ContextVar
from functools import partial
from types import (
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from nbgrad.api.sameness import (
    Guard,
    alike,
    defined,
    is_iterator,
    is_source,
    same_items,
    source_of,
    unchanged,
)
from nbgrad.core.foreign import is_sparse
from nbgrad.core.lazy import LazyModule
from nbgrad.core.modes import in_library, modes
from nbgrad.core.tree import builder_text
from nbgrad.errors import STATE_OUTSIDE
from nbgrad.tensors.tensor import Tensor

MAX_PLACES = 20_000  # of tests at each call; what reads more is run as it is
FEW = 300  # numbers of a container, which are looked at one by one
# A function with one of these names in it may read any attribute.
_ANY = frozenset(
    {"getattr", "vars", "__dict__", "attrgetter", "asdict", "astuple", "eval", "exec", "globals"}
)
_MAKING = frozenset({"__init__", "__new__", "__repr__", "__str__", "__post_init__", "__reduce__"})
_NUMBERS = (int, float, complex, str, bytes, type(None), np.generic, np.dtype)
_CONTAINERS: tuple[type, ...] = (
    *(list, tuple, dict, deque, set, frozenset),
    *(ChainMap, UserDict, UserList, MappingProxyType),
)
_OTHERS = frozenset(sys.stdlib_module_names) | {"nbgrad", "numpy", "numba", "scipy"}
_FUNCTIONS = (FunctionType, MethodType, partial)
dis = LazyModule("dis")
_BUILTIN = os.__file__  # what belongs to no package of its own
_FAILURES = (LookupError, AttributeError, ValueError, TypeError, NameError)


class Reader:
    """The walk over what functions read, from the functions down.

    Which attributes count is decided by the names in the functions met, so the walk is repeated
    until it meets no further one. Each of ``tests`` is an expression in the names of ``space``.
    With *tracking* a tensor that requires grad may be another one later, or have another value:
    ``tracked`` has each of them, and how it is found.
    """

    def __init__(self, roots: Iterable[Any], tracking: bool = False) -> None:
        roots = list(roots)
        self.tracking = tracking
        self.package = _package_of(roots[0]) if roots else _BUILTIN
        self.codes: set[CodeType] = set()
        self.names: frozenset[str] = frozenset()
        known: frozenset[str] | None = None
        while known != self.names:
            known = self.names
            self.space: dict[str, Any] = {"failures": _FAILURES}
            self.tests: list[str] = []
            self.labels: dict[str, str] = {}  # of cells and tests, for those who show them
            self.seen: dict[int, Any] = {}  # what is made on the way has to live as long
            self.sources: list[Any] = []
            self.tracked: dict[Any, tuple[Tensor, str]] = {}
            for root in roots:
                self._look(root)
            self.names = names_read(self.codes)

    def guard(self) -> Guard | None:
        """The test that everything is as it was at the walk; None if there is nothing to test.

        What has changed since then already was changed by the function itself, and is left out.
        """
        kept = self.tests
        if kept and not self._holds(self._defined(kept)):  # to look at each alone takes far longer
            kept = [test for test in kept if self._holds(test)]
            self._defined(kept)
        self.tests, self.seen = kept, {}
        return self.space["guard"] if kept else None

    def guarded_builder(self, structure: Any, scalars: Collection[int]) -> Callable[[Any], Any]:
        """Return ``core.tree.builder``, but that it answers with the leaves unless the guard holds.

        In one function with the building the test costs half of what a call of its own would.
        """
        text, names = builder_text(structure, scalars)
        test = "guard()" if len(self.tests) > FEW else " and ".join(self.tests)
        lines = ["def build(x):", "    try:", f"        if not ({test}):", "            return x"]
        lines += ["    except failures:", "        return x", f"    return {text}"]
        return defined("build", lines, {**self.space, **names})

    def _defined(self, tests: list[str]) -> str:
        """Define the function that makes all *tests*; return its call."""
        lines = ["def guard():", "    try:", f"        return {' and '.join(tests) or True}"]
        lines += ["    except failures:", "        return False"]
        self.space["guard"] = defined("guard", lines, self.space)
        return "guard()"

    def _holds(self, test: str) -> bool:
        try:
            return bool(eval(test, self.space))
        except Exception:  # of a descriptor of the user's
            return False

    def _named(self, value: Any, label: str = "") -> str:
        name = f"v{len(self.space)}"
        if label:
            self.labels[name] = label
        self.space[name] = value
        return name

    @property
    def full(self) -> bool:
        """Whether there is too much to test at each call."""
        return len(self.tests) > MAX_PLACES

    def _look(self, x: Any, path: str = "") -> None:
        """Add the test that *x*, found at *path*, is as it is now."""
        if isinstance(x, _NUMBERS):
            if path:  # 1 and True and 1.0 are equal, and a NaN does not equal itself
                v, kind = self._named(x), self._named(x.__class__)
                self.tests.append(
                    f"({path} is {v} or {path}.__class__ is {kind} and {path} == {v})"
                )
        elif isinstance(x, Tensor):
            self._look_into_tensor(x, path)
        elif isinstance(x, np.ndarray):
            same = [f"{path} is {self._named(x)}"] if path else []
            self.tests += [*same, f"{self._named(unchanged(x), path)}()"]
        elif isinstance(x, ModuleType):
            if id(x) not in self.seen:
                self.seen[id(x)] = x
                self._look_into_module(x)
        else:
            if path:
                self.tests.append(f"{path} is {self._named(x)}")
            if id(x) not in self.seen and not self.full:
                self.seen[id(x)] = x
                self._look_into(x)

    def _look_into_tensor(self, x: Tensor, path: str) -> None:
        node, held = x._node, path or self._named(x)
        if not (node.requires_grad and self.tracking):
            same = [f"{path} is {self._named(x)}"] if path else []
            self.tests += [*same, f"{held}._node is {self._named(node)}"]
        elif node in self.tracked:  # where there is one tensor, there is one later
            self.tests.append(f"{held}._node is {self.tracked[node][1]}._node")
        else:
            self.tracked[node] = x, held
            self.tests.append(f"{held}.__class__ is {self._named(x.__class__)}")
            self.tests.append(f"{held}._node.aval is {self._named(node.aval)}")
            self.tests.append(f"{held}._node.requires_grad")
        if "grad" in self.names and id(x) not in self.seen:
            self.seen[id(x)] = x
            self._look(x.grad, f"{held}.grad")

    def tracked_now(self, places: Collection[int] | None = None) -> Callable[[], list[Tensor]]:
        """The function that finds what is where the tracked tensors were: all, or some of them."""
        paths = enumerate(path for _, path in self.tracked.values())
        found = ", ".join(path for k, path in paths if places is None or k in places)
        return eval(f"lambda: [{found}]", self.space)  # type: ignore[no-any-return]

    def test_recording(self, flag: bool) -> None:
        """Add the test that operations are recorded for differentiation as they are now."""
        self.tests.append(f"{self._named(modes)}.grad is {flag}")

    def _look_into(self, x: Any) -> None:
        if is_iterator(x):
            raise TypeError(STATE_OUTSIDE.format(kind=type(x).__qualname__))
        if is_source(x):
            self.sources.append(x)
        elif (drawn := source_of(x)) is not None:
            self._look(drawn)
        elif isinstance(x, FunctionType):
            self._look_into_function(x)
        elif isinstance(x, MethodType):
            self._look(x.__self__)
            self._look(x.__func__)
        elif isinstance(x, partial):
            for part in (x.func, x.args, x.keywords):
                self._look(part)
        elif "__wrapped__" in _vars(x):
            self._look(x.__wrapped__)
            if "_rules" in _vars(x):  # that users wrote for its derivative
                self._look(x._rules, f"{self._named(x)}._rules")
        elif isinstance(x, type):
            self._look_into_class(x)
        elif (same := alike(x)) is not None:
            self.tests.append(f"{self._named(same)}()")
        elif isinstance(x, (array, bytearray)):
            self.tests.append(f"bytes({self._named(x)}) == {self._named(bytes(x))}")
        elif is_sparse(type(x)):
            for name, part in vars(x).items():
                if isinstance(part, (np.ndarray, tuple)):
                    self._look(part, f"{self._named(x)}.__dict__[{name!r}]")
        elif isinstance(x, ContextVar):
            self._look(x.get(None), f"{self._named(x)}.get(None)")
        elif isinstance(x, weakref.ref):
            self._look(x(), f"{self._named(x)}()")
        else:
            if isinstance(x, _CONTAINERS):
                self._look_into_container(x)
            if is_users(type(x)):
                self._look_into_object(x)

    def _look_into_function(self, f: FunctionType) -> None:
        if not self._is_of_user(f.__code__.co_filename):
            for cell in f.__closure__ or ():  # what a library's function wraps may be the user's
                content = content_of(cell)
                if isinstance(content, _FUNCTIONS) or "__wrapped__" in _vars(content):
                    self._look(content)
            return
        self.codes.add(f.__code__)
        for cell, name in zip(f.__closure__ or (), f.__code__.co_freevars, strict=True):
            if (content := content_of(cell)) is not cell:
                self._look(content, f"{self._named(cell, name)}.cell_contents")
        space = f.__globals__
        for name in names_read([f.__code__]) & space.keys():
            if not is_iterator(space[name]) or _is_global(f.__code__, name):
                self._look(space[name], f"{self._named(space)}[{name!r}]")
        self._look(f.__defaults__)
        self._look(f.__kwdefaults__)

    def _look_into_container(self, x: Any) -> None:
        held = self._named(x)
        if isinstance(x, Set):
            self.tests.append(f"{self._named(partial(same_items, x, tuple(x)))}()")
            for element in x:
                self._look(element)
            return
        keys = list(x) if isinstance(x, Mapping) else range(len(x))
        few = len(x) <= FEW or not all(
            isinstance(v, _NUMBERS) for v in (x.values() if isinstance(x, Mapping) else x)
        )
        if not few:
            before = tuple(x.items() if isinstance(x, Mapping) else x)
            self.tests.append(f"{self._named(partial(same_items, x, before))}()")
        else:
            ordered = f"[*{held}] == {self._named(keys)}"
            self.tests.append(ordered if isinstance(x, Mapping) else f"len({held}) == {len(x)}")
        for key in keys:
            if isinstance(x, Mapping):
                self._look(key)
            if few:
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
        """Add the tests of what a class shows of the names read."""
        if not is_users_class(cls):
            return
        held = self._named(cls)
        for name, raw in shared_by(cls, self.names):
            if isinstance(raw, MemberDescriptorType):
                continue
            self._look(raw, f"{held}.{name}")
            for part in ("__func__", "fget", "func"):  # of a method, a property, a cached one
                self._look(getattr(raw, part, None))
        if type(cls) is not type:
            self._look(type(cls))

    def _look_into_object(self, x: Any) -> None:
        held, inner = self._named(x), _vars(x)
        self.tests.append(f"{held}.__class__ is {self._named(type(x))}")
        if everything := not _ANY.isdisjoint(self.names):
            self.tests.append(f"len({held}.__dict__) == {len(inner)}")
        for name, value in list(inner.items()):
            if everything or name in self.names:
                self._look(value, f"{held}.__dict__[{name!r}]")
        shared = dict(shared_by(type(x), self.names))
        for name, raw in shared.items():
            if isinstance(raw, MemberDescriptorType):  # a slot
                if hasattr(x, name):
                    self._look(getattr(x, name), f"{held}.{name}")
            elif name in self.names and hasattr(x, "__dict__") and name not in inner:
                self.tests.append(f"{name!r} not in {held}.__dict__")
        if id(type(x)) not in self.seen:
            self.seen[id(type(x))] = type(x)
            self._look_into_class(type(x))


def _package_of(f: Any) -> str:
    """The directory of the installed package that *f* belongs to, unless we know the package."""
    while not isinstance(f, FunctionType):
        inner = getattr(f, "__wrapped__", None) or getattr(f, "__func__", None)
        f = inner or getattr(f, "func", None) or type(f).__call__
        if not isinstance(f, _FUNCTIONS) and "__wrapped__" not in _vars(f):
            return _BUILTIN
    name = (f.__module__ or "").split(".")[0]
    if name in _OTHERS:  # which keep what they have worked out; it never changes a result
        return _BUILTIN
    path = getattr(sys.modules.get(name), "__path__", None)
    return path[0] if path else f.__code__.co_filename


def names_read(codes: Iterable[CodeType]) -> frozenset[str]:
    """Names of globals and attributes in *codes* and in the functions that they make."""
    found: set[str] = set()
    texts: set[str] = set()
    for code in _with_inner(codes):
        found.update(code.co_names)
        texts.update(c for c in code.co_consts if isinstance(c, str))
    return frozenset(found if _ANY.isdisjoint(found) else found | texts)


def _with_inner(codes: Iterable[CodeType]) -> Iterator[CodeType]:
    """*codes*, and those of the functions that they make."""
    stack = list(codes)
    while stack:
        yield (code := stack.pop())
        stack += [c for c in code.co_consts if isinstance(c, CodeType)]


def _is_global(code: CodeType, name: str) -> bool:
    """Whether *name* is that of a global in *code*, and not of an attribute alone."""
    return any(
        i.argval == name and i.opname in ("LOAD_GLOBAL", "LOAD_NAME")
        for part in _with_inner([code])
        for i in dis.get_instructions(part)
    )


def shared_by(cls: type, names: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """What a class shows of *names*, and its functions that operators call."""
    met: set[str] = set()
    for base in cls.__mro__[:-1]:
        for name, raw in vars(base).items():
            special = isinstance(raw, FunctionType) and name.startswith("__")
            if name in names or (special and name not in _MAKING):
                if name not in met or isinstance(raw, FunctionType):  # super() finds the others
                    yield name, raw
                met.add(name)


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
    module: Any = cls.__module__  # which Cython's classes of methods describe, and do not have
    root = module.split(".")[0] if isinstance(module, str) else "builtins"
    return root not in _OTHERS or root == "types"


def content_of(cell: Any) -> Any:
    """What a closure's cell holds; the cell itself if nothing."""
    try:
        return cell.cell_contents
    except ValueError:
        return cell
