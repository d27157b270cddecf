"""Products in their odd forms: subscripts, errors, dtypes, and what reaches BLAS."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad import numpy as nnp
from nbgrad.core.aval import make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.vocabulary.linalg.einsum import einsum

rng = np.random.default_rng(0)


def array(*shape: int) -> Any:
    return rng.normal(size=shape)


SUBSCRIPTS = [
    ("ij->ji", [(2, 3)]),
    ("ba", [(2, 3)]),
    ("...j->...", [(2, 3, 4)]),
    ("iij->j", [(2, 2, 3)]),
    ("ijij->ij", [(2, 3, 2, 3)]),
    ("iii->i", [(3, 3, 3)]),
    ("iij,jkk->ik", [(2, 2, 3), (3, 2, 2)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,i", [(3,), (3,)]),
    (",ij->ij", [(), (2, 3)]),
    ("bi,bi->b", [(2, 3), (2, 3)]),
    ("bi,bj->bij", [(2, 3), (2, 4)]),
    ("bij,bj->bi", [(2, 3, 4), (2, 4)]),
    ("abc,cb->a", [(2, 3, 4), (4, 3)]),
    ("abcd,acbe->bade", [(2, 3, 4, 2), (2, 4, 3, 3)]),
    ("bqhd,bkhd->bhqk", [(2, 3, 2, 4), (2, 5, 2, 4)]),
    ("abc,bd->dca", [(2, 3, 4), (3, 2)]),
    ("abcd,db->ca", [(2, 3, 4, 2), (2, 3)]),
    ("...ij,...jk", [(2, 1, 3, 4), (3, 4, 2)]),
    ("i...,...i->...", [(3, 1), (4, 3)]),
    ("ij,jk,kl,lm->im", [(2, 3), (3, 4), (4, 2), (2, 3)]),
    ("ijk,ilm,njm,nlk,abc->", [(2, 3, 2), (2, 2, 3), (3, 3, 3), (3, 2, 2), (2, 2, 2)]),
    ("ij,ij->i", [(1, 3), (2, 3)]),
    ("ij,jk->ik", [(2, 1), (3, 4)]),
    ("ij,jl->il", [(2, 0), (0, 4)]),
    ("ab,ab,ab->b", [(2, 3), (2, 3), (2, 3)]),
    (" i j , j -> i ", [(2, 3), (3,)]),
]


@pytest.mark.parametrize(("text", "shapes"), SUBSCRIPTS, ids=[t for t, _ in SUBSCRIPTS])
def test_einsum_is_that_of_numpy(text: str, shapes: list[Any]) -> None:
    arrays = [array(*shape) for shape in shapes]
    for optimize in (False, "optimal"):
        found = np.einsum(text, *map(ng.tensor, arrays), optimize=optimize)
        assert_allclose(found.numpy(), np.einsum(text, *arrays), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("text", "shapes"), SUBSCRIPTS, ids=[t for t, _ in SUBSCRIPTS])
def test_einsum_is_linear_in_each_operand(text: str, shapes: list[Any]) -> None:
    """So the gradient along a direction is the einsum of that direction in the operand's place."""
    arrays, along = ([array(*shape) for shape in shapes] for _ in range(2))
    tensors = [ng.tensor(x, requires_grad=True) for x in arrays]
    weights = array(*np.einsum(text, *arrays).shape)
    (nnp.einsum(text, *tensors) * weights).sum().backward()
    for k, t in enumerate(tensors):
        moved = [*arrays[:k], along[k], *arrays[k + 1 :]]
        wanted = np.sum(np.einsum(text, *moved) * weights)
        assert_allclose(np.sum(t.grad.numpy() * along[k]), wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float32", "complex64"])
def test_einsum_keeps_the_dtype(dtype: str) -> None:
    a, b = (rng.integers(0, 100, size=s).astype(dtype) for s in ((2, 3), (3, 4)))
    for text, given in (("ij,jk->ik", (a, b)), ("ij->i", (a,)), ("ij,ij->", (a, a))):
        found, wanted = nnp.einsum(text, *given), np.einsum(text, *given)
        assert found.dtype == wanted.dtype
        assert_array_equal(found.numpy(), wanted)


def test_einsum_computes_in_the_dtype_that_is_asked_for() -> None:
    a = np.arange(3)
    with pytest.raises(TypeError, match="cannot cast an operand from int64 to float32"):
        nnp.einsum("i,i", a, a, dtype=np.float32)
    assert nnp.einsum("i,i", a, a, dtype=np.float32, casting="unsafe").dtype == np.float32


def test_einsum_takes_lists_and_paths() -> None:
    a, b, c = array(2, 3), array(3, 4), array(4, 2)
    wanted = np.einsum("ij,jk,kl->li", a, b, c)
    found = nnp.einsum(a, [5, 1], b, [1, 60], c, [60, 0], [0, 5])
    assert_allclose(found.numpy(), wanted)
    path = nnp.einsum_path("ij,jk,kl->li", ng.tensor(a), b, c)
    assert path == np.einsum_path("ij,jk,kl->li", a, b, c)
    assert_allclose(nnp.einsum("ij,jk,kl->li", a, b, c, optimize=path[0]).numpy(), wanted)
    assert_allclose(nnp.einsum(a, [..., 0], [...]).numpy(), a.sum(1))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("ij,jk", array(2, 3), array(2, 3)), "index 'j' is 3 and 2"),
        (("ii", array(1, 3)), "index 'i' is"),
        (("ij", array(2), array(2)), "has 1 operands, but 2 are given"),
        (("ijk", array(2, 3)), "does not fit 3 indices"),
        (("i", array(2, 3)), "write '...'"),
        (("i.j", array(2, 3)), "'.' in 'i.j' is not a letter"),
        (("ij->ijj", array(2, 3)), "index 'j' more than once"),
        (("ij->k", array(2, 3)), "index 'k' is in no operand"),
        (("...i->i", array(2, 3)), "the output needs '...'"),
        ((), "needs subscripts"),
    ],
)
def test_einsum_says_what_is_wrong(args: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        nnp.einsum(*args)
    with pytest.raises((ValueError, TypeError)):
        np.einsum(*args)


def test_out_is_written() -> None:
    a = array(2, 2)
    for call in (
        lambda **out: nnp.einsum("ij->ij", a, **out),
        lambda **out: nnp.dot(a, a, **out),
        lambda **out: nnp.outer(a[0], a[0], **out),
    ):
        buffer = np.zeros((2, 2))
        call(out=buffer)
        assert_allclose(buffer, call(), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("dot", (array(2, 3), array(2, 3)), {}),
        ("dot", (array(2, 3), array(2, 2, 3)), {}),
        ("matmul", (array(2, 3), array(2, 3)), {}),
        ("matmul", (array(2, 3), 2.0), {}),
        ("vdot", (array(2), array(3)), {}),
        ("inner", (array(2, 3), array(2)), {}),
        ("tensordot", (array(2, 3), array(2, 3)), {"axes": 1}),
        ("tensordot", (array(2, 3), array(2, 3)), {"axes": ([0, 0], [0, 0])}),
        ("tensordot", (array(2, 3), array(2, 3)), {"axes": 3}),
        ("tensordot", (array(2, 3), array(2, 3)), {"axes": ([0], [0, 1])}),
        ("vecdot", (array(2, 3), array(2)), {}),
        ("matvec", (array(2, 3), array(2)), {}),
        ("vecmat", (array(2, 3), array(2)), {}),
        ("cross", (array(4), array(4)), {}),
    ],
)
def test_shapes_that_do_not_fit_raise_as_in_numpy(name: str, args: Any, kwargs: Any) -> None:
    with pytest.raises((ValueError, IndexError)):
        getattr(np, name)(*args, **kwargs)
    with pytest.raises(ValueError, match=f"^{name}: "):
        getattr(nnp, name)(*args, **kwargs)


