"""Which of NumPy's numeric functions nbgrad has and differentiates: writes docs/coverage.md.

    python tools/numpy_coverage.py           print what is missing
    python tools/numpy_coverage.py --write   write the page

The peers' columns come from ``peers.json``, which ``measure_peers.py`` measures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from listed_calls import (
    Call,
    declaration,
    floating,
    listed_calls,
    nests,
    same_function,
    with_floating,
)
from numpy_names import (
    EXCLUDED,
    LEFT_OUT,
    MODULES,
    NUMPYS_OWN,
    excluded,
    named_in_the_issue,
    numeric_functions,
)

import nbgrad
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.node import constant
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import writers
from nbgrad.ops.kinds.elementwise import arity

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "coverage.md"
PEERS = Path(__file__).with_name("peers.json")

TESTED, ELSEWHERE, CONSTANT = "tested", "elsewhere", "constant"
UNTESTED, MISSING = "untested", "missing"
OBJECTS = {"vectorize", "r_", "c_"}  # classes and subscripted objects, with tests of their own
SMOOTH = (TESTED, ELSEWHERE, UNTESTED)
CELLS = {
    TESTED: "orders 1 and 2",
    ELSEWHERE: "in a test of its own",
    CONSTANT: "none to take",
    UNTESTED: "not in the tests",
    MISSING: "**missing**",
}


@dataclass(frozen=True)
class Row:
    """A function of the list: where it is, and what nbgrad makes of it.

    ``status`` says what the table-driven tests do with its derivative: TESTED at orders 1 and 2;
    CONSTANT, because the result is integer or boolean or depends on no array; UNTESTED; MISSING.
    """

    module: str
    name: str
    status: str
    complex: bool

    @property
    def label(self) -> str:
        return self.name if self.module == "numpy" else f"{self.module}.{self.name}"

    @property
    def title(self) -> str:
        """As NumPy spells it, for the peers' lists."""
        return f"numpy.{self.label}"


def row(module: str, name: str) -> Row:
    """Look *name* up in the namespace, and in the registry for what tests do with it."""
    held = getattr(getattr(nbgrad, module), name, None)
    if held is None or (
        held is getattr(MODULES.get(module), name, None) and name not in NUMPYS_OWN
    ):
        return Row(module, name, MISSING, False)
    declared = declaration(module, name, getattr(MODULES.get(module), name, None))
    if name in OBJECTS or getattr(declared, "implementation", None) in writers:
        return Row(module, name, ELSEWHERE, False)
    if isinstance(declared, Primitive):
        return Row(module, name, TESTED if declared.vjp else CONSTANT, complex_loop(declared))
    if declared is None:
        return Row(module, name, CONSTANT, False)
    same = same_function(declared)
    if not same:
        return Row(module, name, UNTESTED if declared.differentiable else CONSTANT, False)
    tested = TESTED if declared.differentiable else ELSEWHERE
    status = tested if any(map(tracks(held), listed_calls(declared))) else CONSTANT
    return Row(module, name, status, any(f.complex for f in same) and status == TESTED)


def complex_loop(prim: Primitive) -> bool:
    """Whether it has a derivative and takes complex numbers, so that its test differentiates those."""
    if prim.vjp is None or prim.kind != "elementwise":
        return False
    try:
        prim(*[constant(np.ones(2, complex)) for _ in range(arity(prim))])
    except TypeError:
        return False
    return True


def tracks(function: Any) -> Callable[[Call], bool]:
    """Whether a call of *function* has a derivative to take: the tests that compare it do then."""

    def of_call(nest: Call) -> bool:
        tensors = [nbgrad.tensor(a, requires_grad=True) for a in floating(nest)]
        args, kwargs = with_floating(nest, iter(tensors))
        found = function(*args, **kwargs)
        return any(y.requires_grad for y in nests.leaves(found) if isinstance(y, nbgrad.Tensor))

    return of_call


def rows() -> list[Row]:
    """Every function of NumPy's lists."""
    load_vocabulary()
    return [row(module, name) for module, names in numeric_functions().items() for name in names]


def issue_rows() -> list[tuple[Row, bool]]:
    """Every function that the issue names beside NumPy's, and whether it may be left out."""
    load_vocabulary()
    return [
        (row(module, name), optional)
        for module, names in named_in_the_issue().items()
        for name, optional in names.items()
    ]


