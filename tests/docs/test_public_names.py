"""Every public name has an example, and every error that its docstring lists is raised by a call here.

The names are those that users reach from ``nbgrad``: what is new without an example or without a row in
``error_rows.py`` fails.
"""

from __future__ import annotations

import ast
import builtins
import doctest
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from draws import OF_TESTS
from error_rows import ROWS
from public_names import GENERATED, listed, public_callables, section

import nbgrad as ng
from nbgrad import errors

CALLABLES = {
    name.removeprefix("nbgrad."): value
    for name, value in public_callables()
    if not name.rpartition(".")[2].startswith((OF_TESTS, "__"))
}
# Results of functions, which nobody makes; errors, which calls raise; NumPy's.
MADE = {
    "TapeView", "Tensor", "Jitted", "Njit", "autograd.graph.GradFn", "autograd.graph.AccumulateGrad",
    "autograd.graph.GradientEdge", "autograd.graph.RemovableHandle", "integrate.OdeResult",
    "integrate.OdeSolution", "interpolate.PPoly", "tree.Structure", "checkpoint_policies.Made",
    "optimize.Fit", "optimize.Problem", "sparse.Plan", "sparse.Matrix", "sparse.Factors", "random.Generator", "numpy.finfo", "numpy.iinfo",
}  # fmt: skip
# Take anything, or nothing.
NO_ERRORS = {
    "detect_anomaly", "profile", "set_grad_enabled", "inference_mode", "no_grad", "enable_grad", "stop_gradient", "tree.leaves", "optimize.History",
    "is_tensor", "tree.all", "tree.structure", "autograd.graph.disable_saved_tensors_hooks",
}  # fmt: skip
# Where they are tested: tests/engine/test_timing.py, tests/parallel/test_parallel.py.
NOT_LISTED = {("profile.plot", "ImportError"), ("parallel.map", "WorkerError")}
NOT_LISTED |= {("sparse.cholesky", "ImportError")}  # tests/sparse
LATE = ("Progress", "History.plot", *[f"adapters.{n}" for n in ng.optimize.adapters.__all__])
NOT_LISTED |= {(f"optimize.{name}", "ImportError") for name in LATE}  # tests/optimize
# Whose argument is no array, or that ask NumPy.
NOT_ARRAYS = {
    "argwhere", "flatnonzero", "nonzero", "from_dlpack", "frombuffer", "fromiter", "fromstring",
    "require",
}  # fmt: skip


@functools.cache
def written() -> dict[str, Any]:
    """What has a docstring of its own; each worker asks hundreds of times while it collects."""
    return {n: v for n, v in CALLABLES.items() if GENERATED not in section(v, "Raises")}


def is_error(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)


def test_every_public_name_has_an_example() -> None:
    """They run: as tests of the modules, and in test_docstrings.py."""
    assert len(CALLABLES) > 450
    lacking = [
        name
        for name, value in CALLABLES.items()
        if ">>>" not in (inspect.getdoc(value) or "") and not is_error(value) and name not in MADE
    ]
    assert not lacking


def test_every_error_that_a_docstring_lists_has_a_call_that_raises_it() -> None:
    assert len(ROWS) > 100
    assert not {*listed()} - {*ROWS} - NOT_LISTED


def test_every_function_has_a_call_that_raises() -> None:
    rows = {name for name, _ in ROWS}
    lacking = []
    for name, value in written().items():
        takes = inspect.isclass(value) or bool(inspect.signature(value).parameters)
        exempt = is_error(value) or name in MADE | NO_ERRORS or name in DRAWS
        policy = (
            name.startswith("checkpoint_policies.") and "_saveable" in name
        ) or "_dots" in name
        if takes and not exempt and not policy and name not in rows:
            lacking.append(name)
    assert not lacking
    known = {*CALLABLES, *(name for name, _ in listed())}
    assert not (rows | MADE | NO_ERRORS) - known


@pytest.mark.parametrize(("name", "error"), ROWS)
def test_errors_say_what_is_wrong(name: str, error: str) -> None:
    call, words = ROWS[name, error]
    kind = getattr(errors, error, None) or getattr(builtins, error)
    with ng.configure(tier="reference"), pytest.raises(kind) as raised:
        call()
    assert words in str(raised.value)


# ----------------------------------------------------------------------------------------- draws

DRAWS = {
    name
    for name in CALLABLES
    if name.startswith("random.") or name.rpartition("_")[0] in ("rand", "randn")
} | {"rand", "randn", "randint", "bernoulli"}


@pytest.mark.parametrize("name", sorted(DRAWS - MADE))
def test_draws_refuse_what_is_no_number(name: str) -> None:
    draw = CALLABLES[name]
    needed = [
        p
        for p in inspect.signature(draw).parameters.values()
        if p.default is inspect.Parameter.empty
    ]
    with pytest.raises((TypeError, ValueError)):
        draw(*["text"] * max(1, len([p for p in needed if p.kind is not p.VAR_POSITIONAL])))


# ------------------------------------------------------------------------ what the registry declares


def called(name: str, value: Any) -> Iterator[tuple[Any, list[Any], dict[str, Any]]]:
    """The first call in the examples of *value*: the function, and its arguments."""
    env: dict[str, Any] = {"ng": ng, "np": np}
    short = name.rpartition(".")[2]
    for example in doctest.DocTestParser().get_examples(inspect.getdoc(value) or ""):
        for node in ast.walk(ast.parse(example.source)):
            if not isinstance(node, ast.Call) or ast.unparse(node.func).split(".")[-1] != short:
                continue
            if not any(isinstance(a, ast.Starred) for a in node.args):
                parts = [node.func, *node.args, *(k.value for k in node.keywords)]
                f, *found = (eval(ast.unparse(part), env) for part in parts)
                names, split = [str(k.arg) for k in node.keywords], len(node.args)
                yield f, found[:split], dict(zip(names, found[split:], strict=True))
                return
        exec(compile(example.source, name, "exec"), env)


DECLARED = [name for name in CALLABLES if name not in written()]


def test_declared_operations_refuse_what_is_no_array_of_numbers() -> None:
    count, wrong = 0, []
    for name in DECLARED:
        for f, args, kwargs in called(name, CALLABLES[name]):
            if not args or name in NOT_ARRAYS:
                continue
            count += 1
            for bad in (np.array(["a", "b"]), object()):
                try:
                    f(bad, *args[1:], **kwargs)
                    wrong.append((name, "nothing raised"))
                except TypeError as error:
                    if "has no attribute" in str(error) or len(str(error)) < 15:
                        wrong.append((name, str(error)))
                except Exception as error:
                    wrong.append((name, repr(error)))
    assert count > 250
    assert not wrong


def test_declared_operations_refuse_an_axis_that_is_not_there() -> None:
    count, wrong = 0, []
    for name in DECLARED:
        value = CALLABLES[name]
        if "axis" not in inspect.signature(value).parameters:
            continue
        place = [*inspect.signature(value).parameters].index("axis")
        for f, args, kwargs in called(name, value):
            for axis in (99, -99):
                given = [*args]
                if place < len(given):
                    given[place] = axis
                else:
                    kwargs["axis"] = axis
                count += 1
                try:
                    f(*given, **kwargs)
                    wrong.append((name, "nothing raised"))
                except np.exceptions.AxisError as error:
                    if str(axis) not in str(error):
                        wrong.append((name, str(error)))
                except Exception as error:
                    wrong.append((name, repr(error)))
    assert count > 80
    assert not wrong
