"""Docstrings of public functions, composed of what their declarations say.

The summary, the operands and the settings, shape and dtype of the result, what is raised, where the
meaning comes from, an example. What an author wrote as a whole docstring stays as it is but for
sections that it lacks. Made when a function is first asked for: nothing of it costs an import.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Mapping
from typing import Any

# What a setting means wherever it bears this name.
SETTINGS = {
    "axis": "Axis or axes to work along; negative ones count from the last.",
    "axes": "Axes to work along; negative ones count from the last.",
    "keepdims": "Whether reduced axes stay, with length 1.",
    "dtype": "Dtype of the result; by default the one NumPy gives.",
    "out": "Tensor that the result is written to, in place.",
    "where": "Elements to take; the others are left out.",
    "initial": "Value to start from.",
    "ddof": "Divide by the number of elements less this.",
    "correction": "Divide by the number of elements less this.",
    "order": "Memory order; results are C-ordered.",
    "requires_grad": "Whether operations on the result are recorded for differentiation.",
    "device": 'Where the result lies: "cpu".',
    "like": "As in NumPy; not used.",
    "copy": "Whether the result must be (True) or must not be (False) a copy.",
    "loc": "Location: the standard form is shifted by it.",
    "scale": "Scale: the standard form is stretched by it; positive.",
    "norm": '"backward", "ortho" or "forward": which direction is divided by the length.',
    "dim": "Axis or axes, by PyTorch's name.",
    "keepdim": "Whether reduced axes stay, by PyTorch's name.",
    "shape": "Shape of the result.",
    "method": "As in NumPy; each is differentiated.",
    "weights": "Weight of each element; differentiated.",
    "ord": "Which norm: a number, inf, -inf, 'fro' or 'nuc'.",
    "casting": "Which conversions are allowed.",
    "overwrite_a": "Accepted and not used: operands are never overwritten.",
    "overwrite_b": "Accepted and not used: operands are never overwritten.",
    "overwrite_input": "Accepted and not used: operands are never overwritten.",
    "check_finite": "Accepted; NaN and infinities are not refused.",
}
ARRAYS = "array_like or Tensor"
ARRAY = "ArrayLike"
_NAMES = {"Node": "Tensor", "Any": "object", "Axis": "int or tuple of int"}


def describe(name: str, function: Any, reference: Any) -> None:
    """Give the public *function* called ``namespace.name`` its docstring and signature."""
    signature = inspect.signature(function)
    function.__doc__ = docstring(name, function.__doc__, signature, reference)
    parameters = [
        p.replace(annotation=_public(p.annotation, ARRAY)) for p in signature.parameters.values()
    ]
    returned = _public(signature.return_annotation, "Tensor")
    returned = "Tensor" if returned is signature.empty else returned
    signature = signature.replace(parameters=parameters, return_annotation=returned)
    function.__signature__ = signature
    given = {p.name: p.annotation for p in parameters if p.annotation is not p.empty}
    function.__annotations__ = given | {"return": returned}


def _public(annotation: Any, node: str) -> Any:
    """*annotation* in names that users have."""
    return annotation.replace("Node", node) if isinstance(annotation, str) else annotation


def docstring(name: str, summary: str | None, signature: inspect.Signature, reference: Any) -> str:
    """The docstring of the public function called ``namespace.name``."""
    summary = inspect.cleandoc(summary or "")
    source = named(reference)
    sections = [summary]
    if "Parameters\n-" not in summary and signature.parameters:
        sections.append(_section("Parameters", _described(signature.parameters, source)))
    if "Returns\n-" not in summary and "Yields\n-" not in summary:
        sections.append(_section("Returns", _returned(signature, source)))
    if "Raises\n-" not in summary:
        sections.append(_section("Raises", _raised(signature.parameters)))
    if source and "Notes\n-" not in summary:
        sections.append(_section("Notes", f"Meaning and values are those of ``{source}``."))
    example = examples().get(name)
    if example and "Examples\n-" not in summary:
        head = ">>> import numpy as np\n" if "np." in example else ""
        sections.append(_section("Examples", f"{head}>>> import nbgrad as ng\n{example}"))
    return "\n\n".join(sections) + "\n"


@functools.cache
def examples() -> dict[str, str]:
    """Examples by ``namespace.name``, as tools/examples_page.py made them of the test cases.

    Each under a line with its name. As JSON they took 2 ms of the first function that is asked for.
    """
    with open(os.path.join(os.path.dirname(__file__), "examples.txt"), encoding="utf-8") as file:
        entries = file.read().removeprefix("# ").removesuffix("\n").split("\n\n# ")
    return {name: text for name, _, text in (entry.partition("\n") for entry in entries)}


def named(reference: Any) -> str:
    """``numpy.sort`` for NumPy's function, which may be given by its dotted name."""
    if isinstance(reference, str) or reference is None:
        return reference or ""
    module = getattr(reference, "__module__", None) or "numpy"
    name = getattr(reference, "__name__", "")
    public = module.split("._")[0]
    return (
        f"{public}.{name}" if public.startswith(("numpy", "scipy")) and name.isidentifier() else ""
    )


def _section(title: str, text: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{text}"


def _described(parameters: Mapping[str, inspect.Parameter], source: str) -> str:
    rows = []
    for name, p in parameters.items():
        star = "*" * (p.kind is p.VAR_POSITIONAL) + "**" * (p.kind is p.VAR_KEYWORD)
        rows.append(f"{star}{name} : {_kind(p)}\n    {_meaning(name, p, source)}")
    return "\n".join(rows)


def _kind(p: inspect.Parameter) -> str:
    """The type column of a parameter, from its annotation or, where that says nothing, its default."""
    if p.default is p.empty and p.annotation in (p.empty, "Any", "Node", "Sequence[Any]"):
        return ARRAYS
    if p.default.__class__ in (int, float) and p.annotation is p.empty:
        return f"{ARRAYS}, optional"
    text = str(p.annotation) if p.annotation is not p.empty else "Any"
    if text == "Any" and p.default not in (p.empty, None):
        text = type(p.default).__name__
    text = text.removesuffix(" | None")
    text = _NAMES.get(text, text.replace("Node", "Tensor"))
    return text if p.default is p.empty else f"{text}, optional"


def _meaning(name: str, p: inspect.Parameter, source: str) -> str:
    if name in SETTINGS and (
        p.default is not p.empty or name in ("axis", "shape", "loc", "scale")
    ):
        return SETTINGS[name]
    if p.default is p.empty and p.annotation in (p.empty, "Any", "Node", "Sequence[Any]"):
        return "Numbers, arrays or tensors; tensors that require grad are differentiated."
    default = "" if p.default is p.empty else f" Default {p.default!r}."
    return (f"As in ``{source}``." if source else "A setting; not differentiated.") + default


def _returned(signature: inspect.Signature, source: str) -> str:
    annotation = signature.return_annotation
    text = "Tensor" if annotation in (signature.empty, "Any") else str(annotation)
    shape = f"``{source}`` gives" if source else "the operands give by broadcasting and promotion"
    return f"{text.replace('Node', 'Tensor')}\n    Of the shape and dtype that {shape} (NEP 50)."


def _raised(parameters: Mapping[str, inspect.Parameter]) -> str:
    rows = [
        "TypeError\n    If an operand is no array of numbers, or the operation has none for its dtype.",
        "ValueError\n    If shapes do not fit each other, or a setting is none that is known.",
    ]
    if "axis" in parameters or "axes" in parameters:
        rows.append("numpy.exceptions.AxisError\n    If an axis is out of range.")
    return "\n".join(rows)
