"""Kernel text without Numba: kinds and operators as Numba has them, statements as Python has them."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import operator

import numpy as np
import pytest
from subprocesses import run

from nbgrad.machine.compile import compile_kernel
from nbgrad.machine.frontend import kinds, modules
from nbgrad.machine.frontend.kinds import Unsupported
from nbgrad.machine.intrinsics import plain_namespace
from nbgrad.machine.request import Request

NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
PAIRS = list(itertools.product(NUMBERS, NUMBERS))
DTYPES = {code: np.dtype("?" if code == "b1" else code) for code in NUMBERS}


def kernel(source, *signature, **options):
    return compile_kernel(source, source.split("def ")[1].split("(")[0], signature, **options)


def words(*arrays):
    return np.array([a.ctypes.data for a in arrays], np.int64)


@pytest.fixture(scope="module")
def numba_kind():
    """What Numba says that an operator returns for operands of some kinds."""
    from nbgrad.machine.numba_forms import _CODES, SCALARS
    from nbgrad.machine.numba_inside import _context as context

    typing = context.typing_context
    typing.refresh()

    def ask(function, *codes):
        found = typing.resolve_value_type(function)
        given = tuple(SCALARS[code] for code in codes)
        return _CODES[typing.resolve_function_type(found, given, {}).return_type]

    ask.joined = lambda *codes: _CODES[typing.unify_pairs(*(SCALARS[code] for code in codes))]
    return ask


def test_kinds_are_numbas(numba_kind):
    for a, b in PAIRS:
        assert kinds.joined(a, b) == numba_kind.joined(a, b), (a, b)
        assert kinds.arithmetic(a, b) == numba_kind(operator.add, a, b), (a, b)
        assert kinds.divided(a, b) == numba_kind(operator.truediv, a, b), (a, b)


OPERATORS = (
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "&",
    "|",
    "^",
    "<<",
    ">>",
    "<",
    "<=",
    ">",
    ">=",
    "==",
    "!=",
)
FLOATLESS = frozenset(("//", "&", "|", "^", "<<", ">>"))
SAMPLED = ("b1", "i4", "i8", "u2", "u8", "f4", "f8")


def texts():
    """Each operator of seven of the pairs of sampled kinds, and each of one: expressions of x and y.

    All pairs were compared once; Numba takes a minute for them.
    """
    for n, op in enumerate((*OPERATORS, "max", "min", "select", "if", "cast")):
        for k, a in enumerate(SAMPLED):
            b = SAMPLED[(k + n) % len(SAMPLED)]
            x, y = f"x{a}[i]", f"y{b}[i]"
            if op in FLOATLESS and "f" in a + b:
                continue
            if op in ("<<", ">>") and b != "b1":
                y = f"({b}({y}) & {b}(7))"  # shifts by more than there are bits mean nothing in LLVM
            if op == "cast" and a[0] == "f" and b not in ("f4", "f8", "b1"):
                x = "xb1[i]"  # nor do integers of numbers that are too large
            yield {
                "max": f"max({x}, {y})",
                "min": f"min({x}, {y})",
                "select": f"select(xb1[i], {x}, {y})",
                "if": f"{x} if yb1[i] else {y}",
                "cast": f"{b}({x})",
            }.get(op, f"{x} {op} {y}")
    for a in SAMPLED:
        yield from (f"-x{a}[i]", f"not x{a}[i]", f"abs(x{a}[i])")
        if a[0] != "f":
            yield f"~x{a}[i]"


def numbers(code, seed):
    rng = np.random.default_rng(seed)
    if code == "b1":
        return rng.random(60) < 0.5
    if code[0] == "f":
        edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.0]
        return np.concatenate([edges, rng.normal(0, 3, 53)]).astype(code)
    info = np.iinfo(code)
    edges = [0, 1, info.max, info.min, max(info.min, -1)]
    found = np.concatenate([np.array(edges, code), rng.integers(0, 9, 55).astype(code)])
    return rng.permutation(found)


def test_operators_give_numbas_numbers(monkeypatch):
    """To the bit, signs of zeros included, on edges of each type: one kernel by each of the two."""
    shown = list(texts())
    params = [f"{side}{code}" for side in "xy" for code in SAMPLED]
    lines = [f"def every(lo, hi, {', '.join(params)}, o, s):", "    for i in range(lo, hi):"]
    for k, text in enumerate(shown):
        lines += [f"        o[{k} * hi + i] = f8({text})"]
    signature = [f"{code}*" for _ in "xy" for code in SAMPLED] + ["f8*", "i8"]
    given = [numbers(code, 7 * k + n) for k in range(2) for n, code in enumerate(SAMPLED)]
    source, results = "\n".join(lines), []

    def refuse(request):
        raise Unsupported("this one is for Numba")

    for by_numba in (False, True):
        if by_numba:
            monkeypatch.setattr(modules, "module_of", refuse)
            source += "\n"  # another key
        o = np.zeros((len(shown), 60))
        kernel(source, *signature)(0, 60, np.append(words(*given, o), 0))
        results.append(o)
    ours, numbas = results
    for text, a, b in zip(shown, ours, numbas, strict=True):
        assert np.array_equal(a, b, equal_nan=True), (text, a, b)
        assert np.array_equal(np.signbit(a[a == 0]), np.signbit(b[b == 0])), text


STATEMENTS = """
def walk(lo, hi, x, o, step):
    first, last = lo, hi
    k = f4(first)
    k = i8(last) - first
    for i in range(last - 1, first - 1, -1):
        if x[i] < 0:
            continue
        if x[i] > 90:
            break
        o[0] += i
    n = 0
    while True:
        n += 1
        if n > k:
            o[1] = n
            break
        for j in range(n):
            if j == 3:
                break
            o[2] += j if j % 2 == 0 and x[j] != 1 else -j
    for i in range(last, first, step):
        o[3] += i
    for a, b in ((1, 2), (3, k)):
        o[4] += a * b
    found = first <= x[0] < last or not x[1] > 3
    if found:
        pass
    elif k == 3:
        o[5] = 7
    else:
        o[5] = 8
    o[6] = i8(1 if found else 2) << 3 | 1
    while k > 0:
        k -= 3
        if k == 2:
            return
    o[7] = k
