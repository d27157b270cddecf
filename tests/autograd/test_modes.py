"""``no_grad``, ``enable_grad`` and ``set_grad_enabled``: contexts, decorators, threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import nbgrad as ng


@pytest.fixture(autouse=True)
def mode_is_restored() -> Iterator[None]:
    assert ng.is_grad_enabled() is True
    yield
    assert ng.is_grad_enabled() is True


def tracked() -> bool:
    """Whether an operation on a leaf is recorded here and now."""
    return (ng.tensor(1.0, requires_grad=True) * 2).requires_grad


def test_no_grad_as_a_context() -> None:
    with ng.no_grad():
        assert ng.is_grad_enabled() is False
        assert tracked() is False
    assert tracked() is True


def test_enable_grad_inside_no_grad() -> None:
    with ng.no_grad():
        with ng.enable_grad():
            assert tracked() is True
        assert tracked() is False


@pytest.mark.parametrize("flag", [False, True])
def test_set_grad_enabled_as_a_context(flag: bool) -> None:
    with ng.set_grad_enabled(not flag), ng.set_grad_enabled(flag):
        assert ng.is_grad_enabled() is flag
        assert tracked() is flag


def test_set_grad_enabled_as_a_call() -> None:
    ng.set_grad_enabled(False)
    try:
        assert tracked() is False
    finally:
        ng.set_grad_enabled(True)
    assert tracked() is True


def test_decorators() -> None:
    @ng.no_grad()
    def off(number: int, *, factor: int = 1) -> tuple[bool, int]:
        """Say so."""
        return tracked(), number * factor

    @ng.enable_grad()
    def on() -> bool:
        return tracked()

    @ng.set_grad_enabled(False)
    def also_off() -> bool:
        return tracked()

    assert ng.is_grad_enabled() is True
    assert off(3, factor=2) == (False, 6)
    assert off.__name__ == "off" and off.__doc__ == "Say so."
    assert also_off() is False
    with ng.no_grad():
        assert on() is True
    assert tracked() is True


def test_decorator_without_parentheses() -> None:
    @ng.no_grad
    def off() -> bool:
        return tracked()

    assert off() is False


def test_decorated_function_calls_itself() -> None:
    @ng.no_grad()
    def count(n: int) -> list[bool]:
        return [tracked()] + (count(n - 1) if n else [])

    assert count(3) == [False] * 4
    assert tracked() is True


@pytest.mark.parametrize("mode", [ng.no_grad, ng.enable_grad])
def test_exception_restores_the_mode(mode: Any) -> None:
    before = ng.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), mode():
        _ = 1 / 0
    assert ng.is_grad_enabled() is before


def test_one_context_object_can_be_entered_again() -> None:
    off = ng.no_grad()
    for _ in range(2):
        with off:
            assert tracked() is False
        assert tracked() is True
    with off, off:
        assert tracked() is False
    assert tracked() is True


def test_mode_belongs_to_its_thread() -> None:
    inside, seen = threading.Event(), []

    def other() -> None:
        with ng.no_grad():
            seen.append(tracked())
            inside.set()

    with ng.no_grad():
        thread = threading.Thread(target=lambda: seen.append(tracked()))
        thread.start()
        thread.join()
    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    seen.append(tracked())
    thread.join()
    assert seen == [True, False, True]


def test_leaf_made_without_grad_still_requires_it() -> None:
    with ng.no_grad():
        x = ng.tensor(2.0, requires_grad=True)
        y = x * 3
    assert x.requires_grad and x.is_leaf and not y.requires_grad
    (x * x).backward()
    assert x.grad.item() == 4.0


def test_backward_works_inside_no_grad() -> None:
    x = ng.tensor(2.0, requires_grad=True)
    y = x * x
    with ng.no_grad():
        y.backward()
    assert x.grad.item() == 4.0
    assert not x.grad.requires_grad


def test_derivatives_of_functions_are_taken_inside_no_grad() -> None:
    with ng.no_grad():
        assert float(ng.grad(lambda x: x * x)(3.0)) == 6.0


def test_tracked_part_and_untracked_part_of_one_expression() -> None:
    x = ng.tensor(3.0, requires_grad=True)
    with ng.no_grad():
        constant = x * x
    (constant * x).backward()
    assert x.grad.item() == 9.0
