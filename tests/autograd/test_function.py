"""User-defined functions: forward, backward, the context, and what goes wrong."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

Function = ng.autograd.Function


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * g * x * x


class ScaledProduct(Function):
    """``k * x * y``; remembers which gradients were wanted."""

    wanted: tuple[bool, ...] = ()

    @staticmethod
    def forward(ctx: Any, x: Any, k: float, y: Any) -> Any:
        ctx.save_for_backward(x, y)
        ctx.k = k
        return k * x * y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, y = ctx.saved_tensors
        ScaledProduct.wanted = tuple(ctx.needs_input_grad)
        by_x = g * ctx.k * y if ctx.needs_input_grad[0] else None
        by_y = g * ctx.k * x if ctx.needs_input_grad[2] else None
        return by_x, None, by_y


class SineAndCosine(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        s, c = ng.sin(x), ng.cos(x)
        ctx.save_for_backward(s, c)
        return s, c

    @staticmethod
    def backward(ctx: Any, gs: Any, gc: Any) -> Any:
        s, c = ctx.saved_tensors
        return gs * c - gc * s


VALUES = np.array([0.5, -2.0])


def leaf() -> Any:
    return ng.tensor(VALUES, requires_grad=True)


def test_the_two_names_are_one_class() -> None:
    assert ng.Function is ng.autograd.Function


def test_forward_and_backward() -> None:
    x = leaf()
    y = Cube.apply(x)
    assert y.requires_grad and not y.is_leaf
    assert "CubeBackward" in repr(y.grad_fn)
    assert_allclose(y.detach().numpy(), VALUES**3)
    y.backward(ng.tensor([1.0, 10.0]))
    assert_allclose(x.grad.numpy(), 3 * VALUES**2 * [1, 10])


def test_it_composes_with_operations_on_both_sides() -> None:
    x = leaf()
    (Cube.apply(2 * x).exp() + x).sum().backward()
    assert_allclose(x.grad.numpy(), np.exp(8 * VALUES**3) * 24 * VALUES**2 + 1)


def test_it_differentiates_twice_through_its_own_backward() -> None:
    x = leaf()
    (first,) = ng.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    (second,) = ng.autograd.grad(first.sum(), x, create_graph=True)
    (third,) = ng.autograd.grad(second.sum(), x)
    assert_allclose(first.detach().numpy(), 3 * VALUES**2)
    assert_allclose(second.detach().numpy(), 6 * VALUES)
    assert_allclose(third.numpy(), [6.0, 6.0])


def test_untracked_input_gives_an_untracked_output() -> None:
    y = Cube.apply(ng.tensor(VALUES))
    assert not y.requires_grad and y.grad_fn is None
    with ng.no_grad():
        assert not Cube.apply(leaf()).requires_grad


def test_forward_is_not_recorded() -> None:
    modes = []

    class Probe(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            modes.append(ng.is_grad_enabled())
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            modes.append(ng.is_grad_enabled())
            return g * 5

    x = leaf()
    Probe.apply(x).sum().backward()
    assert modes == [False, False]
    assert_allclose(x.grad.numpy(), [5.0, 5.0])  # the backward given, not the derivative


def test_needs_input_grad_and_none_for_what_has_no_gradient() -> None:
    x, y = leaf(), ng.tensor([3.0, 4.0])
    ScaledProduct.apply(x, 2.0, y).sum().backward()
    assert ScaledProduct.wanted == (True, False, False)
    assert_allclose(x.grad.numpy(), [6.0, 8.0])
    assert y.grad is None


def test_two_tensor_inputs_and_one_number() -> None:
    x, y = leaf(), ng.tensor([3.0, 4.0], requires_grad=True)
    ScaledProduct.apply(x, 2.0, y).sum().backward()
    assert ScaledProduct.wanted == (True, False, True)
    assert_allclose(x.grad.numpy(), [6.0, 8.0])
    assert_allclose(y.grad.numpy(), 2 * VALUES)


def test_same_tensor_given_twice_gets_both_gradients() -> None:
    x = leaf()
    ScaledProduct.apply(x, 0.5, x).sum().backward()
    assert_allclose(x.grad.numpy(), VALUES)


def test_two_outputs() -> None:
    x = leaf()
    s, c = SineAndCosine.apply(x)
    (3 * s + 5 * c * c).sum().backward()
    expected = 3 * np.cos(VALUES) - 10 * np.cos(VALUES) * np.sin(VALUES)
    assert_allclose(x.grad.numpy(), expected)


def test_gradient_of_an_unused_output_is_zeros() -> None:
    x = leaf()
    s, _ = SineAndCosine.apply(x)
    s.sum().backward()
    assert_allclose(x.grad.numpy(), np.cos(VALUES))


def test_gradient_of_an_unused_output_is_none_when_not_materialized() -> None:
    seen = []

    class Pair(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, first: Any, second: Any) -> Any:
            seen.append(second)
            return first * 2

    x = leaf()
    Pair.apply(x)[0].sum().backward()
    assert seen == [None]
    assert_allclose(x.grad.numpy(), [2.0, 2.0])


def test_output_marked_as_not_differentiable() -> None:
    class ValueAndMask(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            mask = x * 0 + 1
            ctx.mark_non_differentiable(mask)
            return x * 2, mask

        @staticmethod
        def backward(ctx: Any, g: Any, unused: Any) -> Any:
            return g * 2

    value, mask = ValueAndMask.apply(leaf())
    assert value.requires_grad and not mask.requires_grad


def test_backward_through_numpy() -> None:
    class Sort(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            array = x.detach().numpy()
            ctx.array = array
            return ng.tensor(np.sort(array))

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            out = np.empty_like(ctx.array)
            out[np.argsort(ctx.array)] = g.numpy()
            return ng.tensor(out)

    x = ng.tensor([3.0, 1.0, 2.0], requires_grad=True)
    Sort.apply(x).backward(ng.tensor([10.0, 20.0, 30.0]))
    assert_allclose(x.grad.numpy(), [30.0, 10.0, 20.0])


def test_second_backward_raises_and_retain_graph_allows_it() -> None:
    x = leaf()
    y = Cube.apply(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert_allclose(x.grad.numpy(), 6 * VALUES**2)
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_wrong_number_of_gradients_raises() -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, g

    with pytest.raises(RuntimeError, match="number of gradients"):
        Wrong.apply(leaf()).sum().backward()


def test_gradient_of_wrong_shape_raises() -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return ng.ones(5)

    with pytest.raises(RuntimeError, match="shape"):
        Wrong.apply(leaf()).sum().backward()


def test_exception_in_backward_reaches_the_caller() -> None:
    class Refuses(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise KeyError("not today")

    with pytest.raises(KeyError, match="not today"):
        Refuses.apply(leaf()).sum().backward()
    assert ng.is_grad_enabled()


def test_exception_in_forward_restores_the_mode() -> None:
    class Refuses(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            raise KeyError("not today")

    with pytest.raises(KeyError, match="not today"):
        Refuses.apply(leaf())
    assert ng.is_grad_enabled()


def test_backward_runs_only_when_a_gradient_is_needed() -> None:
    calls = []

    class Counted(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            calls.append(1)
            return g * 2

    x, other = leaf(), leaf()
    y = Counted.apply(x)
    z = (y + other * other).sum()
    ng.autograd.grad(z, other, retain_graph=True)
    assert calls == []
    z.backward()
    assert calls == [1]


def test_function_works_under_the_functional_front() -> None:
    gradient = ng.grad(lambda x: Cube.apply(x).sum())
    assert_allclose(gradient(VALUES), 3 * VALUES**2)


# ------------------------------------------------------ what else a function may do, as in PyTorch


class AddInPlace(Function):
    """Writes to its first argument; what else it returns depends on ``extra``."""

    extra = False

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        x.add_(y)
        ctx.mark_dirty(x)
        return (x, x * 2) if AddInPlace.extra else x

    @staticmethod
    def backward(ctx: Any, g: Any, *more: Any) -> Any:
        total = g + 2 * more[0] if more else g
        return total, total


@pytest.mark.parametrize("extra", [False, True])
def test_an_argument_written_in_place_is_the_result(extra: bool) -> None:
    AddInPlace.extra = extra
    x, y = leaf(), leaf()
    z = x * 1
    view = z[:1]
    made = AddInPlace.apply(z, y)
    out = made[0] if extra else made
    assert out is z and z.grad_fn.name() == "AddInPlaceBackward"
    assert_allclose(z.detach().numpy(), 2 * VALUES)
    assert view.item() == 2 * VALUES[0]
    (z * 3 + (made[1] if extra else 0)).sum().backward()
    assert_allclose(y.grad.numpy(), [5.0, 5.0] if extra else [3.0, 3.0])
    assert_allclose(x.grad.numpy(), y.grad.numpy())


def test_writing_to_a_leaf_or_not_returning_what_was_written_raises() -> None:
    class Keeps(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            x.add_(y)
            ctx.mark_dirty(x)
            return y * 1

    AddInPlace.extra = False
    x = leaf()
    with pytest.raises(RuntimeError, match="leaf"):
        AddInPlace.apply(x, leaf())
    assert_allclose(x.detach().numpy(), VALUES)
    z = leaf() * 1
    with pytest.raises(RuntimeError, match="must all be outputs"):
        Keeps.apply(z, leaf())
    assert_allclose(z.detach().numpy(), VALUES)


def test_an_untracked_argument_is_written_too() -> None:
    AddInPlace.extra = False
    x = ng.tensor(VALUES)
    assert AddInPlace.apply(x, ng.tensor(VALUES)) is x and not x.requires_grad
    assert_allclose(x.numpy(), 2 * VALUES)
    assert AddInPlace.apply(x, leaf()) is x and x.requires_grad


def test_results_that_are_arguments_duplicates_or_no_tensors() -> None:
    class Mixed(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, k: float) -> Any:
            y = x * k
            return x, y, y, "text", None, k

        @staticmethod
        def backward(ctx: Any, *gs: Any) -> Any:
            assert [g is None for g in gs] == [False, False, False, True, True, True]
            return gs[0] + 10 * (gs[1] + gs[2]), None

    x = leaf()
    same, a, b, *rest = Mixed.apply(x, 2.0)
    assert same is not x and same.grad_fn is a.grad_fn and a is b
    assert rest == ["text", None, 2.0]
    (same + 3 * a + x).sum().backward()
    assert_allclose(x.grad.numpy(), [32.0, 32.0])


def test_a_gradient_of_none_is_no_gradient_and_not_zeros() -> None:
    class Nothing(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return None

    x = leaf()
    Nothing.apply(x * x).sum().backward()
    assert x.grad is None
    assert ng.autograd.grad(Nothing.apply(x).sum(), x, allow_unused=True) == (None,)
    (Nothing.apply(x * x) + x).sum().backward()
    assert_allclose(x.grad.numpy(), [1.0, 1.0])
    assert_allclose(ng.grad(lambda x: Nothing.apply(x).sum())(VALUES), [0.0, 0.0])


def test_setup_context_defaults_and_keywords() -> None:
    class Power(Function):
        @staticmethod
        def forward(x: Any, n: int = 2, *, scale: float = 1.0) -> Any:
            return scale * x**n

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            x, ctx.n = inputs
            ctx.save_for_backward(x)

        @staticmethod
        def vjp(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * ctx.n * x ** (ctx.n - 1), None

    x = leaf()
    Power.apply(x).sum().backward()
    assert_allclose(x.grad.numpy(), 2 * VALUES)
    x.grad = None
    Power.apply(x, n=3).sum().backward()
    assert_allclose(x.grad.numpy(), 3 * VALUES**2)


def test_what_is_written_wrongly_is_named() -> None:
    class Old(Function):
        def forward(self, x: Any) -> Any:  # type: ignore[override]
            return x

    class Both(Cube):
        @staticmethod
        def vjp(ctx: Any, g: Any) -> Any:
            return g

    class Array(Cube):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.numpy() ** 3

    class Empty(Function):
        pass

    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        old = Old()
    with pytest.raises(RuntimeError, match="non-static forward"):
        old(leaf())
    with pytest.raises(RuntimeError, match="both 'backward' and 'vjp'"):
        Both.apply(leaf())
    with pytest.raises(TypeError, match=r"Array.forward must return tensors, not ndarray"):
        Array.apply(leaf())
    with pytest.raises(NotImplementedError, match="must implement the forward"):
        Empty.apply(leaf())


def test_saved_tensors_are_let_go_with_the_graph() -> None:
    kept = []

    class Keeps(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x * x
            ctx.save_for_backward(y)
            kept.append(weakref.ref(y._node))
            return y * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3 * ctx.saved_tensors[0]

    x = leaf()
    z = Keeps.apply(x).sum()
    z.backward()
    gc.collect()
    assert kept[0]() is None and z.item() == pytest.approx((VALUES**3).sum())
