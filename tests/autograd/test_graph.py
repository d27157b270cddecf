"""Backward functions and hooks on them, edges, hooks on several tensors, saved tensors."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.autograd import graph


def leaf(*values: float) -> Any:
    return ng.tensor(values or (1.0, 2.0), requires_grad=True)


class Two(ng.Function):
    """``2 x`` and ``3 x``."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2, "between", x * 3

    @staticmethod
    def backward(ctx: Any, first: Any, none: Any, second: Any) -> Any:
        assert none is None
        return first * 2 + second * 3


# ------------------------------------------------------------------------------------- the graph


def test_next_functions_lead_to_the_leaves() -> None:
    x, y = leaf(), leaf()
    a = x + y
    ((fx, _), (fy, _)) = a.grad_fn.next_functions
    assert isinstance(fx, graph.AccumulateGrad) and fx.variable is x and fy.variable is y
    b = a + 5
    assert b.grad_fn.next_functions[0][0] is a.grad_fn
    assert b.grad_fn.next_functions[1] == (None, 0)
    assert type(b.grad_fn).__name__ == b.grad_fn.name() == "AddBackward0"


def test_results_of_one_function_share_its_backward() -> None:
    a, _, b = Two.apply(leaf())
    assert a.grad_fn is b.grad_fn and a.grad_fn.name() == "TwoBackward"
    assert (a.output_nr, b.output_nr) == (0, 2)
    assert (a + b).grad_fn.next_functions == ((a.grad_fn, 0), (a.grad_fn, 2))


