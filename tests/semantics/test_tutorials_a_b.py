"""Rows 1-24: the backward pass as a vector-Jacobian product, and matrix calculus."""

from __future__ import annotations

import re
import resource
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

SECOND_TIME = "Trying to backward through the graph a second time"
NOT_SCALAR = "grad can be implicitly created only for scalar outputs"


def compact(text: object) -> str:
    """``repr`` without white space, so that line breaks do not matter."""
    return re.sub(r"\s", "", repr(text))


@pytest.mark.row(1)
def test_row_01_gradients_of_product_of_sums_land_in_leaves() -> None:
    a = ng.tensor([1.0, -2.0], requires_grad=True)
    b = ng.tensor([3.0, 0.5], requires_grad=True)
    c = ng.tensor([-1.0, 4.0], requires_grad=True)
    left = a + b
    z = left * (b - c)
    z.backward(ng.ones_like(z))
    assert_allclose(a.grad.numpy(), [3.0 + 1.0, 0.5 - 4.0])
    assert_allclose(b.grad.numpy(), [1.0 + 6.0 + 1.0, -2.0 + 1.0 - 4.0])
    assert_allclose(c.grad.numpy(), [-4.0, 1.5])
    assert a.is_leaf and b.is_leaf and c.is_leaf
    assert not left.is_leaf and not z.is_leaf


@pytest.mark.row(2)
def test_row_02_second_backward_raises_without_retain_graph() -> None:
    x = ng.tensor(2.0, requires_grad=True)
    z = x**3
    z.backward()
    with pytest.raises(RuntimeError, match=SECOND_TIME):
        z.backward()
    assert x.grad.item() == 12.0


@pytest.mark.row(2)
def test_row_02_retain_graph_allows_a_second_backward_and_then_frees() -> None:
    x = ng.tensor(2.0, requires_grad=True)
    z = x**3
    z.backward(retain_graph=True)
    z.backward()
    assert x.grad.item() == 24.0
    with pytest.raises(RuntimeError, match=SECOND_TIME):
        z.backward()


@pytest.mark.row(3)
def test_row_03_cube_at_one() -> None:
    x = ng.tensor(1.0, requires_grad=True)
    z = x**3
    z.backward()
    assert x.grad.item() == 3.0
    assert float(np.asarray(x.grad.data)) == 3.0


@pytest.mark.row(4)
def test_row_04_scalar_backward_is_backward_with_one() -> None:
    def gradient(*seed: Any) -> float:
        x = ng.tensor(1.7, requires_grad=True)
        (x**3).backward(*seed)
        return x.grad.item()

    assert gradient() == gradient(ng.tensor(1.0))
    assert_allclose(gradient(), 3 * 1.7**2)
    assert_allclose(gradient(ng.tensor(-2.0)), -6 * 1.7**2)


@pytest.mark.row(5)
def test_row_05_data_of_grad_is_the_raw_array() -> None:
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    assert_allclose(np.asarray(x.grad.data), [2.0, 4.0])
    assert_allclose(np.asarray(x.data), [1.0, 2.0])
    assert getattr(x.data, "requires_grad", False) is False


@pytest.mark.row(6)
def test_row_06_vector_output_needs_a_gradient() -> None:
    x = ng.tensor([0.0, 2.0, 8.0], requires_grad=True)
    y = ng.tensor([5.0, 1.0, 7.0], requires_grad=True)
    z = x * y
    with pytest.raises(RuntimeError, match=NOT_SCALAR):
        z.backward()
    assert x.grad is None and y.grad is None


@pytest.mark.row(7)
def test_row_07_vector_jacobian_product() -> None:
    x = ng.tensor([0.0, 2.0, 8.0], requires_grad=True)
    y = ng.tensor([5.0, 1.0, 7.0], requires_grad=True)
    z = x * y
    assert_allclose(z.detach().numpy(), [0.0, 2.0, 56.0])
    z.backward(ng.tensor([1.0, 1.0, 1.0]))
    assert_allclose(x.grad.numpy(), [5.0, 1.0, 7.0])
    assert_allclose(y.grad.numpy(), [0.0, 2.0, 8.0])


@pytest.mark.row(7)
def test_row_07_vector_jacobian_product_weights_each_output() -> None:
    x = ng.tensor([0.0, 2.0, 8.0], requires_grad=True)
    y = ng.tensor([5.0, 1.0, 7.0])
    (x * y).backward(gradient=ng.tensor([1.0, -2.0, 0.5]))
    assert_allclose(x.grad.numpy(), [5.0, -2.0, 3.5])


