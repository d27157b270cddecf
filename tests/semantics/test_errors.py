"""The texts of the errors, and that each is a RuntimeError of nbgrad's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng


def leaf(values: Any = (1.0, 2.0)) -> Any:
    return ng.tensor(np.array(values), requires_grad=True)


def second_backward() -> None:
    y = (leaf() * leaf()).sum()
    y.backward()
    y.backward()


def second_grad() -> None:
    x = leaf()
    y = x.exp().sum()
    ng.autograd.grad(y, x)
    ng.autograd.grad(y, x)


def gradient_of_wrong_shape() -> None:
    (leaf() * 2).backward(ng.ones(3))


def grad_outputs_of_wrong_shape() -> None:
    x = leaf()
    ng.autograd.grad(x * 2, x, grad_outputs=ng.ones(1, 2))


def unset_flag_of_result() -> None:
    y = leaf() * 2
    y.requires_grad = False


def set_by_index() -> None:
    x = leaf()
    x[0] = 1.0


def in_place_operator() -> None:
    x = leaf()
    x += 1


FREED_OLD = (
    "Trying to backward through the graph a second time, but the buffers have already been freed"
)
FREED_NEW = (
    "Saved intermediate values of the graph are freed when you call .backward() or "
    "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a "
    "second time or if you need to access saved tensors after calling backward."
)
NOT_SCALAR = "grad can be implicitly created only for scalar outputs"
LEAF = "a leaf Variable that requires grad is being used in an in-place operation."
VIEW = "a view of a leaf Variable that requires grad is being used in an in-place operation."
UNTRACKED = "element 0 of tensors does not require grad and does not have a grad_fn"
NOT_FLOAT = "Only Tensors of floating point and complex dtype can require gradients"
NOT_LEAF = (
    "you can only change requires_grad flags of leaf variables. If you want to use a computed "
    "variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
)
UNUSED = (
    "One of the differentiated Tensors appears to not have been used in the graph. Set "
    "allow_unused=True if this is the desired behavior."
)
NUMPY = "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."

CASES: list[tuple[str, str, Callable[[], Any]]] = [
    ("second backward, older text", FREED_OLD, second_backward),
    ("second backward, newer text", FREED_NEW, second_backward),
    ("second grad", FREED_OLD, second_grad),
    ("vector output", NOT_SCALAR, lambda: (leaf() * 2).backward()),
    ("vector output of grad", NOT_SCALAR, lambda: ng.autograd.grad((x := leaf()) * 2, x)),
    ("empty output", NOT_SCALAR, lambda: (leaf([]) * 2).backward()),
    ("add_ on a leaf", LEAF, lambda: leaf().add_(1)),
    ("sub_ on a leaf", LEAF, lambda: leaf().sub_(1)),
    ("mul_ on a leaf", LEAF, lambda: leaf().mul_(2)),
    ("div_ on a leaf", LEAF, lambda: leaf().div_(2)),
    ("zero_ on a leaf", LEAF, lambda: leaf().zero_()),
    ("fill_ on a leaf", LEAF, lambda: leaf().fill_(3.0)),
    ("copy_ on a leaf", LEAF, lambda: leaf().copy_(ng.ones(2))),
    ("exp_ on a leaf", LEAF, lambda: leaf().exp_()),
    ("clamp_ on a leaf", LEAF, lambda: leaf().clamp_(0, 1)),
    ("+= on a leaf", LEAF, in_place_operator),
    ("x[0] = v on a leaf", LEAF, set_by_index),
    ("add_ on a slice of a leaf", VIEW, lambda: leaf()[0:1].add_(1)),
    ("add_ on the transpose of a leaf", VIEW, lambda: leaf([[1.0, 2.0]]).T.add_(1)),
    ("backward of an untracked tensor", UNTRACKED, lambda: ng.tensor(1.0).backward()),
    ("grad of an untracked tensor", UNTRACKED, lambda: ng.autograd.grad(ng.tensor(1.0), leaf())),
    ("integer leaf", NOT_FLOAT, lambda: ng.tensor([1, 2], requires_grad=True)),
    ("boolean leaf", NOT_FLOAT, lambda: ng.tensor([True], requires_grad=True)),
    ("requires_grad_ of integers", NOT_FLOAT, lambda: ng.arange(3).requires_grad_()),
    ("requires_grad = False of a result", NOT_LEAF, unset_flag_of_result),
    ("requires_grad_(False) of a result", NOT_LEAF, lambda: (leaf() * 2).requires_grad_(False)),
    ("unused input", UNUSED, lambda: ng.autograd.grad(leaf().sum(), leaf())),
    ("numpy() of a leaf", NUMPY, lambda: leaf().numpy()),
    ("numpy() of a result", NUMPY, lambda: (leaf() * 2).numpy()),
    ("asarray of a leaf", NUMPY, lambda: np.asarray(leaf())),
    ("asarray of a result", NUMPY, lambda: np.asarray(leaf() * 2)),
]


@pytest.mark.parametrize(("text", "action"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_error_text(text: str, action: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError, match=re.escape(text)) as caught:
        action()
    assert caught.type is not RuntimeError
    assert caught.type.__module__.startswith("nbgrad")


@pytest.mark.parametrize("action", [gradient_of_wrong_shape, grad_outputs_of_wrong_shape])
def test_mismatched_gradient_names_both_shapes(action: Callable[[], None]) -> None:
    given = {"gradient_of_wrong_shape": "3,?", "grad_outputs_of_wrong_shape": "1, 2"}
    text = (
        rf"Mismatch in shape: grad_output\[0\] has a shape of .*[\[(]{given[action.__name__]}[\])]"
        r".* and output\[0\] has a shape of .*[\[(]2,?[\])]"
    )
    with pytest.raises(RuntimeError, match=text):
        action()


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_element_is_scalar_enough(shape: tuple[int, ...]) -> None:
    x = leaf(np.full(shape, 3.0))
    (x * x).backward()
    assert x.grad.shape == shape
    assert x.grad.item() == 6.0


def test_failed_in_place_operation_leaves_the_leaf_as_it_was() -> None:
    x = leaf()
    with pytest.raises(RuntimeError, match="leaf Variable"):
        x.mul_(100)
    assert x.is_leaf and x.requires_grad
    assert_allclose(x.detach().numpy(), [1.0, 2.0])


def test_saved_tensor_cannot_be_overwritten() -> None:
    """Where PyTorch raises "modified by an inplace operation", the gradient is simply right."""
    x = leaf([0.5, -1.0])
    y = x.exp()
    y.add_(1)
    y.mul_(y)
    y.sum().backward()
    e = np.exp([0.5, -1.0])
    assert_allclose(x.grad.numpy(), 2 * (e + 1) * e)


def test_weight_updated_between_forward_and_backward() -> None:
    w = leaf([3.0, -2.0])
    loss = (w * w * w).sum()
    with ng.no_grad():
        w.mul_(0)
    loss.backward()
    assert_allclose(w.grad.numpy(), [27.0, 12.0])
    assert_allclose(w.detach().numpy(), [0.0, 0.0])


def test_failed_backward_leaves_gradients_alone() -> None:
    x = leaf()
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        (x.sum() + y).backward()
    assert_allclose(x.grad.numpy(), [2.0, 4.0])


@pytest.mark.parametrize("value", [3, True, np.array([True, False])])
def test_functional_grad_of_an_integer_suggests_a_float(value: Any) -> None:
    with pytest.raises(TypeError, match=re.escape("3.0")):
        ng.grad(lambda x: (x * x).sum())(value)


def test_functional_grad_of_a_vector_function_names_jacobian() -> None:
    with pytest.raises(TypeError, match="jacobian"):
        ng.grad(lambda x: x * x)(np.array([1.0, 2.0]))
    with pytest.raises(TypeError, match="jacobian"):
        ng.value_and_grad(lambda x: x * x)(np.array([1.0, 2.0]))


def test_functional_grad_of_a_function_that_returns_no_array() -> None:
    with pytest.raises(TypeError):
        ng.grad(lambda x: "three")(1.0)


def test_grad_input_that_does_not_require_grad() -> None:
    x = leaf()
    with pytest.raises(RuntimeError, match="does not require grad"):
        ng.autograd.grad((x * x).sum(), [x, ng.ones(2)], allow_unused=True)


def test_empty_inputs_of_backward() -> None:
    with pytest.raises(RuntimeError, match="cannot be empty"):
        (leaf() * 2).sum().backward(inputs=[])


def test_materialize_grads_excludes_disallowing_unused() -> None:
    x = leaf()
    with pytest.raises(ValueError, match="allow_unused"):
        ng.autograd.grad(x.sum(), x, allow_unused=False, materialize_grads=True)


@pytest.mark.parametrize("given", [[1.0], 2.0, np.ones(2), None])
def test_the_constructor_of_tensors_says_what_to_write(given: object) -> None:
    with pytest.raises(TypeError, match=r"write nbgrad\.tensor"):
        ng.Tensor(given)  # type: ignore[arg-type]