def test_integers_and_booleans() -> None:
    a, b = rng.integers(-9, 9, (2, 3)), rng.integers(-9, 9, (3, 4)).astype(np.int8)
    for name, args in {
        "dot": (b[0], b[1]),
        "vdot": (b, b),
        "inner": (a, a),
        "kron": (a, b),
        "tensordot": (a, b, 1),
        "outer": (a, b),
        "matmul": (a > 0, b > 0),
        "vecdot": (b[0], b[1]),
    }.items():
        found, wanted = getattr(nnp, name)(*args), getattr(np, name)(*args)
        assert found.dtype == np.asarray(wanted).dtype, name
        assert_array_equal(found.numpy(), wanted, err_msg=name)


def test_plane_vectors_have_a_vector_product() -> None:
    plane, space = array(2, 2), array(2, 3)
    padded = np.concatenate([plane, np.zeros((2, 1))], axis=1)
    assert_allclose(nnp.cross(plane, space).numpy(), np.cross(padded, space))
    assert_allclose(nnp.cross(space, plane).numpy(), np.cross(space, padded))
    assert_allclose(nnp.cross(plane, plane[::-1]).numpy(), np.cross(padded, padded[::-1])[:, 2])


def test_gufuncs_of_numpy_take_their_axis() -> None:
    a, b = array(3, 2), array(3, 2)
    assert_allclose(np.vecdot(ng.tensor(a), b, axis=0).numpy(), np.vecdot(a, b, axis=0))


def operations(text: str, *shapes: tuple[int, ...]) -> list[str]:
    """What an einsum records, in order."""
    xs = [placeholder(make_aval(shape, np.dtype(float))) for shape in shapes]
    tape, _ = linearize([einsum(text, *xs)], xs)
    return [eqn.prim.name for eqn in tape.eqns]


@pytest.mark.parametrize(
    ("text", "shapes", "wanted"),
    [
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)], ["matmul"]),
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)], ["transpose", "matmul"]),
        ("ijk,klm->ijlm", [(2, 3, 4), (4, 5, 6)], ["reshape", "reshape", "matmul", "reshape"]),
        ("ij,jk->ki", [(2, 3), (3, 4)], ["transpose", "transpose", "matmul"]),
        ("bi,bi->b", [(2, 3), (2, 3)], ["multiply", "sum"]),
        ("i,j->ij", [(2,), (3,)], ["reshape", "reshape", "broadcast_to", "broadcast_to", "multiply"]),
        ("ij,k->k", [(2, 3), (4,)], ["sum", "multiply"]),
    ],
)  # fmt: skip
def test_contractions_are_matrix_products(text: str, shapes: Any, wanted: list[str]) -> None:
    assert sorted(operations(text, *shapes)) == sorted(wanted)


def test_batched_products_share_one_matrix_gradient() -> None:
    """A matrix applied to a batch is one product, so its gradient is one as well."""
    x, w = ng.tensor(array(4, 2, 3)), ng.tensor(array(3, 2), requires_grad=True)
    (x @ w).sum().backward()
    assert_allclose(w.grad.numpy(), np.einsum("bij,bik->jk", x.numpy(), np.ones((4, 2, 2))))
