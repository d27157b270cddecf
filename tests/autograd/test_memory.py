"""Graphs die with their last tensor; loops of any length keep memory flat."""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

# Resident memory in bytes, read where the loop runs; a fresh process starts from the same state.
# A structure that runs often is compiled at some run; numba's 80 MB, loaded then, are no leak.
PRELUDE = """
import gc, os
import numba
import numpy as np
import nbgrad as ng

numba.njit(lambda x: x)(1.0)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
"""


def run(code: str) -> list[float]:
    """Run *code* in a fresh process with the collector off; return the numbers it prints."""
    return [float(word) for word in output_of(code).split()]


def output_of(code: str, timeout: float = 300) -> str:
    program = PRELUDE + "\ngc.disable()\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# ------------------------------------------------------------------------- reference counts suffice


def nodes_of(*tensors: Any) -> list[weakref.ref[Any]]:
    return [weakref.ref(t) for t in tensors]


def alive(references: list[weakref.ref[Any]]) -> int:
    return sum(reference() is not None for reference in references)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("compute", [False, True])
def test_abandoned_forward_is_freed(compute: bool) -> None:
    x = ng.tensor([0.5, 2.0], requires_grad=True)
    y = x.exp()
    z = y * x
    if compute:
        z.sum().item()
    references = nodes_of(y, z)
    del y, z
    assert alive(references) == 0


@pytest.mark.usefixtures("no_collector")
def test_graph_is_freed_by_backward_and_by_deletion() -> None:
    x = ng.tensor([0.5, 2.0], requires_grad=True)
    z = (x.exp() * x).sum()
    z.backward()
    references = nodes_of(z, x, x.grad)
    del z, x
    assert alive(references) == 0


@pytest.mark.usefixtures("no_collector")
def test_backward_with_create_graph_leaves_no_cycle() -> None:
    """PyTorch documents a cycle between the leaf and its gradient here, and leaks."""
    x = ng.tensor([0.5, 2.0], requires_grad=True)
    z = (x**3).sum()
    z.backward(create_graph=True)
    (x.grad * x.grad).sum().item()
    references = nodes_of(z, x, x.grad)
    del z, x
    assert alive(references) == 0


@pytest.mark.usefixtures("no_collector")
def test_backward_that_failed_leaves_no_cycle() -> None:
    x = ng.tensor([0.5, 2.0], requires_grad=True)
    z = (x * x).sum()
    z.backward()
    with contextlib.suppress(RuntimeError):
        z.backward()
    references = nodes_of(z, x)
    del z, x
    assert alive(references) == 0


