"""The type stubs of the namespaces are what tools/stubs.py reads from the names at run time."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from typing import Any

import pytest
import stubs
from draws import OF_TESTS

import nbgrad as ng


def test_stubs_are_those_of_the_run_time() -> None:
    """In a process of its own: other tests declare operations."""
    done = subprocess.run(
        [sys.executable, stubs.__file__], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def declared(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname for alias in node.names if alias.asname}
    return found


@pytest.mark.parametrize("module", stubs.MODULES)
def test_every_name_of_a_stub_exists(module: str) -> None:
    held: Any = importlib.import_module(f"nbgrad.{module}".rstrip("."))
    names = declared(ast.parse(stubs.path_of(module).read_text()))
    assert len(names) > 3
    lacking = [n for n in names if not n.startswith("__") and not hasattr(held, n)]
    assert not lacking


def test_members_of_tensors_are_those_of_the_run_time() -> None:
    tree = ast.parse((stubs.SOURCE / "tensors" / "spelled.pyi").read_text())
    held = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    shown = {node.name for node in held.body if isinstance(node, ast.FunctionDef)}
    x = ng.tensor(1.0)
    public = {name for name in dir(x) if not name.startswith("_")}
    # But for operations that tests declare, which their methods have, too.
    members = {name for name in vars(ng.Tensor) if not name.startswith(OF_TESTS)}
    own = {name for name in members if name in public and name not in shown}
    own = {
        name for name in own if name[-1] != "_" or name[:-1] not in shown
    }  # asked for by other tests
    assert {name for name in shown if not name.startswith("_")} <= public
    assert {"sum", "log1p_", "erf", "gather", "astype", "T"} <= shown & public
    # The rest is written in the class itself.
    source = (stubs.SOURCE / "tensors" / "tensor.py").read_text()
    assert not [name for name in own if f"def {name}(" not in source]


def test_completion_shows_what_is_public() -> None:
    # Also what is declared when somebody asks for it: a type checker knows no other names.
    assert {*ng.__all__, "einsum", "gather", "cumsum", "sort"} <= {*dir(ng)}
    assert all(hasattr(ng, name) for name in dir(ng))
    assert not [name for name in dir(ng) if name.startswith("_")]


@pytest.mark.parametrize(
    "name", ["autograd", "integrate", "optim", "optimize", "parallel", "solvers", "sparse"]
)
def test_modules_list_their_public_names(name: str) -> None:
    module = getattr(ng, name)
    assert dir(module) == sorted(module.__all__)
    assert all(hasattr(module, each) for each in dir(module))
