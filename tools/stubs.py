"""Type stubs of the names that are made when asked for: writes the ``.pyi`` files of namespaces.

    python tools/stubs.py --write

Names and signatures are read from the modules as they are at run time, so completion, mypy and
pyright see what a user gets; a test compares.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

import nbgrad
from nbgrad.tensors import naming
from nbgrad.tensors.buffers import Buffers
from nbgrad.tensors.conversion import Conversions
from nbgrad.tensors.methods import Methods
from nbgrad.tensors.operators import Operators
from nbgrad.tensors.tensor import Tensor

SOURCE = Path(nbgrad.__file__).parent
HEAD = "# Made by `python tools/stubs.py --write` from the names at run time; a test compares.\n"
MODULES = ["", "fft", "functional", "interpolate", "linalg", "numpy", "numpy.fft", "numpy.linalg"]
MODULES += ["signal", "special", "stats"]
# What annotations may name; all else is Any.
IMPORT = {
    "Any": "from typing import Any",
    "Callable": "from collections.abc import Callable",
    "Iterable": "from collections.abc import Iterable",
    "Iterator": "from collections.abc import Iterator",
    "NamedTuple": "from typing import NamedTuple",
    "Sequence": "from collections.abc import Sequence",
    "Tensor": "from nbgrad.tensors.tensor import Tensor",
    "np": "import numpy as np",
    "numpy": "import numpy",
}
# Whose functions a module has, too.
SHARED = {
    "nbgrad": "nbgrad.numpy",
    "nbgrad.numpy.linalg": "nbgrad.linalg",
    "nbgrad.numpy.fft": "nbgrad.fft",
}
# Aliases that the vocabulary writes, in words that need no import.
SPELLED = {
    "ArrayLike": "Any",
    "Axis": "int | tuple[int, ...] | None",
    "Axes": "int | Sequence[int] | None",
    "Shape": "int | Sequence[int]",
}
GENERIC = {"dict": "dict[Any, Any]", "tuple": "tuple[Any, ...]"}
BUILTIN = {"int", "float", "str", "bool", "complex", "bytes", "None", "tuple", "list", "dict"}
BUILTIN |= {"type", "object", "dtype"}
WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


def path_of(module: str) -> Path:
    """Where the stub of ``nbgrad.<module>`` lies: beside its source."""
    place = SOURCE.joinpath(*module.split(".")) if module else SOURCE
    return place / "__init__.pyi" if place.is_dir() else place.with_suffix(".pyi")


class Stub:
    """The stub of ``nbgrad.<module>``."""

    def __init__(self, module: str) -> None:
        self.name = f"nbgrad.{module}".rstrip(".")
        self.held = importlib.import_module(self.name)
        listed = [n for n in dir(self.held) if n.isidentifier() and not n.startswith("_")]
        # Dtypes that are not in __all__, because Python's own types have their names.
        self.shown = sorted({*listed, *(nbgrad.tensors.dtypes.__all__ if not module else ())})
        self.imports: set[str] = set()
        self.classes: dict[str, str] = {}

    def text(self) -> str:
        """What the file holds."""
        entries = [self.entry(name, getattr(self.held, name)) for name in self.shown]
        body = [e for e in entries if e]
        if self.name == "nbgrad":
            listed = ", ".join(f'"{name}"' for name in sorted(self.held.__all__))
            body = [f"__version__: str\n__all__ = [{listed}]", *body]
        classes = [text for _, text in sorted(self.classes.items())]
        return "\n".join([HEAD, *sorted(self.imports), "", *classes, *body, ""])

    def entry(self, name: str, value: Any) -> str:
        """The lines that declare one name; none where it is imported."""
        if isinstance(value, np.dtype):
            self.imports.add(IMPORT["np"])
            return f"{name}: np.dtype[np.{value.type.__name__}]"
        home = self.home(name, value)
        if home:
            own = value.__name__.rpartition(".")[2]
            self.imports.add(f"from {home} import {own} as {name}" if home != own else IMPORT[own])
        elif inspect.isfunction(value):
            return self.function(name, value)
        elif type(value).__name__ == "Distribution":
            return self.distribution(name, value)
        else:
            kind = type(value).__name__
            return f"{name}: {self.annotation(GENERIC.get(kind, kind), {})}"
        return ""

    def home(self, name: str, value: Any) -> str | None:
        """The module that holds *value* under its own name in its source, or None."""
        own = getattr(value, "__name__", None)
        if own is None:
            return None
        if isinstance(value, types.ModuleType):
            return own.rpartition(".")[0] or own
        shared = SHARED.get(self.name)
        if shared and getattr(importlib.import_module(shared), own, None) is value:
            return shared
        place = getattr(value, "__module__", None) or ""
        if getattr(np, own, None) is value:
            return "numpy"
        held = sys.modules.get(place)
        written = held is not None and held.__dict__.get(own) is value
        return place if written and place not in (self.name, "nbgrad") else None

    def function(self, name: str, value: Any, first: str = "") -> str:
        """The line ``def name(...) -> ...: ...``."""
        signature = inspect.signature(value)
        parameters = list(signature.parameters.values())
        known = getattr(inspect.unwrap(value), "__globals__", {})
        seen: list[str] = [first] if first else []
        for k, p in enumerate(parameters):
            before = [q.kind for q in parameters[:k]]
            if p.kind is p.KEYWORD_ONLY and not {p.KEYWORD_ONLY, p.VAR_POSITIONAL} & {*before}:
                seen.append("*")
            prefix = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
            default = "" if p.default is p.empty else " = ..."
            seen.append(f"{prefix}{p.name}: {self.annotation(p.annotation, known)}{default}")
            last = k + 1 == len(parameters) or parameters[k + 1].kind is not p.kind
            if p.kind is p.POSITIONAL_ONLY and last:
                seen.append("/")
        returned = self.annotation(signature.return_annotation, known)
        return f"def {name}({', '.join(seen)}) -> {returned}: ..."

    def annotation(self, annotation: Any, known: dict[str, Any]) -> str:
        """*annotation* in words that the stub can import; Any where there are none."""
        text = annotation if isinstance(annotation, str) else "Any"
        for alias, spelled in SPELLED.items():
            text = re.sub(rf"\b{alias}\b", spelled, text)
        named = {w: known[w] for w in WORD.findall(text) if inspect.isclass(known.get(w))}
        results = {w: c for w, c in named.items() if issubclass(c, tuple)}
        words = {*WORD.findall(text)}
        if not words <= IMPORT.keys() | BUILTIN | results.keys():
            text, words = "Any", {"Any"}
        self.imports |= {IMPORT[w] for w in words & IMPORT.keys()}
        self.classes |= {w: self.result(w, c) for w, c in results.items() if w in words}
        for word in words & BUILTIN & {*self.shown}:
            self.imports.add("import builtins")
            text = re.sub(rf"(?<![\w.]){word}\b", f"builtins.{word}", text)
        return text

    def result(self, name: str, held: Any) -> str:
        """A named tuple of tensors."""
        self.imports |= {IMPORT["NamedTuple"], IMPORT["Tensor"]}
        return "\n".join(
            [f"class {name}(NamedTuple):", *(f"    {f}: Tensor" for f in held._fields)]
        )

    def distribution(self, name: str, value: Any) -> str:
        """A class of the methods that a distribution has, and the distribution."""
        methods = [
            f"    {self.function(method, getattr(value, method), 'self')}"
            for method in dir(value)
            if not method.startswith("_")
        ]
        return "\n".join([f"class _{name}:", *methods, "", f"{name}: _{name}"])


class Members(Stub):
    """What tables give the class of tensors, as a class that a type checker takes as its base."""

    TABLES = (Operators, Conversions, Buffers, Methods, naming.Named)

    def __init__(self) -> None:
        super().__init__("tensors.tensor")
        self.name = "nbgrad.tensors.spelled"
        naming.spell_all()
        held = {n for table in self.TABLES for n in vars(table)} | naming.spelled()
        self.listed = self.shown = sorted(held & {*vars(Tensor)} - {*vars(object)} - KEPT)
        self.listed += ["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"]
        self.sample = nbgrad.tensor(1.0)

    def text(self) -> str:
        """What the file holds."""
        body = [f"    {line}" for name in self.listed for line in self.member(name).split("\n")]
        head = [HEAD, *sorted(self.imports), ""]
        return "\n".join([*head, "class Spelled:", *body, ""])

    def member(self, name: str) -> str:
        """The lines that declare one member."""
        held = getattr(Tensor, name)
        if isinstance(held, property):
            kind = self.result_of(name, inspect.signature(held.fget).return_annotation)
            given = f"@property\ndef {name}(self) -> {kind}: ..."
            setter = f"\n@{name}.setter\ndef {name}(self, value: Any) -> None: ..."
            return given + (setter if held.fset else "")
        if not callable(held):
            return f"{name}: {type(held).__name__}"
        if name in COMPARISONS:
            return f"def {name}(self, other: object) -> Tensor: ...  # type: ignore[override]"
        if name.startswith("__") and name[2:-2] in OPERATORS:
            self.imports |= {IMPORT["Any"], IMPORT["Tensor"]}
            operand = "" if name in UNARY else ", other: Any"
            return f"def {name}(self{operand}) -> Tensor: ..."
        line = self.function(name, getattr(self.sample, name), "self")
        if name.endswith("_") and not name.startswith("_"):
            line = f"{line.rpartition(' -> ')[0]} -> Tensor: ..."
        # Of two operands: NumPy's keywords, and PyTorch's alpha=.
        return line.replace(": Any, /) ->", ": Any, /, **keywords: Any) ->")

    def annotation(self, annotation: Any, known: dict[str, Any]) -> str:
        """A node is a tensor, where a member returns one."""
        text = re.sub(r"\bNode\b", "Tensor", annotation) if isinstance(annotation, str) else None
        return super().annotation(text, known)

    def result_of(self, name: str, annotation: Any) -> str:
        return "Tensor" if name in ("T", "mT") else self.annotation(annotation, {})


COMPARISONS = {"__eq__", "__ne__"}
UNARY = {"__neg__", "__pos__", "__abs__", "__invert__"}
OPERATORS = {"lt", "le", "gt", "ge", "neg", "pos", "abs", "invert"}
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    OPERATORS |= {_name, f"r{_name}", f"i{_name}"}
for _name in ("and", "or", "xor", "lshift", "rshift"):
    OPERATORS |= {_name, f"r{_name}", f"i{_name}"}
# Not for a type checker, which would allow any name.
KEPT = {
    "__weakref__",
    "__dict__",
    "__qualname__",
    "__getattr__",
    "__dir__",
    "__hash__",
    "__module__",
    "__doc__",
    "__annotations__",
}


def stubs() -> list[Stub]:
    return [*map(Stub, MODULES), Members()]


def own(text: str) -> str:
    """*text* without the names that NumPy gives, which its next version may have more of."""
    return "\n".join(line for line in text.split("\n") if not line.startswith("from numpy import"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files")
    write = parser.parse_args().write
    stale = []
    for stub in stubs():
        text, path = stub.text(), path_of(stub.name.removeprefix("nbgrad").removeprefix("."))
        if write:
            path.write_text(text)
        elif not path.exists() or own(path.read_text()) != own(text):
            stale.append(str(path.relative_to(SOURCE)))
    if stale:
        print(f"not as the names at run time: {', '.join(stale)}; run with --write")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
