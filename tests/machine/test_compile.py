"""The kernel compiler: types, intrinsics, helpers, keys, errors, unloading."""

from __future__ import annotations

import ctypes
import gc
import itertools
import math
import sys
import threading

import numpy as np
import pytest
from subprocesses import run

from nbgrad.machine import bounds, elf, intrinsics, lljit, loading
from nbgrad.machine.cache import default_cache
from nbgrad.machine.compile import compile_kernel, forget, is_cached, native
from nbgrad.machine.request import Request
from nbgrad.machine.vecmath.bits import f8_as_i8, i8_as_f8

BOTH_LINKERS = pytest.mark.parametrize("here", sorted({False, elf.HERE}))
CODES = ("f8", "f4", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1", "c16", "c8")


def words(*values):
    """The argument table for arrays and scalars; each takes one word."""
    table = np.zeros(len(values), np.int64)
    for k, value in enumerate(values):
        if isinstance(value, np.ndarray):
            table[k] = value.ctypes.data
        else:
            place = table[k : k + 1].view(np.asarray(value).dtype)
            place[0] = value
    return table


def kernel(source, *signature, **options):
    name = source.split("def ")[1].split("(")[0]
    return compile_kernel(source, name, signature, **options)


@pytest.mark.parametrize("code", CODES)
def test_every_type_is_read_and_written(code):
    source = f"""
def copy_{code}(lo, hi, x, o):
    for i in range(lo, hi):
        o[i] = x[i]
"""
    x = np.arange(7).astype(code) if code != "b1" else np.arange(7) % 3 > 0
    o = np.zeros_like(x)
    kernel(source, code + "*", code + "*")(1, 6, words(x, o))
    expected = x.copy()
    expected[[0, 6]] = 0
    assert np.array_equal(o, expected)


@pytest.mark.parametrize("code", [c for c in CODES if c[0] != "c"])
def test_every_real_scalar_arrives(code):
    source = f"""
def scalar_{code}(lo, hi, s, o):
    for i in range(lo, hi):
        o[i] = s
"""
    value = np.dtype(code).type({"b": 1, "u": 200, "i": -7, "f": -0.75}[code[0]])
    o = np.zeros(3, code)
    kernel(source, code, code + "*")(0, 3, words(value, o))
    assert np.array_equal(o, np.full(3, value))


def test_complex_scalars_are_refused():
    with pytest.raises(TypeError, match="pass a pointer"):
        kernel("def f(lo, hi, s): pass", "c16")


def test_booleans_are_bytes_in_memory():
    source = """
def flags(lo, hi, x, b, o):
    for i in range(lo, hi):
        o[i] = 1 if b[i] else -1
        b[i] = x[i] > 1.0 and not b[i]
"""
    x = np.array([0.0, 1.5, 2.0])
    b, o = np.array([True, False, True]), np.zeros(3, np.int64)
    kernel(source, "f8*", "b1*", "i8*")(0, 3, words(x, b, o))
    assert o.tolist() == [1, -1, 1] and b.view(np.uint8).tolist() == [0, 1, 0]


@pytest.mark.parametrize("code", ["f8", "f4", "c16", "i8", "u4"])
def test_reduce_add_sums(code):
    source = f"""
def sum_{code}(lo, hi, x, o):
    total = {code}(0)
    for i in range(lo, hi):
        total = reduce_add(total, x[i])
    o[0] = total
"""
    x = np.random.default_rng(0).integers(0, 9, 1001).astype(code)
    o = np.zeros(1, code)
    kernel(source, code + "*", code + "*")(0, 1001, words(x, o))
    assert o[0] == x.sum()


def test_reduce_add_is_vectorised():
    """A sum in order waits for one addition an element; a vector of partial sums does not."""
    source = """
def {name}(lo, hi, x, o):
    total = 0.0
    for i in range(lo, hi):
        total = {add}
    o[0] = total
"""
    build = pytest.importorskip("nbgrad.machine.object_code").build
    bodies = {"ordered": "total + x[i]", "free": "reduce_add(total, x[i])"}
    sizes = {}
    for name, add in bodies.items():
        text = source.format(name=name, add=add)
        params = ("i8", "i8", "f8*", "f8*")
        code, needs = build(Request(name, name, text, name, params, None, False, {}))
        sizes[name] = len(code)
        assert needs == ()
    assert sizes["free"] > sizes["ordered"]


def test_bitcasts_mean_the_same_in_python_and_compiled():
    source = """
def bits(lo, hi, x, o, y, p):
    for i in range(lo, hi):
        o[i] = f8_as_i8(x[i])
        x[i] = i8_as_f8(o[i] ^ 1)
        p[i] = f4_as_i4(y[i])
        y[i] = i4_as_f4(p[i] ^ i4(1))
"""
    x, y = np.array([0.0, -1.5, np.inf]), np.array([0.0, -1.5, np.inf], np.float32)
    copies = x.copy(), np.zeros(3, np.int64), y.copy(), np.zeros(3, np.int32)
    names = intrinsics.plain_namespace()
    exec(source, names)
    names["bits"](0, 3, *copies)
    o, p = np.zeros(3, np.int64), np.zeros(3, np.int32)
    kernel(source, "f8*", "i8*", "f4*", "i4*")(0, 3, words(x, o, y, p))
    for compiled, plain in zip((x, o, y, p), copies, strict=True):
        assert compiled.tobytes() == plain.tobytes()


def test_plain_python_runs_every_name():
    names = intrinsics.plain_namespace()
    assert names["reduce_add"](1, 2) == 3
    assert names["i8_as_f8"](names["f8_as_i8"](2.5)) == 2.5
    assert set(CODES) <= set(names) and names["math"] is math


SCALE = 3.0


def scaled(x):
    return SCALE * x


def helper(x):
    return scaled(i8_as_f8(f8_as_i8(x))) + math.sqrt(x)


HELPED = """
def helped(lo, hi, x, o):
    for i in range(lo, hi):
        o[i] = helper(x[i]) - scaled(x[i])
"""


def test_helpers_may_call_helpers_and_intrinsics():
    x, o = np.arange(4.0), np.zeros(4)
    both = {
        "helper": helper,
        "scaled": scaled,
        "unused": test_helpers_may_call_helpers_and_intrinsics,
    }
    kernel(HELPED, "f8*", "f8*", helpers=both)(0, 4, words(x, o))
    assert np.allclose(o, np.sqrt(x))


def test_helpers_compile_where_numba_is_told_not_to(tmp_path):
    text = """
        from nbgrad.machine.vecmath.exponential import exp_f8
        source = "def f(lo, hi, x):\\n    for i in range(lo, hi):\\n        x[i] = max(min(lo, hi), exp_f8(x[i]))"
        x = np.zeros(3)
        k = compile_kernel(source, "f", ("f8*",), helpers={"exp_f8": exp_f8})
        k(0, 3, np.array([x.ctypes.data]))
        assert x.tolist() == [1, 1, 1] and k.origin == "compiled"
    """
    run(text, NUMBA_DISABLE_JIT=1, NBGRAD_CACHE_DIR=tmp_path)


def test_a_helpers_code_is_part_of_the_key():
    def define(body):
        names = {"SCALE": 2.0}
        exec(f"def inner(x): return {body}\ndef outer(x): return inner(x)", names)
        return names["outer"]

    source = """
def keyed(lo, hi, x):
    for i in range(lo, hi):
        x[i] = outer(x[i])
"""
    results = []
    for body in ("x + 1.0", "x + 2.0", "x * SCALE"):
        x = np.ones(1)
        compiled = kernel(source, "f8*", helpers={"outer": define(body)})
        compiled(0, 1, words(x))
        results.append((compiled.symbol, x[0]))
    assert [value for _, value in results] == [2.0, 3.0, 2.0]
    assert len({symbol for symbol, _ in results}) == 3


def test_closures_cannot_be_helpers():
    offset = 1.0
    with pytest.raises(TypeError, match="without a closure"):
        kernel("def f(lo, hi, x): x[0] = g(x[0])", "f8*", helpers={"g": lambda x: x + offset})


def test_options_are_part_of_the_key():
    source = """
def options(lo, hi, x, o):
    for i in range(lo, hi):
        o[i] = x[i]
"""
    made = [
        kernel(source, "f8*", "f8*"),
        kernel(source, "f8*", "f8*", noalias=True),
        kernel(source, "f8*", "f4*"),
        kernel(source.replace("x[i]", "+x[i]"), "f8*", "f8*"),
    ]
    assert len({k.symbol for k in made}) == 4


def test_where_a_kernel_comes_from():
    source = """
def origins(lo, hi, x):
    for i in range(lo, hi):
        x[i] = x[i] * 0.125
"""
    symbol = kernel(source, "f8*").symbol
    forget()
    default_cache().discard(symbol.removeprefix("nbgrad_"))
    gc.collect()
    assert not is_cached(source, "origins", ("f8*",))
    first = kernel(source, "f8*")
    assert is_cached(source, "origins", ("f8*",))
    second = kernel(source, "f8*")
    assert (first.origin, second.origin) == ("compiled", "memory")
    assert first.address == second.address and first.symbol == symbol
    del first, second
    gc.collect()
    assert kernel(source, "f8*").origin == "memory"  # not dropped with the last that uses it
    forget()
    assert kernel(source, "f8*").origin == "disk"


def test_noalias_is_a_promise_the_result_keeps():
    source = """
def both(lo, hi, x, y, o, p):
    for i in range(lo, hi):
        o[i] = x[i] + y[i]
        p[i] = x[i] - y[i]
"""
    x, y = np.arange(9.0), np.ones(9)
    for noalias in (False, True):
        o, p = np.zeros(9), np.zeros(9)
        kernel(source, *["f8*"] * 4, noalias=noalias)(0, 9, words(x, y, o, p))
        assert np.array_equal(o, x + y) and np.array_equal(p, x - y)
    # Without the promise an output may be an input.
    kernel(source, *["f8*"] * 4)(0, 9, words(x, y, x, o))
    assert np.array_equal(x, np.arange(9.0) + 1) and np.array_equal(o, x - 1)


def test_division_by_zero_is_as_in_numpy():
    source = """
def divide(lo, hi, x, o, i, j):
    for k in range(lo, hi):
        o[k] = 1.0 / x[k]
        j[k] = 7 // i[k]
"""
    x, i = np.array([0.0, -0.0, np.nan]), np.array([0, 2, -2])
    o, j = np.zeros(3), np.zeros(3, np.int64)
    kernel(source, "f8*", "f8*", "i8*", "i8*")(0, 3, words(x, o, i, j))
    assert o[0] == np.inf and o[1] == -np.inf and np.isnan(o[2])
    assert j.tolist() == [0, 3, -4]


def test_functions_of_numbas_run_time_work_but_stay_off_the_disk():
    source = """
def power(lo, hi, x, o):
    for i in range(lo, hi):
        o[i] = x[i] ** x[i]
"""
    x = np.array([1 + 2j, 2.0, 0.5j])
    o = np.zeros_like(x)
    made = kernel(source, "c16*", "c16*")
    made(0, 3, words(x, o))
    assert np.allclose(o, x**x)
    assert not default_cache().contains(made.symbol.removeprefix("nbgrad_"))


@BOTH_LINKERS
def test_a_function_that_does_not_exist_is_an_error_not_a_crash(here, monkeypatch):
    monkeypatch.setattr(elf, "HERE", here)
    llvm = lljit.llvm()
    module = llvm.parse_assembly(
        "declare void @absent()\ndefine void @present() {\n call void @absent()\n ret void\n}"
    )
    code = lljit.target_machine().emit_object(module)
    with pytest.raises(lljit.LinkError, match="present"):
        loading.load(code, "present")
    with pytest.raises(lljit.LinkError, match="nowhere"):
        loading.load(code, "nowhere")
    with pytest.raises(lljit.LinkError, match="valid object"):
        loading.load(b"not an object", "present")


def test_functions_with_results():
    source = "def plus(a, b):\n    return a[0] + b"
    code, _ = native(source, "plus", ("i8*", "i8"), result="i8")
    x = np.array([40])
    bounds.register(x)
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(code.address)
    assert call(x.ctypes.data, 2) == 42


@pytest.mark.skipif(sys.platform != "linux", reason="maps memory as Linux does")
def test_a_variable_may_change_its_type():
    """Single precision stays so, though the name is one of a double later."""
    text = """
def changes(x):
    y = f4(x) / f4(3.0)
    z = f8(y * y)
    y = x / 3.0
    return z if y > 0.0 else y
"""
    code = native(text, "changes", ("f8",), result="f8")[0]
    third = np.float32(1) / np.float32(3)
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(code.address)(1.0) == third * third


def test_code_and_its_constants_stay_together_in_a_process_that_uses_much_memory():
    """Of memory above 6 GB there are single pages, in which constants fit and code does not."""
    output = run(
        """
        import ctypes
        import nbgrad as ng
        a = np.linspace(0.1, 2.0, 50)
        f = lambda a: np.sin(a) * np.exp(a) + np.tanh(a)
        with ng.configure(tier="fused"):
            ng.jit(f)(a)  # what Numba and LLVM need is loaded
        libc = ctypes.CDLL(None)
        libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
        ]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        PAGE = 4096

        def take(size):  # addresses, not memory
            return libc.mmap(None, size, 0, 0x4022, -1, 0)

        taken = []
        for pages in (4096, 256, 16, 4, 3, 2, 1):  # whatever room there is, until the next is below
            last, below = None, 0
            while below < 300:
                place = take(pages * PAGE)
                below = below + 1 if last is not None and place == last - pages * PAGE else 0
                last = place
                taken += [place] if pages == 1 else []
        take(6 << 30)
        for place in sorted(taken)[-16::2]:
            libc.munmap(place, PAGE)
        for k in range(4):
            g = lambda a: f(a) * (k + 1.5) + np.cos(a) ** (k + 2)
            with ng.configure(tier="fused"):
                print(np.allclose(ng.jit(g)(a), g(a), rtol=1e-12), end=" ")
        """,
        NBGRAD_CACHE=0,
    )
    assert output == "True " * 4


def test_threads_may_compile_at_once():
    def work(k):
        source = f"""
def at_once_{k % 3}(lo, hi, x):
    for i in range(lo, hi):
        x[i] += {k % 3}.0
"""
        x = np.zeros(5)
        for _ in range(3):
            kernel(source, "f8*")(0, 5, words(x))
        results.append((x == 3 * (k % 3)).all())

    results = []
    workers = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [True] * 8


@BOTH_LINKERS
def test_dropped_kernels_leave_memory(here):
    text = """
        import gc, resource
        from nbgrad.machine import elf
        from nbgrad.machine.compile import forget
        elf.HERE = "OURS" in os.environ
        def resident():
            with open("/proc/self/statm") as stream:
                return int(stream.read().split()[1]) * resource.getpagesize()
        if not os.path.exists("/proc/self/statm"):
            print(0)
            sys.exit()
        multiply()
        for _ in range(50):
            forget()
            assert multiply().origin in ("disk", "compiled")
        gc.collect()
        before = resident()
        for _ in range(1000):
            forget()
            multiply()
        gc.collect()
        print((resident() - before) // 1000)
    """
    output = run(text, **({"OURS": 1} if here else {}))
    assert int(output) < 2_000  # bytes a reload; a kernel that stays takes 50 kB, its name 9


def test_an_engine_outlives_what_it_has_linked_in_garbage_too(monkeypatch):
    monkeypatch.setattr(lljit, "PER_ENGINE", 3)
    monkeypatch.setattr(elf, "HERE", False)
    source = "def cyclic(lo, hi, x):\n    for i in range(lo, hi):\n        x[i] *= 2.0"
    before = len(lljit._engines)
    gc.collect()
    gc.freeze()  # what is loaded by now is not gone through again in each round
    for _ in range(5):
        cycle = []
        for _ in range(7):
            forget()
            cycle.append([kernel(source, "f8*"), cycle])
            x = np.ones(3)
            cycle[-1][0](0, 3, np.array([x.ctypes.data]))
            assert (x == 2.0).all()
        forget()
        del cycle
        gc.collect()
    gc.unfreeze()
    assert len(lljit._engines) <= before + 1


def test_importing_and_keys_need_no_numba():
    run("""
        from nbgrad.machine.compile import is_cached
        assert "llvmlite" not in sys.modules
        is_cached(MULTIPLY, "multiply", ("f8*",) * 3)
        assert "nbgrad.machine.object_code" not in sys.modules
    """)


def test_the_first_kernel_does_without_linear_algebra_and_numba_keeps_it():
    text = """
        import sys
        import numpy as np
        from nbgrad.machine.compile import compile_kernel
        source = "def double(lo, hi, x):\\n    for i in range(lo, hi):\\n        x[i] *= 2.0"
        x = np.ones(3)
        compile_kernel(source, "double", ("f8*",))(0, 3, np.array([x.ctypes.data]))
        assert x.tolist() == [2.0] * 3 and "scipy.linalg" not in sys.modules
        import numba
        a = np.arange(4.0).reshape(2, 2)
        assert (numba.njit(lambda a: np.dot(a, a))(a) == a @ a).all()
        assert "scipy.linalg" in sys.modules
    """
    run(text, NBGRAD_CACHE="0")


def test_operators_that_remember_know_each_type_apart():
    """What an operator returned for one type is no answer for another, nor for a number in the text."""
    source = "def f(lo, hi, x, y, o):\n    o[0] = x[0] {op} y[0]\n    o[1] = x[0] {op} 2"
    results = {"f8": float, "f4": np.float32, "i8": int, "i4": np.int32}
    for op in "+*":
        for (a, ta), (b, tb) in itertools.product(results.items(), repeat=2):
            x, y, o = np.array([3], ta), np.array([5], tb), np.zeros(2)
            kernel = compile_kernel(source.format(op=op), "f", (f"{a}*", f"{b}*", "f8*"))
            kernel(0, 1, np.array([x.ctypes.data, y.ctypes.data, o.ctypes.data]))
            assert o.tolist() == ([8.0, 5.0] if op == "+" else [15.0, 6.0])
