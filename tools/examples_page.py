"""An example for each public function whose docstring has none: writes tensors/examples.txt.

    python tools/examples_page.py --write

The call is the first of the declaration's ``cases`` that can be written out, with operands of one
decimal; what it prints is what it gave here. ``tensors/describe.py`` puts it into the docstring, and
tests/docs/test_docstrings.py runs it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from draws import OF_TESTS, Draw  # noqa: E402

import nbgrad as ng  # noqa: E402
from nbgrad.core.lookup import load_vocabulary  # noqa: E402
from nbgrad.core.registry import PublicFunction, functions, primitives  # noqa: E402
from nbgrad.ops.kinds.elementwise import arity  # noqa: E402
from nbgrad.tensors.naming import has_in_place  # noqa: E402

FILE = ROOT / "src" / "nbgrad" / "tensors" / "examples.txt"
WIDTH = 88
PREFIX = {"numpy": "ng."}


class Unwritable(Exception):
    """A value that has no short spelling."""


class Short(Draw):
    """Draws of one decimal, which read well."""

    def __getattribute__(self, name: str) -> Any:
        held = super().__getattribute__(name)
        if name in ("real", "positive", "unit", "distinct"):
            return lambda *shape: rounded(held(*shape))
        return held

    def __call__(self, *shape: int) -> Any:
        return rounded(super().__call__(*shape))


def rounded(x: Any) -> Any:
    return np.round(np.asarray(x), 1) + 0.0


def spelled(x: Any) -> str:
    """*x* as a reader would type it."""
    if isinstance(x, np.ndarray):
        if x.size == 0 or x.size > 18 or x.dtype.kind not in "fiubc":
            raise Unwritable
        near = x if x.dtype.kind in "iub" else np.round(x, 3) + 0.0
        return repr(near.tolist()).replace("nan", "np.nan").replace("inf", "np.inf")
    if isinstance(x, np.generic):
        return spelled(x.item())
    if x is Ellipsis:
        return "..."
    if x is None or isinstance(x, (bool, int, str, slice)):
        return repr(x)
    if isinstance(x, float) and np.isfinite(x):
        return repr(x)
    if isinstance(x, tuple):
        inner = ", ".join(map(spelled, x))
        return f"({inner},)" if len(x) == 1 else f"({inner})"
    if isinstance(x, list):
        return f"[{', '.join(map(spelled, x))}]"
    raise Unwritable


def of_function(f: PublicFunction) -> Iterator[tuple[Any, Any]]:
    """The calls that tests make of a declared function."""
    if f.cases is not None:
        yield from f.cases(Short(f"{f.namespace}.{f.name}"))


def of_primitive(prim: Any) -> Iterator[tuple[Any, Any]]:
    """Three operands from where the operation is defined, or where tests look."""
    rng = np.random.default_rng(1)
    if prim.cases:
        return
    domain = prim.domain or ((-2.0, 2.0),)
    count = arity(prim)
    ranges = domain if len(domain) == count else domain * count
    yield tuple(of_range(rng, low, high) for low, high in ranges[:count]), {}
    yield tuple(np.array([4, 7, 2]) + k for k in range(count)), {}
    yield tuple(np.array([True, False, True]) ^ bool(k) for k in range(count)), {}


def of_range(rng: Any, low: Any, high: Any) -> Any:
    if isinstance(low, int):
        return rng.integers(low, high, 3)
    ends = sorted((float(np.clip(low, -4.0, 4.0)), float(np.clip(high, -4.0, 4.0))))
    return np.round(np.sort(rng.uniform(*ends, 3)), 1) + 0.0


def lines(function: str, args: Any, kwargs: Any, method: bool) -> str:
    """The call and what it prints, or an error; long operands are named first."""
    parts = [*map(spelled, args), *(f"{k}={spelled(v)}" for k, v in kwargs.items())]
    in_place = function.endswith("_")
    if in_place:
        parts = [f"ng.tensor({parts[0]})"]
    first = f"ng.tensor({parts.pop(0)})" if method else ""
    source = f"{first}{function}({', '.join(parts)})"
    before = []
    if len(source) > WIDTH:
        if method or len(args) > 3:
            raise Unwritable
        names = "abc"[: len(args)]
        before = [f"{n} = {p}" for n, p in zip(names, parts, strict=False)]
        source = f"{function}({', '.join([*names, *parts[len(args) :]])})"
    given = {"ng": ng, "np": np}
    for line in before:
        exec(line, given)
    result = eval(source, given)
    shown = repr(result)
    if result is None or " at 0x" in shown or len(shown) > 500 or len(source) > WIDTH:
        raise Unwritable
    shown = "\n".join(line or "<BLANKLINE>" for line in shown.split("\n"))
    return "\n".join([*(f">>> {line}" for line in before), f">>> {source}", shown])


def example(target: str, calls: Iterator[tuple[Any, Any]], method: bool) -> str | None:
    for args, kwargs in calls:
        try:
            return lines(target, args, kwargs, method)
        except (Unwritable, TypeError, ValueError, AttributeError, IndexError):
            continue
    return None


def spelling(namespace: str, name: str) -> str:
    return (
        f".{name}"
        if namespace == "tensor"
        else f"{PREFIX.get(namespace, f'ng.{namespace}.')}{name}"
    )


def rows() -> Iterator[tuple[str, str, Iterator[tuple[Any, Any]]]]:
    """Namespace, name and calls of every declared function; an alias has those of what it names."""
    load_vocabulary()
    for p in primitives.values():
        if p.public:
            yield p.namespace, p.name, of_primitive(p)
            if has_in_place(p):
                # The dtype of the tensor has to hold the result: floating-point operands only.
                floats = (c for c in of_primitive(p) if c[0][0].dtype.kind == "f")
                yield "numpy", f"{p.name}_", floats
    for namespace, held in functions.items():
        main = {f.implementation: f for f in held.values() if f.cases is not None}
        for f in held.values():
            yield namespace, f.name, of_function(main.get(f.implementation, f))


def collect() -> tuple[dict[str, str], list[str]]:
    """Examples by ``namespace.name``, and what has none."""
    found: dict[str, str] = {}
    missing: list[str] = []
    for namespace, name, calls in rows():
        if name.startswith(OF_TESTS):  # what it calls may be gone with its test
            continue
        text = example(spelling(namespace, name), calls, namespace == "tensor")
        if text is None:
            missing.append(f"{namespace}.{name}")
        else:
            found[f"{namespace}.{name}"] = text
    return dict(sorted(found.items())), missing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the file")
    found, missing = collect()
    if parser.parse_args().write:
        FILE.write_text("\n\n".join(f"# {name}\n{text}" for name, text in found.items()) + "\n")
    print(f"{len(found)} examples, none for {len(missing)}: {', '.join(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
