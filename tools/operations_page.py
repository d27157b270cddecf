"""Every public operation, its derivative, domain and source: writes docs/operations.md.

    python tools/operations_page.py --write

Nothing here knows an operation: names, formulas and domains are read from the declarations.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbgrad.ops
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import PublicFunction, functions, primitives, writers
from nbgrad.ops.kinds.forms import Expression
from nbgrad.program.cost import SCALAR_CALLS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "operations.md"
ACCURACY = ROOT / "tests" / "support" / "data" / "accuracy.json"
HEAD = "| operation | meaning | derivative | domain | kernel | source |"
TITLES = {
    "numpy": "nbgrad.numpy",
    "tensor": "Methods of tensors beside NumPy's",
}
INTRODUCTION = """\
# Operations

Made by `python tools/operations_page.py --write` from the declarations; a test compares.

*Derivative* is the declaration's own text, one expression per operand in operations of nbgrad, so
every order follows: `out` is the result, `None` stands for an operand that has no derivative.
*Composed*: the function is written in other operations and inherits theirs. *Adjoint*: the operation
is linear. *Rule*: its file has a rule of more than one expression. *Domain* is where tests draw
operands. Results that are integer or boolean have no derivative (*none*).

*Kernel* says how an elementwise operation is computed in compiled programs: *fused*, in one loop with
its neighbours that is vector code; *calls*, in that loop too, by a function of scalars (SciPy's, or a sum
of as many terms as it takes); otherwise why its NumPy reference is called between the kernels. Whatever
has a kernel, numbers that are complex, float16 or longer than float64 go through the reference.
"""


# ------------------------------------------------------------------------------------ derivatives


def derivative(prim: Primitive) -> str:
    """What the declaration can tell of the derivative."""
    if prim.vjp is None:
        return "none"
    if prim.kind == "linear":
        return "adjoint"
    if prim.kind == "bilinear":
        return "product rule"
    text = formula(prim.partials) if prim.partials is not None else None
    return f"`{text}`" if text is not None else "rule"


def formula(partials: Callable[..., Any]) -> str | None:
    """The expressions that *partials* returns, if it is a lambda or has nothing but a return."""
    try:
        source = textwrap.dedent(inspect.getsource(partials))
    except (OSError, TypeError):
        return None
    found = parsed_lambda(source) if "lambda" in source.split("\n")[0] else parsed_def(source)
    if found is None:
        return None
    parts = found.elts if isinstance(found, ast.Tuple) else [found]
    text = ", ".join(ast.unparse(part) for part in parts)
    return text if len(text) <= 90 and "|" not in text else None


def parsed_lambda(source: str) -> ast.expr | None:
    """The body of the first lambda of *source*, which may go on after it."""
    text = source[source.index("lambda") :]
    for end in range(len(text), 0, -1):
        try:
            tree = ast.parse(f"({text[:end]})", mode="eval").body
        except SyntaxError:
            continue
        if isinstance(tree, ast.Lambda):  # a tuple means that what follows was read with it
            return tree.body
    return None


def parsed_def(source: str) -> ast.expr | None:
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return None
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
        return None
    lines = [s for s in body[0].body if not isinstance(s, ast.Expr)]
    only = lines[0] if len(lines) == 1 else None
    return only.value if isinstance(only, ast.Return) else None


# ------------------------------------------------------------------------------------------ rows


def declared_in() -> dict[int, str]:
    """The module that declares each primitive, by the primitive's id."""
    found: dict[int, str] = {}
    for info in pkgutil.walk_packages(nbgrad.ops.__path__, "nbgrad.ops."):
        if info.ispkg:
            continue
        module = importlib.import_module(info.name)
        source = inspect.getsource(module)
        for value in vars(module).values():
            if isinstance(value, Primitive) and f'"{value.name}"' in source:
                found.setdefault(id(value), module.__name__)
    return found


def interval(low: Any, high: Any) -> str:
    integers = isinstance(low, int)
    return f"{low}..{high - 1}" if integers else f"[{low:g}, {high:g}]"


def summary(doc: str | None) -> str:
    """The first sentence of a docstring, on one line."""
    text = " ".join((doc or "").split("\n\n")[0].split())
    return text.replace("|", "\\|")