@pytest.mark.row(8)
def test_row_08_jacobian_is_never_materialised() -> None:
    def gradient(n: int) -> np.ndarray:
        x = ng.tensor(np.linspace(0.0, 1.0, n), requires_grad=True)
        (x * x).backward(ng.ones(n))
        return x.grad.numpy()

    gradient(1000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    n = 100_000  # the Jacobian would take 80 GB
    assert_allclose(gradient(n), 2 * np.linspace(0.0, 1.0, n))
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 200 * 1024


@pytest.mark.row(9)
def test_row_09_backward_of_scalar_and_of_vector_agree() -> None:
    def leaf() -> Any:
        return ng.tensor([0.3, -1.2, 2.0], requires_grad=True)

    weights = ng.tensor([2.0, 3.0, -1.0])
    scalar, vector = leaf(), leaf()
    (weights * scalar.exp()).sum().backward()
    vector.exp().backward(weights)
    assert_allclose(scalar.grad.numpy(), vector.grad.numpy())
    assert_allclose(vector.grad.numpy(), weights.numpy() * np.exp([0.3, -1.2, 2.0]))


@pytest.mark.row(10)
def test_row_10_named_node_leaf_and_grad_tensors() -> None:
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    z = x * x
    assert repr(z.grad_fn).startswith("<MulBackward0")
    assert x.is_leaf and x.grad_fn is None
    ng.autograd.backward([z], grad_tensors=[ng.tensor([1.0, 10.0])])
    assert_allclose(x.grad.numpy(), [2.0, 40.0])


@pytest.mark.row(11)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 4)])
def test_row_11_gradient_has_the_shape_of_its_input(shape: tuple[int, ...]) -> None:
    x = ng.tensor(np.full(shape, 0.5), requires_grad=True)
    (x * x * x).sum().backward()
    assert x.grad.shape == shape
    assert_allclose(x.grad.numpy(), np.full(shape, 0.75))


@pytest.mark.row(11)
def test_row_11_jacobian_is_outputs_by_inputs() -> None:
    matrix = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    f = lambda x: ng.matmul(matrix, x)
    jacobian = ng.autograd.functional.jacobian(f, ng.tensor([1.0, 0.0, -1.0]))
    assert_allclose(jacobian.numpy(), matrix)


@pytest.mark.row(12)
def test_row_12_repr_of_a_leaf_that_requires_grad() -> None:
    x = ng.ones(2, 2, requires_grad=True)
    assert compact(x) == "tensor([[1.,1.],[1.,1.]],requires_grad=True)"
    assert compact(ng.ones((2, 2))) == "tensor([[1.,1.],[1.,1.]])"


@pytest.mark.row(13)
def test_row_13_repr_of_a_sum_and_of_its_node() -> None:
    x = ng.ones(2, 2, requires_grad=True)
    y = ng.add(x, 1)
    assert compact(y) == "tensor([[2.,2.],[2.,2.]],grad_fn=<AddBackward0>)"
    assert re.fullmatch(r"<AddBackward0 object at 0x[0-9a-fA-F]+>", repr(y.grad_fn))


@pytest.mark.row(14)
def test_row_14_user_created_tensor_has_no_grad_fn() -> None:
    assert ng.tensor([1.0]).grad_fn is None
    assert ng.ones(2, 2, requires_grad=True).grad_fn is None
    assert ng.arange(3.0).grad_fn is None


@pytest.mark.row(15)
def test_row_15_detach_and_no_grad_cut_history() -> None:
    x = ng.ones(2, 2, requires_grad=True)
    y = x * 2
    cut = y.detach()
    assert cut.requires_grad is False and cut.grad_fn is None and cut.is_leaf
    assert y.requires_grad is True
    with ng.no_grad():
        z = x * 2
    assert z.requires_grad is False and z.grad_fn is None


@pytest.mark.row(15)
def test_row_15_functions_form_an_acyclic_graph() -> None:
    x = ng.tensor([0.5, 1.5], requires_grad=True)
    y = x.sin()
    z = (y * y + y.exp()) * x

    def depth(node: Any, path: tuple[Any, ...]) -> int:
        assert node not in path
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        return 1 + max((depth(parent, (*path, node)) for parent in parents), default=0)

    assert depth(z.grad_fn, ()) == 5


@pytest.mark.row(16)
def test_row_16_requires_grad_flips_the_flag_in_place() -> None:
    ng.manual_seed(0)
    a = ng.randn(2, 2)
    a = a * 3 / (a - 1)
    assert a.requires_grad is False and a.grad_fn is None
    assert a.requires_grad_(True) is a
    assert a.is_leaf and "requires_grad=True" in repr(a)
    a = a + 1
    assert "grad_fn=<AddBackward0>" in repr(a)


@pytest.mark.row(16)
def test_row_16_defaults_of_flag_and_method() -> None:
    a = ng.zeros(2)
    assert a.requires_grad is False
    assert a.requires_grad_().requires_grad is True
    assert a.requires_grad_(False).requires_grad is False
    assert (a * 2).grad_fn is None


