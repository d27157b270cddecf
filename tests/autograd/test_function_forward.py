"""Forward mode and second derivatives through user-written functions, against the operations.

Each function has a twin of plain operations; every transform must give the twin's derivatives, or
raise with the function's name.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.errors import AutogradError

F = ng.autograd.functional
X = np.array([2.0, 3.0])


class Cube(ng.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * x * x * g


class CubeWithTangent(Cube):
    calls = 0

    @staticmethod
    def jvp(ctx: Any, t: Any) -> Any:
        CubeWithTangent.calls += 1
        (x,) = ctx.saved_tensors
        return 3 * x * x * t


class Polar(ng.Function):
    """Two tensors and a number in, two tensors and a string out."""

    @staticmethod
    def forward(ctx: Any, r: Any, k: float, phi: Any) -> Any:
        ctx.k = k
        ctx.save_for_backward(r, phi)
        return k * r * np.cos(phi), "polar", r * np.sin(phi)

    @staticmethod
    def backward(ctx: Any, gx: Any, _: Any, gy: Any) -> Any:
        r, phi = ctx.saved_tensors
        by_r = ctx.k * gx * np.cos(phi) + gy * np.sin(phi)
        return by_r, None, -ctx.k * gx * r * np.sin(phi) + gy * r * np.cos(phi)


class Softmax(ng.Function):
    """Saves its own result."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        e = np.exp(x - x.max())
        y = e / e.sum()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        return y * (g - (g * y).sum())


class Apart(ng.Function):
    """``forward`` without a context."""

    @staticmethod
    def forward(x: Any, power: int = 2) -> Any:
        return x**power

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, ctx.power = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * ctx.power * x ** (ctx.power - 1), None


def polar(x: Any) -> Any:
    a, _, b = Polar.apply(x, 2.0, x * x)
    return a * b + x


def polar_twin(x: Any) -> Any:
    return (2.0 * x * np.cos(x * x)) * (x * np.sin(x * x)) + x


