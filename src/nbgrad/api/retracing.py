"""The one warning of a function that is traced again and again: which argument changes, and what helps."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from nbgrad.api.arguments import describe
from nbgrad.api.outside import Reader
from nbgrad.api.statics import names_of_leaves, names_of_positions
from nbgrad.core.containers import Held
from nbgrad.core.modes import calls_to_user
from nbgrad.core.tree import LEAF, STATIC, Same, steps
from nbgrad.errors import RETRACED, RetraceWarning
from nbgrad.tensors.tensor import Tensor

MAX_KEPT = 64  # of the last traces, which the warning compares
MAX_SHOWN = 40  # characters of a value
Described = dict[str, tuple[str, Any]]

_HELP = {
    "shape": "each shape is a trace: pad to one of a few lengths, or loop with nbgrad.scan",
    "dtype": "cast it before the call",
    "kind": "pass it the same way each time, as an array or as a number",
    "value": "a setting: pass what is a quantity as a float or an array, and take few values of the "
    "others",
    "nesting": "nest arguments the same way each time",
    "outside": "pass what changes as an argument",
}


class History:
    """What a function was traced for, from its second trace until it has been warned of."""

    def __init__(self) -> None:
        self.count = 1
        self.kept: list[Described] = []

    def note(
        self,
        f: Callable[..., Any],
        traced: tuple[Sequence[Any], Any, Collection[int]],
        limit: int,
    ) -> bool:
        """Note a new trace of *f*: the leaves and structure it is of, and which integers are inputs.

        Whether the warning is due.
        """
        self.count += 1
        self.kept = [*self.kept[1 - MAX_KEPT :], _described(f, *traced)]
        return self.count >= limit

    def warn(self, f: Callable[..., Any], before: Reader | None) -> None:
        """Say what changes.

        *before* read what is outside for the last trace of the same arguments, if there was one.
        """
        name = getattr(f, "__name__", type(f).__name__)
        change = _change(self.kept, before)
        text = RETRACED.format(name=name, count=self.count, change=change)
        warnings.warn(text, RetraceWarning, stacklevel=calls_to_user())


def _change(kept: list[Described], before: Reader | None) -> str:
    """The argument that took the most forms, and how it changed last; else what is outside."""
    now = kept[-1]
    last = next((d for d in reversed(kept) if d != now), now)
    if any(d.keys() != now.keys() for d in kept):
        if last.keys() != now.keys():
            gone, come = (", ".join(a.keys() - b.keys()) for a, b in ((last, now), (now, last)))
            return f"the arguments: {gone or 'nothing'} -> {come or 'nothing'}; {_HELP['nesting']}"
    else:
        forms = {name: len({d[name] for d in kept}) for name in now}
        name = max(forms, key=lambda n: (forms[n], now[n] != last[n]), default="")
        if forms.get(name, 1) > 1:
            last = next(d for d in reversed(kept) if d[name] != now[name])
            kind, shown = _difference(last[name], now[name])
            how = f"argument {name!r} ({forms[name]} different ones)"
            return f"{how}: {kind} {shown}; {_HELP[kind]}"
    changed = changed_outside(before) if before is not None else "what it reads from outside"
    return f"{changed}; {_HELP['outside']}"


def _difference(last: Any, now: Any) -> tuple[str, str]:
    """In what two forms of an argument differ, and both of them."""
    (kind, a), (other, b) = last, now
    if kind != other:
        return "kind", f"{_form(last)} -> {_form(now)}"
    if kind in ("value", "nesting"):
        return kind, f"{_cut(a)} -> {_cut(b)}"
    for word, x, y in zip(("shape", "dtype"), a, b, strict=False):
        if x != y:
            return word, f"{x} -> {y}"
    return "kind", f"{_form(last)} -> {_form(now)}"


def _form(x: Any) -> str:
    kind, held = x
    return f"{kind} {_cut(held)}" if kind == "value" else f"{kind} of {' '.join(map(str, held))}"


def _cut(x: Any) -> str:
    text = x if isinstance(x, str) else repr(x)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _described(
    f: Callable[..., Any], leaves: Sequence[Any], structure: Any, free: Collection[int]
) -> Described:
    """What a trace depends on, by the names of the arguments."""
    names = names_of_leaves(f, structure)
    found: Described = {}
    for k, (name, x) in enumerate(zip(names, leaves, strict=True)):
        whole = x.__class__ is int and k not in free
        found[name] = ("value", repr(x)) if whole else _kind_of(x)
    positional, keywords = structure[2]
    given = names_of_positions(f, len(positional[2]))
    for name, part in (
        *zip(given, positional[2], strict=True),
        *zip(keywords[1], keywords[2], strict=True),
    ):
        if part != LEAF and part[0] == STATIC:
            held = part[2].value if part[2].__class__ is Same else part[2]
            found[name] = "value", _cut(held)
        elif part != LEAF:
            found.setdefault(name, ("nesting", _cut(str(_outline(part)))))
    return found


def _kind_of(x: Any) -> tuple[str, Any]:
    if isinstance(x, Tensor):
        aval, flag = x._node.aval, describe(x)[2:]
        return "a tensor", (aval.shape, aval.dtype, "that requires grad" if flag else "", *flag)
    if isinstance(x, (np.ndarray, np.generic)):
        kind = "an array" if isinstance(x, np.ndarray) else "a NumPy scalar"
        return kind, (x.shape, x.dtype)
    return "a number", ((), x.__class__.__name__)


def _outline(structure: Any) -> Any:
    """The nesting of an argument, to be shown and compared."""
    if structure == LEAF:
        return "*"
    kind, keys, content = structure
    if kind == STATIC:
        return _cut(content.value if content.__class__ is Same else content)
    parts = [_outline(part) for part in content]
    if keys.__class__ is Held:  # an object: how its parts are reached, and what it holds besides
        return kind.__qualname__, dict(zip(steps(structure), parts, strict=True)), keys.rest
    return dict(zip(keys, parts, strict=True)) if keys is not None else parts


# ------------------------------------------------------------------------------- what is outside

_PATHS = [
    (re.compile(r"(v\d+)\.cell_contents"), "{label!r}, a variable of an enclosing function"),
    (re.compile(r"(v\d+)\.__dict__\['([^']*)'\]"), "the attribute {name!r} of {kind}"),
    (re.compile(r"(v\d+)\['([^']*)'\]"), "the global {name!r}"),
    (re.compile(r"(v\d+)\[(v\d+)\]"), "item {key} of {kind}"),
    (re.compile(r"(v\d+)\.(\w+)"), "the attribute {name!r} of {kind}"),
]


def changed_outside(reader: Reader) -> str:
    """What *reader* has met that is not as it was, and how it changed."""
    test = next((t for t in reader.tests if not reader._holds(t)), None)
    if test is None:
        return "what it reads from outside"
    space = reader.space
    called = re.fullmatch(r"(v\d+)\(\)", test)
    path = reader.labels.get(called[1], "") if called else test.lstrip("(").split(" is ")[0]
    shown = _place(path, reader) if path else "the elements of an array or container"
    value = re.search(r"== (v\d+)\)$", test)
    if value is None:
        return shown if not called or not path else f"the elements of {shown}"
    try:
        now = eval(path, space)
    except Exception:  # what the name was is gone, or a descriptor of the user's raises
        return shown
    return f"{shown}: {_cut(space[value[1]])} -> {_cut(now)}"


def _place(path: str, reader: Reader) -> str:
    for pattern, text in _PATHS:
        if found := pattern.match(path):
            held = reader.space[found[1]]
            name = found[2] if len(found.groups()) > 1 else ""
            key = _cut(reader.space.get(name, name))
            label = reader.labels.get(found[1], "")
            kind = held.__name__ if isinstance(held, type) else f"a {type(held).__name__}"
            return text.format(label=label, name=name, key=key, kind=kind)
    return "what it reads from outside"
