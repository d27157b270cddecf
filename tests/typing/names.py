"""What a type checker sees of the names that are made when asked for; read by mypy, never run.

An ignored error that does not come is an error, too (``warn_unused_ignores``).
"""

from typing import Any, assert_type

import nbgrad as ng
import nbgrad.numpy as np


def check() -> None:
    x = ng.tensor([1.0])

    assert_type(ng.sin(x), ng.Tensor)
    assert_type(ng.erf_(x), ng.Tensor)
    assert_type(np.sort(x, axis=-1), ng.Tensor)
    assert_type(np.linalg.eigh(x).eigenvalues, ng.Tensor)
    assert_type(ng.special.betainc(1.0, 2.0, x), ng.Tensor)
    assert_type(ng.functional.cross_entropy(x, 0, reduction="sum"), ng.Tensor)
    assert_type(ng.linalg.solve_sylvester(x, x, x), ng.Tensor)
    assert_type(ng.stats.norm.logpdf(x, scale=2.0), ng.Tensor)
    assert_type(np.pi, float)

    assert_type(x.sum(axis=0), ng.Tensor)
    assert_type(x.mean(dim=-1, keepdim=True), ng.Tensor)
    assert_type(x.log10(), ng.Tensor)
    assert_type(x.log1p_(), ng.Tensor)
    assert_type(x.add_(1.0).sub(x, alpha=2.0), ng.Tensor)
    assert_type(x.gather(0, x), ng.Tensor)
    assert_type(x.reshape(1, -1).T @ x, ng.Tensor)
    assert_type(1.0 - x[0] ** 2, ng.Tensor)
    assert_type(float(x), float)
    assert_type(x.ndim, int)
    assert_type(ng.zeros(2, 3, requires_grad=True), ng.Tensor)

    x.summ()  # type: ignore[attr-defined]
    x.log10(1, 2)  # type: ignore[call-arg]
    x.sum(axes=0, keepdims="no")  # type: ignore[arg-type]
    ng.tensorr(1)  # type: ignore[attr-defined]
    np.sni(x)  # type: ignore[attr-defined]
    ng.functional.mse_los(x, x)  # type: ignore[attr-defined]
    ng.linalg.nope(x)  # type: ignore[attr-defined]
    ng.special.betainc(1.0, x)  # type: ignore[call-arg]
    ng.stats.norm.density(x)  # type: ignore[attr-defined]


def check_tensors() -> None:
    x = ng.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)

    assert_type(1.0 - x * 2.0 + x @ x, ng.Tensor)
    assert_type(-x // 3 % 2**x, ng.Tensor)
    assert_type(x.sum(axis=0).exp(), ng.Tensor)
    assert_type(x.reshape(4).clone().requires_grad_(), ng.Tensor)
    assert_type(x[0], ng.Tensor)
    assert_type(x < 1.0, ng.Tensor)
    assert_type(x == 1.0, ng.Tensor)
    assert_type(x.grad, ng.Tensor | None)
    x += 1.0
    assert_type(x, ng.Tensor)


def check_transforms() -> None:
    def loss(w: ng.Tensor, rate: float, *, order: int = 2) -> ng.Tensor:
        return ng.multiply(ng.square(w), rate)

    w = ng.tensor([1.0])
    ng.grad(loss)(w, 0.5, order=1)
    ng.jit(loss)(w, 0.5)
    ng.jacobian(ng.hessian(loss, 0), argnums=(0, 1))(w, 0.5)
    assert_type(ng.value_and_grad(loss, holomorphic=True)(w, 0.5), tuple[Any, Any])
    assert_type(ng.autograd.functional.vjp(loss, (w, 0.5)), tuple[Any, Any])

    # What a transform makes takes the arguments of the function.
    ng.grad(loss)(w, 0.5, steps=1)  # type: ignore[call-arg]
    ng.grad(ng.jit(loss))(w)  # type: ignore[call-arg]
    ng.hessian(loss)(w, "half")  # type: ignore[arg-type]
    ng.grad(loss, argnum=1)  # type: ignore[call-arg]
    ng.grad(loss, argnums=0.5)  # type: ignore[arg-type]
    ng.jit(3.0)  # type: ignore[call-overload]
    assert_type(ng.jit(loss).source(w, 0.5), str)
    ng.jit(static_argnums=1)(loss)(w, 0.5)
    ng.jit(loss, static_argnames="order").stats(w, 0.5, order=1)
    ng.jit(loss).stats(w, "half")  # type: ignore[arg-type]
    assert_type(ng.make_tape(loss)(w, 0.5).source(), str)