def quadratic() -> tuple[Any, Any, Any]:
    x1 = ng.tensor(3.0, requires_grad=True)
    x2 = ng.tensor(1.0, requires_grad=True)
    return x1, x2, x1**2 + x2**2 + x1 * x2


@pytest.mark.row(17)
def test_row_17_grad_with_create_graph_is_on_the_tape() -> None:
    x1, x2, y = quadratic()
    x1_1 = ng.autograd.grad(y, x1, retain_graph=True, create_graph=True)[0]
    x2_1 = ng.autograd.grad(y, x2, retain_graph=True, create_graph=True)[0]
    assert x1_1.item() == 7.0 and x2_1.item() == 5.0
    assert "grad_fn=<AddBackward0>" in repr(x1_1)
    assert "grad_fn=<AddBackward0>" in repr(x2_1)


@pytest.mark.row(18)
@pytest.mark.parametrize(("of", "wrt", "value"), [(0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 1, 2)])
def test_row_18_second_order_by_differentiating_again(of: int, wrt: int, value: int) -> None:
    x1, x2, y = quadratic()
    first = ng.autograd.grad(y, (x1, x2), create_graph=True)[of]
    second = ng.autograd.grad(first, (x1, x2)[wrt])[0]
    assert second.item() == value
    assert second.grad_fn is None and second.requires_grad is False


@pytest.mark.row(19)
def test_row_19_two_grad_calls_on_one_output_without_retain_graph() -> None:
    x1, x2, y = quadratic()
    x1_1 = ng.autograd.grad(y, x1, retain_graph=True, create_graph=True)[0]
    x2_1 = ng.autograd.grad(y, x2, retain_graph=True, create_graph=True)[0]
    second = [ng.autograd.grad(first, wrt)[0].item() for first in (x1_1, x2_1) for wrt in (x1, x2)]
    assert second == [2.0, 1.0, 1.0, 2.0]


@pytest.mark.row(20)
def test_row_20_mean_of_three_squares() -> None:
    x = ng.ones(2, 2, requires_grad=True)
    y = x + 2
    z = y * y * 3
    out = z.mean()
    assert compact(y) == "tensor([[3.,3.],[3.,3.]],grad_fn=<AddBackward0>)"
    assert compact(z) == "tensor([[27.,27.],[27.,27.]],grad_fn=<MulBackward0>)"
    assert compact(out) == "tensor(27.,grad_fn=<MeanBackward0>)"
    out.backward()
    assert_allclose(x.grad.numpy(), np.full((2, 2), 4.5))


@pytest.mark.row(21)
def test_row_21_matrix_product_with_a_transpose() -> None:
    x = ng.tensor(np.arange(1.0, 10.0).reshape(3, 3), requires_grad=True)
    w = ng.tensor(np.arange(1.0, 7.0).reshape(2, 3), requires_grad=True)
    y = ng.matmul(x, w.T)
    assert_allclose(y.detach().numpy(), [[14, 32], [32, 77], [50, 122]])
    assert "grad_fn=<MmBackward0>" in repr(y)
    y.backward(gradient=ng.ones_like(y))
    assert_allclose(x.grad.numpy(), [[5, 7, 9]] * 3)
    assert_allclose(w.grad.numpy(), [[12, 15, 18]] * 2)


@pytest.mark.row(22)
def test_row_22_gradient_argument_scales_each_component() -> None:
    x = ng.ones(3, requires_grad=True)
    y = 2 * x
    z = 2 * y
    z.backward(gradient=ng.tensor([0.1, 1.0, 0.0001]))
    assert_allclose(x.grad.numpy(), [0.4, 4.0, 0.0004])


@pytest.mark.row(23)
def test_row_23_gradient_v_differentiates_the_weighted_sum() -> None:
    v = np.array([0.7, -3.0, 11.0])
    through_seed = ng.ones(3, requires_grad=True)
    (2 * (2 * through_seed)).backward(gradient=ng.tensor(v))
    through_sum = ng.ones(3, requires_grad=True)
    (ng.tensor(v) * (2 * (2 * through_sum))).sum().backward()
    assert_allclose(through_seed.grad.numpy(), 4 * v)
    assert_allclose(through_sum.grad.numpy(), 4 * v)


@pytest.mark.row(24)
def test_row_24_transpose_is_differentiable() -> None:
    w = ng.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    weights = np.arange(6.0).reshape(3, 2)
    assert w.T.shape == (3, 2)
    ng.add(w.T * weights, 1.0).mean().backward()
    assert_allclose(w.grad.numpy(), weights.T / 6)
    assert_allclose(ng.ones_like(w).numpy(), np.ones((2, 3)))