def test_the_context_is_seen_through_grad_fn() -> None:
    class Keeps(ng.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.note = "kept"
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    x = leaf()
    y = Keeps.apply(x)
    assert y.grad_fn.note == "kept" and y.grad_fn.saved_tensors[0].tolist() == [1.0, 2.0]
    y.sum().backward()
    with pytest.raises(RuntimeError, match="freed"):
        y.grad_fn.saved_tensors  # noqa: B018


def test_metadata_lives_as_long_as_the_operation() -> None:
    class Mark:
        pass

    y = leaf() * 2
    mark = Mark()
    y.grad_fn.metadata["mark"] = mark
    found = weakref.ref(mark)
    del mark
    assert y.grad_fn.metadata["mark"] is found()
    del y
    gc.collect()
    assert found() is None


# ----------------------------------------------------------------------- hooks of functions


@pytest.mark.parametrize(
    "make", [lambda x: x * 2, lambda x: Two.apply(x)[0]], ids=["operation", "function"]
)
def test_hooks_before_and_after_a_backward_function(make: Any) -> None:
    x, seen = leaf(), []
    y = make(x)
    y.grad_fn.register_prehook(lambda gs: tuple(None if g is None else g * 10 for g in gs))
    y.grad_fn.register_hook(
        lambda inner, outer: seen.append((inner[0].tolist(), outer[0].tolist()))
    )
    y.grad_fn.register_hook(lambda inner, outer: (inner[0] + 1, *inner[1:]))
    y.sum().backward()
    assert seen == [([20.0, 20.0], [10.0, 10.0])]
    assert x.grad.tolist() == [21.0, 21.0]


def test_all_gradients_of_several_results_are_shown_before() -> None:
    x, seen = leaf(), []
    a, _, b = Two.apply(x)
    a.grad_fn.register_prehook(seen.append)
    (a + 5 * b).sum().backward()
    (gs,) = seen
    assert [None if g is None else g.tolist() for g in gs] == [[1.0, 1.0], None, [5.0, 5.0]]
    assert x.grad.tolist() == [17.0, 17.0]


def test_a_result_without_a_gradient_is_none_to_hooks() -> None:
    x, seen = leaf(), []
    a, _, _ = Two.apply(x)
    a.grad_fn.register_prehook(seen.append)
    a.grad_fn.register_hook(lambda inner, outer: seen.append(outer))
    a.sum().backward()
    assert [[g is None for g in gs] for gs in seen] == [[False, True, True]] * 2
    assert x.grad.tolist() == [2.0, 2.0]


def test_hooks_at_a_leaf_run_around_its_accumulation_in_order() -> None:
    x, log = leaf(), []
    end = (x * 1).grad_fn.next_functions[0][0]
    x.register_hook(lambda g: log.append("tensor") or g - 2)
    end.register_prehook(lambda gs: log.append("before") or (gs[0] / 5,))
    x.register_post_accumulate_grad_hook(lambda t: log.append("accumulated") or t.grad.add_(0.5))
    end.register_hook(lambda none, gs: log.append("after"))

    def checked(t: Any) -> None:
        assert not ng.is_grad_enabled()

    x.register_post_accumulate_grad_hook(checked)
    with pytest.raises(RuntimeError, match="return None"):
        x.sum().backward()
    assert log == ["tensor", "before", "accumulated"]


def test_a_step_taken_as_soon_as_the_gradient_is_there() -> None:
    x = leaf()

    def step(t: Any) -> None:
        t.sub_(0.1 * t.grad)
        t.grad = None

    handle = x.register_post_accumulate_grad_hook(step)
    for _ in range(3):
        (x * x).sum().backward()
    assert_allclose(x.tolist(), np.array([1.0, 2.0]) * 0.8**3)
    handle.remove()
    (x * x).sum().backward()
    assert x.grad is not None
    with pytest.raises(RuntimeError, match="non-leaf"):
        (x * 2).register_post_accumulate_grad_hook(step)


def test_a_hook_of_a_leaf_runs_once_after_a_change_in_place() -> None:
    for change in ("sub", "data"):
        w = leaf()
        w.register_hook(lambda g: g * 0.5)
        for _ in range(3):
            w.grad = None
            (w * 2.0).sum().backward()
            assert w.grad.tolist() == [1.0, 1.0]
            with ng.no_grad():
                if change == "sub":
                    w -= 0.1 * w.grad
                else:
                    w.data = w.data - 0.1


def test_wrong_numbers_of_gradients_from_a_hook_raise() -> None:
    x = leaf()
    y = x * 2
    y.grad_fn.register_prehook(lambda gs: (*gs, *gs))
    with pytest.raises(RuntimeError, match="returned 2 gradients for 1"):
        y.sum().backward()


def test_a_retained_gradient_moves_with_a_write_in_place() -> None:
    a = leaf() * 1
    a.retain_grad()
    a.mul_(2)
    a.mul_(3)
    a.sum().backward()
    assert a.grad.tolist() == [1.0, 1.0]


def test_a_callback_runs_when_the_pass_is_over() -> None:
    x, log = leaf(), []

    def hook(g: Any) -> None:
        graph.queue_callback(lambda: log.append("over"))
        log.append("hook")

    y = x * 2
    y.register_hook(hook)
    x.register_hook(lambda g: log.append("leaf"))
    (y * y).sum().backward()
    assert log == ["hook", "leaf", "over"]
    with pytest.raises(RuntimeError, match="during the backward"):
        graph.queue_callback(print)


# ---------------------------------------------------------------------------------------- edges


def test_gradients_at_edges_stay_where_they_were() -> None:
    x = leaf() * 1
    edge = graph.get_gradient_edge(x)
    x *= 2
    old, new = ng.autograd.grad(x.sum(), (edge, x))
    assert old.tolist() == [2.0, 2.0] and new.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("number", [0, 2])
def test_a_gradient_is_found_in_two_steps(number: int) -> None:
    x = leaf()
    y = Two.apply(x.sin())[number]
    edge = graph.get_gradient_edge(y)
    assert edge.output_nr == number
    out = y.exp().sum()
    (part,) = ng.autograd.grad(out, edge, retain_graph=True)
    (found,) = ng.autograd.grad(edge, x, part, retain_graph=True)
    assert_allclose(found.tolist(), ng.autograd.grad(out, x)[0].tolist())


def test_an_edge_has_no_zeros_and_no_grad() -> None:
    x, y = leaf(), leaf()
    edge = graph.get_gradient_edge(y * 2)
    with pytest.raises(RuntimeError, match="GradientEdge"):
        ng.autograd.grad(x.sum(), edge, materialize_grads=True)
    ng.autograd.backward(x.sum(), inputs=(edge, x))
    assert x.grad.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="does not require grad"):
        graph.get_gradient_edge(ng.ones(2))


# ------------------------------------------------------------------------- several tensors at once


