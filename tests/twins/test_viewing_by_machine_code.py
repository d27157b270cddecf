"""Views made by machine code: they know what those made in Python know, however many there are."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.core.ports import shortcuts
from nbgrad.tensors.views import Group
from nbgrad.twins import viewing


def _untracked() -> Any:
    return ng.tensor(np.arange(12.0).reshape(3, 4))


def _leaf() -> Any:
    return ng.tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)


def _pending() -> Any:
    return _leaf() * 2.0


def _computed() -> Any:
    x = _leaf() * 2.0
    x.sum().item()
    x.tolist()
    return x


def _view() -> Any:
    return _untracked()[1:]


def _view_of_a_view() -> Any:
    return _leaf().T[1:]


def _detached() -> Any:
    return _leaf().detach()


def _detached_view() -> Any:
    return _leaf()[1:].detach()


def _element() -> Any:
    return _leaf()[1, 2]


MAKERS = [_untracked, _leaf, _pending, _computed, _view, _view_of_a_view]
MAKERS += [_detached, _detached_view, _element]
STEPS: dict[str, Callable[[Any], Any]] = {
    "detach": lambda x: x.detach(),
    "twice": lambda x: x.detach().detach(),
    "slice": lambda x: x[1:] if x.ndim else x[...],
    "transpose": lambda x: x.T,
    "reshape": lambda x: x.reshape(-1, 1) if x.ndim else x.reshape(1),
    "slice of what is detached": lambda x: x.detach()[..., None],
}


def described(x: Any) -> Any:
    """What a tensor knows, without identities."""
    node, alias = x._node, x._alias
    seen: list[Any] = [node.sig, node.aval, node.requires_grad, node.value is None, node.depth]
    while alias.__class__ is tuple:
        group = alias[0]
        whole = group[0]()
        alive = sum(r() is not None for r in group)
        seen += [alias[2], alias[3], whole is None, alive, group.place, group.guarded]
        alias = alias[1]
    return [*seen, alias.__class__]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("recording", [True, False])
def test_both_make_the_same_view(make: Any, step: str, recording: bool) -> None:
    found = []
    for switched in (True, False):
        with ng.configure(twins="off") if switched else ng.enable_grad():
            x = make()
            for _ in range(3):  # the first in Python, as it is learned
                with ng.set_grad_enabled(recording):
                    y = STEPS[step](x)
            found.append((described(y), y.tolist()))
            if make is not _element:
                with ng.no_grad():
                    y.mul_(0.0)
            found.append(x.tolist())
    assert found[0] == found[2]
    assert found[1] == found[3]


@pytest.mark.parametrize("held", [0, 2, viewing.CROWD - 2, viewing.CROWD, viewing.CROWD + 40])
@pytest.mark.parametrize("make", [lambda x: x[1:], lambda x: x.detach()], ids=["view", "detach"])
def test_views_of_one_tensor_in_any_number(make: Any, held: int) -> None:
    """References to those that are gone are dropped; none that is held is lost."""
    x = ng.tensor([1.0, 2.0])
    views = []
    for k in range(5 * viewing.CROWD):
        v = make(x)
        if held and k % max(5 * viewing.CROWD // held, 1) == 0 and len(views) < held:
            views.append(v)
    del v
    assert x._alias.__class__ is Group and x._alias[0]() is x
    assert len(x._alias) <= 4 * viewing.CROWD
    assert sum(r() is not None for r in x._alias) == len(views) + 1
    x += 1.0
    assert all(v.tolist() == make(x).tolist() for v in views)
    if views:
        views[-1][...] = 7.0
        assert x.tolist()[-1] == 7.0
        assert all(v.tolist()[-1] == 7.0 for v in views)


def test_no_references_are_kept() -> None:
    assert shortcuts.view is not None and shortcuts.detached is not None
    x = ng.tensor([[1.0, 2.0]], requires_grad=True)
    y = x[0:]
    watched = (x, x._node, x._node.value, x._node.aval, None, (), False, True, 0, ng.Tensor)

    def work() -> None:
        for base in (x, y, x.detach()):
            base.T.detach(), base[:, 1:], base.reshape(2), base[0, 1]

    for _ in range(3 * viewing.CROWD):
        work()
    gc.collect()
    before = [sys.getrefcount(w) for w in watched]
    for _ in range(800):
        work()
    gc.collect()
    grown = np.subtract([sys.getrefcount(w) for w in watched], before)
    assert max(abs(grown)) < 400