"""


@pytest.mark.parametrize("step", [-2, 0, 3])
@pytest.mark.parametrize("seed", range(4))
def test_statements_do_what_they_do_in_python(seed, step):
    x = np.random.default_rng(seed).integers(-3, 99 if seed < 2 else 9, 10 + seed)
    names = plain_namespace()
    exec(STATEMENTS, names)
    expected, o = np.zeros(8, np.int64), np.zeros(8, np.int64)
    start = 0 if step < 0 else x.size + 5  # a range of Python's takes no step of 0
    source = STATEMENTS.replace(
        "range(last, first, step)", f"range({start} * 1 + last, first, step)"
    )
    if step:
        exec(source, names)
        names["walk"](0, x.size, x, expected, step)
    kernel(source, "i8*", "i8*", "i8")(0, x.size, np.append(words(x, o), step))
    if not step:
        assert o[3] == 0
    else:
        assert o.tolist() == expected.tolist()


def request(source, *params, result=None):
    name = source.split("def ")[1].split("(")[0]
    return Request("key", "symbol", source, name, params, result, False, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("o[0] = absent", "the name absent"),
        ("o[0] = [1, 2][0]", "List"),
        ("o[0] = 'x'", "constant 'x'"),
        ("o[0] = 1 << 70", "no 64 bits|<<"),
        ("o[0] = lo and hi", "'and' or 'or' of i8"),
        ("o[0] = max(lo, key=hi)", "keywords"),
        ("for i in range(lo):\n        k = i\n        k = 1.5", "k is i8 and f8"),
        ("with lo:\n        pass", "With"),
        ("return lo", "where one of kind none is wanted"),
    ],
)
def test_what_is_not_known_is_said(text, said):
    if "70" in text:
        text = "o[0] = 1180591620717411303424"
    with pytest.raises(Unsupported, match=said):
        modules.module_of(request(f"def f(lo, hi, o):\n    {text}\n", "i8", "i8", "i8*"))


def test_numba_translates_what_is_not_known():
    source = (
        "def turned(lo, hi, x, o):\n    for i in range(lo, hi):\n        o[i] = x[i] * c16(2)\n"
    )
    x, o = np.array([1 + 2j, 3j]), np.zeros(2, complex)
    kernel(source, "c16*", "c16*")(0, 2, words(x, o))
    assert o.tolist() == [2 + 4j, 6j]


def test_helpers_whose_source_is_another_are_left_to_numba(tmp_path):
    """A file that was changed since it was imported: what was imported counts."""
    path = tmp_path / "helping.py"
    path.write_text("def helped(x):\n    return x + 1.0\n")
    spec = importlib.util.spec_from_file_location("helping", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path.write_text("def helped(x):\n    return x + 2.0\n")
    with pytest.raises(Unsupported, match="not at hand"):
        modules.source_of(module.helped)
    o = np.zeros(1)
    source = "def once(lo, hi, o):\n    o[0] = helped(o[0])\n"
    kernel(source, "f8*", helpers={"helped": module.helped})(0, 1, words(o))
    assert o[0] == 1.0


def test_recursion_and_wrong_numbers_of_operands_are_refused():
    with pytest.raises(Unsupported, match="calls itself"):
        modules.translated(endless, ("f8",))
    with pytest.raises(Unsupported, match="called with 2 operands"):
        modules.translated(endless, ("f8", "f8"))


def endless(x):
    return endless(x) + 1.0


def test_helpers_that_were_given_up_leave_no_symbol_to_others():
    """One that calls another, and then says what is not known, is forgotten; that one is not."""
    with pytest.raises(Unsupported, match="'x'"):
        modules.translated(given_up, ("f8",))
    kinds = ("f8", "f4", "i8")
    assert len({modules.translated(doubled, (kind,)).symbol for kind in kinds}) == len(kinds)


def doubled(x):
    return x + x


def given_up(x):
    return doubled(x) + "x"


def test_every_helper_is_known():
    """None of what kernels may call needs Numba."""
    from nbgrad.machine.scalar import HELPERS

    for name, helper in HELPERS.items():
        if helper not in modules.BY_PLAIN:
            node = modules.source_of(helper)
            assert isinstance(node, ast.FunctionDef), name


def test_programs_are_compiled_without_numba(tmp_path):
    text = """
        import nbgrad as ng
        ng.configure(deterministic=True)
        def f(x):
            y = np.sin(x) @ np.cos(x) + np.tanh(x).max() + ng.special.erf(x).sum()
            return y + np.linalg.solve(np.eye(3) * 2 + np.outer(x, x), x).sum()
        print(ng.jit(ng.grad(f))(np.arange(3.0)).shape, "numba" in sys.modules)
    """
    assert run(text, NBGRAD_CACHE_DIR=tmp_path) == "(3,) False\n"