def test_a_hook_on_several_tensors_runs_once_all_gradients_are_there() -> None:
    a, b, c = leaf(), leaf(), leaf()
    seen: list[Any] = []
    handle = graph.register_multi_grad_hook((a, b, c), seen.append)
    (a * b).sum().backward()
    assert [None if g is None else g.tolist() for g in seen[0]] == [[1.0, 2.0], [1.0, 2.0], None]
    (a + b + c).sum().backward()
    assert len(seen) == 2 and all(g is not None for g in seen[1])
    handle.remove()
    a.sum().backward()
    assert len(seen) == 2


def test_a_hook_on_any_of_several_runs_at_the_first() -> None:
    a, b = leaf(), leaf()
    seen: list[Any] = []
    graph.register_multi_grad_hook((a, b), seen.append, mode="any")
    (a * b).sum().backward()
    assert len(seen) == 1 and isinstance(seen[0], ng.Tensor)
    with pytest.raises(ValueError, match="'all', 'any'"):
        graph.register_multi_grad_hook((a, b), print, mode="some")


# ----------------------------------------------------------------------------------- saved tensors


def test_what_was_packed_is_what_the_backward_reads() -> None:
    x = leaf()
    with graph.saved_tensors_hooks(lambda t: 2 * t, lambda t: t):
        y = x * x
    y.sum().backward()
    assert x.grad.tolist() == [4.0, 8.0]  # two times x, twice


def test_only_what_a_rule_reads_is_packed_and_unpacked_once() -> None:
    packs: list[Any] = []
    unpacks: list[Any] = []
    x, c = leaf(), ng.tensor([3.0, 4.0])
    with graph.saved_tensors_hooks(
        lambda t: packs.append(t) or t, lambda t: unpacks.append(t) or t
    ):
        out = (x * c + x.exp() - x * 3).sum()
    assert [t.tolist() for t in packs[:1]] == [[3.0, 4.0]] and len(packs) == 2
    out.backward()
    assert len(unpacks) == 2
    assert_allclose(x.grad.tolist(), [3 + np.exp(1) - 3, 4 + np.exp(2) - 3])


