"""The layers of docs/architecture.md, read from the import statements of the source."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "nbgrad"
FILES = sorted(ROOT.rglob("*.py"))

# A module imports from its own or a lower layer. What is not listed is a face: a name that users
# import. The vocabulary looks at values and makes tensors, so it stands beside both for now.
FLOORS = (
    ("errors", "config"), ("core",), ("ops",), ("transforms",), ("program",), ("machine",), ("backends",),
    ("twins",), ("engine", "tensors", "vocabulary"), ("api",),
)  # fmt: skip
LAYERS = {name: k for k, floor in enumerate(FLOORS) for name in floor}
FACES = len(FLOORS)
LAYERS |= {"__init__": FACES + 1, "examples": FACES + 2}

COMPILERS = {"numba", "llvmlite"}
# Imported where they are needed: they are optional, or cost more start-up time than all of nbgrad.
LATE_PACKAGES = COMPILERS | {"cupy", "dask", "matplotlib", "scipy"}
MAX_LINES = 400
MAX_BODY = 40


def name_of(path: Path) -> str:
    """Dotted name of a module inside the package, ``core.tape``; the package is ``__init__``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): ast.parse(path.read_text(), str(path)) for path in FILES}


def layer(module: str) -> int:
    return LAYERS.get(module.split(".")[0], FACES)


def targets(node: ast.AST, module: str) -> Iterator[str]:
    """Absolute names that an import statement imports; ``from a import b`` yields ``a.b``."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{module}:{node.lineno}: write imports absolutely"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def internal(target: str) -> str | None:
    """The module of nbgrad that holds *target*, or None when it is somebody else's."""
    root, _, rest = target.partition(".")
    if root != "nbgrad":
        return None
    while rest and rest not in MODULES:
        rest = rest.rpartition(".")[0]
    return rest or "__init__"


def imports(module: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(MODULES[module]):
        yield from ((getattr(node, "lineno", 0), target) for target in targets(node, module))


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_the_package_was_found() -> None:
    assert {"errors", "config", "core.tape"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    upward = [
        f"line {line}: {target}"
        for line, target in imports(module)
        if (held := internal(target)) is not None and layer(held) > layer(module)
    ]
    assert not upward, f"nbgrad.{module} imports from a higher layer: {upward}"


@pytest.mark.parametrize("module", MODULES)
def test_only_the_machine_imports_the_compilers(module: str) -> None:
    found = [t for _, t in imports(module) if t.split(".")[0] in COMPILERS]
    assert not found or module.split(".")[0] == "machine", f"nbgrad.{module} imports {found}"


@pytest.mark.parametrize("module", MODULES)
def test_functions_import_only_late_packages(module: str) -> None:
    late = [
        f"{function.name}, line {node.lineno}: {target}"
        for function in functions(module)
        for node in ast.walk(function)
        for target in targets(node, module)
        if target.split(".")[0] not in LATE_PACKAGES
    ]
    assert not late, f"nbgrad.{module} imports inside functions: {late}"


def test_no_import_cycles() -> None:
    """Also those that Python tolerates; a package that imports its own parts is no cycle."""
    graph = {
        module: {
            held
            for line, target in imports(module)
            if (held := internal(target)) not in (None, module)
            and not str(held).startswith(f"{module}.")
            and line not in for_types_only(module)
        }
        for module in MODULES
    }
    graphlib.TopologicalSorter(graph).prepare()


def for_types_only(module: str) -> set[int]:
    """Lines under ``if TYPE_CHECKING:``, which never run."""
    guards = [
        node
        for node in MODULES[module].body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {line for guard in guards for line in range(guard.lineno, (guard.end_lineno or 0) + 1)}


@pytest.mark.parametrize("module", MODULES)
def test_sizes(module: str) -> None:
    """Files and functions stay readable in one go; docstrings do not count for functions."""
    body = MODULES[module].body
    lines = max((node.end_lineno or 0 for node in body), default=0)
    assert lines <= MAX_LINES, f"nbgrad.{module} has {lines} lines: split it by idea"
    long = [f"{f.name}: {n}" for f in functions(module) if (n := body_lines(f)) > MAX_BODY]
    assert not long, f"nbgrad.{module} has functions of over {MAX_BODY} lines: {long}"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first, *rest = function.body
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = rest[0].lineno if documented and rest else first.lineno
    return (function.end_lineno or start) - start + 1
