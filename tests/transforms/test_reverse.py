"""What rules write is written once a signature, and is what they would write on nodes."""

from __future__ import annotations

import gc
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import nbgrad as ng
from nbgrad.core.collector import MANY, paused
from nbgrad.core.interpret import evaluate, read, walk
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.tape import Literal, Tape
from nbgrad.core.values import value_of
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms import reverse, vjp
from nbgrad.transforms.simplify import simplify

Function = Callable[[Any], Any]
SQUARE = np.random.default_rng(0).uniform(0.2, 1.0, (4, 4)) + 3 * np.eye(4)

FUNCTIONS: dict[str, Function] = {
    "elementwise": lambda x: np.sin(x) * np.exp(x) / (1.5 - x) + x**3,
    "one operand twice": lambda x: x * x + np.arctan2(x, x),
    "numbers": lambda x: 2.0 * x - (x + 1) * 3 + np.maximum(x, 0.5),
    "an array of its own": lambda x: x * np.arange(16.0).reshape(4, 4) + SQUARE,
    "broadcasting": lambda x: x[0] * x[:, 1:2] - x.mean(axis=0) + x[1, 2],
    "reductions": lambda x: x / x.sum(axis=1, keepdims=True) + x.max() + x.prod(axis=0),
    "views": lambda x: x.T * x.reshape(2, 8).reshape(4, 4) + x[::-1] + np.roll(x, 1, axis=0),
    "products": lambda x: x.T @ x + x @ x.T @ x + (x.T @ x[:, 0])[:, None],
    "a few parts": lambda x: x[0] * x[1] + x[2] - x[3] * x[0],
    "many parts": lambda x: sum(x[k % 4, k // 4] * x[k // 4, k % 4] for k in range(16)),
    "elements by an index": lambda x: x.reshape(-1)[np.array([0, 3, 3, 7])] * x[0],
    "several results": lambda x: np.linalg.slogdet(x)[1] + np.linalg.eigh(x @ x.T)[0].sum(),
    "solve": lambda x: np.linalg.solve(x, x.T) + np.linalg.inv(x),
    "cholesky": lambda x: np.linalg.cholesky(x @ x.T),
    "complex": lambda x: np.abs(np.fft.fft(x) * (1 + 2j)) + (x * 1j).imag,
    "choices": lambda x: np.where(x > 0.5, x * x, -x) + np.sort(x, axis=0) + np.cumsum(x, axis=1),
    "precision": lambda x: x.astype(np.float32) * x + x.astype(np.float32).sum(),
    "a loop": lambda x: looped(x, 30),
}


def looped(x: Any, n: int) -> Any:
    for k in range(n):
        x = np.tanh(x * 1.5 + x.T) if k % 2 else x - x[0] * x[:, 1:2].sum()
    return x


def both(f: Function, policy: str) -> tuple[tuple[Tape, Any], tuple[Tape, Any]]:
    """The gradient of *f* written as equations, and by nodes; each with its constants."""
    x = placeholder(ng.tensor(SQUARE)._node.aval, requires_grad=True)
    with ng.configure(nan_policy=policy):
        y = (f(Tensor(x)) * 1.0).sum()._node
        tape, constants = linearize([y], [x])
        args = (tape, tape.inputs[:1], [False], vjp.reached(tape, tape.inputs[:1]), frozenset())
        found = []
        for way in (vjp._by_equations, vjp._by_nodes):
            new, more = way(*args, [], [], {*tape.inputs[:1]})
            whole = Tape((*tape.inputs, *new.inputs), (*tape.eqns, *new.eqns), new.outputs)
            found.append((simplify(whole), [value_of(c) for c in (*constants, *more)]))
    return found[0], found[1]


def value(tape: Tape, constants: Any) -> Any:
    env = walk(tape, [SQUARE, *constants], evaluate)
    return read(env, tape.outputs[0])


@pytest.mark.parametrize("policy", ["safe", "ieee"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_equations_are_those_that_the_rules_record(name: str, policy: str) -> None:
    for _ in range(3):  # met, learnt, and from what was learnt
        ours, theirs = both(FUNCTIONS[name], policy)
        assert Counter(e.sig for e in ours[0].eqns) == Counter(e.sig for e in theirs[0].eqns)
        assert_array_equal(value(*ours), value(*theirs))


@pytest.mark.parametrize("name", ["a loop", "elementwise", "broadcasting", "views", "reductions"])
def test_a_rule_runs_once_a_signature(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What earlier tests learnt is forgotten all at once: not between the two that are compared.
    monkeypatch.setattr(reverse, "MAX_TEMPLATES", math.inf)
    for _ in range(
        2
    ):  # rules of numbers are learnt when met again, and the test is run alone, too
        both(lambda x: looped(FUNCTIONS[name](x), 10), "safe")
    ran: list[Any] = []
    learn, run = reverse._template, reverse.Reverse._by_nodes
    monkeypatch.setattr(reverse, "_template", lambda *a: ran.append(a) or learn(*a))  # type: ignore[func-returns-value]
    monkeypatch.setattr(reverse.Reverse, "_by_nodes", lambda *a: ran.append(a) or run(*a))  # type: ignore[func-returns-value]
    counts = []
    for n in (10, 40):
        ran.clear()
        both(lambda x, n=n: looped(FUNCTIONS[name](x), n), "safe")  # type: ignore[misc]
        counts.append(len(ran))
    assert counts[0] == counts[1]


def test_literals_are_told_apart_as_operations_tell_them() -> None:
    values: list[Any] = [0.0, -0.0, 1, 1.0, True, 1 + 0j, float("nan"), float("nan")]
    assert [len({Literal(v), Literal(w)}) for v in values for w in values].count(1) == 10
    assert len({*map(Literal, values)}) == 7


def test_what_a_plan_made_is_not_collected_as_young() -> None:
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        seen.append(info["generation"])

    with paused():
        made = [[k] for k in range(2 * MANY)]
        gc.callbacks.append(note)
    try:
        more = [[k] for k in range(100)]
    finally:
        gc.callbacks.remove(note)
    assert not seen and gc.get_count()[0] < MANY and len(made) + len(more) > MANY
    gc.freeze()
    try:
        with paused():
            made = [[k] for k in range(2 * MANY)]
        assert gc.get_freeze_count()  # what somebody else froze stays frozen
    finally:
        gc.unfreeze()
