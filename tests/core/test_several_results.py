"""Operations with several results: one equation, each result a node of its own on the graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.core.check import check
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.registry import primitives
from nbgrad.core.results import SeveralResults, part, result_of
from nbgrad.core.tape import Equation, Tape
from nbgrad.errors import TapeError
from nbgrad.ops.linalg import factorizations, spectra
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.vjp import vjp

RNG = np.random.default_rng(5)
A = RNG.normal(size=(3, 3)) + 3 * np.eye(3)
S = A @ A.T
LINALG = np.linalg


def eigh_tape() -> Tape:
    x = placeholder(ng.tensor(S)._node.aval)
    values, vectors = spectra.eigh(x, lower=True)
    return linearize([vectors * values, vectors], [x])[0]


def test_a_tape_has_one_equation_and_no_parts() -> None:
    tape = check(eigh_tape())
    first = tape.eqns[0]
    assert len(first.outs) == 2 and all(e.sig.prim is not part for e in tape.eqns)
    assert "b: float64[3], c: float64[3,3] = eigh a" in str(tape)
    assert tape.key() == eigh_tape().key()
    swapped = Equation(first.sig, first.inputs, first.outs[::-1], first.line)
    with pytest.raises(TapeError, match="its rule says"):
        check(Tape(tape.inputs, (swapped, *tape.eqns[1:]), tape.outputs))
    with pytest.raises(TapeError, match="assigned twice"):
        check(Tape(tape.inputs, (first, *tape.eqns), tape.outputs))


def test_equal_operations_are_computed_once_and_unread_ones_not_at_all() -> None:
    x = placeholder(ng.tensor(A)._node.aval)
    (q, _), (_, r) = factorizations.qr(x), factorizations.qr(x)
    tape, _ = linearize([q, r], [x])
    assert sum(e.prim.name == "qr" for e in simplify(tape).eqns) == 1
    dead = Tape(tape.inputs, tape.eqns, tape.inputs)
    assert len(simplify(dead)) == 0


def test_given_results_are_not_computed_again_in_a_derivative() -> None:
    tape = eigh_tape()
    values, vectors = tape.eqns[0].outs
    found, _ = vjp(tape, [tape.inputs[0]], bound=[values, vectors])
    assert all(e.prim.name != "eigh" for e in simplify(found).eqns)
    found, _ = vjp(tape, [tape.inputs[0]], bound=[values])
    assert sum(e.prim.name == "eigh" for e in simplify(found).eqns) == 1
    check(simplify(found))


@pytest.fixture
def calls() -> Iterator[list[int]]:
    """Counts evaluations of ``qr`` by the reference."""
    found: list[int] = []
    original = factorizations.qr.evaluate

    def counted(a: Any) -> Any:
        found.append(1)
        return original(a)

    object.__setattr__(factorizations.qr, "evaluate", counted)
    yield found
    object.__setattr__(factorizations.qr, "evaluate", original)


def test_what_is_held_is_computed_together_after_it_was_met_once(calls: list[int]) -> None:
    """Asking for one result of an operation computes the others that somebody holds."""
    with ng.configure(tier="reference"):
        for _ in range(3):
            q, r = LINALG.qr(ng.tensor(A))
            before = len(calls)
            q.numpy(), r.numpy()
            found = len(calls) - before
    assert found == 1


def test_profile_and_anomaly_compute_it_once(calls: list[int]) -> None:
    with ng.autograd.profiler.profile() as prof:
        q, r = LINALG.qr(ng.tensor(A))
        assert_allclose((q @ r).numpy(), A)
    assert len(calls) == 1
    assert [a.key for a in prof.key_averages()].count("qr") == 1
    with ng.autograd.detect_anomaly(), pytest.raises(ng.errors.AnomalyError, match="'slogdet'"):
        LINALG.slogdet(ng.tensor(np.zeros((2, 2))))[1].item()


@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)], ids=str)
def test_reverse_forward_and_second_derivatives_agree_with_differences(
    tier: str, which: tuple[int, ...]
) -> None:
    """Of each result, and of both together, through graph, jit, Jacobians and create_graph."""
    weights = [RNG.normal(size=(3,)), RNG.normal(size=(3, 3))]

    def f(x: Any) -> Any:
        ys = LINALG.eigh(x)
        return sum(((ys[k] ** 2) * weights[k]).sum() for k in which)

    h = 1e-6
    v = RNG.normal(size=(3, 3))
    v = v + v.T
    slope = (f(S + h * v) - f(S - h * v)) / (2 * h)
    with ng.configure(tier=tier):
        assert_allclose((ng.grad(f)(S) * v).sum(), slope, rtol=1e-7)
        assert_allclose((ng.jit(ng.grad(f))(S) * v).sum(), slope, rtol=1e-7)
        forward = ng.autograd.functional.jvp(f, ng.tensor(S), ng.tensor(v))[1]
        assert_allclose(forward.item(), slope, rtol=1e-7)
        change = (ng.grad(f)(S + h * v) - ng.grad(f)(S - h * v)) / (2 * h)
        product = ng.autograd.functional.hvp(f, ng.tensor(S), ng.tensor(v))[1]
        assert_allclose(product.numpy(), change, rtol=1e-5, atol=1e-6)
        full = np.tensordot(ng.hessian(f)(S), v, 2)
        assert_allclose((full + full.T) / 2, (change + change.T) / 2, rtol=1e-5, atol=1e-6)
        x = ng.tensor(S, requires_grad=True)
        (first,) = ng.autograd.grad(f(x), x, create_graph=True)
        (second,) = ng.autograd.grad((first * ng.tensor(v)).sum(), x)
        assert_allclose(second.numpy(), change, rtol=1e-5, atol=1e-6)


def test_hooks_see_each_result_and_the_operation_all() -> None:
    x = ng.tensor(S, requires_grad=True)
    values, vectors = LINALG.eigh(x)
    seen: list[Any] = []
    assert values.grad_fn is vectors.grad_fn and values.output_nr == 0 and vectors.output_nr == 1
    values.register_hook(lambda g: seen.append(g.shape) or 2 * g)
    values.grad_fn.register_prehook(lambda gs: seen.append([g is None for g in gs]))
    values.grad_fn.register_hook(lambda gs, outs: seen.append((gs[0].shape, len(outs))))
    values.sum().backward()
    assert seen == [(3,), [False, True], ((3, 3), 2)]
    assert_allclose(x.grad.numpy(), 2 * np.eye(3), atol=1e-14)


def test_what_is_saved_can_be_packed() -> None:
    packed: list[tuple[int, ...]] = []
    x = ng.tensor(S, requires_grad=True)
    hooks = ng.autograd.graph.saved_tensors_hooks(
        lambda t: (packed.append(t.shape), t.detach())[1], lambda t: t
    )
    with hooks:
        values, _ = LINALG.eigh(x)
        total = (values * values).sum()
    total.backward()
    assert (3,) in packed and (3, 3) in packed
    assert_allclose(x.grad.numpy(), 2 * S, rtol=1e-12)


def test_a_graph_that_was_freed_refuses_and_no_grad_cuts() -> None:
    x = ng.tensor(S, requires_grad=True)
    values, vectors = LINALG.eigh(x)
    values.sum().backward()
    with pytest.raises(ng.errors.AutogradError, match="eigh"):
        vectors.sum().backward()
    with ng.no_grad():
        values, vectors = LINALG.eigh(x)
    assert not values.requires_grad and not vectors.requires_grad


def test_a_long_loop_over_small_arrays_is_flat() -> None:
    """Kernels with two results and NumPy calls with two, planned once a signature."""

    def f(x: Any) -> Any:
        for _ in range(300):
            values, vectors = LINALG.eigh(x)
            sign, log = LINALG.slogdet(x)
            x = x + 1e-3 * (vectors * values) @ vectors.T / (sign * log)
        return x

    expected = f(S)
    with ng.configure(tier="block"):
        assert_allclose(f(ng.tensor(S)).numpy(), expected, rtol=1e-10)


def test_a_chain_is_cut_where_results_are_held() -> None:
    with ng.configure(max_pending=60):
        x, held = ng.tensor(S), []
        for _ in range(60):
            values, vectors = LINALG.eigh(x)
            held.append(values)
            x = x + 1e-3 * (vectors * values) @ vectors.T
        y = S
        for value in held:
            expected, vectors = LINALG.eigh(y)
            assert_allclose(value.numpy(), expected, rtol=1e-10)
            y = y + 1e-3 * (vectors * expected) @ vectors.T


def test_every_such_operation_is_declared_with_as_many_results() -> None:
    found = {p.name for p in primitives.values() if isinstance(p, SeveralResults)}
    assert {"eigh", "eig", "svd", "qr", "slogdet"} <= found
    node = result_of(spectra.eigh(ng.tensor(S)._node, lower=True)[0].inputs[0], 1)
    assert node.shape == (3, 3)


def _complex(a: Any) -> Any:
    return a + 0.3j * a.T


W3, W2 = RNG.normal(size=(3, 3)), RNG.normal(size=(2, 2))
TALL = RNG.normal(size=(3, 2))
# What does not depend on the phases of vectors, of all results together.
TOGETHER = {
    "eigh": (lambda x: _of_spectrum(*LINALG.eigh(x)), S),
    "eigh, complex": (lambda x: _of_spectrum(*LINALG.eigh(_hermitian(x))), A),
    "eig": (lambda x: _of_spectrum(*LINALG.eig(x)), A),
    "svd": (lambda x: _of_svd(*LINALG.svd(x)), A),
    "svd, tall": (lambda x: _of_svd(*LINALG.svd(x, full_matrices=False)), TALL),
    "svd, complex": (lambda x: _of_svd(*LINALG.svd(_complex(x))), A),
    "qr": (lambda x: _of_qr(*LINALG.qr(x)), A),
    "qr, tall": (lambda x: _of_qr(*LINALG.qr(x)), TALL),
    "slogdet": (lambda x: LINALG.slogdet(x)[0] * LINALG.slogdet(x)[1] ** 2, A),
    "slogdet, complex": (lambda x: _of_phase(*LINALG.slogdet(_complex(x))), A),
}


def _hermitian(x: Any) -> Any:
    return (x + x.T) + 1j * (x - x.T)


def _of_spectrum(values: Any, vectors: Any) -> Any:
    squares = np.real(vectors) ** 2 + np.imag(vectors) ** 2
    return (squares * W3 * (np.real(values) ** 2 + np.imag(values))).sum()


def _of_svd(u: Any, s: Any, vh: Any) -> Any:
    left, right = (np.real(x) ** 2 + np.imag(x) ** 2 for x in (u, vh))
    weights = W3 if s.shape[-1] == 3 else W2
    return (left * s**2 * W3[:, : s.shape[-1]]).sum() + (right.T * s * weights).sum()


def _of_qr(q: Any, r: Any) -> Any:
    return (q * W3[:, : q.shape[-1]]).sum() + ((r * r) * (W3 if len(r) == 3 else W2)).sum()


def _of_phase(sign: Any, log: Any) -> Any:
    return np.real(sign) * log + np.imag(sign) ** 2


@pytest.mark.parametrize("name", TOGETHER)
def test_all_results_together_to_second_order(name: str) -> None:
    """Reverse, forward, and forward over reverse, against differences of values and gradients."""
    f, at = TOGETHER[name]
    rng, h = np.random.default_rng(8), 1e-6
    v = rng.normal(size=at.shape)
    v = v + v.T if name == "eigh" else v
    slope = (f(at + h * v) - f(at - h * v)) / (2 * h)
    gradient = ng.grad(f)
    assert_allclose((gradient(at) * v).sum(), slope, rtol=2e-6, atol=1e-7)
    forward = ng.autograd.functional.jvp(f, ng.tensor(at), ng.tensor(v))[1]
    assert_allclose(forward.item(), slope, rtol=2e-6, atol=1e-7)
    change = (gradient(at + h * v) - gradient(at - h * v)) / (2 * h)
    product = ng.autograd.functional.hvp(f, ng.tensor(at), ng.tensor(v))[1]
    assert_allclose(product.numpy(), change, rtol=1e-4, atol=1e-4)
