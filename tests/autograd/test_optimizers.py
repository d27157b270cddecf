"""Optimisers refuse what they cannot update."""

from __future__ import annotations

import pytest

import nbgrad as ng


def test_sgd_takes_a_list_of_leaves_and_nothing_else() -> None:
    w = ng.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"SGD\(\[w\]\)"):
        ng.optim.SGD(w)
    with pytest.raises(TypeError, match="only optimize Tensors"):
        ng.optim.SGD([w, 1.0])
    with pytest.raises(ValueError, match="non-leaf"):
        ng.optim.SGD([w * 2.0])
    with pytest.raises(ValueError, match="empty"):
        ng.optim.SGD([])
