"""Results of loops and branches that are the same for all of a batch: ``out_axes=None`` takes them."""

from __future__ import annotations

import numpy as np
import pytest

import nbgrad as ng

X = np.array([1.0, 2.0, 3.0])

LOOPS = {
    "scan": lambda x: ng.scan(lambda c, _: ((c[0] + 1.0, c[1] * x), None), (0.0, 1.0), length=3)[
        0
    ],
    "fori_loop": lambda x: ng.fori_loop(0, 3, lambda i, c: (c[0] + 1.0, c[1] * x), (0.0, 1.0)),
    "while_loop": lambda x: ng.while_loop(
        lambda c: c[0] < 3.0, lambda c: (c[0] + 1.0, c[1] * x), (0.0, 1.0)
    ),
    "rows": lambda x: ng.scan(lambda c, k: (c * x, k * 1.0), 1.0, np.full(4, 3.0))[::-1],
    "nested": lambda x: ng.scan(
        lambda c, _: (
            ng.scan(lambda d, _: ((d[0] + 0.5, d[1] * x), None), c, length=1)[0],
            None,
        ),
        (1.5, 1.0),
        length=3,
    )[0],
}


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("wrap", [lambda f: f, ng.jit])
def test_what_a_loop_carries_alike_has_no_axis(name, wrap):
    same, each = wrap(ng.vmap(LOOPS[name], out_axes=(None, 0)))(X)
    assert np.all(np.asarray(same) == 3.0) and np.shape(same) == ((4,) if name == "rows" else ())
    np.testing.assert_allclose(each, X ** (4 if name == "rows" else 3))
    stacked, _ = wrap(ng.vmap(LOOPS[name]))(X)
    assert np.shape(stacked)[0] == 3


def test_gradients_pass_what_is_alike():
    def f(x, w):
        step = lambda c, _: ((c[0] * w, c[1] * x), None)
        return ng.scan(step, (w, 1.0), length=3)[0]

    def loss(w):
        same, each = ng.vmap(f, in_axes=(0, None), out_axes=(None, 0))(X, w)
        return same + each.sum()

    assert float(ng.grad(loss)(2.0)) == 4 * 2.0**3
    both = ng.vmap(ng.vmap(f, in_axes=(0, None), out_axes=(None, 0)), in_axes=(None, 0))
    same, each = both(X, np.array([1.0, 2.0]))
    np.testing.assert_allclose(same, [1.0, 16.0])
    assert each.shape == (2, 3)


def test_what_differs_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match="result 1 depends on the element"):
        ng.vmap(LOOPS["scan"], out_axes=None)(X)
    ends = lambda x: ng.while_loop(lambda c: c < x, lambda c: c + 1.0, 0.0)
    with pytest.raises(ValueError, match="result 0 depends on the element"):
        ng.vmap(ends, out_axes=None)(X)