PAIRS = {
    "cube": (lambda x: Cube.apply(x) * x, lambda x: x**4),
    "nested": (lambda x: Cube.apply(Cube.apply(x) * x[0]), lambda x: (x**3 * x[0]) ** 3),
    "written": (lambda x: CubeWithTangent.apply(x) * x, lambda x: x**4),
    "polar": (polar, polar_twin),
    "saves its result": (
        lambda x: Softmax.apply(x) * x,
        lambda x: np.exp(x) / np.exp(x).sum() * x,
    ),
    "apart": (lambda x: Apart.apply(x) * np.sin(Apart.apply(x, 3)), lambda x: x**2 * np.sin(x**3)),
    "one argument twice": (lambda x: Polar.apply(x, 1.0, x)[0], lambda x: x * np.cos(x)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_jacobians_and_products(name: str) -> None:
    f, twin = PAIRS[name]
    v, w = np.array([0.7, -1.3]), np.array([2.0, 0.5])
    expected = ng.jacobian(twin)(X)
    assert_allclose(ng.jacobian(f)(X), expected, rtol=1e-12)
    for strategy in ("forward-mode", "reverse-mode"):
        found = F.jacobian(f, ng.tensor(X), strategy=strategy)
        assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-300)
    t = F.jvp(f, ng.tensor(X), ng.tensor(v))[1]
    assert_allclose(t.numpy(), expected @ v, rtol=1e-12)
    assert_allclose(F.vjp(f, ng.tensor(X), ng.tensor(w))[1].numpy(), w @ expected, rtol=1e-12)
    assert_allclose(ng.jit(ng.jacobian(f))(X), expected, rtol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_second_derivatives(name: str) -> None:
    f, twin = PAIRS[name]
    v = np.array([0.7, -1.3])

    def scalar(x: Any) -> Any:
        return (f(x) * x).sum()

    expected = ng.hessian(lambda x: (twin(x) * x).sum())(X)
    assert_allclose(ng.hessian(scalar)(X), expected, rtol=1e-11)
    assert_allclose(F.hessian(scalar, ng.tensor(X)).numpy(), expected, rtol=1e-11)
    for product in (F.hvp, F.vhp):
        found = product(scalar, ng.tensor(X), ng.tensor(v))[1]
        assert_allclose(found.numpy(), expected @ v, rtol=1e-11)
    assert_allclose(ng.jit(ng.hessian(scalar))(X), expected, rtol=1e-11)


@pytest.mark.parametrize("name", PAIRS)
def test_forward_over_forward_and_reverse_over_forward(name: str) -> None:
    f, twin = PAIRS[name]
    v = ng.tensor([0.7, -1.3])

    def along(g: Any) -> Any:
        return lambda x: F.jvp(g, x, v, create_graph=True)[1]

    expected = F.jvp(along(twin), ng.tensor(X), v)[1].numpy()
    assert_allclose(F.jvp(along(f), ng.tensor(X), v)[1].numpy(), expected, rtol=1e-11)
    w = ng.tensor([2.0, 0.5])
    reverse = F.vjp(along(f), ng.tensor(X), w)[1].numpy()
    assert_allclose(reverse, F.vjp(along(twin), ng.tensor(X), w)[1].numpy(), rtol=1e-11)


def test_a_written_tangent_is_what_is_called() -> None:
    CubeWithTangent.calls = 0
    F.jvp(CubeWithTangent.apply, ng.tensor(X), ng.ones(2))
    assert CubeWithTangent.calls == 1


def test_a_complex_function_has_its_tangent() -> None:
    class Square(ng.Function):
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            ctx.save_for_backward(z)
            return z * z

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (z,) = ctx.saved_tensors
            return g * 2 * np.conj(z)

    z, t = ng.tensor([1 + 2j, -0.5j]), ng.tensor([0.5 - 1j, 2 + 1j])
    found = F.jvp(Square.apply, z, t)[1]
    assert_allclose(found.numpy(), (2 * z * t).numpy(), rtol=1e-14)


def test_no_tangent_flows_through_what_is_not_differentiable() -> None:
    def f(x: Any) -> Any:
        with ng.no_grad():
            k = x * 5
        return k * x + x.detach() * x

    expected = F.jacobian(f, ng.tensor(X), strategy="reverse-mode").numpy()
    assert_allclose(expected, np.diag(6 * X))
    assert_allclose(F.jacobian(f, ng.tensor(X), strategy="forward-mode").numpy(), expected)


class NumpySine(ng.Function):
    """Leaves the tape in both rules."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.x = x.numpy()
        return ng.tensor(np.sin(ctx.x))

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return ng.tensor(g.detach().numpy() * np.cos(ctx.x))


class HalfNumpySine(NumpySine):
    """A gradient that is linear on the tape, with a factor that left it."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ng.tensor(np.cos(ctx.x))


class SavedNumpySine(ng.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return np.sin(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * ng.tensor(np.cos(x.detach().numpy()))


class Once(SavedNumpySine):
    @staticmethod
    @ng.autograd.once_differentiable
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * np.cos(x)


LEFT = [NumpySine, HalfNumpySine, SavedNumpySine, Once]


@pytest.mark.parametrize("cls", LEFT)
def test_a_backward_that_leaves_the_tape_has_first_derivatives(cls: Any) -> None:
    x = ng.tensor(X, requires_grad=True)
    (g,) = ng.autograd.grad(cls.apply(x).sum(), x, create_graph=True)
    assert_allclose(g.detach().numpy(), np.cos(X))
    assert_allclose(ng.grad(lambda x: cls.apply(x).sum())(X), np.cos(X))


@pytest.mark.parametrize("cls", LEFT)
@pytest.mark.parametrize("how", ["grad", "hessian", "hvp", "vhp", "functional"])
def test_its_second_derivatives_raise(cls: Any, how: str) -> None:
    def f(x: Any) -> Any:
        return (cls.apply(x) * x).sum()

    def second() -> None:
        if how == "grad":
            x = ng.tensor(X, requires_grad=True)
            (g,) = ng.autograd.grad(f(x), x, create_graph=True)
            g.sum().backward()
        elif how == "hessian":
            ng.hessian(f)(X)
        elif how == "functional":
            F.hessian(f, ng.tensor(X))
        else:
            getattr(F, how)(f, ng.tensor(X), ng.ones(2))

    with pytest.raises((AutogradError, NotImplementedError), match=cls.__name__) as caught:
        second()
    assert "once_differentiable" in str(caught.value) or "has no jvp" in str(caught.value)


@pytest.mark.parametrize("cls", [NumpySine, Once])
def test_forward_mode_names_a_function_without_a_tangent(cls: Any) -> None:
    with pytest.raises(NotImplementedError, match=rf"forward AD with {cls.__name__}"):
        F.jvp(cls.apply, ng.tensor(X), ng.ones(2))


@pytest.mark.parametrize("cls", [HalfNumpySine, SavedNumpySine])
def test_forward_mode_needs_only_what_is_linear(cls: Any) -> None:
    t = F.jvp(cls.apply, ng.tensor(X), ng.tensor([1.0, 2.0]))[1]
    assert_allclose(t.numpy(), np.cos(X) * [1, 2])
    with pytest.raises(AutogradError, match=cls.__name__):
        F.jvp(
            lambda x: F.jvp(cls.apply, x, ng.ones(2), create_graph=True)[1],
            ng.tensor(X),
            ng.ones(2),
        )


def test_choices_masks_and_given_constants_do_not_leave_the_tape() -> None:
    class Relu(ng.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, scale: float) -> Any:
            ctx.mask, ctx.scale = x.numpy() > 2.5, scale
            return ng.tensor(np.maximum(x.numpy() - 2.5, 0) * scale)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return (ctx.scale * g * ctx.mask if g.any() else g * 0.0), None

    def f(x: Any) -> Any:
        return (Relu.apply(x, 0.5) * x).sum()

    assert_allclose(ng.hessian(f)(X), np.diag([0.0, 1.0]))
    assert_allclose(ng.jacobian(lambda x: Relu.apply(x, 0.5))(X), np.diag([0.0, 0.5]))


def test_a_jvp_of_the_wrong_shape_or_number_raises() -> None:
    class Wrong(Cube):
        made: Any = None

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return Wrong.made

    for made, text in [((1, 2), "number of tangents"), (ng.ones(5), "shape"), (3.0, "tensors")]:
        Wrong.made = made
        with pytest.raises((RuntimeError, TypeError), match=text):
            F.jvp(Wrong.apply, ng.tensor(X), ng.ones(2))


def test_a_function_with_a_jvp_alone_has_forward_mode_alone() -> None:
    class Tangent(ng.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_forward(x)
            return x * x

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            (x,) = ctx.saved_for_forward
            return 2 * x * t

    assert_allclose(ng.jacobian(Tangent.apply)(X), np.diag(2 * X))
    with pytest.raises(NotImplementedError, match="backward or vjp"):
        ng.grad(lambda x: Tangent.apply(x).sum())(X)


class NumpySort(ng.Function):
    """Asks for the arrays of tracked tensors, in the backward too."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        array = x.numpy()
        ctx.order = np.argsort(array)
        return ng.tensor(np.sort(array))

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        out = np.empty(2)
        out[ctx.order] = g.numpy()
        return ng.tensor(out)


def test_a_backward_of_arrays_has_every_first_derivative_by_rows() -> None:
    x = np.array([3.0, 2.0])
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert_allclose(ng.grad(lambda x: (NumpySort.apply(x) * [1.0, 10.0]).sum())(x), [10.0, 1.0])
    assert_allclose(ng.jacobian(NumpySort.apply)(x), swap)
    assert_allclose(F.jacobian(NumpySort.apply, ng.tensor(x)).numpy(), swap)
    with pytest.raises(NotImplementedError, match="forward AD with NumpySort"):
        F.jacobian(NumpySort.apply, ng.tensor(x), strategy="forward-mode")
    w = ng.tensor(x, requires_grad=True)
    (g,) = ng.autograd.grad((NumpySort.apply(w) ** 2).sum(), w, create_graph=True)
    assert_allclose(g.detach().numpy(), 2 * x)
    with pytest.raises(AutogradError, match="NumpySort"):
        g.sum().backward()
    with pytest.raises(AutogradError, match="NumpySort"):
        ng.hessian(lambda x: (NumpySort.apply(x) ** 2).sum())(x)


def test_integers_and_other_threads_do_not_take_values_off_the_tape() -> None:
    started, go = threading.Event(), threading.Event()

    class Power(ng.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, n: Any) -> Any:
            ctx.save_for_backward(x)
            ctx.n = int(n)
            return x**ctx.n

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            started.set()
            assert go.wait(10)
            return g * ctx.n * x ** (ctx.n - 1), None

    def elsewhere() -> None:
        started.wait(10)
        ng.ones(3).numpy()
        go.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    found = ng.hessian(lambda x: Power.apply(x, ng.tensor(3)).sum())(X)
    thread.join()
    assert_allclose(found, np.diag(6 * X))


class Held:
    """Something that keeps an array and says nothing of it."""

    def __init__(self, array: Any) -> None:
        self.array = array


@pytest.mark.parametrize(
    "wrap", [lambda a: {"x": a}, lambda a: [a], Held], ids=["dict", "list", "object"]
)
def test_values_kept_in_containers_have_left_the_tape_too(wrap: Any) -> None:
    class Keeps(ng.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.kept = wrap(x.numpy())
            return np.sin(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            kept = ctx.kept
            array = (
                kept.array
                if isinstance(kept, Held)
                else next(iter(kept.values() if isinstance(kept, dict) else kept))
            )
            return g * np.cos(array)

    assert_allclose(ng.grad(lambda x: Keeps.apply(x).sum())(X), np.cos(X))
    with pytest.raises(AutogradError, match="Keeps"):
        ng.hessian(lambda x: Keeps.apply(x).sum())(X)


def test_a_written_tangent_that_leaves_the_tape_is_refused_twice() -> None:
    class Sine(NumpySine):
        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return t * np.cos(ctx.x)

    v = ng.ones(2)
    assert_allclose(F.jvp(Sine.apply, ng.tensor(X), v)[1].numpy(), np.cos(X))
    with pytest.raises(AutogradError, match="Sine"):
        F.jvp(lambda x: F.jvp(Sine.apply, x, v, create_graph=True)[1], ng.tensor(X), v)