def kernel(prim: Primitive) -> str:
    """How programs compute an elementwise operation; nothing of others."""
    lower = prim.lower
    if not isinstance(lower, Expression):
        return ""
    if lower.host:
        return f"none: {lower.host}"
    text = lower.text(prim.cases[0]) if callable(lower.text) else lower.text
    return "calls" if any(prefix in text for prefix in SCALAR_CALLS) else "fused"


def of_primitive(prim: Primitive, home: str) -> str:
    domain = ", ".join(interval(*bounds) for bounds in prim.domain)
    parts = (summary(prim.doc), derivative(prim), domain, kernel(prim), link(home))
    return f"| `{prim.name}` | {' | '.join(parts)} |"


def of_function(f: PublicFunction) -> str:
    kind = "composed" if f.differentiable else "none"
    if f.implementation in writers:
        kind = "composed; writes"
    doc = summary(f.implementation.__doc__)
    home = inspect.unwrap(f.implementation).__module__
    prim = primitives.get(f.name)
    how = kernel(prim) if prim is not None and prim.namespace == f.namespace else ""
    kind += ", complex" if f.complex else ""
    return f"| `{f.name}` | {doc} | {kind} | | {how} | {link(home)} |"


def link(module: str) -> str:
    """The file that declares it."""
    path = Path("src", *module.split(".")).with_suffix(".py")
    return f"[{path.stem}](../{path.as_posix()})" if (ROOT / path).exists() else ""


def rows(namespace: str, homes: dict[int, str]) -> Iterator[str]:
    held = functions.get(namespace, {})
    found = {name: of_function(f) for name, f in held.items()}
    for prim in primitives.values():
        if prim.public and prim.namespace == namespace and prim.name not in found:
            found[prim.name] = of_primitive(prim, homes.get(id(prim), ""))
    yield from (found[name] for name in sorted(found, key=str.lower))


ACCURACY_TEXT = """\
## Accuracy of derivatives

Bounds of the error of the first and the second derivative in float64 on every tier, measured against mpmath at
points over the whole range, exponents included, by `python tests/support/accuracy.py`; a test measures again. The
error is relative to the derivative itself, wherever that is a normal number (above 2.3e-308). From
`logaddexp` on, what one rounding of the operand changes is allowed beyond it: next to a zero of the
derivative nothing better can be said. Where a function takes several operands, the others are as
shown and the derivative is by `x`. The special functions that are not listed have first derivatives
within 1e-12 plus eight such roundings (`tests/ops/test_special.py`).

| operation | between | first | second |
|---|---|---|---|"""


def accuracy() -> Iterator[str]:
    """Rows of the table of measured bounds."""
    data = json.loads(ACCURACY.read_text())
    for row in data.values():
        low, high = row["range"]
        first, second = (f"{b:.0e}" for b in row["bound"])
        yield f"| `{row['shown']}` | {low:g}, {high:g} | {first} | {second} |"


def page() -> str:
    """The text of docs/operations.md."""
    load_vocabulary()
    homes = declared_in()
    lines = [INTRODUCTION]
    for namespace in sorted({*functions, *(p.namespace for p in primitives.values() if p.public)}):
        title = TITLES.get(namespace, f"nbgrad.{namespace}")
        lines += [f"## {title}", "", HEAD]
        lines += ["|---|---|---|---|---|---|", *rows(namespace, homes), ""]
    lines += ["## Primitives that other operations are made of", ""]
    lines += [HEAD, "|---|---|---|---|---|---|"]
    inner = [p for p in primitives.values() if not p.public and p.registered]
    lines += [of_primitive(p, homes.get(id(p), "")) for p in sorted(inner, key=lambda p: p.name)]
    return "\n".join([*lines, "", ACCURACY_TEXT, *accuracy(), ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--check", action="store_true", help="fail if it would change")
    text, options = page(), parser.parse_args()
    if options.write:
        PAGE.write_text(text)
    if options.check and PAGE.read_text() != text:
        print("docs/operations.md is out of date: run python tools/operations_page.py --write")
        return 1
    print(f"{text.partition('## Accuracy')[0].count('| `')} operations")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
