"""The contract of a backend: who fulfils it, and that nothing above knows which one runs."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import nbgrad as ng
from nbgrad.backends import devices, reference
from nbgrad.backends.base import Backend, Ends, Entry, Runnable, Work
from nbgrad.backends.cpu import backend as cpu
from nbgrad.backends.cpu import library
from nbgrad.core.memory import Buffer
from nbgrad.core.tape import Tape
from nbgrad.engine.programs import programs
from nbgrad.transforms.trace import trace

SOURCE = Path(ng.__file__).parent
BACKENDS: tuple[Backend, ...] = (reference, cpu)  # which mypy checks


class Counting:
    """A backend of a test's own: the reference, and how often it was asked what."""

    name = "counting"

    def __init__(self, serves: bool = True, kind: Any = np.ndarray) -> None:
        self.asked: Counter[str] = Counter()
        self.serves, self.kind = serves, kind

    def accepts(self, work: Work) -> bool:
        self.asked["accepts"] += 1
        return self.serves

    def prepare(self, work: Work, tier: str) -> Runnable:
        self.asked["prepare"] += 1
        return Counted(reference.prepare(work, tier), self)

    def price(self, work: Work, fresh: bool) -> float:
        self.asked["price"] += 1
        return 0.0

    def to_host(self, buffer: Any) -> Any:
        self.asked["to_host"] += 1
        return buffer if isinstance(buffer, np.ndarray) else buffer.held

    def from_host(self, array: Any) -> Any:
        self.asked["from_host"] += 1
        return array if self.kind is np.ndarray else self.kind(array)


class Counted:
    """A program that runs at home, on the arrays that its buffers hold."""

    def __init__(self, made: Runnable, backend: Counting) -> None:
        self.made, self.backend = made, backend

    def run(self, args: list[Any]) -> list[Any]:
        self.backend.asked["run"] += 1
        if self.backend.kind is np.ndarray:
            return self.made.run(args)
        found = self.made.run([getattr(a, "held", a) for a in args])
        return [self.backend.kind(y) for y in found]

    def entry(self, constants: Sequence[Any], ends: Ends) -> Entry | None:
        self.backend.asked["entry"] += 1
        return None


class Held(Buffer):
    """What another device keeps elements in."""

    def __init__(self, held: Any, device: str = "attic") -> None:
        self.device = device
        assert isinstance(held, np.ndarray)
        self.held = held
        self.shape, self.dtype = held.shape, held.dtype

    def host(self) -> Any:
        return self.held


@contextmanager
def serving(device: str, backend: Backend) -> Iterator[None]:
    """*backend* serves *device*; programs are made anew, before and after."""
    programs.clear()
    before = devices.register(device, backend)
    try:
        yield
    finally:
        devices.register(device, before)
        programs.clear()


def tape_of(f: Callable[..., Any], *args: Any) -> Tape:
    avals = [ng.tensor(a)._node.aval for a in args]
    traced = trace(lambda *nodes: f(*map(ng.Tensor, nodes)), avals)
    assert not traced.constants
    return traced.tape


@pytest.mark.parametrize("backend", [*BACKENDS, Counting()], ids=lambda b: b.name)
def test_the_contract(backend: Any) -> None:
    assert isinstance(backend, Backend)
    x, w = np.linspace(0.0, 1.0, 6).reshape(2, 3), np.array([1.0, -2.0, 3.0])
    work = Work(tape_of(lambda x, w: (ng.sin(x) @ w, x.cumsum(1)), x, w))
    assert backend.accepts(work)
    assert backend.price(work, True) >= 0.0
    expected = (np.sin(x) @ w, np.cumsum(x, 1))
    for tier in ("fused", "block"):
        made = backend.prepare(work, tier)
        given = [backend.from_host(x), backend.from_host(w)]
        for _ in range(2):
            found = [backend.to_host(y) for y in made.run(given)]
            for y, wanted in zip(found, expected, strict=True):
                np.testing.assert_allclose(y, wanted, rtol=1e-15, atol=1e-15)
        entered = made.entry([], Ends({}, (), [-1, -1, 4], []))
        if entered is not None and (quick := entered[0](x, w)) is not None:
            assert_array_equal(quick[0], found[0])


def test_no_floor_above_names_the_cpu() -> None:
    """But twins, which are its machine code; and who says that it serves the home device."""
    names = {"CpuProgram", "FlatProgram", "ReferenceProgram"}
    told = (*names, "nbgrad.backends.cpu")
    for path in SOURCE.rglob("*.py"):
        inside = path.relative_to(SOURCE).parts[0]
        if inside in ("backends", "twins"):
            continue
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if any(w in text for w in told) else ():
            found = getattr(node, "id", getattr(node, "attr", getattr(node, "module", "")))
            assert found not in names, f"{path}: {found}"
            assert not str(found).startswith("nbgrad.backends.cpu"), f"{path}: {found}"