# ------------------------------------------------------------------------------------------- page


def percent(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)"


def summary(found: list[Row], peers: dict[str, Any]) -> Iterator[str]:
    names = {r.title for r in found}
    smooth = {r.title for r in found if r.status in SMOOTH}
    here = {r.title for r in found if r.status != MISSING}
    tested = {r.title for r in found if r.status in (TESTED, ELSEWHERE)}
    yield "| library | has | differentiates |"
    yield "|---|---|---|"
    yield f"| nbgrad | {percent(len(here), len(names))} | {percent(len(tested), len(smooth))} |"
    for peer, data in peers.items():
        has, differs = set(data["has"]) & names, set(data["differentiates"]) & smooth
        yield (
            f"| {peer} {data['version']} | {percent(len(has), len(names))} | "
            f"{percent(len(differs), len(smooth))} |"
        )


def mark(title: str, data: dict[str, Any], smooth: bool) -> str:
    if title not in data["has"]:
        return ""
    return "value" if smooth and title not in data["differentiates"] else "yes"


def table(found: list[Row], peers: dict[str, Any]) -> Iterator[str]:
    yield f"| function | derivative in nbgrad | complex | {' | '.join(peers)} |"
    yield f"|---|---|---|{'---|' * len(peers)}"
    for r in found:
        smooth = r.status in SMOOTH
        others = " | ".join(mark(r.title, data, smooth) for data in peers.values())
        yield f"| `{r.label}` | {CELLS[r.status]} | {'yes' if r.complex else ''} | {others} |"


INTRODUCTION = """\
# Coverage of NumPy

Made by `python tools/numpy_coverage.py --write` from the registry; a test compares.

The list is `numpy.__all__`, `numpy.linalg.__all__` and `numpy.fft.__all__` of NumPy {version}, the
functions that have a meaning for numbers; what is left out is at the end, with the reason.
*Orders 1 and 2*: `tests/vocabulary/test_functions.py` or `tests/ops/test_primitives.py` compares its first and
second derivatives with finite differences, *complex* says that it does so for complex arrays too.
*In a test of its own*: functions that write into an array (`tests/vocabulary/test_writing.py`), that are
classes or subscripted, or whose listed calls have no finite differences.
*None to take*: the result is integer or boolean, or depends on no array's values.
For the peers, *yes* means that a call from our tests ran and that its gradient, where there is one
to take, was finite; *value*, that only the value came.
"""


def page() -> str:
    """The text of docs/coverage.md."""
    found = rows()
    peers = json.loads(PEERS.read_text()) if PEERS.exists() else {}
    lines = [INTRODUCTION.format(version=release()), *summary(found, peers), ""]
    for module in numeric_functions():
        full = "numpy" if module == "numpy" else f"numpy.{module}"
        lines += [f"## {full}", "", *table([r for r in found if r.module == module], peers), ""]
    lines += ["## Asked for beside NumPy's lists", "", "| function | derivative | complex |"]
    lines += ["|---|---|---|"]
    lines += [
        f"| `{r.module}.{r.name}` | {left_out(r, optional) or CELLS[r.status]} "
        f"| {'yes' if r.complex else ''} |"
        for r, optional in issue_rows()
    ]
    lines += ["", "## Not counted", ""]
    lines += [
        f"- {why}: {', '.join(f'`{n}`' for n in names.split())}."
        for why, names in EXCLUDED.items()
    ]
    return "\n".join([*lines, "- classes, constants and modules.", ""])


def left_out(r: Row, optional: bool) -> str:
    """Why an optional function is missing, if it is."""
    return f"left out: {LEFT_OUT[r.name]}" if r.status == MISSING and optional else ""


def release() -> str:
    """NumPy's version without the patch: its list of names does not change with that."""
    return ".".join(np.__version__.split(".")[:2])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    if parser.parse_args().write:
        PAGE.write_text(page())
    found = rows()
    for status in (MISSING, UNTESTED):
        names = [r.label for r in found if r.status == status]
        print(f"{status} ({len(names)} of {len(found)}): {' '.join(names)}")
    asked = [f"{r.module}.{r.name}" for r, o in issue_rows() if r.status in (MISSING, UNTESTED)]
    print(f"asked for and missing or not in the tests: {' '.join(asked)}")
    print(f"excluded: {len(excluded())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
