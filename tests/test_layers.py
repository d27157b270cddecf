"""The layers of docs/architecture.md, read from the import statements of the source."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "nbgrad"
FILES = sorted(ROOT.rglob("*.py"))

# The floors of docs/architecture.md, from the ground up: a module imports from its own folder or from
# a lower floor. Folders on one floor know nothing of each other, but for the faces, which users import.
FLOORS = (
    {"errors", "config"},
    {"core"},
    {"ops", "machine"},
    {"transforms", "vocabulary", "program"},
    {"backends", "structured"},
    {"twins"},
    {"engine"},
    {"tensors"},
    {"api"},
    {"autograd", "cache", "checkpoint_policies", "fft", "functional", "integrate", "interpolate", "linalg", "native", "numpy", "optim", "optimize", "parallel", "random", "signal", "solvers", "sparse", "special", "stats", "tree"},
    {"__init__"},
    {"examples", "__main__"},
)  # fmt: skip
HEIGHTS = {folder: height for height, floor in enumerate(FLOORS) for folder in floor}
FACES = HEIGHTS["numpy"]
# Who imports a module whose name is not written out: the way to be late, the vocabulary that walks its
# own folder, namespaces by name, the pool that Numba has chosen, one of two libraries of SciPy's.
BY_NAME = {"core.lazy", "vocabulary", "numpy.array_api", "__init__", "machine.threads"}
BY_NAME |= {"backends.cpu.blas"}
LATE = {"LazyModule", "load", "import_module", "__import__"}
COMPILERS = {"numba", "llvmlite"}
# Imported where they are needed: they are optional, or cost more start-up time than all of nbgrad.
LATE_PACKAGES = COMPILERS | {"cupy", "dask", "matplotlib", "scipy", "rich", "tqdm"}
MAX_LINES = 400
MAX_BODY = 40


def name_of(path: Path) -> str:
    """Dotted name of a module inside the package, ``core.tape``; the package is ``__init__``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): ast.parse(path.read_text(), str(path)) for path in FILES}


@cache
def nodes(module: str) -> list[ast.AST]:
    """All of its syntax; every test asks for it."""
    return list(ast.walk(MODULES[module]))


def folder(module: str) -> str:
    return module.split(".")[0]


def is_import(node: ast.AST) -> TypeGuard[ast.Import | ast.ImportFrom]:
    return isinstance(node, ast.Import | ast.ImportFrom)


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


@cache
def late(module: str) -> list[tuple[int, ast.expr]]:
    """What calls such as ``LazyModule("a.b")`` or ``load(name)`` import."""
    own = {function.name for function in functions(module)} if module != "core.lazy" else set()
    found = []
    for node in nodes(module):
        if isinstance(node, ast.Call) and node.args and root(node.func) in LATE - own:
            source = ast.unparse(node.func).rpartition(".")[0]
            if source in ("", "lazy", "importlib"):
                found.append((node.lineno, node.args[0]))
    return found


