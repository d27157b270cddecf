"""What help() shows of the public functions: sections, names that users have, examples that run."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, get_args, get_type_hints

import examples_page
import numpy as np
import pytest
from draws import OF_TESTS

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.registry import functions, primitives
from nbgrad.tensors.describe import examples
from nbgrad.tensors.namespaces import find

load_vocabulary()
# Classes whose objects are results of functions, never made by a call of the class.
MADE_FOR_USERS = (
    ng.Tensor,
    ng.TapeView,
    ng.autograd.graph.GradFn,
    ng.autograd.graph.AccumulateGrad,
)
NUMBER = re.compile(r"-?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf|nan)")
SPACES = [
    "numpy",
    "linalg",
    "fft",
    "functional",
    "special",
    "stats",
    "signal",
    "interpolate",
    "tensor",
]
FILES = [
    "",
    ".random",
    ".autograd",
    ".checkpoint_policies",
    ".optim",
    ".optimize",
    ".parallel",
    ".solvers",
    ".integrate",
]
INNER = [".autograd.functional", ".autograd.graph", ".autograd.profiler", ".config", ".errors"]


def public(namespace: str) -> Iterator[tuple[str, Any]]:
    names = {p.name for p in primitives.values() if p.public and p.namespace == namespace}
    for name in sorted({*names, *functions.get(namespace, {})}):
        if not name.startswith(OF_TESTS):
            yield name, find(namespace, name)


def written(module: str) -> Iterator[tuple[str, Any]]:
    """Functions and classes that a module lists itself, beside those of the registry."""
    held = attrgetter(module[1:])(ng) if module else ng
    own = [n for n in dir(held) if not n.startswith("_")]
    if "__dir__" not in vars(held):  # without what it imports
        own = [n for n in own if getattr(getattr(held, n), "__module__", "") == held.__name__]
    declared = {name for space in SPACES for name, _ in public(space)}
    for name in getattr(held, "__all__", own):
        value = getattr(held, name)
        if (inspect.isfunction(value) or inspect.isclass(value)) and name not in declared:
            yield name, value


class Near(doctest.OutputChecker):
    """Numbers to six digits: the last ones may be another library's."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        texts = [text.replace("<BLANKLINE>", "") for text in (want, got)]
        numbers = [[float(n) for n in NUMBER.findall(text)] for text in texts]
        shapes = [re.sub(r"\s", "", NUMBER.sub("#", text)) for text in texts]
        same = shapes[0] == shapes[1] and len(numbers[0]) == len(numbers[1])
        return same and np.allclose(*numbers, rtol=1e-6, atol=1e-9, equal_nan=True)


def run(name: str, doc: str) -> None:
    test = doctest.DocTestParser().get_doctest(doc, {}, name, None, 0)
    said: list[str] = []
    doctest.DocTestRunner(checker=Near(), verbose=False).run(test, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("namespace", SPACES)
def test_functions_are_described_and_their_examples_run(namespace: str) -> None:
    for name, function in public(namespace):
        doc = inspect.getdoc(function) or ""
        label = f"{namespace}.{name}"
        for section in ("Returns\n-", "Raises\n-", "Examples\n-"):
            assert section in doc or "Yields\n-" in doc, f"{label} has no section {section[:-2]}"
        run(label, doc)


@pytest.mark.parametrize("module", FILES)
def test_what_is_written_by_hand_has_an_example(module: str) -> None:
    lacking = [n for n, value in written(module) if ">>>" not in (inspect.getdoc(value) or "")]
    assert not lacking


def test_examples_of_draws_run() -> None:
    draws = dict(written(".random"))
    assert len(draws) > 25
    for name, draw in draws.items():
        run(name, inspect.getdoc(draw) or "")


def test_signatures_name_what_users_have() -> None:
    inner = [
        f"{namespace}.{name}{inspect.signature(function)}"
        for namespace in SPACES
        for name, function in public(namespace)
        if callable(function) and re.search("Node|nbgrad", str(inspect.signature(function)))
    ]
    assert not inner


def by_hand() -> dict[str, Any]:
    """Functions and classes that are written by hand, and the methods of the classes."""
    found = {}
    for module in [*FILES, *INNER]:
        for name, value in written(module):
            label = f"nbgrad{module}.{name}"
            if not getattr(value, "__module__", "").startswith("nbgrad"):
                continue  # NumPy's
            found[label] = value
            if inspect.isclass(value):
                made = "__init__" if value not in MADE_FOR_USERS else ""
                own = [n for n in dir(value) if not n.startswith("_") or n == made]
                methods = {f"{label}.{n}": getattr(value, n) for n in own}
                found |= {n: m for n, m in methods.items() if inspect.isroutine(m)}
    return found


def classes_in(annotation: Any) -> set[type]:
    """Our classes that *annotation* names, with those of its arguments."""
    parts = annotation if isinstance(annotation, list) else get_args(annotation)
    held = {c for part in parts for c in classes_in(part)}
    ours = inspect.isclass(annotation) and annotation.__module__.startswith("nbgrad.")
    return held | {annotation} if ours else held


def test_annotations_of_what_is_written_by_hand_name_what_users_can_import() -> None:
    """``typing.get_type_hints`` can read them, and the classes among them are public."""
    known = by_hand()
    public_classes = {value for value in known.values() if inspect.isclass(value)}
    assert ng.Tensor in public_classes and len(known) > 150
    inner, below = {}, {"Tensor": ng.Tensor, "TapeView": ng.TapeView, "ArrayLike": Any}
    for label, value in known.items():
        hints = {} if inspect.isclass(value) else get_type_hints(value, localns=below)
        named = {c for hint in hints.values() for c in classes_in(hint)}
        if named - public_classes:
            inner[label] = [c.__qualname__ for c in named - public_classes]
    assert not inner


def test_parameters_have_the_names_that_scipy_gives_them() -> None:
    assert str(inspect.signature(ng.special.betainc)).startswith("(a, b, x, /)")
    assert list(inspect.signature(ng.special.pseudo_huber).parameters) == ["delta", "r"]
    assert list(inspect.signature(ng.arctan2).parameters) == ["x1", "x2"]


def test_examples_are_those_of_the_declarations() -> None:
    """The file is what ``python tools/examples_page.py --write`` makes, but for last digits."""
    found, _ = examples_page.collect()
    held = examples()
    assert found.keys() == held.keys()
    near = Near()
    stale = [name for name, text in found.items() if not near.check_output(held[name], text, 0)]
    assert not stale