def test_saved_tensors_of_functions_are_packed_too() -> None:
    class Cube(ng.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x * x
            ctx.save_for_backward(x, None, y)
            return y * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, none, _ = ctx.saved_tensors
            assert none is None
            return g * 3 * x * x

    x = leaf()
    with graph.saved_tensors_hooks(lambda t: t.detach().numpy(), ng.tensor):
        y = Cube.apply(x).sum()
    (g,) = ng.autograd.grad(y, x, create_graph=True)
    assert g.tolist() == [3.0, 12.0]
    assert ng.autograd.grad(g.sum(), x)[0].tolist() == [6.0, 12.0]


def test_hooks_on_saved_tensors_nest_are_refused_and_raise() -> None:
    x = leaf()
    same = (lambda t: t, lambda t: t)
    with graph.saved_tensors_hooks(lambda t: 3 * t, same[1]):
        with graph.saved_tensors_hooks(lambda t: 5 * t, same[1]):
            y = x * x
        z = x * x
    assert ng.autograd.grad(y.sum(), x)[0].tolist() == [10.0, 20.0]
    assert ng.autograd.grad(z.sum(), x)[0].tolist() == [6.0, 12.0]
    with (
        graph.disable_saved_tensors_hooks("not here"),
        pytest.raises(RuntimeError, match="not here"),
        graph.saved_tensors_hooks(*same),
    ):
        pass
    with (
        graph.saved_tensors_hooks(*same),
        pytest.raises(RuntimeError, match="not here"),
        graph.disable_saved_tensors_hooks("not here"),
    ):
        pass
    writes = graph.saved_tensors_hooks(lambda t: t.add_(1), same[1])
    with writes, pytest.raises(RuntimeError, match="in place"):
        x.exp()
    assert ng.autograd.grad((x * x).sum(), x)[0].tolist() == [2.0, 4.0]


# -------------------------------------------------------------------------------------- checkpoint


def block(t: Any, w: Any) -> Any:
    return {"out": ng.exp(ng.sin(t * w)), "rest": [t * 2, "text"]}


def checkpointed_loss(call: Any, x: Any, w: Any) -> Any:
    h = x * w
    made = call(lambda t: block(t, w), h)
    assert made["rest"][1] == "text"
    return (made["out"] * made["rest"][0] * w).sum()


def test_a_checkpointed_part_has_the_same_derivatives() -> None:
    x, w = leaf(0.5, 1.0), leaf(2.0, 3.0)

    def plain(f: Any, *args: Any) -> Any:
        return f(*args)

    found = []
    for call in (plain, ng.checkpoint):
        first = ng.autograd.grad(checkpointed_loss(call, x, w), (x, w), create_graph=True)
        second = ng.autograd.grad(first[0].sum() + (first[1] ** 2).sum(), (x, w))
        found.append([t.detach().numpy() for t in (*first, *second)])
    for a, b in zip(*found, strict=True):
        assert_allclose(a, b, rtol=1e-13)


def test_it_runs_twice_and_draws_the_same_numbers() -> None:
    calls: list[Any] = []

    def noisy(t: Any) -> Any:
        calls.append(ng.rand(2))
        return t * t * calls[-1]

    x = leaf()
    ng.checkpoint(noisy, x).sum().backward()
    assert len(calls) == 2 and calls[0].tolist() == calls[1].tolist()
    assert_allclose(x.grad.tolist(), 2 * np.array([1.0, 2.0]) * calls[0].numpy())


def test_checkpoints_nest_and_work_in_transforms() -> None:
    values = np.array([1.0, 2.0])

    def inner(t: Any) -> Any:
        return ng.exp(t) * t

    def outer(t: Any) -> Any:
        return (ng.checkpoint(lambda u: ng.checkpoint(inner, u) * u, t) * t).sum()

    expected = ng.hessian(lambda t: (inner(t) * t * t).sum())(values)
    assert_allclose(ng.hessian(outer)(values), expected, rtol=1e-12)
    compiled = ng.jit(ng.grad(outer))(values)
    assert_allclose(compiled, ng.grad(outer)(values), rtol=1e-13)


def test_hooks_run_once_and_nothing_is_kept() -> None:
    w, x, calls = leaf(2.0, 3.0), leaf(), []
    w.register_hook(calls.append)
    kept = []

    def f(t: Any) -> Any:
        middle = t * w
        kept.append(weakref.ref(middle._node))
        return middle.exp()

    out = ng.checkpoint(f, w * x)
    gc.collect()
    assert kept[0]() is None
    out.sum().backward()
    assert len(calls) == 1


def test_another_computation_the_second_time_raises() -> None:
    x, extra, calls = leaf(), leaf(), []

    def changes(t: Any) -> Any:
        calls.append(1)
        return t * t if len(calls) == 1 else t * extra

    with pytest.raises(RuntimeError, match="same each time"):
        ng.checkpoint(changes, x).sum().backward()
    with pytest.raises(ValueError, match="use_reentrant"):
        ng.checkpoint(changes, x, use_reentrant=True)
    with ng.no_grad():
        assert not ng.checkpoint(lambda t: t * t, x).requires_grad


# ------------------------------------------------------------------------------------------- modes


def test_decorated_generators_switch_at_each_yield() -> None:
    @ng.no_grad()
    def numbers() -> Any:
        total = 0
        while total < 3:
            assert not ng.is_grad_enabled()
            try:
                total += yield total
            except KeyError:
                assert not ng.is_grad_enabled()
                total = 10
            assert not ng.is_grad_enabled()
        return total

    generator = numbers()
    assert next(generator) == 0 and ng.is_grad_enabled()
    assert generator.send(1) == 1 and ng.is_grad_enabled()
    with pytest.raises(StopIteration) as stop:
        generator.throw(KeyError())
    assert stop.value.value == 10 and ng.is_grad_enabled()


def test_a_decorated_class_warns() -> None:
    with pytest.warns(FutureWarning, match="Decorating classes"):

        @ng.no_grad()
        class Made:
            def __init__(self) -> None:
                assert not ng.is_grad_enabled()

    Made()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ng.no_grad()(lambda: None)


def test_inference_mode_is_off_inside_of_it() -> None:
    with ng.inference_mode():
        assert ng.is_inference_mode_enabled() and not ng.is_grad_enabled()
        with ng.inference_mode(False):
            assert not ng.is_inference_mode_enabled() and ng.is_grad_enabled()
        assert ng.is_inference_mode_enabled()
    assert not ng.is_inference_mode_enabled() and ng.is_grad_enabled()

    @ng.inference_mode
    def quiet() -> bool:
        return ng.is_grad_enabled()

    assert not quiet()