def f(x: Any) -> Any:
    return (ng.sin(x) * x).sum()


def test_programs_gradients_and_jit_by_another_backend() -> None:
    x = np.linspace(0.0, 1.0, 7)
    counting = Counting()
    with serving(devices.HOME, counting), ng.configure(tier="fused"):
        value = f(ng.tensor(x)).item()
        assert counting.asked["run"] == 1
        leaf = ng.tensor(x, requires_grad=True)
        f(leaf).backward()
        assert counting.asked["run"] == 2
        jitted = ng.jit(ng.value_and_grad(f))
        results = [jitted(x) for _ in range(60)]  # also where its calls would be machine code
        assert counting.asked["run"] == 62 and counting.asked["entry"] == 1
    assert counting.asked["prepare"] == 3
    with ng.configure(tier="reference"):
        assert f(ng.tensor(x)).item() == value
        other = ng.tensor(x, requires_grad=True)
        f(other).backward()
        assert other.grad is not None and leaf.grad is not None
        assert_array_equal(leaf.grad.numpy(), other.grad.numpy())
    for found, gradient in results:
        assert found == value
        assert_array_equal(gradient, other.grad.numpy())


def test_a_structure_turns_hot_on_another_backend() -> None:
    counting = Counting()
    x = np.linspace(0.0, 1.0, 7)
    with serving(devices.HOME, counting), ng.configure(tier="auto", deterministic=True):
        values = {f(ng.tensor(x)).item() for _ in range(40)}
    assert len(values) == 1
    assert counting.asked["prepare"] == 1 and counting.asked["run"] > 0


def test_what_a_backend_does_not_accept_runs_by_the_reference() -> None:
    counting = Counting(serves=False)
    with serving(devices.HOME, counting), ng.configure(tier="fused"):
        assert ng.jit(f)(np.ones(3)) == pytest.approx(3 * np.sin(1.0))
        assert f(ng.ones(3)).item() == pytest.approx(3 * np.sin(1.0))
    assert counting.asked["prepare"] == 0 < counting.asked["accepts"]


@pytest.mark.parametrize("serves", [True, False])
def test_a_program_runs_where_its_operands_are(serves: bool) -> None:
    attic = Counting(serves, Held)
    x = np.linspace(0.0, 1.0, 7)
    with serving("attic", attic):
        home = f(ng.tensor(x)).item()
        assert not attic.asked
        leaf = ng.tensor(x, device="attic", requires_grad=True)
        made = f(leaf)
        made.backward()
        assert made.device == leaf.device == leaf.grad.device == "attic"
        assert made.item() == home and isinstance(leaf.grad._node.value, Held)
        attic.asked.clear()
        assert f(ng.ones(7) * leaf.detach()).device == "attic"
        with serving("cellar", Counting(kind=lambda held: Held(held, "cellar"))):
            other = ng.tensor(x).to("cellar")
            with pytest.raises(ng.errors.DeviceError, match=r"multiply.*attic.*cellar.*Move"):
                _ = leaf * other
        with pytest.raises(ng.errors.DeviceError, match=r"multiply.*'attic'.*'cpu'.*Move"):
            _ = leaf * ng.tensor(x)
    with pytest.raises(ng.errors.DeviceError, match="no backend serves"):
        devices.backend_of("attic")


@pytest.mark.parametrize(("tier", "n"), [("fused", 1), ("block", 1), ("block", 300)])
def test_library_kernels_that_a_backend_lacks_run_by_the_reference(
    tier: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table says what it has, by the kernel's name; in a flat program, too."""
    x, index = np.linspace(0.0, 1.0, 6), np.array([3, 0, 5])

    def g(x: Any, index: Any) -> Any:
        for _ in range(n):
            x = ng.concatenate([x[index], (x * 0.5)[::-1][index]])
        return x, x.reshape(2, 3) @ x[:3]

    work = Work(tape_of(g, x, index))
    assert work.flat == (n > 1)
    lacking = {name: make for name, make in library.KERNELS.items() if name == "argmax"}
    monkeypatch.setattr(library, "KERNELS", lacking)
    found = cpu.prepare(work, tier).run([x, index])
    for y, expected in zip(found, reference.prepare(work, tier).run([x, index]), strict=True):
        assert_array_equal(y, expected)