@pytest.mark.usefixtures("no_collector")
def test_hooks_and_functions_leave_no_cycle() -> None:
    class Double(ng.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            ctx.save_for_backward(a)
            return a * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    x = ng.tensor([0.5, 2.0], requires_grad=True)
    y = Double.apply(x)
    y.register_hook(lambda g: g * 3)
    y.retain_grad()
    y.sum().backward()
    assert_allclose(x.grad.numpy(), [6.0, 6.0])
    references = nodes_of(x, y)
    del x, y
    assert alive(references) == 0


def test_large_buffers_of_an_abandoned_graph_are_returned() -> None:
    (grown,) = run(
        """
        x = ng.tensor(np.ones(1_000_000), requires_grad=True)
        for _ in range(20):  # past the run that compiles it
            (x.exp() * x).sum().item()
        before = resident()
        for _ in range(30):  # 8 MB or more each, were one kept
            kept = (x.exp() * x).sum()
            kept.item()
        print(resident() - before)
        """
    )
    assert grown < 40e6


# ---------------------------------------------------------------------------------- flat memory

# Python's blocks and the C heap are counted, to the block and the byte: what an iteration keeps, be
# it one object, shows after a thousand of them, where resident memory needs a hundred thousand.
FLAT = """
import ctypes, json, sys

class Heap(ctypes.Structure):
    _fields_ = [(f"field_{k}", ctypes.c_size_t) for k in range(10)]  # as malloc.h has them

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Heap

def held():
    heap = mallinfo2()
    return sys.getallocatedblocks(), heap.field_4 + heap.field_7  # mapped and in use

def never_backward(count):
    x = ng.tensor(1.0, requires_grad=True)
    for _ in range(count):
        y = x * 2 + 1
    return y.item()

def running_value(count):
    total = ng.tensor(0.0)
    step = ng.tensor(0.5)
    with ng.no_grad():
        for _ in range(count):
            total = total + step
    return total.item()

rng = np.random.default_rng(0)
features, target = rng.normal(size=(8, 3)), rng.normal(size=8)
w = ng.tensor(np.zeros(3), requires_grad=True)

def training(count):
    for _ in range(count):
        residual = ng.matmul(features, w) - target
        loss = (residual * residual).mean()
        loss.backward()
        with ng.no_grad():
            w.sub_(0.05 * w.grad)
        w.grad = None
    best = np.linalg.lstsq(features, target)[0]
    return loss.item() - ((features @ best - target) ** 2).mean()

v = ng.tensor(np.linspace(0, 1, 3), requires_grad=True)

def forward_calls(count):
    for _ in range(count):
        value = (ng.tanh(v) * v).sum().item()
    return value

def repeated_create_graph(count):
    for _ in range(count // 4):
        x = ng.tensor(np.ones(10_000), requires_grad=True)
        (x ** 3).sum().backward(create_graph=True)
        value = (x.grad * x.grad).sum().item()
    return value

for loop, warm in (
    (never_backward, 3_000),
    (running_value, 40_000),  # past the run that plans the long chain
    (training, 3_000),
    (forward_calls, 1_000),
    (repeated_create_graph, 3_000),
):
    loop(warm), loop(2_000)
    before = held()
    value = loop(2_000)
    now = held()
    print(json.dumps([loop.__name__, now[0] - before[0], now[1] - before[1], value]))
"""


def test_loops_keep_memory_flat() -> None:
    """Without backward; of a value updated under no_grad; of training; of calls; with create_graph."""
    found = {name: rest for name, *rest in map(json.loads, output_of(FLAT).splitlines())}
    for name, (blocks, heap, _) in found.items():
        assert blocks < 200, (name, blocks)
        assert heap < 20_000, (name, heap)
    values = {name: value for name, (_, _, value) in found.items()}
    x = np.linspace(0, 1, 3)
    assert values.pop("forward_calls") == pytest.approx((np.tanh(x) * x).sum())
    assert values.pop("training") == pytest.approx(0.0, abs=1e-12)
    assert values == {
        "never_backward": 3.0,
        "running_value": 1000.0,
        "repeated_create_graph": 90_000.0,
    }


# ------------------------------------------------------------------------------------ long chains


@pytest.mark.slow
def test_chain_of_a_million_operations_forward_backward_and_deletion() -> None:
    value, slope = run(
        """
        x = ng.tensor(1.0, requires_grad=True)
        y = x
        for _ in range(500_000):
            y = y * 1.000001 + 1e-6
        y.backward()
        print(y.item(), x.grad.item())
        del y
        """
    )
    factor = 1.000001**500_000
    assert_allclose(slope, factor, rtol=1e-8)
    assert_allclose(value, 2 * factor - 1, rtol=1e-8)


@pytest.mark.slow
def test_chain_of_a_million_operations_abandoned() -> None:
    (alive_at_the_end,) = run(
        """
        import weakref
        x = ng.tensor(1.0, requires_grad=True)
        y = x
        for _ in range(1_000_000):
            y = y + x
        reference = weakref.ref(y)
        del y
        print(float(reference() is not None))
        """
    )
    assert alive_at_the_end == 0


def test_chain_deeper_than_the_recursion_limit() -> None:
    value, slope = run(
        """
        x = ng.tensor(2.0, requires_grad=True)
        y = x
        for _ in range(20_000):
            y = ng.sin(y)
        y.backward()
        value = y.item()
        repr(y), y.grad_fn.next_functions
        del y
        print(value, x.grad.item())
        """
    )
    expected, derivative = 2.0, 1.0
    for _ in range(20_000):
        derivative *= np.cos(expected)
        expected = np.sin(expected)
    assert_allclose(value, expected, rtol=1e-12)
    assert_allclose(slope, derivative, rtol=1e-10)


def test_wide_graph_of_many_leaves() -> None:
    leaves = [ng.tensor(float(k), requires_grad=True) for k in range(3000)]
    total = ng.tensor(0.0)
    for leaf in leaves:
        total = total + leaf * leaf
    total.backward()
    assert [leaf.grad.item() for leaf in leaves] == [2.0 * k for k in range(3000)]


def _in_place(x: Any) -> Any:
    x += 1.0
    return x


def _assigned(x: Any) -> Any:
    x[2:4] = x[0:2]
    return x


@pytest.mark.parametrize(
    "body",
    [
        lambda x: ng.sin(x)[::-1],
        lambda x: x.reshape(2, 5).reshape(10),
        lambda x: x - x.sum() * 0.1,
        lambda x: ng.concatenate([x[1:], x[:1]]),
        lambda x: np.roll(x, 1),
        _in_place,
        _assigned,
    ],
    ids=["slice", "reshape", "sum", "concatenate", "roll", "in-place", "assigned"],
)
def test_loops_of_any_operations_do_not_pile_up(body: Any) -> None:
    """Each step adds one or more operations; the chain is evaluated when it is long."""
    with ng.configure(max_pending=100, tier="reference"):
        x, deepest = ng.tensor(np.ones(10)), 0
        for _ in range(150):
            x = body(x)
            deepest = max(deepest, x._node.depth)
    assert 90 <= deepest <= 110
