"""Public functions that make tensors: ``zeros``, ``full``, ``linspace`` and their like.

A call such as ``zeros(3)`` is short, and has many settings that nobody gives. To look at each of them
at each call took a third of it. So the public function is written out for its declaration: it has the
parameters by name, asks those which may be tensors what they are, and hands on what was given.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nbgrad.core.node import Node
from nbgrad.core.registry import PublicFunction
from nbgrad.tensors.protocols import wrap
from nbgrad.tensors.tensor import Tensor
from nbgrad.tensors.words import WORDS

NUMBERS = frozenset({int, float, complex, bool, str, type(None), Node})
FLAG = inspect.Parameter(
    "requires_grad", inspect.Parameter.KEYWORD_ONLY, default=False, annotation="bool"
)

TEXT = """
def {name}{header}:
    {like}
    if {first} and {short}:
        made = _function({required})
    elif {first} and {plain}:
        made = _function({given})
    else:
        made = _general({all})
        return made.requires_grad_() if requires_grad else made
    if made.__class__ is _Node:
        tensor = _new(_Tensor)  # as _Tensor(made), which asks for the depth of the graph
        tensor._node = made
        tensor._alias = None
    else:
        tensor = _wrap(made, _Tensor)
    return tensor.requires_grad_() if requires_grad else tensor
"""


def maker(general: Callable[..., Any], declared: PublicFunction) -> Callable[..., Any]:
    """The public function of what *declared* makes; *general* is its, for any arguments."""
    function, operands = declared.implementation, declared.makes or ()
    signature = inspect.signature(function)
    parameters = [*signature.parameters.values()]
    optional = [p for p in parameters if p.default is not p.empty]
    required = [p for p in parameters if p.default is p.empty]
    # What comes before ``*more`` is there if that is.
    before = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and _many(required)]
    settings = [p for p in optional if p not in before]
    first = [p for p in parameters if p not in settings]
    words = [word for word, name in WORDS.items() if name in signature.parameters]
    known = [f"{p.name} is not _{p.name}" for p in required if words and p.name not in operands]
    known = [*(f"{word} is _absent" for word in words), *known]
    like = "if {0}.__class__ is _Tensor: {0} = {0}._node"
    names = {
        "_function": function, "_general": general, "_wrap": wrap, "_NUMBERS": NUMBERS,
        "_Tensor": Tensor, "_Node": Node, "_new": object.__new__, "_absent": inspect.Parameter.empty,
        **{f"_{p.name}": p.default for p in parameters},
    }  # fmt: skip
    text = TEXT.format(
        name=function.__name__,
        header=_header(parameters, words),
        like=like.format(operands[0]) if declared.like else "",
        first=_all([*known, *(_is_plain(p, operands) for p in first)]),
        short=_all([f"{p.name} is {_default(p)}" for p in settings]),
        required=_handed_on(first),
        plain=_all([_is_plain(p, operands) for p in settings]),
        given=_handed_on(parameters),
        all=_in_words(parameters, words) if words else _handed_on(parameters),
    )
    # Lines of this file are not the user's.
    exec(compile(text, __file__, "exec"), names)
    made: Any = functools.wraps(general)(names[function.__name__])
    made.__signature__ = signature.replace(parameters=[*parameters, FLAG])
    return made  # type: ignore[no-any-return]


class _Name(str):
    """A default, as it is called in the text."""

    __slots__ = ()
    __repr__ = str.__str__


def _default(p: inspect.Parameter) -> str:
    return "None" if p.default is None else f"_{p.name}"


def _header(parameters: Iterable[inspect.Parameter], words: Sequence[str]) -> str:
    """The parameters of the public function, some of which have *words* of PyTorch's as well."""
    own = []
    for p in parameters:
        late = words or p.default is not p.empty
        default: Any = _Name(_default(p)) if late else p.empty
        own.append(p.replace(annotation=p.empty, default=default))
    absent = FLAG.replace(default=_Name("_absent"))
    further = [FLAG, *(absent.replace(name=word) for word in words)]
    return str(inspect.Signature([*own, *(p.replace(annotation=p.empty) for p in further)]))


def _handed_on(parameters: Iterable[inspect.Parameter]) -> str:
    """They, as arguments of a call."""
    prefix: dict[Any, str] = {FLAG.kind: "{0}=", inspect.Parameter.VAR_POSITIONAL: "*"}
    return ", ".join(prefix.get(p.kind, "").format(p.name) + p.name for p in parameters)


def _in_words(parameters: Iterable[inspect.Parameter], words: Iterable[str]) -> str:
    """Those that were given, by the name by which they were."""
    given = [f"({p.name!r}, {p.name}, {_default(p)})" for p in parameters]
    given += [f"({word!r}, {word}, _absent)" for word in words]
    return f"**{{name: x for name, x, default in [{', '.join(given)}] if x is not default}}"


def _many(parameters: Iterable[inspect.Parameter]) -> bool:
    return any(p.kind is p.VAR_POSITIONAL for p in parameters)


def _is_plain(p: inspect.Parameter, operands: tuple[str, ...]) -> str:
    """That a parameter is no tensor, and a number if it may be one."""
    if p.name in operands:
        return f"{p.name}.__class__ in _NUMBERS"
    return "True" if p.kind is p.VAR_POSITIONAL else f"{p.name}.__class__ is not _Tensor"


def _all(conditions: Iterable[str]) -> str:
    return " and ".join(conditions) or "True"
