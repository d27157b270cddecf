"""Ports and boxes: what low floors ask of higher ones."""

from __future__ import annotations

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.core.boxes import box, is_box, nested, unbox
from nbgrad.core.ports import Ports, ports


@pytest.mark.parametrize("name", Ports.__slots__)
def test_each_port_is_served_once(name: str) -> None:
    assert getattr(ports, name) is not None
    with pytest.raises(RuntimeError, match=f"{name} is served already"):
        setattr(ports, name, lambda: None)


def test_a_port_that_nobody_serves_is_empty() -> None:
    fresh = Ports()
    assert fresh.load is None
    fresh.load = lambda: None
    with pytest.raises(RuntimeError, match="served already"):
        fresh.load = lambda: None


def test_boxes_wrap_nodes() -> None:
    x = ng.tensor([1.0, 2.0])
    node = unbox(x)
    assert is_box(ng.Tensor) and not is_box(np.ndarray)
    assert isinstance(box(node), ng.Tensor) and unbox(box(node)) is node


def test_nests_keep_their_kind_and_names() -> None:
    found = nested(np.linalg.eigh(np.eye(2)), lambda x: x.shape)
    assert found.eigenvalues == (2,) and found.eigenvectors == (2, 2)
    assert nested([1, 2], str) == ["1", "2"] and nested(3, str) == 3


def test_namespaces_are_found_by_name() -> None:
    assert ports.namespace("numpy") is ng.numpy and ports.namespace("stats") is ng.stats