def hidden(module: str) -> Iterator[tuple[int, str]]:
    """Names that a module imports without saying import: late ones, and in code that is text."""
    for line, name in late(module):
        if isinstance(name, ast.Constant):
            yield line, str(name.value)
    for node in nodes(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = re.match(r"(?:import|from) (nbgrad[\w.]*)", node.value)
            yield from [(node.lineno, found[1])] if found else []


def by_name(module: str) -> Iterator[tuple[int, str]]:
    """The modules of the primitives that a module finds by name, ``primitives["sum"]``."""
    found = [node for node in nodes(module) if isinstance(node, ast.Subscript)]
    for node in found:
        if isinstance(node.slice, ast.Constant) and ast.unparse(node.value) == "primitives":
            yield node.lineno, f"nbgrad.{DECLARED[str(node.slice.value)]}"


@cache
def imports(module: str) -> list[tuple[int, str]]:
    """What a module imports, openly or not."""
    found = [(n.lineno, t) for n in nodes(module) if is_import(n) for t in targets(n, module)]
    return [*found, *hidden(module)]


def declarations() -> Iterator[tuple[str, str, str]]:
    """Each primitive that ``ops`` declares: the module, the variable, the name of the operation."""
    for module, tree in MODULES.items():
        found = [node for node in tree.body if isinstance(node, ast.Assign)]
        for node in found if folder(module) == "ops" else ():
            if isinstance(call := node.value, ast.Call):
                named = [word.value for word in call.keywords if word.arg == "name"]
                first = (*call.args, *named, None)[0]
                if isinstance(first, ast.Constant):
                    yield module, ast.unparse(node.targets[0]), str(first.value)


DECLARED = {name: module for module, _, name in declarations()}
OPERATIONS = {f"nbgrad.{module}.{variable}" for module, variable, _ in declarations()}


@cache
def functions(module: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in nodes(module) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def for_each(modules: Iterable[str]) -> Callable[[Callable[[str], None]], Callable[[], None]]:
    """One test of all modules: thousands of tests that take no time each take a minute together."""

    def decorate(check: Callable[[str], None]) -> Callable[[], None]:
        def test() -> None:
            failed = []
            for module in modules:
                try:
                    check(module)
                except AssertionError as error:
                    failed.append(str(error))
            assert not failed, "\n".join(failed)

        test.__doc__ = check.__doc__
        return test

    return decorate


def test_the_package_was_found() -> None:
    assert {"errors", "config", "core.tape"} <= set(MODULES)


def test_every_folder_has_a_floor() -> None:
    assert {folder(module) for module in MODULES} == set(HEIGHTS)


@for_each(MODULES)
def test_imports_point_down(module: str) -> None:
    mine = folder(module)
    upward = [
        f"line {line}: {target}"
        for line, target in (*imports(module), *by_name(module))
        if (held := internal(target)) is not None and folder(held) != mine
        if HEIGHTS[folder(held)] >= HEIGHTS[mine] + (HEIGHTS[mine] == FACES)
    ]
    assert not upward, f"nbgrad.{module} imports from its own or a higher floor: {upward}"


@for_each(MODULES)
def test_late_imports_name_a_module(module: str) -> None:
    unread = [
        f"line {line}: {ast.unparse(name)}"
        for line, name in late(module)
        if not isinstance(name, ast.Constant)
    ]
    assert not unread or module in BY_NAME, f"nbgrad.{module} imports by name: {unread}"


# Who serves the ports of core/ports.py, and fills those of machine code.
OWNERS = {
    "ports.bodies": {"transforms"},
    "ports.evaluate": {"engine.demand"},
    "ports.load": {"vocabulary"},
    "ports.memory": {"backends.devices"},
    "ports.move": {"ops.basis"},
    "ports.namespace": {"numpy.array_api"},
    "ports.natively": {"engine.programs"},
    "ports.stack": {"vocabulary.shapes"},
    "ports.tensor": {"tensors.tensor"},
    "compiled.forward": {"twins.capture"},
    "compiled.backward": {"twins.capture"},
    "compiled.further": {"twins.capture"},
    "compiled.further_back": {"twins.capture"},
    "compiled.value": {"twins.settle"},
    "compiled.learn": {"twins.settle"},
    "shortcuts.group": {"tensors.views"},
    "shortcuts.replay": {"twins.record"},
    "shortcuts.view": {"twins.viewing"},
    "shortcuts.detached": {"twins.viewing"},
}


def test_ports_have_one_owner() -> None:
    found: dict[str, set[str]] = {}
    for module in MODULES:
        for node in nodes(module):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                name = ast.unparse(node)
                if name.split(".")[0] in ("ports", "compiled", "shortcuts"):
                    found.setdefault(name, set()).add(module)
    assert found == OWNERS


@for_each(MODULES)
def test_only_boxes_know_below_tensors_what_a_tensor_wraps(module: str) -> None:
    """Twins read tensors in memory, and name the slots that they look for."""
    below = HEIGHTS[folder(module)] < HEIGHTS["tensors"]
    if below and module != "core.boxes" and folder(module) != "twins":
        for node in nodes(module):
            named = getattr(node, "attr", None) or getattr(node, "value", None)
            assert named != "_node", f"nbgrad.{module}, line {node.lineno}: use core/boxes.py"


@for_each(MODULES)
def test_only_the_machine_imports_the_compilers(module: str) -> None:
    found = [t for _, t in imports(module) if t.split(".")[0] in COMPILERS]
    users = ("machine", "native", "examples")
    assert not found or folder(module) in users, f"nbgrad.{module} imports {found}"


@for_each(MODULES)
def test_functions_import_only_late_packages(module: str) -> None:
    bad = [
        (node, target)
        for node in filter(is_import, nodes(module))
        for target in targets(node, module)
        if target.split(".")[0] not in LATE_PACKAGES
    ]
    late = [
        f"{function.name}, line {node.lineno}: {target}"
        for node, target in bad
        for function in functions(module)
        if function.lineno < node.lineno <= (function.end_lineno or 0)
    ]
    assert not late, f"nbgrad.{module} imports inside functions: {late}"


# What only a node of the graph has, and what tapes and equations have, too.
HISTORY = {"leaf", "watch", "seq", "depth", "passed", "freed"}
SHARED = {"sig", "inputs"}
ON_TAPES = {"tape", "eqn", "body", "back", "both", "many", "made", "t"}


def holds_rules(module: str) -> bool:
    """Whether operations are declared there, with their rules; identities see what was made of what."""
    if module.startswith("ops.identities."):
        return False
    names = {n.func.id for n in nodes(module) if called(n)}  # type: ignore[attr-defined]
    makes = folder(module) == "transforms" and not names.isdisjoint(
        {"Primitive", "SeveralResults"}
    )
    return folder(module) == "ops" or makes


def called(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def root(x: ast.expr) -> str:
    """The last name of what is asked: ``tape`` of ``self.tape``, ``made`` of ``made[x]``."""
    if isinstance(x, ast.Subscript):
        return root(x.value)
    return x.attr if isinstance(x, ast.Attribute) else x.id if isinstance(x, ast.Name) else ""


@for_each(filter(holds_rules, MODULES))
def test_no_rule_looks_at_the_graph(module: str) -> None:
    """Rules see operands, result and avals; loops and branches also read the tapes that they hold."""
    found = [x for x in nodes(module) if isinstance(x, ast.Attribute)]
    bad = [x for x in found if x.attr in HISTORY]
    holds = {"ops.control", "transforms"}
    tapes = ON_TAPES if any(module.startswith(f"{name}.") for name in holds) else set()
    bad += [x for x in found if x.attr in SHARED and root(x.value) not in tapes]
    asked = [f"{x.lineno}: {ast.unparse(x)}" for x in bad]
    assert not asked, f"nbgrad.{module} asks how a node was made: {asked}"


def operations_of(module: str) -> set[str]:
    """What *module* calls the operations that it imports, and its tables of such."""
    known = {}
    for node in nodes(module):
        if isinstance(node, ast.ImportFrom):
            known.update({f"{node.module}.{a.name}": a.asname or a.name for a in node.names})
    held = {known[name] for name in OPERATIONS & known.keys()}
    for name in OPERATIONS - known.keys():
        source, _, variable = name.rpartition(".")
        held |= {f"{known[source]}.{variable}"} if source in known else set()
    for node in MODULES[module].body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            keys = node.value.keys if isinstance(node.value, ast.Dict) else [node.value]
            bound = node.targets[0] if isinstance(node, ast.Assign) else node.target
            held |= {ast.unparse(bound)} if any(k and names_one(k, held) for k in keys) else set()
    return held


def names_one(x: ast.AST, held: set[str]) -> bool:
    """Whether an expression has one of *held* in it, but for what it calls."""
    if isinstance(x, ast.Name | ast.Attribute) and ast.unparse(x) in held:
        return True
    inner = () if isinstance(x, ast.Call | ast.Lambda) else ast.iter_child_nodes(x)
    return any(names_one(y, held) for y in inner)


def by_word(node: ast.Compare, words: set[str]) -> bool:
    """Whether the name of a primitive, or what is bound to one, is compared with that of an operation."""
    sides = [node.left, *node.comparators]
    if not any(ast.unparse(x) in words or ast.unparse(x).endswith("prim.name") for x in sides):
        return False
    inner = [y for x in sides for y in ast.walk(x) if isinstance(y, ast.Constant)]
    return any(y.value in DECLARED for y in inner)


@for_each([module for module in MODULES if folder(module) != "ops"])
def test_only_ops_tells_one_operation_from_another(module: str) -> None:
    """Others ask what a declaration says, as its kind, its form, its algebra, or apply an identity of ops."""
    held, words, found = operations_of(module), set(), []
    for node in nodes(module):
        if isinstance(node, ast.Assign):
            pairs = zip(*[x.elts if isinstance(x, ast.Tuple) else [x] for x in (node.targets[0], node.value)], strict=False)  # fmt: skip
            words |= {ast.unparse(a) for a, b in pairs if ast.unparse(b).endswith("prim.name")}
    for node in nodes(module):
        if isinstance(node, ast.Compare):
            named = any(names_one(x, held) for x in (node.left, *node.comparators))
            found += [f"{node.lineno}: {ast.unparse(node)}"] * (named or by_word(node, words))
    assert not found, f"nbgrad.{module} names operations: {found}"


def test_no_import_cycles() -> None:
    """Also those that Python tolerates, or that late imports hide.

    A package that imports its own parts is no cycle, nor are primitives that kinds find by name.
    """
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


@for_each(MODULES)
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


DESCRIBED = (
    "core",
    "transforms",
    "program",
    "machine",
    "twins",
    "backends",
    "engine",
    "tensors",
    "api",
    "integrate",
    "structured",
    "optim",
    "optimize",
    "native",
    "parallel",
)


@pytest.mark.parametrize("name", DESCRIBED)
def test_the_readme_of_a_folder_names_its_files(name: str) -> None:
    text = (ROOT / name / "README.md").read_text()
    files = [p for p in sorted((ROOT / name).rglob("*.py")) if p.parent.name != "vecmath"]
    lacking = [
        str(path.relative_to(ROOT / name))
        for path in files
        if path.name != "__init__.py" and not re.search(rf"\b{re.escape(path.name)}`", text)
    ]
    assert not lacking, f"say in src/nbgrad/{name}/README.md what they are: {lacking}"
